import assert from "node:assert/strict";
import { test } from "node:test";
import { count, cut, list, plural, shortId, visible } from "../../../src/console/page/text.mjs";

test("what could hide or turn text is made visible", () => {
  assert.equal(visible("invoice\u202egnp.exe"), "invoice\u27e8U+202E\u27e9gnp.exe");
  assert.equal(visible("a\u0000b\u001b[31m\nc\td\r\ne"), "a\u27e8U+0000\u27e9b\u27e8U+001B\u27e9[31m\u21b5c d\u21b5e");
  assert.equal(visible("a\u0085b\u200b\u2066c\ufeff"), "a\u27e8U+0085\u27e9b\u27e8U+200B\u27e9\u27e8U+2066\u27e9c\u27e8U+FEFF\u27e9");
  assert.equal(visible("a\u{e0041}b"), "a\u27e8U+E0041\u27e9b");
  assert.equal(visible("half \ud83d of one"), "half \ufffd of one");
});

test("what is only text stays as it is", () => {
  for (const text of ["<img src=x onerror=alert(1)>", "مرحبا", "日本語", "👩‍👩‍👧‍👦", "naïve", ""]) {
    assert.equal(visible(text), text);
  }
  assert.equal(visible("two\nlines\tand\u0007", true), "two\nlines\tand\u27e8U+0007\u27e9");
  assert.equal(visible(null), "");
  assert.equal(visible(7), "7");
});

test("long text is cut, and no character in two", () => {
  assert.equal(cut("abcdef", 6), "abcdef");
  assert.equal(cut("abcdefg", 6), "abcde\u2026");
  assert.equal(cut("abcd😀fg", 6), "abcd\u2026");
});

test("numbers and names are put into words", () => {
  assert.equal(count(10000), "10,000");
  assert.equal(count(undefined), "\u2013");
  assert.equal(plural(1, "operation"), "1 operation");
  assert.equal(plural(13, "operation"), "13 operations");
  assert.equal(list(["a", "b", "c"]), "a, b and c");
  assert.equal(list(["a"]), "a");
  assert.equal(shortId("op_7k3m9q2xab"), "op_7k3m9q");
});
