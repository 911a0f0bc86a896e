"""Once over the corpus: split, flatten, check, attack blind, make rows, export.

Everything here reads finished artefacts and sorts them, so neither the number of workers nor shards nor interruptions can
change a byte of the dataset.  Artefacts are read twice, one at a time: first into a `Catalogue`, which decides what is published,
then into rows.  Of the corpus memory holds some tens of bytes for every question, and one Parquet file's rows.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from builder import __version__, assemble, consistency, export, plugins, priors, schema, selection, store
from builder.catalogue import Catalogue, Ints, Questions, number_of
from builder.motion import describe
from builder.pipeline import CHANGED, Asked, Kept, Plan, gather, people_of
from builder.recipe import Recipe
from builder.types import BuildError, Clip

EXAMPLES = 6
SPLITS = ("train", "test")
SCRATCH = "merge"  # in the work folder, while rows are sorted
AT_ONCE = 256  # rows of a spool that wait to be written together


@dataclass(frozen=True, eq=False)
class Corpus:
    """A finished assembly: what is published of each source and split, the numbers of the build, and what the report shows.

    `chosen[source][split]` (N,) are places in `catalogue`, sorted by the questions' ids.
    """

    catalogue: Catalogue
    chosen: dict[str, dict[str, Ints]]
    info: dict[str, Any]
    prior_tables: list[dict[str, Any]]

    def questions(self, source: str) -> Questions:
        """What is published of a source, both splits together, sorted by id."""
        return Questions(self.catalogue, self.catalogue.by_id(np.concatenate(list(self.chosen[source].values()))))


@dataclass
class _Tally:
    """What the first look at the artefacts adds up."""

    catalogue: Catalogue = field(default_factory=Catalogue)
    places: dict[tuple[str, str], list[range]] = field(default_factory=lambda: defaultdict(list))
    lifters: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    before: Counter[str] = field(default_factory=Counter)
    within_quota: int = 0


def build(people: Iterable[Asked], skipped: Sequence[Mapping[str, str]], recipe: Recipe) -> Corpus:
    """Split, flatten, check and attack blind.  Raises BuildError when answers contradict each other."""
    seen = _looked_at(people, recipe)
    catalogue = seen.catalogue
    chosen: dict[str, dict[str, Ints]] = {}
    tally: dict[str, dict[str, Any]] = {}
    for source in sorted({source for source, _ in seen.places}):
        chosen[source] = {}
        for split in SPLITS:
            # Each split by itself: flattened together, what one split has too much of the other would lack, which can be learned.
            ranges = seen.places.get((source, split), [])
            places = catalogue.by_id(np.concatenate([np.zeros(0, np.int64), *(np.arange(r.start, r.stop) for r in ranges)]))
            chosen[source][split] = places[assemble.chosen(catalogue.columns(places), recipe)]
            if len(chosen[source][split]):
                tally.setdefault(source, {})[split] = _counts(catalogue, chosen[source][split])
    synthetic = {s: bool(plugins.load("sources", s).ABOUT.get("synthetic")) for s in chosen}
    after: Counter[str] = Counter()
    for splits in tally.values():
        for counted in splits.values():
            after.update(counted)
    info = {
        "version": __version__,
        "recipe": {"name": recipe.name, "digest": recipe.digest, "seed": recipe.seed},
        "lifters": {s: ", ".join(sorted(seen.lifters[s])) for s in chosen},
        "generated": {
            "tracks": len(catalogue.people),
            "skipped": list(skipped),
            "pool_per_track_mean": round(len(catalogue) / max(1, len(catalogue.people)), 2),
            "questions_per_track_mean": round(seen.within_quota / max(1, len(catalogue.people)), 2),
            "before": dict(sorted(seen.before.items())),
            "after": dict(sorted(after.items())),
        },
        "counts": tally,
        "max_blind": recipe.priors.max_blind,
        "blind": _blind(catalogue, chosen, synthetic, recipe),
    }
    made = Corpus(catalogue, chosen, info, [])
    every = (q for source in chosen for q in made.questions(source))
    made.prior_tables.extend(assemble.prior_tables(Questions(catalogue, np.arange(len(catalogue))), every))
    return made


def _looked_at(people: Iterable[Asked], recipe: Recipe) -> _Tally:
    """Every person once.  Raises BuildError when answers about one contradict each other."""
    seen = _Tally()
    wrong: list[str] = []
    for person in people:
        wrong += consistency.contradictions(person.questions)
        clip = person.clip
        places = seen.catalogue.add(clip.clip_id, person.track["person"], person.questions)
        seen.places[clip.source, assemble.split_of(clip.group, recipe)].append(places)
        seen.lifters[clip.source].add(person.track["lifter"])
        counted = assemble.counts(person.questions)
        seen.before.update(counted)
        seen.within_quota += sum(min(n, recipe.questions.per_category) for n in counted.values())
    if wrong:
        raise BuildError(f"{len(wrong)} answers contradict another of the same clip, which is a defect; the first: {wrong[0]}")
    return seen


def _counts(catalogue: Catalogue, places: Ints) -> dict[str, int]:
    """Questions per category, sorted by name."""
    per_kind = np.bincount(catalogue.columns(places).kind, minlength=len(catalogue.kinds))
    out: Counter[str] = Counter()
    for kind, n in zip(catalogue.kinds, per_kind.tolist(), strict=True):
        out[kind.category] += n
    return dict(sorted((name, n) for name, n in out.items() if n))


def _blind(catalogue: Catalogue, chosen: Mapping[str, Mapping[str, Ints]], synthetic: Mapping[str, bool], recipe: Recipe) -> dict[str, Any]:
    """The blind solvers' scores, real and scripted sources apart."""
    out: dict[str, dict[str, Any]] = {name: {} for name in priors.SOLVERS}
    for kind, wanted in (("real", False), ("synthetic", True)):
        own = [splits for source, splits in chosen.items() if synthetic[source] is wanted]
        train, test = (catalogue.by_id(np.concatenate([np.zeros(0, np.int64), *(splits[s] for splits in own)])) for s in SPLITS)
        if len(train) + len(test):
            report = priors.blind_report(Questions(catalogue, train), Questions(catalogue, test), recipe.priors, recipe.seed)
            for name, table in report.items():
                out[name][kind] = table
    return out


