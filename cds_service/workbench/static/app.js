// The page: judges what the input holds, and shows the answer.

import { about, examples, explain, Outcome } from "./api.js";
import { bar, hatching } from "./bar.js";
import { cards } from "./cards.js";
import { clean, h, icon, put } from "./dom.js";
import { FIRST, titleOf } from "./examples.js";
import { findings } from "./findings.js";
import * as input from "./input.js";
import { joined } from "./model.js";
import { json, missing, prompt, time } from "./panels.js";
import { open, reset, results } from "./results.js";
import { tabs } from "./tabs.js";
import { trends } from "./trends.js";
import { number, say, speak, spoken } from "./words.js";

const EMBLEM = {
  code: "H",
  number: 6.1,
  position: 2.25,
  limits: { low: 3.5, high: 5.1 },
  criticalLimits: { low: 2.8, high: 6.2 },
  intervalSource: "lab",
  priors: [{ number: 4.2 }],
};
const output = document.getElementById("output");
let known = { examples: [], about: null };
let judged = null;
let tab = "cards";
let run = 0;

async function begin() {
  document.body.append(hatching());
  themed();
  for (const radio of document.getElementsByName("language")) radio.addEventListener("change", () => translate(radio.value));
  input.listen({ judge, failed, limit: () => known.about?.maxBundleBytes });
  empty();
  try {
    const [names, facts] = await Promise.all([examples(), about()]);
    known = { examples: names, about: facts };
  } catch (error) {
    if (!(error instanceof Outcome)) throw error;
    failed(error);
  }
  const wanted = known.about?.language ?? "en";
  document.getElementById(`language-${wanted}`).checked = true;
  translate(wanted);
}

/** The language of labels and cards; what was judged is judged again, since cards are written by the service. */
function translate(language) {
  speak(language);
  input.offer(known.examples);
  facts();
  if (judged) judge({ quiet: true });
  else if (!output.dataset.failed) empty();
}

function facts() {
  const { about: told } = known;
  if (!told) return;
  const model = told.model
    ? say("model-is", { name: `${clean(told.model.name, 40)} ${clean(told.model.version, 20)}` })
    : told.degraded
      ? say("degraded", { reason: clean(told.degraded, 80) })
      : say("model-none");
  put(document.getElementById("facts"), h("span", {}, `LabCue ${told.version}`), h("span", {}, model));
}

async function judge({ quiet = false } = {}) {
  const text = input.text();
  if (!text.trim()) {
    failed(new Outcome(say("failed-empty"), [], 0));
    return;
  }
  const button = document.getElementById("judge");
  const mine = ++run;
  button.setAttribute("aria-busy", "true");
  output.setAttribute("aria-busy", "true");
  try {
    const answer = await explain(text, spoken());
    if (mine !== run) return;
    if (!quiet) reset();
    judged = joined(answer);
    show(judged, quiet);
  } catch (error) {
    if (!(error instanceof Outcome)) throw error;
    if (mine === run) failed(error);
  } finally {
    if (mine === run) {
      button.removeAttribute("aria-busy");
      output.removeAttribute("aria-busy");
    }
  }
}

function show(view, quiet) {
  delete output.dataset.failed;
  area().removeAttribute("aria-invalid");
  const go = (paths) => {
    parts.choose("results");
    if (!open(paths[0])) {
      parts.forget("results");
      parts.choose("results");
      open(paths[0]);
    }
    for (const path of paths.slice(0, 40)) document.getElementById(`result-${path}`)?.classList.add("pointed");
  };
  const parts = tabs(
    [
      ["cards", view.cards.length, () => cards(view, { go, address: known.about?.feedback ?? "cds-services/labcue-results/feedback" })],
      ["results", view.results.length, () => results(view)],
      ["trends", view.explanation.trends.length, () => trends(view)],
      ["findings", view.explanation.patterns.length + view.explanation.derived.length, () => findings(view)],
      ["missing", view.missing.length, () => missing(view)],
      ["prompt", null, () => prompt(view)],
      ["time", null, () => time(view)],
      ["json", null, () => json(view)],
    ],
    quiet ? tab : "cards",
    (name) => (tab = name),
  );
  put(output, head(view), parts.list, parts.panel);
  if (!quiet) {
    output.querySelector("h2").focus({ preventScroll: true });
    if (output.getBoundingClientRect().top > innerHeight * 0.6) output.scrollIntoView();
  }
}

