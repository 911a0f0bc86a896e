"""Measure what README states: `python tests/evidence.py [NAME ...]`, or `make evidence`.

Each measurement leaves `evidence/<name>.json` with the commit and the digest of the code that made it; one whose code is
still the same is not made again, so an interrupted run continues.  README's table is rendered from these files, and a test
holds README, files and code against each other.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import evidence_tables

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "evidence"
DATA = Path(os.environ.get("HUMANMOVEVQA_TEST_DATA", ROOT.parent / "shared" / "data"))
FITTED_ON, VALIDATED_ON = "synthetic=16@101:filmed", "synthetic=60@12:filmed"  # no person, scene or script in common
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def build(name: str, *arguments: str) -> dict[str, Any]:
    """Run `humanmovevqa build` into a scratch folder that a later run continues, and return its build_info."""
    scratch = ROOT / "work" / "evidence" / name
    command = [sys.executable, str(ROOT / "humanmovevqa.py"), "build", "--no-report", "--out", str(scratch / "out")]
    started = time.time()
    subprocess.run([*command, "--work", str(scratch / "work"), *arguments], check=True)
    info: dict[str, Any] = json.loads((scratch / "out" / "build_info.json").read_text())
    return info | {"seconds": round(time.time() - started, 1)}


def blind(info: dict[str, Any], kind: str) -> dict[str, Any]:
    """What README states of a build: sizes and both blind solvers."""
    made = info["generated"]
    return {
        "tracks": made["tracks"],
        "skipped": len(made["skipped"]),
        "per_track": made["questions_per_track_mean"],
        "before": sum(made["before"].values()),
        "after": sum(made["after"].values()),
        "blind": {solver: info["blind"][solver][kind] for solver in ("priors", "second")},
    }


def blind_synthetic() -> dict[str, Any]:
    """1,000 scripted people, default recipe."""
    return blind(build("synthetic", "--source", "synthetic=1000"), "synthetic")


def blind_paper() -> dict[str, Any]:
    """The same people with the released scripts' thresholds, nothing filtered or flattened."""
    return blind(build("paper", "--source", "synthetic=1000", "--recipe", "paper"), "synthetic")


def blind_real() -> dict[str, Any]:
    """The shared real tracks alone."""
    return blind(build("real", "--source", f"tracks={DATA / 'tracks'}"), "real")


def validation(name: str, source: str, films: str | None = None) -> dict[str, Any]:
    """Run `humanmovevqa validate` with the default lifter into a scratch folder that a later run continues; `films` names a
    measurement whose videos are used again."""
    scratch = ROOT / "work" / "evidence" / name
    if films and not (scratch / "work" / "videos").exists():
        shutil.copytree(ROOT / "work" / "evidence" / films / "work" / "videos", scratch / "work" / "videos", copy_function=os.link)
    command = [sys.executable, str(ROOT / "humanmovevqa.py"), "validate", "--source", source, "--lifter", "monocular", "--workers", "2"]
    path = os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    command += ["--work", str(scratch / "work"), "--out", str(scratch / "out")]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": path})
    found: dict[str, Any] = json.loads((scratch / "out" / "validation.json").read_text())
    return {**found, "per_clip": [clip_line(clip) for clip in found["per_clip"]]}


def clip_line(clip: dict[str, Any]) -> dict[str, Any]:
    """What is kept of one clip: its refusals, or the main errors and [agreeing, asked] of its person."""
    kept = ("path_m", "rte_percent", "ate_m", "heading_error_deg", "anchor_heading_error_deg")
    people = [
        {name: p["metrics"][name] for name in kept} | {"answers": [sum(c[k] for c in p["answers"].values()) for k in (0, 1)]}
        for p in clip["people"]
    ]
    return {"clip_id": clip["clip_id"], "camera": clip["camera"], "refused": clip["refused"], "people": people}


def lifter_fit() -> dict[str, Any]:
    """The default lifter's errors on 16 filmed people: what the sizes in the recipe's [robustness] come from."""
    found = validation("lifter_fit", FITTED_ON)
    return {name: found[name] for name in ("fitted", "fitted_from", "clips", "accepted", "refused")}


def lifter() -> dict[str, Any]:
    """The default lifter on 60 other filmed people: drift, heading, and answers that change."""
    return validation("lifter", VALIDATED_ON)


