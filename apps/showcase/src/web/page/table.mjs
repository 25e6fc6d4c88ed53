// The log as a table. What it promises: the newest is on top, and a work keeps its row.

import { arrange, el, setAttr, setText } from "./dom.mjs";
import { cameOf, isHeard, part, why } from "./words.mjs";
import { took } from "./time.mjs";

const COLUMNS = ["number", "what", "came", "whom", "by", "why", "heard", "stopped"];
const LABELS = ["#", "Work", "What came of it", "For", "Asked by", "Why", "Heard after", "Stopped after"];

export class Table {
  #rows = new Map();

  /** @param {HTMLTableElement} table @param {HTMLElement} nothing shown in its place */
  constructor(table, nothing) {
    this.table = table;
    this.body = table.tBodies[0];
    this.nothing = nothing;
  }

  render(all, now, link) {
    const works = shown(all);
    // A log that cannot be read may have something in it.
    this.nothing.hidden = works.length > 0 || !link.isLive;
    const before = this.#rows;
    this.#rows = new Map();
    for (const work of works) {
      const row = before.get(work.key) ?? made();
      fill(row, work, now, link);
      this.#rows.set(work.key, row);
    }
    arrange(this.body, [...this.#rows.values()].map(({ element }) => element));
  }
}

/** Where there is little room rows are no table to a browser any more: what they are is said. */
function made() {
  const cells = COLUMNS.map((name, at) => el("td", { role: "cell", class: name, "data-label": LABELS[at] }));
  const words = el("span", { class: "words" });
  const bar = el("progress", { max: 1, value: 0, "aria-hidden": "true" });
  cells[2].append(words, bar);
  return { element: el("tr", { role: "row" }, ...cells), cells, words, bar };
}

function fill({ element, cells, words, bar }, work, now, link) {
  setAttr(element, "data-looks", looks(work, link));
  setAttr(element, "data-work", work.number);
  setAttr(element, "data-own", work.isOwn);
  const far = work.state === "running" && isHeard(link) ? part(work.progress) : null;
  bar.hidden = far === null;
  setAttr(bar, "value", far ?? 0);
  setText(words, cameOf(work, now, link));
  const stop = work.state === "stopped" ? work.end : work.asked;
  const texts = [
    String(work.number), work.what, null, whom(work), asker(work, stop), stop ? why(stop) : "",
    work.state === "stopped" ? took(work.end.heard_ms) : "",
    work.state === "stopped" ? took(work.end.stopped_ms) : "",
  ];
  texts.forEach((text, at) => {
    if (text === null) return;
    setText(cells[at], text);
    setAttr(cells[at], "data-empty", text === "");
  });
}

function looks(work, link) {
  if (work.state !== "running") return work.state;
  return !isHeard(link) ? "lost" : work.asked ? "asked" : "running";
}

/** The indexer is at work again and again: of what it has done well only the last is of interest. */
function shown(works) {
  const isDull = ({ what, state }) => what === "indexing" && state === "finished";
  const last = works.find(isDull);
  return works.filter((work) => work === last || !isDull(work));
}

const THIS = "this page";

const whom = (work) => (work.isOwn ? THIS : (work.for ?? ""));

/** Its address says less than that it is this page. */
function asker(work, stop) {
  const isThis = work.isOwn && work.for !== null && stop?.by === `the client ${work.for}`;
  return isThis ? THIS : (stop?.by ?? "");
}
