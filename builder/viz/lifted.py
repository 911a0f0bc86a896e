"""One picture of a lifted person: what was seen in the clip, where they went, which way they faced, how fast, and how sure it is."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from builder.types import Motion, Track
from builder.viz import ink
from builder.viz.path import draw_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FRAMES = 6
DPI = 110
AROUND, ASPECT = 0.75, 0.72  # half the height of a cut-out in body heights, and its width by its height
# Pairs of BlazePose landmarks: trunk, arms, legs; a person's left is drawn in one colour, their right in the other.
BONES: tuple[tuple[int, int, str], ...] = (
    (11, 12, "named"), (23, 24, "named"), (0, 11, "named"), (0, 12, "named"),
    (11, 23, "plus"), (11, 13, "plus"), (13, 15, "plus"), (23, 25, "plus"), (25, 27, "plus"), (27, 31, "plus"),
    (12, 24, "minus"), (12, 14, "minus"), (14, 16, "minus"), (24, 26, "minus"), (26, 28, "minus"), (28, 32, "minus"),
)  # fmt: skip
VERDICTS = {"ok": "plus", "warn": "q3", "refuse": "q4"}


def shown_frames(track: Track) -> list[int]:
    """Rows of the track whose frames the picture shows, spread over the time in which the person is seen."""
    seen = np.flatnonzero(track.valid)
    return sorted({int(seen[round(k)]) for k in np.linspace(0, len(seen) - 1, FRAMES)})


def lifted_figure(track: Track, motion: Motion, images: Mapping[int, NDArray[np.uint8]]) -> bytes:
    """PNG of a lifted track; `images` gives (H, W, 3) RGB for rows of the track, in the pixels of `extra["landmarks_px"]`."""
    from matplotlib.figure import Figure

    with ink.style():
        fig = Figure(figsize=(11.0, 7.4), dpi=DPI)
        verdict = str(track.provenance.get("verdict", "ok"))
        who = f", {track.referent}" if track.referent else ""
        fig.text(0.03, 0.965, f"{track.clip_id}  ·  person {track.person_id}{who}", fontproperties=ink.font(12, True), va="top")
        fig.text(
            0.97, 0.965, verdict, fontproperties=ink.font(12, True), color=ink.light(VERDICTS.get(verdict, "ink")), va="top", ha="right"
        )
        _words(fig, track)
        wide = 0.94 / max(1, len(images))
        for place, (row, image) in enumerate(sorted(images.items())):
            ax = fig.add_axes((0.03 + place * wide, 0.55, 0.95 * wide, 0.32))
            _frame(ax, track, row, image)
        caption = draw_path(fig.add_axes((0.07, 0.09, 0.37 * 7.4 / 11.0 * 1.1, 0.41)), motion)
        fig.text(0.07, 0.02, caption, color=ink.light("soft"), size=7)
        _curves(fig, motion, track)
        buffer = io.BytesIO()
        fig.savefig(buffer, format="png", facecolor=ink.light("paper"), metadata={"Software": None})
        return buffer.getvalue()


def _words(fig: Any, track: Track) -> None:
    """What the lifter says of its own result, in one or two lines under the title."""
    known = track.provenance
    facts = [f"lifter {track.lifter}"]
    if "camera_mode" in known:
        facts.append(f"{known['camera_mode']} camera")
    if "focal_px" in known:
        facts.append(f"focal length {known['focal_px']:.0f} px ({known.get('focal_source', 'unknown')})")
    fig.text(0.03, 0.93, "  ·  ".join(facts), color=ink.light("soft"), size=8, va="top")
    reasons = "; ".join(known.get("reasons", ()))
    if reasons:
        fig.text(0.03, 0.908, reasons if len(reasons) < 170 else f"{reasons[:167]}...", color=ink.light("q4"), size=8, va="top")


def _frame(ax: Axes, track: Track, row: int, image: NDArray[np.uint8]) -> None:
    """One frame of the clip, cut to the person, with the skeleton that was found in it."""
    ax.imshow(image)
    ax.set_axis_off()
    ax.set_title(f"{row / track.fps:.1f} s", size=7, color=ink.light("soft"), pad=3)
    points = track.extra.get("landmarks_px")
    if points is None or not track.valid[row]:
        return
    if "camera_matrix" in track.extra:  # the lifter may have looked at smaller pictures
        points = points * image.shape[1] / (2 * track.extra["camera_matrix"][0, 2])
    for a, b, colour in BONES:
        ends = points[row, [a, b]]
        ax.plot(ends[:, 0], ends[:, 1], color=ink.light("paper"), linewidth=2.6, solid_capstyle="round")
        ax.plot(ends[:, 0], ends[:, 1], color=ink.light(colour), linewidth=1.5, solid_capstyle="round")
    low, high = points[row].min(axis=0), points[row].max(axis=0)
    middle, half = (low + high) / 2, AROUND * float(max(high - low))
    ax.set(
        xlim=(middle[0] - half * ASPECT, middle[0] + half * ASPECT), ylim=(middle[1] + half, middle[1] - half), facecolor=ink.light("line")
    )


def _curves(fig: Any, motion: Motion, track: Track) -> None:
    """Heading, speed over the floor, height and confidence over time."""
    seconds = np.arange(motion.num_frames) / motion.fps
    speed = np.hypot(*np.gradient(motion.path_m, axis=0).T) * motion.fps
    panels: Sequence[tuple[str, Any, Any, str]] = (
        ("turned left (deg)", seconds, motion.heading_deg, "named"),
        ("speed (m/s)", seconds, speed, "q1"),
        ("up (m)", seconds, motion.signals["displacement_y"], "minus"),
        ("confidence", np.arange(track.num_frames) / track.fps, track.extra.get("confidence"), "plus"),
    )
    panels = [p for p in panels if p[2] is not None]
    high = 0.45 / len(panels)
    for place, (label, at, values, colour) in enumerate(panels):
        ax = fig.add_axes((0.47, 0.07 + (len(panels) - 1 - place) * high, 0.5, 0.8 * high))
        ax.plot(at, values, color=ink.light(colour), linewidth=1.3)
        ax.grid(True, color=ink.light("line"), linewidth=0.6)
        ax.set_xlim(0, max(seconds[-1], 1e-3))
        ax.set_ylabel(label, size=7, color=ink.light("soft"))
        ax.tick_params(length=0, labelsize=7, labelcolor=ink.light("soft"), labelbottom=place == len(panels) - 1)
        if label == "confidence":
            ax.set_ylim(-0.05, 1.05)
        if label == "turned left (deg)":
            low, top = ax.get_ylim()
            middle = (low + top) / 2
            ax.set_ylim(min(low, middle - 20), max(top, middle + 20))
        for spine in ax.spines.values():
            spine.set_color(ink.light("edge"))
