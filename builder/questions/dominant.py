"""Dominant: which direction, turn, lean or activity prevails.  Three or four options."""

from __future__ import annotations

from functools import partial
from typing import Any

from builder import choices, families
from builder.choices import Evidence, dominant, fixed
from builder.families import PARTS, Template
from builder.motion import DIRECTIONS
from builder.quantities import FACINGS, FLOOR, LEANS, WHOLE, Measures
from builder.recipe import Recipe

CATEGORY = "dominant"
FLOOR_NAMES = {"forward": "Forward", "backward": "Backward", "left": "To the left", "right": "To the right"}
LEAN_NAMES = {"lean_forward": "Forward", "lean_backward": "Backward", "lean_left": "To the left", "lean_right": "To the right"}
BALANCED = "Neither prevails"
NET = {
    "displacement_x": ("To the left", "To the right"),
    "displacement_z": ("Forward", "Backward"),
}
ACTIVITIES = ("Moving over the floor", "Turning on the spot", "Staying on the spot without turning")


def by_direction(value: str) -> families.Measure:
    """`value` of the four floor directions."""

    def measure(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
        if not (m.accounted("left", window) and m.accounted("forward", window)):
            return None
        return {"values": {FLOOR_NAMES[d]: getattr(m, value)(d, window) for d in FLOOR}}

    return measure


def fastest(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
    """Mean speed of the fastest event of each floor direction, m/s."""
    return {"values": {FLOOR_NAMES[d]: round(max((e.speed for e, _ in m.seen(d, window)), default=0.0), 3) for d in FLOOR}}


def leaning(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
    """Furthest tilt from upright to each side, degrees."""
    if not m.defined("lean_left", window):
        return None
    return {"values": {LEAN_NAMES[d]: m.excursion(d, window) for d in LEANS}}


def two_sided(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
    """Totals of the two directions of an axis (m or deg) and the least that counts."""
    a, b = quantity.split("|")
    if not m.accounted(a, window):
        return None
    return {"first": m.total(a, window), "second": m.total(b, window), "least": m.minimum(a)}


def prevails(names: dict[str, tuple[str, str]]) -> choices.Decide:
    """The side with most of the total, or BALANCED when both have nearly the same share."""

    def decide(evidence: Evidence, quantity: str, recipe: Recipe) -> str | None:
        first, second = evidence["first"], evidence["second"]
        high, low = max(first, second), min(first, second)
        if high < evidence["least"]:
            return None
        if low >= (1 - recipe.questions.equal_band) * high:
            return BALANCED
        return names[quantity][0 if first > second else 1] if high >= 1.6 * low + 0.3 * evidence["least"] else None

    return decide


def net_side(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
    """Net change of an axis within a window, metres."""
    return {"net": m.net(quantity, window)}


def displaced(evidence: Evidence, quantity: str, recipe: Recipe) -> str | None:
    """To which side an axis changed; "neither" below a third of an event."""
    net, least = evidence["net"], recipe.channels[quantity].minimum
    if abs(net) < 0.5 * least:
        return "Neither (hardly any change)"
    return NET[quantity][0 if net > 0 else 1] if abs(net) >= 1.5 * least else None


def net_options(answer: str, quantity: str, evidence: Evidence, recipe: Recipe, rng: Any) -> tuple[str, ...]:
    """Both sides of the axis, and neither."""
    return *NET[quantity], "Neither (hardly any change)"


def axis(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
    """Metres covered along each axis of the floor."""
    if not (m.accounted("left", window) and m.accounted("forward", window)):
        return None
    sums = [sum(m.total(DIRECTIONS[code, s], window) for s in (1, -1)) for code in ("displacement_z", "displacement_x")]
    return {"first": round(sums[0], 3), "second": round(sums[1], 3), "least": 0.5}


def activity(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
    """Seconds spent on each of ACTIVITIES."""
    if not m.defined("turn_left", window):
        return None
    return {"values": dict(zip(ACTIVITIES, m.activities(window), strict=True))}


SIDES = {
    "left|right": ("Moving left", "Moving right"),
    "forward|backward": ("Moving forward", "Moving backward"),
    "turn_left|turn_right": ("Left turns", "Right turns"),
}
FORWARD_AXIS = {"axes": ("Along the forward-backward line", "Along the left-right line")}

TEMPLATES = (
    Template(
        "most_ground",
        "In which direction does {person} cover the most ground in total {window}?",
        "Metres covered by direction: {values}.",
        ("direction",),
        PARTS,
        by_direction("total"),
        dominant(0.4),
        fixed(*FLOOR_NAMES.values()),
    ),
    Template(
        "longest_stretch",
        "In which direction is the longest single stretch that {person} moves {window}?",
        "Longest stretch by direction, in metres: {values}.",
        ("direction",),
        PARTS,
        by_direction("largest"),
        dominant(0.4),
        fixed(*FLOOR_NAMES.values()),
    ),
    Template(
        "most_often",
        "In which direction does {person} move the most times {window}?",
        "Separate moves by direction: {values}.",
        ("direction",),
        (*WHOLE, "h1", "h2"),
        by_direction("count"),
        dominant(1.0),
        fixed(*FLOOR_NAMES.values()),
    ),
    Template(
        "fastest_direction",
        "In which direction does {person} move fastest {window}?",
        "Speed by direction, in metres per second: {values}.",
        ("direction",),
        PARTS,
        fastest,
        dominant(0.4),
        fixed(*FLOOR_NAMES.values()),
    ),
    Template(
        "deepest_lean",
        "In which direction does {person} lean the furthest from upright {window}?",
        "Furthest lean by direction, in degrees: {values}.",
        ("lean",),
        PARTS,
        leaning,
        dominant(25.0),
        fixed(*LEAN_NAMES.values()),
    ),
    Template(
        "side_of_axis",
        "Which prevails in the movement of {person} {window}: {a.doing} or {b.doing}?",
        "It is {first:.1f} against {second:.1f} metres.",
        ("left|right", "forward|backward"),
        PARTS,
        two_sided,
        prevails(SIDES),
        lambda answer, quantity, *_: (*SIDES[quantity], BALANCED),
    ),
    Template(
        "side_of_turning",
        "Which turns of {person} prevail {window}?",
        "It is {first:.0f} degrees to the left against {second:.0f} to the right.",
        ("turn_left|turn_right",),
        PARTS,
        two_sided,
        prevails(SIDES),
        fixed(*SIDES["turn_left|turn_right"], BALANCED),
    ),
    Template(
        "net_side",
        "Comparing where {person} is at the start and at the end of {inside}, to which side have they shifted along the {axis} line?",
        "The net change along that line is {net:.1f} metres.",
        tuple(NET),
        PARTS,
        net_side,
        displaced,
        net_options,
    ),
    Template(
        "main_axis",
        "Along which line does {person} move more {window}, counting both ways?",
        "It is {first:.1f} metres along the forward-backward line against {second:.1f} along the left-right line.",
        ("axes",),
        PARTS,
        axis,
        prevails(FORWARD_AXIS),
        fixed(*FORWARD_AXIS["axes"], BALANCED),
    ),
    Template(
        "main_activity",
        "What does {person} spend the most time doing {window}?",
        "Seconds by activity: {values}.",
        ("activity",),
        PARTS,
        activity,
        dominant(0.8),
        fixed(*ACTIVITIES),
    ),
    Template(
        "facing_most",
        "Which way does {person} face for the longest time {window}, compared with the start?",
        "Seconds by facing: {values}.",
        ("facing",),
        PARTS,
        lambda m, q, w: m.facings(w),
        dominant(1.0),
        fixed(*FACINGS),
    ),
)

decide = partial(families.decide, CATEGORY, TEMPLATES)
ask = partial(families.ask, CATEGORY, TEMPLATES)
answer = partial(families.answer, TEMPLATES)
recompute = partial(families.recompute, TEMPLATES)
explain = partial(families.explain, TEMPLATES)
