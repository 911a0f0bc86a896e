"""Answers measured straight from a motion, for what people ask and no template does: times, durations, plain amounts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from builder.quantities import CONCEPTS, FLOOR, WINDOW_NAMES, WORDS, Measures

SAME_SPEED = 0.1  # metres per second, below which two speeds are called the same
SPANNING = ("walk", "run", "still", "away", "towards", "up", "down", "turn_around")  # what only says again, or frames, another movement


class Found(NamedTuple):
    """The question in the track's terms, its answer, and the moments (start s, end s, what) that decide it."""

    question: str
    answer: str
    moments: tuple[tuple[float, float, str], ...]


def _seen(m: Measures, names: str, window: str) -> list[tuple[float, float, str]] | None:
    """Every event of these directions in a window as (start s, end s, words); None where one of them is unclear."""
    out = []
    for name in names.split("|"):
        if not m.defined(name, window) or not (m.seen(name, window) or m.absent(name, window)):
            return None
        out += [(e.start_frame / m.hz, e.end_frame / m.hz, WORDS[name].doing) for e, _ in m.seen(name, window)]
    return sorted(out)


def _doing(names: str) -> str:
    if "|" in names:
        return {"turn": "turn", "lean": "lean"}.get(names[:4], "move sideways")
    return {"walk": "walk", "still": "stay on the spot", "crouch": "crouch or sit down", "stand_up": "stand up"}.get(names, WORDS[names].do)


def times(m: Measures, names: str, window: str) -> Found | None:
    """When it happens."""
    seen = _seen(m, names, window)
    if seen is None:
        return None
    spoken = "; ".join(f"{a:.1f} to {b:.1f} s" + (f" ({what})" if "|" in names else "") for a, b, what in seen)
    return Found(f"When does the person {_doing(names)} {WINDOW_NAMES[window]}?", f"From {spoken}" if seen else "Not at all", tuple(seen))


def count(m: Measures, names: str, window: str) -> Found | None:
    """How often, all directions together."""
    seen = _seen(m, names, window)
    if seen is None:
        return None
    return Found(f"How many separate times does the person {_doing(names)} {WINDOW_NAMES[window]}?", str(len(seen)), tuple(seen))


def did(m: Measures, names: str, window: str) -> Found | None:
    """Whether it happens in any of the directions."""
    seen = _seen(m, names, window)
    if seen is None:
        return None
    return Found(f"Does the person {_doing(names)} at any point {WINDOW_NAMES[window]}?", "Yes" if seen else "No", tuple(seen))


def seconds(m: Measures, names: str, window: str) -> Found | None:
    """For how long, all such stretches added up."""
    seen = _seen(m, names, window)
    if seen is None:
        return None
    a, b = (k / m.hz for k in m.bounds(window))
    total = sum(max(0.0, min(end, b) - max(start, a)) for start, end, _ in seen)
    return Found(f"For how long does the person {_doing(names)} {WINDOW_NAMES[window]}?", f"{total:.1f} seconds", tuple(seen))


def metres(m: Measures, names: str, window: str) -> Found | None:
    """How far, all such stretches added up."""
    seen = _seen(m, names, window)
    if seen is None or (names not in CONCEPTS and not m.accounted(names, window)):
        return None
    total = m.total(names, window)
    return Found(f"How far does the person {_doing(names)} {WINDOW_NAMES[window]}?", f"{total:.1f} m", tuple(seen))


def degrees(m: Measures, names: str, window: str) -> Found | None:
    """How much turning, to the sides named."""
    seen = _seen(m, names, window)
    if seen is None or not m.accounted("turn_left", window):
        return None
    total = sum(m.total(name, window) for name in names.split("|"))
    return Found(f"By how much does the person {_doing(names)} in total {WINDOW_NAMES[window]}?", f"{total:.0f} degrees", tuple(seen))


def lean(m: Measures, names: str, window: str) -> Found | None:
    """The furthest lean to a side."""
    if not m.defined(names, window):
        return None
    return Found(
        f"How far does the person {_doing(names)} {WINDOW_NAMES[window]}?", f"{m.excursion(names, window):.0f} degrees from upright", ()
    )


def path(m: Measures, names: str, window: str) -> Found | None:
    """Metres over the floor."""
    return Found(
        f"How many metres does the person cover over the floor {WINDOW_NAMES[window]}?", f"{m.path(window):.1f} m", _span(m, window)
    )


