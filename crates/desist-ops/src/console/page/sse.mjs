// Server-sent events out of pieces of text. What it promises: events come out whole and in order,
// however they are cut into pieces; comments and what it does not know are left out; an event that
// grows without end is refused. No DOM here.

const MOST = 16 * 1024 * 1024;

/** Takes pieces with `push`, and calls `onEvent(name, data)` for each event that is complete. */
export class EventParser {
  #rest = "";
  #name = "";
  #data = [];
  #size = 0;
  #first = true;

  /** @param {(name: string, data: string) => void} onEvent */
  constructor(onEvent) {
    this.onEvent = onEvent;
  }

  /** @param {string} piece */
  push(piece) {
    let text = this.#rest + piece;
    if (this.#first && text) {
      this.#first = false;
      if (text.startsWith("\ufeff")) text = text.slice(1);
    }
    let from = 0;
    for (;;) {
      const end = lineEnd(text, from);
      if (!end) break;
      this.#line(text.slice(from, end.at));
      from = end.next;
    }
    this.#rest = text.slice(from);
    if (this.#rest.length + this.#size > MOST) throw new Error("an event of this stream has no end");
  }

  #line(line) {
    if (line === "") return this.#send();
    if (line.startsWith(":")) return;
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "event") this.#name = value;
    if (field === "data") {
      this.#data.push(value);
      this.#size += value.length;
    }
  }

  #send() {
    const [name, data] = [this.#name, this.#data];
    this.#name = "";
    this.#data = [];
    this.#size = 0;
    if (data.length) this.onEvent(name || "message", data.join("\n"));
  }
}

// Lines end with \n, \r or \r\n. A \r at the end of a piece may be half of one: it waits.
function lineEnd(text, from) {
  const ends = /\r\n?|\n/g;
  ends.lastIndex = from;
  const end = ends.exec(text);
  if (!end || (end[0] === "\r" && ends.lastIndex === text.length)) return null;
  return { at: end.index, next: ends.lastIndex };
}
