"""The lifted and the true track of one person laid over the same frames, and who is who when a clip shows several people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.transform import Rotation, Slerp

from builder.geometry import crop, fill_invalid
from builder.types import Bools, Floats, Track, TrackError

LEAST_FRAMES = 4
FARTHEST_DEG = 15.0  # seen from the camera: who is further away is somebody else
FARTHEST_M = 1.5  # the same where there is no camera and both worlds are one


@dataclass(frozen=True, eq=False)
class Pair:
    """One person twice, over the same T rows: as lifted and as it was.  In row 0 both are valid; each keeps its own `valid`."""

    lifted: Track
    truth: Track

    @property
    def both(self) -> Bools:
        """Rows (T,) in which both are valid."""
        return self.lifted.valid & self.truth.valid


def seconds_of(track: Track) -> Floats:
    """Time (T,) of every row in seconds of the source: its frame number by the source's rate, which step and fps give."""
    step = float(np.median(np.diff(track.frame_ids)))
    return np.asarray(track.frame_ids / (track.fps * step))


def paired(lifted: Track, truth: Track) -> Pair:
    """Both tracks from the first row where both are valid to the last that both cover, on the lifted track's rows.

    Truth is taken from the row of the same time, or between its rows where there is none (cameras and parameters then from the
    nearest row).  Raises TrackError when they share fewer than LEAST_FRAMES valid rows.
    """
    ours, theirs = seconds_of(lifted), seconds_of(truth)
    slack = 0.5 / truth.fps
    inside = np.flatnonzero((ours >= theirs[0] - slack) & (ours <= theirs[-1] + slack))
    if inside.size >= LEAST_FRAMES:
        lifted = crop(lifted, int(inside[0]), int(inside[-1]) + 1)
        truth = _at(truth, theirs, seconds_of(lifted), lifted)
        common = np.flatnonzero(lifted.valid & truth.valid)
        if common.size >= LEAST_FRAMES:
            first, end = int(common[0]), lifted.num_frames
            # Anchored or not, both are anchored again, on the first row that they share.
            return Pair(*(replace(crop(t, first, end), frame="world") for t in (lifted, truth)))
    raise TrackError(
        f"track {lifted.clip_id}/{lifted.person_id}: expected {LEAST_FRAMES} or more frames in which the lifted and the true track are "
        f"both valid, found fewer; lifted covers {ours[0]:.2f} to {ours[-1]:.2f} s, truth {theirs[0]:.2f} to {theirs[-1]:.2f} s"
    )


def _at(track: Track, own_s: Floats, wanted_s: Floats, like: Track) -> Track:
    """The track at other times, with the rows, rate and frame numbers of `like`."""
    nearest = np.clip(np.rint(np.interp(wanted_s, own_s, np.arange(len(own_s)))).astype(int), 0, len(own_s) - 1)
    filled = fill_invalid(track)
    position, rotation, joints = filled.position_m[nearest], filled.body_to_world[nearest], None
    if track.joints_m is not None:
        joints = track.joints_m[nearest]
    if np.abs(own_s[nearest] - wanted_s).max() > 1e-6:
        at = np.clip(wanted_s, own_s[0], own_s[-1])
        position = _between(filled.position_m, own_s, at)
        rotation = np.asarray(Slerp(own_s, Rotation.from_matrix(filled.body_to_world))(at).as_matrix())
        joints = None if track.joints_m is None else _between(track.joints_m, own_s, at)
    return replace(
        track,
        fps=like.fps,
        valid=track.valid[nearest],
        body_to_world=rotation,
        position_m=position,
        frame_ids=like.frame_ids,
        joints_m=joints,
        camera_to_world=None if track.camera_to_world is None else track.camera_to_world[nearest],
        extra={k: v[nearest] if v.shape[:1] == (track.num_frames,) else v for k, v in track.extra.items()},
    )


def _between(values: Floats, own_s: Floats, at: Floats) -> Floats:
    columns = [np.interp(at, own_s, column) for column in values.reshape(len(values), -1).T]
    return np.stack(columns, axis=1).reshape(len(at), *values.shape[1:])


def matched(lifted: Sequence[Track], truths: Sequence[Track]) -> list[tuple[int, int]]:
    """Which lifted track (index) is which true one, each at most once and as near to each other as can be had.

    One of each is a match.  Several are told apart by the angle between them as the camera sees it, where both know their camera,
    else by the distance in a world that both share; who is farther off than FARTHEST_DEG or FARTHEST_M is nobody's match.
    """
    if len(lifted) == 1 and len(truths) == 1:
        return [(0, 0)]
    if not lifted or not truths:
        return []
    cost = np.array([[_apart(a, b) for b in truths] for a in lifted])
    rows, columns = linear_sum_assignment(np.minimum(cost, 10.0))
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if cost[i, j] <= 1.0]


def _apart(lifted: Track, truth: Track) -> float:
    """How far apart two tracks are, in units of what is too far for one person; infinite when they share too few frames."""
    try:
        pair = paired(lifted, truth)
    except TrackError:
        return float("inf")
    rows = pair.both
    a, b = pair.lifted, pair.truth
    if a.camera_to_world is None or b.camera_to_world is None:
        return float(np.median(np.linalg.norm(a.position_m - b.position_m, axis=1)[rows])) / FARTHEST_M
    rays = []
    for track, camera in ((a, a.camera_to_world), (b, b.camera_to_world)):
        seen = np.einsum("tij,ti->tj", camera[:, :3, :3], track.position_m - camera[:, :3, 3])
        rays.append(seen / np.linalg.norm(seen, axis=1, keepdims=True))
    angle = np.degrees(np.arccos(np.clip((rays[0] * rays[1]).sum(axis=1), -1.0, 1.0)))
    return float(np.median(angle[rows])) / FARTHEST_DEG
