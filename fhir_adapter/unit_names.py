"""What laboratories write for a unit, and the UCUM code of it.

A unit is read piece by piece ("THOU" over "uL"), so that spellings combine; ``WHOLE`` holds what doesn't come apart.
What isn't recognised stays unknown: it is never mapped to something that merely looks alike.
"""

from __future__ import annotations

import re

MAX_LENGTH = 40
"""Longer texts are not units."""

NOTHING = frozenset({"", "n/a", "na", "none", "null", "-", "--", "+/-", "unknown", "?", ".", "nil", "sans unite"})

WHOLE: dict[str, str] = {
    "1": "1",
    "ratio": "1",
    "rapport": "1",
    "index": "1",
    "indice": "1",
    "inr": "1",
    "{inr}": "1",
    "{ratio}": "1",
    "{index}": "1",
    "s/co": "{s_co_ratio}",
    "sco": "{s_co_ratio}",
    "{s_co_ratio}": "{s_co_ratio}",
    "units": "[pH]",
    "unit": "[pH]",
    "ph": "[pH]",
    "phunits": "[pH]",
    "phunit": "[pH]",
    "unitesph": "[pH]",
    "[ph]": "[pH]",
    "titer": "{titer}",
    "titre": "{titer}",
    "{titer}": "{titer}",
    "%": "%",
    "percent": "%",
    "pourcent": "%",
    "%hb": "%",
    "%hgb": "%",
    "%ofhgb": "%",
    "%oftotalhgb": "%",
    "%{hb}": "%",
    "%{hemoglobin}": "%",
    "g%": "g/dL",
    "gm%": "g/dL",
    "gms%": "g/dL",
    "mg%": "mg/dL",
    "mgs%": "mg/dL",
    "ug%": "ug/dL",
    "mcg%": "ug/dL",
    "mm/1sthr": "mm/h",
    "mm/1sthour": "mm/h",
    "mma1h": "mm/h",
    "mmalapremiereheure": "mm/h",
    "mmhg": "mm[Hg]",
    "mm[hg]": "mm[Hg]",
    "torr": "mm[Hg]",
    "kpa": "kPa",
    "hpa": "hPa",
    "cmh2o": "cm[H2O]",
    "cm[h2o]": "cm[H2O]",
    "degc": "Cel",
    "°c": "Cel",
    "cel": "Cel",
    "degf": "[degF]",
    "°f": "[degF]",
    "[degf]": "[degF]",
    "bpm": "/min",
    "gpl": "[GPL'U]",
    "mpl": "[MPL'U]",
    "[gpl'u]": "[GPL'U]",
    "[mpl'u]": "[MPL'U]",
    "log10copies/ml": "{Log_copies}/mL",
    "log10cop/ml": "{Log_copies}/mL",
    "logcopies/ml": "{Log_copies}/mL",
    "{log_copies}/ml": "{Log_copies}/mL",
    "log10iu/ml": "{Log_IU}/mL",
    "logiu/ml": "{Log_IU}/mL",
    "logui/ml": "{Log_IU}/mL",
    "{log_iu}/ml": "{Log_IU}/mL",
    "copies/ml": "{copies}/mL",
    "{copies}/ml": "{copies}/mL",
    "eu/dl": "{Ehrlich'U}/dL",
    "e.u./dl": "{Ehrlich'U}/dL",
    "ehrlichunits/dl": "{Ehrlich'U}/dL",
    "{ehrlich'u}/dl": "{Ehrlich'U}/dL",
    "au/ml": "[arb'U]/mL",
    "[arb'u]/ml": "[arb'U]/mL",
    "u/g/hb": "U/g{Hb}",
    "u/ghb": "U/g{Hb}",
    "u/g{hb}": "U/g{Hb}",
    "/100wbc": "/100{WBC}",
    "/100wbcs": "/100{WBC}",
    "/100leukocytes": "/100{WBC}",
    "/100leucocytes": "/100{WBC}",
    "#/100wbc": "/100{WBC}",
    "nrbc/100wbc": "/100{WBC}",
    "/100gb": "/100{WBC}",
    "/100{wbc}": "/100{WBC}",
    "/100{wbcs}": "/100{WBC}",
    "/100{leukocytes}": "/100{WBC}",
}
"""Folded text (lower case, no spaces) to UCUM."""

