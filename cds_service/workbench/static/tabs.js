// Tabs as the ARIA practice has them: arrow keys move, the chosen panel is drawn when it is first seen.

import { h, put } from "./dom.js";
import { say } from "./words.js";

/** Tabs over `parts` ([name, count or null, draw]); returns the elements and `choose(name)`. `chosen` is told. */
export function tabs(parts, first, chosen) {
  const panel = h("div", { role: "tabpanel", id: "panel", tabindex: "-1" });
  const list = h("div", { role: "tablist", class: "tabs", "aria-label": say("parts"), onkeydown: move });
  const drawn = new Map();
  const buttons = parts.map(([name, count]) =>
    h(
      "button",
      { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "panel", onclick: () => choose(name) },
      say(`tab-${name}`),
      count === null ? null : h("span", { class: "badge" }, String(count)),
    ),
  );
  list.append(...buttons);

  function choose(name) {
    const at = Math.max(0, parts.findIndex(([one]) => one === name));
    buttons.forEach((button, index) => {
      button.setAttribute("aria-selected", String(index === at));
      button.tabIndex = index === at ? 0 : -1;
    });
    const [found, , draw] = parts[at];
    if (!drawn.has(found)) drawn.set(found, draw());
    put(panel, drawn.get(found));
    panel.setAttribute("aria-labelledby", `tab-${found}`);
    buttons[at].scrollIntoView({ block: "nearest", inline: "nearest" });
    chosen(found);
  }

  function move(event) {
    const now = buttons.findIndex((button) => button.getAttribute("aria-selected") === "true");
    const next = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    const at = (next + buttons.length) % buttons.length;
    choose(parts[at][0]);
    buttons[at].focus();
  }

  /** Draws a panel anew when it is next seen. */
  const forget = (name) => drawn.delete(name);
  choose(first);
  return { list, panel, choose, forget };
}
