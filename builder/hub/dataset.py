"""A built folder as a dataset repo: its splits, beside those that stay, under a card that tells of both.

What a push replaces are whole units of one source and one split.  Without --split the repo becomes the folder; with it, the
named splits of the folder's sources are replaced and every other file of data keeps its bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder import export, plugins
from builder.hub import guard, open_clips
from builder.hub.builds import merged
from builder.hub.publish import Options, Outcome, Say, Wait, changed_between, publish, unseen
from builder.hub.repo import HubError, Repo, State
from builder.hub.shards import Content, Unit, content, need_apart, units
from builder.hub.stage import Staged, Wish, staged
from builder.types import PluginError

PAGES = (export.CARD, export.INFO, export.EVAL)


@dataclass(frozen=True)
class Choice:
    """What of a built folder is pushed: the named splits (all when empty), the open clips with it, `eval.yaml`, validations."""

    splits: tuple[str, ...] = ()
    with_videos: bool = False
    videos: Path | None = None
    evaluation: bool = True
    validation: tuple[Mapping[str, Any], ...] = ()


def publish_dataset(folder: Path, repo_id: str | None, choice: Choice, options: Options, say: Say, wait: Wait = unseen) -> Outcome:
    """Push a built folder.  Raises HubError or DataError for what may not or cannot be published, and see `publish.publish`."""
    repo = Repo(repo_id, "dataset")
    with wait("looking at what is to be sent"):
        push = Push(repo, folder, choice)
        if choice.with_videos:
            push.add_clips(say)
    return publish(repo, push.wish, options, say, wait=wait)


class Push:
    """One built folder on its way to one repo."""

    def __init__(self, repo: Repo, folder: Path, choice: Choice) -> None:
        self.repo, self.choice = repo, choice
        files = guard.dataset(folder)
        self.info: dict[str, Any] = json.loads((folder / export.INFO).read_bytes())
        self.whole = units(files)
        known = {split for _, split in self.whole}
        if missing := sorted(set(choice.splits) - known):
            raise HubError(f"--split {missing[0]}: expected one of {', '.join(sorted(known))}, which is what {folder} holds")
        self.mine = {u: paths for u, paths in self.whole.items() if not choice.splits or u[1] in choice.splits}
        self.contents = {u: content([files[p] for p in paths], f"{folder}, {'/'.join(u)}") for u, paths in self.mine.items()}
        self.data = {p: files[p] for paths in self.mine.values() for p in paths}
        self.extras = {p: staged(files[p]) for p in files if not export.DATA_FILE.fullmatch(p) and p not in PAGES}
        self.clips: dict[str, Staged] = {}

    def add_clips(self, say: Say) -> None:
        """Stage the clips of open sources."""
        opened = [u for u in self.mine if open_clips.is_open(u[0])]
        if not opened:
            raise HubError(f"--with-videos: none of the sources {', '.join(sorted({s for s, _ in self.mine}))} may share its videos")
        for source, split in opened:
            files = [self.data[path] for path in self.mine[source, split]]
            found = open_clips.found(source, split, files, self.choice.videos)
            self.clips |= {path: staged(file) for path, file in found.items()}
            say(f"{source}/{split}: {len(found)} open clips go with it")

    def wish(self, now: State, first: State) -> Wish:
        """What the repo shall hold, seen what it holds now and what it held when the push began."""
        there, before = units(now.files), units(first.files)
        kept = {u: paths for u, paths in there.items() if u not in self.mine and (self.choice.splits or u not in before)}
        listed = self._listed(now)
        fetched = {u: [self.repo.fetch(p, now.head or "") for p in paths] for u, paths in kept.items()}
        contents = self.contents | {u: content(files, f"{self.repo}, {'/'.join(u)}") for u, files in fetched.items()}

        clips = {p: match["source"] for p in now.files if (match := open_clips.CLIP.fullmatch(p))}
        stale = {p for p, source in clips.items() if self._is_stale(p, source, contents, first)}
        playing = (clips.keys() - stale) | self.clips.keys()
        data = {p: staged(open_clips.playing(file, p.split("/")[0], self.repo.id, playing)) for p, file in self.data.items()}
        self._need_no_race(now, first, data, there, before)
        need_apart(contents)
        files = {**data, **self.extras, **self.clips}
        stale |= {p for u, paths in there.items() for p in paths if u not in kept}
        if not self.choice.splits:
            stale |= {p for p in listed if p not in clips and not export.DATA_FILE.fullmatch(p)}
        stays = {p for paths in kept.values() for p in paths} | (playing - files.keys())
        if self.choice.splits:
            stays |= {p for p in listed if p in now.files and p not in PAGES and not export.DATA_FILE.fullmatch(p)} - files.keys() - stale

        info = merged(self.info, list(self.whole), contents, list(self.mine), self._info(now))
        if self.choice.validation:
            info = {**info, "validation": list(self.choice.validation)}
        paths = [p for u in contents for p in (self.mine.get(u) or kept[u])]
        playable = sorted({p.split("/")[1] for p in playing})
        pages = export.pages(info, _about(contents), export.listing(paths), sum(c.rows for c in contents.values()), self.repo.id, playable)
        if not self.choice.evaluation:
            pages.pop(export.EVAL, None)
        files |= {path: staged(data) for path, data in pages.items()}
        entries: dict[str, dict[str, Any]] = {p: {"size": f.size, "sha256": f.sha256} for p, f in files.items()}
        entries |= {p: self._entry(now, p) for p in stays if p not in entries}
        files[export.MANIFEST] = staged(export.manifest_of(entries))
        if export.MANIFEST in now.files:
            manifest = now.files[export.MANIFEST]
            listed[export.MANIFEST] = {"size": manifest.size, "sha256": manifest.digest, "blob": manifest.digest}
        return Wish(files, frozenset(stale) - files.keys(), self._summary(), listed)

    def _need_no_race(
        self, now: State, first: State, data: Mapping[str, Staged], there: Mapping[Unit, list[str]], before: Mapping[Unit, list[str]]
    ) -> None:
        """Two people may push different splits at once; the same one, and the slower must look first."""
        for unit, paths in self.mine.items():
            moved = changed_between(first, now, {*there.get(unit, ()), *before.get(unit, ())})
            if moved and not all(data[p].same_as(now.files.get(p)) for p in paths):
                raise HubError(f"{self.repo}: somebody else has just pushed {'/'.join(unit)} too; look at it, then push again")

    def _is_stale(self, path: str, source: str, contents: Mapping[Unit, Content], first: State) -> bool:
        """Whether a clip in the repo is no longer wanted: its source is gone, or this push brings all clips of it anew."""
        if path in self.clips:
            return False
        if source not in {s for s, _ in contents}:
            return True
        anew = self.choice.with_videos and not self.choice.splits and source in {s for s, _ in self.mine}
        return anew and path in first.files

    def _listed(self, now: State) -> dict[str, dict[str, Any]]:
        """path -> size and SHA-256 of what our last push left in the repo; empty when no push of ours has been there."""
        if export.MANIFEST not in now.files or not now.head:
            return {}
        found = self._json(now, export.MANIFEST)
        try:
            return {entry["path"]: {"size": entry["size"], "sha256": entry["sha256"]} for entry in found["files"]}
        except (KeyError, TypeError):
            raise HubError(f"{self.repo}: its {export.MANIFEST} is not one of ours; push to another repo") from None

    def _info(self, now: State) -> dict[str, Any]:
        return self._json(now, export.INFO) if export.INFO in now.files and now.head else {}

    def _json(self, now: State, path: str) -> dict[str, Any]:
        try:
            found = json.loads(self.repo.fetch(path, now.head or "").read_bytes())
            if isinstance(found, dict):
                return found
        except ValueError:
            pass
        raise HubError(f"{self.repo}: its {path} is damaged; delete that file on the Hub, then push again without --split")

    def _entry(self, now: State, path: str) -> dict[str, Any]:
        """The manifest's entry of a file that stays in the repo."""
        there = now.files[path]
        if there.large:
            return {"size": there.size, "sha256": there.digest}
        found = staged(self.repo.fetch(path, now.head or ""))
        return {"size": found.size, "sha256": found.sha256}

    def _summary(self) -> str:
        parts = [f"{source}/{split} {self.contents[source, split].rows}" for source, split in sorted(self.mine)]
        total = sum(c.rows for c in self.contents.values())
        return f"Publish {total:,} questions: {', '.join(parts[:6])}{', ...' if len(parts) > 6 else ''}"


def _about(contents: Sequence[Unit] | Mapping[Unit, Content]) -> dict[str, Mapping[str, Any]]:
    """ABOUT of every source that the card names: its terms must be on it.  Raises HubError for a source that is not installed."""
    out = {}
    for source in sorted({source for source, _ in contents}):
        try:
            out[source] = plugins.load("sources", source).ABOUT
        except PluginError:
            raise HubError(
                f"source {source!r} is not known here, so its terms cannot be put on the card; push where its plugin is"
            ) from None
    return out
