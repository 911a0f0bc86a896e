"""The whole validation of a lifter: clip by clip into the work folder, then one table, one JSON file and one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder import lifting, pipeline, plugins, store
from builder.motion import describe
from builder.recipe import Recipe
from builder.types import Clip, HumanMoveError, LiftError, SetupError, SourceError, Track, TrackError, VideoError
from builder.validation.agreement import answers, events, window_of
from builder.validation.fit import errors_of
from builder.validation.metrics import compare
from builder.validation.people import matched
from builder.workers import Progress, run_all

STAGE = "validation"


@dataclass(frozen=True)
class Job:
    """One clip to validate, picklable."""

    clip: Clip
    lifter: str
    options: Mapping[str, str]
    recipe: Recipe
    work: Path


def validate(plan: pipeline.Plan, workers: int, progress: Progress) -> list[dict[str, Any]]:
    """The record of every clip of the plan's sources, sorted by clip; what the work folder has is not made again.

    A record says what was refused and why, and of each accepted person the errors, events and answers.  Raises SourceError for a
    source without ground truth.
    """
    clips = pipeline.clips_of(plan)
    for name in sorted({clip.source for clip in clips}):
        if not hasattr(plugins.load("sources", name), "reference"):
            raise SourceError(f"source {name}: expected one with ground truth (reference), it has none; validate on another")
    jobs = [Job(clip, plan.lifter, plan.options, plan.recipe, plan.work) for clip in clips]
    run_all(run, jobs, [clip.clip_id for clip in clips], workers, progress)
    kept = store.Work(plan.work)
    return [record for job in jobs if (record := kept.get(STAGE, job.clip.clip_id, key_of(job))) is not None]


def key_of(job: Job) -> str:
    """What a clip's record is made from."""
    code = lifting.code_digest(*pipeline.ASKING, "validation"), lifting.code_of(job.clip.source, lifting.TRUTH)
    return store.digest(lifting.key_of(job.clip, job.lifter, job.options), job.recipe.digest, code)


def run(job: Job) -> None:
    """Make one clip's record, unless it is fresh."""
    kept, key = store.Work(job.work), key_of(job)
    if kept.get(STAGE, job.clip.clip_id, key) is None:
        kept.put(STAGE, job.clip.clip_id, key, _record(job))


def _record(job: Job) -> dict[str, Any]:
    clip = job.clip
    truths = plugins.load("sources", clip.source).reference(clip)
    out: dict[str, Any] = {"clip_id": clip.clip_id, "camera": clip.meta.get("camera_kind", clip.camera), "people": [], "refused": []}
    try:
        tracks = lifting.lifted(clip, job.lifter, job.options, job.work)
    except SetupError:
        raise
    except (LiftError, VideoError, TrackError) as error:
        return out | {"refused": [str(error)] * len(truths)}
    for truth, track in matched(tracks, truths):
        try:
            if track is None:
                raise LiftError("the person was not found")
            if lifting.refused(track):
                raise LiftError("; ".join(track.provenance.get("reasons", ())))
            out["people"].append(_person(clip, track, truth, job.recipe))
        except HumanMoveError as error:
            out["refused"].append(str(error))
    return out


def _person(clip: Clip, track: Track, truth: Track, recipe: Recipe) -> dict[str, Any]:
    """What is said of one accepted person.  Raises TrackError where nothing would be asked about them either."""
    _, track = pipeline.trimmed(clip, track, recipe)
    truth = window_of(track, truth)
    asked = {name: answers(track, truth, recipe, robust) for name, robust in (("robust", True), ("unfiltered", False))}
    return {
        "person_id": track.person_id,
        "verdict": track.provenance.get("verdict", "ok"),
        "reasons": list(track.provenance.get("reasons", ())),
        "camera_mode": track.provenance.get("camera_mode"),
        "focal_source": track.provenance.get("focal_source"),
        "errors": compare(track, truth, recipe).as_json(),
        "perturbations": {name: round(value, 5) for name, value in errors_of(track, truth, recipe).items()},
        "events": events(describe(track, recipe), describe(truth, recipe)),
        "answers": {
            name: [
                {"category": a.question.category, "template": a.question.template, "agrees": a.agrees}
                | ({} if a.agrees else {"text": a.question.text, "lifted": a.question.answer_text, "truth": a.truth})
                for a in found
            ]
            for name, found in asked.items()
        },
    }


def pairs(plan: pipeline.Plan, clip_ids: Sequence[str]) -> dict[str, tuple[Track, Track]]:
    """(lifted, true) tracks of the first accepted person of these clips, as they were compared."""
    clips = {clip.clip_id: clip for clip in pipeline.clips_of(plan)}
    out: dict[str, tuple[Track, Track]] = {}
    for clip_id in clip_ids:
        clip = clips[clip_id]
        truths = plugins.load("sources", clip.source).reference(clip)
        for truth, track in matched(lifting.lifted(clip, plan.lifter, plan.options, plan.work), truths):
            if track is not None and not lifting.refused(track):
                out.setdefault(clip_id, (pipeline.trimmed(clip, track, plan.recipe)[1], truth))
    return out
