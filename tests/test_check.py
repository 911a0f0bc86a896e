"""What `check` says of a copy: as expected, or which thing of which recording is not."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import fixture_datasets as fx
import numpy as np
import pytest

from builder import cli, plugins
from builder.performer import Turn, Wait, Walk, perform

SHORT = perform([Wait(0.5), Walk(4.0), Turn(90, 1.5), Walk(2.0), Wait(1.2)], seed="short")
SAID = tuple[int, str]


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("copies")
    fx.emdb(root / "emdb", SHORT, images=fx.numbered_image((72, 96)))
    fx.emdb(root / "emdb", SHORT, "P3/30_indoor_walk")
    fx.rich(root / "rich", {"005": SHORT}, images={"00": fx.numbered_image((84, 62))})
    fx.EgoBody(root / "egobody").add(SHORT, SHORT, kinects=5)
    return {name: root / name for name in ("emdb", "rich", "egobody")}


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Callable[..., SAID]:
    def run(*arguments: object) -> SAID:
        capsys.readouterr()
        code = cli.main(["check", *map(str, arguments), "--quiet"])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


@pytest.mark.parametrize(("name", "frames"), [("emdb", "0-"), ("rich", "40-"), ("egobody", "1207-")])
def test_a_good_copy_is_as_expected(copies: dict[str, Path], check: Callable[..., SAID], name: str, frames: str):
    code, text = check(f"{name}={copies[name]}", "--every-frame")
    assert code == 0, text
    assert "verdict: as expected" in text
    assert re.search(rf" {frames}\d+ ", text)
    for point in plugins.load("sources", name).OPEN_POINTS:
        assert point in text
    assert f"of {plugins.load('sources', name).SEQUENCES} recordings" in text
    code, text = check(f"{name}={copies[name]}", "--json")
    found = json.loads(text)
    assert code == 0
    assert found["unverified"]
    for one in found["recordings"]:
        assert one["verdict"] == "ok"
        assert one["inside"] > 0.99
        assert one["up"] > 0.9
        assert one["camera_up"] > 0.8
        assert 0.5 < one["speed"] < 3
        assert one["clips"] == 1
        assert one["height_m"] is None or 0.8 < one["height_m"] < 1.1
    if name == "emdb":
        assert found["recordings"][0]["pelvis_px"] < 1e-3
        assert found["recordings"][0]["views"]["(only)"]["size"] == [[72, 96]]
    if name == "rich":
        assert found["recordings"][0]["vertical_deg"] < 0.1


def edited(name: str, change: Callable[[dict], object]) -> Callable[[Path], None]:
    """A change of the data of the first file of that name."""

    def run(root: Path) -> None:
        file = sorted(root.rglob(name))[0]
        data = json.loads(file.read_text()) if file.suffix == ".json" else pickle.loads(file.read_bytes())
        change(data)
        file.write_bytes(json.dumps(data).encode() if file.suffix == ".json" else pickle.dumps(data))

    return run


def y_down(data: dict) -> None:
    """The same scene in a +Y-down world."""
    flip = np.diag([1.0, -1, -1, 1])
    data["camera"]["extrinsics"] = data["camera"]["extrinsics"] @ flip
    data["smpl"]["trans"] = data["smpl"]["trans"] @ flip[:3, :3]


def transposed(data: dict) -> None:
    data["R"] = np.transpose(data["R"]).tolist()


def shrunk(root: Path) -> None:
    for file in root.rglob("*.jpg"):
        file.unlink()
    for i in range(SHORT.num_frames):
        fx.numbered_image((96, 72))(i, next(root.glob("P1/*/images")) / f"{i:05d}.jpg")


FAULTS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "world upside down": ("emdb", edited("*_data.pkl", y_down), r"P1/14_outdoor_climb: a camera's up axis is -\d\.\d+ along the vertical"),
    "centimetres": (
        "emdb",
        edited("*_data.pkl", lambda d: d["smpl"].update(trans=100 * d["smpl"]["trans"])),
        r"moves at \d+ m/s|in the picture",
    ),
    "no such field": ("emdb", edited("*_data.pkl", lambda d: d["smpl"].pop("trans")), r"expected the field 'smpl\.trans'"),
    "too few rows": (
        "emdb",
        edited("*_data.pkl", lambda d: d.update(n_frames=99)),
        r"'good_frames_mask': expected numbers of shape \(99\)",
    ),
    "not a number": ("emdb", edited("*_data.pkl", lambda d: d["smpl"]["trans"].__setitem__(5, np.nan)), r"'smpl\.trans': expected finite"),
    "images missing": (
        "emdb",
        lambda r: [p.unlink() for p in r.rglob("0010?.jpg")],
        r"images are missing: 10 of \d+ frames \(00100-00109\)",
    ),
    "landscape": ("emdb", shrunk, r"images are 96 x 72, the calibration is for 1440 x 1920"),
    "world transposed": ("rich", edited("ParkingLot1_*.json", transposed), r"vertical is \d+\.\d degrees off|up axis"),
    "world scaled": ("rich", edited("ParkingLot1_*.json", lambda d: d.update(c=100.0)), r"expected a scale c near 1"),
    "no rotation": ("rich", edited("ParkingLot1_*.json", lambda d: d.update(R=[[1, 2, 3]] * 3)), r"expected a rotation"),
    "another scene's floor": ("egobody", edited("seminar_g110.json", lambda d: d["trans"][1].__setitem__(3, 5.0)), r"m above the floor"),
    "damaged fit": ("egobody", lambda r: (sorted(r.rglob("000.pkl"))[77]).write_bytes(b"\x80\x04K"), r"000\.pkl"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named(copies: dict[str, Path], check: Callable[..., SAID], tmp_path: Path, name: str):
    dataset, damage, expected = FAULTS[name]
    root = tmp_path / dataset
    shutil.copytree(copies[dataset], root)
    damage(root)
    code, text = check(f"{dataset}={root}", "--every-frame")
    assert code == 2
    assert "NOT as expected" in text
    assert re.search(expected, text), text


def test_the_report_holds_no_path_beyond_the_root_as_typed(
    copies: dict[str, Path], check: Callable[..., SAID], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shutil.copytree(copies["emdb"], tmp_path / "home" / "me" / "EMDB")
    file = next((tmp_path / "home" / "me" / "EMDB").glob("P3/*/*.pkl"))
    file.write_text("<!doctype html>")
    (tmp_path / "home" / "me" / "EMDB" / "P4.zip").touch()
    monkeypatch.chdir(tmp_path / "home" / "me")
    for form in ((), ("--json",)):
        code, text = check("emdb=EMDB", *form)
        assert code == 2
        assert str(tmp_path) not in text
        assert "EMDB/P3/30_indoor_walk" in text
        assert "web page" in text
        assert "P4.zip" in text


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("emdb", "expected the folder of your licensed copy, none was given"),
        ("emdb=nowhere", "it does not exist"),
        ("synthetic=5", "expected one of licensed recordings, egobody, emdb, rich"),
        ("nope=x", "no plugin 'nope'"),
    ],
)
@pytest.mark.parametrize("verb", ["check", "videos"])
def test_a_mistake_is_one_line(verb: str, source: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = ["--out", str(tmp_path / "out")] if verb == "videos" else []
    assert cli.main([verb, source, *out]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert expected in said.err
