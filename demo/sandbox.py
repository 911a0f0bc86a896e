"""Runs `demo.worker` on what a visitor brought: another process, bounded in time and memory, without our secrets.

A job is a JSON object in, lines of JSON out: {"stage": ..., "share": ...} along the way and at the end {"done": ...} or {"refused": text}.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from builder.types import HumanMoveError
from demo.limits import BOUNDS

ROOT = Path(__file__).resolve().parent.parent
HANDED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "XDG_CACHE_HOME", "HUMANMOVEVQA_WEIGHTS", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
QUIET = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "2", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONDONTWRITEBYTECODE": "1"}


class Refused(HumanMoveError):
    """What a visitor brought cannot be used; the message is the line that they see."""


def steps(job: str, **given: Any) -> Iterator[Mapping[str, Any]]:
    """Messages of a job as they come, the last one with "done".  Raises Refused.  Closing the iterator stops the process."""
    bound = BOUNDS[job]
    environment = {k: os.environ[k] for k in HANDED_ON if k in os.environ} | QUIET
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH", "")])])
    process = subprocess.Popen(
        [sys.executable, "-m", "demo.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=given.get("out") or "/",
        env=environment,
        start_new_session=True,
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    lines: queue.Queue[str | None] = queue.Queue()

    def pump() -> None:
        assert process.stdout
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    tail: list[str] = []

    def listen() -> None:
        assert process.stderr
        for line in process.stderr:
            tail[:] = [*tail[-20:], line]

    threads = [threading.Thread(target=f, daemon=True) for f in (pump, listen)]
    try:
        with suppress(BrokenPipeError):
            process.stdin.write(
                json.dumps({"job": job, "bound": bound, **{k: str(v) if isinstance(v, Path) else v for k, v in given.items()}})
            )
            process.stdin.close()
        for thread in threads:
            thread.start()
        until = time.monotonic() + bound.wall_s
        while True:
            try:
                line = lines.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                raise Refused(
                    f"It took longer than {bound.wall_s:g} seconds, which is all that one clip gets here; try a shorter one."
                ) from None
            if line is None:
                break
            if not line.startswith("{"):
                continue  # a library that prints
            message = json.loads(line)
            if "refused" in message:
                raise Refused(message["refused"])
            yield message
            if "done" in message:
                return
        process.wait()
        print(f"demo worker {job} ended with {process.returncode}: {''.join(tail[-8:])}", file=sys.stderr)
        raise Refused("This file needs more memory or time than one clip gets here, or it is damaged; try a shorter or smaller one.")
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for thread in threads:
            if thread.ident is not None:
                thread.join(5)
        process.stdout.close()
        process.stderr.close()


def result(job: str, **given: Any) -> Any:
    """What a job gives in the end.  Raises Refused."""
    return next(m["done"] for m in steps(job, **given) if "done" in m)
