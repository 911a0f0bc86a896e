"""Whether a lifted track is to be trusted: a table of bounds on what was measured along the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from builder.geometry import heading_deg
from builder.lifters.monocular.heading import Facing
from builder.lifters.monocular.records import Person
from builder.types import Floats

OK, WARN, REFUSE = "ok", "warn", "refuse"
SHOULDERS, KNEES, ANKLES = (11, 12), (25, 26), (27, 28)
BONES = ((11, 23), (12, 24), (23, 25), (24, 26), (25, 27), (26, 28))
LIMBS = (0, *SHOULDERS, 23, 24, *KNEES, *ANKLES)
SHOWN = 0.5  # visibility from which a landmark counts as seen


class Gate(NamedTuple):
    """Bounds on one measure: past `warn` it is doubtful, past `refuse` not to be trusted; the sign of their difference is the side.

    `text` says what is wrong, with the value where {} stands.
    """

    warn: float
    refuse: float
    text: str


# Bounds read off rendered people and a few real clips: what passes below `warn` had its headings and distances right.
GATES: dict[str, Gate] = {
    "seen_share": Gate(0.9, 0.5, "seen in {:.0%} of the frames between coming and going"),
    "knees_share": Gate(0.8, 0.5, "knees seen in {:.0%} of the frames"),
    "ankles_share": Gate(0.7, 0.3, "ankles seen in {:.0%} of the frames"),
    "edge_share": Gate(0.25, 0.6, "cut off by the edge of the picture in {:.0%} of the frames"),
    "height_px": Gate(70.0, 36.0, "only {:.0f} pixels tall"),
    "bone_spread": Gate(0.12, 0.25, "bone lengths vary by {:.0%}"),
    "miss_share": Gate(0.03, 0.08, "the pose misses its place in the picture by {:.1%} of its size"),
    "speed_m_s": Gate(8.0, 11.0, "moves at {:.1f} m/s"),
    "turn_deg_s": Gate(450.0, 800.0, "turns at {:.0f} degrees per second"),  # a flip that was not found out
    "flipped_share": Gate(0.25, 0.6, "left and right were mistaken in {:.0%} of the frames"),
    "heading_confidence": Gate(0.25, 0.1, "front and back are told apart with a confidence of {:.2f}"),
    "heading_jitter_deg": Gate(12.0, 30.0, "the facing jitters by {:.0f} degrees"),
}


def measured(person: Person, way: Facing, root_m: Floats, miss_px: Floats, fps: float, size: tuple[int, int]) -> dict[str, float]:
    """Every measure that GATES bounds, for one person over the n processed frames.

    root_m (n, 3) in the world, metres; miss_px (n,) from `placed`; size, the pictures' width and height in pixels.
    """
    at = np.flatnonzero(person.seen)
    visible = person.visibility[at] > SHOWN
    box = person.box_px[at]
    tall = np.maximum(box[:, 3] - box[:, 1], 1.0)
    body = person.landmarks_px[at][:, LIMBS]
    outside = ((body < 0) | (body > size)).any(axis=(1, 2))
    metres = person.landmarks_m[at]
    length = np.stack([np.linalg.norm(metres[:, a] - metres[:, b], axis=1) for a, b in BONES], axis=1)
    middle = np.median(length, axis=0)
    turning = np.abs(np.diff(heading_deg(way.body_to_world[at]))) * fps / np.diff(at)
    speed = np.linalg.norm(np.diff(root_m[at], axis=0), axis=1) * fps / np.diff(at)
    return {
        "seen_share": len(at) / (at[-1] - at[0] + 1),
        "knees_share": float(visible[:, KNEES].any(axis=1).mean()),
        "ankles_share": float(visible[:, ANKLES].any(axis=1).mean()),
        "edge_share": float(outside.mean()),
        "height_px": float(np.median(tall)),
        "bone_spread": float(np.median(np.abs(length - middle) / middle)),
        "miss_share": float(np.median(miss_px[at] / tall)),
        "speed_m_s": float(np.percentile(speed, 98)) if len(speed) else 0.0,
        "turn_deg_s": float(turning.max(initial=0.0)),
        "flipped_share": float(way.flipped[at].mean()),
        "heading_confidence": way.confidence,
        "heading_jitter_deg": way.jitter_deg,
    }


def verdict(measures: Mapping[str, float], doubts: Sequence[str] = (), refused: Sequence[str] = ()) -> tuple[str, tuple[str, ...]]:
    """("ok", "warn" or "refuse", reasons, the gravest first) of these measures; `doubts` and `refused` are the camera's own."""
    grave, light = list(refused), []
    for name, gate in GATES.items():
        value = measures[name]
        side = 1.0 if gate.refuse > gate.warn else -1.0
        if not side * value <= side * gate.refuse:
            grave.append(gate.text.format(value))
        elif side * value > side * gate.warn:
            light.append(gate.text.format(value))
    light += doubts
    return (REFUSE if grave else WARN if light else OK), (*grave, *light)
