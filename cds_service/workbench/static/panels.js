// The plainer panels: what was not assessed, the prompt, the time, the JSON.

import { clean, copyButton, exact, h, put, s } from "./dom.js";
import { number, say } from "./words.js";

const BENIGN = new Set(["entered-in-error", "cancelled", "superseded", "group", "not-laboratory", "not-interpretable"]);

/** What was not assessed, by reason. */
export function missing(view) {
  const reasons = new Map();
  for (const entry of view.missing) reasons.set(entry.code, [...(reasons.get(entry.code) ?? []), entry]);
  if (!reasons.size) {
    return h("div", { class: "nothing" }, h("h3", {}, say("nothing-missing")), h("p", {}, say("nothing-missing-text")));
  }
  const groups = [...reasons];
  const part = (key, wanted) => {
    const found = groups.filter(([code]) => BENIGN.has(code) === wanted);
    return found.length > 0 && h("section", { class: "reasons" }, h("h3", {}, say(key)), found.map(([code, entries]) => reason(code, entries)));
  };
  return h("div", {}, part("missing-should", false), part("missing-benign", true), h("p", { class: "muted" }, say("missing-rule")));
}

function reason(code, entries) {
  return h(
    "article",
    { class: "reason" },
    h("h4", {}, clean(entries[0].reason, 240), h("code", {}, code), h("span", { class: "badge" }, String(entries.length))),
    h(
      "ul",
      {},
      entries.map((entry) =>
        h(
          "li",
          {},
          entry.name && h("span", {}, h("strong", {}, clean(entry.name, 80)), entry.read && ` ${clean(entry.read.value, 60)}`),
          entry.detail && h("span", {}, clean(entry.detail, 200)),
          h("span", { class: "muted" }, clean(entry.observation ?? "", 120)),
          h("code", { class: "muted" }, clean(entry.path, 160)),
        ),
      ),
    ),
  );
}

/** The exact prompt, its slots marked. */
export function prompt(view) {
  const { explanation } = view;
  const lines = explanation.prompt.split("\n");
  return h(
    "div",
    {},
    h(
      "div",
      { class: "tools" },
      h("p", { class: "muted grow" }, say(explanation.scores ? "prompt-was" : "prompt-would"), " ", say("prompt-version", { version: explanation.promptVersion })),
      copyButton(say("copy"), say("copied"), () => explanation.prompt),
    ),
    h(
      "pre",
      { class: "prompt", tabindex: "0", role: "region", "aria-label": say("tab-prompt") },
      lines.map((line, index) => {
        const end = index < lines.length - 1 ? "\n" : "";
        return line.endsWith(" =>") ? [exact(line.slice(0, -2)), h("mark", {}, "=>"), end] : exact(line) + end;
      }),
    ),
  );
}

/** The time per step. */
export function time(view) {
  const { total, ...steps } = view.explanation.timings;
  const entries = Object.entries(steps);
  let from = 0;
  const strip = s(
    "svg",
    { class: "strip", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
    entries.map(([, spent], index) => {
      const width = (100 * spent) / total;
      const part = s("rect", { class: `strip-${index}`, x: from, y: 0, width: Math.max(0, width - 0.25), height: 8 });
      from += width;
      return part;
    }),
  );
  return h(
    "div",
    { class: "time" },
    h("p", {}, say("time-intro", { total: number(total, 2), round: number(view.round, 0) })),
    strip,
    h(
      "table",
      { class: "plain" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, say("time-step")), h("th", { scope: "col", class: "figure" }, say("time-ms")), h("th", { scope: "col", class: "figure" }, say("time-share")))),
      h(
        "tbody",
        {},
        entries.map(([step, spent], index) => line(step, spent, total, swatch(index))),
        line("total", total, total, null),
      ),
    ),
  );
}

function line(step, spent, total, mark) {
  return h("tr", {}, h("th", { scope: "row" }, mark, say(`step-${step}`)), h("td", { class: "figure" }, number(spent, 2)), h("td", { class: "figure" }, `${number((100 * spent) / total, 0)} %`));
}

function swatch(index) {
  return s("svg", { class: "swatch", viewBox: "0 0 10 10", width: 10, height: 10, "aria-hidden": "true" }, s("rect", { class: `strip-${index}`, width: 10, height: 10, rx: 3 }));
}

/** The raw JSON: the CDS Hooks response, or the explanation. */
export function json(view) {
  const kinds = { response: view.response, explanation: view.explanation };
  let kind = "response";
  const text = () => JSON.stringify(kinds[kind], null, 2);
  const shown = h("pre", { class: "json", tabindex: "0", role: "region", "aria-label": say("tab-json") });
  const intro = h("p", { class: "muted grow" });
  const draw = () => {
    put(shown, exact(text()));
    intro.textContent = say(kind === "response" ? "json-intro" : "json-intro-explanation");
  };
  const choice = h(
    "fieldset",
    { class: "segmented" },
    h("legend", { class: "unseen" }, say("json-which")),
    Object.keys(kinds).map((name) =>
      h(
        "label",
        { class: "segment" },
        h("input", { type: "radio", name: "json-kind", value: name, checked: name === kind, onchange: () => ((kind = name), draw()) }),
        h("span", {}, say(`json-${name}`)),
      ),
    ),
  );
  draw();
  return h("div", {}, h("div", { class: "tools" }, choice, intro, copyButton(say("copy"), say("copied"), text)), shown);
}
