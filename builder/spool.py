"""What does not fit in memory, in files of a scratch folder: questions as numbers, and rows that are to be sorted.

Of either, memory holds what is waiting to be written and what is being looked at, whatever the size of the corpus.
"""

from __future__ import annotations

import shutil
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from builder import export, store
from builder.types import BuildError

# A question: the number of its outcome, the number of the person whom it is about, and its id.
ASKED = np.dtype([("outcome", "<u4"), ("person", "<u4"), ("id", "<u8")])
BLOCK = 1 << 14  # questions that are written, and looked at, together
AT_ONCE = 1 << 12  # rows that wait to be written together
ROWS = 10_000  # that are sorted together; a multiple of what is asked for at a time


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """The folder, made, and gone again afterwards.  Raises StoreError, also where there is one.

    Meanwhile Arrow takes its memory where Python does: its own allocator keeps tens of megabytes more than are in use.
    """
    import pyarrow as pa

    with _disk(folder):
        folder.mkdir(parents=True)
    usual = pa.default_memory_pool()
    try:
        pa.set_memory_pool(pa.system_memory_pool())
        yield folder
    finally:
        pa.set_memory_pool(usual)
        shutil.rmtree(folder, ignore_errors=True)


class Pool:
    """The questions of one split, added person by person and given back in that order, in blocks of whole people."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lengths: list[int] = []
        self._outcome, self._person, self._id = array("I"), array("I"), array("Q")

    def add(self, person: int, outcomes: Sequence[int], ids: Sequence[int]) -> None:
        """Add a person's questions."""
        self._outcome.extend(outcomes)
        self._person.extend([person] * len(outcomes))
        self._id.extend(ids)
        if len(self._id) >= BLOCK:
            self._write()

    def _write(self) -> None:
        block = np.empty(len(self._id), ASKED)
        for name, column in (("outcome", self._outcome), ("person", self._person), ("id", self._id)):
            block[name] = column
            del column[:]
        _append(self.file, [block[np.lexsort((block["id"], block["person"]))].tobytes()])
        self._lengths.append(len(block))

    def __len__(self) -> int:
        return sum(self._lengths) + len(self._id)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Blocks of ASKED, sorted by person and id."""
        if len(self._id):
            self._write()
        if self._lengths:
            with _disk(self.file), open(self.file, "rb") as file:
                for length in self._lengths:
                    yield np.fromfile(file, ASKED, length)


class Rows(Sequence[Any]):
    """The rows of one split sorted by id, in spools of ROWS rows, each of which is sorted when its rows are wanted.

    `borders` are the ids of the first row of every spool but the first, as numbers.
    """

    def __init__(self, name: Path, borders: NDArray[np.uint64], length: int) -> None:
        self.borders, self.length = borders.tolist(), length
        self.files = [name.with_name(f"{name.name}-{number:05d}.rows") for number in range(len(borders) + 1)]
        self._open: tuple[int, Any] = (-1, None)

    def __len__(self) -> int:
        return self.length

    def file(self, question_id: int) -> Path:
        """Where the row of a question belongs."""
        return self.files[bisect_right(self.borders, question_id)]

    def __getitem__(self, index: Any) -> Any:
        """A slice within one spool, as a `pyarrow.Table`, or one row."""
        if not isinstance(index, slice):
            return self[index : index + 1].to_pylist()[0]
        start, stop, _ = index.indices(len(self))
        number = start // ROWS
        if self._open[0] != number:
            self._open = (-1, None)  # before there is another
            self._open = (number, _sorted(self.files[number]))
        return self._open[1][start - number * ROWS : stop - number * ROWS]


def _sorted(file: Path) -> Any:
    """The rows of a spool sorted by id, as a `pyarrow.Table`."""
    import pyarrow as pa

    schema = export.arrow_schema()
    with _disk(file), pa.memory_map(str(file)) as source:
        messages = pa.ipc.MessageReader.open_stream(source)
        table = pa.Table.from_batches([pa.ipc.read_record_batch(message, schema) for message in messages], schema)
    return table.combine_chunks().sort_by("id")


@contextmanager
def writer() -> Iterator[_Writer]:
    """What rows are given to for their spools; all are written in the end."""
    out = _Writer()
    yield out
    out.write()


class _Writer:
    def __init__(self) -> None:
        self._waiting: list[tuple[Path, dict[str, Any]]] = []

    def add(self, file: Path, row: dict[str, Any]) -> None:
        """Add a row to a spool."""
        self._waiting.append((file, row))
        if len(self._waiting) >= AT_ONCE:
            self.write()

    def write(self) -> None:
        """Append what waits: spools are opened for each lot, because there may be more of them than files may be open."""
        self._waiting.sort(key=lambda one: one[0].name)
        table = export.table([row for _, row in self._waiting])
        start = 0
        for file, own in groupby(file for file, _ in self._waiting):
            length = sum(1 for _ in own)
            _append(file, (batch.serialize() for batch in table.slice(start, length).to_batches()))
            start += length
        self._waiting.clear()


def number_of(question_id: str) -> int:
    """An id as a number that sorts as the id does.  Raises BuildError for one that is not 16 hex digits."""
    try:
        if len(question_id) == 16:
            return int(question_id, 16)
    except ValueError:
        pass
    raise BuildError(f"question {question_id!r}: expected an id of 16 hex digits, as builder/families.py gives")


def _append(file: Path, parts: Iterable[Any]) -> None:
    with _disk(file), open(file, "ab") as spool:
        spool.writelines(parts)


@contextmanager
def _disk(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise store.trouble(error, f"cannot sort what was asked in {place}") from error
