"""The line from sources to robust questions, per clip, in parallel and resumable.

Lift -> describe -> ask -> keep what survives doubt; the result is one artefact per clip in the work folder, and a finished
artefact is never made again.  What was lifted from video is kept apart (`lifting`), so another recipe only asks again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from builder import lifting, plugins, selection, store
from builder.geometry import crop, fill_invalid, upright
from builder.recipe import Recipe
from builder.types import BuildError, Clip, HumanMoveError, Question, SetupError, Track, TrackError
from builder.workers import Progress, run_all

STAGE = "questions"
ASKING = ("choices", "families", "geometry", "motion", "pipeline", "quantities", "questions", "robustness", "selection", "store", "types")


@dataclass(frozen=True)
class Plan:
    """What to build: (source, root) pairs, the lifter of each source ("" = its ground truth if it has one), the recipe."""

    sources: tuple[tuple[str, str | None], ...]
    lifter: str
    recipe: Recipe
    work: Path
    limit: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """One clip to process, picklable."""

    clip: Clip
    lifter: str
    options: Mapping[str, str]
    recipe: Recipe
    work: Path


def clips_of(plan: Plan) -> list[Clip]:
    """Every clip of every source, sorted by id, each once.  Raises SourceError, PluginError, BuildError."""
    found: dict[str, Clip] = {}
    for name, root in plan.sources:
        for clip in plugins.load("sources", name, ("ABOUT", "clips")).clips(root):
            if found.setdefault(clip.clip_id, clip) != clip:
                raise BuildError(f"clip {clip.clip_id} comes from two sources and they differ; rename one, a clip is named by its id")
    clips = [found[clip_id] for clip_id in sorted(found)]
    if not clips:
        raise BuildError(f"no clips in {', '.join(n if r is None else f'{n}={r}' for n, r in plan.sources)}; nothing to build")
    return clips[: plan.limit]


def people_of(clip: Clip, plan: Plan) -> list[Track]:
    """The tracks of a clip that are asked about, cut as they are asked about."""
    return [track for _, track, reason in _tracks(_job(clip, plan)) if reason is None]


def _job(clip: Clip, plan: Plan) -> Job:
    return Job(clip, lifting.lifter_of(clip, plan.lifter), plan.options, plan.recipe, plan.work)


def process(clips: Sequence[Clip], plan: Plan, workers: int, progress: Progress) -> None:
    """Make the artefact of every clip that has no fresh one.  A clip that fails leaves a record of why, and others go on."""
    jobs = [_job(clip, plan) for clip in clips]
    run_all(run, jobs, [job.clip.clip_id for job in jobs], workers, progress)


def run(job: Job) -> None:
    """Make one clip's artefact, unless it is fresh.  Errors that a user can cause are recorded, a bug is raised."""
    work, key = store.Work(job.work), key_of(job)
    if work.get(STAGE, job.clip.clip_id, key) is not None:
        return
    here = str(job.clip.meta.get("path"))  # reasons are published with the build, which names no place on this machine
    people: list[dict[str, Any]] = []
    reasons: list[str] = []
    try:
        for clip, track, reason in _tracks(job):
            if reason is None:
                people.append(_person(clip, track, job.recipe))
            else:
                reasons.append(reason)
    except SetupError:
        raise  # no property of the clip: with what is missing in place it is tried again
    except HumanMoveError as error:
        reasons.append(str(error))
    reasons = [" ".join(reason.replace(here, job.clip.meta.get("file", here)).split()) for reason in reasons]
    work.put(STAGE, job.clip.clip_id, key, {"people": people, "skipped": reasons})


def key_of(job: Job) -> str:
    """What an artefact is made from: the tracks, and the recipe and the code that ask about them."""
    tracks = lifting.key_of(job.clip, job.lifter, job.options)
    return store.digest(tracks, job.recipe.digest, lifting.code_digest(*ASKING))


