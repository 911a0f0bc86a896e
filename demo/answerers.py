"""Who can be asked beside the track, whether they can be asked here, and why not; and asking them.

A model is a plugin of `builder/models` that is shown frames.  The operator names those that may be used, as NAME=CHECKPOINT with
options behind commas ("openai_api=gpt-5-mini,url=http://localhost:8000/v1"), on the command line or in HUMANMOVEVQA_DEMO_MODELS
(several, apart by spaces).  Where the track can decide the question, the model gets the same multiple-choice question; otherwise
it is asked in the visitor's own words.  Nothing is ever answered in a model's name but by that model.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from builder import plugins, prompts, watching
from builder.asking import Reply
from builder.types import HumanMoveError, Question, SetupError
from builder.watching import Footage, Prompt, Shown
from demo.scene import Scene

TRACK = "geometry"
VARIABLE = "HUMANMOVEVQA_DEMO_MODELS"
GPU_S = 60  # of a ZeroGPU Space's time that one answer may take
OPEN = (
    "You watch a video of a person. Answer the question in one short sentence. Left, right, forward and backward are the person's own "
    "at the start of the video; turning is of the body, not of the camera."
)


@dataclass(frozen=True)
class Answerer:
    """A choice in the list: its name, how the page calls it, and the reason why it cannot be asked ("" when it can)."""

    name: str
    label: str
    why_not: str = ""
    plugin: str = ""
    checkpoint: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


def parse(spec: str) -> Answerer:
    """The model that NAME=CHECKPOINT[,OPTION=VALUE...] names.  Raises SetupError."""
    head, *rest = spec.split(",")
    name, _, checkpoint = head.partition("=")
    pairs = [text.partition("=") for text in rest]
    if name not in watchers() or not all(k and v for k, _, v in pairs):
        raise SetupError(f"--model {spec}: expected NAME=CHECKPOINT[,OPTION=VALUE...] with NAME one of {', '.join(watchers())}")
    title = f"{name} {checkpoint.rstrip('/').rpartition('/')[2]}".strip()
    return Answerer(spec, title, "", name, checkpoint or None, {k: v for k, _, v in pairs})


def watchers() -> list[str]:
    """Names of the models that are shown frames."""
    return [n for n in plugins.names("models") if plugins.load("models", n).ABOUT.get("sees") in watching.SHOWN_FRAMES]


def choices() -> list[Answerer]:
    """Everybody who could be asked: the track, the models that the operator named, and the others with the reason why not."""
    named = [parse(spec) for spec in os.environ.get(VARIABLE, "").split()]
    out = [Answerer(TRACK, "the track alone (geometry, not a model)")]
    out += [_checked(a) for a in named]
    for name in watchers():
        if name not in {a.plugin for a in named}:
            out.append(Answerer(name, name, "no checkpoint was named when this page was started", name))
    return out


def _checked(answerer: Answerer) -> Answerer:
    import importlib.util

    needs = {"qwen3_vl": ("torch", "transformers"), "transformers_vlm": ("torch", "transformers")}.get(answerer.plugin, ())
    missing = [n for n in needs if importlib.util.find_spec(n) is None]
    return Answerer(**{**vars(answerer), "why_not": f"{', '.join(missing)} is not installed"}) if missing else answerer


_loading = threading.Lock()


@cache
def _loaded(name: str) -> tuple[Callable[[Scene, Sequence[Prompt]], list[watching.Reply]], Any]:
    """A model's function over a scene, loaded once.  Raises SetupError and what the model raises."""
    answerer = next(a for a in choices() if a.name == name)
    module = plugins.load("models", answerer.plugin, ("ABOUT", "load"))
    shown = Shown("video", int(module.ABOUT.get("frames", watching.FRAMES)), int(module.ABOUT.get("pixels", watching.PIXELS)))
    given: dict[str, Any] = dict(answerer.options)
    if "shown" in module.ABOUT.get("needs", ()):
        given["shown"] = {"mode": shown.mode, "frames": shown.frames, "pixels": shown.pixels, "data": None}
    try:
        model = module.load(answerer.checkpoint, **given)
    except TypeError as error:
        raise SetupError(f"model {answerer.plugin}: {error}") from None

    def ask(scene: Scene, asked: Sequence[Prompt]) -> list[watching.Reply]:
        assert scene.video is not None
        watch = watching.look(scene.clip.clip_id, Footage(scene.video), shown)
        return list(model(watch, asked))

    return _on_gpu(ask), shown


