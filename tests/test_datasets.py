"""EMDB, RICH and EgoBody from copies that the tests generate: one known walk through all, the formats' quirks, broken copies, and
what leaves the machine.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import fixture_datasets as fx
import numpy as np
import pytest
from fixture_walk import walk
from scipy.spatial.transform import Rotation

from builder import cli, geometry, pipeline, plugins, recipe, recordings, referent, selection
from builder.performer import Lean, Turn, Wait, Walk, perform
from builder.types import Clip, SourceError, Track

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


def problems(name: str, root: Path) -> dict[str, str]:
    """Clip to reason of what a build would skip."""
    out = {}
    for clip in source(name).clips(root):
        try:
            source(name).reference(clip)
        except SourceError as error:
            out[clip.clip_id] = str(error)
    assert all("\n" not in text for text in out.values())
    return out


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


def test_a_wrong_direction_of_a_transform_is_seen(tmp_path: Path):
    """What the checks are for: with any one of these transforms turned around nobody is in the picture, or upright."""
    fx.emdb(tmp_path / "emdb", BUSY)
    file = next((tmp_path / "emdb").glob("*/*/*.pkl"))
    data = pickle.loads(file.read_bytes())
    data["camera"]["extrinsics"] = np.linalg.inv(data["camera"]["extrinsics"])
    file.write_bytes(pickle.dumps(data))
    assert "seen by one camera" in next(iter(problems("emdb", tmp_path / "emdb").values()))
    fx.EgoBody(tmp_path / "ego").add(BUSY, BUSY)
    file = next((tmp_path / "ego").glob("calibrations/*/cal_trans/kinect12_to_world/*.json"))
    file.write_text(json.dumps({"trans": np.linalg.inv(json.loads(file.read_text())["trans"]).tolist()}))
    assert cli.main(["check", f"egobody={tmp_path / 'ego'}", "--quiet"]) == 2


# Broken copies


def html(path: Path) -> None:
    path.write_text("<!DOCTYPE html><html><body>404</body></html>")


BREAKS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "page for data": ("emdb", lambda r: html(next(r.glob("P1/*/*_data.pkl"))), r"_data\.pkl: .*web page"),
    "data cut off": ("emdb", lambda r: cut_short(next(r.glob("P1/*/*_data.pkl"))), r"_data\.pkl"),
    "images only": ("emdb", lambda r: next(r.glob("P1/*/*_data.pkl")).unlink(), r"14_outdoor_climb: expected one \*_data\.pkl"),
    "page for a fit": ("rich", lambda r: html(fit_of(r, 40)), r"00040/005\.pkl: .*web page"),
    "page for a later fit": ("rich", lambda r: html(fit_of(r, 100)), r"00100/005\.pkl: .*web page"),
    "no calibration": (
        "rich",
        lambda r: shutil.rmtree(r / "scan_calibration" / "ParkingLot1"),
        r"ParkingLot1/calibration: expected 000\.xml",
    ),
    "page for a camera": ("rich", lambda r: html(r / "scan_calibration/ParkingLot1/calibration/000.xml"), r"000\.xml: expected 12 numbers"),
    "page for a world": (
        "rich",
        lambda r: html(r / "multicam2world/ParkingLot1_multicam2world.json"),
        r"multicam2world\.json: expected a JSON",
    ),
    "no frames": ("rich", lambda r: empty(r / "bodies/train/ParkingLot1_005_walk1"), r"expected <frame>/005\.pkl"),
    "no calibrations": ("egobody", lambda r: shutil.rmtree(r / "calibrations" / fx_first()), r"expected cal_trans/kinect12_to_world"),
    "no lenses": ("egobody", lambda r: shutil.rmtree(r / "kinect_cam_params"), r"kinect_master/Color\.json"),
    "bad cell": ("egobody", lambda r: replaced(r / "data_info_release.csv", "0 male", "male", 1), r"cells such as '1 female'"),
}


def fx_first() -> str:
    return "recording_20210907_S02_S01_01"


def fit_of(root: Path, frame: int) -> Path:
    return root / f"bodies/train/ParkingLot1_005_walk1/{frame:05d}/005.pkl"


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def replaced(path: Path, old: str, new: str, times: int) -> None:
    path.write_text(path.read_text("utf-8").replace(old, new, times), "utf-8")


@pytest.fixture(scope="module")
def two_of_each(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("copies")
    for sequence in ("P1/14_outdoor_climb", "P3/30_outdoor_stairs"):
        fx.emdb(root / "emdb", BUSY, sequence, images=None)
    fx.rich(root / "rich", {"005": BUSY})
    fx.rich(root / "rich", {"010": BUSY}, "Gym_010_walk2", "test", scene=fx.Scene("Gym"))
    copy = fx.EgoBody(root / "egobody")
    copy.add(BUSY, BUSY)
    copy.add(BUSY, BUSY, "recording_20210910_S06_S05_01", "test", first=500)
    return {name: root / name for name in DATASETS}


@pytest.mark.parametrize("name", BREAKS)
def test_what_is_broken_is_named_and_nothing_else_is_lost(two_of_each: dict[str, Path], tmp_path: Path, name: str):
    dataset, damage, expected = BREAKS[name]
    root = tmp_path / dataset
    shutil.copytree(two_of_each[dataset], root, copy_function=os.link if dataset != "emdb" else shutil.copy)
    unlink_writes(root, damage)
    found = problems(dataset, root)
    assert found
    assert all(re.search(expected, text) for text in found.values()), found
    if name != "no lenses":
        assert people_left(dataset, root) == (2 if dataset == "egobody" else 1)


def unlink_writes(root: Path, damage: Callable[[Path], object]) -> None:
    """Damage a copy whose files are hard links without touching the originals."""
    for file in [p for p in root.rglob("*") if p.is_file() and p.suffix in (".pkl", ".json", ".xml", ".csv") and p.stat().st_nlink > 1]:
        if file.suffix != ".pkl" or file.parent.name in ("00040", "00100"):
            content = file.read_bytes()
            file.unlink()
            file.write_bytes(content)
    damage(root)


def people_left(dataset: str, root: Path) -> int:
    count = 0
    for clip in source(dataset).clips(root):
        try:
            count += len(source(dataset).reference(clip))
        except SourceError:
            continue
    return count


ROOTS = {
    "nowhere": (lambda r: r / "nowhere", "it does not exist"),
    "empty": (lambda r: r / "empty", "found none"),
    "another dataset": (lambda r: r / "other", "found none"),
    "one too high": (lambda r: r, r"pass (emdb|rich|egobody) in it"),
}


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("name", ROOTS)
def test_a_wrong_root_is_one_line(two_of_each: dict[str, Path], tmp_path: Path, dataset: str, name: str):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").symlink_to(two_of_each[DATASETS[DATASETS.index(dataset) - 1]])
    (tmp_path / dataset).symlink_to(two_of_each[dataset])
    where, expected = ROOTS[name]
    with pytest.raises(SourceError, match=expected) as caught:
        list(source(dataset).clips(where(tmp_path)))
    assert "\n" not in str(caught.value)
    with pytest.raises(SourceError, match="licensed copy"):
        source(dataset).clips(None)


def test_nobody_moves_at_the_speed_of_a_train(two_of_each: dict[str, Path], tmp_path: Path):
    shutil.copytree(two_of_each["rich"], tmp_path / "rich")
    file = fit_of(tmp_path / "rich", 100)
    data = pickle.loads(file.read_bytes())
    data["transl"] = data["transl"] + np.float32(0.9)
    file.write_bytes(pickle.dumps(data))
    assert "m/s from frame 99 to 100" in problems("rich", tmp_path / "rich")["rich/ParkingLot1_005_walk1/" + view_of(tmp_path / "rich")]


def view_of(root: Path) -> str:
    (clip,) = (c for c in source("rich").clips(root) if c.sequence == "ParkingLot1_005_walk1")
    return clip.clip_id.removeprefix("rich/ParkingLot1_005_walk1/")


# A build


def test_a_build_of_all_three_skips_what_is_broken_and_lets_nothing_licensed_out(two_of_each: dict[str, Path], tmp_path: Path):
    """The output holds questions and pointers: no image, pose, camera or mesh, and no number of the fits."""
    roots = {}
    for name in DATASETS:
        roots[name] = tmp_path / "licensed" / name
        shutil.copytree(two_of_each[name], roots[name], ignore=shutil.ignore_patterns("test", "smplx_*_test"))
    html(next(roots["emdb"].glob("P3/*/*_data.pkl")))
    out, work = tmp_path / "out", tmp_path / "work"
    command = ["build", "--workers", "1", "--quiet", "--out", str(out), "--work", str(work)]
    for name, root in roots.items():
        command += ["--source", f"{name}={root}"]
    assert cli.main(command) == 0
    info = json.loads((out / "build_info.json").read_text())
    assert info["lifters"] == dict.fromkeys(DATASETS, "groundtruth")
    (skipped,) = info["generated"]["skipped"]
    assert skipped["clip_id"] == "emdb/P3/30_outdoor_stairs"
    assert "emdb/P3/30_outdoor_stairs/P3_30_outdoor_stairs_data.pkl" in skipped["reason"]
    assert str(tmp_path) not in skipped["reason"]

    files = sorted(p.relative_to(out) for p in out.rglob("*") if p.is_file())
    assert {p.suffix for p in files} <= {".parquet", ".json", ".md", ".html"}
    from datasets import load_dataset

    rows = [row for split in load_dataset(str(out)).values() for row in split]
    assert {row["source"] for row in rows} == set(DATASETS)
    assert not any(word in str(load_dataset(str(out))["train"].features) for word in ("Image", "Array"))
    assert all(row["video"] is None for row in rows)
    for row in rows:
        evidence = json.loads(row["evidence"])
        numbers = [v for v in flat(evidence) if isinstance(v, float)]
        assert all(round(v, 3) == v for v in numbers), "evidence is coarse"
        assert len(numbers) < 40, "evidence is no path"
    assert 'id="examples"' not in (out / "report.html").read_text("utf-8"), "no path is drawn"
    everything = b"".join((out / p).read_bytes() for p in files)
    for needle in (
        b"global_orient",
        b"poses_root",
        b"extrinsics",
        b"camera_matrix",
        b"betas",
        b".pkl\x00",
        b"\xff\xd8\xff",
        str(tmp_path).encode(),
    ):
        assert needle not in everything
    # Pointers lead back: the frames of the source.
    starts = {row["source"]: row["start_frame"] for row in rows}
    assert starts["rich"] == 40
    assert starts["egobody"] == 1207


def flat(value: object) -> list[object]:
    if isinstance(value, dict):
        return [x for v in value.values() for x in flat(v)]
    return [x for v in value for x in flat(v)] if isinstance(value, list) else [value]


def test_a_repaired_copy_is_read_again(two_of_each: dict[str, Path], tmp_path: Path):
    shutil.copytree(two_of_each["emdb"], tmp_path / "emdb")
    file = next((tmp_path / "emdb").glob("P3/*/*_data.pkl"))
    whole = file.read_bytes()
    html(file)
    plan = pipeline.Plan((("emdb", str(tmp_path / "emdb")),), "", recipe.load(), tmp_path / "work")

    def outcome() -> tuple[int, int]:
        clips = pipeline.clips_of(plan)
        pipeline.process(clips, plan, 1, lambda *_: None)
        found, skipped, missing = pipeline.gather(clips, plan)
        assert missing == []
        return len(found), len(skipped)

    assert outcome() == (1, 1)
    file.write_bytes(whole)
    assert outcome() == (2, 0)


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


def test_a_calibration_that_is_corrected_makes_tracks_stale(two_of_each: dict[str, Path], tmp_path: Path):
    """And so does a body model, an image or a fit: whatever a track or a video is made of."""
    shutil.copytree(two_of_each["rich"], tmp_path / "rich")
    file = tmp_path / "rich" / "multicam2world" / "ParkingLot1_multicam2world.json"

    def states() -> dict[str, str]:
        return {clip.sequence: clip.meta["state"] for clip in source("rich").clips(tmp_path / "rich")}

    before = states()
    data = json.loads(file.read_text())
    file.write_text(json.dumps(data | {"c": 1.01}))
    after = states()
    assert {name for name in before if before[name] != after[name]} == {"ParkingLot1_005_walk1"}
    fit_of(tmp_path / "rich", 77).touch()
    assert states()["ParkingLot1_005_walk1"] != after["ParkingLot1_005_walk1"]


def test_what_is_not_finite_while_the_person_is_out_of_view_harms_nothing(tmp_path: Path):
    folder = fx.emdb(tmp_path, BUSY, masked=range(50, 60))
    file = next(folder.glob("*.pkl"))
    data = pickle.loads(file.read_bytes())
    for values in (data["smpl"]["trans"], data["smpl"]["poses_root"], data["camera"]["extrinsics"], data["kp2d"]):
        values[50:60] = np.nan
    file.write_bytes(pickle.dumps(data))
    ((_, track),) = people("emdb", tmp_path)
    assert np.isfinite(track.position_m).all()
    assert (~track.valid).sum() == 10
    assert cli.main(["check", f"emdb={tmp_path}", "--quiet"]) == 0
    data["smpl"]["trans"][70] = np.inf
    file.write_bytes(pickle.dumps(data))
    assert "'smpl.trans': expected finite numbers" in problems("emdb", tmp_path)["emdb/P1/14_outdoor_climb"]
