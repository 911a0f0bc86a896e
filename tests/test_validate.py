"""The instrument itself: known errors are measured as what they are, known answers counted, and nothing is done twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fixture_validation import R
from scipy.spatial.transform import Rotation

from builder import geometry, motion, plugins
from builder.geometry import heading_deg, transform, yaw_matrix
from builder.performer import Turn, Wait, Walk, perform
from builder.types import Floats, Track, TrackError
from builder.validate import agreement, metrics, pairing


def walker(**changes: Any) -> Track:
    """Somebody who walks, turns and walks on."""
    return replace(perform([Wait(1), Walk(4), Turn(90), Walk(3), Wait(1)], clip_id="walker"), **changes)


def line(metres: float = 5.0, frames: int = 101) -> Track:
    """A point that glides forward evenly, without gait: what can be reckoned by hand."""
    place = np.linspace(0, metres, frames)
    return Track(
        clip_id="line",
        person_id="0",
        fps=30.0,
        valid=np.ones(frames, dtype=bool),
        body_to_world=np.tile(np.eye(3), (frames, 1, 1)),
        position_m=np.stack([np.zeros(frames), np.full(frames, 0.9), place], axis=1),
        frame_ids=np.arange(frames),
    )


def measured(lifted: Track, truth: Track) -> dict[str, Any]:
    return metrics.measure(pairing.paired(lifted, truth), R)


def turned_bodies(track: Track, degrees: float, rows: slice = slice(None)) -> Track:
    """The same places with bodies that face another way in some rows."""
    bodies = track.body_to_world.copy()
    bodies[rows] = yaw_matrix(degrees) @ bodies[rows]
    return replace(track, body_to_world=bodies)


def filmed(track: Track, at: tuple[float, float, float] = (4.0, 1.5, 2.0), yaw: float = 30.0) -> Track:
    """The track with a camera that stands still."""
    camera = np.eye(4)
    camera[:3, :3], camera[:3, 3] = yaw_matrix(yaw) @ geometry.AXES_TO_Y_UP["-y"], at
    return replace(track, camera_to_world=np.tile(camera, (track.num_frames, 1, 1)))


# Errors in space


def test_the_truth_itself_has_no_error():
    found = measured(walker(), walker())
    for name in ("ate_m", "end_error_m", "drift_per_m", "rte_percent", "scale_error", "height_drift_m", "heading_error_deg"):
        assert found[name] == pytest.approx(0, abs=1e-5), name
    assert found["path_ratio"] == pytest.approx(1)
    assert found["heading_flip_rate"] == 0
    assert found["bearing_error_deg"] == pytest.approx(0, abs=1e-5)
    assert found["anchor_heading_error_deg"] == pytest.approx(0, abs=1e-5)
    assert found["root_jitter"] == found["root_jitter_truth"]
    assert found["path_m"] == pytest.approx(7, abs=0.35)


@pytest.mark.parametrize("camera", [False, True])
def test_another_world_is_no_error(camera: bool):
    truth = filmed(walker()) if camera else walker()
    found = measured(transform(truth, yaw_matrix(73), np.array([5.0, -2.0, 9.0])), truth)
    assert found["heading_frame"] == ("camera" if camera else "path")
    for name in ("ate_m", "rte_percent", "scale_error", "heading_error_deg", "anchor_heading_error_deg", "bearing_error_deg"):
        assert found[name] == pytest.approx(0, abs=1e-5), name


def test_a_tenth_too_large():
    truth = line()
    found = measured(replace(truth, position_m=truth.position_m * 1.1), truth)
    off = 0.1 * truth.position_m[:, 2]
    assert found["scale_error"] == pytest.approx(0.1)
    assert found["path_ratio"] == pytest.approx(1.1)
    assert found["rte_percent"] == pytest.approx(100 * 0.1 * 0.05 * (50 * 51 / 101) / 5)  # mean |i - 50| steps of 5 cm, over 5 m
    assert found["ate_m"] == pytest.approx(np.sqrt((off**2).mean()))
    assert found["end_error_m"] == pytest.approx(0.5)
    assert found["drift_per_m"] == pytest.approx(0.1)
    assert found["bearing_error_deg"] == pytest.approx(0)


def test_drift_height_and_bearing_are_reckoned_in_the_first_frame():
    truth = line()
    aside = truth.position_m + np.outer(truth.position_m[:, 2], [0.1, 0.02, 0.0])
    found = measured(replace(truth, position_m=aside), truth)
    assert found["height_drift_m"] == pytest.approx(0.1)
    assert found["bearing_error_deg"] == pytest.approx(np.degrees(np.arctan(0.1)))
    assert found["drift_per_m"] == pytest.approx(np.hypot(0.1, 0.02))


def test_a_wrong_first_heading_turns_the_whole_path():
    truth = line()
    found = measured(turned_bodies(truth, 10.0), truth)
    assert found["anchor_heading_error_deg"] == pytest.approx(10)
    assert found["bearing_error_deg"] == pytest.approx(-10)
    assert found["end_error_m"] == pytest.approx(2 * 5 * np.sin(np.radians(5)))
    assert found["rte_percent"] == pytest.approx(0, abs=1e-9), "the path itself is right"


@pytest.mark.parametrize("camera", [False, True])
@pytest.mark.parametrize(("rows", "rate"), [(slice(None), 1.0), (slice(51, None), 50 / 101)])
def test_flipped_headings_are_counted(camera: bool, rows: slice, rate: float):
    truth = filmed(line()) if camera else line()
    found = measured(turned_bodies(truth, 180.0, rows), truth)
    assert found["heading_flip_rate"] == pytest.approx(rate)
    assert found["heading_error_p90_deg"] == pytest.approx(180)


def test_who_stays_has_neither_rte_nor_scale():
    truth = perform([Wait(2), Turn(90), Wait(2)])
    found = measured(turned_bodies(truth, 12.0), truth)
    assert (found["rte_percent"], found["scale_error"], found["drift_per_m"], found["bearing_error_deg"]) == (None,) * 4
    assert found["heading_frame"] == "anchor"
    assert found["heading_error_deg"] == pytest.approx(0, abs=1e-6)
    assert found["anchor_heading_error_deg"] is None, "without a camera or a path nobody can tell"
    assert measured(filmed(turned_bodies(truth, 12.0)), filmed(truth))["anchor_heading_error_deg"] == pytest.approx(12)


def noisy_pair() -> tuple[Track, Track]:
    rng = np.random.default_rng(3)
    truth = walker()
    wobble = np.cumsum(rng.normal(0, 0.01, truth.position_m.shape), axis=0)
    lifted = replace(turned_bodies(truth, 7.0), position_m=truth.position_m * 1.07 + wobble)
    return transform(lifted, yaw_matrix(-40), np.array([1.0, 0.5, -3.0])), truth


def test_against_an_independent_reckoning():
    """Kabsch as scipy has it, and the anchored frame by complex numbers."""
    lifted, truth = noisy_pair()
    found = measured(lifted, truth)

    a, b = (t.position_m - t.position_m.mean(axis=0) for t in (lifted, truth))
    best, _ = Rotation.align_vectors(b, a)
    length = np.sqrt((np.diff(truth.position_m, axis=0) ** 2).sum(axis=1)).sum()
    assert found["rte_percent"] == pytest.approx(100 * np.mean(np.sqrt(((best.apply(a) - b) ** 2).sum(axis=1))) / length)
    assert 1 / (1 + found["scale_error"]) == pytest.approx((best.apply(a) * b).sum() / (a**2).sum())

    def own(t: Track) -> Floats:
        facing = heading_deg(t.body_to_world)[: round(t.fps) + 1]  # stands for the first second: no turn cuts the mean short
        floor = (t.position_m[:, 2] + 1j * t.position_m[:, 0]) * np.exp(-1j * np.radians(facing.mean()))
        return np.stack([floor.real - floor.real[0], floor.imag - floor.imag[0], t.position_m[:, 1] - t.position_m[0, 1]], axis=1)

    assert found["ate_m"] == pytest.approx(np.sqrt(((own(lifted) - own(truth)) ** 2).sum(axis=1).mean()))


def test_against_evo():
    pytest.importorskip("evo", reason="evo is GPL-3.0 and no dependency; install it by hand for this cross-check")
    from evo.core import metrics as theirs
    from evo.core.trajectory import PoseTrajectory3D

    lifted, truth = noisy_pair()
    still = np.tile([1.0, 0.0, 0.0, 0.0], (truth.num_frames, 1))
    for scaled in (False, True):
        seconds = np.arange(truth.num_frames) / 30
        ours, ref = (PoseTrajectory3D(t.position_m.copy(), still.copy(), seconds) for t in (lifted, truth))
        _, _, s = ours.align(ref, correct_scale=scaled)
        ape = theirs.APE(theirs.PoseRelation.translation_part)
        ape.process_data((ref, ours))
        found = measured(lifted, truth)
        if scaled:
            assert 1 / s - 1 == pytest.approx(found["scale_error"])
        else:
            mean = ape.get_statistic(theirs.StatisticsType.mean)
            assert 100 * mean / ref.path_length == pytest.approx(found["rte_percent"])


# Bodies


def bodies() -> tuple[Track, Track]:
    """A filmed person with SMPL-X joints, and the same with BlazePose landmarks at those places."""
    source = plugins.load("sources", "synthetic")
    truth = source.reference(next(iter(source.clips("1@5:filmed"))))[0]
    landmarks = np.zeros((truth.num_frames, 33, 3))
    for smpl, blaze in {**metrics.SHARED, **metrics.FEET}.values():
        landmarks[:, blaze] = truth.joints_m[:, smpl]
    return replace(truth, joints_m=landmarks), truth


def test_the_tables_of_joints_name_the_same_places():
    from builder.render.skeleton import INDEX

    for name, (smpl, _) in {**metrics.SHARED, **metrics.FEET}.items():
        assert INDEX[name] == smpl
    blaze = {name: number for name, (_, number) in {**metrics.SHARED, **metrics.FEET}.items()}
    assert all(blaze[name] % 2 == (1 if name.startswith("left") else 0) for name in blaze), "BlazePose numbers left odd"


def test_joints_are_compared_place_by_place_after_a_similarity():
    lifted, truth = bodies()
    found = measured(replace(transform(lifted, yaw_matrix(50), np.ones(3)), joints_m=1.3 * lifted.joints_m @ yaw_matrix(50).T + 2), truth)
    assert found["w_mpjpe100_mm"] == pytest.approx(0, abs=1e-6)
    assert found["wa_mpjpe100_mm"] == pytest.approx(0, abs=1e-6)
    assert found["joint_jitter"] == pytest.approx(1.3 * found["joint_jitter_truth"])
    aside = lifted.joints_m.copy()
    aside[:, metrics.SHARED["left_wrist"][1], 1] += 0.12
    found = measured(replace(lifted, joints_m=aside), truth)
    assert 5 < found["wa_mpjpe100_mm"] < 2 * 120 / len(metrics.SHARED)
    assert measured(replace(lifted, joints_m=None), truth)["w_mpjpe100_mm"] is None


def test_first_frames_align_w_and_whole_chunks_wa():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(1, 12, 3)) + np.linspace(0, 4, 250)[:, None, None] * [0, 0, 1]
    drift = np.linspace(0, 1, 250)[:, None, None] * [1.0, 0, 0]
    w, wa = metrics.mpjpe100_mm(truth + drift, truth)
    assert w is not None
    assert wa is not None
    assert wa < w
    assert metrics.mpjpe100_mm(truth[:1], truth[:1]) == (None, None)


def test_jitter_is_the_third_difference():
    seconds = np.arange(40) / 25
    points = np.stack([seconds**3, 0 * seconds, 0 * seconds], axis=1)[:, None]
    assert metrics.jitter(points, np.ones(40, dtype=bool), 25.0) == pytest.approx(0.6)  # 6 m/s3, in tens
    holes = np.arange(40) % 3 > 0
    assert metrics.jitter(points, holes, 25.0) is None, "no four valid rows in a run"


@pytest.mark.parametrize("fps", [30.0, 60.0])
def test_feet_slide_only_while_the_true_ones_rest(fps: float):
    seconds = np.arange(60) / fps
    step = np.where(np.arange(60) < 30, 0.0, seconds - seconds[29]) * 2.0  # rests, then moves at 2 m/s
    truth = np.stack([0 * step, 0 * step, step], axis=1)[:, None]
    lifted = truth + np.stack([seconds * 0.06, 0 * step, 0 * step], axis=1)[:, None]
    assert metrics.foot_sliding_mm(lifted, truth, np.ones(60, dtype=bool), fps) == pytest.approx(2.0)


# The same moments, the same people


def test_rows_are_paired_by_source_frame():
    truth = walker()
    late = geometry.crop(truth, 20, truth.num_frames)
    pair = pairing.paired(late, truth)
    assert (pair.truth.frame_ids == late.frame_ids).all()
    assert measured(late, truth)["ate_m"] == pytest.approx(0, abs=1e-6)
    half = slice(1, None, 2)
    sparse = replace(
        geometry.crop(truth, 0, truth.num_frames),
        fps=15.0,
        **{name: getattr(truth, name)[half] for name in ("valid", "body_to_world", "position_m", "frame_ids")},
        extra={},
    )
    assert measured(sparse, truth)["ate_m"] == pytest.approx(0, abs=1e-6)
    other = geometry.resample(truth, 25.0)
    assert measured(other, truth)["ate_m"] < 0.005


def test_pairs_begin_where_both_are_valid_and_skip_what_is_not():
    truth, lifted = walker(), walker()
    gone = np.arange(truth.num_frames)
    truth = replace(truth, valid=gone >= 8)
    lifted = replace(lifted, valid=(gone >= 3) & (gone % 10 != 0), position_m=np.where((gone % 10 == 0)[:, None], 99.0, lifted.position_m))
    pair = pairing.paired(lifted, truth)
    assert pair.lifted.frame_ids[0] == 8
    assert pair.both[0]
    assert metrics.measure(pair, R)["rte_percent"] == pytest.approx(0, abs=1e-6)
    with pytest.raises(TrackError, match="both valid"):
        pairing.paired(lifted, replace(truth, frame_ids=truth.frame_ids + 10_000))


def test_several_people_are_told_apart():
    one, two = walker(person_id="a"), walker(person_id="b")
    two = replace(two, position_m=two.position_m + np.array([3.0, 0.0, 1.0]))
    assert pairing.matched([two, one], [one, two]) == [(0, 1), (1, 0)]
    assert pairing.matched([two], [one, two]) == [(0, 1)]
    assert pairing.matched([one], [replace(two, position_m=two.position_m + 50)]) == [(0, 0)], "one of each is a match"
    assert pairing.matched([], [one]) == []
    seen = [filmed(one), filmed(two)]
    elsewhere = [transform(t, yaw_matrix(120), np.array([9.0, 0.0, -4.0])) for t in seen]
    nearer = [replace(t, position_m=_towards_camera(t, 0.8)) for t in elsewhere]  # a wrong depth is still the same line of sight
    assert pairing.matched(nearer[::-1], seen) == [(0, 1), (1, 0)]


def _towards_camera(track: Track, factor: float) -> Floats:
    centre = track.camera_to_world[:, :3, 3]
    return np.asarray(centre + factor * (track.position_m - centre))


# Events and answers


def test_the_truth_agrees_with_itself():
    track = walker()
    described = motion.describe(track, R)
    for robust in (True, False):
        found = agreement.answered(track, described, R, robust)
        assert found
        assert all(one.agrees for one in found)
        assert max(n for _, n in agreement.tally(found, "category").values()) <= R.questions.per_category
    assert agreement.disagreements(found) == []
    for cell in agreement.events(described, described).values():
        assert cell["found"] == cell["true"] == cell["matched"]
        assert not any(cell["onset_s"])


def test_a_question_that_the_truth_does_not_form_is_wrong():
    walks, stands = walker(), perform([Wait(12)], clip_id="walker")
    found = agreement.answered(walks, motion.describe(stands, R), R)
    unformed = [one for one in found if one.truth is None]
    assert unformed
    assert not any(one.agrees for one in unformed)
    right, asked = (sum(cell[k] for cell in agreement.tally(found, "category").values()) for k in (0, 1))
    assert asked == len(found)
    assert right == sum(one.agrees for one in found) <= asked - len(unformed)
    listed = agreement.disagreements(found)
    assert len(listed) == asked - right
    assert {d["truth"] for d in listed} >= {None}


def test_events_match_by_direction_and_time():
    left, right = (motion.describe(perform([Wait(1), Turn(way), Wait(2)]), R) for way in (90, -90))
    assert agreement.events(left, right)["rotation_yaw"] == {"found": 1, "true": 1, "matched": 0, "onset_s": []}
    late = motion.describe(perform([Wait(6), Turn(90), Wait(2)]), R)
    assert agreement.events(left, late)["rotation_yaw"]["matched"] == 0
