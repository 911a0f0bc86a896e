"""What every test shares: no network, no cache of yours, and the optional folder of real tracks and videos."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]

# The Hugging Face libraries read these once, when they are first imported, so a fixture would come too late.
_home = tempfile.mkdtemp(prefix="humanmovevqa-tests-")
atexit.register(shutil.rmtree, _home, ignore_errors=True)
for _name in ("HF_DATASETS_CACHE", "HF_HUB_CACHE", "HF_TOKEN", "HF_ENDPOINT", "HUMANMOVEVQA_DATA"):
    os.environ.pop(_name, None)
os.environ.update(HF_HUB_OFFLINE="1", HF_HOME=_home, HF_HUB_DISABLE_TELEMETRY="1", MPLBACKEND="Agg")

# A runner in the background ignores Ctrl-C, and whatever is started here would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of shared tracks and videos, or a skip that says where it was looked for."""
    folder = Path(os.environ.get("HUMANMOVEVQA_TEST_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no shared test data at {folder}; set HUMANMOVEVQA_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def networks() -> Path:
    """The folder of the default lifter's networks, or a skip: tests fetch nothing."""
    from builder.lifters.monocular import weights

    for folder in (os.environ.get(weights.VARIABLE), weights.cache()):
        if folder and all((Path(folder) / name).is_file() for name in weights.MEMBERS):
            return Path(folder)
    pytest.skip(f"no BlazePose weights: set {weights.VARIABLE}, or lift a video once (`make build` does)")


@pytest.fixture(scope="session")
def tiny_qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a Qwen3-VL with 0.3 million random weights: the real classes, no knowledge."""
    for name in ("torch", "torchvision", "transformers", "peft"):
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    import tiny_qwen3_vl

    return tiny_qwen3_vl.write(tmp_path_factory.mktemp("tiny") / "qwen3_vl")


@pytest.fixture
def listener() -> Iterator[tuple[int, list[str]]]:
    """A server on this machine that must see nothing: (port, the paths it was asked for)."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(404)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1], asked
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any]]:
    """One Hub and its users for all tests here: starting a process takes longer than most pushes."""
    from fixture_hub import Person
    from loopback_hub import serve

    homes, made = tmp_path_factory.mktemp("homes"), {}

    with serve() as running:

        def one(name: str = "me", token: str = "hf_writer") -> Any:
            if name in made and made[name].process.poll() is not None:
                made.pop(name).close()
            if name not in made:
                made[name] = Person(running, homes / name, token)
            return made[name]

        yield running, one
        for each in made.values():
            each.close()


@pytest.fixture
def hub(people: tuple[Any, Any]) -> Any:
    people[0].reset()
    return people[0]


@pytest.fixture
def person(people: tuple[Any, Any]) -> Any:
    return people[1]


@pytest.fixture(scope="session")
def constant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of numbered frames at a constant rate."""
    import fixture_video

    return fixture_video.constant_video(tmp_path_factory.mktemp("constant"))


@pytest.fixture(scope="session")
def varying(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of numbered frames at a varying rate."""
    import fixture_video

    return fixture_video.varying_video(tmp_path_factory.mktemp("varying"))


@pytest.fixture(scope="session")
def edited(constant: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The second half of `constant`, with the frames since the key frame at 1 s stored and hidden."""
    import fixture_video

    path = fixture_video.copied(constant, tmp_path_factory.mktemp("edited") / "edited.mp4", Fraction(3, 2))
    assert fixture_video.edit(path)[1] > 15 * 512 - 1
    return path
