"""What kind of specimen a text names, in several languages."""

from __future__ import annotations

from functools import lru_cache

from fhir_adapter.folding import fold

_GROUPS: dict[str, str] = {
    "blood": "blood", "serum": "blood", "plasma": "blood", "sang": "blood", "arterial": "blood", "venous": "blood",
    "arteriel": "blood", "veineux": "blood", "capillary": "blood", "capillaire": "blood", "sanguin": "blood",
    "whole": "blood", "ser": "blood", "plas": "blood", "bld": "blood", "serique": "blood", "edta": "blood",
    "urine": "urine", "urines": "urine", "urinary": "urine", "ur": "urine", "urinaire": "urine", "miction": "urine",
    "csf": "csf", "spinal": "csf", "cerebrospinal": "csf", "lcr": "csf", "lcs": "csf", "cephalorachidien": "csf", "rachidien": "csf",
    "pleural": "fluid", "ascites": "fluid", "peritoneal": "fluid", "joint": "fluid", "synovial": "fluid",
    "fluid": "fluid", "ascite": "fluid", "liquide": "fluid", "dialysate": "fluid", "amniotic": "fluid",
    "stool": "stool", "feces": "stool", "selles": "stool", "fecal": "stool",
    "marrow": "marrow", "moelle": "marrow", "saliva": "saliva", "salive": "saliva", "sweat": "sweat",
    "suero": "blood", "siero": "blood", "soro": "blood", "sangre": "blood", "sangue": "blood", "blut": "blood", "bloed": "blood", "blod": "blood",
    "surowica": "blood", "krew": "blood", "wb": "blood", "bldv": "blood", "bldc": "blood", "blda": "blood", "serico": "blood", "plasmatique": "blood",
    "\u8840\u6e05": "blood", "\u8840\u6f3f": "blood", "\u5168\u8840": "blood", "\u8840\u6db2": "blood",
    "urin": "urine", "harn": "urine", "orina": "urine", "urina": "urine", "mocz": "urine", "urc": "urine", "ua": "urine", "urinario": "urine",
    "urinaires": "urine", "\u5c3f": "urine", "\u5c3f\u6db2": "urine", "\uc18c\ubcc0": "urine",
    "liquor": "csf", "\u9ac4\u6db2": "csf", "punktat": "fluid", "aszites": "fluid", "ascitis": "fluid", "liquido": "fluid", "punctaat": "fluid",
    "drain": "fluid", "drainage": "fluid", "drainflussigkeit": "fluid", "dialysat": "fluid", "dialysaat": "fluid", "effusion": "fluid",
    "aspirate": "fluid", "lavage": "fluid", "bile": "fluid", "bal": "fluid", "gastric": "fluid", "pus": "fluid", "abscess": "fluid", "wound": "fluid",
    "milk": "milk", "semen": "semen", "vitreous": "fluid", "cord": "cord", "umbilical": "cord", "nabelschnur": "cord",
    "stuhl": "stool", "heces": "stool", "fezes": "stool", "feci": "stool", "ontlasting": "stool", "kal": "stool", "faeces": "stool", "avforing": "stool",
    "sputum": "respiratory", "nasopharyngeal": "respiratory", "swab": "swab", "tissue": "tissue", "hair": "hair",
}  # fmt: skip
_FIRST = ("cord", "csf", "marrow", "urine", "stool", "fluid")
"""Where a text names several ("urine, not blood"; "bone marrow blood"), the first of these decides."""
_SNOMED: dict[str, str] = {
    "119297000": "blood", "119364003": "blood", "119361006": "blood", "258580003": "blood", "122552005": "blood",
    "122555007": "blood", "122554006": "blood", "122575003": "urine", "258574006": "urine", "258450006": "csf",
    "119339001": "stool", "119359002": "marrow", "418564007": "fluid", "309201001": "fluid",
}  # fmt: skip
_ENDINGS = (("urin", "urine"), ("harn", "urine"), ("blut", "blood"), ("punktat", "fluid"), ("stuhl", "stool"))
"""German joins: "Sammelurin", "Kapillarblut", "Pleurapunktat"."""


@lru_cache(maxsize=2048)
def specimen_group(text: str | None) -> str | None:
    """blood (serum and plasma too), urine, csf, fluid (of a body cavity), stool...; None where unknown."""
    if not text:
        return None
    words = fold(text).split()
    found = [group for word in words if (group := _GROUPS.get(word) or _SNOMED.get(word) or _joined(word))]
    return next((group for group in _FIRST if group in found), found[0] if found else None)


def _joined(word: str) -> str | None:
    return next((group for ending, group in _ENDINGS if word.endswith(ending)), None)


_VESSELS = {
    **dict.fromkeys(("arterial", "arteriel", "arterielles", "arterielle", "blda", "122552005"), "arterial"),
    **dict.fromkeys(("venous", "veineux", "venoses", "venose", "veneus", "venoso", "bldv", "122555007"), "venous"),
    **dict.fromkeys(
        ("capillary", "capillaire", "kapillarblut", "capillair", "capilar", "bldc", "122554006"), "capillary"
    ),
}


@lru_cache(maxsize=2048)
def vessel(text: str | None) -> str | None:
    """arterial, venous or capillary, where a text names just one of them."""
    if not text:
        return None
    found = {where for word in fold(text).split() if (where := _VESSELS.get(word))}
    return found.pop() if len(found) == 1 else None
