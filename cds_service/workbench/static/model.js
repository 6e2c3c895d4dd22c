// The answer of the service, joined by path into one object a result.

import { clean } from "./dom.js";

export const CRITICAL = ["LL", "HH", "AA"];
const URGENCY = { LL: 0, HH: 0, AA: 0, L: 1, H: 1, A: 1, N: 2 };

/** {results, byPath, missing, …}: what the panels draw. */
export function joined({ response, explanation, round }) {
  const read = new Map(explanation.read.map((entry) => [entry.path, entry]));
  const placed = new Map(explanation.normalized.map((entry) => [entry.path, entry]));
  const scores = new Map((explanation.scores ?? []).map((entry) => [entry.path, entry]));
  const basis = new Map();
  for (const rule of explanation.rules) basis.set(rule.path, [...(basis.get(rule.path) ?? []), rule]);
  const results = explanation.verdict.map((flag) => ({
    ...read.get(flag.path),
    ...placed.get(flag.path),
    ...flag,
    name: clean(placed.get(flag.path).display || read.get(flag.path).name, 80),
    shown: clean(placed.get(flag.path).shown, 80),
    rules: basis.get(flag.path) ?? [],
    score: scores.get(flag.path) ?? null,
  }));
  return {
    response,
    explanation,
    round,
    results,
    byPath: new Map(results.map((result) => [result.path, result])),
    missing: explanation.notAssessed.map((entry) => ({ ...entry, read: read.get(entry.path) ?? null })),
    cards: response.cards,
    critical: results.filter((result) => result.critical).length,
    abnormal: results.filter((result) => result.abnormal && !result.critical).length,
  };
}

/** The results, the most urgent first, else in the order they were sent. */
export function byUrgency(results) {
  return [...results].sort((one, other) => URGENCY[one.code] - URGENCY[other.code]);
}

/** How a flag is drawn: shape and colour say the same, so that neither is needed alone. */
export function look(code) {
  if (CRITICAL.includes(code)) return "urgent";
  return { N: "normal", L: "low", H: "high", A: "abnormal" }[code] ?? "normal";
}

/** The laboratory's own clock: "2026-03-04 06:30". */
export function clock(effective) {
  return effective ? effective.slice(0, 16).replace("T", " ") : "";
}

/** A number as short as it can be without losing what was meant. */
export function figures(value) {
  return String(Number(Number(value).toPrecision(5)));
}

/** A limit: as it was given, or in three figures where its many come of a conversion ("26.866"). */
export function limit(value) {
  const number = Number(value);
  const given = Number(number.toPrecision(4)) === Number(number.toPrecision(9));
  if (given) return String(Number(number.toPrecision(9)));
  return Math.abs(number) >= 1000 ? String(Math.round(number)) : String(Number(number.toPrecision(3)));
}
