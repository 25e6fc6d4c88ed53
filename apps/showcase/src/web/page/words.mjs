// What the page says of work. What it promises: the words of the project (a cancel is asked, heard,
// stopped), and the same ones on a card and in the log. No DOM here.

import { age, took } from "./time.mjs";

const REASONS = {
  deadline: "its time was over",
  disconnected: "the client went away",
  lease_lost: "its lease was lost",
  overload: "there was no room for it",
  requested: "it was asked for",
  shutdown: "the server shuts down",
  superseded: "a newer one took its place",
};

const NUMBERS = new Intl.NumberFormat("en");

export const count = (number) => (Number.isFinite(number) ? NUMBERS.format(number) : "\u2013");

/** Above this what is counted are bytes or numbers, of which nobody reads each digit. */
const MANY = 10_000;

/** `3 of 20`, `19 %`, `3 so far`; empty where nothing is known. */
export function howFar(progress) {
  if (!progress) return "";
  const { done, total } = progress;
  if (!(total > 0)) return `${count(done)} so far`;
  return total > MANY ? `${Math.floor((100 * done) / total)} %` : `${count(done)} of ${count(total)}`;
}

/** From 0 to 1, or null where the whole is not known. */
export function part(progress) {
  return progress?.total > 0 ? Math.min(1, progress.done / progress.total) : null;
}

/** `shutdown: SIGINT`: as the server says it. */
export function why({ reason, detail }) {
  const word = (reason ?? "").replaceAll("_", " ");
  return detail ? `${word}: ${detail}` : word;
}

/** `the client went away`, and what was said beside it. */
function because({ by, reason, detail }, isOwn, isPressed) {
  const gone = isOwn && reason === "disconnected";
  const asked = reason === "requested" && by;
  const you = isPressed ? "you stopped it" : "you went away";
  const said = gone ? you : asked ? `${by} asked for it` : (REASONS[reason] ?? reason ?? "nobody said why");
  return detail && reason !== "disconnected" ? `${said} (${detail})` : said;
}

/** `stopped: you went away; heard after 0.2 ms, stopped after 1.9 ms` */
function stopped(work, isPressed) {
  const { heard_ms, stopped_ms } = work.end;
  const heard = heard_ms === null ? "never heard" : `heard after ${took(heard_ms)}`;
  return `stopped: ${because(work.end, work.isOwn, isPressed)}; ${heard}, stopped after ${took(stopped_ms)}`;
}

/** `asked to stop 3 s ago, still runs`: of one that was there before this page, at least so long. */
export function stillRuns(asked, now) {
  const since = age(now - asked.since);
  return asked.isOlder ? `asked to stop, still runs for ${since} or more` : `asked to stop ${since} ago, still runs`;
}

/** Of one that ran when the server was heard the last time. */
function unheard(work, isAway) {
  if (!isAway) return "not known: this tab does not hear the server";
  return work.asked ? "asked to stop; then the server went away" : "the server went away while it ran";
}

/** For the moment of a new connection nothing is said to be lost. */
export const isHeard = ({ state }) => state === "live" || state === "connecting";

/** In the log, where who asked and the times have columns of their own. */
export function cameOf(work, now, link = null) {
  switch (work.state) {
    case "stopped":
      return "stopped";
    case "failed":
      return `failed: ${work.end.why}`;
    case "finished":
      return `finished after ${took(work.end.took_ms)}`;
    case "lost":
      return work.isMissed ? "not known: its end was missed" : "not known: the server went away";
    default: {
      if (link && !isHeard(link)) return unheard(work, link.isAway);
      if (work.asked) return stillRuns(work.asked, now);
      const far = howFar(work.progress);
      return far ? `runs: ${far}` : "runs";
    }
  }
}

/** On a card, where it stands alone. To abort a request is to go away, so `isPressed` says that Stop did. */
export function ofWork(work, now, isPressed = false) {
  if (work.state === "stopped") return stopped(work, isPressed);
  if (work.state === "lost") return `${work.isMissed ? "its end was missed" : "the server went away while it ran"}; what came of it is not known`;
  if (work.asked && work.state === "running") return `${stillRuns(work.asked, now)}: ${because(work.asked, work.isOwn, isPressed)}`;
  return cameOf(work, now);
}

/** An operation as the database has it, where this server's log does not know it. */
export function ofOperation(op, now) {
  const { cancel } = op;
  switch (op.state) {
    case "waiting":
      return op.attempt > 0 ? "waits to be begun again" : "waits for its turn";
    case "running": {
      if (!cancel) return ["runs", howFar(op.progress)].filter(Boolean).join(": ");
      return `asked to stop ${age(now - Date.parse(cancel.at))} ago, still runs: ${because(asked(cancel))}`;
    }
    case "succeeded":
      return `finished after ${took(lasted(op))}${cancel ? ", though it was asked to stop" : ""}`;
    case "failed":
      return `failed: ${op.error ?? "nobody said why"}`;
    case "cancelled":
      return cancelled(op);
    default:
      return op.state;
  }
}

function cancelled({ cancel, heard_at, started_at, finished_at }) {
  if (!cancel) return "stopped";
  const since = (at) => Date.parse(at) - Date.parse(cancel.at);
  const said = `stopped: ${because(asked(cancel))}`;
  if (!started_at) return `${said}; it had not started`;
  // Then its process took notice, and told the work, of which nobody knows whether it listens.
  const told = heard_at ? `told after ${took(since(heard_at))}, ` : "";
  return `${said}; ${told}stopped after ${took(since(finished_at))}`;
}

const asked = ({ actor, reason, message }) => ({ by: actor, reason, detail: message });
const lasted = (op) => Date.parse(op.finished_at) - Date.parse(op.started_at ?? op.created_at);
