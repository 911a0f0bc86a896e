"""The page: what is on it and what happens when it is used.  Computation is elsewhere; `demo.words` writes every text.

The page's own events are private; `/lift`, `/ask` and `/examples` are what programs may call.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from builder import selection
from builder.asking import LONGEST_TEXT, Reply, moments_of, reply
from builder.lifting import facts
from builder.viz import ink
from demo import answerers, downloads, lifters, limits, quiz, scene, words, work
from demo.quiz import Answered, Quiz
from demo.sandbox import Refused
from demo.scene import Scene

HERE = Path(__file__).parent
TITLE = "HumanMoveVQA: where did the person go?"
DARK_TEXT = {"q1": "#ffffff", "q2": "#10202c", "q3": "#1d1400", "minus": "#ffffff"}
LIGHT_TEXT = {"q1": "#06121c", "q2": "#06121c", "q3": "#1d1400", "minus": "#1b0a1e"}


# Functions and no subclasses of gradio's: it would write a stub file beside the source of each.


def viewer_of(shown: Scene, **more: Any) -> Any:
    """The component of clip, map and figure."""
    html, css, js = ((HERE / f"viewer.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js"))
    return gr.HTML(viewed(shown), html_template=html, css_template=css, js_on_load=js, apply_default_css=False, **more)


def viewed(shown: Scene) -> dict[str, Any]:
    """A scene as the viewer receives it: the payload, and the clip as a file that gradio serves."""
    video = None if shown.video is None else {"path": str(shown.video), "mime_type": "video/mp4", "meta": {"_type": "gradio.FileData"}}
    return {"payload": shown.shown, "video": video}


def picker(value: str, **more: Any) -> Any:
    """Buttons written by `words`; a click on one with data-name is the event "pick"."""
    js = """element.addEventListener('click', (e) => {
      const b = e.target.closest('[data-name]');
      if (b) trigger('pick', { name: b.dataset.name });
    });"""
    return gr.HTML(value, js_on_load=js, apply_default_css=False, **more)


class Line:
    """Whose clip is lifted now, and who waits, in the order in which they came."""

    def __init__(self, longest: int = limits.WAITING) -> None:
        self._lock, self._numbers, self.longest = threading.Lock(), itertools.count(), longest
        self._standing: list[int] = []

    @contextmanager
    def ticket(self) -> Iterator[Any]:
        """A place in the line; calling it gives how many are before.  Raises Refused when the line is full."""
        with self._lock:
            if len(self._standing) > self.longest:
                raise Refused(f"{self.longest} clips are waiting already; please come back in a few minutes. The examples work meanwhile.")
            number = next(self._numbers)
            self._standing.append(number)
        try:
            yield lambda: self._standing.index(number)
        finally:
            with self._lock:
                self._standing.remove(number)


@dataclass(eq=False)
class Visit:
    """What the server knows of one visitor, in memory only."""

    scene: Scene
    turns: list[str] = field(default_factory=list)
    game: Quiz | None = None
    asked_at: float = 0.0
    model: str = answerers.TRACK
    folders: list[Path] = field(default_factory=list)
    prepared: dict[str, tuple[Path, dict[str, Any]]] = field(default_factory=dict)

    def forget(self) -> None:
        """Delete everything of this visitor from disk."""
        work.drop(self.folders)
        self.folders.clear()
        self.prepared.clear()


def forget(visit: Visit | None) -> None:
    """What happens to a visit that has ended."""
    if visit is not None:
        visit.forget()


def theme() -> Any:
    """The page's theme: system fonts, quiet greys, one blue that keeps its contrast."""
    base = gr.themes.Base(
        primary_hue=gr.themes.colors.blue,
        neutral_hue=gr.themes.colors.slate,
        font=("system-ui", "sans-serif"),
        font_mono=("ui-monospace", "monospace"),
        radius_size=gr.themes.sizes.radius_md,
    )
    return base.set(
        body_background_fill="#f6f7f9",
        body_background_fill_dark="#0f1216",
        body_text_color="#1d2530",
        body_text_color_dark="#e7eaee",
        body_text_color_subdued="#5a6572",
        body_text_color_subdued_dark="#a3aebc",
        block_label_text_color="#4b5561",
        block_label_text_color_dark="#b4bec9",
        block_title_text_color="#1d2530",
        block_title_text_color_dark="#e7eaee",
        block_info_text_color="#5a6572",
        block_info_text_color_dark="#a3aebc",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#171b21",
        block_background_fill="#ffffff",
        block_background_fill_dark="#171b21",
        border_color_primary="#e3e7ec",
        border_color_primary_dark="#2c333c",
        button_primary_background_fill="#0b5394",
        button_primary_background_fill_hover="#0b62a4",
        button_primary_background_fill_dark="#4a9ae0",
        button_primary_background_fill_hover_dark="#6badea",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#06121c",
        input_placeholder_color="#6a7583",
        input_placeholder_color_dark="#98a3b1",
    )


