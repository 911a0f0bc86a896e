"""The page: its components, the events on them, and what programs may call, put together."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from demo import api, limits, scene
from demo.events import clip, files, questions, quiz
from demo.layout import lay_out
from demo.line import Line

TITLE = "HumanMoveVQA: where did the person go?"
FULL = f"{limits.WAITING} clips are waiting already; please come back in a few minutes. The examples work meanwhile."


def build(root: Path) -> gr.Blocks:
    """The page; everything of its visitors is written under `root`."""
    line = Line(limits.WAITING, FULL)
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as page:
        layout = lay_out(scene.example(scene.FIRST))
        clip.bind(layout, root, line)
        questions.bind(layout)
        quiz.bind(layout)
        files.bind(layout, root)
        api.bind(root, line)
    return page
