"""Measure what README states: `python tests/evidence.py [NAME ...]`, or `make evidence`.

Each measurement leaves `evidence/<name>.json` with the commit and the digest of the code that made it; one whose code is
still the same is not made again, so an interrupted run continues.  README's table is rendered from these files, and a test
holds README, files and code against each other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "evidence"
DATA = Path(os.environ.get("HUMANMOVEVQA_TEST_DATA", ROOT.parent / "shared" / "data"))
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


MEASUREMENTS: dict[str, Callable[[], dict[str, Any]]] = {
    "blind_synthetic": blind_synthetic,
    "blind_paper": blind_paper,
    "blind_real": blind_real,
}


def read() -> dict[str, dict[str, Any]]:
    """Every stored measurement by name."""
    return {name: json.loads((FOLDER / f"{name}.json").read_text()) for name in MEASUREMENTS if (FOLDER / f"{name}.json").is_file()}


def measure(names: list[str]) -> None:
    """Make the named measurements (all by default) that are missing or stale, then write README's table."""
    from builder.pipeline import code_digest

    FOLDER.mkdir(exist_ok=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    for name in names or MEASUREMENTS:
        stored = read().get(name)
        if stored and stored["code"] == code_digest():
            print(f"{name}: fresh, made at {stored['commit'][:12]}")
            continue
        print(f"{name}: {MEASUREMENTS[name].__doc__}")
        record = {"code": code_digest(), "commit": commit, "result": MEASUREMENTS[name]()}
        (FOLDER / f"{name}.json").write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    readme = ROOT / "README.md"
    readme.write_text(filled(readme.read_text(), render(read())))


def filled(readme: str, table: str) -> str:
    """README with `table` between its two marks."""
    head, rest = readme.split(BEGIN)
    return f"{head}{BEGIN}\n{table}{END}{rest.split(END)[1]}"


def points(table: dict[str, Any]) -> str:
    """A score with its interval."""
    return f"{table['score']:.1f} [{table['low']:.1f}, {table['high']:.1f}]"


def render(found: dict[str, dict[str, Any]]) -> str:
    """README's table of measurements, in Markdown."""
    results = {name: record["result"] for name, record in found.items()}
    lines = ["| blind score (chance 0, always right 100) | by category priors | by question words |", "|---|---|---|"]
    titles = {
        "blind_synthetic": "1,000 scripted people, default recipe",
        "blind_paper": "the same people, released scripts' thresholds, nothing flattened",
        "blind_real": "real tracks",
    }
    for name, title in titles.items():
        r = results[name]
        tables = [r["blind"][solver] for solver in ("priors", "second")]
        few = "; too few to tell" if "too few" in tables[0]["verdict"] else ""
        scores = " | ".join(points(t["mean"]) for t in tables)
        lines.append(f"| {title}: mean of seven categories ({r['after']:,} questions{few}) | {scores} |")
        if name == "blind_synthetic":
            for category in tables[0]["by_category"]:
                lines.append(f"| - {category} | {' | '.join(points(t['by_category'][category]) for t in tables)} |")
    r = results["blind_synthetic"]
    kept = r["after"] / r["tracks"]
    lines += ["", f"Each scripted person gives {r['per_track']:.0f} questions (at most 10 per category); flattening keeps {kept:.0f}."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    measure(sys.argv[1:])
