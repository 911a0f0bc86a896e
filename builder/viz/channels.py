"""Picture of the six channels over time, with every event where it happened and its direction and amount in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from builder.types import Bools, Event, Floats, Motion
from builder.viz import ink
from builder.viz.path import quarter_cuts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Panel(NamedTuple):
    """How one channel is shown: what plus and minus mean, its unit, the least range of its axis, what makes it undefined."""

    name: str
    signs: str
    unit: str
    least: float
    scale: str  # panels of one scale share their limits, so that they can be compared by eye
    defined: str | None = None


PANELS: dict[str, Panel] = {
    "displacement_x": Panel("sideways", "+ left   \N{MINUS SIGN} right", "m", 1.0, "floor"),
    "displacement_z": Panel("ahead", "+ forward   \N{MINUS SIGN} back", "m", 1.0, "floor"),
    "displacement_y": Panel("height", "+ up   \N{MINUS SIGN} down", "m", 0.5, "height"),
    "rotation_yaw": Panel("facing", "+ left   \N{MINUS SIGN} right", "°", 90.0, "facing", "heading_ok"),
    "rotation_pitch": Panel("lean", "+ forward   \N{MINUS SIGN} back", "°", 50.0, "lean", "lean_ok"),
    "rotation_roll": Panel("side lean", "+ left   \N{MINUS SIGN} right", "°", 50.0, "lean", "lean_ok"),
}
STRIP = ("walk", "run", "jump", "crouch", "stand_up", "turn_around", "still", "radial")  # its rows, from the top
ROW_NAMES = {"radial": "from start"}
UNITS = {code: panel.unit for code, panel in PANELS.items()} | {"turn_around": "°"}  # any other amount is in metres
STEPS = {  # between the marks of an axis, at most four of which are shown
    "m": [b * 10.0**k for k in range(-2, 6) for b in (1, 2, 5)],
    "°": [10.0, 20.0, 45.0, 90.0, 180.0, 360.0, *(720.0 * 2**k for k in range(20))],
}
VERBS = {"rotation_yaw": "turn ", "rotation_pitch": "lean ", "rotation_roll": "lean "}

WIDE_IN, LEFT_IN, RIGHT_IN = 7.4, 1.44, 0.12
TOP_IN, ROW_IN, PANEL_IN, LANE_IN, GAP_IN, FOOT_IN = 0.36, 0.2, 0.62, 0.155, 0.17, 0.62
LABEL_PT = 7.5
LABEL_GAP_PT = 6.0
CLEAR_LANES = 4


def amount_label(event: Event, fps: float) -> str:
    """How far, how much or how long, such as "1.2 m", "90°", "1.4 s"."""
    size = abs(event.amount)
    if event.code == "still":
        return f"{(event.end_frame - event.start_frame) / fps:.1f} s"
    return f"{size:.0f}°" if UNITS.get(event.code, "m") == "°" else f"{size:.{2 if size < 1 else 1}f} m"


def event_label(event: Event, fps: float) -> str:
    """Direction and amount in words, such as "left 1.2 m", "turn left 90°", "still 1.4 s"."""
    words, verb = event.direction.replace("_", " "), VERBS.get(event.code, "")
    return f"{'' if words.startswith(verb) else verb}{words} {amount_label(event, fps)}"


def row_label(event: Event, fps: float) -> str:
    """The label in a row that carries the event's name already: the amount, and the direction where that is another word."""
    if event.code == "turn_around":
        return f"{'left' if event.amount >= 0 else 'right'} {amount_label(event, fps)}"
    return amount_label(event, fps) if event.direction == event.code else event_label(event, fps)


def lanes(labels: Sequence[tuple[float, float]], clear: int = 0) -> list[int]:
    """The lane of each label (left edge, width), counted from the plot upwards, so that none covers another.

    A label starts at its pole.  Lanes are given out from the right, each above all that stand in its way, so that no pole runs
    through a label; where that would take more than `clear` lanes, a label takes the lowest free one and poles pass behind it.
    """
    placed: list[tuple[int, float]] = []
    out: dict[int, int] = {}
    for i in sorted(range(len(labels)), key=lambda k: -labels[k][0]):
        left, width = labels[i]
        in_the_way = {lane for lane, start in placed if start < left + width + LABEL_GAP_PT}
        above = max(in_the_way, default=-1) + 1
        out[i] = above if above < clear else min(set(range(above + 1)) - in_the_way)
        placed.append((out[i], left))
    return [out[i] for i in range(len(labels))]


