"""The folders that lifters leave: which is a clip's, reading it with every field checked, and having the lifter make it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from builder import body, program, store, unpickle
from builder.program import Program
from builder.types import (
    Clip,
    Floats,
    HumanMoveError,
    LiftError,
    NotNowError,
    RoomError,
    SetupError,
    SourceError,
    Track,
    TrackError,
    VideoError,
    passes,
)

LIMIT_BYTES = 4 << 30  # of one file: vertices or masks of a minute fit in
AGAIN = "then build again with --retry-failed, because a clip's failure is remembered"

Lift = Callable[[Clip], list[Track]]


# Which files


def names(clip: Clip) -> list[str]:
    """Folder names under which a lifter may have left a clip's results, the surest first.

    The clip's name with its folders, what `run_name` gives, the video's name without suffix (lifters cut it at the first dot), the
    sequence with "/" as "_", and its last part.
    """
    name = clip.clip_id.partition("/")[2] or clip.clip_id
    stems = [] if clip.video is None else [Path(clip.video).stem, Path(clip.video).name.partition(".")[0]]
    sequence = clip.sequence.strip("/")
    tried = [name, run_name(clip), *stems, sequence.replace("/", "_"), sequence.rpartition("/")[2]]
    return [n for k, n in enumerate(tried) if n and ".." not in n.split("/") and n not in tried[:k]]


def run_name(clip: Clip) -> str:
    """The name that a clip's results get when we run the lifter: no two clips share one, and no shell or parser minds it."""
    return f"{re.sub(r'[^A-Za-z0-9_-]', '_', clip.clip_id)[:80]}-{store.digest(clip.clip_id)[:8]}"


def found(results: Path, clip: Clip, *files: str) -> Path | None:
    """The first folder of the clip under `results` that holds one of the files; or `results` itself, if it is one of these by name."""
    known = names(clip)
    folders = [results / name for name in known] + [results] * (results.name in known)
    return next((folder for folder in folders if any((folder / file).is_file() for file in files)), None)


def missing(results: Path, clip: Clip, what: str) -> NotNowError:
    """The error for a clip of which there are no results yet."""
    return NotNowError(
        f"no {what} of this clip under {results.name}/: looked in {', '.join(names(clip)[:4])}; lift it there, then build again"
    )


# Running


def installed(
    lifter: str, name: str, script: str, outputs: str, results: str | Path | None, root: str | Path | None, python: str | Path | None
) -> tuple[Program | None, Path]:
    """The program to run, None when only to read, and the folder of results.  Raises SetupError for options that give neither."""
    if root is None and results is None:
        raise SetupError(f"{lifter} needs --option results=DIR, a folder of its results, or --option root=DIR, where {name} is installed")
    if root is None:
        assert results is not None
        return None, folder_option("results", results)
    tool = program.find(name, root, script, python)
    return tool, (tool.root / outputs if results is None else Path(results).expanduser()).resolve()


def camera_option(camera: str) -> bool:
    """Whether the camera is said to stand still.  Raises SetupError."""
    if camera not in ("moving", "static"):
        raise SetupError(f"option camera={camera}: expected moving or static")
    return camera == "static"


def models_option(given: str | Path | None, model: str) -> Path | None:
    """The folder of body models, which holds the neutral `model`, or None.  Raises SetupError."""
    if given is None:
        return None
    folder = folder_option("models", given)
    body.model_file(model, "neutral", folder)
    return folder


def made(
    tool: Program, results: Path, clip: Clip, file: str, arguments: Callable[[Path], Sequence[str]], leaves: Path | None = None
) -> None:
    """Run a lifter on a clip's video, unless its whole result is there already.

    `arguments(video)` are its script's; the video has the name that the lifter will name its folder by.  A lifter that cannot be told
    where to write leaves its folder in `leaves`, from where it is taken to `results`.  Raises LiftError, NotNowError, and SetupError.
    """
    at = found(results, clip, file)
    if at is not None and at.name != run_name(clip):
        return
    folder = results / run_name(clip)
    if _whole(folder / file):
        return
    if clip.video is None or not Path(clip.video).is_file():
        raise LiftError(f"there is no video to run {tool.name} on")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        video = folder / f"{folder.name}{Path(clip.video).suffix}"
        video.unlink(missing_ok=True)
        video.symlink_to(Path(clip.video).resolve())
        left = folder if leaves is None else leaves / folder.name
        ready = left != folder and _whole(left / file)
        if not ready:  # cut off when an earlier run was stopped, and the lifter would believe in it
            (left / file).unlink(missing_ok=True)
    except OSError as error:
        kind = RoomError if passes(error) else SetupError
        raise kind(f"option results={results}: cannot be written: {error.strerror}") from None
    failure: HumanMoveError | None = None
    try:
        if not ready:
            program.run(tool, arguments(video), folder / f"{tool.name.lower()}.log")
    except (LiftError, NotNowError) as error:  # it may have failed after its work, drawing pictures
        failure = error
    if left != folder and _whole(left / file):
        for item in sorted(left.iterdir()):
            if (folder / item.name).is_dir():
                shutil.rmtree(folder / item.name)
            shutil.move(item, folder / item.name)
        left.rmdir()
    if not _whole(folder / file):
        why = str(failure or f"{tool.name} ended well but left no whole {file}")
        # A reason is published with the build, and a program's last words like to name places on its machine.
        why = why.replace(f"{tool.root}/", "").replace(str(Path.home()), "~")
        if isinstance(failure, NotNowError):
            raise NotNowError(f"{why}; the next build tries again")
        raise LiftError(f"{why}; {AGAIN}")


