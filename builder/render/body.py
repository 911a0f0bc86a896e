"""A whole body about a pelvis that is given: legs that reach the planted feet, a trunk that leans, arms that swing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from builder.geometry import yaw_matrix
from builder.performer import actions
from builder.performer.actions import Action, Sit, StandUp
from builder.performer.stage import Beat, Habits, habits, play, timeline
from builder.render.footsteps import HEELS_DEG, REACH, TILTS, Feet, ankle_places, leg_m, plan_feet
from builder.render.skeleton import INDEX, OFFSETS_M, PELVIS_HEIGHT_M, REST_M, forward
from builder.types import Bools, Floats, SourceError, Track

STANDING_BEND_M = 0.016  # what the knees keep in hand when standing
STOOL_BACK_M, STOOL_ROOM_M, SEATED_M = 0.13, 0.24, 0.13  # stool behind the pelvis, clear of it, and below it
ARM_DOWN_DEG = 74.0
ARM_SWING_DEG_PER_M = 55.0


@dataclass(frozen=True, eq=False)
class Body:
    """A body over T frames: its size relative to the mean body, joints (T, 22, 3) in the track's world, world rotations of the
    parts (T, 22, 3, 3), feet, how far each ankle is from where its foot should be (T, 2), and the
    stools (S, 4) that are sat on: x, height, z in metres and yaw in degrees."""

    scale: float
    joints_m: Floats
    rotations: Floats
    feet: Feet
    ankle_error_m: Floats
    seats_m: Floats


def body_of(track: Track) -> Body:
    """The body that performs a scripted track.  Raises SourceError for a track without a script."""
    beats, who = _script(track.provenance)
    scale = (float(who.standing[0]) + STANDING_BEND_M) / PELVIS_HEIGHT_M
    _, poses, _ = play(beats, track.fps)
    if len(poses) != track.num_frames:
        raise SourceError(f"track {track.clip_id}: expected the {len(poses)} frames of its script, got {track.num_frames}; film it uncut")
    rotations = np.repeat(np.eye(3)[None, None], len(poses), axis=0).repeat(len(REST_M), axis=1)
    rotations[:, 0] = track.body_to_world
    _trunk(rotations, poses)
    joints = forward(track.position_m, rotations, scale)
    feet = plan_feet(beats, track.fps, who, scale, joints[:, [INDEX["left_hip"], INDEX["right_hip"]]])
    errors = np.stack([_leg(rotations, joints, feet, foot, scale) for foot in (0, 1)], axis=1)
    _arms(rotations, forward(track.position_m, rotations, scale), poses, track)
    joints = forward(track.position_m, rotations, scale)
    return Body(scale, joints, rotations, feet, errors, _seats(beats, poses, joints, track.fps, scale))


def _script(provenance: Mapping[str, Any]) -> tuple[list[Beat], Habits]:
    if not (provenance.get("gait") and "script" in provenance):
        raise SourceError("expected a scripted track with gait, as builder.performer.perform makes it; other tracks have no body")
    script: list[Action] = []
    for entry in provenance["script"]:
        numbers = dict(entry)
        script.append(getattr(actions, numbers.pop("action"))(**numbers))
    return timeline(script), habits(provenance["seed"])


def _seats(beats: list[Beat], poses: Floats, joints: Floats, fps: float, scale: float) -> Floats:
    """The stools (S, 4) that the script sits on, without those that the person walks through at another time."""
    seats: list[list[float]] = []
    for number, beat in enumerate(beats):
        if isinstance(beat.action, Sit) and not isinstance(beat.action, StandUp):
            up = next((later.end_s for later in beats[number:] if isinstance(later.action, StandUp)), beats[-1].end_s)
            seated = min(int((beat.start_s + beat.action.move_s) * fps) + 1, len(poses) - 1)
            yaw = float(poses[seated, 3])
            seat = joints[seated, 0] - STOOL_BACK_M * yaw_matrix(yaw)[:, 2]
            apart = np.linalg.norm(joints[:, [0, 7, 8]][..., [0, 2]] - seat[[0, 2]], axis=2).min(axis=1)
            times = np.arange(len(poses)) / fps
            if not (apart < STOOL_ROOM_M)[(times < beat.start_s) | (times > up)].any():
                seats.append([seat[0], joints[seated, 0, 1] - SEATED_M * scale, seat[2], yaw])
    return np.array(seats).reshape(-1, 4)


def _lean(pitch: Floats, roll: Floats) -> Floats:
    return np.asarray(Rotation.from_rotvec(np.stack([pitch, 0 * pitch, -roll], axis=1), degrees=True).as_matrix())


def _between(start: Floats, end: Floats, share: float) -> Floats:
    """The rotations (T, 3, 3) at a share of the way from `start` to `end`."""
    step = Rotation.from_matrix(start.transpose(0, 2, 1) @ end).as_rotvec()
    return np.asarray(start @ Rotation.from_rotvec(share * step).as_matrix())


def _trunk(rotations: Floats, poses: Floats) -> None:
    """Spine, neck and head: the chest faces and leans as the script says, whatever the hips do with every step; the head less."""
    pelvis = rotations[:, 0]
    facing = yaw_matrix(poses[:, 3])
    scripted = facing @ _lean(poses[:, 4], poses[:, 5])
    swing = np.einsum("tji,tjk->tik", scripted, pelvis)
    chest = scripted @ Rotation.from_rotvec(Rotation.from_matrix(swing).as_rotvec() * [0.2, -0.4, -0.2]).as_matrix()
    ahead = facing @ _lean(0.45 * poses[:, 4], 0.45 * poses[:, 5])
    for joint, share in (("spine1", 1 / 3), ("spine2", 2 / 3), ("spine3", 1.0)):
        rotations[:, INDEX[joint]] = _between(pelvis, chest, share)
    for joint in ("left_collar", "right_collar"):
        rotations[:, INDEX[joint]] = chest
    rotations[:, INDEX["neck"]] = _between(chest, ahead, 0.5)
    rotations[:, INDEX["head"]] = ahead


def _leg(rotations: Floats, joints: Floats, feet: Feet, foot: int, scale: float) -> Floats:
    """Set one leg's rotations so that the foot is where it should be; distances (T,) that remain, metres."""
    hip, knee, ankle, ball = (INDEX[f"{('left', 'right')[foot]}_{name}"] for name in ("hip", "knee", "ankle", "foot"))
    thigh, shank = (scale * OFFSETS_M[joint] for joint in (knee, ankle))
    a, b = leg_m(foot, scale)
    longest = REACH * (a + b)
    flat = yaw_matrix(feet.yaw_deg[:, foot])
    options = ankle_places(feet.place_m[:, foot], feet.yaw_deg[:, foot], foot, scale)
    distance = np.linalg.norm(options - joints[:, None, hip], axis=2)
    fits = (distance <= longest) & (HEELS_DEG >= feet.heel_deg[:, foot, None] - 0.5)
    chosen = np.where(fits.any(axis=1), fits.argmax(axis=1), distance.argmin(axis=1))
    chosen = _swung(chosen, feet.planted[:, foot], feet.heel_deg[:, foot])
    target = options[np.arange(len(chosen)), chosen]
    rotations[:, ankle] = flat @ TILTS[chosen]
    rotations[:, ball] = flat @ TILTS[np.maximum(chosen - 20, 0) // 2]  # the toes bend when the heel is high
    towards = target - joints[:, hip]
    far = np.linalg.norm(towards, axis=1)
    length = np.clip(far, abs(a - b) + 0.01, longest)
    towards /= far[:, None]
    # The knee points where pelvis and foot point on average.
    front = flat[:, :, 2] + rotations[:, 0, :, 2]
    left = np.cross(-towards, front)
    left /= np.linalg.norm(left, axis=1, keepdims=True)
    front = np.cross(left, -towards)
    along = (a**2 + length**2 - b**2) / (2 * length)
    bend = np.sqrt(np.maximum(a**2 - along**2, 0.0))
    knee_at = joints[:, hip] + along[:, None] * towards + bend[:, None] * front
    ankle_at = joints[:, hip] + length[:, None] * towards
    rotations[:, hip] = _aim(knee_at - joints[:, hip], left, thigh)
    rotations[:, knee] = _aim(ankle_at - knee_at, left, shank)
    return np.linalg.norm(ankle_at - target, axis=1)


def _swung(heels: NDArray[np.intp], planted: Bools, wanted_deg: Floats) -> NDArray[np.intp]:
    """The heels' lifts (T,) in whole degrees, with those of a swinging foot going from where it left to where it lands."""
    out = heels.copy()
    edges = np.flatnonzero(np.diff(np.concatenate([[True], planted, [True]]).astype(int)))
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        share = (np.arange(start, end) - start + 1) / (end - start + 1)
        left = heels[start - 1] * (1 - actions.smooth(share / 0.7)) if start else 0 * share
        lands = heels[end] * actions.smooth((share - 0.6) / 0.4) if end < len(heels) else 0 * share
        out[start:end] = np.rint(np.maximum(wanted_deg[start:end], left + lands))
    return np.clip(out, 0, len(HEELS_DEG) - 1)


def _aim(bone: Floats, left: Floats, rest: Floats) -> Floats:
    """Rotations (T, 3, 3) that bring the resting bone `rest` (3,) along `bone` (T, 3), with the hinge along `left` (T, 3)."""

    def frame(down: Floats, hinge: Floats) -> Floats:
        y = -down / np.linalg.norm(down, axis=-1, keepdims=True)
        x = hinge - (hinge * y).sum(axis=-1, keepdims=True) * y
        x /= np.linalg.norm(x, axis=-1, keepdims=True)
        return np.stack([x, y, np.cross(x, y)], axis=-1)

    return np.asarray(frame(bone, left) @ frame(rest, np.array([1.0, 0.0, 0.0])).T)


def _arms(rotations: Floats, joints: Floats, poses: Floats, track: Track) -> None:
    """Arms that hang, swing against the legs, bend when running, and rest on the thighs when sitting."""
    pelvis, chest = rotations[:, 0], rotations[:, INDEX["spine3"]]
    rate = np.gradient(poses[:, [0, 2]], axis=0) * track.fps
    running = gaussian_filter1d(actions.smooth((np.hypot(rate[:, 0], rate[:, 1]) - 1.6) / 0.8), 4)
    seated = actions.smooth((_drop(joints) - 0.15) / 0.25)
    for foot, side in ((0, 1.0), (1, -1.0)):
        name = ("left", "right")[foot]
        other = INDEX[f"{('right', 'left')[foot]}_ankle"]
        ahead = np.einsum("tji,tj->ti", pelvis, joints[:, other] - joints[:, 0])[:, 2] + 0.06
        swing = gaussian_filter1d(np.clip(ARM_SWING_DEG_PER_M * ahead, -38.0, 38.0), 3) * (1 - seated)
        raised = 8.0 + swing * (1 + 0.3 * running) + 30.0 * seated
        elbow = 18.0 + 0.35 * np.maximum(swing, 0.0) + 65.0 * running + 35.0 * seated
        down = Rotation.from_rotvec(np.outer(np.full(len(poses), -side * ARM_DOWN_DEG), [0.0, 0.0, 1.0]), degrees=True).as_matrix()
        lift = Rotation.from_rotvec(np.outer(-raised, [1.0, 0.0, 0.0]), degrees=True).as_matrix()
        upper = chest @ lift @ down
        # At rest the arm lies along +-X with the elbow's hinge vertical; bending brings the hand forward.
        bend = Rotation.from_rotvec(np.outer(-side * elbow, [0.0, 1.0, 0.0]), degrees=True).as_matrix()
        rotations[:, INDEX[f"{name}_shoulder"]] = upper
        rotations[:, INDEX[f"{name}_elbow"]] = upper @ bend
        rotations[:, INDEX[f"{name}_wrist"]] = upper @ bend


def _drop(joints: Floats) -> Floats:
    """How much lower (T,) than its highest the pelvis is above the feet, metres."""
    height = joints[:, 0, 1] - joints[:, [7, 8], 1].mean(axis=1)
    return np.asarray(np.median(height) - height)
