// Which time a plot shows. What it promises: however few there are, and however near to each other,
// the axis has a length by which one can tell when they were. No DOM here.

const LEAST = 600;

/**
 * From when to when, in seconds, with a little room at both ends.
 * @param {number} low the first point
 * @param {number} high the last one
 * @param {number} now
 */
export function span(low, high, now) {
  let [from, to] = [low, high];
  if (to - from < LEAST) {
    // In the middle, but not in the future.
    to = Math.max(high, Math.min((low + high + LEAST) / 2, now));
    from = to - LEAST;
  }
  const room = (to - from) * 0.03;
  return [from - room, to + room];
}
