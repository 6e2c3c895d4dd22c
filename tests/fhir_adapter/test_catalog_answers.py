"""Answers in words: what they mean, in two languages and three code systems; a negation is never a finding."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_adapter.catalog.answers import classify, immunity
from fhir_adapter.model import Coding

NORMAL = [
    "Negative", "NEG", "neg.", "Not detected", "NOT DETECTED (see below)", "None", "None seen", "Normal", "Non-reactive", "Nonreactive",
    "non reactive", "No growth", "No growth after 5 days", "Absent", "négatif", "Négative", "absence", "Absence de germes", "non détecté",
    "Culture stérile", "-", "NEG.  POSITIVE TRICYCLIC RESULTS represent potentially toxic levels.", "Undetectable", "Not present",
    "No organisms seen", "NORMAL.  MANUAL.", "No HCV RNA detected", "no MRSA isolated", "No malaria parasites present", "No parasites seen",
    "Absence of growth", "No evidence of growth", "Target not detected", "TND", "non reagente", "negativ", "nicht nachweisbar", "Kein Nachweis von Erregern", "Keine Bakterien nachweisbar", "Neg x 3", "Negative (not reactive)", "no blasts", "Keine Blasten", "Malignant cells: none seen", "No evidence of recurrent carcinoma", "No schistocytes or blasts seen", "NEGATIVE.  FOLLOW-UP OF POSITIVES: SEND SERUM.", "negativní", "üreme olmadı", "αρνητικό", "kein Wachstum", "niet aantoonbaar",
    "no reactivo", "No se detecta", "Sin crecimiento", "Não reagente", "Não houve crescimento bacteriano", "non rilevato", "assenti", "ujemny",
    "nie wykryto", "ikke påvist", "陰性", "阴性(-)", "음성",
]  # fmt: skip
ABNORMAL = [
    "Positive", "POS", "Detected", "Reactive", "Growth", "1+", "2+", "3 +", "+", "++++", "TRACE", "TR", "FEW", "MODERATE", "MANY", "RARE",
    "OCCASIONAL", "OCC", "positif", "Présence", "présence de nitrites", "traces", "nombreuses", "POS*.  PRESUMPTIVE (UNCONFIRMED)",
    "Growth of Escherichia coli", "Large (3+)", "30 mg/dL (1+)", "1+ mg/dL", "three plus", "Positive (IgG 2+, C3d negative)", "slightly raised", "stark erhöht", "Schistocytes 2+", "Invasive ductal carcinoma, HER2 negative", "Microcytic hypochromic red cells, no schistocytes", "N. gonorrhoeae detected", "above normal", "pozitivní", "saptandı", "θετικό", "Weakly positive", "1+*.", "+/-", "VERY LOW*.",
    "Gram negative rods", "Gram-positive cocci in clusters", "Bacilles à Gram négatif", "(1+)", "(±)", "1+ (30 mg/dL)", "HI", "positiv", "schwach positiv", "nachgewiesen", "Nachweis von MRSA", "aantoonbaar", "Positivo", "Reactivo",
    "Reagente 1/8", "Traços", "presenti", "dodatni", "陽性", "阳性(+)", "양성",
]  # fmt: skip
UNKNOWN = [
    "",
    "banana",
    "A+ student",
    "pos or neg pending",
    "x" * 500,
    "Escherichia coli",
    "Yes and no but maybe",
    "N. meningitidis",
    "Normal?",
    "Adenocarcinoma negative for EGFR mutation",
    "Blasts, not seen",
    "Carcinoma, negative",
    "No blasts. Schistocytes 2+",
    "No growth, final - Gram negative rods",
    "Probably normal",
    "Normal, except raised leucocytes",
    "Suspicious for malignancy",
    "Malignancy cannot be excluded",
    "No Salmonella isolated. Campylobacter jejuni isolated",
    "No definite malignant cells, atypical cells present",
    "No organisms seen, many leucocytes",
    "Hyperplastic polyp, no dysplasia",
    "Negative, sample haemolysed",
    "ND",
    "No specimen identified",
    "Keine weiteren Bakterien nachweisbar",
    # A negation whose words aren't known is no finding.
    "non présent",
    "pas détecté hier",
    "without growth",
    "No predominant growth",
    "No other pathogens isolated",
    "no reaction, present from birth",
    "no se han detectado virus",
    "niet duidelijk positief",
    "positive; negative control failed but see report",
]


@pytest.mark.parametrize("text", NORMAL)
def test_normal(text: str) -> None:
    assert classify(text) == "normal"


@pytest.mark.parametrize("text", ABNORMAL)
def test_abnormal(text: str) -> None:
    assert classify(text) == "abnormal"


@pytest.mark.parametrize(
    "text",
    [
        "HOLD.  DISCARD GREATER THAN 4 HOURS OLD.",
        "Not done",
        "ART.",
        "Indeterminate",
        "UNABLE TO REPORT",
        "Yellow",
        "N/A",
        "hämolytisch",
        "Material fehlt",
        "Rh positive",
        "Rh D Positief",
        "RhD positive",
        "O Rh neg",
        "AB positive",
    ],
)
def test_descriptive(text: str) -> None:
    assert classify(text) == "descriptive"


@pytest.mark.parametrize("text", UNKNOWN[:-1])
def test_unknown(text: str) -> None:
    assert classify(text) is None


@pytest.mark.parametrize("finding", ["detected", "reactive", "seen", "present", "identified", "isolated"])
def test_negations_never_read_as_findings(finding: str) -> None:
    assert classify(f"not {finding}") == "normal"
    assert classify(f"NOT {finding.upper()}") == "normal"


@pytest.mark.parametrize(
    ("system", "code", "meaning"),
    [
        ("http://snomed.info/sct", "10828004", "abnormal"),
        ("http://snomed.info/sct", "260385009", "normal"),
        ("http://snomed.info/sct", "260373001", "abnormal"),
        ("http://snomed.info/sct", "260415000", "normal"),
        ("http://snomed.info/sct", "11214006", "abnormal"),
        ("http://snomed.info/sct", "131194007", "normal"),
        ("http://terminology.hl7.org/CodeSystem/v2-0136", "Y", "abnormal"),
        ("http://terminology.hl7.org/CodeSystem/v2-0136", "N", "normal"),
        ("http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation", "POS", "abnormal"),
        ("http://example.org/local", "10828004", None),
    ],
)
def test_codes(system: str, code: str, meaning: str | None) -> None:
    assert classify("", (Coding(system, code),)) == meaning


def test_codes_go_before_text_and_contradictions_give_nothing() -> None:
    positive, negative = Coding("http://snomed.info/sct", "10828004"), Coding("http://snomed.info/sct", "260385009")
    assert classify("Negative", (positive,)) == "abnormal"
    assert classify("", (positive, negative)) is None
    assert classify("", (Coding("urn:local", "1", "Not detected"),)) == "normal"


@given(st.text(max_size=300))
def test_any_text_is_answered(text: str) -> None:
    assert classify(text) in {"normal", "abnormal", "descriptive", None}


@given(st.sampled_from(ABNORMAL + NORMAL), st.sampled_from([str.upper, str.lower, str.title]))
def test_case_does_not_matter(text: str, change: object) -> None:
    assert callable(change)
    assert classify(change(text)) == classify(text)


@pytest.mark.parametrize(
    ("code", "meaning"),
    [("LA6577-6", "normal"), ("LA11883-8", "normal"), ("LA6576-8", "abnormal"), ("LA15255-5", "abnormal")],
)
def test_loincs_own_answers(code: str, meaning: str) -> None:
    assert classify("", (Coding("http://loinc.org", code, None),)) == meaning


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("Immune", "normal"),
        ("Reactive: consistent with immunity", "normal"),
        ("Not immune", "abnormal"),
        ("No evidence of immunity", "abnormal"),
        ("Immunity cannot be confirmed", None),
        ("Immune or not immune", None),
        ("Positive", None),
    ],
)
def test_immunity_in_words(text: str, meaning: str | None) -> None:
    assert immunity(text) == meaning
