// Text that others wrote, made fit to be shown. What it promises: nothing in a name or a message
// can hide itself, turn the text around it, or pass for text of the page. No DOM here.

const CONTROLS = /\r\n|[\u0000-\u001f\u007f-\u009f]/g;
const LINES_KEPT = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;
// Marks that change the direction of text, or take no room: they would not be seen.
const UNSEEN =
  /[\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu;
const LONE = /[\ud800-\udfff]/gu;

// Most places of the page have one line. The pictures of control characters that Unicode has
// (U+2400) are missing in many fonts: their numbers are not.
function picture(control) {
  if (control === "\n" || control === "\r\n") return "\u21b5";
  return control === "\t" ? " " : named(control);
}

function named(character) {
  const code = character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
  return `\u27e8U+${code}\u27e9`;
}

/**
 * The text with everything in it made visible.
 * @param {unknown} text
 * @param {boolean} [lines] whether line breaks and tabs stay what they are
 */
export function visible(text, lines = false) {
  if (text === null || text === undefined) return "";
  return String(text)
    .replace(lines ? LINES_KEPT : CONTROLS, picture)
    .replace(UNSEEN, named)
    .replace(LONE, "\ufffd");
}

/** The text, cut where it is longer than `most` characters; no character is cut in two. */
export function cut(text, most = 120) {
  if (text.length <= most) return text;
  const end = /[\ud800-\udbff]/.test(text[most - 2]) ? most - 2 : most - 1;
  return `${text.slice(0, end)}\u2026`;
}

/** As much of an id as people need to tell two apart; the filter finds it. */
export function shortId(id) {
  return visible(String(id).slice(0, 9));
}

const NUMBERS = new Intl.NumberFormat("en");

/** `10,000` */
export function count(number) {
  return Number.isFinite(number) ? NUMBERS.format(number) : "\u2013";
}

/** `1 operation`, `13 operations` */
export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** `a`, `a and b`, `a, b and c` */
export function list(names) {
  if (names.length < 2) return names.join("");
  return `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}