EXACT: dict[str, str] = {
    "G/L": "10*9/L",
    "T/L": "10*12/L",
    "M/L": "10*6/L",
    "Gpt/L": "10*9/L",
    "Tpt/L": "10*12/L",
    "Gpt/l": "10*9/L",
    "Tpt/l": "10*12/L",
    "G/l": "10*9/L",
    "T/l": "10*12/L",
    "MU/L": "",
    "MU/mL": "",
    "MU/ML": "",
}
"""Where the case decides: giga and tera particles. "MU" is mega to UCUM and milli to laboratories that shout: unknown."""

NOT_FOLDED = frozenset(
    {"S", "K", "A", "C", "N", "V", "T", "G", "F", "M", "J", "H", "D", "Mm", "Pm", "Mg", "MG", "Pg", "MS"}
)
"""Symbols of other units (siemens, kelvin, megagram); folding would make seconds or milligrams of them."""

_TOP: dict[str, str] = {
    "k": "10*3",
    "thou": "10*3",
    "thousand": "10*3",
    "thousands": "10*3",
    "th": "10*3",
    "tsd": "10*3",
    "milliers": "10*3",
    "m": "10*6",
    "mil": "10*6",
    "mill": "10*6",
    "mio": "10*6",
    "million": "10*6",
    "millions": "10*6",
    "giga": "10*9",
    "gpt": "10*9",
    "mrd": "10*9",
    "tera": "10*12",
    "tpt": "10*12",
    "#": "",
    "n": "",
    "nb": "",
    "no": "",
    "per": "",
    "count": "",
    "cells": "",
    "cell": "",
    "{cells}": "",
    "{#}": "",
    "cellules": "",
    "elements": "",
    "el": "",
    "elts": "",
    "wbc": "",
    "rbc": "",
    "leukocytes": "",
    "erythrocytes": "",
    "casts": "",
    "": "",
}
"""What may stand over a volume or a field as a count; "m/uL" is millions (as in MIMIC)."""

_VOLUMES = frozenset({"uL", "mL", "dL", "L", "nL", "fL", "mm3"})

PIECES: dict[str, str] = {
    "g": "g",
    "gm": "g",
    "gms": "g",
    "gr": "g",
    "gram": "g",
    "grams": "g",
    "gramme": "g",
    "grammes": "g",
    "kg": "kg",
    "mg": "mg",
    "mgs": "mg",
    "ug": "ug",
    "mcg": "ug",
    "mcgm": "ug",
    "ng": "ng",
    "pg": "pg",
    "fg": "fg",
    "mol": "mol",
    "mole": "mol",
    "moles": "mol",
    "mmol": "mmol",
    "mmole": "mmol",
    "mmoles": "mmol",
    "mmols": "mmol",
    "umol": "umol",
    "umole": "umol",
    "umoles": "umol",
    "mcmol": "umol",
    "micromol": "umol",
    "nmol": "nmol",
    "pmol": "pmol",
    "fmol": "fmol",
    "eq": "eq",
    "meq": "meq",
    "meqs": "meq",
    "mval": "meq",
    "ueq": "ueq",
    "l": "L",
    "liter": "L",
    "litre": "L",
    "dl": "dL",
    "100ml": "dL",
    "cl": "cL",
    "ml": "mL",
    "cc": "mL",
    "ul": "uL",
    "mcl": "uL",
    "microl": "uL",
    "mm3": "uL",
    "mm^3": "uL",
    "mm*3": "uL",
    "cumm": "uL",
    "cmm": "uL",
    "cu.mm": "uL",
    "nl": "nL",
    "pl": "pL",
    "fl": "fL",
    "um3": "fL",
    "um^3": "fL",
    "cumicrons": "fL",
    "m2": "m2",
    "u": "U",
    "mu": "mU",
    "uu": "uU",
    "ku": "kU",
    "units": "U",
    "unit": "U",
    "iu": "[IU]",
    "ui": "[IU]",
    "[iu]": "[IU]",
    "miu": "m[IU]",
    "mui": "m[IU]",
    "m[iu]": "m[IU]",
    "uiu": "u[IU]",
    "uui": "u[IU]",
    "mciu": "u[IU]",
    "u[iu]": "u[IU]",
    "kiu": "k[IU]",
    "kui": "k[IU]",
    "k[iu]": "k[IU]",
    "kat": "kat",
    "mkat": "mkat",
    "ukat": "ukat",
    "nkat": "nkat",
    "s": "s",
    "sec": "s",
    "sec.": "s",
    "secs": "s",
    "second": "s",
    "seconds": "s",
    "seconde": "s",
    "secondes": "s",
    "min": "min",
    "mn": "min",
    "minute": "min",
    "minutes": "min",
    "h": "h",
    "hr": "h",
    "hrs": "h",
    "hour": "h",
    "heure": "h",
    "1h": "h",
    "1hr": "h",
    "d": "d",
    "day": "d",
    "jour": "d",
    "j": "d",
    "24h": "d",
    "24hr": "d",
    "24hrs": "d",
    "24hours": "d",
    "24heures": "d",
    "(24.h)": "d",
    "mm": "mm",
    "cm": "cm",
    "um": "um",
    "osm": "osm",
    "mosm": "mosm",
    "mosmol": "mosm",
    "mosmole": "mosm",
    "kgh2o": "kg",
    "kgwater": "kg",
    "hpf": "[HPF]",
    "[hpf]": "[HPF]",
    "{hpf}": "[HPF]",
    "hp": "[HPF]",
    "champ": "[HPF]",
    "lpf": "[LPF]",
    "[lpf]": "[LPF]",
    "{lpf}": "[LPF]",
    "gcreat": "g{creat}",
    "gcr": "g{creat}",
    "gcreatinine": "g{creat}",
    "gdecreatinine": "g{creat}",
    "g{creat}": "g{creat}",
    "mgcreat": "mg{creat}",
    "mgcr": "mg{creat}",
    "mg{creat}": "mg{creat}",
    "mmolcreat": "mmol{creat}",
    "mmolcr": "mmol{creat}",
    "mmolcreatinine": "mmol{creat}",
    "mmoldecreatinine": "mmol{creat}",
    "mmol{creat}": "mmol{creat}",
    "molhb": "mol",
    "mol{hb}": "mol",
    "molhgb": "mol",
    "%": "%",
}
"""One piece of a unit, folded, to UCUM. "mm3" becomes "uL": the same volume."""

