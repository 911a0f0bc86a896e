"""What a described motion holds: the story of scripted people, and nothing at all in ordinary walking and standing."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import uniform_filter1d
from scipy.spatial.transform import Rotation

from builder import geometry, recipe
from builder.motion import CHANNEL_OF, CHANNELS, DIRECTIONS, describe, turning_points
from builder.performer import Action, Arc, Crouch, Jump, Lean, Run, Sit, Stairs, StandUp, Turn, Wait, Walk, perform
from builder.sources import tracks
from builder.types import Event, Floats, Motion, Track

DEFAULT = recipe.load()
STRAIGHT = ("cmu_12_01_walk", "cmu_test_walking_10", "dm_walk", "dm_jog", "cmu_train_running_1")


@pytest.fixture(scope="module")
def real(test_data: Path) -> dict[str, Track]:
    return {c.clip_id.rsplit("/")[-1]: tracks.reference(c)[0] for c in tracks.clips(test_data / "tracks")}


def movements(motion: Motion) -> list[Event]:
    """Events of the six codes: no compounds, no distance from the start."""
    return [e for e in motion.events if e.code in CHANNELS]


def named(motion: Motion) -> set[str]:
    """Compound events that happen."""
    return {e.direction for e in motion.events if e.direction not in CHANNEL_OF}


def rough(expected: float, metres: bool) -> float:
    """How far off an amount may be: gait sways the pelvis while a movement starts and stops."""
    return 0.04 * abs(expected) + (0.06 if metres else 6.0)


TURN_ROUND = (Walk(3), Turn(180, 2), Walk(3))

# Smoothing takes 0.06-0.09 m off the peak of a jump, which lasts half a second; nothing else is that short.
# name, script, [direction, amount (m or deg), start (s)] in order of start, compounds that must happen
STORIES: list[tuple[str, tuple[Action, ...], list[tuple[str, float, float]], set[str]]] = [
    ("walk", (Wait(1), Walk(3), Wait(1)), [("forward", 3.0, 1.3)], {"walk"}),
    ("walk back", (Wait(1), Walk(2, 180, 0.9), Wait(1)), [("backward", -2.0, 1.4)], {"walk"}),
    ("side-step left", (Wait(1), Walk(1.5, 90, 0.8), Wait(1)), [("left", 1.5, 1.4)], {"walk"}),
    ("side-step right", (Wait(1), Walk(1.5, -90, 0.8), Wait(1)), [("right", -1.5, 1.4)], {"walk"}),
    ("turn left", (Wait(1), Turn(90, 1.5), Wait(1)), [("turn_left", 90.0, 1.4)], {"still"}),
    ("turn right", (Wait(1), Turn(-60, 1.0), Wait(1)), [("turn_right", -60.0, 1.25)], {"still"}),
    ("turn a little more than once", (Wait(1), Turn(400, 5), Wait(1)), [("turn_left", 400.0, 1.9)], {"turn_around"}),
    (
        "U-turn",
        (Wait(1), *TURN_ROUND, Wait(1)),
        [("forward", 3.0, 1.4), ("turn_left", 180.0, 4.3), ("backward", -3.0, 6.3)],
        {"walk", "turn_around"},
    ),
    (
        "walk, pause, walk",
        (Walk(2), Wait(1.5), Walk(2)),
        [("forward", 2.0, 0.3), ("forward", 2.0, 3.9)],
        {"walk", "still"},
    ),
    ("walk at 10 degrees", (Wait(1), Walk(4, 10), Wait(1)), [("forward", 3.94, 1.3)], {"walk"}),
    ("walk diagonally", (Wait(1), Walk(4, 45), Wait(1)), [("left", 2.83, 1.3), ("forward", 2.83, 1.3)], {"walk"}),
    ("jump", (Wait(1), Jump(0.4), Wait(1)), [("up", 0.5, 1.45), ("down", -0.5, 1.9)], {"jump"}),
    (
        "jump forward",
        (Wait(1), Jump(0.35, metres=0.8), Wait(1)),
        [("forward", 0.8, 1.55), ("up", 0.45, 1.45), ("down", -0.45, 1.9)],
        {"jump"},
    ),
    ("crouch", (Wait(1), Crouch(0.5, 1.5), Wait(1)), [("down", -0.5, 1.3), ("up", 0.5, 3.8)], {"crouch", "stand_up"}),
    (
        "sit and stand up",
        (Wait(1), Sit(2), StandUp(), Wait(1)),
        [("down", -0.42, 1.4), ("up", 0.42, 4.7)],
        {"crouch", "stand_up"},
    ),
    ("lean forward", (Wait(1), Lean(pitch_deg=40), Wait(1)), [("lean_forward", 40.0, 1.35)], {"still"}),
    ("lean backward", (Wait(1), Lean(pitch_deg=-35), Wait(1)), [("lean_backward", -35.0, 1.35)], {"still"}),
    (
        "lean left, then right",
        (Wait(1), Lean(roll_deg=35), Wait(1), Lean(roll_deg=-35), Wait(1)),
        [("lean_left", 35, 1.35), ("lean_right", -35, 5.5)],
        {"still"},
    ),
    ("stairs", (Wait(1), Stairs(2, 1.0), Wait(1)), [("forward", 2.0, 1.4), ("up", 1.0, 1.4)], set()),
    ("stairs down", (Wait(1), Stairs(2, -1.0), Wait(1)), [("forward", 2.0, 1.4), ("down", -1.0, 1.4)], set()),
    ("run", (Wait(1), Run(6), Wait(1)), [("forward", 6.0, 1.25)], {"run"}),
    (
        "loop to the left",
        (Wait(1), Arc(6.28, 360), Wait(1)),
        [
            ("forward", 1.0, 1.4),
            ("left", 2.0, 1.9),
            ("turn_left", 360.0, 1.5),
            ("backward", -2.0, 3.0),
            ("right", -2.0, 4.7),
            ("forward", 1.0, 5.9),
        ],
        {"walk", "turn_around"},
    ),
]


@pytest.mark.parametrize("gait", [False, True], ids=["plain", "gait"])
@pytest.mark.parametrize(("script", "expected", "compounds"), [s[1:] for s in STORIES], ids=[s[0] for s in STORIES])
def test_story(script: tuple[Action, ...], expected: list[tuple[str, float, float]], compounds: set[str], gait: bool):
    motion = describe(perform(script, gait=gait, seed="story"), DEFAULT)
    found = movements(motion)
    assert Counter(e.direction for e in found) == Counter(d for d, *_ in expected)
    for direction, amount, start in expected:
        e = min((e for e in found if e.direction == direction), key=lambda e: abs(e.start_frame / motion.fps - start))
        assert e.amount == pytest.approx(amount, abs=rough(amount, "displacement" in e.code)), direction
        assert e.start_frame / motion.fps == pytest.approx(start, abs=0.5), direction
    assert compounds <= named(motion)
    assert "jump" in compounds or "jump" not in named(motion)
    assert "run" in compounds or "run" not in named(motion)
    assert "turn_around" in compounds or "turn_around" not in named(motion)


@pytest.mark.parametrize("name", STRAIGHT)
def test_real_straight_walking_is_one_forward_event(real: dict[str, Track], name: str):
    motion = describe(real[name], DEFAULT)
    assert [e.direction for e in movements(motion)] == ["forward"]
    assert movements(motion)[0].amount == pytest.approx(motion.path_m[-1, 1], abs=0.05)


def straight_windows(track: Track, seconds: float = 3.0) -> list[Track]:
    """Windows of straight walking, told without `builder.motion`: every 0.1 s a window throughout which the floor speed (positions
    averaged over 0.5 s) exceeds 0.5 m/s, with net over path above 0.97, headings (averaged over 1 s) that span under 25 degrees,
    the way gone within 25 degrees of the mean facing, and the body upright."""

    def mean(values: Floats, over_s: float) -> Floats:
        return np.asarray(uniform_filter1d(values, round(over_s * track.fps), axis=0, mode="nearest"))

    floor, heading = mean(track.position_m[:, [0, 2]], 0.5), mean(geometry.heading_deg(track.body_to_world), 1.0)
    speed, length = np.hypot(*np.gradient(floor, axis=0).T) * track.fps, round(seconds * track.fps) + 1
    found = []
    for start in range(0, track.num_frames - length + 1, round(0.1 * track.fps)):
        now = slice(start, start + length)
        net = floor[now][-1] - floor[now][0]
        path = np.hypot(*np.diff(floor[now], axis=0).T).sum()
        off = (np.degrees(np.arctan2(*net)) - heading[now].mean() + 180.0) % 360.0 - 180.0
        straight = speed[now].min() > 0.5 and np.hypot(*net) > 0.97 * path and np.ptp(heading[now]) < 25.0 and abs(off) < 25.0
        if straight and geometry.upright(track.body_to_world[now], 40.0).all():
            found.append(geometry.crop(track, start, start + length))
    return found


def test_windows_of_real_straight_walking_are_one_forward_event(real: dict[str, Track]):
    windows = [w for t in real.values() for w in straight_windows(t)]
    assert len(windows) >= 45, "the shared tracks hold 52 such windows, of five people"
    right = [[e.direction for e in movements(describe(w, DEFAULT))] == ["forward"] for w in windows]
    assert np.mean(right) >= 0.93, f"{len(windows)} windows"


def test_one_real_stride_repeated_for_two_minutes_is_one_forward_event(real: dict[str, Track]):
    """The shared walk cycle laid end to end: whatever its sway, repeating it makes no other event."""
    cycle = real["dm_walk"]
    n, repeats = cycle.num_frames - 1, 100
    step = cycle.position_m[-1] - cycle.position_m[0]
    long = Track(
        clip_id="cycles",
        person_id="0",
        fps=cycle.fps,
        valid=np.ones(n * repeats, dtype=bool),
        body_to_world=np.tile(cycle.body_to_world[:n], (repeats, 1, 1)),
        position_m=np.concatenate([cycle.position_m[:n] + k * step * [1, 0, 1] for k in range(repeats)]),
        frame_ids=np.arange(n * repeats),
    )
    found = movements(describe(long, DEFAULT))
    assert [e.direction for e in found] == ["forward"]
    assert found[0].amount == pytest.approx(repeats * np.hypot(step[0], step[2]), rel=0.02)


@pytest.mark.parametrize("seed", range(6))
def test_two_minutes_of_gait_are_one_forward_event(seed: int):
    motion = describe(perform([Walk(150, speed=1.25)], seed=seed), DEFAULT)
    assert [e.direction for e in movements(motion)] == ["forward"]
    assert movements(motion)[0].amount == pytest.approx(150, rel=0.01)


@pytest.mark.parametrize("seed", range(6))
def test_two_minutes_of_standing_are_no_event(seed: int):
    motion = describe(perform([Wait(120)], seed=seed), DEFAULT)
    assert [e.direction for e in motion.events] == ["still"]


AMOUNTS = [
    *((Walk(m), m) for m in (0.36, 0.5, 0.75, 1.0, 2.0, 5.0)),
    *((Turn(d), d) for d in (36, 45, 60, 90, 180, 360)),
    *((Lean(pitch_deg=d), d) for d in (25, 30, 40, 60)),
    *((Crouch(m), -m) for m in (0.25, 0.3, 0.45, 0.6)),
]


@pytest.mark.parametrize(("action", "amount"), AMOUNTS, ids=[f"{type(a).__name__} {x}" for a, x in AMOUNTS])
def test_an_event_between_pauses_has_the_amount_that_was_moved(action: Action, amount: float):
    first = movements(describe(perform([Wait(2), action, Wait(2)], gait=False), DEFAULT))[0]
    assert first.amount == pytest.approx(amount, rel=0.03)


def test_amounts_of_a_channel_add_up_to_its_change():
    """Every metre or degree beyond one event's minimum belongs to an event."""
    for seed in range(20):
        script = [Wait(1), Walk(2), Wait(1), Turn(90), Wait(1), Walk(1.5, 90), Wait(1), Turn(-180), Wait(1), Walk(3), Wait(1)]
        motion = describe(perform(script, seed=seed), DEFAULT)
        for code in ("displacement_x", "displacement_z", "rotation_yaw"):
            total = sum(e.amount for e in motion.events if e.code == code)
            signal = motion.signals[code]
            assert abs(signal[-1] - signal[0] - total) < 0.5 * DEFAULT.channels[code].minimum, (seed, code)


