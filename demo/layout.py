"""What is on the page and where: its components, and what they all show for a scene."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import gradio as gr

from builder import store
from builder.asking import LONGEST_TEXT
from demo import answerers, lifters, limits, scene, words
from demo.elements import picker, said, selector, viewed, viewer
from demo.scene import Scene
from demo.visit import Visit, ended

QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}  # of every event of the page
ASKED = "One question of each category about this clip; close calls are left out."


@dataclass(frozen=True)
class Layout:
    """Every component that an event reads or writes."""

    visit: Any
    examples: Any
    clip: Any
    note: Any
    lift: Any
    stop: Any
    status: Any
    person: Any
    camera: Any
    height: Any
    begin: Any
    track: Any
    clear: Any
    viewer: Any
    text: Any
    model: Any
    suggested: Any
    talk: Any
    quiz_head: Any
    choice: Any
    answer: Any
    revealed: Any
    begin_quiz: Any
    standing: Any
    make: Any
    files: Any

    @property
    def of_scene(self) -> list[Any]:
        """The components that `show` sets."""
        quiz = [self.quiz_head, self.choice, self.begin_quiz, self.answer, self.revealed, self.standing]
        return [self.visit, self.viewer, self.examples, self.talk, *quiz, self.files, self.person, self.clear]

    def show(self, visit: Visit, new: Scene) -> dict[Any, Any]:
        """Everything on the page that depends on the scene, for a new one."""
        visit.turn_to(new)
        name = next((n for n, *_ in scene.EXAMPLES if new.example and scene.example(n) is new), "")
        people = [(called(new, k), k) for k in range(len(new.others))]
        return {
            self.visit: visit,
            self.viewer: viewed(new),
            self.examples: cards(name),
            self.talk: words.talk([]),
            self.quiz_head: words.note(ASKED if new.subject else new.unasked),
            self.choice: gr.update(visible=False),
            self.begin_quiz: gr.update(visible=True, interactive=new.subject is not None, value="Start the quiz"),
            self.answer: gr.update(visible=False),
            self.revealed: "",
            self.standing: "",
            self.files: gr.update(value=None, visible=False),
            self.person: gr.update(choices=people, value=new.person, visible=len(people) > 1),
            self.clear: gr.update(visible=bool(visit.folders)),
        }


def lay_out(first: Scene) -> Layout:
    """The page's components, inside of whatever gradio block is open; `first` is what a new visitor sees."""
    made: dict[str, Any] = {"visit": gr.State(None, time_to_live=limits.KEPT_S, delete_callback=ended)}
    said(words.HEAD, elem_id="head")
    with gr.Row(elem_id="main", equal_height=False):
        with gr.Column(scale=1, min_width=270, elem_id="side"):
            made |= _side()
        with gr.Column(scale=4, min_width=320, elem_id="stage"):
            made["viewer"] = viewer(first, elem_id="viewer")
            with gr.Tabs(elem_id="tabs"):
                with gr.Tab("Ask", id="ask"):
                    made |= _ask()
                with gr.Tab("Quiz me", id="quiz"):
                    made |= _quiz()
                with gr.Tab("Files", id="files"):
                    said(words.FILES)
                    made["make"] = gr.Button("Make the files", elem_id="make")
                    made["files"] = gr.File(label="Files", file_count="multiple", interactive=False, visible=False, elem_id="made")
            with gr.Accordion("What happens to my clip, and how to call this from a program", open=False, elem_id="about"):
                said(words.PRIVACY + words.api(os.environ.get("SPACE_ID") or "http://127.0.0.1:7860"))
    return Layout(**made)


def _side() -> dict[str, Any]:
    """Examples, and what a visitor brings."""
    said(words.EXAMPLES_TITLE, elem_id="examples-title")
    made: dict[str, Any] = {"examples": picker(cards(scene.FIRST), elem_id="examples")}
    said(words.CLIP_TITLE, elem_id="clip-title")
    made["clip"] = gr.File(label="Video", show_label=False, file_types=list(limits.VIDEO_SUFFIXES), height=136, elem_id="clip")
    made["note"] = said(words.note(lifters.state()), elem_id="note")
    made["lift"] = gr.Button("Show where they went", variant="primary", interactive=False, elem_id="lift")
    made["stop"] = gr.Button("Stop", visible=False, elem_id="stop")
    made["status"] = said("", elem_id="status")
    made["person"] = gr.Radio([], label="Person", visible=False, elem_id="person")
    with gr.Accordion("Options and your own track", open=False, elem_id="options"):
        cameras = [("find out", "auto"), ("stands still", "static"), ("moves", "moving")]
        made["camera"] = gr.Radio(cameras, value="auto", label="The camera")
        made["height"] = gr.Textbox(label="Height of the person in metres, if known", placeholder="1.75", max_length=6)
        made["begin"] = gr.Checkbox(False, label=f"Of a longer clip use the first {limits.SECONDS[1]:g} s")
        made["track"] = gr.File(
            label="Track (.npz) instead of lifting", file_types=list(limits.TRACK_SUFFIXES), height=100, elem_id="track"
        )
    made["clear"] = gr.Button("Delete my clip", size="sm", visible=False, elem_id="clear")
    return made


def _ask() -> dict[str, Any]:
    """A question, whom to ask it beside the track, and what was said."""
    with gr.Row(elem_id="ask-row"):
        text = gr.Textbox(
            placeholder="Did they turn left before they stopped?",
            label="Your question",
            max_length=LONGEST_TEXT,
            scale=4,
            elem_id="question",
            submit_btn="Ask",
        )
        model = selector(words.models(answerers.choices()), answerers.TRACK, scale=2, elem_id="model")
    return {
        "text": text,
        "model": model,
        "suggested": picker(words.suggestions(), elem_id="suggested"),
        "talk": said(words.talk([]), elem_id="talk"),
    }


def _quiz() -> dict[str, Any]:
    """A question with its options, what was right, and the score."""
    return {
        "quiz_head": said(words.note(ASKED), elem_id="quiz-head"),
        "choice": gr.Radio([], label="Your answer", visible=False, elem_id="choice"),
        "answer": gr.Button("Answer", variant="primary", visible=False, elem_id="answer"),
        "revealed": said("", elem_id="revealed"),
        "begin_quiz": gr.Button("Start the quiz", variant="primary", elem_id="begin-quiz"),
        "standing": said("", elem_id="standing"),
    }


def cards(chosen: str) -> str:
    """The examples' buttons."""
    found = []
    for name, title, camera in scene.EXAMPLES:
        subject = scene.example(name).subject
        assert subject is not None
        small = words.small_map([(float(x), float(z)) for x, z in subject.motion.path_m[::12]])
        found.append({"name": name, "title": title, "camera": camera, "map": small})
    return words.example_cards(found, chosen)


def called(shown: Scene, k: int) -> str:
    """What the page calls the k-th of the people whom the lifter found."""
    found, _ = store.read_track(shown.others[k])
    return f"{k + 1}: {(found.referent or 'a person').removeprefix('the person who ')}"
