// One chart for each test that came more than once: its numbers over time, the interval shaded, critical limits dashed.

import { mark } from "./bar.js";
import { clean, h, put, s } from "./dom.js";
import { badge } from "./results.js";
import { clock, figures, limit, look } from "./model.js";
import { say } from "./words.js";

const HEIGHT = 210;
const SIDE = { left: 46, right: 18, top: 14, bottom: 28 };
const DAY = 86_400_000;

/** The panel of trends. */
export function trends(view) {
  const found = view.explanation.trends;
  if (!found.length) {
    return h("div", { class: "nothing" }, h("h3", {}, say("no-trends")), h("p", {}, say("no-trends-text")));
  }
  return h("div", { class: "charts" }, found.map((trend) => chart(trend, view)));
}

function chart(trend, view) {
  const points = trend.points.map((point) => ({ ...point, at: Date.parse(point.effective), code: view.byPath.get(point.path)?.code ?? "N" }));
  const name = clean(trend.display, 80);
  const unit = clean(trend.unit, 40);
  const last = points.at(-1);
  const readout = h("p", { class: "readout" });
  const plot = h("div", {
    class: "plot",
    role: "slider",
    tabindex: "0",
    "aria-label": say("trend-label", { name, count: points.length, from: clock(points[0].effective), to: clock(last.effective) }),
    "aria-valuemin": 1,
    "aria-valuemax": points.length,
  });
  const show = (index) => {
    plot.dataset.index = String(index);
    plot.setAttribute("aria-valuenow", String(index + 1));
    const point = points[index];
    plot.setAttribute("aria-valuetext", `${clock(point.effective)}: ${clean(point.value, 60)}, ${say(point.code)}`);
    put(readout, h("strong", {}, clean(point.value, 60)), badge(point.code), h("span", { class: "when" }, clock(point.effective)));
    for (const shape of plot.querySelectorAll("[data-point]")) shape.classList.toggle("chosen", shape.dataset.point === String(index));
  };
  plot.addEventListener("keydown", (event) => {
    const now = Number(plot.dataset.index);
    const next = { ArrowLeft: now - 1, ArrowDown: now - 1, ArrowRight: now + 1, ArrowUp: now + 1, Home: 0, End: points.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    show(Math.min(points.length - 1, Math.max(0, next)));
  });
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const x = event.clientX - box.left;
    const nearest = points.reduce((best, point, index) => (Math.abs(point.x - x) < Math.abs(points[best].x - x) ? index : best), 0);
    if (String(nearest) !== plot.dataset.index) show(nearest);
  });
  new ResizeObserver(() => {
    if (!plot.clientWidth || plot.clientWidth === Number(plot.dataset.width)) return;
    plot.dataset.width = String(plot.clientWidth);
    put(plot, draw(points, plot.clientWidth));
    show(Number(plot.dataset.index));
  }).observe(plot);
  show(points.length - 1);
  return h(
    "figure",
    { class: "trend" },
    h("figcaption", {}, h("h3", {}, name, unit && h("span", { class: "unit" }, unit)), readout),
    plot,
    trend.left > 0 && h("p", { class: "muted" }, say("trend-left", { count: trend.left })),
    table(points),
  );
}

function draw(points, width) {
  const [bottom, top] = domain(points);
  const from = points[0].at;
  const to = points.at(-1).at;
  const inner = width - SIDE.left - SIDE.right;
  const x = (time) => (to === from ? SIDE.left + inner / 2 : SIDE.left + (inner * (time - from)) / (to - from));
  const y = (value) => HEIGHT - SIDE.bottom - ((HEIGHT - SIDE.top - SIDE.bottom) * (value - bottom)) / (top - bottom);
  for (const point of points) point.x = x(point.at);
  return s(
    "svg",
    { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, "aria-hidden": "true" },
    shaded(points, width, y, bottom, top),
    ticks(bottom, top).map((value) => [
      s("line", { class: "grid", x1: SIDE.left, x2: width - SIDE.right, y1: y(value), y2: y(value) }),
      s("text", { class: "bar-text", x: SIDE.left - 8, y: y(value) + 4, "text-anchor": "end" }, figures(value)),
    ]),
    critical(points, width, y, bottom, top),
    s("path", { class: "trend-line", d: points.map((point, index) => `${index ? "L" : "M"}${point.x.toFixed(1)} ${y(point.number).toFixed(1)}`).join("") }),
    points.map((point, index) => {
      const shape = mark(point.code, point.x, y(point.number), points.length > 20 ? 4 : 5.5);
      shape.dataset.point = String(index);
      return shape;
    }),
    times(points, width, x),
  );
}

