"""The report of a build: one page with its numbers, its checks and a few clips to judge by eye."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from builder.types import CATEGORIES, Event, Motion, Question
from builder.viz import ink
from builder.viz.channels import channels_figure, event_label
from builder.viz.path import path_figure

TEMPLATE = Path(__file__).with_name("report.html.j2")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SOLVERS = {"priors": "Solver used while building", "second": "Independent solver"}
KINDS = {"real": "real clips", "synthetic": "synthetic clips"}


def report(
    info: Mapping[str, Any],
    prior_tables: Sequence[Mapping[str, Any]] = (),
    examples: Sequence[Mapping[str, Any]] = (),
) -> str:
    """One self-contained HTML page; the same bytes for the same input, and nothing loaded from elsewhere.

    `info` is the content of `build_info.json`: version, recipe, lifters, generated, counts, blind, max_blind; any part may be
    missing.  Blind scores and `max_blind` are in points (chance 0, always right 100).  `prior_tables` hold for a template and
    window the numbers of each answer text `before` and `after` flattening and its `expected` share (0-1).  Each of `examples`
    has a `clip_id`, its `motion`, and `questions`: (Question, option texts in the order of their letters, reasoning).
    """
    from jinja2 import Environment, StrictUndefined

    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    page.filters |= {"count": count, "percent": percent, "words": words}
    shown = [example_view(example) for example in examples]
    return page.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        palette=(ink.variables(0), ink.variables(1)),
        build=build_view(info),
        counts=counts_view(info.get("counts") or {}),
        kept=kept_view(info.get("generated") or {}),
        priors=priors_view(prior_tables),
        blind=blind_view(info.get("blind") or {}, info.get("max_blind")),
        skipped=skipped_view((info.get("generated") or {}).get("skipped") or ()),
        examples=shown,
    )


def count(value: float | int | None) -> str:
    """A number to read: 12345 -> "12 345" with thin spaces, 7.0421 -> "7.0", None -> an en dash."""
    if value is None:
        return "\N{EN DASH}"
    text = f"{value:,}" if float(value).is_integer() and isinstance(value, int) else f"{value:,.1f}"
    return text.replace(",", "\N{NARROW NO-BREAK SPACE}").replace("-", "\N{MINUS SIGN}")


def percent(share: float | None) -> str:
    """A share 0-1 as a whole percentage."""
    return "\N{EN DASH}" if share is None else f"{100 * share:.0f}\N{NARROW NO-BREAK SPACE}%"


def words(name: str) -> str:
    """An identifier as words."""
    return str(name).replace("_", " ")


def in_order(names: Iterable[str]) -> list[str]:
    """Categories in the project's order, then any other by name."""
    return sorted(set(names), key=lambda c: (CATEGORIES.index(c) if c in CATEGORIES else len(CATEGORIES), c))


def build_view(info: Mapping[str, Any]) -> dict[str, Any]:
    """The headline facts and the (name, value) lines about how the build was made."""
    recipe, generated = info.get("recipe") or {}, info.get("generated") or {}
    counts = info.get("counts") or {}
    written = sum(n for splits in counts.values() for by in splits.values() for n in by.values())
    tiles = [
        ("questions", written if counts else None, f"in {len(counts)} source{'s' * (len(counts) != 1)}" if counts else ""),
        ("tracks", generated.get("tracks"), "people followed through a clip"),
        ("per track", generated.get("questions_per_track_mean"), "questions before balancing, mean"),
        ("skipped", len(generated.get("skipped") or ()) if generated else None, "clips that gave none"),
    ]
    if blind := hardest(info.get("blind") or {}):
        kind, mean = blind
        interval = f", {mean['low']:.1f} to {mean['high']:.1f}" if mean.get("low") is not None and mean.get("high") is not None else ""
        tiles.append(("points blind", float(mean["score"]), f"of 100 without watching, {KINDS.get(kind, kind)}{interval}"))
    lifters = info.get("lifters") or {}
    lines = [
        ("version", info.get("version")),
        ("recipe", recipe.get("name")),
        ("digest", recipe.get("digest")),
        ("seed", recipe.get("seed")),
        ("lifters", ", ".join(f"{source}: {lifters[source]}" for source in sorted(lifters)) or None),
    ]
    return {
        "tiles": [{"name": n, "value": v, "note": note} for n, v, note in tiles if v is not None],
        "lines": [(n, str(v)) for n, v in lines if v is not None],
    }


