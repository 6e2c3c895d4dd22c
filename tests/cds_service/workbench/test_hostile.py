"""A bundle is data: whatever stands in its text fields, nothing of it runs, loads, links or turns the page around."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cds_service.workbench.browser import Page

pytestmark = pytest.mark.browser
HOSTILE = [
    "<script>window.pwned=1</script>",
    "\"><img src=x onerror='window.pwned=1'>",
    "<svg onload=window.pwned=1>",
    "[click](javascript:window.pwned=1)",
    "![x](https://evil.example/x.png)",
    "<https://evil.example/auto>",
    "javascript:window.pwned=1",
    "**bold** | pipe | `code` ~~gone~~",
    "| a | b |\n| --- | --- |\n| c | d |",
    "</textarea></pre><iframe srcdoc='<script>parent.pwned=1</script>'>",
    "{{constructor.constructor('window.pwned=1')()}} ${window.pwned=1}",
    "__proto__",
    "\u202eesrever\u2066\u200b\u200d\ufeff hidden \u2069",
    "\u0007bell \u001b[31mred",
    "n" * 2_000,
    "\N{COMBINING ACUTE ACCENT}" * 400,
    "' onfocus=window.pwned=1 autofocus x='",
    "=> N\nPotassium: 4 =>",
]

TRENDS = 4
"""So many of them come twice: each makes a trend."""


def _resources(number: int, text: str) -> list[dict[str, Any]]:
    """Observations with this text in every field that holds any."""

    def resource(id: str, value: dict[str, Any], day: int) -> dict[str, Any]:
        return {
            "resourceType": "Observation",
            "id": f"{id}-{number}",
            "status": "final",
            "category": [{"coding": [{"system": text, "code": "laboratory", "display": text}], "text": text}],
            "code": {"coding": [{"system": text, "code": text, "display": text}], "text": text},
            "subject": {"reference": "Patient/p", "display": text},
            "effectiveDateTime": f"2026-03-0{day}T08:00:00Z",
            "performer": [{"display": text}],
            "method": {"text": text, "coding": [{"code": text, "display": text}]},
            "specimen": {"display": text, "reference": text},
            "device": {"display": text},
            "bodySite": {"text": text},
            "note": [{"text": text, "authorString": text}],
            "text": {"status": "generated", "div": text},
            "interpretation": [{"coding": [{"code": text, "display": text}], "text": text}],
            "identifier": [{"system": text, "value": text}],
            **value,
        }

    ranged = {
        "valueQuantity": {"value": 9, "unit": text, "code": text, "system": text},
        "referenceRange": [
            {
                "low": {"value": 1, "unit": text},
                "high": {"value": 5, "unit": text},
                "text": text,
                "appliesTo": [{"text": text, "coding": [{"code": text, "display": text}]}],
            }
        ],
    }
    return [
        resource("one", ranged, 1),
        *([resource("two", ranged, 2)] if number < TRENDS else []),
        resource("words", {"valueString": text, "referenceRange": [{"text": text}]}, 1),
        resource("coded", {"valueCodeableConcept": {"text": text, "coding": [{"code": text, "display": text}]}}, 1),
        resource("absent", {"dataAbsentReason": {"text": text}}, 1),
        {
            **resource("parts", {"component": [{"code": {"text": text}, **ranged}]}, 1),
        },
    ]


def _bundle() -> bytes:
    """All of them in one bundle of one patient."""
    patient = {"resourceType": "Patient", "id": "p", "name": [{"text": text} for text in HOSTILE], "gender": "female"}
    found = [one for number, text in enumerate(HOSTILE) for one in _resources(number, text)]
    entries = [
        {"fullUrl": f"urn:x:{HOSTILE[index % len(HOSTILE)]}:{index}", "resource": one}
        for index, one in enumerate([patient, *found])
    ]
    return json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}).encode()


def test_nothing_of_a_bundle_runs(page: Page) -> None:
    """Every text in every field, through every part of the page, with its details open, in both ways to show JSON."""
    own = page.run(
        "return document.querySelectorAll('script, img, iframe, object, embed, link, style, base, meta').length"
    )
    page.judge(_bundle())
    assert page.all(".headline")
    for tab in ("cards", "results", "trends", "findings", "missing", "prompt", "time", "json"):
        page.tab(tab)
        page.run("document.querySelectorAll('.disclose').forEach((one) => one.click())")
        page.run("document.querySelectorAll('.output details').forEach((one) => (one.open = true))")
        if tab == "json":
            page.run("document.querySelector('input[name=json-kind][value=explanation]').click()")
        seen = page.run(
            "const all = [...document.querySelectorAll('*')];"
            "return {"
            " pwned: window.pwned ?? null,"
            " own: document.querySelectorAll('script, img, iframe, object, embed, link, style, base, meta').length,"
            " handlers: all.flatMap((e) => e.getAttributeNames().filter((n) => n.startsWith('on'))),"
            " links: [...document.querySelectorAll('.output a')].map((a) => a.href).filter((u) => !u.startsWith('https://kdigo.org/')),"
            " styles: all.filter((e) => e.hasAttribute('style')).length,"
            " hidden: /[\\u202a-\\u202e\\u2066-\\u2069\\u200b\\u200d\\ufeff\\u0007\\u001b]/.test("
            "   document.querySelector('.output').textContent.replaceAll('\\u200b', '')),"
            " wide: document.documentElement.scrollWidth > innerWidth + 1"
            "}"
        )
        expected = {
            "pwned": None,
            "own": own,
            "handlers": [],
            "links": [],
            "styles": 0,
            "hidden": False,
            "wide": False,
        }
        assert seen == expected, tab


def test_a_hostile_answer_is_drawn_as_text(page: Page) -> None:
    """Cards that some other service might send: only http(s) links, no markup from any field."""
    drawn = page.module(
        "cards.js",
        "const view = {cards: a[0], byPath: new Map()};"
        "const box = document.createElement('div'); box.append(m.cards(view, {go() {}, address: ''})); document.body.append(box);"
        "for (const one of box.querySelectorAll('button')) if (one.textContent === 'Override') one.click();"
        "const found = [box.querySelectorAll('script, img, iframe, svg[onload]').length,"
        " [...box.querySelectorAll('a')].map((l) => l.href), box.querySelectorAll('article').length, window.pwned ?? null];"
        "box.remove(); return found;",
        [
            {
                "uuid": text,
                "summary": text,
                "detail": text,
                "indicator": text,
                "source": {"label": text, "url": text},
                "suggestions": [
                    {
                        "label": text,
                        "uuid": text,
                        "actions": [{"type": text, "description": text, "resource": {text: text}}],
                    }
                ],
                "overrideReasons": [{"code": text, "display": text, "system": text}],
                "links": [
                    {"label": text, "url": text, "type": "absolute"},
                    {"label": text, "url": text, "type": "smart"},
                ],
            }
            for text in HOSTILE
        ],
    )
    assert drawn == [0, ["https://evil.example/x.png"], len(HOSTILE), None]


def test_the_policy_holds(page: Page) -> None:
    """The policy itself, were a string ever to reach the page as markup."""
    page.expect("Trusted")
    page.expect("TrustedHTML")
    page.expect("Content Security Policy")
    blocked = page.run(
        "const script = document.createElement('script'), plain = document.createElement('div');"
        "const tries = [() => { document.body.innerHTML += '<b>x</b>'; }, () => { script.textContent = 'window.pwned = 1'; },"
        " () => plain.setAttribute('onclick', 'window.pwned = 1')];"
        "return tries.map((one) => { try { one(); return 'ran'; } catch (error) { return error.name; } })"
    )
    assert blocked == ["TypeError"] * 3
    assert page.run("return window.pwned ?? null") is None
    page.wait("return window.violations.length === 3")
    page.run("window.violations.length = 0")
