"""Are the videos there and the right ones: each way in which they can be wrong, from a folder and from the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from builder import cli, clip_files, export, plugins, schema
from builder.types import DataError
from builder.video import write_clip

SAMPLE = Path(__file__).resolve().parent.parent / "builder" / "sample"
NAMES = ("whole", "longer", "cut", "absent")
FRAMES = 8


def film(path: Path, frames: int = FRAMES) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_clip(path, (np.full((64, 64, 3), 20 * n % 250, np.uint8) for n in range(frames)), 10.0, 23)


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """Clips of a source: one as it should be, one that is too long, one that is cut off; a fourth is missing."""
    root = tmp_path / "videos"
    film(root / "emdb/s/whole.mp4")
    film(root / "emdb/s/longer.mp4", FRAMES + 2)
    film(root / "emdb/s/cut.mp4", 60)
    data = (root / "emdb/s/cut.mp4").read_bytes()
    (root / "emdb/s/cut.mp4").write_bytes(data[: len(data) // 2])
    return root


def wanted() -> list[clip_files.Wanted]:
    return [clip_files.Wanted("emdb", f"emdb/s/{name}.mp4", FRAMES) for name in NAMES]


def verdicts(root: Path | None, hashes: bool = True) -> dict[str, str]:
    return {Path(f.clip.video_path).stem: f.verdict for f in clip_files.check(wanted(), root, hashes)}


def test_without_a_list_a_clip_must_open_and_have_its_frames(videos: Path):
    assert verdicts(videos) == {"whole": "found", "longer": "wrong frames", "cut": "unreadable", "absent": "missing"}
    findings = clip_files.check(wanted(), videos)
    assert "the questions are about 8 frames, it has 10" in findings[1].detail
    assert clip_files.tally(findings)["emdb"] == {
        "found": 1, "missing": 1, "wrong size": 0, "wrong hash": 0, "wrong frames": 1, "unreadable": 1,
    }  # fmt: skip


def test_the_list_of_the_folder_says_what_its_files_must_be(videos: Path):
    def entry(name: str, frames: int = FRAMES) -> dict[str, object]:
        path = videos / "emdb/s" / f"{name}.mp4"
        return {"size": path.stat().st_size, "sha256": clip_files.file_digest(path), "frames": frames}

    listed = {f"emdb/s/{name}.mp4": entry(name) for name in ("whole", "longer", "cut")}
    listed["emdb/s/longer.mp4"]["frames"] = FRAMES + 2
    (videos / "videos.json").write_text(json.dumps({"format": clip_files.FORMAT, "videos": listed}))
    assert verdicts(videos) == {"whole": "found", "longer": "wrong frames", "cut": "found", "absent": "missing"}
    whole = videos / "emdb/s/whole.mp4"
    data = bytearray(whole.read_bytes())
    data[-1] ^= 1
    whole.write_bytes(data)
    assert verdicts(videos)["whole"] == "wrong hash"
    assert verdicts(videos, hashes=False)["whole"] == "found"
    whole.write_bytes(data + b"x")
    assert verdicts(videos)["whole"] == "wrong size"
    for text in ("{", "[]", '{"format": "other", "videos": {}}', '{"format": "hmv-videos/1"}'):
        (videos / "videos.json").write_text(text)
        with pytest.raises(DataError, match=r"videos.json: .* make it again with: humanmovevqa videos"):
            clip_files.check(wanted(), videos)


def test_packaged_clips_are_found_without_a_folder_and_held_to_their_bytes(tmp_path: Path):
    clips = list(plugins.load("sources", "sample").clips())
    asked = [clip_files.Wanted("sample", schema.video_path(c), c.num_frames) for c in clips]
    assert {f.verdict for f in clip_files.check(asked, None)} == {"found"}
    assert {f.verdict for f in clip_files.check(asked, tmp_path)} == {"found"}
    mine = tmp_path / asked[0].video_path
    mine.parent.mkdir(parents=True)
    shutil.copy(clip_files.packaged()[asked[1].video_path], mine)
    assert [f.verdict for f in clip_files.check(asked[:2], tmp_path)] == ["wrong size", "found"]


@pytest.mark.parametrize("path", ["/etc/passwd", "../x.mp4", "a/../../x.mp4", "a//x.mp4", "C:/x.mp4", "a\\x.mp4", "a/./x.mp4"])
def test_a_dataset_cannot_point_outside_the_folder(tmp_path: Path, path: str):
    with pytest.raises(DataError, match="below the video folder"):
        clip_files.place(path, tmp_path)


def test_the_folder_is_given_or_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(clip_files.VARIABLE, raising=False)
    assert clip_files.folder() is None
    monkeypatch.setenv(clip_files.VARIABLE, str(tmp_path))
    assert clip_files.folder() == tmp_path
    with pytest.raises(DataError, match="it does not exist"):
        clip_files.folder(tmp_path / "none")
    monkeypatch.setenv(clip_files.VARIABLE, str(tmp_path / "none"))
    with pytest.raises(DataError, match="HUMANMOVEVQA_VIDEO_DIR"):
        clip_files.folder()


def test_only_known_open_sources_are_open():
    assert (clip_files.is_open("sample"), clip_files.is_open("tracks"), clip_files.is_open("nobody")) == (True, False, False)


def test_verify_says_it_in_a_table_and_in_the_exit_code(
    tmp_path: Path, videos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    from fixture_hub import rows

    monkeypatch.delenv(clip_files.VARIABLE, raising=False)
    tables = {
        "emdb": {
            "test": [r | {"video_path": f"emdb/s/{NAMES[n % 4]}.mp4", "num_frames": FRAMES} for n, r in enumerate(rows("emdb", "test", 12))]
        }
    }
    export.write(tmp_path / "built", tables, {}, {}, {})
    report = tmp_path / "report.json"
    code = cli.main(["verify", "--data", str(tmp_path / "built"), "--videos", str(videos), "--json", str(report)])
    said = capsys.readouterr()
    assert code == 2
    assert said.out.splitlines() == [
        "source  clips  found  missing  wrong frames  unreadable",
        "emdb        4      1        1             1           1",
    ]
    assert any(line.startswith("missing: emdb/s/absent.mp4: expected ") for line in said.err.splitlines())
    assert [r["verdict"] for r in json.loads(report.read_text())] == ["missing", "unreadable", "wrong frames", "found"]
    assert cli.main(["verify", "--data", str(SAMPLE), "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert cli.main(["verify", "--data", str(SAMPLE), "--json"]) == 0
    assert {r["verdict"] for r in json.loads(capsys.readouterr().out)} == {"found"}
    monkeypatch.chdir(videos)
    assert cli.main(["verify"]) == 0, "what is meant when nothing is named: the sample, where nothing was built"
    assert capsys.readouterr().out.splitlines()[-1].split() == ["sample", "12", "12"]
    for arguments, message in (
        (["--data", str(tmp_path)], "expected a dataset folder with manifest.json, found none"),
        (["--data", "no/such/place"], "expected a built folder, or a repo OWNER/NAME on the Hub, found neither"),
        (["--data", "some/repo"], "HF_HUB_OFFLINE is set, with no copy in the cache"),
        (["--data", str(SAMPLE), "--config", "emdb"], "holds all: train, test; sample: train, test"),
        (["--data", str(SAMPLE), "--split", "dev"], "--config all --split dev"),
    ):
        assert cli.main(["verify", *arguments]) == 2
        told = capsys.readouterr().err.splitlines()
        assert len(told) == 1
        assert message in told[0]
