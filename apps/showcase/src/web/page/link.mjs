// The connection to the log. What it promises: it comes again by itself, for as long as it takes;
// "live" is said only of a server that is known; and no line is taken for one of another server.

const AGAIN = 1000;
const PATIENCE = 10_000;

export class Link {
  /** `connecting`, `live`, or `away` since a time. */
  state = "connecting";
  since = null;
  /** What the server says of itself. */
  about = null;
  #log = null;
  #timer = null;

  /**
   * @param {{changed: () => void, line: (line: any, isOlder: boolean) => void,
   *   live: (isAnother: boolean) => void}} tell `live` comes before the lines
   */
  constructor(tell) {
    this.tell = tell;
  }

  get isLive() {
    return this.state === "live";
  }

  start() {
    clearTimeout(this.#timer);
    this.#log?.close();
    const log = new EventSource("./log");
    this.#log = log;
    // Until it is known which server that is, its lines wait.
    let waiting = [];
    log.onopen = async () => {
      try {
        const about = await this.#ask();
        if (this.#log !== log) return;
        this.#meet(about);
        for (const line of waiting.splice(0)) this.tell.line(line, true);
        waiting = null;
        this.tell.changed();
      } catch {
        if (this.#log === log) this.#lost();
      }
    };
    log.onmessage = ({ data }) => {
      const line = understood(data);
      if (!line) return;
      if (waiting) waiting.push(line);
      else this.tell.line(line, false);
    };
    log.onerror = () => this.#log === log && this.#lost();
  }

  async #ask() {
    const answer = await fetch("./about", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    if (!answer.ok) throw new Error(`/about answered with ${answer.status}`);
    return answer.json();
  }

  #meet(about) {
    const isAnother = this.about !== null && this.about.instance !== about.instance;
    this.about = about;
    [this.state, this.since] = ["live", null];
    this.tell.live(isAnother);
  }

  // A browser that is left to itself gives up where the answer is an error.
  #lost() {
    this.#log.close();
    this.#log = null;
    if (this.state !== "away") [this.state, this.since] = ["away", new Date()];
    this.#timer = setTimeout(() => this.start(), AGAIN);
    this.tell.changed();
  }
}

function understood(data) {
  try {
    return JSON.parse(data);
  } catch (error) {
    console.warn("a line of the log that cannot be understood was left out:", data, error);
    return null;
  }
}