def _on_gpu(function: Any) -> Any:
    """The function as a ZeroGPU Space must see it; itself anywhere else."""
    if not os.environ.get("SPACES_ZERO_GPU"):
        return function
    import spaces  # type: ignore[import-not-found]

    return spaces.GPU(duration=GPU_S)(function)


def preload() -> None:
    """Load every model that was named: what a ZeroGPU Space wants done before the first visitor.  Says what fails."""
    for answerer in choices():
        if answerer.plugin and not answerer.why_not:
            try:
                _loaded(answerer.name)
            except HumanMoveError as error:
                print(f"humanmovevqa demo: {answerer.label} cannot be loaded: {error}", file=sys.stderr)


def _ask(name: str, prompt: Prompt, shown: Scene) -> tuple[watching.Reply, float, int]:
    """(reply, seconds, frames) of one model to one prompt.  Raises HumanMoveError."""
    if shown.video is None or not shown.video.is_file():
        raise SetupError("there is no clip to show it, only a track")
    with _loading:  # one model, one machine: answers come one after the other
        ask, how = _loaded(name)
        began = time.monotonic()
        replies = ask(shown, [prompt])
    if not replies:
        raise SetupError("it gave no reply")
    return replies[0], time.monotonic() - began, how.frames


def _prompt(question: Question) -> Prompt:
    sealed = watching.sealed(question)
    return Prompt(question.id, prompts.SYSTEM, prompts.render(question.text, question.options), question.options, sealed)


def stream(name: str, said: Reply, shown: Scene) -> Iterator[dict[str, Any]]:
    """What a model says to a question, first that it is at work: {"label", "text", "detail", "agrees"}; nothing for the track itself."""
    answerer = next((a for a in choices() if a.name == name), None)
    if answerer is None or answerer.name == TRACK:
        return
    turn: dict[str, Any] = {"label": answerer.label, "text": "", "detail": "", "agrees": None}
    if answerer.why_not:
        yield turn | {"text": "No answer.", "detail": f"It cannot be asked here: {answerer.why_not}."}
        return
    yield turn
    question = said.question
    if question is None:
        nobody = Question("open", shown.clip.clip_id, "0", "", "", "", "whole", said.text, (), -1, {})
        prompt = Prompt("open", OPEN, said.text, (), nobody)
    else:
        prompt = _prompt(question)
    try:
        reply, seconds, frames = _ask(name, prompt, shown)
    except HumanMoveError as error:
        yield turn | {"text": "No answer.", "detail": " ".join(str(error).split())[:300]}
        return
    turn["detail"] = f"{seconds:.1f} s, up to {frames} frames."
    if question is None:
        yield turn | {"text": reply.text.strip()[:2000] or "(nothing)", "detail": turn["detail"] + " Asked in your own words."}
        return
    choice = prompts.parse(reply.text, len(question.options), question.options)
    spoken = question.options[choice] if choice is not None else reply.text.strip()[:2000] or "(nothing)"
    detail = f"{turn['detail']} Asked as: {prompt.text.replace(chr(10), ' ')}"
    yield turn | {"text": spoken, "agrees": choice == question.answer if choice is not None else None, "detail": detail}


def choose(name: str, question: Question, shown: Scene) -> tuple[str, int | None]:
    """(label, choice) of a model for a multiple-choice question; ("", None) for the track, which made it, and where none can answer."""
    answerer = next((a for a in choices() if a.name == name), None)
    if answerer is None or answerer.name == TRACK or answerer.why_not:
        return "", None
    try:
        reply, _, _ = _ask(name, _prompt(question), shown)
    except HumanMoveError:
        return "", None
    return answerer.label, prompts.parse(reply.text, len(question.options), question.options)
