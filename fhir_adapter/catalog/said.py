"""What a laboratory adds to a test's name, taken off again: the panel before a colon, the specimen, "level", "POCT", a method in
brackets. Each reading says what the words taken off said; whether it holds is :mod:`fhir_adapter.catalog.recognise`'s to judge.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Literal, NamedTuple

from fhir_adapter.catalog.specimens import specimen_group
from fhir_adapter.folding import fold
from fhir_adapter.printed import unit_in_name

Kind = Literal["%", "10*9/L"]


class Reading(NamedTuple):
    """A name without its additions. ``also``: another name in it that must mean the same test ("ALT (SGPT)")."""

    name: str
    group: str | None = None
    kind: Kind | None = None
    also: str | None = None
    cellfree: bool = False
    """It named serum or plasma."""
    measured: bool = False
    """It named a quantity: only a unit tells which of several tests ("Creatine kinase.MB" by mass or by activity)."""


_PANELS = frozenset(
  (
    "abg", "bandelette", "bga", "bilan", "biochemie", "biochemistry", "biochimie", "bioquimica", "bloedbeeld",
    "bloods", "blutbild", "blutgase", "bmp", "cbc", "chem", "chemistry", "cmp", "coag", "coagulation", "dipstick",
    "ecbu", "electrolytes", "elektrolyte", "emocromo", "fbc", "formule", "gasometrie", "gerinnung", "haematology",
    "hamatologie", "hematologie", "hematology", "hemocytometrie", "hemogram", "hemograma", "hemogramme",
    "hemostase", "ionogram", "ionograma", "ionogramme", "klinische", "leucocytaire", "lft", "lfts", "lipid", "lipides",
    "lipids", "nf", "nfs", "numeration", "panel", "profile", "quimica", "rft", "teststreifen", "urinalysis", "urinstix",
    "vbg",
  )
)  # fmt: skip
"""A word before a colon or a dash that names a panel; anything else there ("Donor:", "Target:") may change what is meant."""
_JOINED = frozenset(
  (
    "arterialbloodgas", "bloodcount", "bloodgas", "bonefunction", "boneprofile", "completebloodcount",
    "fullbloodcount", "hamatologie", "kidneyfunction", "klinischechemie", "liverfunction", "liverfunctiontests",
    "renalfunction", "renalfunctiontests", "thyroidfunction", "thyroidfunctiontests", "ue", "ues",
    "ureaandelectrolytes", "urinemcs",
  )
)  # fmt: skip
"""Panels of several words, joined."""
_NOISE = frozenset(
  (
    "auto", "automated", "concentration", "istat", "level", "levels", "lvl", "measurement", "meter", "poc", "poct",
    "qn", "quant", "quantitative", "random", "result", "spot",
  )
)  # fmt: skip
_BEFORE = frozenset(
  (
    "blood", "istat", "plasma", "poc", "poct", "random", "serum", "spot", "sr", "urine",
  )
)  # fmt: skip
_UNTIMED = frozenset(("random", "spot"))
"""Taken off for urine, and for glucose, which then isn't fasting; a drug's random level has not the trough's target."""
_METHODS = frozenset(
  (
    "2009", "2021", "ckd", "ckdepi", "clauss", "dcct", "enzym", "enzymatic", "enzymatisch", "epi", "formula", "hplc", "idms",
    "ifcc", "jaffe", "mdrd", "naf", "ngsp", "westergren",
  )
)  # fmt: skip
_SPECIMENS = frozenset(
  (
    "bloed", "blood", "blut", "csf", "harn", "liquor", "mocz", "orina", "plasma", "sangre", "sangue", "serico",
    "serique", "seriques", "serum", "siero", "soro", "suero", "surowica", "lcr", "lcs", "urinaire", "urinaires", "urinary", "urin", "urina", "urine",
  )
)  # fmt: skip
_LINKS = frozenset(
  (
    "dans", "de", "en", "i", "im", "in", "les", "na", "nel", "nelle", "no", "of", "the", "w", "whole",
  )
)  # fmt: skip
_PERCENT = frozenset(
  (
    "%", "pct", "percent", "percentage", "rel", "relativ", "relative",
  )
)  # fmt: skip
_COUNT = frozenset(
  (
    "#", "abs", "absolu", "absolus", "absolut", "absolute", "absolutos", "absoluut", "assoluti", "count",
  )
)  # fmt: skip
_SPLIT = re.compile(r"^(?P<panel>[^:]{2,40}?)\s*(?::|\s[-\u2013\u2014])\s+(?P<rest>.+)$")
_BRACKETS = re.compile(r"^(?P<outer>[^()\[\]]+?)\s*[(\[](?P<inner>[^()\[\]]+)[)\]]\s*$")
_SLASH = re.compile(r"^(?P<one>[^/]{2,12})\s*/\s*(?P<other>[^/]{2,12})$")
_SYSTEM_BEFORE = re.compile(
    r"^(?:f|fasting )?(?P<system>P|S|B|E|U|Ur)\s?[-\u2013\u2014]\s?(?P<rest>(?!(?i:amylas|anca|lcr))\w.*)$"
)
_SYSTEM_AFTER = re.compile(r"^(?P<rest>.+?)\s*;\s*(?P<system>P|S|B|U|Ur|Hb\(B\)|SERUM|PLASMA|BLOOD|URINE)$")
_GERMAN_AFTER = re.compile(r"^(?P<rest>.+?)\s+i\.\s?(?P<system>S|P|B|U)\.?$")
_NPU = re.compile(r"^(?P<rest>[PSBU]\s?[-\u2013\u2014]\s?[^;]+?)(?:\([^()]*\))?;[^;]*=\s*\?.*$")
_ABBREVIATED = re.compile(r"^S\.\s*(?P<rest>[A-Za-z].+)$")
"""Nordic names put the system first ("P-Kalium"), those of NPU after ("Kalium-ion;P"); India writes "S. Creatinine",
Germany "Kreatinin i.S."."""
_SYSTEMS = {
    "P": "blood",
    "S": "blood",
    "B": "blood",
    "E": "blood",
    "U": "urine",
    "Ur": "urine",
    "SERUM": "blood",
    "PLASMA": "blood",
    "BLOOD": "blood",
    "URINE": "urine",
    "Hb(B)": "blood",
}
_CODE_FIRST = re.compile(r"\s*(?:\d{1,5}-\d\s+|\d{4,8}\s*[-:.]?\s+|\d{4,8}\s*[:-]\s*)(?P<rest>[^\W\d].*)\Z")
"""A code of LOINC's form or of the laboratory's own, printed before the name: "2093-3 Cholesterol", "001032 - Glucose"."""
_LONGEST = 120
_LOINC_NAME = re.compile(
    r"(?P<component>[^\[\]]+?)(?: \[(?P<property>[^\]]+)\])? in (?P<system>(?:Serum|Plasma|Blood|Urine|Urine sediment|Cerebral spinal fluid|"
    r"Platelet poor plasma)(?:(?:,| or|, or) (?:Serum|Plasma|Blood))*)(?: by (?!High sens)(?:(?!--)[^\[\]])+)?\Z"
)
"""LOINC's long common name; one of a challenge ("--2 hours post dose") or of a vessel isn't taken apart."""


