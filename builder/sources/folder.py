"""Anybody's videos: a folder, or a single file; one clip per video, as long as it is.

`groups.json` in the folder says who must stay together in the split: {file name without suffix: group}.  Without it every video
is a group of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from builder.listing import group_of, groups, named_files
from builder.types import Clip

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
    """One clip per video under `root`, sorted by path; files are listed and not opened.

    `clip_id` is "folder/" and the path without suffix.  Size, frame rate and length are the lifter's to read.
    Raises SourceError for a folder that is missing or holds no video, for two videos of one name, or for a bad `groups.json`.
    """
    if root is not None and Path(root).is_file():
        return iter([_clip(Path(root).stem, Path(root), None)])
    files = named_files("folder", root, "videos", lambda path: path.suffix.lower() in SUFFIXES)
    known = groups(Path(str(root)))
    return iter([_clip(name, file, group_of(name, known)) for name, file in files.items()])


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
