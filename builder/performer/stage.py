"""Playing a script: exact poses on the time grid of a frame rate, and a walking, breathing body on top of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from builder.geometry import yaw_matrix
from builder.performer.actions import CHANNELS, Action, side, smooth
from builder.types import Bools, Floats, Track, TrackError

GENERATOR = "performer/1"

# Amplitudes of the pelvis in CHANNELS: the range over people, and cycles per stride (two steps).
GAIT_LOW = np.array([0.02, 0.01, 0.005, 5.0, 2.0, 4.0])
GAIT_HIGH = np.array([0.05, 0.06, 0.015, 10.0, 5.0, 7.0])
GAIT_CYCLES = np.array([1, 2, 2, 1, 2, 1])
RUNNING_BOB_M = (0.05, 0.08)
STRIDE_HZ = 0.9  # at a walking speed of 1.3 m/s; step length and cadence share a change of speed equally
BREATH_LOW = np.array([0.003, 0.002, 0.003, 0.5, 0.3, 0.3])
BREATH_HIGH = np.array([0.010, 0.004, 0.010, 2.0, 1.0, 1.0])
BREATH_HZ = (0.12, 0.35)
STANDING_LOW = np.array([0.85, -5.0, -1.5])  # pelvis height (m), pitch and roll (deg) of people at ease
STANDING_HIGH = np.array([1.0, 10.0, 1.5])
PLAIN_STANDING = np.array([0.93, 0.0, 0.0])


class Habits(NamedTuple):
    """How one body stands, walks and breathes: amplitudes and phases in `CHANNELS`; standing is height (m), pitch and roll (deg)."""

    standing: Floats
    amplitude: Floats
    running_bob_m: float
    phase: Floats
    breath: Floats
    breath_phase: Floats
    breath_hz: Floats


class Beat(NamedTuple):
    """One action as played: over `[start_s, end_s]`, beginning at `pose` (6,) in `CHANNELS`."""

    action: Action
    start_s: float
    end_s: float
    pose: Floats


def generator(*identity: object) -> np.random.Generator:
    """A random generator that depends on the identity alone: the same in every process and on every machine."""
    digest = hashlib.sha256("/".join(map(str, identity)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def habits(seed: int | str) -> Habits:
    """The habits of the person of this seed."""
    rng = generator(GENERATOR, seed)
    return Habits(
        standing=rng.uniform(STANDING_LOW, STANDING_HIGH),
        amplitude=rng.uniform(GAIT_LOW, GAIT_HIGH),
        running_bob_m=float(rng.uniform(*RUNNING_BOB_M)),
        phase=rng.uniform(0.0, 1.0, len(CHANNELS)),
        breath=rng.uniform(BREATH_LOW, BREATH_HIGH),
        breath_phase=rng.uniform(0.0, 1.0, len(CHANNELS)),
        breath_hz=rng.uniform(*BREATH_HZ, len(CHANNELS)),
    )


def place(pose: Floats, change: Floats) -> Floats:
    """Poses (n, 6) reached from `pose`, (6,) or (n, 6), by changes (n, 6) that are relative to its facing."""
    left, forward = side(pose[..., 3])
    out = pose + change
    out[:, 0] = pose[..., 0] + forward * change[:, 0] + left * change[:, 2]
    out[:, 2] = pose[..., 2] - left * change[:, 0] + forward * change[:, 2]
    return np.asarray(out)


def timeline(script: Sequence[Action], pose: Floats | None = None, start_s: float = 0.0) -> list[Beat]:
    """The plain actions of a script with their times and starting poses, from `pose` (all zeros) and `start_s` on.

    Raises TrackError for an action that takes no time, or for one with a number that is not finite.
    """
    pose = np.zeros(len(CHANNELS)) if pose is None else pose
    beats: list[Beat] = []
    for given in script:
        for action in given.expand(pose):
            seconds = action.seconds
            if not (np.isfinite(seconds) and seconds > 0):
                raise TrackError(f"script: {action}: expected an action that takes a positive time, got {seconds} s; check its numbers")
            beats.append(Beat(action, start_s, start_s + seconds, pose))
            start_s, pose = start_s + seconds, final_pose(beats[-1])
    return beats


def final_pose(beat: Beat) -> Floats:
    """Pose (6,) at the end of a beat."""
    end = place(beat.pose, beat.action.change(np.array([beat.end_s - beat.start_s])))
    return np.asarray(end[0])


def num_frames(beats: Sequence[Beat], fps: float) -> int:
    """Frames of a played script: one at 0 s and one every 1/fps s to its end."""
    return int(np.floor((beats[-1].end_s if beats else 0.0) * fps + 1e-6)) + 1


def play(beats: Sequence[Beat], fps: float) -> tuple[Floats, Floats, Bools]:
    """Times (T,) in seconds, the script's exact poses (T, 6) in `CHANNELS`, and whether the feet step (T,)."""
    t = np.arange(num_frames(beats, fps)) / fps
    poses, stepping = np.zeros((len(t), len(CHANNELS))), np.zeros(len(t), dtype=bool)
    for beat in beats:
        now = slice(int(np.searchsorted(t, beat.start_s - 1e-9)), len(t))
        poses[now] = place(beat.pose, beat.action.change(np.minimum(t[now], beat.end_s) - beat.start_s))
        stepping[now] = beat.action.steps & (t[now] <= beat.end_s)
    return t, poses, stepping


