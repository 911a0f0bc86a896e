"""The line from sources to robust questions, per clip, in parallel and resumable.

Lift -> describe -> ask -> keep what survives doubt; the result is one artefact per clip in the work folder, and a finished
artefact is never made again.  What was lifted from video is kept apart (`lifting`), so another recipe only asks again.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from builder import lifting, lineage, plugins, selection, store
from builder.clip_list import Clips
from builder.geometry import crop, fill_invalid, upright
from builder.lifting import DONE, FAILED, LATER, TRUTH
from builder.recipe import Recipe
from builder.types import BuildError, Clip, HumanMoveError, LiftError, Question, SetupError, StoreError, Track, TrackError, one_line, passes
from builder.workers import Progress, run_all, unseen

STAGE = "questions"
CHANGED = (
    "the artefacts changed while they were merged: another run uses this work folder; run again when it is done, or pass another --work"
)
ASKING = ("choices", "families", "geometry", "motion", "pipeline", "quantities", "questions", "robustness", "selection", "store", "types")


@dataclass(frozen=True)
class Plan:
    """What to build: (source, root) pairs, the lifter of each source ("" = its ground truth if it has one), the recipe.

    `retry` tries once more what failed before.
    """

    sources: tuple[tuple[str, str | None], ...]
    lifter: str
    recipe: Recipe
    work: Path
    limit: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    retry: bool = False


@dataclass(frozen=True)
class Job:
    """One clip to process, picklable."""

    clip: Clip
    lifter: str
    options: Mapping[str, str]
    recipe: Recipe
    work: Path
    retry: bool = False


def clips_of(plan: Plan) -> Clips:
    """Every clip of every source, sorted by id, each once.  Raises SourceError, PluginError, BuildError, RoomError."""
    sources = ((plugins.load("sources", name, ("ABOUT", "clips")), root) for name, root in plan.sources)
    clips = Clips(clip for source, root in sources for clip in source.clips(root))
    if not clips:
        raise BuildError(f"no clips in {', '.join(n if r is None else f'{n}={r}' for n, r in plan.sources)}; nothing to build")
    return clips[: plan.limit]


def people_of(clip: Clip, plan: Plan) -> list[Track]:
    """The tracks of a clip that are asked about, cut as they are asked about."""
    job = job_of(clip, plan)
    return [track for _, track, error in _people(job, _lifted(replace(job, retry=False))) if error is None]


def job_of(clip: Clip, plan: Plan) -> Job:
    """What there is to do about one clip."""
    return Job(clip, lifting.lifter_of(clip, plan.lifter), plan.options, plan.recipe, plan.work, plan.retry)


def process(clips: Sequence[Clip], plan: Plan, workers: int, progress: Progress) -> None:
    """Make the artefact of every clip that has no fresh one.  A clip that fails leaves a record of why, and others go on."""
    _all(run, clips, plan, workers, progress)


def lift(clips: Sequence[Clip], plan: Plan, workers: int, progress: Progress) -> None:
    """Only lift every clip that has no fresh tracks, so that asking finds them; what fails leaves a record of why."""
    _all(lift_one, clips, plan, workers, progress)


def _all(function: Callable[[Job], None], clips: Sequence[Clip], plan: Plan, workers: int, progress: Progress) -> None:
    for folder in (plan.work, plan.work / lifting.STAGE, plan.work / STAGE):
        store.sweep(folder)
    jobs = (job_of(clip, plan) for clip in clips)
    run_all(function, jobs, len(clips), lambda job: job.clip.clip_id, workers, progress)


def lift_one(job: Job) -> None:
    """Lift one clip, for the record that this leaves, unless its source knows the truth."""
    if job.lifter == TRUTH:
        return
    try:
        _lifted(job)
    except (SetupError, StoreError):
        raise
    except HumanMoveError:
        return  # the record says why


def run(job: Job) -> None:
    """Make one clip's artefact, unless it is fresh.  Errors that a user can cause are recorded, a bug is raised."""
    work = store.Work(job.work)
    made = made_from(job)
    if finished(work, job, lineage.key_of(made), job.retry) is not None:
        return
    started, stage = time.monotonic(), lifting.STAGE
    people: list[dict[str, Any]] = []
    errors: list[HumanMoveError] = []
    status = DONE
    try:
        tracks = _lifted(job)
        if job.lifter != TRUTH:
            started = time.monotonic()  # lifting has its own record
        stage = STAGE
        for clip, track, error in _people(job, tracks):
            if error is None:
                people.append(_person(clip, track, job.recipe))
            else:
                errors.append(error)
        status = DONE if people else FAILED
    except (SetupError, StoreError):
        raise  # no property of the clip: with what is missing in place it is tried again
    except HumanMoveError as error:
        status = LATER if passes(error) else FAILED
        people, errors = [], [*errors, error]
    here = str(job.clip.meta.get("path"))  # reasons are published with the build, which names no place on this machine
    name = job.clip.meta.get("file", here)
    said = [{"class": type(e).__name__, "line": one_line(e).replace(here, name)} for e in errors]
    record = {"status": status, "stage": stage, "seconds": round(time.monotonic() - started, 3), "errors": said, "people": people}
    work.put(STAGE, job.clip.clip_id, lineage.key_of(made), record | {"made_from": made})


