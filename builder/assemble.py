"""Over the whole corpus: split by group and flatten answer priors.

Nothing here changes a question.  A question is kept or dropped, so adding a clip or a family alters no other question.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from builder.catalogue import Columns, Ints, Kind, columns_of
from builder.recipe import Recipe
from builder.types import BuildError, Question

CHUNK = 1 << 18  # questions that are looked at in one go
Key = tuple[Any, ...]
LEVELS: tuple[Callable[[Kind | Question], Key], ...] = (
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
    questions = sorted(questions, key=lambda q: q.id)
    return [questions[i] for i in chosen(columns_of(questions), recipe)]


def flatten(questions: Sequence[Question], recipe: Recipe) -> list[Question]:
    """The questions kept so that no answer text is right more often than chance, sorted by id: see `flat`."""
    questions = sorted(questions, key=lambda q: q.id)
    return [questions[i] for i in flat(columns_of(questions), recipe)]


def chosen(questions: Columns, recipe: Recipe) -> Ints:
    """`choose` on columns that are sorted by id: the places of what is kept, in order."""
    places = flat(questions, recipe)
    category = {name: number for number, name in enumerate(sorted({k.category for k in questions.kinds}))}
    of_kind = np.array([category[k.category] for k in questions.kinds], np.int64)
    owner = questions.holder[places].astype(np.int64) * max(1, len(category)) + of_kind[questions.kind[places]]
    order = np.argsort(owner, kind="stable")
    owner = owner[order]
    rank = np.arange(len(owner)) - np.searchsorted(owner, owner, side="left")
    few = places[np.sort(order[rank < recipe.questions.per_category])]
    return few[flat(Columns(questions.kinds, questions.kind[few], questions.answer[few], questions.holder[few]), recipe)]


def flat(questions: Columns, recipe: Recipe) -> Ints:
    """The places of the questions kept so that no answer text is right more often than chance, at every level of LEVELS.

    A cell is one option text within one group of a level.  In every cell the number of times the option is the answer may
    exceed what chance expects by at most `flatness` standard deviations and half a question.  Which questions go is decided
    by how much they add to the excess, then by their order, which is that of their ids.
    """
    places = np.arange(len(questions.kind))
    if not len(places):
        return places
    cells, first, n_cells = _cells(questions.kinds, np.unique(questions.kind))
    options = np.array([len(k.options) for k in questions.kinds])
    answer_row = first[questions.kind] + questions.answer
    for _ in range(500):
        expected, offered, hits = (np.zeros(n_cells) for _ in range(3))
        for start in range(0, len(places), CHUNK):
            here = places[start : start + CHUNK]
            n = options[questions.kind[here]]
            rows = np.repeat(first[questions.kind[here]] - np.concatenate(([0], np.cumsum(n)[:-1])), n) + np.arange(n.sum())
            # One after the other in the order of ids: another order of adding would give other last digits.
            np.add.at(expected, cells[rows].ravel(), np.repeat(np.repeat(1.0 / n, n), len(LEVELS)))
            np.add.at(offered, cells[rows].ravel(), 1.0)
            np.add.at(hits, cells[answer_row[here]].ravel(), 1.0)
        excess = hits - expected
        others = np.maximum(0.0, offered / np.maximum(expected, 1e-9) - 1.0)  # wrong options beside each right one, on average
        allowed = recipe.assembly.flatness * others / 3.0 * np.sqrt(expected) + 0.5
        over = np.maximum(0.0, excess - allowed)
        if not (over > 1e-9).any():
            return places
        heavy = excess / np.sqrt(expected + 1.0)
        load = np.concatenate(
            [heavy[cells[answer_row[places[start : start + CHUNK]]]].sum(axis=1) for start in range(0, len(places), CHUNK)]
        )
        order = places[np.lexsort((places, -load))]
        places = np.setdiff1d(places, _victims(order, cells, answer_row[order], over), assume_unique=True)
        if not len(places):
            return places
    raise BuildError("the answer priors could not be flattened in 500 rounds; raise assembly.flatness in the recipe")


def _cells(kinds: Sequence[Kind], used: Ints) -> tuple[Ints, Ints, int]:
    """Cell numbers (R, L) of every option of every kind that is used, the row of each kind's first option, and how many cells."""
    number: dict[Key, int] = {}
    rows: list[list[int]] = []
    first = np.zeros(len(kinds), np.int64)
    for k in used:
        first[k] = len(rows)
        keys = [(level, key(kinds[k])) for level, key in enumerate(LEVELS)]
        rows += [[number.setdefault((*key, option), len(number)) for key in keys] for option in kinds[k].options]
    return np.array(rows, np.int64), first, len(number)


def _victims(order: Ints, cells: Ints, answer_row: Ints, over: Any) -> Ints:
    """Questions to drop this round: in each overfull cell about half of what is too much, the heaviest first."""
    gone = np.zeros(len(order), dtype=bool)
    for level in range(cells.shape[1]):
        own = cells[answer_row, level]
        by_cell = np.argsort(own, kind="stable")
        own = own[by_cell]
        rank = np.arange(len(own)) - np.searchsorted(own, own, side="left")
        gone[by_cell[rank < np.ceil(0.5 * over[own])]] = True
    return order[gone]


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
