// What an operation wrote. What it promises: a link is shown only where the server that answers now
// has the file: that which wrote it, or another one that has its folder, as after a new start.

const PATIENCE = 20_000;
/** After no answer it is asked again. */
const AGAIN = 5_000;

export class Written {
  /** Which server was asked whether it has it. */
  #askedOf = null;
  /** Null: it has not answered. */
  #isHere = null;

  /** @param {any} page @param {any} output of the operation */
  constructor(page, output) {
    this.page = page;
    this.on = output.on;
    this.path = typeof output.link === "string" && /^\/exports\/[\w.-]+$/.test(output.link) ? output.link : null;
  }

  /** Null where there is nothing to fetch. */
  get link() {
    return this.#isThere === true ? this.path : null;
  }

  /** Who has it, where that is another server. */
  get elsewhere() {
    return this.#isThere === false ? this.on : null;
  }

  get #isThere() {
    const { about } = this.page.link;
    if (!this.path || !about) return null;
    if (this.on === about.instance) return true;
    if (this.#askedOf !== about.instance) this.#ask(about.instance);
    return this.#isHere;
  }

  async #ask(instance) {
    [this.#askedOf, this.#isHere] = [instance, null];
    const answer = await fetch(`.${this.path}`, { method: "HEAD", cache: "no-store", signal: AbortSignal.timeout(PATIENCE) }).catch(() => null);
    if (this.#askedOf !== instance) return;
    if (answer) this.#isHere = answer.ok;
    else setTimeout(() => this.#forget(instance), AGAIN);
    this.page.changed();
  }

  #forget(instance) {
    if (this.#askedOf === instance) this.#askedOf = null;
    this.page.changed();
  }
}
