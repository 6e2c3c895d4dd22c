"""Rule and model together: the floor holds, every result ends once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cds_service import policy
from cds_service.clinical.assess import assess
from cds_service.domain import ModelInfo, Thresholds, ground_of
from cds_service.inference.engine import SlotScores
from fhir_adapter import catalog
from fhir_adapter.normalize import normalize
from fhir_adapter.prompt import LABELS, render
from fhir_adapter.read import read
from tests.bundles import bundle, observation

PANEL = normalize(
    read(
        bundle(
            observation("k", "2823-3", 6.9, "mmol/L", 3.5, 5.1),
            observation("na", "2951-2", 140, "mmol/L", 135, 145),
            observation("crea", "2160-0", 3.4, "mg/dL"),
            observation("alt", "1742-6", 20, "U/L"),
            observation("ast", "1920-8", 48, "U/L"),
            observation("odd", "99999-9", 3, "wibble"),
            observation("bad", "2823-3", 410, "mmol/L"),
        )
    ),
    catalog.load(),
)
FOUND = assess(PANEL)
MODEL = ModelInfo("m", "1")

_weights = st.lists(st.floats(0.001, 1), min_size=len(LABELS), max_size=len(LABELS))
_scores = st.lists(_weights, min_size=len(PANEL.results), max_size=len(PANEL.results)).map(
    lambda rows: tuple(SlotScores(slot, tuple(w / sum(row) for w in row)) for slot, row in enumerate(rows))
)


@given(_scores, st.floats(0, 1))
def test_the_floor_holds_and_every_result_ends_once(scores: tuple[SlotScores, ...], threshold: float) -> None:
    verdict = policy.decide(PANEL, FOUND, scores, thresholds=Thresholds(threshold), model=MODEL, degraded=None)
    flags = {flag.subject.result.path: flag for flag in verdict.flags}
    missing = [entry.path for entry in verdict.not_assessed]
    assert sorted([*flags, *missing]) == sorted(placed.result.path for placed in PANEL.results)
    for finding in FOUND.results:
        path = PANEL.results[finding.index].result.path
        if finding.floor:
            assert flags[path].code == finding.code
        elif path in flags:
            assert not flags[path].critical
            position = PANEL.results[finding.index].position
            far = finding.code in ("L", "H") and position is not None and abs(position) > policy.FAR
            assert flags[path].abnormal == (far or scores[finding.index].abnormal >= threshold)
    implausible = PANEL.results[6].result.path
    assert implausible in missing


def _clear(slot: int) -> SlotScores:
    return SlotScores(slot, (1.0, *(0.0,) * (len(LABELS) - 1)))


def test_sources_are_told() -> None:
    scores = tuple(_clear(slot) for slot in range(len(PANEL.results)))
    verdict = policy.decide(PANEL, FOUND, scores, thresholds=Thresholds(), model=MODEL, degraded=None)
    said = {flag.subject.result.observation: (flag.code, flag.source) for flag in verdict.flags}
    assert said["Observation/k"] == ("HH", "rule")
    assert said["Observation/na"] == ("N", "both")
    assert said["Observation/crea"] == ("H", "rule")  # three times the usual limit
    assert said["Observation/ast"] == ("N", "model")
    assert said["Observation/odd"] == ("N", "model")


def test_a_model_flag_lies_on_the_side_of_its_value() -> None:
    low = SlotScores(3, (0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    scores = (*(_clear(slot) for slot in (0, 1, 2)), low, *(_clear(slot) for slot in (4, 5, 6)))
    verdict = policy.decide(PANEL, FOUND, scores, thresholds=Thresholds(), model=MODEL, degraded=None)
    (alt,) = [flag for flag in verdict.flags if flag.subject.result.observation == "Observation/alt"]
    assert alt.source == "model"
    assert alt.code == ("H" if (alt.subject.position or 0) > 0 else "L")
    assert alt.probability == 1.0


def test_scores_that_are_none_are_ignored_as_a_whole_and_said() -> None:
    whole = tuple(_clear(slot) for slot in range(len(PANEL.results)))
    nan = SlotScores(0, (float("nan"), *(0.0,) * 6))
    heavy = SlotScores(0, (0.9, 0.9, *(0.0,) * 5))
    short = SlotScores(0, (0.5, 0.5))
    bad = [
        (),
        whole[:-1],
        (*whole, _clear(99)),
        (*whole, _clear(0)),
        *((one, *whole[1:]) for one in (nan, heavy, short)),
    ]
    for scores in bad:
        verdict = policy.decide(PANEL, FOUND, scores, thresholds=Thresholds(), model=MODEL, degraded=None)
        assert verdict.degraded == policy.BAD_ANSWER
        assert verdict.model is None
        assert all(flag.probability is None for flag in verdict.flags)


def test_the_model_is_expected_to_answer_what_the_prompt_asks() -> None:
    """A descriptive result has no slot: a panel of nothing else is not a model that answered badly."""
    group = observation("u", "883-9", 0, "", valueString="O")
    del group["valueQuantity"]
    for observations in ((group,), (group, observation("na", "2951-2", 140, "mmol/L", 135, 145))):
        panel = normalize(read(bundle(*observations)), catalog.load())
        scores = tuple(_clear(slot.result) for slot in render(panel).slots)
        assert len(scores) == len(panel.results) - 1
        verdict = policy.decide(panel, assess(panel), scores, thresholds=Thresholds(), model=MODEL, degraded=None)
        assert (verdict.degraded, verdict.model) == (None, MODEL)


def test_a_pattern_of_normal_results_stands_until_the_model_clears_it() -> None:
    rising = normalize(
        read(
            bundle(
                observation("c1", "2160-0", 0.8, "mg/dL", 0.6, 1.2),
                observation("c2", "2160-0", 1.1, "mg/dL", 0.6, 1.2, effectiveDateTime="2024-03-02T08:00:00Z"),
            )
        ),
        catalog.load(),
    )
    verdict = policy.decide(rising, assess(rising), None, thresholds=Thresholds(), model=None, degraded=None)
    assert [flag.code for flag in verdict.flags] == ["N", "N"]
    assert [pattern.id for pattern in verdict.patterns] == ["aki"]


def test_each_ground_has_its_own_threshold() -> None:
    """A result with a usual interval, one with none, and one in words, all at P(abnormal) 0.4."""
    words = observation("u", "5802-4", 0, "", valueString="Positive")
    del words["valueQuantity"]
    panel = normalize(
        read(bundle(observation("alt", "1742-6", 20, "U/L"), observation("odd", "99999-9", 3, "wibble"), words)),
        catalog.load(),
    )
    assert [ground_of(placed) for placed in panel.results] == ["usual", "none", "words"]
    assert policy._asked(panel) == {0, 1, 2}
    scores = tuple(SlotScores(slot, (0.6, 0.4, *(0.0,) * (len(LABELS) - 2))) for slot in range(3))
    for ground, flagged in (("usual", 0), ("none", 1), ("words", 2)):
        thresholds = Thresholds(0.5, {ground: 0.4})
        verdict = policy.decide(panel, assess(panel), scores, thresholds=thresholds, model=MODEL, degraded=None)
        assert [flag.source in ("model", "both") and flag.abnormal for flag in verdict.flags] == [
            index == flagged for index in range(3)
        ]


def test_calling_a_number_inside_its_interval_abnormal_takes_more_than_keeping_the_rules_flag_outside() -> None:
    """Usual intervals, one of the laboratory's and none at all, P(abnormal) 0.52 everywhere."""
    panel = normalize(
        read(
            bundle(
                observation("alt", "1742-6", 20, "U/L"),
                observation("ast", "1920-8", 48, "U/L"),
                observation("k", "2823-3", 4.1, "mmol/L", 3.5, 5.1),
                observation("odd", "99999-9", 3, "wibble"),
            )
        ),
        catalog.load(),
    )
    scores = tuple(SlotScores(slot, (0.48, 0.0, 0.52, 0.0, 0.0, 0.0, 0.0)) for slot in range(4))

    def codes(thresholds: Thresholds) -> str:
        verdict = policy.decide(panel, assess(panel), scores, thresholds=thresholds, model=MODEL, degraded=None)
        found = {flag.subject.result.path: flag.code for flag in verdict.flags}
        return " ".join(found[placed.result.path] for placed in panel.results)

    assert codes(Thresholds(0.5)) == "H H L H"
    assert codes(Thresholds(0.5, inside=0.56)) == "N H N H"
    assert codes(Thresholds(0.5, inside=0.52)) == "H H L H"
    assert codes(Thresholds(0.6, inside=0.5)) == codes(Thresholds(0.6)) == "N N N N"
    assert codes(Thresholds(0.6, inside=0.7).at(0.5)) == "H H L H"