class Layout(NamedTuple):
    """Where things are: seconds of the clip, inches of the plot, lane of each event by code, codes of the strip from the top."""

    seconds: float
    plot_in: float
    events: dict[str, list[Event]]
    lanes: dict[str, list[int]]
    rows: list[str]

    def deep(self, code: str) -> int:
        """The number of lanes of one code."""
        return max(self.lanes.get(code, ()), default=-1) + 1


def lay_out(motion: Motion) -> Layout:
    """The layout in which every label fits: the plot is only as wide as leaves room for the last labels."""
    seconds = (motion.num_frames - 1) / motion.fps
    room = (WIDE_IN - LEFT_IN - RIGHT_IN) * 72
    events: dict[str, list[Event]] = {}
    for event in motion.events:
        events.setdefault(event.code, []).append(event)
    found: dict[str, list[tuple[float, float]]] = {}  # share of the clip at which a label starts, its width in points
    for code, of_code in events.items():
        label = event_label if code in PANELS else row_label
        found[code] = [(e.start_frame / motion.fps / seconds, ink.text_width(label(e, motion.fps), LABEL_PT) + 5) for e in of_code]
    plot = min([room, *((room - width) / at for labels in found.values() for at, width in labels if at > 0)])
    for code in set(found) - set(PANELS):  # a row's bars keep clear of each other too
        bars = [(e.end_frame - e.start_frame) / motion.fps / seconds * plot for e in events[code]]
        found[code] = [(at, max(width, bar)) for (at, width), bar in zip(found[code], bars, strict=True)]
    rows = sorted(set(events) - set(PANELS), key=lambda c: (STRIP.index(c) if c in STRIP else len(STRIP), c))
    placed = {
        code: lanes([(at * plot, width) for at, width in labels], CLEAR_LANES if code in PANELS else 0) for code, labels in found.items()
    }
    return Layout(seconds, plot / 72, events, placed, rows)


def channels_figure(motion: Motion) -> str:
    """Inline SVG of the six channels in metres and degrees over seconds, with quarters, events and undefined stretches."""
    from matplotlib.figure import Figure

    with ink.style():
        layout = lay_out(motion)
        strip_in = max(0.05, ROW_IN * sum(layout.deep(code) for code in layout.rows))
        panels_in = sum(GAP_IN + PANEL_IN + LANE_IN * layout.deep(code) for code in PANELS)
        fig = Figure(figsize=(WIDE_IN, TOP_IN + strip_in + panels_in + FOOT_IN))
        low = panels_in + FOOT_IN
        _strip(_axes(fig, low, strip_in, layout), motion, layout, strip_in)
        limits = shared_limits(motion)
        for code, panel in PANELS.items():
            low -= GAP_IN + PANEL_IN + LANE_IN * layout.deep(code)
            ax = _axes(fig, low, PANEL_IN, layout)
            _quarters(ax, motion)
            _panel(ax, motion, code, panel, limits[panel.scale])
            _events(ax, motion, code, layout)
        _time(ax)
        _footnote(fig, motion)
        return ink.svg(fig, _description(motion))


def shared_limits(motion: Motion) -> dict[str, tuple[float, float]]:
    """(low, high) of the axis of each scale: all values of its panels, and never so narrow that swaying looks like moving."""
    out: dict[str, tuple[float, float]] = {}
    for scale in dict.fromkeys(p.scale for p in PANELS.values()):
        codes = [c for c, p in PANELS.items() if p.scale == scale and c in motion.signals]
        values = np.concatenate([np.asarray(motion.signals[c], dtype=float) for c in codes] or [np.zeros(1)])
        values = values[np.isfinite(values)]
        low, high = min(0.0, float(values.min(initial=0.0))), max(0.0, float(values.max(initial=0.0)))
        lack = max(0.0, max(p.least for p in PANELS.values() if p.scale == scale) - (high - low))
        spare = 0.06 * (high - low + lack)
        out[scale] = (low - lack / 2 - spare, high + lack / 2 + spare)
    return out


