"""Where the feet are: planted on the floor until they step, for any script and from its path alone.

A clock counts steps (even numbers belong to one foot, odd ones to the other; a whole number is the middle of a stance).  While a
person walks it keeps time with the bob of the pelvis, which is highest over a standing foot (lowest when running).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from builder.geometry import yaw_matrix
from builder.performer.actions import GRAVITY, Crouch, Jump, Sit, StandUp, smooth
from builder.performer.stage import Beat, Habits, final_pose, gait_cycle, play
from builder.render.skeleton import INDEX, OFFSETS_M, REST_M, SOLE_M
from builder.types import Bools, Floats

HALF_STANCE_M = 0.085
HALF_STANCE_STEPS = (0.58, 0.38)  # half of a stance on the step clock, walking and running
STEPS_PER_S = (1.7, 3.8)
TURN_PER_STEP_DEG = 40.0
CLOCK_PULL = 4.0  # per second, towards the time of the bob
REAR_BIAS_S = 0.06  # a walker puts the feet behind where the hips will be: the heel can rise, the toes cannot reach
STAY_M, STAY_DEG = 0.03, 6.0  # a step shorter than this is not taken
FLIGHT_TUCK_M = 0.05
REACH = 0.992  # of the straight leg
HEELS_DEG = np.arange(0.0, 76.0, 1.0)
STIR_S, SWING_S = 0.1, 0.25  # a foot leaves at most this long before the body does; a swing takes at least this
TRIM_S = 0.3  # a foot that its leg cannot reach comes later or leaves earlier by this at most
LANDING_HEEL_DEG = 28.0  # who walks forward comes down on a flat foot, or nearly so
TILTS = np.asarray(Rotation.from_rotvec(np.outer(HEELS_DEG, [1.0, 0.0, 0.0]), degrees=True).as_matrix())


@dataclass(frozen=True, eq=False)
class Feet:
    """Both feet (left first) over T frames: place under the ankle on the sole's plane (T, 2, 3), yaw (T, 2) in degrees,
    lifted heel (T, 2) in degrees as far as the step asks for it, and whether the foot stands on the floor (T, 2)."""

    place_m: Floats
    yaw_deg: Floats
    heel_deg: Floats
    planted: Bools


class _Step(NamedTuple):
    """One foot leaves at `start_s` and stands at `goal` (x, y, z, yaw) from `end_s` on; `flight` is a jump's height, else 0."""

    start_s: float
    end_s: float
    goal: Floats
    flight: float = 0.0


class _Flight(NamedTuple):
    """A jump: when it begins, leaves the floor, lands and ends, and the pose that it starts from."""

    begin_s: float
    off_s: float
    landed_s: float
    end_s: float
    height: float


def plan_feet(beats: Sequence[Beat], fps: float, who: Habits, scale: float, hips_m: Floats) -> Feet:
    """The feet of the person who plays `beats` at `fps`, with a body of `scale` times the mean size and hips at `hips_m` (T, 2, 3)."""
    t, poses, stepping = play(beats, fps)
    ground = _ground(beats, t, poses)
    clock, running = _clock(ground, poses, stepping, fps, who)
    flights = [_flight(beat) for beat in beats if isinstance(beat.action, Jump)]
    velocity = _body_velocity(ground, fps)
    feet = []
    for foot, side in enumerate((1.0, -1.0)):
        goals = _goals(ground, velocity, side, scale, clock, fps)
        steps = _steps(foot, t, clock, running, ground, goals, flights)
        start = _goals(ground[:1], velocity[:1] * 0, side, scale, clock[:1], fps)[0]
        steps = _trimmed(t, start, steps, velocity, foot, scale, hips_m[:, foot])
        feet.append(_follow(t, start, steps, velocity))
    return Feet(*(np.stack(parts, axis=1) for parts in zip(*feet, strict=True)))


def leg_m(foot: int, scale: float) -> tuple[float, float]:
    """Lengths of thigh and shank (metres) of the left (0) or right (1) leg."""
    side = ("left", "right")[foot]
    return tuple(scale * float(np.linalg.norm(OFFSETS_M[INDEX[f"{side}_{part}"]])) for part in ("knee", "ankle"))  # type: ignore[return-value]


def ankle_places(place_m: Floats, yaw_deg: Floats, foot: int, scale: float) -> Floats:
    """Where the ankle is (T, H, 3) when the heel is lifted by each of `HEELS_DEG` about a ball of the foot that stays in place."""
    side = ("left", "right")[foot]
    flat, toes = yaw_matrix(yaw_deg), scale * OFFSETS_M[INDEX[f"{side}_foot"]]
    ankle = place_m + np.array([0.0, scale * (REST_M[INDEX[f"{side}_ankle"], 1] - SOLE_M), 0.0])
    return np.asarray((ankle + flat @ toes)[:, None] - np.einsum("tij,hjk,k->thi", flat, TILTS, toes))


