"""The dataset folder: a mirror of the Hub repo, written whole or not at all, and what readers need to know about it.

    README.md                                    the card, whose front matter lists every config's files
    eval.yaml                                    the test split's tasks, for leaderboards (where there is a test split)
    build_info.json                              what was built from what, with the numbers of the card
    manifest.json                                path, size and SHA-256 of every file that this module wrote
    <source>/<split>-00000-of-0000N.parquet      the rows, one config per source; the config `all` lists the same files

Equal input gives equal bytes in every file.  The folder never holds video, poses or absolute paths.
"""

from __future__ import annotations

import glob
import hashlib
import heapq
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise, repeat
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from builder import card, schema
from builder.card import ALL
from builder.store import write_atomic
from builder.types import BuildError, DataError, StoreError
from builder.workers import Progress

MANIFEST, INFO, CARD, EVAL = "manifest.json", "build_info.json", "README.md", "eval.yaml"
FORMAT = "humanmovevqa-dataset/1"
ROWS_PER_FILE = 50_000
ROWS_PER_GROUP = 1_000
SPLITS_FIRST = ("train", "validation", "test")
DATA_FILE = re.compile(r"(?P<config>\w+)/(?P<split>\w+(\.\w+)*)-\d{5}-of-\d{5}\.parquet")
RESERVED = {"configs": (ALL, schema.CLIPS, "data", "default"), "splits": (ALL,)}

Rows = Mapping[str, Mapping[str, Sequence[Any]]]
Splits = dict[str, tuple[Path, ...]]


def write(
    out: Path,
    rows: Rows,
    info: Mapping[str, Any],
    about: Mapping[str, Mapping[str, Any]],
    extra_files: Mapping[str, bytes] | None = None,
    progress: Progress = lambda done, total, what: None,
) -> None:
    """Write the dataset folder `out` from `rows[source][split]` (each sorted by id); an older build there is replaced.

    Rows are looked at once, in slices of ROWS_PER_GROUP, so a sequence that makes them then keeps memory small; it may give slices as
    `table` does.  `progress` hears of every slice: rows done, rows in all, whose.

    The new folder is finished beside `out` and then takes its place by renaming, so that `out` is always one whole build.
    Files in `out` that the old manifest does not list are kept.  `info` becomes `build_info.json` and feeds the card, with
    `about[source]`, the source's ABOUT; `extra_files` maps further relative paths to their bytes.  Raises BuildError.
    """
    out = _target(Path(out))
    _recover(out)
    ours = _replaceable(out)
    splits = _ordered_splits(rows)
    new = out.with_name(f".{out.name}.{os.getpid()}.new")
    try:
        entries: dict[str, dict[str, Any]] = {}

        def put(name: str, data: bytes) -> None:
            write_atomic(new / name, data)
            entries[name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}

        def put_groups(name: str, groups: Iterable[Any]) -> None:
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            with open(new / name, "w+b") as file:
                parquet(groups, file)
                file.flush()
                os.fsync(file.fileno())
                size = file.seek(0, os.SEEK_END)
                file.seek(0)
                entries[name] = {"size": size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}

        total = _data(splits, rows, info, put_groups, progress)
        _need_each_once(new, splits)
        _pages(info, about, total, extra_files or {}, entries, put)
        write_atomic(new / MANIFEST, manifest_of(entries))
        _carry(out, new, ours)
        _swap(new, out)
    except (OSError, StoreError) as error:
        raise BuildError(f"cannot write the dataset folder {out}: {error}; an earlier build there is unchanged") from error
    finally:
        shutil.rmtree(new, ignore_errors=True)
    _recover(out, ours)


def check_target(out: Path) -> None:
    """Raise BuildError where `write` could not put a dataset folder, so that nobody finds out after hours of work."""
    _replaceable(_target(Path(out)))


def manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a built folder: `{"format", "files": [{"path", "size", "sha256"}]}`.  Raises DataError."""
    path = Path(folder) / MANIFEST
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DataError(
            f"{folder}: expected a dataset folder with {MANIFEST}, found none; make one with: humanmovevqa build --out DIR"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read ({error}); build the dataset again") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise DataError(f"{path}: expected a manifest of format {FORMAT!r}, got another file; is this folder a HumanMoveVQA dataset?")
    files = found.get("files")
    if not isinstance(files, list) or not all(_is_entry(entry) for entry in files):
        raise DataError(f"{path}: expected path, size and sha256 of every file, got something else; build the dataset again")
    return found


def _is_entry(entry: object) -> bool:
    kinds = {"path": str, "size": int, "sha256": str}
    return isinstance(entry, dict) and all(type(entry.get(name)) is kind for name, kind in kinds.items())


def is_built(folder: Path) -> bool:
    """Whether `folder` holds a manifest of ours."""
    try:
        return bool(manifest(folder))
    except DataError:
        return False


def configs(folder: Path) -> dict[str, Splits]:
    """Config -> split -> absolute Parquet paths of a built folder, `all` first.  Raises DataError when a file is not whole."""
    folder = Path(folder).resolve()
    for entry in _data_entries(folder):
        path = folder / entry["path"]
        size = path.stat().st_size if path.is_file() else None
        if size != entry["size"]:
            got = "no such file" if size is None else f"{size} bytes"
            raise DataError(f"{path}: expected {entry['size']} bytes as {MANIFEST} says, got {got}; fetch or build the dataset again")
    found = listing(entry["path"] for entry in _data_entries(folder))
    return {config: {split: tuple(folder / p for p in paths) for split, paths in splits.items()} for config, splits in found.items()}


def fingerprint(folder: Path) -> str:
    """16 hex digits that change when any Parquet file of the folder does; from the manifest alone."""
    return hashlib.sha256(json.dumps(_data_entries(folder), sort_keys=True).encode()).hexdigest()[:16]


def groups(path: Path) -> int:
    """Number of row groups of a Parquet file: the units in which it can be read."""
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_row_groups)


def read(path: Path, group: int) -> Any:
    """Row group `group` of a Parquet file as a `pyarrow.Table`."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as f:
        return f.read_row_group(group)


