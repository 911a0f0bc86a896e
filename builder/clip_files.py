"""Where the clips of a dataset lie on this machine, and whether they are the right ones.

A row's `video_path` is relative to a folder of the user's (`--videos`, or HUMANMOVEVQA_VIDEO_DIR); the clips that come with the
package are found without one.  A folder that `humanmovevqa videos` has made says in `videos.json` what its files must be.
"""

from __future__ import annotations

import functools
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from builder import plugins, schema
from builder.store import file_digest
from builder.types import DataError, HumanMoveError, SetupError, VideoError

VARIABLE = "HUMANMOVEVQA_VIDEO_DIR"
MANIFEST = "videos.json"
FORMAT = "hmv-videos/1"
FOUND, MISSING = "found", "missing"
VERDICTS = (FOUND, MISSING, "wrong size", "wrong hash", "wrong frames", "unreadable")


class Wanted(NamedTuple):
    """A clip that a dataset asks about: its source, its path under the video folder, and its number of frames."""

    source: str
    video_path: str
    num_frames: int


class Finding(NamedTuple):
    """What became of a wanted clip: one of VERDICTS, and for all but "found" what was expected and what came."""

    clip: Wanted
    verdict: str
    detail: str


def folder(given: str | os.PathLike[str] | None = None) -> Path | None:
    """The user's video folder: the given one, else HUMANMOVEVQA_VIDEO_DIR, else None.  Raises DataError when it is not there."""
    value = given if given is not None else os.environ.get(VARIABLE) or None
    if value is None:
        return None
    place = Path(value).expanduser()
    if not place.is_dir():
        what = "found a file" if place.exists() else "it does not exist"
        name = "video folder" if given is not None else VARIABLE
        raise DataError(f"{name} {place}: expected a folder with <source>/<sequence>/<clip>.mp4, {what}")
    return place


@functools.cache
def packaged() -> Mapping[str, Path]:
    """video_path -> file of the open clips that come with the package."""
    clips = plugins.load("sources", "sample").clips()
    return {schema.video_path(clip): clip.video for clip in clips if clip.video is not None and clip.video.is_file()}


def is_open(source: str) -> bool:
    """Whether the videos of a source may be shared; a source that is not known here may not."""
    try:
        return bool(plugins.load("sources", source).ABOUT.get("redistribution") == "open")
    except HumanMoveError:
        return False


def place(video_path: str, root: Path | None) -> Path | None:
    """Where a clip should lie: under `root`, else in the package; None when it can only be missing.  Raises DataError.

    A clip of the package counts as found under any root.  `video_path` comes from a dataset, so it must stay below the root.
    """
    parts = video_path.split("/")
    if video_path.startswith("/") or "\\" in video_path or ":" in video_path or not all(p.strip(". ") for p in parts):
        raise DataError(
            f"video_path {video_path!r}: expected <source>/<sequence>/<clip>.mp4 below the video folder; load the dataset again"
        )
    mine = root / video_path if root is not None else None
    if mine is not None and mine.is_file():
        return mine
    return packaged().get(video_path, mine)


def manifest(root: Path) -> dict[str, dict[str, Any]]:
    """path -> {"size", "sha256", "frames", ...} of the folder's `videos.json`; empty without one.  Raises DataError."""
    path = root / MANIFEST
    try:
        found = json.loads(path.read_bytes())
        files = {str(name): dict(entry) for name, entry in found["videos"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: cannot be read as a list of videos ({error!r}); make it again with: humanmovevqa videos") from None
    if found.get("format") != FORMAT:
        raise DataError(f"{path}: expected format {FORMAT!r}, got {found.get('format')!r}; make it again with: humanmovevqa videos")
    return files


def wanted(rows: Iterable[Mapping[str, Any]]) -> list[Wanted]:
    """The clips that rows ask about, each once, sorted; rows need `source`, `video_path` and `num_frames`."""
    return sorted({Wanted(row["source"], row["video_path"], row["num_frames"]) for row in rows})


def check(
    clips: Iterable[Wanted],
    root: Path | None,
    hashes: bool = True,
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> list[Finding]:
    """One finding per clip, in order.  Size and SHA-256 are those of `videos.json`, or of the package for its clips.

    Where neither knows the clip, its container must open and hold `num_frames` frames.  `hashes=False` reads no whole file.
    """
    clips = list(clips)
    listed = manifest(root) if root is not None else {}
    out = []
    for number, clip in enumerate(clips, 1):
        out.append(Finding(clip, *_verdict(clip, root, listed.get(clip.video_path), hashes)))
        progress(number, len(clips), clip.video_path)
    return out


def tally(findings: Iterable[Finding]) -> dict[str, dict[str, int]]:
    """Source -> verdict -> number of clips, every verdict present."""
    counts = Counter((f.clip.source, f.verdict) for f in findings)
    return {source: {v: counts[source, v] for v in VERDICTS} for source in sorted({s for s, _ in counts})}


def _verdict(clip: Wanted, root: Path | None, entry: Mapping[str, Any] | None, hashes: bool) -> tuple[str, str]:
    path = place(clip.video_path, root)
    if path is None:
        return MISSING, f"no video folder given; pass --videos DIR or set {VARIABLE}"
    if not path.is_file():
        return MISSING, f"expected {path}"
    original = packaged().get(clip.video_path)
    if entry is None and original is not None:
        if path == original:
            return FOUND, ""
        entry = {"size": original.stat().st_size} | ({"sha256": file_digest(original)} if hashes else {})
    if entry is None:
        return _decodes(clip, path)
    size = path.stat().st_size
    if size != entry.get("size", size):
        return "wrong size", f"{path}: expected {entry['size']} bytes, got {size}"
    if hashes and "sha256" in entry and file_digest(path) != entry["sha256"]:
        return "wrong hash", f"{path}: expected SHA-256 {str(entry['sha256'])[:12]}..., got another; it was changed or damaged"
    if entry.get("frames", clip.num_frames) != clip.num_frames:
        return "wrong frames", f"{path}: the questions are about {clip.num_frames} frames, it has {entry['frames']}; cut the clips again"
    return FOUND, ""


def _decodes(clip: Wanted, path: Path) -> tuple[str, str]:
    from builder import video

    try:
        frames = video.probe(path).num_frames
    except SetupError:
        raise
    except VideoError as error:
        return "unreadable", str(error)
    if frames is not None and frames != clip.num_frames:
        return "wrong frames", f"{path}: the questions are about {clip.num_frames} frames, it has {frames}; cut the clip again"
    return FOUND, ""
