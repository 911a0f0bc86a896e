"""Writes images as a video file that every decoder and browser reads alike."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from builder.types import VideoError
from builder.video.container import LIMITS, Limits, named_errors, need, probe, pyav

THREADS = 4  # x264 writes other bytes for another number, so the machine must not choose it
MUXING = {"movflags": "+faststart", "use_editlist": "0", "fflags": "+bitexact"}
BT709 = 1


def write_clip(path: str | Path, frames: Iterable[NDArray[np.uint8]], fps: float, crf: float = 23, preset: str = "medium") -> int:
    """Write images (H, W, 3) RGB, one per frame, as H.264 yuv420p mp4 at a constant `fps`; return how many.

    An odd last row or column is cut off.  There are no B-frames and no edit list, so that all decoders count alike; the index
    comes first, for streaming.  The file is whole or absent.  Same images, same environment: same bytes.  Raises VideoError.
    """
    path = Path(path)
    need(1 <= fps <= 1000, path, f"expected fps between 1 and 1000, got {fps}")
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        written, width, height = _encode(path, temporary, frames, Fraction(fps).limit_denominator(1001), crf, preset)
        info = probe(temporary, Limits(frames=written, seconds=math.inf))
        agrees = info.constant_rate and (info.num_frames, info.width, info.height) == (written, width, height)
        need(agrees, path, f"{written} images of {width} x {height} were encoded, but the file holds {info}")
        with open(temporary, "rb+") as f:
            os.fsync(f.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise VideoError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        if temporary.parent.is_dir():
            temporary.unlink(missing_ok=True)
    return written


def _encode(path: Path, to: Path, frames: Iterable[NDArray[np.uint8]], rate: Fraction, crf: float, preset: str) -> tuple[int, int, int]:
    """Encode everything into `to`; errors speak of `path`.  Returns number of images, width and height in pixels."""
    av = pyav()
    written, shape = 0, None
    encoding = {"crf": str(crf), "preset": preset, "bf": "0", "g": str(max(1, round(2 * rate)))}
    with named_errors(path, "cannot be written"), av.open(str(to.absolute()), "w", format="mp4", options=MUXING) as out:
        stream = out.add_stream("libx264", rate=rate, options=encoding)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = THREADS
        stream.codec_context.colorspace = stream.codec_context.color_primaries = stream.codec_context.color_trc = BT709
        stream.codec_context.color_range = av.video.reformatter.ColorRange.MPEG
        for image in frames:
            if shape is None:
                shape = image.shape
                fits = len(shape) == 3 and shape[2] == 3 and min(shape) >= 2 and shape[0] * shape[1] <= LIMITS.pixels
                need(fits, path, f"expected images (H, W, 3) of at least 2 x 2 and at most {LIMITS.pixels} pixels, got {shape}")
                stream.height, stream.width = shape[0] // 2 * 2, shape[1] // 2 * 2
            same = image.shape == shape and image.dtype == np.uint8
            need(same, path, f"image {written}: expected uint8 {shape}, got {image.dtype} {image.shape}")
            even = np.ascontiguousarray(image[: stream.height, : stream.width])
            picture = av.VideoFrame.from_ndarray(even, format="rgb24")
            picture = picture.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG", threads=1)
            picture.pts, picture.time_base = written, 1 / rate
            out.mux(stream.encode(picture))
            written += 1
        need(written >= 2, path, f"expected at least 2 images, got {written}")
        out.mux(stream.encode())
        return written, stream.width, stream.height
