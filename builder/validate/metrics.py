"""Errors of one lifted track against the truth, in metres, degrees and seconds.

Two families.  *Anchored*: both tracks in the person's own frame at the first common frame, which is where questions are asked.
*Aligned*: the published protocols (WHAM, GVHMR), in which a rigid or similarity transform is taken out first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from builder.geometry import anchor, anchor_heading_deg, fill_invalid, heading_deg, upright
from builder.motion import smooth
from builder.recipe import Recipe
from builder.types import Bools, Floats, Track
from builder.validate.pairing import Pair

SPREAD_M = 0.5  # less is no path: it has neither a length to err by, nor a scale, nor a bearing
RTE_PATH_M = 1.0  # RTE divides by the path
STEP_S = 0.25  # smoothing of the floor path, so that sway and noise add no length
CHUNK = 100
FLIPPED_DEG = 90.0
CONTACT_M_S = 0.3  # 1 cm per frame at 30 frames per second
RATE_HZ = 30.0  # of the frames that the published numbers are per
# The same places of the body: number among SMPL's body joints, number among BlazePose's landmarks.
SHARED: Mapping[str, tuple[int, int]] = {
    "left_hip": (1, 23), "right_hip": (2, 24), "left_knee": (4, 25), "right_knee": (5, 26),
    "left_ankle": (7, 27), "right_ankle": (8, 28), "left_shoulder": (16, 11), "right_shoulder": (17, 12),
    "left_elbow": (18, 13), "right_elbow": (19, 14), "left_wrist": (20, 15), "right_wrist": (21, 16),
}  # fmt: skip
FEET: Mapping[str, tuple[int, int]] = {
    "left_ankle": (7, 27), "right_ankle": (8, 28), "left_foot": (10, 31), "right_foot": (11, 32),
}  # fmt: skip
SMPL_JOINTS, BLAZEPOSE_LANDMARKS = 22, 33


def measure(pair: Pair, recipe: Recipe) -> dict[str, Any]:
    """Every error of a pair by name; None where it means nothing (too short a path, no joints, nothing to align by)."""
    out = _anchored(pair, recipe)
    out |= _aligned(pair, out["path_m"])
    error, how = heading_errors(pair, recipe)
    known = np.abs(error[np.isfinite(error)])
    out |= {
        "heading_frame": how,
        "heading_error_deg": _or_none(np.median, known),
        "heading_error_p90_deg": _or_none(lambda v: np.quantile(v, 0.9), known),
        "heading_flip_rate": _or_none(lambda v: (v > FLIPPED_DEG).mean(), known),
        "heading_frames": int(known.size),
        "anchor_heading_error_deg": None if how == "anchor" else _anchor_heading_error(pair, recipe),
    }
    return out | _bodies(pair)


def _or_none(what: Any, values: Floats) -> float | None:
    return float(what(values)) if len(values) else None


def floor_path_m(track: Track) -> float:
    """Metres walked over the floor, sway and noise smoothed away."""
    steps = np.diff(smooth(fill_invalid(track).position_m[:, [0, 2]], STEP_S, track.fps), axis=0)
    return float(np.hypot(*steps.T).sum())


def _anchored(pair: Pair, recipe: Recipe) -> dict[str, Any]:
    """Errors in the frame that questions are asked in: whatever the first second got wrong is in all of them."""
    cfg, rows = recipe.anchor, pair.both
    lifted = fill_invalid(anchor(pair.lifted, cfg.window_s, cfg.max_range_deg))
    truth = fill_invalid(anchor(pair.truth, cfg.window_s, cfg.max_range_deg))
    off = (lifted.position_m - truth.position_m)[rows]
    length, lifted_length = floor_path_m(truth), floor_path_m(lifted)
    ends = np.array([t.position_m[rows][-1, [0, 2]] for t in (lifted, truth)])
    bearings = np.degrees(np.arctan2(ends[:, 0], ends[:, 1]))
    moved = length >= SPREAD_M
    end_error = float(np.linalg.norm(off[-1]))
    return {
        "seconds": (pair.truth.num_frames - 1) / pair.truth.fps,
        "frames": int(rows.sum()),
        "path_m": length,
        "ate_m": float(np.sqrt((off**2).sum(axis=1).mean())),
        "end_error_m": end_error,
        "drift_per_m": end_error / length if moved else None,
        "path_ratio": lifted_length / length if moved else None,
        "height_drift_m": float(off[-1, 1]),
        "bearing_error_deg": float(_wrapped(bearings[0] - bearings[1])) if np.hypot(*ends[1]) >= SPREAD_M else None,
    }


def _aligned(pair: Pair, path_m: float) -> dict[str, Any]:
    """RTE as WHAM's code has it (rigid in 3D, by the summed steps of the true root in 3D), scale, and the root's jitter."""
    rows = pair.both
    lifted, truth = pair.lifted.position_m[rows], pair.truth.position_m[rows]
    moved = path_m >= SPREAD_M
    _, rotation, offset = alignment(lifted, truth, scaled=False)
    error = np.linalg.norm(lifted @ rotation.T + offset - truth, axis=1)
    steps = np.linalg.norm(np.diff(truth, axis=0), axis=1).sum()
    return {
        "rte_percent": float(100 * error.mean() / steps) if path_m >= RTE_PATH_M else None,
        "scale_error": 1.0 / alignment(lifted, truth, scaled=True)[0] - 1.0 if moved else None,
        "root_jitter": jitter(pair.lifted.position_m[:, None], rows, pair.lifted.fps),
        "root_jitter_truth": jitter(pair.truth.position_m[:, None], rows, pair.truth.fps),
    }


def alignment(moving: Floats, fixed: Floats, scaled: bool) -> tuple[float, Floats, Floats]:
    """(s, R, t) that bring `moving` (N, 3) nearest to `fixed` (N, 3) as s R p + t (Umeyama 1991); s = 1 unless `scaled`."""
    centre, target = moving.mean(axis=0), fixed.mean(axis=0)
    a, b = moving - centre, fixed - target
    u, d, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt)) or 1.0])
    rotation = (u * sign) @ vt
    power = float((a**2).sum())
    s = float((d * sign).sum() / power) if scaled and power > 0 else 1.0
    return s, rotation, target - s * rotation @ centre


def jitter(points: Floats, rows: Bools, fps: float) -> float | None:
    """Mean size of the third difference of points (T, J, 3) by time, in 10 m/s3, over runs of four valid rows."""
    third = points[3:] - 3 * points[2:-1] + 3 * points[1:-2] - points[:-3]
    runs = rows[3:] & rows[2:-1] & rows[1:-2] & rows[:-3]
    return float(np.linalg.norm(third[runs], axis=-1).mean()) * fps**3 / 10 if runs.any() else None


def heading_errors(pair: Pair, recipe: Recipe) -> tuple[Floats, str]:
    """Lifted minus true heading (T,), degrees within 180, NaN where one of them has none; and how the two worlds were laid together.

    "camera": by the cameras of the first second, which both know.  "path": by turning the lifted floor path onto the true one.
    "anchor": neither, so both are counted from their own first heading and an error of that one cannot show.
    """
    turn, how = _world_turn(pair, recipe)
    lifted, truth = fill_invalid(pair.lifted), fill_invalid(pair.truth)
    error = _wrapped(heading_deg(lifted.body_to_world) + turn - heading_deg(truth.body_to_world))
    limit = recipe.signals.max_heading_tilt_deg
    known = pair.both & upright(lifted.body_to_world, limit) & upright(truth.body_to_world, limit)
    return np.where(known, error, np.nan), how


def _world_turn(pair: Pair, recipe: Recipe) -> tuple[float, str]:
    """The yaw in degrees that turns the lifted world onto the true one, and where it comes from."""
    rows, (a, b) = pair.both, (pair.lifted, pair.truth)
    if a.camera_to_world is not None and b.camera_to_world is not None:
        first = np.flatnonzero(rows)[: max(1, round(a.fps))]
        both = np.einsum("tij,tkj->ik", b.camera_to_world[first, :3, :3], a.camera_to_world[first, :3, :3])
        return float(np.degrees(np.arctan2(both[0, 2] - both[2, 0], both[0, 0] + both[2, 2]))), "camera"
    (x, z), (tx, tz) = ((t.position_m[rows][:, [0, 2]] - t.position_m[rows][:, [0, 2]].mean(axis=0)).T for t in (a, b))
    if np.hypot(tx, tz).max() >= SPREAD_M:
        return float(np.degrees(np.arctan2((tx * z - tz * x).sum(), (tx * x + tz * z).sum()))), "path"
    return _first_heading(b, recipe) - _first_heading(a, recipe), "anchor"


def _first_heading(track: Track, recipe: Recipe) -> float:
    cfg = recipe.anchor
    return anchor_heading_deg(heading_deg(track.body_to_world[track.valid]), track.fps, cfg.window_s, cfg.max_range_deg)


def _anchor_heading_error(pair: Pair, recipe: Recipe) -> float:
    """By how much the heading that questions count from is off, degrees; positive when the lifted one is too far left."""
    turn, _ = _world_turn(pair, recipe)
    return float(_wrapped(_first_heading(pair.lifted, recipe) + turn - _first_heading(pair.truth, recipe)))


def _wrapped(degrees: Any) -> Any:
    return (degrees + 180.0) % 360.0 - 180.0


def joints_of(track: Track, places: Mapping[str, tuple[int, int]]) -> Floats | None:
    """(T, len(places), 3) of those places of the body in the track's world, metres; None for joints of no known kind."""
    count = 0 if track.joints_m is None else track.joints_m.shape[1]
    if track.joints_m is None or count < SMPL_JOINTS:
        return None
    return track.joints_m[:, [blaze if count == BLAZEPOSE_LANDMARKS else smpl for smpl, blaze in places.values()]]