@lru_cache(maxsize=2048)
def readings(text: str) -> tuple[Reading, ...]:
    """What a name may say without its additions, the nearest to it first; not the name itself."""
    if len(text) > _LONGEST:
        return ()
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)  # full-width brackets and letters
    if (bare := unit_in_name(text)) is not None:
        return tuple(dict.fromkeys((Reading(fold(bare[0])), *readings(bare[0]))))
    if match := _CODE_FIRST.match(text):
        return tuple(dict.fromkeys((Reading(fold(match["rest"])), *readings(match["rest"]))))
    if match := _LOINC_NAME.match(text.strip()):
        return () if match["property"] == "Partial pressure" else (_loinc_reading(match),)
    group: str | None = None
    cellfree = not {"serum", "plasma"}.isdisjoint(fold(text).split())
    if split := _SPLIT.match(text.strip()):
        words = set(fold(split["panel"]).split())
        group = specimen_group(split["panel"])
        if (
            words & _PANELS
            or fold(split["panel"]).replace(" ", "") in _JOINED
            or (group is not None and words <= _SPECIMENS | _LINKS | _NOISE | {"ua"})
        ):
            text = split["rest"].strip()
        else:
            return ()
    else:
        text = text.strip()
        if match := _NPU.match(text):
            text = match["rest"]
    found = [Reading(fold(text), group)] if split else []
    for pattern in (_SYSTEM_BEFORE, _SYSTEM_AFTER, _GERMAN_AFTER):
        if (match := pattern.match(text)) and (group is None or group == _SYSTEMS[match["system"]]):
            text, group = match["rest"].strip(), _SYSTEMS[match["system"]]
            cellfree |= match["system"] in ("P", "S")
            found.append(Reading(fold(text), group, measured=len(text) == 1))
            if len(text) == 1:  # "S-K": only its unit tells it from a letter of anything else
                return tuple(found)
    if match := _ABBREVIATED.match(text):
        text, group = match["rest"], group or "blood"
    if match := _BRACKETS.match(text):
        inner = fold(match["inner"]).split()
        if all(word in _METHODS or word in _NOISE or word in _SPECIMENS or word in _LINKS for word in inner):
            named = specimen_group(match["inner"])
            if named is not None and group is not None and named != group:
                return tuple(found)
            found += _stripped(match["outer"], group or named)
        else:
            found += [
                Reading(one.name, one.group, one.kind, " ".join(inner)) for one in _stripped(match["outer"], group)
            ]
    elif match := _SLASH.match(text):
        found.append(Reading(fold(match["one"]), group, None, fold(match["other"])))
    else:
        found += _stripped(text, group)
    return tuple(dict.fromkeys(one._replace(cellfree=cellfree) for one in found))


