"""The one example format: a prompt as the service writes it, and what stands at each of its slots.

A line of NDJSON each. Whatever the source (MIMIC, FHIR bundles, feedback, the simulator), training and calibration read only this.
"""

from __future__ import annotations

import gzip
import hashlib
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec.structs import replace

from cds_service.clinical.interval import beyond
from cds_service.domain import ground_of
from fhir_adapter.model import Panel, PanelResult, Quantity, Span
from fhir_adapter.prompt import LABELS, chunks

Origin = Literal["flag", "interpretation", "feedback", "interval", "catalog", "simulated"]
"""Who says so: the laboratory's flag or interpretation, a clinician's feedback, the laboratory's interval, the catalog, the
simulator's truth."""

CASES = ("given", "site", "usual")
"""What the prompt shows of intervals: the laboratory's own; withheld, with the site's in its place; withheld, with the usual one."""

SHUFFLED = 0.4
"""Share of examples whose results stand in a random order; the others keep the laboratory's, as served."""

MAX_RESULTS = 40
"""Most results in one example, as many as the service puts into one prompt."""


class DataError(Exception):
    """Data that can't be trained on: names the file or field and what to do, never a value of a patient's."""


Shares = tuple[float, float]
"""Of all laboratories that could have sent a number, the share that would call it low, and high."""


class SlotLabel(msgspec.Struct, frozen=True, array_like=True):
    """One slot: its end in the prompt (characters), the label, who says so, the test, whether the result is a number, and what a
    judgement of it leans on (:data:`cds_service.domain.Ground`). ``shares``: where the interval is withheld and the laboratory invented, what
    training takes in place of one laboratory's word; calibration and every figure take the label."""

    end: int
    label: str
    origin: str
    test: str
    numeric: bool = True
    ground: str = "none"
    shares: Shares | None = None


class Example(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One prompt with its labels. ``group`` is a hash of the patient: all variants of one patient's results share it, and the
    split goes by it. ``age`` in years."""

    source: str
    group: str
    case: str
    version: str
    prompt: str
    slots: tuple[SlotLabel, ...]
    sex: str | None = None
    age: float | None = None


Told = tuple[str, Origin]
"""A label and who says so."""


def group_of(source: str, patient: str) -> str:
    """A name for a patient that doesn't tell who it is: 16 hex digits."""
    return hashlib.sha256(f"labcue\0{source}\0{patient}".encode()).hexdigest()[:16]


def raised(label: str, placed: PanelResult) -> str:
    """LL or HH for an L or H that lies past the critical limit that the prompt shows."""
    value = placed.result.value
    if label not in ("L", "H", "A") or placed.critical is None or not isinstance(value, Quantity | Span):
        return label
    past = beyond(value, placed.critical)
    return past if past is not None and label in ("A", past[0]) else label


def make(
    panel: Panel,
    told: Mapping[int, Told],
    *,
    source: str,
    group: str,
    case: str,
    shares: Mapping[int, Shares] | None = None,
    shuffle: random.Random | None = None,
    size: int = MAX_RESULTS,
) -> list[Example]:
    """The examples of a panel: prompts of at most ``size`` results. ``told`` maps a result's index in the panel to its label;
    results without one stand in the prompt but train nothing. ``shares``: as in :class:`SlotLabel`, by the same index. ``shuffle`` puts the results into another order first, so that no model leans on it."""
    order = list(range(len(panel.results)))
    if shuffle is not None:
        shuffle.shuffle(order)
        panel = replace(panel, results=tuple(panel.results[index] for index in order))
    ages = [placed.age_years for placed in panel.results if placed.age_years is not None]
    made = []
    for prompt in chunks(panel, size):
        slots = []
        for slot in prompt.slots:
            label = told.get(order[slot.result])
            if label is None:
                continue
            placed = panel.results[slot.result]
            numeric = isinstance(placed.result.value, Quantity | Span)
            slots.append(
                SlotLabel(
                    slot.end,
                    raised(label[0], placed),
                    label[1],
                    placed.series or "",
                    numeric,
                    ground_of(placed),
                    None if shares is None else shares.get(order[slot.result]),
                )
            )
        if slots:
            made.append(
                Example(
                    source=source,
                    group=group,
                    case=case,
                    version=prompt.version,
                    prompt=prompt.text,
                    slots=tuple(slots),
                    sex=panel.patient.sex,
                    age=max(ages, default=None),
                )
            )
    return made


def pieces(panel: Panel, chance: random.Random, most: int = MAX_RESULTS) -> Iterator[tuple[Panel, list[int]]]:
    """The panel in pieces of neighbouring results, each with its results' indices: half of them of ``most`` results, as the service asks
    of a long panel, the others of 1 to ``most``."""
    start = 0
    while start < len(panel.results):
        stop = min(start + (most if chance.random() < 0.5 else chance.randint(1, most)), len(panel.results))
        yield replace(panel, results=panel.results[start:stop]), list(range(start, stop))
        start = stop


def without_history(panel: Panel) -> Panel:
    """The same results as if each stood alone in time."""
    return replace(panel, results=tuple(replace(one, priors=(), newest=True) for one in panel.results))


_decoder = msgspec.json.Decoder(Example)
_encoder = msgspec.json.Encoder()


def read(file: Path) -> Iterator[Example]:
    """The examples of an .ndjson or .ndjson.gz file, one at a time.

    Raises:
        DataError: the file can't be read, or a line isn't an example; the text names the line.
    """
    number = 0
    try:
        with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                yield _checked(_decoder.decode(line), file, number)
    except OSError as error:
        raise DataError(f"{file}: can't be read ({error.strerror or 'damaged'})") from None
    except EOFError:
        raise DataError(f"{file}: ends in the middle of line {number + 1}; build the dataset again") from None
    except msgspec.DecodeError as error:
        raise DataError(f"{file}: line {number}: {error}") from None


def _checked(example: Example, file: Path, number: int) -> Example:
    for slot in example.slots:
        if slot.label not in LABELS:
            raise DataError(f"{file}: line {number}: {slot.label!r} is none of {', '.join(LABELS)}")
        if not 0 < slot.end <= len(example.prompt):
            raise DataError(f"{file}: line {number}: a slot lies outside its prompt")
    return example


def of_split(folder: Path, split: str, sources: Sequence[str] | None = None) -> list[Example]:
    """A split of a dataset, mixed over its sources, the same way each time.

    Raises:
        DataError: it can't be read, holds nothing of ``sources``, or has one class only.
    """
    found = [example for example in read(folder / f"{split}.ndjson.gz") if sources is None or example.source in sources]
    if not found:
        raise DataError(f"{folder}: the {split} split holds nothing of sources {', '.join(sources or ())}")
    if len({slot.label for example in found for slot in example.slots}) < 2:
        raise DataError(f"{folder}: the {split} split has one class only")
    return sorted(found, key=lambda one: hashlib.sha256(f"{one.group}{one.prompt}".encode()).digest())


def encode(example: Example) -> bytes:
    """One line, its end included."""
    return _encoder.encode(example) + b"\n"


def write(file: Path, examples: Iterable[Example]) -> int:
    """Writes a file of examples (.ndjson or .ndjson.gz); returns how many."""
    count = 0
    with gzip.open(file, "wb", compresslevel=5) if file.suffix == ".gz" else file.open("wb") as out:
        for example in examples:
            out.write(encode(example))
            count += 1
    return count


def weight(labels: Sequence[SlotLabel]) -> int:
    """How many slots of a list say that something is abnormal."""
    return sum(slot.label != "N" for slot in labels)
