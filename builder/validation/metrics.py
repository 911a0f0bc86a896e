"""How far a lifted track is from the true one, in the field's measures and in those that answers depend on.

Both tracks are brought to the frames in which both are valid, paired by `frame_ids`.  Protocols: WHAM and GVHMR for RTE, W- and
WA-MPJPE100 and jitter; everything "anchored" is in the person's own frame at the first common frame, as questions see it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from builder import geometry
from builder.motion import smooth
from builder.recipe import Recipe
from builder.types import Floats, Track, TrackError

PATH_SIGMA_S = 0.25
CHUNK = 100  # frames of W- and WA-MPJPE
LEAST_PATH_M = 1.0  # a shorter path says nothing about error per metre
FLIP_DEG = 90.0
STILL_M = 0.01  # a foot that truly moves less than this in a frame stands
# The joints that BlazePose (33) and SMPL-X's body (22) share: hips, knees, ankles, shoulders, elbows, wrists, left first.
SHARED = {
    33: (23, 24, 25, 26, 27, 28, 11, 12, 13, 14, 15, 16),
    22: (1, 2, 4, 5, 7, 8, 16, 17, 18, 19, 20, 21),
}
ANKLES = (4, 5)  # among the shared joints


@dataclass(frozen=True)
class Errors:
    """What is wrong with one lifted track.  None where the measure means nothing for this pair.

    Metres unless the name says otherwise; `_deg` degrees, `_percent` of the true path, `_mm` millimetres; ratios are lifted / true.
    `jitter` is the mean third difference of the root, 10 m/s^3.
    """

    frames: int
    path_m: float
    ate_m: float
    end_m: float
    drift_per_m: float | None
    rte_percent: float | None
    path_ratio: float | None
    scale_ratio: float | None
    height_m: float
    heading_median_deg: float
    heading_p90_deg: float
    flip_rate: float
    anchor_deg: float | None
    bearing_deg: float | None
    lean_median_deg: float
    w_mpjpe_mm: float | None
    wa_mpjpe_mm: float | None
    jitter: float
    jitter_truth: float
    foot_sliding_mm: float | None

    def as_json(self) -> dict[str, Any]:
        """Rounded numbers by name."""
        values = ((f.name, getattr(self, f.name)) for f in fields(self))
        return {name: value if value is None or isinstance(value, int) else round(float(value), 4) for name, value in values}


def paired(lifted: Track, truth: Track) -> tuple[Track, Track]:
    """Both tracks at the source frames that both have and in which both are valid, at the lifted track's rate.

    Raises TrackError when fewer than two frames are left.
    """
    _, a, b = np.intersect1d(lifted.frame_ids[lifted.valid], truth.frame_ids[truth.valid], return_indices=True)
    if len(a) < 2:
        raise TrackError(f"track {lifted.clip_id}/{lifted.person_id}: no frames in common with the truth, so nothing can be compared")
    return _rows(lifted, np.flatnonzero(lifted.valid)[a]), replace(_rows(truth, np.flatnonzero(truth.valid)[b]), fps=lifted.fps)


def _rows(track: Track, rows: Any) -> Track:
    return replace(
        track,
        valid=track.valid[rows],
        body_to_world=track.body_to_world[rows],
        position_m=track.position_m[rows],
        frame_ids=track.frame_ids[rows],
        joints_m=None if track.joints_m is None else track.joints_m[rows],
        camera_to_world=None if track.camera_to_world is None else track.camera_to_world[rows],
        extra={},
    )


def compare(lifted: Track, truth: Track, recipe: Recipe) -> Errors:
    """The errors of a lifted track of the person of `truth`.  Raises TrackError when they share no two frames."""
    lifted, truth = paired(lifted, truth)
    a, b = (geometry.anchor(t, recipe.anchor.window_s, recipe.anchor.max_range_deg) for t in (lifted, truth))
    path = float(_smoothed_path(b))
    off = a.position_m - b.position_m
    distance = np.linalg.norm(off, axis=1)
    turned = wrapped(geometry.heading_deg(a.body_to_world) - geometry.heading_deg(b.body_to_world))
    turned = turned[geometry.upright(b.body_to_world, recipe.signals.max_heading_tilt_deg)]
    lean = [geometry.lean_deg(t.body_to_world, geometry.heading_deg(t.body_to_world)) for t in (a, b)]
    lean = [v - v[: max(1, round(t.fps * recipe.anchor.window_s))].mean(axis=0) for v, t in zip(lean, (a, b), strict=True)]
    walks = path >= LEAST_PATH_M
    rotation, scale = aligned(a.position_m, b.position_m)
    rigid = (a.position_m - a.position_m.mean(axis=0)) @ rotation.T + b.position_m.mean(axis=0) - b.position_m
    ends = [t.position_m[-1, [0, 2]] for t in (a, b)]
    net = min(float(np.hypot(*end)) for end in ends)
    w, wa = mpjpe100(a.joints_m, b.joints_m)
    return Errors(
        frames=len(off),
        path_m=path,
        ate_m=float(np.sqrt((distance**2).mean())),
        end_m=float(distance[-1]),
        drift_per_m=float(distance[-1]) / path if walks else None,
        rte_percent=100 * float(np.linalg.norm(rigid, axis=1).mean()) / path if walks else None,
        path_ratio=float(_smoothed_path(a)) / path if walks else None,
        scale_ratio=1 / scale if walks else None,
        height_m=float(np.sqrt((off[:, 1] ** 2).mean())),
        heading_median_deg=float(np.median(np.abs(turned))) if len(turned) else 0.0,
        heading_p90_deg=float(np.quantile(np.abs(turned), 0.9)) if len(turned) else 0.0,
        flip_rate=float((np.abs(turned) > FLIP_DEG).mean()) if len(turned) else 0.0,
        anchor_deg=anchor_error_deg(lifted, truth, recipe),
        bearing_deg=abs(float(wrapped(_bearing(ends[0]) - _bearing(ends[1])))) if net >= LEAST_PATH_M else None,
        lean_median_deg=float(np.median(np.abs(lean[0] - lean[1]))),
        w_mpjpe_mm=w,
        wa_mpjpe_mm=wa,
        jitter=jitter(a.position_m, a.fps),
        jitter_truth=jitter(b.position_m, b.fps),
        foot_sliding_mm=foot_sliding_mm(a.joints_m, b.joints_m),
    )


def wrapped(degrees: Floats | float) -> Floats:
    """Angles in [-180, 180)."""
    return np.asarray((np.asarray(degrees) + 180.0) % 360.0 - 180.0)


def aligned(points_m: Floats, onto_m: Floats) -> tuple[Floats, float]:
    """Rotation (3, 3) and scale of the similarity that brings points (N, 3) onto others best (Umeyama 1991)."""
    a, b = points_m - points_m.mean(axis=0), onto_m - onto_m.mean(axis=0)
    u, d, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    return (u * sign) @ vt, float((d * sign).sum() / max(float((a**2).sum()), 1e-12))


def anchor_error_deg(lifted: Track, truth: Track, recipe: Recipe) -> float | None:
    """How far the heading that the clip is anchored on is off, seen in the first frame's camera; None where a camera is not known."""
    if lifted.camera_to_world is None or truth.camera_to_world is None:
        return None
    found = []
    for track in (lifted, truth):
        heading = geometry.heading_deg(track.body_to_world)
        facing = geometry.anchor_heading_deg(heading, track.fps, recipe.anchor.window_s, recipe.anchor.max_range_deg)
        assert track.camera_to_world is not None
        found.append(facing - _bearing(track.camera_to_world[0, [0, 2], 2]))
    return float(wrapped(found[0] - found[1]))


