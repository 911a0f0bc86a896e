"""The command line: help for every verb, one clear line for every mistake, and bad files that harm nobody else's build."""

from __future__ import annotations

import argparse
import json
import os
import pickle
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import humanmovevqa
from builder import cli, plugins, recipe, store
from builder.performer import Turn, Wait, Walk, perform
from builder.types import Clip, Track

ROOT = Path(__file__).resolve().parents[1]
VERBS = next(iter(a.choices for a in cli.parser()._actions if a.dest == "verb")) if cli.parser()._actions else ()
GOOD = perform([Walk(3.0), Turn(100.0), Wait(1.0), Walk(2.0, 90.0), Turn(-60.0), Walk(1.5)], seed=4)
NEUTRAL: dict[str, Any] = {"trans": GOOD.position_m, "root_rot": GOOD.body_to_world, "fps": 30.0, "up": "y"}


def program(*arguments: object, cwd: Path, script: bool = True) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    entry = [str(ROOT / "humanmovevqa.py")] if script else ["-c", "import sys, humanmovevqa; sys.exit(humanmovevqa.main())"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, *entry, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, list[str]]]:
    """Runs a verb in this process, in an empty folder: its exit code and the lines on stderr."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)

    def run(*arguments: object) -> tuple[int, list[str]]:
        capsys.readouterr()
        try:
            code = cli.main([str(a) for a in arguments])
        except SystemExit as stop:  # argparse
            code = int(stop.code or 0)
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, said.err.splitlines()

    return run


BUILD = ("build", "--no-report", "--workers", "1", "--quiet")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stop:
        cli.main([verb, "--help"])
    assert stop.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith(f"usage: humanmovevqa {verb}")
    assert all(action.help for action in VERBS[verb]._actions), "an option without help"
    assert verb in cli.parser().format_help()


def helps() -> list[argparse.ArgumentParser]:
    """The parser of every verb, and of every format of `export`."""
    formats = next(a.choices for a in VERBS["export"]._actions if a.dest == "format")
    return [*VERBS.values(), *formats.values()]


@pytest.mark.parametrize("one", helps(), ids=lambda p: p.prog)
def test_help_fits_eighty_columns_and_ends_with_a_command_that_parses(one: argparse.ArgumentParser, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = one.format_help()
    assert max(map(len, text.splitlines())) <= 80
    _, _, command = text.partition("\nexample:\n")
    words = shlex.split(command.replace("\\\n", " "))
    assert words[: len(one.prog.split())] == one.prog.split()
    cli.parser().parse_args(words[1:])


def test_exit_codes_are_said_once_and_hold(told: Callable[..., tuple[int, list[str]]], monkeypatch: pytest.MonkeyPatch):
    assert set(re.findall(r"^  (\d+) ", cli.parser().format_help(), re.MULTILINE)) == {"0", "1", "2", "130"}
    assert told("list")[0] == 0
    assert told("score", "nowhere")[0] == 2
    monkeypatch.setattr("builder.plugins.names", lambda package: 1 // 0)
    with pytest.raises(ZeroDivisionError):  # which Python shows in full, and exits with 1
        told("list")


def test_list_names_everything(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["list"]) == 0
    out = capsys.readouterr().out
    table = {kind: names.replace(" ", "").split(",") for kind, names in re.findall(r"^(\w+): +(.+)$", out, re.MULTILINE)}
    assert table["recipes"] == recipe.names()
    for kind in plugins.PACKAGES:
        assert table[kind] == (plugins.names(kind) or ["(noneyet)"])
    assert {"synthetic", "tracks", "sample"} <= set(table["sources"])
    assert cli.main(["list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {**{kind: plugins.names(kind) for kind in plugins.PACKAGES}, "recipes": recipe.names()}


def test_script_and_installed_command_are_the_same(tmp_path: Path):
    script, installed = (program("list", cwd=tmp_path, script=which) for which in (True, False))
    assert (script.returncode, script.stdout, script.stderr) == (installed.returncode, installed.stdout, installed.stderr)
    assert script.returncode == 0
    assert script.stderr == ""
    command = Path(sys.executable).with_name("humanmovevqa")
    if command.exists():
        found = subprocess.run([command, "list"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
        assert found.stdout == script.stdout
    assert humanmovevqa.main(["list"]) == 0


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path):
    command = f"{sys.executable} {ROOT / 'humanmovevqa.py'} list | true; exit ${{PIPESTATUS[0]}}"
    found = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in found.stderr
    assert "Exception ignored" not in found.stderr


# ---- mistakes ----------------------------------------------------------------------------------------------------------

MISTAKES = {
    "no such folder": (["--source", "tracks=nowhere"], r"tracks=nowhere: expected a folder.*does not exist"),
    "empty folder": (["--source", "tracks=empty"], r"tracks=empty: expected \.npz.*found none"),
    "folder that is a file": (["--source", "tracks=file"], r"tracks=file: expected a folder.*found a file"),
    "no folder given": (["--source", "tracks"], r"tracks.*folder"),
    "bad groups.json": (["--source", "tracks=grouped"], r"groups\.json: expected JSON"),
    "size that is none": (["--source", "synthetic=many"], r"synthetic=many: expected N or N@SEED"),
    "unknown source": (["--source", "nope"], r"no plugin 'nope' in sources: expected one of .*synthetic"),
    "nameless source": (["--source", "=x"], r"no plugin '' in sources"),
    "outside source": (["--source", "nosuchpackage.source"], r"nosuchpackage\.source: expected a file of builder/sources"),
    "unknown lifter": (["--lifter", "nope"], r"no plugin 'nope' in lifters: expected one of .*groundtruth"),
    "outside lifter": (["--lifter", "json"], r"no plugin 'json' in lifters"),
    "not a lifter": (["--lifter", "os.path"], r"'os\.path'.*lacks 'ABOUT'"),
    "unknown recipe": (["--recipe", "nope"], r"no recipe 'nope': expected one of .*default"),
    "recipe with a bad key": (["--recipe", "bad_key.toml"], r"bad_key\.toml: questions: unknown key 'pol'"),
    "recipe without a key": (["--recipe", "no_key.toml"], r"no_key\.toml: questions: missing key 'pool'"),
    "recipe with a bad value": (["--recipe", "bad_value.toml"], r"bad_value\.toml: questions: pool: expected int, got 'many'"),
    "recipe that is no TOML": (["--recipe", "no.toml"], r"no\.toml: not valid TOML"),
    "rank alone": (["--rank", "0"], r"--rank and --world-size belong together"),
    "world size alone": (["--world-size", "2"], r"--rank and --world-size belong together"),
    "rank too high": (["--rank", "2", "--world-size", "2"], r"--rank: expected 0 to 1 for --world-size 2, got 2"),
    "rank too low": (["--rank", "-1", "--world-size", "2"], r"--rank: expected 0 to 1"),
    "no world": (["--rank", "0", "--world-size", "0"], r"--rank: expected"),
    "no workers": (["--workers", "0"], r"--workers: expected 1 or more, got 0"),
    "no clips": (["--limit", "0"], r"--limit: expected 1 or more, got 0"),
    "negative limit": (["--limit", "-3"], r"--limit: expected 1 or more, got -3"),
    "negative seed": (["--seed", "-1"], r"--seed: expected 0 or more, got -1"),
    "work that is a file": (["--work", "file"], r"work folder file: expected a folder, found a file; pass another --work"),
    "work below a file": (["--work", "file/deep"], r"cannot write file/deep/.*Not a directory"),
    "out that is a file": (["--out", "file"], r"expected a folder for the dataset, found a file; pass another --out"),
    "out below a file": (["--out", "file/deep"], r"cannot make the folder .*file"),
    "out that is not ours": (["--out", "theirs"], r"theirs: expected no folder, an empty one or an earlier build"),
    "out that is here": (["--out", "."], r"is the current folder"),
}


@pytest.mark.parametrize("port", ["-1", "99999999"])
def test_a_port_that_cannot_be_is_one_line(told: Callable[..., tuple[int, list[str]]], port: str):
    code, lines = told("demo", "--port", port)
    assert (code, len(lines)) == (2, 1)
    assert re.search(rf"--port.*expected .*0.*{port}|--port {port}: expected a port from 0 to 65535", lines[0])


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(told: Callable[..., tuple[int, list[str]]], name: str):
    text = (recipe.FOLDER / "default.toml").read_text()
    Path("bad_key.toml").write_text(text.replace("\npool = ", "\npol = 3\npool = "))
    Path("no_key.toml").write_text(re.sub(r"\npool = .*", "", text))
    Path("bad_value.toml").write_text(re.sub(r"\npool = .*", '\npool = "many"', text))
    Path("no.toml").write_text("name = ")
    Path("file").write_text("mine")
    Path("empty").mkdir()
    Path("theirs").mkdir()
    Path("theirs/thesis.tex").write_text("mine")
    Path("grouped").mkdir()
    np.savez("grouped/a.npz", **NEUTRAL)
    Path("grouped/groups.json").write_text("{")
    before = {p.name: p.read_bytes() for p in Path().rglob("*") if p.is_file()}
    options, expected = MISTAKES[name]
    sources = [] if "--source" in options else ["--source", "synthetic=1"]
    code, lines = told(*BUILD, *sources, *options)
    assert code == 2
    assert len(lines) == 1, lines
    assert lines[0].startswith("humanmovevqa build: ")
    assert re.search(expected, lines[0]), lines[0]
    assert {p.name: p.read_bytes() for p in Path().rglob("*") if p.is_file() and p.parts[0] != "work"} == before
    assert not Path("humanmovevqa").exists()


@pytest.mark.parametrize("options", [["--bogus"], ["--workers", "two"], ["--source"], ["--rank", "x", "--world-size", "2"]])
def test_an_option_that_is_none_is_argparses_business(told: Callable[..., tuple[int, list[str]]], options: list[str]):
    code, lines = told(*BUILD, *options)
    assert code == 2
    assert lines[-1].startswith("humanmovevqa")
    assert "error: " in lines[-1]


@pytest.mark.parametrize("arguments", [[], ["dance"], ["list", "--bogus"]])
def test_a_verb_that_is_none(told: Callable[..., tuple[int, list[str]]], arguments: list[str]):
    code, lines = told(*arguments)
    assert code == 2
    assert "error: " in lines[-1]


def test_a_mistake_in_a_process_of_its_own(tmp_path: Path):
    """Also with workers, where an error has to travel."""
    (tmp_path / "file").write_text("mine")
    found = program("build", "--source", "synthetic=4", "--work", "file", "--workers", 2, "--quiet", cwd=tmp_path)
    assert found.returncode == 2
    assert found.stdout == ""
    assert found.stderr == "humanmovevqa build: work folder file: expected a folder, found a file; pass another --work\n"


def test_a_place_without_permission(told: Callable[..., tuple[int, list[str]]]):
    Path("closed").mkdir(mode=0o555)
    if os.access("closed", os.W_OK):
        pytest.skip("this user may write everywhere")
    for option in ("--out", "--work"):
        code, lines = told(*BUILD, "--source", "synthetic=1", option, "closed/deep")
        assert (code, len(lines)) == (2, 1)
        assert "closed" in lines[0]


def test_an_interrupt_is_one_line(told: Callable[..., tuple[int, list[str]]], monkeypatch: pytest.MonkeyPatch):
    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("builder.pipeline.process", stop)
    code, lines = told(*BUILD, "--source", "synthetic=1")
    assert code == 130
    assert [line for line in lines if line] == [
        "humanmovevqa build: interrupted; everything finished is kept, run the same command to go on"
    ]


# ---- bad files beside a good one ---------------------------------------------------------------------------------------


class Hostile:
    """A pickle that leaves a file behind when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (open, (str(self.path), "w"))


