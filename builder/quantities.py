"""What can be measured on a motion within a window, and the words for it.

A window is the whole clip or one of its four equal quarters.  An event that crosses a window's edge counts with the part
inside.  Everything returned is rounded once, here, so that an answer recomputed from stored evidence is the same answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import cached_property, wraps
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar, TypeVarTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import minimum_filter1d

from builder.motion import CHANNEL_OF, DIRECTIONS, smooth
from builder.recipe import Channel, Recipe
from builder.types import Bools, Event, Floats, Motion

WHOLE = ("whole",)
QUARTERS = ("q1", "q2", "q3", "q4")
HALVES = ("h1", "h2")
QUARTER_NAMES = ("the first quarter", "the second quarter", "the third quarter", "the last quarter")
WINDOW_NAMES = {
    "whole": "in the video",
    **{q: f"during {name} of the video" for q, name in zip(QUARTERS, QUARTER_NAMES, strict=True)},
    "h1": "during the first half of the video",
    "h2": "during the second half of the video",
}
AT_END = {
    "whole": "at the end of the video",
    **{q: f"at the end of {name} of the video" for q, name in zip(QUARTERS, QUARTER_NAMES, strict=True)},
}


class Words(NamedTuple):
    """One movement as a verb ("does the person ..."), a third person ("the person ...") and a gerund."""

    do: str
    does: str
    doing: str


WORDS: dict[str, Words] = {
    "left": Words("move left", "moves left", "moving left"),
    "right": Words("move right", "moves right", "moving right"),
    "forward": Words("move forward", "moves forward", "moving forward"),
    "backward": Words("move backward", "moves backward", "moving backward"),
    "up": Words("move up (rise)", "moves up (rises)", "moving up"),
    "down": Words("move down (lower the hips)", "moves down (lowers the hips)", "moving down"),
    "turn_left": Words("turn left", "turns left", "turning left"),
    "turn_right": Words("turn right", "turns right", "turning right"),
    "lean_forward": Words("lean forward", "leans forward", "leaning forward"),
    "lean_backward": Words("lean backward", "leans backward", "leaning backward"),
    "lean_left": Words("lean to the left", "leans to the left", "leaning to the left"),
    "lean_right": Words("lean to the right", "leans to the right", "leaning to the right"),
    "away": Words("move away from the starting point", "moves away from the starting point", "moving away from the starting point"),
    "towards": Words(
        "move back towards the starting point", "moves back towards the starting point", "moving back towards the starting point"
    ),
    "walk": Words("walk without stopping for a second or more", "walks", "walking"),
    "run": Words("run", "runs", "running"),
    "jump": Words("jump", "jumps", "jumping"),
    "crouch": Words("lower the hips by 30 cm or more (crouch or sit down)", "lowers the hips (crouches or sits down)", "lowering the hips"),
    "stand_up": Words("rise by 30 cm or more from a low position", "rises from a low position", "rising from a low position"),
    "turn_around": Words("turn around (by 135 degrees or more in one turn)", "turns around", "turning around"),
    "still": Words(
        "stay on the spot without turning, rising or crouching for a second or longer", "stays on the spot", "staying on the spot"
    ),
}
PAIRS = tuple((DIRECTIONS[code, 1], DIRECTIONS[code, -1]) for code, sign in DIRECTIONS if sign == 1)
OPPOSITE = {a: b for pair in PAIRS for a, b in (pair, pair[::-1])}
FLOOR = ("forward", "backward", "left", "right")
TURNS = ("turn_left", "turn_right")
LEANS = ("lean_forward", "lean_backward", "lean_left", "lean_right")
RADIAL = ("away", "towards")
FACINGS = (
    "The same way as at the start",
    "Towards what was their left at the start",
    "The opposite way",
    "Towards what was their right at the start",
)
CONCEPTS = ("walk", "run", "jump", "crouch", "stand_up", "turn_around", "still")


Args = TypeVarTuple("Args")
R = TypeVar("R")


def kept(measure: Callable[[Measures, *Args], R]) -> Callable[[Measures, *Args], R]:
    """A method of Measures whose results are kept: many questions share them."""

    @wraps(measure)
    def recalled(self: Measures, /, *args: *Args) -> R:
        known = self._known[measure]
        if args not in known:
            known[args] = measure(self, *args)
        found: R = known[args]
        return found

    return recalled


class Measures:
    """Measurements of one motion, in metres, degrees and seconds; what they return is shared and never changed."""

    def __init__(self, motion: Motion, recipe: Recipe) -> None:
        self.motion, self.recipe = motion, recipe
        self.hz = motion.fps
        self.seconds = (motion.num_frames - 1) / motion.fps
        self._by_direction: dict[str, list[Event]] = {}
        for event in motion.events:
            self._by_direction.setdefault(event.direction, []).append(event)
        last = motion.num_frames - 1
        self._bounds = {"whole": (0, last)}
        for names in (QUARTERS, HALVES):
            edges = [round(k * last / len(names)) for k in range(len(names) + 1)]
            self._bounds |= dict(zip(names, pairwise(edges), strict=True))
        self._known: dict[Callable[..., Any], dict[tuple[Any, ...], Any]] = defaultdict(dict)

    def bounds(self, window: str) -> tuple[int, int]:
        """First and last grid sample of a window (both inside; neighbouring windows share the sample at their edge)."""
        return self._bounds[window]

    def events(self, direction: str) -> list[Event]:
        """All events of a direction or compound, by start."""
        return self._by_direction.get(direction, [])

    def starting(self, direction: str, window: str) -> list[Event]:
        """Events that start within a window."""
        a, b = self.bounds(window)
        return [e for e in self.events(direction) if a <= e.start_frame < b or (window == "whole")]

    def parts(self, direction: str, window: str) -> list[tuple[Event, float]]:
        """Events of a direction with the size of their part inside the window (metres or degrees, positive)."""
        a, b = self.bounds(window)
        code = CHANNEL_OF[direction][0] if direction in CHANNEL_OF else None
        found = []
        for e in self.events(direction):
            start, end = max(a, e.span[0]), min(b, e.span[1])
            if end > start:
                if window == "whole" or code is None:
                    inside = abs(e.amount)
                else:
                    signal = self.motion.signals[code]
                    inside = abs(float(signal[end] - signal[start]))
                found.append((e, inside))
        return found

    @kept
    def seen(self, direction: str, window: str) -> list[tuple[Event, float]]:
        """Events whose part inside the window is itself as large as an event must be."""
        least = self.minimum(direction)
        if direction in CHANNEL_OF:
            return [(e, inside) for e, inside in self.parts(direction, window) if inside >= least]
        a, b = self.bounds(window)
        shared = [(e, min(b, e.end_frame) - max(a, e.start_frame)) for e in self.events(direction)]
        return [(e, abs(e.amount)) for e, frames in shared if frames >= 0.5 * (e.end_frame - e.start_frame) or frames >= self.hz]

    def channel(self, direction: str) -> Channel:
        """The recipe of the channel that a direction belongs to."""
        return self.recipe.channels[CHANNEL_OF[direction][0]]

    def minimum(self, direction: str) -> float:
        """The smallest amount of an event of this direction, 0 for a compound."""
        return self.channel(direction).minimum if direction in CHANNEL_OF else 0.0

    def count(self, direction: str, window: str) -> int:
        """How many events of a direction are seen in a window."""
        return len(self.seen(direction, window))

    @kept
    def counted(self, direction: str, window: str) -> dict[str, Any] | None:
        """The number of events seen and their briefs; none only when nothing came near to being one, else None."""
        seen = self.seen(direction, window)
        if not self.defined(direction, window) or not (seen or self.absent(direction, window)):
            return None
        return {"count": len(seen), "events": [self.brief(e) for e, _ in seen]}

    @kept
    def total(self, direction: str, window: str) -> float:
        """Sum of what the window holds of all events of a direction."""
        return round(sum(inside for _, inside in self.seen(direction, window)), 3)

    def largest(self, direction: str, window: str) -> float:
        """Largest event part of a direction in a window, 0 when there is none."""
        return round(max((inside for _, inside in self.seen(direction, window)), default=0.0), 3)

    @kept
    def excursion(self, direction: str, window: str) -> float:
        """Largest rise of the channel in this direction within the window, event or not."""
        code, sign = CHANNEL_OF[direction]
        a, b = self.bounds(window)
        signal = sign * self.motion.signals[code][a : b + 1]
        if code in ("rotation_pitch", "rotation_roll"):  # leaning is counted from upright
            return round(float(max(0.0, signal.max())), 3)
        return round(float((signal - np.minimum.accumulate(signal)).max()), 3)

    def net(self, code: str, window: str) -> float:
        """End minus start of a channel over a window."""
        a, b = self.bounds(window)
        signal = self.motion.signals[code]
        return round(float(signal[b] - signal[a]), 3)

    @kept
    def accounted(self, direction: str, window: str) -> bool:
        """Do the events of this direction's channel explain its net change (within one event's minimum)?"""
        code = CHANNEL_OF[direction][0]
        signed = sum(s * self.total(DIRECTIONS[code, s], window) for s in (1, -1))
        return self.defined(direction, window) and abs(self.net(code, window) - signed) <= self.minimum(direction)

    @kept
    def defined(self, direction: str, window: str) -> bool:
        """Does this direction mean anything in every frame of the window?"""
        a, b = self.bounds(window)
        if direction in ("turn_left", "turn_right", "turn_around"):
            return bool(self.motion.heading_ok[a : b + 1].all())
        if direction in ("up", "down"):  # nobody can say how often a jump goes up
            return not any(e.start_frame < b and e.end_frame > a for e in self.events("jump"))
        return not direction.startswith("lean") or bool(self.motion.lean_ok[a : b + 1].all())

    @kept
    def absent(self, direction: str, window: str) -> bool:
        """Is there nothing in the window that came near to being such a movement?  (Not seen and not absent = unclear.)"""
        if self.seen(direction, window):
            return False
        if direction in CHANNEL_OF:
            least = 0.75 * self.minimum(direction)
            return self.excursion(direction, "whole") < least or self.excursion(direction, window) < least
        a, b = self.bounds(window)
        cfg = self.recipe.compound
        speed = self.speed[a : b + 1]
        if direction == "walk":
            return bool(minimum_filter1d(speed, max(1, round(0.5 * cfg.walk_s * self.hz))).max() < 0.8 * cfg.walk_speed)
        if direction == "run":
            return bool(speed.max() < 0.8 * cfg.run_speed)
        if direction == "still":
            return bool(minimum_filter1d(speed, 3).min() > 2 * cfg.still_speed)
        if direction == "turn_around":
            return max(self.excursion(d, window) for d in TURNS) < 0.7 * cfg.turn_around
        if direction == "jump":
            return self.excursion("up", window) < 0.8 * cfg.jump_rise or not self._springs(a, b)
        return self.excursion("down" if direction == "crouch" else "up", window) < 0.6 * cfg.crouch_drop

    def _springs(self, a: int, b: int) -> bool:
        """Does the body fall at half of what a jump needs for a tenth of a second?"""
        fall = -np.gradient(np.gradient(self.motion.signals["displacement_y"]))[a : b + 1] * self.hz**2
        return bool(minimum_filter1d(fall, round(0.1 * self.hz)).max() > 0.5 * self.recipe.compound.jump_gravity)

    @cached_property
    def _steady_path_m(self) -> Floats:
        """The floor path (N, 2) smoothed over a step."""
        return smooth(self.motion.path_m, 0.2, self.hz)

    @cached_property
    def speed(self) -> Floats:
        """Floor speed (N,) in metres per second, smoothed over a step."""
        step: Floats = np.hypot(*np.gradient(self._steady_path_m, axis=0).T)
        return step * self.hz

    @cached_property
    def sharp_speed(self) -> Floats:
        """Floor speed (N,) in metres per second without further smoothing."""
        step: Floats = np.hypot(*np.gradient(self.motion.path_m, axis=0).T)
        return step * self.hz

    @cached_property
    def travelled(self) -> Floats:
        """Floor distance walked up to each sample (N,): smoothed over a step, standing (under 0.1 m/s) left out."""
        step = np.hypot(*np.diff(self._steady_path_m, axis=0).T)
        return np.concatenate([[0.0], np.cumsum(np.where(step * self.hz >= 0.1, step, 0.0))])

    def path(self, window: str) -> float:
        """Metres walked over the floor in a window."""
        a, b = self.bounds(window)
        return round(float(self.travelled[b] - self.travelled[a]), 3)

    def crept(self, window: str) -> float:
        """Metres of a window that `path` leaves out because the person moved slower than 0.1 m/s (but over 0.03)."""
        a, b = self.bounds(window)
        slow = self.speed[a:b]
        return round(float(slow[(slow >= 0.03) & (slow < 0.1)].sum()) / self.hz, 3)

    def turning(self, window: str) -> float:
        """Degrees turned in a window, both ways added up."""
        return round(self.total("turn_left", window) + self.total("turn_right", window), 3)

    def place(self, window: str) -> tuple[float, float]:
        """(left, forward) metres from the start at the end of a window."""
        x, z = self.motion.path_m[self.bounds(window)[1]] - self.motion.path_m[0]
        return round(float(x), 3), round(float(z), 3)

    def facing(self, window: str) -> float | None:
        """Heading at the end of a window in degrees, averaged over its last half second; None while turning or undefined."""
        b = self.bounds(window)[1]
        a = max(0, b - round(0.5 * self.hz))
        if not self.motion.heading_ok[a : b + 1].all() or np.ptp(self.motion.heading_deg[a : b + 1]) > 25.0:
            return None
        return round(float(self.motion.heading_deg[a : b + 1].mean()), 2)

    def furthest(self, window: str) -> float:
        """Largest distance from the start within a window, metres."""
        a, b = self.bounds(window)
        return round(float(self.motion.signals["radial"][a : b + 1].max()), 3)

    @cached_property
    def turn_rate(self) -> Floats:
        """How fast the body turns (N,), degrees per second, either way."""
        return np.asarray(np.abs(np.gradient(self.motion.heading_deg)) * self.hz)

    @kept
    def facings(self, window: str) -> dict[str, Any] | None:
        """Seconds within 45 degrees of each quarter turn from the first facing, None where facing is undefined."""
        if not self.defined("turn_left", window):
            return None
        a, b = self.bounds(window)
        return {"values": dict(zip(FACINGS, self._seconds(self._facing[b] - self._facing[a]), strict=True))}

    @cached_property
    def _facing(self) -> NDArray[np.int64]:
        """Samples before each sample (N, 4) that face each of FACINGS."""
        off = (self.motion.heading_deg + 180.0) % 360.0 - 180.0
        return _so_far([np.abs((off - 90.0 * k + 180.0) % 360.0 - 180.0) <= 45.0 for k in range(4)])

    def activities(self, window: str) -> list[float]:
        """Seconds moving over the floor (0.3 m/s or more), turning on the spot (20 deg/s or more), doing neither."""
        a, b = self.bounds(window)
        return self._seconds(self._active[b] - self._active[a])

    @cached_property
    def _active(self) -> NDArray[np.int64]:
        """Samples before each sample (N, 3) spent on each of the `activities`."""
        moving = self.speed >= 0.3
        return _so_far([moving, ~moving & (self.turn_rate >= 20.0), (self.speed < 0.15) & (self.turn_rate < 12.0)])

    def _seconds(self, samples: NDArray[np.int64]) -> list[float]:
        return [round(n / self.hz, 2) for n in samples.tolist()]

    def still_s(self, window: str) -> float:
        """Seconds of the window spent standing still."""
        a, b = self.bounds(window)
        return round(sum(max(0, min(b, e.end_frame) - max(a, e.start_frame)) for e in self.events("still")) / self.hz, 3)

    def area(self) -> float:
        """Signed area (m2) inside the path closed by a straight line; positive when walked round to the left."""
        x, z = self.motion.path_m.T
        return round(float(0.5 * np.sum(z * np.roll(x, -1) - x * np.roll(z, -1))), 3)

    def brief(self, event: Event) -> list[Any]:
        """An event for evidence: [direction, start s, end s, amount]."""
        return [event.direction, round(event.start_frame / self.hz, 2), round(event.end_frame / self.hz, 2), round(event.amount, 2)]


def _so_far(masks: list[Bools]) -> NDArray[np.int64]:
    """How many of the samples before each sample are True in each mask: (N, masks)."""
    return np.cumsum([np.concatenate([[False], mask[:-1]]) for mask in masks], axis=1).T


def quarter_of(seconds: float, duration: float) -> int:
    """Which quarter (0-3) of a clip a time lies in."""
    return min(3, int(4 * seconds / duration))