def test_the_model_clears_nothing_far_outside_an_interval() -> None:
    """An alanine transaminase of 60 may be normal somewhere; one of 200 is nowhere, whatever the model says. A usual high limit of some 40 U/L."""
    for value, code, source in ((60, "N", "model"), (200, "H", "rule")):
        panel = normalize(read(bundle(observation("alt", "1742-6", value, "U/L"))), catalog.load())
        verdict = policy.decide(panel, assess(panel), (_clear(0),), thresholds=Thresholds(), model=MODEL, degraded=None)
        assert [(flag.code, flag.source, flag.probability) for flag in verdict.flags] == [(code, source, 0.0)]
    for number, code in ((70, "N"), (45, "L")):  # a usual low limit of some 150: below a third of it nobody's lies
        panel = normalize(read(bundle(observation("plt", "777-3", number, "10*3/uL"))), catalog.load())
        verdict = policy.decide(panel, assess(panel), (_clear(0),), thresholds=Thresholds(), model=MODEL, degraded=None)
        assert [flag.code for flag in verdict.flags] == [code]
    potassium = normalize(read(bundle(observation("k", "2823-3", 3.3, "mmol/L"))), catalog.load())
    (placed,) = potassium.results
    assert placed.interval is not None
    far = replace(potassium, results=(replace(placed, number=2.9, position=-policy.FAR - 0.1),))
    for panel, code in ((potassium, "N"), (far, "L")):
        verdict = policy.decide(
            panel, assess(potassium), (_clear(0),), thresholds=Thresholds(), model=MODEL, degraded=None
        )
        assert [flag.code for flag in verdict.flags] == [code]


