"""Each frame of the generated clips carries its number as black and white blocks, so that every decoded one can be named."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builder.types import VideoError
from builder.video import Frame, Limits, probe, read_frames, sample_frames, shot_cuts, write_clip

av = pytest.importorskip("av", reason="PyAV is not installed")

BITS = 8
WIDTH, HEIGHT = 160, 96
MS15 = Fraction(1, 15360)
REAL = {"pose2sim_cam01.mp4": (100, 60), "pose2sim_cam03.mp4": (100, 60), "sports2d_demo.mp4": (230, 30)}


def numbered(n: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray[Any, Any]:
    """A colour ramp with the bits of `n` along its upper third, least bit left; the lower left corner is red."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 1] = np.linspace(40, 200, width)
    image[..., 2] = np.linspace(200, 40, height)[:, None]
    cell = width // BITS
    image[: height // 3] = 0
    for bit in range(BITS):
        image[: height // 3, bit * cell : (bit + 1) * cell] = 255 * (n >> bit & 1)
    image[height * 2 // 3 :, : width // 4] = (255, 0, 0)
    return image


def number(image: np.ndarray[Any, Any]) -> int:
    """The number in an upright image, or -1 when it is turned or mirrored."""
    height, width = image.shape[:2]
    red = image[int(height * 0.75) : int(height * 0.9), width // 16 : width // 5].reshape(-1, 3).mean(axis=0)
    if red[0] < 180 or red[1:].max() > 70:
        return -1
    cell = width / BITS
    rows = image[height // 10 : height // 4]
    return sum(1 << bit for bit in range(BITS) if rows[:, int((bit + 0.3) * cell) : int((bit + 0.7) * cell)].mean() > 128)


def encode(
    path: Path,
    ticks: Sequence[int],
    base: Fraction = Fraction(1, 30),
    size: tuple[int, int] = (WIDTH, HEIGHT),
    codec: str = "libx264",
    pixels: str = "yuv420p",
    matrix: Sequence[int] | None = None,
    images: Iterable[np.ndarray[Any, Any]] | None = None,
    **options: str,
) -> Path:
    """A video with one numbered frame at each tick of `base` seconds."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        stream.codec_context.time_base = base
        stream.codec_context.thread_count = 1
        if matrix:
            stream.set_display_matrix(matrix)
        for tick, image in zip(ticks, images or (numbered(n, *size) for n in range(len(ticks))), strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = tick, base
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def copied(source: Path, path: Path, start_s: Fraction = Fraction(0), skip: int = 0, **options: str) -> Path:
    """A stream copy from the key frame before `start_s`, which becomes time 0; or without the first `skip` packets."""
    with av.open(str(source)) as a, av.open(str(path), "w", options=options) as b:
        stream = a.streams.video[0]
        out = b.add_stream_from_template(stream)
        start = int(start_s / stream.time_base)
        a.seek(start, stream=stream)
        for place, packet in enumerate(p for p in a.demux(stream) if p.dts is not None):
            if place >= skip:
                packet.pts, packet.dts, packet.stream = packet.pts - start, packet.dts - start, out
                b.mux(packet)
    return path


def edit(path: Path) -> tuple[int, int]:
    """(duration in ms of the movie, first media tick) of the only entry in the file's edit list."""
    data = path.read_bytes()
    at = data.index(b"elst") + 8
    entries, duration, first = struct.unpack(">IIi", data[at : at + 12])
    assert entries == 1
    return duration, first


def numbers(path: Path, **how: Any) -> list[int]:
    return [number(f.image) for f in read_frames(path, **how)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("video")


@pytest.fixture(scope="module")
def constant(folder: Path) -> Path:
    """3 s at 30 fps, a key frame each second, B-frames."""
    return encode(folder / "constant.mp4", range(90), g="30", bf="2")


VARYING = np.concatenate([[0], np.cumsum(np.random.default_rng(5).integers(200, 1500, 59))]).tolist()


@pytest.fixture(scope="module")
def varying(folder: Path) -> Path:
    return encode(folder / "varying.mp4", VARYING, base=MS15, g="20", bf="2")


@pytest.fixture(scope="module")
def edited(constant: Path, folder: Path) -> Path:
    """The second half of `constant`, with the frames since the key frame at 1 s stored and hidden."""
    path = copied(constant, folder / "edited.mp4", Fraction(3, 2))
    assert edit(path)[1] > 15 * 512 - 1
    return path


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


def assert_routes_agree(path: Path, times_s: Sequence[float], monkeypatch: pytest.MonkeyPatch, used: bool) -> None:
    """With and without decord: the same frames, to the last bit, which are also those of `read_frames`."""
    decord = pytest.importorskip("decord", reason="decord is not installed")
    reader, calls = decord.VideoReader, []
    monkeypatch.setattr(decord, "VideoReader", lambda *a, **k: calls.append(a) or reader(*a, **k))
    images, times = sample_frames(path, times_s)
    assert bool(calls) == used
    monkeypatch.setitem(sys.modules, "decord", None)
    again, times_again = sample_frames(path, times_s)
    np.testing.assert_array_equal(times, times_again)
    np.testing.assert_array_equal(images, again)
    frames = {f.time_s: f.image for f in read_frames(path)}
    assert all((frames[float(t)] == image).all() for t, image in zip(times, images, strict=True))


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


# Writing


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


# Cuts


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


# What is not a video, or not one to be read


def test_not_videos(tmp_path: Path, constant: Path):
    from PIL import Image

    random = np.random.default_rng(0).bytes(20_000)
    for name, data in {
        "empty.mp4": b"",
        "random.mp4": random,
        "random": random,
        "zeros.avi": bytes(20_000),
        "t.mp4": b"hello\n" * 99,
    }.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "headless.mp4").write_bytes(constant.read_bytes()[:-2000])
    for ending in ("png", "jpg", "webp", "gif", "bmp"):
        Image.fromarray(numbered(1)).save(tmp_path / f"image.{ending}")
    (tmp_path / "image.mp4").write_bytes((tmp_path / "image.png").read_bytes())
    encode(tmp_path / "one.mp4", range(1))
    with av.open(str(tmp_path / "sound.mp4"), "w") as out:
        stream = out.add_stream("aac", rate=44100, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), format="fltp", layout="mono")
        frame.rate, frame.pts = 44100, 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode())
    unreadable = "not a video that can be read"
    expected = {
        "nowhere.mp4": "expected a video file, found nothing",
        ".": "expected a video file, found something else",
        "empty.mp4": "the file is empty",
        "random.mp4": unreadable,
        "random": unreadable,
        "zeros.avi": unreadable,
        "t.mp4": unreadable,
        "headless.mp4": "cut off before its index",
        "image.png": "this is an image",
        "image.jpg": "this is an image",
        "image.webp": "this is an image",
        "image.bmp": "this is an image",
        "image.mp4": "this is an image",
        "image.gif": "at least 2 frames, found 1",
        "one.mp4": "at least 2 frames, found 1",
        "sound.mp4": "sound but no video",
    }
    for name, message in expected.items():
        for read in (probe, lambda p: list(read_frames(p)), lambda p: sample_frames(p, [0.0])):
            with pytest.raises(VideoError, match=message) as caught:
                read(tmp_path / name)
            assert str(caught.value).startswith(str(tmp_path / name))
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "avi", "webm"])
def test_cut_off(folder: Path, ending: str):
    if ending == "mp4":
        whole = copied(encode(folder / "w0.mp4", range(90), g="30"), folder / "w.mp4", movflags="faststart")
    elif ending == "webm":
        whole = encode(folder / "w.webm", range(90), codec="libvpx-vp9", deadline="realtime", **{"cpu-used": "8"})
    else:
        whole = encode(folder / f"w.{ending}", range(90), codec="mpeg4")
    path = folder / f"cut.{ending}"
    path.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.6)])
    for read in (probe, lambda p: list(read_frames(p))):
        with pytest.raises(VideoError, match="cut off"):
            read(path)


