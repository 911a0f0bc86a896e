"""Comparative: which of two is larger, or are they about the same.  Three options."""

from __future__ import annotations

from functools import partial
from typing import Any

from builder import families
from builder.choices import EQUALLY, QUARTER_OPTIONS, SAME, fixed, larger, more_often, side, sides
from builder.families import PARTS, Template
from builder.quantities import QUARTERS, WHOLE, Measures

CATEGORY = "comparative"
MOVES = ("left|right", "forward|backward")
TURNING = ("turn_left|turn_right",)
LEANING = ("lean_forward|lean_backward", "lean_left|lean_right")
SLOW_ENOUGH_S = 0.8
TURN_SIDES = ("To the left", "To the right")
QUARTER_PAIRS = tuple(f"{a}|{b}" for i, a in enumerate(QUARTERS) for b in QUARTERS[i + 1 :])
QUARTER_WORDS = {f"q{k + 1}": text for k, text in enumerate(QUARTER_OPTIONS)}


def each(value: str) -> families.Measure:
    """`value` ("count", "total", "largest") of both directions of a pair, where the events account for the motion."""

    def measure(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
        a, b = quantity.split("|")
        leaning = a.startswith("lean")
        if not (m.defined(a, window) if leaning or value == "count" else m.accounted(a, window)):
            return None
        if value == "count" and not all(m.count(d, window) or m.absent(d, window) for d in (a, b)):
            return None
        if leaning and value == "largest":
            return {"first": m.excursion(a, window), "second": m.excursion(b, window)}
        return {"first": getattr(m, value)(a, window), "second": getattr(m, value)(b, window)}

    return measure


def speeds(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
    """Mean speed of the largest event of each direction (m/s or deg/s)."""
    best = [max(m.seen(d, window), key=lambda pair: pair[1], default=None) for d in quantity.split("|")]
    if best[0] is None or best[1] is None or not m.defined(quantity.split("|")[0], window):
        return None
    if quantity in TURNING and min(e.end_frame - e.start_frame for e, _ in filter(None, best)) < SLOW_ENOUGH_S * m.hz:
        return None  # smoothing spreads a quick turn, which hides how fast it was
    return {"first": round(best[0][0].speed, 3), "second": round(best[1][0].speed, 3)}


def between(value: str, direction: str | None = None) -> families.Measure:
    """`value` of two windows, named by the quantity ("q1|q3")."""

    def measure(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
        a, b = quantity.split("|")
        if direction is not None and not (m.accounted(direction, a) and m.accounted(direction, b)):
            return None
        return {"first": getattr(m, value)(a), "second": getattr(m, value)(b)}

    return measure


def turn_side(quantity: str, k: int) -> str:
    """ "To the left" or "To the right"."""
    return TURN_SIDES[k]


def part(quantity: str, k: int) -> str:
    """The k-th window of a pair as an option text."""
    name = quantity.split("|")[k]
    return QUARTER_WORDS.get(name, {"h1": "The first half", "h2": "The second half"}.get(name, name))


def parts(answer: str, quantity: str, evidence: Any, recipe: Any, rng: Any) -> tuple[str, ...]:
    """Both windows and the tie."""
    return part(quantity, 0), part(quantity, 1), SAME


TEMPLATES = (
    Template(
        "more_often_moves",
        "Which does {person} do more often {window}: {a.do} or {b.do}?",
        "The person {a.does} {first} and {b.does} {second} time(s) {window}.",
        MOVES,
        PARTS,
        each("count"),
        more_often(side),
        sides(EQUALLY),
    ),
    Template(
        "more_often_turns",
        "Which does {person} do more often {window}: {a.do} or {b.do}?",
        "The person {a.does} {first} and {b.does} {second} time(s) {window}.",
        TURNING,
        PARTS,
        each("count"),
        more_often(side),
        sides(EQUALLY),
    ),
    Template(
        "more_often_leans",
        "Which does {person} do more often {window}: {a.do} or {b.do}?",
        "The person {a.does} {first} and {b.does} {second} time(s) {window}.",
        LEANING,
        PARTS,
        each("count"),
        more_often(side),
        sides(EQUALLY),
    ),
    Template(
        "further_in_total",
        "In which direction does {person} cover more ground in total {window}: {a.doing} or {b.doing}?",
        "It is {first:.1f} against {second:.1f} metres.",
        MOVES,
        PARTS,
        each("total"),
        larger(0.4, side),
        sides(SAME),
    ),
    Template(
        "turns_more_in_total",
        "To which side does {person} turn more in total {window}?",
        "It is {first:.0f} degrees to the left against {second:.0f} to the right.",
        TURNING,
        PARTS,
        each("total"),
        larger(40.0, turn_side),
        fixed(*TURN_SIDES, SAME),
    ),
    Template(
        "longer_single_move",
        "Which single stretch of movement by {person} is longer {window}: the longest one {a.doing} or the longest one {b.doing}?",
        "It is {first:.1f} against {second:.1f} metres.",
        MOVES,
        PARTS,
        each("largest"),
        larger(0.4, side),
        sides(SAME),
    ),
    Template(
        "bigger_single_turn",
        "To which side is the largest single turn of {person} {window}?",
        "It is {first:.0f} degrees to the left against {second:.0f} to the right.",
        TURNING,
        PARTS,
        each("largest"),
        larger(40.0, turn_side),
        fixed(*TURN_SIDES, SAME),
    ),
    Template(
        "deeper_lean",
        "Which lean of {person} goes further {window}: {a.doing} or {b.doing}?",
        "It is {first:.0f} against {second:.0f} degrees from upright.",
        LEANING,
        PARTS,
        each("largest"),
        larger(25.0, side),
        sides(SAME),
    ),
    Template(
        "faster_move",
        "Which is faster {window}: the longest stretch of {person} {a.doing} or the longest one {b.doing}?",
        "It is {first:.1f} against {second:.1f} metres per second.",
        MOVES,
        PARTS,
        speeds,
        larger(0.3, side),
        sides(SAME),
    ),
    Template(
        "faster_turn",
        "Which is faster {window}: the largest turn of {person} to the left or the largest one to the right?",
        "It is {first:.0f} against {second:.0f} degrees per second.",
        TURNING,
        PARTS,
        speeds,
        larger(25.0, side),
        sides(SAME),
    ),
    Template(
        "quarter_path",
        "In which of these two parts of the video does {person} cover more ground over the floor: {part_a} or {part_b}?",
        "It is {first:.1f} against {second:.1f} metres.",
        (*QUARTER_PAIRS, "h1|h2"),
        WHOLE,
        between("path"),
        larger(0.6, part),
        parts,
    ),
    Template(
        "quarter_turning",
        "In which of these two parts of the video does {person} turn more, to either side: {part_a} or {part_b}?",
        "It is {first:.0f} against {second:.0f} degrees.",
        (*QUARTER_PAIRS, "h1|h2"),
        WHOLE,
        between("turning", "turn_left"),
        larger(50.0, part),
        parts,
    ),
    Template(
        "quarter_still",
        "In which of these two parts of the video does {person} stay on the spot for longer, "
        "without turning, rising or crouching: {part_a} or {part_b}?",
        "It is {first:.1f} against {second:.1f} seconds.",
        (*QUARTER_PAIRS, "h1|h2"),
        WHOLE,
        between("still_s"),
        larger(1.0, part),
        parts,
    ),
)

decide = partial(families.decide, CATEGORY, TEMPLATES)
ask = partial(families.ask, CATEGORY, TEMPLATES)
answer = partial(families.answer, TEMPLATES)
recompute = partial(families.recompute, TEMPLATES)
explain = partial(families.explain, TEMPLATES)
