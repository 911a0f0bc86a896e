"""A Hub on 127.0.0.1 for the tests: the part of the real one's HTTP interface that `huggingface_hub` and `datasets` use.

Git semantics in memory: blobs by digest, commits with parents, branches, tags, pull requests as refs; Parquet, videos and weights
in LFS mode with upload by the basic transfer; redirects to a store with range requests; pages of a tree; errors with the
Hub's codes and headers.  No Xet.  `Hub.log` has every request; `Hub.before` may look at one, commit in between, or cut it off.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

KINDS = {"datasets": "dataset", "spaces": "space", "models": "model"}
LARGE = (".parquet", ".mp4", ".safetensors", ".bin", ".npz", ".zip", ".arrow")
TOKENS = {"hf_writer": {"name": "tester", "orgs": ["lab"], "role": "write"}, "hf_reader": {"name": "reader", "orgs": [], "role": "read"}}
READS = ("GET", "HEAD")
CUT, MUTE = "cut off before it is done", "done, but the answer never arrives"


@dataclass(frozen=True)
class Blob:
    size: int
    oid: str  # of git: of the file, or of the LFS pointer
    sha256: str | None  # of the content, in LFS mode


@dataclass
class Commit:
    oid: str
    parent: str | None
    tree: dict[str, Blob]
    title: str


@dataclass
class Repository:
    id: str
    kind: str
    private: bool
    sdk: str | None = None
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    next_discussion: int = 1

    def head(self, ref: str = "main") -> Commit:
        return self.commits[self.refs[ref]]

    def resolve(self, revision: str) -> Commit | None:
        oid = self.refs.get(revision) or self.tags.get(revision) or revision
        return self.commits.get(oid)

    def history(self, commit: Commit) -> Iterator[Commit]:
        here: Commit | None = commit
        while here:
            yield here
            here = self.commits.get(here.parent or "")


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def writes(self) -> bool:
        """Whether it may change anything; asking for several paths or to validate a card is a POST that does not."""
        return self.method not in READS and not re.search(r"/paths-info/|/validate-yaml", self.path)


class Answer(Exception):
    """An error with the Hub's code."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


