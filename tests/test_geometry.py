"""What must hold for any track: anchoring, mirroring and resampling, and every sign by name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from builder import geometry
from builder.performer import Arc, Lean, Turn, Wait, Walk, draw_script, perform
from builder.types import Floats, Track, TrackError

LEFT, UP, FORWARD = np.eye(3)
people = st.integers(0, 10**6).map(lambda k: perform(draw_script("geometry", k), 30.0, seed=k))
yaws = st.floats(-720.0, 720.0)
offsets = st.tuples(*[st.floats(-50.0, 50.0)] * 3).map(np.array)
few = settings(max_examples=15, deadline=None, database=None, derandomize=True)


def still(rotations: Floats, fps: float = 10.0) -> Track:
    """A track that only turns: body_to_world (T, 3, 3) at the origin."""
    n = len(rotations)
    return Track("clip", "0", fps, np.ones(n, dtype=bool), rotations, np.zeros((n, 3)), np.arange(n, dtype=np.int64))


def assert_same(a: Track, b: Track, atol: float = 1e-9) -> None:
    assert a.num_frames == b.num_frames
    assert np.allclose(a.position_m, b.position_m, atol=atol)
    assert np.allclose(a.body_to_world, b.body_to_world, atol=atol)


def between_frames(track: Track) -> tuple[Floats, Floats]:
    """Each frame's pose seen from the frame before: rotations (T-1, 3, 3) and steps (T-1, 3) in the body's own axes."""
    back = track.body_to_world[:-1].transpose(0, 2, 1)
    return back @ track.body_to_world[1:], np.einsum("tij,tj->ti", back, np.diff(track.position_m, axis=0))


@few
@given(people)
def test_anchoring_twice_is_anchoring_once(track: Track):
    once = geometry.anchor(track)
    assert once.frame == "anchored"
    assert geometry.anchor(once) is once
    assert_same(geometry.anchor(replace(once, frame="world")), once)
    assert np.allclose(once.position_m[0], 0.0)


@few
@given(people, yaws, offsets)
def test_anchor_forgets_where_the_world_was(track: Track, yaw: float, offset: Floats):
    moved = geometry.transform(track, geometry.yaw_matrix(yaw), offset)
    assert_same(geometry.anchor(moved), geometry.anchor(track), atol=1e-8)


@few
@given(people, yaws, offsets)
def test_relative_poses_are_kept(track: Track, yaw: float, offset: Floats):
    for other in (geometry.anchor(track), geometry.transform(track, geometry.yaw_matrix(yaw), offset)):
        for before, after in zip(between_frames(track), between_frames(other), strict=True):
            assert np.allclose(before, after, atol=1e-8)


def test_anchor_averages_over_a_stride_and_drops_what_precedes_the_person():
    swing = 10.0 * np.sin(2 * np.pi * np.arange(60) / 30.0)  # one stride a second
    track = still(geometry.yaw_matrix(40.0 + swing), 30.0)
    assert geometry.heading_deg(geometry.anchor(track).body_to_world) == pytest.approx(swing, abs=0.5)
    assert geometry.heading_deg(geometry.anchor(track, window_s=0.0).body_to_world)[0] == pytest.approx(0.0)
    late = replace(track, valid=np.arange(60) >= 20, position_m=np.arange(180.0).reshape(60, 3))
    assert geometry.anchor(late).num_frames == 40
    assert geometry.anchor(late).frame_ids[0] == 20


def test_somebody_who_turns_at_once_is_anchored_on_their_first_facing():
    anchored = geometry.anchor(perform([Turn(180, 1.5), Wait(1)], gait=False))
    assert abs(geometry.heading_deg(anchored.body_to_world)[0]) < 10.0


@few
@given(people)
def test_mirroring_twice_changes_nothing(track: Track):
    assert_same(geometry.mirror(geometry.mirror(track)), track, atol=1e-12)


@few
@given(people)
def test_mirror_swaps_left_and_right_alone(track: Track):
    track, image = geometry.anchor(track), geometry.mirror(geometry.anchor(track))
    assert np.allclose(image.position_m, track.position_m * [-1, 1, 1])
    heading = geometry.heading_deg(track.body_to_world)
    assert np.allclose(geometry.heading_deg(image.body_to_world), -heading, atol=1e-6)
    lean, mirrored = geometry.lean_deg(track.body_to_world, heading), geometry.lean_deg(image.body_to_world, -heading)
    assert np.allclose(mirrored, lean * [1, -1], atol=1e-6)
    assert np.allclose(geometry.tilt_deg(image.body_to_world), geometry.tilt_deg(track.body_to_world))


@few
@given(people, st.sampled_from([24.0, 60.0]))
def test_resampling_there_and_back_stays_close(track: Track, fps: float):
    there = geometry.resample(track, fps)
    back = geometry.resample(there, track.fps)
    assert there.num_frames == pytest.approx(track.num_frames * fps / track.fps, abs=fps / track.fps + 1)
    n = back.num_frames
    assert track.num_frames - n <= 2
    assert np.abs(back.position_m - track.position_m[:n]).max() < 0.01
    off = Rotation.from_matrix(back.body_to_world.transpose(0, 2, 1) @ track.body_to_world[:n]).magnitude()
    assert np.degrees(off.max()) < 3.0


def test_resampling_needs_a_rate():
    with pytest.raises(TrackError, match="positive"):
        geometry.resample(perform([Walk(1)]), 0.0)


def test_frames_in_which_nobody_is_seen_are_filled_between_their_neighbours():
    track = perform([Walk(3)], gait=False)
    hidden = replace(track, valid=~np.isin(np.arange(track.num_frames), [0, 20, 21, 22]))
    lost = replace(hidden, position_m=np.where(hidden.valid[:, None], track.position_m, np.nan))
    filled = geometry.fill_invalid(lost)
    assert np.abs(filled.position_m - track.position_m).max() < 0.01
    assert (filled.valid == hidden.valid).all()


@pytest.mark.parametrize("degrees", [90.0, -90.0, 1080.0, -1170.0])
def test_heading_counts_whole_turns(degrees: float):
    track = perform([Turn(degrees, abs(degrees) / 80)], gait=False)
    heading = geometry.heading_deg(track.body_to_world)
    assert heading[-1] - heading[0] == pytest.approx(degrees, abs=0.5)
    curve = geometry.heading_deg(perform([Arc(12, degrees)], gait=False).body_to_world)
    assert curve[-1] - curve[0] == pytest.approx(degrees, abs=0.5)


def test_turning_to_the_left_turns_forward_to_left():
    assert np.allclose(geometry.yaw_matrix(90.0) @ FORWARD, LEFT)
    assert np.allclose(geometry.yaw_matrix(-90.0) @ FORWARD, -LEFT)
    assert geometry.heading_deg(geometry.yaw_matrix(np.array([0.0, 90.0])))[1] == pytest.approx(90.0)
    many = geometry.yaw_matrix(np.array([[10.0, 20.0]]))
    assert many.shape == (1, 2, 3, 3)
    assert np.allclose(many[0, 0] @ many[0, 0], many[0, 1])


@pytest.mark.parametrize("facing", [0.0, 90.0, 200.0])
@pytest.mark.parametrize(
    ("about", "degrees", "expected"),
    [(LEFT, 30.0, (30.0, 0.0)), (LEFT, -30.0, (-30.0, 0.0)), (FORWARD, -30.0, (0.0, 30.0)), (FORWARD, 30.0, (0.0, -30.0))],
    ids=["forward", "backward", "left", "right"],
)
def test_leaning_has_the_sign_of_where_the_head_goes(facing: float, about: Floats, degrees: float, expected: tuple[float, float]):
    tilt = Rotation.from_rotvec(about * degrees, degrees=True).as_matrix()
    body = geometry.yaw_matrix(facing) @ tilt
    head = geometry.yaw_matrix(-facing) @ body @ UP  # where the top of the body went, as the person sees it
    assert np.sign(np.round([head @ FORWARD, head @ LEFT], 6)) == pytest.approx(np.sign(expected))
    assert geometry.lean_deg(body[None], np.array([facing]))[0] == pytest.approx(expected, abs=1e-6)
    assert geometry.tilt_deg(body[None])[0] == pytest.approx(30.0)


def test_scripted_leans_have_those_signs():
    forward, left = perform([Lean(pitch_deg=40)], gait=False), perform([Lean(roll_deg=40)], gait=False)
    middle = forward.num_frames // 2
    assert geometry.lean_deg(forward.body_to_world, np.zeros(forward.num_frames))[middle] == pytest.approx((40, 0), abs=0.5)
    assert geometry.lean_deg(left.body_to_world, np.zeros(left.num_frames))[middle] == pytest.approx((0, 40), abs=0.5)


@pytest.mark.parametrize(
    ("up", "vertical", "kept"),
    [("y", (0, 1, 0), ((1, 0, 0), (1, 0, 0))), ("z", (0, 0, 1), ((0, 1, 0), (0, 0, -1))), ("-y", (0, -1, 0), ((0, 0, 1), (0, 0, -1)))],
)
def test_worlds_are_turned_and_not_reflected(up: str, vertical: tuple[int, ...], kept: tuple[tuple[int, ...], ...]):
    axes = geometry.AXES_TO_Y_UP[up]
    assert np.allclose(axes @ axes.T, np.eye(3))
    assert np.linalg.det(axes) == pytest.approx(1.0)
    assert np.allclose(axes @ vertical, UP)
    assert np.allclose(axes @ kept[0], kept[1])
    assert np.allclose(axes @ (1, 0, 0), (1, 0, 0)), "each of the three keeps +X"


def test_heading_is_held_while_lying():
    """Facing 90 and going face down, spun there by 170 degrees and back, and up again: no turn was seen."""
    down, spin = np.zeros((40, 3)), np.zeros((40, 3))
    down[:, 0] = np.interp(np.arange(40), [0, 10, 30, 39], [0, 90, 90, 0])
    spin[:, 2] = np.interp(np.arange(40), [10, 20, 30], [0, 170, 0])
    lying = Rotation.from_rotvec(down, degrees=True) * Rotation.from_rotvec(spin, degrees=True)
    body = geometry.yaw_matrix(90.0) @ lying.as_matrix()
    heading = geometry.heading_deg(body)
    assert np.ptp(heading) < 1.0
    assert heading[0] == pytest.approx(90.0)
    track = still(body)
    assert geometry.upright(track.body_to_world, 60.0)[[0, -1]].all()
    assert not geometry.upright(track.body_to_world, 60.0)[15:25].any()
    straight_up = np.repeat(Rotation.from_euler("x", -90, degrees=True).as_matrix()[None], 3, axis=0)
    assert np.ptp(geometry.heading_deg(straight_up)) == 0.0
