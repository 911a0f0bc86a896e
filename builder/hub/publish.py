"""One push: read the repo, compare, refuse to overwrite other people's work, commit once, try again when somebody was faster."""

from __future__ import annotations

import difflib
import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from builder.hub.repo import Cut, HubError, Moved, Repo, State
from builder.hub.stage import Plan, Wish, compare, megabytes

ATTEMPTS = 6
WAITS_S = (0.5, 1.0, 2.0, 4.0, 8.0)  # before trying again; the client's own retries come on top
SEARCHED_COMMITS = 30
DIFF_LINES = 80

WishFor = Callable[[State, State], Wish]
Say = Callable[[str], None]
Wait = Callable[[str], AbstractContextManager[None]]  # shows that a thing of this name is being done


def unseen(title: str) -> AbstractContextManager[None]:
    """A Wait that shows nothing."""
    return nullcontext()


@dataclass(frozen=True)
class Options:
    """How to push: into a private repo, as a pull request, only shown, with a tag, over edits made by others, under a message."""

    private: bool = False
    pr: bool = False
    dry_run: bool = False
    tag: str | None = None
    discard_edits: bool = False
    message: str = ""


@dataclass(frozen=True)
class Outcome:
    """What a push did: its plan, the commit's or pull request's URL ("" without a commit)."""

    plan: Plan
    url: str


def publish(repo: Repo, wish_for: WishFor, options: Options, say: Say, sdk: str | None = None, wait: Wait = unseen) -> Outcome:
    """Bring the repo to `wish_for(now, first)`: the state read now, and the state when the push began.

    A dry run makes no request that writes.  Raises HubError; the repo is then as it was.
    """
    if options.pr and options.tag:
        raise HubError("--tag names a commit of the main branch, and --pr makes none there; tag after the pull request is merged")
    if not options.dry_run:
        repo.need_token()
    first: State | None = None
    trouble = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(WAITS_S[attempt - 1])
        try:
            now = repo.read()
            first = first or now
            if options.private and now.head and not now.private:
                raise HubError(f"{repo} exists and is public; --private is for a new repo, change the visibility in its settings")
            wish = wish_for(now, first)
            plan = compare(wish, now)
            _need_free_tag(repo, now, plan, options.tag)
            _need_ours(repo, now, wish, plan, options, say)
            if options.dry_run:
                return _shown(repo, now, plan, options, say)
            if not now.head:
                say(f"creating the {'private ' if options.private else ''}{repo}")
                repo.create(options.private, sdk)
                now = repo.read()
                if not now.head:
                    raise HubError(f"{repo} was created but cannot be read; look at it on the Hub, then push again")
                plan = compare(wish, now)
                first = now
            return _committed(repo, now, plan, wish, options, say, wait)
        except Moved as error:
            trouble = f"somebody else keeps committing ({error})"
            say("somebody else has committed meanwhile; reading the repo again")
        except Cut as error:
            trouble = f"the connection was lost ({error})"
            say(f"the connection was lost ({error}); trying again")
    raise HubError(
        f"{repo}: given up after {ATTEMPTS} attempts: {trouble}; nothing half-done is left there, and files that have arrived are not "
        "sent again: run the same command"
    )


def _shown(repo: Repo, now: State, plan: Plan, options: Options, say: Say) -> Outcome:
    if not now.head:
        say(f"would create the {'private ' if options.private else ''}{repo}")
    for line in plan.lines():
        say(line)
    say("dry run: nothing was sent" if plan else "dry run: the repo holds all of this already")
    return Outcome(plan, "")


