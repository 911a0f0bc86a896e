"""The running demo against programs: what may be called, what is refused, and that visitors do not meet."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builder.performer import Turn, Wait, Walk, perform
from demo import limits, scene, work
from tests.demo_server import ROOT, served

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "tmp"


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with served(folder) as where:
        yield where
    assert [p for p in folder.iterdir() if p.name.startswith(work.PREFIX)] == [], "the folder outlives the server"


def client(address: str) -> Any:
    from gradio_client import Client

    return Client(address, verbose=False, download_files=False)


def get(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def track_file(path: Path, degrees: float) -> Path:
    track = perform((Walk(2.0), Wait(0.6), Turn(degrees, 1.4), Wait(0.6), Walk(1.5)), 30.0, seed=f"visitor {degrees}", clip_id="x")
    np.savez_compressed(path, trans=track.position_m, root_rot=track.body_to_world, fps=30.0, up="y")
    return path


def test_three_functions_are_public_and_documented(address: str):
    with urllib.request.urlopen(f"{address}/gradio_api/info", timeout=20) as answer:
        named = json.load(answer)["named_endpoints"]
    assert sorted(named) == ["/ask", "/examples", "/lift"]
    assert all(named[name].get("description") for name in named)


def test_examples_can_be_listed_and_asked(address: str):
    caller = client(address)
    found = caller.predict(api_name="/examples")
    assert [e["name"] for e in found] == [name for name, *_ in scene.EXAMPLES]
    said = caller.predict("Which way did they turn?", api_name="/ask")
    assert (said["answer"], said["lifter"]) == ("To the right", "groundtruth")
    assert said["moments"]


def test_eight_visitors_at_once_get_their_own_answers(address: str, tmp_path: Path):
    from gradio_client import handle_file

    files = [track_file(tmp_path / f"{k}.npz", 90.0 if k % 2 else -90.0) for k in range(8)]

    def visit(k: int) -> tuple[str, str]:
        caller = client(address)
        said = caller.predict("Which way did they turn?", handle_file(str(files[k])), api_name="/ask")
        return said["answer"], caller.predict("did they walk forward", api_name="/ask")["answer"]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(visit, range(8)))
    assert [a for a, _ in answers] == ["To the left" if k % 2 else "To the right" for k in range(8)]
    assert {b for _, b in answers} == {"Yes"}


@pytest.mark.parametrize(
    "path",
    [
        "http://127.0.0.1:PORT/clip.mp4",
        "http://localhost:PORT/clip.mp4",
        "http://[::1]:PORT/clip.mp4",
        "/etc/passwd",
        str(ROOT / "demo" / "app.py"),
        "../../../etc/passwd",
        "file:///etc/passwd",
    ],
)
def test_files_of_this_machine_and_addresses_are_not_read(address: str, listener: tuple[int, list[str]], path: str):
    port, asked = listener
    where = path.replace("PORT", str(port))
    caller = client(address)
    for name, given in (("/lift", [{"path": where, "meta": {"_type": "gradio.FileData"}}]),):
        with pytest.raises(Exception) as caught:  # noqa: PT011  # gradio's own kinds
            caller.predict(*given, api_name=name)
        assert "root:" not in str(caught.value)
        assert "Traceback" not in str(caught.value)
    quoted = urllib.parse.quote(where, safe="/:[]")
    assert get(f"{address}/gradio_api/file={quoted}") in (403, 404, 400)
    assert asked == []
    assert get(address) == 200


def test_a_private_event_is_not_callable_by_name(address: str):
    caller = client(address)
    for name in ("/pick", "/lifting", "/asking", "/made"):
        with pytest.raises(Exception, match=r"Cannot find|not|No"):
            caller.predict(api_name=name)


def test_too_large_an_upload_is_cut_off(address: str, tmp_path: Path):
    body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="../../../evil.mp4"\r\n\r\n'
    for size, expected in ((1000, 200), (limits.FILE_BYTES + 5000, 413)):
        data = body + bytes(size) + b"\r\n--x--\r\n"
        request = urllib.request.Request(
            f"{address}/gradio_api/upload", data, {"Content-Type": "multipart/form-data; boundary=x"}, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, stored = answer.status, json.load(answer)
                assert stored[0].endswith("/evil.mp4")
                assert ".." not in stored[0]
        except urllib.error.HTTPError as error:
            status = error.code
        except urllib.error.URLError:  # the server hangs up in the middle of it
            status = 413
        assert status == expected


def test_a_bad_file_leaves_the_server_serving(address: str, tmp_path: Path):
    from gradio_client import handle_file

    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"#EXTM3U\nhttp://127.0.0.1:1/x.ts\n")
    caller = client(address)
    with pytest.raises(Exception, match=r"Not a video|video that can be read|weights are not here"):
        caller.predict(handle_file(str(bad)), api_name="/lift")
    with pytest.raises(Exception, match="no example of that name"):
        caller.predict("x", None, "../etc", api_name="/ask")
    assert caller.predict("<script>alert(1)</script>", api_name="/ask")["answer"] is None
    assert get(address) == 200
