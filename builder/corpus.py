"""Once over the corpus: split, flatten, check, attack blind, make rows, export.

Everything here reads finished artefacts and sorts them, so neither the number of workers nor shards nor interruptions can
change a byte of the dataset.  People are looked at twice, one at a time: first their questions go to disk as numbers, which decide
what is published, then those that are published as rows.  So of the corpus memory holds 8 bytes for every person.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from builder import __version__, assemble, consistency, export, plugins, priors, schema, selection, spool, store, terminal
from builder.assemble import Blocks, Ints, Outcome
from builder.motion import describe
from builder.pipeline import CHANGED, Asked, Kept, Plan, gather, people_of
from builder.recipe import Recipe
from builder.types import BuildError, Clip, Question
from builder.workers import Progress

EXAMPLES = 6
SPLITS = ("train", "test")
SCRATCH = "merge"  # in the work folder, while the corpus is sorted
Bars = Callable[[str, int], AbstractContextManager[Progress]]  # (title, total): how far something is, as `terminal.bar`
Say = Callable[[str], None]
Split = tuple[str, str]  # a source, and "train" or "test"
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Corpus:
    """A finished assembly: what is published of each source and split, the numbers of the build, and what the report shows.

    `examples` has the clips of which most is published, each with the ids of these questions.
    """

    rows: dict[str, dict[str, spool.Rows]]
    info: dict[str, Any]
    prior_tables: list[dict[str, Any]]
    examples: dict[str, set[str]]


@dataclass
class _Seen:
    """What the first look at the people adds up."""

    outcomes: dict[Outcome, int] = field(default_factory=dict)
    pools: dict[Split, spool.Pool] = field(default_factory=dict)
    lifters: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    turns: array[int] = field(default_factory=lambda: array("Q"))  # of every person's clip, see `priors.turn_of`

    def number(self, outcome: Outcome) -> int:
        """The number that an outcome has from its first question on."""
        if outcome not in self.outcomes:
            self.outcomes[assemble.kept_once(outcome)] = len(self.outcomes)
        return self.outcomes[outcome]


def silent(title: str, total: int) -> AbstractContextManager[Progress]:
    """Bars that nobody sees."""
    return terminal.bar(title, total, quiet=True)


def unsaid(text: str) -> None:
    """What nobody is told."""


def build(
    people: Sequence[Asked] | Kept,
    skipped: Sequence[Mapping[str, str]],
    recipe: Recipe,
    scratch: Path,
    bars: Bars = silent,
    say: Say = unsaid,
) -> Corpus:
    """Split, flatten, check, attack blind, and make the rows, which stay in files of the folder `scratch`.

    Raises BuildError when answers contradict each other, or when the people are not the same at the second look.
    """
    number = people.count if isinstance(people, Kept) else len(people)
    say(f"reading what is asked about {number} people")
    seen = _looked_at(_watched(people, number, "people to questions", bars), recipe, scratch)
    asked = sum(map(len, seen.pools.values()))
    say(f"choosing, of {asked} questions, those that cannot be guessed")
    cells = assemble.cells_of(list(seen.outcomes))
    # Each split by itself: flattened together, what one split has too much of the other would lack, which can be learned.
    chosen = {split: assemble.chosen(pool, cells, recipe) for split, pool in sorted(seen.pools.items())}
    none = np.zeros(len(cells.outcomes), np.int64)
    before = sum((assemble.counted(pool, len(none)) for pool in seen.pools.values()), none)
    after = {split: assemble.counted(blocks, len(none)) for split, blocks in chosen.items()}
    after = {split: counts for split, counts in after.items() if counts.any()}
    total = sum(after.values(), none)
    within_quota = sum(int(assemble.within_quota(block, cells, recipe).sum()) for pool in seen.pools.values() for block in pool)
    rows = {split: _rows(scratch / "-".join(split), chosen[split], int(counts.sum())) for split, counts in after.items()}

    say(f"making the rows of {total.sum()} questions")
    sources = sorted({source for source, _ in seen.pools})
    kinds = {s: "synthetic" if plugins.load("sources", s).ABOUT.get("synthetic") else "real" for s in sources}
    look = _Look(kinds, {split: chosen[split] for split in rows}, seen.turns)
    look.at(_watched(people, number, "questions to rows", bars), rows, recipe)
    say("trying to guess their answers without watching")
    info = {
        "version": __version__,
        "recipe": {"name": recipe.name, "digest": recipe.digest, "seed": recipe.seed},
        "lifters": {s: ", ".join(sorted(seen.lifters[s])) for s in sources},
        "generated": {
            "tracks": number,
            "skipped": list(skipped),
            "pool_per_track_mean": round(asked / max(1, number), 2),
            "questions_per_track_mean": round(within_quota / max(1, number), 2),
            "before": assemble.per_category(cells.outcomes, before),
            "after": assemble.per_category(cells.outcomes, total),
        },
        "counts": _nested({split: assemble.per_category(cells.outcomes, counts) for split, counts in after.items()}),
        "max_blind": recipe.priors.max_blind,
        "blind": _blind(look.shown, recipe),
    }
    return Corpus(_nested(rows), info, assemble.prior_tables(cells.outcomes, before, total), look.examples())


def _looked_at(people: Iterable[Asked], recipe: Recipe, scratch: Path) -> _Seen:
    """Every person once.  Raises BuildError when answers about one contradict each other."""
    seen = _Seen()
    wrong, first = 0, ""
    for number, person in enumerate(people):
        if found := consistency.contradictions(person.questions):
            wrong, first = wrong + len(found), first or found[0]
        split = _split_of(person, recipe)
        pool = seen.pools.setdefault(split, spool.Pool(scratch / "-".join(split)))
        outcomes = [seen.number(assemble.outcome_of(q)) for q in person.questions]
        pool.add(number, outcomes, [spool.number_of(q.id) for q in person.questions])
        seen.lifters[split[0]].add(person.track["lifter"])
        seen.turns.append(priors.turn_of(person.clip.clip_id))
    if wrong:
        raise BuildError(f"{wrong} answers contradict another of the same clip, which is a defect; the first: {first}")
    return seen


def _split_of(person: Asked, recipe: Recipe) -> Split:
    return person.clip.source, assemble.split_of(person.clip.group, recipe)


def _rows(name: Path, published: Blocks, count: int) -> spool.Rows:
    """Where the rows of a split will be, before there are any."""
    ranks = np.arange(spool.ROWS, count, spool.ROWS)
    alone = np.zeros(len(ranks), np.int64)
    return spool.Rows(name, assemble.ids_at(published, _one_key, np.array([count]), alone, ranks), count)


def _one_key(block: Ints) -> Ints:
    return np.zeros(len(block), np.int64)


class Shown(Sequence[priors.Asked]):
    """Questions as the blind solvers are given them, sorted by id: numbers, some 30 bytes each, and once each what they share."""

    def __init__(self) -> None:
        self._ids, self._answers = array("Q"), array("B")
        self._clips, self._kinds, self._orders = array("I"), array("I"), array("I")  # as numbers in `_values`
        self._numbers: dict[Any, int] = {}
        self._values: list[Any] = []
        self._sorted = np.zeros(0, np.int64)

    def add(self, q: Question) -> None:
        """Add a question."""
        asked = assemble.kept_once(assemble.outcome_of(q))
        self._ids.append(spool.number_of(q.id))
        self._answers.append(q.answer)
        self._clips.append(self._number(q.clip_id))
        self._kinds.append(self._number((*asked[:4], q.text, asked.options)))
        self._orders.append(self._number(tuple(map(asked.options.index, q.options))))

    def _number(self, value: Any) -> int:
        number = self._numbers.setdefault(value, len(self._values))
        if number == len(self._values):
            self._values.append(value)
        return number

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, place: Any) -> Any:
        if len(self._sorted) != len(self):
            self._sorted = np.argsort(np.array(self._ids))
        k = self._sorted[place]
        clip_id, (*asked, options), order = (self._values[numbers[k]] for numbers in (self._clips, self._kinds, self._orders))
        told = (f"{self._ids[k]:016x}", clip_id, *asked, tuple(options[n] for n in order), self._answers[k])
        return priors.Asked._make(told)


class _Look:
    """The second look at the people, of whom `published` has the questions that were chosen.

    `kinds` says which sources are "real" and which "synthetic"; `shown` are the questions of each kind and split for the blind solvers.
    """

    def __init__(self, kinds: Mapping[str, str], published: Mapping[Split, Blocks], turns: array[int]) -> None:
        self.kinds, self.published = kinds, published
        self.shown = {(kind, split): Shown() for kind in sorted(set(kinds.values())) for split in SPLITS}
        self._last_turn = {one: self._last(one, np.frombuffer(turns, np.uint64)) for one in self.shown}
        self._about: dict[str, list[Question]] = {}  # clips that may be examples
        self._drawn = {source for source in kinds if plugins.load("sources", source).ABOUT.get("paths", True)}

    def _last(self, shown: Split, turns: Ints) -> int:
        """The turn of the last clip of a kind and split that the blind solvers see."""
        questions = np.zeros(len(turns), np.int32)
        for (source, split), blocks in self.published.items():
            for block in blocks if (self.kinds[source], split) == shown else ():
                np.add.at(questions, block["person"], 1)
        return priors.last_turn(turns, questions)

    def at(self, people: Iterable[Asked], rows: Mapping[Split, spool.Rows], recipe: Recipe) -> None:
        """Look at everybody, and write their rows.  Raises BuildError when they are not those of the first look."""
        families = selection.families()
        published = {split: _by_person(blocks) for split, blocks in self.published.items()}
        nobody = (-1, set[int]())
        following = {split: next(by_person, nobody) for split, by_person in published.items()}
        with spool.writer() as writer:
            for number, person in enumerate(people):
                split = _split_of(person, recipe)
                whose, ids = following.get(split, nobody)
                if whose != number:
                    continue
                following[split] = next(published[split], nobody)
                own = [q for q in person.questions if spool.number_of(q.id) in ids]
                if len(own) != len(ids):
                    raise BuildError(CHANGED)
                for q in own:
                    row = schema.row(q, person.clip, person.track, families[q.category].explain(q), recipe.name)
                    writer.add(rows[split].file(int(q.id, 16)), row)
                self._remember(person.clip, split, own)
        if any(one != nobody for one in following.values()):
            raise BuildError(CHANGED)

    def _remember(self, clip: Clip, split: Split, own: Sequence[Question]) -> None:
        kind = self.kinds[clip.source], split[1]
        if priors.turn_of(clip.clip_id) <= self._last_turn[kind]:
            for q in own:
                self.shown[kind].add(q)
        if clip.source in self._drawn:
            self._about.setdefault(clip.clip_id, []).extend(own)
            if len(self._about) > 10 * EXAMPLES:
                self._about = self._richest()

    def _richest(self) -> dict[str, list[Question]]:
        """The clips with questions of most categories, of those the ones with most questions."""
        by = sorted(self._about, key=lambda c: (-len({q.category for q in self._about[c]}), -len(self._about[c]), c))
        return {clip_id: self._about[clip_id] for clip_id in by[:EXAMPLES]}

    def examples(self) -> dict[str, set[str]]:
        """The clips for the report, each with the ids of what is published of it."""
        return {clip_id: {q.id for q in own} for clip_id, own in self._richest().items()}


def _by_person(blocks: Blocks) -> Iterator[tuple[int, set[int]]]:
    """Everybody of whom there is something in some blocks, and the ids of it."""
    for block in blocks:
        people, first = np.unique(block["person"], return_index=True)
        for person, ids in zip(people.tolist(), np.split(block["id"], first[1:]), strict=False):
            yield person, set(ids.tolist())


def _nested(by_split: Mapping[Split, T]) -> dict[str, dict[str, T]]:
    """What is known by source and split, by source first."""
    out: dict[str, dict[str, T]] = {}
    for (source, split), value in by_split.items():
        out.setdefault(source, {})[split] = value
    return out


def _blind(shown: Mapping[Split, Sequence[priors.Asked]], recipe: Recipe) -> dict[str, Any]:
    """The blind solvers' scores, real and scripted sources apart."""
    out: dict[str, dict[str, Any]] = {name: {} for name in priors.SOLVERS}
    for kind in ("real", "synthetic"):
        train, test = (shown.get((kind, split), ()) for split in SPLITS)
        if train or test:
            for name, table in priors.blind_report(train, test, recipe.priors, recipe.seed).items():
                out[name][kind] = table
    return out


