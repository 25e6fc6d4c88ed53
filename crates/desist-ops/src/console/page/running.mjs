// The tab of what runs and waits. What it promises: the tree is made anew only when other rows are
// to be seen, and then at most ten times a second; all else is a matter of the rows in sight.

import { byId, options, setText } from "./dom.mjs";
import { count, plural } from "./text.mjs";
import { lines } from "./tree.mjs";
import { TreeGrid } from "./treegrid.mjs";

/** Between two makings of the whole tree. */
const PAUSE = 100;

export class Running {
  #closed = new Set();
  /** What was closed while looking for something; another search forgets it. */
  #closedInSearch = new Set();
  #made = { key: "", at: -Infinity };
  #lines = [];

  /** @param {any} app see `main.mjs` */
  constructor(app) {
    this.app = app;
    this.panel = byId("running");
    this.form = this.panel.querySelector("form");
    this.grid = new TreeGrid(byId("tree"), {
      changed: app.changed,
      renderNow: () => this.#rows(),
      open: (id) => app.details(id),
      cancel: (id, from) => app.cancel(id, from),
      toggle: (id, open) => this.#toggle([id], open),
    });
    this.form.addEventListener("input", () => this.#filtered());
    this.form.addEventListener("submit", (event) => event.preventDefault());
    byId("close-all").addEventListener("click", () => this.#toggle(this.#parents(), false));
    byId("open-all").addEventListener("click", () => this.#toggle(this.#parents(), true));
  }

  /** What the address says. */
  place({ kind = "", find = "" }) {
    this.form.elements.find.value = find;
    options(this.form.elements.kind, this.app.feed.kinds(), "any", kind);
    this.#made.key = "";
  }

  #filtered() {
    const { find, kind } = this.form.elements;
    this.#closedInSearch = new Set();
    this.app.filtered("running", { find: find.value.trim(), kind: kind.value });
    this.#made = { key: "", at: -Infinity };
    this.app.changed();
  }

  #filter() {
    const { find, kind } = this.form.elements;
    return { find: find.value.trim(), kind: kind.value };
  }

  #closedNow() {
    return this.#filter().find ? this.#closedInSearch : this.#closed;
  }

  #parents() {
    return [...this.app.feed.model.nodes.values()].filter((node) => node.children.length).map((node) => node.id);
  }

  #toggle(ids, open) {
    for (const id of ids) this.#closedNow()[open ? "delete" : "add"](id);
    this.#made = { key: "", at: -Infinity };
    this.app.changed();
  }

  render() {
    this.#tree();
    this.#rows();
  }

  #rows() {
    const { feed } = this.app;
    this.grid.render({ now: feed.now, changes: feed.hello?.changes === true, fresh: this.app.fresh(), opened: this.app.opened() });
  }

  #tree() {
    const { model, ready, tick } = this.app.feed;
    const filter = this.#filter();
    const around = `${ready} ${this.app.link().state === "refused"} ${tick?.running_more} ${tick?.waiting_more}`;
    const key = `${model.structure} ${filter.find || filter.kind ? model.content : ""} ${around}`;
    if (key === this.#made.key) return;
    const now = performance.now();
    if (now - this.#made.at < PAUSE) {
      setTimeout(this.app.changed, PAUSE);
      return;
    }
    this.#made = { key, at: now };
    options(this.form.elements.kind, this.app.feed.kinds(), "any");
    this.#lines = lines(model, { ...filter, closed: this.#closedNow() });
    this.grid.setLines(this.#lines);
    this.#around(filter);
  }

  #around({ find, kind }) {
    const { feed } = this.app;
    const filtered = find || kind;
    const matches = filtered ? this.#lines.filter((line) => !line.context).length : 0;
    setText(byId("shown"), filtered ? `${plural(matches, "match", "matches")}` : this.#more());
    const empty = byId("running-empty");
    const none = this.#lines.length === 0;
    empty.hidden = !none;
    byId("tree").hidden = none;
    if (!none) return;
    if (!feed.ready) setText(empty, this.app.loading("what runs"));
    else if (filtered) setText(empty, "Nothing that runs or waits matches. Clear the filter, or look into the history.");
    else setText(empty, "Nothing runs. Operations appear here as soon as they are started.");
    empty.dataset.loading = String(!feed.ready);
  }

  /** Where the server has more than it shows, that is said. */
  #more() {
    const { tick, hello } = this.app.feed;
    const parts = ["running", "waiting"]
      .filter((state) => tick?.[`${state}_more`])
      .map((state) => `the first ${count(hello?.most?.[state])} that are ${state}`);
    return parts.length ? `Shown: ${parts.join(", ")}` : "";
  }

  focus() {
    return this.grid.focusActive();
  }
}
