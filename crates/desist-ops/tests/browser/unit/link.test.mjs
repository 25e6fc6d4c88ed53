import assert from "node:assert/strict";
import { test } from "node:test";
import { problemOf } from "../../../src/console/page/api.mjs";
import { farewell, isOwn, told } from "../../../src/console/page/link.mjs";

test("what is shown is live only while the server looks at the database", () => {
  assert.equal(told(null).state, "live");
  assert.equal(told({ now: 50_000, old_ms: 10_000, down_since: null }).state, "live");
  const old = told({ now: 50_000, old_ms: 10_001 });
  assert.deepEqual([old.state, old.asOf, isOwn(old.why)], ["stale", 39_999, true]);
  const down = told({ now: 50_000, old_ms: 20_000, down_since: 30_000, down: "It is gone." });
  assert.deepEqual([down.state, down.asOf, down.why], ["down", 30_000, "It is gone."]);
});

test("a stream says why it ends, and whether to come again", () => {
  assert.deepEqual(farewell({ why: "signed out", again: false, at_once: true }), { why: "signed out", again: false, atOnce: false });
  assert.deepEqual(farewell({ why: "stops", again: true }), { why: "stops", again: true, atOnce: false });
  assert.deepEqual(farewell({ again: true, at_once: true }), { why: null, again: true, atOnce: true });
  assert.equal(farewell(null).again, true);
});

const answer = (status, type, body) => problemOf(new Response(body, { status, headers: { "content-type": type } }));

test("only the service itself refuses for good", async () => {
  const problem = JSON.stringify({ detail: "Ask for the role." });
  for (const status of [401, 403, 404]) {
    const { final, detail } = await answer(status, "application/problem+json; charset=utf-8", problem);
    assert.deepEqual([final, detail], [true, "Ask for the role."]);
    assert.equal((await answer(status, "text/html", "<h1>nginx")).final, false);
    assert.equal((await answer(status, "application/json", problem)).final, false);
  }
  for (const status of [400, 409, 429, 500, 503]) {
    assert.equal((await answer(status, "application/problem+json", problem)).final, false);
  }
});
