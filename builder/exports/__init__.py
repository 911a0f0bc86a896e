"""One file per format that `humanmovevqa export` writes, and what they share.

A format is a module with HELP (a line), EXAMPLE (a command), a docstring that describes it, `arguments(parser)` and `run(args)`,
which returns the exit code.  The file's name is the format's name, with "_" for "-"; files that begin with "_" are parts of formats.
"""

from __future__ import annotations

import argparse
import pkgutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from builder.rows import Item
from builder.store import write_atomic
from builder.types import DataError


def names() -> list[str]:
    """The formats there are, as they are typed."""
    return sorted(m.name.replace("_", "-") for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def common_options(parser: argparse.ArgumentParser) -> None:
    """Add --data (which the verb fills where it is not given), --config, --split, --out and --quiet."""
    parser.set_defaults(reads_data=True)
    parser.add_argument(
        "--data",
        metavar="DIR|REPO",
        help="a built folder, or OWNER/NAME on the Hub (default: ./humanmovevqa, else the packaged sample)",
    )
    parser.add_argument("--config", default="all", metavar="NAME", help="a source of the dataset (default: all)")
    parser.add_argument("--split", default="test", metavar="NAME", help="which split (default: test)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--quiet", action="store_true", help="no progress, nothing but errors")


def write_folder(out: Path, files: Mapping[str, str], mark: str) -> None:
    """Write text files into `out`, over an earlier export of the same kind only: one that has the file `mark`.  Raises DataError."""
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / mark).is_file())):
        raise DataError(
            f"{out}: expected no folder, an empty one or an earlier export with {mark}, found something else; pass another --out"
        )
    for name, text in files.items():
        write_atomic(out / name, text.encode())


def need_videos(items: Iterable[Item], videos: Path | None) -> None:
    """Raise DataError when a folder of clips is given and lacks some of those asked about."""
    if videos is None:
        return
    paths = sorted({item.video_path for item in items})
    gone = [path for path in paths if not (videos / path).is_file()]
    if gone:
        raise DataError(
            f"{len(gone)} of {len(paths)} clips are not under {videos}, the first: {gone[0]}; put them there, or leave out --videos"
        )