def lifter_focal() -> dict[str, Any]:
    """The static and panning ones of the same people, the focal length told."""
    return validation("lifter_focal", f"benchmarks.known_focal={VALIDATED_ON.partition('=')[2]}", "lifter")


# What is asked about the packaged sample without weights: name, the arguments of `humanmovevqa evaluate`.
ROWS = {
    "geometry": ["--model", "geometry"],
    "geometry_lifted": ["--model", "geometry", "--lifter", "monocular"],
    "blind": ["--model", "blind"],
    "blind_second": ["--model", "blind=second"],
    "majority": ["--model", "majority"],
    "constant": ["--model", "constant=A"],
    "chance": ["--model", "chance"],
}
RATED = ("title", "about", "score_macro", "interval", "score_micro", "by_category", "invalid_rate", "n", "videos")


def rows_sample() -> dict[str, Any]:
    """The rows of the evaluation table that need no weights, on the packaged sample's test split."""
    scratch = ROOT / "work" / "evidence" / "rows_sample"
    out: dict[str, Any] = {}
    for name, arguments in ROWS.items():
        shutil.rmtree(scratch / name, ignore_errors=True)
        command = [sys.executable, str(ROOT / "humanmovevqa.py"), "evaluate", "--quiet", "--data", str(ROOT / "builder" / "sample")]
        where = ["--work", str(scratch / "work"), "--out", str(scratch / name)]
        subprocess.run([*command, *arguments, *where], check=True, stdout=subprocess.DEVNULL)
        found = json.loads((scratch / name / "results.json").read_text())
        out[name] = {key: found[key] for key in RATED}
    return out


def paper_scale() -> dict[str, Any]:
    """Questions from 97 generated recordings in the form of the three datasets, at the size of the paper's test set."""
    from benchmarks.paper_scale import paper_scale as measured

    return measured()


LARGE = 100_000  # scripted people of the large build
SPOILT = 2_000  # spoilt files for every reader


def scale() -> dict[str, Any]:
    """A build of 100,000 scripted people with two processes: hours, the largest process's memory at 1,000 and at the end, rows, bytes."""
    from benchmarks.large import large

    found = large(LARGE, ROOT / "work" / "evidence" / "scale")
    out = found.pop("out")
    info = json.loads((out / "build_info.json").read_text())
    size = sum(p.stat().st_size for p in out.rglob("*") if p.is_file())
    return {**blind(info, "synthetic"), **found, "bytes": size}


