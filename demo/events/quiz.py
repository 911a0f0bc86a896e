"""The quiz: a question, the visitor's answer, then the model's and the track's, and the score."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import gradio as gr

from builder import selection
from builder.asking import moments_of
from demo import downloads, quiz, speech, words
from demo.layout import QUIET, Layout
from demo.quiz import Answered
from demo.visit import Visit


def bind(page: Layout) -> None:
    """Connect the components of the quiz."""
    outputs = [page.visit, page.quiz_head, page.choice, page.begin_quiz, page.answer, page.revealed, page.standing]

    def question(visit: Visit) -> dict[Any, Any]:
        """The quiz's next question, or its end."""
        assert visit.game is not None
        visit.asked_at = time.monotonic()
        now = visit.game.current
        offered = gr.update(choices=words.options(now.options), value=None, visible=True, interactive=True) if now else None
        return {
            page.visit: visit,
            page.quiz_head: words.quiz_head(visit.game) if now else words.note("No question about this clip survives doubt."),
            page.choice: offered or gr.update(visible=False),
            page.begin_quiz: gr.update(visible=False) if now else gr.update(visible=True, value="Start again"),
            page.answer: gr.update(visible=now is not None),
            page.revealed: "",
        }

    @page.begin_quiz.click(inputs=[page.visit], outputs=outputs, concurrency_limit=2, concurrency_id="quiz", **QUIET)
    def begun(known: Visit | None) -> Any:
        visit = Visit.of(known)
        if visit.game is not None and visit.game.answered and visit.game.current is not None:
            return question(visit)  # "next"
        if visit.scene.subject is None:
            return {page.visit: visit, page.quiz_head: words.note(visit.scene.unasked, "bad")}
        visit.game = quiz.make(visit.scene.subject.questions(downloads.PER_CATEGORY))
        return {**question(visit), page.standing: ""}

    @page.answer.click(inputs=[page.visit, page.choice, page.model], outputs=outputs, concurrency_limit=8, concurrency_id="answer", **QUIET)
    def answers(known: Visit | None, chosen: int | None, beside: str) -> Iterator[dict[Any, Any]]:
        visit = Visit.of(known)
        shown, game = visit.scene, visit.game
        now = game.current if game else None
        if game is None or now is None or shown.subject is None:
            yield {page.visit: visit}
            return
        if chosen is None:
            yield {page.visit: visit, page.revealed: words.note("Choose one of the options first.", "bad")}
            return
        given = Answered(now, int(chosen), time.monotonic() - visit.asked_at)
        visit.game = game.answer(given)
        family = next(f for f in selection.families().values() if now.category == f.CATEGORY)
        why, when = family.explain(now), moments_of(now, shown.subject.measures)

        def revealed() -> dict[Any, Any]:
            assert visit.game is not None
            return {
                page.revealed: words.revealed(given, why, when, shown.start_s, shown.lifter),
                page.standing: words.standing(visit.game),
            }

        hidden = {page.choice: gr.update(visible=False), page.answer: gr.update(visible=False)}
        yield {page.visit: visit, page.quiz_head: "", **hidden, **revealed()}
        for said in speech.choices(beside, now, shown):
            if visit.scene is not shown:
                return
            given = replace(given, model=said)
            visit.game = game.answer(given)
            yield revealed()
        left = len(game.questions) - len(game.answered) - 1
        yield {page.begin_quiz: gr.update(visible=True, value="Next question" if left else "Start again")}
