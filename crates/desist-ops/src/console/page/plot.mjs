// The plot of what stops took. What it promises: each kind has a colour and a shape of its own, so
// that they can be told apart without colours; the same kind keeps its own while the page is open.

import { span } from "./span.mjs";
import { count, cut, visible } from "./text.mjs";
import { local } from "./time.mjs";

const SHAPES = ["circle", "square", "triangle", "diamond", "cross", "ring"];
const SIZE = 4;

/** The path of one shape around a point, on a canvas or for the legend. */
function trace(path, shape, x, y, r) {
  if (shape === "circle" || shape === "ring") {
    path.moveTo(x + r, y);
    path.arc(x, y, r, 0, 2 * Math.PI);
  } else if (shape === "square") {
    path.rect(x - r * 0.9, y - r * 0.9, r * 1.8, r * 1.8);
  } else if (shape === "cross") {
    path.moveTo(x - r, y - r);
    path.lineTo(x + r, y + r);
    path.moveTo(x - r, y + r);
    path.lineTo(x + r, y - r);
  } else {
    const points = shape === "triangle" ? [[0, -1.15], [1.1, 0.85], [-1.1, 0.85]] : [[0, -1.25], [1.25, 0], [0, 1.25], [-1.25, 0]];
    points.forEach(([dx, dy], at) => path[at ? "lineTo" : "moveTo"](x + dx * r, y + dy * r));
    path.closePath();
  }
}

function draw(context, shape, colour, points, r) {
  const path = new Path2D();
  for (const [x, y] of points) trace(path, shape, x, y, r);
  context.fillStyle = colour;
  context.strokeStyle = colour;
  context.lineWidth = r * 0.45;
  if (shape === "cross" || shape === "ring") context.stroke(path);
  else context.fill(path);
}

export class Plot {
  #plot = null;
  #looks = new Map();
  #kinds = "";

