"""What a track reader learns from: people with their tables, true and with a lifter's errors, and questions whose answers hold in all.

People are written down once, in chunks, and kept in the work folder.  A question is learnt only where the true track and every noisy
copy that is shown in training give the same answer.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from builder import assemble, motion, plugins, reader, recipe, robustness, selection, store, told, wordings, workers
from builder.performer import cast_clips, cast_reference
from builder.recipe import Recipe
from builder.train.tutor import MOST, Programs
from builder.types import CATEGORIES, Clip, Motion, Question, SourceError, StoreError, Track
from builder.workers import Progress

CAST = "cast"  # people of the project's own, none of whom is in synthetic=N@SEED
VIEWS = 3  # noisy copies of each track beside the true one
CHUNK = 25  # people in one file of the work folder
TOGETHER = 500  # people whose questions are flattened together
KEPT = ("id", "category", "template", "quantity", "window", "text", "options", "answer")  # of a question
POOL = 20  # questions of a person and category
WORDINGS = 24  # of each question
MISHEARD = 0.04  # share of a question's words that are hidden in training


@dataclass(frozen=True)
class Job:
    """One chunk of a source: people `start` to `start + count`."""

    source: str
    start: int
    count: int
    folder: Path
    samples: int | None = None  # how often a track is looked at: everything between is drawn straight

    @property
    def path(self) -> Path:
        """Its files, less their suffix."""
        return self.folder / f"{self.start:06d}"


def learning_recipe() -> Recipe:
    """The default recipe with as many copies as are shown in training, all of which must agree."""
    known = recipe.load("default")
    robust = replace(known.robustness, copies=VIEWS, agree=VIEWS)
    return replace(known, robustness=robust, questions=replace(known.questions, pool=POOL))


def tracks(source: str, start: int, count: int) -> Iterator[tuple[Clip, Track]]:
    """People `start` to `start + count` of `cast` or of a source of the build, named as on the command line."""
    name, _, root = source.partition("=")
    if name == CAST:
        yield from (
            (clip, cast_reference(clip)[0])
            for clip in itertools.islice(cast_clips("synthetic", "track-reader", start + count), start, None)
        )
        return
    plugin = plugins.load("sources", name, ("clips", "reference"))
    everybody = ((clip, track) for clip in plugin.clips(root or getattr(plugin, "DEFAULT_ROOT", None)) for track in plugin.reference(clip))
    yield from itertools.islice(everybody, start, start + count)


def views_of(track: Track, known: Recipe, samples: int | None = None) -> list[Motion]:
    """The true motion, and VIEWS copies with a lifter's errors; each as it is known from `samples` moments, if that is given."""
    sampled = motion.sample(track, known)
    copies = [sampled, *(robustness.perturb(sampled, known, k) for k in range(VIEWS))]
    return [motion.segment(copy if samples is None else thinned(copy, samples), known) for copy in copies]


def thinned(sampled: motion.Sampled, samples: int) -> motion.Sampled:
    """The track as it is known from so many moments, equally spaced from the first to the last: straight lines between them."""
    grid = np.arange(len(sampled.heading_deg))
    at = np.linspace(0, grid[-1], samples)

    def seen(values: NDArray[np.float64]) -> NDArray[np.float64]:
        columns = [np.interp(grid, at, np.interp(at, grid, column)) for column in values.reshape(len(grid), -1).T]
        return np.stack(columns, axis=1).reshape(values.shape)

    return replace(
        sampled,
        position_m=seen(sampled.position_m),
        heading_deg=seen(sampled.heading_deg),
        lean_deg=seen(sampled.lean_deg),
        tilt_deg=seen(sampled.tilt_deg),
    )


def make(job: Job) -> None:
    """Write one chunk of people, unless it is there: `<start>.npz`, and their questions in `<start>.json`."""
    if not job.path.with_suffix(".json").is_file():
        known = learning_recipe()
        people = tracks(job.source, job.start, job.count)
        write(job, [(clip.group, views_of(t, known, job.samples), selection.questions_of(t, known)[1]) for clip, t in people])


