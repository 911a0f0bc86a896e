"""Questions asked in the visitor's own words: the track answers at once, the chosen model's reply grows beside it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import gradio as gr

from builder.asking import LONGEST_TEXT, Reply, reply
from demo import limits, speech, words
from demo.layout import QUIET, Layout
from demo.scene import Scene
from demo.visit import Visit

_numbers = itertools.count()


def answered(shown: Scene, text: str) -> Reply:
    """What a scene's track says to a question; a scene that cannot be asked says why."""
    if shown.subject is None:
        return Reply(" ".join(text.split())[:LONGEST_TEXT], "", None, shown.unasked)
    return reply(text, shown.subject, shown.start_s)


def bind(page: Layout) -> None:
    """Connect the components of the conversation."""

    def asked(known: Visit | None, question: str, chosen: str) -> Iterator[dict[Any, Any]]:
        """One turn of the conversation."""
        visit = Visit.of(known)
        if not question.strip():
            yield {page.visit: visit}
            return
        shown, track = visit.scene, answered(visit.scene, question)
        turn = next(_numbers)
        for model in itertools.chain([None], speech.turn(chosen, track, shown)):
            if visit.scene is not shown:  # they have gone on to another clip
                return
            said = visit.say(turn, words.turn(track, shown.start_s, shown.lifter, model))
            emptied = {page.text: ""} if model is None else {}  # they may be writing the next one already
            yield {page.visit: visit, page.talk: words.talk(said), **emptied}

    # "multiple": another question may be asked while a model is still thinking about the last one
    conversation: dict[str, Any] = {
        "concurrency_limit": limits.ASKING + 4,
        "concurrency_id": "ask",
        "trigger_mode": "multiple",
        **QUIET,
    }
    page.text.submit(asked, [page.visit, page.text, page.model], [page.visit, page.text, page.talk], **conversation)

    @page.suggested.pick(inputs=[page.visit, page.model], outputs=[page.visit, page.text, page.talk], **conversation)
    def picked(known: Visit | None, chosen: str, event: gr.EventData) -> Any:
        yield from asked(known, str(event._data.get("name"))[:LONGEST_TEXT], chosen)
