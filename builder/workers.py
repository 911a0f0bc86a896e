"""The same function over many jobs, in one process or several; a stop at any moment loses only the jobs in hand."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TypeVar

from builder.types import BuildError

Progress = Callable[[int, int, str], None]
J = TypeVar("J")
AHEAD = 32  # shares of jobs for each worker that are handed to the pool before they are wanted


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
    size = 2 if len(jobs) > 8 * workers else 1
    done = 0
    try:
        for count in _results(pool, function, (jobs[at : at + size] for at in range(0, len(jobs), size)), AHEAD * workers):
            for name in names[done : done + count]:
                done += 1
                progress(done, len(jobs), name)
    except BrokenProcessPool:
        raise BuildError("a worker process died, perhaps for want of memory; what is finished is kept: try fewer --workers") from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _results(pool: ProcessPoolExecutor, function: Callable[[J], object], shares: Iterable[Sequence[J]], most: int) -> Iterator[int]:
    """How many jobs each share had, in order, as they are done.  At most `most` shares wait: a million would fill the memory."""
    waiting: deque[Future[int]] = deque()
    for share in shares:
        with _interrupts_left_to_us():
            waiting.append(pool.submit(_each, function, share))
        if len(waiting) == most:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _each(function: Callable[[J], object], jobs: Sequence[J]) -> int:
    """In a worker: one job after the other; how many there were."""
    for job in jobs:
        function(job)
    return len(jobs)


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
