// The tab of the process that answers. What it promises: what the process tells of itself, as it
// tells it; what it does not tell is said to be untold, with no guess in its place.

import { byId, el, theirs } from "./dom.mjs";
import { count, list, plural, visible } from "./text.mjs";
import { age } from "./time.mjs";

const MOST_TASKS = 30;

export class Process {
  #shown = null;

  constructor(app) {
    this.app = app;
    this.panel = byId("process");
  }

  place() {
    this.#shown = null;
  }

  render() {
    const { feed } = this.app;
    const loading = feed.ready ? null : this.app.loading("what the process does");
    if (this.#shown && feed.process === this.#shown.data && loading === this.#shown.loading) return;
    this.#shown = { data: feed.process, loading };
    // Made anew: it is small, changes seldom, and has nothing that takes the focus.
    const top = this.panel.scrollTop;
    this.panel.replaceChildren(...this.#parts(feed.process, loading));
    this.panel.scrollTop = top;
  }

  #parts(process, loading) {
    if (!process) {
      const text = loading ?? "This service does not tell you about its process. The operations are on the other tabs.";
      return [el("p", { class: "empty", "data-loading": String(loading !== null), text })];
    }
    return [
      el("div", { class: "tiles" }, self(process), host(process.host), requestsTile(process.requests), groupsTile(process.groups)),
      kinds(process.operations),
      requests(process.requests),
      groups(process.groups),
    ].filter(Boolean);
  }
}

function tile(title, value, ...below) {
  return el("section", { class: "tile" }, el("h2", { text: title }), el("p", { class: "value" }, value), ...below.map((part) => el("p", { class: "quiet" }, ...[part].flat())));
}

function self({ label, pid, up_ms: up }) {
  return tile("This process", theirs(label ?? "\u2013", { most: 60 }), `pid ${pid ?? "\u2013"}, up for ${age(up)}`);
}

function host(told) {
  if (!told) return tile("Host", "\u2013", "not told by this service");
  const waits = told.waits_for ?? [];
  const below = [];
  if (told.why) below.push([theirs(told.why)]);
  if (waits.length) below.push(["waits for ", theirs(list(waits))]);
  return tile("Host", theirs(told.phase ?? "\u2013"), ...(below.length ? below : ["nothing has asked it to stop"]));
}

function requestsTile(told) {
  if (!told) return tile("Requests", "\u2013", "not told by this service");
  return tile("Requests", count(told.in_flight), told.rescued ? `in flight; ${plural(told.rescued, "handler")} rescued` : "in flight");
}

function groupsTile(told) {
  if (!told) return tile("Task groups", "\u2013", "not told by this service");
  const tasks = told.reduce((sum, group) => sum + (group.tasks ?? 0), 0);
  return tile("Tasks", count(tasks), `in ${plural(told.length, "group")}`);
}

function section(title, heads, rows, none) {
  const body = rows.length
    ? el("div", { class: "wide" }, el("table", {}, el("caption", { class: "unseen", text: title }),
        el("thead", {}, el("tr", {}, ...heads.map((text) => el("th", { scope: "col", text })))), el("tbody", {}, ...rows)))
    : el("p", { class: "quiet", text: none });
  return el("section", { class: "part" }, el("h2", { text: title }), body);
}

function kinds(operations) {
  const all = operations?.kinds ?? [];
  const rows = all.map(({ name, running, concurrency }) => {
    const full = concurrency > 0 ? Math.min(1, running / concurrency) : 0;
    const fill = el("span", { class: "fill" });
    fill.style.setProperty("--done", full);
    return el("tr", { "data-full": full === 1 || null }, el("th", { scope: "row" }, theirs(name, { most: 80 })),
      el("td", { text: concurrency == null ? count(running) : `${count(running)} of ${count(concurrency)}` }),
      el("td", { class: "c-full" }, el("span", { class: "track", "aria-hidden": "true" }, fill), full === 1 ? el("span", { class: "quiet", text: " full: more will wait" }) : null));
  });
  return section("Operations it runs, by kind", ["Kind", "Running", "Used"], rows, "It runs operations of no kind.");
}

function requests(told) {
  if (!told) return null;
  const shown = told.shown ?? [];
  const rows = shown.map(({ method, route, peer, age_ms: old, rescued, asked, asked_ms: since }) => el("tr", {},
    el("th", { scope: "row" }, theirs(`${method} ${route}`, { most: 100 })),
    el("td", { text: age(old) }),
    el("td", {}, asked ? theirs(asked) : null, asked && since != null ? ` ${age(since)} ago` : asked ? null : "no"),
    el("td", { text: rescued ? "yes" : "no" }),
    el("td", {}, theirs(peer ?? "\u2013", { most: 60 }))));
  const title = told.in_flight > shown.length && shown.length ? `Requests in flight, the ${count(shown.length)} oldest` : "Requests in flight";
  return section(title, ["Request", "For", "Asked to stop", "Rescued", "From"], rows, "No request is in flight.");
}

function groups(told) {
  if (!told) return null;
  const rows = told.map(({ name, tasks, state, shown = [] }) => el("tr", {},
    el("th", { scope: "row" }, theirs(name, { most: 80 })),
    el("td", {}, theirs(state)),
    el("td", { text: count(tasks) }),
    el("td", { class: "tasks" }, ...tasksOf(shown, tasks))));
  return section("Task groups", ["Group", "State", "Tasks", "Which"], rows, "No task group is registered.");
}

function tasksOf(shown, many) {
  const made = shown.slice(0, MOST_TASKS).map(({ name, place, blocking }) => el("span", { class: "tag", title: visible(place ?? "") },
    theirs(name ?? place ?? "?", { most: 60 }), blocking ? " (blocking)" : ""));
  const more = many - made.length;
  return more > 0 && made.length ? [...made, el("span", { class: "quiet", text: `and ${count(more)} more` })] : made;
}
