// Each result on its interval bar, with who flagged it; its details open on demand.

import { bar, mark, shownLimits } from "./bar.js";
import { clean, h, icon, put, s } from "./dom.js";
import { byUrgency, clock, figures, look } from "./model.js";
import { number, say, share } from "./words.js";

const STEP = 200;
const state = { filter: "all", order: "sent", search: "", most: STEP };

/** The panel of results. */
export function results(view) {
  if (state.filter === "critical" && !view.critical) state.filter = "all";
  const list = h("ol", { class: "results", id: "results-list" });
  const count = h("p", { class: "muted count", role: "status" });
  const more = h("div", { class: "more" });
  const draw = () => drawn(view, list, count, more, draw);
  const again = (name) => (event) => {
    state[name] = event.target.value;
    state.most = STEP;
    draw();
  };
  const panel = h(
    "div",
    {},
    h(
      "div",
      { class: "tools" },
      choice("filter", [["all", "filter-all", view.results.length], ["abnormal", "filter-abnormal", view.abnormal + view.critical], ["critical", "filter-critical", view.critical]], again("filter")),
      choice("order", [["sent", "order-sent"], ["urgent", "order-urgent"]], again("order")),
      h("label", { class: "find" }, h("span", { class: "unseen" }, say("search")), h("input", { type: "search", placeholder: say("search"), value: state.search, oninput: again("search"), id: "find" })),
    ),
    legend(view),
    h("div", { class: "row row-head", "aria-hidden": "true" }, ["column-name", "column-value", "flag", "column-bar", "column-by"].map((key) => h("span", {}, say(key)))),
    list,
    more,
    count,
  );
  draw();
  return panel;
}

/** Opens a result and moves there; false where filter or search leave it out, which are then taken away for the next drawing. */
export function open(path) {
  if (!document.getElementById(rowId(path))) {
    Object.assign(state, { filter: "all", search: "", most: Infinity });
    return false;
  }
  const row = document.getElementById(rowId(path));
  const button = row.querySelector("button");
  if (button.getAttribute("aria-expanded") !== "true") button.click();
  row.scrollIntoView({ block: "center" });
  button.focus();
  return true;
}

/** Forgets filter and search: another bundle has other names. */
export function reset() {
  Object.assign(state, { filter: "all", search: "", most: STEP });
}

function rowId(path) {
  return `result-${path}`;
}

function choice(name, options, changed) {
  return h(
    "fieldset",
    { class: "segmented" },
    h("legend", { class: "unseen" }, say(name)),
    options.map(([value, key, count]) =>
      h(
        "label",
        { class: "segment" },
        h("input", { type: "radio", name, value, checked: state[name] === value, disabled: count === 0 && value !== "all", onchange: changed }),
        h("span", {}, say(key), count === undefined ? null : h("span", { class: "badge" }, String(count))),
      ),
    ),
  );
}

function drawn(view, list, count, more, draw) {
  const wanted = state.search.trim().toLocaleLowerCase();
  const ordered = state.order === "urgent" ? byUrgency(view.results) : view.results;
  const found = ordered.filter(
    (result) =>
      (state.filter === "all" || (state.filter === "critical" ? result.critical : result.abnormal)) &&
      (!wanted || `${result.name} ${result.loinc ?? ""}`.toLocaleLowerCase().includes(wanted)),
  );
  const shown = found.slice(0, state.most);
  put(list, shown.map((result) => row(result, view)));
  const rest = found.length - shown.length;
  const next = Math.min(rest, STEP);
  put(
    more,
    rest > 0 && h("button", { type: "button", class: "quiet", onclick: () => ((state.most += STEP), draw()) }, say("show-more", { count: next })),
  );
  count.textContent = found.length ? say("shown-of", { shown: shown.length, total: view.results.length }) : say("no-results");
}

function row(result, view) {
  const id = rowId(result.path);
  const detail = h("div", { class: "detail", id: `${id}-detail`, hidden: true });
  const toggle = h(
    "button",
    { type: "button", class: "disclose", "aria-expanded": "false", "aria-controls": detail.id, "aria-label": say("details", { name: result.name }) },
    icon("chevron"),
  );
  const flip = () => {
    const open = toggle.getAttribute("aria-expanded") !== "true";
    if (open && !detail.firstChild) detail.append(details(result, view));
    toggle.setAttribute("aria-expanded", String(open));
    detail.hidden = !open;
  };
  const line = h(
    "div",
    {
      class: "row",
      onclick: (event) => {
        if (toggle.contains(event.target) || !String(getSelection())) flip();
      },
    },
    h("div", { class: "name" }, h("strong", {}, result.name), h("span", { class: "when" }, clock(result.effective))),
    h("div", { class: "value" }, result.shown),
    h("div", { class: "flag" }, badge(result.code)),
    h("div", { class: "where" }, where(result)),
    h("div", { class: "by" }, judged(result)),
    toggle,
  );
  return h("li", { id, class: `result result-${look(result.code)}` }, line, detail);
}

/** The code of a flag with its shape and word. */
export function badge(code) {
  const drawing = s("svg", { viewBox: "0 0 18 18", width: 14, height: 14, "aria-hidden": "true" }, mark(code, 9, 9, 6));
  return h("span", { class: `code code-${look(code)}`, title: say(code) }, drawing, h("abbr", {}, code), h("span", { class: "word" }, say(code)));
}

