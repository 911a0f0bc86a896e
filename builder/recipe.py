"""Recipe: every threshold, quota and seed of a build, frozen, named and fingerprinted; read from `recipes/<name>.toml`."""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from builder.types import ALL_CHANNELS, RecipeError

FOLDER = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Anchor:
    """`window_s` seconds averaged for the first heading, until they span more than `max_range_deg`."""

    window_s: float
    max_range_deg: float


@dataclass(frozen=True)
class Signals:
    """The time grid (Hz), smoothing widths (s) and the tilts (deg) beyond which facing and leaning are undefined."""

    grid_hz: float
    sigma_position_s: float
    sigma_angle_s: float
    max_heading_tilt_deg: float
    max_lean_tilt_deg: float


@dataclass(frozen=True)
class Channel:
    """How one channel is cut into events; amounts in metres or degrees, paces in metres or degrees per second."""

    minimum: float
    sizes: tuple[float, ...]
    size_names: tuple[str, ...]
    paces: tuple[float, ...]
    pace_names: tuple[str, ...]
    pause_s: float
    pause_range: float
    trim: float
    trim_share: float
    cone: float


@dataclass(frozen=True)
class Compound:
    """Bounds of the named movements (m, m/s, s, deg), each explained in `recipes/default.toml`."""

    walk_speed: float
    walk_s: float
    walk_distance: float
    run_speed: float
    run_s: float
    still_speed: float
    still_s: float
    jump_rise: float
    jump_s: float
    jump_gravity: float
    crouch_drop: float
    crouch_travel: float
    turn_around: float


@dataclass(frozen=True)
class Robustness:
    """How many perturbed copies, how many must agree, and how large the perturbations are (one standard deviation)."""

    copies: int
    agree: int
    drift_per_m: float
    scale: float
    anchor_deg: float
    heading_deg: float
    height_m: float
    height_shift: float
    lean_deg: float
    timing_s: float
    threshold: float


@dataclass(frozen=True)
class Questions:
    """Quotas and spacings of the questions: `pool` robust ones per clip and category, of which `per_category` may stay."""

    per_category: int
    pool: int
    min_visible: float
    onset_gap_s: float
    min_seconds: float
    equal_band: float
    larger_ratio: float
    metres: tuple[float, ...]
    turns_deg: tuple[float, ...]


@dataclass(frozen=True)
class Assembly:
    """Share of groups in the test split, and how far from flat an answer's share may stay (standard deviations)."""

    test_share: float
    flatness: float


@dataclass(frozen=True)
class Priors:
    """The bar of the blind solver (points of chance-normalised score) and the test size under which it says nothing."""

    max_blind: float
    min_test: int


@dataclass(frozen=True)
class Recipe:
    """All numbers of a build."""

    name: str
    seed: int
    anchor: Anchor
    signals: Signals
    channels: Mapping[str, Channel]
    compound: Compound
    robustness: Robustness
    questions: Questions
    assembly: Assembly
    priors: Priors

    @cached_property
    def digest(self) -> str:
        """First 16 hex digits of the SHA-256 over every value; equal recipes have equal digests in every process."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


def names() -> list[str]:
    """Names of the recipes that come with the project."""
    return sorted(p.stem for p in FOLDER.glob("*.toml"))


def load(name: str | Path = "default", **changes: Any) -> Recipe:
    """The recipe of that name, or of that TOML file; `changes` replace top-level values (`seed=3`).  Raises RecipeError."""
    path = Path(name) if str(name).endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.is_file():
        raise RecipeError(f"no recipe {str(name)!r}: expected one of {', '.join(names())} or the path of a .toml file")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"recipe {path}: not valid TOML: {error}") from None
    recipe: Recipe = _build(Recipe, table, str(path))
    _check(recipe, str(path))
    return replace(recipe, **changes) if changes else recipe


def _build(kind: Any, value: Any, where: str) -> Any:
    """`value` from TOML as the annotated `kind`; unknown, missing and mistyped keys raise RecipeError."""
    if is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise RecipeError(f"{where}: expected a table, got {value!r}")
        hints = get_type_hints(kind)
        wanted = {f.name for f in fields(kind)}
        for kind_of, odd in (("unknown", set(value) - wanted), ("missing", wanted - set(value))):
            if odd:
                raise RecipeError(f"{where}: {kind_of} key {sorted(odd)[0]!r}; expected exactly {', '.join(sorted(wanted))}")
        return kind(**{k: _build(hints[k], v, f"{where}: {k}") for k, v in value.items()})  # type: ignore[operator]
    origin = get_origin(kind)
    if origin is tuple and isinstance(value, list):
        return tuple(_build(get_args(kind)[0], v, where) for v in value)
    if origin is not None and isinstance(value, Mapping):
        return {k: _build(get_args(kind)[1], v, f"{where}.{k}") for k, v in value.items()}
    if kind is float and type(value) in (int, float) and math.isfinite(value):
        return float(value)
    if kind in (int, str) and type(value) is kind:
        return value
    raise RecipeError(f"{where}: expected {getattr(kind, '__name__', kind)}, got {value!r}")


def _check(recipe: Recipe, where: str) -> None:
    """Raise RecipeError where values are impossible or contradict each other."""

    def need(ok: bool, key: str, expected: str, got: object) -> None:
        if not ok:
            raise RecipeError(f"{where}: {key}: expected {expected}, got {got}")

    need(
        sorted(recipe.channels) == sorted(ALL_CHANNELS),
        "channels",
        f"exactly {', '.join(ALL_CHANNELS)}",
        ", ".join(sorted(recipe.channels)),
    )
    for name, c in recipe.channels.items():
        need(c.minimum > 0, f"channels.{name}.minimum", "more than 0", c.minimum)
        for key, bounds, labels in (("sizes", c.sizes, c.size_names), ("paces", c.paces, c.pace_names)):
            rising = len(labels) == len(bounds) + 1 and list(bounds) == sorted(set(bounds))
            need(rising, f"channels.{name}.{key}", "rising bounds and one more name than bounds", f"{bounds} and {labels}")
    for key in ("displacement_z", "rotation_yaw"):
        need(
            len(recipe.channels[key].paces) == 3,
            f"channels.{key}.paces",
            "three bounds (four options are asked)",
            recipe.channels[key].paces,
        )
    need(1 <= recipe.signals.grid_hz <= 1000, "signals.grid_hz", "1 to 1000", recipe.signals.grid_hz)
    cfg = recipe.robustness
    need(1 <= cfg.agree <= cfg.copies, "robustness.agree", f"1 to copies ({cfg.copies})", cfg.agree)
    need(0 < recipe.assembly.test_share < 1, "assembly.test_share", "a share between 0 and 1", recipe.assembly.test_share)
    for key, rungs in (("metres", recipe.questions.metres), ("turns_deg", recipe.questions.turns_deg)):
        need(
            len(rungs) % 4 == 0 and list(rungs) == sorted(set(rungs)),
            f"questions.{key}",
            "rising values, a multiple of four of them",
            rungs,
        )
