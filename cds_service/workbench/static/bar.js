// A result on its interval: the interval always in the same place, what lies beyond it on a compressed scale.

import { s } from "./dom.js";
import { limit, look } from "./model.js";
import { say } from "./words.js";

const WIDTH = 220;
const HEIGHT = 46;
const MIDDLE = 23;
const LOW = 0.31;
const HIGH = 0.69;
const REACH = HIGH - 0.5;
const EDGE = 0.5 - REACH - 0.02;
const HALF_WAY = 2.5;

/** Where a signed position (-1 low limit, +1 high limit) lies, 0 to 1: linear inside, then compressed, never off the bar. */
export function along(position) {
  const distance = Math.abs(position);
  if (distance <= 1) return 0.5 + REACH * position;
  const beyond = (distance - 1) / (distance - 1 + HALF_WAY);
  return 0.5 + Math.sign(position) * (REACH + EDGE * beyond);
}

/** As fhir_adapter.intervals.position has it. */
export function position(number, { low, high }) {
  if (low !== null && high !== null) {
    const half = (high - low) / 2;
    if (half > 0) return (number - (low + high) / 2) / half;
    const distance = (number - high) / (Math.abs(high) || 1);
    return distance + Math.sign(distance);
  }
  if (high !== null) return (number - high) / (Math.abs(high) || 1) + 1;
  return (number - low) / (Math.abs(low) || 1) - 1;
}

/** The mark of a flag: circle, triangle down or up, square, diamond. */
export function mark(code, x, y, size = 6) {
  const kind = look(code);
  const shape = {
    normal: () => s("circle", { cx: x, cy: y, r: size * 0.9 }),
    low: () => s("path", { d: `M${x - size} ${y - size * 0.8}h${size * 2}l${-size} ${size * 1.8}z` }),
    high: () => s("path", { d: `M${x - size} ${y + size * 0.8}h${size * 2}l${-size} ${-size * 1.8}z` }),
    abnormal: () => s("rect", { x: x - size * 0.85, y: y - size * 0.85, width: size * 1.7, height: size * 1.7 }),
    urgent: () => s("path", { d: `M${x} ${y - size * 1.35}l${size * 1.35} ${size * 1.35}l${-size * 1.35} ${size * 1.35}l${-size * 1.35} ${-size * 1.35}z` }),
  }[kind]();
  shape.setAttribute("class", `mark mark-${kind}`);
  return shape;
}

/** The bar of a result, or null where it has no number or nothing to lie on. */
export function bar(result) {
  const frame = result.limits ?? result.criticalLimits;
  if (result.number === null || !frame || (frame.low === null && frame.high === null)) return null;
  const at = (number) => along(position(number, frame)) * WIDTH;
  const parts = [s("line", { class: "bar-axis", x1: 4, x2: WIDTH - 4, y1: MIDDLE, y2: MIDDLE })];
  if (result.criticalLimits) parts.push(...zones(result.criticalLimits, at));
  if (result.limits) parts.push(...band(result));
  if (result.priors?.length) {
    const before = at(result.priors[0].number);
    parts.push(s("circle", { class: "bar-prior", cx: before, cy: MIDDLE, r: 4 }));
  }
  parts.push(mark(result.code, at(result.number), MIDDLE));
  return s("svg", { class: "bar", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": described(result) }, parts);
}

function band(result) {
  const { low, high } = result.limits;
  const from = low === null ? 2 : LOW * WIDTH;
  const to = high === null ? WIDTH - 2 : HIGH * WIDTH;
  const kind = result.intervalSource === "lab" ? "lab" : "usual";
  const parts = [s("rect", { class: `bar-band band-${kind}`, x: from, y: MIDDLE - 7, width: to - from, height: 14, rx: 4 })];
  if (low !== null) parts.push(label(from, HEIGHT - 3, limit(low)));
  if (high !== null) parts.push(label(to, HEIGHT - 3, limit(high)));
  return parts;
}

function zones({ low, high }, at) {
  const parts = [];
  for (const [one, from, to] of [
    [low, 2, low === null ? 0 : at(low)],
    [high, high === null ? 0 : at(high), WIDTH - 2],
  ]) {
    if (one === null) continue;
    const edge = one === low ? to : from;
    parts.push(
      s("rect", { class: "bar-critical", x: from, y: MIDDLE - 7, width: Math.max(0, to - from), height: 14, rx: 4, fill: "url(#hatch)" }),
      s("line", { class: "bar-limit", x1: edge, x2: edge, y1: MIDDLE - 10, y2: MIDDLE + 10 }),
      label(edge, 9, limit(one)),
    );
  }
  return parts;
}

function label(x, y, text) {
  const inside = Math.min(WIDTH - 3, Math.max(3, x));
  const anchor = x < 16 ? "start" : x > WIDTH - 16 ? "end" : "middle";
  return s("text", { class: "bar-text", x: inside, y, "text-anchor": anchor }, text);
}

/** The bar in words. */
export function described(result) {
  const words = { value: result.shown, word: say(result.code), interval: result.interval, source: say(`source-${result.intervalSource}`) };
  const inside = result.position !== null && Math.abs(result.position) <= 1;
  const key = !result.limits ? "bar-alone" : inside && result.code === "N" ? "bar-inside" : "bar-outside";
  const limits = result.critical_text ?? (result.criticalLimits ? shownLimits(result.criticalLimits) : null);
  return say(key, words) + (limits ? `; ${say("bar-critical", { limits })}` : "");
}

/** "2.8-6.2", "≤ 6.2", "≥ 2.8". */
export function shownLimits({ low, high }) {
  if (low !== null && high !== null) return `${limit(low)}-${limit(high)}`;
  return high !== null ? `≤ ${limit(high)}` : `≥ ${limit(low)}`;
}

/** The hatching that all bars and charts share; it stands once in the page. */
export function hatching() {
  return s(
    "svg",
    { width: 0, height: 0, "aria-hidden": "true", class: "unseen" },
    s(
      "defs",
      {},
      s(
        "pattern",
        { id: "hatch", width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
        s("rect", { width: 5, height: 5, class: "hatch-ground" }),
        s("line", { x1: 0, y1: 0, x2: 0, y2: 5, class: "hatch-line" }),
      ),
    ),
  );
}