def write(job: Job, people: Sequence[tuple[str, Sequence[Motion], Sequence[Question]]]) -> None:
    """Write these people (group, views, questions) as the chunk `job`."""
    known = recipe.load("default")
    tables = [[told.told(view, known) for view in views] for _, views, _ in people]
    moves = np.zeros((len(people), 1 + VIEWS, told.EVENTS, told.COLUMNS[3]), dtype=np.float16)
    for n, k in itertools.product(range(len(people)), range(1 + VIEWS)):
        moves[n, k, : len(tables[n][k][3])] = tables[n][k][3]
    arrays = {name: np.array([[view[k] for view in views] for views in tables]) for k, name in enumerate(told.TABLES) if k != 3}
    arrays |= {"movements": moves, "count": np.array([[len(view[3]) for view in views] for views in tables])}
    records = {
        "groups": [group for group, _, _ in people],
        "questions": [[n, *(getattr(q, name) for name in KEPT)] for n, (_, _, asked) in enumerate(people) for q in asked],
    }
    with open(job.path.with_suffix(".tmp"), "wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    job.path.with_suffix(".tmp").rename(job.path.with_suffix(".npz"))
    store.write_atomic(job.path.with_suffix(".json"), json.dumps(records).encode())


@dataclass(frozen=True, eq=False)
class Lessons:
    """People P with views V, the true track first, and Q questions about them.

    tables[k] (P, V, rows, columns) as in `told.TABLES`, count (P, V) how many movements there are, groups (P,) the leakage keys, and
    person (Q,) whom each question is about.
    """

    tables: tuple[NDArray[np.float16], ...]
    count: NDArray[np.int64]
    groups: tuple[str, ...]
    questions: tuple[Question, ...]
    person: NDArray[np.int64]

    @cached_property
    def category(self) -> NDArray[np.int64]:
        """(Q,) the place of each question's category in CATEGORIES."""
        return np.array([CATEGORIES.index(q.category) for q in self.questions])

    @cached_property
    def phrases(self) -> tuple[str, ...]:
        """Every text of an option once."""
        return tuple(dict.fromkeys(o for q in self.questions for o in q.options))

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """Every text of a question once."""
        return tuple(dict.fromkeys(q.text for q in self.questions))

    def only(self, keep: Sequence[int]) -> Lessons:
        """These people alone, in this order."""
        place = {person: k for k, person in enumerate(keep)}
        asked = [(q, place[p]) for q, p in zip(self.questions, self.person.tolist(), strict=True) if p in place]
        tables = tuple(t[list(keep)] for t in self.tables)
        return Lessons(
            tables,
            self.count[list(keep)],
            tuple(self.groups[k] for k in keep),
            tuple(q for q, _ in asked),
            np.array([p for _, p in asked], dtype=np.int64),
        )


def lessons(source: str, number: int, work: Path, processes: int, progress: Progress, samples: int | None = None) -> Lessons:
    """`number` people of a source at most, made where the work folder does not have them yet, their questions flattened."""
    code = store.digest(learning_recipe().digest, told.COLUMNS, told.ROWS, VIEWS, POOL, CHUNK, source, samples)
    folder = work / "track_reader" / code
    store.need_folder(folder)
    jobs = [Job(source, start, min(CHUNK, number - start), folder, samples) for start in range(0, number, CHUNK)]
    workers.run_all(make, jobs, len(jobs), lambda job: str(job.start), processes, progress)
    parts = [part for part in map(read, jobs) if len(part.count)]  # a source may have fewer people than were asked for
    if not parts:
        raise SourceError(f"--source {source}: expected somebody to learn from, found nobody")
    return joined(parts)


def read(job: Job) -> Lessons:
    """One chunk as it was written.  Raises StoreError."""
    try:
        with np.load(job.path.with_suffix(".npz")) as arrays:
            tables, count = tuple(arrays[name] for name in told.TABLES), arrays["count"]
        records = json.loads(job.path.with_suffix(".json").read_bytes())
        questions, person = [], []
        for number, *values in records["questions"]:
            known = dict(zip(KEPT, values, strict=True))
            known["options"] = tuple(known["options"])
            questions.append(Question(clip_id=f"{job.source}/{job.start}/{number}", person_id="0", evidence={}, **known))
            person.append(number)
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(f"{job.path}.npz: cannot be read ({error}); delete it and {job.path.name}.json, and both are made again") from None
    return Lessons(tables, count, tuple(records["groups"]), tuple(questions), np.array(person, dtype=np.int64))


def joined(parts: Sequence[Lessons]) -> Lessons:
    """Several lessons as one, questions flattened, TOGETHER people at a time, so that no answer can be guessed."""
    people = list(itertools.accumulate((len(p.count) for p in parts), initial=0))
    kept: list[tuple[Question, int]] = []
    known, waiting, since = learning_recipe(), [], 0
    for k, part in enumerate(parts):
        waiting += [(q, people[k] + n) for q, n in zip(part.questions, part.person.tolist(), strict=True)]
        if people[k + 1] - since >= TOGETHER or k == len(parts) - 1:
            owner = {q.id: n for q, n in waiting}
            kept += [(q, owner[q.id]) for q in assemble.flatten([q for q, _ in waiting], known)]
            waiting, since = [], people[k + 1]
    return Lessons(
        tuple(np.concatenate([p.tables[k] for p in parts]) for k in range(len(told.TABLES))),
        np.concatenate([p.count for p in parts]),
        tuple(g for p in parts for g in p.groups),
        tuple(q for q, _ in kept),
        np.array([n for _, n in kept], dtype=np.int64),
    )


def merged(parts: Sequence[Lessons]) -> Lessons:
    """Several lessons as one, questions as they are."""
    people = list(itertools.accumulate((len(p.count) for p in parts), initial=0))
    return Lessons(
        tuple(np.concatenate([p.tables[k] for p in parts]) for k in range(len(told.TABLES))),
        np.concatenate([p.count for p in parts]),
        tuple(g for p in parts for g in p.groups),
        tuple(q for p in parts for q in p.questions),
        np.concatenate([p.person + start for p, start in zip(parts, people, strict=False)]),
    )


class Batches:
    """Batches of `people` tracks and `asked` questions about each, for ever and the same for one seed."""

    def __init__(self, known: Lessons, words: reader.Words, seed: int, people: int = 16, asked: int = 8) -> None:
        self.known, self.people, self.asked = known, people, asked
        self.draw = np.random.default_rng(seed)
        self.texts = [_said(text, words) for text in known.texts]
        self.phrases = reader.padded([words.numbers(p, reader.WIDEST) for p in known.phrases])
        at = {p: k for k, p in enumerate(known.phrases)}
        self.options = np.array([[*(at[o] for o in q.options), *[-1] * (MOST - len(q.options))] for q in known.questions])
        self.answers = np.array([q.answer for q in known.questions])
        number = {t: k for k, t in enumerate(known.texts)}
        self.text = np.array([number[q.text] for q in known.questions])
        self.programs = Programs.of(known.questions)
        p = self.programs
        self._helps = (p.marks, p.cells, p.windows, p.option_cells, p.option_windows)
        by = [[[] for _ in CATEGORIES] for _ in known.count]  # type: ignore[var-annotated]
        for k, (person, category) in enumerate(zip(known.person, known.category, strict=True)):
            by[person][category].append(k)
        self.by = [[np.array(found) for found in own if found] for own in by]
        self.who = np.array([k for k, own in enumerate(self.by) if own])

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """(tables, there, questions, phrases, offers, answers, the tables of `Programs`), all torch tensors."""
        import torch

        draw, order = self.draw, np.empty(0, dtype=np.int64)
        while True:
            while len(order) < self.people:
                order = np.concatenate([order, draw.permutation(self.who)])
            chosen, order = order[: self.people], order[self.people :]
            view = draw.integers(0, self.known.count.shape[1], len(chosen))
            tables = [torch.from_numpy(t[chosen, view]).float() for t in self.known.tables]
            there = torch.from_numpy(np.arange(told.EVENTS) < self.known.count[chosen, view][:, None])
            asked = np.array([self._asked(self.by[person]) for person in chosen])
            said = reader.padded([self._words(text) for text in self.text[asked.ravel()]])
            said[(said != reader.PAD) & (draw.random(said.shape) < MISHEARD)] = reader.UNKNOWN
            options = np.sort(np.unique(self.options[asked]))
            options = options[options >= 0]
            offers = np.where(self.options[asked] >= 0, np.searchsorted(options, self.options[asked]), -1)
            phrases = self.phrases[options]
            phrases = phrases[:, : int((phrases != reader.PAD).sum(1).max())]
            yield (
                tables,
                there,
                torch.from_numpy(said).view(len(chosen), self.asked, -1),
                torch.from_numpy(phrases),
                torch.from_numpy(offers),
                torch.from_numpy(self.answers[asked]),
                [torch.from_numpy(table[asked]) for table in self._helps],
            )

    def _asked(self, own: Sequence[NDArray[np.int64]]) -> list[int]:
        """Questions about one person, evenly over the categories."""
        first = int(self.draw.integers(len(own)))
        return [int(found[self.draw.integers(len(found))]) for found in (own[(first + k) % len(own)] for k in range(self.asked))]

    def _words(self, text: int) -> list[int]:
        ways = self.texts[text]
        return ways[0] if self.draw.random() < 0.35 else ways[int(self.draw.integers(len(ways)))]


def _said(text: str, words: reader.Words) -> list[list[int]]:
    """The word numbers of a question as it stands, and of it in WORDINGS other ways."""
    draw = random.Random(hashlib.sha256(text.encode()).hexdigest())
    others = [wordings.reworded(text, draw, share=draw.choice((0.4, 0.7, 1.0))) for _ in range(WORDINGS)]
    return [words.numbers(t, reader.LONGEST) for t in (text, *others)]