def git_oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Hub:
    """The state of the Hub, and what a test may ask of it or do to it."""

    def __init__(self, page: int = 4) -> None:
        self.page = page
        self.lock = threading.RLock()
        self.url = ""
        self.reset()

    def reset(self) -> None:
        """An empty Hub again."""
        self.repos: dict[tuple[str, str], Repository] = {}
        self.store: dict[str, bytes] = {}  # LFS content by SHA-256
        self.blobs: dict[str, bytes] = {}  # other content by git oid
        self.log: list[Request] = []
        self.before: Callable[[Request], str | None] = lambda request: None
        self.strict = ""  # a reason to refuse every eval.yaml

    # What tests use.

    def repo(self, repo_id: str, kind: str = "dataset") -> Repository:
        return self.repos[kind, repo_id]

    def content(self, repo_id: str, path: str, revision: str = "main", kind: str = "dataset") -> bytes:
        commit = self.repo(repo_id, kind).resolve(revision)
        assert commit
        return self.read(commit.tree[path])

    def read(self, blob: Blob) -> bytes:
        return self.store[blob.sha256] if blob.sha256 else self.blobs[blob.oid]

    def files(self, repo_id: str, revision: str = "main", kind: str = "dataset") -> dict[str, Blob]:
        commit = self.repo(repo_id, kind).resolve(revision)
        assert commit
        return dict(commit.tree)

    def edit(self, repo_id: str, files: dict[str, bytes | None], kind: str = "dataset", title: str = "Edited on the web") -> str:
        """A commit by somebody else; None deletes."""
        with self.lock:
            repo = self.repo(repo_id, kind)
            tree = {p: b for p, b in repo.head().tree.items() if files.get(p, b"") is not None}
            tree |= {p: self.put(p, data) for p, data in files.items() if data is not None}
            return self.add(repo, "main", tree, title)

    def count(self, repo_id: str, kind: str = "dataset") -> int:
        repo = self.repo(repo_id, kind)
        return len(list(repo.history(repo.head())))

    def writes(self) -> list[str]:
        return [f"{r.method} {r.path}" for r in self.log if r.writes]

    def uploads(self) -> list[str]:
        return [r.path for r in self.log if r.method == "PUT"]

    # What the handler uses.

    def put(self, path: str, data: bytes) -> Blob:
        if path.endswith(LARGE) or len(data) > 10_000_000:
            sha = hashlib.sha256(data).hexdigest()
            self.store[sha] = data
            return self.pointer(sha, len(data))
        self.blobs[git_oid(data)] = data
        return Blob(len(data), git_oid(data), None)

    def pointer(self, sha: str, size: int) -> Blob:
        text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha}\nsize {size}\n".encode()
        return Blob(size, git_oid(text), sha)

    def add(self, repo: Repository, ref: str, tree: dict[str, Blob], title: str, parent: str | None = None) -> str:
        parent = parent or repo.refs.get(ref)
        listing = sorted((p, b.oid) for p, b in tree.items())
        oid = hashlib.sha1(json.dumps([repo.id, repo.kind, parent, title, listing, len(repo.commits)]).encode()).hexdigest()
        repo.commits[oid] = Commit(oid, parent, dict(tree), title)
        repo.refs[ref] = oid
        return oid


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub
    mute = False

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.answer()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        request = Request(self.command, self.path, {k.lower(): v for k, v in self.headers.items()})
        with self.hub.lock:
            self.hub.log.append(request)
        verdict = self.hub.before(request)
        if verdict == CUT:
            self.rfile.read(length // 2)
            self.cut()
            return
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            request.body = self.chunks()
        else:
            request.body = self.rfile.read(length)
        self.mute = verdict == MUTE
        try:
            with self.hub.lock:
                self.route(request)
        except Answer as error:
            headers = {"X-Error-Message": error.message} | ({"X-Error-Code": error.code} if error.code else {})
            self.send(error.status, {"error": error.message}, headers)
        if self.mute:
            self.cut()

    def cut(self) -> None:
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def chunks(self) -> bytes:
        out = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            out += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return out

    def send(self, status: int, body: Any = None, headers: dict[str, str] | None = None, kind: str = "application/json") -> None:
        if self.mute:
            return
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    # Who asks, and for what.

    def user(self, request: Request) -> dict[str, Any] | None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if given and given not in TOKENS:
            raise Answer(401, "Invalid credentials in Authorization header")
        return TOKENS.get(given)

    def writer(self, request: Request, namespace: str, kind: str) -> None:
        user = self.user(request)
        if user is None:
            raise Answer(401, "Invalid username or password.")
        if user["role"] != "write" or namespace not in (user["name"], *user["orgs"]):
            raise Answer(403, f'You don\'t have the rights to create a {kind} under the namespace "{namespace}"')

    def repository(self, request: Request, kind: str, repo_id: str) -> Repository:
        user, repo = self.user(request), self.hub.repos.get((kind, repo_id))
        seen = repo is not None and (not repo.private or (user and repo.id.split("/")[0] in (user["name"], *user["orgs"])))
        if repo is None or not seen:
            raise Answer(404 if user else 401, "Repository not found" if user else "Invalid username or password.", "RepoNotFound")
        return repo

    def commit_at(self, repo: Repository, revision: str) -> Commit:
        commit = repo.resolve(unquote(revision))
        if commit is None:
            raise Answer(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    def route(self, request: Request) -> None:
        url = urlsplit(request.path)
        query = {k: v[-1] for k, v in parse_qs(url.query).items()}
        for method, pattern, name in ROUTES:
            match = re.fullmatch(pattern, url.path)
            if match and request.method in method:
                getattr(self, name)(request, query, **{k: v for k, v in match.groupdict().items()})
                return
        raise Answer(404, f"Cannot {request.method} {url.path}")

    # The interface.

    def whoami(self, request: Request, query: dict[str, str]) -> None:
        user = self.user(request)
        if user is None:
            raise Answer(401, "Invalid username or password.")
        orgs = [{"type": "org", "name": name} for name in user["orgs"]]
        auth = {"type": "access_token", "accessToken": {"displayName": "t", "role": user["role"]}}
        self.send(200, {"type": "user", "name": user["name"], "orgs": orgs, "auth": auth})

    def create(self, request: Request, query: dict[str, str]) -> None:
        given = json.loads(request.body)
        kind, owner = given.get("type") or "model", given.get("organization") or (self.user(request) or {}).get("name", "")
        self.writer(request, owner, kind)
        repo_id = f"{owner}/{given['name']}"
        url = f"{self.hub.url}/{'' if kind == 'model' else kind + 's/'}{repo_id}"
        if (kind, repo_id) in self.hub.repos:
            self.send(409, {"error": f"You already created this {kind} repo", "url": url})
            return
        private = given.get("visibility") == "private" or bool(given.get("private"))
        repo = self.hub.repos[kind, repo_id] = Repository(repo_id, kind, private, given.get("sdk"))
        attributes = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LARGE).encode()
        self.hub.add(repo, "main", {".gitattributes": self.hub.put(".gitattributes", attributes)}, "initial commit")
        self.send(200, {"url": url, "name": repo_id, "id": repo_id})

    def info(self, request: Request, query: dict[str, str], kinds: str, repo: str, revision: str = "main") -> None:
        found = self.repository(request, KINDS[kinds], repo)
        commit = self.commit_at(found, revision)
        when = "2026-01-01T00:00:00.000Z"
        self.send(
            200,
            {
                "id": repo, "sha": commit.oid, "private": found.private, "gated": False, "disabled": False, "tags": [], "downloads": 0,
                "likes": 0, "lastModified": when, "createdAt": when, "siblings": [{"rfilename": p} for p in sorted(commit.tree)],
                "author": repo.split("/")[0], "cardData": {}, "sdk": found.sdk,
            },
        )  # fmt: skip

    def refs(self, request: Request, query: dict[str, str], kinds: str, repo: str) -> None:
        found = self.repository(request, KINDS[kinds], repo)
        lists: dict[str, list[dict[str, str]]] = {"branches": [], "tags": [], "converts": [], "pullRequests": []}
        for name, oid in sorted(found.refs.items()):
            pr = name.startswith("refs/pr/")
            ref = {"name": name.removeprefix("refs/pr/"), "ref": name if pr else f"refs/heads/{name}", "targetCommit": oid}
            lists["pullRequests" if pr else "branches"].append(ref)
        lists["tags"] = [{"name": n, "ref": f"refs/tags/{n}", "targetCommit": oid} for n, oid in sorted(found.tags.items())]
        self.send(200, lists)

    def tag(self, request: Request, query: dict[str, str], kinds: str, repo: str, revision: str) -> None:
        found = self.repository(request, KINDS[kinds], repo)
        self.writer(request, repo.split("/")[0], found.kind)
        name = json.loads(request.body)["tag"]
        if name in found.tags:
            raise Answer(409, f"Tag {name} already exists")
        found.tags[name] = self.commit_at(found, revision).oid
        self.send(200, {})

    def history(self, request: Request, query: dict[str, str], kinds: str, repo: str, revision: str) -> None:
        found = self.repository(request, KINDS[kinds], repo)
        commits = found.history(self.commit_at(found, revision))
        when = "2026-01-01T00:00:00.000Z"
        self.send(200, [{"id": c.oid, "title": c.title, "message": "", "date": when, "authors": [{"user": "tester"}]} for c in commits])

    def entry(self, path: str, blob: Blob) -> dict[str, Any]:
        out: dict[str, Any] = {"type": "file", "path": path, "size": blob.size, "oid": blob.oid}
        return out | ({"lfs": {"oid": blob.sha256, "size": blob.size, "pointerSize": 134}} if blob.sha256 else {})

    def folder(self, path: str) -> dict[str, Any]:
        return {"type": "directory", "path": path, "size": 0, "oid": git_oid(path.encode())}

    def tree(self, request: Request, query: dict[str, str], kinds: str, repo: str, revision: str, path: str | None = None) -> None:
        commit = self.commit_at(self.repository(request, KINDS[kinds], repo), revision)
        prefix = f"{unquote(path)}/" if path else ""
        below = {p: b for p, b in commit.tree.items() if p.startswith(prefix)}
        if prefix and not below:
            raise Answer(404, f"{prefix} does not exist on {revision}", "EntryNotFound")
        deep = query.get("recursive", "").lower() in ("true", "1")
        folders = {
            prefix + "/".join(p.removeprefix(prefix).split("/")[:n]) for p in below for n in range(1, p.removeprefix(prefix).count("/") + 1)
        }
        entries = [self.folder(f) for f in sorted(folders) if deep or "/" not in f.removeprefix(prefix)]
        entries += [self.entry(p, b) for p, b in sorted(below.items()) if deep or "/" not in p.removeprefix(prefix)]
        start, size = int(query.get("cursor", 0)), int(query.get("limit", self.hub.page))
        headers = {}
        if start + size < len(entries):
            url = urlsplit(request.path)
            rest = "&".join(f"{k}={v}" for k, v in query.items() if k != "cursor")
            headers["Link"] = f'<{self.hub.url}{url.path}?{rest}&cursor={start + size}>; rel="next"'
        self.send(200, entries[start : start + size], headers)

    def paths(self, request: Request, query: dict[str, str], kinds: str, repo: str, revision: str) -> None:
        commit = self.commit_at(self.repository(request, KINDS[kinds], repo), revision)
        kind = request.headers.get("content-type", "")
        given = json.loads(request.body) if "json" in kind else parse_qs(request.body.decode())
        wanted = [given["paths"]] if isinstance(given["paths"], str) else given["paths"]
        out = [self.entry(p, commit.tree[p]) for p in wanted if p in commit.tree]
        out += [self.folder(p) for p in wanted if p not in commit.tree and any(q.startswith(f"{p}/") for q in commit.tree)]
        self.send(200, out)

    def validate(self, request: Request, query: dict[str, str]) -> None:
        text = json.loads(request.body)["content"]
        errors = []
        if text.startswith("---\n"):
            try:
                front = yaml.safe_load(text.split("---\n")[1])
                errors = [] if isinstance(front, dict) else [{"message": "YAML metadata must be an object"}]
            except yaml.YAMLError as error:
                errors = [{"message": f"YAML error: {error}"}]
        warnings = [] if text.startswith("---\n") else [{"message": "empty or missing yaml metadata in repo card"}]
        self.send(400 if errors else 200, {"errors": errors, "warnings": warnings})

    def preupload(self, request: Request, query: dict[str, str], kinds: str, repo: str, revision: str) -> None:
        found = self.repository(request, KINDS[kinds], repo)
        if query.get("create_pr") != "1":
            self.writer(request, repo.split("/")[0], found.kind)
        elif self.user(request) is None:
            raise Answer(401, "Invalid username or password.")
        tree, out = self.commit_at(found, revision).tree, []
        for file in json.loads(request.body)["files"]:
            path, there = file["path"], tree.get(file["path"])
            large = path.endswith(LARGE) or file["size"] > 10_000_000
            oid = {"oid": there.sha256 or there.oid} if there else {}
            out.append({"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, **oid})
        self.send(200, {"files": out})

    def batch(self, request: Request, query: dict[str, str], repo: str, kinds: str | None = None) -> None:
        found = self.repository(request, KINDS[(kinds or "models/").rstrip("/")], repo)
        if self.user(request) is None:
            raise Answer(401, "Invalid username or password.")
        given, out = json.loads(request.body), []
        if (given["operation"], given["hash_algo"]) != ("upload", "sha256") or not found:
            raise Answer(422, "expected an upload by SHA-256")
        for one in given["objects"]:
            actions = {
                "upload": {"href": f"{self.hub.url}/lfs-store/{one['oid']}?signature=x"},
                "verify": {"href": f"{self.hub.url}/lfs-verify/{one['oid']}"},
            }
            out.append({**one} if one["oid"] in self.hub.store else {**one, "authenticated": True, "actions": actions})
        self.send(200, {"transfer": "basic", "objects": out}, kind="application/vnd.git-lfs+json")

    def upload(self, request: Request, query: dict[str, str], oid: str) -> None:
        if hashlib.sha256(request.body).hexdigest() != oid:
            raise Answer(400, "the content has another SHA-256")
        self.hub.store[oid] = request.body
        self.send(200, b"")

    def verify(self, request: Request, query: dict[str, str], oid: str) -> None:
        given = json.loads(request.body)
        if given["oid"] != oid or len(self.hub.store.get(oid, b"")) != given["size"]:
            raise Answer(404, "not uploaded")
        self.send(200, {})

    def commit(self, request: Request, query: dict[str, str], kinds: str, repo: str, revision: str) -> None:
        found = self.repository(request, KINDS[kinds], repo)
        pr = query.get("create_pr") == "1"
        if not pr:
            self.writer(request, repo.split("/")[0], found.kind)
        elif self.user(request) is None:
            raise Answer(401, "Invalid username or password.")
        lines = [json.loads(line) for line in request.body.splitlines()]
        assert lines[0]["key"] == "header"
        header, base = lines[0]["value"], self.commit_at(found, revision)
        parent = header.get("parentCommit")
        if parent and not pr and parent != base.oid:
            raise Answer(412, "A commit has happened since. Please refresh and try again.")
        if parent and pr:
            base = self.commit_at(found, parent)
        tree = dict(base.tree)
        for line in lines[1:]:
            key, value = line["key"], line["value"]
            path = value["path"]
            if key == "file":
                data = base64.b64decode(value["content"])
                tree[path] = Blob(len(data), git_oid(data), None)
                self.hub.blobs[git_oid(data)] = data
            elif key == "lfsFile":
                if len(self.hub.store.get(value["oid"], b"")) != value["size"]:
                    raise Answer(400, f"LFS pointer pointed to a file that does not exist: {path}")
                tree[path] = self.hub.pointer(value["oid"], value["size"])
            elif key == "deletedFile":
                if path not in tree:
                    raise Answer(404, "A file with this name doesn't exist", "EntryNotFound")
                del tree[path]
            elif key == "deletedFolder":
                tree = {p: b for p, b in tree.items() if not p.startswith(f"{path.rstrip('/')}/")}
            else:
                raise Answer(400, f"unknown operation {key}")
        if "eval.yaml" in tree and found.kind == "dataset" and not tree["eval.yaml"].sha256:
            spec = yaml.safe_load(self.hub.blobs[tree["eval.yaml"].oid])
            if set(spec) != {"name", "description", "evaluation_framework", "tasks"} or not all(
                set(task) == {"id", "config", "split"} for task in spec["tasks"]
            ):
                raise Answer(400, "Invalid eval.yaml")
            if self.hub.strict:
                raise Answer(400, self.hub.strict)
        ref, title = unquote(revision), header["summary"]
        if pr:
            ref = f"refs/pr/{found.next_discussion}"
            found.next_discussion += 1
        oid = self.hub.add(found, ref, tree, title, base.oid)
        prefix = f"{self.hub.url}/{'' if found.kind == 'model' else kinds + '/'}{repo}"
        answer = {"success": True, "commitOid": oid, "commitUrl": f"{prefix}/commit/{oid}", "hookOutput": ""}
        self.send(200, answer | ({"pullRequestUrl": f"{prefix}/discussions/{ref.rpartition('/')[2]}"} if pr else {}))

    def resolve(self, request: Request, query: dict[str, str], repo: str, revision: str, path: str, kinds: str | None = None) -> None:
        found = self.repository(request, KINDS[(kinds or "models/").rstrip("/")], repo)
        commit = self.commit_at(found, revision)
        headers = {"X-Repo-Commit": commit.oid, "Accept-Ranges": "bytes"}
        blob = commit.tree.get(unquote(path))
        if blob is None:
            self.send(404, b"Entry not found", {**headers, "X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"})
            return
        if blob.sha256:
            headers |= {"X-Linked-Etag": f'"{blob.sha256}"', "X-Linked-Size": str(blob.size)}
            self.send(
                302, b"", {**headers, "Location": f"{self.hub.url.replace('127.0.0.1', 'localhost')}/store/{blob.sha256}?signature=x"}
            )
            return
        self.ranged(request, self.hub.blobs[blob.oid], {**headers, "ETag": f'"{blob.oid}"'})

    def stored(self, request: Request, query: dict[str, str], oid: str) -> None:
        if oid not in self.hub.store:
            raise Answer(404, "no such object")
        self.ranged(request, self.hub.store[oid], {"ETag": f'"{oid}"', "Accept-Ranges": "bytes"})

    def ranged(self, request: Request, data: bytes, headers: dict[str, str]) -> None:
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
        if not match or request.method == "HEAD":
            self.send_response(200)
            for name, value in {"Content-Type": "application/octet-stream", "Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if request.method != "HEAD":
                self.wfile.write(data)
            return
        start = int(match[1]) if match[1] else max(0, len(data) - int(match[2]))
        end = min(int(match[2]) if match[1] and match[2] else len(data) - 1, len(data) - 1)
        if start >= len(data):
            self.send(416, b"", {"Content-Range": f"bytes */{len(data)}"})
            return
        span = {"Content-Range": f"bytes {start}-{end}/{len(data)}"}
        self.send(206, data[start : end + 1], {**headers, **span}, "application/octet-stream")


K, R, REV = r"(?P<kinds>datasets|spaces|models)", r"(?P<repo>[\w.-]+/[\w.-]+)", r"(?P<revision>[^/]+)"
ROUTES = (
    ("GET", "/api/whoami-v2", "whoami"),
    ("POST", "/api/repos/create", "create"),
    ("POST", "/api/validate-yaml", "validate"),
    ("GET", f"/api/{K}/{R}", "info"),
    ("GET", f"/api/{K}/{R}/revision/{REV}", "info"),
    ("GET", f"/api/{K}/{R}/refs", "refs"),
    ("POST", f"/api/{K}/{R}/tag/{REV}", "tag"),
    ("GET", f"/api/{K}/{R}/commits/{REV}", "history"),
    ("GET", f"/api/{K}/{R}/tree/{REV}(?:/(?P<path>.+))?", "tree"),
    ("POST", f"/api/{K}/{R}/paths-info/{REV}", "paths"),
    ("POST", f"/api/{K}/{R}/preupload/{REV}", "preupload"),
    ("POST", f"/api/{K}/{R}/commit/{REV}", "commit"),
    ("POST", r"/(?P<kinds>datasets/|spaces/)?(?P<repo>[\w.-]+/[\w.-]+)\.git/info/lfs/objects/batch", "batch"),
    ("PUT", r"/lfs-store/(?P<oid>[0-9a-f]{64})", "upload"),
    ("POST", r"/lfs-verify/(?P<oid>[0-9a-f]{64})", "verify"),
    (("GET", "HEAD"), r"/store/(?P<oid>[0-9a-f]{64})", "stored"),
    (("GET", "HEAD"), rf"/(?P<kinds>datasets/|spaces/)?{R}/resolve/{REV}/(?P<path>.+)", "resolve"),
)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away, as tests have it, is no news."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def serve(page: int = 4) -> Iterator[Hub]:
    """A running Hub; its `url` is what HF_ENDPOINT has to say."""
    hub = Hub(page)
    server = Server(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
