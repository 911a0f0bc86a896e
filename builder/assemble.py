"""Over the whole corpus: split by group and flatten answer priors.

Nothing here changes a question.  A question is kept or dropped, so adding a clip or a family alters no other question.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from builder.recipe import Recipe
from builder.types import BuildError, Question

Key = tuple[Any, ...]
LEVELS: tuple[Callable[[Question], Key], ...] = (
    lambda q: (q.template, q.quantity, q.window, frozenset(q.options)),
    lambda q: (q.template, q.window, frozenset(q.options)),
    lambda q: (q.template, q.quantity, frozenset(q.options)),
    lambda q: (q.template, q.window),
    lambda q: (q.template, q.quantity),
    lambda q: (q.template,),
    lambda q: (q.category, q.quantity),
    lambda q: (q.category, q.window),
    lambda q: (q.category,),
)


def split_of(group: str, recipe: Recipe) -> str:
    """ "train" or "test" for a leakage key: a hash, so that no other group can change it."""
    number = int.from_bytes(hashlib.sha256(f"{recipe.seed}|split|{group}".encode()).digest()[:8], "big")
    return "test" if number / 2**64 < recipe.assembly.test_share else "train"


def choose(questions: Sequence[Question], recipe: Recipe) -> list[Question]:
    """The questions of one split to publish: flattened, at most `per_category` per clip and category, flattened again."""
    taken: Counter[tuple[str, str, str]] = Counter()
    few = []
    for q in flatten(questions, recipe):
        taken[q.clip_id, q.person_id, q.category] += 1
        if taken[q.clip_id, q.person_id, q.category] <= recipe.questions.per_category:
            few.append(q)
    return flatten(few, recipe)


def flatten(questions: Sequence[Question], recipe: Recipe) -> list[Question]:
    """The questions kept so that no answer text is right more often than chance, at every level of LEVELS.

    A cell is one option text within one group of a level.  In every cell the number of times the option is the answer may
    exceed what chance expects by at most `flatness` standard deviations and half a question.  Which questions go is decided
    by how much they add to the excess, then by their ids, so it does not depend on order.
    """
    questions = sorted(questions, key=lambda q: q.id)
    if not questions:
        return []
    answer_cell, option_cells, owner = _cells(questions)
    share = np.array([1.0 / len(q.options) for q in questions])
    n_cells = int(option_cells.max()) + 1
    alive = np.ones(len(questions), dtype=bool)
    for _ in range(500):
        expected = _sums(option_cells, (alive * share)[owner], n_cells)
        offered = _sums(option_cells, alive[owner], n_cells)
        hits = _sums(answer_cell, alive, n_cells)
        excess = hits - expected
        others = np.maximum(0.0, offered / np.maximum(expected, 1e-9) - 1.0)  # wrong options beside each right one, on average
        allowed = recipe.assembly.flatness * others / 3.0 * np.sqrt(expected) + 0.5
        over = np.maximum(0.0, excess - allowed)
        if not (over > 1e-9).any():
            break
        load = (excess / np.sqrt(expected + 1.0))[answer_cell].sum(axis=1)
        alive[_victims(answer_cell, over, load, alive)] = False
    else:
        raise BuildError("the answer priors could not be flattened in 500 rounds; raise assembly.flatness in the recipe")
    return [q for q, keep in zip(questions, alive, strict=True) if keep]


def _cells(questions: Sequence[Question]) -> tuple[Any, Any, Any]:
    """Cell numbers: of each question's answer (Q, L), of every option of every question (O, L), and whose option it is (O,)."""
    number_of: dict[str, int] = {}
    texts = np.fromiter((number_of.setdefault(option, len(number_of)) for q in questions for option in q.options), dtype=np.int64)
    owner = np.repeat(np.arange(len(questions)), [len(q.options) for q in questions])
    first = np.searchsorted(owner, np.arange(len(questions)))
    cells = np.empty((len(owner), len(LEVELS)), dtype=np.int32)
    known = 0
    for level, key in enumerate(LEVELS):
        groups: dict[Key, int] = {}
        group = np.fromiter((groups.setdefault(key(q), len(groups)) for q in questions), dtype=np.int64, count=len(questions))
        found, cells[:, level] = np.unique(group[owner] * len(number_of) + texts, return_inverse=True)
        cells[:, level] += known
        known += len(found)
    return cells[first + [q.answer for q in questions]], cells, owner


def _sums(cells: Any, weight: Any, n_cells: int) -> Any:
    """The weights (N,) added up in every cell; level by level, since no cell is of two, which needs no copy of `cells` (N, L)."""
    out = np.zeros(n_cells)
    for level in cells.T:
        out += np.bincount(level, weight, n_cells)
    return out


def _victims(answer_cell: Any, over: Any, load: Any, alive: Any) -> Any:
    """Questions to drop this round: in each overfull cell about half of what is too much, the heaviest first."""
    living = np.flatnonzero(alive)
    order = living[np.lexsort((living, -load[living]))]
    gone = np.zeros(len(alive), dtype=bool)
    for level in range(answer_cell.shape[1]):
        cells = answer_cell[order, level]
        by_cell = np.argsort(cells, kind="stable")
        sorted_cells = cells[by_cell]
        first = np.searchsorted(sorted_cells, sorted_cells, side="left")
        rank = np.arange(len(sorted_cells)) - first
        gone[order[by_cell[rank < np.ceil(0.5 * over[sorted_cells])]]] = True
    return gone


def prior_tables(before: Iterable[Question], after: Iterable[Question]) -> list[dict[str, Any]]:
    """For every template: how often each answer text is right before and after, and the share that chance expects after."""
    tables: dict[str, dict[str, Any]] = defaultdict(lambda: {"before": Counter(), "after": Counter(), "offered": Counter(), "asked": 0})
    for name, questions in (("before", before), ("after", after)):
        for q in questions:
            table = tables[q.template]
            table[name][q.answer_text] += 1
            if name == "after":
                table["asked"] += 1
                for option in q.options:
                    table["offered"][option] += 1 / len(q.options)
    return [
        {
            "template": template,
            "before": dict(sorted(t["before"].items())),
            "after": dict(sorted(t["after"].items())),
            "expected": {k: v / t["asked"] for k, v in sorted(t["offered"].items())},
        }
        for template, t in sorted(tables.items())
    ]


def counts(questions: Iterable[Question]) -> Mapping[str, int]:
    """Questions per category, sorted by name."""
    return dict(sorted(Counter(q.category for q in questions).items()))
