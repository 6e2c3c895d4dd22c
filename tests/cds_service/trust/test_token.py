"""Tokens: what CDS Hooks asks of one, and that garbage of every form is refused, never a crash. Times are Unix seconds."""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cds_service.trust.audience import Audience
from cds_service.trust.reasons import Refused
from cds_service.trust.token import ALGORITHMS, Token, read_token
from tests.callers import ED_KEY, ISSUER, KEY, NOW, OTHER_KEY, P256_KEY, RSA_KEY, AnyKey, claims, token

URL = "https://cds.example.org/cds-services/labcue-results"
HERE = Audience(("/cds-services/labcue-results",), ("https://cds.example.org",))


def _check(compact: str, key: Any = KEY, *, now: float = NOW, audience: Audience = HERE) -> Token:
    found = read_token(compact)
    found.check_signature(key)
    found.check_claims(audience, now, leeway_s=5, life_s=300)
    return found


def _reason(compact: str, key: Any = KEY, *, now: float = NOW) -> str:
    with pytest.raises(Refused) as caught:
        _check(compact, key, now=now)
    return caught.value.reason


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (KEY, "ES384"),
        (RSA_KEY, "RS384"),
        (RSA_KEY, "RS256"),
        (RSA_KEY, "PS384"),
        (P256_KEY, "ES256"),
        (ED_KEY, "EdDSA"),
        (ED_KEY, "Ed25519"),
    ],
)
def test_asymmetric_algorithms_are_taken(key: AnyKey, algorithm: str) -> None:
    found = _check(token(claims(URL), key, alg=algorithm), key)
    assert (found.issuer, found.kid) == (ISSUER, key.kid)


@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", "HS256", "HS384", "HS512", "ES256K", "A128KW", ""])
def test_none_and_every_secret_algorithm_are_refused(algorithm: str) -> None:
    header = base64.urlsafe_b64encode(json.dumps({"typ": "JWT", "alg": algorithm, "kid": "k1"}).encode()).rstrip(b"=")
    payload = base64.urlsafe_b64encode(json.dumps(claims(URL)).encode()).rstrip(b"=")
    for signature in (b"", b"AAAA"):
        assert _reason(b".".join((header, payload, signature)).decode()) == "algorithm"


def test_a_public_key_used_as_a_secret_signs_nothing() -> None:
    """The oldest trick: HMAC, with the public key that everybody has as the secret."""
    signed = _segments(
        [json.dumps({"typ": "JWT", "alg": "HS256", "kid": "k1"}).encode(), json.dumps(claims(URL)).encode()]
    )
    signature = hmac.digest(KEY.as_pem(private=False), signed.encode(), "sha256")
    assert _reason(f"{signed}.{_segments([signature])}") == "algorithm"


def test_the_algorithms_are_asymmetric_all_of_them() -> None:
    assert not {one for one in ALGORITHMS if one.startswith(("HS", "none"))}
    assert {"ES384", "RS384"} <= ALGORITHMS


def test_anothers_key_of_the_same_name_is_refused() -> None:
    assert _reason(token(claims(URL), OTHER_KEY)) == "signature"


def test_a_key_of_another_kind_is_refused() -> None:
    assert _reason(token(claims(URL), RSA_KEY, alg="RS384", kid="k1")) == "signature"
    assert _reason(token(claims(URL), P256_KEY, alg="ES256")) == "signature"


def test_a_changed_payload_is_refused() -> None:
    header, _, signature = token(claims(URL)).split(".")
    payload = base64.urlsafe_b64encode(json.dumps(claims(URL, jti="other")).encode()).rstrip(b"=").decode()
    assert _reason(f"{header}.{payload}.{signature}") == "signature"


@pytest.mark.parametrize(
    "header",
    [
        {"kid": None},
        {"typ": None},
        {"typ": "at+jwt"},
        {"crit": ["b64"], "b64": True},
    ],
)
def test_the_header_has_what_cds_hooks_asks_for(header: dict[str, Any]) -> None:
    assert _reason(token(claims(URL), **header)) in ("header", "malformed")


