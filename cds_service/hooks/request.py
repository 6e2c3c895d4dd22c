"""The body of a CDS Hooks call, read once: the parts that are FHIR stay the bytes they are.

Every fault is reported, each with its place; nothing of a value.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import msgspec

from cds_service.domain import FlagsListed
from cds_service.hooks.services import Service
from fhir_adapter.errors import InvalidInput, NotJson, Violation
from fhir_adapter.guard import Checked, checked

Raw = bytes
"""JSON as it stands in the request."""
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_FHIR_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_FIELDS = ("patientId", "userId", "encounterId", "draftOrders")
"""What hooks have in their context besides observations."""
_PLACE = re.compile(r" - at `\$(.*)`$")
ASKED = "org.labcue.request"
"""Key of the extension in which a call says how it wants to be answered."""
MAX_TEXT = 4096
MAX_TOKEN = 16384


class _Envelope(msgspec.Struct):
    hook: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    hookInstance: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    context: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    prefetch: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    fhirServer: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    fhirAuthorization: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    extension: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Whole(_Envelope):
    """A body whose members have the form they should have: read in one go."""

    context: dict[str, msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET  # type: ignore[assignment]
    prefetch: dict[str, msgspec.Raw] | msgspec.UnsetType | None = msgspec.UNSET  # type: ignore[assignment]


class _Authorization(msgspec.Struct):
    access_token: str
    token_type: str
    expires_in: int
    scope: str
    subject: str
    patient: str | None = None


_LISTED: Mapping[str, FlagsListed] = {"all": "all", "abnormal": "abnormal"}


class _Wishes(msgspec.Struct):
    flags: str | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """The caller's token for its own FHIR server. It is used for this call and never shown, stored or logged."""

    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class HookCall:
    """A call whose form holds. ``prefetch`` maps each key that came to its JSON (``null`` included)."""

    service: Service
    patient_id: str
    context: Mapping[str, Raw] = field(repr=False)
    prefetch: Mapping[str, Raw] = field(repr=False)
    fhir_server: str | None = None
    token: Token | None = None
    listed: FlagsListed | None = None
    """Which flags the answer is to list; None where the call doesn't say."""

    @property
    def user(self) -> str | None:
        """``context.userId``: who will see the cards. None where the hook doesn't say."""
        try:
            return msgspec.json.decode(self.context.get("userId", b"null"), type=str | None) or None
        except msgspec.DecodeError:
            return None


def read(body: bytes, services: Mapping[str, Service], *, max_bytes: int, max_depth: int) -> HookCall:
    """Reads a call to one of ``services`` (by hook).

    Raises:
        NotJson, LimitExceeded: the body can't be read at all.
        InvalidInput: with a Violation for each fault, named by its path in the body.
    """
    whole = checked(body, max_bytes=max_bytes, max_depth=max_depth)
    return _Reading(_sent(whole), services, whole.depth - _AROUND).call()


def _sent(whole: bytes) -> _Envelope:
    with contextlib.suppress(msgspec.DecodeError, RecursionError):
        return _WHOLE.decode(whole)
    try:
        return _ENVELOPE.decode(whole)
    except msgspec.ValidationError:
        raise InvalidInput(violations=(Violation("$this", "must be a JSON object"),)) from None
    except (msgspec.DecodeError, RecursionError):
        raise NotJson("The body is not valid JSON.") from None


