"""Copies of EMDB, RICH and EgoBody that are broken: what is said of them, what is still read, and what a build lets out."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import fixture_datasets as fx
import numpy as np
import pytest
from test_datasets import BUSY, DATASETS, people, source

from builder import cli, pipeline, recipe
from builder.types import SourceError

FIRST = "recording_20210907_S02_S01_01"  # of EgoBody's copies


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
    "no calibrations": ("egobody", lambda r: shutil.rmtree(r / "calibrations" / FIRST), r"expected cal_trans/kinect12_to_world"),
    "no lenses": ("egobody", lambda r: shutil.rmtree(r / "kinect_cam_params"), r"kinect_master/Color\.json"),
    "bad cell": ("egobody", lambda r: replaced(r / "data_info_release.csv", "0 male", "male", 1), r"cells such as '1 female'"),
}


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
