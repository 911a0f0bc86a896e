"""The line from sources to the dataset folder: the same bytes however it was run, stopped, split up or gone on with."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from builder import cli, pipeline, recipe, store
from builder.performer import Turn, Wait, Walk, draw_script, perform
from builder.types import BuildError, Clip, Track

ROOT = Path(__file__).resolve().parents[1]
PEOPLE, TRACKS = 12, 4
GROUPS = {"w0": "subject a", "w1": "subject a", "w2": "subject b"}


def start(*arguments: object, said: Path | int = subprocess.DEVNULL, **environment: str) -> subprocess.Popen[bytes]:
    """The command line in a process group of its own; what it says goes to the file `said`."""
    command = [sys.executable, str(ROOT / "humanmovevqa.py"), "build", *map(str, arguments)]
    # The blind solver's BLAS threads wait for each other where tests share the cores.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", **environment}
    with open(said if isinstance(said, Path) else os.devnull, "wb") as file:
        return subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True, env=environment)


def run(*arguments: object, said: Path | int = subprocess.DEVNULL, **environment: str) -> int:
    """The command line, to its end."""
    return start(*arguments, said=said, **environment).wait(timeout=300)


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def rows(folder: Path) -> dict[str, dict[str, Any]]:
    """Every row of a dataset folder by id, with its split."""
    out = {}
    for path in sorted(folder.glob("*/*.parquet")):
        for row in pq.read_table(path).to_pylist():
            assert row["id"] not in out
            out[row["id"]] = row | {"split": path.name.partition("-")[0]}
    return out


def stamps(work: Path) -> dict[str, tuple[int, int]]:
    """What changes when an artefact is written again."""
    return {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in (work / pipeline.STAGE).glob("*.json")}


def artefacts(work: Path) -> dict[str, dict[str, Any]]:
    """The artefacts of asking, but for how long each took."""
    return {p.name: json.loads(p.read_bytes()) | {"seconds": None} for p in (work / pipeline.STAGE).iterdir()}


def write_tracks(folder: Path, count: int = TRACKS) -> Path:
    """Neutral and canonical track files of scripted people."""
    folder.mkdir()
    for number in range(count):
        track = perform(draw_script("tracks", "pipeline", number)[:5], seed=number)
        if number % 2:
            store.write_track(folder / f"w{number}.npz", track)
        else:
            np.savez(folder / f"w{number}.npz", trans=track.position_m, root_rot=track.body_to_world, fps=track.fps, up="y")
    (folder / "groups.json").write_text(json.dumps(GROUPS))
    return folder


class Built:
    """A corpus, the options that name it, and an undisturbed build of it with one worker."""

    def __init__(self, folder: Path) -> None:
        self.tracks, self.work = write_tracks(folder / "tracks"), folder / "work"
        self.sources = ("--source", f"synthetic={PEOPLE}", "--source", f"tracks={self.tracks}", "--quiet")
        assert run(*self.sources, "--workers", 1, "--work", self.work, "--out", folder / "out", PYTHONHASHSEED="0") == 0
        self.content, self.rows = content(folder / "out"), rows(folder / "out")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return Built(tmp_path_factory.mktemp("corpus"))


def without_report(files: dict[str, bytes]) -> dict[str, Any]:
    """The files of a build as `--no-report` leaves them."""
    manifest = json.loads(files["manifest.json"])
    manifest["files"] = [entry for entry in manifest["files"] if entry["path"] != "report.html"]
    return {name: data for name, data in files.items() if name != "report.html"} | {"manifest.json": manifest}


def test_a_build_holds_what_it_should(built: Built):
    assert {"README.md", "build_info.json", "manifest.json", "report.html"} < set(built.content)
    info = json.loads(built.content["build_info.json"])
    assert info["generated"]["tracks"] == PEOPLE + TRACKS
    assert info["generated"]["skipped"] == []
    assert {row["source"] for row in built.rows.values()} == {"synthetic", "tracks"}
    assert {row["split"] for row in built.rows.values()} == {"train", "test"}
    assert not any(str(built.tracks.parent).encode() in data for data in built.content.values()), "an absolute path was published"


def test_same_bytes_for_more_workers_and_another_hash_seed(built: Built, tmp_path: Path):
    options = (*built.sources, "--workers", 3, "--work", tmp_path / "work", "--out", tmp_path / "out")
    assert run(*options, said=tmp_path / "said", PYTHONHASHSEED="1", TZ="Asia/Tokyo", COLUMNS="40") == 0
    assert (tmp_path / "said").read_text() == ""
    assert content(tmp_path / "out") == built.content
    assert artefacts(tmp_path / "work") == artefacts(built.work)


def test_same_bytes_when_sharded_and_merged(built: Built, tmp_path: Path):
    options = (*built.sources, "--workers", 1, "--work", tmp_path / "work", "--out", tmp_path / "out")
    counts = []
    for rank in (2, 0, 1):
        assert cli.main(["build", *map(str, options), "--rank", str(rank), "--world-size", "3"]) == 0
        counts.append(len(stamps(tmp_path / "work")))
        assert not (tmp_path / "out").exists()
    assert counts == [5, 11, 16]
    before = stamps(tmp_path / "work")
    assert run(*options) == 0
    assert stamps(tmp_path / "work") == before, "the merge made an artefact again"
    assert content(tmp_path / "out") == built.content


def wait_for(work: Path, number: int, process: subprocess.Popen[str]) -> None:
    """Until the work folder holds `number` artefacts, or the process is done."""
    limit = time.monotonic() + 120
    while len(stamps(work)) < number and process.poll() is None:
        assert time.monotonic() < limit, "the build makes no progress"
        time.sleep(0.01)


def survivors(group: int) -> list[int]:
    """Processes of a process group that still run."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgrp = status.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(pgrp) == group and state != "Z":
            found.append(int(status.parent.name))
    return found


