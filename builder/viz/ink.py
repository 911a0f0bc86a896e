"""The colours of all pictures, and how a matplotlib figure becomes the same SVG bytes everywhere.

Letters are drawn as outlines of the font that matplotlib brings along, so that a picture looks the same on every machine.
A picture on its own is drawn in the light colours; inside a page `themed` swaps each for the page's variable of that name.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties

# name: (light, dark).  Quarters run from cold to warm (Okabe and Ito's colours, safe for colour-blind readers); the two signs of
# a channel are green and purple, which keep apart for them too.  Every light value is unique: `themed` looks them up.
COLOURS: dict[str, tuple[str, str]] = {
    "paper": ("#ffffff", "#171b21"),
    "ink": ("#1d2530", "#e7eaee"),
    "soft": ("#616c7a", "#9ba6b4"),
    "line": ("#e3e7ec", "#2c333c"),
    "edge": ("#b6bfca", "#4b5561"),
    "q1": ("#0b62a4", "#4a9ae0"),
    "q2": ("#3fa2dd", "#8fd0f7"),
    "q3": ("#dd9a00", "#f0bb3e"),
    "q4": ("#cc4c02", "#f07a3c"),
    "plus": ("#1a7f5a", "#4fc294"),
    "minus": ("#8e3f97", "#cf8bd8"),
    "named": ("#4c5c70", "#a3b3c7"),
}
QUARTERS = ("q1", "q2", "q3", "q4")
RC: dict[Any, Any] = {
    "svg.fonttype": "path",
    "svg.hashsalt": "humanmovevqa",
    "svg.id": None,
    "font.family": ["DejaVu Sans"],
    "font.size": 8.0,
    "text.parse_math": False,
    "axes.unicode_minus": True,
    "axes.linewidth": 0.6,
    "path.simplify": True,
    "path.simplify_threshold": 0.1,
    "hatch.linewidth": 0.5,
}


def light(name: str) -> str:
    """The colour of that name on white paper, as #rrggbb."""
    return COLOURS[name][0]


@contextmanager
def style() -> Iterator[None]:
    """Inside, matplotlib draws by RC whatever the user's own settings say; outside, nothing has changed."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)
        yield


def font(size: float, bold: bool = False) -> FontProperties:
    """The pictures' font at `size` points."""
    from matplotlib.font_manager import FontProperties

    return FontProperties(family=["DejaVu Sans"], size=size, weight="bold" if bold else "normal")


def text_width(text: str, size: float, bold: bool = False) -> float:
    """Width of one line of text in points."""
    from matplotlib.textpath import TextPath

    return float(TextPath((0, 0), text, prop=font(size, bold), usetex=False).get_extents().width) if text.strip() else 0.0


def svg(fig: Figure, description: str) -> str:
    """The figure as one `<svg>` element, described for readers who cannot see it.

    No date, no header and no ids but the ones that are referred to; those carry a digest of the picture, so that pictures
    which share a page never share an id.
    """
    buffer = io.StringIO()
    fig.savefig(buffer, format="svg", facecolor=light("paper"), metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].rstrip()
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'(?<= d=")[^"]+', lambda m: re.sub(r"\d+\.\d{3,}", lambda n: f"{float(n[0]):.2f}", m[0]), text)
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', text))
    text = re.sub(r' id="([^"]+)"', lambda m: m[0] if m[1] in used else "", text)
    prefix = "v" + hashlib.sha256(f"{description}\n{text}".encode()).hexdigest()[:8]
    text = re.sub(r' id="|="#|url\(#', lambda m: f"{m[0]}{prefix}-", text)
    head, body = text.split(">", 1)
    return f'{head} role="img" aria-label="{escape(description)}"><title>{escape(description)}</title>{body}\n'


def themed(picture: str) -> str:
    """The picture with every palette colour replaced by `var(--name)`, for a page that defines those variables."""
    names = {value: name for name, (value, _) in COLOURS.items()}

    def variable(match: re.Match[str]) -> str:
        return f"var(--{names[match[0]]})" if match[0] in names else match[0]

    return re.sub(r"#[0-9a-f]{6}\b", variable, picture)


def variables(shade: int) -> str:
    """The palette as CSS declarations, light (0) or dark (1)."""
    return " ".join(f"--{name}: {values[shade]};" for name, values in COLOURS.items())
