"""The files of a source folder by name, and the groups that say which of them stay on one side of the split."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from builder.types import SourceError

GROUPS = "groups.json"


def named_files(source: str, root: str | Path | None, kind: str, is_wanted: Callable[[Path], bool]) -> dict[str, Path]:
    """Name (path without suffix, with "/") to file, sorted by name, of the wanted files under `root`; none is opened.

    `source` and `kind` ("videos", ".npz or .npy tracks") are for the message.  Raises SourceError for a folder that is missing or
    holds no such file, and for two files of one name.
    """
    if root is None:
        raise SourceError(f"source {source}: expected a folder of {kind}, none was given; pass it as {source}=FOLDER")
    folder = Path(root)
    if not folder.is_dir():
        what = "found a file" if folder.exists() else "it does not exist"
        raise SourceError(f"source {source}={root}: expected a folder of {kind}, {what}; pass the folder's path")
    found: dict[str, Path] = {}
    for file in sorted(p for p in folder.rglob("*") if not p.name.startswith(".") and p.is_file() and is_wanted(p)):
        name = file.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            both = f"{found[name].relative_to(folder)} and {file.relative_to(folder)}"
            raise SourceError(f"source {source}={root}: {both} have the same name; rename one, a clip is named by its file")
        found[name] = file
    if not found:
        raise SourceError(f"source {source}={root}: expected {kind} in this folder or below, found none; pass another folder")
    return dict(sorted(found.items()))


def groups(folder: Path) -> dict[str, str]:
    """{file name without suffix: group} from `groups.json` in a folder, {} without the file.  Raises SourceError."""
    path = folder / GROUPS
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text("utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise SourceError(f"{path}: expected JSON, {str(error).splitlines()[0]}; correct the file or remove it") from None
    if not isinstance(found, dict) or not all(isinstance(group, str) and group for group in found.values()):
        raise SourceError(f"{path}: expected {{file name without suffix: group}} with texts as groups; correct the file or remove it")
    return found


def group_of(name: str, known: dict[str, str]) -> str | None:
    """The group that `known` gives a name, by the whole of it or by its last part; None when it gives none."""
    return known.get(name, known.get(name.rpartition("/")[2]))
