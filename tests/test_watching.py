"""What a model is shown of a clip: the frames of each mode, at their true times, decoded while it thinks."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from builder import rows, video, watching
from builder.types import VideoError
from builder.watching import Footage, Shown

CLIP = Path(watching.__file__).parent / "clips" / "jumps.mp4"
ITEMS = rows.read(str(rows.SAMPLE)).items


@pytest.fixture(scope="module")
def plain() -> watching.Watch:
    return watching.look("sample/jumps", Footage(CLIP), Shown("video", 12, 20_000))


def test_frames_are_even_from_first_to_last_at_their_own_times(plain: watching.Watch):
    info = video.probe(CLIP)
    assert plain.frames is not None
    assert plain.times_s is not None
    assert len(plain.frames) == len(plain.times_s) == 12
    assert plain.times_s[0] == 0.0
    assert plain.times_s[-1] == pytest.approx(info.duration_s - 1 / info.fps, abs=1e-3)
    assert np.abs(np.diff(plain.times_s) - np.diff(plain.times_s).mean()).max() <= 1.01 / info.fps
    true, _ = video.sample_frames(CLIP, [float(plain.times_s[5])], max(plain.frames.shape[1:3]))
    assert np.array_equal(true[0], plain.frames[5])


def test_the_pixel_budget_holds_and_keeps_the_shape(plain: watching.Watch):
    info = video.probe(CLIP)
    assert plain.frames is not None
    height, width = plain.frames.shape[1:3]
    assert 0.9 * 20_000 < height * width <= 20_000
    assert width / height == pytest.approx(info.width / info.height, rel=0.02)
    whole = watching.look("sample/jumps", Footage(CLIP), Shown("video", 2, 10**8))
    assert whole.frames is not None
    assert whole.frames.shape[1:3] == (info.height, info.width)


def test_probes_change_the_order_and_nothing_else(plain: watching.Watch):
    seen = {mode: watching.look("sample/jumps", Footage(CLIP), Shown(mode, 12, 20_000)) for mode in ("reversed", "shuffled", "first-frame")}
    assert plain.frames is not None
    assert np.array_equal(seen["reversed"].frames, plain.frames[::-1])
    assert np.array_equal(seen["first-frame"].frames, plain.frames[:1])
    for mode in ("reversed", "shuffled"):
        assert np.array_equal(seen[mode].times_s, plain.times_s)
    assert not np.array_equal(seen["shuffled"].frames, plain.frames)
    assert sorted(f.tobytes() for f in seen["shuffled"].frames) == sorted(f.tobytes() for f in plain.frames)
    again = watching.ordered(plain.frames, "shuffled", "sample/jumps")
    assert np.array_equal(again, seen["shuffled"].frames)
    assert not np.array_equal(again, watching.ordered(plain.frames, "shuffled", "sample/other"))


def test_a_part_of_a_file_is_the_clip(plain: watching.Watch):
    part = watching.look("x", Footage(CLIP, 2.0, 5.0), Shown("video", 4, 20_000))
    assert part.times_s is not None
    assert part.times_s[0] == pytest.approx(0.0, abs=0.02)
    assert part.times_s[-1] == pytest.approx(3.0 - 1 / 30, abs=0.02)
    assert part.duration_s == 3.0
    true, _ = video.sample_frames(CLIP, [2.0], max(part.frames.shape[1:3]))  # type: ignore[union-attr]
    assert np.array_equal(true[0], part.frames[0])  # type: ignore[index]


def test_a_short_clip_shows_each_frame_once(tmp_path: Path):
    images = np.random.default_rng(0).integers(0, 255, (5, 32, 48, 3), dtype=np.uint8)
    video.write_clip(tmp_path / "short.mp4", images, 10.0)
    short = watching.look("x", Footage(tmp_path / "short.mp4"), Shown("video", 64))
    assert np.allclose(short.times_s, np.arange(5) / 10)


def test_a_damaged_video_is_one_line(tmp_path: Path):
    (tmp_path / "cut.mp4").write_bytes(CLIP.read_bytes()[:20_000])
    with pytest.raises(VideoError) as caught:
        watching.look("x", Footage(tmp_path / "cut.mp4"), Shown())
    assert "cut.mp4" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_clips_are_found_under_the_folder_or_in_the_package(tmp_path: Path):
    found, missing = watching.footage(ITEMS, None)
    assert missing == {}
    assert {f.path.parent.name for f in found.values()} == {"clips"}
    one = ITEMS[0]
    theirs = tmp_path / one.video_path
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"x")
    assert watching.footage([one], tmp_path)[0][one.video_id].path == theirs
    stranger = replace(one, source="emdb", video_id="emdb/x", video_path="emdb/x.mp4")
    found, missing = watching.footage([stranger], tmp_path)
    assert (found, missing) == ({}, {"emdb/x": str(tmp_path / "emdb/x.mp4")})
    cut = replace(one, start_frame=30, end_frame=60)
    where = watching.footage([cut], None)[0][one.video_id]
    assert (where.start_s, where.end_s) == (1.0, 2.0)


def test_the_next_clip_is_decoded_while_this_one_is_answered():
    begun: list[int] = []
    ready = threading.Event()

    def work(n: int) -> int:
        begun.append(n)
        if n == 1:
            ready.set()
        return n * n

    got = []
    for n, result in watching.prefetched([0, 1, 2, 3], work):
        got.append((n, result()))
        if n == 0:
            assert ready.wait(5), "clip 1 was not begun while clip 0 was shown"
            time.sleep(0.05)
            assert begun == [0, 1], "more than one clip ahead is held in memory"
    assert got == [(0, 0), (1, 1), (2, 4), (3, 9)]


def test_a_failing_decode_is_raised_where_it_is_waited_for():
    def work(n: int) -> int:
        if n == 1:
            raise VideoError("broken")
        return n

    shown = watching.prefetched([0, 1, 2], work)
    assert next(shown)[1]() == 0
    _, result = next(shown)
    with pytest.raises(VideoError, match="broken"):
        result()


def test_no_answer_leaves_with_the_question():
    q = watching.sealed(ITEMS[0].question, 1)
    assert (q.answer, q.evidence) == (-1, {})
    assert q.options == (*ITEMS[0].question.options[1:], ITEMS[0].question.options[0])
