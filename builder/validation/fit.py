"""The perturbation sizes of `[robustness]` that a lifter's measured errors call for, so that robustness means what it says.

Each size is what `robustness.perturb` takes for one standard deviation of an error of that kind.  It is the 68th percentile of
the absolute error over clips, which is the standard deviation of a normal error and is not pulled by a few clips that went wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from builder import motion
from builder.recipe import Recipe, Robustness
from builder.types import Floats, Motion, Track
from builder.validation.metrics import LEAST_PATH_M, wrapped

ONE_SIGMA = 0.6827
SHIFTS_S = np.arange(-0.5, 0.5001, 1 / 60)
SIZES = ("drift_per_m", "scale", "anchor_deg", "heading_deg", "height_m", "lean_deg", "timing_s")


def errors_of(lifted: Track, truth: Track, recipe: Recipe) -> dict[str, float]:
    """One clip's error of each kind in `SIZES`, absolute; those that its path is too short to show are left out.

    The floor path is read as the true one turned (anchor), scaled, and carried off in proportion to the way gone (drift).
    """
    ours, theirs = (motion.describe(t, recipe) for t in (lifted, truth))
    n = min(ours.num_frames, theirs.num_frames)
    true, seen = (m.path_m[:n, 1] + 1j * m.path_m[:n, 0] for m in (theirs, ours))  # forward + i left: turning left is positive
    true, seen = true - true[0], seen - seen[0]
    gone = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(true)))])
    turned = wrapped(ours.heading_deg[:n] - theirs.heading_deg[:n])[ours.heading_ok[:n] & theirs.heading_ok[:n]]
    found = {"lean_deg": _lean(ours, theirs, n)}
    if len(turned):
        found["heading_deg"] = float(np.std(turned))
    up = ours.signals["displacement_y"][:n] - theirs.signals["displacement_y"][:n]
    if gone[-1] >= LEAST_PATH_M:
        factor = np.vdot(true, seen) / np.vdot(true, true)
        found["anchor_deg"] = abs(float(np.degrees(np.angle(factor))))
        found["scale"] = abs(float(np.log(np.abs(factor))))
        off = (seen - factor * true)[-1] / gone[-1]
        found["drift_per_m"] = float(np.hypot(off.real, off.imag)) / np.sqrt(2.0)
        up = up - gone * float(np.dot(gone, up) / np.dot(gone, gone))
    elif len(turned):
        found["anchor_deg"] = abs(float(np.median(turned)))
    found["height_m"] = float(np.std(up))
    shift = _shift(np.abs(np.gradient(seen)), np.abs(np.gradient(true)), recipe.signals.grid_hz)
    if shift is not None:
        found["timing_s"] = shift
    return found


def _lean(ours: Motion, theirs: Motion, n: int) -> float:
    ok = ours.lean_ok[:n] & theirs.lean_ok[:n]
    both = [(ours.signals[c][:n] - theirs.signals[c][:n])[ok] for c in ("rotation_pitch", "rotation_roll")]
    return float(np.sqrt(np.mean([np.var(d) if len(d) else 0.0 for d in both])))


def _shift(seen: Floats, true: Floats, hz: float) -> float | None:
    """By how many seconds one speed comes before or after another; None where nothing moves."""
    if true.max() * hz < 0.4:
        return None
    at = np.arange(len(true))
    misses = [float(np.mean((np.interp(at + shift * hz, at, seen) - true) ** 2)) for shift in SHIFTS_S]
    return abs(float(SHIFTS_S[int(np.argmin(misses))]))


def fitted(errors: Iterable[Mapping[str, float]], recipe: Recipe) -> Robustness:
    """The recipe's `[robustness]` with every size that the clips' errors show; kinds that no clip shows keep their size."""
    clips: Sequence[Mapping[str, float]] = list(errors)
    sizes: dict[str, Any] = {}
    for name in SIZES:
        found = [clip[name] for clip in clips if clip.get(name) is not None]
        if found:
            sizes[name] = float(f"{np.quantile(found, ONE_SIGMA):.2g}")
    return replace(recipe.robustness, **sizes)


def toml(sizes: Robustness) -> str:
    """The fitted table as it stands in a recipe."""
    return "\n".join(["[robustness]", *(f"{name} = {value:g}" for name, value in vars(sizes).items())])
