// The connection to the log. What it promises: it comes again by itself, for as long as it takes;
// "live" is said only of a server that is known, and "away" never of one that is; and no line is taken
// for one of another server.

const AGAIN = 1000;
/** Whoever gets a connection at once has not waited for it. */
const AT_ONCE = 300;

export class Link {
  /** `connecting`, `crowded` where other tabs have all connections, `live`, or `away` since a time. */
  state = "connecting";
  since = null;
  /** What the server says of itself. */
  about = null;
  #log = null;

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

  /** The one that it takes it keeps: its log is wanted for as long as the tab is there. */
  async start(connections) {
    const crowded = setTimeout(() => this.#enter("crowded"), AT_ONCE);
    await connections.take();
    clearTimeout(crowded);
    this.#enter("connecting");
    this.#open();
  }

  #open() {
    const log = new EventSource("./log");
    this.#log = log;
    const hears = (name, hear) => {
      log.addEventListener(name, ({ data }) => {
        const what = this.#log === log ? understood(data) : null;
        if (what) hear(what);
      });
    };
    // Which server that is comes first.
    hears("about", (about) => this.#meet(about));
    hears("before", (line) => this.tell.line(line, true));
    hears("message", (line) => this.tell.line(line, false));
    log.onerror = () => this.#log === log && this.#lost();
  }

  #meet(about) {
    const isAnother = this.about !== null && this.about.instance !== about.instance;
    this.about = about;
    this.#enter("live");
    this.tell.live(isAnother);
  }

  // A browser that is left to itself gives up where the answer is an error.
  #lost() {
    this.#log.close();
    this.#log = null;
    if (this.state !== "away") this.#enter("away", new Date());
    setTimeout(() => this.#open(), AGAIN);
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
