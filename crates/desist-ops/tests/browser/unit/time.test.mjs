import assert from "node:assert/strict";
import { test } from "node:test";
import { Clock, Sleep, age, ago, instant, times, took } from "../../../src/console/page/time.mjs";

test("ages are whole seconds", () => {
  assert.equal(age(0), "0 s");
  assert.equal(age(59_999), "59 s");
  assert.equal(age(60_000), "1 min");
  assert.equal(age(250_000), "4 min 10 s");
  assert.equal(age(7_500_000), "2 h 5 min");
  assert.equal(age(3_600_000 * 76), "3 d 4 h");
  assert.equal(age(-5000), "0 s");
  assert.equal(age(undefined), "\u2013");
  assert.equal(ago(10), "just now");
  assert.equal(ago(3400), "3 s ago");
});

test("what was measured is as exact as it is of use", () => {
  assert.equal(took(0), "0 ms");
  assert.equal(took(0.42), "0.4 ms");
  assert.equal(took(12), "12 ms");
  assert.equal(took(3214), "3.21 s");
  assert.equal(took(32_140), "32.1 s");
  assert.equal(took(5000), "5 s");
  assert.equal(took(-12), "\u221212 ms");
  assert.equal(took(NaN), "\u2013");
});

test("times of day are in the zone of the reader, with it where it must be exact", () => {
  const berlin = times("Europe/Berlin", "en-GB");
  const at = Date.UTC(2024, 6, 1, 10, 3, 10, 250);
  assert.equal(berlin.clock(at), "12:03:10");
  assert.match(berlin.exact(at), /1 Jul 2024.*12:03:10\.250.*GMT\+02:00/);
  assert.match(berlin.short(at), /1 Jul/);
  assert.equal(berlin.clock(8.64e15 + 1), "\u2013");
  assert.equal(berlin.exact(null), "\u2013");
});

test("a time is a number or RFC 3339, or none", () => {
  assert.equal(instant(5), 5);
  assert.equal(instant("2024-07-01T10:03:10.250Z"), Date.UTC(2024, 6, 1, 10, 3, 10, 250));
  assert.equal(instant("soon"), null);
  assert.equal(instant(null), null);
});

test("the clock follows the server, whatever was under way", () => {
  const clock = new Clock();
  clock.hear(1_000_000, 0);
  assert.equal(clock.now(500), 1_000_500);
  clock.hear(1_000_900, 1000); // 100 ms under way: hardly believed
  assert.equal(clock.now(1000), 1_000_990);
  clock.hear(1_002_000, 2000); // at once: believed
  assert.equal(clock.now(2000), 1_002_000);
  clock.hear(900_000, 3000); // set back: believed
  assert.equal(clock.now(3000), 900_000);
  clock.hear(undefined, 4000);
  assert.equal(clock.now(4000), 901_000);
});

test("a new connection brings the clock of the database at once, also one that was set back a little", () => {
  const clock = new Clock();
  clock.guess(2_000_000, 0);
  assert.equal(clock.now(0), 2_000_000);
  clock.hear(1_000_000, 10); // the database says another time than the process did
  assert.equal(clock.now(10), 1_000_000);
  clock.guess(2_000_000, 20); // it is known better
  assert.equal(clock.now(20), 1_000_010);
  clock.begin();
  clock.hear(997_000, 1010);
  assert.equal(clock.now(1010), 997_000);
});

test("a sleep is noticed where one clock stood still in it", () => {
  const sleep = new Sleep();
  assert.equal(sleep.slept(0, 1_000_000), false);
  assert.equal(sleep.slept(1000, 1_001_000), false);
  assert.equal(sleep.slept(2000, 1_600_000), true);
  assert.equal(sleep.slept(3000, 1_601_000), false);
  assert.equal(sleep.slept(60_000, 1_658_000), false);
  assert.equal(sleep.slept(61_000, 1_000_000), false);
});
