"""Questions as conversations: the reply is read back as the answer, reasoning ends in it, and exports are in each tool's own terms."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder import cli, prompts, qwen, rows, sft
from builder.exports import chat_jsonl, llamafactory
from builder.types import DataError, RecipeError

DATA = rows.read(str(rows.SAMPLE), split="train")


@pytest.mark.parametrize("reasoning", sft.REASONING)
def test_every_reply_is_read_back(reasoning: str):
    for item, chat in zip(DATA.items, sft.chats(DATA.items, reasoning), strict=True):
        q = item.question
        assert prompts.parse(chat.assistant, len(q.options), q.options) == q.answer
        assert chat.user == prompts.render(q.text, q.options)
        assert chat.assistant.splitlines()[-1] == f"{prompts.LEAD} {prompts.LETTERS[q.answer]}"
        assert (chat.assistant.count("\n") > 0) is (reasoning == "short")


def test_others_questions_have_no_reasoning():
    item = replace(DATA.items[0], question=replace(DATA.items[0].question, evidence={}))
    assert sft.chat(item).assistant.startswith(prompts.LEAD)
    with pytest.raises(DataError, match="--reasoning none"):
        sft.chat(item, "short")


def test_a_reply_that_reads_as_another_answer_is_refused(monkeypatch: pytest.MonkeyPatch):
    item = DATA.items[0]
    monkeypatch.setattr(sft, "because", lambda item: "")
    monkeypatch.setattr(prompts, "target", lambda answer, reasoning="": f"Answer: {prompts.LETTERS[1 - answer]}")
    with pytest.raises(DataError, match="would not be read"):
        sft.chat(replace(item, question=replace(item.question, options=("Yes", "No"), answer=0)))


def test_numbers_of_a_training():
    assert sft.tuned([("rank", "8"), ("rate", "1e-4")], sft.Tuning()) == replace(sft.Tuning(), rank=8, rate=1e-4)
    for wrong in (("ranks", "8"), ("rank", "8.5"), ("rank", "0"), ("dropout", "1"), ("rate", "nan"), ("epochs", "-1")):
        with pytest.raises(RecipeError, match=wrong[0]):
            sft.tuned([wrong], sft.Tuning())


def llamafactory_reads(row: dict[str, Any], entry: dict[str, Any]) -> tuple[str, list[tuple[str, str]], list[str]]:
    """What LLaMA-Factory 0.9.5 documents for ShareGPT rows: (system, turns, videos), or an AssertionError where it would drop the row."""
    columns = {"messages": "conversations", "videos": None, "system": None} | entry["columns"]
    defaults = {"role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt", "system_tag": "system"}
    tags = defaults | entry.get("tags", {})
    messages = row[columns["messages"]]
    allowed = (tags["user_tag"], tags["assistant_tag"])
    turns = [(m[tags["role_tag"]], m[tags["content_tag"]]) for m in messages]
    assert len(turns) % 2 == 0, "turns come in pairs"
    assert all(role == allowed[k % 2] for k, (role, _) in enumerate(turns)), "Invalid role tag"
    videos = row[columns["videos"]]
    assert sum(text.count("<video>") for _, text in turns) == len(videos), "one <video> per file"
    return row[columns["system"]], turns, videos


def test_llamafactory_accepts_every_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "lf"
    assert cli.main(["export", "llamafactory", "--data", str(rows.SAMPLE), "--out", str(out), "--reasoning", "short"]) == 0
    (entry,) = json.loads((out / llamafactory.INFO).read_text()).values()
    table = json.loads((out / entry["file_name"]).read_text())
    assert len(table) == len(DATA.items)
    for row, item in zip(table, DATA.items, strict=True):
        system, turns, videos = llamafactory_reads(row, entry)
        assert (system, videos) == (prompts.SYSTEM, [item.video_path])
        assert turns[0][1] == "<video>\n" + prompts.render(item.question.text, item.question.options)
        assert prompts.parse(turns[1][1], len(item.question.options), item.question.options) == item.question.answer
    with pytest.raises(AssertionError, match="Invalid role tag"):  # the published description of such data has no tags
        llamafactory_reads(table[0] | {"conversations": [{"from": "user", "value": "<video>"}, {"from": "assistant", "value": ""}]}, entry)
    config = dict(line.split(": ", 1) for line in (out / "train.yaml").read_text().splitlines() if ": " in line and line[0] != "#")
    assert (config["video_fps"], config["video_maxlen"], config["lora_rank"], config["template"]) == ("30", "64", "16", "qwen3_vl_nothink")
    record = json.loads((out / qwen.RECORD).read_text())
    assert record == record | qwen.setting(64, 65_536, "true", DATA.fingerprint)


def test_a_round_trip_through_an_export_loses_nothing(tmp_path: Path):
    table = [json.loads(line) for line in chat_jsonl.files(DATA, "none", "tag", None)[chat_jsonl.FILE].splitlines()]
    back = [
        {
            "id": row["id"],
            "question": row["messages"][1]["content"].removeprefix("<video>\n").removesuffix(f"\n{prompts.INSTRUCTION}"),
            "answer": row["messages"][2]["content"].removeprefix(f"{prompts.LEAD} "),
            "video": row["videos"][0],
            "category": row["category"],
        }
        for row in table
    ]
    (tmp_path / "back.json").write_text(json.dumps(back))
    again = {i.question.id: i for i in rows.read(str(tmp_path / "back.json")).items}
    for item in DATA.items:
        q, r = item.question, again[item.question.id].question
        assert (q.text, q.options, q.answer, q.category) == (r.text, r.options, r.answer, r.category)
        assert again[q.id].video_path == item.video_path


def test_parts_name_the_video_once(tmp_path: Path):
    chat = sft.chat(DATA.items[0])
    row = chat_jsonl.message_row(chat, "parts", tmp_path)
    kinds = [[part["type"] for part in m["content"]] for m in row["messages"]]
    assert kinds == [["text"], ["video", "text"], ["text"]]
    assert row["messages"][1]["content"][0]["video"] == str(tmp_path / chat.video_path)


def test_exports_refuse_what_would_be_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    mixed = rows.Rows((DATA.items[0], replace(DATA.items[1], fps=25.0)), "mixed", "all", "train", "0")
    with pytest.raises(DataError, match=r"25, 30.*--timestamps llamafactory"):
        llamafactory.files(mixed, tmp_path, "none", None, 64, 65_536, "true")
    stated = llamafactory.files(mixed, tmp_path, "none", None, 64, 65_536, "llamafactory")
    assert "video_fps: 64" in stated["train.yaml"]
    assert json.loads(stated[qwen.RECORD])["timestamps"] == "llamafactory"
    for name in ("llamafactory", "chat-jsonl"):
        assert cli.main(["export", name, "--data", str(rows.SAMPLE), "--out", str(tmp_path / "x"), "--videos", str(tmp_path)]) == 2
        assert "clips are not under" in capsys.readouterr().err