def finished(work: store.Work, job: Job, key: str, retry: bool = False) -> dict[str, Any] | None:
    """The artefact of a job, None when it is still to be made: there is none, it was of something else, it could not be done then,
    it failed for a lifting that has been made again since, or it failed and `retry` is wanted."""
    record = work.get(STAGE, job.clip.clip_id, key)
    if record is None or record["status"] == LATER or (retry and record["status"] == FAILED):
        return None
    if record["status"] == FAILED and record["stage"] == lifting.STAGE and job.lifter != TRUTH:
        tracks = work.read(lifting.STAGE, job.clip.clip_id)
        if tracks is None or tracks.get("status") != FAILED:
            return None
    return record


def made_from(job: Job) -> dict[str, str]:
    """What an artefact is made from, in the parts of `lineage.MEANS`: the tracks, and the recipe and the code that ask about them."""
    tracks = lifting.made_from(job.clip, job.lifter, job.options)
    return {**tracks, "recipe": job.recipe.digest, "asking": lifting.code_digest(*ASKING)}


def key_of(job: Job) -> str:
    """The key of a clip's questions."""
    return lineage.key_of(made_from(job))


def code_of(source: str, lifter: str = lifting.TRUTH) -> str:
    """Digest of the code that decides the answers about this source by this lifter; a change makes every artefact stale."""
    return store.digest(lifting.code_digest(*ASKING), lifting.code_of(source, lifter))


def _lifted(job: Job) -> list[Track]:
    return lifting.lifted(job.clip, job.lifter, job.options, job.work, job.retry)


def _people(job: Job, tracks: Sequence[Track]) -> Iterator[tuple[Clip, Track, HumanMoveError | None]]:
    """Each person's track with the clip completed and cut for it, or why nothing can be asked about that person."""
    names = [t.referent for t in tracks]
    for track in tracks:
        clip = replace(job.clip, **track.provenance.get("clip", {}))
        who = f"person {track.person_id}: " if len(tracks) > 1 else ""
        if len(tracks) > 1 and (track.referent is None or names.count(track.referent) > 1):
            why = "several people and nothing that singles this one out, so no question could say whom it means"
            yield clip, track, TrackError(f"{who}{why}")
            continue
        if lifting.refused(track):
            why = "; ".join(track.provenance.get("reasons", ()))
            yield clip, track, LiftError(f"{who}the lifted track is not to be trusted: {why}")
            continue
        try:
            yield *trimmed(clip, track, job.recipe), None
        except TrackError as error:
            yield clip, track, TrackError(f"{who}{error}")


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


class Kept:
    """The people of finished artefacts, sorted by clip, read again each time: of the corpus memory holds one clip.

    `skipped` has clips or people that nothing can be asked about with the reason, `missing` the ids of clips without a fresh artefact.
    Raises BuildError when an artefact is no longer what it was at first.
    """

    def __init__(self, clips: Sequence[Clip], plan: Plan, progress: Progress = unseen) -> None:
        self.clips, self.work = clips, store.Work(plan.work)
        self.skipped: list[dict[str, str]] = []
        self.missing: list[str] = []
        self.count = 0
        self._keys = array("Q")  # of every clip, as a number; 0 where there is nobody
        for done, clip in enumerate(clips, 1):
            key = key_of(job_of(clip, plan))
            record = self.work.get(STAGE, clip.clip_id, key)
            if record is None:
                self.missing.append(clip.clip_id)
            else:
                self.skipped += [{"clip_id": clip.clip_id, "reason": error["line"]} for error in record["errors"]]
                self.count += len(record["people"])
            self._keys.append(int(key, 16) if record and record["people"] else 0)
            progress(done, len(clips), clip.clip_id)

    def __iter__(self) -> Iterator[Asked]:
        for clip, key in zip(self.clips, self._keys, strict=True):
            if not key:
                continue
            record = self.work.get(STAGE, clip.clip_id, f"{key:016x}")
            if record is None:
                raise BuildError(CHANGED)
            yield from (_asked(p) for p in record["people"])


def gather(clips: Sequence[Clip], plan: Plan) -> tuple[list[Asked], list[dict[str, str]], list[str]]:
    """(people, skipped clips or people with the reason, ids of clips without a fresh artefact), sorted by clip."""
    kept = Kept(clips, plan)
    return list(kept), kept.skipped, kept.missing


def _asked(record: Mapping[str, Any]) -> Asked:
    clip = record["clip"]
    clip["video"] = Path(clip["video"]) if clip["video"] else None
    questions = tuple(Question(**q | {"options": tuple(q["options"])}) for q in record["questions"])
    return Asked(Clip(**clip), record["track"], questions)
