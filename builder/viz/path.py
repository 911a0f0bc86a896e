"""Bird's-eye picture of where a person went, drawn as they stood at the start: ahead is up, their left is left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from builder.types import Floats, Motion
from builder.viz import ink

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIDE_IN = 3.7
LEAST_WINDOW_M = 1.6
MARGIN = 0.14
QUARTER_PT = (5.2, 4.3, 3.4, 2.5)  # line widths: who walks back over the same floor does not hide where they went before
GRID_M = ((30.0, 1.0), (120.0, 5.0), (np.inf, 25.0))  # (window up to, metres between grid lines)
LABELLED_M = ((2.2, 0.5), (6.5, 1.0), (13.0, 2.0), (30.0, 5.0), (60.0, 10.0), (150.0, 25.0), (np.inf, 100.0))
ARROWS_S = ((12.0, 0.5), (np.inf, 1.0))  # (clip up to, seconds between arrows)
ARROW = 0.056  # its length as a share of the window
ARROW_SHAPE = np.array([[0.0, -0.23], [1.0, 0.0], [0.0, 0.23], [0.2, 0.0]])


def drawn(path_m: Floats) -> Floats:
    """(N, 2) floor points (left, forward) in metres -> (N, 2) picture points (right, up): left is drawn left."""
    return np.column_stack([-path_m[:, 0], path_m[:, 1]])


def drawn_direction(heading_deg: float) -> Floats:
    """Unit vector (2,) in the picture of a heading: 0 points up, 90 (turned left) points left."""
    radians = np.deg2rad(heading_deg)
    return np.array([-np.sin(radians), np.cos(radians)])


def quarter_cuts(num_frames: int) -> list[float]:
    """The five sample positions, first and last included, that cut the clip into its quarters."""
    return [(num_frames - 1) * k / 4 for k in range(5)]


def window(points: Floats) -> tuple[float, float, float]:
    """(left edge, lower edge, side) in metres of the square that is shown: all points and a margin, never less than a step."""
    low, high = points.min(axis=0), points.max(axis=0)
    side = max(LEAST_WINDOW_M, float((high - low).max()) * (1 + 2 * MARGIN))
    left, lower = (low + high) / 2 - side / 2
    return float(left), float(lower), side


def arrow_frames(num_frames: int, fps: float) -> tuple[list[int], float]:
    """Samples at which a heading arrow is drawn, and the seconds between them."""
    step = _upto(ARROWS_S, (num_frames - 1) / fps)
    return [min(num_frames - 1, round(k * step * fps)) for k in range(int((num_frames - 1) / fps / step + 1e-6) + 1)], step


def path_figure(motion: Motion) -> str:
    """Inline SVG of the floor path in metres, by quarter, with an arrow where the body faces every half second or second."""
    from matplotlib.figure import Figure

    with ink.style():
        fig = Figure(figsize=(SIDE_IN + 0.72, SIDE_IN + 0.86))
        size = np.asarray(fig.get_size_inches())
        ax = fig.add_axes((0.58 / size[0], 0.76 / size[1], SIDE_IN / size[0], SIDE_IN / size[1]))
        caption = draw_path(ax, motion)
        fig.text(0.58 / size[0], 0.08 / size[1], caption, color=ink.light("soft"), size=7, va="bottom")
        return ink.svg(fig, _description(motion))


def draw_path(ax: Axes, motion: Motion) -> str:
    """Draw the path into square axes and return what a caption should say of arrows and grid."""
    points = drawn(np.asarray(motion.path_m, dtype=float))
    left, lower, side = window(points)
    frames, step = arrow_frames(len(points), motion.fps)
    ax.set(xlim=(left, left + side), ylim=(lower, lower + side), aspect="equal")
    grid = _floor(ax, side)
    busy = _walked(ax, points)
    busy += _arrows(ax, motion, points, frames, side)
    _marks(ax, points, side, busy)
    undefined = "" if bool(np.all(motion.heading_ok)) else " (hollow: undefined)"
    return f"arrows: facing, every {step:g} s{undefined}   ·   grid {grid:g} m"


def _floor(ax: Axes, side: float) -> float:
    """Grid and axes; returns the metres between grid lines.  The horizontal axis counts to the left, as the person does."""
    from matplotlib.ticker import FuncFormatter, MultipleLocator

    grid, labelled = _upto(GRID_M, side), _upto(LABELLED_M, side)
    for axis, sign in ((ax.xaxis, -1), (ax.yaxis, 1)):
        axis.remove_overlapping_locs = False  # lines are drawn at the minor ticks, words at the major ones
        axis.set_minor_locator(MultipleLocator(grid))
        axis.set_major_locator(MultipleLocator(labelled))
        axis.set_major_formatter(FuncFormatter(lambda value, _, sign=sign: f"{sign * value + 0.0:g}".replace("-", "\N{MINUS SIGN}")))
    ax.grid(True, which="minor", color=ink.light("line"), linewidth=0.7)
    ax.axhline(0, color=ink.light("edge"), linewidth=0.7, zorder=1.5)
    ax.axvline(0, color=ink.light("edge"), linewidth=0.7, zorder=1.5)
    ax.set_axisbelow(True)
    ax.tick_params(which="both", length=0, labelcolor=ink.light("soft"), pad=4)
    ax.set_xlabel("\N{LEFTWARDS ARROW} left (m)", color=ink.light("soft"), labelpad=5)
    ax.set_ylabel("forward (m) \N{RIGHTWARDS ARROW}", color=ink.light("soft"), labelpad=3)
    for spine in ax.spines.values():
        spine.set_color(ink.light("edge"))
    return grid


def _walked(ax: Axes, points: Floats) -> list[Floats]:
    """The path, one colour per quarter; returns points that labels should keep clear of."""
    cuts = [round(c) for c in quarter_cuts(len(points))]
    for name, wide, a, b in zip(ink.QUARTERS, QUARTER_PT, cuts, cuts[1:], strict=False):
        part = points[a : b + 1]
        ax.plot(part[:, 0], part[:, 1], color=ink.light(name), linewidth=wide, solid_capstyle="round", solid_joinstyle="round", zorder=3)
    ring: dict[str, Any] = {"color": ink.light("paper"), "markeredgecolor": ink.light("ink"), "markeredgewidth": 1}
    ax.plot(*points[cuts[1:4]].T, "o", markersize=5, zorder=6, **ring)
    return list(points[:: max(1, len(points) // 240)])


def _arrows(ax: Axes, motion: Motion, points: Floats, frames: Sequence[int], side: float) -> list[Floats]:
    """A dart from the path towards where the body faces, hollow where that is undefined; returns points along the darts."""
    from matplotlib.patches import Polygon

    look: dict[str, Any]
    covered: list[Floats] = []
    shown: list[tuple[Floats, float]] = []
    for i in frames:
        heading = float(motion.heading_deg[i])
        same = (np.hypot(*(points[i] - p)) < 0.8 * ARROW * side and abs(heading - h) < 20 for p, h in shown)
        if any(same):
            continue
        shown.append((points[i], heading))
        ahead = drawn_direction(heading) * ARROW * side * (1.5 if i == 0 else 1.0)
        aside = np.array([-ahead[1], ahead[0]])
        corners = points[i] + ARROW_SHAPE[:, :1] * ahead + ARROW_SHAPE[:, 1:] * aside
        fill, edge = ("ink", "paper") if motion.heading_ok[i] else ("paper", "ink")
        look = {"facecolor": ink.light(fill), "edgecolor": ink.light(edge), "linewidth": 0.6, "joinstyle": "round"}
        ax.add_patch(Polygon(corners, closed=True, zorder=5, **look))
        covered += [points[i] + ahead * share for share in (0.35, 0.7, 1.0)]
    return covered


def _marks(ax: Axes, points: Floats, side: float, busy: list[Floats]) -> None:
    """Start, end and the quarters' numbers, each beside its place on the path and clear of everything else."""
    dark, paper = ink.light("ink"), ink.light("paper")
    ax.plot(*points[0], "o", markersize=10, color=dark, markeredgecolor=paper, markeredgewidth=1, zorder=7)
    ax.plot(*points[-1], "s", markersize=5.6, color=dark, markeredgecolor=paper, markeredgewidth=1, zorder=7)
    taken = [(p, 0.012, 0.012) for p in busy] + [(points[0], 0.024, 0.024), (points[-1], 0.022, 0.022)]
    cuts = quarter_cuts(len(points))
    wanted: list[tuple[str, Floats, float, float, str | None]] = [("start", points[0], 0.062, 0.022, None)]
    wanted.append(("end", points[-1], 0.048, 0.022, None))
    for k, name in enumerate(ink.QUARTERS):
        wanted.append((str(k + 1), points[round((cuts[k] + cuts[k + 1]) / 2)], 0.03, 0.03, name))
    left, lower, _ = window(points)
    for text, anchor, wide, high, colour in wanted:
        at = clear_place(anchor, (wide, high), taken, (left, lower, side))
        taken.append((at, wide, high))
        if np.hypot(*(at - anchor)) > 0.1 * side:
            ax.plot(*np.column_stack([anchor, at]), color=ink.light("edge"), linewidth=0.7, zorder=2)
        if colour:
            ax.plot(*at, "o", markersize=12.5, color=paper, markeredgecolor=ink.light(colour), markeredgewidth=1.8, zorder=8)
        ax.text(float(at[0]), float(at[1]), text, fontproperties=ink.font(8, True), ha="center", va="center_baseline", color=dark, zorder=9)


