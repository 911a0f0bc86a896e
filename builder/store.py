"""Local files of a build: canonical track files, and the work folder with one artefact per clip and stage.

A track file is one `.npz` without pickle: an array per field, and one JSON string `meta` with everything else, the clip
included.  A work artefact is `<work>/<stage>/<clip_id>.json`, written beside its final name and moved there in one step, so
that it is whole or absent.  It carries the key of what it was made from; a different key means it is stale and made again.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import re
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from builder.types import NO_ROOM, Clip, RoomError, StoreError, Track, TrackError

SCHEMA = "hmv-track/1"
LONGEST = 180  # characters of a file name made from a clip id; file systems allow 255 bytes
ARRAYS = ("valid", "body_to_world", "position_m", "frame_ids")
OPTIONAL_ARRAYS = ("joints_m", "camera_to_world")
TEXTS = ("clip_id", "person_id", "fps", "root_kind", "frame", "lifter", "referent", "provenance")


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` so that `path` holds either its old content or all of the new, whenever the process dies.

    Raises StoreError, and RoomError, which is one, for a disk that takes nothing more.
    """
    temporary = scratch(path.parent, path.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise trouble(error, f"cannot write {path}", "; nothing of it was changed") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def trouble(error: OSError, what: str, then: str = "") -> StoreError:
    """What could not be written, as the error of ours that says so: RoomError for a disk that takes nothing more."""
    kind = RoomError if error.errno in NO_ROOM else StoreError
    return kind(f"{what}: {error.strerror or error}{then}")


def scratch(folder: Path, name: str) -> Path:
    """A path in a folder for what this process alone needs for a while; `sweep` removes what a killed process leaves there."""
    return folder / f"{name}.{_writer()}.tmp"


def _writer() -> str:
    """Names this machine, process and thread in a temporary file's name: no two that share a disk write the same one."""
    return f"{_host()}.{os.getpid()}.{threading.get_ident()}"


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9-]", "-", platform.node())[:40] or "here"


def sweep(folder: Path) -> None:
    """Remove what killed processes of this machine have left half-written in a folder."""
    for left in folder.glob(f"*.{_host()}.*.*.tmp"):
        try:
            os.kill(int(left.name.split(".")[-3]), 0)
        except (ProcessLookupError, ValueError):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                with suppress(OSError):
                    left.unlink()
        except OSError:
            continue


def need_folder(path: Path) -> None:
    """Make a folder, with its parents.  Raises StoreError where that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot make the folder {path}: {error.strerror or error}; pass another --out") from None


def digest(*parts: object) -> str:
    """First 16 hex digits of a SHA-256 over the JSON of `parts`: the key of an artefact."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def write_track(path: Path, track: Track, clip: Clip | None = None) -> None:
    """Write a track (and the clip it belongs to) as one canonical `.npz`; `read_track` gives both back bit for bit."""
    arrays: dict[str, Any] = {name: getattr(track, name) for name in ARRAYS}
    arrays |= {name: getattr(track, name) for name in OPTIONAL_ARRAYS if getattr(track, name) is not None}
    arrays |= {f"extra.{name}": value for name, value in track.extra.items()}
    for name, value in arrays.items():
        if np.asarray(value).dtype.hasobject:
            raise TrackError(f"track {track.clip_id}: field {name!r} holds Python objects; expected numbers")
    meta: dict[str, Any] = {"schema": SCHEMA, "track": {name: getattr(track, name) for name in TEXTS}}
    if clip is not None:
        meta["clip"] = asdict(clip) | {"video": None if clip.video is None else str(clip.video)}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays, meta=np.array(json.dumps(meta, sort_keys=True)))
    write_atomic(path, buffer.getvalue())


