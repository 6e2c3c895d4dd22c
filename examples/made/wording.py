"""How laboratories write values, units and intervals."""

from __future__ import annotations

from made.parts import (
    ANNA,
    BERT,
    LOINC,
    RANGE_MEANING,
    TESTS,
    UCUM,
    Json,
    at,
    collection,
    interpreted,
    observation,
    patient,
    quantity,
    sct,
    text_range,
)


def mixed_units() -> Json:
    si = [
        ("14749-6", "Glucose [Moles/volume] in Serum or Plasma", 12.4, "mmol/L", "mmol/L", 3.9, 5.5),
        ("14682-9", "Creatinine [Moles/volume] in Serum or Plasma", 71, "µmol/L", "umol/L", 45, 84),
        ("718-7", "Hemoglobin [Mass/volume] in Blood", 131, "g/L", "g/L", 120, 160),
        ("6690-2", "Leukocytes [#/volume] in Blood by Automated count", 5.1, "G/L", "10*9/L", 4.0, 10.0),
        ("777-3", "Platelets [#/volume] in Blood by Automated count", 88, "x10E9/L", "10*9/L", 150, 400),
    ]
    mixed = [
        observation(
            f"anna-si{index}",
            code,
            code={"coding": [{"system": LOINC, "code": code, "display": name}]},
            valueQuantity={"value": value, "unit": unit, "system": UCUM, "code": ucum},
            referenceRange=[{"low": {"value": low, "unit": unit}, "high": {"value": high, "unit": unit}}],
        )
        for index, (code, name, value, unit, ucum, low, high) in enumerate(si, 1)
    ]
    odd = observation(
        "anna-odd",
        "2345-7",
        effectiveDateTime=at(3),
        valueQuantity={"value": 88, "unit": "mg/dl"},
        referenceRange=[{"low": {"value": 3.9, "unit": "mmol/L"}, "high": {"value": 5.5, "unit": "mmol/L"}}],
    )
    # Unit strings that are no UCUM, without a code, as many laboratories send them; the day after.
    loose = [
        ("2951-2", 133, "mEq/L", 136, 145),
        ("2823-3", 4.4, "mEq/L", 3.5, 5.1),
        ("6690-2", 5.4, "K/uL", 4.0, 11.0),
        ("777-3", 95, "THOU/uL", 150, 400),
        ("1920-8", 31, "IU/L", 10, 40),
        ("5821-4", 3, "#/hpf", 0, 5),
    ]
    conventional = [
        observation(
            f"anna-us{index}",
            code,
            effectiveDateTime=at(3),
            valueQuantity={"value": value, "unit": unit},
            referenceRange=[{"low": {"value": low, "unit": unit}, "high": {"value": high, "unit": unit}}],
        )
        for index, (code, value, unit, low, high) in enumerate(loose, 1)
    ]
    grams = observation(
        "anna-hb",
        "718-7",
        effectiveDateTime=at(3),
        valueQuantity=quantity(11.8, "g/dL", "g/dL"),
        referenceRange=[{"low": quantity(120, "g/L", "g/L"), "high": quantity(160, "g/L", "g/L")}],
    )
    return collection(ANNA, *mixed, odd, *conventional, grams)


def text_results() -> Json:
    words = [
        ("5804-0", "Protein [Mass/volume] in Urine by Test strip", "2+", "Negative"),
        ("5792-7", "Glucose [Mass/volume] in Urine by Test strip", "NEGATIVE", "Negative"),
        ("5794-3", "Hemoglobin [Presence] in Urine by Test strip", "TRACE", "Negative"),
        ("5802-4", "Nitrite [Presence] in Urine by Test strip", "POSITIVE", "Negative"),
        ("5821-4", "Leukocytes [#/area] in Urine sediment by Microscopy high power field", "11-20", "0-5"),
        ("5769-5", "Bacteria [#/area] in Urine sediment by Microscopy high power field", "MANY", "None seen"),
        ("5778-6", "Color of Urine", "Yellow", None),
    ]
    strip = [
        observation(
            f"anna-u{index}",
            code,
            code={"coding": [{"system": LOINC, "code": code, "display": name}]},
            valueString=value,
            referenceRange=text_range(expected) if expected else None,
        )
        for index, (code, name, value, expected) in enumerate(words, 1)
    ]
    low = observation(
        "anna-tn", "6598-7", valueString="<0.01", referenceRange=[{"high": {"value": 0.01, "unit": "ng/mL"}}]
    )
    ddimer = observation(
        "anna-dd", "48065-7", valueString=">2000", referenceRange=[{"high": {"value": 500, "unit": "ng/mL"}}]
    )
    titre = observation(
        "anna-ana",
        "5048-4",
        valueString="1:160",
        referenceRange=text_range("< 1:80"),
        interpretation=interpreted("A"),
    )
    return collection(ANNA, *strip, low, ddimer, titre)


def french() -> Json:
    french = [
        ("Kaliémie", "3,1", "mmol/L", "3,5 à 5,1"),
        ("Créatininémie", "98", "µmol/L", "45 à 84"),
        ("Hémoglobine", "13,4", "g/dL", "12,0 à 16,0"),
        ("Plaquettes", "251", "Giga/L", "150 à 400"),
        ("Nitrites urinaires", "Négatif", None, "Négatif"),
    ]
    return collection(
        patient("flore", "female", "1988-09-21"),
        *[
            observation(
                f"flore-{index}",
                None,
                code={"text": name},
                valueString=f"{value} {unit}" if unit else value,
                referenceRange=text_range(f"{normal} {unit}" if unit else normal),
                note=[{"text": "Prélèvement à jeun."}],
            )
            for index, (name, value, unit, normal) in enumerate(french, 1)
        ],
    )


