"""Whether a sample was taken fasting: said by its code, its name or a comment, never assumed."""

from __future__ import annotations

import re

from fhir_adapter.model import Result

_FASTING_CODES = frozenset({"1558-6", "14771-0", "76629-5", "1556-0", "3048-6", "70218-3", "10450-5", "77145-1"})
"""LOINC: fasting glucose, triglycerides and lipids."""
_FASTING = re.compile(r"\b(?:fasting|fasted|à jeun|a jeun|post[- ]?cibum 12)\b", re.IGNORECASE)
_NOT = re.compile(
    r"\b(?:non|not|no|pas)\b[\s-]{0,3}(?:fasting|fasted|à jeun|a jeun)|\bnonfasting\b|\brandom\b|\bpost[- ]?(?:prandial|meal)",
    re.IGNORECASE,
)


def fasting(result: Result) -> bool | None:
    """True or False where it is said, None where it isn't."""
    texts = [text for text in (result.name, *(coding.display for coding in result.codings), *result.comments) if text]
    if any(_NOT.search(text) for text in texts):
        return False
    if any(coding.code in _FASTING_CODES for coding in result.codings):
        return True
    return True if any(_FASTING.search(text) for text in texts) else None
