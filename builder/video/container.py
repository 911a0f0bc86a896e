"""Opens a video file safely and says what it is, from its header, the times of its packets and its first frame.

An uploaded file is not to be trusted: only demuxers of ordinary video files are allowed (a playlist would open other files),
nothing but the file itself is opened, and `Limits` holds for what the header claims and again for what is decoded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from builder.types import Floats, SetupError, VideoError

DEMUXERS = "mov,matroska,avi,mpegts,mpeg,flv,asf,ogg,gif"
IMAGE_DEMUXERS = "image2,png_pipe,jpeg_pipe,webp_pipe,bmp_pipe,tiff_pipe"  # opened only to say that it is an image
FILM_DIAGONAL_MM = 43.27  # of the 36 x 24 mm that equivalent focal lengths speak of
EQUIVALENT_MM = 5.0, 2000.0  # what is believed of such a length
SCANNED_PACKETS = 10_000  # of pictures; a longer video is judged by these and by its header


@dataclass(frozen=True)
class Limits:
    """What a video may claim or turn out to be: pixels of one frame, frames, and seconds."""

    pixels: int = 8192 * 8192
    frames: int = 216_000
    seconds: float = 3600.0


LIMITS = Limits()


@dataclass(frozen=True)
class VideoInfo:
    """A video's vital data; `width` and `height` are pixels as shown, that is after turning the stored picture.

    `rotation_deg` (0, 90, 180, 270) is how far the stored picture is turned counter-clockwise to be shown.  `fps` is the
    average rate; `constant_rate` says whether all frames are equally far apart.  `num_frames` is None when only a full pass
    could tell.  `has_edit_list`: stored frames are hidden or the track starts late (a list that only makes up for the delay
    of B-frames does not count).  `start_s` is the container's time of the first shown frame, to line up its sound.
    `focal_px` is the focal length in pixels as shown, where the file tells one as equivalent to 35 mm film (phones do).
    """

    width: int
    height: int
    rotation_deg: int
    fps: float
    constant_rate: bool
    duration_s: float
    num_frames: int | None
    codec: str
    pixel_format: str
    container: str
    has_edit_list: bool
    start_s: float
    focal_px: float | None = None


class Scan(NamedTuple):
    """What one pass over the packets tells.

    `times_s` (N,) of the shown frames; `matrix` as `display_matrix` has it; `plain`: nothing in it that decord gets wrong.
    """

    info: VideoInfo
    times_s: Floats
    matrix: tuple[int, int, int, int]
    plain: bool


def probe(path: str | Path, limits: Limits = LIMITS) -> VideoInfo:
    """What the video is, decoding only its first frame.  Raises VideoError."""
    return scan(Path(path), limits).info


def need(ok: bool, path: str | Path, message: str) -> None:
    """Raise VideoError with `message` about `path` unless `ok`."""
    if not ok:
        raise VideoError(f"{path}: {message}")


def pyav() -> Any:
    """The module `av`, or SetupError saying how to install it."""
    try:
        import av
    except ImportError as error:
        raise SetupError(f"videos need PyAV ({error}); run: pip install 'humanmovevqa[video]'") from None
    return av


@contextmanager
def named_errors(path: str | Path, what: str) -> Iterator[None]:
    """Turn PyAV's errors into a VideoError that says `what` about `path`."""
    try:
        yield
    except pyav().error.FFmpegError as error:
        raise VideoError(f"{path}: {what} ({error.strerror})") from None


@contextmanager
def opened(path: Path, limits: Limits) -> Iterator[tuple[Any, Any]]:
    """The container and its video stream, both PyAV's.  Raises VideoError."""
    av = pyav()
    need(path.is_file(), path, "expected a video file, found " + ("something else" if path.exists() else "nothing"))
    try:
        with open(path, "rb") as f:
            need(bool(f.read(1)), path, "the file is empty")
    except OSError as error:
        raise VideoError(f"{path}: cannot be read: {error.strerror}") from None
    bound = {"max_pixels": str(limits.pixels)}
    allowed = {"protocol_whitelist": "file", "format_whitelist": f"{DEMUXERS},{IMAGE_DEMUXERS}"}
    with named_errors(path, "not a video that can be read, or cut off before its index"):
        # An absolute path cannot be taken for an address, whatever the file is called.
        container = av.open(str(path.absolute()), options=bound | allowed, metadata_errors="replace")
    with container, named_errors(path, "damaged, cut off, or not a video"):
        need(container.format.name not in IMAGE_DEMUXERS.split(","), path, "this is an image; expected a video")
        cover = av.stream.Disposition.attached_pic
        streams = [s for s in container.streams.video if not s.disposition & cover]
        need(bool(streams), path, "it holds sound but no video" if container.streams.audio else "it holds no video")
        stream = streams[0]
        need(stream.codec_context is not None, path, "its coding is unknown here")
        small = stream.width * stream.height <= limits.pixels
        need(small, path, f"frames of {stream.width} x {stream.height} are larger than {limits.pixels} pixels")
        stream.codec_context.options = bound
        yield container, stream


def undecodable() -> tuple[type[Exception], ...]:
    """What PyAV raises for a packet that is damaged, cut off, or larger than the limit."""
    error = pyav().error
    return error.InvalidDataError, error.ArgumentError


def packets(container: Any, *streams: Any) -> Iterator[Any]:
    """The packets of these streams (none: of all) to the end."""
    try:
        yield from container.demux(*streams)
    except IndexError:
        return  # PyAV stumbles at the very end over streams that appeared midway


def starts_alone(packet: Any) -> bool:
    """Whether an H.264 packet in an mp4 (4-byte lengths) is an IDR picture.

    After a key frame of another kind may come frames that need what was before it.
    """
    data, at = bytes(packet), 0
    while at + 4 < len(data):
        if data[at + 4] & 31 == 5:
            return True
        at += 4 + int.from_bytes(data[at : at + 4], "big")
    return False


