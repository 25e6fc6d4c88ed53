// Times in words. No DOM here.

const SECOND = 1000;
const MINUTE = 60 * SECOND;

/** `3 s`, `4 min 10 s`: whole seconds, for what counts on. */
export function age(ms) {
  const seconds = Math.max(0, Math.floor(ms / SECOND));
  if (seconds < 60) return `${seconds} s`;
  const rest = seconds % 60;
  return `${Math.floor(seconds / 60)} min${rest ? ` ${rest} s` : ""}`;
}

/** `0.2 ms`, `12 ms`, `3.21 s`: for what was measured. */
export function took(ms) {
  if (!Number.isFinite(ms)) return "\u2013";
  if (ms < 0.095) return `${Number(Math.max(ms, 0).toFixed(2))} ms`;
  if (ms < 10) return `${Number(ms.toFixed(1))} ms`;
  if (ms < SECOND) return `${Math.round(ms)} ms`;
  if (ms < MINUTE) return `${(ms / SECOND).toFixed(ms < 10 * SECOND ? 2 : 1)} s`;
  return age(ms);
}

/** `12:03:10`, where the reader is. */
export function clock(date) {
  return date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
}