def _committed(repo: Repo, now: State, plan: Plan, wish: Wish, options: Options, say: Say, wait: Wait) -> Outcome:
    assert now.head
    commit, url = now.head, ""
    if plan:
        for line in plan.lines():
            say(line)
        try:
            with wait(f"sending up to {megabytes(plan.size)}"):
                commit, url = repo.commit(plan.uploads, plan.deleted, now.head, options.message or wish.summary, options.pr)
        except Cut as error:
            if options.pr:  # main cannot tell whether the pull request was opened, and a second one would be a nuisance
                raise HubError(
                    f"{repo}: the connection was lost ({error}); if its Community page shows no pull request, push again"
                ) from None
            raise
        say(f"{'pull request' if options.pr else 'commit'}: {url}")
    else:
        say(f"{repo} holds exactly this already; no commit was made")
    if options.tag:
        try:
            repo.tag(options.tag, commit)
        except Moved as error:
            if repo.tags().get(options.tag) != commit:
                raise HubError(f"{repo}: everything is published, but the tag {options.tag!r} could not be set: {error}") from None
        say(f"tag: {options.tag}")
    return Outcome(plan, url)


def _need_free_tag(repo: Repo, now: State, plan: Plan, tag: str | None) -> None:
    """A tag is a promise: it may be set again on the same commit, never on another."""
    if tag and now.head:
        there = repo.tags().get(tag)
        if there and (there != now.head or plan):
            raise HubError(f"{repo}: the tag {tag!r} names commit {there[:8]} already, and a release does not move; pass another --tag")


def _need_ours(repo: Repo, now: State, wish: Wish, plan: Plan, options: Options, say: Say) -> None:
    """Raise HubError, after showing the differences, when the push would overwrite or delete what somebody else has put there."""
    theirs = [p for p in (*plan.changed, *plan.deleted) if not _as_published(repo, now, p, wish.published.get(p))]
    if not theirs or options.discard_edits:
        return
    for path in theirs:
        for line in _difference(repo, now, wish, path):
            say(line)
    raise HubError(
        f"{repo}: {', '.join(theirs[:4])}{', ...' if len(theirs) > 4 else ''} {'were' if len(theirs) > 1 else 'was'} changed there by "
        "somebody else (shown above); take over what should stay (the card's text: cards/dataset.md), then push with --discard-edits"
    )


def _as_published(repo: Repo, now: State, path: str, entry: Mapping[str, Any] | None) -> bool:
    """Whether the repo's file is what our last push left there; a file that no push of ours knows is not."""
    if entry is None:
        return False
    there = now.files[path]
    if there.large or "blob" in entry:
        return bool(there.digest == entry["sha256" if there.large else "blob"])
    return there.size == entry["size"] and hashlib.sha256(_bytes(repo, path, now.head)).hexdigest() == entry["sha256"]


def _bytes(repo: Repo, path: str, revision: str | None) -> bytes:
    assert revision
    return repo.fetch(path, revision).read_bytes()


def _difference(repo: Repo, now: State, wish: Wish, path: str) -> list[str]:
    """A unified diff of what somebody else did to a text file; a line for any other file."""
    theirs = now.files[path]
    if theirs.large:
        return [f"{path}: {theirs.size} bytes that no push of ours has put there"]
    before = _last_published(repo, path, wish.published.get(path))
    name = "as published last" if before is not None else "no push of ours"
    try:
        old, new = (before or b"").decode().splitlines(), _bytes(repo, path, now.head).decode().splitlines()
    except UnicodeDecodeError:
        return [f"{path}: {theirs.size} bytes that no push of ours has put there"]
    lines = list(difflib.unified_diff(old, new, f"{path} ({name})", f"{path} (on the Hub now)", lineterm="", n=2))
    return lines[:DIFF_LINES] + ([f"... {len(lines) - DIFF_LINES} more lines"] if len(lines) > DIFF_LINES else [])


def _last_published(repo: Repo, path: str, entry: Mapping[str, Any] | None) -> bytes | None:
    """The text of our last push, from the repo's history; None when the history was squashed."""
    if entry is None:
        return None
    for commit in repo.commits()[:SEARCHED_COMMITS]:
        try:
            data = _bytes(repo, path, commit)
        except HubError:
            continue  # the file was not there yet
        if hashlib.sha256(data).hexdigest() == entry["sha256"]:
            return data
    return None


def changed_between(first: State, now: State, paths: Iterable[str]) -> list[str]:
    """Those of `paths` that somebody added, changed or removed between two readings."""
    return sorted(p for p in paths if first.files.get(p) != now.files.get(p))
