"""Examples picked, clips and tracks brought, lifted, looked at person by person, and deleted."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from demo import lifters, scene, words
from demo.layout import QUIET, Layout
from demo.line import Line
from demo.sandbox import Refused
from demo.scene import Scene
from demo.visit import Visit

FEW: dict[str, Any] = {"concurrency_limit": 2, "concurrency_id": "check", **QUIET}  # processes that look into files


def bind(page: Layout, root: Path, line: Line) -> None:
    """Connect the components of clips; everything of visitors is written under `root`, lifts stand in `line`."""

    @page.examples.pick(inputs=[page.visit], outputs=page.of_scene, **QUIET)
    def picked(known: Visit | None, event: gr.EventData) -> Any:
        name = str(event._data.get("name"))
        return page.show(Visit.of(known), scene.example(name if name in {n for n, *_ in scene.EXAMPLES} else scene.FIRST))

    outputs = [page.visit, page.note, page.lift, page.clear]
    checks: dict[str, Any] = {"inputs": [page.visit, page.clip, page.begin], "outputs": outputs, **FEW}

    @page.clip.upload(**checks)
    @page.begin.change(**checks)
    def checked(known: Visit | None, path: str | None, first_part: bool) -> Any:
        visit = Visit.of(known)
        if not path:
            return {page.visit: visit, page.note: words.note(lifters.state()), page.lift: gr.update(interactive=False)}
        try:
            info = visit.prepared[path][1] if visit.copied(path) else lifters.check(str(visit.take(path, root)), first_part)
        except Refused as error:
            return {
                page.visit: visit,
                page.note: words.note(str(error), "bad"),
                page.lift: gr.update(interactive=False),
                page.clear: gr.update(visible=bool(visit.folders)),
            }
        what = f"{info['seconds']:.1f} s, {info['width']} × {info['height']}, {info['fps']:.4g} frames per second."
        why = lifters.why_not()
        return {
            page.visit: visit,
            page.note: words.note(f"{what} {why}".strip(), "bad" if why else "good"),
            page.lift: gr.update(interactive=not why),
            page.clear: gr.update(visible=True),
        }

    @page.clip.clear(outputs=[page.note, page.lift], **QUIET)
    def taken_back() -> Any:
        return words.note(lifters.state()), gr.update(interactive=False)

    def settled(visit: Visit, **more: Any) -> dict[Any, Any]:
        return {page.visit: visit, page.lift: gr.update(interactive=True), page.stop: gr.update(visible=False), **more}

    def lifted(known: Visit | None, path: str | None, mode: str, tall: str | None, first_part: bool) -> Iterator[dict[Any, Any]]:
        """From an uploaded clip to its scene, saying along the way what is done."""
        visit = Visit.of(known)
        mine = visit.lifting = object()
        busy = {page.lift: gr.update(interactive=False), page.stop: gr.update(visible=True)}
        yield {page.visit: visit, page.status: words.working("Waiting", None), **busy}
        try:
            for step in lifters.lift(visit, path, mode, tall or "", first_part, root, line):
                if visit.lifting is not mine:  # they have started another
                    return
                if isinstance(step, Scene):
                    yield {**page.show(visit, step), **settled(visit), page.status: ""}
                else:
                    yield {page.status: words.working(*step)}
        except Refused as error:
            yield {**settled(visit), page.status: words.note(str(error), "bad")}
        except Exception:
            traceback.print_exc()
            yield {**settled(visit), page.status: words.note("Something failed here, and not your clip; please try again.", "bad")}

    running = page.lift.click(
        lifted,
        [page.visit, page.clip, page.camera, page.height, page.begin],
        [*page.of_scene, page.lift, page.stop, page.status],
        concurrency_limit=line.longest + line.at_once + 1,  # the line itself says that it is full
        concurrency_id="lift",
        trigger_mode="multiple",  # "once" takes no click any more after a stop
        **QUIET,
    )

    @page.stop.click(outputs=[page.lift, page.stop, page.status], cancels=[running], queue=False, **QUIET)
    def stopped() -> Any:
        return gr.update(interactive=True), gr.update(visible=False), words.note("Stopped.")

    @page.track.upload(inputs=[page.visit, page.track, page.clip], outputs=[*page.of_scene, page.note], **FEW)
    def given(known: Visit | None, path: str | None, video: str | None) -> Any:
        visit = Visit.of(known)
        try:
            return {**page.show(visit, lifters.given(visit, path, video, root)), page.note: ""}
        except Refused as error:
            return {page.visit: visit, page.note: words.note(str(error), "bad")}

    @page.person.input(inputs=[page.visit, page.person], outputs=page.of_scene, **QUIET)
    def other(known: Visit | None, k: int) -> Any:
        visit = Visit.of(known)
        return page.show(visit, lifters.person(visit, k))

    @page.clear.click(inputs=[page.visit], outputs=[*page.of_scene, page.clip, page.track, page.note, page.status, page.lift], **QUIET)
    def deleted(known: Visit | None) -> Any:
        visit = Visit.of(known)
        visit.forget()
        gone = {page.clip: None, page.track: None, page.status: "", page.lift: gr.update(interactive=False)}
        note = words.note("Deleted. Nothing of your clip is left here.", "good")
        return {**page.show(visit, scene.example(scene.FIRST)), **gone, page.note: note}