  /**
   * @param {HTMLElement} parent
   * @param {(stop: any|null) => void} near called with what is nearest to the pointer
   * @param {(stop: any) => void} chosen called with what was clicked
   */
  constructor(parent, near, chosen) {
    this.parent = parent;
    this.near = near;
    this.stop = null;
    new ResizeObserver(() => this.#plot?.setSize(this.#size())).observe(parent);
    parent.addEventListener("click", () => this.stop && chosen(this.stop));
    parent.addEventListener("pointerleave", () => this.#point(null));
  }

  /** The look of a kind: which shape, which of the colours of the style sheet. */
  look(kind) {
    if (!this.#looks.has(kind)) this.#looks.set(kind, this.#looks.size);
    const at = this.#looks.get(kind);
    return { shape: SHAPES[at % SHAPES.length], colour: (at % 6) + 1 };
  }

  /** The shape of a kind, for the table. */
  swatch(canvas, kind) {
    const { shape, colour } = this.look(kind);
    const scale = devicePixelRatio || 1;
    canvas.width = canvas.height = 14 * scale;
    draw(canvas.getContext("2d"), shape, this.#colour(`--kind-${colour}`), [[7 * scale, 7 * scale]], SIZE * 1.2 * scale);
  }

  /** A colour of the style sheet, for the canvas: that knows no variables, and neither light nor dark. */
  #colour(name) {
    this.parent.style.setProperty("color", `var(${name})`);
    const { color } = getComputedStyle(this.parent);
    this.parent.style.removeProperty("color");
    return color;
  }

  #size() {
    return { width: Math.max(200, this.parent.clientWidth), height: Math.max(160, this.parent.clientHeight) };
  }

  /** Other colours: all is drawn anew. */
  restyle() {
    this.#kinds = "";
  }

  /**
   * @param {any[]} stops one at least
   * @param {number} now by the server's clock
   */
  show(stops, now) {
    const kinds = [...new Set(stops.map((stop) => stop.kind))].sort();
    const key = JSON.stringify(kinds);
    this.stops = [...stops].sort((a, b) => a.asked - b.asked);
    const xs = this.stops.map((stop) => stop.asked / 1000);
    // A logarithm has no zero: what took less than half a millisecond is drawn as that.
    const took = (stop) => Math.max(0.5, stop.stopped - stop.asked);
    const data = [xs, ...kinds.map((kind) => this.stops.map((stop) => (stop.kind === kind ? took(stop) : null)))];
    if (!this.#plot || key !== this.#kinds) {
      this.#kinds = key;
      this.#plot?.destroy();
      this.#plot = new globalThis.uPlot(this.#options(kinds), null, this.parent);
    }
    this.#plot.setData(data, false);
    // Of one point uPlot would make an axis of its own, without asking.
    const [min, max] = span(xs[0], xs.at(-1), now / 1000);
    this.#plot.setScale("x", { min, max });
  }

  #options(kinds) {
    const line = { stroke: this.#colour("--line-colour"), width: 1 };
    const font = `12px ${getComputedStyle(this.parent).fontFamily}`;
    const axis = { stroke: this.#colour("--quiet"), font, grid: line, ticks: line };
    const decade = (ms) => (isDecade(ms) ? ms : null);
    return {
      ...this.#size(),
      legend: { show: false },
      cursor: { y: false, x: false, drag: { x: false, y: false }, points: { show: false } },
      scales: {
        x: { time: true, range: (u, low, high) => [low ?? 0, high ?? 1] },
        y: { distr: 3, range: (u, low, high) => decades(low, high) },
      },
      axes: [
        { ...axis, space: 90, values: (u, splits) => moments(splits) },
        { ...axis, size: 64, filter: (u, splits) => splits.map(decade), values: (u, splits) => splits.map(label) },
      ],
      series: [{}, ...kinds.map((kind) => this.#series(kind))],
      hooks: { setCursor: [(u) => this.#look(u)], drawSeries: [(u, at) => this.#draw(u, at, kinds[at - 1])] },
    };
  }

  #series(kind) {
    return {
      label: cut(visible(kind), 40),
      paths: () => null,
      points: { show: false },
    };
  }

  #draw(u, at, kind) {
    if (kind === undefined) return;
    const { shape, colour } = this.look(kind);
    const points = [];
    u.data[at].forEach((value, i) => {
      if (value !== null) points.push([u.valToPos(u.data[0][i], "x", true), u.valToPos(value, "y", true)]);
    });
    draw(u.ctx, shape, this.#colour(`--kind-${colour}`), points, SIZE * (devicePixelRatio || 1));
  }

  /** What is nearest to the pointer, within a finger's width. */
  #look(u) {
    const { left, top } = u.cursor;
    let best = null;
    let least = 24 * 24;
    this.stops.forEach((stop, at) => {
      const x = u.valToPos(u.data[0][at], "x") - left;
      if (x * x >= least) return;
      const y = u.valToPos(Math.max(0.5, stop.stopped - stop.asked), "y") - top;
      if (x * x + y * y < least) [best, least] = [stop, x * x + y * y];
    });
    this.#point(left < 0 ? null : best);
  }

  #point(stop) {
    this.stop = stop;
    this.near(stop);
  }
}

function decades(low, high) {
  if (low === null || high === null) return [1, 1000];
  return [10 ** Math.floor(Math.log10(low)), 10 ** Math.max(Math.floor(Math.log10(low)) + 1, Math.ceil(Math.log10(high)))];
}

function label(ms) {
  if (ms === null) return "";
  return ms < 1000 ? `${ms} ms` : `${count(ms / 1000)} s`;
}

/** Times of day, and the day where it is another one than that of the label before. */
function moments(splits) {
  const day = (seconds) => new Date(seconds * 1000).toDateString();
  const clock = splits[1] - splits[0] < 60 ? local.clock : local.minute;
  return splits.map((seconds, at) => {
    const other = at === 0 ? day(seconds) !== new Date().toDateString() : day(seconds) !== day(splits[at - 1]);
    return other ? `${clock(seconds * 1000)}\n${local.day(seconds * 1000)}` : clock(seconds * 1000);
  });
}

function isDecade(ms) {
  const power = Math.log10(ms);
  return Math.abs(power - Math.round(power)) < 1e-6;
}