def css() -> str:
    """The page's own style, and the palette of all pictures as variables, light and dark."""
    more = {
        0: "--wash: #f1f4f7; --now: #c81e3a; --accent: #0b5394; --on-accent: #ffffff; --bad: #b3261e; --on-badge: #ffffff;"
        + "".join(f" --on-{k}: {v};" for k, v in DARK_TEXT.items()),
        1: "--wash: #1f252d; --now: #ff6b7f; --accent: #4a9ae0; --on-accent: #06121c; --bad: #ff9b91; --on-badge: #0b0f14;"
        + "".join(f" --on-{k}: {v};" for k, v in LIGHT_TEXT.items()),
    }
    palette = f":root {{ {ink.variables(0)} {more[0]} }}\n.dark {{ {ink.variables(1)} {more[1]} }}\n"
    return palette + (HERE / "page.css").read_text(encoding="utf-8")


def cards(chosen: str) -> str:
    """The examples' buttons."""
    found = []
    for name, title, camera in scene.EXAMPLES:
        subject = scene.example(name).subject
        assert subject is not None
        small = words.small_map([(float(x), float(z)) for x, z in subject.motion.path_m[::12]])
        found.append({"name": name, "title": title, "camera": camera, "map": small})
    return words.example_cards(found, chosen)


def said(value: str, **more: Any) -> Any:
    """Something that `words` wrote, in the page's own style."""
    return gr.HTML(value, apply_default_css=False, **more)