def _loinc_reading(match: re.Match[str]) -> Reading:
    kind: Kind | None = "10*9/L" if (match["property"] or "") == "#/volume" else None
    cellfree = "Blood" not in match["system"]
    measured = match["property"] not in (None, "Presence")
    group = specimen_group(match["system"])
    return Reading(fold(match["component"]), group, kind, cellfree=cellfree, measured=measured)


def _stripped(text: str, group: str | None) -> list[Reading]:
    """The name as it stands, then without what its ends add."""
    words = fold(text).split()
    made = [Reading(" ".join(words), group)]
    named = group
    kind: Kind | None = None
    if words[:1] == ["ua"] and len(words) > 1:
        if named not in (None, "urine"):
            return made
        words, named = words[1:], "urine"
        made.append(Reading(" ".join(words), named))
    elif words[-1:] == ["ua"] and len(words) > 1 and named in (None, "urine"):  # "Ketones, UA"
        words, named = words[:-1], "urine"
        made += [Reading(" ".join(("ua", *words)), named), Reading(" ".join(words), named)]
    untimed = any(specimen_group(word) == "urine" or word.startswith(("gluc", "sugar")) for word in words)
    changed = True
    while changed and len(words) > 1:
        changed = False
        for at in (0, -1):
            word = words[at]
            said: Kind | None = "%" if word in _PERCENT else "10*9/L" if word in _COUNT else None
            own = specimen_group(word) if word in _SPECIMENS else None
            if said is not None and kind in (None, said) and not (at == 0 and word == "count"):
                kind = said
            elif own is not None and named in (None, own):
                named = own
            elif word == "sr" and at == 0 and named in (None, "blood"):
                named = "blood"
            elif (word in _UNTIMED and not untimed) or (
                not (word in _NOISE if at == -1 else word in _BEFORE and word not in _SPECIMENS)
                and not (at == -1 and word in _LINKS and named is not None)
            ):
                continue
            del words[at]
            changed = True
            made.append(Reading(" ".join(words), named, kind))
            break
    return made
