"""The blind solvers: what can be answered without watching.

The first learns, from the train side, how often every option text is right at ever coarser contexts.  The second knows
nothing of templates: a conditional logit over hashed word pairs of question and option, fitted by gradient on the finished
rows.  Neither ever sees a video; both answer the test side.  Scores are chance-normalised points.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from builder.recipe import Priors
from builder.types import CATEGORIES, Question


class Asked(NamedTuple):
    """A question as the solvers are given it: without its evidence."""

    id: str
    clip_id: str
    category: str
    template: str
    quantity: str
    window: str
    text: str
    options: tuple[str, ...]
    answer: int


Questions = Sequence[Question | Asked]
Solver = Callable[[Questions, Questions], list[int]]


def by_priors(train: Questions, test: Questions) -> list[int]:
    """Choices for `test`: each option's rate of being right in `train`, backing off from exact to coarse contexts."""
    right: dict[Any, float] = defaultdict(float)
    offered: dict[Any, float] = defaultdict(float)
    for q in train:
        for k, keys in enumerate(_contexts(q)):
            for key in keys:
                offered[key] += 1.0
                right[key] += k == q.answer

    def rate(keys: Sequence[Any], value: float) -> float:
        for key in reversed(keys):  # coarse to fine; each level counts with what it has seen
            value = (right.get(key, 0.0) + 4.0 * value) / (offered.get(key, 0.0) + 4.0)
        return value

    return [int(np.argmax([rate(keys, 1.0 / len(q.options)) for keys in _contexts(q)])) for q in test]


def _contexts(q: Question | Asked) -> list[list[Any]]:
    """Of every option, what it is seen in, from the exact context to the option alone."""
    every, ranked = frozenset(q.options), sorted(q.options, key=_number)
    return [
        [
            (q.template, q.quantity, q.window, every, option),
            (q.template, q.quantity, option),
            (q.template, q.window, option),
            (q.template, ranked.index(option)),
            (q.template, option),
            (q.category, option),
            option,
        ]
        for option in q.options
    ]


@lru_cache(4096)
def _number(text: str) -> tuple[float, str]:
    found = re.search(r"\d+(\.\d+)?", text)
    return (float(found.group()) if found else 0.0, text)


BUCKETS = 1 << 15


def by_words(train: Questions, test: Questions) -> list[int]:
    """Choices for `test` by a conditional logit over hashed words of the option and their pairs with words of the question."""
    x, row, owner, target = _word_features(train)
    known = np.unique(x.indices)  # words never seen in training weigh nothing; leaving them out keeps the fit small
    weights = _fit(x[:, known], row, owner, target)
    x, row, owner, _ = _word_features(test)
    scores = (x[:, known] @ weights)[row]
    starts = np.searchsorted(owner, np.arange(len(test)))
    ends = np.append(starts[1:], len(owner))
    return [int(np.argmax(scores[a:b])) for a, b in zip(starts, ends, strict=True)]


def _word_features(questions: Questions) -> tuple[Any, Any, Any, Any]:
    """Features (D, BUCKETS) of the D different pairs of text and option; of every option its pair, its question, and if it is right."""
    pairs: dict[tuple[str, str], int] = {}
    row = np.fromiter((pairs.setdefault((q.text, option), len(pairs)) for q in questions for option in q.options), np.int64)
    owner = np.repeat(np.arange(len(questions)), [len(q.options) for q in questions])
    target = np.fromiter((k == q.answer for q in questions for k in range(len(q.options))), bool)
    columns = [np.array(_columns(text, option), np.int32) for text, option in pairs]
    rows = np.repeat(np.arange(len(pairs)), [len(c) for c in columns])
    every = np.concatenate(columns)
    return csr_matrix((np.ones(len(rows)), (rows, every)), shape=(len(pairs), BUCKETS)), row, owner, target


def _columns(text: str, option: str) -> list[int]:
    """The buckets of an option's words, of their pairs with the words of the question, and of the two as a whole."""
    asked = sorted(set(re.findall(r"[a-z0-9.]+", text.lower())))
    words = [*sorted(set(re.findall(r"[a-z0-9.]+", option.lower()))), option]
    names = [*words, *[f"{a}~{w}" for a in asked for w in words], f"{text}~{option}"]
    return [zlib.crc32(n.encode()) % BUCKETS for n in names]


