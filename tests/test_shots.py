"""A long video in stretches: how it is cut, what is remembered of it, and what clips a folder of such videos has."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from builder import lifting, plugins, schema
from builder.sources import folder, sample
from builder.types import SourceError
from builder.video import read_frames, shots, stretches, write_clip

FPS = 10


def scene(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    image = np.full((72, 128, 3), rng.integers(60, 190, 3), np.uint8)
    for _ in range(25):
        y, x = rng.integers(0, 60), rng.integers(0, 110)
        image[y : y + rng.integers(4, 30), x : x + rng.integers(4, 40)] = rng.integers(0, 256, 3)
    return image


def film(path: Path, *seconds: float) -> Path:
    """A video whose shots, each a scene of its own, last so long."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_clip(path, (scene(k) for k, s in enumerate(seconds) for _ in range(round(s * FPS))), FPS)
    return path


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place of the test's own for what is remembered."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(folder, "cache", lambda: tmp_path / "cache" / "shots")
    return tmp_path / "cache" / "shots"


@pytest.mark.parametrize("length", [20, 299, 300, 301, 450, 900, 901, 18_001])
def test_parts_cover_a_shot_evenly(length: int) -> None:
    parts = list(shots.parted(7, 7 + length, FPS))
    assert (parts[0][0], parts[-1][1]) == (7, 7 + length)
    assert all(a[1] == b[0] for a, b in pairwise(parts))
    sizes = {end - start for start, end in parts}
    assert max(sizes) <= shots.LONGEST_S * FPS
    assert max(sizes) - min(sizes) <= 1
    assert len(parts) == 1 or min(sizes) >= 0.5 * shots.LONGEST_S * FPS


def test_a_long_video_is_cut_at_its_cuts_and_else_evenly(tmp_path: Path) -> None:
    video = film(tmp_path / "long.mp4", 12, 1, 45, 8)
    assert [(s.start, s.end) for s in stretches(video)] == [(0, 120), (130, 355), (355, 580), (580, 660)]
    assert {round(s.fps, 6) for s in stretches(video)} == {FPS}
    assert stretches(film(tmp_path / "short.mp4", 10, 15)) == []


def test_the_shots_are_remembered_until_the_video_changes(tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = film(tmp_path / "long.mp4", 20, 15)
    first = stretches(video, memory=kept)
    (note,) = kept.iterdir()

    def never(*_: object, **__: object) -> object:
        raise AssertionError("watched again")

    with monkeypatch.context() as patch:
        patch.setattr(shots, "read_frames", never)
        assert stretches(video, memory=kept) == first
        film(video, 31)
        with pytest.raises(AssertionError, match="watched again"):
            stretches(video, memory=kept)
    for wrong in ("", "{}", "[1, [], 10]", '[1, [0, "x"], 10]', "[0, [0, 310], 10]", "[1, [5, 2], 10]", "[1, [0, 310], -1]", "[1, 2, 3]"):
        note.write_text(wrong)
        assert shots._recalled(note) is None, wrong
    (tmp_path / "file").touch()
    assert stretches(video, memory=tmp_path / "file"), "where nothing can be remembered it works all the same"


def test_a_folder_names_the_parts_of_a_long_video(tmp_path: Path, kept: Path) -> None:
    root = tmp_path / "videos"
    film(root / "a" / "long.mp4", 20, 1, 30)
    film(root / "short.mp4", 5, 5)
    film(root / "snippets.mp4", *[1.5] * 22)
    found = list(folder.clips(root))
    assert [(c.clip_id, c.start_frame, c.end_frame, c.num_frames) for c in found] == [
        ("folder/a/long.000000-000200", 0, 200, 200),
        ("folder/a/long.000210-000510", 210, 510, 300),
        ("folder/short", 0, 0, 0),
        ("folder/snippets", 0, 0, 0),  # no shot is long enough: for the lifter to refuse as a montage
    ]
    assert {c.group for c in found[:2]} == {c.sequence for c in found[:2]} == {"a/long"}
    assert len({schema.video_path(c) for c in found}) == 4
    assert list(folder.clips(root)) == found
    assert [c.clip_id for c in folder.clips(root / "a" / "long.mp4")] == ["folder/long.000000-000200", "folder/long.000210-000510"]
    assert folder.whole(root / "a" / "long.mp4").clip_id == "folder/long"
    film(root / "a" / "long.000000-000200.mp4", 3)
    with pytest.raises(SourceError, match=r"named like a part of .*rename one"):
        folder.clips(root)


def test_the_default_lifter_keeps_to_the_part(tmp_path: Path, kept: Path, networks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clip with another before it: the second part is the first minute's own person, at the video's own frame numbers."""
    (source,) = [clip for clip in sample.clips() if clip.sequence == "side_steps"]
    assert source.video is not None
    walk = [f.image for f in read_frames(source.video, longest_side=480)][:75]
    blank = np.full_like(walk[0], 90)
    write_clip(tmp_path / "two.mp4", [blank] * 60 + walk, 30)
    monkeypatch.setattr(shots, "LONGEST_S", 3.0)
    first, second = folder.clips(tmp_path / "two.mp4")
    assert (first.end_frame, second.start_frame, second.end_frame) == (60, 60, 135)
    lift = plugins.load("lifters", lifting.DEFAULT).load(weights=networks)
    (track,) = lift(second)
    assert (track.frame_ids[0], track.frame_ids[-1]) == (60, 134)
    assert track.clip_id == second.clip_id
