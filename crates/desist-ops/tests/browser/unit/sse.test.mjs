import assert from "node:assert/strict";
import { test } from "node:test";
import { EventParser } from "../../../src/console/page/sse.mjs";

function parse(...pieces) {
  const events = [];
  const parser = new EventParser((name, data) => events.push([name, data]));
  for (const piece of pieces) parser.push(piece);
  return events;
}

test("events come out in order, however they are cut", () => {
  const text = ": hello\n\nevent: rows\ndata: [1,\ndata: 2]\n\r\nevent: tick\rdata:{}\r\rdata: x\r\n\r\nid: 7\n\nevent: unfinished\ndata: 1\n";
  const whole = [["rows", "[1,\n2]"], ["tick", "{}"], ["message", "x"]];
  assert.deepEqual(parse(text), whole);
  assert.deepEqual(parse(...text), whole);
  for (let at = 0; at < text.length; at++) assert.deepEqual(parse(text.slice(0, at), text.slice(at)), whole);
});

test("only one space after the colon is left out", () => {
  assert.deepEqual(parse("data:  a\ndata:b\ndata\n\n"), [["message", " a\nb\n"]]);
});

test("a mark of the byte order at the start is left out", () => {
  assert.deepEqual(parse("\ufeffdata: a\n\n"), [["message", "a"]]);
});

test("an event without an end is refused", () => {
  const parser = new EventParser(() => {});
  assert.throws(() => {
    for (let i = 0; i < 20; i++) parser.push("x".repeat(1024 * 1024));
  }, /no end/);
});