def test_starts_and_ends_are_when_it_is_seen_to_move():
    motion = describe(perform([Wait(4), Turn(180, 2), Wait(6)], gait=False), DEFAULT)
    (turn,) = movements(motion)
    assert 4.0 < turn.start_frame / 60 < 4.8
    assert 5.2 < turn.end_frame / 60 < 6.0
    assert turn.speed == pytest.approx(120.0, rel=0.25)
    assert (turn.size, turn.pace) == ("significant", "brisk")


def test_lying_and_flips_are_no_turns_and_are_marked(real: dict[str, Track]):
    for name in ("dm_backflip", "dm_getup_faceup", "dm_roll", "mjpc_88_06", "mjpc_90_19"):
        track = real[name]
        motion = describe(track, DEFAULT)
        assert not motion.heading_ok.all(), name
        assert motion.heading_ok.shape == motion.lean_ok.shape == (motion.num_frames,)
        for e in motion.events:
            usable = {"rotation_yaw": motion.heading_ok, "rotation_pitch": motion.lean_ok, "rotation_roll": motion.lean_ok}.get(e.code)
            assert usable is None or usable[e.span[0] : e.span[1] + 1].all(), (name, e)
    assert not [e for e in describe(real["dm_backflip"], DEFAULT).events if e.code == "rotation_yaw"]
    assert describe(real["cmu_12_01_walk"], DEFAULT).heading_ok.all()