_POWER = re.compile(r"^[x*]?10(?:\^|\*\*|\*|e\+?|x|\()?(?P<power>3|6|9|12)\)?$")
_GFR = re.compile(r"^ml/min(?:/|per|pour)?[{(]?1[.,]73(?:_|\.|x)?(?:m\^?\*?2|sqm|mq|msq)?[})]?$")
_DIMER = re.compile(r"^(?P<unit>[^{]+/[^{]+?)(?:\{(?P<known>feu|ddu)\}|(?P<plain>feu|ddu))$")
_SUPERSCRIPT = str.maketrans({"²": "2", "³": "3", "⁶": "6", "⁹": "9", "¹": "1", "×": "x", "µ": "u", "μ": "u", "−": "-"})
_ACCENTS = str.maketrans("éèêàâîïôûç", "eeeaaiiouc")


def known_spelling(text: str) -> str | None:
    """UCUM code of a spelling known here; None for others.

    Returns "" where the text says that there is no unit ("N/A", "none").
    """
    plain = text.strip().translate(_SUPERSCRIPT)
    if (exact := EXACT.get(plain)) is not None:
        return exact
    if plain in NOT_FOLDED:
        return None
    folded = "".join(plain.lower().translate(_ACCENTS).split())
    if folded in NOTHING:
        return ""
    if (whole := WHOLE.get(folded)) is not None:
        return whole
    if _GFR.match(folded):
        return "mL/min/{1.73_m2}"
    if dimer := _DIMER.match(folded):
        inner = _pieces(dimer["unit"])
        return None if inner is None else f"{inner}{{{(dimer['known'] or dimer['plain']).upper()}}}"
    return _pieces(folded)


def _pieces(folded: str) -> str | None:
    if folded.startswith("per"):
        folded = f"/{folded[3:]}"
    top, *below = re.split(r"/|(?<=[a-z#])per(?=[a-z])", folded)
    bottom = [PIECES.get(piece) for piece in below]
    if not bottom:
        return PIECES.get(top)
    if None in bottom:
        return None
    under = "".join(f"/{piece}" for piece in bottom)
    if bottom[0] in _VOLUMES or bottom[0] in ("[HPF]", "[LPF]"):
        count = _count(top)
        if count is not None:
            return f"{count}{under}"
    first = PIECES.get(top)
    return None if first is None else f"{first}{under}"


def _count(top: str) -> str | None:
    top = re.sub(r"\{?(?:cells?|wbc|rbc|leuk|plt)\}?$", "", top) if top not in _TOP else top
    if top in _TOP:
        return _TOP[top]
    power = _POWER.match(top)
    return f"10*{power['power']}" if power else None