def _whole(path: Path) -> bool:
    """Whether a file can be read to its end."""
    if not path.is_file():
        return False
    try:
        unpickle.read(path, LIMIT_BYTES)
    except SourceError:
        return False
    return True


# Reading


def number(holder: Any, key: str, where: str) -> float:
    """The one number `key` of a dictionary, however it is wrapped.  Raises SourceError."""
    value = np.asarray(holder.get(key)) if isinstance(holder, dict) else np.zeros(0)
    if value.size != 1 or value.dtype.kind not in "fiu" or not np.isfinite(value).all():
        raise SourceError(f"{where}: field {key!r}: expected one number, got {value.dtype} of shape {value.shape}")
    return float(value.reshape(-1)[0])


def numbers(holder: Any, key: str, where: str, *shape: int | None) -> Floats:
    """The array `key` of a dictionary as finite-or-NaN float64 of this shape (None allows any size).  Raises SourceError."""
    if not isinstance(holder, dict) or key not in holder:
        there = ", ".join(sorted(map(str, holder))[:12]) if isinstance(holder, dict) else type(holder).__name__
        raise SourceError(f"{where}: expected the field {key!r}, got {there or 'nothing'}; was it written by another version?")
    value = np.asarray(holder[key])
    fits = value.ndim == len(shape) and all(want is None or want == have for want, have in zip(shape, value.shape, strict=True))
    if value.dtype.kind not in "fiub" or not fits:
        wanted = ", ".join("any" if n is None else str(n) for n in shape)
        raise SourceError(f"{where}: field {key!r}: expected numbers of shape ({wanted}), got {value.dtype} of shape {value.shape}")
    return value.astype(np.float64)


def frame_numbers(holder: Any, key: str, where: str, n: int) -> NDArray[np.int64]:
    """The frame numbers (n,) of a fit."""
    values = numbers(holder, key, where, n)
    if not (np.isfinite(values).all() and (values >= 0).all() and (values == np.floor(values)).all() and (values < 1e8).all()):
        raise SourceError(f"{where}: field {key!r}: expected frame numbers from 0, got {values.min():g} to {values.max():g}")
    return values.astype(np.int64)


def need_rotations(rotations: Floats, where: str) -> Floats:
    """Rotations (..., 3, 3) as they are.  Raises SourceError when they are none."""
    off = np.abs(rotations @ np.swapaxes(rotations, -1, -2) - np.eye(3)).max() if rotations.size else 0.0
    if not off < 5e-3 or not (np.linalg.det(rotations) > 0).all():
        raise SourceError(f"{where}: expected rotation matrices, got others (R R' differs from 1 by {off:.2g})")
    return rotations


# Options and errors


def folder_option(name: str, given: str | Path) -> Path:
    """An option that is an existing folder.  Raises SetupError."""
    folder = Path(given).expanduser()
    if not folder.is_dir():
        raise SetupError(f"option {name}={given}: expected a folder, {'found a file' if folder.exists() else 'it does not exist'}")
    return folder.resolve()


@contextmanager
def one_line(clip: Clip, *places: Path) -> Iterator[None]:
    """What goes wrong with one clip, as a LiftError, or a NotNowError, that names the clip and no place on this machine."""
    try:
        yield
    except (SourceError, TrackError, VideoError, LiftError, NotNowError) as error:
        kind = NotNowError if passes(error) else LiftError
        text = str(error)
        for place in places:
            text = text.replace(f"{place}/", "")
        raise kind(f"{clip.clip_id}: {text}") from None


def reading(lift: Lift, *places: Path) -> Lift:
    """A lifter whose errors about a clip are `one_line`'s."""

    def one(clip: Clip) -> list[Track]:
        with one_line(clip, *places):
            return lift(clip)

    return one
