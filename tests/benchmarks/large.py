"""A dataset of many scripted people, built step by step so that it can be stopped and gone on with: hours, memory, rows, bytes.

python tests/benchmarks/large.py [PEOPLE]               # below work/benchmarks/large; `python tests/evidence.py scale` is of 100,000

Every step is a command of its own, and a finished one is never run again.  A step that was killed counts with the time it had.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FIRST = 1_000  # people after which memory is looked at for the first time
STEPS = 2  # asking is done in so many, each of all people before it and a share more
BEAT_S = 20.0
WORKERS = 2


def large(people: int, scratch: Path) -> dict[str, Any]:
    """Ask about `people`, merge the first 1,000 and then all; everything is kept in the folder `scratch`.

    `hours` of wall and `cpu_hours` of all processes (of steps that ended), `peak_mb` of the largest process of each stage after the
    first people and at the end, `out` the dataset.  Raises SystemExit when a step fails.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    first = min(FIRST, people)
    shares = sorted({first, *(people * k // STEPS for k in range(1, STEPS + 1))} - set(range(first)))
    log = Log(scratch)
    for count in shares:
        log.step("ask", count, ["--stage", "ask"])
    for count in sorted({first, people}):
        log.step("merge", count, ["--no-report", "--out", str(scratch / f"out-{count}")])
    peaks = {stage: {"first": log.peak_mb(stage, first), "last": log.peak_mb(stage, people)} for stage in ("ask", "merge")}
    whole = [one for one in log.lines() if not (one["stage"] == "merge" and one["clips"] < people)]
    return {
        "hours": {stage: round(sum(one["seconds"] for one in whole if one["stage"] == stage) / 3600, 3) for stage in ("ask", "merge")},
        "cpu_hours": round(sum(one.get("cpu_s", 0.0) for one in whole) / 3600, 3),
        "stopped": sum(one["code"] != 0 for one in whole),
        "peak_mb": peaks,
        "out": scratch / f"out-{people}",
    }


class Log:
    """What every step took, in `runs.jsonl` of a folder; a file beside it says how long the one in hand has been running."""

    def __init__(self, scratch: Path) -> None:
        self.scratch, self.file, self.beat = scratch, scratch / "runs.jsonl", scratch / "running.json"
        if self.beat.exists():  # of a process that was killed
            self._add(json.loads(self.beat.read_text()))

    def lines(self) -> list[dict[str, Any]]:
        """Every attempt so far."""
        return [json.loads(line) for line in self.file.read_text().splitlines()] if self.file.exists() else []

    def peak_mb(self, stage: str, clips: int) -> int:
        """The most memory that one process of a stage had, for so many people or fewer."""
        return int(max(one["peak_mb"] for one in self.lines() if one["stage"] == stage and one["clips"] <= clips and not one["code"]))

    def step(self, stage: str, clips: int, arguments: list[str]) -> None:
        """`humanmovevqa build` of so many people, unless it is done.  Raises SystemExit when it fails."""
        if any((one["stage"], one["clips"], one["code"]) == (stage, clips, 0) for one in self.lines()):
            return
        command = [sys.executable, str(ROOT / "humanmovevqa.py"), "build", "--source", f"synthetic={clips}", "--workers", str(WORKERS)]
        command += ["--work", str(self.scratch / "work"), *arguments]
        started = time.monotonic()
        child = subprocess.Popen(command, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"})
        line: dict[str, Any] = {"stage": stage, "clips": clips, "code": -9}
        while True:
            line["seconds"] = round(time.monotonic() - started, 1)
            self.beat.write_text(json.dumps(line))
            ended, status, usage = os.wait4(child.pid, os.WNOHANG)
            if ended:
                break
            time.sleep(min(BEAT_S, 0.2 + line["seconds"] / 20))
        line |= {"code": os.waitstatus_to_exitcode(status), "seconds": round(time.monotonic() - started, 1)}
        self._add(line | {"cpu_s": round(usage.ru_utime + usage.ru_stime, 1), "peak_mb": usage.ru_maxrss // 1024})
        if line["code"]:
            raise SystemExit(f"{' '.join(command)} ended with {line['code']}")

    def _add(self, line: dict[str, Any]) -> None:
        with open(self.file, "a") as file:
            file.write(json.dumps(line) + "\n")
        self.beat.unlink(missing_ok=True)


if __name__ == "__main__":
    print(json.dumps(large(int((sys.argv[1:] or ["2000"])[0]), ROOT / "work" / "benchmarks" / "large"), default=str, indent=1))
