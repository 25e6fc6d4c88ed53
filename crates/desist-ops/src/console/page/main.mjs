// The page as a whole. What it promises: one render for each frame, of the tab that is looked at;
// the address says what is shown; an error in one part is told and leaves the others working.

import { Cancelling } from "./cancelling.mjs";
import { Details } from "./details.mjs";
import { byId, setAttr, setParts } from "./dom.mjs";
import { Feed } from "./feed.mjs";
import { Header } from "./header.mjs";
import { Latency } from "./latency.mjs";
import { Live } from "./live.mjs";
import { Past } from "./past.mjs";
import { TABS, read, write } from "./place.mjs";
import { Process } from "./process.mjs";
import { Running } from "./running.mjs";
import { Stopping } from "./stopping.mjs";
import { isCancellable } from "./tree.mjs";

const SAID_FOR = 12_000;

let place = read(location.hash);
let shown = null;
let frame = 0;
/** What had the focus last, unless it was left on purpose. */
let focused = null;
let saidTimer = 0;

/** What the parts of the page know of each other. */
const app = {
  feed: new Feed(),
  changed: schedule,
  link: () => live.link,
  /** Where the server refused, nothing is under way. */
  loading: (what) => (live.link.state === "refused" ? "" : `Loading ${what}\u2026`),
  fresh: () => live.link.state === "live",
  again: () => live.again(),
  say,
  focusBack,
  details: (op) => go({ ...place, op }),
  opened: () => place.op,
  mayCancel: (row) => app.feed.hello?.changes === true && isCancellable(row, app.feed.model.get(row.id)),
  filtered(tab, filter) {
    place.filters[tab] = filter;
    history.replaceState(null, "", write(place));
  },
  cancel(id, from) {
    const row = app.feed.model.get(id)?.row ?? (details.id === id ? details.row() : null);
    if (row && app.mayCancel(row) && app.fresh()) cancelling.open(row, from);
  },
  restyle() {
    tabs.latency.restyle();
    schedule();
  },
};

const live = new Live({ feed: app.feed, changed: schedule, forgotten });
const header = new Header(app);
const details = new Details(app);
const cancelling = new Cancelling(app);
const tabs = {
  running: new Running(app),
  stopping: new Stopping(app),
  latency: new Latency(app),
  history: new Past(app),
  process: new Process(app),
};

/** The reader may not see any of it any more. */
function forgotten() {
  tabs.history.forget();
  if (place.op) go({ ...place, op: null });
}

function schedule() {
  frame ||= requestAnimationFrame(render);
}

function render() {
  frame = 0;
  for (const part of [header, tabs[place.tab], details, cancelling]) {
    try {
      part.render();
    } catch (error) {
      console.error(error);
      say(["Something of this page broke: ", String(error), ". Load it again if it stays so."], true);
    }
  }
  keepFocus();
}

/** Whoever was on what is gone, hidden or not to be pressed now stays near to it. */
function keepFocus() {
  const at = document.activeElement;
  if (!focused || (at !== focused && at !== document.body)) return;
  if (focused.isConnected && !focused.matches(":disabled, [hidden], [hidden] *")) return;
  const near = focused.isConnected && (focused.closest("[role=row]") ?? focused.closest("dialog[open]")?.querySelector("button:enabled"));
  (near || byId(`tab-${place.tab}`)).focus();
}

/** Shows a place, and writes it into the address. */
function go(next) {
  const hash = write(next);
  if (hash !== location.hash) history.pushState(null, "", hash);
  arrive();
}

/** Shows what the address says. */
function arrive() {
  const before = place;
  place = read(location.hash);
  for (const tab of TABS) {
    if (tab !== place.tab) place.filters[tab] = before.filters[tab];
    const button = byId(`tab-${tab}`);
    const chosen = tab === place.tab;
    setAttr(button, "aria-selected", String(chosen));
    setAttr(button, "tabindex", chosen ? "0" : "-1");
    byId(tab).hidden = !chosen;
  }
  intoSight(byId(`tab-${place.tab}`));
  const filter = place.filters[place.tab];
  const same = shown === place.tab && JSON.stringify(filter) === JSON.stringify(before.filters[place.tab]);
  shown = place.tab;
  if (!same) tabs[place.tab].place?.(filter);
  details.show(place.op);
  schedule();
}

/** Where there is no room for all tabs they scroll, and nothing else does. */
function intoSight(tab) {
  const list = tab.parentElement;
  if (list.scrollWidth > list.clientWidth) list.scrollLeft = tab.offsetLeft - (list.clientWidth - tab.offsetWidth) / 2;
}

function say(parts, isError = false) {
  clearTimeout(saidTimer);
  const toast = byId("toast");
  setAttr(toast, "data-error", isError);
  // Above a dialog that was opened since.
  toast.hidePopover?.();
  toast.showPopover?.();
  // The same sentence again is to be heard again.
  byId("said").partKinds = "";
  setParts(byId("said"), parts);
  setAttr(toast, "data-shown", true);
  if (!isError) saidTimer = setTimeout(quiet, SAID_FOR);
}

/** It stays in the document: what is taken out of it is not read out when it comes back. */
function quiet() {
  setAttr(byId("toast"), "data-shown", false);
  byId("said").replaceChildren();
}

/** The focus goes back to where it was, or to what is nearest to that. */
function focusBack(from, id) {
  const button = from?.isConnected && from.closest("[hidden]") === null && !from.disabled;
  if (button && from !== document.body) return from.focus();
  if (id && place.tab === "running" && tabs.running.grid.focus(id)) return;
  if (place.tab === "running" && tabs.running.focus()) return;
  byId(`tab-${place.tab}`).focus();
}

function tabKeys(event) {
  const at = TABS.indexOf(place.tab);
  const to = {
    ArrowRight: (at + 1) % TABS.length,
    ArrowLeft: (at + TABS.length - 1) % TABS.length,
    Home: 0,
    End: TABS.length - 1,
  }[event.key];
  if (to === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  go({ ...place, tab: TABS[to] });
  byId(`tab-${TABS[to]}`).focus();
}

for (const tab of TABS) byId(`tab-${tab}`).addEventListener("click", () => go({ ...place, tab }));
document.querySelector("[role=tablist]").addEventListener("keydown", tabKeys);
byId("toast").querySelector("button").addEventListener("click", quiet);
addEventListener("focusin", ({ target }) => (focused = target));
addEventListener("pointerdown", () => (focused = null));
addEventListener("popstate", arrive);
addEventListener("hashchange", arrive);

byId("toast").showPopover?.();
arrive();
setInterval(() => {
  app.feed.model.sweep(app.feed.now, (node) => !app.fresh() || tabs.running.grid.holds(node));
  schedule();
}, 1000);
live.start();
