"""Evidence and derived values in words, for cards, wire and explain."""

from __future__ import annotations

from collections.abc import Sequence

from cds_service import words
from cds_service.clinical.show import unit_text, value_text
from cds_service.domain import Derived, Evidence, Flag


def derived_name(derived: Derived, language: str) -> str:
    """Its name."""
    return words.template(language, f"derived-{derived.id}")


def derived_value(derived: Derived) -> str:
    """Value and unit as printed."""
    return f"{derived.text} {derived.shown_unit}".strip()


def reported(derived: Derived, language: str) -> str:
    """That the laboratory's own result differs, or nothing."""
    if derived.reported is None:
        return ""
    own = f"{value_text(derived.reported)} {unit_text(derived.reported)}".strip()
    return words.template(language, "derived-reported").format(value=own)


def evidence(one: Evidence, flags: Sequence[Flag], language: str) -> str:
    """A phrase: name, value, and what it is ("Haptoglobin < 10 mg/dL (low)"); a sentence of its own as it stands."""
    if one.index is not None:
        flag = flags[one.index]
        analyte = flag.subject.analyte
        name = analyte.name(language) if analyte is not None else flag.subject.display
        value = f"{value_text(flag.subject)} {unit_text(flag.subject)}".strip()
        return f"{name} {value} ({words.flag_word(language, flag.code)})"
    if one.derived is not None:
        shown = f"{derived_name(one.derived, language)} {derived_value(one.derived)}"
        return shown if one.derived.code is None else f"{shown} ({words.flag_word(language, one.derived.code)})"
    return "" if one.said is None else words.say(language, one.said)
