import assert from "node:assert/strict";
import { test } from "node:test";
import { Feed } from "../../../src/console/page/feed.mjs";
import { read, write } from "../../../src/console/page/place.mjs";
import { perKind, quantile } from "../../../src/console/page/quantile.mjs";
import { Questions } from "../../../src/console/page/questions.mjs";
import { span } from "../../../src/console/page/span.mjs";
import { asked, pause } from "../../../src/console/page/retry.mjs";

test("a quantile is a value that was measured", () => {
  const hundred = Array.from({ length: 100 }, (_, i) => i + 1);
  assert.equal(quantile(hundred, 0.5), 50);
  assert.equal(quantile(hundred, 0.99), 99);
  assert.equal(quantile([7], 0.99), 7);
  assert.ok(Number.isNaN(quantile([], 0.5)));
});

test("stops are counted by kind", () => {
  const stop = (kind, ms, heard = 5) => ({ id: `op_${ms}`, kind, asked: 1000, heard: 1000 + heard, stopped: 1000 + ms, outcome: "cancelled" });
  const [a, b] = perKind([stop("b", 10), stop("a", 30), stop("a", 10), stop("a", 20, NaN)]);
  assert.deepEqual([a.kind, a.count, a.median.ms, a.p99.ms, a.slowest, a.heard], ["a", 3, 20, 30, { ms: 30, id: "op_30" }, 5]);
  assert.equal(b.count, 1);
});

test("a link shows what was shown", () => {
  const place = read("#tab=history&kind=export&state=failed&op=op_1&nonsense=1");
  assert.equal(place.tab, "history");
  assert.equal(place.op, "op_1");
  assert.deepEqual(place.filters.history, { kind: "export", state: "failed" });
  assert.equal(write(place), "#tab=history&kind=export&state=failed&op=op_1");
  assert.equal(read("#tab=no-such").tab, "running");
  assert.equal(read("").tab, "running");
  const odd = { tab: "running", op: null, filters: { running: { find: "a&b=#%\u202e" } } };
  assert.deepEqual(read(write(odd)).filters.running, { find: "a&b=#%\u202e" });
});

test("pauses grow, are spread, and end at ten seconds", () => {
  assert.equal(pause(0, 0), 500);
  assert.equal(pause(0, 1), 1000);
  assert.equal(pause(3, 1), 8000);
  assert.equal(pause(50, 1), 10_000);
  assert.ok(pause(50, 0) >= 500);
});

test("the server may ask for a longer pause, within bounds", () => {
  assert.equal(asked("3"), 3000);
  assert.equal(asked(null), 0);
  assert.equal(asked("soon"), 0);
  assert.equal(asked("99999"), 120_000);
  assert.equal(asked(new Date(5000).toUTCString(), 1000), 4000);
});

const row = (id) => ({ id, seq: 1, kind: "export", state: "running" });

test("what was shown stays until the next picture is whole", () => {
  const feed = new Feed();
  feed.begin();
  feed.take("hello", { now: 1, kinds: ["b", "a"] }, 0);
  feed.take("rows", [row("op_1")], 0);
  assert.equal(feed.ready, false);
  feed.take("whole", {}, 0);
  assert.equal(feed.model.nodes.size, 1);
  const { structure } = feed.model;
  feed.begin();
  feed.take("reset", {}, 0);
  feed.take("rows", [row("op_2")], 0);
  assert.ok(feed.model.get("op_1"));
  feed.take("whole", {}, 0);
  assert.ok(!feed.model.get("op_1") && feed.model.get("op_2"));
  assert.ok(feed.model.structure > structure);
  assert.deepEqual(feed.kinds(), ["a", "b", "export"]);
});

test("a reset in the middle keeps what is told of the process", () => {
  const feed = new Feed();
  feed.begin();
  feed.take("process", { pid: 1 }, 0);
  feed.take("whole", {}, 0);
  feed.take("reset", {}, 0);
  feed.take("whole", {}, 0);
  assert.deepEqual(feed.process, { pid: 1 });
  feed.begin();
  feed.take("whole", {}, 0);
  assert.equal(feed.process, null);
});

