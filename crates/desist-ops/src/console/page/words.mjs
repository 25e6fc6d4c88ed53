// What the page says of an operation. What it promises: the same words on each tab, those of the
// API; and what others wrote is kept apart from what the page says (`by` and its like), so that it
// can be shown as theirs. No DOM here.

import { isStopping, overdueBy } from "./model.mjs";
import { count, plural } from "./text.mjs";
import { age, ago, took } from "./time.mjs";

/** What somebody else wrote, within a sentence. */
export const theirs = (text) => ({ theirs: String(text) });

/** A sentence of parts, as one text. */
export function plain(parts) {
  return parts.map((part) => (typeof part === "string" ? part : part.theirs)).join("");
}

/** The word, and the shape, for how far it is. */
export function shownState(row, now) {
  if (!isStopping(row)) return row.state;
  return overdueBy(row, now) === null ? "stopping" : "overdue";
}

/** ` by ada: the wrong table`, as far as it is known. */
export function byWhom({ actor, message }) {
  const parts = [];
  if (actor) parts.push(" by ", theirs(actor));
  if (message) parts.push(": ", theirs(message));
  return parts;
}

/** `asked to stop 3 s ago by ada: the wrong table` */
export function askedToStop(row, now) {
  const { cancel } = row;
  if (!cancel) return [`told to stop ${ago(now - row.stop_at)}: its time is over, or its process stops`];
  const what = cancel.mode === "drain" ? "asked to finish its step" : "asked to stop";
  const why = cancel.reason && cancel.reason !== "requested" ? [" (", theirs(cancel.reason), ")"] : [];
  return [`${what} ${ago(now - cancel.at)}`, ...why, ...byWhom(cancel)];
}

/** `cancelled by ada: the wrong table` */
function cancelledBy(row) {
  if (!row.cancel) return ["cancelled"];
  const { reason } = row.cancel;
  const why = reason && reason !== "requested" ? [" (", theirs(reason), ")"] : [];
  return ["cancelled", ...why, ...byWhom(row.cancel)];
}

/** The one line that says what it does, waits for, or came to. */
export function note(row, now) {
  const ran = row.started != null && row.ended != null ? ` after ${took(row.ended - row.started)}` : "";
  const error = row.error ? [": ", theirs(row.error)] : [];
  switch (row.state) {
    case "waiting":
      if (row.run_at > now) return [`${row.attempt > 1 ? "tried again" : "begins"} in ${age(row.run_at - now + 999)}`, ...error];
      return ["waits for its turn", ...error];
    case "running": {
      if (!isStopping(row)) return row.progress?.message ? [theirs(row.progress.message)] : [];
      const by = overdueBy(row, now);
      // Who asked, and why, stands first: the end is cut where there is little room.
      return by === null ? askedToStop(row, now) : [...askedToStop(row, now), `; overdue by ${age(by)}`];
    }
    case "succeeded":
      return [`succeeded${ran}${row.cancel ? ", though it was asked to stop" : ""}`];
    case "failed":
      return [`failed${ran}`, ...error];
    case "cancelled":
      if (row.started == null) return ["cancelled before it started", ...(row.cancel ? byWhom(row.cancel) : [])];
      return [...cancelledBy(row), ...error];
    default:
      return [];
  }
}

/** How long it runs, waits, or ran, in ms. */
export function lasts(row, now) {
  if (row.state === "waiting") return now - row.created;
  if (row.started == null) return row.ended == null ? NaN : row.ended - row.created;
  return (row.ended ?? now) - row.started;
}

/** How far it is: a percentage where the whole is known. */
export function howFar(progress) {
  if (!progress || !Number.isFinite(progress.done)) return null;
  const { done, total } = progress;
  if (!(total > 0)) return { percent: null, text: `${count(done)} done` };
  const percent = Math.max(0, Math.min(100, Math.floor((100 * done) / total)));
  return { percent, text: `${count(done)} of ${count(total)}` };
}

/** What is said of an answer to a cancel. */
export function answered(answer, { name, mode, now }) {
  const it = [theirs(name)];
  if (answer.tree) return treeAnswered(answer.tree, it);
  switch (answer.answer) {
    case "requested":
      return ["Asked ", ...it, mode === "drain" ? " to finish its step and end." : " to stop."];
    case "already_requested": {
      const first = answer.first;
      if (!first) return [...it, " was already asked to stop."];
      const at = typeof first.at === "number" ? first.at : Date.parse(first.at);
      return [...it, ": already asked", ...(first.actor ? [" by ", theirs(first.actor)] : []),
        ` ${ago(now - at)}`, ...(first.message ? [": ", theirs(first.message)] : [])];
    }
    case "already_finished":
      return [...it, ` was already over: ${answer.outcome ?? "ended"}`];
    case "cancelled_before_start":
      return [...it, " was cancelled before it started; it never runs."];
    default:
      return [...it, `: ${answer.answer}`];
  }
}

function treeAnswered(tree, it) {
  const said = [];
  if (tree.requested) said.push(`${plural(tree.requested, "operation")} asked to stop`);
  if (tree.cancelled_before_start) said.push(`${count(tree.cancelled_before_start)} cancelled before they started`);
  if (tree.already_finished) said.push(`${count(tree.already_finished)} already over`);
  return [...it, " and everything below it: ", said.join(", ") || "nothing was left to stop", "."];
}

/** One sentence: what will happen when this is sent. */
export function whatHappens({ row, mode, many, now }) {
  if (many) {
    const how = mode === "drain" ? "asked to finish its step and then end" : "told to stop";
    const told = [];
    if (many.running) told.push(many.running === 1 ? `The one that runs is ${how}.` : `Each of the ${count(many.running)} that run is ${how}.`);
    if (many.waiting) told.push(many.waiting === 1 ? "The one that waits never starts." : `The ${count(many.waiting)} that wait never start.`);
    if (!told.length) return "Nothing is left to stop.";
    return `${told.join(" ")} What is started below later is cancelled, too.`;
  }
  if (row.state === "waiting") return "It has not started, and never will.";
  if (row.state !== "running") return `It is over: ${row.state}. There is nothing to stop.`;
  const { cancel } = row;
  if (mode === "drain") return "It is asked to begin nothing new, and ends when the step at hand is done.";
  const grace = row.grace ? ` If it still runs ${took(row.grace)} later, it is shown as overdue.` : "";
  if (!cancel) return `It is told to stop at once.${grace}`;
  if (cancel.mode === "drain") return `It finishes its step since ${age(now - cancel.at)}; now it is told to stop at once.${grace}`;
  return `It was asked to stop ${ago(now - cancel.at)} and has not yet. That request stands; yours is kept beside it.`;
}
