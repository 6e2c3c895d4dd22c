"""axe-core finds no serious or critical fault, in both themes, on a desk and on a phone."""

from __future__ import annotations

from importlib import resources

import pytest

from tests.cds_service.workbench.browser import PHONE, WIDE, Page

pytestmark = pytest.mark.browser
AXE = """
const done = arguments[arguments.length - 1];
const told = (violation) => [violation.id, violation.impact, violation.nodes.slice(0, 5).map((node) => node.target.join(" "))];
axe.run(arguments[0], {resultTypes: ["violations"]}).then((found) => done(found.violations.map(told)), (error) => done([["failed", String(error), []]]));
"""

PARTS = {
    "14-haemolysed-potassium": ("cards", "results", "prompt", "time", "json"),
    "13-trend": ("trends", "findings"),
    "23-not-to-be-judged": ("missing",),
}
"""Small examples that have what each part shows."""


def _faults(page: Page, part: str = "#output") -> list[list[object]]:
    """Serious and critical faults of a part of the page, or of all of it ("html")."""
    found = page.driver.execute_async_script(AXE, part)
    return [one for one in found if one[1] not in ("minor", "moderate")]


@pytest.mark.parametrize(("scheme", "size"), [("light", WIDE), ("dark", PHONE)])
def test_no_serious_fault(page: Page, scheme: str, size: tuple[int, int]) -> None:
    page.fresh(size, scheme)
    page.run(resources.files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
    assert _faults(page, "html") == []
    for example, tabs in PARTS.items():
        page.example(example)
        for tab in tabs:
            page.tab(tab)
            if tab == "cards":
                page.press("Override")
            page.run("document.querySelectorAll('.disclose')[1]?.click()")
            page.run("document.querySelectorAll('.output details').forEach((one) => (one.open = true))")
            assert _faults(page) == [], tab
    assert _faults(page, "html") == []
    page.expect("400 (Bad Request)")
    page.judge("{")
    assert _faults(page) == []
