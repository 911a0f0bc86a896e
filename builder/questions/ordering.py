"""Ordering: what starts next, before, first, last; the order of three.  Four options.

"Next" and "before" compare starts, since movements overlap.  Every start that decides is at least `onset_gap_s` away from
every other start that could be meant, so that no other option is also true.
"""

from __future__ import annotations

import random
from functools import partial
from itertools import combinations, pairwise, permutations
from typing import Any

from builder import families
from builder.choices import Evidence, fixed, stated, two_pairs
from builder.families import Template
from builder.quantities import FLOOR, LEANS, TURNS, WHOLE, WORDS, Measures
from builder.recipe import Recipe
from builder.types import Event

CATEGORY = "ordering"
MIXED = (*FLOOR, *TURNS)
BODY = ("up", "down", *LEANS)
FLOOR_OPTIONS = tuple(WORDS[d].does.capitalize() for d in FLOOR)
THINGS = (*FLOOR, *TURNS, "jump", "crouch", "lean_forward", "lean_backward", "lean_left", "lean_right")


def starts(m: Measures, among: tuple[str, ...]) -> list[Event]:
    """All events of these directions by start."""
    return sorted((e for d in among for e in m.events(d)), key=lambda e: (e.start_frame, e.code))


def clear(m: Measures, event: Event, others: list[Event]) -> bool:
    """Does no other of these events start within the gap around this one?"""
    gap = m.recipe.questions.onset_gap_s * m.hz
    return all(e is event or abs(e.start_frame - event.start_frame) >= gap for e in others)


def _found(m: Measures, event: Event, others: list[Event], **more: Any) -> dict[str, Any]:
    seen = sorted({e.direction for e in others})
    return {"is": WORDS[event.direction].does.capitalize(), "event": m.brief(event), "seen": seen, **more}


