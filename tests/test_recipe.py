"""A recipe with a slip says where; the same numbers have the same fingerprint, any other number another."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from builder import recipe
from builder.motion import ALL_CHANNELS
from builder.types import RecipeError

ROOT = Path(__file__).resolve().parents[1]
TEXT = (recipe.FOLDER / "default.toml").read_text("utf-8")


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, "utf-8")
    return path


def test_the_recipes_that_come_along_load():
    assert "default" in recipe.names()
    for name in recipe.names():
        loaded = recipe.load(name)
        assert loaded.name == name
        assert set(loaded.channels) <= set(ALL_CHANNELS)
    assert set(recipe.load().channels) == set(ALL_CHANNELS)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("seed = 0", "seed = 0\nspeed = 3", ("unknown", "'speed'")),
        ("grid_hz = 60.0", "grid_hz = 60.0\ngird_hz = 50.0", ("unknown", "'gird_hz'", "signals")),
        ("grid_hz = 60.0\n", "", ("missing", "'grid_hz'", "signals")),
        ("seed = 0\n", "", ("missing", "'seed'")),
        ("[priors]\nmax_blind = 5.0\nmin_test = 200", "", ("missing", "'priors'")),
        ("grid_hz = 60.0", 'grid_hz = "fast"', ("grid_hz", "float", "'fast'")),
        ("grid_hz = 60.0", "grid_hz = true", ("grid_hz", "float", "True")),
        ("copies = 16", "copies = 16.5", ("copies", "int", "16.5")),
        ("seed = 0", "seed = true", ("seed", "int", "True")),
        ("paces = [0.4, 1.0, 1.8]", 'paces = [0.4, "1.0", 1.8]', ("paces", "float", "'1.0'")),
        ("paces = [0.4, 1.0, 1.8]", "paces = 0.4", ("paces", "0.4")),
        ("paces = [0.4, 1.0, 1.8]", "paces = [0.4, 1.8, 1.0]", ("displacement_x", "rising")),
        ('size_names = ["slight", "moderate", "large"]', 'size_names = ["slight"]', ("displacement_y", "one more name")),
        ("agree = 15", "agree = 17", ("robustness.agree", "16", "17")),
        ("test_share = 0.25", "test_share = 1.5", ("assembly.test_share", "1.5")),
        ("[priors]", "priors = 3\n[other]", ("unknown", "'other'")),
        ("[channels.displacement_x]", "[channels.displacement_w]", ("displacement_w",)),
        ("grid_hz = 60.0", "grid_hz = 0.0", ("grid_hz", "0.0")),
        ("grid_hz = 60.0", "grid_hz = nan", ("grid_hz", "nan")),
        ("minimum = 0.20", "minimum = -0.20", ("displacement_y", "minimum", "-0.2")),
        ("seed = 0", "seed = ", ("TOML",)),
    ],
)
def test_a_slip_is_one_line_that_names_file_and_key(tmp_path: Path, old: str, new: str, words: tuple[str, ...]):
    assert old in TEXT
    path = written(tmp_path, TEXT.replace(old, new, 1))
    with pytest.raises(RecipeError) as caught:
        recipe.load(path)
    message = str(caught.value)
    assert str(path) in message
    assert [w for w in words if w not in message] == []
    assert "\n" not in message


def test_a_recipe_that_is_not_there_says_which_are(tmp_path: Path):
    for name in ("defualt", str(tmp_path / "none.toml")):
        with pytest.raises(RecipeError, match=r"default") as caught:
            recipe.load(name)
        assert name in str(caught.value)


def test_whole_numbers_are_numbers(tmp_path: Path):
    same = recipe.load(written(tmp_path, TEXT.replace("grid_hz = 60.0", "grid_hz = 60")))
    assert same == recipe.load()
    assert same.digest == recipe.load().digest


def other(value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, tuple):
        return (*value[:-1], other(value[-1]))
    return value + "x" if isinstance(value, str) else value + 1


def variants(value: Any) -> Iterator[Any]:
    """`value` with one number or name changed, once for each that it holds."""
    if is_dataclass(value) and not isinstance(value, type):
        for f in fields(value):
            yield from (replace(value, **{f.name: v}) for v in variants(getattr(value, f.name)))
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from ({**value, key: v} for v in variants(part))
    else:
        yield other(value)


def test_the_digest_changes_with_any_value():
    default = recipe.load()
    every = list(variants(default))
    digests = {v.digest for v in every}
    assert len(every) > 100
    assert len(digests) == len(every)
    assert default.digest not in digests
    assert recipe.load(seed=7).digest == replace(default, seed=7).digest != default.digest


def test_the_digest_is_the_same_in_another_process():
    code = "from builder import recipe; print(recipe.load().digest)"
    env = {**os.environ, "PYTHONHASHSEED": "99", "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert run.stdout.strip() == recipe.load().digest, run.stderr
