"""Lifters that are run: in their own environment, resumed, and one clear line for whatever goes wrong with them."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import fixture_lifters as files
import numpy as np
import pytest
from fixture_walk import walk

from builder import lifting, plugins, program, store
from builder.outputs import run_name
from builder.types import Clip, LiftError, NotNowError, SetupError
from builder.video import write_clip

# Stands for a tool's demo script: the same options and the same places of its output, and the fixture's file for its work.
DEMO = """
import json, os, shutil, signal, sys, time
from pathlib import Path
mode = Path("mode").read_text()
arguments = sys.argv[1:]
named = dict(zip(arguments, arguments[1:]))
video = Path(named.get("--video") or named["--input-video"])
out = Path(named["--output_root"]) / video.stem if "--output_root" in named else Path("results") / video.name.split(".")[0]
out.mkdir(parents=True, exist_ok=True)
name = FILE
if name == "results.pkl" and (out / name).exists():
    sys.exit(0)
seen = {"arguments": arguments, "cwd": os.getcwd(), "python": sys.executable, "video": len(video.read_bytes())}
seen["ours"] = [n for n in ("PYTHONPATH", "VIRTUAL_ENV") if n in os.environ]
with open("runs.jsonl", "a") as log:
    log.write(json.dumps(seen) + "\\n")
print("step 1: detect")
if mode == "memory":
    print("  File 'model.py', line 3\\ntorch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.\\n", file=sys.stderr)
    sys.exit(1)
if mode == "full":
    raise OSError(28, "No space left on device")
if mode == "fails":
    raise ValueError(f"no checkpoint at {os.getcwd()}/data/pretrain")
if mode == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if mode == "sleeps":
    Path("pid").write_text(str(os.getpid()))
    time.sleep(120)
if mode != "nothing":
    shutil.copy("fixture.bin", out / name)
    (out / "extra.txt").write_text("kept")
if mode == "half":
    os.truncate(out / name, 5000)
if mode == "late":
    raise RuntimeError("no renderer")
"""
TOOLS = {"prompthmr": ("scripts/demo_video.py", "results.pkl"), "gvhmr": ("tools/demo/demo.py", "hmr4d_results.pt")}


class Tool:
    """A tool installed in a folder of its own, with a python of its own."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.root = name, folder / name
        script, self.file = TOOLS[name]
        (self.root / script).parent.mkdir(parents=True)
        (self.root / script).write_text(f"FILE = {self.file!r}\n{DEMO}")
        known = walk()
        made = files.prompthmr(folder / "made", {1: known}) if name == "prompthmr" else files.gvhmr(folder / "made", known)
        (self.root / "fixture.bin").write_bytes(made.read_bytes())
        self.python = self.root / ".venv" / "bin" / "python"
        self.python.parent.mkdir(parents=True)
        self.python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        self.python.chmod(self.python.stat().st_mode | stat.S_IXUSR)
        self.mode("works")

    def mode(self, word: str) -> None:
        (self.root / "mode").write_text(word)

    def runs(self) -> list[dict[str, Any]]:
        log = self.root / "runs.jsonl"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def load(self, **options: str) -> Any:
        return plugins.load("lifters", self.name).load(root=str(self.root), **options)


@pytest.fixture(params=TOOLS)
def tool(request: pytest.FixtureRequest, tmp_path: Path) -> Tool:
    return Tool(request.param, tmp_path / "tools")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    path = tmp_path_factory.mktemp("videos") / "Über a walk.v2.mp4"
    write_clip(path, (np.zeros((36, 64, 3), np.uint8) for _ in range(300)), 30.0)
    return Clip("folder/Über a walk.v2", "folder", "Über a walk.v2", 0.0, 0, 0, 0, "g", "qa_only", video=path)


