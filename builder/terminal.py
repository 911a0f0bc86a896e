"""What a person at a terminal sees: help that can be pasted, and what is going on while they wait (in a log, a line a minute)."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

FIRST_S = 20.0  # a log hears nothing of what is done within this time,
EVERY_S = 60.0  # and of everything else this often


@contextmanager
def bar(title: str, total: int, quiet: bool) -> Iterator[Callable[[int, int, str], None]]:
    """A progress function (done, total, what): a bar on a terminal, a line a minute elsewhere, nothing when quiet."""
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
        due = time.monotonic() + FIRST_S

        def line(done: int, total: int, what: str) -> None:
            nonlocal due
            if time.monotonic() >= due:
                due = time.monotonic() + EVERY_S
                print(f"{title}: {done}/{total}", file=sys.stderr, flush=True)

        yield line


@contextmanager
def busy(title: str, quiet: bool) -> Iterator[None]:
    """While one thing of unknown length is done: its name and the time it has taken on a terminal, nothing elsewhere or when quiet."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    with Progress(SpinnerColumn(), TextColumn(title), TimeElapsedColumn(), console=Console(stderr=True), transient=True) as progress:
        progress.add_task(title, total=None)
        yield


class Help(argparse.HelpFormatter):
    """Help whose paragraphs are kept apart, and whose commands (lines that begin with the program's name) can be pasted."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = []
        for paragraph in text.strip().split("\n\n"):
            if all(line.startswith(("  ", "humanmovevqa ", "example:", "examples:", "exit codes:")) for line in paragraph.splitlines()):
                lines = [_pasted(line, width) if line.startswith("humanmovevqa ") else line for line in paragraph.splitlines()]
                paragraphs.append("\n".join(lines))
            else:
                paragraphs.append(super()._fill_text(paragraph, width, indent))
        return "\n\n".join(paragraphs)


def _pasted(command: str, width: int) -> str:
    """A command cut where its options begin, so that it fits and still runs."""
    lines: list[str] = []
    for part in command.replace(" --", "\n--").split("\n"):
        if lines and len(lines[-1]) + 1 + len(part) <= width - 2:
            lines[-1] += f" {part}"
        else:
            lines.append(f"    {part}" if lines else f"  {part}")
    return " \\\n".join(lines)
