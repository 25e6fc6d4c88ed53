// One run on a card: how far it is, its Stop, and what came of it. What it promises: it has the same
// height from the start to the end, and an outcome is read out once.

import { el, isUsable, setAttr, setText, setUsable } from "./dom.mjs";
import { part } from "./words.mjs";

const STATES = { running: "runs", asked: "asked to stop", overdue: "overdue", stopped: "stopped", failed: "failed", finished: "finished", lost: "not known" };

export class Run {
  #said = null;

  /**
   * @param {any} page
   * @param {string} name of the card
   * @param {any} of a request or an operation; null: nothing has been started yet
   */
  constructor(page, name, of) {
    this.page = page;
    this.name = name;
    this.of = of;
    this.bar = el("progress", { max: 1, value: 0, "aria-label": `Progress of ${name}` });
    this.button = el("button", { type: "button", class: "stop", "aria-label": `Stop ${name}`, text: "Stop", on: { click: () => this.#stop() } });
    this.number = el("span", { class: "number" });
    this.words = el("span", { class: "words" });
    this.link = el("a", { class: "fetch", download: "", hidden: true });
    const said = el("p", { class: "outcome" }, this.number, this.words, this.link);
    this.element = el("li", { class: "run" }, el("div", { class: "bar" }, this.bar, this.button), said);
    this.render();
  }

  #stop() {
    if (isUsable(this.button)) this.of.stop();
  }

  render() {
    const { of } = this;
    setUsable(this.button, of?.isStoppable === true);
    setAttr(this.element, "data-looks", of?.looks ?? "none");
    const far = of ? part(of.progress) : 0;
    const done = of?.looks === "finished" ? 1 : far;
    setAttr(this.bar, "value", done ?? (of.isOver ? 0 : null));
    const words = of ? of.words(this.page.now()) : "Not started.";
    // By which its row of the log is found.
    const number = of?.work?.number;
    setText(this.number, number === undefined ? "" : `#${number} `);
    setText(this.words, words);
    if (!of) return;
    this.#link(of.link ?? null);
    this.#say(of, words);
  }

  #link(path) {
    this.link.hidden = path === null;
    setText(this.link, path ? "Download the file" : "");
    if (path) setAttr(this.link, "href", `.${path}`);
  }

  /** Of what this page began or stopped; one that was over when it was found is no news. */
  #say(of, words) {
    if (!of.isTold || this.#said === of.looks) return;
    this.#said = of.looks;
    this.page.say(`${this.name}: ${words.startsWith(STATES[of.looks]) ? "" : `${STATES[of.looks]}: `}${words}`);
  }
}
