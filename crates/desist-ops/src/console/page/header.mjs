// What stands above each tab: who answers, whether what is shown is fresh, how many there are. What
// it promises: an overdue one is seen from everywhere; what is stale says as of when.

import { byId, setAttr, setText } from "./dom.mjs";
import { isOwn } from "./link.mjs";
import { overdueBy } from "./model.mjs";
import { count, plural, visible } from "./text.mjs";
import { local } from "./time.mjs";

export class Header {
  #overdue = 0;

  constructor(app) {
    this.app = app;
    this.link = byId("link");
    this.problem = byId("problem");
    this.problem.querySelector("button").addEventListener("click", () => app.again());
    this.counts = Object.fromEntries([...document.querySelectorAll("[data-count]")].map((item) => [item.dataset.count, item]));
    theme(byId("theme"), app);
  }

  render() {
    const { feed } = this.app;
    const link = this.app.link();
    this.#state(link, feed);
    setText(byId("label"), visible(feed.hello?.label ?? ""));
    byId("readonly").hidden = feed.hello?.changes !== false;
    this.#counts(feed);
    this.#problem(link);
    setAttr(document.body, "data-link", link.state);
  }

  #counts({ model, tick, ready, now }) {
    this.#overdue = [...model.stopping].filter(({ row }) => overdueBy(row, now) !== null).length;
    const more = (state) => (tick?.[`${state}_more`] ? `${count(Math.max(tick[state], model.counts[state]))}+` : count(model.counts[state]));
    const shown = {
      running: more("running"), waiting: more("waiting"),
      stopping: count(model.stopping.size), overdue: count(Math.min(this.#overdue, model.stopping.size)),
    };
    for (const [name, text] of Object.entries(shown)) {
      const item = this.counts[name];
      setText(item.querySelector("b"), ready ? text : "\u2013");
      setAttr(item, "data-any", ready && text !== "0");
    }
    const badge = byId("tab-stopping").querySelector(".badge");
    badge.hidden = !ready || model.stopping.size === 0;
    setText(badge, count(model.stopping.size));
    setAttr(badge, "data-overdue", this.#overdue > 0);
    const label = visible(this.app.feed.hello?.label ?? "");
    const title = [this.#overdue ? `${plural(this.#overdue, "overdue", "overdue")}` : "", label, "operations"].filter(Boolean).join(" \u00b7 ");
    if (document.title !== title) document.title = title;
  }

  #state(link) {
    setAttr(this.link, "data-state", link.state);
    setText(this.link, this.#text(link));
    setAttr(this.link, "title", link.why && visible(link.why));
  }

  #text({ state, why, asOf }) {
    const then = asOf === null ? "" : `, shown as of ${local.clock(asOf)}`;
    switch (state) {
      case "live": return "Live";
      case "down": return `The database does not answer${then}`;
      case "refused": return `Refused${then}`;
      case "stale": return isOwn(why) ? `${why}${then}` : `Reconnecting${then}`;
      default: return why ? "Cannot connect, trying again" : "Connecting";
    }
  }

  /** The server's sentence, where there is one to show. */
  #problem({ state, why }) {
    const shown = state === "refused" || (why && ["down", "connecting"].includes(state)) || (state === "stale" && why && !isOwn(why));
    setAttr(this.problem, "data-state", state);
    if (shown) setText(this.problem.querySelector("p"), visible(why ?? "The service refused."));
    this.problem.hidden = !shown;
    this.problem.querySelector("button").hidden = state === "down";
  }
}

const THEMES = ["auto", "light", "dark"];
const KEY = "desist-console-theme";

function theme(button, app) {
  const root = document.documentElement;
  const now = () => root.dataset.theme ?? "auto";
  const show = () => {
    setText(button.lastElementChild, now());
    setAttr(button, "aria-label", `Theme: ${now()}`);
    setAttr(button, "title", `Theme: ${now()}`);
  };
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(now()) + 1) % THEMES.length];
    if (next === "auto") delete root.dataset.theme;
    else root.dataset.theme = next;
    try {
      if (next === "auto") localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, next);
    } catch {
      // Storage is denied here: it holds until the page is loaded again.
    }
    show();
    app.restyle();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => app.restyle());
  show();
}