def build(root: Path) -> gr.Blocks:
    """The page; everything of its visitors is written under `root`."""
    line = Line()
    ready = lifters.state()
    first = scene.example(scene.FIRST)
    sources = [(a.label + (f" — not here: {a.why_not}" if a.why_not else ""), a.name) for a in answerers.choices()]

    def visit_of(visit: Visit | None) -> Visit:
        return visit or Visit(first)

    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as page:
        state = gr.State(None, time_to_live=limits.KEPT_S, delete_callback=forget)
        said(words.HEAD, elem_id="head")
        with gr.Row(elem_id="main", equal_height=False):
            with gr.Column(scale=1, min_width=270, elem_id="side"):
                said('<h2 class="side-title">Examples</h2>')
                examples = picker(cards(scene.FIRST), elem_id="examples")
                said('<h2 class="side-title">Your clip</h2>')
                clip = gr.File(label="Video", show_label=False, file_types=list(limits.VIDEO_SUFFIXES), height=120, elem_id="clip")
                note = said(words.note(ready), elem_id="note")
                lift = gr.Button("Show where they went", variant="primary", interactive=False, elem_id="lift")
                stop = gr.Button("Stop", visible=False, elem_id="stop")
                status = said("", elem_id="status")
                person = gr.Radio([], label="Person", visible=False, elem_id="person")
                with gr.Accordion("Options and your own track", open=False, elem_id="options"):
                    camera = gr.Radio(
                        [("find out", "auto"), ("stands still", "static"), ("moves", "moving")], value="auto", label="The camera"
                    )
                    height = gr.Textbox(label="Height of the person in metres, if known", placeholder="1.75", max_length=6)
                    begin = gr.Checkbox(False, label="Of a longer clip use the first 30 s")
                    track = gr.File(
                        label="Track (.npz) instead of lifting", file_types=list(limits.TRACK_SUFFIXES), height=100, elem_id="track"
                    )
                clear = gr.Button("Delete my clip", size="sm", visible=False, elem_id="clear")
            with gr.Column(scale=4, min_width=320, elem_id="stage"):
                viewer = viewer_of(first, elem_id="viewer")
                with gr.Tabs(elem_id="tabs"):
                    with gr.Tab("Ask", id="ask"):
                        with gr.Row(elem_id="ask-row"):
                            text = gr.Textbox(
                                placeholder="Did they turn left before they stopped?",
                                label="Your question",
                                max_length=LONGEST_TEXT,
                                scale=4,
                                elem_id="question",
                                submit_btn="Ask",
                            )
                            model = gr.Dropdown(sources, value=answerers.TRACK, label="Beside the track, ask", scale=2, elem_id="model")
                        suggested = picker(words.suggestions(), elem_id="suggested")
                        talk = said(words.talk([]), elem_id="talk")
                    with gr.Tab("Quiz me", id="quiz"):
                        quiz_head = said(
                            words.note("One question of each category about this clip; close calls are left out."), elem_id="quiz-head"
                        )
                        choice = gr.Radio([], label="Your answer", visible=False, elem_id="choice")
                        answer = gr.Button("Answer", variant="primary", visible=False, elem_id="answer")
                        revealed = said("", elem_id="revealed")
                        begin_quiz = gr.Button("Start the quiz", variant="primary", elem_id="begin-quiz")
                        standing = said("", elem_id="standing")
                    with gr.Tab("Files", id="files"):
                        said(words.FILES)
                        make = gr.Button("Make the files", elem_id="make")
                        files = gr.File(label="Files", file_count="multiple", interactive=False, visible=False, elem_id="made")
                with gr.Accordion("What happens to my clip, and how to call this from a program", open=False, elem_id="about"):
                    said(words.PRIVACY + words.API)

        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        shown = [state, viewer, examples, talk, quiz_head, choice, begin_quiz, answer, revealed, standing, files, person, clear]

        def show(visit: Visit, new: Scene) -> dict[Any, Any]:
            """Everything on the page that depends on the scene, for a new one."""
            visit.scene, visit.turns, visit.game = new, [], None
            name = next((n for n, *_ in scene.EXAMPLES if new.example and scene.example(n) is new), "")
            people = [(scene_name(visit, k), k) for k in range(len(new.others))]
            return {
                state: visit,
                viewer: viewed(new),
                examples: cards(name),
                talk: words.talk([]),
                quiz_head: words.note(
                    "One question of each category about this clip; close calls are left out." if new.subject else new.unasked, "plain"
                ),
                choice: gr.update(visible=False),
                begin_quiz: gr.update(visible=True, interactive=new.subject is not None, value="Start the quiz"),
                answer: gr.update(visible=False),
                revealed: "",
                standing: "",
                files: gr.update(value=None, visible=False),
                person: gr.update(choices=people, value=new.person, visible=len(people) > 1),
                clear: gr.update(visible=bool(visit.folders)),
            }

        def scene_name(visit: Visit, k: int) -> str:
            from builder import store

            found, _ = store.read_track(visit.scene.others[k])
            return f"{k + 1}: {found.referent or 'a person'}"

        @examples.pick(inputs=[state], outputs=shown, **quiet)
        def pick(visit: Visit | None, event: gr.EventData) -> Any:
            name = str(event._data.get("name"))
            visit = visit_of(visit)
            return show(visit, scene.example(name if name in {n for n, *_ in scene.EXAMPLES} else scene.FIRST))

        @clip.upload(inputs=[clip, begin], outputs=[note, lift], concurrency_limit=2, concurrency_id="check", **quiet)
        @begin.change(inputs=[clip, begin], outputs=[note, lift], concurrency_limit=2, concurrency_id="check", **quiet)
        def check(path: str | None, first_part: bool) -> Any:
            if not path:
                return words.note(ready), gr.update(interactive=False)
            try:
                info = lifters.check(path, first_part)
            except Refused as error:
                return words.note(str(error), "bad"), gr.update(interactive=False)
            what = f"{info['seconds']:.1f} s, {info['width']} × {info['height']}, {info['fps']:.4g} frames per second."
            why = lifters.why_not()
            return words.note(f"{what} {why}".strip(), "bad" if why else "good"), gr.update(interactive=not why)

        @clip.clear(outputs=[note, lift], **quiet)
        def cleared() -> Any:
            return words.note(ready), gr.update(interactive=False)

        def settled(visit: Visit, **more: Any) -> dict[Any, Any]:
            return {state: visit, lift: gr.update(interactive=True), stop: gr.update(visible=False), **more}

        def lifting(visit: Visit | None, path: str | None, mode: str, tall: str | None, first_part: bool) -> Iterator[dict[Any, Any]]:
            """From an uploaded clip to its scene, saying along the way what is done."""
            visit = visit_of(visit)
            yield {state: visit, lift: gr.update(interactive=False), stop: gr.update(visible=True), status: words.working("Waiting", None)}
            try:
                for step in lifters.lift(visit, path, mode, tall or "", first_part, root, line):
                    if isinstance(step, Scene):
                        yield {**show(visit, step), **settled(visit), status: ""}
                    else:
                        yield {status: words.working(*step)}
            except Refused as error:
                yield {**settled(visit), status: words.note(str(error), "bad")}

        running = lift.click(
            lifting,
            [state, clip, camera, height, begin],
            [*shown, lift, stop, status],
            concurrency_limit=limits.WAITING + 1,
            concurrency_id="lift",
            **quiet,
        )

        @stop.click(inputs=[state], outputs=[lift, stop, status], cancels=[running], queue=False, **quiet)
        def stopped(visit: Visit | None) -> Any:
            return gr.update(interactive=True), gr.update(visible=False), words.note("Stopped.")

        @track.upload(inputs=[state, track, clip, begin], outputs=[*shown, note], concurrency_limit=2, concurrency_id="check", **quiet)
        def own_track(visit: Visit | None, path: str | None, video: str | None, first_part: bool) -> Any:
            visit = visit_of(visit)
            try:
                return {**show(visit, lifters.given(visit, path, video, root)), note: ""}
            except Refused as error:
                return {state: visit, note: words.note(str(error), "bad")}

        @person.input(inputs=[state, person], outputs=shown, **quiet)
        def other(visit: Visit | None, k: int) -> Any:
            visit = visit_of(visit)
            return show(visit, lifters.person(visit, k))

        @clear.click(inputs=[state], outputs=[*shown, clip, track, note, lift], **quiet)
        def deleted(visit: Visit | None) -> Any:
            visit = visit_of(visit)
            visit.forget()
            return {
                **show(visit, first),
                clip: None,
                track: None,
                note: words.note("Deleted. Nothing of your clip is left here.", "good"),
                lift: gr.update(interactive=False),
            }

        def asking(visit: Visit | None, question: str, chosen: str) -> Iterator[dict[Any, Any]]:
            """One turn of the conversation; the model's reply grows while it speaks."""
            visit = visit_of(visit)
            if not question.strip():
                yield {state: visit}
                return
            track_said = answered(visit.scene, question)
            for model_said in itertools.chain([None], answerers.stream(chosen, track_said, visit.scene)):
                now = words.turn(track_said, visit.scene.start_s, visit.scene.lifter, model_said)
                yield {state: visit, text: "", talk: words.talk([now, *visit.turns])}
            visit.turns = [now, *visit.turns][: limits.TURNS]

        conversation: dict[str, Any] = {"concurrency_limit": 4, "concurrency_id": "ask", **quiet}
        text.submit(asking, [state, text, model], [state, text, talk], **conversation)

        @suggested.pick(inputs=[state, model], outputs=[state, text, talk], **conversation)
        def picked(visit: Visit | None, chosen: str, event: gr.EventData) -> Any:
            yield from asking(visit, str(event._data.get("name"))[:LONGEST_TEXT], chosen)

        asks = [state, quiz_head, choice, begin_quiz, answer, revealed, standing]

        def question(visit: Visit) -> dict[Any, Any]:
            """The quiz's next question, or its end."""
            assert visit.game is not None
            visit.asked_at = time.monotonic()
            now = visit.game.current
            return {
                state: visit,
                quiz_head: words.quiz_head(visit.game),
                choice: gr.update(choices=words.options(now.options), value=None, visible=True, interactive=True)
                if now
                else gr.update(visible=False),
                begin_quiz: gr.update(visible=False) if now else gr.update(visible=True, value="Start again"),
                answer: gr.update(visible=now is not None),
                revealed: "",
            }

        @begin_quiz.click(inputs=[state], outputs=asks, concurrency_limit=2, concurrency_id="quiz", **quiet)
        def begun(visit: Visit | None) -> Any:
            visit = visit_of(visit)
            if visit.game is not None and visit.game.answered and visit.game.current is not None:
                return question(visit)  # "next"
            if visit.scene.subject is None:
                return {state: visit, quiz_head: words.note(visit.scene.unasked, "bad")}
            visit.game = quiz.make(visit.scene.subject.questions(downloads.PER_CATEGORY))
            return {**question(visit), standing: ""}

        @answer.click(inputs=[state, choice, model], outputs=asks, concurrency_limit=2, concurrency_id="quiz", **quiet)
        def answers(visit: Visit | None, chosen: int | None, beside: str) -> Any:
            visit = visit_of(visit)
            now = visit.game.current if visit.game else None
            if visit.game is None or now is None or visit.scene.subject is None:
                return {state: visit}
            if chosen is None:
                return {state: visit, revealed: words.note("Choose one of the options first.", "bad")}
            seconds = time.monotonic() - visit.asked_at
            name, theirs = answerers.choose(beside, now, visit.scene)
            given = Answered(now, int(chosen), seconds, name, theirs)
            visit.game = visit.game.answer(given)
            family = next(f for f in selection.families().values() if now.category == f.CATEGORY)
            left = len(visit.game.questions) - len(visit.game.answered)
            return {
                state: visit,
                quiz_head: "",
                choice: gr.update(visible=False),
                answer: gr.update(visible=False),
                begin_quiz: gr.update(visible=True, value="Next question" if left else "Start again"),
                revealed: words.revealed(
                    given, family.explain(now), moments_of(now, visit.scene.subject.measures), visit.scene.start_s, visit.scene.lifter
                ),
                standing: words.standing(visit.game),
            }

        @make.click(inputs=[state], outputs=[state, files], concurrency_limit=2, concurrency_id="files", **quiet)
        def made(visit: Visit | None) -> Any:
            visit = visit_of(visit)
            folder = work.room(root)
            visit.folders.append(folder)
            return visit, gr.update(value=[str(p) for p in downloads.write(visit.scene, folder, visit.game)], visible=True)

        _api(root, line)
    return page


