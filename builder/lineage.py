"""What an artefact is made from, in named parts, so that a stale one can say why; and which code counts among them.

Code counts by its imports: a lifter is its own files and every module of the project that they import, however far away.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from builder import store

HERE = Path(__file__).parent
# The parts that a key is made of, and what a change of each means.  The first one that differs is the reason.
MEANS: Mapping[str, str] = {
    "lifter": "another lifter was asked for: all its clips are lifted again",
    "code": "the code of the source or its lifter changed: all its clips are lifted again",
    "options": "the lifter's options changed: all its clips are lifted again",
    "clip": "the clip or its file changed: it alone is lifted again",
    "asking": "the code that asks changed: all clips are asked about again, nothing is lifted",
    "recipe": "the recipe changed: all clips are asked about again, nothing is lifted",
}
DAMAGED = "the artefact is damaged or of an earlier version: it is made again"


@cache
def code_digest(*names: str) -> str:
    """16 hex digits over the source code of these modules and packages of builder/; those that do not exist count as empty."""
    return _of_files(p for name in names for p in _files(name))


def code_of(*names: str, without: tuple[str, ...] = ()) -> str:
    """16 hex digits over the source code of these modules and of all that they import within builder/.

    A name is a path in builder/ ("lifters/gvhmr") or the dotted path of an outside plugin ("lifters/mine.lifter").  Modules and
    packages in `without` are not followed.
    """
    outside = [p for name in names if "." in name for p in _outside(name.rpartition("/")[2])]
    if not outside:
        return _reached(names, without)
    ours = {module for path in outside for module in _imported.__wrapped__(path)}  # looked at each time: it may change while we run
    more = tuple(sorted(p.relative_to(HERE).with_suffix("").as_posix().removesuffix("/__init__") for p in ours))
    return store.digest(_reached((*names, *more), without), _of_files(outside))


@cache
def _reached(names: tuple[str, ...], without: tuple[str, ...]) -> str:
    return _of_files(reached(*names, without=without))


def reached(*names: str, without: tuple[str, ...] = ()) -> list[Path]:
    """The files of these modules and of all that they import within builder/, sorted."""
    todo = [path for name in names for path in _files(name)]
    seen: set[Path] = set()
    while todo:
        path = todo.pop()
        if path not in seen and path.relative_to(HERE).with_suffix("").parts[0] not in without:
            seen.add(path)
            todo += _imported(path)
    return sorted(seen)


def _of_files(files: Iterable[Path]) -> str:
    return hashlib.sha256("".join(store.file_digest(p) for p in sorted(set(files))).encode()).hexdigest()[:16]


def _files(name: str) -> list[Path]:
    return [p for p in [HERE / f"{name}.py", *(HERE / name).rglob("*.py")] if p.is_file()]


def _outside(name: str) -> list[Path]:
    """The files of a plugin outside of this project, [] when it is not to be found."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return []
    if spec is None or spec.origin is None:
        return []
    origin = Path(spec.origin)
    return sorted(origin.parent.rglob("*.py")) if origin.name == "__init__.py" else [origin]


@cache
def _imported(path: Path) -> tuple[Path, ...]:
    """The files of builder/ that a file imports, wherever in it; a plugin that is loaded by its name is not among them."""
    found: set[Path] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            if name.startswith("builder."):
                at = HERE.joinpath(*name.split(".")[1:])
                found |= {p for p in (at.with_suffix(".py"), at / "__init__.py") if p.is_file()}
    return tuple(sorted(found))


def key_of(made_from: Mapping[str, str]) -> str:
    """The key of an artefact that is made from these parts."""
    return store.digest(dict(made_from))


def why_stale(kept: object, now: Mapping[str, str]) -> str | None:
    """Why what was made from `kept` is not what would be made from `now`, in words; None when it is the same."""
    if not isinstance(kept, Mapping) or set(kept) != set(now):
        return DAMAGED
    return next((meaning for part, meaning in MEANS.items() if part in now and kept[part] != now[part]), None)
