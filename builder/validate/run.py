"""The verb `validate`: every clip into a record in the work folder, then a table, `validation.json` and `validation.html`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from builder import geometry, lifting, motion, pipeline, plugins, recipe, store
from builder.types import BuildError, Clip, Floats, HumanMoveError, LiftError, Motion, SetupError, StoreError, one_line, passes
from builder.validate.agreement import answered, disagreements, events, tally
from builder.validate.fit import errors_of, toml
from builder.validate.metrics import heading_errors, measure
from builder.validate.pairing import Pair, matched, paired
from builder.validate.summary import summary, table
from builder.workers import Progress, run_all

STAGE = "validation"
SHOWN = 160  # points of a curve in a picture
Bar = Callable[[str, int, bool], AbstractContextManager[Progress]]


@dataclass(frozen=True)
class Job:
    """One clip to validate, picklable."""

    clip: Clip
    plan: pipeline.Plan


def silent(title: str, total: int, quiet: bool) -> AbstractContextManager[Progress]:
    """A progress bar that shows nothing."""
    return nullcontext(lambda done, total, what: None)


def run(plan: pipeline.Plan, out: Path, workers: int = 1, fit: bool = False, quiet: bool = False, bar: Bar = silent) -> int:
    """Validate the plan's lifter on its sources and write into `out`.  Raises PluginError, SetupError, BuildError, StoreError."""
    from builder.viz.validation import page

    store.need_folder(out)
    records = compared(plan, workers, lambda total: bar(f"{plan.lifter} against the truth", total, quiet))
    with bar("counting and drawing", 1, quiet):
        found = summary(records, plan.recipe, plan.lifter, plan.options)
        drawn = page(found, records).encode()
    print(table(found))
    for one in found["refused"]:
        if not quiet:
            print(f"refused {one['clip_id']}: {one['reason']}", file=sys.stderr)
    if fit:
        used = found["fitted_from"]
        print(f"\n# fitted to {used['clips']} people, {used['paths']} paths; {used['left_out']} failures left out\n{toml(found['fitted'])}")
    store.write_atomic(out / "validation.json", (json.dumps(found, indent=2, allow_nan=False) + "\n").encode())
    store.write_atomic(out / "validation.html", drawn)
    if not quiet:
        print(f"pictures: {out / 'validation.html'}", file=sys.stderr)
    return 0


def compared(plan: pipeline.Plan, workers: int, bar: Callable[[int], AbstractContextManager[Progress]]) -> list[dict[str, Any]]:
    """The record of every clip of the plan, sorted by clip; a record that the work folder has is not made again.

    Raises PluginError for a source that knows no truth, BuildError when not one clip could be compared.
    """
    clips = pipeline.clips_of(plan)
    for name in sorted({clip.source for clip in clips}):
        plugins.load("sources", name, ("ABOUT", "clips", "reference"))
    if plan.lifter != lifting.TRUTH:
        lifting.load(plan.lifter, plan.options)  # a wrong name or missing weights are one mistake, not one per clip
    jobs = [Job(clip, plan) for clip in clips]
    with bar(len(jobs)) as progress:
        run_all(keep, jobs, len(jobs), lambda job: job.clip.clip_id, workers, progress)
    kept = store.Work(plan.work)
    records = [record for job in jobs if (record := kept.get(STAGE, job.clip.clip_id, key_of(job))) is not None]
    if not any(record["people"] for record in records):
        why = next((reason for record in records for reason in record["refused"]), "no reason is known")
        raise BuildError(f"not one of {len(clips)} clips could be compared; the first: {why}")
    return records


def key_of(job: Job) -> str:
    """What a record is made from: what was lifted, the truth, the recipe and the code that compares."""
    plan = job.plan
    tracks = [lifting.key_of(job.clip, lifter, options) for lifter, options in ((plan.lifter, plan.options), (lifting.TRUTH, {}))]
    return store.digest(*tracks, plan.recipe.digest, lifting.code_digest(*pipeline.ASKING, "validate"))


