"""Filmed people: feet that stay where they stand, bodies that are where the truth says, and pictures that show them there."""

from __future__ import annotations

import hashlib
import re
import sys
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from builder.geometry import heading_deg, tilt_deg
from builder.performer import FILMED, Jump, Run, Sit, StandUp, Turn, Wait, Walk, cast_reference, draw_script, perform
from builder.performer.stage import timeline
from builder.render import film, truth
from builder.render.body import Body, body_of
from builder.render.cameras import IN_VIEW, KINDS, Shot, framing, outline, plan_shot, project
from builder.render.film import images, staged
from builder.render.skeleton import INDEX, JOINTS, OFFSETS_M, PARENTS
from builder.sources import synthetic
from builder.types import Clip, HumanMoveError, SetupError, SourceError, Track

PEOPLE = 24
BALLS = [INDEX["left_foot"], INDEX["right_foot"]]
UNFILMED = "3707286a"  # the start of the digest of `synthetic=5@3` before anybody was filmed


@cache
def people() -> list[tuple[Clip, Track, Track, Body]]:
    """The first people of a filmed cast: clip, plain track, truth and body."""
    clips = list(synthetic.clips(f"{PEOPLE}@1:filmed"))
    plain = [cast_reference(clip, FILMED)[0] for clip in clips]
    return [(clip, track, synthetic.reference(clip)[0], body_of(track)) for clip, track in zip(clips, plain, strict=True)]


def shot_of(clip: Clip, true: Track) -> Shot:
    assert true.camera_to_world is not None
    return Shot(clip.meta["camera_kind"], clip.width, clip.height, true.extra["camera_matrix"], true.camera_to_world)


def played(*script: object, seed: int = 1) -> Body:
    return body_of(perform(script, seed=seed))  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def renderer() -> None:
    """A skip with the reason where nothing can be drawn."""
    pytest.importorskip("mannequin", reason="mannequin-x is not installed")
    moderngl = pytest.importorskip("moderngl", reason="moderngl is not installed")
    pytest.importorskip("av", reason="PyAV is not installed")
    try:
        moderngl.create_context(standalone=True, backend="egl").release()
    except Exception as error:
        pytest.skip(f"no EGL: {error}")


# Casts


def test_people_who_are_not_filmed_stay_the_same():
    digest = hashlib.sha256()
    for clip in synthetic.clips("5@3"):
        track = synthetic.reference(clip)[0]
        digest.update(clip.clip_id.encode() + bytes(clip.num_frames) + np.round(track.position_m * 1e5).astype("<i8").tobytes())
        digest.update(np.round(track.body_to_world * 1e5).astype("<i8").tobytes())
        assert track.joints_m is None
        assert track.camera_to_world is None
    assert digest.hexdigest().startswith(UNFILMED)


