"""Whatever befalls a build: the same bytes in the end, or one clear line; nothing torn, and nothing that was finished lost."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from test_cluster import LIFTER, quick
from test_pipeline import assert_nothing_stays, content, needs_groups, survivors

from builder import assemble, cli, lifting, pipeline, room, spool, store
from builder.types import RoomError, StoreError, TrackError

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("a", "b", "c", "d", "f")


class Case:
    """Five clips that are lifted, asked about and merged; and what an undisturbed build makes of them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.recipe = folder, quick(folder)
        (folder / "videos").mkdir()
        for name in NAMES:
            (folder / "videos" / f"{name}.mp4").write_bytes(name.encode())
        (folder / "cases_for_test").mkdir()
        (folder / "cases_for_test" / "__init__.py").touch()
        (folder / "cases_for_test" / "lifter.py").write_text(LIFTER)
        sys.path.insert(0, str(folder))
        started = time.monotonic()
        assert self.start("plain", "--workers", "2").wait(timeout=300) == 0
        self.seconds = time.monotonic() - started
        self.content = content(folder / "plain-out")
        # What is written there at once and whole: the probe as well, which is gone.
        self.files = 1 + sum(p.is_file() for name in ("plain-work", "plain-out") for p in (folder / name).rglob("*"))

    def options(self, name: str, *more: str) -> list[str]:
        """The words of a build into folders of this name."""
        options = ["build", "--source", f"folder={self.folder / 'videos'}", "--no-report", "--recipe", str(self.recipe)]
        options += [
            "--lifter",
            "cases_for_test.lifter",
            "--option",
            f"here={self.folder}",
            "--work",
            str(self.folder / f"{name}-work"),
            "--quiet",
        ]
        return [*options, "--out", str(self.folder / f"{name}-out"), *more]

    def start(self, name: str, *more: str) -> subprocess.Popen[bytes]:
        """A build in a process group of its own; what it says goes to <name>-said."""
        env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(self.folder), str(ROOT)])}
        with open(self.folder / f"{name}-said", "wb") as said:
            command = [sys.executable, str(ROOT / "humanmovevqa.py"), *self.options(name, *more)]
            return subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True, env=env)

    def here(self, name: str, *more: str) -> int:
        """The same in this process, with one worker."""
        return cli.main(self.options(name, "--workers", "1", *more))

    def finished(self, name: str) -> dict[str, tuple[int, int]]:
        """Every artefact, whole or this fails, and what would change if it were written again."""
        out = {}
        for path in sorted((self.folder / f"{name}-work").glob("*/*.json")):
            record = json.loads(path.read_bytes())
            assert record["status"] in (lifting.DONE, lifting.FAILED), path
            for file in record.get("files", ()):
                store.read_track(path.with_name(file))
            out[f"{path.parent.name}/{path.name}"] = (path.stat().st_ino, path.stat().st_mtime_ns)
        return out


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    made = Case(tmp_path_factory.mktemp("case"))
    yield made
    sys.path.remove(str(made.folder))
    for name in [name for name in sys.modules if name.startswith("cases_for_test")]:
        del sys.modules[name]


def one_line(said: str) -> bool:
    return len(said.strip().splitlines()) == 1 and "Traceback" not in said


def killed(case: Case, name: str, rounds: int, rng: random.Random) -> dict[str, int]:
    """Start a build so many times and kill -9 it, all of it or one worker, at a random moment; how often in which stage."""
    done: dict[str, tuple[int, int]] = {}
    where = {"lift and ask": 0, "merge": 0, "one worker": 0, "over before": 0}
    for _ in range(rounds):
        process = case.start(name, "--workers", "2")
        time.sleep(rng.uniform(0.1, 1.1) * case.seconds)
        workers = [pid for pid in survivors(process.pid) if pid != process.pid]
        if process.poll() is not None:
            where["over before"] += 1
        elif workers and rng.random() < 0.4:
            where["one worker"] += 1
            try:
                os.kill(rng.choice(workers), signal.SIGKILL)
            except ProcessLookupError:
                pass
        else:
            where["merge" if len(case.finished(name)) == 2 * len(NAMES) else "lift and ask"] += 1
            os.killpg(process.pid, signal.SIGKILL)
        code = process.wait(timeout=120)
        assert_nothing_stays(process)
        said = (case.folder / f"{name}-said").read_text()
        assert code in (0, -signal.SIGKILL) or (code == 2 and one_line(said)), said
        now = case.finished(name)
        assert all(now.get(artefact) == stamp for artefact, stamp in done.items()), "something finished was lost or made again"
        done = now
        out = case.folder / f"{name}-out"
        if out.exists():
            assert content(out) == case.content
        if len(done) == 2 * len(NAMES) and rng.random() < 0.7:  # begin anew, so that moments fall into every stage
            shutil.rmtree(case.folder / f"{name}-work")
            shutil.rmtree(out, ignore_errors=True)
            done = {}
    assert case.start(name, "--workers", "2").wait(timeout=300) == 0
    assert content(case.folder / f"{name}-out") == case.content
    assert not list((case.folder / f"{name}-work").rglob("*.tmp")), "what killed builds left half-written is not cleared"
    assert not list(case.folder.glob(".*")), "scratch folders of killed builds stay"
    return where


