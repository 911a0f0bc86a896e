"""Pictures of studies: what is learnt from one group and asked of another, scores over a number, scores side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from builder.types import CATEGORIES
from builder.viz import ink
from builder.viz.scores import HUES, MINUS, room, square, words


def picture(found: Mapping[str, Any]) -> str:
    """SVG of a study as `train.studies` writes it: a heatmap for cross, a line over numbers, bars over words; "" for nothing."""
    if not found["results"]:
        return ""
    if found["study"] == "cross":
        return heatmap(found)
    return line(found) if all(name.isdigit() for name in found["results"]) else bars(found)


def heatmap(found: Mapping[str, Any]) -> str:
    """Each training a row, each group that is asked a column; the diagonal is what a group teaches about itself."""
    from matplotlib.figure import Figure

    results = found["results"]
    groups = list(dict.fromkeys(g for one in results.values() for g in one["by_group"]))
    names = list(results)
    with ink.style():
        wide = max(0.95, max(ink.text_width(g, 7) for g in groups) / 72 + 0.12)
        left, high = room(names) + 0.3, 0.36
        width, height = left + wide * len(groups) + 0.15, 0.64 + high * len(names)
        fig = Figure(figsize=(width, height))
        ax = fig.add_axes((left / width, 0.12 / height, wide * len(groups) / width, high * len(names) / height))
        for y, name in enumerate(names):
            for x, group in enumerate(groups):
                value = (results[name]["by_group"].get(group) or {"score": None})["score"]
                strength = 0.0 if value is None else min(1.0, abs(value) / 100)
                ax.add_patch(square(x, y, ink.light("q1" if (value or 0) >= 0 else "q4"), strength))
                text = "" if value is None else f"{value:.0f}".replace("-", MINUS)
                bold = "bold" if name == group else "normal"
                ax.text(x, y, text, ha="center", va="center", size=8, weight=bold, color=ink.light("paper" if strength > 0.75 else "ink"))
        ax.set(xlim=(-0.5, len(groups) - 0.5), ylim=(len(names) - 0.5, -0.5))
        ax.xaxis.tick_top()
        ax.set_xticks(range(len(groups)), groups)
        ax.set_yticks(range(len(names)), names)
        ax.tick_params(length=0, labelsize=7, labelcolor=ink.light("soft"))
        for spine in ax.spines.values():
            spine.set_visible(False)
        fig.text((left + wide * len(groups) / 2) / width, 1 - 0.17 / height, "asked about", size=8, ha="center", color=ink.light("ink"))
        fig.text(
            0.12 / width, (0.12 + high * len(names) / 2) / height, "learnt from", size=8, rotation=90, va="center", color=ink.light("ink")
        )
        return ink.svg(fig, f"{found['title']}: 0 is guessing, 100 all right.")


def line(found: Mapping[str, Any]) -> str:
    """The score over a number, with its interval, and every category thin."""
    from matplotlib.figure import Figure

    results = sorted(((int(name), one) for name, one in found["results"].items()), key=lambda pair: pair[0])
    numbers = [number for number, _ in results]
    with ink.style():
        fig = Figure(figsize=(6.0, 2.9))
        ax = fig.add_axes((0.1, 0.16, 0.62, 0.79))
        present = [c for c in CATEGORIES if any(one["by_category"].get(c) is not None for _, one in results)]
        for k, category in enumerate(present):
            points = [(n, one["by_category"][category]) for n, one in results if one["by_category"].get(category) is not None]
            ax.plot(*zip(*points, strict=True), color=ink.light(HUES[k % len(HUES)]), linewidth=0.9, marker=".", markersize=3)
            fig.text(0.75, 0.78 - 0.085 * k, words(category), size=7.5, color=ink.light(HUES[k % len(HUES)]), va="center")
        scores = [one["score"] for _, one in results]
        banded = [(n, *one["interval"]) for n, one in results if one["interval"]]
        if len(banded) > 1:
            low, high = [one[1] for one in banded], [one[2] for one in banded]
            ax.fill_between([one[0] for one in banded], low, high, color=ink.light("edge"), alpha=0.45, linewidth=0)
        ax.plot(numbers, scores, color=ink.light("ink"), linewidth=2.0, marker="o", markersize=4)
        fig.text(0.75, 0.88, "mean of the categories", size=7.5, weight="bold", color=ink.light("ink"), va="center")
        if len(numbers) > 1 and numbers[-1] >= 4 * numbers[0]:
            ax.set_xscale("log", base=2)
        ax.set_xticks(numbers, [f"{n:,}" for n in numbers])
        ax.minorticks_off()
        ax.axhline(0.0, color=ink.light("edge"), linewidth=0.6)
        ax.set_xlabel(found["study"])
        ax.set_ylabel("score")
        ax.tick_params(length=2, width=0.5)
        for side in ("top", "right"):
            ax.spines[side].set_visible(False)
        said = ", ".join(f"{n}: {s:.1f}" for n, s in zip(numbers, scores, strict=True))
        return ink.svg(fig, f"{found['title']}: {said}.")


def bars(found: Mapping[str, Any]) -> str:
    """Score and categories of each run, side by side."""
    from builder.viz.scores import category_bars

    results = [
        {
            "title": name,
            "n": one["n"],
            "score_macro": one["score"],
            "interval": one["interval"],
            "by_category": {c: {"score": v, "interval": None} for c, v in one["by_category"].items()},
        }
        for name, one in found["results"].items()
    ]
    return category_bars(results)
