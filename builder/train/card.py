"""The page of a trained adapter: `cards/model.md`, every number filled in from its training and its evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from builder import sft, tables
from builder.types import CATEGORIES, BuildError

CARDS = Path(__file__).resolve().parent.parent.parent / "cards"
WAYS = ("true", "noisy", "hidden", "reworded")


def render(identity: Mapping[str, Any], history: Sequence[Mapping[str, Any]], result: Mapping[str, Any] | None) -> str:
    """The card with its front matter.  `identity` is the training's config, `history` its curve, `result` the evaluation's results.

    Raises BuildError where the template is missing.
    """
    from huggingface_hub import EvalResult, ModelCardData

    name = Path(identity["checkpoint"]).name
    title = f"{name} on HumanMoveVQA"
    local = Path(identity["checkpoint"]).is_dir()  # a folder of this machine is no model on the Hub
    scores = None
    if result is not None and result["score_macro"] is not None:
        kinds = {"score": result["score_macro"], **{c: cell["score"] for c, cell in result["by_category"].items()}}
        scores = [
            EvalResult(
                "video-text-to-text",
                "humanmovevqa",
                result["data"]["name"],
                f"chance_normalised_{k}",
                v,
                dataset_split=result["data"]["split"],
            )
            for k, v in kinds.items()
            if v is not None
        ]
    front = ModelCardData(
        base_model=None if local else identity["checkpoint"],
        library_name="peft",
        pipeline_tag="video-text-to-text",
        tags=["humanmovevqa", "lora", "human-motion", "video"],
        model_name=title if scores else None,
        eval_results=scores,
    )
    losses = [h for h in history if h.get("loss") is not None]
    watched = [h["score"] for h in history if h.get("score") is not None]
    body = _template("model.md").render(
        title=title,
        checkpoint=name if local else identity["checkpoint"],
        data=identity["data"],
        setting=identity["setting"],
        reasoning=identity["reasoning"],
        reply_tokens=sft.LONGEST_REPLY[identity["reasoning"]],
        tuning=identity["tuning"],
        kept_out=identity["watched"],
        first=losses[0] if losses else None,
        last=losses[-1] if losses else None,
        watched=watched[-1] if watched else None,
        result=result,
        table="" if result is None else "\n".join(tables.table([result])),
        notes="" if result is None else "\n".join(tables.notes(result)),
    )
    return f"---\n{front.to_yaml()}\n---\n{body}"


def render_reader(head: Mapping[str, Any], measured: Mapping[str, Any]) -> str:
    """The page of a track reader, from its file's header and `train.reader.measure`.  Raises BuildError where the template is missing."""
    return _template("track_reader.md").render(**head, measured=measured, ways=WAYS, categories=CATEGORIES)


def _template(name: str) -> Any:
    import jinja2

    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    try:
        return environment.from_string((CARDS / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BuildError(f"card template {CARDS / name} is missing; install the project again, its folder `cards` belongs to it") from None
