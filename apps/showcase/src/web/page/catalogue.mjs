// What can be started here. A card for each; most of what a reader learns stands in these lines.

/** 64 MB that mean nothing. */
const upload = () => new Blob([new Uint8Array(64 << 20)]);

/** One for this page: a search supersedes the one before it of the same session. */
const session = Math.floor(Math.random() * 2 ** 32);

function found(text) {
  const { found: all } = JSON.parse(text);
  if (!all.length) return "nothing has this word";
  const best = all.slice(0, 3).map(({ title }) => title).join(", ");
  return `${all.length} found; the most like others: ${best}`;
}

export const GROUPS = [
  {
    name: "Requests",
    about: "Work that lasts as long as its request: whoever goes away stops it.",
    cards: [
      { id: "longrunningtask", name: "Long-running task", about: "Twenty steps of a second, as in .NET\u2019s introductions. Stop ends it between two of them." },
      { id: "upload", name: "Upload", about: "64 MB into a file that is there whole or not at all. Stop leaves nothing of it.", method: "POST", body: upload },
      { id: "download", name: "Download", about: "Twenty megabytes, one each half second. Stop ends who makes them, too." },
      { id: "events", name: "Events", about: "A tick each second, without an end. Ctrl-C ends it before any work is stopped." },
      { id: "primes", name: "Primes", about: "Counts on a thread of its own, which nothing can interrupt: it looks at its token.", fields: [{ name: "below", label: "Below", type: "number", value: 40_000_000, min: 2, max: 1_000_000_000 }] },
      { id: "report", name: "Report", about: "One query of a minute. Stop ends it inside the database." },
      { id: "search", name: "Search", about: "A query of seconds. Search again meanwhile: the newer one supersedes the older.", start: "Search", several: true, tells: found, query: { session }, fields: [{ name: "text", label: "Word", type: "search", value: "amber" }] },
      { id: "downstream", name: "Downstream", about: "Asks another instance for its long-running task: two rows in the log. Stop ends both." },
    ],
  },
  {
    name: "Operations",
    about: "Work with an id that outlives its request: close this tab, and stop it from another one.",
    cards: [
      { id: "import", name: "Import", about: "Adds documents in batches, each kept whole. Stop ends it between two.", operation: true, fields: [{ name: "documents", label: "Documents", type: "number", value: 2000, min: 1, max: 20_000 }] },
      { id: "export", name: "Export", about: "Writes all documents into a file, and gives its link. Stop leaves no half of it.", operation: true },
      { id: "deaf", name: "Deaf job", about: "Ignores its token for 40 s. Stop shows what is asked and does not stop: after 3 s it is overdue.", operation: true },
    ],
  },
  {
    name: "Messages",
    about: "Work that a queue brings: what is not done when the server stops is given back to it.",
    cards: [
      { id: "messages", name: "Ten messages", about: "Published to NATS, and worked on for a second each. Press Ctrl-C meanwhile: none is lost.", start: "Publish", method: "POST", query: { count: 10 }, needs: "nats", otherwise: ["This server has no NATS. Start it with one: ", "cargo run -- --nats nats://127.0.0.1:4222"] },
    ],
  },
];
