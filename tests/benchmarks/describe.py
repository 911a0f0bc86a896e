"""How long a track takes and a build needs: `python tests/benchmarks/describe.py [N]` prints a table; nothing is asserted.

Describe and ask for a short and a long track, with and without the perturbed copies, then builds of `synthetic=N`
(default 200) in processes of their own with 1 and 2 workers: tracks per second and peak memory of all their processes.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from builder import motion, pipeline, plugins, recipe, selection  # noqa: E402
from builder.geometry import crop  # noqa: E402
from builder.performer import draw_script, perform  # noqa: E402
from builder.quantities import Measures  # noqa: E402
from builder.types import Track  # noqa: E402


def track_of(frames: int) -> Track:
    """A scripted person who moves for `frames` frames at 30 per second."""
    script = [action for number in range(5) for action in draw_script("benchmark", "track", number)]
    return crop(perform(script, 30.0, seed=0), 0, frames)


def seconds(work: Callable[[], object], repeats: int = 5) -> float:
    """The fastest of a few runs, after one that warms up."""
    work()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def measure_tracks() -> None:
    """Milliseconds per track and stage."""
    cfg = recipe.load()
    families = selection.families()

    def candidates(track: Track) -> int:
        described = motion.describe(track, cfg)
        measures = Measures(described, cfg)
        return sum(len(family.ask(described, cfg, measures)) for family in families.values())

    print(f"{'frames':>7} {'describe':>10} {'+ ask':>10} {'+ robustness':>13} {'candidates':>11} {'kept':>5}")
    for frames in (300, 1500):
        track = track_of(frames)
        stages = (partial(motion.describe, track, cfg), partial(candidates, track), partial(selection.questions_of, track, cfg))
        times = [seconds(stage) for stage in stages]
        asked, kept = candidates(track), len(selection.questions_of(track, cfg)[1])
        print(f"{frames:>7} {times[0] * 1e3:>7.1f} ms {times[1] * 1e3:>7.1f} ms {times[2] * 1e3:>10.1f} ms {asked:>11} {kept:>5}")


def memory_mb(group: int) -> float:
    """Resident memory of all processes of a process group, shared pages counted once per process; 0 without /proc."""
    pages = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[2]) == group:
                pages += int((stat.parent / "statm").read_text().split()[1])
        except (OSError, IndexError, ValueError):
            continue
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def build(count: int, workers: int) -> tuple[float, float]:
    """Seconds and peak megabytes of a build from nothing, its report left out."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(ROOT / "humanmovevqa.py"), "build", "--source", f"synthetic={count}", "--workers", str(workers)]
        command += ["--no-report", "--quiet", "--work", f"{folder}/work", "--out", f"{folder}/out"]
        started = time.perf_counter()
        process = subprocess.Popen(command, start_new_session=True)
        peak, done = 0.0, threading.Event()

        def watch() -> None:
            nonlocal peak
            while not done.wait(0.1):
                peak = max(peak, memory_mb(process.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        code = process.wait()
        elapsed = time.perf_counter() - started
        done.set()
        watcher.join()
        if code:
            raise SystemExit(f"the build failed with exit code {code}")
        return elapsed, peak


def main() -> None:
    """Print the tables."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}")
    print(f"code {pipeline.code_of('synthetic')}, {len(plugins.names('questions'))} question families\n")
    measure_tracks()
    print(f"\n{'tracks':>7} {'workers':>8} {'seconds':>9} {'tracks/s':>9} {'peak memory':>12}")
    for workers in (1, 2):
        elapsed, peak = build(count, workers)
        print(f"{count:>7} {workers:>8} {elapsed:>9.1f} {count / elapsed:>9.2f} {peak:>9.0f} MB")


if __name__ == "__main__":
    main()
