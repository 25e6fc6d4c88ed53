// The tab of those that were asked to stop and have not yet. What it promises: the worst is first,
// and what one needs to judge it stands beside it: since when, by whom, why, whether its process has
// heard, what it last did, and by how much it is overdue.

import { Keyed, byId, el, icon, setAttr, setIcon, setParts, setText, theirs } from "./dom.mjs";
import { overdueBy } from "./model.mjs";
import { count, plural, shortId, visible } from "./text.mjs";
import { age, ago, local, took } from "./time.mjs";
import { askedToStop, howFar, theirs as quoted } from "./words.mjs";

const MOST = 200;

/** The worst first: overdue ones, then by when their grace ends; those that finish a step last. */
export function worstFirst(rows, now) {
  const rank = (row) => {
    const from = row.stop_at ?? row.cancel?.at ?? 0;
    return { row, late: overdueBy(row, now) !== null, drains: row.stop_at == null && row.cancel?.mode === "drain", by: from + (row.grace ?? 0) };
  };
  const order = (a, b) => b.late - a.late || a.drains - b.drains || a.by - b.by || a.row.seq - b.row.seq;
  return rows.map(rank).sort(order).map(({ row }) => row);
}

export class Stopping {
  constructor(app) {
    this.app = app;
    this.panel = byId("stopping");
    this.empty = this.panel.querySelector(".empty");
    this.cards = new Keyed(this.panel.querySelector(".cards"), {
      id: (row) => row.id,
      make: (row) => this.#make(row),
      update: (card, row) => this.#update(card, row),
    });
  }

  render() {
    const { feed } = this.app;
    const all = worstFirst([...feed.model.stopping].map((node) => node.row), feed.now);
    this.cards.show(all.slice(0, MOST));
    this.panel.querySelector(".lead").hidden = all.length === 0;
    const more = all.length > 0 && feed.tick?.stopping_more === true;
    this.empty.hidden = all.length > 0 && all.length <= MOST && !more;
    if (more) setText(this.empty, `And more than ${count(Math.max(0, all.length - MOST))} others.`);
    else if (all.length > MOST) setText(this.empty, `And ${plural(all.length - MOST, "more", "more")}.`);
    else setText(this.empty, feed.ready ? "Nothing is stopping. What is asked to stop stands here until it has." : this.app.loading("what is stopping"));
    this.empty.dataset.loading = String(!feed.ready);
  }

  #make(row) {
    const card = { element: el("li", { class: "card", "data-id": row.id }) };
    card.state = el("span", { class: "state" }, icon("stopping"), el("span"));
    card.open = el("button", { type: "button", class: "name" },
      theirs(row.kind, { class: "kind", most: 60 }), el("span", { class: "id", text: shortId(row.id) }));
    card.open.addEventListener("click", () => this.app.details(row.id));
    card.key = theirs(row.key ?? "", { class: "key", most: 80 });
    card.cancel = el("button", { type: "button", class: "cancel", text: "Cancel" });
    setAttr(card.cancel, "aria-label", `Cancel ${visible(row.kind)} ${shortId(row.id)}`);
    card.cancel.addEventListener("click", () => this.app.cancel(row.id, card.cancel));
    card.since = el("b", { class: "since" });
    card.parts = ["asked", "heard", "last", "late"].map((name) => el("p", { class: name }));
    card.element.append(
      el("div", { class: "card-top" }, card.state, card.open, card.key, el("span", { class: "gap" }), card.since, card.cancel),
      el("div", { class: "card-parts" }, ...card.parts),
    );
    return card;
  }

  #update(card, row) {
    const { now, hello } = this.app.feed;
    const by = overdueBy(row, now);
    setAttr(card.element, "data-overdue", String(by !== null));
    setAttr(card.element, "data-shows", by === null ? "stopping" : "overdue");
    setIcon(card.state.firstChild, by === null ? "stopping" : "overdue");
    setText(card.state.lastChild, by === null ? "stopping" : "overdue");
    const from = row.cancel?.at ?? row.stop_at;
    setText(card.since, by === null ? `for ${age(now - from)}` : `overdue by ${age(by)}`);
    setAttr(card.since, "title", `asked ${local.exact(from)}`);
    [askedToStop(row, now), heard(row, now), last(row, now), late(row, now)].forEach((parts, at) => setParts(card.parts[at], parts));
    card.cancel.hidden = !(hello?.changes && row.may_cancel);
    card.cancel.disabled = !this.app.fresh();
    setAttr(card.cancel, "title", row.cancel?.mode === "cancel" ? "It was asked already: your request is kept beside that one." : null);
  }
}

function where(row) {
  return [row.ran_on ? quoted(row.ran_on) : "its process"];
}

function heard(row, now) {
  const at = row.heard ?? row.stop_at;
  if (at == null) return [...where(row), row.cancel?.mode === "drain" && row.heard ? " has heard" : " has not heard of it yet"];
  if (!row.cancel) return [...where(row), ` heard ${ago(now - at)}`];
  const after = at - row.cancel.at;
  return [...where(row), after < 1 ? " heard at once" : ` heard ${took(after)} later`];
}

function last(row, now) {
  const { progress } = row;
  if (!progress) return ["it has not said how far it is"];
  const far = howFar(progress);
  const percent = far?.percent == null ? "" : ` (${far.percent} %)`;
  const message = progress.message ? [": ", quoted(progress.message)] : [];
  return [`last progress ${ago(now - progress.at)}, ${far?.text ?? ""}${percent}`, ...message];
}

function late(row, now) {
  if (row.stop_at == null) return row.cancel?.mode === "drain" ? ["it may take as long as its step takes"] : ["its grace begins when it is heard"];
  const left = row.stop_at + (row.grace ?? 0) - now;
  return [left > 0 ? `${age(left + 999)} left of ${took(row.grace ?? 0)} of grace` : `it had ${took(row.grace ?? 0)} of grace`];
}