def assert_nothing_stays(process: subprocess.Popen[str]) -> None:
    """No worker outlives its build.  What does is ended here, so that it cannot hang the tests."""
    limit = time.monotonic() + 15
    while (left := survivors(process.pid)) and time.monotonic() < limit:
        time.sleep(0.05)
    if left:
        os.killpg(process.pid, signal.SIGKILL)
    assert not left, f"{len(left)} processes outlive a killed build"


needs_groups = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")


@needs_groups
def test_killed_anywhere_it_goes_on_to_the_same_bytes(built: Built, tmp_path: Path):
    """kill -9 of the whole group, kill -9 of the build alone, Ctrl-C, each at a random moment; then to the end."""
    work, out, said, rng = tmp_path / "work", tmp_path / "out", tmp_path / "said", random.Random(time.time_ns())
    options = (*built.sources, "--no-report", "--work", work, "--out", out)
    done: dict[str, tuple[int, int]] = {}
    plan: tuple[tuple[Callable[[int, int], None], signal.Signals, int], ...] = (
        (os.killpg, signal.SIGKILL, 1),
        (os.kill, signal.SIGKILL, 2),
        (os.killpg, signal.SIGINT, 2),
    )
    for send, kind, workers in plan:
        process = start(*options, "--workers", workers, said=said)
        wait_for(work, len(done) + 1, process)
        time.sleep(rng.uniform(0, 0.3))
        before = stamps(work)
        if process.poll() is None:
            send(process.pid, kind)
        process.wait(timeout=60)
        assert_nothing_stays(process)
        assert kind == signal.SIGINT or process.returncode == -kind, "the build was over before it could be killed"
        if kind == signal.SIGINT and process.returncode != 0:  # 0: what was left was done meanwhile
            assert process.returncode == 130
            assert "Traceback" not in said.read_text()
            assert said.read_text().strip().endswith("run the same command to go on")
        now = stamps(work)
        assert all(now[name] == stamp for name, stamp in (done | before).items()), "a finished artefact was made again"
        done = now
        for path in (work / pipeline.STAGE).glob("*.json"):
            json.loads(path.read_bytes())
    assert run(*options, "--workers", 1) == 0
    after = stamps(work)
    assert all(after[name] == stamp for name, stamp in done.items())
    assert without_report(content(out)) == without_report(built.content)
    assert {p.name for p in tmp_path.iterdir()} == {"work", "out", "said"}, "scratch folders of a killed build stay"


