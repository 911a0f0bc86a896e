"""The three functions that programs may call: /lift, /ask and /examples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gradio as gr

from builder.lifting import facts
from demo import downloads, lifters, scene, work
from demo.events.questions import answered
from demo.line import Line
from demo.sandbox import Refused
from demo.scene import Scene
from demo.visit import Visit


def bind(root: Path, line: Line) -> None:
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
        visit = Visit.of(None)
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
                visit = Visit.of(None)
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
        lift,
        [video_in],
        [facts_out, track_out],
        api_name="lift",
        concurrency_limit=line.longest + line.at_once + 1,
        concurrency_id="lift",
        **public,
    )
    buttons[1].click(
        ask, [question_in, track_in, example_in], [answer_out], api_name="ask", concurrency_limit=4, concurrency_id="ask", **public
    )
    buttons[2].click(examples, [], [list_out], api_name="examples", concurrency_limit=4, concurrency_id="ask", **public)
