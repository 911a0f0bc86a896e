"""What is refused before anything is sent: media and poses that may not be shared, code, secrets, and paths of this machine.

A dataset folder may hold what its manifest lists, rows of exactly the published columns, and nothing else.  A Space may hold
code, a model weights that cannot run anything; clips and tracks in either must be those that come with the package.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from builder import clip_files, export, schema
from builder.hub.repo import HubError
from builder.store import file_digest
from builder.types import HumanMoveError

LOCAL = ("report.html",)  # in a built folder for its maker's eyes: paths and movements of single clips
DATA = (".parquet", ".json", ".md", ".yaml", ".txt", ".bib")
VIDEO = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".gif", ".wav", ".mp3", ".flac", ".m4a")
IMAGE = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".svg")
POSE = (".npz", ".npy", ".h5", ".hdf5", ".mat", ".bvh", ".fbx", ".c3d", ".ply", ".obj", ".glb")
PICKLE = (".pkl", ".pickle", ".p", ".pt", ".pth", ".bin", ".ckpt", ".joblib", ".dill")
CODE = (".py", ".pyc", ".pyx", ".so", ".sh", ".ipynb", ".js", ".exe", ".dll", ".jar")
ARCHIVE = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")
KINDS = {
    **dict.fromkeys(VIDEO, "a video or sound"),
    **dict.fromkeys(IMAGE, "an image"),
    **dict.fromkeys(POSE, "poses, a track or a mesh"),
    **dict.fromkeys(PICKLE, "a pickle, which can run code when it is loaded"),
    **dict.fromkeys(CODE, "code"),
    **dict.fromkeys(ARCHIVE, "an archive, whose content cannot be seen"),
}
REFUSED = {  # what a repo of this kind may hold of them
    "space": (*VIDEO, *POSE, *PICKLE, *ARCHIVE, ".pyc", ".so", ".exe", ".dll", ".jar"),
    "model": (*VIDEO, *POSE, *PICKLE, *CODE, *ARCHIVE),
}
SHARED = (*VIDEO, *POSE)  # allowed where the bytes are those of a packaged clip or its track
IGNORED = (".git", ".cache", "__pycache__", ".DS_Store")
NAMES_OF_SECRETS = (".env", ".netrc", ".pypirc", "credentials", "credentials.json", "id_rsa", "id_ed25519", "token")
SECRET = re.compile(
    rb"\b(?:hf_[A-Za-z0-9]{30,}|sk-[A-Za-z0-9_-]{30,}|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{30,})\b|-----BEGIN [A-Z ]*PRIVATE KEY"
)
SCANNED_BYTES = 5_000_000
SHOWN = 3


def dataset(folder: Path) -> dict[str, Path]:
    """Relative path -> file of everything in a built folder that may be published.  Raises HubError naming what may not."""
    entries = {entry["path"]: entry for entry in export.manifest(folder)["files"]}
    wrong = [f"{p}: in no manifest: this program did not write it" for p in _files(folder) if p not in entries and p != export.MANIFEST]
    out = {}
    for path, entry in sorted(entries.items()):
        if path in LOCAL:
            continue
        file, problem = folder / path, _wrong_name(path)
        if problem is None:
            problem = _wrong_place(folder, path)
        if problem is None and (file.stat().st_size != entry["size"] or file_digest(file) != entry["sha256"]):
            problem = f"its bytes are not those that {export.MANIFEST} lists; build the dataset again"
        if problem is None and path.endswith(".parquet"):
            problem = _wrong_rows(file, path)
        elif problem is None:
            problem = _wrong_text(file)
        wrong += [f"{path}: {problem}"] if problem else []
        out[path] = file
    _refuse(f"{folder} cannot be published", wrong)
    return out


def tree(folder: Path, kind: str) -> dict[str, Path]:
    """Relative path -> file of everything in a Space's or a model's folder.  Raises HubError naming what may not be published."""
    wrong, out = [], {}
    for path in _files(folder):
        if set(PurePosixPath(path).parts) & set(IGNORED):
            continue
        file, suffix = folder / path, PurePosixPath(path).suffix.lower()
        problem = _wrong_place(folder, path) or _wrong_secret(file, path)
        if problem is None and suffix in REFUSED[kind] and not (suffix in SHARED and file_digest(file) in _packaged()):
            problem = f"{KINDS[suffix]}; a {kind} repo may hold none" + (" but what comes with the package" if suffix in SHARED else "")
        wrong += [f"{path}: {problem}"] if problem else []
        out[path] = file
    _refuse(f"{folder} cannot be published as a {kind}", wrong)
    if not out:
        raise HubError(f"{folder}: expected the files of a {kind} repo, found none")
    return out


def text_of(value: Any) -> Iterable[str]:
    """Every string within a JSON-like value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from (str(key), *text_of(inner))
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from text_of(inner)