function where(result) {
  const drawing = bar(result);
  const source = result.intervalSource ? h("span", { class: "source" }, say(`source-${result.intervalSource}`)) : null;
  if (drawing) return [drawing, source];
  if (result.expected?.length) return h("span", { class: "muted" }, say("expected", { answers: clean(result.expected.join(` ${say("or")} `), 80) }));
  if (result.interval) return [h("span", { class: "muted" }, clean(result.interval, 60)), source];
  return h("span", { class: "muted" }, say("no-interval"));
}

function judged(result) {
  const below = result.abnormal && result.source === "rule" && result.probability !== null;
  const by = h("span", { class: `by-${result.source}`, title: below ? say("rule-alone") : null }, say(result.source));
  if (result.probability === null) return by;
  return [by, meter(result.probability, result.threshold)];
}

/** The model's probability with its threshold. */
export function meter(probability, threshold) {
  const label = say("probability", { p: share(probability), threshold: number(threshold, 2) });
  return h(
    "span",
    { class: `meter ${probability >= threshold ? "over" : "under"}`, title: label },
    s(
      "svg",
      { viewBox: "0 0 72 12", width: 72, height: 12, role: "img", "aria-label": label },
      s("rect", { class: "meter-ground", x: 0, y: 3, width: 72, height: 6, rx: 3 }),
      s("rect", { class: "meter-fill", x: 0, y: 3, width: Math.max(2, 72 * probability), height: 6, rx: 3 }),
      s("line", { class: "meter-line", x1: 72 * threshold, x2: 72 * threshold, y1: 0, y2: 12 }),
    ),
    h("span", { class: "figure", "aria-hidden": "true" }, share(probability)),
  );
}

function details(result, view) {
  const facts = [
    ["detail-basis", result.rules.map((rule) => basis(rule))],
    ["detail-interval", result.interval && [clean(result.interval, 80), ` (${say(`source-${result.intervalSource}`)})`, cite(result.citation)]],
    ["detail-critical", result.criticalLimits && [shownLimits(result.criticalLimits), ` (${say(`source-${result.criticalSource}`)})`, cite(result.criticalCitation)]],
    ["detail-model", result.score && say("probability", { p: number(result.score.abnormal, 4), threshold: number(result.threshold, 2) })],
    ["detail-labels", result.score && labels(result.score, view.explanation.labels)],
    ["detail-prior", result.priors.map((prior) => h("div", {}, `${figures(prior.number)} ${clean(result.unit, 40)}, ${clock(prior.effective)}`))],
    ["detail-own", result.interpretation.map((code) => clean(code, 20)).join(", ")],
    ["detail-ranges", result.ranges.map((range) => h("div", {}, rangeText(range)))],
    ["detail-canonical", result.canonical !== null && result.canonicalUnit && `${figures(result.canonical)} ${result.canonicalUnit}`],
    ["detail-time", clock(result.effective)],
    ["detail-age", result.ageYears !== null && say("years", { years: figures(Number(result.ageYears).toPrecision(3)) })],
    ["detail-status", clean(result.status, 40)],
    ["detail-codes", result.codes.map((code) => h("div", {}, `${system(code.system)} ${clean(code.code ?? say("no-code"), 60)} `, h("span", { class: "muted" }, clean(code.display ?? "", 120))))],
    ["detail-reference", clean(result.observation, 200)],
    ["detail-path", h("code", {}, clean(result.path, 200))],
  ];
  const kept = facts.filter(([, value]) => value && (!Array.isArray(value) || value.length));
  return h(
    "div",
    {},
    !result.newest && h("p", { class: "note" }, say("detail-overtaken")),
    h("dl", {}, kept.map(([key, value]) => h("div", {}, h("dt", {}, say(key)), h("dd", {}, value)))),
  );
}

function basis(rule) {
  const own = ["lab", "usual", "site", "the model"].includes(rule.source);
  return h("div", {}, clean(rule.text, 400), own ? null : cite(rule.source));
}

function cite(source) {
  return source ? h("cite", {}, clean(source, 300)) : null;
}

function labels({ probabilities }, names) {
  return names
    .map((name, at) => [name, probabilities[at]])
    .filter(([, p]) => p >= 0.005)
    .map(([name, p]) => h("span", { class: "label-p" }, `${name} ${number(p, 2)}`));
}

function rangeText(range) {
  return Object.entries(range)
    .map(([key, value]) => `${key} ${clean(Array.isArray(value) ? value.join("/") : value, 80)}`)
    .join(", ");
}

function system(uri) {
  return { "http://loinc.org": "LOINC", "http://snomed.info/sct": "SNOMED CT" }[uri] ?? clean(uri ?? "", 80);
}

function legend(view) {
  const sample = (kind, parts) => h("li", {}, s("svg", { viewBox: "0 0 26 16", width: 26, height: 16, "aria-hidden": "true" }, parts), say(`legend-${kind}`));
  return h(
    "details",
    { class: "legend", open: view.results.length <= 4 },
    h("summary", {}, say("legend")),
    h(
      "ul",
      {},
      sample("lab", s("rect", { class: "bar-band band-lab", x: 1, y: 3, width: 24, height: 10, rx: 4 })),
      sample("usual", s("rect", { class: "bar-band band-usual", x: 1, y: 3, width: 24, height: 10, rx: 4 })),
      sample("critical", s("rect", { class: "bar-critical", x: 1, y: 3, width: 24, height: 10, rx: 4, fill: "url(#hatch)" })),
      [["normal", "N"], ["low", "L"], ["high", "H"], ["abnormal", "A"], ["urgent", "HH"]].map(([kind, code]) => sample(kind, mark(code, 13, 8, 5.5))),
      sample("prior", s("circle", { class: "bar-prior", cx: 13, cy: 8, r: 4 })),
    ),
    h("p", { class: "muted" }, say("legend-scale")),
  );
}
