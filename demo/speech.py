"""What a model says to a question, as it says it: loaded once, asked in turn, heard while it speaks.

Where the track can decide the question, the model gets the same multiple-choice question; otherwise it is asked in the visitor's
own words.  Nothing is ever answered in a model's name but by that model.  A model speaks in a thread of its own, which ends with
its reply: a visitor who goes away holds nobody up.
"""

from __future__ import annotations

import contextvars
import os
import queue
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from builder import plugins, prompts, watching
from builder.asking import Reply
from builder.types import HumanMoveError, Question, SetupError, Track
from builder.watching import Footage, Prompt, Shown, Watch
from demo import answerers, limits
from demo.answerers import Answerer
from demo.line import Line, waited
from demo.scene import Scene

GPU_S = 60  # of a ZeroGPU Space's time that one answer may take
ON_GPU = ("qwen3_vl", "transformers_vlm")
LONGEST = 2000  # characters of a reply that are shown
OPEN = (
    "You watch a video of a person. Answer the question in one short sentence. Left, right, forward and backward are the person's own "
    "at the start of the video; turning is of the body, not of the camera."
)


@dataclass(frozen=True)
class Said:
    """A model's side of one question so far: who, the text, what is to know about it, the option it chose, whether it is done.

    `agrees`: whether that is the track's answer too; None where it chose none or the track has none.
    """

    label: str
    text: str = ""
    detail: str = ""
    choice: int | None = None
    agrees: bool | None = None
    done: bool = False


class Heard(NamedTuple):
    """A reply so far, the seconds since the model began, and what it was shown."""

    reply: watching.Reply
    seconds: float
    shown: str


Model = Callable[[str, Path | None, Track | None, Prompt], Iterator[watching.Reply]]
_loading = threading.Lock()


@cache
def _line(name: str) -> Line:
    """The line before one model: those who answer on this machine take one question at a time."""
    at_once = 1 if name.partition("=")[0] in (*ON_GPU, answerers.READER) else 4
    return Line(limits.ASKING, f"{limits.ASKING} questions wait for this model already; please ask it again in a minute.", at_once)


@cache
def _loaded(name: str) -> tuple[Model, str]:
    """A model as a function of a clip's id, file and track and of a prompt, and what it is shown.  Raises SetupError and what it raises."""
    answerer = answerers.find(name)
    assert answerer is not None
    module = plugins.load("models", answerer.plugin, ("ABOUT", "load"))
    shown = Shown("video", int(module.ABOUT.get("frames", watching.FRAMES)), int(module.ABOUT.get("pixels", watching.PIXELS)))
    given: dict[str, Any] = dict(answerer.options)
    if "shown" in module.ABOUT.get("needs", ()):
        given["shown"] = {"mode": shown.mode, "frames": shown.frames, "pixels": shown.pixels, "data": None}
    try:
        model = module.load(answerer.checkpoint, **given)
    except TypeError as error:
        raise SetupError(f"model {answerer.plugin}: {error}") from None
    stream = getattr(model, "stream", None)

    def say(clip_id: str, video: Path | None, track: Track | None, prompt: Prompt) -> Iterator[watching.Reply]:
        if video is None:
            watch = Watch(clip_id, tracks={} if track is None else {prompt.question.person_id: track})
        else:
            watch = watching.look(clip_id, Footage(video), shown)
        yield from stream(watch, prompt) if stream else model(watch, [prompt])

    if answerer.reads_track:
        return _on_one_thread(say), "the track, no frames"
    return (_on_gpu(say) if answerer.plugin in ON_GPU else say), f"up to {shown.frames} frames"


def _on_one_thread(function: Model) -> Model:
    """The function with torch on one thread: the reader is so small that on a busy machine several wait seconds for each other."""

    def say(clip_id: str, video: Path | None, track: Track | None, prompt: Prompt) -> Iterator[watching.Reply]:
        import torch

        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield from function(clip_id, video, track, prompt)
        finally:
            torch.set_num_threads(threads)

    return say


def _on_gpu(function: Any) -> Any:
    """The function as a ZeroGPU Space must see it; itself anywhere else."""
    if not os.environ.get("SPACES_ZERO_GPU"):
        return function
    import spaces  # type: ignore[import-not-found]

    return spaces.GPU(duration=GPU_S)(function)


def preload() -> None:
    """Load every model that was named: what a ZeroGPU Space wants done before the first visitor.  Says what fails."""
    for answerer in answerers.choices():
        if answerer.plugin and not answerer.why_not:
            try:
                _loaded(answerer.name)
            except HumanMoveError as error:
                print(f"humanmovevqa demo: {answerer.label} cannot be loaded: {error}", file=sys.stderr)


