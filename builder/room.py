"""Will it fit?  What a build will write, estimated before it starts from what its clips have taken so far."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from builder import lifting, pipeline, plugins, store
from builder.lifting import TRUTH
from builder.types import Clip, RoomError

# Bytes that one clip takes where nothing of the kind is there yet to go by: measured on scripted and filmed people of 20 s.
USUAL = {pipeline.STAGE: 90_000, lifting.STAGE: 400_000, lifting.VIDEOS: 3_000_000}
SORTED = 40_000  # of the work folder, while what was asked and the rows are sorted
ROWS = 10_000  # of the dataset
SPARE = 20_000_000
LOOKED_AT = 500


def need(clips: Sequence[Clip], plan: pipeline.Plan, out: Path | None) -> None:
    """Raise RoomError when the disk of the work folder, or of the dataset folder, has less free than the build will take."""
    per_disk: dict[int, tuple[Path, int]] = {}  # by device: a folder of it, and what it is to take
    for folder, size in ((plan.work, wanted(clips, plan)), (out, ROWS * len(clips) if out else 0)):
        if folder is not None:
            place = _existing(folder)
            disk = os.stat(place).st_dev
            first, before = per_disk.get(disk, (folder, 0))
            per_disk[disk] = first, before + size
    for folder, size in per_disk.values():
        free = shutil.disk_usage(_existing(folder)).free
        if free < size + SPARE:
            takes = f"this build will take about {_mb(size)} and {_mb(free)} are free there"
            raise RoomError(f"{folder}: {takes}; free some, or pass another --work and --out")


def wanted(clips: Sequence[Clip], plan: pipeline.Plan) -> int:
    """Bytes that the work folder will grow by, rows that are being sorted included."""
    work = store.Work(plan.work)
    means = {stage: _mean(plan.work / stage, usual) for stage, usual in USUAL.items()}
    films = {name for name in {clip.source for clip in clips} if hasattr(plugins.load("sources", name), "film")}
    total = SORTED * len(clips)
    for clip in clips:
        if not work.path(pipeline.STAGE, clip.clip_id).exists():
            total += means[pipeline.STAGE]
        if lifting.lifter_of(clip, plan.lifter) != TRUTH and not work.path(lifting.STAGE, clip.clip_id).exists():
            total += means[lifting.STAGE]
            if clip.video is None and clip.width and clip.source in films:
                total += means[lifting.VIDEOS]
    return total


def _mean(folder: Path, usual: int) -> int:
    """Bytes that a clip takes in a stage's folder: of its files so far, as many as there are clips, else the usual."""
    files = list(islice(_files(folder), LOOKED_AT))
    clips = sum(name.endswith((".json", ".mp4")) for name, _ in files)
    return sum(size for _, size in files) // clips if clips >= 10 else usual


def _files(folder: Path) -> Iterable[tuple[str, int]]:
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                yield name, (Path(root) / name).stat().st_size
            except OSError:
                continue


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    folder = folder.absolute()
    return next(p for p in (folder, *folder.parents) if p.exists())


def _mb(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