test("stops that come again are counted once, and those that make no sense not at all", () => {
  const feed = new Feed();
  const stop = { id: "op_1", kind: "a", asked: 1, stopped: 2 };
  feed.take("asked", [stop, stop, { id: "op_2" }, null], 0);
  feed.take("asked", [stop], 0);
  assert.equal(feed.stops.size, 1);
  assert.equal(feed.take("no_such", {}, 0), false);
});

test("who reads as somebody else keeps no stops of those before", () => {
  const feed = new Feed();
  const stop = (id) => ({ id, kind: "a", asked: 1, stopped: 2 });
  feed.begin();
  feed.take("asked", [stop("op_1"), stop("op_2")], 0);
  assert.equal(feed.stops.size, 0);
  feed.take("whole", {}, 0);
  assert.equal(feed.stops.size, 2);
  const { stopsVersion } = feed;
  feed.begin();
  feed.take("reset", { now: 1 }, 0);
  feed.take("asked", [stop("op_2")], 0);
  assert.equal(feed.stops.size, 2);
  feed.take("whole", {}, 0);
  assert.deepEqual([...feed.stops.values()].map(({ id }) => id), ["op_2"]);
  assert.ok(feed.stopsVersion > stopsVersion);
  feed.take("asked", [stop("op_3")], 0);
  assert.equal(feed.stops.size, 2);
});

test("times are by the clock of the database from the first row on", () => {
  const feed = new Feed();
  feed.begin();
  feed.take("hello", { now: 900_000 }, 0);
  feed.take("reset", { now: 500_000 }, 0);
  assert.equal(feed.clock.now(1), 500_001);
  feed.begin();
  feed.take("hello", {}, 1000);
  feed.take("reset", {}, 1000);
  assert.equal(feed.clock.now(1000), 501_000);
  feed.take("tick", { now: 498_000 }, 2000);
  assert.equal(feed.clock.now(2000), 498_000);
});

test("what of the process may not be seen any more is forgotten", () => {
  const feed = new Feed();
  feed.take("process", { pid: 1 }, 0);
  assert.equal(feed.take("process", null, 0), true);
  assert.equal(feed.process, null);
  assert.deepEqual(feed.kinds(), []);
});

test("an axis of time is ten minutes long at least, and does not begin in the future", () => {
  const now = 100_000;
  const near = (made, wanted) => made.forEach((value, at) => assert.ok(Math.abs(value - wanted[at]) <= 18.1, `${made}`));
  near(span(now, now, now), [now - 600, now]);
  near(span(now - 90, now - 90, now), [now - 600, now]);
  near(span(50_000, 50_000, now), [49_700, 50_300]);
  near(span(50_000, 50_100, now), [49_750, 50_350]);
  // A point that is ahead of the clock is seen all the same.
  near(span(now + 30, now + 30, now), [now - 570, now + 30]);
  const [from, to] = span(0, 10_000, now);
  assert.deepEqual([from, to], [-300, 10_300]);
});

test("what is new is asked for once, one question at a time, at most once a second", () => {
  const questions = new Questions();
  assert.equal(questions.begin("1", 0), true);
  assert.equal(questions.begin("2", 5000), false); // no answer yet
  questions.answered();
  assert.equal(questions.begin("1", 5000), false);
  assert.equal(questions.begin("2", 5000), true);
  questions.answered();
  assert.equal(questions.begin("3", 5999), false);
  assert.equal(questions.begin("3", 6000), true);
});

test("a question that failed is asked again", () => {
  const questions = new Questions();
  assert.equal(questions.begin("1", 0), true);
  questions.failed(100, false);
  assert.equal(questions.begin("1", 1099), false);
  assert.equal(questions.begin("1", 1100), true);
  questions.failed(1200, true);
  assert.equal(questions.begin("1", 31_199), false);
  assert.equal(questions.begin("1", 31_200), true);
  questions.answered();
  assert.equal(questions.begin("1", 99_000), false);
});