def heard(answerer: Answerer, prompt: Prompt, scene: Scene) -> Iterator[Heard | int]:
    """A model's reply to one prompt as it grows, before that how many questions are before it.  Raises HumanMoveError."""
    if answerer.reads_track:
        video, track = None, scene.track
    elif scene.video is not None and scene.video.is_file():
        video, track = scene.video, None
    else:
        raise SetupError("there is no clip to show it, only a track")
    said: queue.SimpleQueue[Any] = queue.SimpleQueue()
    left = threading.Event()

    def speak() -> None:
        try:
            with _line(answerer.name).ticket() as before:
                for ahead in waited(before):
                    said.put(ahead)
                    if left.is_set():
                        return
                with _loading:
                    say, shown = _loaded(answerer.name)
                began = time.monotonic()
                for reply in say(scene.clip.clip_id, video, track, prompt):
                    said.put(Heard(reply, time.monotonic() - began, shown))
                    if left.is_set():
                        return
        except Exception as error:  # it belongs to whoever listens
            said.put(error)
        finally:
            said.put(None)

    # in the asker's context: a ZeroGPU Space counts the seconds for them
    threading.Thread(target=contextvars.copy_context().run, args=(speak,), name="model", daemon=True).start()
    try:
        while (found := _next(said)) is not None:
            if isinstance(found, Exception):
                raise found
            yield found
    finally:
        left.set()


def _next(said: queue.SimpleQueue[Any]) -> Any:
    try:
        return said.get(timeout=limits.SILENT_S)
    except queue.Empty:
        raise SetupError(f"nothing was heard from it for {limits.SILENT_S:g} seconds; please ask again later") from None


def turn(name: str, track: Reply, shown: Scene) -> Iterator[Said]:
    """A model's side of what the track said to a visitor's question; nothing for the track itself."""
    question = track.question
    if question is None:
        nobody = Question("open", shown.clip.clip_id, shown.track.person_id, "", "", "", "whole", track.text, (), -1, {})
        prompt = Prompt("open", OPEN, track.text, (), nobody)
    else:
        prompt = prompt_of(question)
    for said in _sides(name, prompt, shown):
        yield said if question is None or said.choice is None else replace(said, agrees=said.choice == question.answer)


def choices(name: str, question: Question, shown: Scene) -> Iterator[Said]:
    """A model's side of a question of the quiz; nothing for the track, which made it."""
    for said in _sides(name, prompt_of(question), shown):
        yield said if said.choice is None else replace(said, agrees=said.choice == question.answer)


def prompt_of(question: Question) -> Prompt:
    """The prompt of a multiple-choice question, without its answer."""
    return Prompt(question.id, prompts.SYSTEM, prompts.render(question.text, question.options), question.options, watching.sealed(question))


def _sides(name: str, prompt: Prompt, shown: Scene) -> Iterator[Said]:
    answerer = answerers.find(name)
    if answerer is None:
        return
    said = Said(answerer.label)
    nothing = replace(said, text="No answer.", done=True)
    if answerer.why_not:
        yield replace(nothing, detail=f"It cannot be asked here: {answerer.why_not}.")
        return
    if answerer.reads_track and not prompt.options:
        what = "It picks among options, and the track makes no multiple-choice question of these words."
        yield replace(nothing, detail=what)
        return
    yield said
    last = None
    try:
        for part in heard(answerer, prompt, shown):
            if isinstance(part, int):
                yield replace(said, detail=f"Waiting: {part} question{'s' if part > 1 else ''} before yours.")
            else:
                last = part
                yield replace(said, text=part.reply.text[:LONGEST])
    except HumanMoveError as error:
        yield replace(nothing, detail=_line_of(error))
        return
    except Exception as error:
        print(f"humanmovevqa demo: {answerer.label}: {type(error).__name__}: {error}", file=sys.stderr)
        yield replace(nothing, detail="It failed; the page's log says how.")
        return
    if last is None:
        yield replace(nothing, detail="It gave no reply.")
        return
    yield _whole(said, prompt, last)


def _line_of(error: HumanMoveError) -> str:
    """An error as the visitor may read it: one line, files by their names alone."""
    text = re.sub(r"(?<!\S)(/[^\s:/]+)+/([^\s:/]+)", r"\2", " ".join(str(error).split()))
    return text[:300]


def _whole(said: Said, prompt: Prompt, last: Heard) -> Said:
    """A reply that has ended: with the option that it names, and how it came about."""
    text = last.reply.text.strip()[:LONGEST] or "(nothing)"
    detail = f"{'Under 0.1' if last.seconds < 0.1 else format(last.seconds, '.1f')} s, shown {last.shown}."
    if last.reply.finish in ("refused", "error"):
        return replace(said, text="No answer.", detail=f"It refused: {text}", done=True)
    if not prompt.options:
        return replace(said, text=text, detail=f"{detail} Asked in your own words.", done=True)
    choice = prompts.parse(last.reply.text, len(prompt.options), prompt.options)
    among = f"{detail} Was given: {' · '.join(prompt.options)}."
    if choice is None:
        return replace(said, text=text, detail=f"{among} It named none of them.", done=True)
    wrote = "" if text in (prompt.options[choice], prompts.target(choice)) else f" It wrote: {text}"
    return replace(said, text=prompt.options[choice], detail=among + wrote, choice=choice, done=True)
