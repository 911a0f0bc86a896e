"""A folder as a Space or a model repo: the same files there as here, less what earlier pushes left that is gone here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from builder.hub import guard
from builder.hub.publish import Options, Outcome, Say, Wait, publish, unseen
from builder.hub.repo import HubError, Repo, State
from builder.hub.stage import Staged, Wish, staged

RECORD = ".humanmovevqa.json"  # what the last push put there, so that other people's changes are told from ours
FORMAT = "humanmovevqa-published/1"
CARD = "README.md"


def publish_folder(folder: Path, repo_id: str | None, kind: str, options: Options, say: Say, wait: Wait = unseen) -> Outcome:
    """Push a folder as a repo of `kind` ("space" or "model").  Raises HubError for what may not be published, and see `publish`."""
    repo = Repo(repo_id, kind)
    with wait("looking at what is to be sent"):
        files = {path: staged(file) for path, file in guard.tree(folder, kind).items() if path != RECORD}
    if CARD not in files:
        raise HubError(f"{folder}: expected a {CARD}, the page of the {kind}, found none")
    record = staged(_record(files))

    def wish_for(now: State, first: State) -> Wish:
        left = _left(repo, now)
        gone = frozenset(path for path in left if path not in files)
        if RECORD in now.files:
            there = now.files[RECORD]
            left[RECORD] = {"size": there.size, "sha256": there.digest, "blob": there.digest}
        return Wish({**files, RECORD: record}, gone - {RECORD}, f"Update the {kind}: {len(files)} files", left)

    return publish(repo, wish_for, options, say, sdk=_sdk(folder) if kind == "space" else None, wait=wait)


def _record(files: dict[str, Staged]) -> bytes:
    entries = [{"path": p, "size": f.size, "sha256": f.sha256, "blob": f.blob_id} for p, f in sorted(files.items())]
    return (json.dumps({"format": FORMAT, "files": entries}, indent=1, sort_keys=True) + "\n").encode()


def _left(repo: Repo, now: State) -> dict[str, dict[str, Any]]:
    """path -> size and digests of what our last push left; empty when there was none.  Raises HubError for a record that is damaged."""
    if RECORD not in now.files or not now.head:
        return {}
    try:
        found = json.loads(repo.fetch(RECORD, now.head).read_bytes())
        return {entry["path"]: {name: entry[name] for name in ("size", "sha256", "blob")} for entry in found["files"]}
    except (ValueError, KeyError, TypeError):
        raise HubError(f"{repo}: its {RECORD} is damaged; delete that file on the Hub and push with --discard-edits") from None


def _sdk(folder: Path) -> str:
    """The `sdk` in the card of a Space."""
    from huggingface_hub.repocard import metadata_load

    try:
        sdk = (metadata_load(folder / CARD) or {}).get("sdk")
    except Exception as error:  # YAML of any shape
        raise HubError(f"{folder / CARD}: its front matter is not YAML ({str(error).splitlines()[0]})") from None
    if sdk not in ("gradio", "docker", "static"):
        raise HubError(f"{folder / CARD}: expected `sdk: gradio`, `docker` or `static` in its front matter, got {sdk!r}")
    return str(sdk)