def test_a_key_that_the_token_brings_along_counts_for_nothing() -> None:
    forged = token(claims(URL), OTHER_KEY, jwk=OTHER_KEY.as_dict(private=False))
    assert _reason(forged) == "signature"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"iss": None}, "claims"),
        ({"iss": ["https://ehr.example.org"]}, "claims"),
        ({"tenant": 7}, "claims"),
        ({"exp": None}, "claims"),
        ({"exp": "1800000300"}, "claims"),
        ({"exp": True}, "claims"),
        ({"exp": 10**400}, "claims"),
        ({"iat": None}, "claims"),
        ({"nbf": "soon"}, "claims"),
        ({"jti": None}, "claims"),
        ({"jti": ""}, "claims"),
        ({"jti": 7}, "claims"),
        ({"jti": "x" * 257}, "claims"),
        ({"aud": None}, "audience"),
        ({"aud": {"url": "x"}}, "audience"),
        ({"aud": []}, "audience"),
        ({"aud": "https://other.example.org/cds-services/labcue-results"}, "audience"),
        ({"aud": "https://cds.example.org/cds-services"}, "audience"),
        ({"aud": "https://cds.example.org"}, "audience"),
        ({"aud": "http://cds.example.org/cds-services/labcue-results"}, "audience"),
        ({"aud": "https://cds.example.org/cds-services/labcue-results/feedback"}, "audience"),
        ({"exp": NOW - 5}, "expired"),
        ({"exp": NOW + 306}, "expires-too-late"),
        ({"iat": NOW + 6}, "issued-in-future"),
        ({"nbf": NOW + 6}, "not-yet-valid"),
    ],
)
def test_what_a_token_says_is_checked(changed: dict[str, Any], reason: str) -> None:
    said = claims(URL) | changed
    assert _reason(token({name: value for name, value in said.items() if value is not None})) == reason


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": [URL, "https://other.example.org"]},
        {"aud": "HTTPS://CDS.example.org:443/cds-services/labcue-results"},
        {"exp": NOW - 4},
        {"exp": NOW + 305},
        {"iat": NOW + 5},
        {"iat": NOW + 0.5},
        {"sub": "https://ehr.example.org", "nbf": NOW - 300},
        {"nbf": NOW + 5},
        {"tenant": "hospital-7"},
    ],
)
def test_what_real_clients_send_is_taken(changed: dict[str, Any]) -> None:
    """The sandbox rounds iat up; Epic sends sub, and nbf five minutes back; clocks differ by seconds."""
    _check(token(claims(URL) | changed))


def test_without_a_public_address_only_loopback_is_meant() -> None:
    local = Audience(("/labcue.v1.LabDecisionSupport",), None)
    _check(token(claims("http://127.0.0.1:50051/labcue.v1.LabDecisionSupport")), audience=local)
    for aud in ("https://other.example.org/labcue.v1.LabDecisionSupport", "http://localhost/other"):
        with pytest.raises(Refused):
            _check(token(claims(aud)), audience=local)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_PART = st.one_of(st.binary(max_size=60), _JSON.map(lambda value: json.dumps(value).encode()))


def _segments(parts: list[bytes]) -> str:
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


@given(st.one_of(st.text(), st.lists(_PART, max_size=5).map(_segments)))
@example("." * 8192)
@example(_segments([b"[" * 6000, b"{}", b""]))
@example(_segments([b'["alg"]', b"{}", b""]))
@example(_segments([b'{"alg":["ES384"],"kid":"k1","typ":"JWT"}', b"{}", b""]))
@example(_segments([b'{"alg":"ES384","kid":"k1","typ":"JWT","crit":5}', b"{}", b"x"]))
@example(_segments([b'{"alg":"ES384","kid":"k1","typ":"JWT"}', b'{"iss":"' + b"1" * 5000 + b'"}', b""]))
@example(_segments([b'{"alg":"ES384","kid":"k1","typ":"JWT"}', b'{"iss":' + b"1" * 5000 + b"}", b""]))
def test_garbage_is_refused_and_never_a_crash(sent: str) -> None:
    with pytest.raises(Refused):
        _check(sent)


@given(
    st.dictionaries(
        st.sampled_from(["typ", "alg", "kid", "jku", "crit", "b64", "jwk", "x5c", "zip"]), _JSON, max_size=5
    ),
    st.dictionaries(st.sampled_from(["iss", "aud", "exp", "iat", "nbf", "jti", "tenant"]), _JSON, max_size=6),
)
def test_odd_members_signed_or_not_are_refused_and_never_a_crash(header: dict[str, Any], said: dict[str, Any]) -> None:
    named = {"typ": "JWT", "alg": "ES384", "kid": "k1"} | header
    parts = [json.dumps(named).encode(), json.dumps(claims(URL) | said).encode(), b"x" * 96]
    with pytest.raises(Refused):
        _check(_segments(parts))
    signed = token(claims("https://elsewhere.example.org") | said)  # any aud but ours, or an odd one
    with pytest.raises(Refused):
        _check(signed)
