"""People and what ails them: a panel as a laboratory sends it, and what a clinician should be told."""

from __future__ import annotations

from made.parts import (
    ANNA,
    BERT,
    BLOOD,
    CHEMISTRY,
    RANGE_MEANING,
    TESTS,
    Json,
    at,
    collection,
    observation,
    panel,
    patient,
    quantity,
    sct,
    text_range,
)


def normal() -> Json:
    return collection(ANNA, *panel("anna", CHEMISTRY | BLOOD))


def hyperkalaemia_aki() -> Json:
    values = CHEMISTRY | {"2823-3": 6.8, "2160-0": 3.4, "3094-0": 62, "1963-8": 17}
    before = observation("bert-before", "2160-0", 1.1, effectiveDateTime=at(1, 6))
    return collection(BERT, before, *panel("bert", values, effectiveDateTime=at(4, 6)))


def ketoacidosis() -> Json:
    young = patient("cleo", "female", "2004-11-02")
    acid = CHEMISTRY | {"2345-7": 512, "1963-8": 9, "2075-0": 98, "2951-2": 131, "2823-3": 5.6, "2744-1": 7.12}
    ketones = observation("cleo-ket", "5797-6", valueString="4+", referenceRange=text_range("Negative"))
    return collection(young, *panel("cleo", acid), ketones)


def microcytic_anaemia() -> Json:
    iron = BLOOD | {"718-7": 8.9, "4544-3": 28, "787-2": 68, "785-6": 21, "788-0": 18.9, "777-3": 460, "2276-4": 6}
    return collection(ANNA, *panel("anna", iron))


def sepsis() -> Json:
    septic = {"6690-2": 23.4, "751-8": 20.9, "777-3": 96, "2524-7": 4.6, "33959-8": 18.2, "1988-5": 287, "2160-0": 1.9}
    return collection(BERT, *panel("bert", septic))


def child() -> Json:
    dora = patient("dora", "female", "2020-02-11")
    alp = observation("dora-alp", "6768-6", valueQuantity=quantity(310, "U/L", "U/L"))
    kid = [
        observation(f"dora-{index}", code, valueQuantity=quantity(value, *TESTS[code][1:3]))
        for index, (code, value) in enumerate({"718-7": 12.4, "2160-0": 0.4, "2777-1": 5.1, "6690-2": 9.8}.items(), 1)
    ]
    return collection(dora, alp, *kid)


def newborn() -> Json:
    emil = patient("emil", "male", "2026-02-28")
    bili = observation("emil-bili", "1975-2", valueQuantity=quantity(9.8, "mg/dL", "mg/dL"))
    baby = [
        observation(f"emil-{index}", code, valueQuantity=quantity(value, *TESTS[code][1:3]))
        for index, (code, value) in enumerate({"718-7": 17.2, "2345-7": 58, "2823-3": 5.6}.items(), 1)
    ]
    return collection(emil, bili, *baby)


def pregnancy() -> Json:
    pregnant = observation("anna-preg", "82810-3", category=None, valueCodeableConcept=sct("77386006", "Pregnant"))
    anaemia = [
        observation(f"anna-{index}", code, valueQuantity=quantity(value, *TESTS[code][1:3]))
        for index, (code, value) in enumerate({"718-7": 11.2, "2160-0": 0.5, "3016-3": 2.1, "777-3": 190}.items(), 1)
    ]
    return collection(patient("anna", "female", "1994-06-14"), pregnant, *anaemia)


def trend() -> Json:
    series = [
        observation(f"bert-{code}-{day}", code, value, effectiveDateTime=at(day))
        for code, values in {"2160-0": (1.0, 1.3, 1.7, 2.4), "718-7": (13.9, 13.1, 12.2, 11.0)}.items()
        for day, value in enumerate(values, 2)
    ]
    return collection(BERT, *series, type="searchset")


def haemolysed_potassium() -> Json:
    spoiled = panel(
        "anna", {"2823-3": 6.1, "2951-2": 139, "2532-0": 512}, note=[{"text": "Specimen moderately hemolyzed."}]
    )
    return collection(ANNA, *spoiled)


def treated_inr() -> Json:
    target = [
        {
            "low": quantity(2.0, "", "1"),
            "high": quantity(3.0, "", "1"),
            "type": {"coding": [{"system": RANGE_MEANING, "code": "therapeutic"}]},
        }
    ]
    return collection(
        BERT,
        observation("bert-inr1", "6301-6", 2.4, referenceRange=target),
        observation("bert-inr2", "6301-6", 6.8, effectiveDateTime=at(9), referenceRange=target),
    )


def five_hundred() -> Json:
    series = []
    for number in range(500):
        code = list(CHEMISTRY | BLOOD)[number % 14]
        base = (CHEMISTRY | BLOOD)[code]
        value = round(base * (1 + 0.13 * (((number * 7919) % 101) / 50 - 1)), 1)
        when = f"2026-01-{1 + number // 28:02d}T{(number // 14 % 2) * 12 + 6:02d}:00:00+01:00"
        series.append(observation(f"anna-{number:03d}", code, value, effectiveDateTime=when))
    return collection(ANNA, *series, type="searchset")


EXAMPLES = {
    "01-normal": normal,
    "02-hyperkalaemia-aki": hyperkalaemia_aki,
    "03-ketoacidosis": ketoacidosis,
    "04-microcytic-anaemia": microcytic_anaemia,
    "05-sepsis": sepsis,
    "08-child": child,
    "09-newborn": newborn,
    "10-pregnancy": pregnancy,
    "13-trend": trend,
    "14-haemolysed-potassium": haemolysed_potassium,
    "29-treated-inr": treated_inr,
    "30-five-hundred": five_hundred,
}
"""File name → what makes its bundle."""
