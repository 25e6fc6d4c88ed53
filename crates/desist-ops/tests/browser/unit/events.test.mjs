import assert from "node:assert/strict";
import { test } from "node:test";
import { happened } from "../../../src/console/page/events.mjs";
import { plain } from "../../../src/console/page/words.mjs";

const says = (what, detail) => plain(happened({ what, detail }));

test("an event is a sentence", () => {
  assert.equal(says("started", { kind: "export", parent: null }), "");
  assert.equal(says("started", { kind: "export", parent: "op_1" }), "below op_1");
  assert.equal(says("claimed", { by: "replica-1" }), "by replica-1");
  assert.equal(
    says("cancel_requested", { mode: "cancel", reason: "overload", message: "too much", actor: "ada", first: true }),
    "to stop (overload) by ada: too much");
  assert.equal(
    says("cancel_requested", { mode: "drain", reason: "requested", message: null, actor: null, first: false }),
    "to finish its step; another request was first");
  assert.equal(says("retried", { error: "reset", attempt: 2 }), "after attempt 2: reset");
  assert.equal(says("given_back", { why: "its process stops" }), "another process may begin it: its process stops");
  assert.equal(says("taken_over", { from: "replica-1", now: "waiting" }), "from replica-1, which is gone; now waiting");
  assert.equal(says("finished", { outcome: "succeeded", error: null, in_spite_of_a_cancel: true }), "succeeded, though it was asked to stop");
  assert.equal(says("finished", { outcome: "failed", error: "disk full", in_spite_of_a_cancel: false }), "failed: disk full");
});

test("what a newer release tells is shown as it is", () => {
  assert.equal(says("moved", { to: "eu", how: { fast: true } }), 'to eu; how {"fast":true}');
  assert.equal(says("claimed", { by: "a", zone: "eu" }), "by a; zone eu");
  assert.equal(says("constructor", {}), "");
  assert.equal(says("finished", null), "");
});
