// The cards as an EHR draws them, and what a clinician does with them.

import { feedback, Outcome } from "./api.js";
import { clean, exact, h, icon, put } from "./dom.js";
import { anchor, markdown, safeUrl } from "./markdown.js";
import { say } from "./words.js";

const ACTIONS = ["create", "update", "delete"];

/** The panel of cards. `go(paths)` shows results; `address` is where feedback goes. */
export function cards(view, { go, address }) {
  if (!view.cards.length) {
    return h("div", { class: "nothing" }, h("h3", {}, say("no-cards")), h("p", {}, say("no-cards-text")));
  }
  return h("div", { class: "cards" }, view.cards.map((card) => drawn(card, view, go, address)));
}

function drawn(card, view, go, address) {
  const indicator = ["critical", "warning", "info"].includes(card.indicator) ? card.indicator : "info";
  const title = `card-${card.uuid}`;
  const foot = h("div", { class: "card-foot" });
  const paths = (card.extension?.["org.labcue.card"]?.paths ?? []).filter((path) => view.byPath.has(path));
  const made = h(
    "article",
    { class: `card card-${indicator}`, "aria-labelledby": title },
    h("p", { class: "indicator" }, icon(indicator), say(indicator)),
    h("h3", { id: title }, clean(card.summary, 140)),
    card.detail && h("div", { class: "md" }, markdown(card.detail)),
    h(
      "p",
      { class: "card-meta" },
      source(card.source),
      (card.links ?? []).map((link) => linked(link)),
      paths.length > 0 && h("button", { type: "button", class: "plain-link", onclick: () => go(paths) }, say("see-results")),
    ),
    foot,
  );
  offered(card, foot, address);
  return made;
}

function source(from) {
  const label = clean(from?.label ?? "", 80);
  const url = from?.url ? safeUrl(from.url) : null;
  return h("span", { class: "muted" }, say("from"), " ", url ? anchor(url, label) : label);
}

function linked(link) {
  const url = link.type === "smart" ? null : safeUrl(link.url);
  const label = clean(link.label, 120);
  return url ? anchor(url, label, " ", icon("link"), h("span", { class: "unseen" }, say("new-tab"))) : h("span", {}, label);
}

/** What can be done with a card: its suggestions, and setting it aside. */
function offered(card, foot, address) {
  const send = (entry) => sent(card, foot, address, entry);
  const all = card.suggestions ?? [];
  const suggestions = all.filter((one) => one.actions?.length).map((suggestion) => suggested(suggestion, send));
  const noted = all.filter((one) => !one.actions?.length).map((suggestion) => accepting(suggestion, send, clean(suggestion.label, 200)));
  const aside = h("button", { type: "button", class: "quiet small", onclick: () => {
    put(foot, suggestions, form);
    form.querySelector("input").focus();
  } }, say("override"));
  const form = overriding(card, send, () => {
    put(foot, suggestions, h("div", { class: "actions" }, noted, aside));
    aside.focus();
  });
  put(foot, suggestions, h("div", { class: "actions" }, noted, aside));
}

function suggested(suggestion, send) {
  const label = clean(suggestion.label, 200);
  return h(
    "section",
    { class: "suggestion", "aria-label": label },
    h(
      "div",
      {},
      h("p", { class: "suggestion-label" }, h("span", { class: "muted" }, say("suggests")), " ", h("strong", {}, label), suggestion.isRecommended && h("span", { class: "badge" }, say("recommended"))),
      (suggestion.actions ?? []).map((action) =>
        h(
          "details",
          { class: "action" },
          h("summary", {}, `${ACTIONS.includes(action.type) ? say(`action-${action.type}`) : clean(action.type, 40)}: ${clean(action.description, 240)}`),
          h("pre", { tabindex: "0" }, exact(JSON.stringify(action.resource ?? action.resourceId ?? {}, null, 2))),
        ),
      ),
    ),
    accepting(suggestion, send, say("accept")),
  );
}

function accepting(suggestion, send, text) {
  const label = clean(suggestion.label, 200);
  const name = text === label ? null : say("accept-long", { label });
  return h(
    "button",
    { type: "button", class: text === label ? "quiet small" : "primary", "aria-label": name, onclick: () => send({ outcome: "accepted", acceptedSuggestions: [{ id: suggestion.uuid }] }) },
    icon("check"),
    text,
  );
}

function overriding(card, send, close) {
  const reasons = card.overrideReasons ?? [];
  const name = `reason-${card.uuid}`;
  const comment = h("textarea", { rows: 2, id: `comment-${card.uuid}`, maxlength: 4000, "aria-describedby": `hint-${card.uuid}` });
  const form = h(
    "form",
    {
      class: "override",
      onsubmit: (event) => {
        event.preventDefault();
        const chosen = reasons[Number(new FormData(form).get(name))];
        const reason = chosen ? { code: chosen.code, system: chosen.system, display: chosen.display } : null;
        const said = comment.value.trim();
        const overrideReason = { ...(reason ? { reason } : {}), ...(said ? { userComment: said } : {}) };
        send({ outcome: "overridden", ...(Object.keys(overrideReason).length ? { overrideReason } : {}) });
      },
      onkeydown: (event) => {
        if (event.key === "Escape") close();
      },
    },
    h(
      "fieldset",
      {},
      h("legend", {}, say("override-title")),
      reasons.map((reason, index) => option(name, String(index), clean(reason.display, 120), false)),
      option(name, "none", say("override-none"), true),
    ),
    h("label", { for: comment.id }, say("comment")),
    comment,
    h("p", { class: "muted", id: `hint-${card.uuid}` }, say("comment-hint")),
    h("div", { class: "actions" }, h("button", { type: "submit", class: "primary" }, say("send")), h("button", { type: "button", class: "quiet", onclick: close }, say("cancel"))),
  );
  return form;
}

function option(name, value, label, checked) {
  return h("label", { class: "option" }, h("input", { type: "radio", name, value, checked }), h("span", {}, label));
}

async function sent(card, foot, address, entry) {
  put(foot, h("p", { class: "muted", role: "status" }, say("sending")));
  const again = h("button", { type: "button", class: "quiet small", onclick: () => offered(card, foot, address) }, say("answer-again"));
  try {
    const answer = await feedback(address, { card: card.uuid, ...entry, outcomeTimestamp: new Date().toISOString() });
    const reason = entry.overrideReason?.reason?.display;
    put(
      foot,
      h(
        "div",
        { class: "stored" },
        h("p", { role: "status" }, icon("check"), h("strong", {}, say(`stored-${entry.outcome}`)), reason && h("span", {}, `· ${clean(reason, 120)}`)),
        h("details", {}, h("summary", {}, say("feedback-answer")), h("pre", { tabindex: "0" }, exact(`HTTP ${answer.status}\n${pretty(answer.body)}`))),
        again,
      ),
    );
  } catch (error) {
    if (!(error instanceof Outcome)) throw error;
    put(
      foot,
      h(
        "div",
        { class: "failed", role: "alert" },
        h("p", { class: "failed-head" }, icon("warning"), h("strong", {}, say("feedback-failed"))),
        h("p", { lang: error.status ? "en" : null }, error.message),
        error.issues.map((issue) => issue.where && h("p", { class: "muted", lang: "en" }, issue.text)),
        again,
      ),
    );
  }
  again.focus();
}

function pretty(body) {
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body;
  }
}
