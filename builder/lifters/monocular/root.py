"""Where a person is in front of the camera: the landmarks' metres placed so that they fall on the landmarks' pixels.

The network gives the pose as seen along the ray to the hips, so it is first turned from the camera's axis to that ray; then only a
translation is left, which is a linear problem per frame (full pose estimation was measured to be worse: its rotation is noise).
"""

from __future__ import annotations

import numpy as np

from builder.lifters.monocular.records import Person
from builder.types import Floats

DEFAULT_FOCAL = 0.88  # of the longest side: calibrated clips had 0.82 to 0.93; the diagonal, often taken, puts people a third too far
ADULT_M = 1.72  # the height for which the network's metres are right
SHOULDERS, HIPS, KNEES, ANKLES = (11, 12), (23, 24), (25, 26), (27, 28)
PROFILE_SIZE = 0.05  # log by which the network makes somebody smaller in profile than from the front or from behind
# Body landmarks of about equal say: all of the face's eleven or the hands' six would outvote the legs, which tell size best.
USED = (0, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32)
ROUNDS = 4
TOLERANCE = 0.02  # residual, as a share of the body's size in the picture, beyond which a landmark loses its say
DISTANCE_S, RAY_S = 0.35, 0.05

SOLES = (29, 30, 31, 32)  # heels and toes
STRAIGHT, BENT = 0.95, 0.85  # `stretched` of legs that surely stand, and that may not
UNDER = 0.8  # how much of the network's tilt of straight legs along the line of sight is not believed
SOLE_M = 0.03  # how far above the floor their landmarks are
SIZE_ERROR = 0.06  # of a distance told by the person's size: a lean or a crouch shifts it by as much as a tenth
SOLE_ERROR_M, TILT_ERROR = 0.015, 0.015  # of a sole's place in the picture, and of the vertical (radians)
FARTHEST = 0.2  # log distance that the floor may move a person
OFF_FLOOR = 0.06  # log distance by which the lower sole seems too far when it is in the air or on a step


def toward(directions: Floats) -> Floats:
    """Rotations (n, 3, 3) that take the camera's axis +z to the unit `directions` (n, 3) without twist."""
    x, y, z = np.moveaxis(directions, -1, 0)
    k = 1 / (1 + z)
    rows = [[1 - k * x * x, -k * x * y, x], [-k * x * y, 1 - k * y * y, y], [-x, -y, z]]
    return np.moveaxis(np.array(rows), -1, 0)


def rays(pixels: Floats, focal_px: float, width: int, height: int) -> Floats:
    """Points (..., 3) at depth 1 behind `pixels` (..., 2), camera axes, the principal point in the middle of the picture."""
    flat = (pixels - [width / 2, height / 2]) / focal_px
    return np.concatenate([flat, np.ones((*flat.shape[:-1], 1))], axis=-1)


