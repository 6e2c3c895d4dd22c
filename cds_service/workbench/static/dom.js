// Making elements. Text only ever becomes text: nothing here parses HTML.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element: attributes, then children (elements, strings, null to leave out). `on*` takes a function. */
export function h(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** An SVG element. */
export function s(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A drawing from static/icons.svg's own shapes; decoration, hidden from assistive technology. */
export function icon(name) {
  const paths = ICONS[name];
  return s(
    "svg",
    { class: `icon icon-${name}`, viewBox: "0 0 20 20", width: 20, height: 20, "aria-hidden": "true" },
    paths.map((path) => s("path", path)),
  );
}

const LINE = { fill: "none", stroke: "currentColor", "stroke-width": 1.6, "stroke-linecap": "round", "stroke-linejoin": "round" };
const ICONS = {
  critical: [
    { d: "M6.3 2h7.4L18 6.3v7.4L13.7 18H6.3L2 13.7V6.3z", fill: "currentColor" },
    { d: "M10 5.8v5M10 13.9v.2", ...LINE, stroke: "var(--surface)", "stroke-width": 2 },
  ],
  warning: [
    { d: "M10 2.5 18.5 17.2h-17z", fill: "currentColor", stroke: "currentColor", "stroke-width": 1.5, "stroke-linejoin": "round" },
    { d: "M10 7.6v4.2M10 14.4v.2", ...LINE, stroke: "var(--surface)", "stroke-width": 2 },
  ],
  info: [
    { d: "M10 1.8a8.2 8.2 0 1 1 0 16.4 8.2 8.2 0 0 1 0-16.4z", fill: "currentColor" },
    { d: "M10 9.2v5M10 6v.2", ...LINE, stroke: "var(--surface)", "stroke-width": 2 },
  ],
  check: [{ d: "m3.5 10.5 4.3 4.3 8.7-9.3", ...LINE, "stroke-width": 2 }],
  chevron: [{ d: "m6 8 4 4 4-4", ...LINE }],
  link: [{ d: "M11.5 3.5h5v5M16.5 3.5 9 11M14 11.5v4a1 1 0 0 1-1 1H4.5a1 1 0 0 1-1-1V7a1 1 0 0 1 1-1h4", ...LINE }],
  copy: [{ d: "M7.5 7.5h9v9h-9zM12.5 7.5v-4h-9v9h4", ...LINE }],
  file: [{ d: "M5 2.5h6.5L15.5 6.5v11H5zM11.5 2.5v4h4", ...LINE }],
  plus: [{ d: "M10 4.5v11M4.5 10h11", ...LINE }],
};

/** Replaces what an element holds. */
export function put(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}]/gu;

/** Text from a bundle as one line: without characters that are invisible or turn the line around, cut at `limit`. */
export function clean(text, limit = 160) {
  const line = String(text ?? "")
    .replace(/\s+/gu, " ")
    .replace(HIDDEN, "")
    .trim();
  const characters = [...line.slice(0, limit * 2 + 2)];
  return characters.length <= limit ? line : characters.slice(0, limit - 1).join("").trimEnd() + "…";
}

/** Text that is shown exactly, with what can't be seen written as \uXXXX. */
export function exact(text) {
  return String(text).replace(/(?![\n\t])[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}]/gu, (character) =>
    Array.from({ length: character.length }, (_, at) => "\\u" + character.charCodeAt(at).toString(16).padStart(4, "0")).join(""),
  );
}

/** A button that copies what `text()` gives, and says so. */
export function copyButton(label, done, text) {
  const said = h("span", {}, label);
  const button = h("button", { type: "button", class: "quiet small", onclick: copy }, icon("copy"), said);
  async function copy() {
    try {
      await navigator.clipboard.writeText(text());
    } catch {
      const area = h("textarea", { class: "unseen", "aria-hidden": "true", tabindex: "-1" });
      area.value = text();
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
      button.focus();
    }
    said.textContent = done;
    said.setAttribute("role", "status");
    setTimeout(() => {
      said.textContent = label;
      said.removeAttribute("role");
    }, 2000);
  }
  return button;
}
