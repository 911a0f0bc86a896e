"""What a repo is to hold, compared with what it holds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from builder.hub.repo import File, State, Upload

SHOWN = 60  # paths


@dataclass(frozen=True, eq=False)
class Staged:
    """A file ready to be published: a path on this machine or bytes, its size, and both digests that the Hub may know it by."""

    content: Path | bytes
    size: int
    sha256: str
    blob_id: str

    def same_as(self, there: File | None) -> bool:
        """Whether the repo's file has these bytes."""
        return there is not None and there.digest == (self.sha256 if there.large else self.blob_id)


def staged(content: Path | bytes) -> Staged:
    """Read a file or bytes once, for its size and digests."""
    size = content.stat().st_size if isinstance(content, Path) else len(content)
    sha256, blob = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    if isinstance(content, bytes):
        sha256.update(content)
        blob.update(content)
    else:
        with open(content, "rb") as f:
            while part := f.read(1 << 20):
                sha256.update(part)
                blob.update(part)
    return Staged(content, size, sha256.hexdigest(), blob.hexdigest())


@dataclass(frozen=True, eq=False)
class Wish:
    """What a repo shall hold after the push: these files, the rest of what is there, less the deleted.

    `published` is what our last push left there (path -> size and digests), to tell what somebody changed since.
    `summary` is the commit's message.
    """

    files: Mapping[str, Staged]
    delete: frozenset[str] = frozenset()
    summary: str = "Update"
    published: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Plan:
    """The difference between a wish and a state: new, changed and deleted paths, and how many files stay as they are."""

    new: tuple[str, ...]
    changed: tuple[str, ...]
    deleted: tuple[str, ...]
    same: int
    uploads: tuple[Upload, ...]
    size: int

    def __bool__(self) -> bool:
        return bool(self.new or self.changed or self.deleted)

    def lines(self) -> list[str]:
        """What a person reads before the push: a line per path, up to a number."""
        words = (("new", self.new), ("change", self.changed), ("delete", self.deleted))
        out = [f"{word:7} {path}" for word, paths in words for path in paths]
        if len(out) > SHOWN:
            counts = ", ".join(f"{len(paths)} {word}" for word, paths in words if paths)
            out = [*out[:SHOWN], f"... in all {counts}"]
        rest = f"{self.same} files stay as they are" if self.same != 1 else "1 file stays as it is"
        return [*out, f"{rest}; {megabytes(self.size)} to upload at most"]


def compare(wish: Wish, state: State) -> Plan:
    """The plan that turns `state` into `wish`; files with equal bytes are left alone."""
    ours = {path: file for path, file in wish.files.items() if not file.same_as(state.files.get(path))}
    new = tuple(sorted(p for p in ours if p not in state.files))
    changed = tuple(sorted(p for p in ours if p in state.files))
    deleted = tuple(sorted(p for p in wish.delete if p in state.files and p not in wish.files))
    uploads = tuple(Upload(path, ours[path].content) for path in sorted(ours))
    same = len(state.files) - len(changed) - len(deleted)
    return Plan(new, changed, deleted, same, uploads, sum(file.size for file in ours.values()))


def megabytes(size: int) -> str:
    """A size as people say it."""
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"
