"""The clips of a build, in order and each once, in a temporary file: of a million of them memory holds the one that is looked at."""

from __future__ import annotations

import copy
import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import gettempdir
from typing import overload

from builder.types import BuildError, Clip, RoomError, SourceError


class Clips(Sequence[Clip]):
    """Clips sorted by id; a part of them (`clips[rank::world_size]`) reads the same file.

    The file is SQLite's own, has no name, and is gone with the process.  Raises SourceError for a clip whose `meta` is not the same after
    it was JSON, BuildError for two clips of one id that differ, RoomError when the disk for temporary files takes nothing more.
    """

    def __init__(self, every: Iterable[Clip]) -> None:
        self._file = sqlite3.connect("", check_same_thread=False)
        try:
            self._file.execute("PRAGMA journal_mode = OFF")
            self._file.execute("CREATE TABLE found (id BLOB PRIMARY KEY, clip BLOB) WITHOUT ROWID")
            for clip in every:
                self._add(clip)
            self._file.execute("CREATE TABLE clips AS SELECT clip FROM found ORDER BY id")
            self._file.execute("DROP TABLE found")
            (number,) = self._file.execute("SELECT count(*) FROM clips").fetchone()
        except sqlite3.Error as error:
            raise RoomError(f"cannot sort the clips in {gettempdir()}: {error}; free some room there, or set TMPDIR") from error
        self._rows = range(1, number + 1)

    def _add(self, clip: Clip) -> None:
        name = clip.clip_id.encode("utf-8", "surrogatepass")  # bytes that sort as the ids do
        if self._file.execute("INSERT OR IGNORE INTO found VALUES (?, ?)", (name, _text(clip))).rowcount:
            return
        (same,) = self._file.execute("SELECT clip FROM found WHERE id = ?", (name,)).fetchone()
        if _clip(same) != clip:
            raise BuildError(f"clip {clip.clip_id} comes from two sources and they differ; rename one, a clip is named by its id")

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Clip: ...

    @overload
    def __getitem__(self, index: slice) -> Clips: ...

    def __getitem__(self, index: int | slice) -> Clip | Clips:
        if isinstance(index, slice):
            part = copy.copy(self)
            part._rows = self._rows[index]
            return part
        (found,) = self._file.execute("SELECT clip FROM clips WHERE rowid = ?", (self._rows[index],)).fetchone()
        return _clip(found)


def _text(clip: Clip) -> str:
    """A clip as JSON.  Raises SourceError for one that would not come back the same."""
    try:
        text = json.dumps(asdict(clip) | {"video": clip.video and str(clip.video)})
        if _clip(text) == clip:
            return text
        wrong = "tuples, or keys that are no texts"
    except (TypeError, ValueError) as error:
        wrong = str(error)
    raise SourceError(f"clip {clip.clip_id}: expected texts, numbers, lists and dicts of them, such as JSON keeps, in `meta`; got {wrong}")


def _clip(text: str) -> Clip:
    known = json.loads(text)
    return Clip(**known | {"video": known["video"] and Path(known["video"])})
