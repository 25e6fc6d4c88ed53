// The dialog that asks an operation to stop. What it promises: it says in one sentence what will
// happen, for a whole tree only after the server has counted it; a refusal is shown here, and what
// was written stays; the focus goes back to where it came from.

import * as api from "./api.mjs";
import { byId, options, setAttr, setParts, setText } from "./dom.mjs";
import { isLive } from "./model.mjs";
import { plural, shortId, visible } from "./text.mjs";
import { below } from "./tree.mjs";
import { answered, askedToStop, theirs, whatHappens } from "./words.mjs";

const REASONS = ["requested"];
/** At least so long between two counts of what is below. */
const PAUSE = 2000;

export class Cancelling {
  #row = null;
  #from = null;
  #many = null;
  #counting = null;
  /** What was below, as far as it is shown, when it was counted. */
  #counted = { key: "", at: -Infinity };
  #sending = false;
  /** Grows each time it is opened. */
  #turn = 0;
  /** Whether what is refused is the counting. */
  #uncounted = false;

  constructor(app) {
    this.app = app;
    this.dialog = byId("cancelling");
    this.form = this.dialog.querySelector("form");
    this.send = byId("send");
    this.refused = byId("cancelling-refused");
    byId("keep").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("close", () => this.#closed());
    this.form.addEventListener("change", (event) => this.#chosen(event.target.name));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.form.elements.message.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.form.requestSubmit();
    });
  }

  /** @param {any} row of the operation @param {Element} from where the focus goes back to */
  open(row, from) {
    if (this.dialog.open) return;
    this.#row = row;
    this.#from = from;
    this.#many = null;
    this.#sending = false;
    this.#turn += 1;
    this.form.reset();
    const node = this.app.feed.model.get(row.id);
    const hasBelow = Boolean(node?.children.length);
    const scope = byId("cancelling-scope");
    scope.hidden = !hasBelow;
    scope.disabled = !hasBelow;
    // Of one that has ended only what is below it can be stopped.
    const one = this.form.querySelector("[value=one]").closest("label");
    one.hidden = !isLive(row);
    if (one.hidden) this.form.elements.scope.value = "tree";
    setText(byId("cancelling-tree"), one.hidden ? "Everything below it" : "This and everything below it");
    this.#counted = { key: "", at: -Infinity };
    options(this.form.elements.reason, this.app.feed.hello?.reasons ?? REASONS, null, "requested");
    this.#refuse(null);
    this.render();
    this.dialog.showModal();
    // The way back is the first: nothing is stopped by pressing Enter twice.
    byId("keep").focus();
  }

  render() {
    if (!this.#row) return;
    const node = this.app.feed.model.get(this.#row.id);
    if (node) this.#row = node.row;
    const row = this.#row;
    const under = node ? below(node) : { running: 0, waiting: 0 };
    this.#recount(`${under.running} ${under.waiting}`);
    const { now } = this.app.feed;
    setParts(byId("cancelling-name"), ["Cancel ", theirs(row.kind), ` ${shortId(row.id)}?`], 60);
    setParts(byId("cancelling-what"), this.#what(row, now, under.running + under.waiting));
    setText(byId("cancelling-then"), this.#then(row, now));
    const many = this.#tree() && this.#many ? this.#many.running + this.#many.waiting : null;
    setText(this.send, many === null || many === 1 ? "Cancel operation" : `Cancel ${plural(many, "operation")}`);
    const fresh = this.app.fresh();
    // While it is sent it keeps the focus.
    setAttr(this.send, "aria-disabled", this.#sending ? "true" : null);
    this.send.disabled = !fresh || (this.#tree() && !this.#many);
    setAttr(this.send, "title", fresh ? null : "What is shown is not fresh: nothing can be changed now.");
  }

  #what(row, now, many) {
    const parts = row.key == null ? [] : [theirs(row.key), "; "];
    parts.push(row.state);
    if (row.actor) parts.push(", started by ", theirs(row.actor));
    if (many) parts.push(`; ${plural(many, "operation")} below it still to end`);
    if (row.cancel && row.state === "running") parts.push("; ", ...askedToStop(row, now));
    return parts;
  }

  #then(row, now) {
    const { value: mode } = this.form.elements.mode;
    if (!this.app.fresh()) return "What is shown is not fresh: nothing can be changed until the connection is back.";
    if (this.#sending) return "Asking\u2026";
    if (!this.#tree()) return whatHappens({ row, mode, now });
    return this.#many ? whatHappens({ row, mode, many: this.#many, now }) : this.refused.hidden ? "Counting what is below\u2026" : "";
  }

  #tree() {
    return !byId("cancelling-scope").disabled && this.form.elements.scope.value === "tree";
  }

  #request() {
    const { mode, reason, message } = this.form.elements;
    const text = message.value.trim();
    return { mode: mode.value, reason: reason.value, ...(text && { message: text }), tree: this.#tree() };
  }

  #chosen(name) {
    if (name === "scope") this.#refuse(null);
    if (this.#tree() && (name === "scope" || name === "mode")) this.#many = null;
    if (this.#many === null) this.#counted = { key: "", at: -Infinity };
    this.render();
  }

  /** What is below is counted anew when it changed; until that is known what was counted stands. */
  #recount(key) {
    const now = performance.now();
    if (!this.#tree() || this.#sending || key === this.#counted.key || now - this.#counted.at < PAUSE) return;
    this.#counted = { key, at: now };
    this.#count();
  }

  async #count() {
    this.#counting?.abort();
    const abort = (this.#counting = new AbortController());
    try {
      const many = await api.cancel(this.#row.id, { ...this.#request(), dry_run: true }, abort.signal);
      if (abort.signal.aborted) return;
      this.#many = { waiting: many.waiting ?? 0, running: many.running ?? 0 };
      if (this.#uncounted) this.#refuse(null);
    } catch (error) {
      if (abort.signal.aborted) return;
      this.#counted.key = "";
      this.#refuse(error);
      this.#uncounted = true;
    }
    this.render();
  }

  async #submit() {
    if (this.#sending || this.send.disabled) return;
    this.#sending = true;
    this.#refuse(null);
    this.render();
    this.#counting?.abort();
    const request = this.#request();
    const name = `${this.#row.kind} ${shortId(this.#row.id)}`;
    const asked = this.#row.id;
    const turn = this.#turn;
    // The dialog may have been opened for another one by then.
    const isMine = () => turn === this.#turn && this.#row !== null;
    try {
      const answer = await api.cancel(asked, request);
      this.app.say(answered(answer, { name, mode: request.mode, now: this.app.feed.now }));
      if (!isMine()) return;
      this.#sending = false;
      this.dialog.close();
    } catch (error) {
      this.app.say([theirs(name), ": ", error.detail ?? String(error)], true);
      if (!isMine()) return;
      this.#sending = false;
      this.#refuse(error);
      this.render();
    }
  }

  #refuse(error) {
    this.#uncounted = false;
    this.refused.hidden = error === null;
    setText(this.refused, error === null ? "" : visible(error.detail ?? String(error)));
  }

  #closed() {
    this.#counting?.abort();
    const row = this.#row;
    this.#row = null;
    this.app.focusBack(this.#from, row?.id);
  }
}
