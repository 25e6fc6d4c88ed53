// The connection to the log. What it promises: it comes again by itself, for as long as it takes;
// "live" is said only of a server that is known and was heard some seconds ago, and "away" never of one
// that is; and no line is taken for one of another server.

const AGAIN = 1000;
/** A server that has nothing to say says so every three seconds. */
const SILENCE = 10_000;
/** Whoever gets a connection at once has not waited for it. */
const AT_ONCE = 300;

export class Link {
  /** `resting`, `connecting`, `slow` where that takes long, `crowded` where other tabs have all connections, `live`, or `away` since a time. */
  state = "resting";
  since = null;
  /** What the server says of itself. */
  about = null;
  #log = null;
  #turn = new AbortController();
  #giveBack = null;
  #silence = 0;
  /** The server has told that it shuts down. */
  isEnding = false;

  /**
   * @param {{changed: () => void, line: (line: any, isOlder: boolean) => void,
   *   running: (works: number[]) => void, live: (isAnother: boolean) => void}} tell `live` comes first,
   *   and then `running`
   */
  constructor(tell) {
    this.tell = tell;
  }

  get isLive() {
    return this.state === "live";
  }

  /** What is short can be asked whether there is room for a log or not. */
  get isAway() {
    return this.state === "away";
  }

  /** Takes a connection, and keeps it until it rests. */
  async start(connections) {
    const { signal } = (this.#turn = new AbortController());
    this.#enter("connecting");
    const crowded = setTimeout(() => signal.aborted || this.#enter("crowded"), AT_ONCE);
    const giveBack = await connections.take(signal, { isLog: true }).catch(() => null);
    clearTimeout(crowded);
    if (signal.aborted) return giveBack?.();
    this.#giveBack = giveBack;
    this.#enter("connecting");
    this.#open();
  }

  /** Leaves its connection to other tabs, until it is started again. */
  rest() {
    this.#turn.abort();
    clearTimeout(this.#silence);
    this.#log?.close();
    this.#giveBack?.();
    [this.#log, this.#giveBack] = [null, null];
    this.#enter("resting");
  }

  #open() {
    const log = new EventSource("./log");
    this.#log = log;
    // Until it is open it may wait for a connection, of which nobody knows.
    this.#silence = setTimeout(() => this.state === "connecting" && this.#enter("slow"), SILENCE);
    log.onopen = () => this.#log === log && this.#hears();
    const hears = (name, hear) => {
      log.addEventListener(name, ({ data }) => {
        if (this.#log !== log) return;
        this.#hears();
        const what = understood(data);
        if (what) hear(what);
      });
    };
    // Which server that is comes first.
    hears("about", (about) => this.#meet(about));
    // Before the first line, and again where some were missed.
    hears("running", (works) => this.tell.running(works));
    hears("before", (line) => this.tell.line(line, true));
    hears("message", (line) => this.tell.line(line, false));
    hears("alive", () => {});
    log.onerror = () => this.#log === log && this.#lost();
  }

  /** What it tells comes to its end, and it begins nothing more. */
  ends() {
    this.isEnding = true;
  }

  #hears() {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#log && this.#lost(), SILENCE);
  }

  #meet(about) {
    const isAnother = this.about !== null && this.about.instance !== about.instance;
    this.about = about;
    this.isEnding = false;
    this.#enter("live");
    this.tell.live(isAnother);
  }

  // A browser that is left to itself gives up where the answer is an error.
  #lost() {
    clearTimeout(this.#silence);
    this.#log.close();
    this.#log = null;
    if (this.state !== "away") this.#enter("away", new Date());
    const { signal } = this.#turn;
    setTimeout(() => signal.aborted || this.#open(), AGAIN);
  }

  #enter(state, since = null) {
    [this.state, this.since] = [state, since];
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