def hardest(blind: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    """The kind of clips and the mean score of the blind solver that does best, on real clips where there are any."""
    found = [(kind, part["mean"]) for kinds in blind.values() for kind, part in (kinds or {}).items() if (part or {}).get("mean")]
    found = [(kind, mean) for kind, mean in found if mean.get("score") is not None]
    return max(found, key=lambda f: (f[0] == "real", f[1]["score"], f[0]), default=None)


def counts_view(counts: Mapping[str, Mapping[str, Mapping[str, int]]]) -> dict[str, Any] | None:
    """A table: a row per category, a column per source and split, totals at both ends."""
    if not counts:
        return None
    order = ("train", "validation", "test")
    columns = [
        (source, split)
        for source in sorted(counts)
        for split in sorted(counts[source], key=lambda s: (order.index(s) if s in order else len(order), s))
    ]
    rows: list[dict[str, Any]] = []
    for category in in_order(c for splits in counts.values() for by in splits.values() for c in by):
        cells = [counts[source][split].get(category, 0) for source, split in columns]
        rows.append({"category": category, "cells": cells, "total": sum(cells)})
    sums = [sum(row["cells"][i] for row in rows) for i in range(len(columns))]
    heads = [(source, len(counts[source])) for source in sorted(counts) if counts[source]]
    return {"heads": heads, "splits": [split for _, split in columns], "rows": rows, "sums": sums, "total": sum(sums)}


def kept_view(generated: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Per category the questions before and after balancing, and the share that stays."""
    before, after = generated.get("before") or {}, generated.get("after") or {}
    largest = max([*before.values(), *after.values(), 1])
    return [
        {
            "category": c,
            "before": before.get(c, 0),
            "after": after.get(c, 0),
            "share": after.get(c, 0) / before[c] if before.get(c) else None,
            "bars": (100 * before.get(c, 0) / largest, 100 * after.get(c, 0) / largest),
        }
        for c in in_order([*before, *after])
    ]


def priors_view(tables: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per template the shares of its answer texts, worst first.

    The gap is half the summed distance to the expected shares (total variation, 0-1): the part of the questions that would
    need another answer.  It is None where nothing was expected.  Worst is the largest gap beyond what as many fair draws
    show by themselves (the mean absolute deviation of a binomial share), or else templates of one question would lead.
    """
    out = []
    for table in tables:
        before, after, expected = (dict(table.get(part) or {}) for part in ("before", "after", "expected"))
        answers = sorted({*before, *after, *expected}, key=lambda a: (-before.get(a, 0), a))
        shares = [{a: part.get(a, 0) / max(1, sum(part.values())) for a in answers} for part in (before, after)]
        gaps = [sum(abs(s[a] - expected.get(a, 0)) for a in answers) / 2 if expected else None for s in shares]
        drawn = sum(after.values())
        by_chance = sum(math.sqrt(2 * p * (1 - p) / (math.pi * max(1, drawn))) for p in expected.values() if 0 < p < 1) / 2
        largest = max([0.01, *shares[0].values(), *shares[1].values(), *expected.values()])
        rows = [
            {
                "answer": a,
                "before": shares[0][a],
                "after": shares[1][a],
                "expected": expected.get(a),
                "left": None if a not in expected else 100 * expected[a] / largest,
                "bars": (100 * shares[0][a] / largest, 100 * shares[1][a] / largest),
            }
            for a in answers
        ]
        out.append(
            {
                "template": table.get("template", ""),
                "window": table.get("window", ""),
                "numbers": (sum(before.values()), drawn),
                "excess": -math.inf if gaps[1] is None else gaps[1] - by_chance,
                "gaps": gaps,
                "rows": rows,
            }
        )
    return sorted(out, key=lambda t: (-t["excess"], t["template"], t["window"]))


def blind_view(blind: Mapping[str, Any], bar: float | None) -> dict[str, Any] | None:
    """The panels of the blind solvers: scores and intervals in points, and where they lie on the common axis in percent."""
    panels = []
    for solver in [*(s for s in SOLVERS if s in blind), *sorted(set(blind) - set(SOLVERS))]:
        kinds = blind[solver] or {}
        for kind in [*(k for k in KINDS if k in kinds), *sorted(set(kinds) - set(KINDS))]:
            found = kinds[kind] or {}
            by = found.get("by_category") or {}
            rows = [{"name": words(c), "mean": False, **by[c]} for c in in_order(by)]
            rows += [{"name": "mean", "mean": True, **found["mean"]}] if found.get("mean") else []
            names = (SOLVERS.get(solver, solver), KINDS.get(kind, kind))
            panels.append({"solver": names[0], "kind": names[1], "verdict": found.get("verdict") or "", "rows": rows})
    if not panels:
        return None
    values = [row.get(key) for panel in panels for row in panel["rows"] for key in ("score", "low", "high")]
    known = [v for v in values if v is not None] + [v for v in (bar,) if v is not None]
    low, high = min([-10.0, *known]), max([20.0, *known])
    low, high = 10 * (low // 10), -10 * (-high // 10)
    step = 10 if high - low <= 60 else 20 if high - low <= 120 else 50

    def at(value: float | None) -> float | None:
        return None if value is None else round(100 * (value - low) / (high - low), 2)

    for panel in panels:
        for row in panel["rows"]:
            row |= {key: row.get(key) for key in ("score", "low", "high", "n")}
            row |= {"x": at(row["score"]), "a": at(row["low"]), "b": at(row["high"])}
            row["over"] = bar is not None and row["low"] is not None and row["low"] > bar
    ticks = [(tick, at(tick)) for tick in range(int(low), int(high) + 1) if tick % step == 0]
    return {"panels": panels, "bar": bar, "bar_at": at(bar), "zero_at": at(0.0), "ticks": ticks}


def skipped_view(skipped: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Reasons why clips were skipped with their clips, the most frequent first."""
    reasons: dict[str, list[str]] = {}
    for entry in skipped:
        reasons.setdefault(str(entry.get("reason") or "no reason given"), []).append(str(entry.get("clip_id", "")))
    found = [{"reason": reason, "clips": sorted(clips)} for reason, clips in reasons.items()]
    return sorted(found, key=lambda r: (-len(r["clips"]), r["reason"]))


def example_view(example: Mapping[str, Any]) -> dict[str, Any]:
    """One clip: its two pictures in the page's colours, its events in words, and its questions by category."""
    from markupsafe import Markup

    motion: Motion | None = example.get("motion")
    facts, events, pictures = [], [], None
    if motion is not None:
        seconds = (motion.num_frames - 1) / motion.fps
        facts = [f"person {motion.person_id}", *filter(None, [motion.referent]), f"{seconds:.1f} s"]
        events = [event_view(event, motion.fps) for event in motion.events]
        pictures = [Markup(ink.themed(draw(motion))) for draw in (path_figure, channels_figure)]
    asked = [question_view(*entry) for entry in example.get("questions") or ()]
    order = in_order(q["category"] for q in asked)
    asked.sort(key=lambda q: order.index(q["category"]))
    return {"clip_id": str(example.get("clip_id", "")), "facts": facts, "pictures": pictures, "events": events, "questions": asked}


def event_view(event: Event, fps: float) -> tuple[str, str, str, str]:
    """(start and end in seconds, direction and amount, size and pace) of an event, as texts."""
    manner = ", ".join(filter(None, (event.size, event.pace)))
    return f"{event.start_frame / fps:.1f}", f"{event.end_frame / fps:.1f}", event_label(event, fps), manner


def question_view(question: Question, ordered: Sequence[str | int] | None = None, reasoning: str | None = "") -> dict[str, Any]:
    """One question with its options behind their letters; `ordered` holds their texts, or their indices, from A on."""
    evidence = {str(key): json.dumps(_rounded(value), ensure_ascii=False, default=str) for key, value in question.evidence.items()}
    texts = [question.options[o] if isinstance(o, int) else str(o) for o in ordered or question.options]
    return {
        "id": question.id,
        "category": question.category,
        "tags": [t for t in (question.template, question.quantity, question.window) if t],
        "text": question.text,
        "options": [(letter, text, text == question.answer_text) for letter, text in zip(LETTERS, texts, strict=False)],
        "reasoning": reasoning or "",
        "evidence": sorted(evidence.items()),
        "robustness": question.robustness,
    }


def _rounded(value: Any) -> Any:
    """Numbers to four decimals, so that evidence can be read."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, Mapping):
        return {str(k): _rounded(v) for k, v in value.items()}
    return [_rounded(v) for v in value] if isinstance(value, list | tuple) else value
