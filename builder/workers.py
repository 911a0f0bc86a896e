"""The same function over many jobs, in one process or several; a stop at any moment loses only the jobs in hand."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from itertools import islice
from multiprocessing import get_context
from typing import TypeVar

from builder.types import BuildError

Progress = Callable[[int, int, str], None]
J = TypeVar("J")
AHEAD = 32  # shares of jobs for each worker that are handed to the pool before they are wanted


def unseen(done: int, total: int, name: str) -> None:
    """Progress that nobody sees."""


def run_all(
    function: Callable[[J], object], jobs: Iterable[J], total: int, name: Callable[[J], str], workers: int, progress: Progress
) -> None:
    """Call a module's `function` with every job, for what it leaves on disk; `progress(done, total, name)` after each, in order.

    What it raises is raised here, and jobs that have not begun are dropped.  Raises BuildError when a worker process dies.
    """
    workers = min(workers, total)
    with closing(_here(function, jobs) if workers <= 1 else _elsewhere(function, jobs, total, workers)) as finished:
        for done, job in enumerate(finished, 1):
            progress(done, total, name(job))


def _here(function: Callable[[J], object], jobs: Iterable[J]) -> Generator[J]:
    for job in jobs:
        function(job)
        yield job


def _elsewhere(function: Callable[[J], object], jobs: Iterable[J], total: int, workers: int) -> Generator[J]:
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_watch_parent, initargs=(os.getpid(),))
    try:
        yield from _results(pool, function, _shares(jobs, 2 if total > 8 * workers else 1), AHEAD * workers)
    except BrokenProcessPool:
        raise BuildError("a worker process died, perhaps for want of memory; what is finished is kept: try fewer --workers") from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _shares(jobs: Iterable[J], size: int) -> Iterator[list[J]]:
    left = iter(jobs)
    while share := list(islice(left, size)):
        yield share


def _results(pool: ProcessPoolExecutor, function: Callable[[J], object], shares: Iterable[list[J]], most: int) -> Iterator[J]:
    """The jobs, in order, as they are done.  At most `most` shares wait: a million would fill the memory."""
    waiting: deque[tuple[list[J], Future[None]]] = deque()

    def first() -> list[J]:
        share, future = waiting.popleft()
        future.result()
        return share

    for share in shares:
        with _interrupts_left_to_us():
            waiting.append((share, pool.submit(_each, function, share)))
        if len(waiting) == most:
            yield from first()
    while waiting:
        yield from first()


def _each(function: Callable[[J], object], jobs: Sequence[J]) -> None:
    """In a worker: one job after the other."""
    for job in jobs:
        function(job)


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
