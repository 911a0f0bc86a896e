"""Reading other people's files with every field checked: folders, arrays, transforms, and fits that lie in a file per frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from builder import store, unpickle
from builder.recordings.records import Fit
from builder.types import Bools, Floats, SourceError

ORTHOGONAL = 5e-3
FIT, FIT_BYTES = {"global_orient": 3, "transl": 3, "betas": 10}, 1 << 20  # what is read of a frame's fit, and its largest file


def root_of(source: str, root: str | Path | None) -> Path:
    """The absolute folder of a licensed copy.  Raises SourceError when there is none."""
    if root is None:
        raise SourceError(f"source {source}: expected the folder of your licensed copy, none was given; pass it as {source}=FOLDER")
    folder = Path(root).expanduser()
    if not folder.is_dir():
        what = "found a file" if folder.exists() else "it does not exist"
        raise SourceError(f"source {source}={root}: expected the folder of your licensed copy, {what}")
    return folder.resolve()


def circles(meetings: Iterable[Iterable[str]]) -> dict[str, str]:
    """Person to the first by name of all the people linked to them: those seen with them, those seen with these, and so on."""
    circle: dict[str, frozenset[str]] = {}
    for people in map(frozenset, meetings):
        linked = people.union(*(circle.get(person, ()) for person in people))
        circle |= dict.fromkeys(linked, linked)
    return {person: min(linked) for person, linked in circle.items()}


def numbers(value: Any, shape: Sequence[int | None], where: str, rows: Bools | None = None) -> Floats:
    """Numbers of this shape (None allows any size), finite in all rows or in those given.  Raises SourceError saying where."""
    try:
        found = np.asarray(value)
        right = len(found.shape) == len(shape) and all(want in (None, got) for want, got in zip(shape, found.shape, strict=True))
    except ValueError:
        found, right = np.zeros(0), False
    if not right or found.dtype.kind not in "biuf":
        wanted = f"({', '.join('any' if n is None else str(n) for n in shape)})"
        raise SourceError(f"{where}: expected numbers of shape {wanted}, got {found.dtype} of shape {found.shape}; copy the file again")
    out = found.astype(float)
    if not np.isfinite(out if rows is None else out[rows]).all():
        raise SourceError(f"{where}: expected finite numbers, got NaN or infinity; copy the file again")
    return out


def read_fits(files: Mapping[int, Path], ids: NDArray[np.int64], rows: Sequence[int]) -> Fit:
    """The fits of one person at some rows, a file per frame.  Raises SourceError for the first file that is not one."""
    found = [fit_fields(unpickle.read(files[int(ids[row])], FIT_BYTES), FIT, files[int(ids[row])]) for row in rows]
    orient, transl, betas = (np.array([one[name] for one in found]).reshape(len(found), size) for name, size in FIT.items())
    return Fit(orient, transl, betas)


def fit_fields(data: Any, sizes: Mapping[str, int], file: Path) -> dict[str, Floats]:
    """Fields of one frame's fit, each (n,), stored as (1, n) or (n,).  Raises SourceError naming file and field."""
    if not isinstance(data, dict):
        raise SourceError(f"{file}: expected a dictionary with {', '.join(sizes)}, got {type(data).__name__}; copy it again")
    out = {}
    for name, size in sizes.items():
        if name not in data:
            raise SourceError(f"{file}: expected the field {name!r}, found only {sorted(map(str, data))}; copy the file again")
        value = np.asarray(data[name])
        out[name] = numbers(value.reshape(-1) if value.shape == (1, size) else value, (size,), f"{file}: field {name!r}")
    return out


def stamp(files: Iterable[Path]) -> str:
    """A digest of files' names, sizes and times of change: another one means that they were replaced."""
    out = []
    for file in files:
        try:
            known = file.stat()
        except OSError:
            continue
        out.append([file.name, known.st_size, known.st_mtime_ns])
    return store.digest(out)


def rigid(matrix: Any, where: object) -> Floats:
    """A 4x4 transform with its rotation made exact.  Raises SourceError for one that is not rigid within `ORTHOGONAL`."""
    found = np.asarray(matrix, dtype=float)
    if found.shape != (4, 4) or not np.isfinite(found).all():
        raise SourceError(f"{where}: expected a 4 x 4 transform of finite numbers, got shape {found.shape}; copy the file again")
    out = found.copy()
    out[:3, :3] = rotation(found[:3, :3], where)
    return out


def rotation(matrix: Any, where: object, tolerance: float = ORTHOGONAL) -> Floats:
    """The nearest rotation (3, 3).  Raises SourceError for a matrix further than `tolerance` from one, or for a reflection."""
    found = np.asarray(matrix, dtype=float)
    if found.shape != (3, 3) or not np.isfinite(found).all():
        raise SourceError(f"{where}: expected a 3 x 3 rotation of finite numbers, got shape {found.shape}; copy the file again")
    off = float(np.abs(found @ found.T - np.eye(3)).max())
    if off > tolerance or np.linalg.det(found) < 0:
        what = "a reflection" if off <= tolerance else f"an error of {off:.3g}"
        raise SourceError(f"{where}: expected a rotation (R R' = 1 within {tolerance:g}), got {what}; is it the right file?")
    u, _, v = np.linalg.svd(found)
    return np.asarray(u @ v)
