"""Panels in one line: ``panel("creatinine@-24=1.0 creatinine=1.6 urine-nitrite=positive", age=60)``.

``analyte=value`` in the catalog's canonical unit (``5.1[mmol/L]`` in another), ``@hours`` relative to the panel's time
("@-24", "@1"), ``<`` or ``>`` before a number for a bound; an analyte without a unit, or a value that is no number, is
words ("_" for a blank). Intervals are the catalog's, or the laboratory's own as ``{low..high}``. ``#words`` is the comment.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from cds_service.clinical.assess import assess
from cds_service.domain import Finding, Findings
from fhir_adapter import catalog
from fhir_adapter.model import Answer, Coding, Intake, Panel, Patient, Quantity, ReferenceRange, Result, Sex
from fhir_adapter.normalize import normalize
from fhir_adapter.read import read
from tests.bundles import Json, bundle, observation

AT = datetime(2024, 6, 1, 8, 0, tzinfo=UTC)
_ONE = re.compile(
    r"(?P<analyte>[a-z0-9-]+)(?:@(?P<hours>-?[\d.]+))?=(?P<value>[^\[{#\s]+)(?:\[(?P<unit>[^\s]*?)\])?"
    r"(?:\{(?P<low>[\d.-]*?)\.\.(?P<high>[\d.]*)\})?(?:#(?P<comment>\S+))?\Z"
)


def panel(
    text: str,
    *,
    age: float = 45,
    sex: Sex | None = "female",
    pregnant: bool | None = None,
    height_cm: float | None = None,
    born_hours: float | None = None,
    **result: Any,
) -> Panel:
    """The panel that a line describes. ``born_hours``: the hour of birth, as many hours before the panel's time."""
    birth_time = None if born_hours is None else AT - timedelta(hours=born_hours)
    birth = (birth_time or AT - timedelta(days=age * 365.2425)).date()
    patient = Patient("Patient/p", sex, birth, pregnant, height_cm, birth_time)
    results = tuple(_result(index, one, result) for index, one in enumerate(text.split()))
    return normalize(Intake(patient, results, (), len(results)), catalog.load())


def found(text: str, **more: Any) -> Findings:
    """What the rules say of such a panel."""
    return assess(panel(text, **more))


def _result(index: int, text: str, more: dict[str, Any]) -> Result:
    match = _ONE.match(text)
    assert match, text
    analyte = catalog.load().analytes[match["analyte"]]
    raw = match["value"].replace("_", " ")
    number = re.fullmatch(r"([<>]=?)?(-?\d+(?:\.\d+)?)", raw)
    value: Quantity | Answer
    if number and analyte.unit is not None:
        unit = match["unit"] if match["unit"] is not None else analyte.unit
        value = Quantity(float(number[2]), unit, number[1] or None, number[2], unit)  # type: ignore[arg-type]
    elif number:
        value = Quantity(float(number[2]), match["unit"], number[1] or None, number[2], match["unit"])  # type: ignore[arg-type]
    else:
        value = Answer(raw)
    ranges: tuple[ReferenceRange, ...] = ()
    if match["low"] is not None:
        unit = value.unit if isinstance(value, Quantity) else None
        low = Quantity(float(match["low"]), unit) if match["low"] else None
        high = Quantity(float(match["high"]), unit) if match["high"] else None
        ranges = (ReferenceRange(low, high),)
    codings = (Coding("http://loinc.org", analyte.loinc[0]),) if analyte.loinc else ()
    return Result(
        f"Bundle.entry[{index}].resource",
        f"Observation/{index}",
        codings,
        None if codings else analyte.name(),
        value,
        effective=AT + timedelta(hours=float(match["hours"] or 0)),
        ranges=ranges,
        comments=(match["comment"].replace("_", " "),) if match["comment"] else (),
        **more,
    )


def series(*values: float, loinc: str = "2160-0", unit: str = "mg/dL", hours: int = 24) -> list[Json]:
    """Results of one test, ``hours`` apart."""
    start = datetime(2024, 3, 1, tzinfo=UTC)
    return [
        observation(
            f"s{n}", loinc, value, unit, 0.6, 1.2, effectiveDateTime=(start + timedelta(hours=hours * n)).isoformat()
        )
        for n, value in enumerate(values)
    ]


def sent(*observations: Json) -> tuple[Panel, Findings]:
    """What the rules say of Observations, read as they are sent."""
    made = normalize(read(bundle(*observations)), catalog.load())
    return made, assess(made)


def potassium(**more: Any) -> Finding:
    """The finding on a normal potassium with some elements otherwise (None: left out)."""
    made = observation("o", "2823-3", 4.0, "mmol/L", 3.5, 5.1) | more
    return sent({key: value for key, value in made.items() if value is not None})[1].results[0]
