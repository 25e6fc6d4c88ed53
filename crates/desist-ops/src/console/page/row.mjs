// One row of the tree. What it promises: it is made once and then only what changed in it is
// written; each state has a shape and a word of its own.

import { el, icon, setAttr, setIcon, setParts, setText, setTheirs, theirs } from "./dom.mjs";
import { isLive } from "./model.mjs";
import { count, shortId, visible } from "./text.mjs";
import { age, local } from "./time.mjs";
import { isCancellable } from "./tree.mjs";
import { howFar, lasts, note, plain, shownState } from "./words.mjs";

const DEEPEST = 10;
const TAGS = 3;

/** @param {import("./tree.mjs").Line} line */
export function makeRow(line) {
  const row = {
    element: el("div", { role: "row", class: "line", "data-id": line.node.id, tabindex: "-1" }),
    // What it shows now: the same again costs nothing.
    line: null, row: null, second: NaN, mode: "",
  };
  row.state = el("span", { role: "gridcell", class: "c-state state" }, icon("running"), el("span"));
  row.twist = el("span", { class: "twist", "aria-hidden": "true" }, icon("twist"));
  row.depth = el("span", { class: "depth", "aria-hidden": "true" });
  row.kind = el("bdi", { class: "kind" });
  row.key = el("bdi", { class: "key" });
  row.tags = el("span", { class: "tags" });
  row.short = el("span", { class: "id", text: shortId(line.node.id) });
  row.name = el("span", { role: "gridcell", class: "c-name" }, row.twist, row.depth, row.kind, row.key, row.short, row.tags);
  row.fill = el("span", { class: "fill" });
  row.track = el("span", { class: "track", "aria-valuemin": "0", "aria-valuemax": "100", "aria-label": "done" }, row.fill);
  row.percent = el("span", { class: "percent" });
  row.progress = el("span", { role: "gridcell", class: "c-progress" }, row.track, row.percent);
  row.note = el("span", { role: "gridcell", class: "c-note" });
  row.age = el("span", { role: "gridcell", class: "c-age" });
  row.actor = el("span", { role: "gridcell", class: "c-actor" }, el("bdi"));
  row.where = el("span", { role: "gridcell", class: "c-where" }, el("bdi"), el("span", { class: "attempt" }));
  row.button = el("button", { type: "button", class: "cancel", tabindex: "-1", text: "Cancel" });
  row.act = el("span", { role: "gridcell", class: "c-act" }, row.button);
  row.element.append(row.state, row.name, row.progress, row.note, row.age, row.actor, row.where, row.act);
  return row;
}

/**
 * @param {ReturnType<typeof makeRow>} shown
 * @param {import("./tree.mjs").Line} line
 * @param {{now: number, changes: boolean, fresh: boolean, opened: string|null}} how
 */
export function updateRow(shown, line, { now, changes, fresh, opened }) {
  const { node } = line;
  const second = Math.floor(now / 1000);
  const mode = `${changes} ${fresh} ${node.fading} ${node.id === opened}`;
  if (shown.line !== line) place(shown, line);
  if (shown.row === node.row && shown.second === second && shown.mode === mode) return;
  if (shown.row !== node.row) names(shown, node.row);
  Object.assign(shown, { line, row: node.row, second, mode });

  const { row } = node;
  const state = shownState(row, now);
  setAttr(shown.element, "data-state", row.state);
  setAttr(shown.element, "data-shows", state);
  setAttr(shown.element, "data-fading", node.fading);
  setAttr(shown.element, "aria-current", node.id === opened ? "true" : null);
  setIcon(shown.state.firstChild, state);
  setText(shown.state.lastChild, state);
  const parts = note(row, now);
  setParts(shown.note, parts);
  setAttr(shown.note, "title", visible(plain(parts)) || null);
  setText(shown.age, age(lasts(row, now)));
  setAttr(shown.button, "hidden", !(changes && isCancellable(row, node)));
  shown.button.disabled = !fresh;
  setAttr(shown.button, "title", fresh ? null : "What is shown is not fresh: nothing can be changed now.");
}

function place(shown, line) {
  shown.line = line;
  const { element } = shown;
  setAttr(element, "aria-level", line.level);
  setAttr(element, "aria-posinset", line.place);
  setAttr(element, "aria-setsize", line.siblings);
  setAttr(element, "aria-expanded", line.open === null ? null : String(line.open));
  setAttr(element, "data-context", line.context);
  element.style.setProperty("--level", Math.min(line.level, DEEPEST) - 1);
  // Further in there is no room: from there on a number says how deep it is.
  setText(shown.depth, line.level >= DEEPEST ? count(line.level) : "");
  setAttr(shown.depth, "title", line.level >= DEEPEST ? `level ${count(line.level)}` : null);
}

/** What seldom changes. */
function names(shown, row) {
  setTheirs(shown.kind, row.kind, 60);
  setTheirs(shown.key, row.key ?? "", 80);
  tagsOf(shown.tags, row.tags ?? []);
  setTheirs(shown.actor.firstChild, row.actor ?? "", 60);
  setTheirs(shown.where.firstChild, row.ran_on ?? "", 60);
  setText(shown.where.lastChild, row.attempt > 1 ? `attempt ${count(row.attempt)}${row.attempts ? ` of ${count(row.attempts)}` : ""}` : "");
  setAttr(shown.age, "title", since(row));
  setAttr(shown.button, "aria-label", `Cancel ${visible(row.kind)} ${shortId(row.id)}`);

  // How far it was is no news of one that has ended.
  const far = isLive(row) ? howFar(row.progress) : null;
  const percent = far?.percent ?? null;
  setAttr(shown.track, "role", percent === null ? null : "progressbar");
  setAttr(shown.track, "aria-valuenow", percent);
  setAttr(shown.track, "aria-valuetext", percent === null ? null : far.text);
  setAttr(shown.track, "hidden", percent === null);
  setText(shown.percent, percent === null ? (far?.text ?? "") : `${percent} %`);
  setAttr(shown.progress, "title", far ? far.text : null);
  if (percent !== null) shown.fill.style.setProperty("--done", percent / 100);
}

function since(row) {
  const from = row.started ?? row.created;
  return `${row.started == null ? "created" : "started"} ${local.exact(from)}`;
}

function tagsOf(element, tags) {
  const key = tags.join("\n");
  if (element.tagsKey === key) return;
  element.tagsKey = key;
  const shown = tags.slice(0, TAGS).map((tag) => theirs(tag, { most: 40, class: "tag" }));
  if (tags.length > TAGS) shown.push(el("span", { class: "tag", title: visible(tags.slice(TAGS).join(", ")), text: `+${tags.length - TAGS}` }));
  element.replaceChildren(...shown);
}
