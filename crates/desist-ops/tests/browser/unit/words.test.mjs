import assert from "node:assert/strict";
import { test } from "node:test";
import { answered, askedToStop, howFar, note, plain, shownState, whatHappens } from "../../../src/console/page/words.mjs";

const now = 100_000;
const row = (more) => ({ id: "op_1", kind: "export", state: "running", created: 0, started: 1000, grace: 5000, ...more });
const cancel = { mode: "cancel", reason: "requested", message: "the wrong table", actor: "ada", at: now - 3000 };
const said = (more) => plain(note(row(more), now));

test("a row that is asked to stop says so", () => {
  assert.equal(plain(askedToStop(row({ cancel }), now)), "asked to stop 3 s ago by ada: the wrong table");
  assert.equal(plain(askedToStop(row({ cancel: { ...cancel, mode: "drain", reason: "superseded", message: null } }), now)), "asked to finish its step 3 s ago (superseded) by ada");
  assert.equal(plain(askedToStop(row({ stop_at: now - 2000 }), now)), "told to stop 2 s ago: its time is over, or its process stops");
  assert.equal(said({ cancel, stop_at: now - 7000 }), "asked to stop 3 s ago by ada: the wrong table; overdue by 2 s");
});

test("what others wrote is kept apart from what the page says", () => {
  const parts = note(row({ cancel }), now);
  assert.deepEqual(parts.filter((part) => typeof part !== "string").map((part) => part.theirs), ["ada", "the wrong table"]);
});

test("each state has its word and its line", () => {
  assert.equal(shownState(row({ cancel }), now), "stopping");
  assert.equal(shownState(row({ cancel, stop_at: 0 }), now), "overdue");
  assert.equal(shownState(row({}), now), "running");
  assert.equal(said({ progress: { message: "writes" } }), "writes");
  assert.equal(said({ state: "waiting", run_at: 0 }), "waits for its turn");
  assert.equal(said({ state: "waiting", run_at: now + 4000 }), "begins in 4 s");
  assert.equal(said({ state: "waiting", run_at: now + 4000, attempt: 2, error: "reset" }), "tried again in 4 s: reset");
  assert.equal(said({ state: "succeeded", ended: 13_000 }), "succeeded after 12 s");
  assert.equal(said({ state: "succeeded", ended: 13_000, cancel }), "succeeded after 12 s, though it was asked to stop");
  assert.equal(said({ state: "failed", ended: 13_000, error: "disk full" }), "failed after 12 s: disk full");
  assert.equal(said({ state: "cancelled", ended: 13_000, cancel }), "cancelled by ada: the wrong table");
  assert.equal(said({ state: "cancelled", started: null, ended: 13_000, cancel }), "cancelled before it started by ada: the wrong table");
});

test("progress is a percentage where the whole is known", () => {
  assert.deepEqual(howFar({ done: 3, total: 20 }), { percent: 15, text: "3 of 20" });
  assert.deepEqual(howFar({ done: 30, total: 20 }), { percent: 100, text: "30 of 20" });
  assert.deepEqual(howFar({ done: 3 }), { percent: null, text: "3 done" });
  assert.equal(howFar(null), null);
});

test("what came of a cancel is told", () => {
  const tell = (answer, mode = "cancel") => plain(answered(answer, { name: "export op_1", mode, now }));
  assert.equal(tell({ answer: "requested" }), "Asked export op_1 to stop.");
  assert.equal(tell({ answer: "requested" }, "drain"), "Asked export op_1 to finish its step and end.");
  const first = { actor: "bob", message: "mine", at: new Date(now - 4000).toISOString() };
  assert.equal(tell({ answer: "already_requested", first }), "export op_1: already asked by bob 4 s ago: mine");
  assert.equal(tell({ answer: "already_finished", outcome: "succeeded" }), "export op_1 was already over: succeeded");
  assert.equal(tell({ answer: "cancelled_before_start" }), "export op_1 was cancelled before it started; it never runs.");
  const tree = { requested: 9, cancelled_before_start: 4, already_finished: 0 };
  assert.equal(tell({ answer: "requested", tree }), "export op_1 and everything below it: 9 operations asked to stop, 4 cancelled before they started.");
});

test("what will happen is one plain sentence", () => {
  const tell = (more, how = {}) => whatHappens({ row: row(more), mode: "cancel", now, ...how });
  assert.equal(tell({}), "It is told to stop at once. If it still runs 5 s later, it is shown as overdue.");
  assert.match(tell({}, { mode: "drain" }), /ends when the step at hand is done/);
  assert.equal(tell({ state: "waiting" }), "It has not started, and never will.");
  assert.equal(tell({ state: "failed" }), "It is over: failed. There is nothing to stop.");
  assert.match(tell({ cancel }), /yours is kept beside it/);
  const many = (running, waiting) => tell({}, { many: { running, waiting } });
  assert.equal(many(9, 4), "Each of the 9 that run is told to stop. The 4 that wait never start. What is started below later is cancelled, too.");
  assert.equal(many(1, 0), "The one that runs is told to stop. What is started below later is cancelled, too.");
  assert.equal(many(0, 0), "Nothing is left to stop.");
});
