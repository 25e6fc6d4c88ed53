// A card: something that can be started, and the runs of it. What it promises: there is always one
// run to be seen, so that nothing jumps when the first begins.

import { arrange, el, isUsable, setText, setUsable } from "./dom.mjs";
import { Operation } from "./operations.mjs";
import { Request } from "./request.mjs";
import { Run } from "./run.mjs";

/** Those that are over are shown for comparison, so many of them. */
const OVER = 2;

export class Card {
  /** The newest first. @type {Run[]} */
  #runs = [];

  /** @param {any} page @param {any} of one of the catalogue */
  constructor(page, of) {
    this.page = page;
    this.of = of;
    const name = el("h3", { id: `name-${of.id}`, text: of.name });
    this.start = el("button", { type: "submit", class: "start", text: of.start ?? "Start", "aria-label": `${of.start ?? "Start"} ${of.name}` });
    this.fields = (of.fields ?? []).map(field);
    const labels = this.fields.map(({ label }) => label);
    this.form = el("form", { class: "head", novalidate: true, on: { submit: (event) => this.#submit(event) } }, name, this.start, ...labels);
    this.list = el("ul", { class: "runs" });
    this.otherwise = of.otherwise ? el("p", { class: "otherwise", hidden: true }, of.otherwise[0], el("code", { text: of.otherwise[1] })) : null;
    this.element = el("article", { class: "card", "data-card": of.id, "aria-labelledby": name.id },
      this.form, el("p", { class: "about", text: of.about }), this.list, this.otherwise);
    this.nothing = new Run(page, of.name, null);
  }

  /** What it has that is not over. */
  get unfinished() {
    return this.#runs.map((run) => run.of).filter((of) => !of.isOver);
  }

  /** One of its operations has no id yet. */
  get isStarting() {
    return this.of.operation === true && this.unfinished.some(({ id }) => id === null);
  }

  /** @param {string} id of an operation */
  has(id) {
    return this.#runs.some(({ of }) => of.id === id);
  }

  #submit(event) {
    event.preventDefault();
    if (!isUsable(this.start)) return;
    const wrong = this.fields.find(({ input }) => !input.checkValidity());
    if (wrong) {
      wrong.input.reportValidity();
      return;
    }
    this.#add(this.of.operation ? this.#operation() : this.#request());
    this.page.changed();
  }

  #values() {
    return Object.fromEntries(this.fields.map(({ input }) => [input.name, input.type === "number" ? input.valueAsNumber : input.value]));
  }

  #request() {
    const { id, method, body, query, tells } = this.of;
    return new Request(this.page, { path: `/${id}`, method, body, tells, query: { ...query, ...this.#values() } });
  }

  #operation() {
    return new Operation(this.page, { kind: this.of.id, input: this.#values() });
  }

  /** One of the database that may be here already. */
  found(op) {
    const known = this.#runs.find(({ of }) => of.id === op.id);
    if (known) known.of.take(op);
    // It may be this very one, whose answer has not come: then the log tells of it once more.
    else if (this.isStarting) setTimeout(() => this.found(op), 300);
    else this.#add(new Operation(this.page, { kind: this.of.id, op }));
  }

  #add(of) {
    this.#runs.unshift(new Run(this.page, this.of.name, of));
    let over = 0;
    this.#runs = this.#runs.filter((run, at) => !run.of.isOver || at === 0 || (++over < OVER && this.#isSeveral));
  }

  get #isSeveral() {
    return this.of.several === true || this.of.operation === true;
  }

  render() {
    const { link } = this.page;
    const isMissing = this.of.needs && link.about !== null && !link.about[this.of.needs];
    if (this.otherwise) this.otherwise.hidden = !isMissing;
    this.list.hidden = Boolean(isMissing);
    setUsable(this.start, link.isLive && !link.isEnding && !isMissing && (this.#isSeveral || !this.unfinished.length));
    setText(this.start, this.of.start ?? "Start");
    for (const run of this.#runs) run.render();
    arrange(this.list, (this.#runs.length ? this.#runs : [this.nothing]).map(({ element }) => element));
  }
}

function field({ name, label, type, value, min, max }) {
  const input = el("input", { name, type, value, min, max, required: true, autocomplete: "off", maxlength: type === "search" ? 100 : null });
  return { input, label: el("label", {}, el("span", { text: label }), input) };
}
