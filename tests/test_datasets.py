"""EMDB, RICH and EgoBody from copies that the tests generate: one known walk through all, and what each dataset says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import fixture_datasets as fx
import numpy as np
import pytest
from fixture_walk import walk
from scipy.spatial.transform import Rotation

from builder import geometry, plugins, recipe, recordings, referent, selection
from builder.performer import Lean, Turn, Wait, Walk, perform
from builder.types import Clip, Track

DATASETS = ("emdb", "rich", "egobody")
BUSY = perform([Wait(0.6), Walk(2.5), Turn(90, 1.5), Wait(1), Walk(1.8), Wait(0.8), Walk(1.2, -90), Turn(-120, 2), Wait(0.7)], seed="busy")


def known() -> Track:
    """The walk of fixture_walk as a track."""
    w = walk()
    n = w.num_frames
    return Track("walk", "0", w.fps, np.ones(n, dtype=bool), w.body_to_world, w.position_m, np.arange(n))


def source(name: str) -> ModuleType:
    return plugins.load("sources", name, ("ABOUT", "clips", "reference", "film", "film_of", "found"))


def people(name: str, root: Path) -> list[tuple[Clip, Track]]:
    module = source(name)
    return [(clip, track) for clip in module.clips(root) for track in module.reference(clip)]


def write_all(root: Path, track: Track) -> dict[str, Path]:
    """A copy of each dataset that holds one motion, by source."""
    fx.emdb(root / "emdb", track)
    fx.rich(root / "rich", {"005": track}, scene=fx.Scene("ParkingLot1", scale=1.004))
    fx.EgoBody(root / "egobody").add(track, track)
    return {name: root / name for name in DATASETS}


# The golden test


def test_one_walk_through_every_dataset_is_one_path_one_heading_and_the_same_questions(tmp_path: Path):
    truth, using = known(), recipe.load()
    expected = geometry.anchor(truth)
    asked = None
    for name, root in write_all(tmp_path, truth).items():
        for clip, track in people(name, root):
            assert clip.num_frames == track.num_frames == truth.num_frames
            assert track.valid.all()
            anchored = geometry.anchor(track)
            np.testing.assert_allclose(anchored.position_m, expected.position_m, atol=1e-4, err_msg=clip.clip_id)
            off = geometry.heading_deg(anchored.body_to_world) - geometry.heading_deg(expected.body_to_world)
            assert np.abs(off).max() < 1e-4, clip.clip_id
            np.testing.assert_allclose(anchored.body_to_world, expected.body_to_world, atol=1e-4)
            same = replace(track, clip_id="walk", person_id="0", referent=None)
            questions = selection.questions_of(same, using)[1]
            asked = asked or selection.questions_of(truth, using)[1]
            assert [(q.text, q.options, q.answer) for q in questions] == [(q.text, q.options, q.answer) for q in asked], clip.clip_id
    assert asked is not None
    assert len(asked) > 20


def test_every_layout_and_pickle_gives_the_same_track(tmp_path: Path):
    """Old and new numpy's pickles, RICH's two trees, EgoBody with and without `cal_trans`, SMPL beside SMPL-X, other Kinects."""
    copies: dict[str, list[Path]] = {name: [tmp_path / f"{name}{k}" for k in range(3)] for name in DATASETS}
    for k, root in enumerate(copies["emdb"]):
        fx.emdb(root, BUSY, old_numpy=k == 1)
    for k, root in enumerate(copies["rich"]):
        fx.rich(root, {"005": BUSY}, layout=fx.UNZIPPED if k == 1 else fx.TOOLKIT, scene=fx.Scene("ParkingLot1", with_json=k < 2))
    for k, root in enumerate(copies["egobody"]):
        fx.EgoBody(root, cal_trans=k != 1).add(BUSY, BUSY, model="smpl" if k == 2 else "smplx", kinects=5 if k == 2 else 3)
    for name, roots in copies.items():
        first, *others = [people(name, root) for root in roots]
        for other in others:
            for (clip, track), (again, same) in zip(first, other, strict=True):
                assert (clip.group, clip.split, clip.start_frame) == (again.group, again.split, again.start_frame)
                a, b = geometry.anchor(track), geometry.anchor(same)
                np.testing.assert_allclose(b.position_m, a.position_m, atol=5e-3 if name == "rich" else 1e-4)


def test_the_body_model_of_the_user_decides_the_pelvis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With a model file of a known rest pelvis the track is exact where the constant is 0.3 m off."""
    j0 = np.array([0.02, -0.61, 0.13])
    models = tmp_path / "models" / "smplx"
    models.mkdir(parents=True)
    regressor = np.zeros((55, 4))
    regressor[:, 0] = 1
    np.savez(models / "SMPLX_MALE.npz", J_regressor=regressor, v_template=np.tile(j0, (4, 1)), shapedirs=np.zeros((4, 3, 10)))
    monkeypatch.setattr(fx, "J0_SMPLX", j0)
    bow = perform([Wait(1), Lean(pitch_deg=40), Walk(3), Turn(90, 1.5), Walk(2), Wait(1), Turn(-45, 1), Wait(2)], seed=4)
    fx.rich(tmp_path / "rich", {"005": bow})
    ((clip, rough),) = people("rich", tmp_path / "rich")
    assert rough.root_kind == "pelvis_approx"
    monkeypatch.setenv(recordings.MODELS, str(tmp_path / "models"))
    ((other, exact),) = people("rich", tmp_path / "rich")
    assert exact.root_kind == "pelvis"
    assert clip.clip_id == other.clip_id
    assert clip.meta != other.meta  # so that a build makes it again
    expected = geometry.anchor(bow).position_m
    np.testing.assert_allclose(geometry.anchor(exact).position_m, expected, atol=1e-4)
    np.testing.assert_allclose(geometry.anchor(rough).position_m, expected, atol=1e-4)  # the source's frame does not turn
    assert np.abs(exact.position_m - rough.position_m).max() > 0.2