def answered(shown: Scene, text: str) -> Reply:
    """What a scene's track says to a question; a scene that cannot be asked says why."""
    if shown.subject is None:
        return Reply(" ".join(text.split())[:LONGEST_TEXT], "", None, shown.unasked)
    return reply(text, shown.subject)


def _api(root: Path, line: Line) -> None:
    """The three functions that programs may call, on components that the page does not show."""
    with gr.Column(visible=False):
        video_in, track_in = gr.File(label="video"), gr.File(label="track")
        example_in, question_in = gr.Textbox(scene.FIRST, label="example"), gr.Textbox(label="question")
        facts_out, answer_out, list_out = gr.JSON(label="facts"), gr.JSON(label="answer"), gr.JSON(label="examples")
        track_out = gr.File(label="track")
        buttons = [gr.Button(name) for name in ("lift", "ask", "examples")]

    def lift(video: str) -> tuple[dict[str, Any], str]:
        """Lift a video of up to 30 seconds: where its most prominent person went and how they turned.

        Args:
            video: an mp4, mov or webm file.

        Returns:
            What is known of the track (metres, degrees, movements with their times, the lifter and its verdict), and the track as npz.
        """
        visit = Visit(scene.example(scene.FIRST))
        try:
            found = next(s for s in lifters.lift(visit, video, "auto", "", False, root, line) if isinstance(s, Scene))
            return json.loads(downloads.facts(found)), str(downloads.write(found, work.room(root))[0])
        except Refused as error:
            raise gr.Error(str(error)) from None
        finally:
            visit.forget()

    def ask(question: str, track: str | None = None, example: str = scene.FIRST) -> dict[str, Any]:
        """Ask a track in your own words.

        Args:
            question: such as "Which way did they turn?"; at most 400 characters are read.
            track: an npz file that /lift gave, or any track that `build --source tracks` reads; without one the example is asked.
            example: the name of an example, from /examples.

        Returns:
            The track's answer (null when it cannot tell), how the question was read, why, and the moments that decide it in seconds.
        """
        try:
            if track:
                visit = Visit(scene.example(scene.FIRST))
                try:
                    subject = lifters.given(visit, track, None, root)
                finally:
                    visit.forget()
            elif example in {n for n, *_ in scene.EXAMPLES}:
                subject = scene.example(example)
            else:
                raise Refused(f"There is no example of that name; expected one of {', '.join(n for n, *_ in scene.EXAMPLES)}.")
        except Refused as error:
            raise gr.Error(str(error)) from None
        told = answered(subject, question)
        return {
            "answer": told.answer,
            "read_as": told.read_as,
            "because": told.because,
            "close_call": told.close,
            "moments": [
                {"start_s": round(m.start_s + subject.start_s, 2), "end_s": round(m.end_s + subject.start_s, 2), "what": m.what}
                for m in told.moments
            ],
            "options": list(told.question.options) if told.question else [],
            "lifter": subject.lifter,
            "not_understood": list(told.ignored),
        }

    def examples() -> list[dict[str, Any]]:
        """The examples: name, title, camera, and what is known of each track.

        Returns:
            One object per example.
        """
        out = []
        for name, title, camera in scene.EXAMPLES:
            found = scene.example(name)
            assert found.subject is not None
            out.append({"name": name, "title": title, "camera": camera, "facts": facts(found.track, found.subject.motion)})
        return out

    public: dict[str, Any] = {"api_visibility": "public", "show_progress": "hidden"}
    buttons[0].click(
        lift, [video_in], [facts_out, track_out], api_name="lift", concurrency_limit=limits.WAITING + 1, concurrency_id="lift", **public
    )
    buttons[1].click(
        ask, [question_in, track_in, example_in], [answer_out], api_name="ask", concurrency_limit=4, concurrency_id="ask", **public
    )
    buttons[2].click(examples, [], [list_out], api_name="examples", concurrency_limit=4, concurrency_id="ask", **public)
