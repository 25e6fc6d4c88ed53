import assert from "node:assert/strict";
import { test } from "node:test";
import { LINGER, Model, overdueBy } from "../../../src/console/page/model.mjs";
import { below, isCancellable, lines } from "../../../src/console/page/tree.mjs";

const row = (id, more = {}) => ({ id, seq: Number(id.replace(/\D/g, "")) || 0, kind: "export", state: "running", created: 0, started: 0, ...more });
const model = (...rows) => {
  const made = new Model();
  for (const each of rows) made.put(each, 0);
  return made;
};
const ids = (made, how = {}) => lines(made, { closed: new Set(), ...how }).map(({ node, level }) => `${"-".repeat(level - 1)}${node.id}`);
const never = () => false;

test("children stand under their parent by number, in whatever order they came", () => {
  const made = model(row("c4", { parent: "a1" }), row("b3"), row("c2", { parent: "a1" }), row("a1"), row("d5", { parent: "c4" }));
  assert.deepEqual(ids(made), ["a1", "-c2", "-c4", "--d5", "b3"]);
  assert.deepEqual(below(made.get("a1")), { running: 3, waiting: 0 });
});

test("one whose parent is not known stands alone", () => {
  assert.deepEqual(ids(model(row("a1", { parent: "x9" }), row("b2"))), ["a1", "b2"]);
});

test("a ring of parents breaks nothing, and all of it is seen", () => {
  const made = model(row("a1", { parent: "b2" }), row("b2", { parent: "a1" }), row("c3", { parent: "c3" }));
  assert.equal(ids(made).length, 3);
});

test("rows that make no sense are left out", () => {
  const made = model(null, 7, {}, { id: 5, state: "running" }, { id: "a1" }, row("b2"));
  assert.deepEqual(ids(made), ["b2"]);
});

test("what changed keeps its node, and the tree is not made anew for it", () => {
  const made = model(row("a1"), row("b2"));
  const node = made.get("a1");
  const { structure } = made;
  made.put(row("a1", { progress: { done: 1, total: 2 } }), 5);
  assert.equal(made.get("a1"), node);
  assert.equal(made.structure, structure);
});

test("counts follow", () => {
  const made = model(row("a1"), row("b2", { state: "waiting" }), row("c3", { cancel: { at: 0 } }));
  assert.deepEqual(made.counts, { running: 2, waiting: 1 });
  assert.equal(made.stopping.size, 1);
  made.put(row("c3", { state: "cancelled", ended: 5 }), 5);
  made.put(row("b2"), 5);
  assert.deepEqual(made.counts, { running: 2, waiting: 0 });
  assert.equal(made.stopping.size, 0);
  made.remove("a1");
  made.sweep(5, never);
  assert.deepEqual(made.counts, { running: 1, waiting: 0 });
});

test("one that ended stays to be seen, fades and goes; not while it is held", () => {
  const made = model(row("a1"), row("b2"));
  made.put(row("a1", { state: "succeeded", ended: 100 }), 100);
  made.sweep(100 + LINGER - 1, never);
  assert.equal(made.get("a1").fading, false);
  made.sweep(100 + LINGER, () => true);
  assert.equal(made.get("a1").fading, false);
  made.sweep(100 + LINGER, never);
  assert.equal(made.get("a1").fading, true);
  assert.deepEqual(ids(made), ["a1", "b2"]);
  made.sweep(101 + LINGER, never);
  assert.deepEqual(ids(made), ["b2"]);
});

test("one that ended stays above what is below it", () => {
  const made = model(row("a1", { state: "failed", ended: 0 }), row("b2", { parent: "a1" }));
  made.sweep(LINGER, never);
  made.sweep(LINGER + 1, never);
  assert.deepEqual(ids(made), ["a1", "-b2"]);
});

test("whoever saw it run sees its end, also after the connection was lost", () => {
  const before = model(row("a1"));
  const after = new Model();
  after.put(row("a1", { state: "succeeded", ended: 0 }), 10 * LINGER, before);
  after.put(row("b2", { state: "succeeded", ended: 0 }), 10 * LINGER, before);
  assert.deepEqual(ids(after), ["a1"]);
});

test("what is taken out leaves those below it", () => {
  const made = model(row("a1"), row("b2", { parent: "a1" }));
  made.remove("a1");
  assert.deepEqual(ids(made), ["a1", "-b2"]);
  made.sweep(0, never);
  assert.deepEqual(ids(made), ["b2"]);
  made.put(row("a1"), 0);
  assert.deepEqual(ids(made), ["a1", "-b2"]);
});

test("a filter keeps what is above a match", () => {
  const made = model(row("a1"), row("b2", { parent: "a1", key: "Orders", tags: ["tenant:7"] }), row("c3", { parent: "a1" }), row("d4", { kind: "part" }));
  assert.deepEqual(ids(made, { find: "orders tenant:7" }), ["a1", "-b2"]);
  assert.deepEqual(lines(made, { find: "orders", closed: new Set() }).map((line) => line.context), [true, false]);
  assert.deepEqual(ids(made, { kind: "part" }), ["d4"]);
  assert.deepEqual(ids(made, { find: "nothing" }), []);
  made.put(row("c3", { parent: "a1", cancel: { at: 1, actor: "bob" } }), 1);
  assert.deepEqual(ids(made, { find: "bob" }), ["a1", "-c3"]);
});

test("what is closed hides what is below", () => {
  const made = model(row("a1"), row("b2", { parent: "a1" }));
  const [line] = lines(made, { closed: new Set(["a1"]) });
  assert.equal(line.open, false);
  assert.deepEqual(ids(made, { closed: new Set(["a1"]) }), ["a1"]);
});

test("each line knows its place", () => {
  const made = model(row("a1"), row("b2", { parent: "a1" }), row("c3", { parent: "a1" }));
  const places = lines(made, { closed: new Set() }).map(({ place, siblings, open }) => [place, siblings, open]);
  assert.deepEqual(places, [[1, 1, true], [1, 2, null], [2, 2, null]]);
});

test("a chain of ten thousand is no trouble", () => {
  const made = new Model();
  for (let i = 1; i <= 10_000; i++) made.put(row(`a${i}`, { parent: i > 1 ? `a${i - 1}` : null }), 0);
  assert.equal(ids(made, { find: "a10000" }).length, 10_000);
});

test("overdue is what runs when its grace is over", () => {
  const stopping = row("a1", { stop_at: 1000, grace: 5000 });
  assert.equal(overdueBy(stopping, 6000), null);
  assert.equal(overdueBy(stopping, 6500), 500);
  assert.equal(overdueBy(row("a1", { cancel: { at: 0 } }), 1e9), null);
  assert.equal(overdueBy({ ...stopping, state: "cancelled" }, 6500), null);
});

test("one that has ended can be cancelled while anything below it is still to end", () => {
  const over = { state: "succeeded", ended: 5, may_cancel: true };
  const made = model(
    row("a1", over), row("b2", { ...over, parent: "a1" }), row("c3", { parent: "b2", state: "waiting", may_cancel: true }));
  const may = (id) => isCancellable(made.get(id).row, made.get(id));
  assert.deepEqual(["a1", "b2", "c3"].map(may), [true, true, true]);
  assert.deepEqual(below(made.get("a1")), { running: 0, waiting: 1 });
  made.put(row("b2", { ...over, parent: "a1", may_cancel: false }), 6);
  assert.equal(may("b2"), false);
  made.put(row("c3", { ...over, parent: "b2" }), 6);
  assert.deepEqual(["a1", "c3"].map(may), [false, false]);
  assert.equal(isCancellable(row("d4", over), undefined), false);
});
