"""The API client against a server that fails in every way a server can: nothing is lost, nothing is asked twice."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builder import evaluate, plugins, prompts, qwen, rows, runs, watching
from builder.evaluate import Plan
from builder.types import BuildError, HumanMoveError, SetupError

DATA = rows.read(str(rows.SAMPLE))
SECRET = "sk-test-1234567890abcdef"
api = plugins.load("models", "openai_api")


@dataclass
class Server:
    """A scripted server.  `script(question number, attempt) -> what to do`: "ok", a status, ("429", pause), "drop", ..."""

    url: str = ""
    script: Callable[[int, int], Any] = lambda n, attempt: "ok"
    bodies: list[dict[str, Any]] = field(default_factory=list)
    heads: list[dict[str, str]] = field(default_factory=list)
    times: list[tuple[str, float, Any]] = field(default_factory=list)
    answered: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)
    flying: int = 0
    most: int = 0

    def question(self, body: dict[str, Any]) -> str:
        content = body["messages"][-1]["content"]
        return str(content if isinstance(content, str) else content[-1]["text"])


@pytest.fixture
def server() -> Iterator[Server]:
    it = Server()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            text = it.question(body)
            with it.lock:
                it.flying += 1
                self.up = True
                it.most = max(it.most, it.flying)
                attempt = sum(t == text for t, _, _ in it.times)
                order = list(dict.fromkeys(t for t, _, _ in it.times))
                number = order.index(text) if text in order else len(order)
                what = it.script(number, attempt)
                it.times.append((text, time.monotonic(), what))
                it.bodies.append(body)
                it.heads.append(dict(self.headers))
            try:
                self.act(what, text)
            finally:
                self.land()

        def land(self) -> None:
            """Count this request no more; before it is answered, for the next may come before this thread goes on."""
            with it.lock:
                it.flying -= self.up
                self.up = False

        def act(self, what: Any, text: str) -> None:
            if what == "drop":  # a reset instead of an answer
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
            elif what == "half":
                self.send_response(200)
                self.send_header("Content-Length", "5000")
                self.end_headers()
                self.wfile.write(b'{"choices": [{"mess')
                self.connection.close()
            elif what == "garbage":
                self.give(200, b"<html>busy</html>")
            elif isinstance(what, tuple) and what[0] == "slow":
                time.sleep(what[1])
                self.act("ok", text)
            elif isinstance(what, tuple):
                status, error, *more = what
                self.give(status, json.dumps({"error": error}).encode(), more[0] if more else {})
            elif isinstance(what, dict):
                self.give(200, json.dumps(what).encode())
            else:
                it.answered[text] += 1
                choice = {"message": {"content": "Answer: B"}, "finish_reason": "stop"}
                self.give(200, json.dumps({"choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}).encode())

        def give(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
            self.land()
            try:
                self.send_response(status)
                for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)
            except OSError:
                pass  # the client had given up

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    it.url = f"http://127.0.0.1:{http.server_port}/v1"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield it
    http.shutdown()
    http.server_close()
    thread.join()


def plan(server: Server, limit: int = 8, mode: str = "blind", **options: str) -> Plan:
    known = {"url": server.url, "backoff_s": "0.01", "retries": "5", "timeout_s": "5", **options}
    return Plan("openai_api", "some-model", known, mode=mode, limit=limit)


def run(it: Plan, out: Path, said: list[str] | None = None) -> dict[str, Any]:
    return runs.write_results(evaluate.evaluate(DATA, it, out, lambda *a: None, (said if said is not None else []).append))


def test_frames_go_as_pictures_behind_their_times(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch):
    from PIL import Image

    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    found = run(replace(plan(server, 1, "video"), frames=3, pixels=9000), tmp_path / "run")
    assert (found["n"], found["invalid_rate"]) == (1, 0.0)
    (body,) = server.bodies
    assert body["model"] == "some-model"
    assert (body["temperature"], body["seed"]) == (0.0, 0)
    system, user = body["messages"]
    assert system == {"role": "system", "content": prompts.SYSTEM}
    kinds = [part["type"] for part in user["content"]]
    assert kinds == ["text", "image_url"] * 3 + ["text"]
    assert user["content"][0]["text"] == "t=0.0s"
    (item,) = [
        i for i in DATA.items if i.question.text in user["content"][-1]["text"] and i.question.options[0] in user["content"][-1]["text"]
    ][:1]
    last_s = watching.look(item.video_id, watching.footage([item], None)[0][item.video_id], watching.Shown("video", 3, 9000)).times_s[-1]  # type: ignore[index]
    assert user["content"][4]["text"] == f"t={last_s:.1f}s"
    uri = user["content"][1]["image_url"]["url"]
    image = Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))))
    assert image.format == "JPEG"
    assert 0.8 * 9000 < image.width * image.height <= 9000
    assert server.heads[0]["Authorization"] == f"Bearer {SECRET}"
    (sample,) = runs.read_samples(tmp_path / "run" / runs.SAMPLES)
    assert sample["tokens"] == [7, 3]


def test_the_key_is_written_nowhere(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MY_KEY", SECRET)
    server.script = lambda n, attempt: (401, {"message": f"Incorrect API key provided: {SECRET}. Or sk-other12345678."})
    with pytest.raises(HumanMoveError) as caught:
        run(plan(server, 2, key="MY_KEY"), tmp_path / "run")
    assert "status 401" in str(caught.value)
    assert "sk-" not in str(caught.value)
    server.script = lambda n, attempt: "ok"
    run(plan(server, 2, key="MY_KEY"), tmp_path / "run")
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and SECRET.encode() in p.read_bytes()]


@pytest.mark.parametrize(
    "trouble",
    [
        (500, {"message": "oops"}),
        (503, {"message": "busy"}),
        (429, {"message": "slow down"}, {"Retry-After": "0"}),
        (408, {"message": "timeout"}),
        "drop",
        "half",
        "garbage",
        {"choices": []},
        ("slow", 0.6),
    ],
    ids=["500", "503", "429", "408", "dropped", "cut off", "no json", "no choices", "too slow"],
)
def test_what_passes_is_waited_out(tmp_path: Path, server: Server, trouble: Any):
    """Every third question meets the trouble twice before it is answered."""
    server.script = lambda n, attempt: trouble if n % 3 == 0 and attempt < 2 else "ok"
    found = run(plan(server, 7, timeout_s="0.3", concurrency="3"), tmp_path / "run")
    assert (found["n"], found["finish"]) == (7, {"stop": 7})
    assert len(server.times) == 7 + 2 * 3
    if trouble != ("slow", 0.6):  # there the server did answer, to nobody
        assert set(server.answered.values()) == {1}


def test_a_pause_that_the_server_asks_for_holds_for_every_question(tmp_path: Path, server: Server):
    server.script = lambda n, attempt: (429, {"message": "wait"}, {"Retry-After": "1"}) if (n, attempt) == (0, 0) else ("slow", 0.05)
    run(plan(server, 6, concurrency="2"), tmp_path / "run")
    told = next(t for _, t, what in server.times if isinstance(what, tuple) and what[0] == 429)
    after = [t - told for _, t, what in server.times if t > told + 0.2]
    assert min(after) >= 0.95
    assert len(after) >= 4
    assert api._seconds(formatdate(time.time() + 30, usegmt=True)) == pytest.approx(30, abs=2)
    assert api._seconds("soon") is None


def test_back_off_grows(tmp_path: Path, server: Server):
    server.script = lambda n, attempt: (500, {"message": "oops"}) if attempt < 4 else "ok"
    run(plan(server, 1, backoff_s="0.05"), tmp_path / "run")
    times = [t for _, t, _ in server.times]
    gaps = np.diff(times)
    assert all(gap >= 0.05 * 2**k * 0.5 for k, gap in enumerate(gaps))
    assert gaps[3] > gaps[0]


def test_refusals_and_cut_replies_are_replies(tmp_path: Path, server: Server):
    said = {
        0: (400, {"code": "content_policy_violation", "message": "We do not answer this."}),
        1: {"choices": [{"message": {"content": None, "refusal": "I cannot help with that."}, "finish_reason": "stop"}]},
        2: {"choices": [{"message": {"content": ""}, "finish_reason": "content_filter"}]},
        3: {"choices": [{"message": {"content": "The person first walks and then"}, "finish_reason": "length"}]},
        4: {"choices": [{"message": {"content": [{"type": "text", "text": "Answer: A"}]}, "finish_reason": "stop"}]},
    }
    server.script = lambda n, attempt: said.get(n, "ok")
    found = run(plan(server, 8, concurrency="1"), tmp_path / "run")
    assert found["finish"] == {"length": 1, "refused": 3, "stop": 4}
    assert found["n"] == 8
    assert found["invalid_rate"] == 50.0
    assert len(server.times) == 8, "a refusal was asked again"
    assert "3 refused" in (tmp_path / "run" / runs.TABLE).read_text()
    assert "I cannot help with that." in (tmp_path / "run" / runs.SAMPLES).read_text()


def test_when_a_server_gives_up_what_is_answered_stays(tmp_path: Path, server: Server):
    server.script = lambda n, attempt: (500, {"message": "down"}) if n == 4 else ("slow", 0.05)
    with pytest.raises(HumanMoveError, match=r"no answer after 3 attempts, the last: status 500: down; run the same command"):
        run(plan(server, 12, retries="2", concurrency="3"), tmp_path / "run")
    kept = len(runs.read_samples(tmp_path / "run" / runs.SAMPLES))
    assert kept == sum(server.answered.values()) >= 4, "an answer that was paid for was thrown away"
    server.script = lambda n, attempt: "ok"
    assert run(plan(server, 12, retries="2", concurrency="3"), tmp_path / "run")["n"] == 12
    assert set(server.answered.values()) == {1}


@pytest.mark.parametrize(
    ("trouble", "says"),
    [
        ((401, {"message": "wrong key"}), "status 401: wrong key"),
        ((403, {"message": "not yours"}), "status 403"),
        ((404, {"message": "no such model"}), "status 404: no such model"),
        ((429, {"code": "insufficient_quota", "message": "no credit"}), "status 429: no credit"),
        ((400, {"message": "context too long"}), "status 400: context too long"),
        ((307, {"message": "elsewhere"}, {"Location": "http://127.0.0.1:9/other"}), "status 307"),
    ],
)
def test_what_will_not_pass_is_not_tried_again(tmp_path: Path, server: Server, trouble: Any, says: str):
    server.script = lambda n, attempt: trouble
    with pytest.raises(HumanMoveError) as caught:
        run(plan(server, 20, concurrency="2"), tmp_path / "run")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(server.times) <= 3


def test_parameters_that_a_model_does_not_take_are_left_out(tmp_path: Path, server: Server):
    def judge(body: dict[str, Any]) -> Any:
        if "max_completion_tokens" in body:
            return (400, {"message": "Unsupported parameter: 'max_completion_tokens'"})
        return (400, {"message": "'temperature' does not support 0"}) if "temperature" in body else None

    original = server.question

    def question(body: dict[str, Any]) -> str:
        answer = judge(body)
        server.script = lambda n, attempt: answer or "ok"
        return original(body)

    server.question = question  # type: ignore[method-assign]
    found = run(plan(server, 5, concurrency="1"), tmp_path / "run")
    assert found["n"] == 5
    assert len(server.times) == 5 + 2, "what the model does not take is learnt once"
    assert server.bodies[-1]["max_tokens"] == 1024
    assert "temperature" not in server.bodies[-1]


def test_so_many_at_once_and_no_more(tmp_path: Path, server: Server):
    server.script = lambda n, attempt: ("slow", 0.05)
    run(plan(server, 24, concurrency="4"), tmp_path / "run")
    assert 2 <= server.most <= 4


def test_the_cost_is_told_and_can_be_too_high(tmp_path: Path, server: Server):
    priced = {"price_in": "10", "price_out": "100"}
    said: list[str] = []
    run(plan(server, 3, **priced), tmp_path / "run", said)
    assert "3 requests of 0 frames" in said[0]
    asked = len(server.times)
    with pytest.raises(BuildError, match=r"above --max-cost 0.00; nothing was asked"):
        run(replace(plan(server, 8, **priced), max_cost=0.001), tmp_path / "run2")
    with pytest.raises(BuildError, match="no prices given"):
        run(replace(plan(server, 8), max_cost=1.0), tmp_path / "run3")
    assert len(server.times) == asked
    model = api.load("m", url=server.url, price_in="1", price_out="0", tokens_per_frame="94")
    put = [evaluate.prompt(a) for a in evaluate.part(DATA.items, Plan("x", limit=10))]
    _, cost = model.estimate(put, 100, 0)
    assert cost == pytest.approx(10 * 100 * 100 / 1e6, rel=0.4)  # and its words


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"url": "ftp://x/v1"}, "expected http"),
        ({"url": "https://me:secret@host/v1"}, "without user, password"),
        ({"url": "https://host/v1?key=abc"}, "without user, password"),
        ({"key": SECRET}, "NAME of an environment variable"),
        ({"url": "https://host/v1", "key": "NO_SUCH_VARIABLE"}, "set the environment variable NO_SUCH_VARIABLE"),
        ({}, "needs a key: set the environment variable OPENAI_API_KEY"),
        ({"url": "http://x/v1", "concurrency": "0"}, "expected a number of 1 or more"),
        ({"url": "http://x/v1", "nosuch": "1"}, "takes no --option nosuch"),
    ],
)
def test_a_wrong_option_is_one_line_and_shows_no_secret(options: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SetupError) as caught:
        api.load("m", **options)
    assert says in str(caught.value)
    assert "secret" not in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.slow
def test_a_real_server_answers(tiny_qwen: Path, tmp_path: Path):
    """`transformers serve` with a tiny Qwen3-VL: real HTTP, real chat template, real pictures."""
    pytest.importorskip("fastapi")
    pytest.importorskip("openai")
    folder = tmp_path / "served"
    shutil.copytree(tiny_qwen, folder)
    (folder / "chat_template.jinja").write_text(qwen.TEMPLATE)
    (tmp_path / "home" / "hub").mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(Path(__file__).with_name("tiny_qwen3_vl.py")), "serve", str(folder), str(port)]
    home = os.environ | {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    with open(tmp_path / "log", "wb") as log, subprocess.Popen(command, stdout=log, stderr=log, env=home) as process:
        try:
            until = time.monotonic() + 180
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
                    break
                except OSError:
                    assert process.poll() is None, (tmp_path / "log").read_text()[-2000:]
                    assert time.monotonic() < until, "the server did not start"
                    time.sleep(0.5)
            options = {"url": f"http://127.0.0.1:{port}/v1", "max_tokens": "6", "concurrency": "2", "retries": "2"}
            for mode, least in (("blind", 100), ("video", 130)):
                asking = Plan("openai_api", str(folder), options, mode=mode, limit=3, frames=3, pixels=9216)
                found = run(asking, tmp_path / mode)
                assert (found["n"], found["finish"]) == (3, {"length": 3})
                tokens = [s["tokens"] for s in runs.read_samples(tmp_path / mode / runs.SAMPLES)]
                assert all(t[0] > least for t in tokens)
        finally:
            process.terminate()