def _flight(beat: Beat) -> _Flight:
    _, off, landed, _, end = beat.start_s + beat.action._phases()  # type: ignore[attr-defined]
    return _Flight(beat.start_s, float(off), float(landed), float(end), beat.action.height)  # type: ignore[attr-defined]


def _ground(beats: Sequence[Beat], t: Floats, poses: Floats) -> Floats:
    """The point (T, 4) that the feet stand about: x, y, z and yaw (degrees); sitting and crouching leave it, a jump moves it in flight."""
    ground = poses[:, :4].copy()
    seat: Floats | None = None
    for beat in beats:
        now = (t >= beat.start_s - 1e-9) & (t <= beat.end_s + 1e-9)
        if isinstance(beat.action, Sit) and not isinstance(beat.action, StandUp):
            seat = beat.pose
        if seat is not None:
            ground[now] = seat[:4]
        if isinstance(beat.action, StandUp):
            seat = None
        if isinstance(beat.action, Crouch):
            ground[now] = beat.pose[:4]
        if isinstance(beat.action, Jump):
            flight, end = _flight(beat), final_pose(beat)[:4]
            share = np.clip((t[now] - flight.off_s) / (flight.landed_s - flight.off_s), 0.0, 1.0)[:, None]
            ground[now] = beat.pose[:4] + share * (end - beat.pose[:4])
    return ground


def _body_velocity(ground: Floats, fps: float) -> Floats:
    """Left and forward speed (m/s) and turning (deg/s) of the ground point, (T, 3)."""
    if len(ground) < 2:
        return np.zeros((len(ground), 3))
    rate = np.gradient(ground, axis=0) * fps
    flat = np.einsum("tji,tj->ti", yaw_matrix(ground[:, 3]), rate[:, :3])
    return np.stack([flat[:, 0], flat[:, 2], rate[:, 3]], axis=1)


def _clock(ground: Floats, poses: Floats, stepping: Bools, fps: float, who: Habits) -> tuple[Floats, Floats]:
    """Steps counted (T,), strictly growing, and the share of running (T,)."""
    cycle, effort, running = gait_cycle(poses, stepping, fps)
    left, forward, turning = np.abs(_body_velocity(ground, fps)).T
    sideways = (left / np.maximum(np.hypot(left, forward), 0.05)) ** 2
    beat = 2 * np.gradient(cycle) * fps
    bob = 2 * cycle + who.phase[1] - 0.25 + 0.5 * running
    locked = smooth((effort - 0.3) / 0.3) * (1 - sideways) * stepping
    free = np.clip(np.maximum(beat * (1 + sideways), turning / TURN_PER_STEP_DEG), *STEPS_PER_S)
    # The pelvis sways towards the standing foot, which says whose the even steps are.
    even = np.cos(np.pi * (bob % 2.0)) * np.sin(2 * np.pi * (cycle + who.phase[0])) * locked
    now = 0.5 + (0.0 if even.sum() >= 0 else 1.0)
    clock = np.empty(len(ground))
    for frame in range(len(ground)):
        clock[frame] = now
        late = (bob[frame] - now + (0.0 if even.sum() >= 0 else 1.0) + 1.0) % 2.0 - 1.0
        pull = CLOCK_PULL * np.clip(late, -0.25, 0.25)
        rate = locked[frame] * (beat[frame] + pull) + (1 - locked[frame]) * free[frame]
        now += float(np.clip(rate, 1.0, STEPS_PER_S[1])) / fps
    return clock, running


def _goals(ground: Floats, velocity: Floats, side: float, scale: float, clock: Floats, fps: float) -> Floats:
    """Where the foot of `side` (1 left, -1 right) would stand about each ground point, (T, 4): x, y, z, yaw."""
    pace = np.gradient(clock) * fps if len(clock) > 1 else np.ones(len(clock))
    spread = HALF_STANCE_M * scale + np.abs(velocity[:, 0]) / np.maximum(pace, 1.0) / 2
    goals = ground.copy()
    aside = np.stack([side * spread, 0 * spread, -0.05 * scale - REAR_BIAS_S * np.abs(velocity[:, 1])], axis=1)
    goals[:, :3] += np.einsum("tij,tj->ti", yaw_matrix(ground[:, 3]), aside)
    return goals