_AROUND = 2
"""Objects around each part of a context or a prefetch: the body, and the one or the other."""
_WHOLE = msgspec.json.Decoder(_Whole)
_ENVELOPE = msgspec.json.Decoder(_Envelope)
_MAP = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _Reading:
    """One body on its way to a HookCall, with the faults met so far."""

    def __init__(self, sent: _Envelope, services: Mapping[str, Service], depth: int) -> None:
        self._sent, self._services, self._depth = sent, services, depth
        self._faults: list[Violation] = []

    def call(self) -> HookCall:
        service = self._service()
        self._instance()
        context = self._object("context", required=True)
        patient_id = self._context(context, service)
        prefetch = self._object("prefetch")
        server = self._server()
        token = self._token(server, patient_id)
        listed = self._listed(self._object("extension"))
        if self._faults or service is None:
            raise InvalidInput(violations=tuple(self._faults))
        return HookCall(service, patient_id, context or {}, prefetch or {}, server, token, listed)

    def _fault(self, path: str, said: str) -> None:
        self._faults.append(Violation(path, said))

    def _get(self, name: str) -> bytes | None:
        """A member's JSON; None where it is absent or null."""
        raw = getattr(self._sent, name)
        if raw is msgspec.UNSET or raw is None:
            return None
        found = bytes(raw)
        return None if found == b"null" else found

    def _text(self, raw: bytes | None, path: str, *, most: int = MAX_TEXT) -> str | None:
        if raw is None:
            self._fault(path, "is required")
            return None
        try:
            text = msgspec.json.decode(raw, type=str)
        except msgspec.DecodeError:
            self._fault(path, "must be a string")
            return None
        if not text or len(text) > most:
            self._fault(path, f"must hold 1 to {most} characters")
            return None
        return text

    def _service(self) -> Service | None:
        hook = self._text(self._get("hook"), "hook")
        if hook is None:
            return None
        service = self._services.get(hook)
        if service is None:
            self._fault("hook", f"this service answers to: {', '.join(self._services)}")
        return service

    def _instance(self) -> None:
        instance = self._text(self._get("hookInstance"), "hookInstance")
        if instance is not None and not _UUID.fullmatch(instance):
            self._fault("hookInstance", "must be a UUID")

    def _object(self, name: str, *, required: bool = False) -> dict[str, bytes] | None:
        """A member that is an object, each of its parts as it stands; None where it is absent or something else."""
        found = getattr(self._sent, name)
        if not isinstance(found, dict):
            raw = self._get(name)
            if raw is None:
                if required:
                    self._fault(name, "is required")
                return None
            try:
                found = _MAP.decode(raw)
            except msgspec.DecodeError:
                self._fault(name, "must be an object")
                return None
        return {key: Checked.at(bytes(value), self._depth) for key, value in found.items()}

    def _context(self, context: Mapping[str, bytes] | None, service: Service | None) -> str:
        """The patient's id. The other fields that a hook may have are held to their type, passed on, and not read."""
        if context is None:
            return ""
        patient_id = ""
        required = service.required if service is not None else ("patientId",)
        for name in (*required, *(name for name in _FIELDS if name not in required)):
            raw = context.get(name)
            if raw is None or raw == b"null":
                if name not in required:
                    continue
                raw = None
            if name == "draftOrders":
                if raw is None or not raw.startswith(b"{"):
                    self._fault("context.draftOrders", "a Bundle is required")
                continue
            text = self._text(raw, f"context.{name}")
            if name == "patientId" and text is not None:
                if _FHIR_ID.fullmatch(text):
                    patient_id = text
                else:
                    self._fault("context.patientId", "must be a FHIR id: letters, digits, '-' and '.', at most 64")
        return patient_id

    def _server(self) -> str | None:
        if self._get("fhirServer") is None:
            return None
        text = self._text(self._get("fhirServer"), "fhirServer")
        if text is None:
            return None
        try:
            parts = urlsplit(text)
            usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            usable = False
            parts = None
        if not usable or parts is None or parts.username or parts.password or parts.query or parts.fragment:
            self._fault("fhirServer", "must be the https:// address of a FHIR server, without a query or a password")
            return None
        return text.rstrip("/")

    def _token(self, server: str | None, patient_id: str) -> Token | None:
        raw = self._get("fhirAuthorization")
        if raw is None:
            return None
        if self._get("fhirServer") is None:
            self._fault("fhirServer", "is required with fhirAuthorization")
        try:
            sent = msgspec.json.decode(raw, type=_Authorization)
        except msgspec.ValidationError as error:
            self._fault(*placed("fhirAuthorization", error))
            return None
        if sent.token_type.lower() != "bearer":
            self._fault("fhirAuthorization.token_type", "must be Bearer")
        if (
            not 0 < len(sent.access_token) <= MAX_TOKEN
            or not sent.access_token.isascii()
            or not _visible(sent.access_token)
        ):
            self._fault("fhirAuthorization.access_token", f"must hold 1 to {MAX_TOKEN} visible ASCII characters")
            return None
        if sent.patient is not None and patient_id and sent.patient != patient_id:
            self._fault("fhirAuthorization.patient", "must be the patient of the context")
        return Token(sent.access_token)

    def _listed(self, extension: Mapping[str, bytes] | None) -> FlagsListed | None:
        raw = (extension or {}).get(ASKED)
        if raw is None or raw == b"null":
            return None
        try:
            said = msgspec.json.decode(raw, type=_Wishes).flags
        except msgspec.ValidationError as error:
            self._fault(*placed(f"extension.{ASKED}", error))
            return None
        if said is not None and said not in _LISTED:
            self._fault(f"extension.{ASKED}.flags", f"must be one of {', '.join(_LISTED)}")
        return None if said is None else _LISTED.get(said)


def _visible(text: str) -> bool:
    return all(" " < letter <= "~" for letter in text)


def placed(root: str, error: msgspec.ValidationError) -> tuple[str, str]:
    """Where and what, of msgspec's own words: they name types and fields, never a value."""
    said = str(error)
    place = _PLACE.search(said)
    where = (root + (place.group(1) if place else "")).removeprefix(".")
    return where or "$this", _PLACE.sub("", said)
