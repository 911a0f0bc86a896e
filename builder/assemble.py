"""Over the whole corpus: split by group and flatten answer priors.

Nothing here changes a question.  A question is kept or dropped, so adding a clip or a family alters no other question.

What a question adds to what can be guessed depends on its outcome alone: what is asked, among which options, and which is right.  So it
is always the first questions of an outcome, by their ids, that go, and flattening decides one number for each outcome, of which there
are some ten thousand however large the corpus.  The questions themselves stay on disk, as blocks of `spool.ASKED`.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from sys import intern
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from builder.recipe import Recipe
from builder.spool import ASKED
from builder.types import Bools, BuildError, Question

Ints = NDArray[Any]
Block = NDArray[Any]  # questions as ASKED: of whole people, each person's sorted by id
Blocks = Iterable[Block]  # that can be gone through again
PARTS = 1 << 20  # that ids are counted in when some are looked for by their rank
FEW = 1 << 16  # ids that are gathered and sorted
Key = tuple[Any, ...]


class Outcome(NamedTuple):
    """What flattening sees of a question; `options` are sorted."""

    category: str
    template: str
    quantity: str
    window: str
    options: tuple[str, ...]
    answer: str


LEVELS: tuple[Callable[[Outcome | Question], Key], ...] = (
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


def outcome_of(q: Question) -> Outcome:
    """The outcome of a question."""
    return Outcome(q.category, q.template, q.quantity, q.window, tuple(sorted(q.options)), q.answer_text)


def kept_once(outcome: Outcome) -> Outcome:
    """The same outcome of texts that are in memory but once."""
    *asked, options, answer = outcome
    category, template, quantity, window = map(intern, asked)
    return Outcome(category, template, quantity, window, tuple(map(intern, options)), intern(answer))


# Questions in a list


def choose(questions: Sequence[Question], recipe: Recipe) -> list[Question]:
    """The questions of one split to publish, sorted by id: see `chosen`."""
    return _listed(questions, recipe, chosen)


def flatten(questions: Sequence[Question], recipe: Recipe) -> list[Question]:
    """The questions kept so that no answer text is right more often than chance, sorted by id: see `flat`."""
    return _listed(questions, recipe, flattened)


def _listed(questions: Sequence[Question], recipe: Recipe, way: Callable[[Blocks, Cells, Recipe], Blocks]) -> list[Question]:
    questions = sorted(questions, key=lambda q: q.id)
    outcomes: dict[Outcome, int] = {}
    people: dict[tuple[str, str], int] = {}
    block = np.zeros(len(questions), ASKED)
    block["outcome"] = [outcomes.setdefault(outcome_of(q), len(outcomes)) for q in questions]
    block["person"] = [people.setdefault((q.clip_id, q.person_id), len(people)) for q in questions]
    block["id"] = np.arange(len(questions))  # which sorts as the ids do, whatever they look like
    return [questions[place] for kept in way([block], cells_of(list(outcomes)), recipe) for place in kept["id"].tolist()]


# Questions of any number


@dataclass(frozen=True)
class Filtered:
    """Those questions of some blocks that are to be kept, found again each time."""

    blocks: Blocks
    keep: Callable[[Block], Bools]

    def __iter__(self) -> Iterator[Block]:
        return (block[self.keep(block)] for block in self.blocks)


def chosen(asked: Blocks, cells: Cells, recipe: Recipe) -> Blocks:
    """What to publish of the questions of one split: flattened, at most `per_category` per person and category, flattened again."""
    few = Filtered(flattened(asked, cells, recipe), lambda block: within_quota(block, cells, recipe))
    return flattened(few, cells, recipe)


def flattened(asked: Blocks, cells: Cells, recipe: Recipe) -> Blocks:
    """What `flat` leaves."""
    counts = counted(asked, len(cells.outcomes))
    gone = flat(cells, counts, recipe)
    some = np.flatnonzero(gone)
    last = np.zeros(len(gone), np.uint64)  # id that goes
    last[some] = ids_at(asked, lambda block: block["outcome"], counts, some, gone[some] - 1)
    return Filtered(asked, lambda block: (gone[block["outcome"]] == 0) | (block["id"] > last[block["outcome"]]))


def within_quota(block: Block, cells: Cells, recipe: Recipe) -> Bools:
    """Which are among the first `per_category` of their person and category."""
    owner = block["person"].astype(np.int64) * len(cells.outcomes) + cells.category[block["outcome"]]
    order = np.argsort(owner, kind="stable")
    owner = owner[order]
    keep = np.zeros(len(block), dtype=bool)
    keep[order] = np.arange(len(owner)) - np.searchsorted(owner, owner) < recipe.questions.per_category
    return keep


def counted(asked: Blocks, outcomes: int) -> Ints:
    """Questions of every outcome."""
    total = np.zeros(outcomes, np.int64)
    for block in asked:
        np.add.at(total, block["outcome"], 1)
    return total


def ids_at(asked: Blocks, key_of: Callable[[Block], Ints], counts: Ints, key: Ints, rank: Ints, known: int = 0) -> NDArray[np.uint64]:
    """Of each of some keys, the id with this rank (from 0) among the key's ids in order; `counts` are the ids of every key.

    It is counted how many ids of every key lie in each of some equal parts of what an id can be.  Those in a part that holds one of the
    ranks are gathered and sorted when they are few, else counted again in finer parts.  The ids of a key share their `known` first bits.
    """
    if not len(key):
        return np.zeros(0, np.uint64)
    bits = max(1, (min(PARTS, 2 * int(counts.sum())) // len(counts)).bit_length() - 1)
    parts = np.zeros(len(counts) << bits, np.int32)

    def part_of(block: Block) -> Ints:
        return (key_of(block).astype(np.int64) << bits) + (block["id"] << np.uint64(known) >> np.uint64(64 - bits)).astype(np.int64)

    for block in asked:
        np.add.at(parts, part_of(block), 1)
    until = np.cumsum(parts, dtype=np.int64)
    place = np.cumsum(counts)[key] - counts[key] + rank  # among all, sorted by key and id
    wanted = np.searchsorted(until, place, side="right")
    rank = place - (until[wanted] - parts[wanted])  # within its part
    inside, number = np.unique(wanted, return_inverse=True)
    counts, look = parts[inside], np.zeros(len(parts), dtype=bool)
    look[inside] = True
    del parts, until
    found = Filtered(asked, lambda block: look[part_of(block)])

    def number_of(block: Block) -> Ints:
        return np.searchsorted(inside, part_of(block))

    if counts.sum() > FEW and known + bits < 64:
        return ids_at(found, number_of, counts, number, rank, known + bits)
    owner, ids = (np.concatenate(columns) for columns in zip(*((number_of(block), block["id"]) for block in found), strict=True))
    ids = ids[np.lexsort((ids, owner))]
    return np.asarray(ids[(np.cumsum(counts) - counts)[number] + rank], np.uint64)


# Outcomes


@dataclass(frozen=True, eq=False)
class Cells:
    """Where R outcomes count.  A cell is one option text within one group of a level.

    `answer` (R, L) is the cell of each outcome's answer at every level; a kind is what is asked among which options, `kind` (R,) that of
    every outcome, and `offered` (M, L) the cells of every option of every kind `asker` (M,).
    """

    outcomes: Sequence[Outcome]
    category: Ints
    kind: Ints
    answer: Ints
    offered: Ints
    asker: Ints
    number: int


def cells_of(outcomes: Sequence[Outcome]) -> Cells:
    """The cells of some outcomes, in any order."""
    groups: dict[tuple[int, Key], int] = {}
    number: dict[tuple[int, str], int] = {}
    kinds: dict[Key, int] = {}  # to its first place in `offered`
    offered, asker = array("q"), array("q")
    for outcome in outcomes:
        if outcome[:-1] not in kinds:
            own = [groups.setdefault((level, key(outcome)), len(groups)) for level, key in enumerate(LEVELS)]
            kinds[outcome[:-1]] = len(asker)
            asker.extend([len(kinds) - 1] * len(outcome.options))
            for option in outcome.options:
                offered.extend(number.setdefault((group, option), len(number)) for group in own)
    table, askers = np.array(offered, np.int64).reshape(-1, len(LEVELS)), np.array(asker, np.int64)
    right = np.array([kinds[outcome[:-1]] + outcome.options.index(outcome.answer) for outcome in outcomes], np.int64)
    names = sorted({outcome.category for outcome in outcomes})
    category = np.array([names.index(outcome.category) for outcome in outcomes], np.int64)
    return Cells(outcomes, category, askers[right], table[right], table, askers, len(number))


def flat(cells: Cells, counts: Ints, recipe: Recipe) -> Ints:
    """How many questions of every outcome (R,) go, so that no answer text is right more often than chance, at every level of LEVELS.

    In every cell the number of times the option is the answer may exceed what chance expects by at most `flatness` standard deviations
    and half a question.  In rounds, about half of what is too much goes from every overfull cell, first of those outcomes that add most
    to the excess.  All sums are of whole numbers, so no order in which questions were added can change one.
    """
    gone = np.zeros(len(counts), np.int64)
    turns = np.array([turn(outcome, int(counts.sum())) for outcome in cells.outcomes], np.uint64)
    unit = math.lcm(*{len(outcome.options) for outcome in cells.outcomes})
    share = unit // np.bincount(cells.asker)[cells.asker]  # of a question that each of its options expects, in units
    for _ in range(500):
        left = counts - gone
        asked = np.bincount(cells.kind, left, minlength=1)[cells.asker]
        expected, offered, hits = (
            np.bincount(where.ravel(), np.repeat(what, len(LEVELS)), cells.number) / units
            for where, what, units in ((cells.offered, asked * share, unit), (cells.offered, asked, 1), (cells.answer, left, 1))
        )
        excess = hits - expected
        others = np.maximum(0.0, offered / np.maximum(expected, 1e-9) - 1.0)  # wrong options beside each right one, on average
        allowed = recipe.assembly.flatness * others / 3.0 * np.sqrt(expected) + 0.5
        over = np.where(excess - allowed > 1e-9, excess - allowed, 0.0)
        if not over.any():
            return gone
        heavy = excess / np.sqrt(expected + 1.0)
        order = np.lexsort((turns, -heavy[cells.answer].sum(axis=1)))
        gone += _victims(order, cells, left, np.ceil(0.5 * over))
    raise BuildError("the answer priors could not be flattened in 500 rounds; raise assembly.flatness in the recipe")


def turn(outcome: Outcome, number: int) -> int:
    """When an outcome's turn to go comes, among those that add as much, in a split of so many questions: in each split another order, so
    that what one lacks by chance the other does not lack too, which could be learned."""
    text = "|".join((str(number), *outcome[:-2], *outcome.options, outcome.answer))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _victims(order: Ints, cells: Cells, left: Ints, too_many: Ints) -> Ints:
    """How many questions of every outcome go this round: those that the cell of its answer, at some level, has too many of."""
    most = np.zeros(len(left), np.int64)
    for level in range(len(LEVELS)):
        by_cell = order[np.argsort(cells.answer[order, level], kind="stable")]
        cell, own = cells.answer[by_cell, level], left[by_cell]
        before = np.cumsum(own) - own
        before -= before[np.searchsorted(cell, cell)]
        most[by_cell] = np.maximum(most[by_cell], np.clip(too_many[cell] - before, 0, own))
    return most


def prior_tables(outcomes: Sequence[Outcome], before: Ints, after: Ints) -> list[dict[str, Any]]:
    """For every template: how often each answer text is right before and after, and the share that chance expects after."""
    tables: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: {"before": Counter(), "after": Counter(), "offered": Counter()})
    unit = math.lcm(*{len(outcome.options) for outcome in outcomes})
    for outcome, asked, kept in zip(outcomes, before.tolist(), after.tolist(), strict=True):
        table = tables[outcome.template]
        table["before"][outcome.answer] += asked
        if kept:
            table["after"][outcome.answer] += kept
            table["offered"].update(dict.fromkeys(outcome.options, kept * unit // len(outcome.options)))
    return [
        {
            "template": template,
            "before": dict(sorted(t["before"].items())),
            "after": dict(sorted(t["after"].items())),
            "expected": {option: n / (unit * t["after"].total()) for option, n in sorted(t["offered"].items())},
        }
        for template, t in sorted(tables.items())
    ]


def per_category(outcomes: Sequence[Outcome], counts: Ints) -> dict[str, int]:
    """Questions per category, sorted by name."""
    out: Counter[str] = Counter()
    for outcome, n in zip(outcomes, counts.tolist(), strict=True):
        out[outcome.category] += n
    return dict(sorted((name, n) for name, n in out.items() if n))
