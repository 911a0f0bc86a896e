"""Who can be asked beside the track, whether they can be asked here, and why not.

A model is a plugin of `builder/models` that is shown frames, or the track reader, which reads the track.  The operator names those
that may be used, as NAME=CHECKPOINT with options behind commas ("openai_api=gpt-5-mini,url=http://localhost:8000/v1"), on the command
line or in HUMANMOVEVQA_DEMO_MODELS (several, apart by spaces).  The track reader that comes with the package needs no naming.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from builder import plugins, watching
from builder.types import SetupError

TRACK, READER = "geometry", "track_reader"
VARIABLE = "HUMANMOVEVQA_DEMO_MODELS"
READS = "reads the track, not the pixels"
NEEDS = {
    "qwen3_vl": ("torch", "torchvision", "transformers"),
    "transformers_vlm": ("torch", "transformers"),
    READER: ("torch", "safetensors"),
}


@dataclass(frozen=True)
class Answerer:
    """A choice in the list: its name, how the page calls it, and the reason why it cannot be asked ("" when it can)."""

    name: str
    label: str
    why_not: str = ""
    plugin: str = ""
    checkpoint: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def reads_track(self) -> bool:
        """Whether it reads the track instead of seeing frames."""
        return self.plugin == READER


def parse(spec: str) -> Answerer:
    """The model that NAME=CHECKPOINT[,OPTION=VALUE...] names.  Raises SetupError."""
    head, *rest = spec.split(",")
    name, _, checkpoint = head.partition("=")
    pairs = [text.partition("=") for text in rest]
    if name not in askable() or not all(k and v for k, _, v in pairs):
        raise SetupError(f"--model {spec}: expected NAME=CHECKPOINT[,OPTION=VALUE...] with NAME one of {', '.join(askable())}")
    options = {k: v for k, _, v in pairs}
    title = f"{name} {checkpoint.rstrip('/').rpartition('/')[2]}".strip()
    adapter = options.get("adapter", "").rstrip("/").rpartition("/")[2]
    if name == READER:
        title += f" ({READS})"
    return Answerer(spec, f"{title} + {adapter}" if adapter else title, "", name, checkpoint or None, options)


def askable() -> list[str]:
    """Names of the models that are shown frames, and of the track reader."""
    return [n for n in plugins.names("models") if n == READER or plugins.load("models", n).ABOUT.get("sees") in watching.SHOWN_FRAMES]


def choices() -> list[Answerer]:
    """Everybody who could be asked: the track, those whom the operator named, the track reader, and the rest with the reason why not."""
    named = [parse(spec) for spec in os.environ.get(VARIABLE, "").split()]
    out = [Answerer(TRACK, "the track alone (geometry, not a model)")]
    out += [_checked(a) for a in named]
    there = {a.plugin for a in named}
    if READER not in there:
        out.append(_checked(Answerer(READER, f"track reader ({READS})", "", READER)))
    unnamed = "no checkpoint was named when this page was started"
    return out + [Answerer(name, name, unnamed, name) for name in askable() if name not in there | {READER}]


def find(name: str) -> Answerer | None:
    """The one of that name, if it is in the list and no track."""
    return next((a for a in choices() if a.name == name and a.plugin), None)


def _checked(answerer: Answerer) -> Answerer:
    """The same with the reason why it cannot be asked here, where packages or the reader's weights are missing."""
    missing = [n for n in NEEDS.get(answerer.plugin, ()) if importlib.util.find_spec(n) is None]
    if missing:
        return replace(answerer, why_not=f"{', '.join(missing)} {'are' if len(missing) > 1 else 'is'} not installed")
    if answerer.reads_track:
        weights = Path(answerer.checkpoint or plugins.load("models", READER).PACKAGED)
        if not weights.is_file():
            return replace(answerer, why_not=f"its weights {weights.name} are not here")
    return answerer
