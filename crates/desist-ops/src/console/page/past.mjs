// The tab of the history. What it promises: what is asked is what the filters say, the newest
// first, as of the time that is said; older ones come when they are wanted; an answer that comes
// too late is not shown; "Show" asks anew, whatever stands there.

import * as api from "./api.mjs";
import { byId, el, icon, options, setIcon, setParts, setText, theirs } from "./dom.mjs";
import { isLive } from "./model.mjs";
import { count, plural, shortId } from "./text.mjs";
import { ago, instant, local, took } from "./time.mjs";
import { byWhom, note, theirs as quoted } from "./words.mjs";

const PAGE = 50;
const OUTCOMES = ["succeeded", "failed", "cancelled", "running", "waiting"];
const NAMES = ["kind", "state", "reason", "actor", "cancelled_by", "tag"];

export class Past {
  #before = null;
  #abort = null;
  #asked = null;
  #loading = false;
  #kinds = new Set();
  /** Lines of those that had not ended. */
  #open = new Map();
  #many = 0;

  constructor(app) {
    this.app = app;
    this.panel = byId("history");
    this.form = this.panel.querySelector("form");
    this.list = this.panel.querySelector(".past");
    this.empty = this.panel.querySelector(".empty");
    this.older = byId("older");
    options(this.form.elements.state, OUTCOMES, "any");
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#filtered(true);
    });
    this.form.addEventListener("change", () => this.#filtered());
    this.form.addEventListener("reset", () => setTimeout(() => this.#filtered()));
    this.older.addEventListener("click", () => this.older.ariaDisabled || this.#load(this.#before));
  }

  place(filter) {
    const { elements } = this.form;
    for (const name of ["kind", "actor", "cancelled_by", "tag"]) elements[name].value = filter[name] ?? "";
    this.#choices(filter);
    this.#asked = null;
  }

  #choices(chosen = {}) {
    const { state, reason } = this.form.elements;
    const { feed } = this.app;
    // Kinds are proposed, not prescribed: older ones may be known to no process any more.
    options(byId("kinds"), [...new Set([...feed.kinds(), ...this.#kinds])].sort(), null, null);
    options(state, OUTCOMES, "any", chosen.state ?? state.value);
    options(reason, feed.hello?.reasons ?? [], "any", chosen.reason ?? reason.value);
  }

  #filter() {
    return Object.fromEntries(NAMES.map((name) => [name, this.form.elements[name].value.trim()]));
  }

  /** @param {boolean} [anew] whether also without other filters */
  #filtered(anew = false) {
    this.app.filtered("history", this.#filter());
    const same = JSON.stringify(this.#filter()) === this.#asked;
    if (!same || (anew && !this.#loading)) this.#load(null);
  }

  render() {
    this.#choices();
    if (this.#asked === null) this.#load(null);
    this.#follow();
  }

  /** What was still running when the list was loaded is shown as it is now. */
  #follow() {
    const { model, now } = this.app.feed;
    for (const [id, line] of this.#open) {
      const row = model.get(id)?.row;
      if (!row || row.state === line.element.dataset.state) continue;
      line.element.dataset.state = line.element.dataset.shows = row.state;
      setIcon(line.state.firstChild, row.state);
      setText(line.state.lastChild, row.state);
      setParts(line.said, note(row, now));
      if (!isLive(row)) this.#open.delete(id);
    }
  }

  async #load(before) {
    this.#abort?.abort();
    const abort = (this.#abort = new AbortController());
    const filter = this.#filter();
    this.#asked = JSON.stringify(filter);
    this.#loading = true;
    this.older.ariaDisabled = "true";
    this.panel.setAttribute("aria-busy", "true");
    if (before === null && !this.#many) this.#say("Loading\u2026", true);
    try {
      const answer = await api.list({ ...filter, before, limit: PAGE }, abort.signal);
      if (abort.signal.aborted) return;
      this.#show(answer, before === null);
      if (before === null) this.#asOf();
    } catch (error) {
      if (abort.signal.aborted) return;
      if (before === null) this.#clear();
      this.#say(error.detail ?? String(error), false);
      this.older.hidden = before === null;
    } finally {
      if (!abort.signal.aborted) {
        this.#loading = false;
        this.older.ariaDisabled = null;
        this.panel.removeAttribute("aria-busy");
      }
    }
  }

  #asOf() {
    byId("past-of").hidden = false;
    setText(byId("past-of"), `As of ${local.clock(this.app.feed.now)}. What has been started since comes with Show.`);
  }

  /** The reader may not see any of it any more. */
  forget() {
    this.#abort?.abort();
    this.#clear();
    this.#kinds.clear?.();
    this.#say("", false);
    this.older.hidden = true;
    this.#asked = null;
  }

  #clear() {
    byId("past-of").hidden = true;
    this.#open.clear();
    this.list.replaceChildren();
    this.#many = 0;
  }

  #say(text, loading) {
    this.empty.hidden = !text;
    this.empty.dataset.loading = String(loading);
    setText(this.empty, text);
  }

  #show({ operations, before }, first) {
    if (first) this.#clear();
    const added = operations.map((operation) => this.#line(operation));
    this.list.append(...added);
    this.#many += operations.length;
    this.#before = before ?? null;
    // Whoever has come to the end goes on with what has come.
    if (this.#before === null && document.activeElement === this.older) added[0]?.querySelector("button").focus();
    this.older.hidden = this.#before === null;
    for (const { kind } of operations) this.#kinds.add(kind);
    this.#choices();
    const any = Object.values(this.#filter()).some(Boolean);
    this.#say(this.#many ? "" : any ? "Nothing matches. Take a filter away to see more." : "Nothing has been started yet.", false);
  }

  #line(operation) {
    const { id, kind, key, state, tags, created_at: created, actor } = operation;
    const open = el("button", { type: "button", class: "name" }, theirs(kind, { class: "kind", most: 60 }), el("span", { class: "id", text: shortId(id) }));
    const status = el("span", { class: "state" }, icon(state), el("span", { text: state }));
    const said = el("span", { class: "p-note" });
    setParts(said, remark(operation));
    const element = el("li", { class: "past-line", "data-id": id, "data-state": state, "data-shows": state },
      status,
      el("span", { class: "p-name" }, open, key == null ? null : theirs(key, { class: "key", most: 80 }),
        el("span", { class: "tags" }, ...(tags ?? []).slice(0, 5).map((tag) => theirs(tag, { most: 40, class: "tag" })))),
      said,
      el("span", { class: "p-took", title: "how long it ran", text: ran(operation) }),
      el("span", { class: "p-actor" }, actor ? theirs(actor, { most: 60 }) : null),
      el("time", { class: "p-at", datetime: created, title: local.exact(instant(created)), text: local.short(instant(created)) }),
    );
    element.addEventListener("click", () => String(getSelection()) || this.app.details(id));
    if (isLive(operation)) this.#open.set(id, { element, state: status, said });
    return element;
  }
}

function ran({ started_at: started, finished_at: finished }) {
  const from = instant(started);
  const to = instant(finished);
  return from === null || to === null ? "" : took(to - from);
}

function remark({ cancel, error, state, attempt, in_spite_of_a_cancel: inSpite, cancelled_before_start: unstarted, stopping_for_ms: stopping }) {
  const parts = [];
  if (inSpite) parts.push("succeeded, though it was asked to stop", ...byWhom(cancel ?? {}));
  else if (state === "running" && cancel) parts.push(`asked to stop${stopping == null ? "" : ` ${ago(stopping)}`}`, ...byWhom(cancel));
  else if (state === "cancelled") {
    parts.push(unstarted ? "before it started" : "while it ran");
    if (cancel?.reason && cancel.reason !== "requested") parts.push(" (", quoted(cancel.reason), ")");
    if (cancel?.actor || cancel?.message) parts.push(",", ...byWhom(cancel));
  }
  if (error) parts.push(parts.length ? "; " : "", quoted(error));
  if (attempt > 1) parts.push(parts.length ? ` (${count(attempt)} attempts)` : plural(attempt, "attempt"));
  return parts;
}
