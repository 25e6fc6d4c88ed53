// What the server has told, as one whole. What it promises: until a new picture is complete the one
// before it stays; what cannot be understood changes nothing. No DOM here.

import { Model } from "./model.mjs";
import { Clock } from "./time.mjs";

/** As many as the server tells of. */
const MOST_STOPS = 1000;

export class Feed {
  clock = new Clock();
  model = new Model();
  /** The first event of a connection: label, changes, kinds, reasons. */
  hello = null;
  tick = null;
  process = null;
  /** Cancelled ones that have ended, for the plot. @type {Map<string, any>} */
  stops = new Map();
  /** Grows with `stops`. */
  stopsVersion = 0;
  /** Whether there has been a whole picture yet. */
  ready = false;
  #next = null;
  #nextStops = null;
  #process = null;

  /** A connection begins. */
  begin() {
    this.clock.begin();
    this.#anew();
    this.#process = null;
  }

  #anew() {
    this.#next = new Model();
    // Who reads now may see others than who read before.
    this.#nextStops = new Map();
  }

  /**
   * @param {string} name
   * @param {any} data parsed
   * @param {number} here `performance.now()`
   * @returns {boolean} whether anything is to be shown anew
   */
  take(name, data, here) {
    const handler = this[`_${name}`];
    if (!handler) return false;
    handler.call(this, data, here);
    return true;
  }

  /** Nothing of it is to be seen any more. */
  forget() {
    const next = new Model();
    next.structure = this.model.structure + 1;
    next.content = this.model.content + 1;
    this.model = next;
    this.hello = this.tick = this.process = null;
    this.stops = new Map();
    this.stopsVersion += 1;
    this.ready = false;
  }

  get now() {
    return this.clock.now(performance.now());
  }

  /** Each kind that is known from anywhere, by name. */
  kinds() {
    const all = new Set(this.hello?.kinds ?? []);
    for (const kind of this.process?.operations?.kinds ?? []) all.add(kind.name);
    for (const { row } of this.model.nodes.values()) all.add(row.kind);
    return [...all].filter((kind) => typeof kind === "string").sort();
  }

  _hello(data, here) {
    this.hello = data;
    this.tick = null;
    // It is the clock of the process, if it is told at all: times are by that of the database.
    this.clock.guess(data.now, here);
  }

  _reset(data, here) {
    if (!this.#next) this.#process = this.process;
    this.#anew();
    this.clock.hear(data?.now, here);
  }

  _rows(rows, here) {
    const now = this.clock.now(here);
    const into = this.#next ?? this.model;
    const before = this.#next && this.model;
    for (const row of rows) into.put(row, now, before);
  }

  _gone(ids) {
    for (const id of ids) (this.#next ?? this.model).remove(id);
  }

  _asked(stops) {
    const into = this.#nextStops ?? this.stops;
    for (const stop of stops) {
      if (!Number.isFinite(stop?.asked) || !Number.isFinite(stop.stopped)) continue;
      into.set(`${stop.id} ${stop.asked}`, stop);
    }
    if (into.size > MOST_STOPS) {
      const oldest = [...into].sort(([, a], [, b]) => a.stopped - b.stopped);
      for (const [key] of oldest.slice(0, into.size - MOST_STOPS)) into.delete(key);
    }
    if (into === this.stops) this.stopsVersion += 1;
  }

  _process(data) {
    if (this.#next) this.#process = data;
    else this.process = data;
  }

  _whole() {
    if (this.#next) {
      // Whoever compares these numbers is to see that everything is another.
      this.#next.structure += this.model.structure + 1;
      this.#next.content += this.model.content;
      this.model = this.#next;
      this.process = this.#process;
      this.stops = this.#nextStops;
      this.stopsVersion += 1;
    }
    this.#next = this.#nextStops = null;
    this.ready = true;
  }

  _tick(data, here) {
    this.tick = data;
    this.clock.hear(data.now, here);
  }
}
