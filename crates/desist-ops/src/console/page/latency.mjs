// The tab of what stops took. What it promises: the numbers are those of what is plotted; while
// nobody looks nothing is computed.

import { byId, el, setParts, setText, theirs } from "./dom.mjs";
import { Plot } from "./plot.mjs";
import { perKind } from "./quantile.mjs";
import { count, shortId, visible } from "./text.mjs";
import { local, took } from "./time.mjs";
import { theirs as quoted } from "./words.mjs";

const PAUSE = 1000;
const HINT = "Point at one to see it, click it for its details.";

export class Latency {
  #shown = { key: "", at: -Infinity };

  constructor(app) {
    this.app = app;
    this.panel = byId("latency");
    this.since = this.panel.querySelector("select");
    this.empty = this.panel.querySelector(".empty");
    this.body = this.panel.querySelector("tbody");
    this.plot = new Plot(byId("plot"), (stop) => this.#point(stop), (stop) => app.details(stop.id));
    this.since.addEventListener("change", () => {
      app.filtered("latency", { since: this.since.value });
      this.#shown = { key: "", at: -Infinity };
      app.changed();
    });
  }

  place({ since = "" }) {
    this.since.value = [...this.since.options].some((option) => option.value === since) ? since : "";
    this.#shown = { key: "", at: -Infinity };
  }

  restyle() {
    this.plot.restyle();
    this.#shown = { key: "", at: -Infinity };
  }

  render() {
    const { feed } = this.app;
    const now = performance.now();
    // With a time to look back, points also leave without any that comes.
    const key = `${feed.ready} ${this.app.link().state === "refused"} ${feed.stopsVersion} ${this.since.value && Math.floor(now / 5000)}`;
    if (key === this.#shown.key) return;
    const wait = this.#shown.any ? this.#shown.at + PAUSE - now : 0;
    if (wait > 0) {
      setTimeout(this.app.changed, wait);
      return;
    }
    const from = this.since.value ? feed.now - Number(this.since.value) * 1000 : -Infinity;
    const stops = [...feed.stops.values()].filter((stop) => stop.asked >= from);
    const none = stops.length === 0;
    this.#shown = { key, at: now, any: !none };
    byId("plot").hidden = byId("point").hidden = none;
    this.panel.querySelector(".wide").hidden = none;
    this.empty.hidden = !none;
    setText(this.empty, this.#emptyText());
    if (none) return;
    this.plot.show(stops, feed.now);
    this.#table(perKind(stops));
  }

  #emptyText() {
    if (!this.app.feed.ready) return this.app.loading("what stops took");
    if (this.since.value) return "Nothing that was asked within this time has stopped. Look further back.";
    return "Nothing has been cancelled while it ran. What a stop took appears here as soon as one has stopped.";
  }

  #table(kinds) {
    // Whoever is on a button of it stays there.
    const on = this.body.contains(document.activeElement) ? document.activeElement.dataset.of : null;
    this.body.replaceChildren(...kinds.map((kind) => {
      const canvas = el("canvas", { class: "swatch", "aria-hidden": "true" });
      this.plot.swatch(canvas, kind.kind);
      const name = el("th", { scope: "row" }, canvas, theirs(kind.kind, { most: 60 }));
      const one = (which, measured) => el("td", {}, this.#one(kind.kind, which, measured));
      return el("tr", {}, name, el("td", { text: count(kind.count) }),
        one("median", kind.median), one("99th percentile", kind.p99), one("slowest", kind.slowest), el("td", { text: took(kind.heard) }));
    }));
    if (on !== null) [...this.body.querySelectorAll("button")].find((button) => button.dataset.of === on)?.focus();
  }

  /** The points of the plot are for who points: the operation behind a number is reached from here. */
  #one(kind, which, { ms, id }) {
    const open = () => this.app.details(id);
    const label = `${took(ms)}: details of ${visible(kind)} ${shortId(id)}, the ${which}`;
    return el("button", { type: "button", class: "name", "data-of": `${kind} ${which}`, "aria-label": label, text: took(ms), on: { click: open } });
  }

  #point(stop) {
    const line = byId("point");
    byId("plot").dataset.near = String(stop !== null);
    if (!stop) return setParts(line, [HINT]);
    const heard = stop.heard == null ? "" : `, heard after ${took(stop.heard - stop.asked)}`;
    const end = stop.outcome === "cancelled" ? "" : `, ${stop.outcome}`;
    setParts(line, [quoted(stop.kind), ` ${shortId(stop.id)}: asked ${local.short(stop.asked)}, ended after ${took(stop.stopped - stop.asked)}${heard}${end}`]);
  }
}
