"""A person's track and motion as one compact JSON text for the viewer: quantised numbers, base64, ready words.

Numbers are 16-bit integers in steps of `step_mm` (1 mm while the path stays within 32 m) or a tenth of a degree; the skeleton
comes at 15 frames a second, relative to the root, and the viewer draws between its frames.  Axes are the person's own at the start:
left, up, forward.  Times are seconds of the video; the track starts at `start_s`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from builder import geometry
from builder.quantities import QUARTERS, WORDS, Measures
from builder.render.skeleton import PARENTS
from builder.types import Floats, Motion, Track

VERSION = 1
PATH_FPS, BODY_FPS = 30.0, 15.0
INT16 = 32_000
LANES = (
    ("walk", ("walk", "run")),
    ("ahead", ("forward", "backward")),
    ("side", ("left", "right")),
    ("turn", ("turn_left", "turn_right")),
    ("body", ("jump", "crouch", "stand_up", "lean_forward", "lean_backward", "lean_left", "lean_right")),
)
SHORT = {
    "walk": "walks",
    "run": "runs",
    "forward": "forward",
    "backward": "back",
    "left": "left",
    "right": "right",
    "turn_left": "left",
    "turn_right": "right",
    "jump": "jump",
    "crouch": "down",
    "stand_up": "up",
    "lean_forward": "leans forward",
    "lean_backward": "leans back",
    "lean_left": "leans left",
    "lean_right": "leans right",
}
# Pairs of joints and the side that they belong to: "c" the trunk, "l" the person's left, "r" their right.
SMPL_BONES = tuple(
    (parent, child, {1: "l", 4: "l", 7: "l", 10: "l", 13: "l", 16: "l", 18: "l", 20: "l"}.get(child, "r" if child in _RIGHT else "c"))
    for _RIGHT in [{2, 5, 8, 11, 14, 17, 19, 21}]
    for child, parent in enumerate(PARENTS)
    if parent >= 0
)
BLAZEPOSE_BONES = (
    (11, 12, "c"), (23, 24, "c"), (0, 11, "c"), (0, 12, "c"),
    (11, 23, "l"), (11, 13, "l"), (13, 15, "l"), (23, 25, "l"), (25, 27, "l"), (27, 31, "l"),
    (12, 24, "r"), (12, 14, "r"), (14, 16, "r"), (24, 26, "r"), (26, 28, "r"), (28, 32, "r"),
)  # fmt: skip
SKELETONS: Mapping[int, tuple[tuple[int, int, str], ...]] = {22: SMPL_BONES, 24: SMPL_BONES, 33: BLAZEPOSE_BONES}
STANDING_M = 0.93  # how high a root is above the floor where no joints say it


def encode(
    track: Track,
    motion: Motion,
    measures: Measures,
    start_s: float = 0.0,
    video_fps: float = 0.0,
    size: tuple[int, int] = (0, 0),
    duration_s: float = 0.0,
    **words: Any,
) -> str:
    """The viewer's JSON.  `words`: what the page says beside the numbers (title, lifter, warnings), plain text."""
    anchored = geometry.fill_invalid(geometry.anchor(track))
    first = int(np.argmax(track.valid)) if track.frame == "world" else 0
    start_s += first / track.fps
    valid = anchored.valid
    lasts = (anchored.num_frames - 1) / track.fps
    fps = min(PATH_FPS, track.fps)
    n = int(lasts * fps + 1e-6) + 1
    at = np.arange(n) / fps * track.fps
    position = _at(anchored.position_m, at)
    heading = _at(geometry.heading_deg(anchored.body_to_world)[:, None], at)[:, 0]
    heading -= 360.0 * np.round((heading[0] - measures.motion.heading_deg[0]) / 360.0)
    body = _body(anchored, lasts)
    floor = body.pop("floor") if body else float(position[0, 1]) - STANDING_M
    step_mm = max(1, int(np.ceil(1000 * float(np.abs(position).max()) / INT16)))
    out: dict[str, Any] = {
        "v": VERSION,
        "start_s": round(start_s, 4),
        "fps": round(fps, 6),
        "frames": n,
        "video_fps": round(video_fps or fps, 6),
        "duration_s": round(max(duration_s, start_s + lasts), 4),
        "size": size,
        "step_mm": step_mm,
        "path": _pack(1000 * position / step_mm),
        "heading": _pack(10 * np.clip(heading, -3200, 3200)),
        "unsure": runs(~valid, track.fps),
        "unknown_facing": runs(~motion.heading_ok, motion.fps),
        "floor_m": round(floor, 3),
        "body": body,
        "lanes": lanes(motion),
        "quarters": quarters(measures),
        "facts": facts(measures),
        **words,
    }
    return json.dumps(out, separators=(",", ":"), allow_nan=False)


def _at(values: Floats, at: Floats) -> Floats:
    return np.stack([np.interp(at, np.arange(len(values)), column) for column in values.T], axis=1)


