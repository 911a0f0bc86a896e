"""Numerical: how many, how far, how much.  Four options: neighbouring counts, distances or turns."""

from __future__ import annotations

from functools import partial
from typing import Any

from builder import families
from builder.choices import as_count, as_degrees, as_metres, count_options, degree_options, metre_options
from builder.families import ENDS, PARTS, Template
from builder.quantities import FLOOR, LEANS, TURNS, WHOLE, Measures

CATEGORY = "numerical"


def sized(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
    """Events that reach the second size of their channel, among those that happened."""
    if not m.defined(quantity, window) or not m.seen(quantity, window):
        return None
    amounts = [round(inside, 2) for _, inside in m.seen(quantity, window)]
    least = m.channel(quantity).sizes[0]
    return {"count": sum(a >= least for a in amounts), "amounts": amounts, "least": least}


def covered(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
    """Metres covered in one direction, where the events account for the whole motion."""
    if not m.accounted(quantity, window):
        return None
    return {"metres": m.total(quantity, window), "events": [m.brief(e) for e, _ in m.seen(quantity, window)]}


def turned(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
    """Degrees turned to one side, or to both ("turn_left|turn_right")."""
    if not m.accounted("turn_left", window):
        return None
    return {"degrees": round(sum(m.total(side, window) for side in quantity.split("|")), 2)}


def one(value: str) -> families.Measure:
    """The largest single event of a direction, as metres or degrees."""

    def measure(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
        amount = m.largest(quantity, window)
        return {value: amount} if amount and m.defined(quantity, window) else None

    return measure


def net_turn(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
    """How far round the person ends from how they started."""
    facing = m.facing(window)
    return None if facing is None or not m.defined("turn_left", "whole") else {"degrees": abs(facing)}


TEMPLATES = (
    Template(
        "count_moves",
        "How many separate times does {person} {do} {at_least} {window}?",
        "Counted {count}: {events}.",
        (*FLOOR, "up", "down"),
        PARTS,
        Measures.counted,
        as_count,
        count_options,
    ),
    Template(
        "count_turns",
        "How many separate times does {person} {do} {at_least} {window}?",
        "Counted {count}: {events}.",
        TURNS,
        PARTS,
        Measures.counted,
        as_count,
        count_options,
    ),
    Template(
        "count_leans",
        "How many separate times does {person} {do} {at_least} {window}?",
        "Counted {count}: {events}.",
        LEANS,
        PARTS,
        Measures.counted,
        as_count,
        count_options,
    ),
    Template(
        "count_actions",
        "How many times does {person} {do} {window}?",
        "Counted {count}: {events}.",
        ("jump", "crouch", "stand_up", "turn_around", "walk", "still"),
        (*WHOLE, "h1", "h2"),
        Measures.counted,
        as_count,
        count_options,
    ),
    Template(
        "count_long_moves",
        "How many times does {person} {do} by at least {least:g} metres without stopping {window}?",
        "The moves measure {amounts} metres, so {count} reach {least:g}.",
        FLOOR,
        PARTS,
        sized,
        as_count,
        count_options,
    ),
    Template(
        "count_big_turns",
        "How many times does {person} {do} by at least {least:g} degrees in one go {window}?",
        "The turns measure {amounts} degrees, so {count} reach {least:g}.",
        TURNS,
        PARTS,
        sized,
        as_count,
        count_options,
    ),
    Template(
        "metres_in_direction",
        "About how far does {person} {do} in total {window}, adding up every such movement?",
        "All such movements add up to {metres:.1f} metres.",
        FLOOR,
        PARTS,
        covered,
        as_metres,
        metre_options,
    ),
    Template(
        "metres_longest_move",
        "About how long is the longest single stretch in which {person} {does} {window}?",
        "The longest such stretch measures {metres:.1f} metres.",
        FLOOR,
        PARTS,
        one("metres"),
        as_metres,
        metre_options,
    ),
    Template(
        "metres_path",
        "About how many metres does {person} cover over the floor in total {window}?",
        "The path over the floor measures {metres:.1f} metres.",
        ("path",),
        PARTS,
        lambda m, q, w: {"metres": m.path(w)} if m.crept(w) <= max(0.05, 0.1 * m.path(w)) else None,
        as_metres,
        metre_options,
    ),
    Template(
        "metres_from_start",
        "About how far from the starting point is {person} {at_end}?",
        "{at_end} the person is {metres:.1f} metres from the starting point.",
        ("distance",),
        ENDS,
        lambda m, q, w: {"metres": round(float(sum(c * c for c in m.place(w)) ** 0.5), 3)},
        as_metres,
        metre_options,
    ),
    Template(
        "metres_furthest",
        "What is about the greatest distance from the starting point that {person} reaches {window}?",
        "The greatest distance from the start is {metres:.1f} metres.",
        ("furthest",),
        PARTS,
        lambda m, q, w: {"metres": m.furthest(w)},
        as_metres,
        metre_options,
    ),
    Template(
        "degrees_to_side",
        "By about how much does {person} {do} in total {window}, adding up every such turn?",
        "Such turns add up to {degrees:.0f} degrees.",
        TURNS,
        PARTS,
        turned,
        as_degrees,
        degree_options,
    ),
    Template(
        "degrees_both",
        "About how much does {person} turn in total {window}, adding up turns to both sides?",
        "Turns to both sides add up to {degrees:.0f} degrees.",
        ("turn_left|turn_right",),
        PARTS,
        turned,
        as_degrees,
        degree_options,
    ),
    Template(
        "degrees_biggest_turn",
        "By about how much does {person} {do} in the largest single turn to that side {window}?",
        "The largest single turn to that side measures {degrees:.0f} degrees.",
        TURNS,
        PARTS,
        one("degrees"),
        as_degrees,
        degree_options,
    ),
    Template(
        "degrees_net",
        "Adding left turns and subtracting right turns, by about how much has {person} turned away from the first facing {at_end}?",
        "Left turns minus right turns leave {degrees:.0f} degrees.",
        ("net",),
        ENDS,
        net_turn,
        as_degrees,
        degree_options,
    ),
)

decide = partial(families.decide, CATEGORY, TEMPLATES)
ask = partial(families.ask, CATEGORY, TEMPLATES)
answer = partial(families.answer, TEMPLATES)
recompute = partial(families.recompute, TEMPLATES)
explain = partial(families.explain, TEMPLATES)
