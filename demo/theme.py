"""How the page looks: gradio's theme in quiet greys, and the palette of all pictures as variables, light and dark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from builder.viz import ink

STYLE = Path(__file__).parent / "page.css"
ON_LIGHT = {"q1": "#ffffff", "q2": "#10202c", "q3": "#1d1400", "minus": "#ffffff"}  # text on a colour of the palette
ON_DARK = {"q1": "#06121c", "q2": "#06121c", "q3": "#1d1400", "minus": "#1b0a1e"}


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
        + "".join(f" --on-{k}: {v};" for k, v in ON_LIGHT.items()),
        1: "--wash: #1f252d; --now: #ff6b7f; --accent: #4a9ae0; --on-accent: #06121c; --bad: #ff9b91; --on-badge: #0b0f14;"
        + "".join(f" --on-{k}: {v};" for k, v in ON_DARK.items()),
    }
    palette = f":root {{ {ink.variables(0)} {more[0]} }}\n.dark {{ {ink.variables(1)} {more[1]} }}\n"
    return palette + STYLE.read_text(encoding="utf-8")