def keep(job: Job) -> None:
    """Make one clip's record unless it is fresh.  One that this machine alone may be to blame for is made again the next time."""
    kept, key = store.Work(job.plan.work), key_of(job)
    old = kept.get(STAGE, job.clip.clip_id, key)
    if old is None or old["again"]:
        kept.put(STAGE, job.clip.clip_id, key, record(job))


def record(job: Job) -> dict[str, Any]:
    """What there is to say of one clip, JSON-ready: its `people`, whom the lifter `invented`, and what was `refused` and why."""
    clip, plan = job.clip, job.plan
    out: dict[str, Any] = {"clip_id": clip.clip_id, "camera": str(clip.meta.get("camera_kind") or clip.camera)}
    out |= {"people": [], "invented": 0, "refused": [], "again": False}
    try:
        truths = lifting.lifted(clip, lifting.TRUTH, {}, plan.work)
        tracks = lifting.lifted(clip, plan.lifter, plan.options, plan.work)
    except (SetupError, StoreError):
        raise
    except HumanMoveError as error:
        return out | {"refused": [one_line(error)], "again": passes(error)}
    found = matched(tracks, truths)
    out["invented"] = len(tracks) - len(found)
    for j, truth in enumerate(truths):
        who = f"person {truth.person_id}: " if len(truths) > 1 else ""
        try:
            if j not in {b for _, b in found}:
                raise LiftError("the lifter found nobody there")
            track = tracks[next(a for a, b in found if b == j)]
            if lifting.refused(track):
                raise LiftError("; ".join(track.provenance.get("reasons", ())) or "the lifter refuses its own result")
            _, track = pipeline.trimmed(clip, track, plan.recipe)
            out["people"].append(person(paired(track, truth), plan.recipe))
        except HumanMoveError as error:
            out["refused"].append(who + one_line(error))
    return out


def person(pair: Pair, using: recipe.Recipe) -> dict[str, Any]:
    """One person's part of a record: metrics, events, answers with and without the filter, fitting errors, curves to draw."""
    lifted, truth = (motion.describe(geometry.fill_invalid(t), using) for t in (pair.lifted, pair.truth))
    metrics = measure(pair, using)
    robust, loose = (answered(geometry.fill_invalid(pair.lifted), truth, using, kind) for kind in (True, False))
    return {
        "person_id": pair.lifted.person_id,
        "verdict": str(pair.lifted.provenance.get("verdict", "ok")),
        "metrics": {k: round(v, 5) if isinstance(v, float) else v for k, v in metrics.items()},
        "events": events(lifted, truth),
        "answers": tally(robust, "category"),
        "answers_unfiltered": tally(loose, "category"),
        "templates": tally(robust, "template"),
        "disagreements": disagreements(robust),
        "errors": errors_of(lifted, truth) | {"anchor_deg": metrics["anchor_heading_error_deg"]},
        "series": _series(pair, lifted, truth, using),
    }


def _series(pair: Pair, lifted: Motion, truth: Motion, using: recipe.Recipe) -> dict[str, Any]:
    """Curves for the pictures: both floor paths (left, forward) and the heading error over time, None where there is none."""
    error, how = heading_errors(pair, using)
    rows = _thin(len(error))

    def path(m: Motion) -> list[list[float]]:
        points: Floats = m.path_m[_thin(len(m.path_m))]
        return np.round(points, 3).tolist()

    return {
        "lifted_m": path(lifted),
        "truth_m": path(truth),
        "seconds": np.round(rows / pair.lifted.fps, 3).tolist(),
        "heading_error_deg": [round(float(v), 1) if np.isfinite(v) else None for v in error[rows]],
        "heading_frame": how,
    }


def _thin(count: int) -> Any:
    return np.unique(np.rint(np.linspace(0, count - 1, min(count, SHOWN))).astype(int))
