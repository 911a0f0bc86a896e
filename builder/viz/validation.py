"""The page of a validation: its numbers, true and lifted paths over each other, and the answers that changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from builder.types import CATEGORIES, Floats
from builder.viz import ink
from builder.viz.path import drawn, window
from builder.viz.report import count, percent, skipped_view, words

TEMPLATE = Path(__file__).with_name("validation.html.j2")
PICTURES = 12
LISTED = 60
SIZE_IN = (5.6, 3.1)
TRUE, LIFTED = "edge", "q1"
HOW = {
    "camera": "worlds laid together by their cameras",
    "path": "worlds laid together by their paths",
    "anchor": "each from its own first heading",
}
FACTS = (
    ("ate_m", "ATE {:.2f} m"),
    ("rte_percent", "RTE {:.1f} %"),
    ("path_m", "path {:.1f} m"),
    ("heading_error_deg", "heading {:.0f} deg"),
)


def page(found: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> str:
    """One self-contained HTML page from `validation.json`'s content and the per-clip records; equal input gives equal bytes."""
    from jinja2 import Environment, StrictUndefined

    env = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    env.filters |= {"count": count, "percent": percent, "words": words, "number": number}
    people = [(r, p) for r in records for p in r["people"]]
    wrong = [
        {"clip_id": r["clip_id"], "camera": r["camera"], **d}
        for r, p in people
        for d in sorted(p["disagreements"], key=lambda d: (CATEGORIES.index(d["category"]), d["id"]))
    ]
    return env.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        palette=(ink.variables(0), ink.variables(1)),
        found=found,
        categories=[c for c in CATEGORIES if c in found["questions_by_category"]],
        cameras=[*found["by_camera"].items(), ("all", {**found, "refused": sum(bool(r["refused"]) for r in records)})],
        clips=[_clip(r, p) for r, p in chosen(people)],
        wrong=wrong[:: max(1, -(-len(wrong) // LISTED))],
        refused=skipped_view(found["refused"]),
    )


def number(value: float | None, digits: int = 2) -> str:
    """A measured value, or a dash where there is none."""
    return "\N{EN DASH}" if value is None else f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def chosen(people: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """The people to draw: the half of PICTURES that is worst by ATE, then others evenly from the rest, worst first."""
    order = sorted(people, key=lambda rp: (-rp[1]["metrics"]["ate_m"], rp[0]["clip_id"], rp[1]["person_id"]))
    worst, rest = order[: PICTURES // 2], order[PICTURES // 2 :]
    at = np.linspace(0, len(rest) - 1, min(len(rest), PICTURES - len(worst)))
    return [*worst, *(rest[round(float(i))] for i in at)]


def _clip(record: Mapping[str, Any], person: Mapping[str, Any]) -> dict[str, Any]:
    from markupsafe import Markup

    cells = person["answers"].values()
    facts = [text.format(person["metrics"][name]) for name, text in FACTS if person["metrics"].get(name) is not None]
    return {
        "clip_id": record["clip_id"],
        "facts": [record["camera"], person["verdict"], *facts, f"{sum(c[0] for c in cells)} of {sum(c[1] for c in cells)} answers"],
        "picture": Markup(ink.themed(picture(record["clip_id"], person["series"]))),
    }


def picture(clip_id: str, series: Mapping[str, Any]) -> str:
    """SVG of the true and the lifted floor path, as the person stood at the start (left is left), and the heading error over time."""
    from matplotlib.figure import Figure

    truth, lifted = (drawn(np.array(series[name], dtype=float)) for name in ("truth_m", "lifted_m"))
    seconds = np.array(series["seconds"], dtype=float)
    error = np.array([np.nan if v is None else v for v in series["heading_error_deg"]], dtype=float)
    with ink.style():
        fig = Figure(figsize=SIZE_IN)
        _paths(fig.add_axes((0.09, 0.14, 0.45, 0.45 * SIZE_IN[0] / SIZE_IN[1])), truth, lifted)
        _errors(fig.add_axes((0.67, 0.14, 0.31, 0.74)), seconds, error)
        fig.text(0.67, 0.935, "heading error (deg)", size=7, color=ink.light("soft"))
        fig.text(0.67, 0.015, HOW[series["heading_frame"]], size=6, color=ink.light("soft"))
        return ink.svg(fig, f"True and lifted floor path of {clip_id}, in metres, and the error of the heading over time.")


def _paths(ax: Any, truth: Floats, lifted: Floats) -> None:
    left, lower, side = window(np.concatenate([truth, lifted]))
    ax.set(xlim=(left, left + side), ylim=(lower, lower + side), aspect="equal")
    _plain(ax)
    for points, colour, wide, name in ((truth, TRUE, 4.0, "true"), (lifted, LIFTED, 1.4, "lifted")):
        ax.plot(*points.T, color=ink.light(colour), linewidth=wide, solid_capstyle="round", solid_joinstyle="round", label=name)
        ax.plot(*points[-1], "s", markersize=4.5, color=ink.light(colour), markeredgecolor=ink.light("paper"), markeredgewidth=0.6)
    ax.plot(*truth[0], "o", markersize=6, color=ink.light("ink"), markeredgecolor=ink.light("paper"), markeredgewidth=0.8)
    ax.xaxis.set_major_formatter(lambda value, _: f"{-value + 0.0:g}".replace("-", "\N{MINUS SIGN}"))  # counts to the left, as they do
    ax.set_xlabel("\N{LEFTWARDS ARROW} left (m)", size=6.5, color=ink.light("soft"), labelpad=2)
    ax.set_ylabel("forward (m) \N{RIGHTWARDS ARROW}", size=6.5, color=ink.light("soft"), labelpad=2)
    ax.legend(loc="best", fontsize=7, frameon=False, labelcolor=ink.light("soft"), handlelength=1.4)


def _errors(ax: Any, seconds: Floats, error: Floats) -> None:
    _plain(ax)
    ax.axhline(0, color=ink.light("edge"), linewidth=0.7)
    jumps = np.abs(np.diff(error, prepend=error[:1])) > 180.0  # from -180 to 180 is no line across the picture
    ax.plot(seconds, np.where(jumps, np.nan, error), color=ink.light(LIFTED), linewidth=1.2)
    reach = max(30.0, float(np.nanmax(np.abs(error))) * 1.1) if np.isfinite(error).any() else 30.0
    ax.set(xlim=(0, max(float(seconds[-1]), 1e-3)), ylim=(-reach, reach))


def _plain(ax: Any) -> None:
    ax.grid(True, color=ink.light("line"), linewidth=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(length=0, labelsize=6.5, labelcolor=ink.light("soft"))
    for spine in ax.spines.values():
        spine.set_color(ink.light("edge"))