def perform(script: Sequence[Action], fps: float = 30.0, seed: int | str = 0, gait: bool = True, clip_id: str = "performer") -> Track:
    """The track of a person who does what `script` says, one action after the other.

    The person starts at the origin of a +Y-up world, facing +Z, with +X to their left.  The script's path is exact at every frame
    rate.  With `gait` the pelvis of a real body moves about that path: it sways, bobs and swings with every stride (fading out
    at stops), breathes at rest, and stands at its own height and tilt, all drawn from `seed`; without, height is 0.93 m.

    `provenance` carries the script and the `timeline` of plain actions with their `start_s` and `end_s`, JSON-ready, so that the
    truth can be computed without this file.  Raises TrackError for a script shorter than two frames or with impossible numbers.
    """
    beats = timeline(script)
    t, poses, stepping = play(beats, fps)
    swing, standing = np.zeros_like(poses), PLAIN_STANDING
    if gait and len(t) > 1:
        who = habits(seed)
        standing = who.standing
        swing = _strides(poses, stepping, fps, who) + _breath(t, who)
    poses = place(poses, swing)
    pitch, roll = poses[:, 4] + standing[1], poses[:, 5] + standing[2]
    lean = Rotation.from_rotvec(np.stack([pitch, 0 * pitch, -roll], axis=1), degrees=True).as_matrix()
    return Track(
        clip_id=clip_id,
        person_id="0",
        fps=fps,
        valid=np.ones(len(t), dtype=bool),
        body_to_world=yaw_matrix(poses[:, 3]) @ lean,
        position_m=poses[:, :3] + [0.0, standing[0], 0.0],
        frame_ids=np.arange(len(t), dtype=np.int64),
        lifter="groundtruth",
        provenance={
            "generator": GENERATOR,
            "seed": seed,
            "gait": gait,
            "script": [action.as_json() for action in script],
            "timeline": [{**b.action.as_json(), "start_s": b.start_s, "end_s": b.end_s} for b in beats],
        },
    )


def gait_cycle(poses: Floats, stepping: Bools, fps: float) -> tuple[Floats, Floats, Floats]:
    """Strides since the start (T,), effort (T,) and share of running (T,) of a walker, from the speed over the floor and of turning."""
    rate = np.gradient(poses[:, [0, 2, 3]], axis=0) * fps
    speed = np.hypot(rate[:, 0], rate[:, 1]) * stepping
    effort = np.hypot(speed, 0.3 * rate[:, 2] / 90.0) * stepping
    cadence = STRIDE_HZ * np.sqrt(np.maximum(effort, 0.1) / 1.3)
    cycle = np.concatenate([[0.0], np.cumsum(cadence[1:] + cadence[:-1]) / (2 * fps)])
    return cycle, effort, smooth((speed - 1.7) / 0.6)


def _strides(poses: Floats, stepping: Bools, fps: float, who: Habits) -> Floats:
    """Swing (T, 6) of the pelvis with every stride: cadence and amplitude follow the effort."""
    cycle, effort, running = gait_cycle(poses, stepping, fps)
    amplitude = who.amplitude * np.ones((len(poses), 1))
    amplitude[:, 1] += running * (who.running_bob_m - amplitude[:, 1])
    return np.asarray(amplitude * smooth(effort / 0.8)[:, None] * np.sin(2 * np.pi * (np.outer(cycle, GAIT_CYCLES) + who.phase)))


def _breath(t: Floats, who: Habits) -> Floats:
    """Slow small sway (T, 6) of a body that never stands quite still."""
    return np.asarray(who.breath * np.sin(2 * np.pi * (np.outer(t, who.breath_hz) + who.breath_phase)))
