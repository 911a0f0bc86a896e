"""Motion tracks from files: every `.npz` and `.npy` under a folder, in one of four forms told apart by their keys.

| form       | keys                                        | world                        | root                                   |
|------------|---------------------------------------------|------------------------------|----------------------------------------|
| canonical  | `meta`, `position_m`, ... (`hmv-track/1`)   | +Y up                        | as written                             |
| neutral    | `trans`, `root_rot`, `fps`, `up`            | `up`: "y", "z" or "-y"       | pelvis                                 |
| motion-x   | `motionx` (N, 322), or such an array alone  | +Y up, 30 fps                | rest pelvis + translation, approximate |
| amass      | `trans`, `poses` or `root_orient`, its rate | +Z up                        | the same                               |

A body model turns about its rest pelvis J0, so the pelvis is J0 + translation in the delivered frame; J0 depends on the body's
shape, for which a constant stands in ("pelvis_approx").  Files are never unpickled, and only the keys named here are read.
An optional `groups.json` {file name without suffix: group} says which recordings must stay on one side of the split.
"""

from __future__ import annotations

import lzma
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from builder.geometry import AXES_TO_Y_UP, matrices_from_rotvec
from builder.listing import group_of, groups, named_files
from builder.store import read_track
from builder.types import Clip, Floats, Track, TrackError

ABOUT = {
    "title": "Motion tracks from files (canonical, neutral, Motion-X 322, AMASS)",
    "licence": "as each file says; nothing is redistributed unless the file says it is open",
    "redistribution": "qa_only",
    "citation": "Cite the recordings behind the tracks, such as AMASS (Mahmood et al., ICCV 2019) or Motion-X (Lin et al., NeurIPS 2023).",
    "url": "https://amass.is.tue.mpg.de",
    "synthetic": False,
}
SUFFIXES = (".npz", ".npy")
NOT_TRACKS = ("shape.npz", "stagei.npz")  # AMASS's body shapes and marker fits
REST_PELVIS_M = {"smpl": np.array([0.0, -0.22, 0.03]), "smplx": np.array([0.0, -0.35, 0.01])}  # neutral bodies of mean shape
AMASS_RATES = ("mocap_framerate", "mocap_frame_rate")  # the SMPL-H and the SMPL-X releases spell it differently
MOTIONX_FPS = 30.0
CLIP_FIELDS = ("group", "split", "view", "redistribution", "sequence")
# What numpy and what it stands on raise for a damaged file.
UNREADABLE: tuple[type[Exception], ...] = (
    *(ValueError, EOFError, OSError, KeyError, RuntimeError, MemoryError),
    *(struct.error, zipfile.BadZipFile, zlib.error, lzma.LZMAError, tokenize.TokenError),
)


def clips(root: str | Path | None) -> Iterator[Clip]:
    """One clip per track file under `root`, sorted by path; files are listed and not opened.

    `clip_id` is "tracks/" and the path without suffix, `group` the file's name without suffix or what `groups.json` gives it.
    What only the file knows arrives with the track: fps and length, and in `provenance["clip"]` the clip fields to replace.
    Raises SourceError for a folder that is missing or holds no track file, for two files of one name, or for a bad `groups.json`.
    """
    files = named_files("tracks", root, ".npz or .npy tracks", lambda path: path.suffix in SUFFIXES and _is_track(path))
    folder = Path(str(root))
    known = groups(folder)
    listed = []
    for name, path in files.items():
        group = group_of(name, known)
        listed.append(
            Clip(
                clip_id=f"tracks/{name}",
                source="tracks",
                sequence=name,
                fps=0.0,
                start_frame=0,
                end_frame=0,
                num_frames=0,
                group=path.stem if group is None else group,
                redistribution="qa_only",
                meta={"path": str(path), "file": path.relative_to(folder).as_posix(), "grouped": group is not None},
            )
        )
    return iter(listed)


