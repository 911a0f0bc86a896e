"""One repo on the Hub: what it holds at one moment, and the few ways to change it.  Every failure is one clear line.

Built on `huggingface_hub`; which Hub, and which token, is told by its own HF_ENDPOINT, HF_TOKEN and `hf auth login`.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from builder.types import HumanMoveError

KINDS = ("dataset", "space", "model")
AUTHORS = "humanmovevqa"  # the namespace of the paper's authors, who are others
NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
VARIABLE = "HUMANMOVEVQA_REPO"
LONGEST = 240  # characters of somebody else's message


class HubError(HumanMoveError):
    """Something cannot be published to, or fetched from, the Hub."""


class Moved(Exception):
    """The repo is no longer as it was read: somebody committed meanwhile."""


class Cut(Exception):
    """The connection broke, or the Hub is overloaded; asking again may help."""


@dataclass(frozen=True)
class File:
    """A file of a repo: `digest` is its SHA-256 where it is stored as a large file, else its git blob id."""

    size: int
    digest: str
    large: bool


@dataclass(frozen=True)
class State:
    """A repo at one moment; without `head` it does not exist (or is hidden from this token)."""

    head: str | None = None
    private: bool = False
    files: Mapping[str, File] = field(default_factory=dict)


@dataclass(frozen=True)
class Upload:
    """A file to be put into a repo: a path on this machine, or bytes."""

    path: str
    content: Path | bytes


def checked_id(repo_id: str | None) -> str:
    """The repo's id, by default that in HUMANMOVEVQA_REPO.  Raises HubError for what is not OWNER/NAME, and for the authors' namespace."""
    given = repo_id or os.environ.get(VARIABLE)
    if not given:
        raise HubError(f"which repo? expected OWNER/NAME as an argument or in {VARIABLE}, got neither")
    if not NAME.fullmatch(given) or ".." in given or "--" in given:
        raise HubError(f"repo {given!r}: expected OWNER/NAME of letters, digits, '_', '-' and '.', such as your-name/humanmovevqa")
    if given.split("/")[0].lower() == AUTHORS:
        raise HubError(
            f"repo {given!r}: the namespace {AUTHORS}/ belongs to the paper's authors; push to an account or organisation of yours"
        )
    return given


def no_bars() -> None:
    """Let `huggingface_hub`, `datasets`, and `transformers` if it is imported later, draw no progress bars in this process."""
    import datasets
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    datasets.disable_progress_bars()


class Repo:
    """A repo of one kind ("dataset", "space", "model"); no request is made before a method is called."""

    def __init__(self, repo_id: str | None, kind: str = "dataset") -> None:
        from huggingface_hub import HfApi

        self.id, self.kind = checked_id(repo_id), kind
        self.api = HfApi(library_name="humanmovevqa")

    def __str__(self) -> str:
        return f"{self.kind} repo {self.id}"

    def need_token(self) -> None:
        """Raise HubError when there is nothing to write with."""
        from huggingface_hub import get_token

        if not get_token():
            raise HubError("no Hugging Face token found: run `hf auth login`, or put a token that may write into HF_TOKEN")

    def read(self) -> State:
        """What the repo's main branch holds now.  Raises HubError, or Cut."""
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
        from huggingface_hub.hf_api import RepoFile

        with self._answered("read"):
            try:
                info = self.api.repo_info(self.id, repo_type=self.kind)
            except GatedRepoError:
                raise
            except RepositoryNotFoundError:
                return State()  # or hidden from this token, which creating it will tell
            entries = list(self.api.list_repo_tree(self.id, repo_type=self.kind, revision=info.sha, recursive=True))
        files = {}
        for entry in entries:
            if isinstance(entry, RepoFile):
                large = entry.lfs
                files[entry.path] = File(large.size, large.sha256, True) if large else File(entry.size, entry.blob_id, False)
        return State(info.sha, bool(info.private), files)

    def fetch(self, path: str, revision: str) -> Path:
        """A local copy of one file at one commit, from the cache if it is there.  Raises HubError, or Cut."""
        with self._answered(f"read {path}"):
            return Path(self.api.hf_hub_download(self.id, path, repo_type=self.kind, revision=revision))

    def commits(self) -> list[str]:
        """The commits of the main branch, the newest first."""
        with self._answered("read the history"):
            return [commit.commit_id for commit in self.api.list_repo_commits(self.id, repo_type=self.kind)]

    def tags(self) -> dict[str, str]:
        """Name of each tag -> its commit."""
        with self._answered("read the tags"):
            return {tag.name: tag.target_commit for tag in self.api.list_repo_refs(self.id, repo_type=self.kind).tags}

    def create(self, private: bool, sdk: str | None) -> None:
        """Make the repo, empty; if somebody else has just made it, that one is taken."""
        with self._answered("create"):
            self.api.create_repo(self.id, repo_type=self.kind, private=private or None, exist_ok=True, space_sdk=sdk)

    def commit(self, uploads: Sequence[Upload], deletions: Sequence[str], parent: str, message: str, pr: bool) -> tuple[str, str]:
        """One commit on top of `parent`: its id, and its URL or the pull request's.  Raises Moved when main is elsewhere, HubError, or Cut.

        Large files go up first; the repo changes with the commit alone, so that it never holds half of a push.
        """
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        operations: list[Any] = [CommitOperationAdd(u.path, u.content) for u in uploads]
        operations += [CommitOperationDelete(path, is_folder=False) for path in deletions]
        with self._answered("commit"), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Warnings while validating metadata")
            done = self.api.create_commit(
                self.id, operations, repo_type=self.kind, parent_commit=parent, commit_message=message, create_pr=pr
            )
        return str(done.oid), str(done.pr_url if pr else done.commit_url)

    def tag(self, name: str, commit: str) -> None:
        """Name a commit."""
        with self._answered(f"tag {name}"):
            self.api.create_tag(self.id, tag=name, revision=commit, repo_type=self.kind)

    @contextmanager
    def _answered(self, what: str) -> Iterator[None]:
        """Turn the client's errors into HubError, Moved or Cut."""
        import httpx2
        from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled

        try:
            yield
        except OfflineModeIsEnabled:
            raise HubError(f"{self}: cannot {what} while HF_HUB_OFFLINE is set; unset it, or load a folder instead") from None
        except GatedRepoError:
            raise HubError(f"{self}: cannot {what}: access has to be asked for on its page first") from None
        except HfHubHTTPError as error:
            raise self._told(error, what) from None
        except (HFValidationError, ValueError) as error:  # a card that the Hub refuses, an LFS answer that makes no sense
            raise HubError(f"{self}: cannot {what}: {_line(error)}") from None
        except LocalEntryNotFoundError as error:
            raise Cut(_line(error)) from None
        except (httpx2.TransportError, ConnectionError, TimeoutError) as error:
            raise Cut(_line(error)) from None
        except RuntimeError as error:  # "Error while uploading ... to the Hub", with the reason behind it
            cause = error.__cause__
            if isinstance(cause, HfHubHTTPError):
                raise self._told(cause, what) from None
            if isinstance(cause, (httpx2.TransportError, OSError)):
                raise Cut(_line(error)) from None
            raise

    def _told(self, error: Any, what: str) -> Exception:
        """What an HTTP status means here."""
        status = error.response.status_code
        said = (error.server_message or _line(error)).strip()
        if status in (409, 412):
            return Moved(said)
        if status == 401:
            return HubError(f"{self}: cannot {what}: the Hub does not accept this token ({said}); run `hf auth login` or set HF_TOKEN anew")
        if status == 403:
            return HubError(
                f"{self}: cannot {what}: this token may not write there ({said}); use one that may{', or --pr' if what == 'commit' else ''}"
            )
        if status == 404:
            return HubError(f"{self}: cannot {what}: not found ({said}); check the name")
        if status == 429 or status >= 500:
            return Cut(f"HTTP {status}: {said}")
        hint = "; --no-eval leaves that file out" if "eval" in said.lower() else ""
        return HubError(f"{self}: cannot {what}: the Hub answered {status}: {said}{hint}")


def _line(error: BaseException) -> str:
    """The first line of an error that says something, not too long."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:LONGEST]
