"""Every class of error that the command line can show: its line and its exit code, in one table."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import builder
from builder import cli, lifting, store
from builder.performer import Turn, Walk, perform
from builder.types import HumanMoveError, passes
from builder.verbs import status

# A lifter that fails as the video's name says.
LIFTER = """
from builder import types

ABOUT = {"title": "stand-in", "licence": "none"}

def load():
    def lift(clip):
        raise getattr(types, clip.video.stem)("so it is")
    return lift
"""
BUILD = ("build", "--workers", "1", "--quiet", "--no-report", "--work", "{here}/work", "--out", "{here}/out")
EVALUATE = ("evaluate", "--quiet", "--data", "{sample}", "--limit", "1", "--out", "{here}/run", "--work", "{here}/work")
LIFT = ("lift", "--lifter", "errors_for_test.lifter", "--out", "{here}/lifted")

# class: (the words, the line that they give).  {here} is an empty folder.
TABLE: dict[str, tuple[tuple[str, ...], str]] = {
    "BuildError": ((*BUILD, "--source", "synthetic=2", "--rank", "1"), r"--rank and --world-size belong together"),
    "SourceError": ((*BUILD, "--source", "tracks={here}/none"), r"source tracks=.*none: .*does not exist"),
    "RecipeError": ((*BUILD, "--source", "synthetic=2", "--recipe", "none"), r"no recipe 'none': expected one of default, paper"),
    "PluginError": ((*BUILD, "--source", "none"), r"no plugin 'none' in sources: expected one of"),
    "StoreError": ((*BUILD, "--source", "synthetic=2", "--work", "{here}/file"), r"work folder .*file: expected a folder, found a file"),
    "RoomError": ((*BUILD, "--source", "synthetic=100000000"), r"this build will take about .* GB and .* are free there"),
    "SetupError": ((*BUILD, "--source", "folder={here}/videos", "--lifter", "gvhmr"), r"gvhmr needs --option results=DIR"),
    "DataError": (("score", "{here}/none"), r"none: expected a run folder"),
    "VideoError": (("lift", "{here}/none.mp4"), r"none\.mp4: expected a video file, found nothing"),
    "LiftError": ((*LIFT, "{here}/videos/LiftError.mp4"), r"so it is"),
    "NotNowError": ((*LIFT, "{here}/videos/NotNowError.mp4"), r"so it is"),
    "TrackError": ((*LIFT, "{here}/videos/TrackError.mp4"), r"so it is"),
    "HubError": (("push", "--from", "{here}/none"), r"which repo\? expected OWNER/NAME"),
    "ApiError": (
        (*EVALUATE, "--model", "openai_api=m", "--option", "url=http://127.0.0.1:9/v1", "--option", "retries=0"),
        r"127\.0\.0\.1:9/v1\S*: no answer after 1 attempts",
    ),
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder with a file, some videos by name only, and a lifter that can be imported."""
    (tmp_path / "file").touch()
    (tmp_path / "videos").mkdir()
    for name in ("LiftError", "NotNowError", "TrackError"):
        (tmp_path / "videos" / f"{name}.mp4").touch()
    (tmp_path / "errors_for_test").mkdir()
    (tmp_path / "errors_for_test" / "__init__.py").touch()
    (tmp_path / "errors_for_test" / "lifter.py").write_text(LIFTER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("HUMANMOVEVQA_VIDEO_DIR", str(Path(builder.__file__).parent / "clips"))
    monkeypatch.delenv("HUMANMOVEVQA_REPO", raising=False)
    yield tmp_path
    lifting._loaded.cache_clear()
    for name in [name for name in sys.modules if name.startswith("errors_for_test")]:
        del sys.modules[name]


def told(words: tuple[str, ...], here: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code and the last line on stderr."""
    sample = Path(builder.__file__).parent / "sample"
    code = cli.main([word.format(here=here, sample=sample) for word in words])
    return code, capsys.readouterr().err.strip()


@pytest.mark.parametrize("name", TABLE)
def test_the_line_and_the_exit_code(name: str, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    raised: list[str] = []

    def noted(self: HumanMoveError, *args: object) -> None:
        raised.append(type(self).__name__)
        Exception.__init__(self, *args)

    monkeypatch.setattr(HumanMoveError, "__init__", noted, raising=False)
    if name == "RoomError":  # so many clips need not be listed to be too many
        from builder import pipeline, room

        monkeypatch.setattr(pipeline, "clips_of", lambda plan: [])
        monkeypatch.setattr(room, "wanted", lambda clips, plan: 10**15)
    words, line = TABLE[name]
    code, said = told(words, here, capsys)
    assert code == 2
    assert re.search(line, said), said
    assert said.splitlines()[-1].startswith(f"humanmovevqa {words[0]}: ")
    assert len(said.splitlines()) == 1
    assert name in raised


def test_the_table_has_every_class():
    for path in sorted(Path(builder.__file__).parent.rglob("*.py")):
        if re.search(r"^class \w+Error\(", path.read_text(), re.MULTILINE):
            importlib.import_module(".".join(["builder", *path.relative_to(Path(builder.__file__).parent).with_suffix("").parts]))
    classes: set[type] = set()
    todo: list[type] = [HumanMoveError]
    while todo:
        below = [c for c in todo.pop().__subclasses__() if c.__module__.startswith("builder.")]
        classes |= set(below)
        todo += below
    assert {c.__name__ for c in classes} == set(TABLE)


def test_a_clip_that_fails_is_a_line_and_its_class_stays_in_the_artefact(here: Path, capsys: pytest.CaptureFixture[str]):
    tracks = here / "tracks"
    tracks.mkdir()
    store.write_track(tracks / "good.npz", perform([Walk(3.0), Turn(100.0), Walk(2.0, 90.0), Turn(-60.0), Walk(1.5)], seed=4))
    np.savez(tracks / "bad.npz", trans=np.zeros((1, 3)), root_rot=np.zeros((1, 3, 3)), fps=30.0, up="y")
    code, said = told((*BUILD, "--source", f"tracks={tracks}"), here, capsys)
    assert code == 0
    assert re.match(r"skipped tracks/bad: .*at least 2 frames", said)
    record = store.Work(here / "work").read("questions", "tracks/bad")
    assert record is not None
    assert [error["class"] for error in record["errors"]] == ["TrackError"]


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (OSError(28, "No space left on device"), 2, "No space left on device; everything finished is kept"),
        (MemoryError(), 2, "MemoryError; everything finished is kept"),
        (KeyboardInterrupt(), 130, "interrupted; everything finished is kept"),
    ],
)
def test_what_befalls_any_verb(
    error: BaseException, code: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def befallen(args: object) -> int:
        raise error

    monkeypatch.setattr(status, "run", befallen)
    assert cli.main(["status", "x"]) == code
    said = capsys.readouterr().err.strip()
    assert said.startswith("humanmovevqa status: ")
    assert line in said


@pytest.mark.parametrize("error", [ValueError("a defect"), OSError(2, "No such file")])
def test_a_defect_keeps_its_traceback(error: Exception, monkeypatch: pytest.MonkeyPatch):
    def broken(args: object) -> int:
        raise error

    monkeypatch.setattr(status, "run", broken)
    with pytest.raises(type(error)):
        cli.main(["status", "x"])
    assert not passes(error)
