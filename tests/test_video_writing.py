"""Clips that are written, and the cuts between shots that are found."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixture_video import assert_routes_agree, av, numbered, numbers

from builder.types import VideoError
from builder.video import Frame, probe, read_frames, shot_cuts, write_clip


@pytest.mark.parametrize("fps", [30, 29.97, 60, 12.5, 24000 / 1001])
def test_written_clip_reads_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fps: float):
    path = tmp_path / "new" / "clip.mp4"
    assert write_clip(path, (numbered(n, 161, 97) for n in range(50)), fps) == 50
    info = probe(path)
    assert (info.width, info.height, info.num_frames, info.codec, info.pixel_format) == (160, 96, 50, "h264", "yuv420p")
    assert (info.constant_rate, info.has_edit_list, info.rotation_deg) == (True, False, 0)
    assert (info.fps, info.duration_s) == pytest.approx((fps, 50 / fps))
    assert numbers(path) == list(range(50))
    data = path.read_bytes()
    assert b"elst" not in data
    assert data.index(b"moov") < data.index(b"mdat")
    assert [p.name for p in path.parent.iterdir()] == ["clip.mp4"]
    assert_routes_agree(path, [0.3, 0.0, 1.2 * 30 / fps], monkeypatch, used=True)


def test_written_colours(tmp_path: Path):
    colours = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200], [255, 255, 255], [0, 0, 0], [128, 128, 128]], np.uint8)
    image = colours.repeat(32, axis=0)[None].repeat(64, axis=0)
    write_clip(tmp_path / "c.mp4", [image] * 3, 30, crf=10)
    back = next(iter(read_frames(tmp_path / "c.mp4"))).image[32, 16::32]
    assert np.abs(back.astype(int) - colours).max() <= 6
    with av.open(str(tmp_path / "c.mp4")) as container:
        assert next(container.decode(video=0)).colorspace == 1, "BT.709, said so"


def test_written_bytes_repeat(tmp_path: Path):
    images = [numbered(n) for n in range(20)]
    for name in ("a.mp4", "b.mp4"):
        write_clip(tmp_path / name, images, 30)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_nothing_is_left_of_a_clip_that_fails(tmp_path: Path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"old")

    def breaks() -> Iterable[np.ndarray[Any, Any]]:
        yield numbered(0)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        write_clip(path, breaks(), 30)
    for images, message in [
        ([], "at least 2 images, got 0"),
        ([numbered(0)], "at least 2 images, got 1"),
        ([numbered(0), numbered(1, 80, 48)], "image 1: expected uint8"),
        ([numbered(0).astype(float)] * 2, "image 0: expected uint8"),
        ([numbered(0)[..., 0]] * 2, "expected images"),
    ]:
        with pytest.raises(VideoError, match=message):
            write_clip(path, images, 30)
    with pytest.raises(VideoError, match="fps between 1 and 1000"):
        write_clip(path, [numbered(0)] * 2, 0)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("clip.mp4", b"old")]
    with pytest.raises(VideoError, match="cannot be written"):
        write_clip(path / "below" / "a" / "file.mp4", [numbered(0)] * 2, 30)


def scene(seed: int) -> np.ndarray[Any, Any]:
    """A wide picture (72, 640, 3) of coloured rectangles on a ground of one colour."""
    rng = np.random.default_rng(seed)
    image = np.full((72, 640, 3), rng.integers(60, 200, 3), np.uint8)
    for _ in range(60):
        y, x = rng.integers(0, 60), rng.integers(0, 620)
        image[y : y + rng.integers(8, 40), x : x + rng.integers(8, 60)] = rng.integers(0, 256, 3)
    return image


def shot(seed: int, length: int, step_px: int = 0) -> list[np.ndarray[Any, Any]]:
    """A camera 128 pixels wide that pans over a scene, with a little noise."""
    rng, wide = np.random.default_rng(seed + 99), scene(seed)
    views = [wide[:, n * step_px % 500 : n * step_px % 500 + 128] for n in range(length)]
    return [np.clip(v + rng.normal(0, 3, v.shape), 0, 255).astype(np.uint8) for v in views]


def played(images: Iterable[np.ndarray[Any, Any]], fps: float = 30) -> list[Frame]:
    return [Frame(n, n / fps, image) for n, image in enumerate(images)]


@pytest.mark.parametrize("fps", [3, 15, 30, 60])
def test_cuts_of_a_montage(fps: float):
    lengths = [40, 25, 60, 30, 18]
    images = [image for seed, n in enumerate(lengths) for image in shot(seed, n, step_px=seed)]
    assert shot_cuts(iter(played(images, fps))) == pytest.approx(np.cumsum(lengths[:-1]) / fps)


def test_cuts_in_a_file(tmp_path: Path):
    write_clip(tmp_path / "montage.mp4", [*shot(1, 30, 2), *shot(2, 30), *shot(3, 30)], 30)
    assert shot_cuts(tmp_path / "montage.mp4") == pytest.approx([1, 2])


@pytest.mark.parametrize("step_px", [1, 3, 6, 12, 25])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_pan_is_no_cut(seed: int, step_px: int):
    assert shot_cuts(played(shot(seed, 500 // step_px if step_px > 8 else 40, step_px))) == []


@pytest.mark.parametrize("length", [1, 2, 4])
def test_a_flash_is_no_cut(length: int):
    images = shot(4, 60, 1)
    images[30 : 30 + length] = [np.clip(i.astype(int) + 150, 0, 255).astype(np.uint8) for i in images[30 : 30 + length]]
    assert shot_cuts(played(images)) == []
    images[10] = np.zeros_like(images[10])
    assert shot_cuts(played(images)) == [], "nor a dropped, black frame"


def test_changing_light_is_no_cut():
    images = shot(5, 60, 1)
    switched = images[:30] + [(i * 0.6).astype(np.uint8) for i in images[30:]]
    faded = [(i * (1 - n / 60)).astype(np.uint8) for n, i in enumerate(images)]
    assert shot_cuts(played(switched)) == shot_cuts(played(faded)) == []


def test_no_cuts_in_flat_noise():
    rng = np.random.default_rng(1)
    assert shot_cuts(played(rng.integers(28, 37, (40, 72, 128, 3), np.uint8))) == []


def test_cut_beside_the_ends_and_none_at_all():
    assert shot_cuts(played([*shot(1, 1), *shot(2, 20), *shot(3, 1)])) == pytest.approx([1 / 30, 21 / 30])
    assert shot_cuts(played(shot(1, 1))) == shot_cuts([]) == []
