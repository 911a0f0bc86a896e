"""The sample that travels in the package is what the code of today builds."""

from __future__ import annotations

import json
from pathlib import Path

from builder import cli

SAMPLE = Path(__file__).resolve().parent.parent / "builder" / "sample"


def test_the_packaged_sample_is_a_build_of_this_code(tmp_path: Path):
    arguments = [
        "build",
        "--lifter",
        "groundtruth",
        "--out",
        str(tmp_path / "out"),
        "--work",
        str(tmp_path / "work"),
        "--workers",
        "2",
        "--quiet",
        "--no-report",
    ]
    assert cli.main(arguments) == 0
    built = {p.relative_to(tmp_path / "out"): p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    packaged = {p.relative_to(SAMPLE): p.read_bytes() for p in SAMPLE.rglob("*") if p.is_file()}
    assert sorted(packaged) == sorted(built)
    assert [p for p in built if built[p] != packaged[p]] == [], "the packaged sample is stale: run `make sample`"
    assert json.loads(packaged[Path("build_info.json")])["generated"]["skipped"] == []
