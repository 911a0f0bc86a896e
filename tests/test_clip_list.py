"""The list of a build's clips: sorted, each once, parts of it, and what it leaves to the disk."""

import sqlite3
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.clip_list import Clips
from builder.types import BuildError, Clip, RoomError, SourceError

ONE = Clip("z", "folder", "z", 30.0, 0, 9, 9, "z", "open", video=Path("z.mp4"), meta={"path": "somewhere", "person": 3})


def named(*names: str) -> list[Clip]:
    return [replace(ONE, clip_id=name) for name in names]


def test_clips_are_sorted_as_their_ids_and_each_there_once():
    names = ["b/2", "a", "b/10", "Ä", "\ud800", "\udcff.mp4", "é", "\U0001f600", "Z", "a"]
    clips = Clips(named(*names))
    assert [clip.clip_id for clip in clips] == sorted(set(names))
    assert list(clips) == [replace(ONE, clip_id=name) for name in sorted(set(names))]
    assert clips[-1] == clips[len(clips) - 1]


@pytest.mark.parametrize("part", [slice(None, 4), slice(1, None, 3), slice(5, 2), slice(-3, None)])
def test_a_part_is_the_part_of_a_list(part: slice):
    names = [f"{number:02d}" for number in range(20)]
    clips = Clips(named(*names))[2:]
    assert [clip.clip_id for clip in clips[part]] == names[2:][part]
    assert len(clips[part]) == len(names[2:][part])
    with pytest.raises(IndexError):
        clips[part][20]


def test_two_clips_of_one_id_must_be_the_same():
    with pytest.raises(BuildError, match=r"clip z comes from two sources"):
        Clips([ONE, replace(ONE, meta={"path": "elsewhere", "person": 3})])
    assert not Clips([])


@pytest.mark.parametrize("meta", [{"size": (3, 4)}, {"path": Path("z")}, {3: "person"}])
def test_a_source_whose_meta_would_come_back_otherwise_is_told(meta: dict[Any, Any]):
    with pytest.raises(SourceError, match=r"clip z: expected texts, numbers, lists and dicts of them"):
        Clips([replace(ONE, meta=meta)])


def test_memory_does_not_hold_the_clips():
    def many(number: int) -> Clips:
        return Clips(replace(ONE, clip_id=f"somewhere/{k:09d}") for k in range(number))

    many(3_000)  # what Python keeps for itself at first
    tracemalloc.start()
    clips = many(20_000)
    seen = sum(clip.clip_id.startswith("somewhere") for clip in clips)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seen == 20_000
    assert peak < 200_000  # 10 bytes a clip; a list has some 600


def test_a_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch):
    connect = sqlite3.connect

    def small(*args: str, **kwargs: bool) -> sqlite3.Connection:
        file = connect(*args, **kwargs)
        file.execute("PRAGMA max_page_count = 20")
        return file

    monkeypatch.setattr(sqlite3, "connect", small)
    with pytest.raises(RoomError, match=r"cannot sort the clips in /.*: database or disk is full; free some room there, or set TMPDIR"):
        Clips(replace(ONE, clip_id=f"{number}") for number in range(5_000))