def read_arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """All arrays of an `.npz` or the array of an `.npy` (as "array"), never unpickling.  Raises TrackError naming the field."""
    try:
        loaded = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)  # given a path, numpy leaves a damaged file open
        if isinstance(loaded, np.ndarray):
            return {"array": loaded}
    except MemoryError:
        raise
    except Exception as error:  # numpy, zipfile and what they stand on raise a dozen kinds for a damaged file
        raise TrackError(f"{path}: cannot be read as npz or npy ({_first_line(error)}); is it whole?") from None
    out = {}
    with loaded:
        for name in loaded.files:
            try:
                out[name] = loaded[name]
            except MemoryError:
                raise
            except Exception as error:
                reason = (
                    "holds pickled Python objects, which are never loaded"
                    if "pickle" in str(error)
                    else f"is damaged ({_first_line(error)})"
                )
                raise TrackError(f"{path}: field {name!r} {reason}; expected a plain numeric array") from None
    return out


def read_track(path: Path) -> tuple[Track, Clip | None]:
    """The track in a canonical `.npz` and its clip (None when it was written without one).  Raises TrackError."""
    arrays = read_arrays(path)
    try:
        meta = json.loads(str(arrays.pop("meta")))
        if meta["schema"] != SCHEMA:
            raise TrackError(f"{path}: field 'meta.schema': expected {SCHEMA!r}, got {meta['schema']!r}")
        extra = {name.removeprefix("extra."): arrays[name] for name in arrays if name.startswith("extra.")}
        core: dict[str, Any] = {name: arrays[name] for name in arrays if not name.startswith("extra.")}
        track = Track(**core, **meta["track"], extra=extra)
        clip = meta.get("clip")
        if clip is not None:
            clip = Clip(**clip | {"video": Path(clip["video"]) if clip["video"] else None})
        return track, clip
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise TrackError(f"{path}: not a {SCHEMA} file: {_first_line(error)}") from None
    except TrackError as error:
        raise error if str(path) in str(error) else TrackError(f"{path}: {error}") from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def plain(identity: str) -> str:
    """A file name without suffix for any text, unlike that of any other: letters, digits, "_.-~", and "%" for the rest."""
    name = quote(identity, safe="")
    return name if len(name) <= LONGEST else f"{name[:LONGEST]}-{digest(identity)}"


class Work:
    """The work folder: one JSON artefact per clip and stage, keyed by what it was made from."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        if self.root.exists() and not self.root.is_dir():
            raise StoreError(f"work folder {self.root}: expected a folder, found a file; pass another --work")

    def need_writable(self) -> None:
        """Make the folder, put something into it and take it away again.  Raises StoreError where that cannot be."""
        probe = scratch(self.root, "probe")
        write_atomic(probe, b"")
        with suppress(OSError):
            probe.unlink()

    def path(self, stage: str, clip_id: str) -> Path:
        """Where the artefact of `clip_id` in `stage` lies; any clip id gives a valid, unique file name."""
        return self.root / stage / f"{plain(clip_id)}.json"

    def get(self, stage: str, clip_id: str, key: str) -> dict[str, Any] | None:
        """The artefact made from `key`, or None when there is none, a stale one or a damaged one."""
        record = self.read(stage, clip_id)
        return record if record is not None and record.get("key") == key else None

    def read(self, stage: str, clip_id: str) -> dict[str, Any] | None:
        """The artefact of a clip whatever it was made from, or None when there is none or a damaged one."""
        try:
            record = json.loads(self.path(stage, clip_id).read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        return record if isinstance(record, dict) else None

    def put(self, stage: str, clip_id: str, key: str, record: Mapping[str, Any]) -> dict[str, Any]:
        """Store a record (JSON-ready) under `key` and return it as `get` would."""
        out = {**record, "key": key}
        write_atomic(self.path(stage, clip_id), json.dumps(out, sort_keys=True).encode())
        return out

    def all(self, stage: str) -> Iterator[Path]:
        """Paths of every artefact of a stage, sorted."""
        yield from sorted((self.root / stage).glob("*.json"))


def to_json(record: Any) -> dict[str, Any]:
    """A frozen record as JSON-ready values (paths as text, tuples as lists)."""
    return {f.name: _plain(getattr(record, f.name)) for f in fields(record)}


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    return value