def test_playlists_open_nothing(tmp_path: Path, constant: Path):
    (tmp_path / "concat.mp4").write_text(f"ffconcat version 1.0\nfile {constant.name}\n")
    (tmp_path / constant.name).write_bytes(constant.read_bytes())
    (tmp_path / "list.m3u8").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{constant.name}\n#EXT-X-ENDLIST\n")
    for name in ("concat.mp4", "list.m3u8"):
        with pytest.raises(VideoError, match="not a video that can be read"):
            probe(tmp_path / name)


def huge(path: Path, source: Path, key_frame: int) -> Path:
    """A VP8 file whose key frames from `key_frame` on claim 16383 x 16383 pixels."""
    data = bytearray(source.read_bytes())
    at = [n for n in range(len(data) - 7) if data[n : n + 3] == b"\x9d\x01\x2a"]
    assert len(at) > key_frame
    for n in at[key_frame:]:
        data[n + 3 : n + 7] = struct.pack("<HH", 16383, 16383)
    path.write_bytes(data)
    return path


def test_small_files_that_claim_much(tmp_path: Path, constant: Path):
    v8 = encode(tmp_path / "v8.webm", range(40), codec="libvpx", g="10", deadline="realtime", **{"cpu-used": "8"})
    with pytest.raises(VideoError, match="larger than 67108864 pixels"):
        probe(huge(tmp_path / "first.webm", v8, 0))
    late = huge(tmp_path / "late.webm", v8, 2)
    assert probe(late).num_frames == 40
    with pytest.raises(VideoError, match=r"after 0\.\d+ s a frame is damaged, cut off, or larger than 67108864 pixels"):
        list(read_frames(late))
    images = [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * 2
    gif = encode(tmp_path / "small.gif", range(2), codec="gif", pixels="rgb8", images=images)
    data = bytearray(gif.read_bytes())
    data[6:10] = b"\xff" * 4
    gif.write_bytes(data)
    with pytest.raises(VideoError, match="67108864 pixels"):
        probe(gif)
    for limits, message in {
        Limits(pixels=WIDTH * HEIGHT - 1): f"frames of {WIDTH} x {HEIGHT} are larger than",
        Limits(frames=89): "90 frames; at most 89",
        Limits(seconds=2.9): r"lasts 3 s; at most 2\.9",
    }.items():
        with pytest.raises(VideoError, match=message):
            probe(constant, limits)
        with pytest.raises(VideoError, match=message):
            read_frames(constant, limits=limits)


def test_limits_hold_while_decoding(constant: Path, monkeypatch: pytest.MonkeyPatch):
    """As for a file whose header and packets lie."""
    from builder.video import frames

    known = frames.scan(constant, Limits())
    monkeypatch.setattr(frames, "scan", lambda *_: known)
    seen = []
    for limits in (Limits(frames=40), Limits(seconds=1.5)):
        with pytest.raises(VideoError, match="the most that are read"):
            seen.extend(f.index for f in read_frames(constant, limits=limits))
    assert seen == [*range(40), *range(46)]


def test_damaged_files_give_one_line(constant: Path, varying: Path, tmp_path: Path):
    """Random damage: frames or a VideoError, nothing else."""
    rng = np.random.default_rng(3)
    outcomes = {"read": 0, "refused": 0}
    for source in (constant, varying):
        whole = source.read_bytes()
        for _ in range(25):
            data = bytearray(whole)
            for _ in range(int(rng.integers(1, 12))):
                at = int(rng.integers(0, len(data)))
                data[at : at + 4] = rng.bytes(4)
            (tmp_path / "damaged.mp4").write_bytes(data)
            try:
                times = [f.time_s for f in read_frames(tmp_path / "damaged.mp4", longest_side=32)]
                assert all(a < b for a, b in pairwise(times))
                outcomes["read"] += 1
            except VideoError as error:
                outcomes["refused" if "\n" not in str(error) else "bad message"] += 1
    assert min(outcomes.values()) > 0


MEMORY = """
import resource, sys
from builder.video import read_frames
frames = read_frames(sys.argv[1])
for n, frame in enumerate(frames):
    if n == 100:
        then = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(n, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - then) / 1024)
"""


def test_memory_does_not_grow_with_length(tmp_path: Path):
    """One minute of 640 x 360: 1800 frames of 0.66 MiB, of which some are at work in the decoder's threads."""
    pictures = [np.kron(numbered(n), np.ones((1, 4, 1), np.uint8))[:90].repeat(4, axis=0) for n in range(8)]
    path = encode(
        tmp_path / "minute.mp4", range(1800), size=(640, 360), images=(pictures[n // 30 % 8] for n in range(1800)), preset="ultrafast"
    )
    run = subprocess.run([sys.executable, "-c", MEMORY, str(path)], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    last, grown_mib = run.stdout.split()
    assert last == "1799"
    assert float(grown_mib) < 30


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
