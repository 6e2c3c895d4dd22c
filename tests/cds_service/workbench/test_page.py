"""The page in a real browser: each thing that a person does with it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from cds_service.example_bundles import examples
from cds_service.serving import Running
from tests.bundles import bundle, observation
from tests.cds_service.workbench.browser import (
    CONTROL,
    DOWN,
    END,
    ENTER,
    ESCAPE,
    LEFT,
    RIGHT,
    SPACE,
    TAB,
    Page,
)

pytestmark = pytest.mark.browser
PANEL = bundle(
    observation("k", "2823-3", 6.9, "mmol/L", 3.5, 5.1),
    observation("na", "2951-2", 140, "mmol/L", 136, 145),
    observation("alt", "1742-6", 90, "U/L"),
)
MANY = [observation(f"na{number}", "2951-2", 140, "mmol/L", 136, 145) for number in range(210)]
"""More results than are shown at a time, all normal."""


def test_paste_and_judge(page: Page) -> None:
    page.judge(PANEL)
    assert page.find(".headline h2").text == "1 critical, 1 abnormal"
    assert page.texts(".card .indicator") == ["Critical", "Warning"]
    assert page.texts(".card h3")[0] == "Potassium 6.9 mmol/L: critically high (limit 6.2)"
    assert page.texts(".card table th")[:5] == ["Result", "Value", "Interval", "Flag", "Basis"]
    assert page.focus() == "1 critical, 1 abnormal"


def test_drop_a_file(page: Page, drop: Callable[[str, bytes], None]) -> None:
    drop("panel.json", PANEL)
    page.wait("return document.getElementById('bundle').value.length > 2")
    assert page.find("#drop").is_displayed() is False
    assert page.focus() == "judge"
    page.judge()
    assert page.find(".headline h2").text == "1 critical, 1 abnormal"


def test_a_file_that_is_not_text_is_refused(page: Page, drop: Callable[[str, bytes], None]) -> None:
    drop("panel.json", b'{"a": "\xff\xfe"}')
    page.wait("return document.querySelector('.failed')")
    assert "not UTF-8" in page.find(".failed").text


def test_an_example_from_the_list_and_from_the_empty_page(page: Page) -> None:
    assert len(page.all("#example option")) == 1 + len(examples())
    assert "30-five-hundred" not in page.texts("#example option")  # each has a title
    page.press("Ketoacidosis")
    page.answered()
    assert "critical" in page.find(".headline h2").text
    page.example("01-normal")
    assert page.find(".headline h2").text == "Nothing abnormal"
    assert page.find(".nothing h3").text == "No card"


def test_each_result_lies_on_its_interval(page: Page) -> None:
    page.judge(PANEL)
    page.tab("results")
    labels = page.run(
        "return [...document.querySelectorAll('.result svg.bar')].map((bar) => bar.getAttribute('aria-label'))"
    )
    assert labels[0] == "6.9 mmol/L: critically high; interval 3.5-5.1 mmol/L (laboratory); not critical within 2.8-6.2"
    assert labels[1].startswith("140 mmol/L: inside 136-145 mmol/L (laboratory)")
    assert "(usual)" in labels[2]
    places = page.run(
        "return [...document.querySelectorAll('.result svg.bar')].map((bar) => {"
        " const box = (selector) => bar.querySelector(selector)?.getBoundingClientRect();"
        " const band = box('.bar-band'), mark = box('.mark'), limits = [...bar.querySelectorAll('.bar-limit')].map((l) => l.getBoundingClientRect().left);"
        " return {low: band.left, high: band.right, at: mark.left + mark.width / 2, limits}; })"
    )
    potassium, sodium, alt = places
    assert potassium["limits"][0] < potassium["low"] < potassium["high"] < potassium["limits"][1] < potassium["at"]
    assert sodium["low"] < sodium["at"] < sodium["high"]
    assert alt["at"] > alt["high"]
    assert page.texts(".result .flag .word") == ["critically high", "normal", "high"]
    assert len(page.all(".result .bar-band.band-usual")) == 1


def test_who_flagged_it_with_which_probability(page: Page) -> None:
    page.judge(PANEL)
    page.tab("results")
    assert page.texts(".result .by > span:first-child")[0] == "rule + model"
    meters = page.run(
        "return [...document.querySelectorAll('.meter svg')].map((one) => one.getAttribute('aria-label'))"
    )
    assert meters[0] == "P(abnormal) 0.99, threshold 0.50"
    page.find(".result .disclose").click()
    facts = dict(zip(page.texts(".detail dt"), page.texts(".detail dd"), strict=True))
    assert facts["Model"] == "P(abnormal) 0.9900, threshold 0.50"
    assert "HH 0.94" in facts["P by label"]
    assert "Kost" in facts["Critical limits"]
    assert facts["Interval"] == "3.5-5.1 mmol/L (laboratory)"
    assert facts["Path"] == "Bundle.entry[1].resource"


def test_filter_order_and_search(page: Page) -> None:
    page.example("02-hyperkalaemia-aki")
    page.tab("results")
    names = lambda: page.texts(".result .name strong")  # noqa: E731
    assert len(names()) == 8
    page.run("document.querySelector('input[name=filter][value=critical]').click()")
    assert names() == ["Potassium"]
    page.run("document.querySelector('input[name=filter][value=all]').click()")
    page.run("document.querySelector('input[name=order][value=urgent]').click()")
    assert names()[0] == "Potassium"
    page.find("#find").send_keys("creat")
    assert names() == ["Creatinine", "Creatinine"]
    assert page.find(".count").text == "2 of 8 results"


def test_a_card_leads_to_its_results(page: Page) -> None:
    """Whatever filter and search leave out, and however far down they stand."""
    page.judge(bundle(*MANY, observation("k", "2823-3", 6.9, "mmol/L", 3.5, 5.1)))
    page.tab("results")
    page.find("#find").send_keys("nothing has this name")
    page.tab("cards")
    page.press("Its results")
    page.wait("return document.querySelector('.disclose[aria-expanded=true]') === document.activeElement")
    assert page.all(".result.pointed .detail")


def test_trends_with_the_interval_shaded(page: Page) -> None:
    page.example("13-trend")
    page.tab("trends")
    page.wait("return document.querySelectorAll('.plot svg').length === 2")
    assert page.texts(".trend h3") == ["Creatininemg/dL", "Hemoglobing/dL"]
    for chart in ("nth-child(1)", "nth-child(2)"):
        assert len(page.all(f".trend:{chart} .mark")) == 4 + 1  # and the one beside the value in words
        band = page.run(f"return document.querySelector('.trend:{chart} .bar-band').getBoundingClientRect().toJSON()")
        assert band["height"] > 20
        assert band["width"] > 200
    plot = page.find(".plot")
    page.run("arguments[0].focus()", plot)
    last = plot.get_attribute("aria-valuetext")
    assert last == "2026-03-05 07:30: 2.4 mg/dL, high"
    page.keys(LEFT)
    assert plot.get_attribute("aria-valuetext") == "2026-03-04 07:30: 1.7 mg/dL, high"
    assert "1.7 mg/dL" in page.find(".readout").text
    page.keys(END)
    assert plot.get_attribute("aria-valuetext") == last
    page.find(".as-table summary").click()
    page.wait("return document.querySelectorAll('.as-table tbody tr').length === 4")


def test_what_was_not_assessed_and_why(page: Page) -> None:
    page.example("23-not-to-be-judged")
    page.tab("missing")
    assert page.texts(".reasons h3") == ["Could not be assessed", "Need no assessment"]
    text = page.find("#panel").text
    assert "The number is beyond what a living patient can have" in text
    assert "implausible" in text
    assert "Observation/anna-wrong" in text


def test_what_has_no_value_is_named_with_the_laboratorys_reason(page: Page) -> None:
    absent = observation("k", "2823-3", 1, "1", dataAbsentReason={"coding": [{"code": "error"}], "text": "Haemolysed"})
    del absent["valueQuantity"]
    page.judge(bundle(absent))
    page.tab("missing")
    assert page.texts(".reason li > span")[:2] == ["Potassium", "Haemolysed"]


def test_the_exact_prompt_the_time_and_the_json(page: Page) -> None:
    page.judge(PANEL)
    page.tab("prompt")
    shown = page.find(".prompt").get_property("textContent")
    page.tab("json")
    response = json.loads(page.find(".json").get_property("textContent"))
    assert response["cards"][0]["indicator"] == "critical"
    page.run("document.querySelector('input[name=json-kind][value=explanation]').click()")
    explanation = json.loads(page.find(".json").get_property("textContent"))
    assert shown == explanation["prompt"]
    page.driver.execute_cdp_cmd(
        "Browser.grantPermissions", {"origin": page.address.rstrip("/"), "permissions": ["clipboardReadWrite"]}
    )
    page.press("Copy")
    page.wait("return document.querySelector('#panel button').textContent === 'Copied'")
    copied = page.driver.execute_async_script("navigator.clipboard.readText().then(arguments[0])")
    assert json.loads(copied) == explanation
    page.tab("time")
    assert page.texts(".time tbody th") == [
        "Read FHIR",
        "Analytes, units, intervals",
        "Rules",
        "Model",
        "Join rule and model",
        "Model's note",
        "Write cards",
        "Total",
    ]


def test_override_a_card_with_a_reason(page: Page, service: Running) -> None:
    page.judge(PANEL)
    before = service.backend.records.count()
    page.press("Override")
    assert page.run("return document.activeElement.name").startswith("reason-")
    page.keys(ESCAPE)
    assert not page.all(".override")
    page.press("Override")
    page.driver.find_element("xpath", "//label[normalize-space(.)='Sample problem']").click()
    page.find(".override textarea").send_keys("drawn from the arm with the drip")
    page.press("Send feedback")
    page.wait("return document.querySelector('.stored')")
    assert page.find(".stored p").text.replace("\n", " ") == "Feedback stored: overridden · Sample problem"
    assert "HTTP 200" in page.find(".stored pre").get_property("textContent")
    assert service.backend.records.count() == before + 1
    assert page.focus() == "Answer again"


def test_accept_a_suggestion(page: Page, service: Running) -> None:
    page.example("14-haemolysed-potassium")
    before = service.backend.records.count()
    page.find(".action summary").click()
    resource = json.loads(page.find(".action pre").text)
    assert resource["resourceType"] == "ServiceRequest"
    page.press("Accept")
    page.wait("return document.querySelector('.stored')")
    assert page.find(".stored p").text == "Feedback stored: accepted"
    assert service.backend.records.count() == before + 1


def test_accept_a_card_that_suggests_nothing(page: Page, service: Running) -> None:
    page.judge(PANEL)
    before = service.backend.records.count()
    page.press("Noted: I take it into account")
    page.wait("return document.querySelector('.stored')")
    assert page.find(".stored p").text == "Feedback stored: accepted"
    assert '"unmatchedCards"' not in page.find(".stored pre").get_property("textContent")
    assert service.backend.records.count() == before + 1


def test_a_fault_says_what_and_where(page: Page) -> None:
    page.expect("400 (Bad Request)")
    page.judge('{"resourceType": "Bundle"')
    failed = page.find(".failed")
    assert failed.get_attribute("role") == "alert"
    assert "The bundle is not valid UTF-8 JSON." in failed.text
    assert "not-json" in failed.text
    assert page.find("#bundle").get_attribute("aria-invalid") == "true"
    page.judge(PANEL)
    assert page.find("#bundle").get_attribute("aria-invalid") is None


def test_nothing_to_judge_is_said(page: Page) -> None:
    page.find("#judge").click()
    page.wait("return document.querySelector('.failed')")
    assert "nothing to judge yet" in page.find(".failed").text


def test_french_on_the_page_and_on_the_cards(page: Page) -> None:
    page.judge(PANEL)
    page.find("#language-fr").click()
    page.wait("return document.querySelector('.card h3')?.textContent.includes('valeur critique élevée')")
    assert page.run("return document.documentElement.lang") == "fr"
    assert page.find("#judge span").text == "Évaluer"
    assert page.texts(".tabs button")[0].startswith("Cartes")
    assert page.find(".card button:last-child").text


def test_both_languages_have_the_same_labels(page: Page) -> None:
    words = page.module("words.js", "return m.WORDS")
    assert words["en"].keys() == words["fr"].keys()
    parameters = page.module(
        "words.js",
        "return Object.fromEntries(Object.entries(m.WORDS).map(([l, w]) => [l, Object.fromEntries(Object.entries(w)"
        ".map(([k, t]) => [k, (t.match(/\\{\\w+\\}/g) ?? []).sort().join()]))]))",
    )
    assert parameters["en"] == parameters["fr"]
    titles = page.module("examples.js", "return m.TITLES")
    assert titles.keys() == {file.stem for file in examples()}


def test_no_label_is_missing(page: Page) -> None:
    """The page says on its console what it has no label for, and the fixture takes no line there."""
    for language in ("en", "fr"):
        page.run("document.getElementById(arguments[0]).click()", f"language-{language}")
        for name in ("14-haemolysed-potassium", "03-ketoacidosis", "23-not-to-be-judged"):
            page.example(name)
            for tab in ("cards", "results", "trends", "findings", "missing", "prompt", "time", "json"):
                page.tab(tab)
                page.run("document.querySelectorAll('.disclose').forEach((one) => one.click())")
    assert page.faults() == []
    page.module("words.js", "return m.say('no such label')")
    assert "no such label" in page.faults()[0]


def test_keyboard_alone(page: Page) -> None:
    """From the top of the page to stored feedback without a mouse."""
    page.run("document.activeElement.blur()")
    page.keys(TAB)
    assert page.focus() == "Skip to the answer"
    page.send_keys_until(TAB, "example")
    page.keys(DOWN, DOWN)
    page.wait("return document.getElementById('bundle').value.includes('bert')")
    page.keys(CONTROL + ENTER)
    page.answered()
    page.wait("return document.activeElement.textContent.includes('critical')")
    page.send_keys_until(TAB, "tab-cards")
    page.keys(RIGHT)
    assert page.focus() == "tab-results"
    page.keys(LEFT, LEFT)
    assert page.focus() == "tab-json"
    page.keys(RIGHT)
    assert page.focus() == "tab-cards"
    page.send_keys_until(TAB, "Override")
    page.keys(ENTER)
    page.keys(DOWN)
    page.send_keys_until(TAB, "Send feedback")
    page.keys(SPACE)
    page.wait("return document.querySelector('.stored')")


def test_the_focus_can_be_seen(page: Page) -> None:
    page.judge(PANEL)
    page.run("document.activeElement.blur(); getSelection().removeAllRanges()")
    page.run("document.querySelector('.skip').focus()")
    seen = []
    while len(seen) < 30:
        page.keys(TAB)
        if page.run("return document.activeElement === document.body"):
            break
        outline = page.run(
            "const e = document.activeElement; const mark = e.matches('.segment input') ? e.nextElementSibling : e;"
            "const style = getComputedStyle(mark); return [style.outlineStyle, parseFloat(style.outlineWidth)]"
        )
        assert (outline[0] != "none", outline[1] >= 2) == (True, True), page.focus()
        seen.append(page.focus())
    assert {"language-en", "example", "bundle", "judge", "tab-cards", "Override"} <= set(seen)


def test_a_trend_over_years_says_of_which(page: Page) -> None:
    days = ["2021-03-01", "2022-03-01", "2024-03-01"]
    page.judge(
        bundle(
            *(
                observation(day, "2160-0", 1 + number / 10, "mg/dL", 0.6, 1.2, effectiveDateTime=f"{day}T08:00:00Z")
                for number, day in enumerate(days)
            )
        )
    )
    page.tab("trends")
    page.wait("return document.querySelectorAll('.plot text').length > 3")
    assert [text for text in page.texts(".plot text") if "-" in text] == ["2021-03", "2022-03", "2024-03"]


def test_no_motion_where_none_is_wanted(page: Page) -> None:
    page.judge(PANEL)
    page.tab("results")
    moving = page.run(
        "return [...document.querySelectorAll('*')].filter((e) => parseFloat(getComputedStyle(e).transitionDuration) > 0).length"
    )
    assert moving == 0


def test_two_hundred_results_at_a_time(page: Page) -> None:
    page.judge(bundle(*MANY))
    page.tab("results")
    assert len(page.texts(".result .name strong")) == 200
    page.press("Show 10 more")
    page.wait("return document.querySelectorAll('.result .name strong').length > 200")
    assert len(page.texts(".result .name strong")) == 210
    assert page.find(".count").text == "210 of 210 results"


def test_a_late_answer_does_not_overwrite_a_newer_one(page: Page) -> None:
    page.paste(PANEL)
    page.run(
        "const real = window.fetch; let first = true; window.fetch = async (...a) => {"
        " if (!String(a[0]).includes('explain') || !first) return real(...a);"
        " first = false; const answer = await real(...a); await new Promise((done) => (window.release = done)); return answer; }"
    )
    page.find("#judge").click()
    page.wait("return !!window.release")
    page.example("01-normal")
    assert page.find(".headline h2").text == "Nothing abnormal"
    page.driver.execute_async_script("release(); setTimeout(arguments[0], 50)")
    assert page.find(".headline h2").text == "Nothing abnormal"
