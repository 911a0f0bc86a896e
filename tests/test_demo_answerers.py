"""Models beside the track: who can be asked, how they are heard while they speak, and that askers do not meet."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder import plugins, prompts, watching
from builder.asking import Reply
from builder.types import Question, SetupError
from builder.watching import Footage, Shown
from demo import answerers, quiz, scene, speech, words
from demo.events.questions import answered
from demo.scene import Scene
from tests.demo_server import Endpoint, serving

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
TURNING, COLOUR = "Which way did they turn?", "what colour is the floor?"


@pytest.fixture
def shown() -> Scene:
    return scene.example(scene.FIRST)


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that names models as the operator does and gives their names; whatever was loaded is forgotten."""

    loaded = speech._loaded

    def name(*specs: str) -> str:
        loaded.cache_clear()
        speech._line.cache_clear()
        monkeypatch.setenv(answerers.VARIABLE, " ".join(specs))
        return specs[0] if specs else ""

    name()
    yield name
    loaded.cache_clear()


# ---- who can be asked


def test_what_is_missing_is_disabled_with_the_reason(named: Any, tmp_path: Path, shown: Scene, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(plugins.load("models", answerers.READER), "PACKAGED", tmp_path / "track_reader.safetensors")
    listed = answerers.choices()
    assert listed[0].name == answerers.TRACK
    assert "not a model" in listed[0].label
    reader, *others = listed[1:]
    assert (reader.label, reader.why_not) == (
        "track reader (reads the track, not the pixels)",
        "its weights track_reader.safetensors are not here",
    )
    assert {a.plugin for a in others} >= {"qwen3_vl", "openai_api", "transformers_vlm"}
    page = words.models(listed)
    assert page.count("<option") == page.count(" disabled>") + 1 == len(listed)
    assert "not here: no checkpoint was named" in page
    for absent in ("qwen3_vl", answerers.READER):
        (said,) = speech.turn(absent, Reply("x", "", None, ""), shown)
        assert (said.text, said.done, said.agrees) == ("No answer.", True, None)
        assert "It cannot be asked here" in said.detail
    assert list(speech.turn(answerers.TRACK, Reply("x", "", None, ""), shown)) == []
    assert list(speech.turn("<img>", Reply("x", "", None, ""), shown)) == []


@pytest.mark.parametrize("spec", ["nosuch=x", "geometry", "qwen3_vl=x,adapter", "human"])
def test_a_wrong_name_is_one_line(spec: str):
    with pytest.raises(SetupError, match="expected NAME=CHECKPOINT"):
        answerers.parse(spec)


def test_an_adapter_is_in_the_name(named: Any):
    assert answerers.parse("qwen3_vl=Qwen/Qwen3-VL-8B-Instruct,adapter=own/lora").label == "qwen3_vl Qwen3-VL-8B-Instruct + lora"


# ---- an endpoint


def test_a_reply_grows_and_ends_as_an_option(named: Any, shown: Scene):
    endpoint = Endpoint(["Ans", "wer", ": ", "A", ". To the left"])
    with serving(endpoint) as spec:
        track = answered(shown, TURNING)
        said = list(speech.turn(named(spec), track, shown))
    assert track.question is not None
    whole = "Answer: A. To the left"
    assert [s.text for s in said[:-1]] == ["", "Ans", "Answer", "Answer: ", "Answer: A", whole, whole]
    assert [s.done for s in said] == [False] * (len(said) - 1) + [True]
    assert said[-1].text == track.question.options[0]
    assert said[-1].agrees is (track.question.answer == 0)
    assert "It wrote: Answer: A. To the left" in said[-1].detail
    (body,) = endpoint.asked
    assert body["stream"] is True
    assert len([c for c in body["messages"][1]["content"] if c["type"] == "image_url"]) > 4
    assert track.question.answer_text
    assert "evidence" not in json.dumps(body)


def test_a_server_that_does_not_stream_answers_in_one_piece(named: Any, shown: Scene):
    with serving(Endpoint(["It is <b>green</b>."], whole=True)) as spec:
        *_, last = speech.turn(named(spec), answered(shown, COLOUR), shown)
    assert (last.text, last.agrees, last.done) == ("It is <b>green</b>.", None, True)
    assert "Asked in your own words." in last.detail
    assert "<b>green" not in words.turn(answered(shown, COLOUR), 0.0, "x", last)


@pytest.mark.parametrize(
    ("endpoint", "detail"),
    [
        (Endpoint(["Ans", "!"]), "chat/completions"),
        (Endpoint(["I will ", "not."], delta="refusal"), "It refused: I will not."),
        (Endpoint([], whole=True), "chat/completions"),
    ],
    ids=["broken off", "refused", "empty"],
)
def test_what_is_no_answer_is_called_none(named: Any, shown: Scene, endpoint: Endpoint, detail: str):
    if endpoint.whole:
        endpoint.answer = lambda h: (h.send_response(401), h.end_headers())[0]  # type: ignore[method-assign]
    with serving(endpoint) as spec:
        *_, last = speech.turn(named(spec), answered(shown, TURNING), shown)
    assert (last.text, last.done, last.choice) == ("No answer.", True, None)
    assert detail in last.detail


def test_askers_wait_in_line_and_hear_their_own(named: Any, shown: Scene, monkeypatch: pytest.MonkeyPatch):
    """Eight at once before a model that takes one at a time: each hears how many are before, and the reply to their own words."""
    most, running = [0], [0]

    def say(clip_id: str, video: Any, track: Any, prompt: watching.Prompt) -> Iterator[watching.Reply]:
        running[0] += 1
        most[0] = max(most[0], running[0])
        time.sleep(0.05)
        yield prompt.reply(f"you said: {prompt.text}")
        running[0] -= 1

    name = named("qwen3_vl=nowhere")
    monkeypatch.setattr(answerers, "NEEDS", {})
    monkeypatch.setattr(speech, "_loaded", lambda _: (say, "nothing"))
    asked = [Reply(f"What is number {k}?", "", None, "") for k in range(8)]
    with ThreadPoolExecutor(8) as pool:
        heard = list(pool.map(lambda track: list(speech.turn(name, track, shown)), asked))
    assert [h[-1].text for h in heard] == [f"you said: What is number {k}?" for k in range(8)]
    assert most == [1]
    waits = [s.detail for h in heard for s in h if s.detail.startswith("Waiting")]
    assert any("questions before yours" in w for w in waits)
    abandoned = speech.turn(name, asked[0], shown)
    next(abandoned), next(abandoned)
    abandoned.close()
    assert [s.text for s in speech.turn(name, asked[1], shown)][-1] == "you said: What is number 1?"


def test_the_line_before_a_model_has_an_end(named: Any, shown: Scene, monkeypatch: pytest.MonkeyPatch):
    endpoint = Endpoint(["#", "Answer: A"])
    with serving(endpoint) as spec:
        name = named(spec)
        monkeypatch.setattr(speech.limits, "ASKING", 1)
        monkeypatch.setattr(speech, "ON_GPU", ("openai_api",))
        track = answered(shown, TURNING)
        two = [speech.turn(name, track, shown) for _ in range(2)]
        firsts = [next(t) for t in two]
        threads = [threading.Thread(target=lambda t=t: list(t)) for t in two]
        for thread in threads:
            thread.start()
        while len(speech._line(name)._standing) < 2:
            time.sleep(0.01)
        *_, third = speech.turn(name, track, shown)
        assert third.detail == "1 questions wait for this model already; please ask it again in a minute."
        endpoint.go.set()
        for thread in threads:
            thread.join(20)
    assert {f.done for f in firsts} == {False}


# ---- models of this machine


def test_a_real_model_of_transformers_is_heard_while_it_writes(named: Any, shown: Scene, tiny_qwen: Path):
    """The streamed reply is the one that evaluation gets; whoever stops listening stops the model."""
    module = plugins.load("models", "qwen3_vl")
    assert shown.video is not None
    model = module.load(str(tiny_qwen), {"mode": "video", "frames": 4, "pixels": 9216, "data": None}, max_new_tokens="24")
    watch = watching.look("x", Footage(shown.video), Shown("video", 4, 9216))
    prompt = watching.Prompt("q", prompts.SYSTEM, "Say something.", (), question("q"))
    (whole,) = model(watch, [prompt])
    grown = list(model.stream(watch, prompt))
    assert len(grown) > 3
    assert all(b.text.startswith(a.text) for a, b in itertools.pairwise(grown))
    assert grown[-1].text == whole.text
    before = threading.active_count()
    listening = model.stream(watch, prompt)
    next(listening)
    listening.close()
    assert threading.active_count() == before
    name = named(f"qwen3_vl={tiny_qwen},max_new_tokens=8")
    track = answered(shown, TURNING)
    said = list(speech.turn(name, track, shown))
    assert said[-1].done
    assert "shown up to 64 frames" in said[-1].detail
    assert said[-1].label == f"qwen3_vl {tiny_qwen.name}"


def question(name: str) -> Question:
    return Question(name, "c", "0", "dominant", "t", "left", "whole", "?", ("Left", "Right"), 0, {})


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of fresh weights of the real network, small."""
    torch = pytest.importorskip("torch")
    from builder import reader as readers

    subject = scene.example(scene.FIRST).subject
    assert subject is not None
    known = readers.Words.of([t for q in subject.questions(3) for t in (q.text, *q.options)])
    torch.manual_seed(0)
    shape = readers.Shape(len(known.known), width=24, heads=2, readers=1, listeners=1, askers=1, gist=2, inner=24)
    path = tmp_path_factory.mktemp("reader") / "track_reader.safetensors"
    readers.save(path, readers.network(shape), shape, known, {"people": 0, "steps": 0})
    return path


def test_the_track_reader_reads_the_track_and_says_so(named: Any, shown: Scene, reader: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(plugins.load("models", answerers.READER), "PACKAGED", reader)
    track = answered(shown, TURNING)
    assert track.question is not None
    unseen = replace(shown, video=None)  # it needs no picture
    *_, last = speech.turn(answerers.READER, track, unseen)
    assert last.text in track.question.options
    assert last.agrees is (last.text == track.question.answer_text)
    assert last.label == "track reader (reads the track, not the pixels)"
    assert "shown the track, no frames" in last.detail
    assert last.label in words.turn(track, 0.0, "x", last)
    *_, open_one = speech.turn(answerers.READER, answered(shown, COLOUR), shown)
    assert (open_one.text, open_one.detail[:27]) == ("No answer.", "It picks among options, and")
    *_, chosen = speech.choices(answerers.READER, track.question, shown)
    assert chosen.choice == track.question.options.index(last.text)
    game = quiz.Quiz((track.question,), (quiz.Answered(track.question, 0, 1.0, chosen),))
    assert last.label in words.standing(game)
    spec = named(f"track_reader={reader}")
    assert [a.label for a in answerers.choices() if a.plugin == answerers.READER] == [
        "track_reader track_reader.safetensors (reads the track, not the pixels)"
    ]
    *_, again = speech.turn(spec, track, shown)
    assert again.text == last.text


def test_a_file_that_is_no_reader_is_one_line(named: Any, shown: Scene, tmp_path: Path):
    pytest.importorskip("torch")
    (tmp_path / "bad.safetensors").write_bytes(b"nothing of the kind")
    *_, last = speech.turn(named(f"track_reader={tmp_path / 'bad.safetensors'}"), answered(shown, TURNING), shown)
    assert last.text == "No answer."
    assert last.detail.startswith("track reader bad.safetensors: not a file of this version's reader")
    assert str(tmp_path) not in last.detail


def test_a_clip_is_needed_by_those_who_watch(named: Any, shown: Scene):
    *_, last = speech.turn(named("openai_api=tiny,url=http://127.0.0.1:9/v1"), answered(shown, TURNING), replace(shown, video=None))
    assert last.detail == "there is no clip to show it, only a track"


def test_a_model_that_says_nothing_holds_nobody_up(named: Any, shown: Scene, monkeypatch: pytest.MonkeyPatch):
    from demo import limits

    monkeypatch.setattr(limits, "SILENT_S", 0.5)
    endpoint = Endpoint(["#", "Answer: A"])
    with serving(endpoint) as spec:
        *_, last = speech.turn(named(spec), answered(shown, TURNING), shown)
    assert last.done
    assert last.detail.startswith("nothing was heard from it for 0.5 seconds")


def test_the_reader_computes_on_one_thread_and_leaves_the_others_as_they_were(shown: Scene):
    torch = pytest.importorskip("torch")
    threads, seen = torch.get_num_threads(), []

    def model(*_: Any) -> Any:
        seen.append(torch.get_num_threads())
        yield "said"

    assert list(speech._on_one_thread(model)("", None, None, None)) == ["said"]  # type: ignore[arg-type, comparison-overlap]
    assert (seen, torch.get_num_threads()) == ([1], threads)
