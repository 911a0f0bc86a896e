"""README's three ways in, walked by the commands that stand there: on the packaged sample, on a generated copy of EMDB, on this machine.

The third, a question family, is walked by test_contributing.py.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import documents
import fixture_datasets as fx
import pytest
from loopback_hub import serve
from packaged import TEST

from builder.performer import Turn, Wait, Walk, perform

ROOT = documents.ROOT
WALKED = [Wait(0.6), Walk(2.5), Turn(90, 1.5), Wait(1), Walk(1.8), Wait(0.8), Walk(1.2, -90), Turn(-120, 2), Wait(0.7)]


def walk(title: str) -> list[str]:
    """The commands below README's paragraph that begins with this bold title."""
    _, _, rest = documents.text("README.md").partition(f"**{title}**")
    assert rest, "README has no such paragraph"
    return documents.commands(rest.partition("\n**")[0])


def run(command: str, here: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("HUMANMOVEVQA_", "HF_"))}
    quiet = {"HOME": str(here / "home"), "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)} | environment
    words = [sys.executable, str(ROOT / "humanmovevqa.py"), *documents.words_of(command)[1:]]
    done = subprocess.run(words, cwd=here, env=keep | quiet, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def server() -> Iterator[str]:
    """The address of a model that always says B."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            reply = {"choices": [{"message": {"role": "assistant", "content": "B"}, "finish_reason": "stop"}], "usage": {}}
            data = json.dumps(reply).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_address[1]}/v1"
    running.shutdown()
    running.server_close()


@pytest.mark.slow
def test_somebody_who_evaluates_a_model_tonight(server: str, tmp_path: Path):
    commands = walk("Evaluate a model tonight.")
    assert len(commands) == 5
    said = [run(c.replace("http://localhost:8000/v1", server), tmp_path, HF_HUB_OFFLINE="1").stdout for c in commands]
    assert re.search(r"^sample +12 +12$", said[0], re.MULTILINE)
    for name in ("blind", "mine"):
        assert len((tmp_path / "runs" / name / "samples.jsonl").read_text().splitlines()) == TEST
    assert {reply["reply"] for reply in map(json.loads, (tmp_path / "runs/mine/samples.jsonl").read_text().splitlines())} == {"B"}
    assert {"scores.json", "scores.md"} <= {p.name for p in (tmp_path / "scores").iterdir()}
    assert "blind" in said[3]
    (printed,) = json.loads(run("humanmovevqa score runs/blind --json", tmp_path).stdout)["runs"]
    assert printed["n"] == TEST
    assert json.loads(run("humanmovevqa compare runs/blind runs/mine --json", tmp_path).stdout)
    assert said[4]


@pytest.mark.slow
def test_somebody_with_a_licensed_copy(tmp_path: Path):
    commands = walk("Rebuild from a licensed copy, and push.")
    assert len(commands) == 5
    fx.emdb(tmp_path / "EMDB", perform(WALKED, seed="a stranger"), size=(270, 360), images=fx.numbered_image((270, 360)))
    with serve() as hub:
        here = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_writer", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        ours = [c.replace("/data/EMDB", "EMDB").replace("your-name/", "tester/") for c in commands]
        said = [run(command, tmp_path, **here) for command in ours]
    assert "verdict: as expected" in said[0].stdout
    assert [p.suffix for p in (tmp_path / "clips").rglob("*.mp4")] == [".mp4"]
    built = {p.name for p in (tmp_path / "humanmovevqa").iterdir()}
    assert {"README.md", "build_info.json", "manifest.json", "emdb"} <= built
    assert not [p for p in (tmp_path / "humanmovevqa").rglob("*") if p.suffix in (".mp4", ".jpg", ".png", ".npz", ".pkl")]
    assert re.search(r"^emdb +1 +1$", said[3].stdout, re.MULTILINE)
    assert "emdb/" in said[4].stdout + said[4].stderr


def test_somebody_who_adds_a_question_family():
    """The walk is in CONTRIBUTING.md, where its own test runs it."""
    (command,) = walk("Add a question family.")
    assert command in documents.commands(documents.text("CONTRIBUTING.md"))
    assert "a-question-family" in documents.anchors(documents.text("CONTRIBUTING.md"))
