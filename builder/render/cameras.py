"""Where the camera is: four ways of filming a person, each framed so that the whole body stays in the picture.

Camera axes are OpenCV's (x right, y down, z forward); pixels count from the picture's upper left corner.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from builder.performer.actions import smooth
from builder.performer.stage import generator
from builder.types import Bools, Floats

KINDS = ("static", "panning", "handheld", "following")
LANDSCAPE, PORTRAIT = (960, 540), (540, 960)
PORTRAIT_SHARE = {"static": 0.0, "panning": 0.15, "handheld": 0.2, "following": 0.25}
FOCAL = (0.75, 1.05)  # of the longest side
HEIGHT_M = (1.0, 2.2)
DISTANCES_M = {"static": (2.8, 9.0), "panning": (3.0, 8.0), "handheld": (3.0, 8.0), "following": (3.0, 6.0)}
FARTHER = (1.0, 1.5)  # than the nearest distance, for variety
WALK_M = {"static": (0.0, 0.0), "panning": (0.0, 0.0), "handheld": (1.8, 3.5), "following": (0.8, 2.0)}  # along an arc about the person
AIM_S = {"panning": 0.25, "handheld": 0.35, "following": 0.3}
SHAKE = {"handheld": (0.014, 0.45), "following": (0.008, 0.25)}  # metres and degrees, standard deviation
MARGIN = 0.025  # of the picture's sides that the body keeps away from
IN_VIEW = 0.985  # of the frames
NEAREST_M, WANTED_PX = 2.4, 200.0
CLOSEUP_M = 1.0
TRIES = 8
CROWN_M, SOLE_M = 0.22, 0.05  # above the head's joint, below the ball of the foot


@dataclass(frozen=True, eq=False)
class Shot:
    """How one clip is filmed: picture size in pixels, camera_matrix (3, 3) in pixels and camera_to_world (T, 4, 4) in metres."""

    kind: str
    width: int
    height: int
    camera_matrix: Floats
    camera_to_world: Floats


def picture_size(kind: str, *identity: object) -> tuple[int, int]:
    """Width and height in pixels of a clip's picture, from its identity alone."""
    upright = generator("picture", *identity).random() < PORTRAIT_SHARE[kind]
    return PORTRAIT if upright else LANDSCAPE


def plan_shot(joints_m: Floats, fps: float, kind: str, *identity: object) -> Shot:
    """The shot of a body with joints (T, 22, 3): of a few random places the one that shows the person largest, whole body in view."""
    width, height = picture_size(kind, *identity)
    rng = generator("camera", kind, *identity)
    best: tuple[float, Shot] | None = None
    for _ in range(TRIES):
        shot = _framed(rng, joints_m, fps, kind, width, height)
        inside, pixels = framing(shot, joints_m)
        score = min(float(np.median(pixels)), WANTED_PX) + 1000.0 * min(float(inside.mean()) - IN_VIEW, 0.0)
        if best is None or score > best[0]:
            best = (score, shot)
        if score >= WANTED_PX:
            break
    assert best is not None
    return best[1]


def closeup(shot: Shot, joints_m: Floats) -> Shot:
    """The same shot from so near that only head and shoulders are seen."""
    head = joints_m[:, 15]
    towards = shot.camera_to_world[:, :3, 3] - head
    towards[:, 1] = 0.0
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    return replace(shot, camera_to_world=_look(head + CLOSEUP_M * towards, head - [0.0, 0.05, 0.0], np.zeros_like(head)))


def outline(joints_m: Floats) -> Floats:
    """Points (T, 27, 3) that hold the whole body: its joints, crown and soles."""
    up = joints_m[:, 15] - joints_m[:, 12]
    crown = joints_m[:, 15] + CROWN_M * up / np.linalg.norm(up, axis=1, keepdims=True)
    soles = joints_m[:, [7, 8, 10, 11]] - [0.0, SOLE_M, 0.0]
    return np.concatenate([joints_m, crown[:, None], soles], axis=1)


def project(shot: Shot, points_m: Floats) -> tuple[Floats, Floats]:
    """Pixels (T, N, 2) and depths (T, N) in metres of points (T, N, 3) in the world."""
    rotation, origin = shot.camera_to_world[:, :3, :3], shot.camera_to_world[:, :3, 3]
    seen = np.einsum("tji,tnj->tni", rotation, points_m - origin[:, None])
    depth = seen[..., 2]
    pixels = seen @ shot.camera_matrix.T
    return pixels[..., :2] / np.maximum(depth, 1e-6)[..., None], depth


