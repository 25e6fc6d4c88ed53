// What stops took, in numbers. What it promises: a quantile is a value that was measured, not one
// between two (nearest rank). No DOM here.

/**
 * @template T
 * @param {T[]} sorted ascending
 * @param {number} q between 0 and 1
 */
export function quantile(sorted, q) {
  if (!sorted.length) return NaN;
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)];
}

/**
 * One row for each kind, by name: how many stopped, and how long that took, in ms. What is measured
 * of one operation has that one with it.
 */
export function perKind(stops) {
  const kinds = new Map();
  for (const stop of stops) {
    const kind = kinds.get(stop.kind) ?? { took: [], heard: [] };
    kinds.set(stop.kind, kind);
    kind.took.push({ ms: Math.max(0, stop.stopped - stop.asked), id: stop.id });
    if (Number.isFinite(stop.heard)) kind.heard.push(Math.max(0, stop.heard - stop.asked));
  }
  return [...kinds].map(([kind, all]) => summary(kind, all)).sort((a, b) => (a.kind < b.kind ? -1 : 1));
}

function summary(kind, { took, heard }) {
  took.sort((a, b) => a.ms - b.ms);
  heard.sort((a, b) => a - b);
  return {
    kind,
    count: took.length,
    median: quantile(took, 0.5),
    p99: quantile(took, 0.99),
    slowest: took.at(-1),
    heard: quantile(heard, 0.5),
  };
}
