"""The explanation for people: the steps in their order; within a step, a block for each result, in lines that wrap well."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from cds_service.markdown import plain
from cds_service.show import CODES

Json = dict[str, Any]


def print_text(console: Console, shown: Json) -> None:
    """Prints what :func:`cds_service.explanation.explain` found."""
    numbers = {entry["path"]: number for number, entry in enumerate(shown["read"], start=1)}
    _head(console, "1 Read", f"{shown['resourceType']}, {shown['observations']} Observations and components")
    _line(console, f"Patient: {_patient(shown['patient'])}")
    for entry in shown["read"]:
        _title(console, numbers[entry["path"]], entry["name"], entry["value"])
        codes = ", ".join(f"{_system(code['system'])} {code['code'] or '(no code)'}" for code in entry["codes"])
        _field(console, entry["path"], entry["observation"], codes or "no code", entry["status"], entry["effective"])
        for one in entry["ranges"]:
            _field(console, "range sent: " + ", ".join(f"{key} {_cell(value)}" for key, value in one.items()))
        if entry["interpretation"]:
            _field(console, f"the laboratory's own code: {', '.join(entry['interpretation'])}")

    _head(console, "2 Normalized", f"catalog {shown['catalogVersion']}")
    for entry in shown["normalized"]:
        _title(console, numbers[entry["path"]], entry["display"], "")
        _normalized(console, entry)

    _head(
        console,
        "3 Prompt",
        f"version {shown['promptVersion']}; what the model {'was' if shown['scores'] else 'would be'} shown",
    )
    for line in shown["prompt"].splitlines():
        console.print(Text(plain(line, 2000)), soft_wrap=True)  # the exact text: not folded to the terminal

    _head(console, "4 Rules that fired", "")
    rules: dict[str, list[Json]] = defaultdict(list)
    for rule in shown["rules"]:
        rules[rule["path"]].append(rule)
    by_path = {entry["path"]: entry for entry in shown["read"]}
    for path, fired in rules.items():
        _title(console, numbers[path], by_path[path]["name"], by_path[path]["value"], fired[0]["code"])
        for rule in fired:
            source = f"  ← {plain(rule['source'], 400)}" if rule["source"] else ""
            _field(console, f"{rule['kind']}: {rule['text']}{source}")
    for pattern in shown["patterns"]:
        members = " ".join(f"#{numbers[path]}" for path in pattern["paths"])
        _line(
            console,
            f"pattern {pattern['id']} ({pattern['severity']}; {members}): {pattern['title']}. {pattern['text']}",
        )
        for key in ("for", "against"):
            if pattern[key]:
                _field(console, f"{key}: {'; '.join(pattern[key])}")
        _field(console, f"← {pattern['citation']}")
    for one in shown["derived"]:
        inputs = " ".join(f"#{numbers[path]}" for path in one["paths"])
        interval = f" ({one['interval']})" if one["interval"] else ""
        _line(console, f"derived {one['id']} ({inputs}): {one['name']} {one['value']} {one['code'] or ''}{interval}")
        _field(console, one["reported"], f"← {one['citation']}")

    model = shown["model"]
    said = f"{model['name']} {model['version']}" if model else (shown["degraded"] or "none, by setting")
    _head(console, "5 Model", said)
    for score in shown["scores"] or ():
        _line(console, f"#{numbers[score['path']]} P(abnormal) {score['abnormal']:.3f}")

    _head(console, "6 Verdict", "")
    for flag in shown["verdict"]:
        entry = by_path[flag["path"]]
        probability = "" if flag["probability"] is None else f", P {flag['probability']:.3f}"
        _title(
            console,
            numbers[flag["path"]],
            entry["name"],
            entry["value"],
            flag["code"],
            f"({flag['source']}{probability})",
        )
    for entry in shown["notAssessed"]:
        name = f"{entry['name']}: " if entry["name"] else ""
        why = f"{entry['reason'].rstrip('.')}: {entry['detail']}" if entry["detail"] else entry["reason"]
        _line(console, f"not assessed: {name}{why} [{entry['code']}] {entry['path']}")
    for card in shown["cards"]:
        _line(console, f"card ({card['indicator']}): {card['summary']}")
    if not shown["cards"]:
        _line(console, "no card: nothing abnormal, and nothing that should have been assessed and wasn't")

    spent = " · ".join(f"{step} {milliseconds:.2f} ms" for step, milliseconds in shown["timings"].items())
    _head(console, "7 Time", spent)


def _normalized(console: Console, entry: Json) -> None:
    if entry["analyte"] is None:
        analyte = "not in the catalog"
    elif entry["canonical"] is not None:
        analyte = f"{entry['analyte']}, {_cell(entry['canonical'])} {entry['canonicalUnit']}"
    else:
        analyte = entry["analyte"]
    _field(console, f"analyte: {analyte}", None if entry["ageYears"] is None else f"age {entry['ageYears']:.4g} years")
    if entry["interval"] is not None:
        _field(
            console,
            f"interval: {entry['interval']} ({entry['intervalSource']})",
            None if entry["position"] is None else f"position {entry['position']:+.2f}",
            entry["citation"],
        )
    else:
        _field(console, "interval: none")
    if entry["expected"]:
        _field(console, f"expected: {' or '.join(entry['expected'])}")
    if entry["critical"] is not None:
        _field(
            console, f"not critical within: {entry['critical']} ({entry['criticalSource']})", entry["criticalCitation"]
        )
    for prior in entry["priors"]:
        _field(console, f"before: {_cell(prior['number'])} at {prior['effective']} ({prior['observation']})")
    if not entry["newest"]:
        _field(console, "a newer result of the same analyte stands in this bundle")
    if entry["implausible"]:
        _field(console, "implausible: beyond what a living patient can have")
    if entry["problem"]:
        _field(console, f"problem: {entry['problem']}")


def _patient(patient: Json) -> str:
    parts = [
        patient["sex"] or "sex unknown",
        f"born {patient['birthDate']}" if patient["birthDate"] else "birth date unknown",
    ]
    if patient["pregnant"] is not None:
        parts.append("pregnant" if patient["pregnant"] else "not pregnant")
    if patient["heightCm"] is not None:
        parts.append(f"{patient['heightCm']:.0f} cm")
    return ", ".join(parts)


def _system(system: str | None) -> str:
    return {"http://loinc.org": "LOINC", "http://snomed.info/sct": "SNOMED CT"}.get(system or "", system or "")


def _head(console: Console, title: str, text: str) -> None:
    console.print()
    console.print(Text.assemble((title, "bold reverse"), " ", plain(text, 400)))


def _title(console: Console, number: int, name: str, value: str, code: str = "", more: str = "") -> None:
    console.print(
        Text.assemble(
            (f"#{number} ", "dim"),
            (plain(name, 120), "bold"),
            " ",
            plain(value, 120),
            " ",
            (code, CODES.get(code, "")),
            " ",
            more,
        )
    )


def _field(console: Console, *parts: str | None) -> None:
    text = " · ".join(plain(part, 600) for part in parts if part)
    console.print(Padding(Text(text), (0, 0, 0, 4), expand=False))


def _line(console: Console, text: str) -> None:
    console.print(Text(plain(text, 800)))


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "/".join(str(part) for part in value) if isinstance(value, list) else str(value)