def _bodies(pair: Pair) -> dict[str, Any]:
    """Errors of the joints that both bodies have, in mm; BlazePose's lie up to 5 cm beside SMPL's, and no alignment takes that out."""
    names = ("w_mpjpe100_mm", "wa_mpjpe100_mm", "joint_jitter", "joint_jitter_truth", "foot_sliding_mm")
    lifted, truth = joints_of(pair.lifted, SHARED), joints_of(pair.truth, SHARED)
    feet, still = joints_of(pair.lifted, FEET), joints_of(pair.truth, FEET)
    if lifted is None or truth is None or feet is None or still is None:
        return dict.fromkeys(names)
    rows = pair.both & np.isfinite(lifted).all(axis=(1, 2)) & np.isfinite(truth).all(axis=(1, 2))
    first, whole = mpjpe100_mm(lifted[rows], truth[rows])
    values = (
        first,
        whole,
        jitter(lifted, rows, pair.lifted.fps),
        jitter(truth, rows, pair.truth.fps),
        foot_sliding_mm(feet, still, rows, pair.lifted.fps),
    )
    return dict(zip(names, values, strict=True))


def mpjpe100_mm(lifted: Floats, truth: Floats) -> tuple[float | None, float | None]:
    """(W-MPJPE100, WA-MPJPE100) of joints (T, J, 3): per 100 frames a similarity from the first two, or from all of them."""
    first: list[Floats] = []
    whole: list[Floats] = []
    for start in range(0, len(lifted), CHUNK):
        a, b = lifted[start : start + CHUNK], truth[start : start + CHUNK]
        if len(a) < 2:
            continue
        for count, errors in ((2, first), (len(a), whole)):
            s, rotation, offset = alignment(a[:count].reshape(-1, 3), b[:count].reshape(-1, 3), scaled=True)
            errors.append(np.linalg.norm(s * a @ rotation.T + offset - b, axis=-1).mean(axis=1))
    return (1000 * float(np.concatenate(first).mean()), 1000 * float(np.concatenate(whole).mean())) if first else (None, None)


def foot_sliding_mm(lifted: Floats, truth: Floats, rows: Bools, fps: float) -> float | None:
    """How far feet (T, J, 3) slide, in mm per frame at 30 per second, while the true ones rest (under 1 cm per such frame)."""
    pairs = rows[1:] & rows[:-1]
    slide, rest = (np.linalg.norm(np.diff(points, axis=0), axis=-1)[pairs] * fps for points in (lifted, truth))
    return _or_none(lambda v: 1000 * v.mean() / RATE_HZ, slide[rest < CONTACT_M_S])
