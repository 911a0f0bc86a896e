"""What a track reader scores on people whom it has never seen: on true tracks, on noisy and lifted ones, blind, and in new words."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from builder import assemble, geometry, lifting, motion, plugins, reader, recipe, robustness, scoring, selection, told, wordings
from builder.performer import cast_clips, cast_reference
from builder.recipe import Recipe
from builder.train.lessons import Lessons
from builder.types import HumanMoveError, Motion, Question, Track
from builder.validate.pairing import paired
from builder.workers import Progress

FRESH = 1000  # number of the noisy copy that readers are tested on: never one of those that they learn from
Views = dict[str, dict[str, told.Told]]  # by clip, then by the way it is shown: "true" and others


def graded(net: Any, words: reader.Words, asked: Lessons, source: str = "tracks", view: int = 0) -> list[scoring.Graded]:
    """A network's answers to every question of these lessons."""
    net.eval()
    out = []
    for person in range(len(asked.count)):
        questions = [asked.questions[k] for k in np.flatnonzero(asked.person == person)]
        if not questions:
            continue
        tables = tuple(t[person, view] for t in asked.tables)
        tables = (*tables[:3], tables[3][: asked.count[person, view]], tables[4])
        for q, row in zip(questions, reader.choose(net, words, tables, [(q.text, q.options) for q in questions]), strict=True):
            out.append(scoring.Graded(q.id, source, f"{person}", q.category, len(q.options), _best(row), q.answer))
    return out


def report(net: Any, words: reader.Words, asked: dict[str, Lessons]) -> dict[str, Any]:
    """`scoring.report` of a network over the questions of several groups, each a source of its own."""
    return scoring.report([g for name, group in asked.items() for g in graded(net, words, group, name)])


def _best(row: Sequence[float]) -> int:
    return max(range(len(row)), key=row.__getitem__)


def packaged(path: Path | None = None) -> tuple[Any, reader.Words, dict[str, Any]]:
    """The reader in a file, or the one that comes with the package."""
    return reader.load(path or Path(plugins.load("models", "track_reader").PACKAGED))


def measure(
    path: Path | None = None, number: int = 200, seed: int = 7, reword: bool = True, progress: Progress = lambda *done: None
) -> dict[str, Any]:
    """Scores of a reader on `number` people of `synthetic=N@SEED`, asked what a build publishes of them.

    "true" is on their true tracks, "noisy" on copies with a lifter's errors, "hidden" without the track, "reworded" on true tracks in
    wordings that were kept out of training; each with the mean over categories, its interval, and every category, in points.
    """
    known = recipe.load("default")
    net, words, head = packaged(path)
    asked: list[Question] = []
    views: Views = {}
    for done, clip in enumerate(cast_clips("synthetic", f"seed-{seed}", number), start=1):
        progress(done, number, clip.clip_id)
        (track,) = cast_reference(clip)
        described, questions = selection.questions_of(track, known)
        asked += questions
        views[clip.clip_id] = _seen(described, _noisy(track, known), known)
    kept = assemble.choose(asked, known)
    ways = ("true", "noisy", "hidden", *(["reworded"] if reword else []))
    about = {"people": number, "seed": seed, "optimiser_steps": head["steps"], "trained_on": head["people"]}
    return {**about, "questions": len(kept), **{way: _score(net, words, views, kept, way) for way in ways}}


def measure_lifted(
    source: str, lifter: str, work: Path, path: Path | None = None, progress: Progress = lambda *done: None
) -> dict[str, Any]:
    """Scores of a reader on the films of a source ("synthetic=60@12:filmed"): on the tracks that a lifter makes of them ("lifted"), and
    on the true ones of the same people ("true") and blind ("hidden").  Lifted tracks are kept in the work folder; people whom the
    lifter refuses or does not find are not asked about.
    """
    known = recipe.load("default")
    net, words, _ = packaged(path)
    name, _, root = source.partition("=")
    clips = list(plugins.load("sources", name, ("clips", "reference")).clips(root or None))
    asked: list[Question] = []
    views: Views = {}
    refused = 0
    for done, clip in enumerate(clips, start=1):
        progress(done, len(clips), clip.clip_id)
        try:
            (truth,) = lifting.lifted(clip, lifting.TRUTH, {}, work)
            (track,) = [t for t in lifting.lifted(clip, lifter, {}, work) if not lifting.refused(t)][:1]
            pair = paired(track, truth)
        except (HumanMoveError, ValueError):
            refused += 1
            continue
        described, questions = selection.questions_of(geometry.fill_invalid(pair.truth), known)
        asked += questions
        views[clip.clip_id] = _seen(described, motion.describe(geometry.fill_invalid(pair.lifted), known), known, "lifted")
    kept = assemble.choose(asked, known)
    about = {"source": source, "lifter": lifter, "people": len(views), "refused": refused, "questions": len(kept)}
    return {**about, **{way: _score(net, words, views, kept, way) for way in ("true", "lifted", "hidden")}}


def _noisy(track: Track, known: Recipe) -> Motion:
    return motion.segment(robustness.perturb(motion.sample(track, known), known, FRESH), known)


def _seen(true: Motion, other: Motion, known: Recipe, name: str = "noisy") -> dict[str, told.Told]:
    tables = told.told(true, known)
    return {"true": tables, name: told.told(other, known), "hidden": told.hidden(tables)}


def _score(
    net: Any, words: reader.Words, views: Mapping[str, Mapping[str, told.Told]], kept: Sequence[Question], way: str
) -> dict[str, Any]:
    """The scores of one way of showing, or of asking in new words."""
    graded = []
    for clip_id, tables in views.items():
        here = [q for q in kept if q.clip_id == clip_id]
        if not here:
            continue
        texts = [wordings.reworded(q.text, random.Random(q.id), kept_out=True) if way == "reworded" else q.text for q in here]
        rows = reader.choose(net, words, tables.get(way, tables["true"]), list(zip(texts, (q.options for q in here), strict=True)))
        for q, row in zip(here, rows, strict=True):
            graded.append(scoring.Graded(q.id, "synthetic", clip_id, q.category, len(q.options), _best(row), q.answer))
    found = scoring.report(graded)
    by = {name: cell["score"] for name, cell in found["by_category"].items()}
    return {"score_macro": found["score_macro"], "interval": found["interval"], "by_category": by}
