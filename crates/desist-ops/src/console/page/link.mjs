// What is said of the connection. What it promises: "live" is said only of what is no older than a
// reader may take for the present. No DOM here.

/** Above this the last good look of the server at the database is too old to act on. */
export const OLD = 10_000;

/** Why something is stale, where the server has no sentence for it. */
export const PAUSED = "Paused, as nobody looked";
export const SILENT = "Nothing heard";
export const SLOW = "The database is slow to answer";
const OF_THE_PAGE = [PAUSED, SILENT, SLOW];

/** Whether this is a sentence of the page, that stands in the header, and not one of the server. */
export const isOwn = (why) => OF_THE_PAGE.includes(why);

/**
 * What the last `tick` says of what is shown.
 * @param {any} tick null where none has come yet
 */
export function told(tick) {
  if (Number.isFinite(tick?.down_since)) {
    return { state: "down", why: tick.down ?? "The database does not answer", asOf: tick.down_since };
  }
  if (tick?.old_ms > OLD) return { state: "stale", why: SLOW, asOf: tick.now - tick.old_ms };
  return { state: "live", why: null, asOf: null };
}

/** A `bye`, as it is meant. One that is only to be renewed has nothing to say. */
export function farewell(data) {
  const again = data?.again !== false;
  return { why: data?.why == null ? null : String(data.why), again, atOnce: again && data?.at_once === true };
}
