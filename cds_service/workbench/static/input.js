// Where a bundle comes from: pasted, dropped, chosen as a file, or an example.

import { example, Outcome } from "./api.js";
import { h, put } from "./dom.js";
import { titleOf } from "./examples.js";
import { say, spoken } from "./words.js";

const area = () => document.getElementById("bundle");

/** The text to judge. */
export const text = () => area().value;

/** Sets up the input; `failed(outcome)` shows what went wrong, `judge()` judges, `limit()` is the largest bundle in bytes. */
export function listen({ judge, failed, limit }) {
  const picker = document.getElementById("file");
  picker.addEventListener("change", () => {
    if (picker.files.length) take(picker.files[0], failed, limit());
    picker.value = "";
  });
  document.getElementById("choose-file").addEventListener("click", () => picker.click());
  document.getElementById("clear").addEventListener("click", () => {
    set("");
    document.getElementById("example").value = "";
    area().focus();
  });
  document.getElementById("judge").addEventListener("click", () => judge());
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      judge();
    }
  });
  area().addEventListener("input", measured);
  document.getElementById("example").addEventListener("change", (event) => load(event.target.value, failed));
  dropping(failed, limit);
  measured();
}

/** Fills the list of examples in the language in force. */
export function offer(names) {
  const select = document.getElementById("example");
  const now = select.value;
  put(
    select,
    h("option", { value: "" }, say("example-none")),
    names.map((name) => h("option", { value: name }, titleOf(name, spoken()))),
  );
  select.value = now;
  measured();
}

/** Loads an example into the page; true where that worked. */
export async function load(name, failed) {
  if (!name) return false;
  document.getElementById("example").value = name;
  try {
    set(await example(name));
    return true;
  } catch (error) {
    if (!(error instanceof Outcome)) throw error;
    failed(new Outcome(say("failed-example"), error.issues, error.status));
    return false;
  }
}

function set(value) {
  area().value = value;
  area().scrollTop = 0;
  measured();
}

function measured() {
  const length = area().value.length;
  document.getElementById("size").textContent = length ? say("size", { size: Math.max(1, Math.round(length / 1000)) }) : "";
}

async function take(file, failed, limit) {
  if (limit && file.size > limit) {
    failed(new Outcome(say("failed-large", { size: Math.floor(limit / 1024 / 1024) }), [], 0));
    return;
  }
  try {
    set(new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer()));
    document.getElementById("example").value = "";
    document.getElementById("judge").focus();
  } catch {
    failed(new Outcome(say("failed-utf8"), [], 0));
  }
}

function dropping(failed, limit) {
  const veil = document.getElementById("drop");
  let inside = 0;
  const files = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
  addEventListener("dragenter", (event) => {
    if (!files(event)) return;
    inside += 1;
    veil.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (!files(event)) return;
    inside = Math.max(0, inside - 1);
    veil.hidden = inside === 0;
  });
  addEventListener("dragover", (event) => {
    if (files(event)) event.preventDefault();
  });
  addEventListener("drop", (event) => {
    if (!files(event)) return;
    event.preventDefault();
    inside = 0;
    veil.hidden = true;
    if (event.dataTransfer.files.length) take(event.dataTransfer.files[0], failed, limit());
  });
}
