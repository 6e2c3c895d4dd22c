"""axe-core finds no serious or critical fault, in both themes, on a desk and on a phone."""

from __future__ import annotations

from importlib import resources

import pytest

from tests.cds_service.workbench.browser import PHONE, WIDE, Page

pytestmark = pytest.mark.browser
AXE = "const done = arguments[arguments.length - 1]; axe.run(document, {resultTypes: ['violations']}).then((r) => done(r.violations.map((v) => [v.id, v.impact, v.nodes.map((n) => n.target.join(' ')).slice(0, 5)])), (e) => done([['failed', String(e), []]]))"


def _faults(page: Page) -> list[list[object]]:
    found = page.driver.execute_async_script(AXE)
    return [one for one in found if one[1] not in ("minor", "moderate")]


@pytest.mark.parametrize(("scheme", "size"), [("light", WIDE), ("dark", PHONE)])
def test_no_serious_fault(page: Page, scheme: str, size: tuple[int, int]) -> None:
    page.fresh(size, scheme)
    page.run(resources.files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
    assert _faults(page) == []
    page.example("02-hyperkalaemia-aki")
    for tab in ("cards", "results", "trends", "prompt", "time", "json"):
        page.tab(tab)
        if tab == "cards":
            page.press("Override")
        page.run("document.querySelectorAll('.disclose')[1]?.click()")
        page.run("document.querySelectorAll('.output details').forEach((one) => (one.open = true))")
        assert _faults(page) == [], tab
    page.example("23-not-to-be-judged")
    page.tab("missing")
    assert _faults(page) == []
    page.expect("400 (Bad Request)")
    page.judge("{")
    assert _faults(page) == []
