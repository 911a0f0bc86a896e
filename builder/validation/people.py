"""Which lifted track is of which person of the truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from builder.types import Floats, Track

FAR_M = 3.0  # apart, seen from the camera: not the same person


def matched(lifted: Sequence[Track], truths: Sequence[Track]) -> list[tuple[Track, Track | None]]:
    """Every true track with the lifted one of the same person, or None, in the order of `truths`.

    Places before the camera are compared where both know their camera; a single pair without is taken for the same person.
    """
    if not lifted:
        return [(truth, None) for truth in truths]
    cost = np.array([[_apart_m(a, b, len(lifted) == len(truths) == 1) for a in lifted] for b in truths])
    rows, columns = linear_sum_assignment(np.minimum(cost, 1e6))
    found = {int(r): lifted[int(c)] for r, c in zip(rows, columns, strict=True) if cost[r, c] <= FAR_M}
    return [(truth, found.get(place)) for place, truth in enumerate(truths)]


def _apart_m(lifted: Track, truth: Track, alone: bool) -> float:
    """Median distance across the line of sight over common frames, scaled to the same depth; infinity when it cannot be told."""
    if alone:
        return 0.0
    _, a, b = np.intersect1d(lifted.frame_ids[lifted.valid], truth.frame_ids[truth.valid], return_indices=True)
    ours, theirs = _before_camera(lifted), _before_camera(truth)
    if not len(a) or ours is None or theirs is None:
        return float("inf")
    ours, theirs = ours[lifted.valid][a], theirs[truth.valid][b]
    ours = ours * (theirs[:, 2:] / np.maximum(ours[:, 2:], 1e-6))
    return float(np.median(np.linalg.norm(ours - theirs, axis=1)))


def _before_camera(track: Track) -> Floats | None:
    """Root positions (T, 3) in camera axes."""
    if track.camera_to_world is None:
        return None
    camera = track.camera_to_world
    return np.einsum("tji,tj->ti", camera[:, :3, :3], track.position_m - camera[:, :3, 3])