def _axes(fig: Figure, low_in: float, height_in: float, layout: Layout) -> Axes:
    wide, high = fig.get_size_inches()
    ax = fig.add_axes((LEFT_IN / wide, low_in / high, layout.plot_in / wide, height_in / high))
    ax.set_xlim(0, layout.seconds)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, labelsize=7, labelcolor=ink.light("soft"), labelbottom=False)
    return ax


def _quarters(ax: Axes, motion: Motion) -> None:
    for cut in quarter_cuts(motion.num_frames)[1:4]:
        ax.axvline(cut / motion.fps, color=ink.light("edge"), linewidth=0.7, linestyle=(0, (2, 2)), zorder=1)


def _strip(ax: Axes, motion: Motion, layout: Layout, strip_in: float) -> None:
    """The quarters' names, and under them the named movements, a row each (or more where their labels are crowded)."""
    _quarters(ax, motion)
    points = layout.plot_in * 72 / layout.seconds
    total = strip_in / ROW_IN
    ax.set_ylim(total, 0)
    ax.set_yticks([])
    cuts = [cut / motion.fps for cut in quarter_cuts(motion.num_frames)]
    for k, (name, a, b) in enumerate(zip(ink.QUARTERS, cuts, cuts[1:], strict=False)):
        ends = [a + 1.5 / points, b - 1.5 / points]
        ax.plot(ends, [-0.35] * 2, color=ink.light(name), linewidth=2.6, solid_capstyle="butt", clip_on=False)
        _note(ax, f"quarter {k + 1}", ((a + b) / 2, -0.35), (0, 4), ha="center", va="bottom", color=ink.light("soft"))
    top = 0
    for code in layout.rows:
        _note(ax, ROW_NAMES.get(code, code.replace("_", " ")), (0, top + 0.5), (-8, 0), ha="right", va="center", color=ink.light("ink"))
        for event, lane in zip(layout.events[code], layout.lanes[code], strict=True):
            a, b = event.start_frame / motion.fps, min(event.end_frame / motion.fps, layout.seconds)
            row = top + lane
            ax.barh(row + 0.5, b - a, left=a, height=0.7, color=ink.light("named"), alpha=0.25, linewidth=0, zorder=2)
            ax.plot([a, a], [row + 0.15, row + 0.85], color=ink.light("named"), linewidth=1.4, solid_capstyle="butt", zorder=3)
            _note(ax, row_label(event, motion.fps), (a, row + 0.5), (4, 0), va="center", color=ink.light("ink"))
        top += layout.deep(code)


def _note(ax: Axes, text: str, at: tuple[float, float], offset_pt: tuple[float, float], **look: Any) -> None:
    """Text at a place of the plot, moved by an offset in points, inside the plot or outside."""
    ax.annotate(text, at, xytext=offset_pt, textcoords="offset points", annotation_clip=False, **({"size": LABEL_PT} | look))