def changed(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in (NEUTRAL | changes).items() if value is not None}


def with_nan() -> Any:
    values = GOOD.position_m.copy()
    values[17, 2] = np.nan
    return values


def seen_in(share: float) -> Track:
    valid = np.zeros(GOOD.num_frames, dtype=bool)
    valid[:: round(1 / share)] = True
    return replace(GOOD, valid=valid)


def lying() -> Track:
    down = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    return replace(GOOD, body_to_world=np.concatenate([np.tile(down, (20, 1, 1)), GOOD.body_to_world[20:]]))


BAD: dict[str, tuple[dict[str, Any] | Track | bytes, str]] = {
    "nan": (changed(trans=with_nan()), r"field 'trans'.*first in frame 17"),
    "infinite": (changed(root_rot=np.full((9, 3, 3), np.inf)), r"field 'root_rot'.*first in frame 0"),
    "flat": (changed(trans=GOOD.position_m[:, :2]), r"field 'trans'.*\(N, 3\)"),
    "short": (changed(root_rot=GOOD.body_to_world[1:]), r"field 'root_rot'.*as many frames as 'trans'"),
    "quaternions": (changed(root_rot=np.zeros((GOOD.num_frames, 4))), r"field 'root_rot'.*\(N, 3, 3\)"),
    "scaled": (changed(root_rot=1.5 * GOOD.body_to_world), r"field 'root_rot'.*rotation"),
    "mirrored": (changed(root_rot=GOOD.body_to_world * [-1, 1, 1]), r"field 'root_rot'.*reflection"),
    "no_frames": (changed(trans=np.zeros((0, 3)), root_rot=np.zeros((0, 3, 3))), r"field 'trans'.*0 frame"),
    "one_frame": (changed(trans=np.zeros((1, 3)), root_rot=np.eye(3)[None]), r"field 'trans'.*1 frame"),
    "no_fps": (changed(fps=None), r"field 'fps'"),
    "nan_fps": (changed(fps=np.nan), r"field 'fps'.*nan"),
    "no_up": (changed(up=None), r"field 'up'"),
    "unknown": ({"xyz": np.zeros((9, 3))}, r"keys of a known form"),
    "void": (b"", r"field '\(file\)'"),
    "text": (b"not a track", r"field '\(file\)'"),
    "unseen": (seen_in(0.5), r"visible in 50 % of the frames; expected 90 % or more"),
    "last_frame_only": (replace(GOOD, valid=np.arange(GOOD.num_frames) == GOOD.num_frames - 1), r"visible|at least 2 frames"),
    "lying": (lying(), r"does not stand upright in the first frame"),
    "two words-ü": (changed(fps=0), r"field 'fps'.*0"),
}