def keeps_no_times(container: Any) -> bool:
    """Whether the container only counts frames as stored: reordered ones then come with presentation times that are wrong."""
    return bool(container.format.name == "avi")


def scan(path: Path, limits: Limits) -> Scan:
    """One pass over the packets, decoding no more than the first frame.  Raises VideoError."""
    ticks: list[int] = []
    first, end_s = None, 0.0
    hidden = corrupt = False
    whole = alone = True
    with opened(path, limits) as (container, stream):
        counts_only = keeps_no_times(container)
        for packet in packets(container):
            at = packet.dts if packet.pts is None or counts_only else packet.pts
            if packet.size and at is not None:
                end_s = max(end_s, float((at + (packet.duration or 0)) * packet.time_base))
            if packet.stream_index != stream.index:
                continue
            if len(ticks) >= SCANNED_PACKETS:
                whole = False
                break
            if first is None:
                try:
                    first = next(iter(packet.decode()), None)
                except undecodable():
                    pass  # before the first key frame there is nothing to build on
            if packet.size and at is not None:
                corrupt = packet.is_corrupt
                hidden |= packet.is_discard
                ticks += [] if packet.is_discard else [at]
                alone = alone and (not packet.is_keyframe or starts_alone(packet))
        need(first is not None, path, f"no frame can be decoded: none there, damaged, or larger than {limits.pixels} pixels")
        assert first is not None
        promised_s = (container.duration or 0) / 1e6 + (container.start_time or 0) / 1e6
        cut_off = whole and (corrupt or promised_s - end_s > max(0.5, 0.05 * promised_s))
        need(not cut_off, path, f"cut off: the header promises {promised_s:.2f} s, the data end at {end_s:.2f} s")

        earliest = None if counts_only else first.pts
        shown = np.unique([t for t in ticks if earliest is None or t >= earliest])
        need(len(shown) >= 2, path, f"expected at least 2 frames, found {len(shown)}")
        base = stream.time_base
        tick_s, start_s = float(base), float(int(shown[0]) * base)
        times = (shown - shown[0]) * base.numerator / base.denominator  # rounded once, as where frames are decoded
        step = float(times[-1]) / (len(times) - 1)
        duration_s = float(2 * times[-1] - times[-2])
        frames: int | None = len(times)
        if not whole:
            duration_s = max(duration_s, promised_s - start_s)
            frames = stream.frames if stream.frames and not hidden else None
        need(duration_s <= limits.seconds, path, f"it lasts {duration_s:.0f} s; at most {limits.seconds:g} s are read")
        need((frames or 0) <= limits.frames, path, f"it has {frames} frames; at most {limits.frames} are read")

        # Times are rounded to the container's ticks, but a coarse tick must not excuse a missing frame.
        tolerance = min(max(tick_s, 0.02 * step), 0.25 * step)
        matrix = display_matrix(first)
        mov = container.format.name.startswith("mov")
        info = VideoInfo(
            width=first.height if matrix[0] == 0 else first.width,
            height=first.width if matrix[0] == 0 else first.height,
            rotation_deg=round(first.rotation / 90) * 90 % 360,
            fps=1 / step,
            constant_rate=bool(np.abs(times - np.arange(len(times)) * step).max() <= tolerance),
            duration_s=duration_s,
            num_frames=frames,
            codec=stream.codec_context.name,
            pixel_format=first.format.name,
            container=container.format.name,
            has_edit_list=hidden or (mov and start_s > 0),
            start_s=start_s,
            focal_px=_focal_px({**container.metadata, **stream.metadata}, float(np.hypot(first.width, first.height))),
        )
        plain = mov and info.codec == "h264" and info.pixel_format in ("yuv420p", "yuvj420p") and matrix == (1, 0, 0, 1)
        plain = plain and whole and alone and info.constant_rate and len(ticks) == len(times) == stream.frames
        plain = plain and not (info.has_edit_list or first.interlaced_frame)
        lengths = int.from_bytes((stream.codec_context.extradata or b"")[4:5], "big") & 3
        plain = plain and lengths == 3  # four bytes, which starts_alone reads
    return Scan(info, times, matrix, plain)


def _focal_px(tags: Mapping[str, str], diagonal_px: float) -> float | None:
    """The focal length that tags tell, such as com.apple.quicktime.camera.focal_length.35mm_equivalent; None without a credible one."""
    for name in sorted(tags):
        plain = re.sub(r"[^a-z0-9]", "", name.lower())
        number = re.fullmatch(r"\s*(\d{1,4}(?:\.\d{1,6})?)\s*(?:mm)?\s*", tags[name])
        if "focallength" in plain and "35mm" in plain and number and EQUIVALENT_MM[0] <= float(number[1]) <= EQUIVALENT_MM[1]:
            return float(number[1]) / FILM_DIAGONAL_MM * diagonal_px
    return None


def display_matrix(picture: Any) -> tuple[int, int, int, int]:
    """Signs (a, b, c, d): the stored pixel (p, q) is shown at (a p + c q, b p + d q), up to a shift and to right angles.

    The layout is that of a QuickTime track header's matrix; mirrored ones occur too.
    """
    try:
        data = bytes(picture.side_data["DISPLAYMATRIX"])
    except KeyError:
        return 1, 0, 0, 1
    a, b, _, c, d = (int(v) for v in np.frombuffer(data, np.int32)[:5])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return (-1 if a < 0 else 1), 0, 0, (-1 if d < 0 else 1)
    return 0, (-1 if b < 0 else 1), (-1 if c < 0 else 1), 0
