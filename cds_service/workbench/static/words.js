// The page's own labels, in the language in force.

import { en } from "./en.js";
import { fr } from "./fr.js";

export const WORDS = { en, fr };

let language = "en";

/** The label `key` in the language in force, its {parameters} filled in. */
export function say(key, parameters = {}) {
  if (!Object.hasOwn(WORDS[language], key)) console.error("no label", key);
  const text = WORDS[language][key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => String(parameters[name] ?? ""));
}

/** Takes a language into force and puts it on all labels that stand in the page (data-say, data-say-label). */
export function speak(wanted) {
  language = wanted === "fr" ? "fr" : "en";
  document.documentElement.lang = language;
  document.title = say("title");
  for (const element of document.querySelectorAll("[data-say]")) element.textContent = say(element.dataset.say);
  for (const element of document.querySelectorAll("[data-say-label]")) element.setAttribute("aria-label", say(element.dataset.sayLabel));
}

/** The language in force. */
export function spoken() {
  return language;
}

/** A number with `digits` decimals as the language writes it. */
export function number(value, digits) {
  return new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);
}

/** A probability with two decimals, never rounded up to certainty. */
export function share(value) {
  return number(Math.min(0.99, Math.max(value > 0 ? 0.01 : 0, value)), 2);
}
