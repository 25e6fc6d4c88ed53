// The operations that the page knows, as trees. What it promises: a change costs what it changes;
// whoever has not changed keeps its node; rows that make no sense (no id, a ring of parents) are
// left out or stand alone, and break nothing. No DOM here.

/** How long one that has ended stays to be seen. */
export const LINGER = 8000;

/**
 * @typedef {object} Node
 * @property {string} id
 * @property {any} row what the server sent last, never changed in place
 * @property {Node|null} parent
 * @property {Node[]} children by `seq` once `sorted`
 * @property {boolean} sorted
 * @property {number} until when one that has ended goes, by the server's clock
 * @property {boolean} fading it goes in a moment
 * @property {boolean} over it has ended, was seen, and is shown only above others
 * @property {boolean} gone the server has taken it out
 * @property {string|null} text what a search looks at, once it has been
 */

export function isLive(row) {
  return row.state === "running" || row.state === "waiting";
}

/** Asked to stop, by whomever, and still running. */
export function isStopping(row) {
  return row.state === "running" && (row.cancel != null || row.stop_at != null);
}

/** By how much a running one is over its grace, in ms; null where it is not. */
export function overdueBy(row, now) {
  if (row.state !== "running" || row.stop_at == null) return null;
  const by = now - row.stop_at - (row.grace ?? 0);
  return by > 0 ? by : null;
}

export class Model {
  /** @type {Map<string, Node>} */
  nodes = new Map();
  /** Holds the roots as its children; never shown itself. */
  top = { id: "", children: [], sorted: true };
  stopping = new Set();
  ended = new Set();
  counts = { running: 0, waiting: 0 };
  /** Grows when there are other nodes, or others are shown. */
  structure = 0;
  /** Grows when something changed that filters look at. */
  content = 0;
  #orphans = new Map();
  #gone = new Set();

  get(id) {
    return this.nodes.get(id);
  }

  /**
   * @param {any} row
   * @param {number} now by the server's clock
   * @param {Model|null} [before] what was shown before this one: who saw it run is to see its end
   */
  put(row, now, before = null) {
    if (typeof row?.id !== "string" || typeof row.state !== "string") return;
    const node = this.nodes.get(row.id);
    if (node) this.#change(node, row, now);
    else this.#add(row, now, before?.nodes.get(row.id));
  }

  #add(row, now, known) {
    const node = {
      id: row.id, row, parent: null, children: [], sorted: true,
      until: 0, fading: false, over: false, gone: false, text: null,
    };
    this.nodes.set(node.id, node);
    this.#count(row, 1);
    this.#sets(node);
    if (!isLive(row)) {
      node.until = known && isLive(known.row) ? now + LINGER : known?.until || (row.ended ?? now) + LINGER;
      node.over = node.until <= now;
    }
    this.#attach(node);
    for (const orphan of this.#orphans.get(node.id) ?? []) this.#move(orphan);
    this.#orphans.delete(node.id);
    this.structure += 1;
  }

  #change(node, row, now) {
    const before = node.row;
    this.#count(before, -1);
    this.#count(row, 1);
    node.row = row;
    if (node.gone) {
      node.gone = false;
      this.#gone.delete(node);
    }
    if (isLive(before) && !isLive(row)) node.until = now + LINGER;
    if (isLive(row) && node.until) {
      Object.assign(node, { until: 0, fading: false, over: false });
      this.structure += 1;
    }
    this.#sets(node);
    if (before.parent !== row.parent || before.seq !== row.seq) this.#move(node);
    if (looksOther(before, row)) {
      node.text = null;
      this.content += 1;
    }
  }

  #count(row, by) {
    if (row.state in this.counts) this.counts[row.state] += by;
  }

  #sets(node) {
    this.stopping[isStopping(node.row) ? "add" : "delete"](node);
    this.ended[isLive(node.row) ? "delete" : "add"](node);
  }

  #attach(node) {
    const parent = node.row.parent == null ? null : this.nodes.get(node.row.parent);
    node.parent = parent && !isWithin(parent, node) ? parent : null;
    if (node.row.parent != null && !parent) {
      const waiting = this.#orphans.get(node.row.parent) ?? new Set();
      this.#orphans.set(node.row.parent, waiting.add(node));
    }
    const into = node.parent ?? this.top;
    const last = into.children.at(-1);
    if (last && last.row.seq > node.row.seq) into.sorted = false;
    into.children.push(node);
  }

  #detach(node) {
    const from = (node.parent ?? this.top).children;
    const at = from.indexOf(node);
    if (at >= 0) from.splice(at, 1);
    this.#orphans.get(node.row.parent)?.delete(node);
  }

  #move(node) {
    this.#detach(node);
    this.#attach(node);
    this.structure += 1;
  }

  /** The server has taken it out. It goes with the next `sweep` that takes anything out. */
  remove(id) {
    const node = this.nodes.get(id);
    if (!node) return;
    node.gone = true;
    this.#gone.add(node);
  }

  /**
   * Lets go what has been shown for long enough; to be called every second or so.
   * @param {(node: Node) => boolean} holds whether it is to stay for now
   */
  sweep(now, holds) {
    for (const node of this.#gone) {
      // One that has ended may stay while it is looked at; one that the reader may not see may not.
      if (!isLive(node.row) && holds(node)) continue;
      this.#gone.delete(node);
      this.#drop(node);
    }
    for (const node of this.ended) {
      if (node.over || now < node.until || holds(node)) continue;
      // It fades with one sweep, and goes with the next one.
      if (node.fading) {
        node.over = true;
        this.structure += 1;
      }
      node.fading = true;
    }
  }

  #drop(node) {
    this.#detach(node);
    this.nodes.delete(node.id);
    this.stopping.delete(node);
    this.ended.delete(node);
    this.#count(node.row, -1);
    for (const child of node.children.slice()) this.#move(child);
    this.structure += 1;
  }
}

function isWithin(node, above) {
  for (let at = node; at; at = at.parent) if (at === above) return true;
  return false;
}

function looksOther(a, b) {
  return (
    a.state !== b.state || a.kind !== b.kind || a.key !== b.key || a.actor !== b.actor ||
    a.ran_on !== b.ran_on || a.cancel?.at !== b.cancel?.at || String(a.tags) !== String(b.tags)
  );
}