def _panel(ax: Axes, motion: Motion, code: str, panel: Panel, limits: tuple[float, float]) -> None:
    """One channel: its name, its scale, its line, and the stretches where it is undefined."""
    from matplotlib.ticker import FuncFormatter, MultipleLocator

    degrees = panel.unit == "°"
    ax.set_ylim(limits)
    ax.yaxis.set_major_locator(MultipleLocator(next(s for s in STEPS[panel.unit] if (limits[1] - limits[0]) / s < 3.6)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v + 0.0:g}{panel.unit if degrees else ''}".replace("-", "\N{MINUS SIGN}")))
    ax.grid(True, axis="y", color=ink.light("line"), linewidth=0.6)
    ax.set_axisbelow(True)
    ax.axhline(0, color=ink.light("edge"), linewidth=0.7, zorder=1.2)
    for y, text, size, colour in (
        (1.0, panel.name + ("" if degrees else " (m)"), 8.0, "ink"),
        (0.7, panel.signs, 6.8, "soft"),
        (0.45, code, 5.8, "soft"),
    ):
        prop = ink.font(size, bold=colour == "ink")
        look = {"xycoords": "axes fraction", "va": "top", "color": ink.light(colour), "size": None, "fontproperties": prop}
        _note(ax, text, (0, y), (-LEFT_IN * 72 + 4, 0), **look)
    if code not in motion.signals:
        _note(ax, "not given", (0.5, 0.5), (0, 0), xycoords="axes fraction", ha="center", va="center", color=ink.light("soft"))
        return
    values = np.asarray(motion.signals[code], dtype=float)
    times = np.arange(len(values)) / motion.fps
    defined = np.asarray(getattr(motion, panel.defined), dtype=bool) if panel.defined else np.ones(len(values), dtype=bool)
    for a, b in runs(~defined):
        until = times[min(b, len(times) - 1)]
        ax.axvspan(times[a], until, facecolor="none", edgecolor=ink.light("edge"), hatch="////", linewidth=0, zorder=1.1)
    _line(ax, times, np.where(defined, values, np.nan), "named", 1.1)
    _line(ax, times, np.where(defined, np.nan, values), "edge", 1.1, dash=(0, (1, 1.5)))


def _events(ax: Axes, motion: Motion, code: str, layout: Layout) -> None:
    """Each event of a channel in the colour of its sign, its label above the plot on a thin pole at its start."""
    plot = PANEL_IN * 72
    for event, lane in zip(layout.events.get(code, ()), layout.lanes.get(code, ()), strict=True):
        colour = "plus" if event.amount >= 0 else "minus"
        a, b = event.start_frame / motion.fps, min(event.end_frame / motion.fps, layout.seconds)
        ax.axvspan(a, b, color=ink.light(colour), alpha=0.14, linewidth=0, zorder=1.3)
        if code in motion.signals:
            part = slice(event.start_frame, event.end_frame)
            values = np.asarray(motion.signals[code], dtype=float)[part]
            _line(ax, np.arange(motion.num_frames)[part] / motion.fps, values, colour, 2.2)
        base = plot + lane * LANE_IN * 72
        pole = [a, a], [0, (base + 8.5) / plot]
        ax.plot(*pole, transform=ax.get_xaxis_transform(), color=ink.light(colour), linewidth=0.8, clip_on=False, zorder=2)
        behind = {"boxstyle": "square,pad=0.1", "facecolor": ink.light("paper"), "edgecolor": "none"}
        look = {"xycoords": ax.get_xaxis_transform(), "color": ink.light(colour), "bbox": behind}
        _note(ax, event_label(event, motion.fps), (a, 1), (2.5, base - plot + 2.2), **look)


def _line(ax: Axes, times: Floats, values: Floats, colour: str, width: float, dash: Any = "-") -> None:
    if np.isfinite(values).any():
        ax.plot(times, values, color=ink.light(colour), linewidth=width, linestyle=dash, zorder=3, solid_capstyle="round")


def runs(mask: Bools) -> list[tuple[int, int]]:
    """Half-open runs of True in (N,) `mask`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _time(ax: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 5, 10]))
    ax.tick_params(labelbottom=True, pad=4)
    ax.set_xlabel("time (s)", color=ink.light("soft"), size=7.5, labelpad=3)


def _footnote(fig: Figure, motion: Motion) -> None:
    undefined = [text for name, text in (("heading_ok", "facing"), ("lean_ok", "leaning")) if not bool(np.all(getattr(motion, name)))]
    notes = ["shaded: the part that is visible", "amounts: from turning point to turning point"]
    if undefined:
        notes.append(f"hatched: {' and '.join(undefined)} undefined")
    wide, high = fig.get_size_inches()
    fig.text(4 / 72 / wide, 0.06 / high, "   ·   ".join(notes), color=ink.light("soft"), size=6.8, va="bottom")


def _description(motion: Motion) -> str:
    words = "; ".join(f"{event_label(e, motion.fps)} at {e.start_frame / motion.fps:.1f} s" for e in motion.events)
    seconds = (motion.num_frames - 1) / motion.fps
    return f"Channels over {seconds:.1f} s of {motion.clip_id}, person {motion.person_id}: {words or 'no events'}."