def spoilt_files() -> dict[str, Any]:
    """Spoilt files for every reader: how many it read, and how many it refused by which error; a defect ends it."""
    command = [sys.executable, str(ROOT / "tests" / "fuzz.py"), str(SPOILT)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


STUDY = ("synthetic=150@11", "synthetic=150@12:filmed", f"tracks={DATA / 'tracks'}")  # three groups of open tracks


def track_reader() -> dict[str, Any]:
    """The packaged track reader on people it has never seen: true, noisy and lifted tracks, blind, in new words, and its time."""
    from benchmarks.read import read

    from builder.train import exam

    lifted = exam.measure_lifted(VALIDATED_ON, "monocular", ROOT / "work" / "evidence" / "lifter" / "work")
    return {**exam.measure(number=100), "films": lifted, "milliseconds": read()}


def study_cross() -> dict[str, Any]:
    """Small track readers, each learnt from one group of tracks or from all, asked about people of every group."""
    scratch = ROOT / "work" / "evidence" / "study_cross"
    command = [sys.executable, str(ROOT / "humanmovevqa.py"), "train", "--model", "track_reader", "--recipe", "cross"]
    command += [part for source in STUDY for part in ("--source", source)]
    command += ["--set", "people=150", "--set", "steps=240", "--work", str(scratch / "work"), "--out", str(scratch / "out")]
    subprocess.run(command, check=True)
    shutil.copyfile(scratch / "out" / "study.svg", ROOT / "docs" / "study_cross.svg")
    found: dict[str, Any] = json.loads((scratch / "out" / "study.json").read_text())
    return found


MEASUREMENTS: dict[str, Callable[[], dict[str, Any]]] = {
    "lifter_fit": lifter_fit,
    "blind_synthetic": blind_synthetic,
    "blind_paper": blind_paper,
    "blind_real": blind_real,
    "lifter": lifter,
    "lifter_focal": lifter_focal,
    "rows_sample": rows_sample,
    "paper_scale": paper_scale,
    "spoilt_files": spoilt_files,
    "scale": scale,
    "track_reader": track_reader,
    "study_cross": study_cross,
}


def code_of(name: str) -> str:
    """Digest of the code whose change makes a measurement stale.

    The fitted sizes are measured with their own recipe in the making, so only the lifter's code counts there.
    """
    from builder import lifting, lineage, pipeline, store
    from builder.recipe import FOLDER as RECIPES

    def lifted(source: str) -> str:
        """What decides a track by the default lifter."""
        return lineage.code_of(f"sources/{source}", "lifters/monocular", "lifting", "video")

    def asked(source: str) -> str:
        return store.digest(lifting.code_digest(*pipeline.ASKING), lifted(source))

    if name == "lifter_fit":
        return lifted("synthetic")
    if name == "rows_sample":
        asking = ("evaluate", "models", "priors", "prompts", "rows", "runs", "scoring", "watching")
        data = store.file_digest(ROOT / "builder" / "sample" / "manifest.json")
        return store.digest(lifting.code_digest(*asking), asked("sample"), data)
    if name == "spoilt_files":
        readers = ("export", "fits", "footage", "listing", "plans", "prompts", "recipe", "runs", "store", "unpickle", "video")
        return lineage.code_of(*readers, "sources/tracks", "lifters/gvhmr", "lifters/prompthmr", "lifters/wham")
    if name == "paper_scale":
        sources = [pipeline.code_of(source) for source in ("emdb", "rich", "egobody")]
        shared = lifting.code_digest("assemble", "body", "recordings", "referent", "unpickle")
        return store.digest(sources, shared, store.file_digest(RECIPES / "default.toml"))
    if name == "study_cross":  # made again when what readers are told or who they learn from changes
        return store.digest(lifting.code_digest("told", "sources/synthetic", "performer"), store.file_digest(RECIPES / "default.toml"))
    if name == "track_reader":
        asking = lifting.code_digest("assemble", "reader", "scoring", "told", "wordings", "train/exam")
        weights = store.file_digest(ROOT / "builder" / "models" / "track_reader.safetensors")
        return store.digest(asked("synthetic"), asking, weights, store.file_digest(RECIPES / "default.toml"))
    recipe = store.file_digest(RECIPES / ("paper.toml" if name == "blind_paper" else "default.toml"))
    if name.startswith("lifter"):
        return store.digest(asked("synthetic"), recipe)
    merging = lifting.code_digest("assemble", "corpus", "priors", "spool")
    return store.digest(pipeline.code_of("tracks" if name == "blind_real" else "synthetic"), merging, recipe)


def read() -> dict[str, dict[str, Any]]:
    """Every stored measurement by name."""
    return {name: json.loads((FOLDER / f"{name}.json").read_text()) for name in MEASUREMENTS if (FOLDER / f"{name}.json").is_file()}


def measure(names: list[str]) -> None:
    """Make the named measurements (all by default) that are missing or stale, then write README's table."""
    FOLDER.mkdir(exist_ok=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    for name in names or MEASUREMENTS:
        stored = read().get(name)
        if stored and stored["code"] == code_of(name):
            print(f"{name}: fresh, made at {stored['commit'][:12]}")
            continue
        print(f"{name}: {MEASUREMENTS[name].__doc__}")
        record = {"code": code_of(name), "commit": commit, "result": MEASUREMENTS[name]()}
        (FOLDER / f"{name}.json").write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    if set(MEASUREMENTS) - set(read()):
        return  # README's tables wait for the last of them
    readme = ROOT / "README.md"
    readme.write_text(filled(readme.read_text(), table()))


def table() -> str:
    """README's table of what is measured, in Markdown."""
    return evidence_tables.render(read(), ROWS)


def filled(readme: str, table: str) -> str:
    """README with `table` between its two marks."""
    head, rest = readme.split(BEGIN)
    return f"{head}{BEGIN}\n{table}{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    measure(sys.argv[1:])
