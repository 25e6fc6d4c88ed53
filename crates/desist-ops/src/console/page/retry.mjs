// When to come again. What it promises: sooner at first, later later, never all readers at once,
// and never more often than the server asks for. No DOM here.

const FIRST = 500;
const MOST = 10_000;
const MOST_ASKED = 120_000;

/**
 * @param {number} failures in a row, 0 at first
 * @param {number} [random] in 0..1
 */
export function pause(failures, random = Math.random()) {
  const most = Math.min(MOST, FIRST * 2 ** Math.min(failures + 1, 10));
  return FIRST + (most - FIRST) * random;
}

/** The pause that a `retry-after` asks for, in ms, or 0. */
export function asked(header, now = Date.now()) {
  if (!header) return 0;
  const seconds = Number(header);
  const ms = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(header) - now;
  return Number.isFinite(ms) ? Math.min(MOST_ASKED, Math.max(0, ms)) : 0;
}