def test_a_turn_while_lying_is_not_asked_of_a_heading_that_is_not_there():
    """Standing, going face down, spinning there, and getting up turned by 90 degrees."""
    n = 150
    down, turned = np.zeros((n, 3)), np.zeros((n, 3))
    down[:, 0] = np.interp(np.arange(n), [30, 50, 100, 120], [0, 90, 90, 0])
    turned[:, 1] = np.interp(np.arange(n), [60, 90], [0, 90])
    body = (Rotation.from_rotvec(turned, degrees=True) * Rotation.from_rotvec(down, degrees=True)).as_matrix()
    track = replace(perform([Wait((n - 1) / 30)], gait=False), body_to_world=body)
    motion = describe(track, DEFAULT)
    assert not [e for e in motion.events if e.code == "rotation_yaw"]
    assert motion.heading_ok[[0, -1]].all()
    assert motion.heading_deg[-1] == pytest.approx(90.0, abs=2.0)


def test_every_direction_has_one_opposite_and_bins_are_symmetric():
    assert set(DIRECTIONS) == {(code, s) for code in (*CHANNELS, "radial") for s in (1, -1)}
    assert len(CHANNEL_OF) == len(DIRECTIONS)
    script = [Walk(2, 90), Wait(1), Turn(80), Wait(1), Lean(roll_deg=40)]
    track = perform(script)
    one, other = describe(track, DEFAULT), describe(geometry.mirror(track), DEFAULT)
    assert [(e.size, e.pace, e.start_frame, e.end_frame) for e in one.events] == [
        (e.size, e.pace, e.start_frame, e.end_frame) for e in other.events
    ]


def test_turning_points_ignore_what_is_smaller_than_the_minimum():
    rng = np.random.default_rng(7)
    signal = np.concatenate([np.linspace(0, 3, 200), np.linspace(3, 1, 150), np.linspace(1, 2.5, 100)])
    noisy = signal + 0.05 * np.sin(np.arange(450)) + rng.uniform(-0.04, 0.04, 450)
    assert [round(float(signal[i])) for i in turning_points(noisy, 0.3)] == [0, 3, 1, 2]
    assert turning_points(np.zeros(10), 0.3) == []
    assert turning_points(np.linspace(0, 0.2, 10), 0.3) == []
    steps = turning_points(np.cumsum(rng.standard_normal(2000)), 5.0)
    assert steps == sorted(set(steps))