def placeless(skipped: Sequence[Mapping[str, str]], clips: Sequence[Clip]) -> list[dict[str, str]]:
    """The same skips with every video's path cut to its file name: reasons are published, and name no place on this machine."""
    videos = {clip.clip_id: clip.video for clip in clips if clip.video is not None}
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


def examples(corpus: Corpus, clips: Mapping[str, Clip], plan: Plan) -> list[dict[str, Any]]:
    """A few clips for the report, spread over the corpus, with their motions made again.

    The report is published with the dataset, and a drawn path can be read back: of a source whose motion may not leave the machine
    (`paths` in its ABOUT) nothing is drawn.
    """
    catalogue = corpus.catalogue
    about: dict[str, Counter[str]] = defaultdict(Counter)
    for source, splits in corpus.chosen.items():
        for places in splits.values() if plugins.load("sources", source).ABOUT.get("paths", True) else ():
            columns = catalogue.columns(places)
            for kind, holder in zip(columns.kind.tolist(), columns.holder.tolist(), strict=True):
                about[catalogue.people[holder][0]][catalogue.kinds[kind].category] += 1
    richest = sorted(about, key=lambda c: (-len(about[c]), -about[c].total(), c))
    families = selection.families()
    out = []
    for clip_id in richest[:EXAMPLES]:
        people, _, _ = gather([clips[clip_id]], plan)
        published = {id_ for splits in corpus.chosen.values() for p in splits.values() for id_ in _about(catalogue, p, clip_id)}
        own = sorted((q for p in people for q in p.questions if number_of(q.id) in published), key=lambda q: q.id)
        for track in people_of(clips[clip_id], plan):
            shown = [(q, q.options, families[q.category].explain(q)) for q in own if q.person_id == track.person_id]
            out.append({"clip_id": clip_id, "motion": describe(track, plan.recipe), "questions": shown})
    return out


def _about(catalogue: Catalogue, places: Ints, clip_id: str) -> set[int]:
    """The ids, as numbers, of those of some questions that are about a clip."""
    own = [number for number, (clip, _) in enumerate(catalogue.people) if clip == clip_id]
    return set(catalogue.ids(places[np.isin(catalogue.columns(places).holder, own)]).tolist())