def _steps(foot: int, t: Floats, clock: Floats, running: Floats, ground: Floats, goals: Floats, flights: list[_Flight]) -> list[_Step]:
    """The steps that one foot takes, in order and without overlap."""
    rate = max(float(clock[-1] - clock[-2]), 1e-3) / float(t[1] - t[0])

    def when(count: float) -> float:
        return float(np.interp(count, clock, t)) if count <= clock[-1] else float(t[-1] + (count - clock[-1]) / rate)

    steps: list[_Step] = []
    for count in range(int(np.ceil(clock[0])), int(clock[-1]) + 3):
        if count % 2 != foot:
            continue
        middle = when(count)
        half = float(np.interp(middle, t, HALF_STANCE_STEPS[0] + (HALF_STANCE_STEPS[1] - HALF_STANCE_STEPS[0]) * running))
        start, end = when(count - 2 + half), when(count - half)
        start = max(start, min(_stirring(t, ground, start) - STIR_S, end - SWING_S))
        for flight in flights:
            if flight.begin_s + 0.2 <= start < flight.landed_s:
                start = np.inf
            elif start < flight.off_s < end:
                end = flight.off_s
            if flight.begin_s <= middle < flight.landed_s:
                middle = flight.begin_s
        if np.isfinite(start):
            steps.append(_Step(start, end, goals[min(int(np.searchsorted(t, middle)), len(t) - 1)]))
    for flight in flights:
        after = min(int(np.searchsorted(t, flight.landed_s)) + 1, len(t) - 1)
        steps.append(_Step(flight.off_s, flight.landed_s, goals[after], flight.height))
    return sorted(steps, key=lambda step: step.start_s)


def _stirring(t: Floats, ground: Floats, start_s: float) -> float:
    """When the ground point first leaves the place where it is at `start_s`; no foot steps long before that."""
    first = min(int(np.searchsorted(t, start_s)), len(t) - 1)
    moved = np.abs(ground[first:] - ground[first]).max(axis=1, where=[True, True, True, False], initial=0.0) > 0.01
    moved |= np.abs(ground[first:, 3] - ground[first, 3]) > 2.0
    return float(t[first + int(moved.argmax())]) if moved.any() else start_s


def _trimmed(t: Floats, start: Floats, steps: list[_Step], velocity: Floats, foot: int, scale: float, hip_m: Floats) -> list[_Step]:
    """The steps that are taken, with a foot landing when its leg can reach the place, and leaving before it no longer can."""
    taken, now = [], start
    for step in steps:
        move = step.goal - now
        if step.flight or float(np.linalg.norm(move[:3])) >= STAY_M or abs(move[3]) >= STAY_DEG:
            taken.append(step)
            now = step.goal
    places, yaw, _, planted = _follow(t, start, taken, velocity)
    distance = np.linalg.norm(ankle_places(places, yaw, foot, scale) - hip_m[:, None], axis=2)
    longest = REACH * sum(leg_m(foot, scale))
    far = (distance.min(axis=1) > longest) & planted
    flat = np.where(velocity[:, 1, None] > 0.3, HEELS_DEG <= LANDING_HEEL_DEG, HEELS_DEG >= 0.0)
    early = (np.where(flat, distance, np.inf).min(axis=1) > longest) & planted
    out = []
    for number, step in enumerate(taken):
        before = taken[number - 1].end_s if number else -np.inf
        after = taken[number + 1].start_s if number + 1 < len(taken) else np.inf
        leaving = t[far & (t > max((before + step.start_s) / 2, step.start_s - TRIM_S)) & (t <= step.start_s)]
        coming = t[early & (t >= step.end_s) & (t < min((step.end_s + after) / 2, step.end_s + TRIM_S))]
        begin = step.start_s if step.flight or not len(leaving) else float(leaving[0] - (t[1] - t[0]))
        end = step.end_s if step.flight or not len(coming) else float(coming[-1] + (t[1] - t[0]))
        out.append(step._replace(start_s=begin, end_s=end))
    return out


def _follow(t: Floats, start: Floats, steps: list[_Step], velocity: Floats) -> tuple[Floats, Floats, Floats, Bools]:
    """Place (T, 3), yaw (T,), lifted heel (T,) and planted (T,) of one foot that begins at `start` and takes `steps`."""
    here = np.repeat(start[None], len(t), axis=0)
    heel, planted = np.zeros(len(t)), np.ones(len(t), dtype=bool)
    now = start
    for step in steps:
        move = step.goal - now
        metres = float(np.linalg.norm(move[:3]))
        during = (t > step.start_s) & (t < step.end_s)
        share = (t[during] - step.start_s) / (step.end_s - step.start_s)
        gone = share if step.flight else 0.5 - 0.5 * np.cos(np.pi * share)
        here[during] = now + gone[:, None] * move
        if step.flight:
            seconds = t[during] - step.start_s
            length = step.end_s - step.start_s
            here[during, 1] += GRAVITY / 2 * seconds * (length - seconds) + FLIGHT_TUCK_M * np.sin(np.pi * share)
            heel[during] = 35.0 * np.sin(np.pi * share)
        else:
            forward = float(np.median(velocity[during, 1])) if during.any() else 0.0
            lift = 0.05 + 0.09 * min(metres, 1.2) + float(0.18 * smooth(np.array((forward - 1.6) / 0.8)))
            here[during, 1] += lift * np.sin(np.pi * share) ** 1.5
            heel[during] = min(55.0, 45.0 * max(forward, 0.0)) * (1 - smooth(share / 0.7)) * smooth(share / 0.15)
        planted[during] = False
        here[t >= step.end_s] = step.goal
        now = step.goal
    return here[:, :3], here[:, 3], heel, planted
