// What is shown, as the part of the address behind `#`. What it promises: a reload, or a link that
// was sent to somebody, shows the same tab, the same filters and the same details. No DOM here.

export const TABS = ["running", "stopping", "latency", "history", "process"];

/** What of each tab is kept. */
const KEPT = {
  running: ["kind", "find"],
  stopping: [],
  latency: ["since"],
  history: ["kind", "state", "reason", "actor", "cancelled_by", "tag"],
  process: [],
};

/** @returns {{tab: string, op: string|null, filters: Record<string, Record<string, string>>}} */
export function read(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const tab = TABS.includes(given.get("tab")) ? given.get("tab") : TABS[0];
  const filters = Object.fromEntries(TABS.map((name) => [name, {}]));
  for (const name of KEPT[tab]) {
    if (given.get(name)) filters[tab][name] = given.get(name);
  }
  return { tab, op: given.get("op"), filters };
}

/** The other way round; what is empty is left out. */
export function write({ tab, op, filters }) {
  const kept = new URLSearchParams({ tab });
  for (const name of KEPT[tab]) {
    if (filters[tab]?.[name]) kept.set(name, filters[tab][name]);
  }
  if (op) kept.set("op", op);
  return `#${kept}`;
}
