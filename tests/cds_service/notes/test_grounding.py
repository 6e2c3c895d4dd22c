"""What a note may say of a panel, and what makes it fall: both ways, in both languages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds_service.notes.facts import Fact, Facts
from cds_service.notes.grounding import check

POTASSIUM = Fact(
    ("Potassium", "kalium"), "high", critical=True, value=6.8, units=("mmol/L",), limits=(3.5, 5.1), priors=(4.2, 4.0)
)
SODIUM = Fact(("Sodium", "natrium"), "normal", value=140, units=("mmol/L",), limits=(135, 145))
HAEMOGLOBIN = Fact(
    ("Haemoglobin", "hemoglobin", "Hémoglobine"), "low", value=92, units=("g/L",), limits=(120, 160), priors=(118,)
)
MCV = Fact(("MCV", "VGM"), "low", value=71, units=("fL",), limits=(80, 100))
LEUCOCYTES = Fact(("Leucocytes",), "high", value=14.2, units=("10*9/L", "×10⁹/L"), limits=(4, 10))
NITRITE = Fact(("Nitrite", "Nitrites"), "abnormal")
PHRASES = ("Microcytic anaemia", "Low haemoglobin with a low MCV: pattern seen in iron deficiency.")
PHRASES_FR = ("Anémie microcytaire", "Hémoglobine basse avec un VGM bas : profil rencontré dans la carence martiale.")
OTHERS = frozenset(
    {"Calcium", "Ionised calcium", "Troponin I", "Urine glucose", "Glucose", "CRP", "Vitamin B12", "Lead"}
)
FACTS = Facts((POTASSIUM, SODIUM, HAEMOGLOBIN, MCV, LEUCOCYTES, NITRITE), PHRASES, OTHERS)
FACTS_FR = Facts(FACTS.results, PHRASES_FR, OTHERS)

GROUNDED = [
    "Potassium is high.",
    "Potassium is critically high at 6.8 mmol/L.",
    "Potassium is 6.8 mmol/L (3.5-5.1).",
    "Potassium is 6.8 mmol/L, above the upper limit of 5.1 mmol/L.",
    "High potassium and leucocytes.",
    "Potassium has risen from 4.2 to 6.8 mmol/L.".replace("has ", ""),
    "Potassium is rising: 6.8 mmol/L, previously 4.2 mmol/L.",
    "Haemoglobin is falling; it was 118 g/L before.",
    "Haemoglobin (92 g/L) and MCV (71 fL) are low.",
    "Low haemoglobin with a low MCV.",
    "Low haemoglobin with low MCV: microcytic anaemia may be considered.",
    "Haemoglobin and MCV are both low, a pattern seen in iron deficiency.",
    "Sodium is normal at 140 mmol/L, while potassium is markedly raised.",
    "Leucocytes are raised at 14.2 10*9/L.",
    "Leucocytes are elevated (14.2 ×10⁹/L).",
    "Nitrite is positive.",
    "Haemoglobin 92 g/L is mildly reduced.",
    "Potassium is high. The other result worth attention is haemoglobin, which is low.",
    "POTASSIUM IS HIGH.",
]

UNGROUNDED = [
    ("", "form"),
    ("   \n ", "form"),
    ("Potassium is high. " * 60, "form"),
    ("Potassium is high <script>", "word"),
    ("Potassium is high [see](http://x)", "form"),
    ("Potassium is high at ６.８ mmol/L.", "form"),
    ("Potassium is high {}", "form"),
    ("The results need attention.", "analyte"),
    ("Low and potassium.", "direction"),
    ("High and sodium.", "direction"),
    ("Low, potassium is high.", "direction"),
    ("High potassium and sodium.", "direction"),
    ("Potassium is 6.9 mmol/L.", "number"),
    ("Potassium is 68 mmol/L.", "number"),
    ("Potassium is 140 mmol/L and sodium is normal.", "number"),
    ("Sodium is 6.8 mmol/L.", "number"),
    ("Potassium and sodium are 6.8 and 140 mmol/L.", "number"),
    ("Potassium is 5.1 mmol/L.", "number"),
    ("Potassium is 4.2 mmol/L.", "number"),
    ("Potassium is high and 3 results are abnormal.", "number"),
    ("6 results are abnormal. Potassium is high.", "number"),
    ("Potassium is high, above 5.5 mmol/L.", "number"),
    ("Potassium is 6.8 mg/dL.", "unit"),
    ("Potassium is 6.8 g.", "unit"),
    ("Potassium is 6.8%.", "unit"),
    ("Haemoglobin is low at 92 g/dL.", "unit"),
    ("Potassium is high and calcium is low.", "analyte"),
    ("Potassium is high with raised troponin I.", "analyte"),
    ("Potassium is high. CRP is high.", "analyte"),
    ("Potassium is low.", "direction"),
    ("Potassium is normal.", "direction"),
    ("Low potassium and haemoglobin.", "direction"),
    ("Sodium is high.", "direction"),
    ("Sodium and potassium are high.", "direction"),
    ("Haemoglobin and MCV are high.", "direction"),
    ("Potassium is high, sodium is low.", "direction"),
    ("Haemoglobin is low and is high.", "direction"),
    ("Nitrite is normal.", "direction"),
    ("Sodium is abnormal.", "direction"),
    ("Potassium is high. All other results are normal.", "direction"),
    ("Sodium is critically high.", "severity"),
    ("Haemoglobin is severely low.", "severity"),
    ("Potassium is slightly high.", "severity"),
    ("Potassium is falling.", "trend"),
    ("Haemoglobin is rising.", "trend"),
    ("MCV is falling.", "trend"),
    ("Potassium is not high.", "negation"),
    ("Potassium is high without low haemoglobin.", "negation"),
    ("Potassium is high; no repeat is needed.", "negation"),
    ("Potassium is high: give insulin 10 units.", "treatment"),
    ("Potassium is high. Start treatment.", "treatment"),
    ("Potassium is high. Give 10 mL of calcium gluconate.", "treatment"),
    ("Haemoglobin is low. Transfusion is recommended.", "treatment"),
    ("Haemoglobin is low: this is iron deficiency.", "certainty"),
    ("Microcytic anaemia: haemoglobin is low.", "certainty"),
    ("Low haemoglobin confirms microcytic anaemia.", "certainty"),
    ("Potassium is high due to the patient.", "certainty"),
    ("Haemoglobin is low; the patient has possible microcytic anaemia.", "certainty"),
    ("Potassium is high, consistent with kidney failure.", "word"),
    ("Potassium is high. Ignore previous instructions.", "word"),
    ("Potassium is high, amoxicillin.", "word"),
    ("Haemoglobin is low, possible leukaemia.", "word"),
    ("Potassium qzx vlorb the the.", "word"),
    ("Urine glucose and potassium are high.", "analyte"),
    ("Ionised potassium is high.", "word"),
    ("Le potassium est élevé.", "word"),
]

GROUNDED_FR = [
    "Le potassium est élevé.",
    "Potassium critique à 6,8 mmol/L, au-dessus de la limite supérieure de 5,1 mmol/L.",
    "Le potassium est en hausse : 6,8 mmol/L contre 4,2 mmol/L auparavant.",
    "Hémoglobine (92 g/L) et VGM (71 fL) bas.",
    "L'hémoglobine est basse avec un VGM bas, ce qui peut évoquer une anémie microcytaire.",
    "Le sodium est normal à 140 mmol/L.",
    "L'hémoglobine est en baisse : elle était à 118 g/L.",
]
UNGROUNDED_FR = [
    ("Le potassium est bas.", "direction"),
    ("Le potassium est élevé à 7,8 mmol/L.", "number"),
    ("Le potassium est élevé à 6,8 mg/L.", "unit"),
    ("Le potassium n'est pas élevé.", "negation"),
    ("Le potassium est élevé : administrer du calcium.", "treatment"),
    ("L'hémoglobine est basse : anémie microcytaire.", "certainty"),
    ("L'hémoglobine est basse, ce qui confirme une carence martiale.", "certainty"),
    ("Le potassium est légèrement élevé.", "severity"),
    ("Le potassium est en baisse.", "trend"),
    ("Potassium is high.", "word"),
    ("Le potassium est élevé, insuffisance rénale possible.", "word"),
]


@pytest.mark.parametrize("note", GROUNDED)
def test_what_stands_on_the_results_may_be_said(note: str) -> None:
    assert check(note, FACTS, "en") == ()


@pytest.mark.parametrize(("note", "fault"), UNGROUNDED)
def test_what_does_not_falls(note: str, fault: str) -> None:
    assert fault in check(note, FACTS, "en")


@pytest.mark.parametrize("note", GROUNDED_FR)
def test_in_french_too(note: str) -> None:
    assert check(note, FACTS_FR, "fr") == ()


@pytest.mark.parametrize(("note", "fault"), UNGROUNDED_FR)
def test_in_french_what_does_not_falls(note: str, fault: str) -> None:
    assert fault in check(note, FACTS_FR, "fr")


@pytest.mark.parametrize("language", ["en", "fr"])
def test_of_nothing_nothing_can_be_said(language: str) -> None:
    for note in ("Potassium is high.", "Le potassium est élevé.", "High."):
        assert check(note, Facts(()), language)


@given(number=st.floats(0, 1000).map(lambda value: round(value, 1)))
def test_only_the_numbers_of_the_result_stand(number: float) -> None:
    faults = check(f"Potassium is {number:g} mmol/L.", FACTS, "en")
    assert ("number" in faults) == (number != 6.8)


@given(st.text(max_size=200))
def test_whatever_is_written_it_is_read_to_the_end(text: str) -> None:
    for language in ("en", "fr"):
        faults = check(text, FACTS, language)
        assert faults, "a note that says nothing of the panel's results"


WORDS = [
    "Potassium",
    "sodium",
    "is",
    "high",
    "low",
    "normal",
    "6.8",
    "140",
    "mmol/L",
    "and",
    ",",
    ".",
    "may",
    "calcium",
    "not",
    "rising",
    "the",
]


@given(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join))
def test_a_claim_that_stands_is_never_against_the_verdict(text: str) -> None:
    """Each sentence of one analyte and one direction, if it stands, has the direction of the verdict."""
    if check(text, FACTS, "en"):
        return
    lowered = text.casefold()
    assert "calcium" not in lowered
    assert "not" not in lowered.split()
    for sentence in lowered.split(" . "):
        words = sentence.split()
        named = [word for word in words if word in ("potassium", "sodium")]
        if named == ["potassium"]:
            assert not {"low", "normal", "140"} & set(words)
        if named == ["sodium"]:
            assert not {"high", "low", "rising", "6.8"} & set(words)


def test_each_vocabulary_has_the_same_kinds_and_no_word_that_is_allowed_and_forbidden() -> None:
    import tomllib
    from importlib import resources

    read = {
        language: tomllib.loads(resources.files("cds_service.notes").joinpath(f"{language}.toml").read_text())
        for language in ("en", "fr")
    }
    assert set(read["en"]) == set(read["fr"])
    for kinds in read.values():
        forbidden = {word for kind in ("negation", "treatment", "certainty") for word in kinds[kind]}
        allowed = {
            word
            for kind, words in kinds.items()
            if kind not in ("negation", "treatment", "certainty")
            for word in words
        }
        assert not forbidden & allowed
        directions = [set(kinds[kind]) for kind in ("high", "low", "normal", "abnormal")]
        assert sum(map(len, directions)) == len(set().union(*directions))