def test_a_tool_is_run_once_per_clip_in_its_own_environment(
    tool: Tool, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/ours")
    results = tmp_path / "results"
    for one, options in ((clip, {}), (replace(clip, clip_id="folder/another"), {"results": str(results)})):
        before = len(tool.runs())
        (track,) = tool.load(**options)(one)
        assert track.num_frames == 300
        assert track.lifter == tool.name
        assert len(tool.runs()) == before + 1
        tool.load(**options)(one)
        assert len(tool.runs()) == before + 1
    seen = tool.runs()[-1]
    assert (seen["cwd"], seen["ours"], seen["video"]) == (str(tool.root), [], Path(str(clip.video)).stat().st_size)
    folder = results / run_name(one)
    assert (folder / "extra.txt").read_text() == "kept"
    video = str(folder / f"{folder.name}.mp4")
    assert folder.name.isascii()
    if tool.name == "gvhmr":
        assert seen["arguments"] == ["--video", video, "--output_root", str(results)]
    else:
        assert seen["arguments"] == ["--input-video", video, "--no-run-viser"]
        assert not (tool.root / "results" / folder.name).exists()
    assert "step 1: detect" in (folder / f"{tool.name}.log").read_text()
    tool.load(results=str(tmp_path / "still"), camera="static")(replace(clip, clip_id="folder/third"))
    assert tool.runs()[-1]["arguments"][-1] == {"gvhmr": "-s", "prompthmr": "--static-camera"}[tool.name]


@pytest.mark.parametrize(
    ("mode", "expected", "kind"),
    [
        ("memory", "ran out of GPU memory; free the GPU, or cut the clip shorter; see {name}.log", NotNowError),
        ("full", "found no space left on the disk; free some; see {name}.log", NotNowError),
        ("fails", r"failed \(exit 1\): ValueError: no checkpoint at data/pretrain; see {name}.log", LiftError),
        ("killed", "was killed, most likely for want of memory", NotNowError),
        ("nothing", "ended well but left no whole {file}", LiftError),
        ("half", "ended well but left no whole {file}", LiftError),
    ],
)
def test_what_goes_wrong_is_one_line_per_clip(
    tool: Tool, clip: Clip, tmp_path: Path, mode: str, expected: str, kind: type[Exception]
) -> None:
    tool.mode(mode)
    lift = tool.load(results=str(tmp_path / "results"))
    with pytest.raises(kind, match=expected.format(name=tool.name, file=tool.file)) as caught:
        lift(clip)
    message = str(caught.value)
    assert message.startswith(f"{clip.clip_id}: ")
    assert "\n" not in message
    assert message.endswith("the next build tries again" if kind is NotNowError else "a clip's failure is remembered")
    assert str(tmp_path) not in message
    tool.mode("works")
    assert len(lift(clip)) == 1
    assert len(tool.runs()) == 2


def test_a_result_counts_whatever_failed_after_it(tool: Tool, clip: Clip, tmp_path: Path) -> None:
    tool.mode("late")
    assert len(tool.load(results=str(tmp_path / "results"))(clip)) == 1


def test_a_cut_off_result_is_made_again(tool: Tool, clip: Clip) -> None:
    lift = tool.load()
    lift(clip)
    (result,) = tool.root.rglob(f"{run_name(clip)}/{tool.file}")
    os.truncate(result, 3000)
    assert len(lift(clip)) == 1
    assert len(tool.runs()) == 2


def test_results_that_are_there_are_not_made(tool: Tool, clip: Clip, tmp_path: Path) -> None:
    """Even without a video; and without either the line says so."""
    tool.mode("fails")
    known = walk()
    folder = tmp_path / "results" / "mine"
    files.prompthmr(folder, {1: known}) if tool.name == "prompthmr" else files.gvhmr(folder, known)
    lift = tool.load(results=str(tmp_path / "results"))
    filmless = Clip("tracks/mine", "tracks", "mine", 30.0, 0, 300, 300, "g", "qa_only")
    assert len(lift(filmless)) == 1
    with pytest.raises(LiftError, match="tracks/other: there is no video to run"):
        lift(Clip("tracks/other", "tracks", "other", 30.0, 0, 300, 300, "g", "qa_only"))
    assert tool.runs() == []


def test_kept_in_the_work_folder(clip: Clip, tmp_path: Path) -> None:
    """Through `lifting`, as a build does it: what was lifted is not looked for again, what failed only when that is wished, and what
    could not be done then always."""
    tool = Tool("gvhmr", tmp_path)
    options = {"root": str(tool.root)}
    tool.mode("fails")
    for _ in range(2):
        with pytest.raises(LiftError, match="no checkpoint"):
            lifting.lifted(clip, "gvhmr", options, tmp_path / "work")
    assert len(tool.runs()) == 1
    tool.mode("memory")
    for _ in range(2):
        with pytest.raises(NotNowError, match="ran out of GPU memory"):
            lifting.lifted(clip, "gvhmr", options, tmp_path / "work", retry=True)
    assert len(tool.runs()) == 3
    tool.mode("works")
    (track,) = lifting.lifted(clip, "gvhmr", options, tmp_path / "work")
    assert track.clip_id == clip.clip_id
    assert store.read_track(next((tmp_path / "work").rglob("*.npz")))[0].num_frames == 300


def test_installations_are_checked_at_once(tool: Tool, tmp_path: Path) -> None:
    script = TOOLS[tool.name][0]
    load = plugins.load("lifters", tool.name).load
    with pytest.raises(SetupError, match=f"expected an installation of .*{script}, and there is no such folder"):
        load(root=tmp_path / "nowhere")
    with pytest.raises(SetupError, match="and the folder lacks it"):
        load(root=tmp_path)
    with pytest.raises(SetupError, match=r"the python of .*cannot be run"):
        load(root=tool.root, python=tool.root / script)
    tool.python.unlink()
    with pytest.raises(SetupError, match=r"has no environment of its own in it; name its interpreter as --option python=PATH"):
        load(root=tool.root)
    load(root=tool.root, python=sys.executable)


LIFT = """
import sys
from pathlib import Path
from builder import program
program.run(program.Program("GVHMR", Path(sys.argv[1]), "tools/demo/demo.py", Path(sys.executable)),
            ["--video", sys.argv[2], "--output_root", sys.argv[3]], Path(sys.argv[3]) / "x" / "gvhmr.log")
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_the_tool_ends_with_us(clip: Clip, tmp_path: Path, how: signal.Signals) -> None:
    """Ctrl-C, and even a death that nothing can be done about."""
    tool = Tool("gvhmr", tmp_path)
    tool.mode("sleeps")
    command = [sys.executable, "-c", textwrap.dedent(LIFT), str(tool.root), str(clip.video), str(tmp_path / "out")]
    ours = subprocess.Popen(command, cwd=Path(program.__file__).parents[1], stderr=subprocess.PIPE)
    for _ in range(600):
        if (tool.root / "pid").exists() and (tool.root / "pid").read_text():
            break
        time.sleep(0.05)
    pid = int((tool.root / "pid").read_text())
    assert alive(pid)
    ours.send_signal(how)
    _, said = ours.communicate(timeout=30)
    assert ours.returncode != 0
    if how == signal.SIGINT:
        assert b"KeyboardInterrupt" in said
    for _ in range(100):
        if not alive(pid):
            break
        time.sleep(0.05)
    assert not alive(pid)
