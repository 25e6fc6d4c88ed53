// The connection to `./live`. What it promises: it says what it is at any time; it comes again when
// it broke, later and later, at once when there is a reason to hope; it does not when the server
// refused; and it does not read for a tab that nobody looks at.

import { EventParser } from "./sse.mjs";
import { asked, pause } from "./retry.mjs";
import { problemOf } from "./api.mjs";
import { SLOW, PAUSED, SILENT, farewell, told } from "./link.mjs";
import { Sleep } from "./time.mjs";

/** Without a byte for this long what is shown is stale; for twice as long the connection is given up. */
const SILENCE = 6000;
/** A browser has six connections to a server of HTTP/1.1, for all of its tabs: a hidden one gives its back. */
const HIDDEN_FOR = 5000;
/** Who comes back to a tab is not told that it is stale if it is not after this long. */
const SOON = 1000;
/** A stream that is renewed more often than this is one that breaks. */
const RENEWED = 5000;
const IN_ITS_PLACE = "Something between here and the service answered in its place";
/** How long events may be taken before the page gets its turn. */
const TURN = 8;

/**
 * States: `connecting`, `live`, `stale`, `down` (the database does not answer), `refused`.
 * @typedef {{state: string, why: string|null, asOf: number|null}} Link
 */
export class Live {
  /** @type {Link} */
  link = { state: "connecting", why: null, asOf: null };
  #failures = 0;
  #abort = null;
  #timer = null;
  #begun = -Infinity;
  #lastBytes = 0;
  /** When what is shown was last known to be right. */
  #lastGood = 0;
  /** Whether this connection has sent everything. */
  #whole = false;
  #hiddenSince = null;
  #sleep = new Sleep();

  /** @param {{feed: import("./feed.mjs").Feed, changed: () => void}} parts */
  constructor({ feed, changed, forgotten }) {
    this.feed = feed;
    this.changed = changed;
    this.forgotten = forgotten;
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
    this.#set({ state: this.feed.ready ? "stale" : "connecting", why: null });
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
    if (this.link.why === PAUSED) this.#soon();
    if (this.#timer !== null || !this.#abort || silent) this.#connect();
  }

  /** For a moment it is neither live nor stale. */
  #soon() {
    this.#set({ state: "connecting", why: null });
    setTimeout(() => {
      if (this.link.state === "connecting" && this.feed.ready) this.#set({ state: "stale", asOf: this.#asOf() });
    }, SOON);
  }

  #watch() {
    const now = performance.now();
    const slept = this.#sleep.slept(now, Date.now());
    if (!this.#abort) return;
    if (this.#hiddenSince !== null && now - this.#hiddenSince > HIDDEN_FOR) {
      this.#stop();
      this.#set({ state: "stale", why: PAUSED, asOf: this.#asOf() });
      return;
    }
    if (slept && this.#isShown()) {
      // What is here is from before, and the connection has most likely not lived through it.
      this.#set({ state: "stale", why: SILENT, asOf: this.#asOf() });
      this.#connect();
      return;
    }
    const silence = now - this.#lastBytes;
    if (silence > 2 * SILENCE) this.#failed(null);
    else if ((silence > SILENCE || (!this.#whole && now - this.#begun > SILENCE)) && this.#isShown()) {
      this.#set({ state: "stale", why: SILENT, asOf: this.#asOf() });
    }
  }

  #isShown() {
    return ["live", "down"].includes(this.link.state) || this.link.why === SLOW;
  }

  /** Until when what is shown is right, by the server's clock. */
  #asOf() {
    return this.link.asOf ?? (this.feed.ready ? this.feed.clock.now(this.#lastGood) : null);
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
    this.#set({ state: this.feed.ready ? "stale" : "connecting", why, asOf: this.#asOf() });
  }

  #refused(why) {
    this.#stop();
    // Whoever may not read it any more is not to see what it was, either.
    this.feed.forget();
    this.forgotten();
    this.#set({ state: "refused", why, asOf: this.#asOf() });
  }

  async #connect() {
    this.#stop();
    const abort = new AbortController();
    this.#abort = abort;
    this.#begun = this.#lastBytes = performance.now();
    this.#whole = false;
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
      return this.#failed("You are sent elsewhere, perhaps to sign in. Load this page again to follow.");
    }
    if (!answer.ok) {
      const { detail, final } = await problemOf(answer);
      if (this.#abort !== abort) return;
      // That there is no such page is not what the reader has asked.
      if (answer.status < 500 && !/\bjson\b/.test(type)) return this.#failed(IN_ITS_PLACE);
      return final ? this.#refused(detail) : this.#failed(detail, asked(answer.headers.get("retry-after")));
    }
    if (!type.startsWith("text/event-stream")) {
      await answer.body?.cancel();
      return this.#failed(IN_ITS_PLACE);
    }
    this.feed.begin();
    const ended = await this.#events(answer.body, abort);
    if (this.#abort !== abort) return;
    if (ended?.again === false) this.#refused(ended.why);
    // What is shown stays what it is, unless this fails.
    else if (ended?.atOnce && this.#whole && performance.now() - this.#begun > RENEWED) this.#connect();
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
      if (this.#whole) this.#lastGood = this.#lastBytes;
      if (this.#whole && this.link.why === SILENT) this.#show();
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
      if (name === "bye") return farewell(data);
      if (!this.feed.take(name, data, performance.now())) return null;
      if (name === "whole") {
        this.#failures = 0;
        this.#whole = true;
        this.#lastGood = performance.now();
      }
      // What is whole is as old as the tick behind it says; and that nothing comes is said at once.
      if (name === "tick" && (this.#whole || Number.isFinite(data.down_since))) this.#show();
    } catch (error) {
      console.warn("an event that cannot be understood was left out:", name, error);
    }
    this.changed();
    return null;
  }

  /** What the server says of what is shown. */
  #show() {
    const next = told(this.feed.tick);
    if (Object.keys(next).some((name) => next[name] !== this.link[name])) this.#set(next);
  }
}

function giveTurn() {
  return globalThis.scheduler?.yield ? scheduler.yield() : new Promise((go) => setTimeout(go));
}
