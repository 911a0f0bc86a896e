"""The same function over many jobs, in one process or several; a stop at any moment loses only the jobs in hand."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TypeVar

from builder.types import BuildError

Progress = Callable[[int, int, str], None]
J = TypeVar("J")


def run_all(function: Callable[[J], object], jobs: Sequence[J], names: Sequence[str], workers: int, progress: Progress) -> None:
    """Call a module's `function` with every job, for what it leaves on disk; `progress(done, total, name)` after each, in order.

    What it raises is raised here, and jobs that have not begun are dropped.  Raises BuildError when a worker process dies.
    """
    if workers <= 1 or len(jobs) < 2:
        for done, (job, name) in enumerate(zip(jobs, names, strict=True), 1):
            function(job)
            progress(done, len(jobs), name)
        return
    pool = ProcessPoolExecutor(min(workers, len(jobs)), mp_context=get_context("spawn"), initializer=_watch_parent, initargs=(os.getpid(),))
    try:
        with _interrupts_left_to_us():
            results = pool.map(function, jobs, chunksize=2 if len(jobs) > 8 * workers else 1)
        for done, (name, _) in enumerate(zip(names, results, strict=True), 1):
            progress(done, len(jobs), name)
    except BrokenProcessPool:
        raise BuildError("a worker process died, perhaps for want of memory; what is finished is kept: try fewer --workers") from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _interrupts_left_to_us() -> Iterator[None]:
    """Worker processes started inside never see Ctrl-C: a job in hand is finished and this process says what happened.

    The signal is held back, which children inherit, and not ignored: one that comes while they start is delivered afterwards.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _watch_parent(parent: int) -> None:
    """In a worker: leave as soon as the process that wants the results is gone, however it died."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
