// Making and changing elements. What it promises: text is only ever set as text, never read as
// HTML; what others wrote is isolated, so that it cannot turn what stands beside it; and nothing is
// written to the document that stands there already.

import { cut, visible } from "./text.mjs";

const SVG = "http://www.w3.org/2000/svg";

/**
 * @param {string} tag
 * @param {Record<string, any>} [props] attributes; `class`, `text`, and `on: {click: ..}`
 * @param {...(Node|string|null)} children
 */
export function el(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "text") made.textContent = value;
    else if (name === "on") for (const [event, call] of Object.entries(value)) made.addEventListener(event, call);
    else setAttr(made, name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export const byId = (id) => document.getElementById(id);

/** Sets, or with null or false takes away. */
export function setAttr(element, name, value) {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
    return;
  }
  const text = value === true ? "" : String(value);
  if (element.getAttribute(name) !== text) element.setAttribute(name, text);
}

export function setText(element, text) {
  const only = element.firstChild;
  if (only && only === element.lastChild && only.nodeType === Node.TEXT_NODE) {
    if (only.data !== text) only.data = text;
  } else if (only || text) {
    element.textContent = text;
  }
}

/** Text of others: isolated, visible, cut, the whole of it in the title. */
export function theirs(text, { most = 200, tag = "bdi", lines = false, ...props } = {}) {
  const whole = visible(text, lines);
  const short = cut(whole, most);
  return el(tag, { dir: tag === "bdi" ? null : "auto", title: short === whole ? null : whole, ...props, text: short });
}

export function setTheirs(element, text, most = 200) {
  const whole = visible(text);
  setText(element, cut(whole, most));
  setAttr(element, "title", whole || null);
}

/** A sentence of `words.mjs`. Where only numbers changed, only text changes. */
export function setParts(element, parts, most = 300) {
  const kinds = parts.map((part) => (typeof part === "string" ? "s" : "b")).join("");
  if (element.partKinds !== kinds) {
    element.partKinds = kinds;
    element.replaceChildren(...parts.map((part) => el(typeof part === "string" ? "span" : "bdi")));
  }
  parts.forEach((part, at) => {
    setText(element.children[at], typeof part === "string" ? part : cut(visible(part.theirs), most));
  });
}

/** A shape out of the sprite of `index.html`. The word beside it says the same. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

export function setIcon(svg, name) {
  setAttr(svg.firstChild, "href", `#i-${name}`);
}

/**
 * Brings the children of `parent` into the order of `wanted`. Those that stay are not moved, so
 * that none of them loses its focus.
 * @param {Element} parent
 * @param {Element[]} wanted
 */
export function arrange(parent, wanted) {
  const stay = new Set(wanted);
  for (const child of [...parent.children]) if (!stay.has(child)) child.remove();
  let at = parent.firstElementChild;
  for (const element of wanted) {
    if (element === at) at = at.nextElementSibling;
    else parent.insertBefore(element, at);
  }
}

/**
 * One element for each item, by its id; kept while the item is there.
 * @template T
 */
export class Keyed {
  #made = new Map();

  /**
   * @param {Element} parent
   * @param {{id: (item: T) => string, make: (item: T) => any, update: (made: any, item: T) => void}} how
   *   `make` gives an object with `element`
   */
  constructor(parent, how) {
    this.parent = parent;
    this.how = how;
  }

  show(items) {
    const before = this.#made;
    this.#made = new Map();
    for (const item of items) {
      const id = this.how.id(item);
      const made = before.get(id) ?? this.how.make(item);
      this.how.update(made, item);
      this.#made.set(id, made);
    }
    arrange(this.parent, [...this.#made.values()].map((made) => made.element));
  }
}

/** Fills a `select`, or a `datalist`, with what can be chosen, and keeps what is chosen. */
export function options(select, values, any, chosen = select.value) {
  const all = chosen && !values.includes(chosen) ? [...values, chosen] : values;
  const key = JSON.stringify([any, all]);
  if (select.optionsKey !== key) {
    select.optionsKey = key;
    const made = all.map((value) => el("option", { value, text: visible(value) }));
    select.replaceChildren(...(any ? [el("option", { value: "", text: any })] : []), ...made);
  }
  if (chosen !== null && select.value !== chosen) select.value = chosen;
}
