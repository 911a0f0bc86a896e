"""A build at the size of the paper's test set: 97 recordings of 20 to 60 s over generated copies of EMDB, RICH and EgoBody.

python tests/benchmarks/paper_scale.py [FOLDER]     # prints how many questions each dataset and category gives; about an hour

The people are scripted; what is measured is how many questions recordings of such number and length give, not what the real ones hold.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import fixture_datasets as fx  # noqa: E402

from builder.performer import FILMED, Plan, draw_script, perform  # noqa: E402
from builder.performer.scripts import ROAMERS  # noqa: E402
from builder.types import Track  # noqa: E402

RECORDINGS = {"emdb": 20, "rich": 30, "egobody": 47}  # 97 in all; the paper does not say how they are divided
PAPER = {"emdb": 786, "rich": 2220, "egobody": 7197}
SECONDS = (20.0, 60.0)
OUTDOORS = replace(ROAMERS, length_s=SECONDS, actions=(8, 24), distance_m=12.0)
INDOORS = replace(FILMED, length_s=SECONDS, actions=(6, 20), distance_m=4.0, everywhere=True)
CIRCLES = 9  # of four people of EgoBody who are seen with one another, as MEETINGS has it, and with nobody else
MEETINGS = ((0, 1), (2, 3), (1, 2), (3, 0), (0, 2), (1, 3))
CAPTURES = ("ParkingLot1", "Pavallion", "LectureHall", "Gym", "BBQ")


def person(plan: Plan, *identity: object) -> Track:
    """Somebody's motion, by identity alone."""
    return perform(draw_script(*identity, plan=plan), 30.0, seed="/".join(map(str, identity)))


def write(root: Path) -> None:
    """The three copies, without images."""
    for k in range(RECORDINGS["emdb"]):
        fx.emdb(root / "emdb", person(OUTDOORS, "emdb", k), f"P{k % 10}/{k:02d}_outdoor_walk", (k % 2 == 0, k % 3 == 0))
    for k in range(RECORDINGS["rich"]):
        capture, split = CAPTURES[k % len(CAPTURES)], ("train", "val", "test")[k % 3]
        subjects = [f"{k % 22:03d}"] + ([f"{(k + 7) % 22:03d}"] if k % 10 == 9 else [])
        people = {subject: person(INDOORS, "rich", k, subject) for subject in subjects}
        fx.rich(root / "rich", people, f"{capture}_{'_'.join(subjects)}_action{k}", split, scene=fx.Scene(capture), first=1 + 13 * k)
    copy = fx.EgoBody(root / "egobody")
    for k in range(RECORDINGS["egobody"]):
        pair = [person(INDOORS, "egobody", k, who) for who in range(2)]
        first, second = (1 + 4 * (k % CIRCLES) + who for who in MEETINGS[k // CIRCLES])
        scene = "seminar_g110" if k % 2 else "seminar_d78_0318"
        name = f"recording_202109{k % 28 + 1:02d}_S{first:02d}_S{second:02d}_{k:02d}"
        copy.add(*pair, name, ("train", "val", "test")[k % 3], scene, first=500 + 37 * k, kinects=3 + 2 * (k % 2), interactee_body=k % 2)


def paper_scale(scratch: Path = ROOT / "work" / "evidence" / "paper_scale") -> dict[str, Any]:
    """Questions per dataset and category of such a build, beside the paper's; what is there in `scratch` is used again."""
    copies = scratch / "copies"
    if not (copies / "written").exists():
        shutil.rmtree(copies, ignore_errors=True)
        write(copies)
        (copies / "written").touch()
    command = [sys.executable, str(ROOT / "humanmovevqa.py"), "build", "--no-report", "--lifter", "groundtruth", "--workers", "2"]
    for name in RECORDINGS:
        command += ["--source", f"{name}={copies / name}"]
    started = time.time()
    subprocess.run([*command, "--out", str(scratch / "out"), "--work", str(scratch / "work")], check=True)
    info = json.loads((scratch / "out" / "build_info.json").read_text())
    table = {source: Counter[str]() for source in RECORDINGS}
    for source, splits in info["counts"].items():
        for counts in splits.values():
            table[source].update(counts)
    return {
        "recordings": RECORDINGS,
        "tracks": info["generated"]["tracks"],
        "skipped": len(info["generated"]["skipped"]),
        "questions": {source: dict(sorted(counts.items())) for source, counts in table.items()},
        "by_source": {source: counts.total() for source, counts in table.items()},
        "paper": PAPER,
        "all": sum(counts.total() for counts in table.values()),
        "seconds": round(time.time() - started, 1),
    }


def render(found: dict[str, Any]) -> str:
    """The result as a table, in Markdown."""
    categories = sorted({name for counts in found["questions"].values() for name in counts})
    lines = [f"| dataset | recordings | {' | '.join(categories)} | all | paper |", "|" + "---|" * (len(categories) + 4)]
    for source, counts in found["questions"].items():
        cells = [str(counts.get(name, 0)) for name in categories]
        lines.append(
            f"| {source} | {found['recordings'][source]} | {' | '.join(cells)} | {found['by_source'][source]} | {found['paper'][source]} |"
        )
    sums = [str(sum(counts.get(name, 0) for counts in found["questions"].values())) for name in categories]
    lines.append(f"| all | {sum(found['recordings'].values())} | {' | '.join(sums)} | {found['all']} | {sum(found['paper'].values())} |")
    return "\n".join(lines)


if __name__ == "__main__":
    result = paper_scale(*map(Path, sys.argv[1:2]))
    print(json.dumps(result, indent=1))
    print(render(result))
