// Operations: work with an id, which outlives its request and this tab. What it promises: what an
// operation came to is what the database says, who asked and how soon it stopped what the log says;
// no operation holds a connection while it is watched.

import { isHeard, ofOperation, ofWork } from "./words.mjs";
import { Written } from "./written.mjs";

const ASK_EVERY = 1000;
/** After that a start that is not answered is explained. */
const SLOW = 2000;
const PATIENCE = 20_000;
const FOUND_AT_MOST = 20;
/** The log may be a little later than the database; it knows more of how it stopped. */
const LATER = 1500;
const MESSAGE = "Stop on the page";

/** Asks the routes of operations; gives JSON, or throws with a sentence. */
async function ask(path, body) {
  const init = body === undefined ? {} : {
    method: "POST",
    headers: { "content-type": "application/json", "x-desist": "1" },
    body: JSON.stringify(body),
  };
  const signal = AbortSignal.timeout(PATIENCE);
  const answer = await fetch(`./operations${path}`, { ...init, cache: "no-store", signal }).catch(explained);
  const said = await answer.json().catch(() => null);
  if (answer.ok && said) return said;
  const problem = new Error(said?.detail ?? `the server answered with ${answer.status}`);
  throw Object.assign(problem, { status: answer.status });
}

/** Throws what a browser says so little of. */
function explained(error) {
  if (error.name !== "TimeoutError") throw new Error("the server was not reached; try again when it is there", { cause: error });
  const seconds = PATIENCE / 1000;
  throw new Error(`no answer for ${seconds} s; other tabs may have all connections: close one, and try again`, { cause: error });
}

export class Operation {
  #pressed = false;
  #problem = null;
  #since;
  #overSince = null;
  /** @type {Written | null} */
  #written = null;
  /** As the database had it when it was last asked. */
  op = null;

  /** @param {any} page @param {{kind: string, input?: any, op?: any}} what one that is found has an `op` */
  constructor(page, { kind, input, op = null }) {
    this.page = page;
    this.#since = page.now();
    if (op) this.take(op);
    else this.#start(kind, input);
  }

  get id() {
    return this.op?.id ?? null;
  }

  get work() {
    return this.op ? this.page.works.ofOperation(this.op.id) : undefined;
  }

  get progress() {
    return (this.#isHeard && this.work.progress) || this.op?.progress || null;
  }

  /** The log tells more than the database, and sooner, while it is read. */
  get #isHeard() {
    return this.work?.state === "running" && isHeard(this.page.link);
  }

  get isOver() {
    if (!this.op) return this.#problem !== null;
    if (this.op.finished !== true) return false;
    return this.work?.state !== "running" || this.page.now() - this.#overSince > LATER;
  }

  /** All that it came to is in the database. */
  get isTold() {
    return this.isOver;
  }

