// All work that the log has told of, as one whole. What it promises: a line that comes again changes
// nothing; a server that counts from one again is another one, whose work is not mixed with that of
// the one before. No DOM here.

/** As many as the page keeps; what runs is kept in any case. */
const MOST = 200;

export class Works {
  /** In the order in which they were heard of. @type {Map<string, any>} */
  #works = new Map();
  #byMark = new Map();
  #byOperation = new Map();
  #server = 0;
  /** Those of the requests of this page. @type {Set<number>} */
  #marks = new Set();
  /** Those that this page has started. @type {Set<string>} */
  #operations = new Set();

  /** This page will ask for work under this mark. */
  own(mark) {
    this.#marks.add(mark);
  }

  /** This page has started it; the log may have told of it before its id was known. */
  ownOperation(id) {
    this.#operations.add(id);
    for (const work of this.#works.values()) if (work.operation === id) work.isOwn = true;
  }

  withMark(mark) {
    return this.#byMark.get(mark);
  }

  /** The newest of an operation, which may be begun again. */
  ofOperation(id) {
    return this.#byOperation.get(id);
  }

  /** The newest first: that which began last, whenever it was heard of. */
  all() {
    return [...this.#works.values()].sort((one, other) => other.server - one.server || other.number - one.number);
  }

  /** Another server answers: what ran on the one before is over, and nobody knows how. */
  anew() {
    this.#server += 1;
    for (const work of this.#works.values()) if (work.state === "running") work.state = "lost";
  }

  /** Of this server only these run: how others ended was missed, unless it is told now. */
  only(running) {
    const numbers = new Set(running);
    for (const work of this.#works.values()) {
      const isHere = work.key === this.#key({ work: work.number });
      if (isHere && work.state === "running" && !numbers.has(work.number)) Object.assign(work, { state: "lost", isMissed: true });
    }
  }

  /**
   * @param {any} line of the log
   * @param {number} now
   * @param {boolean} isOlder whether it was said before this page listened
   * @returns {any} the work that it is about
   */
  take(line, now, isOlder) {
    const begun = line.said === "begun" ? line : null;
    const known = this.#works.get(this.#key(line));
    if (known && begun && differs(known, begun)) this.anew();
    const work = this.#works.get(this.#key(line)) ?? this.#begin(line);
    if (begun) this.#name(work, begun);
    else if (["running", "lost"].includes(work.state)) this.#change(work, line, now, isOlder);
    return work;
  }

  #key({ work }) {
    return `${this.#server}:${work}`;
  }

  #begin(line) {
    const key = this.#key(line);
    const work = {
      key, server: this.#server, number: line.work, what: line.what, for: null, mark: null, operation: null,
      isNamed: false, isOwn: false, state: "running", progress: null, asked: null, end: null,
    };
    this.#works.set(key, work);
    this.#forget();
    return work;
  }

  #name(work, { mark = null, operation = null, for: whom = null }) {
    const isOwn = this.#marks.has(mark) || this.#operations.has(operation);
    Object.assign(work, { mark, operation, for: whom, isNamed: true, isOwn });
    // Work that others do for it may have its mark, too: the first is the one.
    if (mark !== null && !this.#byMark.has(mark)) this.#byMark.set(mark, work);
    if (operation !== null) this.#byOperation.set(operation, work);
  }

  #change(work, line, now, isOlder) {
    switch (line.said) {
      case "progress":
        work.progress = { done: line.done, total: line.total };
        break;
      case "asked":
        work.asked ??= { by: line.by, reason: line.reason, detail: line.detail, since: now, isOlder };
        break;
      case "stopped":
      case "failed":
      case "finished":
        work.state = line.said;
        work.end = line;
        break;
    }
  }

  #forget() {
    for (const [key, work] of this.#works) {
      if (this.#works.size <= MOST) return;
      if (work.state === "running") continue;
      this.#works.delete(key);
      if (this.#byMark.get(work.mark) === work && !work.isOwn) this.#byMark.delete(work.mark);
    }
  }
}

function differs(work, line) {
  if (!work.isNamed) return work.what !== line.what;
  return ["what", "for", "mark", "operation"].some((name) => (work[name] ?? null) !== (line[name] ?? null));
}