def placed(
    person: Person, focal_px: float, width: int, height: int, subject_height_m: float | None = None
) -> tuple[Floats, Floats, Floats]:
    """root_cam_m (n, 3), the middle of the hips; joints_cam_m (n, 33, 3); and the median miss (n,) in pixels.  Camera axes, metres.

    `subject_height_m` scales people who are not of average height.  NaN where the person is not seen.
    """
    at = rays(person.landmarks_px, focal_px, width, height)
    hips = at[:, list(HIPS)].mean(axis=1)
    turn = toward(hips / np.linalg.norm(hips, axis=-1, keepdims=True))
    metres = np.einsum("nij,nkj->nki", turn, person.landmarks_m) * (1.0 if subject_height_m is None else subject_height_m / ADULT_M)
    metres = metres * np.exp(PROFILE_SIZE * in_profile(metres, hips))[:, None, None]
    size = np.ptp(at[:, USED, :2], axis=1).max(axis=-1)
    trust = person.visibility[:, USED] ** 2
    weight = trust
    for _ in range(ROUNDS):
        root = _translation(metres[:, USED], at[:, USED, :2], weight)
        point = metres[:, USED] + root[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            miss = np.linalg.norm(point[..., :2] / point[..., 2:] - at[:, USED, :2], axis=-1)
        weight = trust / (1 + (miss / (TOLERANCE * size[:, None])) ** 2)
    return root, metres + root[:, None], np.median(miss, axis=1) * focal_px


def in_profile(metres: Floats, ray: Floats) -> Floats:
    """How far people are seen from the side (n,): 0 from the front and from behind, 1 in profile; `ray` (n, 3) goes to their hips."""
    shoulders, hips = (metres[:, a] - metres[:, b] for a, b in (SHOULDERS, HIPS))
    left = shoulders + hips
    along = (left * ray).sum(axis=1) ** 2
    return np.asarray(along / np.maximum((left**2).sum(axis=1) * (ray**2).sum(axis=1), 1e-12))


def _translation(metres: Floats, flat: Floats, weight: Floats) -> Floats:
    """Translations (n, 3) by which `metres` (n, k, 3) project nearest to `flat` (n, k, 2), in weighted least squares."""
    x, y = np.moveaxis(flat, -1, 0)
    a, b = x * metres[..., 2] - metres[..., 0], y * metres[..., 2] - metres[..., 1]
    one = np.ones_like(x)

    def total(values: Floats) -> Floats:
        return np.asarray((weight * values).sum(axis=1))

    matrix = np.array(
        [[total(one), 0 * total(one), -total(x)], [0 * total(one), total(one), -total(y)], [-total(x), -total(y), total(x * x + y * y)]]
    )
    right = np.array([total(a), total(b), -total(x * a + y * b)])
    out = np.full((len(flat), 3), np.nan)
    good = np.isfinite(matrix).all(axis=(0, 1)) & np.isfinite(right).all(axis=0)
    out[good] = np.linalg.solve(np.moveaxis(matrix, -1, 0)[good], right.T[good][..., None])[..., 0]
    return out


def smoothed(values: Floats, weight: Floats, sigma: float, degree: int = 2) -> Floats:
    """Weighted local polynomials through values (n, c): a Gaussian of `sigma` samples about each, of `weight` (n,) (0: not there).

    Unlike a plain Gaussian it neither cuts peaks nor pulls in the ends, and it bridges gaps.  Needs one positive weight.
    """
    n, reach = len(values), max(1, round(3 * sigma))
    known = np.where(weight[:, None] > 0, values, 0.0)
    powers = np.arange(degree + 1)
    while True:
        moments, sums = np.zeros((n, 2 * degree + 1)), np.zeros((n, degree + 1, values.shape[1]))
        for u in range(-min(reach, n - 1), min(reach, n - 1) + 1):
            here = slice(max(0, -u), n - max(0, u))
            there = slice(max(0, u), n - max(0, -u))
            w = weight[there] * np.exp(-0.5 * (u / sigma) ** 2)
            moments[here] += w[:, None] * (u / sigma) ** np.arange(2 * degree + 1)
            sums[here] += (w[:, None] * (u / sigma) ** powers)[..., None] * known[there][:, None]
        if (moments[:, 0] > 1e-12).all() or reach >= n:
            break
        reach = 2 * reach  # somebody out of sight for longer than the window
    matrix = moments[:, powers[:, None] + powers]
    ridge = np.diag(np.where(powers == 0, 0.0, 1e-6))  # where few are near, a lower degree will do
    there_at = np.flatnonzero(weight > 0)
    for lost in np.flatnonzero(moments[:, 0] <= 1e-12):  # so far from everything known that every weight is nought: hold the nearest
        matrix[lost], sums[lost] = np.eye(degree + 1), 0.0
        sums[lost, 0] = known[there_at[np.abs(there_at - lost).argmin()]]
    return np.asarray(np.linalg.solve(matrix + ridge * moments[:, :1, None], sums)[:, 0])


def steadied(root_cam: Floats, camera_to_world: Floats, weight: Floats, fps: float) -> Floats:
    """The root (n, 3) with its noise taken out where it is: the distance is noisy, the direction is not.  Camera axes, metres.

    The distance is smoothed over half a second and the direction, in the world's axes (rotations (n, 3, 3)), over a tenth, so
    that a jump keeps its height.  Frames of no `weight` (n,) are bridged.
    """
    far = np.linalg.norm(np.where(weight[:, None] > 0, root_cam, 1.0), axis=1)
    steady = np.exp(smoothed(np.log(far)[:, None], weight, DISTANCE_S * fps))
    ray = np.einsum("nij,nj->ni", camera_to_world, np.where(weight[:, None] > 0, root_cam, 1.0) / far[:, None])
    ray = smoothed(ray, weight, RAY_S * fps)
    ray /= np.linalg.norm(ray, axis=1, keepdims=True)
    return np.asarray(np.einsum("nji,nj->ni", camera_to_world, ray * steady))


def _under(joints_cam: Floats, camera_to_world: Floats) -> Floats:
    """What to add to the feet (n, 3), camera axes, for the hips to be above them as seen from the side.

    Whoever stands on straight legs keeps the hips above the feet, but the network lets the legs tilt towards the camera or away
    together with a trunk that leans that way.
    """
    hips, feet = (joints_cam[:, places].mean(axis=1) for places in (HIPS, SOLES))
    up = camera_to_world[:, 1, :3]
    away = hips - (hips * up).sum(axis=1, keepdims=True) * up
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    off = ((hips - feet) * away).sum(axis=1, keepdims=True)
    straight = np.clip((stretched(joints_cam) - BENT) / (STRAIGHT - BENT), 0.0, 1.0)[:, None]
    return np.asarray(UNDER * straight * off * away)


def stretched(joints_m: Floats) -> Floats:
    """How far apart hips and ankles are (n,), as a share of the legs' length, of the leg that is bent less."""

    def apart(a: tuple[int, int], b: tuple[int, int]) -> Floats:
        return np.asarray(np.linalg.norm(joints_m[:, a] - joints_m[:, b], axis=-1))

    return np.asarray((apart(HIPS, ANKLES) / (apart(HIPS, KNEES) + apart(KNEES, ANKLES))).max(axis=1))


def on_floor(root_cam: Floats, joints_cam: Floats, ray_cam: Floats, camera_to_world: Floats, weight: Floats, fps: float) -> Floats:
    """The root (n, 3), camera axes, moved along its ray to where the lower foot stands on the floor (y = 0 of the world, metres).

    joints_cam (n, 33, 3) as placed by size; ray_cam (n, 33, 3) to where they are seen; camera_to_world (n, 4, 4).  The floor tells
    little from low down or far away, and nothing of somebody who jumps or climbs; there the size keeps the say.
    """
    seen = weight > 0
    soles = np.where(seen[:, None, None], joints_cam[:, SOLES] + _under(joints_cam, camera_to_world)[:, None], 1.0)
    by_size = np.linalg.norm(soles, axis=-1)
    ray = np.where(seen[:, None, None], ray_cam[:, SOLES], 1.0)
    fall = -np.einsum("nj,nkj->nk", camera_to_world[:, 1, :3], ray) / np.linalg.norm(ray, axis=-1)
    over = np.maximum(camera_to_world[:, 1, 3] - SOLE_M, 0.05)[:, None]
    apart = np.log(over / np.maximum(fall, 0.01) / by_size).min(axis=1)
    steep = np.maximum(np.median(fall, axis=1), 0.02)
    error = np.hypot(SOLE_ERROR_M / (steep * by_size.mean(axis=1)), TILT_ERROR / steep)
    usual = float(np.median(apart[seen]))
    if abs(usual) > FARTHEST / 2:
        return root_cam  # stands on something else than this floor
    above = np.maximum(apart - usual, 0.0)
    trust = np.where(seen, SIZE_ERROR**2 / (SIZE_ERROR**2 + error**2) / (1 + (above / OFF_FLOOR) ** 2) ** 2, 0.0)
    apart = smoothed(apart[:, None], trust + 1e-6 * seen, DISTANCE_S * fps, degree=1)
    share = smoothed(trust[:, None], seen.astype(float), DISTANCE_S * fps, degree=1)
    return np.asarray(root_cam * np.exp(np.clip(share, 0.0, 1.0) * np.clip(apart, -FARTHEST, FARTHEST)))
