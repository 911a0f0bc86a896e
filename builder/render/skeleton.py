"""The skeleton of SMPL-X's mean body: 22 joints, their parents and resting places, and how rotations move them.

Body axes at rest: +X the person's left, +Y up, +Z forward; arms to the sides, feet together.  Metres, of a body 1.721 m tall.
"""

from __future__ import annotations

import numpy as np

from builder.types import Floats

JOINTS = (
    "pelvis",
    "left_hip",
    "right_hip",
    "spine1",
    "left_knee",
    "right_knee",
    "spine2",
    "left_ankle",
    "right_ankle",
    "spine3",
    "left_foot",
    "right_foot",
    "neck",
    "left_collar",
    "right_collar",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
)
PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)
# The mean body's joints in metres, as mannequin-x has them, so that truth needs numpy alone.
REST_M = np.array(
    [
        (0.0031, -0.3514, 0.0120),
        (0.0613, -0.4442, -0.0140),
        (-0.0601, -0.4553, -0.0092),
        (0.0004, -0.2415, -0.0156),
        (0.1160, -0.8229, -0.0234),
        (-0.1044, -0.8177, -0.0260),
        (0.0098, -0.1097, -0.0215),
        (0.0726, -1.2260, -0.0552),
        (-0.0889, -1.2284, -0.0462),
        (-0.0015, -0.0574, 0.0069),
        (0.1198, -1.2840, 0.0630),
        (-0.1277, -1.2868, 0.0728),
        (-0.0137, 0.1077, -0.0247),
        (0.0448, 0.0275, -0.0003),
        (-0.0492, 0.0269, -0.0065),
        (0.0111, 0.2682, -0.0040),
        (0.1641, 0.0852, -0.0158),
        (-0.1518, 0.0804, -0.0191),
        (0.4182, 0.0131, -0.0582),
        (-0.4229, 0.0439, -0.0456),
        (0.6702, 0.0363, -0.0607),
        (-0.6722, 0.0394, -0.0609),
    ]
)
SOLE_M = -1.3018  # height of the soles in the frame of REST_M
PELVIS_HEIGHT_M = float(REST_M[0, 1]) - SOLE_M
OFFSETS_M = REST_M - REST_M[np.array(PARENTS)]
INDEX = {name: number for number, name in enumerate(JOINTS)}


def forward(position_m: Floats, world: Floats, scale: float) -> Floats:
    """Joints (T, 22, 3) of a body whose pelvis is at `position_m` (T, 3) and whose parts have world rotations (T, 22, 3, 3)."""
    joints = np.empty((len(position_m), len(JOINTS), 3))
    joints[:, 0] = position_m
    for joint in range(1, len(JOINTS)):
        parent = PARENTS[joint]
        joints[:, joint] = joints[:, parent] + world[:, parent] @ (scale * OFFSETS_M[joint])
    return joints


def local_rotations(world: Floats) -> Floats:
    """Rotations (T, 22, 3, 3) relative to the parent part; the pelvis' stays as it is in the world."""
    local = world.copy()
    for joint in range(1, len(JOINTS)):
        local[:, joint] = world[:, PARENTS[joint]].transpose(0, 2, 1) @ world[:, joint]
    return local
