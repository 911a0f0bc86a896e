"""Anybody's videos: a folder, or a single file; one clip per video, or several where it lasts longer than half a minute.

`groups.json` in the folder says who must stay together in the split: {file name without suffix: group}.  Without it every video
is a group of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from builder.cache import user_cache
from builder.listing import group_of, groups, named_files
from builder.types import Clip, SetupError, SourceError, VideoError
from builder.video import stretches

ABOUT = {
    "title": "Videos from a folder",
    "licence": "as the owner of the videos says; the questions hold no picture of them",
    "redistribution": "qa_only",
    "citation": "Cite the recordings that the folder holds.",
    "url": "",
    "synthetic": False,
}
SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts")


def clips(root: str | Path | None) -> Iterator[Clip]:
    """The clips of the videos under `root`, or of a single file, sorted by path.

    A video of up to half a minute is one clip as it is: `clip_id` is "folder/" and the path without suffix; size, frame rate and
    length are the lifter's to read.  A longer one is a clip per stretch (`video.stretches`), "<path>.<first frame>-<end frame>", all
    of one group.  What cannot be read, or has no shot long enough, is one clip, for the lifter to say why.
    Raises SourceError for a folder that is missing or holds no video, for two videos of one name, or for a bad `groups.json`.
    """
    if root is not None and Path(root).is_file():
        return iter(_clips(Path(root).stem, Path(root), None))
    files = named_files("folder", root, "videos", lambda path: path.suffix.lower() in SUFFIXES)
    known = groups(Path(str(root)))
    found: dict[str, Clip] = {}
    for name, file in files.items():
        for clip in _clips(name, file, group_of(name, known)):
            if clip.clip_id in found:
                raise SourceError(f"source folder={root}: {file} is named like a part of {found[clip.clip_id].video}; rename one of them")
            found[clip.clip_id] = clip
    return iter(found.values())


def whole(file: Path) -> Clip:
    """One video as one clip, however long it is."""
    return _clip(file.stem, file, None)


def _clips(name: str, file: Path, group: str | None) -> list[Clip]:
    clip = _clip(name, file, group)
    try:
        parts = stretches(file, memory=cache())
    except (VideoError, SetupError):
        parts = []
    return [
        replace(
            clip,
            clip_id=f"{clip.clip_id}.{part.start:06d}-{part.end:06d}",
            fps=part.fps,
            start_frame=part.start,
            end_frame=part.end,
            num_frames=part.end - part.start,
        )
        for part in parts
    ] or [clip]


def cache() -> Path:
    """Where the shots of long videos are remembered for this user."""
    return user_cache() / "shots"


def _clip(name: str, file: Path, group: str | None) -> Clip:
    return Clip(
        clip_id=f"folder/{name}",
        source="folder",
        sequence=name,
        fps=0.0,
        start_frame=0,
        end_frame=0,
        num_frames=0,
        group=name if group is None else group,
        redistribution="qa_only",
        video=file,
    )
