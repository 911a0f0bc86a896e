"""From evidence to the text of the true answer, and from that text to all the options.

A decision sees the evidence alone and returns None when it is too close to call.  Options never depend on anything but the
answer, the quantity, the evidence and the question's own random numbers.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import Any

from builder.quantities import OPPOSITE, QUARTER_NAMES, WORDS
from builder.recipe import Recipe

Evidence = Mapping[str, Any]
Decide = Callable[[Evidence, str, Recipe], str | None]
Options = Callable[[str, str, Evidence, Recipe, random.Random], tuple[str, ...] | None]

QUARTER_OPTIONS = tuple(name.capitalize() for name in QUARTER_NAMES)
SAME, EQUALLY = "About the same", "Equally often"


def as_count(evidence: Evidence, quantity: str, recipe: Recipe) -> str | None:
    """The number itself; more than seven are too many to count reliably."""
    return str(evidence["count"]) if evidence["count"] <= 7 else None


def metres(value: float) -> str:
    """ "About 1.5 metres"."""
    return f"About {value:g} metre{'' if value == 1 else 's'}"


TURN_NAMES = {0: "Hardly at all", 90: "a quarter turn", 180: "a half turn", 270: "three quarters of a turn", 360: "a full turn"}


def degrees(value: float) -> str:
    """ "About 90 degrees (a quarter turn)"."""
    if value == 0:
        return "Hardly at all (less than 45 degrees)"
    extra = TURN_NAMES.get(int(value))
    return f"About {value:g} degrees" + (f" ({extra})" if extra else f" ({value / 360:g} turns)")


def as_metres(evidence: Evidence, quantity: str, recipe: Recipe) -> str | None:
    """The nearest rung of the recipe's ladder of distances; None below half its first rung or beyond its last."""
    value, rungs = evidence["metres"], recipe.questions.metres
    if not 0.6 * rungs[0] <= value <= 1.15 * rungs[-1]:
        return None
    above = bisect_left(rungs, value)
    return metres(min(rungs[max(0, above - 1) : above + 1], key=lambda r: max(r, value) / min(r, value)))


def as_degrees(evidence: Evidence, quantity: str, recipe: Recipe) -> str | None:
    """The nearest rung of the recipe's ladder of turns, None more than 35 degrees from it."""
    value, rungs = abs(evidence["degrees"]), recipe.questions.turns_deg
    nearest = min(rungs, key=lambda r: abs(r - value))
    return degrees(nearest) if abs(nearest - value) <= 35 else None


def as_quarter(evidence: Evidence, quantity: str, recipe: Recipe) -> str | None:
    """The quarter in evidence["quarter"] (0-3)."""
    return QUARTER_OPTIONS[evidence["quarter"]]


def biggest_quarter(least: float, rival: float = 0.85) -> Decide:
    """The quarter whose value is largest: at least `least`, and no other above `rival` of it."""

    def decide(evidence: Evidence, quantity: str, recipe: Recipe) -> str | None:
        values = evidence["quarters"]
        order = sorted(range(4), key=lambda k: -values[k])
        if values[order[0]] < least or values[order[1]] > rival * values[order[0]]:
            return None
        return QUARTER_OPTIONS[order[0]]

    return decide


def smallest_quarter(margin: float, rival: float = 0.6) -> Decide:
    """The quarter whose value is smallest: under `rival` of every other and `margin` below it."""

    def decide(evidence: Evidence, quantity: str, recipe: Recipe) -> str | None:
        values = evidence["quarters"]
        order = sorted(range(4), key=lambda k: values[k])
        low, second = values[order[0]], values[order[1]]
        return QUARTER_OPTIONS[order[0]] if low <= rival * second and second - low >= margin else None

    return decide


def larger(least: float, label: Callable[[str, int], str]) -> Decide:
    """Which of evidence["first"] and ["second"] is larger by the recipe's ratio, or SAME within its band; None in between."""

    def decide(evidence: Evidence, quantity: str, recipe: Recipe) -> str | None:
        a, b = evidence["first"], evidence["second"]
        high, low = max(a, b), min(a, b)
        if high < least:
            return None
        if low >= (1 - recipe.questions.equal_band) * high:
            return SAME
        if high < recipe.questions.larger_ratio * low or high - low < 0.5 * least:
            return None
        return label(quantity, 0 if a > b else 1)

    return decide


