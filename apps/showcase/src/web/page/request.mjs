// Work that lasts as long as its request. What it promises: to stop it is to abort the request, and
// nothing else; what came of it is what the log says, and where the log is silent that is said.

import { ofWork } from "./words.mjs";

/** After that a start that the log does not know of is explained. */
const SLOW = 2000;
/** The log comes on another connection, and may be a little later than the answer. */
const LATER = 1500;
/** So long what has finished is not read out without its answer. */
const PATIENCE = 10_000;
/** Of an answer that is text so much is shown. */
const MOST = 2000;

export class Request {
  /** `queued`, `sent`, `settled`, or `withdrawn` before it was sent. */
  #phase = "queued";
  #abort = new AbortController();
  #since;
  #overSince = null;
  #pressed = false;
  /** `{status, text}` of an answer, or `{gone: true}` where there is none. */
  #answer = null;

  /**
   * @param {any} page
   * @param {{path: string, query?: any, method?: string, body?: () => BodyInit, tells?: (text: string) => string}} what
   *   `tells` makes a sentence of an answer
   */
  constructor(page, what) {
    this.page = page;
    this.what = what;
    this.mark = Math.floor(Math.random() * Number.MAX_SAFE_INTEGER);
    this.id = String(this.mark);
    this.#since = page.now();
    page.works.own(this.mark);
    this.#run();
  }

  get work() {
    return this.page.works.withMark(this.mark);
  }

  get progress() {
    return this.work?.progress ?? null;
  }

  get isStoppable() {
    return !this.#pressed && !this.isOver;
  }

  get isOver() {
    const { work } = this;
    if (work) return work.state !== "running" || (this.#answer?.gone === true && !this.page.link.isLive);
    if (this.#phase === "withdrawn") return true;
    if (this.#phase !== "settled") return false;
    return this.#answer?.status >= 400 || !this.page.link.isLive || this.page.now() - this.#since > LATER;
  }

  /** What came of it is here as a whole: the log may tell that it has finished before its answer is here. */
  get isTold() {
    if (!this.isOver) return false;
    if (this.work?.state !== "finished" || this.#phase === "settled") return true;
    this.#overSince ??= this.page.now();
    return this.page.now() - this.#overSince > PATIENCE;
  }

  /** What it looks like: `running`, `asked`, `stopped`, `failed`, `finished`, or `lost`. */
  get looks() {
    const { work } = this;
    if (work && work.state !== "running") return work.state;
    if (!this.isOver) return this.#pressed || work?.asked ? "asked" : "running";
    if (work || this.#answer?.gone) return "lost";
    if (this.#answer) return this.#answer.status >= 400 ? "failed" : "finished";
    return "stopped";
  }

  stop() {
    this.#pressed = true;
    this.#abort.abort();
    this.page.changed();
  }

  words(now) {
    const { work } = this;
    const answer = this.#answer;
    if (!work) return this.#unknown(now);
    const said = ofWork(work, now, this.#pressed && !answer?.gone);
    if (work.state === "finished" && answer?.text) return `${said}: ${this.#told(answer.text)}`;
    if (work.state !== "running") return said;
    if (this.isOver) return "the server went away; what came of it is not known yet";
    return this.#pressed && !work.asked ? "asked to stop" : said;
  }

  /** The log has not told of it. */
  #unknown(now) {
    const answer = this.#answer;
    if (answer?.gone) return "the server went away before it said that it began";
    if (answer) return answer.status >= 400 ? `refused: ${answer.text}` : this.#told(answer.text);
    if (this.#phase === "withdrawn") return "stopped before it was sent";
    if (this.#phase === "settled" && this.isOver) return "stopped before the log told of it";
    if (this.#pressed) return "asked to stop";
    if (this.#phase === "queued") return "waits for a free connection: browsers open six to a server, for all tabs; stop something, or close a tab";
    const isSlow = now - this.#since > SLOW;
    return isSlow ? "sent, and not begun yet: other tabs may have all connections, or the server hangs" : "sent";
  }

  #told(text) {
    return this.what.tells?.(text) ?? text;
  }

  async #run() {
    const { signal } = this.#abort;
    let giveBack = null;
    try {
      giveBack = await this.page.connections.take(signal);
      this.#enter("sent");
      this.#answer = await this.#send(signal);
    } catch (error) {
      if (!signal.aborted) this.#answer = { gone: true };
      if (!signal.aborted && error?.name !== "TypeError") console.warn(error);
    }
    giveBack?.();
    this.#enter(this.#phase === "queued" ? "withdrawn" : "settled");
    setTimeout(() => this.page.changed(), LATER + 50);
  }

  #enter(phase) {
    this.#phase = phase;
    this.#since = this.page.now();
    this.page.changed();
  }

  async #send(signal) {
    const { path, query = {}, method = "GET", body } = this.what;
    const asked = new URLSearchParams({ ...query, mark: this.mark });
    const answer = await fetch(`.${path}?${asked}`, { method, body: body?.(), signal, cache: "no-store" });
    const text = await shown(answer);
    return { status: answer.status, text };
  }
}

/** Reads all of it, and keeps what can be shown: of much that is no text, how much there was. */
async function shown(answer) {
  const isText = /^(text\/plain|application\/.*json)\b/.test(answer.headers.get("content-type") ?? "");
  const decoder = new TextDecoder();
  let [text, bytes] = ["", 0];
  for (const reader = answer.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    bytes += value.length;
    if (isText && text.length < MOST) text += decoder.decode(value, { stream: true });
  }
  if (isText) return text.trim();
  return bytes < 1 << 20 ? "" : `${Math.round(bytes / (1 << 20))} MB have come`;
}
