"""Existence: did it happen.  Two options, asked both ways round."""

from __future__ import annotations

from functools import partial
from typing import Any

from builder import choices, families
from builder.choices import Evidence, fixed
from builder.families import PARTS, Template
from builder.quantities import CONCEPTS, FLOOR, LEANS, RADIAL, TURNS, WHOLE, Measures
from builder.recipe import Recipe

CATEGORY = "existence"
YES_NO = ("Yes", "No")
TRUE_FALSE = ("True", "False")
MOVEMENTS = (*FLOOR, "up", "down", *RADIAL)


def both(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
    """Whether both of two movements happen."""
    each = [m.counted(name, window) for name in quantity.split("|")]
    if any(e is None for e in each):
        return None
    first, second = (e["count"] for e in each if e)
    return {"first": first, "second": second, "count": min(first, second)}


def returning(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
    """Whether the person, having been a metre or more away, comes back to within half a metre."""
    radial = m.motion.signals["radial"]
    out = radial >= 1.0
    if not out.any():
        return None
    back = round(float(radial[int(out.argmax()) :].min()), 3)
    if 0.4 < back < 0.75:
        return None
    return {"nearest": back, "count": int(back <= 0.4)}


def beyond(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
    """Whether the person is ever further than a stated distance (metres, in the quantity) from the start."""
    far, limit = m.furthest(window), float(quantity.split()[0])
    return {"furthest": far, "count": int(far > limit)} if abs(far - limit) >= 0.15 * limit else None


def faced(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
    """Whether the person ever faces the opposite way (within 30 degrees), and never comes near it otherwise."""
    if not m.defined("turn_left", window):
        return None
    a, b = m.bounds(window)
    off = abs((m.motion.heading_deg[a : b + 1] + 180.0) % 360.0 - 180.0)
    most = round(float(off.max()), 1)
    return {"most": most, "count": int(most >= 150)} if most >= 160 or most <= 120 else None


def says(yes: str, no: str) -> choices.Decide:
    """`yes` when evidence["count"] is above zero, else `no`."""

    def decide(evidence: Evidence, quantity: str, recipe: Recipe) -> str | None:
        return yes if evidence["count"] else no

    return decide


def two(
    name: str, text: str, because: str, quantities: tuple[str, ...], windows: tuple[str, ...], measure: families.Measure
) -> tuple[Template, ...]:
    """A question asked straight and as a denial."""
    asked, denied = text.split("//")
    return (
        Template(name, asked, because, quantities, windows, measure, says(*YES_NO), fixed(*YES_NO)),
        Template(f"{name}_never", denied, because, quantities, windows, measure, says(*TRUE_FALSE[::-1]), fixed(*TRUE_FALSE)),
    )


SEEN = "It is seen {events}."

TEMPLATES = (
    *two(
        "moves",
        "Does {person} {do} {at_least} at any point {window}?//True or false: {person} does not {do} {at_least} at any point {window}.",
        SEEN,
        MOVEMENTS,
        PARTS,
        Measures.counted,
    ),
    *two(
        "turns",
        "Does {person} {do} {at_least} at any point {window}?//True or false: {person} does not {do} {at_least} {window}.",
        SEEN,
        TURNS,
        PARTS,
        Measures.counted,
    ),
    *two(
        "leans",
        "Does {person} {do} {at_least} at any point {window}?//True or false: {person} does not {do} {at_least} at any point {window}.",
        SEEN,
        LEANS,
        PARTS,
        Measures.counted,
    ),
    *two(
        "acts",
        "Does {person} {do} {at_least} at any point {window}?//True or false: {person} does not {do} {at_least} at any point {window}.",
        SEEN,
        CONCEPTS,
        (*WHOLE, "h1", "h2"),
        Measures.counted,
    ),
    *two(
        "both",
        "Does {person} do both of these {window}: {a.do} and {b.do}?"
        "//True or false: {person} does not do both of these {window}: {a.do} and {b.do}.",
        "Counted there: {a.doing} {first}, {b.doing} {second}.",
        ("left|right", "forward|backward", "turn_left|turn_right", "lean_forward|lean_backward", "lean_left|lean_right"),
        PARTS,
        both,
    ),
    *two(
        "returns",
        "Having been at least a metre away from it, does {person} come back to within half a metre of the starting point?"
        "//True or false: once a metre away from it, {person} does not come back to within half a metre of the starting point.",
        "After that, the person comes no nearer to the starting point than {nearest:.1f} m.",
        ("return",),
        WHOLE,
        returning,
    ),
    *two(
        "beyond",
        "Is {person} more than {quantity} away from the starting point at any moment {window}?"
        "//True or false: {person} stays within {quantity} of the starting point {throughout}.",
        "The greatest distance is {furthest:.1f} m.",
        ("1 metre", "2 metres", "3 metres"),
        PARTS,
        beyond,
    ),
    *two(
        "faces_back",
        "Does {person} at any moment {window} face the opposite way from the start of the video?"
        "//True or false: {person} does not face the opposite way from the start of the video at any moment {window}.",
        "The facing differs from the first by at most {most:.0f} degrees.",
        ("opposite",),
        PARTS,
        faced,
    ),
)

decide = partial(families.decide, CATEGORY, TEMPLATES)
ask = partial(families.ask, CATEGORY, TEMPLATES)
answer = partial(families.answer, TEMPLATES)
recompute = partial(families.recompute, TEMPLATES)
explain = partial(families.explain, TEMPLATES)
