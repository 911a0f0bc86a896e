"""Temporal: when did it happen, and what happened then.  Four options."""

from __future__ import annotations

from functools import partial
from typing import Any

from builder import choices, families
from builder.choices import Evidence, as_quarter, biggest_quarter, quarters, stated, two_pairs
from builder.families import Template, by_quarter
from builder.quantities import CONCEPTS, FLOOR, LEANS, QUARTERS, RADIAL, TURNS, WHOLE, WORDS, Measures, quarter_of
from builder.recipe import Recipe

CATEGORY = "temporal"
MOVEMENTS = (*FLOOR, "up", "down", *TURNS, *LEANS, *RADIAL)
ACTIONS = tuple(c for c in CONCEPTS if c not in ("walk", "still"))
SIDES = ("left|right", "forward|backward", "turn_left|turn_right", "lean_forward|lean_backward", "lean_left|lean_right", "away|towards")
BOTH, NEITHER = "Both", "Neither"


def onset(which: int) -> families.Measure:
    """Quarter in which the first (0) or last (-1) event of a direction starts."""

    def measure(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
        events = m.events(quantity)
        if not events or not m.defined(quantity, window):
            return None
        event = events[which]
        return {"quarter": quarter_of(event.start_frame / m.hz, m.seconds), "event": m.brief(event), "of": len(events)}

    return measure


def biggest(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
    """Quarter in which the largest event of a direction starts; the runner-up must be clearly smaller."""
    events = sorted(m.events(quantity), key=lambda e: -abs(e.amount))
    if len(events) < 2 or not m.defined(quantity, window) or abs(events[1].amount) > 0.8 * abs(events[0].amount):
        return None
    return {"quarter": quarter_of(events[0].start_frame / m.hz, m.seconds), "event": m.brief(events[0]), "of": len(events)}


def which_side(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
    """Which directions of a pair occur in a window; each is either seen or clearly absent."""
    a, b = quantity.split("|")
    if not m.defined(a, window):
        return None
    seen = [m.count(d, window) > 0 for d in (a, b)]
    if any(not s and not m.absent(d, window) for s, d in zip(seen, (a, b), strict=True)):
        return None
    return {"first": m.largest(a, window), "second": m.largest(b, window)}


def side_options(answer: str, quantity: str, evidence: Evidence, recipe: Recipe, rng: Any) -> tuple[str, ...]:
    """Either side, both, neither."""
    return *(choices.side(quantity, k, "doing") for k in (0, 1)), BOTH, NEITHER


def occurring(evidence: Evidence, quantity: str, recipe: Recipe) -> str | None:
    """Either side, both or neither, from the largest event of each."""
    first, second = evidence["first"] > 0, evidence["second"] > 0
    if first and second:
        return BOTH
    return choices.side(quantity, 0 if first else 1, "doing") if first or second else NEITHER


def pace(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
    """Mean speed of the first event of a direction."""
    events = m.events(quantity)
    if not events or not m.defined(quantity, window):
        return None
    if quantity in TURNS and events[0].end_frame - events[0].start_frame < 0.8 * m.hz:
        return None  # smoothing spreads a quick turn, which hides how fast it was
    return {"speed": round(events[0].speed, 3), "event": m.brief(events[0])}


def pace_name(evidence: Evidence, quantity: str, recipe: Recipe) -> str | None:
    """The pace bin of evidence["speed"], with its bounds spelled out."""
    above = sum(bool(evidence["speed"] >= bound) for bound in _paces(quantity, recipe))
    return pace_options("", quantity, evidence, recipe, None)[above]


def _paces(quantity: str, recipe: Recipe) -> tuple[float, ...]:
    return recipe.channels["rotation_yaw" if quantity in TURNS else "displacement_z"].paces


def pace_options(answer: str, quantity: str, evidence: Evidence, recipe: Recipe, rng: Any) -> tuple[str, ...]:
    """The four paces of the recipe, in metres or degrees per second."""
    unit = "degrees" if quantity in TURNS else "metres"
    low, middle, high = _paces(quantity, recipe)
    return (
        f"Under {low:g} {unit} per second",
        f"{low:g} to {middle:g} {unit} per second",
        f"{middle:g} to {high:g} {unit} per second",
        f"Over {high:g} {unit} per second",
    )


def first_start(among: tuple[str, ...]) -> families.Measure:
    """The first movement that starts in a window, with no other onset near it."""

    def measure(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
        if not m.defined("turn_left", window):
            return None
        starts = sorted((e for d in among for e in m.starting(d, window)), key=lambda e: e.start_frame)
        a = m.bounds(window)[0]
        gap = m.recipe.questions.onset_gap_s * m.hz
        if not starts or starts[0].start_frame - a < 0.5 * gap or any(e.start_frame - starts[0].start_frame < gap for e in starts[1:]):
            return None
        return {
            "is": WORDS[starts[0].direction].does.capitalize(),
            "event": m.brief(starts[0]),
            "seen": sorted({d for d in among if m.events(d)}),
        }

    return measure


def top_speed(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
    """Highest floor speed in each quarter, m/s; None where a quick burst would win once less is smoothed away."""
    smooth, sharp = ([round(float(v[a : b + 1].max()), 3) for a, b in map(m.bounds, QUARTERS)] for v in (m.speed, m.sharp_speed))
    winner = smooth.index(max(smooth))
    rivals = [v for k, v in enumerate(sharp) if k != winner]
    return {"quarters": smooth} if max(rivals) <= 0.9 * sharp[winner] else None


def directed(m: Measures, quantity: str, window: str) -> dict[str, Any] | None:
    """Total in one direction in each quarter."""
    if not all(m.accounted(quantity, q) for q in QUARTERS):
        return None
    return {"quarters": [m.total(quantity, q) for q in QUARTERS]}


WHEN = "It starts at {event[1]:.1f} s, which lies in {answer_low}."

TEMPLATES = (
    Template(
        "first_onset",
        "In which quarter of the video does {person} first start to {do} {at_least}?",
        WHEN,
        MOVEMENTS,
        WHOLE,
        onset(0),
        as_quarter,
        quarters,
    ),
    Template(
        "last_onset",
        "In which quarter of the video does {person} start to {do} {at_least} for the last time?",
        WHEN,
        MOVEMENTS,
        WHOLE,
        onset(-1),
        as_quarter,
        quarters,
    ),
    Template(
        "biggest_onset",
        "In which quarter of the video does {person} start to {do} the furthest in one go?",
        WHEN,
        MOVEMENTS,
        WHOLE,
        biggest,
        as_quarter,
        quarters,
    ),
    Template(
        "first_action", "In which quarter of the video does {person} first {do}?", WHEN, ACTIONS, WHOLE, onset(0), as_quarter, quarters
    ),
    Template(
        "last_action",
        "In which quarter of the video does {person} {do} for the last time?",
        WHEN,
        ACTIONS,
        WHOLE,
        onset(-1),
        as_quarter,
        quarters,
    ),
    Template(
        "side_in_quarter",
        "Which of these does {person} do {window}: {a.do}, {b.do}, both or neither?",
        "The largest such movements measure {first:.1f} and {second:.1f} {unit}.",
        SIDES,
        QUARTERS,
        which_side,
        occurring,
        side_options,
    ),
    Template(
        "pace_of_first",
        "How fast is {person} on average the first time they {do}?",
        "The mean speed is {speed:.1f} {unit} per second.",
        (*FLOOR, *TURNS),
        WHOLE,
        pace,
        pace_name,
        pace_options,
    ),
    Template(
        "first_in_quarter",
        "Which of these movements does {person} start first {window}?",
        "The first to start is at {event[1]:.1f} s: {answer_low}.",
        ("any",),
        QUARTERS,
        first_start((*FLOOR, *TURNS)),
        stated,
        two_pairs((*FLOOR, *TURNS)),
    ),
    Template(
        "fastest_quarter",
        "In which quarter of the video does {person} reach the highest speed over the floor?",
        "Top speed by quarter, in metres per second: {quarters}.",
        ("speed",),
        WHOLE,
        top_speed,
        biggest_quarter(0.5),
        quarters,
    ),
    Template(
        "stillest_quarter",
        "In which quarter of the video does {person} stay on the spot for longest, without turning, rising or crouching?",
        "Seconds on the spot by quarter: {quarters}.",
        ("still",),
        WHOLE,
        by_quarter("still_s"),
        biggest_quarter(0.8, 0.7),
        quarters,
    ),
    Template(
        "most_direction_quarter",
        "In which quarter of the video does {person} cover the most ground {doing}?",
        "Metres by quarter: {quarters}.",
        FLOOR,
        WHOLE,
        directed,
        biggest_quarter(0.4),
        quarters,
    ),
    Template(
        "most_turning_to_side_quarter",
        "In which quarter of the video does {person} {do} the most?",
        "Degrees by quarter: {quarters}.",
        TURNS,
        WHOLE,
        directed,
        biggest_quarter(40.0),
        quarters,
    ),
)

decide = partial(families.decide, CATEGORY, TEMPLATES)
ask = partial(families.ask, CATEGORY, TEMPLATES)
answer = partial(families.answer, TEMPLATES)
recompute = partial(families.recompute, TEMPLATES)
explain = partial(families.explain, TEMPLATES)
