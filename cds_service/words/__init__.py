"""The texts of the cards, per language: reviewed templates in TOML, the same keys and parameters in each."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources

from cds_service import typeset
from cds_service.domain import Code, Said
from fhir_adapter.errors import DEGRADED_REASONS, NOT_ASSESSED_CODES

LANGUAGES = ("en", "fr")
PARTS = ("", "derived.", "patterns.")
"""What the texts are about: cards and flags, derived values, patterns. A key stands in one of them."""


AMOUNTS = frozenset({"limit", "interval", "change", "from", "series", "percent", "fall", "gap", "ratio"})
"""Parameters that are numbers with their units: written as the language does."""
TIMES = frozenset({"time", "window"})
"""Parameters that are spans of time: "36 h", "5 d"."""
WORDS = frozenset(
    {"result", "summary", "first", "label", "text", "value", "word", "reason", "why", "assay", "stage"}
    | {"count", "total", "hours", "probability", "egfr", "score", "line"}
)
"""Parameters that are words already, or whole numbers."""


def say(language: str, said: Said) -> str:
    """The text of a message in a language; English where the language or the key is missing there."""
    params = {name: _param(language, name, value) for name, value in said.params.items()} if said.params else {}
    return template(language, said.key).format_map(params)


def _param(language: str, name: str, value: str) -> str:
    if name in AMOUNTS:
        return typeset.numbers(typeset.unit(value), language)
    if name in TIMES:
        shown = value[:-1] + template(language, "days") if value.endswith(" d") else value
        return typeset.numbers(shown, language)
    if name == "code":
        return template(language, f"code-{value}")
    return value


def template(language: str, key: str) -> str:
    """The raw template of a key.

    Raises:
        KeyError: there is no such key in English either.
    """
    found = messages(language).get(key) if language in LANGUAGES else None
    return found if found is not None else messages("en")[key]


def not_assessed(language: str, code: str) -> str:
    """Why something was not judged, as one fixed sentence."""
    if language == "en" or language not in LANGUAGES:
        return NOT_ASSESSED_CODES[code]
    return messages(language).get(f"not-assessed-{code}") or NOT_ASSESSED_CODES[code]


def absent(language: str, why: str) -> str:
    """Why a laboratory sent no value: FHIR's code in words, its own words as they are."""
    return messages(language if language in LANGUAGES else "en").get(f"absent-{why}", why)


def degraded(language: str, reason: str) -> str:
    """Why the model did not take part, from ``Verdict.degraded``."""
    code = DEGRADED_REASONS.get(reason)
    return template(language, f"reason-{code}" if code is not None else "reason-other")


def flag_word(language: str, code: Code) -> str:
    """What a code means ("critically high")."""
    return template(language, f"code-{code}")


@cache
def messages(language: str) -> dict[str, str]:
    """All messages of a language: key to template."""
    found: dict[str, str] = {}
    for part in PARTS:
        text = resources.files(__name__).joinpath(f"{part}{language}.toml").read_text(encoding="utf-8")
        found |= {key: str(value) for key, value in tomllib.loads(text).items()}
    return found