def reference(clip: Clip) -> list[Track]:
    """The one track in a clip's file, in a +Y-up world; `provenance` says which file, form and licence it comes from.

    Raises TrackError, one line naming file and field, for a file that is no whole track of one of the four forms.
    """
    path = Path(clip.meta["path"])
    with _Fields(path) as fields:
        form = next((form for form in FORMS if any(keys <= set(fields.names) for keys in form.told_by)), None)
        if form is None:
            known = "; ".join(f"{form.name}: {form.keys}" for form in FORMS)
            raise TrackError(f"{path}: expected the keys of a known form ({known}), got {fields.names}; export it in one of them")
        track = form.read(fields, clip)
    return [replace(track, provenance={**track.provenance, "file": clip.meta["file"], "form": form.name})]


class _Fields:
    """The arrays of one file by name, each read when asked for and never unpickled; an `.npy` is the one field "array"."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: list[str] = []
        try:
            self._file = open(path, "rb")  # numpy leaves a file open when it fails to read one that it opened itself
        except OSError as error:
            raise self.error("(file)", "a readable file", _line(error)) from None
        try:
            self._data = np.load(self._file, allow_pickle=False)
        except UNREADABLE as error:
            self._file.close()
            kind = "a pickle or no such file at all; pickles are never loaded" if "pickle" in str(error) else f"unreadable ({_line(error)})"
            raise self.error("(file)", "a whole .npz or .npy of plain numbers", kind) from None
        self.names = ["array"] if isinstance(self._data, np.ndarray) else sorted(self._data.files)

    def __enter__(self) -> _Fields:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if not isinstance(self._data, np.ndarray):
            self._data.close()
        self._file.close()

    def error(self, name: str, expected: str, got: object) -> TrackError:
        """What is wrong with a field, as one line."""
        return TrackError(f"{self.path}: field {name!r}: expected {expected}, got {got}; correct the file or take it out of the folder")

    def array(self, name: str) -> np.ndarray[Any, Any]:
        """A field as it is stored."""
        if name not in self.names:
            raise self.error(name, "it in the file", f"only {self.names}")
        try:
            return np.asarray(self._data if isinstance(self._data, np.ndarray) else self._data[name])
        except UNREADABLE as error:
            kind = "pickled Python objects, which are never loaded" if "pickle" in str(error) else f"damage ({_line(error)})"
            raise self.error(name, "a plain numeric array", kind) from None

    def numbers(self, name: str, *tail: int | tuple[int, ...]) -> Floats:
        """A field of finite numbers, two frames or more, shaped (N, *tail); a tuple in `tail` lists the sizes allowed there."""
        found = self.array(name)
        allowed = [size if isinstance(size, tuple) else (size,) for size in tail]
        fits = found.ndim == 1 + len(tail) and all(n in sizes for n, sizes in zip(found.shape[1:], allowed, strict=True))
        if not fits or found.dtype.kind not in "fiu":
            shape = ", ".join(["N", *(" or ".join(map(str, sizes)) for sizes in allowed)])
            raise self.error(name, f"numbers of shape ({shape})", f"{found.dtype} of shape {found.shape}")
        if len(found) < 2:
            raise self.error(name, "at least 2 frames", f"{len(found)} frame(s)")
        values = found.astype(np.float64)
        bad = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
        if bad.size:
            raise self.error(name, "finite numbers", f"NaN or infinity in {bad.size} frame(s), first in frame {bad[0]}")
        return values

    def rate(self, *names: str) -> float:
        """Frames per second from the first of `names` that the file has."""
        name = next((name for name in names if name in self.names), None)
        if name is None:
            raise self.error(names[0], f"the frames per second as {' or '.join(map(repr, names))}", f"only {self.names}")
        found = self.array(name)
        if found.size != 1 or found.dtype.kind not in "fiu" or not 1 <= float(found.reshape(())) <= 1000:
            got = found.tolist() if found.size == 1 else f"shape {found.shape}"
            raise self.error(name, "frames per second, one number from 1 to 1000", got)
        return float(found.reshape(()))

    def text(self, name: str) -> str:
        """A field of text, "" when the file lacks it."""
        return str(self.array(name).astype(str)) if name in self.names else ""


def _canonical(fields: _Fields, clip: Clip) -> Track:
    try:
        track, embedded = read_track(fields.path)
    except UNREADABLE as error:
        raise fields.error("(file)", "a whole track file", f"damage ({_line(error)})") from None
    known = {} if embedded is None else {name: getattr(embedded, name) for name in CLIP_FIELDS}
    if clip.meta["grouped"]:
        known.pop("group", None)
    provenance = {**track.provenance, "clip": known} if known else track.provenance
    return replace(track, clip_id=clip.clip_id, provenance=provenance)


def _neutral(fields: _Fields, clip: Clip) -> Track:
    up = fields.text("up")
    if up not in AXES_TO_Y_UP:
        raise fields.error("up", f"the vertical axis, one of {tuple(AXES_TO_Y_UP)}", repr(up) if up else "nothing")
    licence = fields.text("licence")
    notes: dict[str, Any] = {"licence": licence, "recording": fields.text("source")}
    if licence.strip().lower().startswith("open"):
        notes["clip"] = {"redistribution": "open"}
    positions, rotations = ("trans", fields.numbers("trans", 3)), ("root_rot", fields.numbers("root_rot", 3, 3))
    return _track(fields, clip, positions, rotations, fields.rate("fps"), up, notes)


def _motionx(fields: _Fields, clip: Clip) -> Track:
    name = "motionx" if "motionx" in fields.names else "array"
    values = fields.numbers(name, 322)
    pelvis = values[:, 309:312] + REST_PELVIS_M["smplx"]
    return _track(fields, clip, (name, pelvis), (name, matrices_from_rotvec(values[:, :3])), MOTIONX_FPS, "y")


def _amass(fields: _Fields, clip: Clip) -> Track:
    fps = fields.rate(*AMASS_RATES)
    if "root_orient" in fields.names:
        name, rotvec, body = "root_orient", fields.numbers("root_orient", 3), "smplx"
    else:
        poses = fields.numbers("poses", (156, 165))
        name, rotvec, body = "poses", poses[:, :3], "smplx" if poses.shape[1] == 165 else "smpl"
    pelvis = fields.numbers("trans", 3) + REST_PELVIS_M[body]
    return _track(fields, clip, ("trans", pelvis), (name, matrices_from_rotvec(rotvec)), fps, "z")


def _track(
    fields: _Fields,
    clip: Clip,
    positions: tuple[str, Floats],
    rotations: tuple[str, Floats],
    fps: float,
    up: str,
    notes: dict[str, Any] | None = None,
) -> Track:
    """The +Y-up track of root positions (N, 3) and body-to-world rotations (N, 3, 3), each with the file's name for it.

    Without `notes` the root is the approximate pelvis of a body model.
    """
    axes = AXES_TO_Y_UP[up]
    if len(rotations[1]) != len(positions[1]):
        raise fields.error(rotations[0], f"as many frames as {positions[0]!r}, {len(positions[1])}", len(rotations[1]))
    try:
        return Track(
            clip_id=clip.clip_id,
            person_id="0",
            fps=fps,
            valid=np.ones(len(positions[1]), dtype=bool),
            body_to_world=axes @ rotations[1],
            position_m=positions[1] @ axes.T,
            frame_ids=np.arange(len(positions[1]), dtype=np.int64),
            root_kind="pelvis_approx" if notes is None else "pelvis",
            provenance=notes or {},
        )
    except TrackError as error:
        problem = str(error).removeprefix(f"track {clip.clip_id}/0: ").replace("'body_to_world'", repr(rotations[0]))
        raise TrackError(f"{fields.path}: {problem}; correct the file or take it out of the folder") from None


class Form(NamedTuple):
    """A form of track file: its keys in words, the sets of keys that each tell it apart, and its reader."""

    name: str
    keys: str
    told_by: tuple[frozenset[str], ...]
    read: Callable[[_Fields, Clip], Track]


def _keys(*alternatives: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(keys.split()) for keys in alternatives)


FORMS = (
    Form("canonical", "meta, position_m, body_to_world, ...", _keys("meta position_m"), _canonical),
    Form("neutral", "trans, root_rot, fps, up", _keys("trans root_rot"), _neutral),
    Form("motion-x", "motionx, or an .npy", _keys("motionx", "array"), _motionx),
    Form("amass", "trans, poses or root_orient, mocap_framerate or mocap_frame_rate", _keys("trans poses", "trans root_orient"), _amass),
)


def _is_track(path: Path) -> bool:
    return not path.name.lower().endswith(NOT_TRACKS)


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