def write_bad(folder: Path) -> dict[str, str]:
    """Every bad file, and what must be said of it by name."""
    folder.mkdir()
    for name, (what, _) in BAD.items():
        path = folder / f"{name}.npz"
        if isinstance(what, Track):
            store.write_track(path, what, Clip(name, "tracks", name, 30.0, 0, 9, 9, name, "qa_only"))
        elif isinstance(what, bytes):
            path.write_bytes(what)
        else:
            np.savez(path, **what)
    np.savez(folder / "hostile.npz", **changed(trans=np.array([Hostile(folder / "pwned")], dtype=object)))
    np.save(folder / "objects.npy", np.array([Hostile(folder / "pwned")], dtype=object))
    (folder / "pickle.npz").write_bytes(pickle.dumps(Hostile(folder / "pwned")))
    np.savez(folder / "cut.npz", **NEUTRAL)
    whole = (folder / "cut.npz").read_bytes()
    (folder / "cut.npz").write_bytes(whole[: len(whole) // 2])
    np.savez_compressed(folder / "damaged.npz", **NEUTRAL)
    whole = (folder / "damaged.npz").read_bytes()
    (folder / "damaged.npz").write_bytes(whole[:300] + b"\xff" * 60 + whole[360:])
    more = {"hostile": r"field 'trans'.*never loaded", "objects": r"never loaded", "pickle": r"never loaded"}
    more |= {"cut": r"field '\(file\)'", "damaged": r"field 'trans'"}
    (folder / "pwned").unlink(missing_ok=True)
    return {name: expected for name, (_, expected) in BAD.items()} | more


def test_bad_files_harm_nobody_else(told: Callable[..., tuple[int, list[str]]]):
    folder = Path("my tracks")
    expected = write_bad(folder)
    np.savez(folder / "good.npz", **NEUTRAL)
    options = ("build", "--no-report", "--workers", "1", "--source", f"tracks={folder}", "--source", "synthetic=1")
    code, lines = told(*options)
    assert code == 0
    assert not (folder / "pwned").exists(), "a hostile pickle was run"
    skipped = [line for line in lines if line.startswith("skipped ")]
    by_name = {re.match(r"skipped tracks/(.+?): ", line)[1]: line for line in skipped}  # type: ignore[index]
    assert len(skipped) == len(by_name)
    assert set(by_name) == set(expected)
    for name, words in expected.items():
        assert re.search(words, by_name[name]), by_name[name]
    summary = next(line for line in lines if " questions about " in line)
    assert f"2 people in humanmovevqa ({len(expected)} clips skipped)" in summary
    info = json.loads(Path("humanmovevqa/build_info.json").read_text())
    assert {s["clip_id"] for s in info["generated"]["skipped"]} == {f"tracks/{name}" for name in expected}
    assert set(info["counts"]) == {"synthetic", "tracks"}, "the good file is still asked about"
    published = b"".join(p.read_bytes() for p in Path("humanmovevqa").rglob("*") if p.is_file())
    assert str(Path.cwd()).encode() not in published
    assert b"my tracks/" not in published, "the place of a skipped file on this machine was published"

    kept = {p: p.read_bytes() for p in Path("humanmovevqa").rglob("*") if p.is_file()}
    code, lines = told(*options, "--strict", "--quiet")
    assert code == 2
    assert lines[-1].startswith(
        f"humanmovevqa build: --strict: {len(expected)} complaint(s), nothing was exported; the first: skipped tracks/"
    )
    assert {p: p.read_bytes() for p in Path("humanmovevqa").rglob("*") if p.is_file()} == kept
    assert not (folder / "pwned").exists()


def test_nothing_but_bad_files_is_an_error(told: Callable[..., tuple[int, list[str]]]):
    expected = write_bad(Path("tracks"))
    code, lines = told(*BUILD, "--source", "tracks=tracks")
    assert code == 2
    assert len(lines) == len(expected) + 1
    assert lines[-1] == f"humanmovevqa build: no track of {len(expected)} could be used; the reasons stand above"
    assert not Path("humanmovevqa").exists()


def test_a_corrected_file_is_tried_again(told: Callable[..., tuple[int, list[str]]]):
    Path("tracks").mkdir()
    np.savez("tracks/a.npz", **changed(fps=0))
    assert told(*BUILD, "--source", "tracks=tracks")[0] == 2
    np.savez("tracks/a.npz", **NEUTRAL)
    assert told(*BUILD, "--source", "tracks=tracks", "--strict") == (0, [])
    assert json.loads(Path("humanmovevqa/build_info.json").read_text())["generated"]["skipped"] == []
