// What an event of an operation's history says, in words. What it promises: the events that this
// release knows are sentences; what a newer one tells beside them is shown as it is told. No DOM here.

import { count } from "./text.mjs";
import { byWhom, theirs } from "./words.mjs";

/** What each one says, and which of its members are in that. */
const KNOWN = {
  started: ({ parent }) => (parent ? ["below ", theirs(parent)] : []),
  claimed: ({ by }) => (by ? ["by ", theirs(by)] : []),
  cancel_requested: (said) => {
    const what = said.mode === "drain" ? "to finish its step" : "to stop";
    const why = said.reason && said.reason !== "requested" ? [" (", theirs(said.reason), ")"] : [];
    const again = said.first === false ? ["; another request was first"] : [];
    return [what, ...why, ...byWhom(said), ...again];
  },
  heard: () => ["by the process that runs it"],
  overdue: () => ["it has not stopped within its grace"],
  retried: ({ error, attempt }) => [attempt ? `after attempt ${count(attempt)}` : "", ...because(error)],
  given_back: ({ why }) => ["another process may begin it", ...because(why)],
  taken_over: ({ from, now }) => [...(from ? ["from ", theirs(from), ", which is gone"] : []), ...(now ? [`; now ${now}`] : [])],
  finished: ({ outcome, error, in_spite_of_a_cancel: inSpite }) => [
    outcome ?? "", inSpite ? ", though it was asked to stop" : "", ...because(error),
  ],
};

const MEMBERS = {
  started: ["kind", "parent"], claimed: ["by"], cancel_requested: ["mode", "reason", "message", "actor", "first"],
  retried: ["error", "attempt"], given_back: ["why"], taken_over: ["from", "now"],
  finished: ["outcome", "error", "in_spite_of_a_cancel"],
};

function because(text) {
  return text ? [": ", theirs(text)] : [];
}

/** @param {{what: string, detail?: object}} event */
export function happened({ what, detail }) {
  const told = detail && typeof detail === "object" ? detail : {};
  const parts = (Object.hasOwn(KNOWN, what) ? KNOWN[what](told) : []).filter((part) => part !== "");
  const known = Object.hasOwn(MEMBERS, what) ? MEMBERS[what] : [];
  for (const [name, value] of Object.entries(told)) {
    if (known.includes(name) || value === null || value === "") continue;
    const text = typeof value === "object" ? JSON.stringify(value) : String(value);
    parts.push(parts.length ? "; " : "", theirs(name), " ", theirs(text));
  }
  return parts.filter((part) => part !== "");
}
