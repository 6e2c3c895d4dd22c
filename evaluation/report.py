"""The report of an evaluation as one self-contained HTML page, light and dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

STYLE = """
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6675;--line:#d9dee6;--paper:#fff;--card:#f6f8fb;--good:#0a7f4f;--bad:#b4400b}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#9aa6b5;--line:#2e3846;--paper:#11161d;--card:#1a212b;--good:#4cc38a;--bad:#ff9a5c}}
body{margin:0 auto;max-width:76rem;padding:2rem 1.2rem 4rem;font:16px/1.55 system-ui,sans-serif;color:var(--ink);background:var(--paper)}
h1{font-size:1.7rem;margin:0 0 .2rem}h2{font-size:1.2rem;margin:2.4rem 0 .6rem}p{max-width:64rem}.soft{color:var(--soft)}
table{border-collapse:collapse;font-size:.88rem;font-variant-numeric:tabular-nums;width:100%}th,td{padding:.35rem .6rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th:first-child,td:first-child{text-align:left}th{color:var(--soft);font-weight:600}.wide{overflow-x:auto}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(22rem,1fr));gap:1.2rem}figure{margin:0;padding:1rem;background:var(--card);border-radius:.6rem}
figcaption{font-size:.88rem;color:var(--soft);margin-bottom:.5rem}svg{width:100%;height:auto;color:var(--ink)}.good{color:var(--good)}.bad{color:var(--bad)}
"""


def page(found: Mapping[str, Any], plots: Sequence[tuple[str, str]]) -> str:
    """The page: ``found`` is the JSON of the evaluation, ``plots`` captions with their SVG."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width,initial-scale=1'>",
        f"<title>LabCue: evaluation of {escape(found['engine'])}</title><style>{STYLE}</style>",
        f"<h1>Evaluation of the flags</h1><p class=soft>{escape(_about(found))}</p>",
    ]
    gate = found["gate"]
    said = "reached" if gate["passed"] else "NOT reached"
    parts.append(
        f"<p class={'good' if gate['passed'] else 'bad'}>Targets {said}: precision above {gate['precision']}, recall above "
        f"{gate['recall']} in each case, 95 % of bundles under {gate['latency_ms']:g} ms. {escape('; '.join(gate['faults']))}</p>"
    )
    parts.append("<h2>Rule, model, and what is served</h2>")
    parts.append(f"<p>{escape(found['reading'])}</p>")
    for kind in found["cases"]:
        parts.append(f"<h3>{escape(kind)}</h3>" + _table(_case_rows(found["cases"][kind])))
    parts.append("<div class=plots>")
    parts += [f"<figure><figcaption>{escape(caption)}</figcaption>{svg}</figure>" for caption, svg in plots]
    parts.append("</div>")
    for title, rows in found["tables"].items():
        parts.append(f"<h2>{escape(title)}</h2>" + _table(rows))
    return "\n".join(parts) + "\n"


def _about(found: Mapping[str, Any]) -> str:
    return (
        f"LabCue {found['labcue']}, engine {found['engine']}, {_thresholds(found['thresholds'])}, catalog {found['catalog']}. "
        f"Data: {found['data']}. Intervals in brackets: 95 %, bootstrap by patient."
    )


def _thresholds(found: Mapping[str, float | None]) -> str:
    """The one threshold, or each of them by what the model leans on."""
    inside = {"inside an interval at least": found["inside"]} if "inside" in found else {}
    default, others = found["default"], {name: at for name, at in found.items() if name not in ("default", "inside")}
    if not others and not inside:
        return f"threshold {default:g}"
    return "thresholds " + ", ".join(
        f"{name} {'without a say' if at is None else format(at, 'g')}"
        for name, at in {**others, "else": default, **inside}.items()
    )


def _case_rows(judges: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    return [
        {
            "case and judge": name,
            "results": f"{one['results']:,}",
            "abnormal": share(one["prevalence"]),
            "not assessed": f"{one['not_assessed']:,}",
            "precision": _with(one["precision"], one.get("precision_95")),
            "recall": _with(one["recall"], one.get("recall_95")),
            "F1": share(one["f1"]),
            "critical recalled": f"{share(one['critical_recall'])} of {one['critical']:,}",
        }
        for name, one in judges.items()
    ]


def share(value: float | None) -> str:
    """0.9876 as "0.988", cut and not rounded up; a dash where there is none."""
    return "–" if value is None else f"{int(value * 1000 + 1e-9) / 1000:.3f}"


def _with(value: float | None, limits: Sequence[float] | None) -> str:
    return share(value) + (f" [{share(limits[0])}, {share(limits[1])}]" if limits else "")


def _table(rows: Sequence[Mapping[str, object]]) -> str:
    if not rows:
        return "<p class=soft>Nothing to show.</p>"
    head = "".join(f"<th>{escape(str(name))}</th>" for name in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row.values()) + "</tr>" for row in rows)
    return f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
