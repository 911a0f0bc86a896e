"""Whose questions are read: our own folders, the released JSON, other people's columns; and what is refused, in one line each."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from builder import cli, export, rows
from builder.types import DataError

RELEASED = [
    {
        "id": "q1",
        "video_path": "EMDB/P1/14.mp4",
        "question": "Which does the person do more?\nOptions:\nA. Turn left\nB. Turn right\nC. About the same",
        "answer": "B. Turn right",
    },
    {
        "id": "q2",
        "video_path": "EMDB/P1/14.mp4",
        "question": "Did the person jump?\n\nOptions:\nA. Yes\nB. No",
        "answer": "A. Yes",
    },
]


def written(path: Path, table: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(table))
    return str(path)


def test_our_own_folder_is_read_whole():
    found = rows.read(str(rows.SAMPLE))
    files = export.configs(rows.SAMPLE)["all"]["test"]
    assert len(found.items) == sum(len(export.read(f, g)) for f in files for g in range(export.groups(f))) > 50
    assert [i.question.id for i in found.items] == sorted(i.question.id for i in found.items)
    assert (found.name, found.config, found.split) == ("humanmovevqa/sample", "all", "test")
    one = found.items[0]
    assert one.question.evidence
    assert one.video_path == f"sample/{one.video_id.partition('/')[2]}/{one.video_id.replace('/', '__')}.mp4"


def test_the_fingerprint_follows_what_is_asked_and_right():
    items = rows.read(str(rows.SAMPLE)).items
    from dataclasses import replace

    q = items[0].question
    changed = [replace(items[0], question=replace(q, answer=(q.answer + 1) % len(q.options))), *items[1:]]
    assert rows.fingerprint(items) == rows.fingerprint(items[::-1]) != rows.fingerprint(changed)


def test_the_released_json_is_read_with_its_embedded_options(tmp_path: Path):
    written(tmp_path / "eval" / "comparative.json", RELEASED[:1])
    written(tmp_path / "eval" / "existence_qa.json", RELEASED[1:])
    found = rows.read(str(tmp_path / "eval"))
    first, second = found.items
    assert (first.question.category, second.question.category) == ("comparative", "existence")
    assert first.question.text == "Which does the person do more?"
    assert first.question.options == ("Turn left", "Turn right", "About the same")
    assert (first.question.answer, second.question.answer) == (1, 0)
    assert first.video_path == "EMDB/P1/14.mp4"
    assert {first.question.id, second.question.id} == {"comparative/q1", "existence_qa/q2"}


def test_ids_that_repeat_across_the_released_files_stay_apart(tmp_path: Path):
    for name in ("ordering", "dominant"):
        written(tmp_path / f"{name}.json", RELEASED[:1])
    assert [i.question.id for i in rows.read(str(tmp_path)).items] == ["dominant/q1", "ordering/q1"]


@pytest.mark.parametrize(
    ("row", "columns", "options", "answer"),
    [
        ({"question": "?", "video": "v.mp4", "choices": ["a b", "c"], "answer": 1}, None, ("a b", "c"), 1),
        ({"question": "?", "video": "v.mp4", "choices": ["(A) left", "(B) right"], "answer": "(B)"}, None, ("left", "right"), 1),
        ({"question": "?", "video": "v.mp4", "options": {"A": "x", "B": "y", "C": "z"}, "answer": "c"}, None, ("x", "y", "z"), 2),
        ({"question": "?", "video": "v.mp4", "options": '["x", "y"]', "answer": "y"}, None, ("x", "y"), 1),
        ({"question": "?", "video": "v.mp4", "options": "x|y", "answer": "x"}, None, ("x", "y"), 0),
        ({"question": "?", "video": "v.mp4", "options": ["1", "0"], "answer": "0"}, None, ("1", "0"), 1),
        (
            {"q": "?", "clip": "v.mp4", "a0": "x", "a1": "y", "a2": "z", "gt": "2"},
            "question=q,video=clip,options=a0+a1+a2,answer=gt",
            ("x", "y", "z"),
            2,
        ),
    ],
)
def test_other_people_s_columns(tmp_path: Path, row: dict[str, Any], columns: str | None, options: tuple[str, ...], answer: int):
    found = rows.read(written(tmp_path / "theirs.json", [row]), columns=rows.column_map(columns))
    (item,) = found.items
    assert (item.question.options, item.question.answer) == (options, answer)
    assert item.video_path == "v.mp4"
    assert item.question.category == "theirs"


@pytest.mark.parametrize("form", ["jsonl", "csv", "tsv", "parquet", "dict"])
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, form: str):
    table = [{"id": "1", "question": "Where?", "video": "v.mp4", "options": "left|right", "answer": "right", "category": "direction"}]
    path = tmp_path / f"rows.{'json' if form == 'dict' else form}"
    if form == "jsonl":
        path.write_text("\n".join(map(json.dumps, table)) + "\n")
    elif form == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(table), path)
    elif form == "dict":
        path.write_text(json.dumps({"version": 1, "data": table}))
    else:
        mark = "," if form == "csv" else "\t"
        path.write_text("\n".join(mark.join(row) for row in [list(table[0]), list(table[0].values())]))
    (item,) = rows.read(str(path)).items
    assert (item.question.id, item.question.options, item.question.answer, item.question.category) == (
        "1",
        ("left", "right"),
        1,
        "direction",
    )


GOOD = {"id": 1, "question": "?", "video": "v.mp4", "options": ["x", "y"], "answer": "x"}


@pytest.mark.parametrize(
    ("table", "columns", "says"),
    [
        ([GOOD | {"options": ["x", "x"]}], None, "two options say the same"),
        ([GOOD | {"options": ["x"]}], None, "expected 2 to 8 options, got 1"),
        ([GOOD | {"answer": 2}], None, "answer 2 is outside its 2 options"),
        ([GOOD | {"answer": "C"}], None, "answer 2 is outside"),
        ([GOOD | {"answer": "z z"}], None, "neither an option's text nor a letter"),
        ([GOOD | {"answer": "A. y"}], None, "does not agree with its option 'x'"),
        ([GOOD, GOOD], None, "names two questions"),
        ([GOOD | {"video": ""}], None, "expected a question and a video"),
        ([{"id": 1, "question": "no options?", "video": "v", "answer": "A"}], None, "expected options in a column or behind 'Options:'"),
        ([{"id": 1, "text": "?", "video": "v", "options": ["x", "y"], "answer": "x"}], None, "no column for the question"),
        ([GOOD], "question=nosuch", "no column 'nosuch'"),
        ([], None, "no question"),
        ("not rows", None, "expected a list of rows"),
    ],
)
def test_rows_that_no_answer_could_be_right_for_are_refused(tmp_path: Path, table: Any, columns: str | None, says: str):
    with pytest.raises(DataError) as caught:
        rows.read(written(tmp_path / "bad.json", table), columns=rows.column_map(columns))
    assert says in str(caught.value)
    assert "bad.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_dataset_says_so(tmp_path: Path):
    (tmp_path / "torn.json").write_text('[{"id": 1')
    (tmp_path / "empty").mkdir()
    for data, says in (
        (tmp_path / "nothing", "found nothing"),
        (tmp_path / "torn.json", "cannot be read as json rows"),
        (tmp_path / "empty", "found neither"),
        ("no-such-owner/no-such-repo", "no such folder here, and the Hub repo's"),
    ):
        with pytest.raises(DataError, match=says):
            rows.read(str(data))
    for config, split, says in (("nosuch", "test", "no config 'nosuch'"), ("all", "nosuch", "no split 'nosuch'")):
        with pytest.raises(DataError, match=says):
            rows.read(str(rows.SAMPLE), config, split)
    with pytest.raises(DataError, match="expected ROLE=COLUMN"):
        rows.column_map("quesiton=q")


def test_the_place_that_is_meant_when_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HUMANMOVEVQA_REPO", raising=False)
    assert rows.meant() == (str(rows.SAMPLE), "the packaged sample")
    monkeypatch.setenv("HUMANMOVEVQA_REPO", "me/it")
    assert rows.meant() == ("me/it", "HUMANMOVEVQA_REPO, on the Hub")
    (tmp_path / "humanmovevqa").symlink_to(rows.SAMPLE)
    assert rows.meant() == ("humanmovevqa", "./humanmovevqa")
    monkeypatch.setenv("HUMANMOVEVQA_DATA", "elsewhere")
    assert rows.meant() == ("elsewhere", "HUMANMOVEVQA_DATA")


@pytest.mark.parametrize(
    "command",
    [
        "evaluate --model majority --out run",
        "verify",
        "export lmms-eval --out task",
        "export chat-jsonl --out chat",
        "export llamafactory --out lf",
    ],
)
def test_every_verb_that_reads_a_dataset_takes_the_same_one_and_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HUMANMOVEVQA_REPO", raising=False)
    assert cli.main(command.split()) == 0
    assert capsys.readouterr().err.splitlines()[0] == f"using {rows.SAMPLE} (the packaged sample)"
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    shutil.copytree(rows.SAMPLE, "humanmovevqa")
    assert cli.main(command.split()) == 0
    assert capsys.readouterr().err.splitlines()[0] == "using humanmovevqa (./humanmovevqa)"
