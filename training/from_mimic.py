"""Examples from MIMIC-IV: each patient three times, with the laboratory's intervals, with the site's, and with the usual ones.

The site's intervals are learnt from training patients only. The label is the laboratory's own flag, its direction from the interval
that the row carries, whether or not the prompt shows it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from fhir_adapter.catalog import Catalog
from fhir_adapter.catalog.answers import meaning_of
from fhir_adapter.model import Panel, PanelResult
from fhir_adapter.normalize import normalize
from fhir_adapter.read import Limits, read
from fhir_adapter.site import Learner, Site
from training.examples import SHUFFLED, Example, Told, group_of, make, pieces, without_history
from training.mimic_iv import Options, Rendered, Truth, encode, render
from training.split import Split, split_of

SOURCE = "mimic-iv"
USUAL_SHARE = 0.3
"""Share of a training patient's pieces that is also shown with usual intervals. Every one would teach this hospital's limits as
if they were medicine; none would leave the lesson to invented laboratories alone."""
_LIMITS = Limits(max_bytes=64 * 1024 * 1024, max_observations=20_000)


@dataclass(frozen=True, slots=True)
class Judged:
    """One bundle as a panel, and what the laboratory said of each result."""

    group: str
    split: Split
    panel: Panel
    truth: dict[int, Truth]


def panels(
    source: Path, d_labitems: Path | None, catalog: Catalog, *, intervals: bool, site: Site | None = None
) -> Iterator[Judged]:
    """The patients of MIMIC-IV's layout as panels, streamed in bounded memory."""
    with closing(render(source, d_labitems, Options(with_intervals=intervals))) as rendered:
        for one in rendered:
            yield _judged(one, catalog, site)


def _judged(one: Rendered, catalog: Catalog, site: Site | None) -> Judged:
    panel = normalize(read(encode(one.bundle), limits=_LIMITS), catalog, site)
    group = group_of(SOURCE, one.subject)
    truth = {}
    for index, placed in enumerate(panel.results):
        said = one.truth.get(placed.result.observation.rpartition("/")[2])
        if said is not None:
            truth[index] = said
    return Judged(group, split_of(group), panel, truth)


def learn_site(source: Path, d_labitems: Path | None, catalog: Catalog, name: str = "mimic-iv") -> Site:
    """The hospital's own intervals, from its training patients."""
    learner = Learner()
    for judged in panels(source, d_labitems, catalog, intervals=True):
        if judged.split == "train":
            learner.add(judged.panel)
    return learner.site(name)


def examples(
    source: Path, d_labitems: Path | None, catalog: Catalog, *, seed: int = 1
) -> Iterator[tuple[Split, Example]]:
    """Every patient in each of :data:`training.examples.CASES`, in pieces of 1 to 40 results in random order; half of the pieces as if
    each result stood alone in time. Of training patients only USUAL_SHARE is shown with usual intervals."""
    site = learn_site(source, d_labitems, catalog)
    for case in ("given", "site", "usual"):
        chance = random.Random(f"{seed} {case}")
        own = site if case == "site" else None
        for judged in panels(source, d_labitems, catalog, intervals=case == "given", site=own):
            for piece, indices in pieces(judged.panel, chance):
                if case == "usual" and judged.split == "train" and chance.random() >= USUAL_SHARE:
                    continue
                shown = without_history(piece) if chance.random() < 0.5 else piece
                told = {}
                for at, index in enumerate(indices):
                    placed = judged.panel.results[index]
                    if (
                        index in judged.truth
                        and (label := told_of(judged.truth[index], placed, judged.split)) is not None
                    ):
                        told[at] = label
                order = chance if chance.random() < SHUFFLED else None
                for example in make(shown, told, source=SOURCE, group=judged.group, case=case, shuffle=order):
                    yield judged.split, example


def told_of(truth: Truth, placed: PanelResult, split: Split) -> Told | None:
    """The flag; nothing where it is silent on a number without an interval: this laboratory's flag rests on intervals. It flags "2+" and "LOW"
    at one time and not at another: of those that it left no lesson is drawn in training; figures count them."""
    if not truth.abnormal:
        if truth.numeric and not truth.interval:
            return None
        if split == "train" and meaning_of(placed) == "abnormal":
            return None
    return truth.code, "flag"