@needs_groups
@pytest.mark.slow
@pytest.mark.parametrize("round_", range(4))
def test_killed_at_any_moment_of_a_whole_build(built: Built, tmp_path: Path, round_: int):
    work, out, rng = tmp_path / "work", tmp_path / "out", random.Random(time.time_ns())
    options = (*built.sources, "--workers", 2, "--work", work, "--out", out)
    for _ in range(4):
        process = start(*options)
        time.sleep(rng.uniform(0.1, 12.0))
        if process.poll() is None:
            os.killpg(process.pid, rng.choice([signal.SIGKILL, signal.SIGINT]))
        process.wait(timeout=60)
        assert_nothing_stays(process)
        if out.exists():
            assert content(out) == built.content, "a dataset folder is whole or absent"
    assert run(*options) == 0
    assert content(out) == built.content


@needs_groups
def test_ctrl_c_is_one_line_even_while_workers_start(tmp_path: Path):
    options = ("--source", "synthetic=40", "--workers", 2, "--work", tmp_path / "work", "--out", tmp_path / "out", "--quiet")
    process = start(*options, said=tmp_path / "said")
    limit = time.monotonic() + 60
    while len(survivors(process.pid)) < 3 and time.monotonic() < limit:  # the build, the resource tracker, the first worker
        time.sleep(0.02)
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGINT)
    process.wait(timeout=60)
    assert_nothing_stays(process)
    said = (tmp_path / "said").read_text().strip()
    assert said == "humanmovevqa build: interrupted; everything finished is kept, run the same command to go on"
    assert process.returncode == 130
    assert not (tmp_path / "out").exists()


def test_another_clip_changes_no_other_question(built: Built, tmp_path: Path):
    tracks, work = tmp_path / "tracks", tmp_path / "work"
    shutil.copytree(built.tracks, tracks)
    shutil.copytree(built.work, work)
    store.write_track(tracks / "new.npz", perform(draw_script("tracks", "pipeline", 99), seed=99))
    before = stamps(work)
    sources = ("--source", f"synthetic={PEOPLE + 2}", "--source", f"tracks={tracks}", "--quiet", "--no-report", "--workers", 1)
    assert run(*sources, "--work", work, "--out", tmp_path / "out") == 0
    after = stamps(work)
    assert len(after) == len(before) + 3
    assert all(after[name] == stamp for name, stamp in before.items()), "an artefact of an unchanged clip was made again"
    now = rows(tmp_path / "out")
    common = set(now) & set(built.rows)
    assert len(common) > len(built.rows) / 2
    assert {i: now[i] for i in common} == {i: built.rows[i] for i in common}
    assert {row["video_id"] for row in now.values()} - {row["video_id"] for row in built.rows.values()}


def test_limit_takes_the_first_clips(tmp_path: Path):
    options = ("--source", "synthetic=9", "--quiet", "--no-report", "--workers", 1, "--work", tmp_path / "work")
    assert run(*options, "--limit", 2, "--out", tmp_path / "out") == 0
    assert sorted(stamps(tmp_path / "work")) == ["synthetic%2Fseed-0%2F000000.json", "synthetic%2Fseed-0%2F000001.json"]
    assert json.loads((tmp_path / "out" / "build_info.json").read_text())["generated"]["tracks"] == 2


def plan(work: Path, *sources: tuple[str, str | None], **changes: Any) -> pipeline.Plan:
    return pipeline.Plan(sources, "", recipe.load(**changes), work)


def test_the_seed_deals_other_splits(tmp_path: Path):
    from builder import assemble

    clips = pipeline.clips_of(plan(tmp_path, ("synthetic", "200")))
    splits = [[assemble.split_of(c.group, recipe.load(seed=seed)) for c in clips] for seed in (0, 0, 1)]
    assert splits[0] == splits[1] != splits[2]