def placeless(skipped: Sequence[Mapping[str, str]], clips: Sequence[Clip]) -> list[dict[str, str]]:
    """The same skips with every video's path cut to its file name: reasons are published, and name no place on this machine."""
    wanted = {one["clip_id"] for one in skipped}
    videos = {clip.clip_id: clip.video for clip in clips if clip.video is not None and clip.clip_id in wanted}
    return [
        {**one, "reason": one["reason"].replace(str(videos[one["clip_id"]]), videos[one["clip_id"]].name)}
        if one["clip_id"] in videos
        else {**one}
        for one in skipped
    ]


def complaints(info: Mapping[str, Any]) -> list[str]:
    """What `--strict` does not forgive: skipped clips and categories that can be guessed."""
    out = [f"skipped {s['clip_id']}: {s['reason']}" for s in info["generated"]["skipped"]]
    for solver, kinds in info["blind"].items():
        for kind, table in kinds.items():
            out += [f"blind solver {solver!r}, {kind} sources: {name} can be guessed without watching" for name in table.get("guessed", ())]
    return out


def examples(corpus: Corpus, clips: Sequence[Clip], plan: Plan) -> list[dict[str, Any]]:
    """A few clips for the report, those of which most is published, with their motions made again.

    The report is published with the dataset, and a drawn path can be read back: of a source whose motion may not leave the machine
    (`paths` in its ABOUT) nothing is drawn.
    """
    wanted = {clip.clip_id: clip for clip in clips if clip.clip_id in corpus.examples}
    families = selection.families()
    out = []
    for clip_id, published in corpus.examples.items():
        people, _, _ = gather([wanted[clip_id]], plan)
        own = sorted((q for p in people for q in p.questions if q.id in published), key=lambda q: q.id)
        for track in people_of(wanted[clip_id], plan):
            shown = [(q, q.options, families[q.category].explain(q)) for q in own if q.person_id == track.person_id]
            out.append({"clip_id": clip_id, "motion": describe(track, plan.recipe), "questions": shown})
    return out