def _fit(x: Any, row: Any, owner: Any, target: Any, ridge: float = 3.0) -> Any:
    """The weights (K,) under which the right option of every question is likeliest; `x` (D, K) has a row per text and option."""
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    transposed = x.T.tocsr()

    def loss(w: Any) -> tuple[float, Any]:
        z = (x @ w)[row]
        z = np.exp(z - np.maximum.reduceat(z, starts)[owner])
        p = z / np.add.reduceat(z, starts)[owner]
        slope = transposed @ np.bincount(row, p - target, x.shape[0])
        return float(-np.log(np.maximum(p[target], 1e-12)).sum() + 0.5 * ridge * w @ w), slope + ridge * w

    return minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 60}).x


SOLVERS: Mapping[str, Solver] = {"priors": by_priors, "second": by_words}


def normalised(q: Question | Asked, choice: int | None) -> float:
    """(correct - 1/k) / (1 - 1/k) for k options: 0 at chance, 1 when right, negative when wrong."""
    chance = 1.0 / len(q.options)
    return (float(choice == q.answer) - chance) / (1.0 - chance)


MOST = 60_000  # questions that a solver learns from, and as many that it is asked: memory and time stay bounded, intervals narrow


def turn_of(clip_id: str) -> int:
    """When a clip's turn is to be shown to the solvers: a hash, so that no other clip can change it."""
    return int.from_bytes(hashlib.sha256(clip_id.encode()).digest()[:8], "big")


def last_turn(turns: NDArray[np.uint64], questions: NDArray[Any]) -> int:
    """The turn of the last clip that is shown: whole clips with no more than MOST questions in all; -1 for none.

    `turns` and `questions` (N,) are of people, several of whom may be of one clip.
    """
    order, clip = np.unique(turns, return_inverse=True)
    shown = int(np.searchsorted(np.cumsum(np.bincount(clip, questions)), MOST, side="right"))
    return int(order[shown - 1]) if shown else -1


def blind_report(train: Questions, test: Questions, cfg: Priors, seed: int) -> dict[str, dict[str, Any]]:
    """For each solver: points per category and their mean with 95 % intervals clustered by clip, and a verdict in words."""
    return {name: _report(solver(train, test) if train and test else [], test, cfg, seed) for name, solver in SOLVERS.items()}


def _report(choices: Sequence[int], test: Questions, cfg: Priors, seed: int) -> dict[str, Any]:
    few = f"too few to tell ({len(test)} test questions; {cfg.min_test} needed)" if len(test) < cfg.min_test else None
    if not choices:
        return {"n": len(test), "verdict": few or "nothing to learn from", "guessed": []}
    points = np.array([100.0 * normalised(q, c) for q, c in zip(test, choices, strict=True)])
    number = {clip_id: k for k, clip_id in enumerate(sorted({q.clip_id for q in test}))}
    clips = np.array([number[q.clip_id] for q in test])
    category = np.array([q.category for q in test])
    of = {name: category == name for name in CATEGORIES if (category == name).any()}
    per_clip = [np.bincount(clips[own], what[own], len(number)) for what in (points, np.ones(len(test))) for own in of.values()]
    total, asked = np.split(_drawn(np.column_stack(per_clip), seed).T, 2)
    replicas = total / np.maximum(asked, 1)
    table = {name: _interval(points[of[name]].mean(), r, int(of[name].sum())) for name, r in zip(of, replicas, strict=True)}
    mean = _interval(float(np.mean([t["score"] for t in table.values()])), np.mean(replicas, axis=0), len(test))
    guessed = [] if few else sorted(name for name, t in table.items() if t["low"] > cfg.max_blind)
    verdict = few or (f"can be guessed without watching: {', '.join(guessed)}" if guessed else "cannot be guessed without watching")
    return {"by_category": table, "mean": mean, "n": len(test), "verdict": verdict, "guessed": guessed}


def _drawn(per_clip: NDArray[Any], seed: int) -> NDArray[Any]:
    """Sums (1000, K) of the columns of `per_clip` (N, K) over N clips that are drawn with replacement, a few draws at a time."""
    rng, n = np.random.default_rng(seed), len(per_clip)
    return np.concatenate([rng.multinomial(n, np.ones(n) / n, size=50) @ per_clip for _ in range(20)])


def _interval(score: float, replicas: Any, n: int) -> dict[str, Any]:
    low, high = np.percentile(replicas, [2.5, 97.5])
    return {"score": round(float(score), 2), "low": round(float(low), 2), "high": round(float(high), 2), "n": n}
