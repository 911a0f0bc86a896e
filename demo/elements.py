"""The page's own elements on gradio's HTML component: the viewer, texts, buttons to pick from, and the list of models.

Functions and no subclasses of gradio's: it would write a stub file beside the source of each.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from demo.scene import Scene

HERE = Path(__file__).parent
PICK = """element.addEventListener('click', (e) => {
  const b = e.target.closest('[data-name]');
  if (b) trigger('pick', { name: b.dataset.name });
});"""
CHOOSE = """element.addEventListener('change', (e) => {
  if (e.target.matches('select')) props.value = e.target.value;
});"""


def viewer(shown: Scene, **more: Any) -> Any:
    """The component of clip, map and figure."""
    html, css, *js = ((HERE / name).read_text(encoding="utf-8") for name in ("viewer.html", "viewer.css", "pictures.js", "viewer.js"))
    return gr.HTML(viewed(shown), html_template=html, css_template=css, js_on_load="".join(js), apply_default_css=False, **more)


def viewed(shown: Scene) -> dict[str, Any]:
    """A scene as the viewer receives it: the payload, and the clip as a file that gradio serves."""
    video = None if shown.video is None else {"path": str(shown.video), "mime_type": "video/mp4", "meta": {"_type": "gradio.FileData"}}
    return {"payload": shown.shown, "video": video}


def said(value: str, **more: Any) -> Any:
    """Something that `words` wrote, in the page's own style."""
    return gr.HTML(value, apply_default_css=False, **more)


def picker(value: str, **more: Any) -> Any:
    """Buttons written by `words`; a click on one with data-name is the event "pick"."""
    return gr.HTML(value, js_on_load=PICK, apply_default_css=False, **more)


def selector(html: str, value: str, **more: Any) -> Any:
    """A list written by `words`, whose value is that of the chosen option; unlike gradio's own it can have options disabled."""
    return gr.HTML(value, html_template="${list}", list=html, js_on_load=CHOOSE, apply_default_css=False, **more)