# What each dataset says


def test_emdb(tmp_path: Path):
    fx.emdb(tmp_path, BUSY, "P0/09_outdoor_walk", (False, True), size=(720, 960), masked=range(100, 103))
    fx.emdb(tmp_path, BUSY, "P6/49_outdoor_big_stairs_down", (True, True))
    fx.emdb(tmp_path, BUSY, "P7/50_indoor_none", (False, False))
    found = {clip.sequence: (clip, track) for clip, track in people("emdb", tmp_path)}
    clip, track = found["P0/09_outdoor_walk"]
    assert (clip.split, clip.group, clip.camera, clip.width, clip.height) == ("emdb2", "emdb/P0", "moving", 720, 960)
    assert np.flatnonzero(~track.valid).tolist() == [100, 101, 102]
    assert track.referent is None
    assert found["P6/49_outdoor_big_stairs_down"][0].split == "emdb1+emdb2"
    assert found["P7/50_indoor_none"][0].split is None
    assert {c.redistribution for c, _ in found.values()} == {"qa_only"}
    # Extrinsics are world to camera, and the camera's up is up.
    pelvis_px = projected(track)
    assert (np.abs(pelvis_px / [720, 960] - 0.5) < 0.2).all()
    assert track.camera_to_world is not None
    assert (-track.camera_to_world[:, 1, 1] > 0.8).all()


def projected(track: Track) -> np.ndarray:
    """The root in the picture, from the track's own camera."""
    assert track.camera_to_world is not None
    seen = np.einsum("tji,tj->ti", track.camera_to_world[:, :3, :3], track.position_m - track.camera_to_world[:, :3, 3])
    pixels = seen @ track.extra["camera_matrix"].T
    return pixels[:, :2] / pixels[:, 2:]


def test_rich(tmp_path: Path):
    chair = fx.Scene("LectureHall", suffix="_chair", decimals=3)
    fx.rich(tmp_path, {"009": BUSY, "021": BUSY}, "LectureHall_009_021_reparingprojector1", "test", scene=chair, first=344)
    fx.rich(tmp_path, {"018": BUSY}, "LectureHall_018_yogasalute1", "train", scene=fx.Scene("LectureHall", suffix="_yoga", yaw_deg=5))
    fx.rich(tmp_path, {"003": BUSY}, "Pavallion_003_walk", "val", scene=fx.Scene("Pavallion", portrait=(1, 2)), missing=(60, 61))
    found: dict[str, list[tuple[Clip, Track]]] = {}
    for clip, track in people("rich", tmp_path):
        found.setdefault(clip.sequence, []).append((clip, track))
        assert clip.start_frame == (344 if "009" in clip.sequence else 40)
        pixels = projected(track)
        assert ((pixels > 0) & (pixels < [clip.width, clip.height])).all()
    two = found["LectureHall_009_021_reparingprojector1"]
    assert [track.person_id for _, track in two] == ["009", "021"]
    places = [projected(track)[0, 0] / clip.width for clip, track in two]
    assert [track.referent for _, track in two] == referent.by_place(places)
    assert len({track.referent for _, track in two} - {None}) == 2
    assert {clip.group for clip, _ in two} == {"rich/009"}
    assert {clip.group for clip, _ in found["LectureHall_018_yogasalute1"]} == {"rich/003"}  # seen with 003 in another capture
    ((clip, track),) = found["Pavallion_003_walk"]
    assert (clip.split, clip.group) == ("val", "rich/003")
    assert (~track.valid).sum() == 2
    assert track.frame_ids[~track.valid].tolist() == [60, 61]
    portrait = clip.view in ("cam_01", "cam_02")
    assert (clip.width < clip.height) is portrait


