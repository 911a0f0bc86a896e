"""Folders of numbered images, and the clips that are made of them: constant rate, H.264, one image per frame, none missing.

A folder's images are known by the numbers in their names.  Nothing but the finished video is ever written.
"""

from __future__ import annotations

import json
import os
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from builder.store import file_digest, write_atomic
from builder.types import SourceError, VideoError
from builder.video import probe, write_clip

LONGEST_SIDE = 960
CRF = 23
MANIFEST = "videos.json"
FORMAT = "hmv-videos/1"
ORIENTATION = 0x0112  # the EXIF entry that turns an image
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")


@dataclass(frozen=True)
class Film:
    """One video to be made: where (relative, "/"), of which images in order, at how many frames per second, from which source frame."""

    clip_id: str
    path: str
    images: tuple[Path, ...]
    fps: float
    start_frame: int


def numbered(folder: Path, pattern: str) -> dict[int, Path]:
    """Frame number to image file of a folder, sorted; `pattern` is a regular expression for the name without suffix whose group 1
    is the number.  {} for a folder that does not exist."""
    found = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                stem, _, suffix = entry.name.rpartition(".")
                match = re.fullmatch(pattern, stem, re.ASCII)
                if match and f".{suffix.lower()}" in SUFFIXES:
                    found[int(match[1])] = folder / entry.name
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise SourceError(f"{folder}: cannot be listed: {error.strerror}") from None
    return dict(sorted(found.items()))


def missing(there: Mapping[int, Path], start: int, end: int) -> str:
    """The frames of [start, end) that `there` lacks, in words ("" when it lacks none): "3 of 600 frames (00012-00014)"."""
    gone = [k for k in range(start, end) if k not in there]
    if not gone:
        return ""
    first = next((gone[k] for k in range(len(gone) - 1) if gone[k + 1] != gone[k] + 1), gone[-1])
    more = ", ..." if first != gone[-1] else ""
    span = f"{gone[0]:05d}" if first == gone[0] else f"{gone[0]:05d}-{first:05d}"
    return f"{len(gone)} of {end - start} frames ({span}{more})"


def image_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels of an image as it is shown.  Raises SourceError for a file that is no image."""
    with _opened(path) as image:
        return _shown_size(image)


def _shown_size(image: Any) -> tuple[int, int]:
    width, height = image.size
    return (height, width) if image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8) else (width, height)


def pictures(files: Sequence[Path], longest_side: int) -> Iterator[NDArray[np.uint8]]:
    """Images (H, W, 3) RGB in order, shrunk to `longest_side` (never enlarged) and made even; a few are decoded ahead."""
    size: list[tuple[int, int]] = []

    def load(path: Path) -> NDArray[np.uint8]:
        return _picture(path, size[0])

    if files:
        width, height = image_size(files[0])
        shrink = min(1.0, longest_side / max(width, height))
        size.append((max(2, round(width * shrink) // 2 * 2), max(2, round(height * shrink) // 2 * 2)))
    ahead = min(8, os.cpu_count() or 1) + 1
    with ThreadPoolExecutor(ahead - 1) as pool:
        waiting: deque[Any] = deque()
        for path in files:
            waiting.append(pool.submit(load, path))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _picture(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    from PIL import Image, ImageOps

    with _opened(path) as image:
        width, height = _shown_size(image)
        if abs(width * size[1] - height * size[0]) > 2 * max(width, height):
            raise SourceError(f"{path}: expected the shape of the images before it, about {size[0]}:{size[1]}, got {width} x {height}")
        try:
            image.draft("RGB", (2 * max(size), 2 * max(size)))  # a JPEG is decoded no larger than needed
            shown = ImageOps.exif_transpose(image).convert("RGB")
        except (OSError, ValueError, SyntaxError) as error:
            raise SourceError(f"{path}: a damaged or cut-off image ({error}); copy it again") from None
        if shown.size != size:
            shown = shown.resize(size, Image.Resampling.BOX if shown.size[0] >= 2 * size[0] else Image.Resampling.LANCZOS)
        return np.asarray(shown)


def _opened(path: Path) -> Any:
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(path, formats=("JPEG", "PNG", "BMP"))
    except UnidentifiedImageError:
        raise SourceError(f"{path}: expected a JPEG, PNG or BMP image, got {_kind(path)}; copy it again") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None)
        what = f"cannot be read: {reason}" if reason else f"a damaged or cut-off image ({error}); copy it again"
        raise SourceError(f"{path}: {what}") from None


def _kind(path: Path) -> str:
    head = path.read_bytes()[:256].lstrip().lower()
    if not head:
        return "an empty file"
    return "an HTML page" if head.startswith((b"<!doctype html", b"<html")) else "something else"


def write(film: Film, to: Path, longest_side: int = LONGEST_SIDE) -> dict[str, Any]:
    """Make one video and check it: its entry for the manifest.  Raises SourceError for bad images and VideoError."""
    frames = write_clip(to, pictures(film.images, longest_side), film.fps, CRF)
    info = probe(to)
    if (info.num_frames, frames) != (len(film.images), len(film.images)):
        to.unlink(missing_ok=True)
        raise VideoError(f"{film.path}: expected {len(film.images)} frames, the file holds {info.num_frames}; it was removed, try again")
    return {
        "clip_id": film.clip_id,
        "start_frame": film.start_frame,
        "frames": frames,
        "fps": film.fps,
        "width": info.width,
        "height": info.height,
        "longest_side": longest_side,
        "size": to.stat().st_size,
        "sha256": file_digest(to),
    }


class Manifest:
    """`videos.json` of a folder: what each video in it is made of, its size and SHA-256."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / MANIFEST
        try:
            found = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            found = {"format": FORMAT, "videos": {}}
        except (OSError, ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or found.get("format") != FORMAT or not isinstance(found.get("videos"), dict):
            raise VideoError(f"{self.path}: expected a list of videos made by this program; remove the file or pass another --out")
        self.videos: dict[str, dict[str, Any]] = found["videos"]

    def has(self, film: Film, longest_side: int) -> bool:
        """Whether the film is there, made as asked, and whole to the last byte."""
        entry, file = self.videos.get(film.path), self.path.parent / film.path
        if entry is None or not file.is_file() or file.stat().st_size != entry.get("size"):
            return False
        asked = (film.clip_id, film.start_frame, len(film.images), film.fps, longest_side)
        made = tuple(entry.get(name) for name in ("clip_id", "start_frame", "frames", "fps", "longest_side"))
        return asked == made and file_digest(file) == entry.get("sha256")

    def add(self, path: str, entry: Mapping[str, Any]) -> None:
        """Put one video down, at once and whole."""
        self.videos[path] = dict(entry)
        record = {"format": FORMAT, "videos": dict(sorted(self.videos.items()))}
        write_atomic(self.path, (json.dumps(record, indent=1, sort_keys=True) + "\n").encode())
