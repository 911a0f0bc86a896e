"""How a training went: loss and scores by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from builder.viz import ink

SCORES = (("score", "clips kept out", "q1"), ("score_learnt", "clips learnt from", "named"))


def curves(history: Sequence[Mapping[str, Any]]) -> str:
    """SVG: the loss, and under it the scores where any were measured; "" when there is nothing to draw.

    `history` holds records with `step` and any of `loss`, `score`, `score_learnt` (points).
    """
    from matplotlib.figure import Figure

    loss = [(h["step"], h["loss"]) for h in history if h.get("loss") is not None]
    scores = {name: [(h["step"], h[name]) for h in history if h.get(name) is not None] for name, _, _ in SCORES}
    drawn = [(name, words, hue) for name, words, hue in SCORES if scores[name]]
    if not loss:
        return ""
    last = max(h["step"] for h in history)
    with ink.style():
        rows = 2 if drawn else 1
        fig = Figure(figsize=(6.0, 0.55 + 1.55 * rows))
        axes = list(fig.subplots(rows, 1, sharex=True, squeeze=False)[:, 0])
        fig.subplots_adjust(left=0.12, right=0.97, top=0.97, bottom=0.4 / (0.55 + 1.55 * rows), hspace=0.14)
        axes[0].plot(*zip(*loss, strict=True), color=ink.light("q4"), linewidth=1.2, marker="." if len(loss) < 3 else "")
        axes[0].set_ylabel("loss")
        axes[0].set_ylim(bottom=0.0)
        for k, (name, words, hue) in enumerate(drawn):
            axes[1].plot(*zip(*scores[name], strict=True), color=ink.light(hue), linewidth=1.2, marker=".", label=words)
            axes[1].text(
                0.995, 0.06 + 0.13 * k, words, color=ink.light(hue), ha="right", va="bottom", size=7.5, transform=axes[1].transAxes
            )
        if drawn:
            axes[1].set_ylabel("score")
            axes[1].axhline(0.0, color=ink.light("edge"), linewidth=0.6)
        for ax in axes:
            ax.set_xlim(0, last * 1.01)
            ax.tick_params(length=2, width=0.5)
            for side in ("top", "right"):
                ax.spines[side].set_visible(False)
        axes[-1].set_xlabel("optimiser steps")
        said = "; ".join(
            [f"loss from {loss[0][1]:.3g} to {loss[-1][1]:.3g}", *(f"score, {w}: {scores[n][-1][1]:.1f}" for n, w, _ in drawn)]
        )
        return ink.svg(fig, f"Training over {last} steps: {said}.")
