"""Examples from MIMIC-III: no intervals at all, the laboratory's flag is the label. LABEVENTS is read as MIMIC-IV's labevents is."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from fhir_adapter.catalog import Catalog
from fhir_adapter.model import PanelResult
from fhir_adapter.normalize import normalize
from fhir_adapter.read import Limits, read
from training.examples import Example, Told, group_of, make, pieces, without_history
from training.mimic_iv import encode, loinc_map
from training.mimic_observation import Options, to_observation
from training.mimic_tables import COLUMNS, Row, SourceError, read_table
from training.split import Split, split_of

SOURCE = "mimic-iii"
_LIMITS = Limits(max_bytes=64 * 1024 * 1024, max_observations=100_000)


def examples(source: Path, catalog: Catalog, *, seed: int = 1) -> Iterator[tuple[Split, Example]]:
    """Every patient, shown with usual intervals. Rows flagged "delta" train nothing: that is a change, not a limit.

    Raises:
        SourceError: a table or a column is missing.
    """
    chance = random.Random(f"mimic-iii {seed}")
    items = {row["itemid"]: row for row in read_table(_table(source, "D_LABITEMS"), ("itemid", "label", "fluid"))}
    codes = loinc_map(_table(source, "D_LABITEMS"))
    genders = {
        row["subject_id"]: row for row in read_table(_table(source, "PATIENTS"), ("subject_id", "gender", "dob"))
    }
    for subject, rows in _by_subject(source):
        yield from _patient(subject, rows, genders.get(subject), items, codes, catalog, chance)


def _table(source: Path, name: str) -> Path:
    for suffix in (".csv.gz", ".csv"):
        if (file := source / f"{name}{suffix}").is_file():
            return file
    raise SourceError(f"there is no {name}.csv[.gz] in {source.name}")


def _by_subject(source: Path) -> Iterator[tuple[str, list[Row]]]:
    wanted = ("row_id", "subject_id", "itemid", "charttime", "value", "valuenum", "valueuom", "flag")
    groups: dict[str, list[Row]] = {}
    for row in read_table(_table(source, "LABEVENTS"), wanted):
        groups.setdefault(row["subject_id"], []).append(
            dict.fromkeys(COLUMNS, "") | row | {"labevent_id": row["row_id"]}
        )
    for subject in sorted(groups):
        yield subject, sorted(groups[subject], key=lambda row: (row["charttime"], row["row_id"].zfill(12)))


def _patient(
    subject: str,
    rows: list[Row],
    person: Row | None,
    items: dict[str, Row],
    codes: dict[str, str],
    catalog: Catalog,
    chance: random.Random,
) -> Iterator[tuple[Split, Example]]:
    patient = {"resourceType": "Patient", "id": subject}
    if person is not None:
        patient |= {
            "gender": {"F": "female", "M": "male"}.get(person["gender"], "unknown"),
            "birthDate": person["dob"][:10],
        }
    entries = [{"resource": patient}]
    flags = {}
    for row in rows:
        observation = to_observation(
            row, items.get(row["itemid"], {}), codes.get(row["itemid"]), f"Patient/{subject}", Options()
        )
        entries.append({"resource": observation})
        flags[row["labevent_id"]] = row["flag"]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    panel = normalize(read(encode(bundle), limits=_LIMITS), catalog)
    group = group_of(SOURCE, subject)
    for piece, _ in pieces(panel, chance):
        told = {}
        for at, placed in enumerate(piece.results):
            label = _label(flags.get(placed.result.observation.rpartition("/")[2], ""), placed)
            if label is not None:
                told[at] = label
        for example in make(without_history(piece), told, source=SOURCE, group=group, case="usual", shuffle=chance):
            yield split_of(group), example


def _label(flag: str, placed: PanelResult) -> Told | None:
    if flag == "delta":
        return None
    if flag != "abnormal":
        return "N", "flag"
    if placed.position is None or abs(placed.position) <= 1 or placed.number is None:
        return "A", "flag"
    return ("H" if placed.position > 0 else "L"), "flag"
