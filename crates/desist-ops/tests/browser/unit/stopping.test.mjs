import assert from "node:assert/strict";
import { test } from "node:test";
import { worstFirst } from "../../../src/console/page/stopping.mjs";

test("the worst is first: overdue, then whose grace ends first, then who finishes a step", () => {
  const now = 100_000;
  const row = (id, more) => ({ id, seq: 1, state: "running", grace: 5000, ...more });
  const rows = [
    row("step", { cancel: { mode: "drain", at: 0 } }),
    row("heard", { stop_at: now - 1000, cancel: { mode: "cancel", at: now - 1000 } }),
    row("unheard", { cancel: { mode: "cancel", at: now - 50_000 } }),
    row("overdue", { stop_at: now - 6000 }),
    row("more overdue", { stop_at: now - 9000 }),
  ];
  assert.deepEqual(worstFirst(rows, now).map(({ id }) => id), ["more overdue", "overdue", "unheard", "heard", "step"]);
});