def code_of(source: str, lifter: str = lifting.TRUTH) -> str:
    """Digest of the code that decides the answers about this source by this lifter; a change makes every artefact stale."""
    return store.digest(lifting.code_digest(*ASKING), lifting.code_of(source, lifter))


def _tracks(job: Job) -> Iterator[tuple[Clip, Track, str | None]]:
    """Each person's track with the clip completed and cut for it, or why nothing can be asked about that person."""
    tracks = lifting.lifted(job.clip, job.lifter, job.options, job.work)
    names = [t.referent for t in tracks]
    for track in tracks:
        clip = replace(job.clip, **track.provenance.get("clip", {}))
        who = f"person {track.person_id}: " if len(tracks) > 1 else ""
        if len(tracks) > 1 and (track.referent is None or names.count(track.referent) > 1):
            yield clip, track, f"{who}several people and nothing that singles this one out, so no question could say whom it means"
            continue
        if lifting.refused(track):
            yield clip, track, f"{who}the lifted track is not to be trusted: {'; '.join(track.provenance.get('reasons', ()))}"
            continue
        try:
            yield *trimmed(clip, track, job.recipe), None
        except TrackError as error:
            yield clip, track, f"{who}{error}"


def trimmed(clip: Clip, track: Track, recipe: Recipe) -> tuple[Clip, Track]:
    """Clip and track cut to where the person is there, gaps filled.  Raises TrackError when nothing can be asked about the person."""
    first = int(track.valid.argmax())
    track = crop(track, first, track.num_frames)
    if track.num_frames < 2 or track.valid.mean() < recipe.questions.min_visible:
        raise TrackError(
            f"the person is visible in {100 * track.valid.mean():.0f} % of the frames; "
            f"expected {100 * recipe.questions.min_visible:.0f} % or more, so nothing is asked"
        )
    track = fill_invalid(track)
    if not upright(track.body_to_world[:1], recipe.signals.max_heading_tilt_deg)[0]:
        raise TrackError("the person does not stand upright in the first frame, so left and forward mean nothing; start the clip later")
    ids = track.frame_ids
    start, end, every = int(ids[0]), int(ids[-1]) + 1, round(float(np.median(np.diff(ids))))
    return replace(clip, fps=track.fps * every, start_frame=start, end_frame=end, num_frames=end - start), track


def _person(clip: Clip, track: Track, recipe: Recipe) -> dict[str, Any]:
    _, questions = selection.questions_of(track, recipe)
    return {
        "clip": store.to_json(replace(clip, meta={})),
        "track": {"person": track.person_id, "lifter": track.lifter, "referent": track.referent},
        "questions": [store.to_json(q) for q in questions],
    }


@dataclass(frozen=True, eq=False)
class Asked:
    """One artefact's person: the completed clip, the lifter and referent, and the robust questions."""

    clip: Clip
    track: Mapping[str, Any]
    questions: tuple[Question, ...]


def gather(clips: Iterable[Clip], plan: Plan) -> tuple[list[Asked], list[dict[str, str]], list[str]]:
    """(people, skipped clips or people with the reason, ids of clips without a fresh artefact), sorted by clip."""
    work = store.Work(plan.work)
    people: list[Asked] = []
    skipped: list[dict[str, str]] = []
    missing: list[str] = []
    for clip in clips:
        record = work.get(STAGE, clip.clip_id, key_of(_job(clip, plan)))
        if record is None:
            missing.append(clip.clip_id)
        else:
            skipped += [{"clip_id": clip.clip_id, "reason": reason} for reason in record["skipped"]]
            people += [_asked(p) for p in record["people"]]
    return people, skipped, missing


def _asked(record: Mapping[str, Any]) -> Asked:
    clip = record["clip"]
    clip["video"] = Path(clip["video"]) if clip["video"] else None
    questions = tuple(Question(**q | {"options": tuple(q["options"])}) for q in record["questions"])
    return Asked(Clip(**clip), record["track"], questions)
