"""What a build takes at 10, 10 thousand and 10 million clips: measured as far as this machine goes, reckoned beyond.

python tests/benchmarks/scale.py                        # the tables, from the costs in evidence/scale_costs.json, into docs/scale.md
python tests/benchmarks/scale.py measure [CLIPS]        # measure the costs of asking and merging here (half an hour), and write them
python tests/benchmarks/scale.py merge PEOPLE           # memory and time of merging what was asked about so many people

Lifting is not measured here: its seconds are assumed, and stated as such.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from builder.clip_list import Clips
    from builder.types import Clip

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]
COSTS, PAGE = ROOT / "evidence" / "scale_costs.json", ROOT / "docs" / "scale.md"
SIZES = (10, 10_000, 10_000_000)
MERGED = (300, 1_000, 3_000, 30_000)  # people
PEOPLE = 60  # scripted people, copies of whose artefacts are merged

# Seconds for a clip of 20 s, assumed and not measured: put in what `humanmovevqa status` says of your clips on your machines.
LIFTERS = {
    "monocular (2 CPU cores)": 60.0,
    "gvhmr (1 GPU)": 60.0,
    "prompthmr (1 GPU)": 180.0,
}
NODES = 64  # GPUs, or pairs of cores, that the table reckons with
CLIP_MB = 4.0  # 20 s of H.264, 960 pixels along the longest side


def peak_mb() -> float:
    """The most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def copied(plan: Any, people: int, work: Path) -> tuple[Any, Clips]:
    """The artefacts of a plan's people again and again, under other names, in another work folder; its plan and clips."""
    from builder import pipeline, store
    from builder.clip_list import Clips

    once = pipeline.clips_of(plan)
    pipeline.process(once, plan, 1, lambda *_: None)
    there = replace(plan, work=work)
    (work / pipeline.STAGE).mkdir(parents=True)
    records = [store.Work(plan.work).get(pipeline.STAGE, clip.clip_id, pipeline.key_of(pipeline.job_of(clip, plan))) for clip in once]
    return there, Clips(_copy(once, records, number, there) for number in range(people))


def _copy(once: Sequence[Clip], records: Sequence[Any], number: int, there: Any) -> Clip:
    """The clip of a number among the copies, with its artefact."""
    from builder import pipeline, store

    copy, which = divmod(number, len(once))
    name = f"{once[which].clip_id}-{copy}"
    clip = replace(once[which], clip_id=name, sequence=f"{once[which].sequence}-{copy}", group=name)
    record = json.loads(json.dumps(records[which]))
    for person in record["people"]:
        person["clip"] |= {"clip_id": name, "sequence": clip.sequence, "group": name}
        for question in person["questions"]:
            renamed = hashlib.sha256(f"{question['id']}{copy}".encode()).hexdigest()[:16]
            question |= {"id": renamed, "clip_id": name}
    record["key"] = pipeline.key_of(pipeline.job_of(clip, there))
    store.Work(there.work).path(pipeline.STAGE, name).write_text(json.dumps(record, sort_keys=True))
    return clip


def merged(people: int) -> dict[str, Any]:
    """Merge the artefacts of so many people here, and what that took; the memory is this process's, so call it in a fresh one."""
    from builder import corpus, pipeline, recipe

    first = pipeline.Plan((("synthetic", str(PEOPLE)),), "", recipe.load(), ROOT / "work" / "benchmarks" / "scale")
    with tempfile.TemporaryDirectory(dir=ROOT / "work") as scratch:
        plan, clips = copied(first, people, Path(scratch) / "work")
        before, started, cpu = peak_mb(), time.monotonic(), time.process_time()
        info = corpus.merge(plan, clips, Path(scratch) / "out", report=False)
        ended, cpu = time.monotonic(), time.process_time() - cpu
        size = sum(p.stat().st_size for p in (Path(scratch) / "out").rglob("*") if p.is_file())
    return {
        "rows": sum(info["generated"]["after"].values()),
        "pool": sum(info["generated"]["before"].values()),
        "tracks": info["generated"]["tracks"],
        "start_mb": round(before),
        "peak_mb": round(peak_mb()),
        "cpu_s": round(cpu, 1),
        "wall_s": round(ended - started, 1),
        "bytes": size,
    }


