"""What the stages of the lifter hand to each other, all over the same n processed frames.

Camera axes are OpenCV's: x right, y down, z away from the camera.  Pixels are those of the processed (shrunk, upright) images,
with the principal point in the middle of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

from builder.types import Bools, Floats

LANDMARKS = 33  # BlazePose


@dataclass(frozen=True, eq=False)
class Person:
    """One followed person.

    landmarks_px (n, 33, 2) pixels; visibility (n, 33) 0-1; landmarks_m (n, 33, 3) metres about the middle of the hips, camera
    axes; score (n,) 0-1, how sure the pose is; box_px (n, 4) left, top, right, bottom; seen (n,) whether there is a pose at all
    (everything else is NaN, and score 0, where there is none).
    """

    landmarks_px: Floats
    visibility: Floats
    landmarks_m: Floats
    score: Floats
    box_px: Floats
    seen: Bools


@dataclass(frozen=True, eq=False)
class Camera:
    """How the camera saw the clip; its world has the axes of the first processed frame's camera, and its origin there.

    mode "static", "rotating" or "moving"; focal_px of the processed images; focal_source "user", "metadata", "sfm" or
    "default"; rotation (n, 3, 3) camera to world; centre (n, 3) of the camera, zeros unless moving, in units of its own
    (`scale` metres each, to be found); points (m, 3) of the still background, same units, empty unless moving; reasons to doubt it.
    """

    mode: str
    focal_px: float
    focal_source: str
    rotation: Floats
    centre: Floats
    points: Floats
    reasons: tuple[str, ...] = ()