def german() -> Json:
    german = [
        ("Kalium", "5,9", None, "(3,5 - 5,1) mmol/l"),
        ("Kreatinin i.S.", "1,31 mg/dl", None, "M: 0,70-1,20 W: 0,50-0,90"),
        ("Leukozyten", 3.2, "Tsd./µl", "3,9-10,2"),
        ("Erythrozyten", 4.4, "/pl", "4,0-5,2"),
        ("Thrombozyten", "7.800 /µl", None, "150.000-400.000"),
        ("Quick", 62, "%", "70-130"),
        ("CRP", "< 0,5 mg/l", None, "bis 5,0"),
        ("HBs-Antigen", "nicht nachweisbar", None, None),
        ("Blutkultur", "Gramnegative Stäbchen", None, None),
    ]
    sent = [
        observation(
            f"greta-{index}",
            None,
            code={"text": name},
            referenceRange=None if normal is None else text_range(normal),
            **({"valueString": value} if unit is None else {"valueQuantity": {"value": value, "unit": unit}}),
        )
        for index, (name, value, unit, normal) in enumerate(german, 1)
    ]
    urine = observation(
        "greta-10",
        None,
        code={"text": "Natrium"},
        valueQuantity={"value": 34, "unit": "mmol/l"},
        specimen={"display": "Spontanurin"},
    )
    return collection(patient("greta", "female", "1969-11-02"), *sent, urine)


def interval_as_text() -> Json:
    texts = [("2823-3", 5.6, "3.5-5.1"), ("2093-3", 187, "< 200"), ("33914-3", 48, "> 60"), ("1988-5", 3.2, "Up to 5")]
    return collection(
        BERT,
        *[
            observation(
                f"bert-{index}",
                code,
                valueQuantity=quantity(
                    value, *(TESTS[code][1:3] if code in TESTS else ("mL/min/1.73m2", "mL/min/{1.73_m2}"))
                ),
                referenceRange=text_range(text),
            )
            for index, (code, value, text) in enumerate(texts, 1)
        ],
    )


def several_ranges() -> Json:
    sexes = [
        {
            "low": quantity(12, "g/dL", "g/dL"),
            "high": quantity(16, "g/dL", "g/dL"),
            "appliesTo": [sct("248152002", "Female")],
        },
        {
            "low": quantity(13.5, "g/dL", "g/dL"),
            "high": quantity(17.5, "g/dL", "g/dL"),
            "appliesTo": [sct("248153007", "Male")],
        },
    ]
    limits = [
        {
            "low": quantity(3.5, "mmol/L", "mmol/L"),
            "high": quantity(5.1, "mmol/L", "mmol/L"),
            "type": {"coding": [{"system": RANGE_MEANING, "code": "normal"}]},
        },
        {
            "low": quantity(2.5, "mmol/L", "mmol/L"),
            "high": quantity(6.0, "mmol/L", "mmol/L"),
            "type": {"coding": [{"system": "https://lab.example.org/range-type", "code": "critical"}]},
        },
    ]
    return collection(
        BERT,
        observation("bert-hb", "718-7", 12.8, referenceRange=sexes),
        observation("bert-k", "2823-3", 6.1, referenceRange=limits),
    )


def coded_answers() -> Json:
    coded = [
        (
            "94500-6",
            "SARS-CoV-2 RNA [Presence] in Respiratory specimen by NAA with probe detection",
            sct("260373001", "Detected"),
        ),
        (
            "92142-9",
            "Influenza virus A RNA [Presence] in Respiratory specimen by NAA with probe detection",
            sct("260415000", "Not detected"),
        ),
        (
            "5196-1",
            "Hepatitis B virus surface Ag [Presence] in Serum or Plasma by Immunoassay",
            sct("11214006", "Reactive"),
        ),
        ("600-7", "Bacteria identified in Blood by Culture", {"text": "No growth after 5 days"}),
    ]
    return collection(
        BERT,
        *[
            observation(
                f"bert-{index}",
                code,
                code={"coding": [{"system": LOINC, "code": code, "display": name}]},
                valueCodeableConcept=value,
            )
            for index, (code, name, value) in enumerate(coded, 1)
        ],
    )


def interpretation_only() -> Json:
    return collection(
        BERT,
        observation(
            "bert-a",
            None,
            code={"text": "Factor XIII activity"},
            valueQuantity={"value": 31, "unit": "%"},
            interpretation=interpreted("L"),
        ),
        observation(
            "bert-b", None, code={"text": "Special antibody"}, valueString="see report", interpretation=interpreted("A")
        ),
        observation("bert-c", "2823-3", 4.4, interpretation=interpreted("H")),
        observation("bert-d", "2951-2", 151, interpretation=interpreted("N")),
    )


def no_intervals() -> Json:
    bare = [
        observation(f"bert-{index}", code, valueQuantity=quantity(value, *TESTS[code][1:3]))
        for index, (code, value) in enumerate(
            {"2823-3": 5.9, "2951-2": 141, "718-7": 12.6, "2160-0": 1.6, "1742-6": 33}.items(), 1
        )
    ]
    return collection(BERT, *bare)


EXAMPLES = {
    "06-mixed-units": mixed_units,
    "07-text-results": text_results,
    "12-french": french,
    "31-german": german,
    "15-interval-as-text": interval_as_text,
    "16-several-ranges": several_ranges,
    "24-coded-answers": coded_answers,
    "25-interpretation-only": interpretation_only,
    "27-no-intervals": no_intervals,
}
"""File name → what makes its bundle."""
