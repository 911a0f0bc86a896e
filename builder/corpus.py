"""Once over the corpus: split, flatten, check, attack blind, make rows, export.

Everything here reads finished artefacts and sorts them, so neither the number of workers nor shards nor interruptions can
change a byte of the dataset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from builder import __version__, assemble, consistency, export, lifting, plugins, priors, schema, selection
from builder.motion import describe
from builder.pipeline import Asked, Plan, people_of
from builder.recipe import Recipe
from builder.types import BuildError, Clip, Question

EXAMPLES = 6


@dataclass(frozen=True, eq=False)
class Corpus:
    """A finished assembly: rows per source and split, the numbers of the build, and what the report shows."""

    rows: dict[str, dict[str, list[dict[str, Any]]]]
    info: dict[str, Any]
    prior_tables: list[dict[str, Any]]
    kept: dict[str, list[Question]]


def build(people: Sequence[Asked], skipped: Sequence[Mapping[str, str]], recipe: Recipe) -> Corpus:
    """Split, flatten, check, attack blind, and make rows.  Raises BuildError when answers contradict each other."""
    asked = [q for p in people for q in p.questions]
    wrong = consistency.contradictions(asked)
    if wrong:
        raise BuildError(f"{len(wrong)} answers contradict another of the same clip, which is a defect; the first: {wrong[0]}")
    source_of = {p.clip.clip_id: p.clip.source for p in people}
    split_of = {p.clip.clip_id: assemble.split_of(p.clip.group, recipe) for p in people}
    person_of = {(p.clip.clip_id, p.track["person"]): p for p in people}
    kept: dict[str, list[Question]] = {}
    for source in sorted(set(source_of.values())):
        own = [q for q in asked if source_of[q.clip_id] == source]
        # Each split by itself: flattened together, what one split has too much of the other would lack, which can be learned.
        parts = [assemble.choose([q for q in own if split_of[q.clip_id] == split], recipe) for split in ("train", "test")]
        kept[source] = sorted((q for part in parts for q in part), key=lambda q: q.id)
    families = selection.families()
    rows: dict[str, dict[str, list[dict[str, Any]]]] = {}
    tally: dict[str, dict[str, Any]] = {}
    for source, questions in kept.items():
        for split in ("train", "test"):
            here = [q for q in questions if split_of[q.clip_id] == split]
            made = []
            for q in here:
                person = person_of[q.clip_id, q.person_id]
                made.append(schema.row(q, person.clip, person.track, families[q.category].explain(q), recipe.name))
            if made:
                rows.setdefault(source, {})[split] = made
                tally.setdefault(source, {})[split] = dict(assemble.counts(here))
    synthetic = {s: bool(plugins.load("sources", s).ABOUT.get("synthetic")) for s in kept}
    every = [q for questions in kept.values() for q in questions]
    info = {
        "version": __version__,
        "recipe": {"name": recipe.name, "digest": recipe.digest, "seed": recipe.seed},
        "lifters": {s: ", ".join(sorted({p.track["lifter"] for p in people if p.clip.source == s})) for s in kept},
        "generated": {
            "tracks": len(people),
            "skipped": list(skipped),
            "pool_per_track_mean": round(len(asked) / max(1, len(people)), 2),
            "questions_per_track_mean": round(_within_quota(people, recipe) / max(1, len(people)), 2),
            "before": dict(assemble.counts(asked)),
            "after": dict(assemble.counts(every)),
        },
        "counts": tally,
        "max_blind": recipe.priors.max_blind,
        "blind": _blind(kept, split_of, synthetic, recipe),
    }
    return Corpus(rows, info, assemble.prior_tables(asked, every), kept)


def placeless(skipped: Sequence[Mapping[str, str]], clips: Sequence[Clip]) -> list[dict[str, str]]:
    """The same skips with every video's path cut to its file name: reasons are published, and name no place on this machine."""
    videos = {clip.clip_id: clip.video for clip in clips if clip.video is not None}
    return [
        {**one, "reason": one["reason"].replace(str(videos[one["clip_id"]]), videos[one["clip_id"]].name)}
        if one["clip_id"] in videos
        else {**one}
        for one in skipped
    ]


