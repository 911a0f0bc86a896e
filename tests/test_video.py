"""Frames of a video as they are shown: rates, edit lists, rotations, sizes and windows."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixture_video import HEIGHT, VARYING, WIDTH, av, copied, edit, encode, number, numbered, numbers

from builder.types import VideoError
from builder.video import probe, read_frames, sample_frames


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("video")


def test_constant_rate(constant: Path):
    info = probe(constant)
    assert (info.width, info.height, info.rotation_deg, info.num_frames, info.codec) == (WIDTH, HEIGHT, 0, 90, "h264")
    assert (info.fps, info.duration_s) == pytest.approx((30, 3))
    assert (info.constant_rate, info.has_edit_list, info.start_s) == (True, False, 0)
    frames = list(read_frames(constant))
    assert [number(f.image) for f in frames] == [f.index for f in frames] == list(range(90))
    assert [f.time_s for f in frames] == pytest.approx([n / 30 for n in range(90)])
    assert {(f.image.shape, f.image.dtype.name, f.image.flags.c_contiguous) for f in frames} == {((HEIGHT, WIDTH, 3), "uint8", True)}


def test_varying_rate_keeps_true_times(varying: Path):
    info = probe(varying)
    assert (info.constant_rate, info.num_frames) == (False, 60)
    assert info.fps == pytest.approx(59 / (VARYING[-1] / 15360))
    frames = list(read_frames(varying))
    assert [number(f.image) for f in frames] == list(range(60))
    assert [f.time_s for f in frames] == pytest.approx([t / 15360 for t in VARYING])


@pytest.mark.parametrize("missing", [1, 45, 88])
def test_one_missing_frame_is_not_a_constant_rate(folder: Path, missing: int):
    ticks = [t for t in range(90) if t != missing]
    assert not probe(encode(folder / "gap.mp4", ticks)).constant_rate
    assert not probe(encode(folder / "gap.avi", ticks, codec="mpeg4")).constant_rate


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mkv", "libx264", {}),
        ("a.webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
        ("b.webm", "libvpx", {"deadline": "realtime", "cpu-used": "8"}),
        ("a.ts", "libx264", {"g": "20"}),
        ("a.avi", "mpeg4", {"bf": "2"}),
        ("b.avi", "libx264", {}),
        ("a.mov", "libx265", {"x265-params": "log-level=none:keyint=12:pools=1"}),
        ("a.flv", "libx264", {}),
        ("a.mpg", "mpeg2video", {}),
    ],
)
def test_containers(folder: Path, name: str, codec: str, options: dict[str, str]):
    path = encode(folder / name, range(40), codec=codec, **options)
    info = probe(path)
    assert (info.width, info.height, info.constant_rate, info.num_frames) == (WIDTH, HEIGHT, True, 40)
    assert info.fps == pytest.approx(30, rel=2e-3)
    frames = list(read_frames(path))
    assert [number(f.image) for f in frames] == list(range(40))
    assert [f.time_s for f in frames] == pytest.approx([n / 30 for n in range(40)], abs=1.1e-3)


def test_edit_list_hides_what_it_hides(edited: Path):
    info = probe(edited)
    assert (info.has_edit_list, info.num_frames, info.start_s) == (True, 45, 0)
    assert info.duration_s == pytest.approx(1.5)
    frames = list(read_frames(edited))
    assert [number(f.image) for f in frames] == list(range(45, 90))
    assert (frames[0].index, frames[0].time_s, frames[-1].time_s) == pytest.approx((0, 0, 44 / 30))


def test_edit_list_hides_the_end(constant: Path, folder: Path):
    data = bytearray(constant.read_bytes())
    at = data.index(b"elst") + 12
    data[at : at + 4] = struct.pack(">I", edit(constant)[0] // 2)
    path = folder / "half.mp4"
    path.write_bytes(data)
    assert edit(path)[0] == 1500
    assert probe(path).has_edit_list
    assert numbers(path) == list(range(45))
    assert sample_frames(path, [9.0])[1] == pytest.approx([44 / 30])


def test_late_start(folder: Path):
    path = encode(folder / "late.mp4", range(60, 100))
    info = probe(path)
    assert (info.start_s, info.num_frames, info.has_edit_list) == (2, 40, True)
    assert info.duration_s == pytest.approx(4 / 3)
    frames = list(read_frames(path, start_s=1))
    assert ([number(f.image) for f in frames], frames[0].time_s) == (list(range(30, 40)), pytest.approx(1))


@pytest.mark.parametrize("ending", ["ts", "mkv"])
def test_nothing_before_the_first_key_frame(constant: Path, folder: Path, ending: str):
    path = copied(constant, folder / f"headless.{ending}", skip=10)
    frames = list(read_frames(path))
    assert [number(f.image) for f in frames] == list(range(30, 90))
    assert frames[0].time_s == 0
    assert probe(path).num_frames == 60


# Display matrices (16.16 fixed point, the last column 2.30) and how the stored picture must lie for the shown one to be upright.
ONE = 1 << 16
TURNS = {
    "90": ((0, -1, 1, 0), 90, lambda upright: np.rot90(upright, -1)),
    "180": ((-1, 0, 0, -1), 180, lambda upright: np.rot90(upright, 2)),
    "270": ((0, 1, -1, 0), 270, lambda upright: np.rot90(upright, 1)),
    "mirrored": ((-1, 0, 0, 1), None, lambda upright: upright[:, ::-1]),
    "upside down, mirrored": ((1, 0, 0, -1), None, lambda upright: upright[::-1]),
    "transposed": ((0, 1, 1, 0), None, lambda upright: upright.transpose(1, 0, 2)),
}


@pytest.mark.parametrize("name", TURNS)
def test_turned_by_the_container(folder: Path, name: str):
    (a, b, c, d), degrees, stored = TURNS[name]
    images = [np.ascontiguousarray(stored(numbered(n))) for n in range(12)]
    height, width = images[0].shape[:2]
    matrix = [a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30]
    path = encode(folder / "turned.mp4", range(12), size=(width, height), matrix=matrix, images=images)
    info = probe(path)
    assert (info.width, info.height) == (WIDTH, HEIGHT)
    assert degrees is None or info.rotation_deg == degrees
    assert numbers(path) == list(range(12))
    assert numbers(path, longest_side=80) == list(range(12))
    images_, times = sample_frames(path, [0.1, 0.3])
    assert [number(i) for i in images_] == [3, 9]
    assert times == pytest.approx([0.1, 0.3])


def test_phone_writes_degrees(folder: Path):
    """As a phone does it, through the muxer's own notion of rotation: PyAV's `frame.rotation` is then what we turn by."""
    path = folder / "phone.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        stream.set_display_rotation(90)
        for n in range(4):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(np.rot90(numbered(n), -1)), format="rgb24")))
        out.mux(stream.encode())
    with av.open(str(path)) as container:
        picture = next(container.decode(video=0))
        by_hand = np.rot90(picture.to_ndarray(format="rgb24"), picture.rotation // 90)
    assert probe(path).rotation_deg == picture.rotation == 90
    np.testing.assert_array_equal(next(iter(read_frames(path))).image, by_hand)
    assert numbers(path) == [0, 1, 2, 3]


@pytest.mark.parametrize("size", [(96, 160), (161, 97), (99, 64), (64, 99)])
def test_portrait_and_odd_sizes(folder: Path, size: tuple[int, int]):
    path = encode(folder / "odd.mp4", range(8), size=size, pixels="yuv444p" if size[0] % 2 or size[1] % 2 else "yuv420p")
    assert (probe(path).width, probe(path).height) == size
    frames = list(read_frames(path, longest_side=70))
    assert [number(f.image) for f in frames] == list(range(8))
    scale = 70 / max(size)
    assert frames[0].image.shape == (round(size[1] * scale), round(size[0] * scale), 3)
    assert next(iter(read_frames(path, longest_side=4000))).image.shape == (size[1], size[0], 3), "never enlarged"


def test_area_filter(folder: Path):
    image = np.random.default_rng(0).integers(0, 256, (96, 160, 1), np.uint8).repeat(3, axis=2)
    path = encode(folder / "noise.mp4", range(2), images=[image, image], crf="1")
    whole, small = (next(iter(read_frames(path, longest_side=side))).image.astype(float) for side in (None, 40))
    assert np.abs(small - whole.reshape(24, 4, 40, 4, 3).mean(axis=(1, 3))).max() < 4


@pytest.mark.parametrize("fps", [5, 7.5, 10, 15, 24, 25, 30, 60])
def test_resampling_takes_the_nearest_frame(constant: Path, fps: float):
    frames = list(read_frames(constant, fps=fps))
    assert len(frames) == int(3 * fps + 0.5)
    for k, frame in enumerate(frames):
        assert abs(frame.time_s - k / fps) <= 1 / 60 + 1e-6 or frame.index == 89
        assert number(frame.image) == frame.index


def test_resampling_varying_rates(varying: Path):
    times = np.array(VARYING) / 15360
    frames = list(read_frames(varying, fps=30))
    assert [f.index for f in frames] == [int(np.abs(times - k / 30).argmin()) for k in range(len(frames))]
    assert len(frames) == round((2 * times[-1] - times[-2]) * 30)
    window = list(read_frames(varying, fps=10, start_s=0.55, end_s=1.5))
    assert [f.index for f in window] == [int(np.abs(times - (0.55 + k / 10)).argmin()) for k in range(10)]


def test_window_is_half_open(constant: Path):
    assert numbers(constant, start_s=0.5, end_s=1.0) == list(range(15, 30))
    assert numbers(constant, start_s=0.501, end_s=1.001) == list(range(16, 31))
    assert numbers(constant, start_s=2.9) == [87, 88, 89]
    assert numbers(constant, start_s=0.5, end_s=1.0, fps=10) == [15, 18, 21, 24, 27]
    with pytest.raises(VideoError, match=r"no frame is shown from 4 s to inf s; it lasts 3\.00 s"):
        list(read_frames(constant, start_s=4))
    with pytest.raises(VideoError, match="no frame is shown"):
        list(read_frames(constant, start_s=4, fps=10))


@pytest.mark.parametrize(
    "wrong", [{"fps": 0}, {"fps": float("nan")}, {"start_s": -1}, {"start_s": 2, "end_s": 2}, {"longest_side": 0}], ids=str
)
def test_wrong_wishes_are_refused_at_once(constant: Path, wrong: dict[str, Any]):
    with pytest.raises(VideoError, match="expected"):
        read_frames(constant, **wrong)
