// A tree of any size in a window of few rows. What it promises: only rows in sight are in the
// document, and the one that has the focus; the row under the pointer, or the one with the focus,
// stays where it is when others come and go; the keys are those of the treegrid pattern of WAI-ARIA.

import { arrange, setAttr } from "./dom.mjs";
import { makeRow, updateRow } from "./row.mjs";

/** Rows kept above and below those in sight. */
const SPARE = 8;
/** For how long after the reader moved in the tree nothing is taken out of it. */
const CALM = 4000;

export class TreeGrid {
  /** @type {import("./tree.mjs").Line[]} */
  #lines = [];
  #at = new Map();
  #rows = new Map();
  #active = null;
  #hovered = null;
  #lastMove = -Infinity;
  #height = 36;

  /**
   * @param {HTMLElement} root with role=treegrid: it scrolls
   * @param {{changed: () => void, open: (id: string) => void, cancel: (id: string, from: Element) => void,
   *   toggle: (id: string, open: boolean) => void}} calls
   */
  constructor(root, calls) {
    this.root = root;
    this.head = root.querySelector(".tree-head");
    this.body = root.querySelector(".tree-body");
    this.calls = calls;
    root.addEventListener("scroll", () => calls.changed(), { passive: true });
    root.addEventListener("keydown", (event) => this.#key(event));
    root.addEventListener("click", (event) => this.#click(event));
    root.addEventListener("focusin", (event) => this.#focused(event));
    root.addEventListener("pointermove", (event) => this.#moved(event), { passive: true });
    root.addEventListener("pointerleave", () => this.#left());
    new ResizeObserver(() => {
      this.#measure();
      calls.changed();
    }).observe(root);
  }

  #measure() {
    setAttr(this.root, "data-room", this.#room());
    const before = this.#height;
    this.#height = parseFloat(getComputedStyle(this.root).getPropertyValue("--line")) || 36;
    if (before !== this.#height) this.root.scrollTop *= this.#height / before;
  }

  #room() {
    const width = this.root.clientWidth;
    if (width > 1080) return "one";
    if (width > 640 && document.querySelector("#details[open]:not(:modal)")) return "beside";
    return width > 560 ? "two" : "phone";
  }

  /** Whether this node is to stay for now. */
  holds(node) {
    if (node.id === this.#active && this.root.contains(document.activeElement)) return true;
    return performance.now() - this.#lastMove < CALM;
  }

  /** Other lines. Where the eye rests, nothing moves. */
  setLines(lines) {
    const anchor = this.#anchor();
    const before = this.#at.get(anchor);
    this.#lines = lines;
    this.#at = new Map(lines.map((line, at) => [line.node.id, at]));
    setAttr(this.root, "aria-rowcount", lines.length + 1);
    this.body.style.setProperty("height", `${lines.length * this.#height}px`);
    const after = this.#at.get(anchor);
    if (before !== undefined && after !== undefined && before !== after) {
      this.root.scrollTop += (after - before) * this.#height;
    }
    if (!this.#at.has(this.#active)) this.#lost();
  }

  #anchor() {
    if (this.#hovered) return this.#hovered;
    const active = this.root.contains(document.activeElement) ? this.#at.get(this.#active) : undefined;
    const [first, last] = this.#inSight();
    if (active >= first && active < last) return this.#active;
    return this.root.scrollTop > 0 ? this.#lines[first + 1]?.node.id : undefined;
  }

  /** The active row is not there any more: the one nearest to it takes its place. */
  #lost() {
    const row = this.#rows.get(this.#active);
    const had = row?.element.contains(document.activeElement);
    const at = Math.min(row?.index ?? 0, this.#lines.length - 1);
    this.#active = this.#lines[at]?.node.id ?? null;
    if (!had) return;
    if (this.#active) this.focus(this.#active);
    else this.root.closest("[role=tabpanel]").querySelector("input").focus();
  }

  #inSight() {
    const first = Math.floor(this.root.scrollTop / this.#height);
    const many = Math.ceil((this.root.clientHeight - this.head.offsetHeight) / this.#height) + 1;
    return [Math.max(0, first), Math.min(this.#lines.length, first + many)];
  }

  /** Brings the document to what is in sight. */
  render(how) {
    this.body.style.setProperty("height", `${this.#lines.length * this.#height}px`);
    const [first, last] = this.#inSight();
    const shown = [];
    for (let at = Math.max(0, first - SPARE); at < Math.min(this.#lines.length, last + SPARE); at++) shown.push(at);
    const active = this.#at.get(this.#active);
    if (active < shown[0]) shown.unshift(active);
    if (active > shown.at(-1)) shown.push(active);

    const before = this.#rows;
    this.#rows = new Map();
    for (const at of shown) {
      const line = this.#lines[at];
      const row = before.get(line.node.id) ?? makeRow(line);
      this.#rows.set(line.node.id, row);
      this.#put(row, line, at, how);
    }
    arrange(this.body, [...this.#rows.values()].map((row) => row.element));
  }

  #put(row, line, at, how) {
    if (row.index !== at || row.height !== this.#height) {
      row.index = at;
      row.height = this.#height;
      setAttr(row.element, "aria-rowindex", at + 2);
      row.element.style.setProperty("--top", `${at * this.#height}px`);
    }
    const tabindex = line.node.id === this.#active ? "0" : "-1";
    setAttr(row.element, "tabindex", tabindex);
    setAttr(row.button, "tabindex", tabindex);
    updateRow(row, line, how);
  }

  /** Gives a row the focus, wherever it is. */
  focus(id) {
    const at = this.#at.get(id);
    if (at === undefined) return false;
    this.#active = id;
    const top = at * this.#height;
    const room = this.root.clientHeight - this.head.offsetHeight - this.#height;
    if (top < this.root.scrollTop) this.root.scrollTop = top;
    if (top > this.root.scrollTop + room) this.root.scrollTop = top - room;
    // It may not be in the document yet.
    this.calls.renderNow();
    this.#rows.get(id)?.element.focus({ preventScroll: true });
    // In a low window the page scrolls, too.
    this.root.scrollIntoView({ block: "nearest" });
    return true;
  }

  focusActive() {
    return this.#active !== null && this.focus(this.#active);
  }

  #idOf(event) {
    return event.target.closest?.("[data-id]")?.dataset.id;
  }

  #focused(event) {
    const id = this.#idOf(event);
    if (!id || id === this.#active) return;
    this.#active = id;
    this.calls.changed();
  }

  #moved(event) {
    this.#lastMove = performance.now();
    if (event.pointerType === "mouse") this.#hovered = this.#idOf(event) ?? null;
  }

  #left() {
    this.#hovered = null;
    this.#lastMove = -Infinity;
  }

  #click(event) {
    const id = this.#idOf(event);
    if (!id || String(getSelection()).length) return;
    if (event.target.closest("button")) return this.calls.cancel(id, event.target.closest("button"));
    const line = this.#lines[this.#at.get(id)];
    if (event.target.closest(".twist") && line?.open !== null) this.calls.toggle(id, !line.open);
    else this.calls.open(id);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const onButton = event.target.closest("button");
    const at = this.#at.get(this.#active);
    if (at === undefined || (onButton && (event.key === "Enter" || event.key === " "))) return;
    const act = this.#keys(at)[event.key];
    if (!act) return;
    event.preventDefault();
    this.#lastMove = performance.now();
    act();
  }

  #keys(at) {
    const { node, open, level } = this.#lines[at];
    const page = Math.max(1, this.#inSight()[1] - this.#inSight()[0] - 2);
    const go = (to) => () => this.focus(this.#lines[Math.max(0, Math.min(this.#lines.length - 1, to))].node.id);
    const up = () => level > 1 && this.focus(node.parent.id);
    const cancel = () => this.calls.cancel(node.id, this.#rows.get(node.id)?.element);
    return {
      ArrowDown: go(at + 1),
      ArrowUp: go(at - 1),
      Home: go(0),
      End: go(this.#lines.length - 1),
      PageDown: go(at + page),
      PageUp: go(at - page),
      ArrowRight: () => (open === false ? this.calls.toggle(node.id, true) : open && go(at + 1)()),
      ArrowLeft: () => (open ? this.calls.toggle(node.id, false) : up()),
      Enter: () => this.calls.open(node.id),
      " ": () => open !== null && this.calls.toggle(node.id, !open),
      c: cancel,
      Delete: cancel,
    };
  }
}
