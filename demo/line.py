"""Who is served now and who waits, in the order in which they came; how many are before one is said on the page."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from demo.sandbox import Refused

LOOK_S = 0.3  # how often one who waits looks up


class Line:
    """A line of at most `longest` who wait, before a place that serves `at_once`.  `full`: what one hears for whom there is no room."""

    def __init__(self, longest: int, full: str, at_once: int = 1) -> None:
        self.longest, self.full, self.at_once = longest, full, at_once
        self._lock, self._numbers = threading.Lock(), itertools.count()
        self._standing: list[int] = []

    @contextmanager
    def ticket(self) -> Iterator[Callable[[], int]]:
        """A place in the line until the block ends; calling it gives how many are before.  Raises Refused when the line is full."""
        with self._lock:
            if len(self._standing) >= self.longest + self.at_once:
                raise Refused(self.full)
            number = next(self._numbers)
            self._standing.append(number)
        try:
            yield lambda: max(0, self._standing.index(number) + 1 - self.at_once)
        finally:
            with self._lock:
                self._standing.remove(number)


def waited(before: Callable[[], int]) -> Iterator[int]:
    """How many are before, again and again, until it is one's turn."""
    while ahead := before():
        yield ahead
        time.sleep(LOOK_S)