def test_filmed_clips_say_how_they_are_filmed():
    clips = [clip for clip, *_ in people()]
    assert [c.clip_id for c in clips[:2]] == ["synthetic/seed-1-filmed/000000", "synthetic/seed-1-filmed/000001"]
    assert clips == list(synthetic.clips(f"{PEOPLE + 3}@1:filmed"))[:PEOPLE]
    assert {c.clip_id for c in clips}.isdisjoint(c.clip_id for c in synthetic.clips(f"{PEOPLE}@1"))
    assert Counter(c.meta["camera_kind"] for c in clips) == dict.fromkeys(KINDS, PEOPLE // len(KINDS))
    for clip in clips:
        assert clip.video is None
        assert (clip.camera == "static") == (clip.meta["camera_kind"] == "static")
        assert {clip.width, clip.height} == {960, 540}
    assert next(iter(synthetic.clips("2:filmed"))).clip_id.startswith("synthetic/seed-0-filmed/")


@pytest.mark.parametrize("root", ["0:filmed", "5:film", "5@:filmed", ":filmed", "5@1:filmed:filmed", "5:filmed@1"])
def test_other_roots_are_refused(root: str):
    with pytest.raises(SourceError, match=re.escape(f"synthetic={root}")):
        list(synthetic.clips(root))


def test_filmed_scripts_are_short_and_close_by_and_varied():
    seen: Counter[str] = Counter()
    for person in range(80):
        beats = timeline(draw_script("filmed", person, plan=FILMED))
        track = perform(draw_script("filmed", person, plan=FILMED), gait=False)
        assert 6.0 <= beats[-1].end_s <= 15.0
        assert np.hypot(*track.position_m[:, [0, 2]].T).max() <= 3.5 + 1e-6
        for beat in beats:
            name, side = type(beat.action).__name__, round(getattr(beat.action, "direction_deg", 0.0) / 90) % 4
            seen[f"{name}{side}" if name == "Walk" else name] += 1
    wanted = {"Walk0", "Walk1", "Walk2", "Walk3", "Run", "Arc", "Turn", "Jump", "Crouch", "Sit", "StandUp", "Lean"}
    assert wanted <= {name for name, times in seen.items() if times >= 3}
    assert "Stairs" not in seen


# Bodies


def test_truth_is_the_same_persons_exact_track():
    for _, plain, true, body in people():
        assert true.joints_m is not None
        assert true.joints_m.shape == (plain.num_frames, len(JOINTS), 3)
        np.testing.assert_array_equal(true.position_m, plain.position_m)
        np.testing.assert_array_equal(true.body_to_world, plain.body_to_world)
        np.testing.assert_array_equal(true.joints_m[:, 0], plain.position_m)
        np.testing.assert_array_equal(true.joints_m, body.joints_m)
        bones = np.linalg.norm(np.diff(true.joints_m[:, [[PARENTS[j], j] for j in range(1, 22)]], axis=2)[:, :, 0], axis=2)
        np.testing.assert_allclose(bones, np.tile(body.scale * np.linalg.norm(OFFSETS_M[1:], axis=1), (len(bones), 1)), atol=1e-9)


def test_same_identity_same_arrays():
    clip, plain, true, _ = people()[2]
    again = truth(plain, clip)
    for name in ("joints_m", "camera_to_world"):
        np.testing.assert_array_equal(getattr(true, name), getattr(again, name))
    other = truth(plain, replace(clip, clip_id="somebody/else"))
    assert not np.array_equal(true.camera_to_world, other.camera_to_world)  # type: ignore[arg-type]


def test_planted_feet_do_not_slide():
    slides = []
    for *_, body in people():
        moved = np.linalg.norm(np.diff(body.joints_m[:, BALLS], axis=0), axis=2)
        slides.append(moved[body.feet.planted[1:] & body.feet.planted[:-1]])
    slide = np.concatenate(slides)
    assert np.quantile(slide, 0.998) < 0.01
    assert slide.max() < 0.03


def test_legs_reach_the_feet():
    error = np.concatenate([body.ankle_error_m.ravel() for *_, body in people()])
    assert (error < 0.02).mean() > 0.97
    planted = np.concatenate([body.ankle_error_m[body.feet.planted] for *_, body in people()])
    assert (planted < 0.02).mean() > 0.995


def test_nobody_sinks_into_the_floor_or_floats():
    for _, plain, true, body in people():
        assert true.joints_m is not None
        assert true.joints_m[:, BALLS, 1].min() > 0.0
        jumping = np.zeros(plain.num_frames, dtype=bool)
        for beat in plain.provenance["timeline"]:
            if beat["action"] in ("Jump", "Run"):
                jumping[int(beat["start_s"] * 30) - 1 : int(beat["end_s"] * 30) + 12] = True
        assert body.feet.planted.any(axis=1)[~jumping].mean() > 0.9


def test_left_is_left_and_knees_bend_forward():
    apart = []
    for _, plain, _, body in people():
        own = np.einsum("tji,tnj->tni", plain.body_to_world, body.joints_m - body.joints_m[:, :1])
        for part in ("hip", "shoulder"):
            assert (own[:, INDEX[f"left_{part}"], 0] > 0.02).all()
            assert (own[:, INDEX[f"right_{part}"], 0] < -0.02).all()
        apart.append(own[:, INDEX["left_ankle"], 0] - own[:, INDEX["right_ankle"], 0])
        toes = own[:, BALLS] - own[:, [INDEX["left_ankle"], INDEX["right_ankle"]]]
        assert (toes[..., 2] > 0).mean() > 0.95
        for side in ("left", "right"):
            hip, knee, ankle = (body.joints_m[:, INDEX[f"{side}_{part}"]] for part in ("hip", "knee", "ankle"))
            forward = plain.body_to_world[:, :, 2] + body.rotations[:, INDEX[f"{side}_foot"], :, 2]
            assert (((knee - (hip + ankle) / 2) * forward).sum(axis=1) > 0).mean() > 0.99
    assert (np.concatenate(apart) > 0).mean() > 0.97  # feet cross in tight curves only


def test_size_fits_the_legs():
    for *_, body in people():
        assert 0.88 < body.scale < 1.10
    sizes = [body.scale for *_, body in people()]
    assert max(sizes) - min(sizes) > 0.08
    standing = played(Wait(1.0), seed=4)
    hip, knee, ankle = (standing.joints_m[:, INDEX[f"left_{part}"]] for part in ("hip", "knee", "ankle"))
    straight = np.linalg.norm(hip - ankle, axis=1) / (np.linalg.norm(hip - knee, axis=1) + np.linalg.norm(knee - ankle, axis=1))
    assert straight.min() > 0.95


@pytest.mark.parametrize(("direction_deg", "axis", "sign"), [(0.0, 2, 1), (180.0, 2, -1), (90.0, 0, 1), (-90.0, 0, -1)])
def test_feet_step_wherever_the_walk_goes(direction_deg: float, axis: int, sign: int):
    body = played(Wait(0.3), Walk(2.0, direction_deg, 1.0), Wait(0.8))
    for foot in (0, 1):
        lifted = np.flatnonzero(np.diff(body.feet.planted[:, foot].astype(int)) == -1)
        assert len(lifted) >= 2
        gone = body.feet.place_m[-1, foot] - body.feet.place_m[0, foot]
        assert sign * gone[axis] == pytest.approx(2.0, abs=0.06)
        assert abs(gone[2 - axis]) < 0.06
    assert body.feet.planted[-1].all()
    assert body.feet.planted[:8].all()


def test_feet_follow_a_turn_on_the_spot():
    body = played(Turn(180.0, 2.0), Wait(1.2))
    assert np.allclose(body.feet.yaw_deg[-1], 180.0, atol=8.0)
    assert np.linalg.norm(body.feet.place_m[-1] - body.feet.place_m[0, ::-1], axis=1).max() < 0.2


def test_both_feet_leave_the_floor_in_a_jump_only():
    body = played(Jump(0.35, 0.6), Wait(0.5))
    air = ~body.feet.planted.any(axis=1)
    assert 2 * np.sqrt(2 * 0.35 / 9.81) == pytest.approx(air.sum() / 30, abs=0.1)
    assert body.joints_m[air][:, BALLS, 1].max() > 0.25
    assert played(Walk(3.0, speed=1.0), seed=2).feet.planted.any(axis=1).mean() > 0.9
    assert played(Run(4.0, 2.6)).feet.planted.any(axis=1).mean() < 0.9


def test_sitting_bends_the_knees_over_feet_that_stay_and_brings_a_stool():
    body = played(Wait(0.5), Sit(1.0), StandUp(), Wait(0.5))
    assert body.feet.planted.all()
    assert np.ptp(body.feet.place_m, axis=0).max() < 1e-9
    seated = 60
    hip, knee, ankle = (body.joints_m[seated, INDEX[f"left_{part}"]] for part in ("hip", "knee", "ankle"))
    angle = np.degrees(np.arccos((hip - knee) @ (ankle - knee) / np.linalg.norm(hip - knee) / np.linalg.norm(ankle - knee)))
    assert 60 < angle < 115
    assert body.seats_m.shape == (1, 4)
    assert 0.25 < body.seats_m[0, 1] < 0.5
    assert len(played(Sit(1.0), StandUp(), Walk(1.0, 180.0)).seats_m) == 0


def test_the_trunk_faces_and_leans_with_the_script():
    for _, plain, _, body in people()[:8]:
        chest = body.rotations[:, INDEX["spine3"]]
        upright = tilt_deg(plain.body_to_world) < 40
        turned = (heading_deg(chest) - heading_deg(plain.body_to_world) + 180) % 360 - 180
        assert np.abs(turned[upright]).max() < 25
        assert np.abs(tilt_deg(chest) - tilt_deg(plain.body_to_world)).max() < 18


def test_only_scripted_tracks_have_bodies():
    with pytest.raises(SourceError, match="scripted"):
        body_of(perform([Walk(1.0)], gait=False))
    track = perform([Walk(1.0)])
    with pytest.raises(SourceError, match="expected"):
        body_of(replace(track, provenance={**track.provenance, "script": []}))


# Cameras


def test_the_whole_person_is_in_the_picture():
    for clip, _, true, _ in people():
        assert true.joints_m is not None
        inside, pixels = framing(shot_of(clip, true), true.joints_m)
        assert inside.mean() >= min(IN_VIEW, 0.97), clip.clip_id
        assert np.median(pixels) >= 180, clip.clip_id


def test_cameras_move_as_their_kind_says():
    for clip, _, true, _ in people():
        poses = true.camera_to_world
        assert poses is not None
        rotations, places = poses[:, :3, :3], poses[:, :3, 3]
        np.testing.assert_allclose(rotations @ rotations.transpose(0, 2, 1), np.tile(np.eye(3), (len(poses), 1, 1)), atol=1e-9)
        assert (np.linalg.det(rotations) > 0).all()
        assert (rotations[:, 1, 1] < -0.7).all()  # the picture's down is down
        travelled, kind = np.linalg.norm(places - places[0], axis=1).max(), clip.meta["camera_kind"]
        if kind == "static":
            assert np.ptp(poses, axis=0).max() == 0.0
        elif kind == "panning":
            assert travelled < 1e-9
        else:
            assert travelled > (1.5 if kind == "handheld" else 0.5)
            assert np.linalg.norm(np.diff(places, axis=0), axis=1).max() < 0.12
        if kind == "following":
            away = np.linalg.norm((places - true.position_m)[:, [0, 2]], axis=1)
            assert 2.0 < away.min() < away.max() < 8.0
        focal = true.extra["camera_matrix"][0, 0] / 960
        assert 0.75 <= focal <= 1.05
        assert 0.8 < places[:, 1].min() <= places[:, 1].max() < 2.4


# Pictures


def test_a_missing_renderer_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    clip, *_ = people()[0]
    for module, advice in (("mannequin", "humanmovevqa[render]"), ("moderngl", "humanmovevqa[render]")):
        with monkeypatch.context() as missing:
            missing.setitem(sys.modules, module, None)
            if module == "moderngl":
                pytest.importorskip("mannequin", reason="mannequin-x is not installed")
            with pytest.raises(SetupError, match=re.escape(advice)):
                next(images(people()[0][1], clip))
    with pytest.raises(SourceError, match="filmed"):
        synthetic.film(next(iter(synthetic.clips("1"))), tmp_path)


def test_unknown_variants_are_refused():
    clip, plain, *_ = people()[0]
    with pytest.raises(HumanMoveError, match="variant"):
        next(images(plain, clip, variant="sepia"))


def test_the_skeleton_is_the_meshs(renderer: None):
    from builder.render.figure import mannequin, matrices

    model, body = mannequin(), people()[3][3]
    moved = matrices(model, body)
    rest = model.joint_transforms(model.rest_pose(dtype=np.float64))[: len(JOINTS), :3, 3]
    joints = np.einsum("tjab,jb->tja", moved[:, : len(JOINTS), :3, :3], rest) + moved[:, : len(JOINTS), :3, 3]
    assert np.linalg.norm(joints - body.joints_m, axis=2).max() < 1e-3


@pytest.mark.slow
def test_the_film_shows_the_person_where_the_truth_says(renderer: None, tmp_path: Path):
    from builder.video import probe, read_frames

    track = perform([Wait(0.1), Walk(0.3)], seed=5, clip_id="film/5")
    start = next(iter(synthetic.clips("1:filmed")))
    for kind in ("panning", "handheld"):
        clip = replace(start, clip_id=f"film/{kind}", meta={"camera_kind": kind})
        film(track, clip, tmp_path / f"{kind}.mp4")
        info = probe(tmp_path / f"{kind}.mp4")
        body, shot = staged(track, clip)
        assert (info.num_frames, info.width, info.height) == (track.num_frames, shot.width, shot.height)
        points, _ = project(shot, outline(body.joints_m))
        empty = list(images(track, clip, range(track.num_frames), "empty"))
        for number, frame in enumerate(read_frames(tmp_path / f"{kind}.mp4")):
            changed = np.abs(frame.image.astype(int) - empty[number]).max(axis=2) > 20
            near = [changed[max(y - 4, 0) : y + 5, max(x - 4, 0) : x + 5].any() for x, y in points[number, 1:22].astype(int)]
            assert np.mean(near) > 0.9
            tall = np.ptp(points[number, :, 1])
            upper = np.argwhere(changed[: int(points[number, 0, 1])])
            assert abs(np.median(upper[:, 1]) - points[number, [12, 0], 0].mean()) < 0.1 * tall


def test_a_film_that_is_there_is_not_made_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    made: list[Path] = []

    def write(track: Track, clip: Clip, to: Path) -> None:
        made.append(to)
        to.write_bytes(track.position_m.tobytes())

    monkeypatch.setattr(synthetic, "write_film", write)
    clips = list(synthetic.clips("2@4:filmed"))
    filmed = [synthetic.film(clip, tmp_path) for clip in clips + clips]
    assert filmed == [replace(clip, video=path) for clip, path in zip(clips + clips, made + made, strict=True)]
    assert len(set(made)) == 2
    assert [path.suffix for path in made] == [".mp4", ".mp4"]


def test_variants_differ_as_they_say(renderer: None):
    clip, plain, *_ = people()[0]
    shown = {v: next(images(plain, clip, range(1), v)) for v in ("", "bust", "tiled", "empty")}
    assert len({image.tobytes() for image in shown.values()}) == 4
    body, _ = staged(plain, clip)
    with_person = (np.abs(shown[""].astype(int) - shown["empty"]).max(axis=2) > 30).mean()
    assert 0.01 < with_person < 0.4
    shot = plan_shot(body.joints_m, plain.fps, clip.meta["camera_kind"], clip.clip_id)
    assert framing(shot, body.joints_m)[0].mean() >= 0.97