@needs_groups
@pytest.mark.parametrize("rounds", [5, pytest.param(50, marks=pytest.mark.slow)])
def test_kill_9_at_random_moments_of_all_stages(case: Case, rounds: int):
    seed = time.time_ns()
    where = killed(case, f"killed{rounds}", rounds, random.Random(seed))
    print(f"seed {seed}: {where}")
    assert sum(where.values()) == rounds


FULL = OSError(28, "No space left on device")


def failing(real: Callable[..., Any], at: int, error: OSError) -> Callable[..., Any]:
    """`real`, but for its call number `at` and all later ones."""
    calls = iter(range(1_000_000))

    def run(*args: Any, **kwargs: Any) -> Any:
        if next(calls) >= at:
            raise error
        return real(*args, **kwargs)

    return run


@pytest.mark.parametrize(
    ("where", "at"),
    [*(("fsync", n) for n in (0, 1, 2, 3, 5, -1, -3)), ("append", 0), ("mkdir", 0)],
)
def test_a_full_disk_is_one_line_and_nothing_is_lost(
    case: Case, where: str, at: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """At the n-th file: the probe, the plan, tracks and records, questions, the dataset's own (from the last); or while rows are sorted."""
    name = f"full-{where}-{at}"
    at = at if at >= 0 else case.files + at
    targets: dict[str, tuple[Any, str]] = {"fsync": (store.os, "fsync"), "append": (spool, "_append"), "mkdir": (spool.Path, "mkdir")}
    owner, attribute = targets[where]
    with monkeypatch.context() as m:
        m.setattr(owner, attribute, failing(getattr(owner, attribute), at, FULL))
        assert case.here(name) == 2
    said = capsys.readouterr().err
    assert one_line("\n".join(line for line in said.splitlines() if not line.startswith("skipped")))
    assert "No space left on device" in said
    assert not (case.folder / f"{name}-out").exists()
    before = case.finished(name)
    assert case.here(name) == 0
    after = case.finished(name)
    assert all(after[artefact] == stamp for artefact, stamp in before.items())
    assert content(case.folder / f"{name}-out") == case.content


def test_a_disk_that_is_really_full(case: Case, tmp_path: Path):
    """A file system of half a megabyte, where mounting one is allowed."""
    small = tmp_path / "small"
    small.mkdir()
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(small)], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        options = [o.replace(str(case.folder / "small-work"), str(small / "work")) for o in case.options("small", "--workers", "1")]
        env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(case.folder), str(ROOT)])}
        for command in (
            [],
            ["-c", "import sys; from builder import cli, room; room.need = lambda *_: None; sys.exit(cli.main(sys.argv[1:]))"],
        ):
            program = command or [str(ROOT / "humanmovevqa.py")]
            done = subprocess.run([sys.executable, *program, *options], capture_output=True, text=True, env=env, timeout=120)
            assert done.returncode == 2
            assert one_line(done.stderr)
            assert ("No space left" if command else "will take about") in done.stderr
        for path in (small / "work").rglob("*.json"):
            json.loads(path.read_bytes())
        assert not list((small / "work").rglob("*.tmp"))
    finally:
        subprocess.run([str(shutil.which("umount")), str(small)], check=True)


