// GitHub Flavored Markdown as cards use it, straight into elements. No raw HTML: "<" is text. Only http and https become links.

import { h } from "./dom.js";

const ENTITIES = { amp: "&", lt: "<", gt: ">", quot: '"', nbsp: "\u00a0" };
const ESCAPABLE = /[!-/:-@[-`{-~]/;
const MAX_DEPTH = 8;

/** The elements of a Markdown text. */
export function markdown(text) {
  return blocks(String(text).replace(/\r\n?/g, "\n").split("\n"), 0);
}

function blocks(lines, depth) {
  const made = [];
  let at = 0;
  while (at < lines.length) {
    const line = lines[at];
    if (!line.trim()) {
      at += 1;
    } else if (/^ {0,3}(```|~~~)/.test(line)) {
      const fence = line.trim().slice(0, 3);
      let end = at + 1;
      while (end < lines.length && !lines[end].trim().startsWith(fence)) end += 1;
      made.push(h("pre", {}, h("code", {}, lines.slice(at + 1, end).join("\n"))));
      at = end + 1;
    } else if (/^ {0,3}#{1,6}\s/.test(line)) {
      made.push(h("p", { class: "md-heading" }, inline(line.trim().replace(/^#+\s+/, "").replace(/\s+#+$/, ""))));
      at += 1;
    } else if (/^ {0,3}([-*_])( *\1){2,} *$/.test(line)) {
      made.push(h("hr"));
      at += 1;
    } else if (isTable(lines, at)) {
      at = table(lines, at, made);
    } else if (/^ {0,3}>/.test(line) && depth < MAX_DEPTH) {
      const inner = [];
      while (at < lines.length && /^ {0,3}>/.test(lines[at])) inner.push(lines[at++].replace(/^ {0,3}> ?/, ""));
      made.push(h("blockquote", {}, blocks(inner, depth + 1)));
    } else if (ITEM.test(line)) {
      at = list(lines, at, made);
    } else {
      const start = at;
      do at += 1;
      while (at < lines.length && lines[at].trim() && !begins(lines, at));
      made.push(paragraph(lines.slice(start, at)));
    }
  }
  return made;
}

const ITEM = /^ {0,3}(?:[-*+]|\d{1,9}[.)])\s+(.*)$/;

function begins(lines, at) {
  return /^ {0,3}(```|~~~|#{1,6}\s|>)/.test(lines[at]) || ITEM.test(lines[at]) || isTable(lines, at);
}

function paragraph(lines) {
  const made = h("p");
  lines.forEach((line, index) => {
    const hard = index < lines.length - 1 && /(?: {2,}|\\)$/.test(line);
    made.append(...inline(line.trim().replace(hard ? /\\$/ : /$^/, "")));
    if (index < lines.length - 1) made.append(hard ? h("br") : " ");
  });
  return made;
}

function list(lines, at, made) {
  const ordered = /^ {0,3}\d/.test(lines[at]);
  const items = [];
  while (at < lines.length) {
    const found = ITEM.exec(lines[at]);
    if (found && /^ {0,3}\d/.test(lines[at]) === ordered) items.push([found[1]]);
    else if (/^ {2,}\S/.test(lines[at]) && items.length) items.at(-1).push(lines[at]);
    else break;
    at += 1;
  }
  made.push(h(ordered ? "ol" : "ul", {}, items.map((item) => h("li", {}, inline(item.join(" "))))));
  return at;
}

function isTable(lines, at) {
  return (
    lines[at].includes("|") &&
    at + 1 < lines.length &&
    /^ {0,3}\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/.test(lines[at + 1]) &&
    lines[at + 1].includes("-") &&
    cells(lines[at]).length === cells(lines[at + 1]).length
  );
}

/** The cells of a table line; an escaped bar stays in its cell. */
function cells(line) {
  const found = [""];
  const inner = line.trim().replace(/^\|/, "");
  for (let at = 0; at < inner.length; at += 1) {
    if (inner[at] === "\\" && at + 1 < inner.length) found[found.length - 1] += inner[at] + inner[++at];
    else if (inner[at] === "|") found.push("");
    else found[found.length - 1] += inner[at];
  }
  if (found.length > 1 && !found.at(-1).trim()) found.pop();
  return found.map((cell) => cell.trim());
}

/** Roles are said once more, since a narrow page shows the rows as blocks, which hides what they are. */
function table(lines, at, made) {
  const head = cells(lines[at]);
  const rows = [];
  at += 2;
  while (at < lines.length && lines[at].trim() && lines[at].includes("|")) rows.push(cells(lines[at++]));
  const names = head.map((cell) => inline(cell).map((node) => node.textContent ?? node).join(""));
  made.push(
    h(
      "table",
      { role: "table" },
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, head.map((cell) => h("th", { role: "columnheader", scope: "col" }, inline(cell))))),
      h(
        "tbody",
        { role: "rowgroup" },
        rows.map((row) =>
          h(
            "tr",
            { role: "row" },
            head.map((_, column) => {
              const cell = row[column] ?? "";
              return h("td", { role: "cell", "data-label": names[column], class: cell ? null : "blank" }, inline(cell));
            }),
          ),
        ),
      ),
    ),
  );
  return at;
}

/** Emphasis, code, links, escapes and entities of one line; an array of nodes and strings. */
export function inline(text, depth = 0) {
  const made = [];
  let plain = "";
  const flush = () => {
    if (plain) made.push(plain);
    plain = "";
  };
  for (let at = 0; at < text.length; ) {
    const character = text[at];
    if (character === "\\" && at + 1 < text.length && ESCAPABLE.test(text[at + 1])) {
      plain += text[at + 1];
      at += 2;
      continue;
    }
    const found = depth < MAX_DEPTH ? span(text, at, depth) : null;
    if (found) {
      flush();
      made.push(found.node);
      at = found.end;
    } else if (character === "&") {
      const entity = /^&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|(amp|lt|gt|quot|nbsp));/.exec(text.slice(at, at + 12));
      plain += entity ? decoded(entity) : "&";
      at += entity ? entity[0].length : 1;
    } else {
      plain += character;
      at += 1;
    }
  }
  flush();
  return made;
}

function decoded([, decimal, hexadecimal, name]) {
  if (name) return ENTITIES[name];
  const code = decimal ? parseInt(decimal, 10) : parseInt(hexadecimal, 16);
  return code === 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff) ? "\ufffd" : String.fromCodePoint(code);
}

function span(text, at, depth) {
  const character = text[at];
  if (character === "`") {
    const ticks = /^`+/.exec(text.slice(at))[0];
    const end = text.indexOf(ticks, at + ticks.length);
    return end < 0 ? null : { node: h("code", {}, text.slice(at + ticks.length, end).trim()), end: end + ticks.length };
  }
  for (const [mark, name] of [["**", "strong"], ["__", "strong"], ["~~", "del"], ["*", "em"], ["_", "em"]]) {
    if (!text.startsWith(mark, at) || /\s|^$/.test(text[at + mark.length] ?? "")) continue;
    if (mark[0] === "_" && /\w/.test(text[at - 1] ?? "")) continue;
    const end = closing(text, at + mark.length, mark);
    if (end > 0) return { node: h(name, {}, inline(text.slice(at + mark.length, end), depth + 1)), end: end + mark.length };
  }
  return character === "[" ? link(text, at, depth) : null;
}

/** Where an emphasis ends: an unescaped mark after something that isn't a space. */
function closing(text, from, mark) {
  for (let at = from; at < text.length; at += 1) {
    if (text[at] === "\\") at += 1;
    else if (at > from && text.startsWith(mark, at) && !/\s/.test(text[at - 1])) {
      if (mark.length === 1 && text[at + 1] === mark) at += 1;
      else if (mark[0] !== "_" || !/\w/.test(text[at + mark.length] ?? "")) return at;
    }
  }
  return -1;
}

function link(text, at, depth) {
  const found = /^\[((?:\\.|[^\]\\[])*)\]\(\s*<?([^\s<>()]*)>?(?:\s+"[^"]*")?\s*\)/.exec(text.slice(at));
  if (!found) return null;
  const inner = inline(found[1], depth + 1);
  const url = safeUrl(found[2]);
  return { node: url ? anchor(url, inner) : h("span", {}, inner), end: at + found[0].length };
}

/** A link that opens beside the page and tells its target nothing of it. */
export function anchor(url, ...children) {
  return h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, children);
}

/** The address as the browser reads it where it is http or https and absolute, else null. */
export function safeUrl(text) {
  try {
    const url = new URL(text);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch {
    return null;
  }
}
