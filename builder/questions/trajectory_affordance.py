"""Trajectory affordance: properties of the whole path and what it leads to.  Four options."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from builder import choices, families
from builder.choices import Evidence, biggest_quarter, fixed, quarters, sector, smallest_quarter
from builder.families import ENDS, Template, by_quarter
from builder.quantities import FACINGS, QUARTERS, WHOLE, Measures
from builder.recipe import Recipe

CATEGORY = "trajectory_affordance"
PLACES = ("In front of it", "To its left", "Behind it", "To its right")
CORNERS = ("In front and to the left", "Behind and to the left", "Behind and to the right", "In front and to the right")
WAYS_BACK = ("Go straight ahead", "Turn left", "Turn around", "Turn right")
STAYS, LEAVES, RETURNS, REPEATS = (
    "Stays near the starting point",
    "Leaves the starting point and does not come back",
    "Leaves once and comes back to the starting point",
    "Goes away and comes back several times",
)
LEFT_LOOP, RIGHT_LOOP, SAME_LINE, NO_RETURN = (
    "A loop walked round to the left (counter-clockwise from above)",
    "A loop walked round to the right (clockwise from above)",
    "Out and back along nearly the same line",
    "A path that does not come back to its start",
)
NEAR_M, FAR_M = 0.5, 0.8


def reach(sign: int, column: int) -> families.Measure:
    """Furthest position along one axis in each quarter, metres from the start."""

    def measure(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
        path = sign * (m.motion.path_m[:, column] - m.motion.path_m[0, column])
        return {"quarters": [round(max(0.0, float(path[a : b + 1].max())), 3) for a, b in map(m.bounds, QUARTERS)]}

    return measure


def whereabouts(turn: float = 0.0) -> families.Measure:
    """Direction from the start to the person at the end of a window (degrees to the left of the first facing), less `turn`."""

    def measure(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
        left, forward = m.place(window)
        if math.hypot(left, forward) < FAR_M:
            return None
        angle = (math.degrees(math.atan2(left, forward)) - turn + 180.0) % 360.0 - 180.0
        return {"angle": round(angle, 2), "left": left, "forward": forward}

    return measure


def facing(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
    """Facing at the end of a window relative to the start, degrees to the left, -180 to 180."""
    heading = m.facing(window)
    return None if heading is None else {"angle": round((heading + 180.0) % 360.0 - 180.0, 2)}


def way_back(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
    """Direction of the starting point as the person faces at the end of a window, degrees to the left."""
    heading = m.facing(window)
    left, forward = m.place(window)
    if heading is None or math.hypot(left, forward) < FAR_M:
        return None
    back = math.degrees(math.atan2(-left, -forward))
    return {"angle": round((back - heading + 180.0) % 360.0 - 180.0, 2), "facing": heading, "left": left, "forward": forward}


def shape_values(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
    """Distances from the start at the end and at most, how often it grew and shrank, and the area walked around."""
    return {
        "end": round(math.hypot(*m.place("whole")), 3),
        "most": m.furthest("whole"),
        "away": m.count("away", "whole"),
        "back": m.count("towards", "whole"),
        "area": m.area(),
        "path": m.path("whole"),
    }


def shape(evidence: Evidence, quantity: str, recipe: Recipe) -> str | None:
    """How the distance from the start develops."""
    end, most, away, back = (evidence[k] for k in ("end", "most", "away", "back"))
    if most < NEAR_M:
        return STAYS
    if most < FAR_M:
        return None
    if away == 1 and back == 0 and end > 0.8 * most:
        return LEAVES
    if away == 1 and back == 1 and end < min(0.25 * most, NEAR_M):
        return RETURNS
    if away >= 2 and back >= 2 and end < 0.6 * most:
        return REPEATS
    return None


def outline(evidence: Evidence, quantity: str, recipe: Recipe) -> str | None:
    """Loop, line or open path, from the area that the path goes round compared with its length."""
    end, most, path = evidence["end"], evidence["most"], evidence["path"]
    if most < FAR_M:
        return None
    if end > 0.6 * most:
        return NO_RETURN
    if end > 0.3 * most:
        return None
    roundness = 4 * math.pi * evidence["area"] / max(path, 1e-6) ** 2  # 1 for a circle, 0 for a line
    if abs(roundness) >= 0.35:
        return LEFT_LOOP if roundness > 0 else RIGHT_LOOP
    return SAME_LINE if abs(roundness) < 0.1 and evidence["away"] == 1 and evidence["back"] == 1 else None


def extents(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
    """How far the path reaches to each side of the start within a window, metres."""
    a, b = m.bounds(window)
    x, z = (m.motion.path_m[a : b + 1] - m.motion.path_m[0]).T
    reached = (z.max(), x.max(), -z.min(), -x.min())
    return {"values": {name: round(max(0.0, float(v)), 3) for name, v in zip(PLACES, reached, strict=True)}}


def furthest_event(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
    """Direction from the start of the furthest point of the path, degrees to the left."""
    at = int(m.motion.signals["radial"].argmax())
    left, forward = (float(v) for v in m.motion.path_m[at] - m.motion.path_m[0])
    if math.hypot(left, forward) < FAR_M:
        return None
    return {"angle": round(math.degrees(math.atan2(left, forward)), 2), "left": round(left, 3), "forward": round(forward, 3)}


BY_QUARTER = "Metres by quarter: {quarters}."
PLACE = "That is {where} the starting point, as the person stood at the start."

TEMPLATES = (
    Template(
        "furthest_quarter",
        "In which quarter of the video is {person} furthest from the starting point?",
        BY_QUARTER,
        ("distance",),
        WHOLE,
        by_quarter("furthest"),
        biggest_quarter(FAR_M, 0.9),
        quarters,
    ),
    Template(
        "most_path_quarter",
        "In which quarter of the video does {person} cover the most ground over the floor?",
        BY_QUARTER,
        ("path",),
        WHOLE,
        by_quarter("path"),
        biggest_quarter(0.6),
        quarters,
    ),
    Template(
        "least_path_quarter",
        "In which quarter of the video is the path of {person} over the floor shortest?",
        BY_QUARTER,
        ("path",),
        WHOLE,
        by_quarter("path"),
        smallest_quarter(0.4),
        quarters,
    ),
    Template(
        "most_turning_quarter",
        "In which quarter of the video does {person} turn the most, counting both sides?",
        "Degrees by quarter: {quarters}.",
        ("turning",),
        WHOLE,
        by_quarter("turning", "turn_left"),
        biggest_quarter(40.0),
        quarters,
    ),
    *(
        Template(
            f"reach_{name}_quarter",
            f"In which quarter of the video does {{person}} get furthest {words} the starting point?",
            BY_QUARTER,
            (name,),
            WHOLE,
            reach(sign, column),
            biggest_quarter(FAR_M, 0.9),
            quarters,
        )
        for name, words, sign, column in (
            ("forward", "in front of", 1, 1),
            ("backward", "behind", -1, 1),
            ("left", "to the left of", 1, 0),
            ("right", "to the right of", -1, 0),
        )
    ),
    Template(
        "place_at_end",
        "Seen as the person stood at the start, where is {person} relative to the starting point {at_end}?",
        PLACE,
        ("place",),
        ENDS,
        whereabouts(),
        sector(PLACES),
        fixed(*PLACES),
    ),
    Template(
        "corner_at_end",
        "Seen as the person stood at the start, on which diagonal side of the starting point is {person} {at_end}?",
        PLACE,
        ("corner",),
        ENDS,
        whereabouts(45.0),
        sector(CORNERS),
        fixed(*CORNERS),
    ),
    Template(
        "facing_at_end",
        "Which way does {person} face {at_end}, compared with the start of the video?",
        "The person then faces {turned} of the first facing.",
        ("facing",),
        ENDS,
        facing,
        sector(FACINGS),
        fixed(*FACINGS),
    ),
    Template(
        "way_back",
        "To walk straight back to the starting point {at_end}, what must {person} do first?",
        "The starting point lies {turned} of where the person then faces.",
        ("back",),
        ENDS,
        way_back,
        sector(WAYS_BACK),
        fixed(*WAYS_BACK),
    ),
    Template(
        "shape",
        "Which describes how {person} moves relative to the starting point over the whole video?",
        "The distance from the start grows {away} time(s) and shrinks {back} time(s), reaches {most:.1f} m and ends at {end:.1f} m.",
        ("shape",),
        WHOLE,
        shape_values,
        shape,
        fixed(STAYS, LEAVES, RETURNS, REPEATS),
    ),
    Template(
        "outline",
        "Seen from above, which describes the path of {person} over the whole video?",
        "The path is {path:.1f} m long, ends {end:.1f} m from its start and goes round {area:.1f} square metres (positive: to the left).",
        ("outline",),
        WHOLE,
        shape_values,
        outline,
        fixed(LEFT_LOOP, RIGHT_LOOP, SAME_LINE, NO_RETURN),
    ),
    Template(
        "furthest_side",
        "Seen as the person stood at the start, on which side of the starting point does {person} get furthest from it?",
        PLACE,
        ("furthest",),
        WHOLE,
        furthest_event,
        sector(PLACES),
        fixed(*PLACES),
    ),
    Template(
        "widest_side",
        "To which side of the starting point does the path of {person} reach the furthest {window}?",
        "Reach to each side, in metres: {values}.",
        ("extent",),
        (*WHOLE, "h1", "h2"),
        extents,
        choices.dominant(FAR_M),
        fixed(*PLACES),
    ),
)

decide = partial(families.decide, CATEGORY, TEMPLATES)
ask = partial(families.ask, CATEGORY, TEMPLATES)
answer = partial(families.answer, TEMPLATES)
recompute = partial(families.recompute, TEMPLATES)
explain = partial(families.explain, TEMPLATES)