def export_to(out: Path, corpus: Corpus, people: Iterable[Asked], recipe: Recipe, scratch: Path, report: str | None) -> None:
    """Write the dataset folder; `people` are those of `build`, whose rows are sorted in the folder `scratch`, which goes again."""
    about = {source: plugins.load("sources", source).ABOUT for source in corpus.chosen}
    extra = {} if report is None else {"report.html": report.encode()}
    with _sorted_rows(corpus, people, recipe, scratch) as rows:
        export.write(out, rows, corpus.info, about, extra)


class _Rows(Sequence[dict[str, Any]]):
    """The rows of one split in spools, one for each Parquet file; a spool is read when its rows are wanted."""

    def __init__(self, ids: NDArray[np.uint64], spool: Path) -> None:
        self.ids, self.spool = ids, spool

    def __len__(self) -> int:
        return len(self.ids)

    def file(self, number: int) -> Path:
        """The spool of a Parquet file."""
        return self.spool.with_name(f"{self.spool.name}-{number:05d}.jsonl")

    def __getitem__(self, index: Any) -> Any:
        """The slice of one file, or one row.  Raises BuildError when rows are missing."""
        if not isinstance(index, slice):
            return self[index // export.ROWS_PER_FILE * export.ROWS_PER_FILE :][index % export.ROWS_PER_FILE]
        number = (index.start or 0) // export.ROWS_PER_FILE
        with open(self.file(number), encoding="utf-8") as lines:
            rows = sorted((json.loads(line) for line in lines), key=lambda row: str(row["id"]))
        start = number * export.ROWS_PER_FILE
        if len(rows) != len(self.ids[start : start + export.ROWS_PER_FILE]):
            raise BuildError(CHANGED)
        return rows


@contextmanager
def _sorted_rows(corpus: Corpus, people: Iterable[Asked], recipe: Recipe, scratch: Path) -> Iterator[dict[str, dict[str, _Rows]]]:
    """Every published row, sorted by id, by way of files: the second look at the artefacts."""
    families = selection.families()
    rows = {
        source: {
            split: _Rows(corpus.catalogue.ids(places), scratch / f"{source}-{split}") for split, places in splits.items() if len(places)
        }
        for source, splits in corpus.chosen.items()
    }
    try:
        with _disk(scratch):
            scratch.mkdir(parents=True)
            waiting: dict[Path, list[str]] = defaultdict(list)
            for person in people:
                split = assemble.split_of(person.clip.group, recipe)
                table = rows.get(person.clip.source, {}).get(split)
                if table is None:
                    continue
                for q in person.questions:
                    id_ = number_of(q.id)
                    place = int(np.searchsorted(table.ids, np.uint64(id_)))
                    if place == len(table.ids) or int(table.ids[place]) != id_:
                        continue
                    row = schema.row(q, person.clip, person.track, families[q.category].explain(q), recipe.name)
                    file = table.file(place // export.ROWS_PER_FILE)
                    waiting[file].append(json.dumps(row) + "\n")
                    if len(waiting[file]) >= AT_ONCE:  # opened for each lot: there may be more spools than files may be open
                        _append(file, waiting.pop(file))
            for file in sorted(waiting):
                _append(file, waiting[file])
        yield {source: dict(splits) for source, splits in rows.items()}
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _append(file: Path, lines: Sequence[str]) -> None:
    with open(file, "a", encoding="utf-8") as spool:
        spool.writelines(lines)


@contextmanager
def _disk(scratch: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise store.trouble(error, f"cannot sort the rows in {scratch}") from error


def merge(
    plan: Plan,
    clips: Sequence[Clip],
    out: Path,
    strict: bool = False,
    report: bool = True,
    say: Callable[[str], None] = lambda text: None,
    warn: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """From finished artefacts to the dataset folder, in one process and in an order that nothing changes; the numbers of the build.

    Raises BuildError when an artefact is missing, no person could be used, or `strict` finds fault.
    """
    people = Kept(clips, plan)
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
    say(f"assembling what is asked about {people.count} people")
    made = build(people, skipped, plan.recipe)
    wrong = complaints(made.info)
    if strict and wrong:
        raise BuildError(f"--strict: {len(wrong)} complaint(s), nothing was exported; the first: {wrong[0]}")
    page = None
    if report:
        from builder import viz

        page = viz.report(made.info, made.prior_tables, examples(made, {c.clip_id: c for c in clips}, plan))
    scratch = store.scratch(plan.work, SCRATCH)
    export_to(out, made, people, plan.recipe, scratch, page)
    return made.info