function head(view) {
  const { patient, observations, timings, degraded, resourceType } = view.explanation;
  const unassessed = view.cards.some((card) => card.indicator === "info") && !view.critical && !view.abnormal;
  const kind = view.critical ? "critical" : view.abnormal ? "warning" : unassessed ? "info" : "check";
  const key = view.critical ? (view.abnormal ? "headline-critical" : "headline-critical-alone") : view.abnormal ? "headline-abnormal" : unassessed ? "headline-unassessed" : "all-normal";
  const stat = (name, value) => h("div", { class: `stat stat-${name}` }, h("dt", {}, say(`stat-${name}`)), h("dd", {}, value));
  const who = [
    patient.sex ? say(patient.sex) : say("sex-unknown"),
    patient.birthDate ? say("born", { date: patient.birthDate }) : say("birth-unknown"),
    patient.pregnant === null ? null : say(patient.pregnant ? "pregnant" : "not-pregnant"),
  ].filter(Boolean);
  const came = observations === 1 ? say("observations-one") : say("observations", { count: observations });
  return h(
    "header",
    { class: `headline headline-${kind}` },
    h(
      "div",
      {},
      h("h2", { tabindex: "-1" }, icon(kind), say(key, { critical: view.critical, abnormal: view.abnormal, count: view.missing.length })),
      h("p", { class: "muted" }, `${resourceType}: ${came} · ${who.join(", ")}`),
    ),
    h(
      "dl",
      { class: "stats" },
      stat("results", String(view.results.length)),
      stat("missing", String(view.missing.length)),
      stat("time", number(timings.total, timings.total < 10 ? 1 : 0)),
    ),
    degraded && h("p", { class: "note" }, icon("info"), say("degraded", { reason: clean(degraded, 80) })),
  );
}

function empty() {
  const offered = FIRST.filter((name) => known.examples.includes(name));
  put(
    output,
    h(
      "div",
      { class: "empty" },
      h("div", { class: "emblem", "aria-hidden": "true" }, bar(EMBLEM)),
      h("h2", { tabindex: "-1" }, say("empty-title")),
      h("p", {}, say("empty-text")),
      h(
        "div",
        { class: "chips" },
        offered.map((name) =>
          h("button", { type: "button", class: "chip", onclick: async () => (await input.load(name, failed)) && judge() }, icon("file"), titleOf(name, spoken())),
        ),
      ),
    ),
  );
}

const area = () => document.getElementById("bundle");

function failed(error) {
  judged = null;
  output.dataset.failed = "true";
  if (error.status >= 400 && error.status < 500) area().setAttribute("aria-invalid", "true");
  const issues = error.issues.filter((issue) => issue.where || issue.text !== error.message);
  put(
    output,
    h(
      "div",
      { class: "failed", role: "alert" },
      h("h2", { tabindex: "-1" }, icon("warning"), say("failed")),
      h("p", { lang: error.status ? "en" : null }, clean(error.message, 300)),
      issues.length > 0 && h("ul", { lang: "en" }, issues.map((issue) => h("li", {}, clean(issue.text, 300)))),
      error.status > 0 && h("p", { class: "muted" }, say("status", { status: error.status }), error.issues[0]?.code && [" · ", h("code", {}, clean(error.issues[0].code, 60))]),
    ),
  );
}

function themed() {
  const now = document.documentElement.dataset.theme ?? "auto";
  document.getElementById(`theme-${now}`).checked = true;
  for (const radio of document.getElementsByName("theme")) {
    radio.addEventListener("change", () => {
      if (radio.value === "auto") delete document.documentElement.dataset.theme;
      else document.documentElement.dataset.theme = radio.value;
      try {
        if (radio.value === "auto") localStorage.removeItem("labcue-theme");
        else localStorage.setItem("labcue-theme", radio.value);
      } catch {
        // storage may be blocked: the choice holds for this page
      }
    });
  }
}

begin();
