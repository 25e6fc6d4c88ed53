// The page as a whole. What it promises: one render for each frame; one part that breaks leaves the
// others working; and only what ended is read out.

import { Card } from "./card.mjs";
import { GROUPS } from "./catalogue.mjs";
import { Connections } from "./connections.mjs";
import { byId, el } from "./dom.mjs";
import { Header } from "./header.mjs";
import { Link } from "./link.mjs";
import { Watch, found, one } from "./operations.mjs";
import { Table } from "./table.mjs";
import { Works } from "./works.mjs";

/** When an answer to a start may have come. */
const LATER = 300;
/** Whoever looks away for so long may look at other tabs. */
const UNSEEN = 2000;
/** By then it is known whether the server is away; and what failed is asked again. */
const AGAIN = 1000;

let frame = 0;
let unseen = 0;
let goes = false;
/** How often a server has been met. */
let turn = 0;

/** What the parts of the page know of each other. */
const page = {
  works: new Works(),
  connections: new Connections(),
  link: new Link({ changed: schedule, line, live, running: (works) => page.works.only(works) }),
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
  if (!isOlder && said.reason === "shutdown") page.link.ends();
  if (work.operation !== null && said.said === "begun" && !isOlder) meet(work.operation);
  if (work.operation !== null && said.said !== "progress") watch.soon();
  schedule();
}

const cardOf = (kind) => cards.find(({ of }) => of.operation && of.id === kind);

/** Of one that another tab has begun, or another page. */
async function meet(id) {
  // One that this tab has begun may not know its id yet.
  if (cards.some((card) => card.isStarting)) setTimeout(() => meet(id), LATER);
  else if (!cards.some((card) => card.has(id))) await look(id);
}

async function look(id) {
  try {
    const op = await one(id);
    cardOf(op.kind)?.found(op);
  } catch (error) {
    unlessGone(() => console.warn(`nothing is known of ${id}:`, error));
  }
  schedule();
}

/** The server is there, for the first time or again. */
async function live(isAnother) {
  if (isAnother) page.works.anew();
  schedule();
  turn += 1;
  await learn();
}

/** Which operations run; asked until it is known, and complained of once. */
async function learn(isAgain = false) {
  try {
    // The oldest first: each is put above the one before.
    for (const op of (await found()).reverse()) cardOf(op.kind)?.found(op);
  } catch (error) {
    unlessGone(() => {
      if (!isAgain) console.warn("it is not known which operations run:", error);
      learn(true);
    });
  }
  watch.soon();
  schedule();
}

/** After a while, if this is still the page, and the log still that of the server which was asked: what
 * is asked of one that goes, or by a page that does, is not answered, and nothing is wrong. */
function unlessGone(then) {
  const asked = turn;
  setTimeout(() => {
    if (!goes && page.link.isLive && turn === asked) then();
  }, AGAIN);
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

// There are more tabs than connections: those that somebody looks at, and those that wait for an
// answer, have one.
function seen() {
  clearTimeout(unseen);
  if (document.visibilityState !== "visible") unseen = setTimeout(rest, UNSEEN);
  else if (page.link.state === "resting") page.link.start(page.connections);
}

function rest() {
  const isAsking = cards.some(({ of, unfinished }) => !of.operation && unfinished.length > 0);
  if (isAsking) unseen = setTimeout(rest, UNSEEN);
  else page.link.rest();
}

document.addEventListener("visibilitychange", seen);
// Seconds are counted where something was asked and still runs.
setInterval(schedule, 1000);
// It may stay after all: a download begins like this, too.
addEventListener("beforeunload", () => {
  goes = true;
  setTimeout(() => { goes = false; }, UNSEEN);
});
// A page that comes back out of the cache of the browser has lost its connections.
addEventListener("pageshow", (event) => event.persisted && location.reload());
schedule();
seen();