  /** This server has told that its work was stopped with it, and no other has taken it up. */
  get #isLeft() {
    return !this.isOver && this.work?.end?.reason === "shutdown" && this.work.state === "stopped" && this.page.link.isEnding;
  }

  get isStoppable() {
    return !this.#isLeft && this.op !== null && !this.isOver && !this.#pressed && !this.op.cancel && !this.page.link.isAway;
  }

  get looks() {
    if (!this.op) return this.#problem ? "failed" : "running";
    const { state, cancel, overdue } = this.op;
    const isAsked = this.#pressed || cancel || this.work?.asked;
    if (this.#isLeft) return "stopped";
    const over = { succeeded: "finished", cancelled: "stopped", failed: "failed" }[state];
    return over ?? (overdue ? "overdue" : isAsked ? "asked" : "running");
  }

  /** Where it left something to fetch. */
  get link() {
    return this.#written?.link ?? null;
  }

  async #start(kind, input) {
    try {
      const { operation } = await ask("", { kind, input });
      this.take(operation);
      this.page.works.ownOperation(operation.id);
    } catch (error) {
      this.#problem = String(error.message ?? error);
    }
    this.page.changed();
  }

  async stop() {
    this.#pressed = true;
    this.#problem = null;
    this.page.changed();
    try {
      const answer = await ask(`/${this.id}/cancel`, { reason: "requested", message: MESSAGE });
      this.take(answer.operation);
    } catch (error) {
      // It can be asked for once more.
      this.#pressed = false;
      this.#problem = `not asked to stop: ${error.message ?? error}`;
    }
    this.page.changed();
  }

  async look() {
    try {
      this.take(await ask(`/${this.id}`));
    } catch (error) {
      if (error.status !== 404) throw error;
      // Another server with other data has come in the place of the one before.
      this.op = { ...this.op, state: "failed", finished: true, error: "this server does not know it" };
    }
  }

  /** Answers may overtake each other. */
  take(op) {
    if (!op || this.op?.version > op.version) return;
    this.op = op;
    if (op.finished) this.#overSince ??= this.page.now();
    if (op.output) this.#written ??= new Written(this.page, op.output);
  }

  words(now) {
    if (!this.op) return this.#problem ?? sent(now - this.#since);
    const { work, op } = this;
    if (!this.isOver && this.page.link.isAway) return "the server is away; the operation is kept, and seen again with it";
    if (this.#isLeft) return `${ofWork(work, now)}; what becomes of it is told by the next server`;
    const said = this.#how(work, op, now);
    if (op.state === "succeeded") return `${said}${wrote(op.output, this.#written?.elsewhere ?? null)}`;
    if (this.#problem && !this.isOver) return `${said}; ${this.#problem}`;
    return op.overdue ? `${said}; overdue: its grace is over` : said;
  }

  #how(work, op, now) {
    // The row of one that was given back, to be begun again, has ended, and it has not.
    const isSame = work && (this.isOver ? work.state === { succeeded: "finished", cancelled: "stopped" }[op.state] : this.#isHeard);
    if (!isSame) return ofOperation(op, now);
    if (this.#pressed && work.state === "running" && !work.asked) return op.cancel ? "asked to stop" : "is about to be asked to stop";
    return op.cancel && work.state === "running" && !work.asked ? ofOperation(op, now) : ofWork(work, now);
  }
}

function sent(since) {
  return since > SLOW ? "sent, and not answered yet: other tabs may have all connections" : "sent";
}

function wrote(output, elsewhere) {
  const many = Number.isFinite(output?.documents) ? `: ${output.documents} documents` : "";
  return elsewhere === null ? many : `${many}; the file is on ${elsewhere}`;
}

/** Looks at those that run, now and then, and at once where the log tells of one. */
export class Watch {
  #timer = null;
  #isLooking = false;
  #isAgain = false;

  /** @param {any} page @param {() => Operation[]} unfinished */
  constructor(page, unfinished) {
    this.page = page;
    this.unfinished = unfinished;
  }

  /** @param {number} [pause] in ms */
  soon(pause = 0) {
    if (this.#isLooking) {
      this.#isAgain ||= pause === 0;
      return;
    }
    if (pause > 0 && this.#timer !== null) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#look(), pause);
  }

  async #look() {
    this.#timer = null;
    const { link } = this.page;
    const all = link.isAway || link.state === "resting" ? [] : this.unfinished();
    if (!all.length) return;
    this.#isLooking = true;
    // One after another: they share the connection that is kept for such.
    for (const operation of all) await operation.look().catch(() => {});
    this.#isLooking = false;
    this.page.changed();
    const isAgain = this.#isAgain;
    this.#isAgain = false;
    this.soon(isAgain ? 0 : ASK_EVERY);
  }
}

/** @param {string} id */
export const one = (id) => ask(`/${id}`);

/** Those that run or wait now, whoever began them. */
export async function found() {
  const all = [];
  for (const state of ["running", "waiting"]) {
    all.push(...(await ask(`?state=${state}&limit=${FOUND_AT_MOST}`)).operations);
  }
  return all;
}