def _pack(values: Floats) -> str:
    """Base64 of little-endian 16-bit integers."""
    return base64.b64encode(np.rint(values).astype("<i2").tobytes()).decode("ascii")


def _body(anchored: Track, lasts: float) -> dict[str, Any] | None:
    """The skeleton relative to the root, or None where the joints are not of a known kind."""
    joints = anchored.joints_m
    if joints is None or joints.shape[1] not in SKELETONS:
        return None
    good = np.flatnonzero(np.isfinite(joints).all(axis=(1, 2)) & anchored.valid)
    if len(good) < 2:
        return None
    relative = joints[good] - anchored.position_m[good, None]
    n = int(lasts * BODY_FPS + 1e-6) + 1
    at = np.arange(n) / BODY_FPS * anchored.fps
    flat = relative.reshape(len(good), -1)
    moved = np.stack([np.interp(at, good, column) for column in flat.T], axis=1)
    return {
        "fps": BODY_FPS,
        "frames": n,
        "joints": joints.shape[1],
        "bones": SKELETONS[joints.shape[1]],
        "head": 0 if joints.shape[1] == 33 else 15,
        "mm": _pack(np.clip(1000 * moved, -INT16, INT16)),
        "floor": float(np.percentile(joints[good][..., 1].min(axis=1), 20)),
    }


def runs(mask: Any, fps: float) -> list[list[float]]:
    """[start s, end s] of each run of True, after the track's first frame."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [[round(float(a) / fps, 3), round(float(b) / fps, 3)] for a, b in zip(edges[::2], edges[1::2], strict=True)]


def lanes(motion: Motion) -> list[dict[str, Any]]:
    """The movements as chips on lanes: name, and [start s, end s, short word, sentence] of each."""
    out = []
    for name, directions in LANES:
        chips = [
            [round(e.start_frame / motion.fps, 2), round(e.end_frame / motion.fps, 2), SHORT[e.direction], _sentence(e)]
            for e in motion.events
            if e.direction in directions
        ]
        out.append({"name": name, "chips": chips})
    return out


def _sentence(event: Any) -> str:
    amount = abs(event.amount)
    if event.code.startswith("rotation"):
        size = f" by {amount:.0f} degrees"
    elif event.code.startswith("displacement") or event.code in ("walk", "run"):
        size = f", {amount:.1f} m"
    else:
        size = ""
    does = WORDS[event.direction].does
    return f"{does[:1].upper()}{does[1:]}{size}"


def turned(angle: float, least: float = 15.0) -> str:
    """A facing or a turn in words: side and whole degrees; the sign never stands alone."""
    angle = (angle + 180.0) % 360.0 - 180.0
    if abs(angle) < least:
        return "ahead"
    return "back" if abs(angle) > 180.0 - least else f"{abs(angle):.0f}° {'left' if angle > 0 else 'right'}"


def moved(left: float, forward: float) -> str:
    """A displacement in words, the larger part first; parts under 10 cm are left out."""
    parts = [(abs(forward), "forward" if forward > 0 else "back"), (abs(left), "left" if left > 0 else "right")]
    spoken = [f"{v:.1f} m {side}" for v, side in sorted(parts, reverse=True) if v >= 0.1]
    return ", ".join(spoken) or "on the spot"


def quarters(m: Measures) -> list[dict[str, str]]:
    """One row per quarter, in words: where they moved, how they turned, which way they faced at its end."""
    rows = []
    for window in QUARTERS:
        a, b = m.bounds(window)
        left, forward = m.motion.path_m[b] - m.motion.path_m[a]
        known = bool(m.motion.heading_ok[a : b + 1].all())
        turns = [f"{m.total(d, window):.0f}° {side}" for d, side in (("turn_left", "left"), ("turn_right", "right")) if m.total(d, window)]
        rows.append(
            {
                "moved": moved(float(left), float(forward)),
                "turned": (", ".join(turns) or "no") if known else "unknown",
                "facing": turned(float(m.motion.heading_deg[b])) if known else "unknown",
            }
        )
    return rows


def facts(m: Measures) -> list[list[str]]:
    """The whole clip in a few numbers: [what, how much]."""
    left, forward = m.place("whole")
    heading = float(m.motion.heading_deg[-1])
    known = bool(m.motion.heading_ok.all())
    end = moved(left, forward)
    return [
        ["Path", f"{m.path('whole'):.1f} m"],
        [
            "Ended",
            "where they started" if end == "on the spot" else f"{end} of the start".replace("forward", "ahead").replace("back", "behind"),
        ],
        [
            "Facing at the end",
            {"ahead": "as at the start", "back": "the opposite way"}.get(turned(heading), turned(heading)) if known else "unknown",
        ],
        ["Turned in all", f"{m.turning('whole'):.0f}°" if known else "unknown"],
    ]
