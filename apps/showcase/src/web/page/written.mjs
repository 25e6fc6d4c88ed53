// What an operation wrote. What it promises: a link is shown only where the server that answers now
// has the file: that which wrote it, or another one that has its folder, as after a new start.

const PATIENCE = 20_000;

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
    let isHere = false;
    try {
      const answer = await fetch(`.${this.path}`, { method: "HEAD", cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
      isHere = answer.ok;
    } catch {
      // Whoever went away has not got it; the next is asked.
    }
    if (this.#askedOf === instance) this.#isHere = isHere;
    this.page.changed();
  }
}
