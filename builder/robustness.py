"""True under doubt: perturbed copies of a motion, and which questions keep their answer in nearly all of them.

A copy has the errors that a lifter makes (drift, scale, first heading, heading, height, crouching, lean, timing) and slightly other
bounds for what counts as a movement, since no viewer draws that line sharply either.  Sizes stand in the recipe.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np
from scipy import fft
from scipy.special import ndtri

from builder.families import Decision
from builder.geometry import yaw_matrix
from builder.motion import Sampled, segment, smooth
from builder.quantities import Measures
from builder.recipe import Channel, Recipe
from builder.types import Floats, Question

Q = TypeVar("Q", Question, Decision)

WANDER_S = 0.7  # correlation time of heading, height and lean errors: lifters err over several frames, not in each


class Copies:
    """The perturbed copies of one sampled track; each is measured when first needed and kept."""

    def __init__(self, sampled: Sampled, recipe: Recipe) -> None:
        self.sampled, self.recipe = sampled, recipe
        self._measures: dict[int, Measures] = {}

    def __getitem__(self, index: int) -> Measures:
        if index not in self._measures:
            recipe = doubted(self.recipe, index)
            self._measures[index] = Measures(segment(perturb(self.sampled, self.recipe, index), recipe), recipe)
        return self._measures[index]

    def agreement(self, question: Q, answer: Callable[[Q, Measures], str | None]) -> float:
        """Share of copies (0-1) that give the question's own answer; 0 as soon as too few can."""
        cfg, expected = self.recipe.robustness, question.answer_text
        lost = 0
        for index in range(cfg.copies):
            lost += answer(question, self[index]) != expected
            if lost > cfg.copies - cfg.agree:
                return 0.0
        return 1.0 - lost / cfg.copies


def perturb(sampled: Sampled, recipe: Recipe, index: int) -> Sampled:
    """Copy `index` of a sampled track: the same copy in every process, whatever else is built."""
    cfg, hz = recipe.robustness, recipe.signals.grid_hz
    identity = f"{recipe.seed}|{sampled.clip_id}|{sampled.person_id}|copy {index}"
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "big"))
    n = len(sampled.heading_deg)

    anchor = cfg.anchor_deg * rng.standard_normal()
    turned = yaw_matrix(anchor) @ sampled.position_m.T * np.exp(cfg.scale * rng.standard_normal())
    travelled = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(smooth(turned[::2].T, 0.25, hz).T)))])
    drift = cfg.drift_per_m * rng.standard_normal(3) * [1.0, 0.3, 1.0]
    left, up, ahead = turned + np.outer(drift, travelled)
    height, heading, *lean = _wander(rng, n, hz)
    lowered = up - up[0]  # who crouches or sits seems to a lifter to move along the floor
    up = up + cfg.height_m * (height - height[0])
    at = np.clip(np.arange(n) + cfg.timing_s * hz * rng.standard_normal(), 0, n - 1)
    aside, onward = cfg.height_shift * rng.standard_normal(2)

    def shifted(*rows: Floats) -> Floats:
        return np.array([np.interp(at, np.arange(n), row) for row in rows]).T

    return replace(
        sampled,
        position_m=shifted(left + aside * lowered, up, ahead + onward * lowered),
        heading_deg=shifted(sampled.heading_deg + anchor + cfg.heading_deg * heading)[:, 0],
        lean_deg=shifted(*(sampled.lean_deg.T + cfg.lean_deg * np.array(lean))),
        tilt_deg=shifted(sampled.tilt_deg)[:, 0],
    )


def _wander(rng: np.random.Generator, n: int, hz: float) -> Floats:
    """Errors (4, N) of size 1 that change over WANDER_S; the last two are drawn together."""
    reach = round(4 * WANDER_S * hz)  # drawn beyond both ends as well, which must not wander more or less than the middle
    length = n + 2 * reach
    drawn = np.vstack([rng.standard_normal((length, columns)).T for columns in (1, 1, 2)])
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / (WANDER_S * hz)) ** 2)
    kernel *= np.sqrt(2 * np.sqrt(np.pi) * WANDER_S * hz) / kernel.sum()
    size = fft.next_fast_len(length, real=True)  # what wraps round at this length is cut off with what was drawn beyond the ends
    smoothed = fft.irfft(fft.rfft(drawn, size) * fft.rfft(kernel, size), size)
    return np.asarray(smoothed[:, 2 * reach : length])


SCALED = ("walk_speed", "walk_distance", "run_speed", "still_speed", "jump_rise", "jump_gravity", "crouch_drop", "turn_around")
SCALED_BACK = ("still_s",)  # who lets a faster sway pass for standing still also lets a shorter stop pass


def doubted(recipe: Recipe, index: int) -> Recipe:
    """The recipe of copy `index`: bounds of what counts as a movement spread evenly around the recipe's own."""
    cfg = recipe.robustness
    factor = float(np.exp(cfg.threshold * ndtri((index + 0.5) / cfg.copies)))

    def scaled(channel: Channel) -> Channel:
        sizes = tuple(s * factor for s in channel.sizes)
        return replace(channel, minimum=channel.minimum * factor, sizes=sizes, cone=channel.cone * factor)

    return replace(
        recipe,
        channels={name: scaled(channel) for name, channel in recipe.channels.items()},
        compound=replace(
            recipe.compound,
            **{name: getattr(recipe.compound, name) * factor for name in SCALED},
            **{name: getattr(recipe.compound, name) / factor for name in SCALED_BACK},
        ),
    )