def neighbour(among: tuple[str, ...], step: int) -> families.Measure:
    """The event that starts next after (+1) or last before (-1) the n-th start of a direction ("left#2")."""

    def measure(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
        direction, _, number = quantity.partition("#")
        own = m.events(direction)
        others = starts(m, among)
        if len(own) < int(number) or not all(m.defined(d, "whole") for d in among):
            return None
        anchor = own[int(number) - 1]
        at = others.index(anchor) + step
        if not 0 <= at < len(others) or not (clear(m, anchor, others) and clear(m, others[at], others)):
            return None
        return _found(m, others[at], others, anchor=m.brief(anchor))

    return measure


def extreme(among: tuple[str, ...], at: int) -> families.Measure:
    """The event that starts first (0) or last (-1) of all."""

    def measure(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
        others = starts(m, among)
        if len(others) < 2 or not all(m.defined(d, "whole") for d in among) or not clear(m, others[at], others):
            return None
        return _found(m, others[at], others)

    return measure


def nth_start(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
    """The n-th start among the floor directions ("any#2")."""
    others = starts(m, FLOOR)
    n = int(quantity.partition("#")[2])
    if len(others) < n + 1 or not all(clear(m, e, others) for e in others[: n + 1]):
        return None
    return _found(m, others[n - 1], others, times=[m.brief(e) for e in others[: n + 1]])


def order(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
    """First starts of three movements, all of which happen, far enough apart to tell."""
    firsts = [m.events(d)[:1] for d in quantity.split("|")]
    if not all(firsts) or not all(m.defined(d, "whole") for d in quantity.split("|")):
        return None
    events = sorted((f[0] for f in firsts), key=lambda e: e.start_frame)
    gap = m.recipe.questions.onset_gap_s * m.hz
    if any(b.start_frame - a.start_frame < gap for a, b in pairwise(events)):
        return None
    return {"is": _in_order([e.direction for e in events]), "times": [m.brief(e) for e in events]}


def _in_order(names: list[str] | tuple[str, ...]) -> str:
    first, second, third = (WORDS[n].does for n in names)
    return f"{first.capitalize()}, then {second}, then {third}"


def orders(answer: str, quantity: str, evidence: Evidence, recipe: Recipe, rng: random.Random) -> tuple[str, ...]:
    """The true order and three of the five others."""
    every = [_in_order(p) for p in permutations(quantity.split("|"))]
    return answer, *rng.sample([o for o in every if o != answer], 3)


def earliest(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
    """Which of four movements, all of which happen, starts first of its kind."""
    firsts = [m.events(d)[:1] for d in quantity.split("|")]
    if not all(firsts) or not all(m.defined(d, "whole") for d in quantity.split("|")):
        return None
    events = sorted((f[0] for f in firsts), key=lambda e: e.start_frame)
    if events[1].start_frame - events[0].start_frame < m.recipe.questions.onset_gap_s * m.hz:
        return None
    return {"is": WORDS[events[0].direction].does.capitalize(), "times": [m.brief(e) for e in events]}


def nth(names: tuple[str, ...], most: int = 3) -> tuple[str, ...]:
    """ "left#1", "left#2", ..."""
    return tuple(f"{name}#{k}" for name in names for k in range(1, most + 1))


NEXT = "It starts at {anchor[1]:.1f} s; the next to start, at {event[1]:.1f} s: {answer_low}."
BEFORE = "It starts at {anchor[1]:.1f} s; the one started just before, at {event[1]:.1f} s: {answer_low}."
FLOOR_TEXT = "counting only moves forward, backward, left and right"
BODY_TEXT = "counting only leaning, rising and lowering the body"
TIMES = "They start at: {times}."

TEMPLATES = (
    Template(
        "next_any",
        "After {person} starts to {do} {nth}, which of these do they start next?",
        NEXT,
        nth(MIXED),
        WHOLE,
        neighbour(MIXED, 1),
        stated,
        two_pairs(MIXED),
    ),
    Template(
        "before_any",
        "Which of these did {person} start last before they started to {do} {nth}?",
        BEFORE,
        nth(MIXED),
        WHOLE,
        neighbour(MIXED, -1),
        stated,
        two_pairs(MIXED),
    ),
    Template(
        "next_floor",
        f"After {{person}} starts to {{do}} {{nth}}, in which way do they start to move next, {FLOOR_TEXT}?",
        NEXT,
        nth(FLOOR),
        WHOLE,
        neighbour(FLOOR, 1),
        stated,
        two_pairs(FLOOR),
    ),
    Template(
        "before_floor",
        f"In which way did {{person}} start to move just before they started to {{do}} {{nth}}, {FLOOR_TEXT}?",
        BEFORE,
        nth(FLOOR),
        WHOLE,
        neighbour(FLOOR, -1),
        stated,
        two_pairs(FLOOR),
    ),
    Template(
        "next_body",
        f"After {{person}} starts to {{do}} {{nth}}, which of these do they start next, {BODY_TEXT}?",
        NEXT,
        nth(BODY),
        WHOLE,
        neighbour(BODY, 1),
        stated,
        two_pairs(BODY),
    ),
    Template(
        "first_of_all",
        "Which of these does {person} start first in the video?",
        "The first to start, at {event[1]:.1f} s: {answer_low}.",
        ("any",),
        WHOLE,
        extreme(MIXED, 0),
        stated,
        two_pairs(MIXED),
    ),
    Template(
        "last_of_all",
        "Which of these does {person} start last in the video?",
        "The last to start, at {event[1]:.1f} s: {answer_low}.",
        ("any",),
        WHOLE,
        extreme(MIXED, -1),
        stated,
        two_pairs(MIXED),
    ),
    Template(
        "nth_floor",
        "Listing the moves of {person} forward, backward, left and right in the order in which they start, "
        "repeats included, which is the {place}?",
        TIMES,
        ("any#2", "any#3", "any#4"),
        WHOLE,
        nth_start,
        stated,
        two_pairs(FLOOR),
    ),
    Template(
        "order_of_three",
        "In which order does {person} first start to do these: {a.do}, {b.do}, {c.do}?",
        TIMES,
        tuple("|".join(t) for t in combinations(THINGS, 3)),
        WHOLE,
        order,
        stated,
        orders,
    ),
    Template(
        "earliest_floor",
        "Which of these does {person} start to do first: move forward, backward, left or right?",
        TIMES,
        ("|".join(FLOOR),),
        WHOLE,
        earliest,
        stated,
        fixed(*FLOOR_OPTIONS),
    ),
)

decide = partial(families.decide, CATEGORY, TEMPLATES)
ask = partial(families.ask, CATEGORY, TEMPLATES)
answer = partial(families.answer, TEMPLATES)
recompute = partial(families.recompute, TEMPLATES)
explain = partial(families.explain, TEMPLATES)
