"""The files of a scene, made when they are wanted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from demo import downloads
from demo.layout import QUIET, Layout
from demo.visit import Visit


def bind(page: Layout, root: Path) -> None:
    """Connect the button that makes them; they lie under `root`."""

    @page.make.click(inputs=[page.visit], outputs=[page.visit, page.files], concurrency_limit=2, concurrency_id="files", **QUIET)
    def made(known: Visit | None) -> Any:
        visit = Visit.of(known)
        written = downloads.write(visit.scene, visit.room(root), visit.game)
        return visit, gr.update(value=[str(path) for path in written], visible=True)
