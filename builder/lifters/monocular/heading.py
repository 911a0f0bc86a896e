"""Which way a person faces and leans, from landmarks in a +Y-up world.

The network now and then takes a back for a front and swaps left and right.  A turn of 180 degrees within a frame or two is no turn,
so the facing is the cheapest path through {as seen, turned about}.  Travel has hardly a say in which of two consistent paths it is,
for people do walk backwards and sideways; nor does the face, whose landmarks the network calls visible from behind as well.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.ndimage import median_filter

from builder.geometry import yaw_matrix
from builder.lifters.monocular.root import smoothed
from builder.types import Bools, Floats

SHOULDERS, HIPS = (11, 12), (23, 24)

REFERENCE_FPS = 30.0
STEP_DEG, STEP_MAX = 12.0, 8.0  # a change of facing from frame to frame costs 1 per STEP_DEG, at most STEP_MAX
TRUST = 0.12  # what turning a frame about costs: the network is right far more often than wrong
TRAVEL = 0.03  # and this more or less when the pose faces along or against a walk
WALKING = 0.5, 1.3  # m/s at which travel begins to speak, and speaks fully

# What makes up for the network's own errors, measured on 15 rendered people and seen on a real one.
HIPS_SHARE = 0.15  # seen from the side, hips come out 20 degrees turned towards the camera, shoulders 10
PROFILE_DEG, PROFILE_AT_DEG, PROFILE_WIDTH_DEG = 9.0, 88.0, 18.0
# Leaning sideways in the picture comes out at 0.9 of what it is; towards the camera or away at 0.6 from the front, 0.4 from the side,
# and not at all from behind, where more gain would only be more noise.
DEPTH_GAIN, DEPTH_GAIN_FRONT = 1.2, 0.4

YAW_S, LEAN_S = 0.12, 0.12
SPIKE_S = 0.17  # the median that takes out single wild frames
FLAT_MIN_M = 0.06  # horizontal left-right extent under which the facing is not seen (a person lying on the side)


class Facing(NamedTuple):
    """body_to_world (n, 3, 3); flipped (n,) where the landmarks' left and right were taken to be swapped; confidence 0-1, how much
    speaks for this facing rather than its opposite; jitter_deg, the median change that smoothing made."""

    body_to_world: Floats
    flipped: Bools
    confidence: float
    jitter_deg: float


def facing(joints_m: Floats, root_m: Floats, camera_m: Floats, weight: Floats, fps: float) -> Facing:
    """The facing and lean of the pelvis over n frames.

    joints_m (n, 33, 3), root_m (n, 3) and camera_m (n, 3), where the camera is, in a +Y-up world, metres; weight (n,) 0 where the
    person is not seen.
    """
    seen = np.flatnonzero(weight > 0)
    up = trunk_up(joints_m, root_m - camera_m)
    up_seen = _without_spikes(up[seen], fps)
    up = np.zeros((len(weight), 3))
    up[seen] = up_seen
    up = smoothed(up, weight, LEAN_S * fps)
    up /= np.linalg.norm(up, axis=1, keepdims=True)
    tilt = tilting(up)
    left = np.einsum("nji,nj->ni", tilt, left_axis(joints_m))  # as it would be upright
    yaw = from_profile(np.degrees(np.arctan2(-left[:, 2], left[:, 0])), camera_m - root_m)
    flipped = np.zeros(len(weight), dtype=bool)
    per_frame = REFERENCE_FPS / fps
    evidence = per_frame * (TRUST + travel_against(yaw, root_m, weight, fps)[seen])
    flipped[seen], confidence = unflipped(yaw[seen], evidence, per_frame * np.diff(seen, prepend=seen[0] - 1))
    turned = np.unwrap(yaw[seen] + 180.0 * flipped[seen], period=360.0)
    steady = np.zeros((len(weight), 1))
    steady[seen, 0] = _without_spikes(turned[:, None], fps)[:, 0]
    extent = np.hypot(left[:, 0], left[:, 2])
    sure = np.where(weight > 0, weight * np.clip(extent / FLAT_MIN_M, 0.02, None), 0.0)
    heading = smoothed(steady, sure, YAW_S * fps)[:, 0]
    jitter = float(np.median(np.abs(heading[seen] - turned)))
    return Facing(tilt @ yaw_matrix(heading), flipped, confidence, jitter)


def left_axis(joints_m: Floats) -> Floats:
    """The person's left (n, 3), not normalised: by the shoulders, and a little by the hips, which are seen worse."""
    hips, shoulders = (joints_m[:, a] - joints_m[:, b] for a, b in (HIPS, SHOULDERS))
    return np.asarray((shoulders + HIPS_SHARE * hips) / (1 + HIPS_SHARE))