def clear_place(
    anchor: Floats, half: tuple[float, float], taken: Sequence[tuple[Floats, float, float]], shown: tuple[float, float, float]
) -> Floats:
    """Where (2,), in metres, a box with half extents `half` goes: near `anchor`, in the window, on as little as possible.

    `taken` are (centre, half width, half height) of what is there; extents are shares of the window's side.
    """
    left, lower, side = shown
    centres = np.array([p for p, _, _ in taken])
    extents = np.array([[w, h] for _, w, h in taken]) + half
    best, least = anchor, np.inf
    for ring, reach in enumerate((0.066, 0.085, 0.11, 0.145, 0.19, 0.25)):
        for angle in np.arange(24) * (2 * np.pi / 24):
            at = anchor + side * reach * np.array([np.cos(angle), np.sin(angle)])
            inside = np.all(np.abs(at - (left + side / 2, lower + side / 2)) <= side / 2 - np.array(half) * side * 1.15)
            hits = int(np.sum(np.all(np.abs(centres - at) < extents * side, axis=1)))
            cost = hits + 0.4 * ring + (0 if inside else 1000)
            if cost < least - 1e-9:
                best, least = at, cost
    return best


def _upto(table: Sequence[tuple[float, float]], value: float) -> float:
    return next(choice for bound, choice in table if value <= bound)


def _description(motion: Motion) -> str:
    end_left, end_forward = (float(v) for v in motion.path_m[-1] - motion.path_m[0])
    steps = np.hypot(*np.diff(motion.path_m, axis=0).T)
    across = f"{abs(end_left):.1f} m to the {'left' if end_left >= 0 else 'right'}"
    along = f"{abs(end_forward):.1f} m {'ahead of' if end_forward >= 0 else 'behind'} the start"
    return f"Floor path of {motion.clip_id}, person {motion.person_id}: {float(steps.sum()):.1f} m long, ends {across} and {along}."
