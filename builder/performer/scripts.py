"""What scripted people are told to do: varied, and balanced so that no answer can be guessed without looking.

Every side, way and sign is a fair coin.  Where somebody goes is drawn in the frame of their *first* facing, equally often forward,
backward, left and right, and only then how: by turning there, or by backing or side-stepping.  Pauses make events separable,
and what time is left is spread unevenly, so that any quarter of a clip can be the still one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from builder.performer.actions import (
    CHANNELS,
    Action,
    Arc,
    Crouch,
    Jump,
    Lean,
    ReturnToStart,
    Run,
    Sit,
    Stairs,
    StandUp,
    Turn,
    Wait,
    Walk,
    turn_to,
)
from builder.performer.stage import final_pose, generator, play, timeline
from builder.types import Floats

PAUSE_S = (0.6, 2.5)
PAUSE_SHARE = 0.8
ROAMING = (0.3, 0.5, 1.0, 1.0)  # part of the moving time after which a person stays put: else all end furthest from the start
RETURN_SHARE = 0.45

Draw = np.random.Generator
T = TypeVar("T")
Block = Callable[[Draw, Floats], tuple[Action, ...]]


@dataclass(frozen=True)
class Plan:
    """What scripts are like: seconds, number of actions, share of the time spent moving, how far people go from where they start
    (metres; at the end of every action, or with `everywhere` at every moment), and what they do, with weights."""

    length_s: tuple[float, float]
    actions: tuple[int, int]
    busy: tuple[float, float]
    distance_m: float
    blocks: tuple[tuple[float, Block], ...]
    everywhere: bool = False


def draw_script(*identity: object, plan: Plan | None = None) -> tuple[Action, ...]:
    """The script of one person, a function of identity and plan alone; without a plan it is `ROAMERS`."""
    plan = plan or ROAMERS
    rng = generator("script", *identity)
    while True:
        script = _draft(rng, plan)
        if script and not (plan.everywhere and reach_m(script) > plan.distance_m):
            return script


def reach_m(script: tuple[Action, ...]) -> float:
    """How far from the start a script goes at most, in metres along the floor."""
    _, poses, _ = play(timeline(script), 30.0)
    return float(np.hypot(poses[:, 0], poses[:, 2]).max())


def _draft(rng: Draw, plan: Plan) -> tuple[Action, ...]:
    """A script, or () when what was drawn does not fit the clip."""
    length, busy = rng.uniform(*plan.length_s), rng.uniform(*plan.busy)
    wanted = int(rng.integers(plan.actions[0], plan.actions[1] + 1))
    taste = np.array([weight for weight, _ in plan.blocks]) * rng.exponential(size=len(plan.blocks))
    blocks: list[tuple[Action, ...]] = []
    pose, used, count = np.zeros(len(CHANNELS)), 0.0, 0

    def add(block: tuple[Action, ...]) -> None:
        nonlocal pose, used, count
        beats = timeline(block, pose)
        if beats:
            blocks.append(block)
            pose, used = final_pose(beats[-1]), used + beats[-1].end_s
            count += sum(not isinstance(beat.action, Wait) for beat in beats)

    roaming = busy * length * _pick(rng, ROAMING)
    while count < wanted and used < busy * length:
        if used < roaming:
            add(plan.blocks[int(rng.choice(len(taste), p=taste / taste.sum()))][1](rng, pose))
        else:
            add(_pick(rng, IN_PLACE)(rng, pose))
        if np.hypot(pose[0], pose[2]) > plan.distance_m:
            return ()
    if rng.random() < RETURN_SHARE:
        add(_go_back(rng, pose))
        for _ in range(int(rng.integers(0, 3))):
            add(_pick(rng, IN_PLACE)(rng, pose))
    pauses = rng.uniform(*PAUSE_S, len(blocks) + 1) * (rng.random(len(blocks) + 1) < PAUSE_SHARE)
    pauses[[0, -1]] *= rng.random(2) < 0.5
    spare = length - used - pauses.sum()
    pauses += max(spare, 0.0) * rng.dirichlet(np.full(len(pauses), 0.4))
    if not (plan.actions[0] <= count <= plan.actions[1] and plan.length_s[0] <= used + pauses.sum() <= plan.length_s[1]):
        return ()
    script: list[Action] = []
    for pause, block in zip(pauses, [*blocks, ()], strict=True):
        script += [*([Wait(_round(pause))] if pause > 0.1 else []), *block]
    return tuple(script)


def _round(value: float) -> float:
    return round(float(value), 2)


def _coin(rng: Draw) -> int:
    return int(rng.integers(0, 2)) * 2 - 1


def _pick(rng: Draw, choices: tuple[T, ...]) -> T:
    return choices[int(rng.integers(0, len(choices)))]


def _metres(rng: Draw, low: float, high: float) -> float:
    return _round(np.exp(rng.uniform(np.log(low), np.log(high))))


def _bearing(rng: Draw) -> float:
    """A direction in the frame of the first facing, degrees to the left: one of the four sides, or now and then oblique."""
    step = 90.0 * int(rng.integers(-1, 3)) + (45.0 if rng.random() < 0.12 else 0.0) * _coin(rng)
    return float(step + rng.normal(0.0, 5.0))


def _face(rng: Draw, pose: Floats, bearing: float) -> tuple[Action, ...]:
    """The turn to a bearing, sometimes with a moment before going on; none when it is about where the person faces."""
    degrees = _round(turn_to(float(pose[3]), bearing, _coin(rng)))
    if abs(degrees) < 20.0:
        return ()
    turn = Turn(degrees, _round(max(0.7, abs(degrees) / rng.uniform(55.0, 120.0))))
    return (turn, Wait(_round(rng.uniform(0.6, 1.0)))) if rng.random() < 0.3 else (turn,)


def _go(rng: Draw, pose: Floats, far: float = 5.0, fast: float = 1.6) -> tuple[Action, ...]:
    metres, bearing, speed = _metres(rng, 0.7, far), _bearing(rng), _round(rng.uniform(0.8, fast))
    if metres > 2.8 or rng.random() < 0.5:
        return (*_face(rng, pose, bearing), Walk(metres, speed=speed))
    degrees = _round(turn_to(float(pose[3]), bearing, _coin(rng)))
    return (Walk(metres, degrees, min(speed, 1.1) if abs(degrees) > 30.0 else speed),)


def _run(rng: Draw, pose: Floats, metres: tuple[float, float] = (3.0, 7.0), speed: tuple[float, float] = (2.3, 3.5)) -> tuple[Action, ...]:
    return (*_face(rng, pose, _bearing(rng)), Run(_metres(rng, *metres), _round(rng.uniform(*speed))))


def _shuttle(rng: Draw, pose: Floats) -> tuple[Action, ...]:
    """Back and forth along one line, without turning or by turning around."""
    degrees, metres, speed = 90.0 * int(rng.integers(-1, 3)), _metres(rng, 0.7, 2.5), _round(rng.uniform(0.7, 1.2))
    pause = (Wait(_round(rng.uniform(0.6, 0.9))),) if rng.random() < 0.5 else ()
    if rng.random() < 0.3:
        about = Turn(_round(180.0 * _coin(rng)), _round(rng.uniform(1.5, 2.5)))
        return (*_face(rng, pose, _bearing(rng)), Walk(metres, speed=speed), about, Walk(metres, speed=speed))
    legs = [Walk(metres, degrees + 180.0 * (k % 2), speed) for k in range(int(rng.integers(2, 5)))]
    return tuple(action for leg in legs for action in (leg, *pause))


def _arc(rng: Draw, pose: Floats) -> tuple[Action, ...]:
    """A curve, U-turn or loop that sets out in any of the four directions, forward or (for a short one) backing."""
    degrees = _pick(rng, (60.0, 90.0, 120.0, 180.0, 180.0, 360.0)) * _coin(rng)
    metres = _round(abs(degrees) / 57.3 * rng.uniform(0.5, 1.1) + 0.5)
    arc = Arc(metres, degrees, _round(rng.uniform(0.8, 1.3)), 180.0 if metres < 2.0 and rng.random() < 0.3 else 0.0)
    bend = (Arc(metres, -degrees, arc.speed, arc.direction_deg),) if abs(degrees) <= 90.0 and rng.random() < 0.3 else ()
    return (*_face(rng, pose, _bearing(rng)), arc, *bend)


def _turn(rng: Draw, pose: Floats) -> tuple[Action, ...]:
    degrees = _pick(rng, (45.0, 60.0, 90.0, 90.0, 135.0, 180.0, 180.0, 270.0, 360.0))
    return (Turn(_round(degrees * _coin(rng) + rng.normal(0.0, 4.0)), _round(max(0.8, degrees / rng.uniform(50.0, 130.0)))),)


def _jump(rng: Draw, pose: Floats) -> tuple[Action, ...]:
    metres = _metres(rng, 0.4, 1.0) if rng.random() < 0.3 else 0.0
    jump = Jump(_round(rng.uniform(0.25, 0.45)), metres, 90.0 * int(rng.integers(-1, 3)) if metres else 0.0)
    return (jump, Wait(_round(rng.uniform(0.3, 0.9)))) * int(rng.choice([1, 2, 3], p=[0.6, 0.25, 0.15]))


def _crouch(rng: Draw, pose: Floats) -> tuple[Action, ...]:
    return (Crouch(_round(rng.uniform(0.3, 0.6)), _round(rng.uniform(0.2, 2.0))),)


def _sit(rng: Draw, pose: Floats) -> tuple[Action, ...]:
    return (Sit(_round(rng.uniform(0.8, 3.5))), StandUp())


def _lean(rng: Draw, pose: Floats) -> tuple[Action, ...]:
    """One to three leans to any of the four sides."""
    leans: list[Action] = []
    for _ in range(int(rng.choice([1, 2, 3], p=[0.6, 0.25, 0.15]))):
        degrees, hold = _round(_coin(rng) * rng.uniform(27.0, 46.0)), _round(rng.uniform(0.3, 1.6))
        leans += [Lean(pitch_deg=degrees, hold_s=hold) if rng.random() < 0.5 else Lean(roll_deg=degrees, hold_s=hold)]
        leans += [Wait(_round(rng.uniform(0.5, 1.0)))]
    return tuple(leans)


def _stairs(rng: Draw, pose: Floats) -> tuple[Action, ...]:
    rise = rng.uniform(0.4, 1.4)
    stairs = Stairs(_round(rise * rng.uniform(1.5, 1.9)), _round(rise * _coin(rng)), _round(rng.uniform(0.5, 0.75)))
    return (*_face(rng, pose, _bearing(rng)), stairs)


def _go_back(rng: Draw, pose: Floats) -> tuple[Action, ...]:
    share = 1.0 if rng.random() < 0.6 else _round(rng.uniform(0.4, 0.7))
    return (ReturnToStart(_round(rng.uniform(0.9, 1.5)), bool(rng.random() < 0.7), _coin(rng), share),)


IN_PLACE: tuple[Block, ...] = (_turn, _jump, _crouch, _sit, _lean)
BLOCKS: tuple[tuple[float, Block], ...] = (
    (4.0, _go),
    (1.0, _run),
    (1.0, _shuttle),
    (1.2, _arc),
    (1.8, _turn),
    (1.0, _jump),
    (0.6, _crouch),
    (0.5, _sit),
    (1.6, _lean),
    (0.8, _stairs),
)

ROAMERS = Plan(length_s=(10.0, 30.0), actions=(3, 9), busy=(0.35, 0.95), distance_m=9.0, blocks=BLOCKS)

# What a camera can show whole: shorter, closer by, on a flat floor (nothing shows stairs), and no faster than feet can follow.
FILMED = Plan(
    length_s=(6.0, 15.0),
    actions=(2, 6),
    busy=(0.5, 0.9),
    distance_m=3.5,
    everywhere=True,
    blocks=(
        (4.0, partial(_go, far=3.2, fast=1.4)),
        (0.8, partial(_run, metres=(2.4, 4.5), speed=(2.1, 2.7))),
        (1.2, _shuttle),
        (1.0, _arc),
        (1.8, _turn),
        (0.9, _jump),
        (0.6, _crouch),
        (0.7, _sit),
        (1.3, _lean),
    ),
)
