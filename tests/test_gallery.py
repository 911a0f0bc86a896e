"""docs/gallery.md is what `make gallery` draws from the packaged clips."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import documents
import pytest

from builder import motion, plugins, recipe

ROOT = Path(__file__).resolve().parents[1]
SPEC = importlib.util.spec_from_file_location("gallery", ROOT / "docs" / "gallery.py")
assert SPEC
assert SPEC.loader
gallery = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(gallery)
CLIPS = gallery.clips()


def test_the_page_is_the_dataset_of_today():
    assert documents.text("docs/gallery.md") == gallery.page(CLIPS), "run `make gallery`"


@pytest.mark.parametrize("clip", [CLIPS[0], *(pytest.param(c, marks=pytest.mark.slow) for c in CLIPS[1:])], ids=gallery.name_of)
def test_the_pictures_are_the_tracks_of_today(clip):
    for track in plugins.load("sources", "sample").reference(clip):
        for name, picture in gallery.pictures(clip, motion.describe(track, recipe.load())).items():
            assert (gallery.FOLDER / name).read_text(encoding="utf-8") == picture, "run `make gallery`"
