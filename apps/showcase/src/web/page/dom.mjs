// Making and changing elements. What it promises: text is only ever set as text, never read as
// HTML, and what stands in the document already is not written again.

/**
 * @param {string} tag
 * @param {Record<string, any>} [props] attributes; `text`, and `on: {click: ..}`
 * @param {...(Node|string|null)} children
 */
export function el(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "text") made.textContent = value;
    else if (name === "on") for (const [event, call] of Object.entries(value)) made.addEventListener(event, call);
    else setAttr(made, name, value);
  }
  made.append(...children.filter((child) => child !== null));
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
  if (element.textContent !== text) element.textContent = text;
}

/** A button that does nothing now keeps the focus of whoever is on it: `disabled` would not. */
export function setUsable(button, isUsable) {
  setAttr(button, "aria-disabled", isUsable ? null : "true");
}

export const isUsable = (button) => button.getAttribute("aria-disabled") !== "true";

/** Brings the children of `parent` into this order. Those that stay are not moved. */
export function arrange(parent, wanted) {
  const stay = new Set(wanted);
  for (const child of [...parent.children]) if (!stay.has(child)) child.remove();
  let at = parent.firstElementChild;
  for (const element of wanted) {
    if (element === at) at = at.nextElementSibling;
    else parent.insertBefore(element, at);
  }
}
