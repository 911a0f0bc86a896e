"""The column `video` of a loaded dataset, filled from clips on this machine: the dataset itself holds only where they lie."""

from __future__ import annotations

import functools
import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from builder import clip_files
from builder.types import DataError, SetupError

MISSING = ("error", "none", "drop")
COLUMN, PATH = "video", "video_path"
SHOWN = 3


def attach(dataset: Any, root: str | os.PathLike[str] | None, missing: str, decode: bool) -> Any:
    """`dataset` (one split or a dict of them, map-style or streaming) with its column `video` filled; see `humanmovevqa.attach_videos`."""
    if missing not in MISSING:
        raise DataError(f"missing={missing!r}: expected one of {', '.join(MISSING)}")
    if decode and importlib.util.find_spec("torchcodec") is None:
        raise SetupError("decode=True needs torchcodec and FFmpeg's libraries; install both, or take decode=False and the paths it gives")
    folder = clip_files.folder(root)
    if isinstance(dataset, Mapping):
        make: Any = type(dataset)
        return make({split: _attached(part, folder, missing, decode) for split, part in dataset.items()})
    return _attached(dataset, folder, missing, decode)


def _attached(dataset: Any, root: Path | None, missing: str, decode: bool) -> Any:
    import datasets

    features = dataset.features
    if features is None:  # a stream that has not been looked at
        dataset = dataset._resolve_features()
        features = dataset.features
    if PATH not in features:
        raise DataError(f"expected a HumanMoveVQA dataset with the column {PATH!r}, got the columns {', '.join(features)}")
    column = features.get(COLUMN, datasets.Video())
    if not isinstance(column, datasets.Video) and column != datasets.Value("null"):  # the type of rows that came without one
        raise DataError(f"the column {COLUMN!r} of the dataset is not a video; rename it with rename_column({COLUMN!r}, ...), then attach")
    if COLUMN in features:
        if isinstance(dataset, datasets.IterableDataset):  # a stream decodes even what is about to be removed
            dataset = dataset.cast_column(COLUMN, datasets.Video(decode=False))
        dataset = dataset.remove_columns([COLUMN])  # a list: of a stream, `datasets` takes away "id" too, which is in the word "video"
    video = datasets.Video(decode=decode)
    if isinstance(dataset, datasets.IterableDataset):
        # `cast` and not `features=` of `map`: a stream decodes only what was typed after it was mapped.
        attach = functools.partial(_stream, root=root, missing=missing)
        return dataset.map(attach, batched=True).cast(datasets.Features({**features, COLUMN: video}))
    paths = list(dataset[PATH])
    files = {path: _file(path, root) for path in sorted(set(paths))}
    gone = [path for path, file in files.items() if file is None]
    if gone and missing == "error":
        raise DataError(_complaint(len(gone), len(files), gone[0], root))
    if gone and missing == "drop":
        dataset = dataset.select([n for n, path in enumerate(paths) if files[path] is not None])
        paths = [path for path in paths if files[path] is not None]
    # A column made here and not by `map`, whose cache would not notice that a video has come or gone.
    filled = dataset.add_column(COLUMN, [files[path] for path in paths], feature=datasets.Value("string")).cast_column(COLUMN, video)
    return filled.select_columns([*{**features, COLUMN: video}])


def _stream(batch: dict[str, list[Any]], root: Path | None, missing: str) -> dict[str, list[Any]]:
    """A batch with its files; raises DataError, or drops rows, where there is none."""
    files = [_file(path, root) for path in batch[PATH]]
    gone = [path for path, file in zip(batch[PATH], files, strict=True) if file is None]
    if gone and missing == "error":
        raise DataError(_complaint(len(set(gone)), len(set(batch[PATH])), gone[0], root))
    keep = [n for n, file in enumerate(files) if file is not None or missing == "none"]
    videos = [None if file is None else {"path": file, "bytes": None} for file in files]
    return {name: [values[n] for n in keep] for name, values in {**batch, COLUMN: videos}.items()}


def _file(path: str, root: Path | None) -> str | None:
    file = clip_files.place(path, root)
    return str(file.absolute()) if file is not None and file.is_file() else None


def _complaint(gone: int, of: int, first: str, root: Path | None) -> str:
    where = f"under {root}" if root else f"(no video folder is given: pass root=, or set {clip_files.VARIABLE})"
    return (
        f"{gone} of {of} videos are missing {where}, the first: {first}; `humanmovevqa verify` lists them, missing='none' or 'drop' goes on"
    )