/** What the chart spans: the numbers and their intervals, and a critical limit that lies near. */
function domain(points) {
  const values = points.map((point) => point.number);
  let [low, high] = [Math.min(...values), Math.max(...values)];
  for (const { limits } of points) {
    if (limits?.low != null) low = Math.min(low, limits.low);
    if (limits?.high != null) high = Math.max(high, limits.high);
  }
  const room = (high - low || Math.abs(high) || 1) * 0.35;
  for (const { criticalLimits } of points) {
    if (criticalLimits?.low != null && criticalLimits.low > low - room) low = Math.min(low, criticalLimits.low);
    if (criticalLimits?.high != null && criticalLimits.high < high + room) high = Math.max(high, criticalLimits.high);
  }
  const pad = (high - low || Math.abs(high) || 1) * 0.1;
  return [low >= 0 ? Math.max(0, low - pad) : low - pad, high + pad];
}

/** The interval of each point, from half way to the point before to half way to the one after. */
function shaded(points, width, y, bottom, top) {
  return runs(points, (point) => (point.limits ? `${point.limits.low}/${point.limits.high}/${point.intervalSource}` : null), width).map(([point, from, to]) => {
    const high = y(point.limits.high ?? top);
    return s("rect", {
      class: `bar-band band-${point.intervalSource === "lab" ? "lab" : "usual"}`,
      x: from,
      y: high,
      width: Math.max(1, to - from),
      height: Math.max(1, y(point.limits.low ?? bottom) - high),
    });
  });
}

function critical(points, width, y, bottom, top) {
  return runs(points, (point) => (point.criticalLimits ? `${point.criticalLimits.low}/${point.criticalLimits.high}` : null), width).map(([point, from, to]) => {
    const { low, high } = point.criticalLimits;
    const made = [];
    if (high !== null && high < top) made.push(zone(from, to, y(top), y(high), y(high)));
    if (low !== null && low > bottom) made.push(zone(from, to, y(low), y(bottom), y(low)));
    return made;
  });
}

function zone(from, to, high, low, limit) {
  return [
    s("rect", { class: "bar-critical", x: from, y: high, width: Math.max(1, to - from), height: Math.max(0, low - high), fill: "url(#hatch)" }),
    s("line", { class: "bar-limit", x1: from, x2: to, y1: limit, y2: limit }),
  ];
}

/** Neighbouring points with the same key as one stretch: [point, from, to] in pixels. */
function runs(points, keyOf, width) {
  const found = [];
  points.forEach((point, index) => {
    const key = keyOf(point);
    if (key === null) return;
    const from = index ? (points[index - 1].x + point.x) / 2 : SIDE.left;
    const to = index < points.length - 1 ? (point.x + points[index + 1].x) / 2 : width - SIDE.right;
    const before = found.at(-1);
    if (before && before.key === key && Math.abs(before.to - from) < 0.01) before.to = to;
    else found.push({ key, point, from, to });
  });
  return found.map(({ point, from, to }) => [point, from, to]);
}

/** Three to seven round numbers. */
function ticks(bottom, top) {
  const rough = (top - bottom) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const found = [];
  for (let value = Math.ceil(bottom / step) * step; value <= top + step * 1e-9; value += step) found.push(Number(value.toPrecision(8)));
  return found;
}

/** First and last time, and those between that have room: the hour within one day, the day, or the month where a day would not say
    of which year. */
function times(points, width, x) {
  const [first, last] = [points[0], points.at(-1)];
  const span = last.at - first.at;
  const text = (point) => {
    const said = clock(point.effective);
    return span < DAY ? said.slice(11) : span < 300 * DAY ? said.slice(5, 10) : said.slice(0, 7);
  };
  const wide = 6.4 * text(first).length;
  const chosen = [[first, "start"]];
  if (span > 0) {
    let [edge, before] = [x(first.at) + wide, text(first)];
    for (const point of points.slice(1, -1)) {
      const [from, to] = [x(point.at) - wide / 2, x(point.at) + wide / 2];
      if (from < edge + 18 || to > x(last.at) - wide - 18 || text(point) === before || text(point) === text(last)) continue;
      chosen.push([point, "middle"]);
      [edge, before] = [to, text(point)];
    }
    chosen.push([last, "end"]);
  }
  return chosen.map(([point, anchor]) => s("text", { class: "bar-text", x: x(point.at), y: HEIGHT - 8, "text-anchor": anchor }, text(point)));
}

function table(points) {
  const body = h("tbody");
  const made = h(
    "details",
    {
      class: "as-table",
      ontoggle: () => {
        if (made.open && !body.firstChild) body.append(...[...points].reverse().map(tableRow));
      },
    },
    h("summary", {}, say("trend-table")),
    h("table", { class: "plain" }, h("thead", {}, h("tr", {}, ["date", "value", "interval", "flag"].map((key) => h("th", { scope: "col" }, say(key))))), body),
  );
  return made;
}

function tableRow(point) {
  const { low, high } = point.limits ?? { low: null, high: null };
  const interval = point.limits ? `${low === null ? "" : limit(low)}–${high === null ? "" : limit(high)}` : "";
  return h("tr", { class: `result-${look(point.code)}` }, h("td", {}, clock(point.effective)), h("td", {}, clean(point.value, 60)), h("td", {}, interval), h("td", {}, badge(point.code)));
}
