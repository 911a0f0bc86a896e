"""The Hub row: its columns, and that a question comes back from Parquet as it went in."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder import schema
from builder.types import CATEGORIES, BuildError, Clip, DataError, Question

ORDER = """id video video_id video_path source sequence person referent start_frame end_frame fps num_frames category template quantity
window question options answer answer_index answer_text num_options chance robustness reasoning evidence official_split lifter recipe
generator_version""".split()


def a_clip(source: str = "emdb", **changes: Any) -> Clip:
    return replace(Clip(f"{source}-c0", source, "P1/24 outdoor_long_walk", 29.97, 30, 330, 300, "P1", "qa_only", split="test"), **changes)


def a_question(number: int = 0, source: str = "emdb", **changes: Any) -> Question:
    evidence = {"metres": 0.1 + 0.2, "quarters": [1, 2], "side": {"left": None, "gauche à": True}}
    options = ("About 1 m", "About 2 m", "About 4 m", "None of it")
    made = Question(f"{source}{number:04d}", f"{source}-c0", "p0", CATEGORIES[number % 7], "metres", "forward", "h1", "How far?", options,
                    number % 4, evidence, 15 / 16)  # fmt: skip
    return replace(made, **changes)


def a_row(number: int = 0, source: str = "emdb", **changes: Any) -> dict[str, Any]:
    made = schema.row(a_question(number, source), a_clip(source), {"lifter": "groundtruth", "referent": None}, "Because.", "default")
    return made | changes


def test_columns_are_the_contract():
    assert list(schema.features()) == list(schema.COLUMNS) == list(a_row()) == ORDER
    assert {c.type for c in schema.COLUMNS.values()} == {"string", "list<string>", "int32", "int8", "float64", "video"}
    assert all(c.meaning.endswith(".") for c in schema.COLUMNS.values())


def test_question_survives_parquet():
    asked = [a_question(n) for n in range(28)] + [a_question(28, options=("Yes", "No"), answer=1, robustness=1 / 3)]
    rows = [schema.row(q, a_clip(), {"lifter": "gvhmr", "referent": "the person in red"}, "", "default") for q in asked]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema.features().arrow_schema), sink)
    back = pq.read_table(sink).to_pylist()
    assert back == rows
    assert [schema.question(r) for r in back] == asked
    assert [r["options"][r["answer_index"]] for r in back] == [q.answer_text for q in asked]
    assert (back[-1]["answer"], back[-1]["chance"], back[-1]["num_options"]) == ("B", 0.5, 2)
    assert back[0] | {"fps": 29.97, "official_split": "test", "referent": "the person in red", "start_frame": 30} == back[0]


@pytest.mark.parametrize(
    ("parts", "path"),
    [
        (("emdb", "P1_24", "emdb-P1_24-0"), "emdb/P1_24/emdb-P1_24-0.mp4"),
        (("emdb", "P1/24_walk", "emdb/P1/24_walk/0"), "emdb/P1__24_walk/emdb__P1__24_walk__0.mp4"),
        (("folder", "/home/me/x", "c"), "folder/home-me-x-575a49cb/c.mp4"),
        (("folder", "..", "c"), "folder/x-5ec1f7e7/c.mp4"),
        (("folder", "a", ""), "folder/a/x-e3b0c442.mp4"),
    ],
)
def test_video_path_is_relative_and_safe(parts: tuple[str, str, str], path: str):
    source, sequence, clip_id = parts
    assert schema.video_path(a_clip(source, sequence=sequence, clip_id=clip_id)) == path


def test_video_paths_differ_where_clips_do():
    names = ["a b", "a/b", "a__b", "a_/b", "a//b", "a/_b", "a/_/b", "a-b", "a\\b", "ä-b", "A" * 200, "A" * 201, ".", "..", ""]
    paths = {schema.video_path(a_clip("s", sequence=x, clip_id=y)) for x in names for y in names}
    assert len(paths) == len(names) ** 2
    assert all(len(p.split("/")) == 3 and p.isascii() for p in paths)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clip_id": "other"}, "expected the clip it asks about, 'other', got clip 'emdb-c0'"),
        ({"category": "guess"}, "field 'category'"),
        ({"options": ("Yes", "Yes")}, "distinct options"),
        ({"answer": 4}, "and answer 4"),
        ({"evidence": {"metres": float("nan")}}, "field 'evidence'"),
    ],
)
def test_what_cannot_be_a_row_is_refused(change: dict[str, Any], message: str):
    with pytest.raises(DataError, match=message):
        schema.row(a_question(**change), a_clip(), {"lifter": "groundtruth"}, "", "default")


def test_damaged_rows_are_refused():
    with pytest.raises(DataError, match="do not name one option"):
        schema.question(a_row(answer="B"))
    with pytest.raises(DataError, match="no column 'evidence'"):
        schema.question({k: v for k, v in a_row().items() if k != "evidence"})


@pytest.mark.parametrize(
    "change",
    [
        {"video_path": "/data/emdb/c.mp4"},
        {"video_path": "emdb/../c.mp4"},
        {"reasoning": "See /home/me/c.mp4."},
        {"evidence": '{"file": "/mnt/c"}'},
        {"options": ["C:\\clips\\c", "No"]},
        {"source": "rich"},
        {"extra": 1},
    ],
)
def test_check_refuses(change: dict[str, Any]):
    schema.check(a_row(reasoning="Left/right 1 / 2, at 0.5 m/s; see https://arxiv.org/abs/2606.27999"), "emdb")
    with pytest.raises(BuildError):
        schema.check(a_row(**change), "emdb")


def test_importing_the_schema_leaves_datasets_alone():
    code = "import sys, builder.schema, builder.export; sys.exit('datasets' in sys.modules or 'pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=schema.__file__.rsplit("/", 2)[0]).returncode == 0
