"""The one known walk that every fixture of a dataset or a lifter holds, written with nothing of the project's own geometry.

Stand, walk 3 m forward, turn left by 90 degrees, walk 2 m, crouch by 35 cm leaning forward, rise: 10 s at 30 frames per second.
The world is +Y up with the floor at 0; two cameras see it all, one held by hand and moving, tilted and rolling, one fixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

Array = np.ndarray[Any, Any]

FPS = 30.0
HIP_M = 0.95
WIDTH, HEIGHT, FOCAL_PX = 1280, 720, 900.0
# The rest pelvis of the bodies in the fixtures: the constants that stand in for a body model, so that readers without one are exact.
REST_PELVIS_M = {"smpl": np.array([0.0, -0.22, 0.03]), "smplh": np.array([0.0, -0.22, 0.03]), "smplx": np.array([0.0, -0.35, 0.01])}
# (seconds, metres forward, degrees to the left, metres down with a lean of 60 degrees per metre)
SCRIPT = (
    (0.5, 0.0, 0.0, 0.0),
    (3.0, 3.0, 0.0, 0.0),
    (0.5, 0.0, 0.0, 0.0),
    (1.0, 0.0, 90.0, 0.0),
    (0.5, 0.0, 0.0, 0.0),
    (2.0, 2.0, 0.0, 0.0),
    (0.5, 0.0, 0.0, 0.0),
    (0.8, 0.0, 0.0, 0.35),
    (0.8, 0.0, 0.0, -0.35),
    (0.4, 0.0, 0.0, 0.0),
)
LEAN_DEG_PER_M = 60.0


@dataclass(frozen=True, eq=False)
class Walk:
    """T frames: rotations (T, 3, 3) body to world, pelvis (T, 3), both cameras (T, 4, 4) to world (OpenCV axes), and a pinhole."""

    body_to_world: Array
    position_m: Array
    moving_camera: Array
    static_camera: Array
    camera_matrix: Array
    width: int = WIDTH
    height: int = HEIGHT
    fps: float = FPS

    @property
    def num_frames(self) -> int:
        return len(self.position_m)

    def fit(self, model: str, frame_to_world: Array | None = None, rest_pelvis_m: Array | None = None) -> tuple[Array, Array]:
        """Root rotation vectors (T, 3) and transl (T, 3) of the walk as a body model has them, in the world or another frame."""
        j0 = REST_PELVIS_M[model] if rest_pelvis_m is None else rest_pelvis_m
        rotation, pelvis = self.body_to_world, self.position_m
        if frame_to_world is not None:
            back = np.linalg.inv(frame_to_world)
            rotation = back[..., :3, :3] @ rotation
            pelvis = np.einsum("...ij,...j->...i", back[..., :3, :3], pelvis) + back[..., :3, 3]
        return Rotation.from_matrix(rotation).as_rotvec(), pelvis - j0

    def placed(self, rigid: Array) -> Walk:
        """The same walk with its cameras in another world, `rigid` (4, 4) from this one."""
        return replace(
            self,
            body_to_world=rigid[:3, :3] @ self.body_to_world,
            position_m=self.position_m @ rigid[:3, :3].T + rigid[:3, 3],
            moving_camera=rigid @ self.moving_camera,
            static_camera=rigid @ self.static_camera,
        )

    def pixels(self, camera: Array) -> Array:
        """The pelvis in the picture (T, 2) of one of the cameras, pixels."""
        back = np.linalg.inv(camera)
        seen = np.einsum("tij,tj->ti", back[:, :3, :3], self.position_m) + back[:, :3, 3]
        flat = seen @ self.camera_matrix.T
        return flat[:, :2] / flat[:, 2:]

    def boxes(self, camera: Array) -> Array:
        """A box (T, 4) about the person in the picture: left, top, right, bottom, pixels."""
        distance = np.linalg.norm(self.position_m - camera[:, :3, 3], axis=1)
        half = self.camera_matrix[0, 0] / distance
        at = self.pixels(camera)
        return np.stack([at[:, 0] - 0.35 * half, at[:, 1] - 0.9 * half, at[:, 0] + 0.35 * half, at[:, 1] + 0.95 * half], axis=1)


def yaw(degrees: float, offset: Sequence[float] = (0.0, 0.0, 0.0)) -> Array:
    """A rigid motion (4, 4) that turns about +Y, to the left seen from above, then shifts."""
    rigid = np.eye(4)
    rigid[:3, :3], rigid[:3, 3] = Rotation.from_euler("y", degrees, degrees=True).as_matrix(), offset
    return rigid


def look(position: Array, target: Array, roll_deg: Array | float = 0.0) -> Array:
    """Camera to world (T, 4, 4), OpenCV axes (right, down, forward), at `position` (T, 3), looking at `target` (T, 3)."""
    forward = (target - position) / np.linalg.norm(target - position, axis=1, keepdims=True)
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    level = np.stack([right, np.cross(forward, right), forward], axis=2)
    roll = Rotation.from_euler("z", np.broadcast_to(roll_deg, len(position))[:, None], degrees=True).as_matrix()
    out = np.tile(np.eye(4), (len(position), 1, 1))
    out[:, :3, :3], out[:, :3, 3] = level @ roll, position
    return out


def walk(turn_deg: float = 37.0, at_m: tuple[float, float] = (1.2, -0.7), fps: float = FPS) -> Walk:
    """The walk, begun at `at_m` (x, z) facing `turn_deg` to the left of +Z."""
    seconds = np.arange(round(sum(part[0] for part in SCRIPT) * fps)) / fps
    floor, left, down, begins = np.zeros((len(seconds), 3)), np.zeros(len(seconds)), np.zeros(len(seconds)), 0.0
    for lasts, metres, degrees, lower in SCRIPT:
        share = np.clip((seconds - begins) / lasts, 0.0, 1.0)
        eased = share * share * (3.0 - 2.0 * share)
        way = np.radians(left[-1] + turn_deg)  # nobody turns while walking
        floor += metres * eased[:, None] * [np.sin(way), 0.0, np.cos(way)]
        left += degrees * eased
        down += lower * eased
        begins += lasts
    position = floor + np.stack([np.full(len(seconds), at_m[0]), HIP_M - down, np.full(len(seconds), at_m[1])], axis=1)
    heading = Rotation.from_euler("y", (left + turn_deg)[:, None], degrees=True)
    rotation = (heading * Rotation.from_euler("x", (down * LEAN_DEG_PER_M)[:, None], degrees=True)).as_matrix()

    middle = position.mean(axis=0)
    phase = 2 * np.pi * seconds / seconds[-1]
    sway = np.stack([1.2 * np.sin(phase), 0.9 + 0.3 * np.sin(2 * phase), 0.8 * np.cos(phase)], axis=1)
    held = middle * [1, 0, 1] + [0.0, 1.0, -5.5] + sway
    held_to = 0.6 * position + 0.4 * middle + 0.15 * np.stack([np.sin(3 * phase), np.cos(2 * phase), 0 * phase], axis=1)
    fixed = np.tile(middle * [1, 0, 1] + [1.0, 2.6, -6.5], (len(seconds), 1))
    return Walk(
        body_to_world=rotation,
        position_m=position,
        moving_camera=look(held, held_to, 6.0 * np.sin(phase + 1.0)),
        static_camera=look(fixed, np.tile(middle, (len(seconds), 1)), 4.0),
        camera_matrix=np.array([[FOCAL_PX, 0.0, WIDTH / 2], [0.0, FOCAL_PX, HEIGHT / 2], [0.0, 0.0, 1.0]]),
        fps=fps,
    )
