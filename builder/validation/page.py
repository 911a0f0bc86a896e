"""`validation.html`: the numbers of a validation with pictures of the true and the lifted paths and what changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from builder.motion import describe
from builder.recipe import Recipe
from builder.types import CATEGORIES, Motion, Track
from builder.validation.agreement import window_of
from builder.viz import ink
from builder.viz.path import drawn, drawn_direction, window

TEMPLATE = Path(__file__).with_name("validation.html.j2")
SHOWN = 8


def worth_showing(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Clips for the page: those with the most changed answers, and the median and the best by ATE, in that order."""
    accepted = [r for r in records if r["people"]]
    wrong = sorted(accepted, key=lambda r: (-sum(not a["agrees"] for p in r["people"] for a in p["answers"]["robust"]), r["clip_id"]))
    near = sorted(accepted, key=lambda r: (r["people"][0]["errors"]["ate_m"], r["clip_id"]))
    chosen = [*wrong[: SHOWN - 2], *near[len(near) // 2 : len(near) // 2 + 1], *near[:1]]
    return list(dict.fromkeys(r["clip_id"] for r in chosen))


def page(found: Mapping[str, Any], records: Sequence[Mapping[str, Any]], pairs: Mapping[str, tuple[Track, Track]], recipe: Recipe) -> str:
    """One self-contained HTML page; `pairs` holds the (lifted, true) tracks of the clips to draw."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters["share"] = lambda v: "\N{EN DASH}" if v is None else f"{100 * v:.1f}\N{NARROW NO-BREAK SPACE}%"
    environment.filters["number"] = lambda v, digits=2: "\N{EN DASH}" if v is None else f"{v:.{digits}f}".replace("-", "\N{MINUS SIGN}")
    by_id = {r["clip_id"]: r for r in records}
    clips = [
        {
            "record": by_id[clip_id],
            "picture": ink.themed(figure(describe(lifted, recipe), describe(window_of(lifted, truth), recipe))),
            "changed": [a for p in by_id[clip_id]["people"] for a in p["answers"]["robust"] if not a["agrees"]],
        }
        for clip_id, (lifted, truth) in pairs.items()
    ]
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        found=found, clips=clips, categories=CATEGORIES, palette=(ink.variables(0), ink.variables(1))
    )


def figure(lifted: Motion, truth: Motion) -> str:
    """Inline SVG: both floor paths from above with their facing, and the errors of place and heading over time."""
    from matplotlib.figure import Figure

    n = min(lifted.num_frames, truth.num_frames)
    seconds = np.arange(n) / truth.fps
    with ink.style():
        fig = Figure(figsize=(8.2, 3.4))
        ax = fig.add_axes((0.06, 0.13, 0.36, 0.8))
        both = [drawn(np.asarray(m.path_m[:n], dtype=float)) for m in (truth, lifted)]
        left, lower, side = window(np.concatenate(both))
        ax.set(xlim=(left, left + side), ylim=(lower, lower + side), aspect="equal")
        for points, motion, colour, label in ((both[0], truth, "ink", "truth"), (both[1], lifted, "q4", "lifted")):
            ax.plot(*points.T, color=ink.light(colour), linewidth=1.6, label=label)
            for i in range(0, n, max(1, round(motion.fps))):
                tip = points[i] + 0.05 * side * drawn_direction(float(motion.heading_deg[i]))
                ax.plot(*np.column_stack([points[i], tip]), color=ink.light(colour), linewidth=0.9)
        ax.grid(True, color=ink.light("line"), linewidth=0.6)
        ax.legend(frameon=False, fontsize=7, loc="best")
        ax.set_xlabel("metres, left is left", size=7, color=ink.light("soft"))
        off = np.linalg.norm(lifted.path_m[:n] - truth.path_m[:n], axis=1)
        turned = (lifted.heading_deg[:n] - truth.heading_deg[:n] + 180.0) % 360.0 - 180.0
        up = lifted.signals["displacement_y"][:n] - truth.signals["displacement_y"][:n]
        for place, (label, values, colour) in enumerate(
            (("place (m)", off, "q1"), ("height (m)", up, "minus"), ("heading (deg)", turned, "named"))
        ):
            pane = fig.add_axes((0.52, 0.7 - 0.285 * place, 0.46, 0.235))
            pane.plot(seconds, values, color=ink.light(colour), linewidth=1.2)
            pane.axhline(0, color=ink.light("edge"), linewidth=0.6)
            pane.grid(True, color=ink.light("line"), linewidth=0.6)
            pane.set_ylabel(f"error of\n{label}", size=7, color=ink.light("soft"))
            pane.set_xlim(0, max(float(seconds[-1]), 1e-3))
            pane.tick_params(labelbottom=place == 2)
        for each in fig.axes:
            each.tick_params(length=0, labelsize=7, labelcolor=ink.light("soft"))
            for spine in each.spines.values():
                spine.set_color(ink.light("edge"))
        return ink.svg(fig, f"True and lifted path of {truth.clip_id}, and the lifted one's errors over time")