def furthest(m: Measures, names: str, window: str) -> Found | None:
    """The greatest distance from the start."""
    a, b = m.bounds(window)
    at = (a + int(np.argmax(m.motion.signals["radial"][a : b + 1]))) / m.hz
    question = f"What is the greatest distance from the starting point {WINDOW_NAMES[window]}?"
    return Found(question, f"{m.furthest(window):.1f} m", ((at, at, "furthest from the start"),))


def from_start(m: Measures, names: str, window: str) -> Found | None:
    """The distance from the start at the end of a window."""
    at = m.bounds(window)[1] / m.hz
    question = f"How far from the starting point is the person at the end, {WINDOW_NAMES[window]}?"
    return Found(question, f"{math.hypot(*m.place(window)):.1f} m", ((at, at, "the end"),))


def place(m: Measures, names: str, window: str) -> Found | None:
    """Where the end lies, in words."""
    left, forward = m.place(window)
    at = m.bounds(window)[1] / m.hz
    where = [
        f"{abs(v):.1f} m {side}"
        for v, side in ((forward, "ahead" if forward > 0 else "behind"), (left, "to the left" if left > 0 else "to the right"))
        if abs(v) >= 0.15
    ]
    question = f"Where is the person at the end, {WINDOW_NAMES[window]}, seen as they stood at the start?"
    return Found(question, " and ".join(where) or "Where they started", ((at, at, "the end"),))


def facing(m: Measures, names: str, window: str) -> Found | None:
    """Which way the person faces at the end of a window, in degrees and words."""
    heading = m.facing(window)
    if heading is None:
        return None
    at, angle = m.bounds(window)[1] / m.hz, (heading + 180.0) % 360.0 - 180.0
    words = (
        "The same way as at the start"
        if abs(angle) < 20
        else f"{abs(angle):.0f} degrees to the {'left' if angle > 0 else 'right'} of the first facing"
    )
    return Found(f"Which way does the person face at the end, {WINDOW_NAMES[window]}?", words, ((at, at, "the end"),))


def speed(m: Measures, names: str, window: str) -> Found | None:
    """Mean and top speed over the floor."""
    a, b = m.bounds(window)
    fast = a + int(np.argmax(m.speed[a : b + 1]))
    mean = m.path(window) / max((b - a) / m.hz, 1e-6)
    text = f"{mean:.1f} m/s on average, {m.speed[fast]:.1f} m/s at most"
    return Found(f"How fast does the person move over the floor {WINDOW_NAMES[window]}?", text, ((fast / m.hz, fast / m.hz, "fastest"),))


def _extreme(which: int) -> Callable[[Measures, str, str], Found | None]:
    def found(m: Measures, names: str, window: str) -> Found | None:
        a, b = (k / m.hz for k in m.bounds(window))
        kept = [e for e in m.motion.events if e.direction in WORDS and e.direction not in SPANNING]
        starts = sorted(
            (e.start_frame / m.hz, e.end_frame / m.hz, WORDS[e.direction].doing) for e in kept if a <= e.start_frame / m.hz <= b
        )
        if not starts or (len(starts) > 1 and abs(starts[which][0] - starts[1 if which == 0 else -2][0]) < m.recipe.questions.onset_gap_s):
            return None
        word = "first" if which == 0 else "last"
        at = starts[which]
        return Found(f"Which movement does the person start {word} {WINDOW_NAMES[window]}?", at[2].capitalize(), (at,))

    return found


def _beside(step: int) -> Callable[[Measures, str, str], Found | None]:
    """What starts next after (+1) or last before (-1) the first time of a movement, where no other start is near."""

    def found(m: Measures, names: str, window: str) -> Found | None:
        own = _seen(m, names, window)
        if window != "whole" or not own:
            return None
        gap, at = m.recipe.questions.onset_gap_s, own[0][0]
        kept = [e for e in m.motion.events if e.direction in WORDS and e.direction not in SPANNING and e.direction not in names.split("|")]
        starts = sorted((e.start_frame / m.hz, e.end_frame / m.hz, WORDS[e.direction].doing) for e in kept)
        beside = [s for s in starts if step * (s[0] - at) >= gap]
        if not beside or any(abs(s[0] - at) < gap for s in starts):
            return None
        best = beside[0] if step > 0 else beside[-1]
        if any(s is not best and abs(s[0] - best[0]) < gap for s in beside):
            return None
        word = "next, after they" if step > 0 else "last, before they"
        return Found(f"What does the person start {word} first {_doing(names)}?", best[2].capitalize(), (own[0], best))

    return found


