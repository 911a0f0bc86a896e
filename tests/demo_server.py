"""The demo as its users meet it: a server of its own process, and a Chromium."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
def served(folder: Path, *options: str, **environment: str) -> Iterator[str]:
    """The address of a demo that keeps everything of its own under `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "demo", "--port", "0", *options]
    variables = os.environ | {"TMPDIR": str(folder), "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)} | environment
    with open(folder.parent / "server.log", "w+") as log:
        process = subprocess.Popen(command, cwd=folder, env=variables, stderr=subprocess.PIPE, stdout=log, text=True)
        assert process.stderr is not None
        try:
            line = next((line for line in process.stderr if "open http" in line), "")
            assert line, "the demo did not start"
            import threading

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
