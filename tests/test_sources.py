"""Sources: the contract of every plugin, four file forms of one motion, files that must be refused, and the performer's truth."""

from __future__ import annotations

import inspect
import io
import json
import os
import pickle
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from builder import geometry, plugins, store
from builder.performer import (
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
    draw_script,
    perform,
    timeline,
)
from builder.performer.stage import final_pose
from builder.sources import sample, synthetic, tracks
from builder.types import Clip, SourceError, Track, TrackError

SHARED = Path(os.environ.get("HUMANMOVEVQA_TEST_DATA", Path(__file__).parents[2] / "shared" / "data")) / "tracks"
J0_SMPL, J0_SMPLX = np.array([0.0, -0.22, 0.03]), np.array([0.0, -0.35, 0.01])
Z_TO_Y = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
SCRIPT = (Wait(1.2), Walk(2.0), Turn(70.0), Lean(pitch_deg=30.0), Walk(1.0, 90.0), Jump(0.3))
KNOWING = ("sample", "synthetic", "tracks")  # sources that know the truth and need no licensed copy; the others have their own tests


@pytest.fixture
def motion() -> Track:
    return geometry.transform(perform(SCRIPT, seed=5), geometry.yaw_matrix(37.0), np.array([4.0, 0.2, -3.0]))


def rotvec(matrices: np.ndarray) -> np.ndarray:
    return Rotation.from_matrix(matrices).as_rotvec()


def write_forms(folder: Path, motion: Track) -> None:
    """The motion as the world's files hold it: written with the formulas of design/sources.md, not with the project's."""
    position, rotation, n = motion.position_m, motion.body_to_world, motion.num_frames
    clip = Clip("emdb/P1/a", "emdb", "P1_a", 30.0, 0, n, n, "P1", "qa_only", view="cam1", split="test")
    store.write_track(folder / "canonical.npz", replace(motion, referent="the man in red"), clip)
    names = {"name": "x", "source": "cmu", "licence": "open: CC0"}
    np.savez(folder / "neutral_y.npz", trans=position, root_rot=rotation, fps=30.0, up="y", **names)
    np.savez(folder / "neutral_z.npz", trans=position @ Z_TO_Y, root_rot=Z_TO_Y.T @ rotation, fps=30.0, up="z", licence="CC BY-NC")
    flip = np.diag([1.0, -1.0, -1.0])
    np.savez(folder / "neutral_down.npz", trans=position @ flip, root_rot=flip @ rotation, fps=30.0, up="-y")
    m322 = np.zeros((n, 322))
    m322[:, :3], m322[:, 309:312] = rotvec(rotation), position - J0_SMPLX
    np.savez(folder / "motionx.npz", motionx=m322, descriptor="a man")
    np.save(folder / "motionx_alone.npy", m322.astype(np.float32))
    z_turn, z_pelvis = rotvec(Z_TO_Y.T @ rotation), position @ Z_TO_Y
    poses, labels = np.zeros((n, 156)), np.array([{"marker": 1}], dtype=object)
    poses[:, :3] = z_turn
    (folder / "CMU").mkdir()
    np.savez(folder / "CMU" / "smplh_poses.npz", poses=poses, trans=z_pelvis - J0_SMPL, mocap_framerate=30.0, labels=labels)
    smplx = {"root_orient": z_turn, "trans": z_pelvis - J0_SMPLX, "mocap_frame_rate": np.array(30), "gender": "neutral"}
    np.savez(folder / "CMU" / "walk_stageii.npz", **smplx)
    np.savez(folder / "CMU" / "walk_stagei.npz", markers=labels)
    np.savez(folder / "CMU" / "neutral_shape.npz", betas=np.zeros(10))
    (folder / "facts.json").write_text("{}")


def one(folder: Path, name: str) -> Track:
    return tracks.reference(next(clip for clip in tracks.clips(folder) if clip.clip_id == f"tracks/{name}"))[0]