def test_a_work_folder_that_cannot_be_written_is_one_line(case: Case, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    assert case.here("ro") == 0
    capsys.readouterr()
    before = case.finished("ro")
    real = os.replace

    def read_only(source: Any, target: Any) -> None:
        if "ro-work" in str(target):
            raise OSError(30, "Read-only file system")
        real(source, target)

    monkeypatch.setattr(store.os, "replace", read_only)
    assert case.here("ro") == 2
    said = capsys.readouterr().err
    assert one_line(said)
    assert "Read-only file system" in said
    assert case.finished("ro") == before
    monkeypatch.undo()
    assert case.here("proc", "--work", "/proc/1/none") == 2
    assert one_line(capsys.readouterr().err)


def test_a_clock_that_jumps_changes_nothing(case: Case, monkeypatch: pytest.MonkeyPatch):
    rng = random.Random(4)
    monkeypatch.setattr(time, "time", lambda: rng.uniform(0, 4e9))
    monkeypatch.setattr(time, "time_ns", lambda: rng.randrange(4 * 10**18))
    assert case.here("clock", "--stage", "lift") == 0
    for path in (case.folder / "clock-work").rglob("*"):
        os.utime(path, (rng.uniform(0, 4e9),) * 2)
    before = case.finished("clock")
    assert case.here("clock") == 0
    after = case.finished("clock")
    assert all(after[artefact] == stamp for artefact, stamp in before.items())
    assert content(case.folder / "clock-out") == case.content


def test_two_runs_at_once_on_one_work_folder(case: Case):
    """The same build twice, into the same dataset folder: harmless, or one clear line of the one that came too late."""
    both = [case.start("twice", "--workers", "2") for _ in range(2)]
    codes = sorted(process.wait(timeout=300) for process in both)
    said = (case.folder / "twice-said").read_text()
    assert codes[0] == 0, said
    assert codes[1] in (0, 2), said
    assert "Traceback" not in said
    assert content(case.folder / "twice-out") == case.content
    assert len(case.finished("twice")) == 2 * len(NAMES)


def test_two_runs_with_different_recipes_on_one_work_folder(case: Case, tmp_path: Path):
    """Each asks for itself; who finds its artefacts overwritten says so, and nobody's dataset mixes both."""
    other = case.start("other", "--workers", "1", "--seed", "5")
    assert other.wait(timeout=300) == 0
    expected = {"": case.content, "5": content(case.folder / "other-out")}
    assert expected[""] != expected["5"]
    runs = {}
    for seed in expected:
        options = ["--workers", "1", "--out", str(tmp_path / f"out{seed}"), *(["--seed", seed] if seed else [])]
        runs[seed] = case.start("mixed", *options)
    for seed, process in runs.items():
        code = process.wait(timeout=300)
        assert code in (0, 2), (case.folder / "mixed-said").read_text()
        assert content(tmp_path / f"out{seed}") == expected[seed] if code == 0 else not (tmp_path / f"out{seed}").exists()
    said = (case.folder / "mixed-said").read_text()
    assert "Traceback" not in said
    case.finished("mixed")


def test_artefacts_that_change_during_a_merge_are_noticed(case: Case, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    assert case.here("changing", "--stage", "ask") == 0
    real = assemble.chosen

    def meanwhile(*args: Any) -> Any:
        made = real(*args)
        for path in (case.folder / "changing-work" / pipeline.STAGE).glob("*.json"):
            path.write_text(json.dumps({**json.loads(path.read_text()), "key": "another"}))
        return made

    monkeypatch.setattr(assemble, "chosen", meanwhile)
    assert case.here("changing") == 2
    assert "another run uses this work folder" in capsys.readouterr().err
    assert not (case.folder / "changing-out").exists()


def test_a_damaged_track_is_lifted_again(case: Case):
    assert case.here("damaged") == 0
    tracks = sorted((case.folder / "damaged-work" / "tracks").glob("*.npz"))
    tracks[0].write_bytes(tracks[0].read_bytes()[:100])
    tracks[1].unlink()
    with pytest.raises(TrackError):
        store.read_track(tracks[0])
    shutil.rmtree(case.folder / "damaged-work" / pipeline.STAGE)
    assert case.here("damaged") == 0
    assert content(case.folder / "damaged-out") == case.content


def test_what_does_not_fit_is_said_before_the_start(case: Case, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 10**6))
    assert case.here("room") == 2
    said = capsys.readouterr().err
    assert one_line(said)
    assert "this build will take about" in said
    assert "1 MB are free there" in said
    assert not (case.folder / "room-work" / "tracks").exists()


def test_errors_of_a_disk_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for number, kind in ((28, RoomError), (122, RoomError), (30, RoomError), (13, StoreError)):
        monkeypatch.setattr(store.os, "fsync", failing(os.fsync, 0, OSError(number, os.strerror(number))))
        with pytest.raises(StoreError) as caught:
            store.write_atomic(tmp_path / "x", b"1")
        assert type(caught.value) is kind
        assert list(tmp_path.iterdir()) == []