def test_what_it_is_made_from_makes_an_artefact_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tracks, work = write_tracks(tmp_path / "tracks", 1), tmp_path / "work"
    made: list[str] = []
    real = pipeline._person
    monkeypatch.setattr(pipeline, "_person", lambda clip, *rest: (made.append(clip.clip_id), real(clip, *rest))[1])

    def fresh(**changes: Any) -> bool:
        """Whether a build now finds its artefact finished."""
        the_plan, before = plan(work, ("tracks", str(tracks)), **changes), len(made)
        clips = pipeline.clips_of(the_plan)
        pipeline.process(clips, the_plan, 1, lambda done, total, what: None)
        people, skipped, missing = pipeline.gather(clips, the_plan)
        assert (len(people), skipped, missing) == (1, [], [])
        return len(made) == before

    assert [fresh(), fresh()] == [False, True]
    assert [fresh(seed=5), fresh(seed=5), fresh()] == [False, True, False]
    assert [fresh(robustness=replace(recipe.load().robustness, agree=14)), fresh()] == [False, False]
    elsewhere = tmp_path / "moved"
    tracks.rename(elsewhere)
    tracks = elsewhere
    assert fresh(), "a folder that was moved is the same data"
    np.savez(tracks / "w0.npz", **store.read_arrays(tracks / "w0.npz") | {"fps": 25.0})
    assert [fresh(), fresh()] == [False, True]
    (tracks / "groups.json").write_text(json.dumps({"w0": "subject z"}))
    assert [fresh(), fresh()] == [False, True]
    monkeypatch.setattr(pipeline.lifting, "code_digest", lambda *_: "other code")
    assert [fresh(), fresh()] == [False, True]
    next((work / pipeline.STAGE).iterdir()).write_text("{damaged")
    assert [fresh(), fresh()] == [False, True]


def test_a_group_named_like_the_file_wins_over_the_one_inside(tmp_path: Path):
    """`groups.json` may repeat the name that a file has by default, and still means it."""
    folder, work = tmp_path / "tracks", tmp_path / "work"
    track = perform([Walk(3.0), Turn(90.0), Walk(2.0)])
    store.write_track(folder / "w.npz", track, Clip("w", "emdb", "w", 30.0, 0, 9, 9, "inside", "qa_only"))
    the_plan = plan(work, ("tracks", str(folder)))
    groups = []
    for _ in range(2):
        clips = pipeline.clips_of(the_plan)
        pipeline.process(clips, the_plan, 1, lambda done, total, what: None)
        groups += [p.clip.group for p in pipeline.gather(clips, the_plan)[0]]
        (folder / "groups.json").write_text(json.dumps({"w": "w"}))
    assert groups == ["inside", "w"]


def test_groups_never_straddle_splits(tmp_path: Path):
    """Short recordings of few subjects, all reaching the dataset: each subject lies in one split."""
    folder = tmp_path / "tracks"
    folder.mkdir()
    groups = {f"r{number:02d}": f"subject {number % 5}" for number in range(15)}
    for number, name in enumerate(groups):
        track = perform([Walk(1.0 + number / 8), Wait(0.5), Turn(60.0 + 5 * number)], seed=number)
        np.savez(folder / f"{name}.npz", trans=track.position_m, root_rot=track.body_to_world, fps=30.0, up="y")
    (folder / "groups.json").write_text(json.dumps(groups))
    options = ("--source", f"tracks={folder}", "--quiet", "--no-report", "--workers", 1, "--work", tmp_path / "work")
    assert run(*options, "--out", tmp_path / "out") == 0
    split_of: dict[str, set[str]] = {}
    by_recording: dict[str, set[str]] = {}
    for row in rows(tmp_path / "out").values():
        split_of.setdefault(groups[row["sequence"]], set()).add(row["split"])
        by_recording.setdefault(row["sequence"], set()).add(row["split"])
    assert len(by_recording) > 10
    assert all(len(splits) == 1 for splits in split_of.values())
    assert set.union(*split_of.values()) == {"train", "test"}


def test_two_folders_with_a_file_of_the_same_name_lose_nothing_silently(tmp_path: Path):
    for name, script in (("a", [Walk(2.0)]), ("b", [Turn(90.0)])):
        store.write_track(tmp_path / name / "walk.npz", perform(script))
    with pytest.raises(BuildError, match=r"tracks/walk"):
        pipeline.clips_of(plan(tmp_path / "work", ("tracks", str(tmp_path / "a")), ("tracks", str(tmp_path / "b"))))
    same = pipeline.clips_of(plan(tmp_path / "work", ("synthetic", "3"), ("synthetic", "5")))
    assert len(same) == 5


def test_a_bug_keeps_its_traceback_and_a_mistake_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    the_plan = plan(tmp_path, ("synthetic", "2"))

    def bug(track: Track, *rest: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(pipeline.selection, "questions_of", bug)
    with pytest.raises(ZeroDivisionError):
        pipeline.process(pipeline.clips_of(the_plan), the_plan, 1, lambda done, total, what: None)
    assert pipeline.gather(pipeline.clips_of(the_plan), the_plan)[0] == []
