"""Each frame of the generated clips carries its number as black and white blocks, so that every decoded one can be named."""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builder.video import read_frames, sample_frames

av = pytest.importorskip("av", reason="PyAV is not installed")


BITS = 8
WIDTH, HEIGHT = 160, 96
MS15 = Fraction(1, 15360)


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


VARYING = np.concatenate([[0], np.cumsum(np.random.default_rng(5).integers(200, 1500, 59))]).tolist()


def constant_video(folder: Path) -> Path:
    """3 s at 30 fps, a key frame each second, B-frames."""
    return encode(folder / "constant.mp4", range(90), g="30", bf="2")


def varying_video(folder: Path) -> Path:
    """2 to 3 s whose frames come at uneven times."""
    return encode(folder / "varying.mp4", VARYING, base=MS15, g="20", bf="2")


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
