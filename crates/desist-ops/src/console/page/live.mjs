// The connection to `./live`. What it promises: it says what it is at any time; it comes again when
// it broke, later and later, at once when there is a reason to hope; it does not when the server
// refused; and it does not read for a tab that nobody looks at.

import { EventParser } from "./sse.mjs";
import { asked, pause } from "./retry.mjs";
import { problemOf } from "./api.mjs";

/** Without a byte for this long what is shown is stale; for twice as long the connection is given up. */
const SILENCE = 6000;
const HIDDEN_FOR = 60_000;
/** How long events may be taken before the page gets its turn. */
const TURN = 8;

/**
 * States: `connecting`, `live`, `stale`, `down` (the database does not answer), `refused`.
 * @typedef {{state: string, why: string|null, asOf: number|null, again: number|null}} Link
 */
export class Live {
  /** @type {Link} */
  link = { state: "connecting", why: null, asOf: null, again: null };
  #failures = 0;
  #abort = null;
  #timer = null;
  #lastBytes = 0;
  #hiddenSince = null;
  #down = null;

  /** @param {{feed: import("./feed.mjs").Feed, changed: () => void}} parts */
  constructor({ feed, changed }) {
    this.feed = feed;
    this.changed = changed;
  }

  start() {
    setInterval(() => this.#watch(), 1000);
    document.addEventListener("visibilitychange", () => this.#awake());
    addEventListener("online", () => this.#awake());
    addEventListener("pageshow", () => this.#awake());
    if (document.hidden) this.#hiddenSince = performance.now();
    this.#connect();
  }

  /** The reader wants it now. */
  again() {
    this.#failures = 0;
    this.#set({ state: this.feed.ready ? "stale" : "connecting", why: null, again: null });
    this.#connect();
  }

  #set(change) {
    this.link = { ...this.link, ...change };
    this.changed();
  }

  #awake() {
    this.#hiddenSince = document.hidden ? (this.#hiddenSince ?? performance.now()) : null;
    if (document.hidden || this.link.state === "refused") return;
    const silent = performance.now() - this.#lastBytes > SILENCE;
    if (this.#timer !== null || !this.#abort || silent) this.#connect();
  }

  #watch() {
    if (!this.#abort) return;
    const now = performance.now();
    if (this.#hiddenSince !== null && now - this.#hiddenSince > HIDDEN_FOR) {
      this.#stop();
      this.#set({ state: "stale", why: "Paused, as nobody looked", asOf: this.#asOf(), again: null });
      return;
    }
    const silence = now - this.#lastBytes;
    if (silence > 2 * SILENCE) this.#failed(null);
    else if (silence > SILENCE && this.#isShown()) this.#set({ state: "stale", why: "Nothing heard", asOf: this.#asOf() });
  }

  #isShown() {
    return this.link.state === "live" || this.link.state === "down";
  }

  /** Until when what is shown is right, by the server's clock. */
  #asOf() {
    return this.link.asOf ?? (this.feed.ready ? this.feed.clock.now(this.#lastBytes) : null);
  }

  #stop() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#abort?.abort();
    this.#abort = null;
  }

  #failed(why, atLeast = 0) {
    this.#stop();
    const wait = Math.max(atLeast, pause(this.#failures));
    this.#failures += 1;
    this.#timer = setTimeout(() => this.#connect(), wait);
    this.#set({ state: this.feed.ready ? "stale" : "connecting", why, asOf: this.#asOf(), again: Date.now() + wait });
  }

  #refused(why) {
    this.#stop();
    this.#set({ state: "refused", why, asOf: this.#asOf(), again: null });
  }

  async #connect() {
    this.#stop();
    const abort = new AbortController();
    this.#abort = abort;
    this.#lastBytes = performance.now();
    this.#down = null;
    try {
      const answer = await fetch("./live", {
        headers: { accept: "text/event-stream" },
        cache: "no-store",
        redirect: "manual",
        signal: abort.signal,
      });
      if (this.#abort === abort) await this.#read(answer, abort);
    } catch (error) {
      if (this.#abort === abort) this.#failed(this.feed.ready ? null : "The service cannot be reached");
      if (error?.name !== "AbortError" && error?.name !== "TypeError") console.warn(error);
    }
  }

  async #read(answer, abort) {
    const type = answer.headers.get("content-type") ?? "";
    if (answer.type === "opaqueredirect") {
      return this.#refused("You are sent elsewhere, perhaps to sign in. Load this page again to follow.");
    }
    if (!answer.ok) {
      const { detail } = await problemOf(answer);
      if (this.#abort !== abort) return;
      const final = answer.status < 500 && ![408, 425, 429].includes(answer.status);
      return final ? this.#refused(detail) : this.#failed(detail, asked(answer.headers.get("retry-after")));
    }
    if (!type.startsWith("text/event-stream")) {
      await answer.body?.cancel();
      return this.#failed("Something between here and the service answered in its place");
    }
    this.feed.begin();
    const ended = await this.#events(answer.body, abort);
    if (this.#abort !== abort) return;
    if (ended?.again === false) this.#refused(ended.why);
    else this.#failed(ended?.why ?? null);
  }

  /** Reads to the end; gives the `bye`, if there was one. */
  async #events(body, abort) {
    const events = [];
    const parser = new EventParser((name, data) => events.push([name, data]));
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let turn = performance.now();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || this.#abort !== abort) return null;
      this.#lastBytes = performance.now();
      this.#heard();
      parser.push(value);
      for (const [name, text] of events.splice(0)) {
        const bye = this.#take(name, text);
        if (bye) return bye;
        if (performance.now() - turn < TURN) continue;
        await giveTurn();
        turn = performance.now();
        if (this.#abort !== abort) return null;
      }
    }
  }

  #take(name, text) {
    try {
      const data = JSON.parse(text);
      if (name === "bye") return { why: String(data.why ?? ""), again: data.again !== false };
      if (!this.feed.take(name, data, performance.now())) return null;
      if (name === "whole") this.#failures = 0;
      if (name === "whole" || name === "tick") this.#down = this.feed.tick?.down_since ?? null;
      if (name === "whole" || (this.#isShown() && name === "tick")) this.#heard(true);
    } catch (error) {
      console.warn("an event that cannot be understood was left out:", name, error);
    }
    this.changed();
    return null;
  }

  /** Something came: what was silent is not any more. */
  #heard(whole = false) {
    if (!whole && !(this.link.state === "stale" && this.link.why === "Nothing heard")) return;
    const down = this.#down !== null;
    const next = {
      state: down ? "down" : "live",
      why: down ? (this.feed.tick.down ?? "The database does not answer") : null,
      asOf: down ? this.#down : null,
      again: null,
    };
    if (next.state !== this.link.state || next.why !== this.link.why) this.#set(next);
  }
}

function giveTurn() {
  return globalThis.scheduler?.yield ? scheduler.yield() : new Promise((go) => setTimeout(go));
}
