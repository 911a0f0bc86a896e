"""What the tests of the Hub share: people at a command line, small builds, and fresh processes that load."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from loopback_hub import Hub
from test_schema import a_row

from builder import export
from builder.types import CATEGORIES

ROOT = Path(__file__).resolve().parents[1]


REPO = "tester/humanmovevqa"


OPEN = {"title": "Scripted", "licence": "CC0-1.0", "redistribution": "open", "citation": "none", "url": "https://e.org"}


PERSON = """
import contextlib, io, json, sys
import humanmovevqa
for line in sys.stdin:
    told = io.StringIO()
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(told):
        code = humanmovevqa.main(json.loads(line))
    print(json.dumps([code, told.getvalue().splitlines()]), flush=True)
"""


def environment(hub: Hub, home: Path, **env: str) -> dict[str, str]:
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUMANMOVEVQA_", "PYTHON"))}
    quiet = {
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    here = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    return keep | quiet | here | env


class Person:
    """Somebody with a token at a command line: a process that runs our verbs one after another."""

    def __init__(self, hub: Hub, home: Path, token: str = "hf_writer") -> None:
        env = environment(hub, home, **({"HF_TOKEN": token} if token else {}))
        home.mkdir(exist_ok=True)
        self.process = subprocess.Popen([sys.executable, "-c", PERSON], cwd=home, env=env, stdin=-1, stdout=-1, text=True)

    def __call__(self, *arguments: object) -> tuple[int, list[str]]:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps([str(a) for a in arguments]) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        return tuple(json.loads(answer)) if answer else (-1, [])  # type: ignore[return-value]

    def push(self, folder: Path, *arguments: object, repo: str = REPO) -> list[str]:
        code, lines = self("push", repo, "--from", folder, *arguments)
        assert code == 0, lines
        return lines

    def refused(self, folder: Path, *arguments: object, repo: str = REPO) -> str:
        code, lines = self("push", repo, "--from", folder, *arguments)
        assert code == 2, lines
        return "\n".join(lines)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def rows(source: str, split: str, number: int, start: int = 0, **changes: Any) -> list[dict[str, Any]]:
    """Rows of one source and split: three questions per clip, no clip and no id in two splits."""
    out = []
    for n in range(start, start + number):
        clip = f"{source}/{split}{n // 3}"
        path = f"{source}/{split}{n // 3}/{clip.replace('/', '__')}.mp4"
        made = {"id": f"{source}-{split}-{n:04d}", "video_id": clip, "video_path": path, "sequence": f"{split}{n // 3}"}
        out.append(a_row(n, source) | made | changes)
    return out


def build(folder: Path, sizes: dict[str, dict[str, int]], seed: int = 0, per_file: int = 50_000, **changes: Any) -> Path:
    """A built folder with so many rows per source and split; another seed is another build."""
    tables = {s: {split: rows(s, split, n, **changes) for split, n in splits.items()} for s, splits in sizes.items()}
    counts: dict[str, Any] = {}
    for source, splits in tables.items():
        for split, made in splits.items():
            found = [row["category"] for row in made]
            counts.setdefault(source, {})[split] = {c: found.count(c) for c in CATEGORIES if c in found}
    score = {"score": 1.0, "low": -1.0, "high": 3.0, "n": 44}
    info = {
        "version": "0.1.0",
        "recipe": {"name": "default", "digest": f"{seed:08x}", "seed": seed},
        "lifters": dict.fromkeys(tables, "groundtruth"),
        "generated": {"tracks": 3, "skipped": [], "before": {"ordering": 9}, "after": {"ordering": 3}},
        "counts": counts,
        "max_blind": 5.0,
        "blind": {"priors": {"synthetic": {"by_category": {"ordering": score}, "mean": score, "verdict": f"build {seed}"}}},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "ROWS_PER_FILE", per_file)
        export.write(folder, tables, info, dict.fromkeys(tables, OPEN), {"report.html": b"<p>paths of single clips</p>"})
    return folder


BOTH = {"synthetic": {"train": 12, "test": 6}, "tracks": {"train": 6}}


def front(card: bytes) -> dict[str, Any]:
    return dict(yaml.safe_load(card.decode().split("---\n")[1]))


def configs(card: bytes) -> dict[str, dict[str, list[str]]]:
    return {c["config_name"]: {d["split"]: d["path"] for d in c["data_files"]} for c in front(card)["configs"]}


def relist(folder: Path) -> None:
    """A manifest that fits what is there: whoever changes files may change that too."""
    files = [p for p in folder.rglob("*") if p.is_file() and p.name != "manifest.json"]
    entries = {
        p.relative_to(folder).as_posix(): {"size": p.stat().st_size, "sha256": hashlib.sha256(p.read_bytes()).hexdigest()} for p in files
    }
    (folder / "manifest.json").write_bytes(export.manifest_of(entries))


LOADS = """
import hashlib, json, sys
from pathlib import Path
import datasets
from datasets import load_dataset, get_dataset_config_names, get_dataset_split_names, Video
from datasets.utils.file_utils import xopen
out = lambda *values: print(json.dumps(values))
def fails(call):
    try:
        call()
        out("no error")
    except Exception as error:
        out(type(error).__name__, str(error).splitlines()[0])
"""


def fresh(code: str, hub: Hub, home: Path, cwd: Path, **env: str) -> list[Any]:
    """What a new process says, in JSON lines."""
    cwd.mkdir(exist_ok=True)
    run = subprocess.run(
        [sys.executable, "-c", LOADS + code], cwd=cwd, env=environment(hub, home, **env), capture_output=True, text=True, timeout=180
    )
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]
