// The facts of an operation, and its events, as lines. What it promises: nothing that the server
// told is left out; each time has its day and zone.

import { el, setParts, theirs } from "./dom.mjs";
import { happened } from "./events.mjs";
import { visible } from "./text.mjs";
import { instant, local, took } from "./time.mjs";
import { howFar } from "./words.mjs";

/** The operation of `api/`, as a row of `live`. */
export function fromApi(operation) {
  const { cancel, progress } = operation;
  return {
    ...operation,
    seq: operation.sequence,
    created: instant(operation.created_at), run_at: instant(operation.run_at),
    started: instant(operation.started_at), ended: instant(operation.finished_at),
    heard: instant(operation.heard_at), seen: instant(operation.seen_at),
    stop_at: instant(operation.stop_at),
    grace: operation.grace_ms,
    cancel: cancel && { ...cancel, at: instant(cancel.at) },
    progress: progress && { ...progress, at: instant(progress.at) },
    may_cancel: operation.may_cancel === true,
  };
}

/** Writes the facts; what stands there already is not written again. */
export function facts(parent, row, operation, { open }) {
  const all = lines(row, operation);
  const key = JSON.stringify(all);
  if (parent.factsKey === key) return;
  parent.factsKey = key;
  parent.replaceChildren(...all.flatMap(([name, value, how]) => [el("dt", { text: name }), valueOf(name, value, how, open)]));
}

function valueOf(name, value, how, open) {
  if (how === "long") return el("dd", {}, theirs(value, { tag: "pre", most: 20_000, lines: true, tabindex: "0", role: "group", "aria-label": name }));
  if (how === "link") return el("dd", {}, el("button", { type: "button", class: "name", text: visible(value), on: { click: () => open(value) } }));
  if (how === "time") return el("dd", {}, el("time", { datetime: new Date(value).toISOString(), text: local.exact(value) }));
  if (how === "tags") return el("dd", {}, ...value.map((tag) => theirs(tag, { class: "tag", most: 500 })));
  return el("dd", {}, theirs(value, { most: 5000 }));
}

function lines(row, operation) {
  const made = [];
  const add = (name, value, how) => {
    const none = value === null || value === undefined || value === "" || value.length === 0;
    if (!none) made.push([name, value, how]);
  };
  const time = (name, ms) => Number.isFinite(ms) && Math.abs(ms) < 8.64e15 && add(name, ms, "time");
  const { cancel, progress } = row;
  add("id", row.id);
  add("key", row.key);
  add("tags", row.tags, "tags");
  add("started by", row.actor);
  add("runs on", row.ran_on);
  add("attempt", row.attempt && `${row.attempt}${row.attempts ? ` of ${row.attempts}` : ""}`);
  add("parent", row.parent, "link");
  if (progress) add("progress", `${howFar(progress)?.text ?? ""}${progress.message ? `: ${progress.message}` : ""}`);
  time("progress at", progress?.at);
  if (cancel) {
    add("asked to", cancel.mode === "drain" ? "finish its step" : "stop");
    add("reason", cancel.reason);
    add("message", cancel.message);
    add("asked by", cancel.actor);
    time("asked at", cancel.at);
  }
  time("heard at", row.heard);
  time("seen at", row.seen);
  time("to stop since", row.stop_at);
  if (row.grace != null) add("grace", took(row.grace));
  if (operation?.in_spite_of_a_cancel) add("in spite of a cancel", "yes: it had done its work all the same");
  if (operation?.cancelled_before_start) add("before its start", "yes: it never ran");
  time("created at", row.created);
  if (row.run_at !== row.created) time("not before", row.run_at);
  time("started at", row.started);
  time("ended at", row.ended);
  if (row.started != null && row.ended != null) add("ran for", took(row.ended - row.started));
  add("error", row.error, "long");
  const output = operation?.output;
  add("output", output == null || typeof output === "string" ? output : JSON.stringify(output, null, 2), "long");
  add("traceparent", operation?.traceparent);
  add("sequence", String(row.seq));
  add("version", row.version == null ? null : String(row.version));
  return made;
}

/** One thing that happened: when, what, how long after the one before. */
export function eventLine(event, before) {
  const at = instant(event.at);
  const since = before ? at - instant(before.at) : NaN;
  const detail = el("p", { class: "e-detail" });
  const parts = happened(event);
  setParts(detail, parts, 2000);
  return el("li", { "data-what": event.what },
    el("time", { datetime: event.at, title: local.exact(at), text: local.short(at) }),
    el("span", { class: "e-what", text: visible(event.what).replaceAll("_", " ") }),
    el("span", { class: "quiet", text: Number.isFinite(since) ? `+${took(since)}` : "" }),
    parts.length ? detail : null);
}