def order(m: Measures, names: str, window: str) -> Found | None:
    """How two movements follow each other ("FIRST,WORD,SECOND", see `order`); None where one is unclear or the starts are too near."""
    first, word, second = names.split(",")
    own, other = _seen(m, first, "whole"), _seen(m, second, "whole")
    question = {
        "first": f"Which does the person start first: {_doing(first)} or {_doing(second)}?",
        "or": f"Does the person first {_doing(first)} before or after they first {_doing(second)}?",
    }.get(word, f"Does the person {_doing(first)} {word} they first {_doing(second)}?")
    if own is None or other is None:
        return None
    starts = sorted([*own[:1], *other[:1]])
    if word == "first" and len(starts) == 1:
        return Found(question, f"{starts[0][2].capitalize()} (the other does not happen)", tuple(starts))
    if not own and word not in ("first", "or"):
        return Found(question, "No", ())
    if not own or not other:
        return None
    at, gap = other[0][0], m.recipe.questions.onset_gap_s
    if word in ("first", "or"):
        said = starts[0][2].capitalize() if word == "first" else "Before" if own[0][0] < at else "After"
        return Found(question, said, tuple(starts)) if abs(own[0][0] - at) >= gap else None
    if any(abs(s[0] - at) < gap for s in own):
        return None
    hits = [s for s in own if (s[0] < at) == (word == "before")]
    return Found(question, "Yes" if hits else "No", tuple(sorted([*(hits or own)[:1], other[0]])))


def faster(m: Measures, names: str, window: str) -> Found | None:
    """In which of two parts of the video the person is faster over the floor, on average."""
    parts = names.split("|")
    spans = [[k / m.hz for k in m.bounds(part)] for part in parts]
    means = [m.path(part) / (b - a) for part, (a, b) in zip(parts, spans, strict=True)]
    called = [WINDOW_NAMES[part].removesuffix(" of the video") for part in parts]
    question = f"When is the person faster over the floor on average: {called[0]} or {called[1]}?"
    k = int(means[1] > means[0])
    if max(means) - min(means) < max(SAME_SPEED, 0.1 * max(means)):
        return Found(question, f"About the same: {means[0]:.1f} and {means[1]:.1f} m/s", ())
    spoken = f"{called[k].capitalize()}: {means[k]:.1f} m/s, against {means[1 - k]:.1f} m/s {called[1 - k]}"
    return Found(question, spoken, ((spans[k][0], spans[k][1], called[k].removeprefix("during ")),))


def doing(m: Measures, names: str, window: str) -> Found | None:
    """What goes on at a moment (seconds after the track's first frame)."""
    at = float(names)
    going = [e for e in m.motion.events if e.direction in WORDS and e.start_frame / m.hz <= at <= e.end_frame / m.hz]
    named = [e for e in going if e.direction not in SPANNING] or [e for e in going if e.direction in ("walk", "run", "still")]
    if not named:
        return None
    spoken = ", ".join(dict.fromkeys(WORDS[e.direction].doing for e in named))
    moments = tuple((e.start_frame / m.hz, e.end_frame / m.hz, WORDS[e.direction].doing) for e in named)
    return Found("What is the person doing at that moment?", f"{spoken[:1].upper()}{spoken[1:]}", moments)


def ground(m: Measures, names: str, window: str) -> Found | None:
    """Metres covered in each direction, those that happen, the largest first."""
    if not (m.accounted("left", window) and m.accounted("forward", window)):
        return None
    totals = sorted(((m.total(d, window), d) for d in FLOOR), reverse=True)
    spoken = [f"{metres:.1f} m {'to the ' if d in ('left', 'right') else ''}{d}" for metres, d in totals if metres]
    seen = sorted((e.start_frame / m.hz, e.end_frame / m.hz, WORDS[d].doing) for d in FLOOR for e, _ in m.seen(d, window))
    question = f"How far does the person move in each direction {WINDOW_NAMES[window]}, as they stood at the start?"
    text = ", ".join(spoken)
    return Found(question, text[:1].upper() + text[1:] if spoken else "They stay where they are", tuple(seen))


def _span(m: Measures, window: str) -> tuple[tuple[float, float, str], ...]:
    a, b = (k / m.hz for k in m.bounds(window))
    return ((a, b, WINDOW_NAMES[window]),)


DIRECT: dict[str, Callable[[Measures, str, str], Found | None]] = {
    "times": times,
    "count": count,
    "did": did,
    "seconds": seconds,
    "metres": metres,
    "degrees": degrees,
    "lean": lean,
    "path": path,
    "furthest": furthest,
    "from_start": from_start,
    "place": place,
    "facing": facing,
    "speed": speed,
    "ground": ground,
    "faster": faster,
    "doing": doing,
    "order": order,
    "after": _beside(1),
    "before": _beside(-1),
    "first": _extreme(0),
    "last": _extreme(-1),
}