def alone(*arguments: str) -> dict[str, Any]:
    """This file in a process of its own, and the JSON that it prints last."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, __file__, *arguments], check=True, stdout=subprocess.PIPE, text=True, env=environment)
    out: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return out


def asked(clips: int) -> dict[str, Any]:
    """Seconds and bytes that asking about one clip takes here, on one core."""
    from builder import pipeline, recipe

    with tempfile.TemporaryDirectory(dir=ROOT / "work") as scratch:
        plan = pipeline.Plan((("synthetic", str(clips)),), "", recipe.load(), Path(scratch))
        found = pipeline.clips_of(plan)
        started = time.process_time()
        pipeline.process(found, plan, 1, lambda *_: None)
        seconds = time.process_time() - started
        size = sum(p.stat().st_size for p in (Path(scratch) / pipeline.STAGE).iterdir())
    return {"clips": clips, "cpu_s_per_clip": round(seconds / clips, 3), "bytes_per_clip": size // clips, "peak_mb": round(peak_mb())}


def measure(clips: int = 40) -> dict[str, Any]:
    """Measure everything that is measured and write it down."""
    (ROOT / "work").mkdir(exist_ok=True)
    found = {"ask": alone("ask", str(clips)), "merge": [alone("merge", str(people)) for people in MERGED]}
    COSTS.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    return found


def table(costs: dict[str, Any]) -> list[str]:
    """The table of docs/scale.md, in Markdown."""
    last = costs["merge"][-1]
    rows_per_clip = last["rows"] / last["tracks"]
    ask = costs["ask"]["cpu_s_per_clip"]
    lines = [
        f"| clips of 20 s | stage | 1 GPU or core | on {NODES} | files | storage | bottleneck |",
        "|---|---|---|---|---|---|---|",
    ]
    for clips in SIZES:
        for name, seconds in LIFTERS.items():
            size, bound = clips * (CLIP_MB * 1e6 + 400_000), "reading videos" if clips * CLIP_MB > 4e6 else "GPU or cores"
            lines.append(row(clips, f"lift: {name}", clips * seconds, NODES, 3 * clips, size, bound))
        size = clips * costs["ask"]["bytes_per_clip"]
        bound = "file system: files in one folder" if clips > 1e6 else "cores"
        lines.append(row(clips, "ask", clips * ask, NODES, clips, size, bound))
        rows = clips * rows_per_clip
        size = rows * last["bytes"] / last["rows"]
        seconds = clips * last["cpu_s"] / last["tracks"]
        lines.append(row(clips, f"merge: {rows:,.0f} rows", seconds, 1, rows / 50_000 + 6, size, "one core"))
    return lines


def row(clips: int, stage: str, seconds: float, nodes: int, files: float, size: float, bound: str) -> str:
    """One line of it; a stage that runs in one process takes as long on many machines."""
    cells = (f"{clips:,}", stage, hours(seconds), hours(seconds / nodes), f"{max(1, round(files)):,}", storage(size), bound)
    return f"| {' | '.join(cells)} |"


def hours(seconds: float) -> str:
    """A duration in the unit that suits it."""
    for unit, name, least in ((86400, "d", 3), (3600, "h", 1), (60, "min", 1)):
        if seconds >= least * unit:
            return f"{seconds / unit:,.1f} {name}"
    return f"{seconds:.1f} s"


def storage(size: float) -> str:
    """A number of bytes in the unit that suits it."""
    units = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
    return next((f"{size / unit:,.1f} {name}" for unit, name in units if size >= unit), f"{size:.0f} B")


def merge_table(costs: dict[str, Any]) -> list[str]:
    """What merging took, measured."""
    lines = ["| people | asked in all | rows published | CPU time | peak memory | dataset |", "|---|---|---|---|---|---|"]
    for m in costs["merge"]:
        cells = (f"{m['tracks']:,}", f"{m['pool']:,}", f"{m['rows']:,}", hours(m["cpu_s"]), f"{m['peak_mb']:,} MB", storage(m["bytes"]))
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def lifter_table() -> list[str]:
    """The seconds of lifting that are assumed."""
    return ["| lifter | seconds, assumed |", "|---|---|", *(f"| {name} | {seconds:.0f} |" for name, seconds in LIFTERS.items())]


def filled(page: str, costs: dict[str, Any]) -> str:
    """The page with its three tables."""
    for name, lines in (("measured", merge_table(costs)), ("reckoned", table(costs)), ("lifters", lifter_table())):
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        head, rest = page.split(begin)
        page = "\n".join([head + begin, *lines, end + rest.split(end)[1]])
    return page


if __name__ == "__main__":
    what, *rest = sys.argv[1:] or ["table"]
    if what in ("merge", "ask"):
        (ROOT / "work").mkdir(exist_ok=True)
        print(json.dumps((merged if what == "merge" else asked)(int(rest[0]))))
    elif what == "measure":
        print(json.dumps(measure(*map(int, rest)), indent=1))
    else:
        costs = json.loads(COSTS.read_text())
        print("\n".join([*merge_table(costs), "", *table(costs)]))
        PAGE.write_text(filled(PAGE.read_text(), costs))
