"""The plots of docs/performance.md, as SVG without a script; benches/document calls it."""

import math

WIDTH, HEIGHT = 760, 430
LEFT, RIGHT, TOP, BOTTOM = 78, 20, 84, 54
OURS, THEIRS, MACHINE = "desist", "tokio-util", "(a flag of its own)"
# Told apart by those who see no red, too.
COLOURS = {OURS: "#0b5cad", THEIRS: "#c8500a", MACHINE: "#8a8a8a"}
INK, GRID = "#222222", "#dddddd"
# A check is not told from nothing below this.
LEAST_NS = 0.1


def readable(ns):
    """A time as people say it."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns:.3g} ns"


def short(n):
    for unit, size in (("M", 10**6), ("k", 10**3)):
        if n >= size:
            return f"{n // size}{unit}"
    return str(n)


def step_for(most, steps=6):
    """A round distance between marks, so that some `steps` reach `most`."""
    power = 10 ** math.floor(math.log10(most / steps))
    return next(power * by for by in (1, 2, 5, 10) if power * by * steps >= most)


class Plot:
    """A frame with its axes; what is drawn in it is given in the units of the axes."""

    def __init__(self, title, x_label, y_label, x_of, y_of):
        self.x_of = lambda value: LEFT + x_of(value) * (WIDTH - LEFT - RIGHT)
        self.y_of = lambda value: HEIGHT - BOTTOM - y_of(value) * (HEIGHT - TOP - BOTTOM)
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
            f'height="{HEIGHT}" role="img" font-family="Helvetica, Arial, sans-serif" font-size="13" fill="{INK}">',
            f"<title>{title}</title>",
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        ]
        self.text(LEFT, 24, title, "start", ' font-size="15" font-weight="bold"')
        self.text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, x_label)
        middle = (TOP + HEIGHT - BOTTOM) / 2
        self.text(20, middle, y_label, "middle", f' transform="rotate(-90 20 {middle:.1f})"')

    def text(self, x, y, words, anchor="middle", more=""):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{words}</text>')

    def segment(self, x1, y1, x2, y2, colour, width=1.0, dashes=""):
        dashes = f' stroke-dasharray="{dashes}"' if dashes else ""
        self.parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
            f'stroke-width="{width}"{dashes}/>'
        )

    def mark_x(self, value, words):
        x = self.x_of(value)
        self.segment(x, TOP, x, HEIGHT - BOTTOM, GRID)
        self.text(x, HEIGHT - BOTTOM + 18, words)

    def mark_y(self, value, words):
        y = self.y_of(value)
        self.segment(LEFT, y, WIDTH - RIGHT, y, GRID)
        self.text(LEFT - 8, y + 4, words, "end")

    def note(self, value, words, colour, anchor):
        """A time on the x axis that means something."""
        x = self.x_of(value)
        self.segment(x, TOP, x, HEIGHT - BOTTOM, colour, 1, "2 3")
        self.text(x + (5 if anchor == "start" else -5), HEIGHT - BOTTOM - 8, words, anchor, f' font-size="11" fill="{colour}"')

    def legend(self, place, line, words, colour, width, dashes=""):
        x, y = LEFT + place, 42 + 18 * line
        self.segment(x, y, x + 28, y, colour, width, dashes)
        self.text(x + 34, y + 4, words, "start")

    def line(self, points, colour, width, dashes="", dots=False):
        """Broken where a value is None."""
        runs = [[]]
        for x, y in points:
            if y is None:
                runs.append([])
            else:
                runs[-1].append((self.x_of(x), self.y_of(y)))
        dashes = f' stroke-dasharray="{dashes}"' if dashes else ""
        for run in filter(None, runs):
            where = " ".join(f"{x:.1f},{y:.1f}" for x, y in run)
            self.parts.append(
                f'<polyline points="{where}" fill="none" stroke="{colour}" stroke-width="{width}" '
                f'stroke-linejoin="round" stroke-linecap="round"{dashes}/>'
            )
            if dots:
                self.parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in run]

    def svg(self):
        self.segment(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, INK)
        self.segment(LEFT, TOP, LEFT, HEIGHT - BOTTOM, INK)
        return "\n".join([*self.parts, "</svg>"]) + "\n"


def check_during_cancel(measured):
    peers = [peer for peer in (MACHINE, THEIRS, OURS) if measured.of("check-during-cancel", peer)]
    courses = {peer: measured.of("check-during-cancel", peer) for peer in peers}
    cancels = {peer: float(measured.of("cancel", peer)[0]["ns"]) / 1e3 for peer in peers}
    children = int(courses[OURS][0]["n"])
    times = [float(point["at_us"]) for course in courses.values() for point in course]
    unit, size = ("ms", 1e3) if max(times) > 2e3 else ("µs", 1)
    first, last = min(times), max(times)
    longest = max(float(point["longest_ns"]) for course in courses.values() for point in course)
    decades = math.ceil(math.log10(longest / LEAST_NS))
    plot = Plot(
        f"A check of a parent while its {short(children)} children are cancelled",
        f"{unit} from the beginning of the cancel",
        "nanoseconds for a check, logarithmic",
        lambda value: (value - first) / (last - first),
        lambda value: math.log10(max(value, LEAST_NS) / LEAST_NS) / decades,
    )
    step = step_for((last - first) / size) * size
    for mark in range(math.ceil(first / step), math.floor(last / step) + 1):
        plot.mark_x(mark * step, f"{mark * step / size:g}")
    for decade in range(decades + 1):
        plot.mark_y(LEAST_NS * 10**decade, readable(LEAST_NS * 10**decade))
    for peer in (OURS, THEIRS):
        # Towards the middle, so that it is on the paper.
        anchor = "start" if cancels[peer] - first < (last - first) / 2 else "end"
        plot.note(cancels[peer], f"cancel of {peer} ends", COLOURS[peer], anchor)
    for peer in peers:
        points = [(float(point["at_us"]), point) for point in courses[peer]]
        plot.line([(at, float(point["longest_ns"])) for at, point in points], COLOURS[peer], 2)
        if peer != MACHINE:
            median = [(at, None if point["ns"] == "-" else float(point["ns"])) for at, point in points]
            plot.line(median, COLOURS[peer], 2.4, "1 4")
    for column, peer in enumerate((OURS, THEIRS)):
        plot.legend(215 * column, 0, f"{peer}, the longest", COLOURS[peer], 2)
        plot.legend(215 * column, 1, f"{peer}, the median", COLOURS[peer], 2.4, "1 4")
    if MACHINE in peers:
        plot.legend(430, 0, "a flag nobody writes,", COLOURS[MACHINE], 2)
        plot.text(LEFT + 464, 64, "the longest: the machine", "start")
    return plot.svg()


def cost_per_child(measured):
    lines = [("child-cancel", "cancelled with its parent", "", 2.2), ("child-beside", "made and dropped", "6 5", 1.6)]
    of = {
        (series, peer): [(int(point["n"]), float(point["ns"])) for point in measured.of(series, peer)]
        for series, *_ in lines for peer in (THEIRS, OURS)
    }
    counts = sorted({n for points in of.values() for n, _ in points})
    most = max(ns for points in of.values() for _, ns in points)
    step = step_for(most)
    top = math.ceil(most / step) * step
    decades = math.log10(counts[-1])
    plot = Plot(
        "The cost of one child, by how many there are",
        "children of one parent, logarithmic",
        "nanoseconds for each child",
        lambda value: math.log10(value) / decades,
        lambda value: value / top,
    )
    for n in counts:
        plot.mark_x(n, short(n))
    for mark in range(round(top / step) + 1):
        plot.mark_y(mark * step, f"{mark * step:g}")
    for row, (series, words, dashes, width) in enumerate(lines):
        for column, peer in enumerate((OURS, THEIRS)):
            plot.line(of[series, peer], COLOURS[peer], width, dashes, dots=True)
            plot.legend(270 * column, row, f"{peer}, {words}", COLOURS[peer], width, dashes)
    return plot.svg()


PLOTS = {"check-during-cancel.svg": check_during_cancel, "cost-per-child.svg": cost_per_child}