def framing(shot: Shot, joints_m: Floats) -> tuple[Bools, Floats]:
    """Whether the whole body is in the picture (T,), and how tall it is there (T,), pixels."""
    pixels, depth = project(shot, outline(joints_m))
    size = np.array([shot.width, shot.height])
    edge = MARGIN * size
    inside = ((pixels > edge) & (pixels < size - edge)).all(axis=(1, 2)) & (depth > 0.5).all(axis=1)
    return np.asarray(inside), pixels[..., 1].max(axis=1) - pixels[..., 1].min(axis=1)


def _framed(rng: np.random.Generator, joints_m: Floats, fps: float, kind: str, width: int, height: int) -> Shot:
    """The nearest shot from one random side that holds the body, or the farthest one when none does."""
    azimuth, focal = rng.uniform(0, 2 * np.pi), rng.uniform(*FOCAL) * max(width, height)
    above, way, walk = rng.uniform(*HEIGHT_M), rng.choice([-1.0, 1.0]), rng.uniform(*WALK_M[kind])
    dolly, wave = rng.uniform(-0.12, 0.12), rng.uniform(0, 2 * np.pi)
    shake = _shake(rng, len(joints_m), fps, *SHAKE[kind]) if kind in SHAKE else np.zeros((len(joints_m), 6))
    matrix = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
    pelvis = joints_m[:, 0]
    centre = (pelvis.min(axis=0) + pelvis.max(axis=0)) / 2
    middle = (joints_m[:, 15, 1].max() + 0.2) / 2
    seconds = np.arange(len(pelvis)) / fps
    share = seconds / max(seconds[-1], 1e-6)
    gone = 0.75 * share + 0.25 * smooth(share) + 0.04 * (np.sin(2 * np.pi * seconds / 3.7 + wave) - np.sin(wave))
    aim = np.repeat(centre[None], len(pelvis), axis=0)
    about = aim
    if kind in AIM_S:
        aim = gaussian_filter1d(pelvis, AIM_S[kind] * fps, axis=0, mode="nearest")
    if kind == "following":
        about = gaussian_filter1d(pelvis, 0.6 * fps, axis=0, mode="nearest")
    aim[:, 1] = middle + 0.5 * (aim[:, 1] - np.median(aim[:, 1]))
    near, far = DISTANCES_M[kind]
    for distance in np.arange(near * rng.uniform(*FARTHER), far + 0.01, 0.2):
        angle = azimuth + way * walk / distance * gone
        reach = distance * (1 + dolly * gone * (kind in SHAKE))
        origin = np.stack([about[:, 0] + reach * np.sin(angle), np.full(len(gone), above), about[:, 2] + reach * np.cos(angle)], axis=1)
        shot = Shot(kind, width, height, matrix, _look(origin + shake[:, :3], aim, shake[:, 3:]))
        inside, _ = framing(shot, joints_m)
        if inside.mean() >= IN_VIEW and _nearest(shot, joints_m) >= NEAREST_M:
            break
    return shot


def _nearest(shot: Shot, joints_m: Floats) -> float:
    return float(np.linalg.norm(shot.camera_to_world[:, :3, 3] - joints_m[:, 0], axis=1).min())


def _look(origin: Floats, aim: Floats, wobble_deg: Floats) -> Floats:
    """Cameras (T, 4, 4) at `origin` (T, 3) that look at `aim` (T, 3), upright but for a wobble (T, 3) about their own axes."""
    forward = aim - origin
    forward /= np.linalg.norm(forward, axis=1, keepdims=True)
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    poses = np.repeat(np.eye(4)[None], len(origin), axis=0)
    poses[:, :3, :3] = (
        np.stack([right, np.cross(forward, right), forward], axis=2) @ Rotation.from_rotvec(wobble_deg, degrees=True).as_matrix()
    )
    poses[:, :3, 3] = origin
    return poses


def _shake(rng: np.random.Generator, frames: int, fps: float, metres: float, degrees: float) -> Floats:
    """A hand's trembling (T, 6), metres and degrees: slow sway with a little fast tremor."""
    white = rng.normal(size=(2, frames + 200, 6))
    slow, fast = gaussian_filter1d(white[0], 0.3 * fps, axis=0), gaussian_filter1d(white[1], 0.07 * fps, axis=0)
    mixed = (slow / slow.std(axis=0) + 0.25 * fast / fast.std(axis=0))[100 : 100 + frames]
    return np.asarray(mixed * np.array([metres] * 3 + [degrees] * 3))
