"""Vignettes with what a specialist would say of them; one TOML file an organ system, a table a vignette.

    python -m evaluation.scenarios                       # judge all, by the rules and by the embedded model
    python -m evaluation.scenarios --write bundles/      # the vignettes as FHIR bundles

A vignette reads like this::

    [hyperkalaemia-with-kidney-failure]
    says = "Potassium 6.9 with a creatinine of 4.1: critical, and the two belong together."
    source = "KDIGO 2012"
    patient = "male 61"
    results = ["potassium 6.9 mmol/L [3.5-5.1]", "creatinine 4.1 mg/dL [0.7-1.2]", "creatinine 1.0 mg/dL [0.7-1.2] @-240"]
    must_flag = ["potassium", "creatinine"]
    must_be_critical = ["potassium"]
    must_name = ["hyperkalaemia-kidney"]

``patient``: sex, age ("61", "5 d", "3 mo", "30 h") and "pregnant" where so. A result: the catalog's id (or a name in quotes), value, unit, the laboratory's
interval in brackets where it sent one, hours relative to the newest after "@"; ``id = words`` for an answer in words.
"""
