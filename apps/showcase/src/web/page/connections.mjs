// Room for what keeps a connection: requests, and the log of each tab. Browsers open six connections to
// a server over HTTP/1.1, for all of their tabs together: one is kept for short questions and for
// cancels, and one for the console, which is not counted here. However many tabs are in sight, one of
// those that are counted is left to requests. What it promises: whoever comes first goes first, whoever
// does not want to wait any longer takes nobody's place, and a tab that is closed gives back what it
// has. No DOM here.

const AT_ONCE = 4;
const LOGS = 3;

/** A browser has locks where nobody else on the way can read or change the page, and they are allowed. */
export class Connections {
  #ofAll = navigator.locks ? new OfAllTabs() : null;
  #ofThis = new OfThisTab();

  /**
   * Waits until there is one.
   * @param {AbortSignal} [signal]
   * @param {{isLog?: boolean}} [what] it is for
   * @returns {Promise<() => void>} gives it back
   */
  async take(signal, what = {}) {
    try {
      if (this.#ofAll) return await this.#ofAll.take(signal, what);
    } catch (error) {
      signal?.throwIfAborted();
      console.info("tabs of this page cannot share their connections:", error);
      this.#ofAll = null;
    }
    return this.#ofThis.take(signal);
  }
}

/** Each connection is a lock, which one tab has at a time. */
class OfAllTabs {
  async take(signal, { isLog = false }) {
    signal?.throwIfAborted();
    // Whichever comes first; then nobody waits for the others any more.
    const wait = new AbortController();
    signal?.addEventListener("abort", () => wait.abort(signal.reason), { once: true });
    return new Promise((go, refuse) => {
      const held = () => {
        if (wait.signal.aborted) return undefined;
        wait.abort();
        return new Promise((giveBack) => go(giveBack));
      };
      // Requests take first what no log may have.
      for (let which = isLog ? LOGS : AT_ONCE; which >= 1; which--) {
        navigator.locks.request(`connection ${which}`, { signal: wait.signal }, held).catch(refuse);
      }
    });
  }
}

/** Other tabs are not known, and this one has one log. */
class OfThisTab {
  #free = AT_ONCE;
  #queue = [];

  async take(signal) {
    signal?.throwIfAborted();
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
      signal?.addEventListener("abort", () => {
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
