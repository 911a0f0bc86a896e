"""The demo as its users meet it: a server of its own process, a Chromium, and an endpoint that streams."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def served(folder: Path, *options: str, limits: str = "", **environment: str) -> Iterator[str]:
    """The address of a demo that keeps everything of its own under `folder`.  `limits`: Python that changes `demo.limits` first."""
    folder.mkdir(parents=True, exist_ok=True)
    first = f"from demo import limits; {limits}; from demo.__main__ import main; raise SystemExit(main())"
    command = [sys.executable, *(("-c", first) if limits else ("-m", "demo")), "--port", "0", *options]
    variables = os.environ | {"TMPDIR": str(folder), "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)} | environment
    with open(folder.parent / "server.log", "w+") as log:
        process = subprocess.Popen(command, cwd=folder, env=variables, stderr=subprocess.PIPE, stdout=log, text=True)
        assert process.stderr is not None
        try:
            line = next((line for line in process.stderr if "open http" in line), "")
            assert line, "the demo did not start"
            threading.Thread(target=lambda: [log.write(text) for text in process.stderr or ()], daemon=True).start()
            yield line.split("open ")[1].split()[0].rstrip("/")
            assert process.poll() is None, "the server has died"
        finally:
            process.terminate()
            process.wait(30)
            process.stderr.close()


@contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium, or a skip."""
    playwright = pytest.importorskip("playwright.sync_api")
    if not os.path.exists(CHROMIUM):
        pytest.skip(f"no {CHROMIUM}")
    with playwright.sync_playwright() as tools:
        chromium = tools.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


@dataclass
class Endpoint:
    """A server of chat completions that streams `pieces`; `whole`: in one piece.  "!" breaks off, "#" waits for `go`."""

    pieces: list[str] = field(default_factory=list)
    whole: bool = False
    delta: str = "content"
    asked: list[dict[str, Any]] = field(default_factory=list)
    go: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked.append(json.loads(handler.rfile.read(int(handler.headers["Content-Length"]))))
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json" if self.whole else "text/event-stream")
        handler.end_headers()
        if self.whole:
            told = {"choices": [{"message": {"content": "".join(self.pieces)}, "finish_reason": "stop"}]}
            handler.wfile.write(json.dumps(told).encode())
            return
        handler.wfile.write(b": a comment\n\nevent: start\n\n")
        for piece in self.pieces:
            if piece == "!":
                handler.connection.shutdown(socket.SHUT_RDWR)
                return
            if piece == "#":
                assert self.go.wait(20)
                continue
            told = {"choices": [{"delta": {self.delta: piece}, "finish_reason": None}]}
            handler.wfile.write(f"data: {json.dumps(told)}\n\n".encode())
            handler.wfile.flush()
        handler.wfile.write(b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\n')
        handler.wfile.write(b'data: {"choices": [], "usage": {"prompt_tokens": 3}}\n\ndata: [DONE]\n\n')


@contextmanager
def serving(endpoint: Endpoint) -> Iterator[str]:
    """The spec that names it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            endpoint.answer(self)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        endpoint.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        yield f"openai_api=tiny,url={endpoint.url},retries=0,backoff_s=0.01"
    finally:
        endpoint.go.set()
        server.shutdown()
        server.server_close()
