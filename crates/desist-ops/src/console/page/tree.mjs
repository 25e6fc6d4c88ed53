// The lines of the tree, from the top to the bottom. What it promises: children stand under their
// parent by `seq`, the oldest first, so that what starts stands below and moves nothing; whoever
// matches is shown with all that is above it. No DOM here.

import { isLive } from "./model.mjs";

/**
 * @typedef {object} Line
 * @property {import("./model.mjs").Node} node
 * @property {number} level 1 for roots
 * @property {number} place among its siblings, from 1
 * @property {number} siblings how many of them are shown
 * @property {boolean|null} open null where nothing is below
 * @property {boolean} context shown only for what is below it
 */

/**
 * @param {import("./model.mjs").Model} model
 * @param {{kind?: string, find?: string, closed: Set<string>}} how
 * @returns {Line[]}
 */
export function lines(model, { kind = "", find = "", closed }) {
  const words = find.toLowerCase().split(/\s+/).filter(Boolean);
  const match = (node) => !node.over && (!kind || node.row.kind === kind) && has(node, words);
  const kept = keep(model.top, match);
  const out = [];
  // A stack of one's own: a chain of ten thousand is one too deep for calls.
  const stack = [{ shown: inOrder(model.top, kept), at: 0 }];
  while (stack.length) {
    const frame = stack.at(-1);
    if (frame.at === frame.shown.length) {
      stack.pop();
      continue;
    }
    const node = frame.shown[frame.at++];
    const below = node.children.length ? inOrder(node, kept) : [];
    const open = below.length ? !closed.has(node.id) : null;
    out.push({
      node, open,
      level: stack.length,
      place: frame.at,
      siblings: frame.shown.length,
      context: !kept.get(node),
    });
    if (open) stack.push({ shown: below, at: 0 });
  }
  return out;
}

/** Who is shown: true for those that match, false for those above one. */
function keep(top, match) {
  const kept = new Map();
  const stack = [...top.children];
  while (stack.length) {
    const node = stack.pop();
    for (const child of node.children) stack.push(child);
    if (!match(node)) continue;
    kept.set(node, true);
    for (let up = node.parent; up && !kept.has(up); up = up.parent) kept.set(up, match(up));
  }
  return kept;
}

function inOrder(node, kept) {
  if (!node.sorted) {
    node.children.sort((a, b) => a.row.seq - b.row.seq);
    node.sorted = true;
  }
  return node.children.filter((child) => kept.has(child));
}

function has(node, words) {
  if (!words.length) return true;
  node.text ??= searched(node.row);
  return words.every((word) => node.text.includes(word));
}

function searched(row) {
  const { actor, message } = row.cancel ?? {};
  return [row.kind, row.id, row.key, row.actor, row.ran_on, row.state, actor, message, ...(row.tags ?? [])]
    .filter((part) => part != null)
    .join("\n")
    .toLowerCase();
}

/** How many of those below a node are still to end. */
export function below(node) {
  const many = { running: 0, waiting: 0 };
  const stack = [...node.children];
  while (stack.length) {
    const { row, children } = stack.pop();
    if (isLive(row)) many[row.state] += 1;
    for (const child of children) stack.push(child);
  }
  return many;
}

/** Whether anything below a node is still to end. */
export function anyBelow(node) {
  const stack = [...node.children];
  while (stack.length) {
    const { row, children } = stack.pop();
    if (isLive(row)) return true;
    for (const child of children) stack.push(child);
  }
  return false;
}

/** Whether there is anything to cancel here: itself, or what is below one that has ended. */
export function isCancellable(row, node) {
  return row.may_cancel === true && (isLive(row) || (node != null && anyBelow(node)));
}
