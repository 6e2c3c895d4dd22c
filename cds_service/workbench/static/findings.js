// What several results mean together: patterns with what speaks for and against them, and calculated values.

import { clean, h, icon } from "./dom.js";
import { badge } from "./results.js";
import { say } from "./words.js";

/** The panel of findings. */
export function findings(view) {
  const { patterns, derived } = view.explanation;
  if (!patterns.length && !derived.length) {
    return h("div", { class: "nothing" }, h("h3", {}, say("no-findings")), h("p", {}, say("no-findings-text")));
  }
  return h(
    "div",
    {},
    patterns.length > 0 && h("section", { class: "reasons" }, h("h3", {}, say("patterns")), patterns.map((one) => pattern(one, view))),
    derived.length > 0 && h("section", { class: "reasons" }, h("h3", {}, say("derived")), h("ul", { class: "results derived" }, derived.map((one) => calculated(one, view)))),
  );
}

function pattern(one, view) {
  const kind = ["critical", "warning", "info"].includes(one.severity) ? one.severity : "info";
  return h(
    "article",
    { class: `reason pattern card-${kind}` },
    h("h4", {}, h("span", { class: "indicator" }, icon(kind), h("span", { class: "unseen" }, say(kind))), clean(one.title, 160)),
    h("p", {}, clean(one.text, 600)),
    h(
      "dl",
      { class: "evidence" },
      fact("from-results", names(one.paths, view)),
      one.for.length > 0 && fact("speaks-for", one.for.map((line) => h("div", {}, clean(line, 200)))),
      one.against.length > 0 && fact("speaks-against", one.against.map((line) => h("div", {}, clean(line, 200)))),
      fact("source", h("cite", {}, clean(one.citation, 300))),
    ),
  );
}

function calculated(one, view) {
  return h(
    "li",
    { class: "result" },
    h("div", { class: "name" }, h("strong", {}, clean(one.name, 120)), h("span", { class: "when" }, say("from-results"), " ", names(one.paths, view))),
    h("div", { class: "value" }, clean(one.value, 60)),
    h("div", { class: "flag" }, one.code && badge(one.code)),
    h("div", { class: "muted" }, clean(one.interval ?? "", 60)),
    h("div", { class: "cited" }, one.reported && h("p", {}, clean(one.reported, 200)), h("cite", {}, clean(one.citation, 400))),
  );
}

function fact(key, value) {
  return h("div", {}, h("dt", {}, say(key)), h("dd", {}, value));
}

/** The names of results by path, each once. */
function names(paths, view) {
  return [...new Set(paths.map((path) => view.byPath.get(path)?.name ?? path))].join(", ");
}
