"""Which way is up, where the floor is, and how many metres one unit of the camera's motion is: all of it from the people.

A person is the ruler: the landmarks are metric, so feet on the floor tell how far the floor is.  Standing bodies tell the vertical
to about four degrees; over a few metres of path that would be a step of 20 cm, so the floor itself has the last word where it shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from builder.lifters.monocular.records import Camera
from builder.lifters.monocular.root import stretched
from builder.types import Bools, Floats, LiftError

SHOULDERS, HIPS, ANKLES, SOLES = (11, 12), (23, 24), (27, 28), (29, 30, 31, 32)
SHOWN = 0.5  # visibility from which a landmark counts
SOLE_M = 0.03  # the sole below the landmarks of heel and toes
UPRIGHT_DEG = 35.0  # a body axis so far from the others is not that of somebody standing
UPRIGHT_FRAMES = 10
STRAIGHT = 0.92  # how far apart, as a share of a leg's length, its ends are in somebody who stands
AXIS_DEG = 2.0, 4.0  # standard deviation of the vertical that bodies tell: across the line of sight, and along it
FOOT_M, DEPTH_SHARE = 0.06, 0.06  # standard deviations of a planted foot: its height, and its distance as a share of it
STEP_S = 0.5  # feet nearer in time than this are no news
PLANE_DEG = 15.0  # how far the floor may be from the bodies' vertical
FLOOR_SHARE = 0.02  # of the camera's height: how near the floor's points lie to it
DRAWS = 400
FLOOR_POINTS = 20
SAMPLES = 40  # frames that are asked for the floor beside the feet
SPREAD = 0.10, 0.20  # of the scale: doubtful, not to be trusted
HALVES = 0.15
CAMERA_M = 0.2, 6.0  # heights of a camera above the floor


@dataclass(frozen=True, eq=False)
class Body:
    """A person before the camera: root_m (n, 3) and joints_m (n, 33, 3) in camera axes, metres; visibility (n, 33); seen (n,)."""

    root_m: Floats
    joints_m: Floats
    visibility: Floats
    seen: Bools


@dataclass(frozen=True, eq=False)
class World:
    """camera_to_world (n, 4, 4) in metres, +Y up and the floor at 0, the first camera above the origin; `scale` metres per unit of
    the camera's own centre, `scale_spread` its spread over the frames (68 % of them), `up` (3,) in the camera's own world; doubts."""

    camera_to_world: Floats
    scale: float
    scale_spread: float
    up: Floats
    reasons: tuple[str, ...] = ()


class Feet(NamedTuple):
    """The lowest sole of somebody per frame: the frame's number (k,); where it is from the camera, in its world's axes (k, 3), metres."""

    frame: NDArray[np.int64]
    place: Floats


def grounded(bodies: Sequence[Body], camera: Camera, fps: float) -> World:
    """The metric upright world of these people.  Raises LiftError when up or scale cannot be told or are not to be trusted."""
    up = body_up(bodies, camera)
    feet = [lowest(body, camera, up) for body in bodies]
    reasons: list[str] = []
    scale, spread = 1.0, 0.0
    plane = floor_of_points(camera, bodies, up) if camera.mode == "moving" else None
    if camera.mode == "moving":
        if plane is None:
            raise LiftError("scale: too little of the floor beside the feet is seen while the camera travels")
        scale, spread, doubts = floor_scale(feet, camera, plane)
        reasons += doubts
        up = plane[0]
        height = scale * plane[1]
    else:
        up, height = floor_of_feet(feet, up, fps)
    if not CAMERA_M[0] <= height <= CAMERA_M[1]:
        raise LiftError(f"floor: the camera comes out {height:.1f} m above it")
    turn = upright_axes(up)
    poses = np.tile(np.eye(4), (len(camera.rotation), 1, 1))
    poses[:, :3, :3] = turn @ camera.rotation
    poses[:, :3, 3] = scale * (camera.centre - camera.centre[0]) @ turn.T + [0.0, height, 0.0]
    return World(poses, scale, spread, up, tuple(reasons))


def upright_axes(up: Floats) -> Floats:
    """The rotation (3, 3) that takes unit `up` (3,) to +Y, and the camera's axis to the plane of +Y and +Z where that is possible."""
    forward = np.array([0.0, 0.0, 1.0]) if abs(up[2]) < 0.95 else np.array([0.0, -1.0, 0.0])
    forward = forward - (forward @ up) * up
    forward /= np.linalg.norm(forward)
    return np.stack([np.cross(up, forward), up, forward])


