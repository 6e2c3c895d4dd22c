"""For whom an interval is: what pregnancy and fasting change about a flag is said with it."""

from __future__ import annotations

from cds_service.clinical.show import unit_text
from cds_service.domain import Basis, Code, Said
from fhir_adapter.model import PanelResult, Patient
from fhir_adapter.scale import to_canonical


def bases(placed: PanelResult, code: Code | None, patient: Patient) -> tuple[Basis, ...]:
    """What the result's interval takes for granted of the patient or the sample."""
    if placed.interval is None or code is None:
        return ()
    found = []
    for about in placed.interval.about:
        if about != "fasting-unknown":
            found.append(Basis("context", Said(f"about-{about}")))
        elif code == "H" and (said := _by_fasting_alone(placed, patient)) is not None:
            found.append(said)
    return tuple(found)


def _by_fasting_alone(placed: PanelResult, patient: Patient) -> Basis | None:
    """That only the limit for fasting samples calls it high; None where the other limit does so, too."""
    analyte, scale = placed.analyte, to_canonical(placed)
    if analyte is None or scale is None:
        return None
    other = analyte.interval_for(sex=patient.sex, age_years=placed.age_years, pregnant=patient.pregnant, fasting=False)
    if other is None or other.fasting is not False or other.high is None:
        return Basis("context", Said("about-fasting-unknown"))
    if placed.canonical is None or placed.canonical > other.high:
        return None
    limit = (other.high - scale[1]) / scale[0]
    return Basis(
        "context",
        Said("about-fasting-alone", {"limit": f"{limit:.3g} {unit_text(placed)}".strip()}),
        citation=other.source,
    )
