// When to ask again. What it promises: once for each thing that is new, at most once a second, one
// at a time, however long an answer takes; and after a failure once more, later and later. No DOM here.

import { pause } from "./retry.mjs";

const LEAST = 1000;
/** Who was refused may have been given the right since. */
const REFUSED = 30_000;

export class Questions {
  #key = null;
  #notBefore = -Infinity;
  #asking = false;
  #failures = 0;

  /**
   * Whether to ask now; whoever is told so says how it went.
   * @param {string} key another one, when there may be something new
   * @param {number} now
   */
  begin(key, now) {
    if (this.#asking || key === this.#key || now < this.#notBefore) return false;
    this.#key = key;
    this.#notBefore = now + LEAST;
    this.#asking = true;
    return true;
  }

  answered() {
    this.#asking = false;
    this.#failures = 0;
  }

  /** @param {boolean} refused whether the service itself has said no */
  failed(now, refused) {
    this.#asking = false;
    this.#key = null;
    this.#notBefore = now + (refused ? REFUSED : Math.max(LEAST, pause(this.#failures)));
    this.#failures += 1;
  }
}