def _refuse(what: str, wrong: list[str]) -> None:
    if wrong:
        more = f"; and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise HubError(f"{what}: {'; '.join(wrong[:SHOWN])}{more}")


def _files(folder: Path) -> list[str]:
    """Relative paths of all files and links below the folder, sorted."""
    if not folder.is_dir():
        raise HubError(f"{folder}: expected a folder to publish, {'found a file' if folder.exists() else 'it does not exist'}")
    out = []
    for root, folders, files in os.walk(folder):
        here = Path(root)
        out += [(here / name).relative_to(folder).as_posix() for name in [*files, *(d for d in folders if (here / d).is_symlink())]]
    return sorted(out)


def _wrong_name(path: str) -> str | None:
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in DATA:
        return None
    return f"{KINDS.get(suffix, 'a kind of file that a dataset has no use for')}; a dataset repo holds {', '.join(DATA)} only"


def _wrong_place(folder: Path, path: str) -> str | None:
    file = folder / path
    if not PurePosixPath(path).parts or path.startswith("/") or ".." in PurePosixPath(path).parts:
        return "not a path within the folder"
    if any((folder / part).is_symlink() for part in [path, *map(str, PurePosixPath(path).parents)][:-1]):
        return "a link, which may lead anywhere; put the file itself there"
    return None if file.is_file() else "the manifest lists it, but it is not there; build the dataset again"


def _wrong_rows(file: Path, path: str) -> str | None:
    """Why a Parquet file of a dataset may not be published: a column that is not of the contract, or a row that `schema.check` refuses."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import Features

    match = export.DATA_FILE.fullmatch(path)
    if not match:
        return "expected <source>/<split>-00000-of-0000N.parquet; a dataset has no other tables"
    source = match["config"]
    may_play = clip_files.is_open(source)
    try:
        with pq.ParquetFile(file) as f:
            found, wanted = f.schema_arrow, schema.features()
            odd = [field for field in found if field.name not in wanted]
            if odd:
                return f"column {odd[0].name!r} of type {odd[0].type}: only the columns of builder/schema.py may be published"
            if Features.from_arrow_schema(found) != wanted or found.remove_metadata() != wanted.arrow_schema.remove_metadata():
                return "its columns or their types are not those of builder/schema.py; build the dataset again"
            for batch in f.iter_batches():
                for row in batch.to_pylist():
                    schema.check(row, source)
                    if row["video"] is not None and not may_play:
                        return f"row {row['id']}: column 'video' is not null, and the videos of {source} may not be shared"
    except (pa.ArrowInvalid, OSError) as error:
        return f"not a whole Parquet file ({error})"
    except HumanMoveError as error:
        return str(error)
    return None


def _wrong_text(file: Path) -> str | None:
    problem = _wrong_secret(file, file.name)
    if problem is None and file.suffix == ".json":
        try:
            record = json.loads(file.read_bytes())
        except ValueError as error:
            return f"not JSON ({error})"
        problem = absolute(record)
    if problem is None and str(Path.home()) != "/" and str(Path.home()) + "/" in file.read_text(encoding="utf-8", errors="replace"):
        problem = "it names your home folder"
    return problem


def absolute(record: Any) -> str | None:
    """The complaint about the first absolute path within a JSON-like value, if there is one."""
    found = next((text for text in text_of(record) if schema.ABSOLUTE.search(text)), None)
    return None if found is None else f"it holds an absolute path, which is never published: {found[:120]!r}"


def _wrong_secret(file: Path, path: str) -> str | None:
    name = PurePosixPath(path).name.lower()
    if name in NAMES_OF_SECRETS or name.startswith(".env."):
        return "a file of this name holds secrets; take it out"
    with open(file, "rb") as f:
        if SECRET.search(f.read(SCANNED_BYTES)):
            return "it holds something that looks like a token or a key; take it out (a Space gets secrets in its settings)"
    return None


@functools.cache
def _packaged() -> frozenset[str]:
    """SHA-256 of the clips that come with the package and of the tracks beside them."""
    files = [f for clip in clip_files.packaged().values() for f in (clip, clip.with_suffix(".npz")) if f.is_file()]
    return frozenset(file_digest(f) for f in files)