def export_to(out: Path, corpus: Corpus, report: str | None = None, bars: Bars = silent) -> None:
    """Write the dataset folder."""
    about = {source: plugins.load("sources", source).ABOUT for source in corpus.info["lifters"]}
    extra = {} if report is None else {"report.html": report.encode()}
    with bars("rows to files", sum(corpus.info["generated"]["after"].values())) as progress:
        export.write(out, corpus.rows, corpus.info, about, extra, progress)


def _watched(every: Iterable[T], total: int, title: str, bars: Bars) -> Iterator[T]:
    """The same, with a bar that shows how many of them are done."""
    with bars(title, total) as progress:
        for done, one in enumerate(every, start=1):
            yield one
            progress(done, total, title)


def merge(
    plan: Plan,
    clips: Sequence[Clip],
    out: Path,
    strict: bool = False,
    report: bool = True,
    say: Say = unsaid,
    warn: Say = unsaid,
    bars: Bars = silent,
) -> dict[str, Any]:
    """From finished artefacts to the dataset folder, in one process and in an order that nothing changes; the numbers of the build.

    Raises BuildError when an artefact is missing, no person could be used, or `strict` finds fault.
    """
    with bars("finished artefacts", len(clips)) as progress:
        people = Kept(clips, plan, progress)
    skipped = placeless(people.skipped, clips)
    for one in skipped:
        warn(f"skipped {one['clip_id']}: {one['reason']}")
    if people.missing:
        raise BuildError(
            f"{len(people.missing)} of {len(clips)} clips have no finished artefact in {plan.work}, the first {people.missing[0]}: other "
            "shares are not done, or another run uses this work folder; run the same command again"
        )
    if not people.count:
        raise BuildError(f"no track of {len(clips)} could be used; the reasons stand above")
    with spool.scratch(store.scratch(plan.work, SCRATCH)) as scratch:
        made = build(people, skipped, plan.recipe, scratch, bars, say)
        wrong = complaints(made.info)
        if strict and wrong:
            raise BuildError(f"--strict: {len(wrong)} complaint(s), nothing was exported; the first: {wrong[0]}")
        page = None
        if report:
            from builder import viz

            page = viz.report(made.info, made.prior_tables, examples(made, clips, plan))
        say(f"writing {out}")
        export_to(out, made, page, bars)
    return made.info