def in_source_frames(people: Sequence[Asked], clips: Sequence[Clip]) -> list[Asked]:
    """The same people with clips that point into the source: what was lifted from a film of a clip counts from the film's first frame."""
    first = {clip.clip_id: clip.start_frame for clip in clips if clip.video is None}
    out = []
    for p in people:
        by = 0 if p.track["lifter"] == lifting.TRUTH else first.get(p.clip.clip_id, 0)
        out.append(replace(p, clip=replace(p.clip, start_frame=p.clip.start_frame + by, end_frame=p.clip.end_frame + by)) if by else p)
    return out


def _within_quota(people: Sequence[Asked], recipe: Recipe) -> int:
    """Robust questions, at most `per_category` of a person and category counted."""
    return sum(min(n, recipe.questions.per_category) for p in people for n in assemble.counts(p.questions).values())


def _blind(
    kept: Mapping[str, Sequence[Question]], split_of: Mapping[str, str], synthetic: Mapping[str, bool], recipe: Recipe
) -> dict[str, Any]:
    """The blind solvers' scores, real and scripted sources apart."""
    out: dict[str, dict[str, Any]] = {name: {} for name in priors.SOLVERS}
    for kind, wanted in (("real", False), ("synthetic", True)):
        questions = sorted((q for s, qs in kept.items() if synthetic[s] is wanted for q in qs), key=lambda q: q.id)
        if questions:
            train = [q for q in questions if split_of[q.clip_id] == "train"]
            test = [q for q in questions if split_of[q.clip_id] == "test"]
            for name, table in priors.blind_report(train, test, recipe.priors, recipe.seed).items():
                out[name][kind] = table
    return out


def complaints(info: Mapping[str, Any]) -> list[str]:
    """What `--strict` does not forgive: skipped clips and categories that can be guessed."""
    out = [f"skipped {s['clip_id']}: {s['reason']}" for s in info["generated"]["skipped"]]
    for solver, kinds in info["blind"].items():
        for kind, table in kinds.items():
            out += [f"blind solver {solver!r}, {kind} sources: {name} can be guessed without watching" for name in table.get("guessed", ())]
    return out


def examples(corpus: Corpus, people: Sequence[Asked], clips: Mapping[str, Clip], plan: Plan) -> list[dict[str, Any]]:
    """A few clips for the report, spread over the corpus, with their motions made again.

    The report is published with the dataset, and a drawn path can be read back: of a source whose motion may not leave the machine
    (`paths` in its ABOUT) nothing is drawn.
    """
    by_clip: dict[str, list[Question]] = {}
    for source, questions in corpus.kept.items():
        for q in questions if plugins.load("sources", source).ABOUT.get("paths", True) else ():
            by_clip.setdefault(q.clip_id, []).append(q)
    richest = sorted(by_clip, key=lambda c: (-len({q.category for q in by_clip[c]}), -len(by_clip[c]), c))
    families = selection.families()
    out = []
    for clip_id in richest[:EXAMPLES]:
        for track in people_of(clips[clip_id], plan):
            own = [q for q in by_clip[clip_id] if q.person_id == track.person_id]
            shown = [(q, q.options, families[q.category].explain(q)) for q in own]
            out.append({"clip_id": clip_id, "motion": describe(track, plan.recipe), "questions": shown})
    return out


def export_to(out: Path, corpus: Corpus, report: str | None) -> None:
    """Write the dataset folder."""
    about = {source: plugins.load("sources", source).ABOUT for source in corpus.rows}
    extra = {} if report is None else {"report.html": report.encode()}
    export.write(out, corpus.rows, corpus.info, about, extra)
