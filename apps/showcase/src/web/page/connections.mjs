// Room for requests. Browsers open six connections to a server over HTTP/1.1: one is the log's, and
// one is kept for short questions and for cancels. What it promises: whoever comes first goes first,
// and whoever does not want to wait any longer takes nobody's place. No DOM here.

const AT_ONCE = 4;

export class Connections {
  #free = AT_ONCE;
  #queue = [];

  /**
   * Waits until there is one.
   * @param {AbortSignal} signal
   * @returns {Promise<() => void>} gives it back
   */
  async take(signal) {
    signal.throwIfAborted();
    if (this.#free > 0) this.#free -= 1;
    else await this.#wait(signal);
    let isTaken = true;
    return () => {
      if (isTaken) this.#giveBack();
      isTaken = false;
    };
  }

  #wait(signal) {
    return new Promise((go, refuse) => {
      this.#queue.push(go);
      signal.addEventListener("abort", () => {
        if (!this.#queue.includes(go)) return;
        this.#queue = this.#queue.filter((other) => other !== go);
        refuse(signal.reason);
      });
    });
  }

  #giveBack() {
    const next = this.#queue.shift();
    if (next) next();
    else this.#free += 1;
  }
}
