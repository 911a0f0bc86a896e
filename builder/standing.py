"""How far a build is: every clip's standing in every stage, from the artefacts alone, and why what is stale or failed is so."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from builder import lifting, lineage, pipeline, store
from builder.lifting import DONE, FAILED, LATER, TRUTH
from builder.types import Clip

PENDING, STALE = "pending", "stale"
STANDINGS = (DONE, FAILED, LATER, STALE, PENDING)
NUMBERS = re.compile(r"\d+(\.\d+)?")
PLACES = re.compile(r"\S*[/\\]\S*")


@dataclass
class Stage:
    """What is known of one stage: clips by standing, seconds of those that were done, reasons with counts and an example each."""

    name: str
    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    timed: int = 0
    reasons: dict[str, dict[str, tuple[int, str, str]]] = field(default_factory=dict)

    def add(self, standing: str, clip_id: str, why: str = "", seconds: float | None = None) -> None:
        """Count a clip."""
        self.counts[standing] += 1
        if seconds is not None:
            self.seconds, self.timed = self.seconds + seconds, self.timed + 1
        if why:
            kinds = self.reasons.setdefault(standing, {})
            n, line, example = kinds.get(alike(why), (0, why, clip_id))
            kinds[alike(why)] = (n + 1, line, example)

    def record(self, workers: int) -> dict[str, Any]:
        """As JSON-ready values; `hours_left` for this many processes, None when nothing of it was timed yet."""
        mean = self.seconds / self.timed if self.timed else None
        left = sum(self.counts[s] for s in (PENDING, STALE, LATER))
        return {
            "stage": self.name,
            **{standing: self.counts[standing] for standing in STANDINGS},
            "seconds_per_clip": None if mean is None else round(mean, 3),
            "clips_per_hour": round(3600 * workers / mean, 1) if mean else None,
            "hours_left": 0.0 if not left else None if mean is None else round(left * mean / workers / 3600, 3),
            "why": {
                standing: [
                    {"count": n, "line": line, "example": example}
                    for n, line, example in sorted(kinds.values(), key=lambda k: (-k[0], k[1]))
                ]
                for standing, kinds in sorted(self.reasons.items())
            },
        }


def alike(line: str) -> str:
    """What lines that differ only in numbers, names of files and of clips have in common."""
    return NUMBERS.sub("#", PLACES.sub("...", line))


def look(clips: Sequence[Clip], plan: pipeline.Plan, workers: int) -> dict[str, Any]:
    """The standing of every clip of the plan: {"clips", "workers", "stages": [...]}, JSON-ready."""
    work = store.Work(plan.work)
    lifts, asks = Stage(lifting.STAGE), Stage(pipeline.STAGE)
    for clip in clips:
        job = pipeline.job_of(clip, plan)
        made = pipeline.made_from(job)
        if job.lifter != TRUTH:
            tracks = lifting.made_from(clip, job.lifter, job.options)
            _stand(lifts, clip, work.read(lifting.STAGE, clip.clip_id), tracks)
        fresh = pipeline.finished(work, job, lineage.key_of(made)) is not None
        _stand(asks, clip, work.read(pipeline.STAGE, clip.clip_id), made, fresh)
    stages = [stage for stage in (lifts, asks) if stage.counts]
    return {"clips": len(clips), "workers": workers, "stages": [stage.record(max(1, workers)) for stage in stages]}


def _stand(stage: Stage, clip: Clip, record: Any, made: dict[str, str], fresh: bool = True) -> None:
    if record is None:
        return stage.add(PENDING, clip.clip_id)
    if record.get("key") != lineage.key_of(made):
        return stage.add(STALE, clip.clip_id, lineage.why_stale(record.get("made_from"), made) or lineage.DAMAGED)
    seconds, status = float(record["seconds"]), str(record["status"])
    if status == FAILED and not fresh:
        return stage.add(STALE, clip.clip_id, "it failed for its tracks, which were lifted again since: it is asked about again")
    errors = record["errors"] if stage.name == pipeline.STAGE else [record["error"]] if record["error"] else []
    if status == DONE:
        return stage.add(DONE, clip.clip_id, "", seconds)
    for error in errors[:1]:
        return stage.add(status, clip.clip_id, f"{error['class']}: {error['line']}", seconds if status == FAILED else None)
    return stage.add(status, clip.clip_id, "", seconds)


def lines(found: dict[str, Any]) -> Iterable[str]:
    """The same for a person at a terminal."""
    heads = ("stage", *STANDINGS, "s/clip", "clips/h", "left")
    rows = []
    for stage in found["stages"]:
        speed = [stage["seconds_per_clip"], stage["clips_per_hour"]]
        shown = ["-" if value is None else f"{value:,.1f}" for value in speed]
        rows.append((stage["stage"], *(str(stage[s]) for s in STANDINGS), *shown, _left(stage)))
    widths = [max(len(row[k]) for row in (heads, *rows)) for k in range(len(heads))]
    yield f"{found['clips']} clips, {found['workers']} process{'es' if found['workers'] != 1 else ''}"
    for row in (heads, *rows):
        yield "  ".join(cell.rjust(w) if k else cell.ljust(w) for k, (cell, w) in enumerate(zip(row, widths, strict=True)))
    words = {FAILED: "failed", LATER: "could not be done then, and is tried again by the next run", STALE: "stale"}
    for stage in found["stages"]:
        for standing, reasons in stage["why"].items():
            for reason in reasons:
                yield f"{stage['stage']}: {reason['count']} {words[standing]}: {reason['line']} (such as {reason['example']})"
    if any(stage[FAILED] for stage in found["stages"]):
        yield "what failed is not tried again by itself: build with --retry-failed"


def _left(stage: dict[str, Any]) -> str:
    hours = stage["hours_left"]
    if hours is None:
        return "?"
    return "0" if not hours else f"{60 * hours:.1f} min" if hours < 1 else f"{hours:.1f} h"