def test_bounds_and_ranges_are_a_ground_of_their_own() -> None:
    def measured(value: object, interval: bool = True) -> dict[str, object]:
        one = observation("d", "1742-6" if interval else "99999-9", 0, "U/L")
        del one["valueQuantity"]
        return one | (value if isinstance(value, dict) else {})

    more = {"valueQuantity": {"value": 60, "comparator": ">", "unit": "U/L"}}
    ranging = {"valueRange": {"low": {"value": 50, "unit": "U/L"}, "high": {"value": 60, "unit": "U/L"}}}
    for one, ground in (
        (measured(more), "bound"),
        (measured(ranging), "bound"),
        (measured(more, interval=False), "none"),
        (observation("d", "1742-6", 60, "U/L"), "usual"),
    ):
        panel = normalize(read(bundle(one)), catalog.load())
        assert [ground_of(placed) for placed in panel.results] == [ground]
        verdict = policy.decide(
            panel, assess(panel), (_clear(0),), thresholds=Thresholds(0.5, {"bound": None}), model=MODEL, degraded=None
        )
        if ground == "bound":
            assert [(flag.code, flag.source, flag.probability) for flag in verdict.flags] == [("H", "rule", None)]


def test_words_that_nobody_knows_are_a_ground_of_their_own() -> None:
    """A model that was taught words may read them; one that wasn't says nothing of "blargh", and the rule keeps what it knows."""

    def told(text: str, **more: object) -> dict[str, object]:
        one = observation("w", "5802-4", 0, "", valueString=text, **more)
        del one["valueQuantity"]
        return one

    expects = {"referenceRange": [{"text": "Blargh"}]}
    for one, ground in (
        (told("blargh"), "unread"),
        (told("1:640"), "unread"),
        (told("Positive"), "words"),
        (told("NEG"), "words"),
        (told("blargh", **expects), "words"),
    ):
        panel = normalize(read(bundle(one)), catalog.load())
        (placed,) = panel.results
        assert ground_of(placed) == ground
        score = SlotScores(0, (0.4, 0.0, 0.0, 0.6, 0.0, 0.0, 0.0))
        silent = Thresholds(0.5, {"unread": None})
        verdict = policy.decide(panel, assess(panel), (score,), thresholds=silent, model=MODEL, degraded=None)
        assert [entry.code for entry in verdict.not_assessed] == (
            [] if ground == "words" else [assess(panel).results[0].not_assessed.code]  # type: ignore[union-attr]
        )
    panel = normalize(read(bundle(told("blargh"))), catalog.load())
    verdict = policy.decide(panel, assess(panel), (score,), thresholds=Thresholds(0.5), model=MODEL, degraded=None)
    assert [(flag.code, flag.source) for flag in verdict.flags] == [("A", "model")]


def test_where_the_model_only_guesses_it_has_no_say() -> None:
    """The rule decides where it can; what nobody can judge stays not assessed, however sure the model is."""
    panel = normalize(
        read(bundle(observation("alt", "1742-6", 400, "U/L"), observation("odd", "99999-9", 3, "wibble"))),
        catalog.load(),
    )
    alt, odd = (placed.result.path for placed in panel.results)
    scores = (_clear(0), SlotScores(1, (0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0)))
    no_say = Thresholds(0.5, {"usual": None, "none": None})
    for thresholds in (no_say, no_say.at(0.3)):
        verdict = policy.decide(panel, assess(panel), scores, thresholds=thresholds, model=MODEL, degraded=None)
        assert [(flag.subject.result.path, flag.code, flag.source) for flag in verdict.flags] == [(alt, "H", "rule")]
        assert [entry.path for entry in verdict.not_assessed] == [odd]


def test_one_threshold_for_all_but_the_grounds_without_a_say() -> None:
    thresholds = Thresholds(0.5, {"site": 0.4, "none": None}, 0.6).at(0.3)
    assert thresholds == Thresholds(0.3, {"none": None})
