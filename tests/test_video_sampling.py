"""Single frames by their times: the nearest one, by both decoders, on generated and on real clips."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixture_video import HEIGHT, WIDTH, assert_routes_agree, encode, number, numbers

from builder.types import VideoError
from builder.video import Limits, probe, read_frames, sample_frames, shot_cuts

REAL = {"pose2sim_cam01.mp4": (100, 60), "pose2sim_cam03.mp4": (100, 60), "sports2d_demo.mp4": (230, 30)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("video")


TIMES = [2.9, 0.1, 0.1, 1.26, 0.0, 7.0, -3.0, 0.76]
NEAREST = [87, 3, 3, 38, 0, 89, 0, 23]


@pytest.mark.parametrize("with_decord", [True, False])
def test_sampling(constant: Path, monkeypatch: pytest.MonkeyPatch, with_decord: bool):
    if with_decord:
        pytest.importorskip("decord", reason="decord is not installed")
        monkeypatch.setattr("builder.video.frames._decode", lambda *_: pytest.fail("decord was not used"))
    else:
        monkeypatch.setitem(sys.modules, "decord", None)
    images, times = sample_frames(constant, TIMES)
    assert [number(i) for i in images] == NEAREST
    assert times == pytest.approx([n / 30 for n in NEAREST])
    assert (images.shape, images.dtype) == ((8, HEIGHT, WIDTH, 3), np.uint8)


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"g": "250", "bf": "3"}, (160, 96)),
        ({"g": "12", "bf": "3"}, (162, 98)),
        ({"g": "12", "colorspace": "bt709", "color_range": "tv"}, (96, 160)),
        ({"g": "12", "color_range": "pc"}, (160, 96)),
    ],
    ids=["one key frame", "many key frames", "bt709", "full range"],
)
def test_decord_gives_the_same_frames(folder: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, str], size: tuple[int, int]):
    path = encode(folder / "plain.mp4", range(60), size=size, **options)
    assert_routes_agree(path, [1.9, 0.1, 1.2, 0.4, 0.43, 0.0], monkeypatch, used=True)


@pytest.mark.parametrize("name", ["edited", "varying"])
def test_decord_is_not_used_where_it_errs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, name: str):
    assert_routes_agree(request.getfixturevalue(name), [0.3, 0.0, 1.2], monkeypatch, used=False)


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", {"g": "12", "bf": "3", "x264-params": "open-gop=1"}),
        ("libx264", {"g": "30", "bf": "0", "x264-params": "intra-refresh=1"}),
        ("libx265", {"x265-params": "log-level=none:keyint=12:open-gop=1:pools=1"}),
    ],
)
def test_decord_is_not_used_where_key_frames_do_not_stand_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, codec: str, options: dict[str, str]
):
    path = encode(folder / "open.mp4", range(60), codec=codec, **options)
    assert_routes_agree(path, [1.2, 0.4, 0.43], monkeypatch, used=False)


@pytest.mark.parametrize("times_s", [[], [float("nan")], [[0.1]]], ids=str)
def test_sampling_wants_times(constant: Path, times_s: Any):
    with pytest.raises(VideoError, match="expected one or more times"):
        sample_frames(constant, times_s)


def test_sampling_small(edited: Path):
    images, _ = sample_frames(edited, [0.5, 0.2], longest_side=80)
    assert ([number(i) for i in images], images.shape) == ([60, 51], (2, 48, 80, 3))


def test_picture_that_changes_size_is_scaled_to_the_first(folder: Path):
    small = encode(folder / "small.ts", range(20), size=(80, 48), bf="0")
    large = encode(folder / "large.ts", range(20, 40), bf="0")
    path = folder / "both.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    frames = list(read_frames(path))
    assert {f.image.shape for f in frames} == {(48, 80, 3)}
    assert [number(f.image) for f in frames] == [*range(20), *range(20)]


def test_long_videos_are_judged_by_their_head(constant: Path, edited: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("builder.video.container.SCANNED_PACKETS", 25)
    info = probe(constant)
    assert (info.num_frames, info.duration_s, info.constant_rate) == (90, pytest.approx(3), True)
    assert (probe(edited).num_frames, probe(edited).duration_s) == (None, pytest.approx(1.5))
    with pytest.raises(VideoError, match="90 frames; at most 60"):
        probe(constant, Limits(frames=60))
    assert numbers(constant) == list(range(90))


@pytest.mark.parametrize("name", REAL)
def test_real_clips(test_data: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    path = test_data / "videos" / name
    if not path.is_file():
        pytest.skip(f"no {path}")
    count, fps = REAL[name]
    info = probe(path)
    assert (info.num_frames, info.fps, info.constant_rate) == (count, pytest.approx(fps), True)
    frames = list(read_frames(path, longest_side=64))
    assert [f.index for f in frames] == list(range(count))
    assert shot_cuts(frames) == []
    images, times = sample_frames(path, [0.5, 0.1])
    monkeypatch.setitem(sys.modules, "decord", None)
    again, _ = sample_frames(path, [0.5, 0.1])
    np.testing.assert_array_equal(images, again)
    assert times == pytest.approx([0.5, 0.1])
