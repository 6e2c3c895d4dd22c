"""Samples that mislead: by their own index or by what a comment says."""

from __future__ import annotations

import re

from cds_service.clinical.patterns.spec import Hit, Rule, Spec
from cds_service.clinical.seen import Seen
from cds_service.clinical.taint import haemolysed

_CLUMPS = re.compile(
    r"\b(?:platelet|plt|plaquett\w*)[^.;]{0,30}(?:clump|aggregat|agrégat|agregat|satellit)|"
    r"\b(?:clump|aggregat|agrégat|agregat)\w*[^.;]{0,20}(?:platelet|plaquett)|\bfibrin (?:strand|clot)|\bclotted\b|\bcaillot",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"\b(?:no|not|without|pas|sans|absence|aucun)\b[^.;]{0,20}(?:clump|aggregat|agrégat|agregat)", re.IGNORECASE
)


def spoiled(seen: Seen, analyte: str) -> bool:
    """Whether a result's sample is called haemolysed, by comment or index."""
    index = seen.index(analyte)
    return index is not None and (
        haemolysed(seen.panel.results[index])
        or any(basis.said.key == "haemolysed" for basis in seen.findings[index].basis)
    )


def haemolysed_potassium(seen: Seen, spec: Spec) -> Hit | None:
    """A potassium above its interval on a haemolysed sample."""
    if seen.code("potassium") not in ("H", "HH") or not spoiled(seen, "potassium"):
        return None
    return Hit(seen, members=("potassium",))


def platelet_clumps(seen: Seen, spec: Spec) -> Hit | None:
    """A low platelet count with a comment on clumps."""
    index = seen.index("platelets")
    if index is None or seen.code("platelets") not in ("L", "LL"):
        return None
    comments = seen.panel.results[index].result.comments
    if not any(_CLUMPS.search(one) and not _DENIED.search(one) for one in comments):
        return None
    return Hit(seen, members=("platelets",))


RULES: dict[str, Rule] = {"haemolysed-potassium": haemolysed_potassium, "platelet-clumps": platelet_clumps}