def test_rich_takes_the_scene_that_the_release_names(tmp_path: Path):
    """LectureHall has one transform per scan; the toolkit's own path finds neither."""
    for suffix, yaw in (("_chair", 10.0), ("_yoga", 100.0)):
        fx.rich(tmp_path, {"009": BUSY}, "LectureHall_009_sidebalance1", scene=fx.Scene("LectureHall", suffix=suffix, yaw_deg=yaw))
    expected = {"scan_yoga_scene_camcoord": "yoga", "scan_chair_scene_camcoord": "chair"}
    for scan, scene in expected.items():
        meta = tmp_path / "resource" / "meta"
        meta.mkdir(parents=True, exist_ok=True)
        head = "sequence_name\tcapture_name\tscan_name\tid\tmoving_cam\tgender\tview_id"
        (meta / "train.txt").write_text(f"{head}\nLectureHall_009_sidebalance1\tLectureHall\t{scan}\t9\tX\tfemale\t0,1,2\n")
        (one,) = (read() for read in source("rich").found(tmp_path))
        assert list(one.notes.values()) == [f"LectureHall_{scene}_multicam2world.json"]


def test_egobody(tmp_path: Path):
    copy = fx.EgoBody(tmp_path)
    copy.add(BUSY, BUSY, interactee_body=0, missing=range(1300, 1303))
    copy.add(BUSY, BUSY, "recording_20220215_S22_S21_01", "train", "seminar_d78_0318", first=812, kinects=5)
    copy.add(BUSY, BUSY, "recording_20220215_S21_S22_02", "val", "seminar_d78_0318", first=0, kinects=5, roles=("interactee",))
    copy.add(BUSY, BUSY, "recording_20220312_S23_S22_01", "train", "seminar_d78_0318", first=0, kinects=5)
    found: dict[str, list[tuple[Clip, Track]]] = {}
    for clip, track in people("egobody", tmp_path):
        found.setdefault(clip.sequence, []).append((clip, track))
        assert 0.7 < track.position_m[:, 1].min() - fx.FLOOR["seminar_d78_0318" if "2022" in clip.sequence else "seminar_g110"] < 1.2
        pixels = projected(track)[track.valid]
        assert ((pixels > 0) & (pixels < [1920, 1080])).all()
    wearer, other = (track for _, track in found["recording_20210907_S02_S01_01"])
    assert (wearer.referent, other.referent) == ("the person wearing the headset", "the person without a headset")
    assert wearer.valid.all()
    assert other.frame_ids[~other.valid].tolist() == [1300, 1301, 1302]
    groups = {name: {clip.group for clip, _ in each} for name, each in found.items()}
    assert groups["recording_20220215_S22_S21_01"] == groups["recording_20220215_S21_S22_02"] == {"egobody/S21"}
    assert groups["recording_20220312_S23_S22_01"] == {"egobody/S21"}  # linked by S22
    assert groups["recording_20210907_S02_S01_01"] == {"egobody/S01"}
    splits = {name: {clip.split for clip, _ in each} for name, each in found.items()}
    assert splits["recording_20220215_S21_S22_02"] == {"val"}
    assert [track.person_id for _, track in found["recording_20220215_S21_S22_02"]] == ["interactee"]


def test_worlds_carry_points_and_cameras_alike():
    rng = np.random.default_rng(2)
    turn, scale, offset = Rotation.random(random_state=1).as_matrix(), 1.03, rng.normal(size=3)
    world = recordings.World(turn, offset, scale)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = Rotation.random(random_state=3).as_matrix(), [0.2, -0.4, 5]
    points = rng.normal(size=(7, 3))
    seen = points @ pose[:3, :3].T + pose[:3, 3]
    camera = world.camera_to_world(pose)
    back = (world.place(points) - camera[:3, 3]) @ camera[:3, :3]
    np.testing.assert_allclose(back, scale * seen, atol=1e-12)  # the same rays, in metres of the world