def rows(files: Iterable[Path], columns: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The rows of some Parquet files, with these columns only."""
    import pyarrow.parquet as pq

    wanted = list(columns)
    for file in files:
        yield from pq.read_table(file, columns=wanted).to_pylist()


def listing(paths: Iterable[str]) -> dict[str, dict[str, list[str]]]:
    """Config -> split -> relative Parquet paths: `all` first, then the sources by name; other paths are left out."""
    found: dict[str, dict[str, list[str]]] = {}
    for path in sorted(paths):
        if match := DATA_FILE.fullmatch(path):
            for config in (ALL, match["config"]):
                found.setdefault(config, {}).setdefault(match["split"], []).append(path)
    return {c: {s: found[c][s] for s in _ordered(found[c])} for c in sorted(found, key=lambda c: (c != ALL, c))}


def pages(
    info: Mapping[str, Any],
    about: Mapping[str, Mapping[str, Any]],
    listing: Mapping[str, Mapping[str, list[str]]],
    total: int,
    repo: str = "",
    playing: Sequence[str] = (),
) -> dict[str, bytes]:
    """The files beside the data: card, `build_info.json`, and `eval.yaml` where there is a test split; arguments as `card.render`."""
    try:
        files = {INFO: (json.dumps(info, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()}
    except (TypeError, ValueError) as error:
        raise BuildError(f"{INFO}: expected finite JSON values, got one that is not ({error})") from None
    files[CARD] = card.render(info, about, listing, total, repo, playing).encode()
    tasks = card.tasks(listing)
    return files | ({EVAL: tasks.encode()} if tasks else {})


def manifest_of(files: Mapping[str, Mapping[str, Any]]) -> bytes:
    """The bytes of a manifest of `files`, which maps each path to its `size` and `sha256`."""
    entries = [{"path": p, "sha256": files[p]["sha256"], "size": files[p]["size"]} for p in sorted(files)]
    return (json.dumps({"format": FORMAT, "files": entries}, indent=2, sort_keys=True) + "\n").encode()


def _ordered_splits(rows: Rows) -> list[tuple[str, str]]:
    """(source, split) of everything that has rows, in the order of the card.  Raises BuildError for a name that cannot be one."""
    out = []
    for source in sorted(rows):
        for split in _ordered(s for s in rows[source] if len(rows[source][s])):
            where = f"rows of {source}, split {split}"
            if not re.fullmatch(r"\w+", source) or source in RESERVED["configs"]:
                raise BuildError(
                    f"{where}: a source's name is letters, digits and '_', none of {', '.join(RESERVED['configs'])}; rename it"
                )
            if not re.fullmatch(r"\w+(\.\w+)*", split) or split in RESERVED["splits"]:
                raise BuildError(f"{where}: a split's name is letters, digits and '_', not 'all' (a rule of `datasets`); rename it")
            out.append((source, split))
    if not out:
        raise BuildError("no question is left to publish; see `generated.skipped` and the filters in the recipe")
    return out


def _data(
    splits: Sequence[tuple[str, str]],
    rows: Rows,
    info: Mapping[str, Any],
    put: Callable[[str, Iterable[Any]], None],
    progress: Progress,
) -> int:
    """Check and put every Parquet file; the number of rows.  Raises BuildError at the first bad row."""
    made: Counter[tuple[str, str, str]] = Counter()
    total = sum(len(rows[source][split]) for source, split in splits)
    last = ""

    def group(source: str, split: str, part: Any) -> Any:
        """Some rows of a split as a table, checked."""
        nonlocal last
        listed = list(part) if isinstance(part, Sequence) else part.to_pylist()
        for row in listed:
            schema.check(row, source)
            if row["id"] <= last:
                raise _out_of_order(source, split, f"id {last} twice" if row["id"] == last else "another order")
            last = row["id"]
        made.update((source, split, row["category"]) for row in listed)
        progress(made.total(), total, source)
        return table(listed) if isinstance(part, Sequence) else part

    for source, split in splits:
        found, last = rows[source][split], ""
        files = -(-len(found) // ROWS_PER_FILE)
        for n in range(files):
            starts = range(n * ROWS_PER_FILE, min(len(found), (n + 1) * ROWS_PER_FILE), ROWS_PER_GROUP)
            groups = (group(source, split, found[start : min(start + ROWS_PER_GROUP, starts.stop)]) for start in starts)
            put(f"{source}/{split}-{n:05d}-of-{files:05d}.parquet", groups)
    said = {(s, p, c): n for s, ps in info.get("counts", {}).items() for p, cs in ps.items() for c, n in cs.items() if n}
    if "counts" in info and said != made:
        odd = sorted(set(said.items()) ^ set(made.items()))[0][0]
        raise BuildError(f"counts of the build for {'/'.join(odd)}: expected {made.get(odd, 0)} as in the rows, got {said.get(odd, 0)}")
    return total


def _need_each_once(folder: Path, splits: Sequence[tuple[str, str]]) -> None:
    """Raise BuildError when two splits in a folder hold the same id; each is sorted, so that all are gone through side by side."""
    every = (zip(_ids(folder, *where), repeat(k)) for k, where in enumerate(splits))
    for (a, _), (b, k) in pairwise(heapq.merge(*every)):
        if a == b:
            raise _out_of_order(*splits[k], f"id {b} twice")


def _ids(folder: Path, source: str, split: str) -> Iterator[str]:
    import pyarrow.parquet as pq

    for file in sorted((folder / source).glob(f"{split}-*-of-*.parquet")):
        with pq.ParquetFile(file) as data:
            for batch in data.iter_batches(ROWS_PER_GROUP, columns=["id"]):
                yield from batch.column(0).to_pylist()


def _out_of_order(source: str, split: str, what: str) -> BuildError:
    return BuildError(
        f"rows of {source}, split {split}: expected rows sorted by id, every id once in the dataset, got {what}; assemble again"
    )


def _pages(
    info: Mapping[str, Any],
    about: Mapping[str, Mapping[str, Any]],
    total: int,
    extra_files: Mapping[str, bytes],
    entries: Mapping[str, Any],
    put: Callable[[str, bytes], None],
) -> None:
    """Put everything beside the data.  Raises BuildError for an extra file that cannot be one."""
    for name, data in pages(info, about, listing(entries), total).items():
        put(name, data)
    for name, data in extra_files.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or str(path) != name or name in {*entries, MANIFEST} or DATA_FILE.fullmatch(name):
            raise BuildError(f"extra file {name!r}: expected a relative path that is not one of the dataset's own files")
        put(name, data)


def arrow_schema() -> Any:
    """The columns of the rows as Arrow has them, with the `datasets` features in its metadata."""
    return schema.features().arrow_schema


def table(rows: list[dict[str, Any]]) -> Any:
    """Rows as a `pyarrow.Table` of `arrow_schema`.  Raises BuildError for a value that does not fit its column."""
    import pyarrow as pa

    try:
        return pa.Table.from_pylist(rows, schema=arrow_schema())
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise BuildError(f"rows {rows[0]['id']} to {rows[-1]['id']}: a value has not the type of its column: {error}") from None


def parquet(groups: Iterable[Any], file: BinaryIO) -> None:
    """Write tables of rows as the row groups of a Parquet file; the same rows give the same bytes."""
    import pyarrow.parquet as pq

    with pq.ParquetWriter(file, arrow_schema(), compression="zstd", use_content_defined_chunking=True, write_page_index=True) as out:
        for group in groups:
            out.write_table(group)


def _data_entries(folder: Path) -> list[dict[str, Any]]:
    return [entry for entry in manifest(folder)["files"] if DATA_FILE.fullmatch(entry["path"])]


def _ordered(splits: Any) -> list[str]:
    """Split names: train, validation, test, then any other by name."""
    return sorted(splits, key=lambda s: (SPLITS_FIRST.index(s) if s in SPLITS_FIRST else len(SPLITS_FIRST), s))


def _target(out: Path) -> Path:
    """`out` resolved, its parent made.  Raises BuildError where a folder cannot be put by renaming."""
    out = out.resolve()
    if out == Path.cwd() or out in Path.cwd().parents or os.path.ismount(out):
        raise BuildError(f"{out} is the current folder, one above it or a mounted disk, and cannot be replaced; name a folder inside it")
    if out.exists() and not out.is_dir():
        raise BuildError(f"{out}: expected a folder for the dataset, found a file; pass another --out")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BuildError(f"cannot make the folder {out.parent}: {error.strerror or error}; pass another --out") from None
    return out


def _replaceable(out: Path) -> set[str]:
    """What the old build in `out` wrote (relative paths).  Raises BuildError when `out` holds something else."""
    if not out.exists() or not any(out.iterdir()):
        return set()
    try:
        return {MANIFEST, *(entry["path"] for entry in manifest(out)["files"])}
    except DataError:
        raise BuildError(
            f"{out}: expected no folder, an empty one or an earlier build with {MANIFEST}, found other files; pass another --out"
        ) from None


def _foreign(folder: Path, ours: set[str]) -> Iterator[str]:
    """Relative paths of the files, links and empty folders in `folder` that are not in `ours`."""
    for root, dirs, files in os.walk(folder):
        here = Path(root)
        leaves = [*files, *(d for d in dirs if (here / d).is_symlink() or not any((here / d).iterdir()))]
        yield from (p for p in ((here / name).relative_to(folder).as_posix() for name in leaves) if p not in ours)


def _carry(old: Path, new: Path, ours: set[str]) -> None:
    """Give `new` every foreign file of `old`: the same file under a second name, or a copy.  Raises BuildError where one is in the way."""
    for name in _foreign(old, ours):
        source, target = old / name, new / name
        if source.is_dir() and not source.is_symlink():
            target.mkdir(parents=True, exist_ok=True)
            continue
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(source, target, follow_symlinks=False)
        except (FileExistsError, NotADirectoryError):
            raise BuildError(f"{source} is not from an earlier build, and the new one needs its name; move it elsewhere") from None
        except OSError:
            shutil.copy2(source, target, follow_symlinks=False)


def _swap(new: Path, out: Path) -> None:
    """Put `new` in the place of `out`, which stays beside it as `.<name>.old` until it is cleared."""
    old = out.with_name(f".{out.name}.old")
    try:
        if out.exists():
            os.rename(out, old)
        os.rename(new, out)
    except BaseException:
        if not out.exists() and old.exists():
            os.rename(old, out)
        raise


def _recover(out: Path, ours: set[str] | None = None) -> None:
    """Finish what a killed writer left: bring `.<name>.old` back when `out` is gone, else save its foreign files and clear it."""
    for left in out.parent.glob(f".{glob.escape(out.name)}.*.new"):
        try:
            os.kill(int(left.name.split(".")[-2]), 0)
        except (ProcessLookupError, ValueError):
            shutil.rmtree(left, ignore_errors=True)
        except OSError:
            continue
    old = out.with_name(f".{out.name}.old")
    if not old.exists():
        return
    if not out.exists():
        os.rename(old, out)
        return
    if ours is None:
        ours = _replaceable(old) if (old / MANIFEST).exists() else set()
    _carry(old, out, ours | {name for name in _foreign(old, ours) if os.path.lexists(out / name)})
    for name in ours - {MANIFEST}:  # the manifest last: while it is there, what is left can be told apart
        (old / name).unlink(missing_ok=True)
    shutil.rmtree(old, ignore_errors=True)
