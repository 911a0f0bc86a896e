"""From graded answers to scores: chance-normalised per question, by category, with intervals over videos.  Pure functions.

A question with k options is worth (correct - 1/k) / (1 - 1/k): 0 for guessing, 1 when right, negative when wrong, never
clipped.  k is the number of options that were shown.  A category's score is the mean over its questions, `score_macro` the
mean over categories, `score_micro` the mean over questions, `score_source_macro` the mean over sources of their own macro.
Questions about one video stand or fall together, so intervals are a bootstrap that draws videos, within each source.
Records hold shares (0-1); `report` and `compare` give points (x 100).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from builder.types import CATEGORIES, Floats, Score

RESAMPLES = 2000
SEED = 0
LEVELS = (2.5, 97.5)
CHUNK = 250  # replicas drawn at a time, to bound memory


@dataclass(frozen=True)
class Graded:
    """One answered question: k = `num_options`, `choice` the place chosen (None: unreadable), `answer` the right place."""

    question_id: str
    source: str
    video_id: str
    category: str
    num_options: int
    choice: int | None
    answer: int
    rotation: int = 0

    @property
    def points(self) -> float:
        """(correct - 1/k) / (1 - 1/k)."""
        return normalised(self.choice == self.answer, self.num_options)


def normalised(correct: float, k: int) -> float:
    """A share of right answers to questions with k options, freed of chance: (correct - 1/k) / (1 - 1/k)."""
    chance = 1.0 / k
    return (float(correct) - chance) / (1.0 - chance)


def score(answers: Sequence[Graded], seed: int = SEED, resamples: int = RESAMPLES) -> Score:
    """The scores of a run, as shares; questions are counted once, by their rotation 0."""
    first = [a for a in answers if a.rotation == 0]
    if not first:
        nan = math.nan
        return Score(nan, nan, {}, {}, 0, 0.0, (nan, nan))
    sheet = _Sheet(first)
    low, high = _interval(sheet.replicas(lambda e: e.macro, seed, resamples), sheet)
    here = sheet.here
    return Score(
        score_macro=float(here.macro[0]),
        score_micro=float(here.micro[0]),
        by_category=dict(zip(sheet.categories, map(float, here.by_category[0]), strict=True)),
        by_source=dict(zip(sheet.sources, map(float, here.by_source[0]), strict=True)),
        n=len(first),
        invalid_rate=sum(a.choice is None for a in first) / len(first),
        interval=(low, high),
    )


def report(answers: Iterable[Graded], seed: int = SEED, resamples: int = RESAMPLES) -> dict[str, Any]:
    """Everything that a table of one run needs, in points (x 100, two decimals), JSON-ready; the same for any order of `answers`."""
    answers = sorted(answers, key=lambda a: (a.source, a.video_id, a.question_id, a.rotation))
    first = [a for a in answers if a.rotation == 0]
    found = score(first, seed, resamples)
    out: dict[str, Any] = {
        "score_macro": _points(found.score_macro),
        "interval": _pair(found.interval),
        "score_micro": _points(found.score_micro),
        "score_source_macro": None,
        "n": found.n,
        "videos": len({(a.source, a.video_id) for a in first}),
        "accuracy": _points(_mean([a.choice == a.answer for a in first])),
        "chance": _points(_mean([1.0 / a.num_options for a in first])),
        "invalid_rate": _points(found.invalid_rate),
        "score_valid_only": None,
        "by_category": {},
        "by_source": {},
    }
    if not first:
        return out
    sheet = _Sheet(first)
    valid = [a for a in first if a.choice is not None]
    out["score_source_macro"] = _points(float(np.mean([v for v in sheet.here.by_source[0] if not math.isnan(v)])))
    out["score_valid_only"] = _points(float(_Sheet(valid).here.macro[0])) if valid else None
    categories = sheet.replicas(lambda e: e.by_category, seed, resamples)
    sources = sheet.replicas(lambda e: e.by_source, seed, resamples)
    for k, category in enumerate(sheet.categories):
        here = [a for a in first if a.category == category]
        out["by_category"][category] = _cell(here, sheet.here.by_category[0, k], _interval(categories[:, k], sheet))
    for k, source in enumerate(sheet.sources):
        here = [a for a in first if a.source == source]
        cell = _cell(here, sheet.here.by_source[0, k], _interval(sources[:, k], sheet, source))
        cell["score_micro"] = _points(_mean([a.points for a in here]))
        cell["by_category"] = {
            c: {"score": _points(_mean([a.points for a in here if a.category == c])), "n": sum(a.category == c for a in here)}
            for c in sheet.categories
        }
        out["by_source"][source] = cell
    if any(a.rotation for a in answers):
        out["circular"] = circular(answers)
    return out


def compare(a: Iterable[Graded], b: Iterable[Graded], seed: int = SEED, resamples: int = RESAMPLES) -> dict[str, Any]:
    """b minus a over the questions that both answered, in points, the same videos drawn for both; JSON-ready.

    `better` is the share of replicas in which b is ahead.  Raises ValueError when they share no question, or when a shared
    one has another right answer or number of options in the other.
    """
    sides = [{x.question_id: x for x in side if x.rotation == 0} for side in (a, b)]
    shared = sorted(sides[0].keys() & sides[1].keys())
    if not shared:
        raise ValueError("the runs share no question")
    pairs = [(sides[0][q], sides[1][q]) for q in shared]
    for one, other in pairs:
        if (one.num_options, one.answer, one.category) != (other.num_options, other.answer, other.category):
            raise ValueError(f"question {one.question_id} is not the same in both: other options, answer or category")
    before, after = (_Sheet(side) for side in zip(*pairs, strict=True))
    out: dict[str, Any] = {"n": len(shared), "videos": len(before.videos), "only_in_first": len(sides[0]) - len(shared)}
    out["only_in_second"] = len(sides[1]) - len(shared)
    for name, value in (("macro", lambda e: e.macro), ("micro", lambda e: e.micro)):
        gaps = after.replicas(value, seed, resamples) - before.replicas(value, seed, resamples)
        scores = [_points(float(value(s.here)[0])) for s in (before, after)]
        out[name] = {"first": scores[0], "second": scores[1], "difference": _points(float(value(after.here)[0] - value(before.here)[0]))}
        out[name] |= {"interval": _pair(_interval(gaps, before)), "better": round(float(np.mean(gaps > 0)), 4)}
    gaps = after.replicas(lambda e: e.by_category, seed, resamples) - before.replicas(lambda e: e.by_category, seed, resamples)
    change = after.here.by_category[0] - before.here.by_category[0]
    out["by_category"] = {
        c: {"difference": _points(float(change[k])), "interval": _pair(_interval(gaps[:, k], before))}
        for k, c in enumerate(before.categories)
    }
    right = [(x.choice == x.answer, y.choice == y.answer) for x, y in pairs]
    out["only_first_right"], out["only_second_right"] = right.count((True, False)), right.count((False, True))
    return out


def circular(answers: Sequence[Graded]) -> dict[str, Any]:
    """Over questions that were asked in every rotation of their options: the share right in all of them, what the letters of
    the replies and of the right answers were, and how many of the answers behind each letter were found.

    `chance` is that of guessing anew each time, (1/k)^k; it is not taken off, because a model that holds on to one option
    text by prejudice is right in all rotations with 1/k.
    """
    by: dict[str, dict[int, Graded]] = defaultdict(dict)
    for a in answers:
        by[a.question_id][a.rotation] = a
    whole = [list(r.values()) for r in by.values() if len(r) == next(iter(r.values())).num_options]
    every = [a for r in whole for a in r]
    letters: dict[str, dict[str, int]] = {}
    for k in range(max((a.num_options for a in every), default=0)):
        shown = [a for a in every if _shown(a.answer, a) == k]
        chosen = sum(a.choice is not None and _shown(a.choice, a) == k for a in every)
        letters["ABCDEFGH"[k]] = {"right": len(shown), "found": sum(a.choice == a.answer for a in shown), "chosen": chosen}
    return {
        "questions": len(whole),
        "accuracy": _points(_mean([a.choice == a.answer for a in every])),
        "all_right": _points(_mean([all(a.choice == a.answer for a in r) for r in whole])),
        "chance_all_right": _points(_mean([(1.0 / r[0].num_options) ** r[0].num_options for r in whole])),
        "letters": letters,
    }


def _shown(place: int, a: Graded) -> int:
    """The letter, as a number, behind which the option at `place` stood."""
    return (place - a.rotation) % a.num_options


@dataclass(frozen=True)
class _Estimates:
    """Scores of R replicas: macro and micro (R,), by_category (R, C), by_source (R, S); NaN where a replica has no question."""

    macro: Floats
    micro: Floats
    by_category: Floats
    by_source: Floats


class _Sheet:
    """Sums of points and numbers of questions per video and category: all that a resampling of videos needs."""

    def __init__(self, answers: Sequence[Graded]) -> None:
        present = {a.category for a in answers}
        self.categories = [*(c for c in CATEGORIES if c in present), *sorted(present - set(CATEGORIES))]
        self.videos = sorted({(a.source, a.video_id) for a in answers})
        self.sources = sorted({source for source, _ in self.videos})
        row = {v: i for i, v in enumerate(self.videos)}
        column = {c: i for i, c in enumerate(self.categories)}
        self.total = np.zeros((len(self.videos), len(self.categories)))
        self.number = np.zeros_like(self.total)
        at = (np.array([row[a.source, a.video_id] for a in answers]), np.array([column[a.category] for a in answers]))
        np.add.at(self.total, at, np.array([a.points for a in answers]))
        np.add.at(self.number, at, 1.0)
        self.owner = np.array([self.sources.index(source) for source, _ in self.videos])
        self.here = self.estimates(np.ones((1, len(self.videos))))

    def estimates(self, draws: Floats) -> _Estimates:
        """The scores where every video counts `draws` (R, V) times."""
        total, number = draws @ self.total, draws @ self.number
        by_source = []
        for k in range(len(self.sources)):
            mine = self.owner == k
            by_source.append(_mean_known(_ratio(draws[:, mine] @ self.total[mine], draws[:, mine] @ self.number[mine])))
        by_category = _ratio(total, number)
        return _Estimates(_mean_known(by_category), _ratio(total.sum(1), number.sum(1)), by_category, np.stack(by_source, axis=1))

    def replicas(self, value: Callable[[_Estimates], Floats], seed: int, resamples: int) -> Floats:
        """`value` of `resamples` draws of as many videos as there are, with replacement within each source; (R,) or (R, ...)."""
        rng = np.random.default_rng(seed)
        out = []
        for start in range(0, resamples, CHUNK):
            draws = np.zeros((min(CHUNK, resamples - start), len(self.videos)))
            for k in range(len(self.sources)):
                mine = np.flatnonzero(self.owner == k)
                draws[:, mine] = rng.multinomial(len(mine), np.full(len(mine), 1.0 / len(mine)), size=len(draws))
            out.append(value(self.estimates(draws)))
        return np.concatenate(out)


def _ratio(total: Floats, number: Floats) -> Floats:
    return np.divide(total, number, out=np.full_like(total, np.nan), where=number > 0)


def _mean_known(values: Floats) -> Floats:
    """Mean over the last axis of what is not NaN; NaN where nothing is."""
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0.0).sum(-1), known.sum(-1).astype(float))


def _interval(replicas: NDArray[np.float64], sheet: _Sheet, source: str | None = None) -> tuple[float, float]:
    """The middle 95 % of the replicas; unknown (NaN) where there is but one video, which no resampling can vary."""
    videos = [v for v in sheet.videos if source in (None, v[0])]
    known = replicas[~np.isnan(replicas)]
    if len(videos) < 2 or not known.size:
        return math.nan, math.nan
    low, high = np.percentile(known, LEVELS)
    return float(low), float(high)


def _cell(answers: Sequence[Graded], value: float, interval: tuple[float, float]) -> dict[str, Any]:
    ks = sorted({a.num_options for a in answers})
    return {
        "score": _points(float(value)),
        "interval": _pair(interval),
        "accuracy": _points(_mean([a.choice == a.answer for a in answers])),
        "chance": _points(_mean([1.0 / a.num_options for a in answers])),
        "num_options": ks,
        "invalid_rate": _points(_mean([a.choice is None for a in answers])),
        "n": len(answers),
    }


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def _points(share: float) -> float | None:
    """x 100 with two decimals; None for what is not known."""
    return None if math.isnan(share) else round(100.0 * share, 2) + 0.0


def _pair(interval: tuple[float, float]) -> list[float] | None:
    low, high = (_points(v) for v in interval)
    return None if low is None or high is None else [low, high]