def placed_joints(body: Body) -> Floats:
    """joints (n, 33, 3) about the root as it was given, which may have been smoothed after the joints were placed."""
    return np.asarray(body.joints_m - body.joints_m[:, HIPS].mean(axis=1, keepdims=True) + body.root_m[:, None])


def body_up(bodies: Sequence[Body], camera: Camera) -> Floats:
    """The vertical (3,) in the camera's world, from ankles to shoulders over the frames in which people stand on straight legs.

    Raises LiftError when nobody is ever seen standing.
    """
    axes = []
    for body in bodies:
        visible = body.visibility > SHOWN
        shown = body.seen & visible[:, SHOULDERS].any(axis=1) & visible[:, ANKLES].any(axis=1)
        straight = shown & (np.nan_to_num(stretched(body.joints_m)) > STRAIGHT)
        shown = straight if straight.sum() >= UPRIGHT_FRAMES else shown
        axis = body.joints_m[shown][:, SHOULDERS].mean(axis=1) - body.joints_m[shown][:, ANKLES].mean(axis=1)
        axes.append(np.einsum("nij,nj->ni", camera.rotation[shown], axis / np.linalg.norm(axis, axis=1, keepdims=True)))
    every = np.concatenate(axes)
    if len(every) < UPRIGHT_FRAMES:
        raise LiftError("vertical: nobody is seen from shoulders to ankles for long enough to tell which way is up")
    up = np.median(every, axis=0)
    for _ in range(5):
        up = up / np.linalg.norm(up)
        near = every @ up > np.cos(np.radians(UPRIGHT_DEG))
        if near.sum() < UPRIGHT_FRAMES:
            raise LiftError("vertical: nobody is seen standing for long enough to tell which way is up")
        up = np.median(every[near], axis=0)
    return np.asarray(up / np.linalg.norm(up))


def lowest(body: Body, camera: Camera, up: Floats) -> Feet:
    """The lowest sole in the frames in which feet are seen."""
    shown = np.flatnonzero(body.seen & (body.visibility[:, SOLES] > SHOWN).any(axis=1))
    soles = placed_joints(body)[shown][:, SOLES]
    soles = np.einsum("nij,nkj->nki", camera.rotation[shown], soles)
    which = (soles @ up).argmin(axis=1)
    return Feet(shown.astype(np.int64), soles[np.arange(len(shown)), which] - SOLE_M * up)


def floor_of_feet(feet: Sequence[Feet], up: Floats, fps: float) -> tuple[Floats, float]:
    """The vertical (3,) and the camera's height above the floor in metres, for a camera that stays in one place.

    A plane is laid through the planted feet, and the bodies' vertical counts as one more measurement of it: the farther the path
    spreads, the more the feet say.
    """
    place = np.concatenate([f.place for f in feet])
    share = np.concatenate([np.full(len(f.frame), 1.0 / max(1.0, STEP_S * fps)) for f in feet])
    if len(place) < UPRIGHT_FRAMES:
        raise LiftError("floor: no feet are seen for long enough to tell where the floor is")
    distance = np.linalg.norm(place, axis=1)
    across = np.cross(up, np.median(place, axis=0))
    across /= np.linalg.norm(across)
    side = np.stack([across, np.cross(across, up)])  # two directions along the floor: across the line of sight, and away
    normal, height, bound = up, -float(np.median(place @ up)), np.ones(len(place))
    for _ in range(10):
        steep = np.abs(place @ normal) / distance
        sigma = np.hypot(FOOT_M, DEPTH_SHARE * distance * steep)
        miss = place @ normal + height
        bound = 1 / (1 + (np.minimum(miss, 0) / (2 * sigma)) ** 2 + (np.maximum(miss, 0) / sigma) ** 2)  # a foot in the air counts less
        weight = share * bound / sigma**2
        matrix = np.stack([*(place @ side.T).T, np.ones(len(place))], axis=1)
        prior = np.diag([*1 / np.radians(AXIS_DEG) ** 2, 0.0])
        tilt = np.linalg.solve((matrix * weight[:, None]).T @ matrix + prior, -(matrix * weight[:, None]).T @ (place @ up))
        normal = up + tilt[:2] @ side
        length = float(np.linalg.norm(normal))
        normal, height = normal / length, float(tilt[2]) / length
    return normal, height


