"""No two questions of one clip may contradict each other: what answers claim, as intervals that must overlap."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from builder.types import Question

Key = tuple[Any, ...]
INF = float("inf")
Claim = tuple[Key, float, float]


def _times(q: Question) -> Iterable[Claim]:
    """How often a movement is seen in a window, as an interval."""
    e = q.evidence
    if q.template in ("count_moves", "count_turns", "count_leans", "count_actions"):
        yield ("times", q.quantity, q.window), e["count"], e["count"]
    elif q.category == "existence" and "events" in e:
        yes = q.answer_text in ("Yes", "False")
        yield ("times", q.quantity, q.window), *((1, INF) if yes else (0, 0))
    elif q.template.startswith("more_often"):
        for name, value in zip(q.quantity.split("|"), (e["first"], e["second"]), strict=True):
            yield ("times", name, q.window), value, value
    elif q.template == "side_in_quarter":
        for name, value in zip(q.quantity.split("|"), (e["first"], e["second"]), strict=True):
            yield ("times", name, q.window), *((1, INF) if value > 0 else (0, 0))


def _amounts(q: Question) -> Iterable[Claim]:
    """Metres and degrees that answers rest on."""
    if q.template in ("metres_furthest", "metres_path", "metres_from_start") or q.template.startswith(("metres_in", "degrees_to")):
        value = q.evidence.get("metres", q.evidence.get("degrees"))
        yield (q.template, q.quantity, q.window), value, value
        if q.template == "metres_furthest":
            yield ("furthest", q.window), value, value
    elif q.template.startswith("beyond"):
        limit = float(q.quantity.split()[0])
        yield ("furthest", q.window), *((limit, INF) if q.answer_text in ("Yes", "False") else (0, limit))
    elif q.template in ("further_in_total", "side_of_axis"):
        for name, value in zip(q.quantity.split("|"), (q.evidence["first"], q.evidence["second"]), strict=True):
            yield ("metres_in_direction", name, q.window), value, value


def _sums(q: Question) -> Iterable[Claim]:
    """Totals, largest single movements and both-or-not: a largest is no more than its total, and both means one of each."""
    e = q.evidence
    if q.template == "degrees_both":
        yield ("sum of turns", q.window), e["degrees"], e["degrees"]
    elif q.template in ("turns_more_in_total", "side_of_turning"):
        yield ("sum of turns", q.window), e["first"] + e["second"] - 0.1, e["first"] + e["second"] + 0.1
    elif q.template in ("metres_longest_move", "degrees_biggest_turn"):
        value = e.get("metres", e.get("degrees"))
        yield ("largest", q.quantity, q.window), value, value
        yield ("times", q.quantity, q.window), 1, INF
    elif q.template in ("longer_single_move", "bigger_single_turn"):
        for name, value in zip(q.quantity.split("|"), (e["first"], e["second"]), strict=True):
            yield ("largest", name, q.window), value, value
    elif q.template.startswith("both"):
        for name, value in zip(q.quantity.split("|"), (e["first"], e["second"]), strict=True):
            yield ("times", name, q.window), value, value


def _onsets(q: Question) -> Iterable[Claim]:
    """When movements first and last start, in seconds; what starts has happened."""
    e = q.evidence
    if q.template in ("first_onset", "last_onset", "first_action", "last_action", "pace_of_first"):
        yield ("last" if q.template.startswith("last") else "first", q.quantity), e["event"][1], e["event"][1]
        yield ("times", q.quantity, "whole"), 1, INF
    elif q.template in ("order_of_three", "earliest_floor"):
        for name, start, *_ in e["times"]:
            yield ("first", name), start, start
            yield ("times", name, "whole"), 1, INF
    elif q.template in ("first_of_all", "last_of_all"):
        name, start, *_ = e["event"]
        yield (q.template.removesuffix("_of_all"), name), start, start


def _places(q: Question) -> Iterable[Claim]:
    """Where the person is at the end, and how they then face."""
    e = q.evidence
    if "left" in e and "forward" in e and "event" not in e and q.template != "furthest_side":
        for axis in ("left", "forward"):
            yield (axis, q.window), e[axis], e[axis]
    if q.template == "net_side" and q.window == "whole":
        axis = "left" if q.quantity == "displacement_x" else "forward"
        side = {"To the left": (0, INF), "Forward": (0, INF), "To the right": (-INF, 0), "Backward": (-INF, 0)}.get(
            q.answer_text, (-0.3, 0.3)
        )
        yield (axis, "whole"), *side


def contradictions(questions: Iterable[Question]) -> list[str]:
    """One line for every two questions of a person whose answers cannot both be true."""
    out = []
    for _, own in groupby(sorted(questions, key=lambda q: (q.clip_id, q.person_id, q.id)), key=lambda q: (q.clip_id, q.person_id)):
        known: dict[Key, tuple[float, float, Question]] = {}
        for q in own:
            for claims in (_times, _amounts, _sums, _onsets, _places):
                for key, low, high in claims(q):
                    a, b, other = known.get(key, (-INF, INF, q))
                    if max(a, low) > min(b, high) + 1e-6:
                        out.append(f"{q.clip_id}: {other.text!r} = {other.answer_text!r} against {q.text!r} = {q.answer_text!r}")
                    else:
                        known[key] = max(a, low), min(b, high), q
    return out