def more_often(label: Callable[[str, int], str]) -> Decide:
    """Which of two counts is larger, or EQUALLY when they are equal; nothing when neither ever happened."""

    def decide(evidence: Evidence, quantity: str, recipe: Recipe) -> str | None:
        a, b = evidence["first"], evidence["second"]
        if max(a, b) == 0:
            return None
        return EQUALLY if a == b else label(quantity, 0 if a > b else 1)

    return decide


def dominant(least: float) -> Decide:
    """The key of evidence["values"] with the largest value: at least `least` and the recipe's ratio above every other."""

    def decide(evidence: Evidence, quantity: str, recipe: Recipe) -> str | None:
        values = evidence["values"]
        order = sorted(values, key=lambda k: (-values[k], k))
        top, second = values[order[0]], values[order[1]]
        return order[0] if top >= least and top >= recipe.questions.larger_ratio * second else None

    return decide


def sector(names: tuple[str, str, str, str], width: float = 30.0) -> Decide:
    """Which of four names, at 0, 90 (left), 180 and -90 degrees, evidence["angle"] is within `width` degrees of."""

    def decide(evidence: Evidence, quantity: str, recipe: Recipe) -> str | None:
        angle = evidence["angle"]
        turn = round(angle / 90.0)
        return names[turn % 4] if abs(angle - 90.0 * turn) <= width else None

    return decide


def stated(evidence: Evidence, quantity: str, recipe: Recipe) -> str | None:
    """The answer that the measurement itself names."""
    answer: str | None = evidence["is"]
    return answer


def fixed(*options: str) -> Options:
    """The same options whatever the clip."""
    return lambda answer, quantity, evidence, recipe, rng: options


def quarters(answer: str, quantity: str, evidence: Evidence, recipe: Recipe, rng: random.Random) -> tuple[str, ...]:
    """The four quarters."""
    return QUARTER_OPTIONS


def sides(*extra: str, form: str = "does") -> Options:
    """One option for each name in the quantity ("left|right"), and the extras."""

    def options(answer: str, quantity: str, evidence: Evidence, recipe: Recipe, rng: random.Random) -> tuple[str, ...]:
        return tuple(side(quantity, k, form) for k in range(quantity.count("|") + 1)) + extra

    return options


def side(quantity: str, k: int, form: str = "does") -> str:
    """The k-th name of a quantity as an option text."""
    name = quantity.split("|")[k]
    return str(getattr(WORDS[name], form)).capitalize() if name in WORDS else name.capitalize()


def ladder(rungs: Callable[[Recipe], tuple[str, ...]]) -> Options:
    """Four neighbouring rungs that hold the answer.

    The rungs are cut into blocks of four in two ways and the id chooses one, so the answer may stand anywhere in its block:
    being in the middle of the options says nothing.
    """

    def options(answer: str, quantity: str, evidence: Evidence, recipe: Recipe, rng: random.Random) -> tuple[str, ...] | None:
        every = rungs(recipe)
        offset = rng.choice((0, 2))
        start = offset + 4 * ((every.index(answer) - offset) // 4)
        if start < 0 or start + 4 > len(every):
            start = 4 * (every.index(answer) // 4)
        block = every[start : start + 4]
        return block if len(block) == 4 else None

    return options


count_options = ladder(lambda recipe: tuple(str(n) for n in range(8)))
metre_options = ladder(lambda recipe: tuple(metres(m) for m in recipe.questions.metres))
degree_options = ladder(lambda recipe: tuple(degrees(d) for d in recipe.questions.turns_deg))


def two_pairs(among: tuple[str, ...], form: str = "does") -> Options:
    """Two opposite pairs: the answer's own, and one of which a member happened in the clip (evidence["seen"])."""

    def options(answer: str, quantity: str, evidence: Evidence, recipe: Recipe, rng: random.Random) -> tuple[str, ...] | None:
        text = {n: str(getattr(WORDS[n], form)).capitalize() for n in among}
        name = next(n for n in among if text[n] == answer)
        mine = {name, OPPOSITE[name]}
        pairs = sorted({tuple(sorted((n, OPPOSITE[n]))) for n in evidence["seen"] if n in text and n not in mine})
        if not pairs:
            return None
        return tuple(text[n] for n in (*sorted(mine), *rng.choice(pairs)))

    return options