def floor_of_points(camera: Camera, bodies: Sequence[Body], up: Floats) -> tuple[Floats, float] | None:
    """The floor's normal (3,) and the first camera's height above it in the camera's units, from the background's points about the feet.

    None when too few points lie on one plane there.
    """
    weight = _beside_feet(camera, bodies)
    near = np.flatnonzero(weight > 0)
    if len(near) < FLOOR_POINTS:
        return None
    points, weight = camera.points[near], np.sqrt(weight[near])
    generator = np.random.default_rng(0)
    drawn = np.stack([generator.choice(len(points), 3, replace=False) for _ in range(DRAWS)])
    a, b, c = points[drawn].transpose(1, 0, 2)
    normal = np.cross(b - a, c - a)
    length = np.linalg.norm(normal, axis=1)
    good = length > 1e-12
    normal, a = normal[good] / length[good, None], a[good]
    normal *= np.sign(normal @ up)[:, None]
    height = -(normal * a).sum(axis=1)
    lowest_camera = (camera.centre @ normal.T).min(axis=0) + height
    fits = (normal @ up > np.cos(np.radians(PLANE_DEG))) & (lowest_camera > 0)
    if not fits.any():
        return None
    normal, height = normal[fits], height[fits]
    off = np.abs(points @ normal.T + height)
    best = int((weight[:, None] * (off < FLOOR_SHARE * height)).sum(axis=0).argmax())
    plane, level = normal[best], float(height[best])
    for _ in range(5):
        on = np.abs(points @ plane + level) < FLOOR_SHARE * level
        if on.sum() < FLOOR_POINTS:
            return None
        middle = np.average(points[on], axis=0, weights=weight[on])
        plane = np.linalg.svd((points[on] - middle) * np.sqrt(weight[on])[:, None])[2][2]
        plane = plane * np.sign(plane @ up)
        level = -float(plane @ middle)
        if level <= 0 or plane @ up < np.cos(np.radians(PLANE_DEG)):
            return None
    return plane, level


def _beside_feet(camera: Camera, bodies: Sequence[Body]) -> Floats:
    """In how many of some frames each point (m,) is seen beside or below somebody's feet, within about a body's height."""
    count = np.zeros(len(camera.points))
    for body in bodies:
        shown = np.flatnonzero(body.seen & (body.visibility[:, SOLES] > SHOWN).any(axis=1))
        joints = placed_joints(body)
        for k in shown[np.unique(np.linspace(0, len(shown) - 1, min(SAMPLES, len(shown))).astype(int))] if len(shown) else ():
            local = (camera.points - camera.centre[k]) @ camera.rotation[k]
            ahead = local[:, 2] > 1e-6
            at = local[:, :2] / np.where(ahead, local[:, 2], 1.0)[:, None]
            person = joints[k][:, :2] / joints[k][:, 2:]
            foot = person[list(SOLES)].mean(axis=0)
            tall = float(np.ptp(person[:, 1]))
            beside = np.abs(at[:, 0] - foot[0]) < 1.2 * tall
            below = (at[:, 1] > foot[1] - 0.2 * tall) & (at[:, 1] < foot[1] + 0.6 * tall)
            count += ahead & beside & below
    return count


def floor_scale(feet: Sequence[Feet], camera: Camera, plane: tuple[Floats, float]) -> tuple[float, float, list[str]]:
    """Metres per unit, its spread and doubts about it: how far each frame's lowest foot is, against where its ray meets the floor.

    Raises LiftError when the frames do not agree.
    """
    normal, level = plane
    ratios, frames = [], []
    for f in feet:
        above = camera.centre[f.frame] @ normal + level
        down = -(f.place @ normal)
        good = (down > 0.05) & (above > 0)
        ratios.append(down[good] / above[good])
        frames.append(f.frame[good])
    ratio, frame = np.concatenate(ratios), np.concatenate(frames)
    if len(ratio) < UPRIGHT_FRAMES:
        raise LiftError("scale: no feet on the floor are seen while the camera travels")
    scale = float(np.median(ratio))
    spread = float(np.percentile(np.abs(ratio / scale - 1), 68))
    middle = np.median(frame)
    halves = [float(np.median(part)) for part in (ratio[frame < middle], ratio[frame >= middle]) if len(part)]
    apart = max(halves) / min(halves) - 1
    if spread > SPREAD[1]:
        raise LiftError(f"scale: from frame to frame it differs by {spread:.0%}")
    if apart > HALVES:
        raise LiftError(f"scale: the first and the second half of the clip differ by {apart:.0%}")
    return scale, spread, [f"the scale of the camera's motion differs by {spread:.0%} from frame to frame"] if spread > SPREAD[0] else []
