// Times and durations for people. What it promises: ages are by the server's clock, however wrong
// the reader's is; times of day are in the reader's zone. No DOM here.

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** `12 ms`, `3 s`, `4 min 10 s`, `2 h 5 min`, `3 d 4 h`: whole seconds, for what counts on. */
export function age(ms) {
  if (!Number.isFinite(ms)) return "\u2013";
  const whole = Math.max(0, Math.floor(ms / SECOND) * SECOND);
  if (whole < MINUTE) return `${whole / SECOND} s`;
  if (whole < HOUR) return two(whole, MINUTE, "min", SECOND, "s");
  if (whole < DAY) return two(whole, HOUR, "h", MINUTE, "min");
  return two(whole, DAY, "d", HOUR, "h");
}

/** `just now`, `3 s ago` */
export function ago(ms) {
  return ms < SECOND ? "just now" : `${age(ms)} ago`;
}

/** `0.4 ms`, `12 ms`, `3.21 s`, `4 min 10 s`: for what has been measured. */
export function took(ms) {
  if (!Number.isFinite(ms)) return "\u2013";
  if (ms < 0) return `\u2212${took(-ms)}`;
  if (ms >= SECOND && ms % SECOND === 0) return age(ms);
  if (ms < SECOND) return `${ms > 0 && ms < 10 ? Number(ms.toFixed(1)) : Math.round(ms)} ms`;
  if (ms < MINUTE) return `${(ms / SECOND).toFixed(ms < 10 * SECOND ? 2 : 1)} s`;
  return age(ms);
}

function two(ms, large, largeName, small, smallName) {
  const many = Math.floor(ms / large);
  const few = Math.floor((ms % large) / small);
  return few ? `${many} ${largeName} ${few} ${smallName}` : `${many} ${largeName}`;
}

/** Milliseconds since 1970 of what the server sends: a number, or RFC 3339. Null where there is none. */
export function instant(value) {
  if (typeof value === "number") return Number.isFinite(value) ? value : null;
  const ms = typeof value === "string" ? Date.parse(value) : NaN;
  return Number.isNaN(ms) ? null : ms;
}

const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };

/** Times of day in one zone; the zone of the reader where none is said. */
export function times(zone, locale) {
  const at = (options) => new Intl.DateTimeFormat(locale, { ...options, timeZone: zone });
  const clock = at(CLOCK);
  const minute = at({ hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const dayAlone = at({ day: "numeric", month: "short" });
  const day = at({ ...CLOCK, day: "numeric", month: "short" });
  const dayOnly = at({ day: "numeric", month: "numeric", year: "numeric" });
  const exact = at({
    ...CLOCK,
    weekday: "short",
    day: "numeric",
    month: "short",
    year: "numeric",
    fractionalSecondDigits: 3,
    timeZoneName: "longOffset",
  });
  const safely = (format) => (ms) => (inRange(ms) ? format(ms) : "\u2013");
  return {
    /** `12:03:10` */
    clock: safely((ms) => clock.format(ms)),
    /** `12:03` */
    minute: safely((ms) => minute.format(ms)),
    /** `3 May` */
    day: safely((ms) => dayAlone.format(ms)),
    /** `12:03:10`, and the day where it is another one. */
    short: safely((ms) => (dayOnly.format(ms) === dayOnly.format(Date.now()) ? clock : day).format(ms)),
    /** With the day, the milliseconds and the zone. */
    exact: safely((ms) => exact.format(ms)),
  };
}

function inRange(ms) {
  return Number.isFinite(ms) && Math.abs(ms) <= 8.64e15;
}

export const local = times();

/** The clock of the server, as far as can be known from what it says now and then. */
export class Clock {
  #offset = null;
  /** Whether what is said next is taken as it is, whatever was known before. */
  #anew = true;

  /** A connection begins: the clock may be another one, or may have been set since. */
  begin() {
    this.#anew = true;
  }

  /** Something that is nearly it, until it says so itself. */
  guess(now, here) {
    if (Number.isFinite(now) && this.#anew) this.#offset = now - here;
  }

  /**
   * @param {number} now what the server said
   * @param {number} here `performance.now()` when that came
   */
  hear(now, here) {
    if (!Number.isFinite(now)) return;
    const heard = now - here;
    // What was under way the least is nearest to the truth. A jump is believed, a lag is not.
    if (this.#anew || heard > this.#offset || this.#offset - heard > 5 * SECOND) {
      this.#offset = heard;
    } else {
      this.#offset += (heard - this.#offset) / 10;
    }
    this.#anew = false;
  }

  /** What it shows now; the reader's own until the server has said anything. */
  now(here) {
    return this.#offset === null ? Date.now() : this.#offset + here;
  }
}

/** Notices that the machine slept: some clocks stand still then, and the time of day does not. */
export class Sleep {
  #here = null;
  #wall = null;

  /** Whether it has slept since it was last asked. */
  slept(here, wall) {
    const gap = this.#here === null ? 0 : wall - this.#wall - (here - this.#here);
    [this.#here, this.#wall] = [here, wall];
    return gap > 3 * SECOND;
  }
}
