"""How the page lays itself out: at each width, on a phone, light and dark."""

from __future__ import annotations

import pytest

from tests.cds_service.workbench.browser import PHONE, Page

pytestmark = pytest.mark.browser
OUT = """
const out = [];
for (const e of document.querySelectorAll('body *')) {
  const [own, box] = [e.getBoundingClientRect(), e.closest('.results, .card, .trend, .reason, .time, .headline, .tools, .top')];
  if (!own.width || !box || box === e || e.closest('svg, .unseen, .tabs') || getComputedStyle(e).clipPath !== 'none') continue;
  if (own.right > box.getBoundingClientRect().right + 1) out.push(`${e.tagName}.${e.className} ${e.textContent.slice(0, 30)}`);
}
return out;
"""
"""What runs out of the box that it stands in: there it is cut off."""


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("width", [320, 375, 768, 1000, 1280])
def test_at_no_width_anything_runs_out_of_the_page_or_is_cut_off(page: Page, width: int, language: str) -> None:
    page.size(width, 844)
    page.run("document.getElementById(arguments[0]).click()", f"language-{language}")
    for example in ("02-hyperkalaemia-aki", "23-not-to-be-judged"):
        page.example(example)
        for tab in ("cards", "results", "trends", "findings", "missing", "prompt", "time", "json"):
            page.tab(tab)
            assert page.run("return document.documentElement.scrollWidth") <= width, (example, tab)
            assert page.run(OUT) == [], (example, tab)


def test_on_a_phone_what_is_pressed_is_as_high_as_a_finger(page: Page) -> None:
    page.size(*PHONE)
    page.example("02-hyperkalaemia-aki")
    page.tab("results")
    page.find(".disclose").click()
    small = page.run(
        "return [...document.querySelectorAll('button, select, input:not([type=radio])')].filter((e) => e.offsetParent"
        " && !e.classList.contains('plain-link')).map((e) => [e.textContent, e.getBoundingClientRect().height]).filter(([, h]) => h < 34)"
    )
    assert small == []


def test_on_a_phone_the_buttons_of_a_card_fill_its_width(page: Page) -> None:
    """Two that have no room beside each other stand below each other, of one width."""
    page.size(375, 844)
    page.example("02-hyperkalaemia-aki")
    lefts_and_rights = page.run(
        "return [...document.querySelectorAll('.card')[0].querySelectorAll('.card-foot > .actions > button')]"
        ".map((e) => e.getBoundingClientRect()).map(({left, right}) => [Math.round(left), Math.round(right)])"
    )
    assert len(lefts_and_rights) == 2
    assert lefts_and_rights[0] == lefts_and_rights[1]


def test_the_theme_follows_the_system_or_the_choice(page: Page) -> None:
    ground = lambda: page.run("return getComputedStyle(document.body).backgroundColor")  # noqa: E731
    light = ground()
    page.scheme("dark")
    dark = ground()
    assert dark != light
    page.run("document.getElementById('theme-light').click()")
    assert ground() == light
    page.driver.refresh()
    page.wait("return document.querySelector('.chip')")
    assert ground() == light
    page.run("document.getElementById('theme-auto').click()")
    assert ground() == dark
    assert page.run("return localStorage.length") == 0