def assert_same(a: Track, b: Track) -> None:
    for name in ("position_m", "body_to_world", "valid", "frame_ids"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert a.fps == b.fps
    assert json.dumps(a.provenance) == json.dumps(b.provenance)


# The contract of every source


@pytest.mark.parametrize("name", plugins.names("sources"))
def test_about_and_functions(name: str) -> None:
    module = plugins.load("sources", name, needs=("ABOUT", "clips"))
    assert {"title", "licence", "redistribution", "citation", "url", "synthetic"} <= set(module.ABOUT)
    assert module.ABOUT["redistribution"] in ("open", "qa_only")
    assert isinstance(module.ABOUT["synthetic"], bool)
    assert module.__doc__
    assert len(inspect.signature(module.clips).parameters) >= 1


@pytest.mark.parametrize("name", KNOWING)
def test_same_clip_gives_same_track(name: str, tmp_path: Path, motion: Track) -> None:
    module = plugins.load("sources", name, needs=("reference",))
    write_forms(tmp_path, motion)
    root = {"synthetic": "3@11", "sample": None, "tracks": tmp_path}[name]
    listed = list(islice(module.clips(root), 4))
    assert listed == list(islice(module.clips(root), 4))
    assert [c.clip_id for c in listed] == sorted({c.clip_id for c in listed})
    for clip in listed:
        assert clip.source == name
        assert clip.group
        (first,), (again,) = module.reference(clip), module.reference(pickle.loads(pickle.dumps(clip)))
        assert first.clip_id == clip.clip_id
        assert_same(first, again)


def test_a_larger_cast_begins_with_the_smaller() -> None:
    assert list(synthetic.clips("5@2")) == list(islice(synthetic.clips("50@2"), 5))
    assert len(list(synthetic.clips(""))) == 100
    assert next(synthetic.clips("1@2")).group != next(synthetic.clips("1@3")).group
    clip = next(synthetic.clips("1@2"))
    assert synthetic.reference(clip)[0].num_frames == clip.num_frames == clip.end_frame


def test_the_sample_is_a_dozen_clips_with_video_by_every_kind_of_camera() -> None:
    found = list(sample.clips())
    assert len(found) == 12
    assert {c.meta["camera_kind"] for c in found} == {"static", "panning", "handheld", "following"}
    assert all(c.video is not None and c.video.is_file() for c in found)
    assert sum(p.stat().st_size for p in sample.FOLDER.iterdir()) < 8e6
    for clip in found:
        (truth,) = sample.reference(clip)
        assert truth.num_frames == clip.num_frames
        assert truth.camera_to_world is not None
        assert truth.camera_to_world.shape == (clip.num_frames, 4, 4)


@pytest.mark.parametrize("root", ["0", "-3", "ten", "5@", "5@x", "5.5"])
def test_synthetic_says_what_it_expects(root: str) -> None:
    with pytest.raises(SourceError, match="expected N or N@SEED"):
        synthetic.clips(root)


# Track files


def test_all_forms_give_the_same_anchored_motion(tmp_path: Path, motion: Track) -> None:
    write_forms(tmp_path, motion)
    expected, found = geometry.anchor(motion), [clip.clip_id for clip in tracks.clips(tmp_path)]
    assert found == [
        "tracks/CMU/smplh_poses",
        "tracks/CMU/walk_stageii",
        "tracks/canonical",
        "tracks/motionx",
        "tracks/motionx_alone",
        "tracks/neutral_down",
        "tracks/neutral_y",
        "tracks/neutral_z",
    ]
    for clip in tracks.clips(tmp_path):
        (track,) = tracks.reference(clip)
        anchored = geometry.anchor(track)
        np.testing.assert_allclose(anchored.position_m, expected.position_m, atol=1e-4, err_msg=clip.clip_id)
        np.testing.assert_allclose(geometry.heading_deg(anchored.body_to_world), geometry.heading_deg(expected.body_to_world), atol=1e-2)
        np.testing.assert_allclose(anchored.body_to_world, expected.body_to_world, atol=1e-5)
        np.testing.assert_allclose(track.position_m, motion.position_m, atol=1e-5)
        assert track.root_kind == ("pelvis" if clip.sequence.startswith(("neutral", "canonical")) else "pelvis_approx")


def test_canonical_and_licence_reach_the_clip(tmp_path: Path, motion: Track) -> None:
    write_forms(tmp_path, motion)
    canonical = one(tmp_path, "canonical")
    assert canonical.referent == "the man in red"
    assert canonical.provenance["clip"] == {
        "group": "P1",
        "split": "test",
        "view": "cam1",
        "redistribution": "qa_only",
        "sequence": "P1_a",
    }
    assert one(tmp_path, "neutral_y").provenance["clip"] == {"redistribution": "open"}
    assert "clip" not in one(tmp_path, "neutral_z").provenance
    assert {clip.redistribution for clip in tracks.clips(tmp_path)} == {"qa_only"}


def test_groups_come_from_the_name_or_from_groups_json(tmp_path: Path, motion: Track) -> None:
    write_forms(tmp_path, motion)
    (tmp_path / "groups.json").write_text(json.dumps({"CMU/smplh_poses": "s1", "canonical": "s2"}))
    groups = {clip.sequence: clip.group for clip in tracks.clips(tmp_path)}
    assert groups["CMU/smplh_poses"] == "s1"
    assert groups["CMU/walk_stageii"] == "walk_stageii"
    assert groups["canonical"] == "s2"
    assert "group" not in one(tmp_path, "canonical").provenance["clip"]
    (tmp_path / "groups.json").write_text("[1]")
    with pytest.raises(SourceError, match=r"groups\.json"):
        tracks.clips(tmp_path)


class Hostile:
    """A pickle that leaves a file behind when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (open, (str(self.path), "w"))


def bad_files(folder: Path) -> Iterator[tuple[str, str]]:
    """Writes one bad file after another and yields its name and the field or words that the error must have."""
    n = 6
    good = {"trans": np.zeros((n, 3)), "root_rot": np.tile(np.eye(3), (n, 1, 1)), "fps": 30.0, "up": "y"}
    nan = np.zeros((n, 3))
    nan[4, 1] = np.nan
    hostile = np.array([Hostile(folder / "pwned")], dtype=object)
    npz = {
        "nan": (good | {"trans": nan}, "'trans'.*first in frame 4"),
        "nan_rot": (good | {"root_rot": np.full((n, 3, 3), np.inf)}, "'root_rot'.*first in frame 0"),
        "flat": (good | {"trans": np.zeros((n, 2))}, r"'trans'.*\(N, 3\).*\(6, 2\)"),
        "short": (good | {"root_rot": good["root_rot"][1:]}, "'root_rot'.*6.*5"),
        "words": (good | {"trans": np.full((n, 3), "a")}, "'trans'.*numbers"),
        "scaled": (good | {"root_rot": 2 * good["root_rot"]}, "'root_rot'.*rotation"),
        "mirrored": (good | {"root_rot": good["root_rot"] * [-1, 1, 1]}, "'root_rot'.*reflection"),
        "empty": (good | {"trans": np.zeros((0, 3)), "root_rot": np.zeros((0, 3, 3))}, r"'trans'.*0 frame"),
        "single": (good | {"trans": np.zeros((1, 3)), "root_rot": np.eye(3)[None]}, r"'trans'.*1 frame"),
        "no_fps": ({k: v for k, v in good.items() if k != "fps"}, "'fps'"),
        "fps_nan": (good | {"fps": np.nan}, "'fps'.*nan"),
        "fps_zero": (good | {"fps": 0}, "'fps'.*0"),
        "fps_list": (good | {"fps": np.full(n, 30.0)}, "'fps'.*shape"),
        "up": (good | {"up": "x"}, "'up'.*'x'"),
        "pickled": (good | {"trans": hostile}, "'trans'.*never loaded"),
        "motionx": ({"motionx": np.zeros((n, 263))}, r"'motionx'.*\(N, 322\).*263"),
        "amass_rate": ({"poses": np.zeros((n, 156)), "trans": np.zeros((n, 3))}, "'mocap_framerate'.*'mocap_frame_rate'"),
        "amass_poses": ({"poses": np.zeros((n, 72)), "trans": np.zeros((n, 3)), "mocap_framerate": 30}, r"'poses'.*156 or 165.*72"),
        "unknown": ({"xyz": np.zeros((n, 3))}, "canonical.*neutral.*motion-x.*amass.*'xyz'"),
        "canonical": ({"meta": "{}", "position_m": np.zeros((n, 3))}, "schema"),
    }
    for name, (arrays, expected) in npz.items():
        np.savez(folder / f"{name}.npz", **arrays)
        yield name, expected
    np.savez(folder / "whole.npz", **good)
    content = (folder / "whole.npz").read_bytes()
    for name, data in {"cut": content[: len(content) // 2], "void": b"", "text": b"hello"}.items():
        (folder / f"{name}.npz").write_bytes(data)
        yield name, r"\(file\)"
    store.write_track(folder / "damaged.npz", perform([Walk(2.0)]))
    content = (folder / "damaged.npz").read_bytes()
    (folder / "damaged.npz").write_bytes(content[:400] + bytes(200) + content[600:])
    yield "damaged", "field"
    np.save(folder / "objects.npy", hostile)
    yield "objects", r"\(file\).*never loaded"
    (folder / "raw.npy").write_bytes(pickle.dumps(Hostile(folder / "pwned")))
    yield "raw", r"\(file\).*never loaded"
    np.save(folder / "wide.npy", np.zeros((n, 300), np.float32))
    yield "wide", r"'array'.*\(N, 322\)"


def test_bad_files_are_refused_one_by_one(tmp_path: Path) -> None:
    cases = list(bad_files(tmp_path))
    (tmp_path / "pwned").unlink(missing_ok=True)
    listed = {clip.sequence: clip for clip in tracks.clips(tmp_path)}
    assert len(listed) == len(cases) + 1
    for name, expected in cases:
        with pytest.raises(TrackError, match=expected) as caught:
            tracks.reference(listed[name])
        message = str(caught.value)
        assert "\n" not in message
        assert listed[name].meta["path"] in message
        assert "field" in message or "form" in message or "schema" in message
    assert not (tmp_path / "pwned").exists()
    assert tracks.reference(listed["whole"])[0].num_frames == 6


def test_bad_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere: expected a folder.*does not exist"):
        tracks.clips(tmp_path / "nowhere")
    with pytest.raises(SourceError, match="found none"):
        tracks.clips(tmp_path)
    np.save(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(SourceError, match="found a file"):
        tracks.clips(tmp_path / "a.npy")
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    with pytest.raises(SourceError, match=r"a\.npy and a\.npz"):
        tracks.clips(tmp_path)


def test_shared_tracks_load() -> None:
    if not SHARED.is_dir():
        pytest.skip(f"no shared tracks at {SHARED}; set HUMANMOVEVQA_TEST_DATA to the folder that holds tracks/")
    facts = {fact["name"]: fact for fact in json.loads((SHARED / "facts.json").read_text())}
    listed = list(tracks.clips(SHARED))
    assert {clip.sequence for clip in listed} == {path.stem for path in SHARED.glob("*.npz")}
    for clip in listed:
        (track,) = tracks.reference(clip)
        fact = facts[clip.sequence]
        path = geometry.anchor(track, window_s=0.0).position_m
        assert track.root_kind == "pelvis"
        assert path[-1, 1] == pytest.approx(fact["net_up"], abs=0.0075)
        if geometry.tilt_deg(track.body_to_world)[0] < 60.0:  # who begins lying faces nowhere
            np.testing.assert_allclose(path[-1, [2, 0]], [fact["net_fwd"], fact["net_left"]], atol=0.0075)


# The performer


@pytest.mark.parametrize("gait", [False, True])
@pytest.mark.parametrize(
    ("script", "left_up_forward", "turned"),
    [
        ([Walk(3.0)], (0, 0, 3), 0),
        ([Walk(2.0, 180.0)], (0, 0, -2), 0),
        ([Walk(1.0, 90.0)], (1, 0, 0), 0),
        ([Turn(90.0), Walk(2.0)], (2, 0, 0), 90),
        ([Turn(-90.0), Walk(2.0), Turn(-450.0)], (-2, 0, 0), -540),
        ([Arc(np.pi, 180.0)], (2, 0, 0), 180),
        ([Arc(np.pi, 90.0)], (2, 0, 2), 90),
        ([Arc(5.0, -360.0)], (0, 0, 0), -360),
        ([Run(6.0)], (0, 0, 6), 0),
        ([Stairs(2.0, 1.2)], (0, 1.2, 2), 0),
        ([Jump(0.4, 0.8)], (0, 0, 0.8), 0),
        ([Crouch(), Lean(30.0), Sit(), StandUp()], (0, 0, 0), 0),
        ([Sit()], (0, -0.42, -0.2), 0),
        ([Walk(3.0), Turn(60.0), Walk(1.0, 90.0), ReturnToStart()], (0, 0, 0), None),
        ([Walk(3.0), Turn(60.0), ReturnToStart(turning=False)], (0, 0, 0), 60),
        ([Walk(3.0), ReturnToStart(share=0.5, way=-1)], (0, 0, 1.5), -180),
    ],
)
def test_scripts_end_where_they_say(script: list, left_up_forward: tuple, turned: float | None, gait: bool) -> None:
    track = perform(script, seed=3, gait=gait)
    end = track.position_m[-1] - [0, track.position_m[0, 1], 0]
    np.testing.assert_allclose(end, left_up_forward, atol=0.1 if gait else 0.03)
    if turned is not None:
        assert geometry.heading_deg(track.body_to_world)[-1] == pytest.approx(turned, abs=5.0 if gait else 1.0)


def test_a_jump_flies() -> None:
    track = perform([Wait(0.5), Jump(0.4), Wait(0.5)], fps=120.0, gait=False)
    up = track.position_m[:, 1] - track.position_m[0, 1]
    assert up.max() == pytest.approx(0.4, abs=0.003)
    assert up.min() == pytest.approx(-0.16, abs=0.003)
    falling = np.diff(up, 2)[up[1:-1] > 0.05] * 120.0**2
    np.testing.assert_allclose(falling, -9.81, atol=0.01)


def test_leans_go_where_they_say() -> None:
    for pitch, roll in ((40.0, 0.0), (-35.0, 0.0), (0.0, 30.0), (0.0, -30.0)):
        track = perform([Turn(120.0), Lean(pitch, roll), Wait(0.5)], gait=False)
        lean = geometry.lean_deg(track.body_to_world, geometry.heading_deg(track.body_to_world))
        np.testing.assert_allclose(lean[np.argmax(np.abs(lean).max(axis=1))], (pitch, roll), atol=0.5)


def test_a_walk_is_as_fast_as_it_says_and_starts_smoothly() -> None:
    track = perform([Walk(6.0, speed=1.4)], fps=60.0, gait=False)
    speed = np.diff(track.position_m[:, 2]) * 60.0
    assert np.median(speed) == pytest.approx(1.4, abs=0.01)
    assert np.abs(np.diff(speed)).max() * 60.0 < 4.5
    assert speed[0] < 0.02


def test_gait_is_human_and_fades_at_stops() -> None:
    swings = []
    for seed in range(20):
        track = perform([Wait(1.0), Walk(7.0), Wait(2.0)], seed=seed)
        walking, resting = slice(60, 150), slice(track.num_frames - 50, None)
        heading = geometry.heading_deg(track.body_to_world)
        lean = geometry.lean_deg(track.body_to_world, heading)
        series = (track.position_m[:, 0], track.position_m[:, 1], heading, lean[:, 0], lean[:, 1])
        swings.append([np.ptp(s[walking]) for s in series])
        rest = [np.ptp(s[resting]) for s in series]
        assert max(rest[:2]) < 0.03
        assert max(rest[2:]) < 5.0
    assert (np.min(swings, axis=0) > [0.03, 0.015, 8.0, 3.0, 7.0]).all()
    assert (np.max(swings, axis=0) < [0.14, 0.14, 25.0, 13.0, 17.0]).all()


def test_frame_rate_does_not_change_the_path() -> None:
    slow, fast = (perform(SCRIPT, fps=fps, gait=False) for fps in (30.0, 60.0))
    np.testing.assert_allclose(fast.position_m[::2][: slow.num_frames], slow.position_m, atol=1e-9)
    gaits = [perform(SCRIPT, fps=fps, seed=1).position_m for fps in (30.0, 60.0)]
    np.testing.assert_allclose(gaits[1][::2][: slow.num_frames], gaits[0], atol=0.02)


def test_provenance_carries_the_script() -> None:
    track = perform([Walk(2.0), ReturnToStart()])
    plain = json.loads(json.dumps(track.provenance))
    assert plain["script"][0] == {"action": "Walk", "metres": 2.0, "direction_deg": 0.0, "speed": 1.3}
    assert [beat["action"] for beat in plain["timeline"]] == ["Walk", "Turn", "Walk"]
    assert plain["timeline"][1]["start_s"] == plain["timeline"][0]["end_s"]


@pytest.mark.parametrize("script", [[Wait(0.0)], [Walk(-1.0)], [Walk(1.0, speed=0.0)], [Turn(float("nan"))], []])
def test_impossible_scripts_are_refused(script: list) -> None:
    with pytest.raises(TrackError):
        perform(script)


def test_drawn_scripts_are_balanced() -> None:
    count = 400
    ends, gone, actions, returned = [], np.zeros(4), [], 0
    for person in range(count):
        beats = timeline(draw_script("balance", person))
        assert 9.9 < beats[-1].end_s <= 30.01
        actions.append(sum(not isinstance(beat.action, Wait) for beat in beats))
        poses = np.array([beat.pose for beat in beats] + [final_pose(beats[-1])])
        ends.append(poses[-1, [0, 2, 3]])
        steps = np.diff(poses[:, [0, 2]], axis=0)
        gone += [*steps.clip(0).sum(axis=0), *(-steps).clip(0).sum(axis=0)]
        path = np.abs(steps).sum()
        returned += bool(path > 1.0 and np.hypot(*poses[-1, [0, 2]]) < 0.5)
    ends = np.array(ends)
    assert (np.abs(ends.mean(axis=0)) < 3.0 * ends.std(axis=0) / np.sqrt(count)).all()
    left, forward, right, backward = gone
    assert 0.7 < forward / backward < 1.4
    assert 0.8 < left / right < 1.25
    assert set(actions) == set(range(3, 10))
    assert 0.2 < returned / count < 0.5


def test_leans_jumps_and_stairs_are_balanced() -> None:
    leans, rises = [], []
    for person in range(400):
        for action in draw_script("balance", person):
            if isinstance(action, Lean):
                leans.append((np.sign(action.pitch_deg), np.sign(action.roll_deg)))
            if isinstance(action, Stairs):
                rises.append(np.sign(action.rise))
    sides = [leans.count(side) / len(leans) for side in ((1, 0), (-1, 0), (0, 1), (0, -1))]
    assert min(sides) > 0.15
    assert abs(np.mean(rises)) < 0.4


def test_a_header_without_its_end_is_one_line(tmp_path: Path):
    """numpy's own reader fails on it with an error of Python's tokenizer."""
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((30, 3)))
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as file:
        for name in ("trans", "root_rot", "fps", "up"):
            file.writestr(f"{name}.npy", buffer.getvalue().replace(b"}", b" ", 1))
    (clip,) = tracks.clips(str(tmp_path))
    with pytest.raises(TrackError, match=r"x\.npz: field '\w+'.*correct the file"):
        tracks.reference(clip)
