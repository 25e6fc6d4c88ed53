// Everything of one operation, and what happened to it. What it promises: what it shows follows the
// operation while it is open; beside the rows where there is room, over them where there is not.

import * as api from "./api.mjs";
import { byId, el, icon, setAttr, setIcon, setParts, setText } from "./dom.mjs";
import { eventLine, facts, fromApi } from "./facts.mjs";
import { isLive } from "./model.mjs";
import { Questions } from "./questions.mjs";
import { shortId, visible } from "./text.mjs";
import { note, shownState } from "./words.mjs";

const WIDE = matchMedia("(min-width: 1100px)");
/** How often one is asked for that runs and is not among the rows. */
const UNSEEN = 5000;

export class Details {
  id = null;
  #told = null;
  #abort = null;
  #questions = new Questions();
  #from = null;

  constructor(app) {
    this.app = app;
    this.dialog = byId("details");
    this.state = el("p", { class: "state" }, icon("running"), el("span"));
    this.name = el("h2", { id: "details-name" });
    this.close = el("button", { type: "button", class: "plain", on: { click: () => this.app.details(null) } }, icon("close"), el("span", { class: "unseen", text: "Close" }));
    this.cancel = el("button", { type: "button", class: "cancel", text: "Cancel", on: { click: () => this.app.cancel(this.id, this.cancel) } });
    this.copy = el("button", { type: "button", class: "plain", text: "Copy id", on: { click: () => this.#copy() } });
    this.note = el("p", { class: "d-note" });
    this.facts = el("dl", { class: "facts" });
    this.refused = el("p", { class: "refused", hidden: true });
    this.events = el("ol", { class: "events" });
    this.dialog.append(
      el("div", { class: "d-head" }, this.name, this.close),
      el("div", { class: "d-body", tabindex: "0", role: "group", "aria-label": "Details" },
        el("div", { class: "d-state" }, this.state, el("span", { class: "gap" }), this.copy, this.cancel),
        this.note, this.facts, el("h3", { text: "What happened" }), this.refused, this.events),
    );
    // Beside the rows it is no modal dialog: the browser does not close it.
    document.addEventListener("keydown", (event) => {
      const mine = event.key === "Escape" && !event.defaultPrevented && this.dialog.open && !event.target.closest("#cancelling");
      if (!mine || (event.target.type === "search" && event.target.value)) return;
      event.preventDefault();
      app.details(null);
    });
    this.dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      app.details(null);
    });
  }

  /** @param {string|null} id */
  show(id) {
    if (id === this.id) return;
    this.#abort?.abort();
    this.id = id;
    this.#told = null;
    this.#questions = new Questions();
    this.events.eventsKey = "";
    setAttr(this.refused, "hidden", true);
    if (id === null) return this.#hide();
    this.events.replaceChildren();
    this.facts.replaceChildren();
    this.#open();
    this.render();
  }

  #open() {
    const from = document.activeElement;
    if (!this.dialog.contains(from)) this.#from = from;
    // Whoever points at rows stays there; whoever uses the keys goes to what they opened. A dialog
    // that opens takes the focus: it is asked before.
    const points = WIDE.matches && from !== document.body && !from.matches(":focus-visible");
    if (!this.dialog.open) this.dialog[WIDE.matches ? "show" : "showModal"]();
    if (points) from.focus({ preventScroll: true });
    else this.close.focus();
  }

  #hide() {
    const had = this.dialog.contains(document.activeElement);
    this.dialog.close();
    if (had || document.activeElement === document.body) this.app.focusBack(this.#from);
  }

  async #copy() {
    try {
      await navigator.clipboard.writeText(this.id);
      this.app.say(["The id is copied."]);
    } catch {
      // Not allowed here: the id can be marked below.
      this.app.say(["The browser does not let this page copy. The id stands below."], true);
    }
  }

  render() {
    if (this.id === null) return;
    const { feed } = this.app;
    const live = feed.model.get(this.id)?.row;
    const row = live ?? this.#told?.row;
    this.#ask(live);
    setText(this.name, `${row ? visible(row.kind) : "Operation"} ${shortId(this.id)}`);
    this.state.hidden = !row;
    setAttr(this.cancel, "hidden", !(row && this.app.mayCancel(row)));
    this.cancel.disabled = !this.app.fresh();
    if (!row) return setText(this.note, this.#told === null && this.refused.hidden ? "Loading\u2026" : "");
    const shows = shownState(row, feed.now);
    setAttr(this.dialog, "data-shows", shows);
    setIcon(this.state.firstChild, shows);
    setText(this.state.lastChild, shows);
    setParts(this.note, note(row, feed.now), 2000);
    setAttr(this.cancel, "aria-label", `Cancel ${visible(row.kind)} ${shortId(row.id)}`);
    facts(this.facts, row, this.#told?.operation, { open: (id) => this.app.details(id) });
  }

  /** What happened is asked for again when the operation is not what it was. */
  async #ask(live) {
    // One that is not among those shown tells nothing by itself.
    const unseen = !live && this.#told && isLive(this.#told.row);
    const key = live ? `${live.version} ${live.state} ${live.cancel?.at}` : `past ${unseen && Math.floor(performance.now() / UNSEEN)}`;
    const questions = this.#questions;
    if (!questions.begin(key, performance.now())) return;
    const abort = (this.#abort = new AbortController());
    try {
      const { operation, events } = await api.history(this.id, abort.signal);
      if (abort.signal.aborted) return;
      questions.answered();
      this.#told = { operation, row: fromApi(operation) };
      this.#happened(events);
      setAttr(this.refused, "hidden", true);
    } catch (error) {
      if (abort.signal.aborted) return;
      questions.failed(performance.now(), error.final === true);
      setAttr(this.refused, "hidden", null);
      setText(this.refused, error.detail ?? String(error));
    }
    this.app.changed();
  }

  /** The same again is not written again: somebody may be marking it. */
  #happened(events) {
    const key = JSON.stringify(events);
    if (this.events.eventsKey === key) return;
    this.events.eventsKey = key;
    this.events.replaceChildren(...events.map((event, at) => eventLine(event, events[at - 1])));
  }

  /** The row as the page last knew it, also of one that is long over. */
  row() {
    const live = this.app.feed.model.get(this.id)?.row;
    return live ?? (this.#told && isLive(this.#told.row) ? this.#told.row : null);
  }
}
