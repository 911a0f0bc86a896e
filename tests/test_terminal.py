"""What is seen while a verb works: a bar or a line on a terminal, nothing of short work in a log, nothing anywhere with --quiet."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import fixture_datasets as fx
import pytest

from builder import cli, clip_files, terminal
from builder.performer import Turn, Wait, Walk, perform
from builder.rows import SAMPLE


class Terminal(io.StringIO):
    """A stderr that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with what the verbs work on: a copy of EMDB, two runs, a work folder, the sample as a dataset, a clip."""
    folder = tmp_path_factory.mktemp("here")
    short = perform([Wait(0.5), Walk(4.0), Turn(90, 1.5), Walk(2.0), Wait(1.2)], seed="short")
    fx.emdb(folder / "emdb", short, images=fx.numbered_image((72, 96)))
    shutil.copytree(SAMPLE, folder / "built")
    shutil.copy(next(iter(clip_files.packaged().values())), folder / "one.mp4")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for model in ("majority", "blind"):
            assert cli.main(["evaluate", "--model", model, "--data", "built", "--out", model, "--quiet"]) == 0
        assert cli.main(["build", "--source", "synthetic=1", "--workers", "1", "--no-report", "--quiet"]) == 0
        yield folder


# What is typed, the exit code, and what a terminal shows meanwhile.
SHOWN = {
    "build": ("build --source synthetic=1 --workers 1 --no-report", 0, ("looking for clips", "tracks to questions", "rows to files")),
    "status": ("status work", 0, ("looking at what is done",)),
    "check": ("check emdb=emdb", 0, ("looking through the copy", "checking emdb")),
    "videos": ("videos emdb=emdb --out clips", 0, ("looking through the copy", "videos of emdb")),
    "validate": ("validate --lifter groundtruth --source synthetic=1 --out v", 0, ("against the truth", "counting and drawing")),
    "lift": ("lift one.mp4 --out lifted", 2, ("lifting one.mp4",)),
    "verify": ("verify --data built", 0, ("reading the questions", "checking videos")),
    "push": ("push me/mine --from built --dry-run", 2, ("looking at what is to be sent",)),  # offline: refused after the looking
    "evaluate": ("evaluate --model majority --data built --out majority", 0, ("reading the questions", "questions answered", "scoring")),
    "score": ("score majority blind --out scores", 0, ("scoring",)),
    "compare": ("compare majority blind", 0, ("comparing",)),
    "train": ("train --model qwen3_vl=nowhere --data built --out tuned", 2, ("reading the questions",)),
    "export": ("export chat-jsonl --data built --out chat", 0, ("writing",)),
}  # fmt: skip
SHORT = {"list", "demo"}  # what is done at once, and a program of its own


def test_every_verb_that_takes_long_is_in_the_table():
    assert set(SHOWN) | SHORT == set(cli.VERBS)


@pytest.mark.parametrize("verb", SHOWN)
def test_a_verb_shows_what_it_does(here: Path, verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr("builder.lifting.load", lambda lifter, options: lambda clip: [])
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    command, code, titles = SHOWN[verb]
    said = {}
    for where, quiet in (("log", []), ("terminal", []), ("terminal", ["--quiet"])):
        stderr = Terminal() if where == "terminal" else io.StringIO()
        monkeypatch.setattr(sys, "stderr", stderr)
        assert cli.main([*command.split(), *quiet]) == code, stderr.getvalue()
        said[where, bool(quiet)] = stderr.getvalue()
    assert [title for title in titles if title not in said["terminal", False]] == []
    for nothing in (said["log", False], said["terminal", True]):
        assert [title for title in titles if title in nothing and f"humanmovevqa {verb}: " not in nothing] == []
        assert "\x1b" not in nothing
        assert "%|" not in nothing, "a bar of somebody else's"


def test_a_log_hears_little(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """Where stderr is no terminal: nothing of short work, of long work a line a minute, and nothing at all with --quiet."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    for quiet, seconds in ((False, 0.1), (False, 10.0), (True, 10.0)):
        with terminal.bar("walking", 30, quiet) as progress, terminal.busy("thinking", quiet):
            for step in range(1, 31):
                now[0] += seconds
                progress(step, 30, "")
        said = capsys.readouterr()
        assert said.out == ""
        assert len(said.err.splitlines()) == (5 if seconds > 1 and not quiet else 0)
