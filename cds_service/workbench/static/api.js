// What the page asks the service. A failure is an Outcome: what the service's OperationOutcome says, or a label of ours.

import { say } from "./words.js";

/** A failure to show: a title, lines of {text, where, code}, the HTTP status (0 where there was no answer). */
export class Outcome extends Error {
  constructor(title, issues, status) {
    super(title);
    this.issues = issues;
    this.status = status;
  }
}

/** What is in force: version, model, threshold, limits. */
export const about = () => json("workbench/about");

/** The names of the shipped examples. */
export const examples = () => json("workbench/examples");

/** The text of one example. */
export async function example(name) {
  return (await ask(`workbench/examples/${encodeURIComponent(name)}`)).text();
}

/** Judges a bundle: {response, explanation}, and the milliseconds that it took as seen from here. */
export async function explain(text, language) {
  const began = performance.now();
  const response = await ask(`workbench/explain?language=${language}`, {
    method: "POST",
    headers: { "content-type": "application/fhir+json" },
    body: text,
  });
  const answer = await response.json();
  return { ...answer, round: performance.now() - began };
}

/** Sends feedback on one card to the CDS Hooks endpoint; the status and the body as it came. */
export async function feedback(address, entry) {
  const response = await ask(address, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ feedback: [entry] }),
  });
  return { status: response.status, body: await response.text() };
}

async function json(address) {
  return (await ask(address)).json();
}

async function ask(address, request = {}) {
  let response;
  try {
    response = await fetch(address, { ...request, credentials: "same-origin", redirect: "error" });
  } catch {
    throw new Outcome(say("failed-network"), [], 0);
  }
  if (!response.ok) throw await refused(response);
  return response;
}

async function refused(response) {
  let issues = [];
  try {
    const outcome = await response.json();
    issues = (outcome.issue ?? []).map((issue) => ({
      text: issue.diagnostics ?? issue.details?.text ?? "",
      where: (issue.expression ?? []).join(", "),
      code: issue.details?.coding?.[0]?.code ?? issue.code ?? "",
      title: issue.details?.text ?? "",
    }));
  } catch {
    // not an OperationOutcome: the status speaks for itself
  }
  return new Outcome(issues[0]?.title || say("status", { status: response.status }), issues, response.status);
}
