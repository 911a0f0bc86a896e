"""Pictures of scores: categories with intervals, sources by categories, and what each probe costs a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from builder.types import CATEGORIES
from builder.viz import ink

HUES = ("q1", "q4", "plus", "minus", "q3", "q2", "named")
MINUS = "\N{MINUS SIGN}"
MOST = 8  # runs in one picture


def category_bars(results: Sequence[Mapping[str, Any]]) -> str:
    """SVG: the score and each category of every run, with 95 % intervals; "" when there is nothing to draw."""
    from matplotlib.figure import Figure

    shown = [r for r in results if r["n"]][:MOST]
    if not shown:
        return ""
    categories = _ordered(shown)
    labels = ["score", *categories]
    with ink.style():
        height = 0.62 + 0.24 * len(shown) + len(labels) * (0.16 + 0.115 * len(shown))
        fig = Figure(figsize=(6.4, height))
        ax = fig.add_axes((0.2, 0.36 / height, 0.77, 1 - (0.36 + 0.2 + 0.2 * len(shown)) / height))
        step = 0.8 / len(shown)
        for k, one in enumerate(shown):
            cells = [{"score": one["score_macro"], "interval": one["interval"]}, *(one["by_category"].get(c) for c in categories)]
            for row, cell in enumerate(cells):
                if cell and cell["score"] is not None:
                    y = row - 0.4 + step * (k + 0.5)
                    colour = ink.light(HUES[k % len(HUES)])
                    ax.barh(y, cell["score"], step * 0.86, color=colour, linewidth=0)
                    if cell["interval"]:
                        ax.plot(cell["interval"], [y, y], color=ink.light("ink"), linewidth=0.8, solid_capstyle="butt")
            fig.text(0.2, 1 - (0.16 + 0.2 * k) / height, "\N{BLACK SQUARE}", size=8, color=ink.light(HUES[k % len(HUES)]), va="center")
            fig.text(
                0.23, 1 - (0.16 + 0.2 * k) / height, f"{one['title']} (n = {one['n']:,})", size=7.5, color=ink.light("ink"), va="center"
            )
        ax.set_yticks(range(len(labels)), [words(c) for c in labels])
        ax.set_ylim(len(labels) - 0.45, -0.55)
        ax.axhline(0.5, color=ink.light("edge"), linewidth=0.6)
        _scale(ax)
        return ink.svg(fig, f"Scores by category of {', '.join(r['title'] for r in shown)}: 0 is guessing, 100 all right.")


def source_heatmap(results: Sequence[Mapping[str, Any]]) -> str:
    """SVG: every run and source against the categories; "" where no run has more than one source."""
    from matplotlib.figure import Figure

    if not any(len(r["by_source"]) > 1 for r in results):
        return ""
    categories = ["score", *_ordered(results)]
    names, cells = [], []
    for one in results[:MOST]:
        for source, cell in one["by_source"].items():
            names.append(source if len(results) == 1 else f"{one['title']}, {source}")
            by = cell["by_category"]
            cells.append([cell["score"], *(by.get(c, {}).get("score") for c in categories[1:])])
    with ink.style():
        height = 1.0 + 0.3 * len(names)
        left, cells_in = room(names), 0.62 * len(categories)
        width = left + cells_in + 0.5  # the last column's slanted name reaches beyond it
        fig = Figure(figsize=(width, height))
        ax = fig.add_axes((left / width, 0.12 / height, cells_in / width, 0.3 * len(names) / height))
        for y, row in enumerate(cells):
            for x, value in enumerate(row):
                strength = 0.0 if value is None else min(1.0, abs(value) / 100)
                hue = ink.light("q1" if (value or 0) >= 0 else "q4")
                ax.add_patch(square(x, y, hue, strength))
                text = "" if value is None else f"{value:.0f}".replace("-", MINUS)
                ax.text(x, y, text, ha="center", va="center", size=7, color=ink.light("paper" if strength > 0.55 else "ink"))
        ax.set(xlim=(-0.5, len(categories) - 0.5), ylim=(len(names) - 0.5, -0.5))
        ax.xaxis.tick_top()
        ax.set_xticks(range(len(categories)), [words(c) for c in categories], rotation=20, ha="left")
        ax.set_yticks(range(len(names)), names)
        _plain(ax)
        for spine in ax.spines.values():
            spine.set_visible(False)
        return ink.svg(fig, "Scores by source and category: 0 is guessing, 100 all right.")


def probe_bars(drops: Sequence[Mapping[str, Any]]) -> str:
    """SVG: how many points each probe takes off a model's score, with paired 95 % intervals; "" for no probe."""
    from matplotlib.figure import Figure

    if not drops:
        return ""
    with ink.style():
        height = 0.75 + 0.28 * len(drops)
        names = [f"{one['title']}: {one['mode']}" for one in drops]
        left, width = room(names), room(names) + 4.2
        fig = Figure(figsize=(width, height))
        ax = fig.add_axes((left / width, 0.42 / height, 4.0 / width, 0.28 * len(drops) / height))
        for y, one in enumerate(drops):
            ax.barh(y, one["difference"], 0.62, color=ink.light("q1" if one["difference"] < 0 else "q4"), linewidth=0)
            if one["interval"]:
                ax.plot(one["interval"], [y, y], color=ink.light("ink"), linewidth=0.8, solid_capstyle="butt")
        ax.set_yticks(range(len(drops)), names)
        ax.set_ylim(len(drops) - 0.5, -0.5)
        fig.text(left / width, 1 - 0.16 / height, "points against the video itself", size=7.5, color=ink.light("soft"), va="center")
        _scale(ax)
        return ink.svg(fig, "Change of the score when the model is shown something else than the video.")


def room(names: Sequence[str]) -> float:
    """Inches that the names of rows need beside an axis."""
    return (max(ink.text_width(name, 7) for name in names) + 12) / 72


def _ordered(results: Sequence[Mapping[str, Any]]) -> list[str]:
    present = {c for r in results for c in r["by_category"]}
    return [*(c for c in CATEGORIES if c in present), *sorted(present - set(CATEGORIES))]


def words(name: str) -> str:
    return name.replace("_affordance", "").replace("_", " ")


def square(x: float, y: float, colour: str, strength: float) -> Any:
    """One cell: the colour mixed into the paper by `strength`."""
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Rectangle

    mixed = (1 - strength) * np.array(to_rgb(ink.light("paper"))) + strength * np.array(to_rgb(colour))
    return Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=tuple(mixed), edgecolor=ink.light("line"), linewidth=0.4)


def _scale(ax: Any) -> None:
    """The axis of points, with guessing marked."""
    _plain(ax)
    ax.axvline(0, color=ink.light("ink"), linewidth=0.8)
    ax.grid(True, axis="x", color=ink.light("line"), linewidth=0.6)
    ax.set_axisbelow(True)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", MINUS))


def _plain(ax: Any) -> None:
    ax.tick_params(length=0, labelsize=7, labelcolor=ink.light("soft"))
    for spine in ax.spines.values():
        spine.set_color(ink.light("edge"))