def trunk_up(joints_m: Floats, ray_m: Floats) -> Floats:
    """Unit vectors (n, 3) from the middle of the hips to that of the shoulders, in a +Y-up world.

    How far it leans along the line of sight `ray_m` (n, 3) is what the network sees worst, and worse from behind.
    """
    trunk = _unit(joints_m[:, list(SHOULDERS)].mean(axis=1) - joints_m[:, list(HIPS)].mean(axis=1))
    ray = _unit(ray_m)
    front = -(_unit(np.cross(left_axis(joints_m), [0.0, 1.0, 0.0])) * ray).sum(axis=1, keepdims=True)
    depth = ((trunk - [0.0, 1.0, 0.0]) * ray).sum(axis=1, keepdims=True)
    return _unit(trunk + (DEPTH_GAIN - 1.0 + DEPTH_GAIN_FRONT * front) * depth * ray)


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9))


def tilting(up: Floats) -> Floats:
    """Rotations (n, 3, 3) that take +Y to the unit vectors `up` (n, 3) the shortest way; straight down has none, so nearly does."""
    down = up[:, 1:2] < -0.9999
    x, y, z = np.moveaxis(np.where(down, np.array([0.0, -0.9999, np.sqrt(1 - 0.9999**2)]), up), -1, 0)
    k = 1 / (1 + y)
    rows = [[1 - k * x * x, x, -k * x * z], [-x, y, -z], [-k * x * z, z, 1 - k * z * z]]
    return np.moveaxis(np.array(rows), -1, 0)


def from_profile(yaw: Floats, to_camera_m: Floats) -> Floats:
    """Headings (n,) in degrees without the network's error in profile, where it turns people some degrees towards the camera."""
    from_camera = (yaw - np.degrees(np.arctan2(to_camera_m[:, 0], to_camera_m[:, 2])) + 180.0) % 360.0 - 180.0
    off = (np.abs(from_camera) - PROFILE_AT_DEG) / PROFILE_WIDTH_DEG
    return np.asarray(yaw + np.sign(from_camera) * PROFILE_DEG * np.exp(-0.5 * off**2))


def travel_against(yaw: Floats, root_m: Floats, weight: Floats, fps: float) -> Floats:
    """What travel says (n,) against turning the pose about: positive when the person goes where the pose faces."""
    floor = smoothed(root_m[:, [0, 2]], weight, 0.2 * fps)
    velocity = np.gradient(floor, axis=0) * fps
    speed = np.hypot(*velocity.T)
    along = np.cos(np.radians(yaw) - np.arctan2(velocity[:, 0], velocity[:, 1]))
    return np.asarray(TRAVEL * along * np.clip((speed - WALKING[0]) / (WALKING[1] - WALKING[0]), 0.0, 1.0))


def unflipped(yaw: Floats, turning: Floats, gaps: Floats) -> tuple[Bools, float]:
    """Which frames (n,) to turn about so that the facing `yaw` (degrees) changes as people turn, and how sure that is, 0-1.

    `turning` (n,) are the costs of turning a frame about; `gaps` (n,) frames since the one before, at REFERENCE_FPS.  The sureness
    is 0.5 where the evidence for this path over its opposite is worth one flip.
    """
    n = len(yaw)
    change = np.abs((np.diff(yaw) + 180.0) % 360.0 - 180.0)
    same = np.minimum(change / STEP_DEG / gaps[1:], STEP_MAX)
    other = np.minimum((180.0 - change) / STEP_DEG / gaps[1:], STEP_MAX)
    cost = np.array([0.0, turning[0]])
    came = np.zeros((n, 2), dtype=int)
    for k in range(1, n):
        step = np.array([[same[k - 1], other[k - 1]], [other[k - 1], same[k - 1]]])
        ways = cost[:, None] + step
        came[k] = ways.argmin(axis=0)
        cost = ways.min(axis=0) + np.array([0.0, turning[k]])
    state = np.zeros(n, dtype=bool)
    now = int(cost.argmin())
    for k in range(n - 1, -1, -1):
        state[k] = bool(now)
        now = int(came[k, now])
    # The opposite path has the same steps, so only the evidence of the frames tells the two apart.
    margin = float((np.where(state, -turning, turning)).sum())
    return state, float(np.clip(margin / (margin + STEP_MAX), 0.0, 1.0)) if margin > 0 else 0.0


def _without_spikes(values: Floats, fps: float) -> Floats:
    """Values (n, c) with single wild frames replaced by the median about them."""
    width = 2 * round(SPIKE_S * fps / 2) + 1
    return np.asarray(median_filter(values, size=(width, 1), mode="nearest"))
