// The page as a whole. What it promises: one render for each frame; one part that breaks leaves the
// others working; and only what ended is read out.

import { Card } from "./card.mjs";
import { GROUPS } from "./catalogue.mjs";
import { connections } from "./connections.mjs";
import { byId, el } from "./dom.mjs";
import { Header } from "./header.mjs";
import { Link } from "./link.mjs";
import { Watch, running } from "./operations.mjs";
import { Table } from "./table.mjs";
import { Works } from "./works.mjs";

let frame = 0;

/** What the parts of the page know of each other. */
const page = {
  works: new Works(),
  connections: connections(),
  link: new Link({ changed: schedule, line, live }),
  changed: schedule,
  now: () => performance.now() + performance.timeOrigin,
  say: (text) => byId("said").replaceChildren(el("p", { text })),
};

const cards = GROUPS.flatMap(({ name, about, cards: all }) => {
  const made = all.map((of) => new Card(page, of));
  const id = `group-${name.toLowerCase()}`;
  const title = el("h2", { id, text: name });
  const grid = el("div", { class: "cards" }, ...made.map(({ element }) => element));
  byId("groups").append(el("section", { "aria-labelledby": id }, title, el("p", { class: "quiet", text: about }), grid));
  return made;
});
const header = new Header(page);
const table = new Table(byId("log"), byId("nothing"));
const unfinished = () => cards.filter(({ of }) => of.operation).flatMap((card) => card.unfinished).filter(({ op }) => op);
const watch = new Watch(page, unfinished);

function line(said, isOlder) {
  const work = page.works.take(said, page.now(), isOlder);
  if (work.operation !== null && said.said !== "progress") watch.soon();
  schedule();
}

/** The server is there, for the first time or again. */
async function live(isAnother) {
  if (isAnother) page.works.anew();
  schedule();
  try {
    // The oldest first: each is put above the one before.
    for (const op of (await running()).reverse()) cards.find(({ of }) => of.operation && of.id === op.kind)?.found(op);
  } catch (error) {
    console.warn("it is not known which operations run:", error);
  }
  watch.soon();
  schedule();
}

function schedule() {
  frame ||= requestAnimationFrame(render);
}

function render() {
  frame = 0;
  const parts = [header, ...cards, { render: () => table.render(page.works.all(), page.now(), page.link) }];
  for (const part of parts) {
    try {
      part.render();
    } catch (error) {
      console.error(error);
    }
  }
  watch.soon(1000);
}

// Seconds are counted where something was asked and still runs.
setInterval(schedule, 1000);
// A page that comes back out of the cache of the browser has lost its connections.
addEventListener("pageshow", (event) => event.persisted && location.reload());
schedule();
page.link.start(page.connections);
