"""What a person at a terminal sees while they wait."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def bar(title: str, total: int, quiet: bool) -> Iterator[Callable[[int, int, str], None]]:
    """A progress function (done, total, what): a bar on a terminal, a line now and then elsewhere, nothing when quiet."""
    if quiet:
        yield lambda done, total, what: None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as progress:
            task = progress.add_task(title, total=total)
            yield lambda done, total, what: progress.update(task, completed=done)
    else:
        step = max(1, total // 10)

        def line(done: int, total: int, what: str) -> None:
            if done % step == 0 or done == total:
                print(f"{title}: {done}/{total}", file=sys.stderr)

        yield line