def mpjpe100(lifted: Floats | None, truth: Floats | None) -> tuple[float | None, float | None]:
    """W- and WA-MPJPE100 in millimetres over the shared joints; None where either has no such joints.

    Chunks of 100 frames, each aligned by a similarity: W on its first two frames, WA on all of it.
    """
    a, b = shared(lifted), shared(truth)
    if a is None or b is None:
        return None, None
    out: list[list[Floats]] = [[], []]
    for start in range(0, len(a), CHUNK):
        ours, theirs = a[start : start + CHUNK], b[start : start + CHUNK]
        if len(ours) < 2:
            continue
        for kind, upto in enumerate((2, len(ours))):
            points, onto = ours[:upto].reshape(-1, 3), theirs[:upto].reshape(-1, 3)
            rotation, scale = aligned(points, onto)
            moved = scale * (ours - points.mean(axis=0)) @ rotation.T + onto.mean(axis=0)
            out[kind].append(np.linalg.norm(moved - theirs, axis=2).ravel())
    w, wa = (1000 * float(np.concatenate(parts).mean()) for parts in out)
    return w, wa


def shared(joints_m: Floats | None) -> Floats | None:
    """The twelve joints (T, 12, 3) that both skeletons know, None for another skeleton."""
    if joints_m is None or joints_m.shape[1] not in SHARED:
        return None
    return np.asarray(joints_m[:, SHARED[joints_m.shape[1]]])


def jitter(position_m: Floats, fps: float) -> float:
    """Mean length of the root's third difference, in 10 m/s^3."""
    return 0.0 if len(position_m) < 4 else float(np.linalg.norm(np.diff(position_m, 3, axis=0), axis=1).mean() * fps**3 / 10)


def foot_sliding_mm(lifted: Floats | None, truth: Floats | None) -> float | None:
    """Mean way in mm per frame of the lifted ankles where the true ones move less than 1 cm (ankles, for want of SMPL's soles)."""
    a, b = shared(lifted), shared(truth)
    if a is None or b is None:
        return None
    ours, theirs = (np.linalg.norm(np.diff(j[:, ANKLES], axis=0), axis=2) for j in (a, b))
    return 1000 * float(ours[theirs < STILL_M].mean()) if (theirs < STILL_M).any() else None


def _bearing(floor: Floats) -> float:
    return float(np.degrees(np.arctan2(floor[0], floor[1])))


def _smoothed_path(track: Track) -> float:
    """Length of the floor path in metres without the sway of gait and the lifter's tremble (Gaussian, 0.25 s)."""
    floor = smooth(track.position_m[:, [0, 2]], PATH_SIGMA_S, track.fps)
    return float(np.hypot(*np.diff(floor, axis=0).T).sum())
