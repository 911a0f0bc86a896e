"""Fine-tuning on the real Qwen3-VL classes: what is learnt, that a killed training goes on as if nothing had happened, and what is left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder import cli, prompts, qwen, rows, runs, sft, watching
from builder.rows import Rows
from builder.train import conversations, lora
from builder.types import DataError, SetupError, StoreError
from builder.watching import Shown

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
DATA = rows.read(str(rows.SAMPLE), split="train")
FRAMES, PIXELS = 4, 4096
SHOWN = Shown("video", FRAMES, PIXELS)


def few(number: int, clips: int = 2) -> Rows:
    """Questions about the first clips, with every letter among the answers."""
    videos = sorted({i.video_id for i in DATA.items})[:clips]
    here = [i for i in DATA.items if i.video_id in videos]
    letters = [[i for i in here if i.question.answer == k and i.video_id == videos[k % clips]] for k in range(4)]
    items = sorted((letters[k % 4][k // 4] for k in range(number)), key=lambda i: i.question.id)
    return Rows(tuple(items), "few", "all", "train", rows.fingerprint(items))


@contextmanager
def quiet(title: str, total: int) -> Iterator[Any]:
    yield lambda done, total, what: None


def train(data: Rows, checkpoint: Path, out: Path, test: Rows | None = None, reasoning: str = "none", **numbers: Any) -> Path:
    plan = lora.Plan(str(checkpoint), FRAMES, PIXELS, reasoning, tuning=sft.tuned(numbers.items(), sft.Tuning()))
    return lora.train(data, (lambda: test) if test else None, plan, out, quiet, lambda text: None)


def test_order_mixes_groups_of_clips_and_misses_nothing():
    videos = [f"v{k % 20:02d}" for k in range(200)]
    places = conversations.order(videos, 2, seed=3)
    assert places == conversations.order(videos, 2, seed=3)
    assert places != conversations.order(videos, 2, seed=4)
    assert sorted(places[:200]) == sorted(places[200:]) == list(range(200))
    assert places[:200] != places[200:]
    assert conversations.order(videos, 0.5, seed=3) == places[:100]
    groups = [{videos[p] for p in places[k : k + 80]} for k in (0, 80)] + [{videos[p] for p in places[160:200]}]
    assert [len(g) for g in groups] == [8, 8, 4], "a clip must come back once an epoch, not once a question"


def test_only_the_reply_is_learnt_and_each_clip_is_decoded_once(tiny_qwen: Path):
    _, processor = qwen.load(str(tiny_qwen))
    data = few(6)
    chats = sft.chats(data.items, "short")
    found, _ = watching.footage(data.items, None)
    places = conversations.order([c.video_id for c in chats], 2, 0)
    clips = conversations.Clips(processor, found, SHOWN, "true", [chats[p].video_id for p in places])
    drawn = conversations.Conversations(chats, clips, places)
    examples = [drawn[k] for k in range(len(drawn))]
    clips.close()
    assert clips.decoded == 2
    batch = conversations.collate(processor, examples[:4], 8192)
    for example, ids, labels, mask in zip(examples, batch["input_ids"], batch["labels"], batch["attention_mask"], strict=False):
        learnt = processor.tokenizer.decode(labels[labels != conversations.IGNORED])
        assert learnt == f"{example.chat.assistant}<|im_end|>"
        assert (ids[labels != conversations.IGNORED] == labels[labels != conversations.IGNORED]).all()
        whole = processor.tokenizer.decode(ids[mask == 1])
        asked = qwen.conversation(processor, prompts.SYSTEM, example.chat.user, example.seen)
        assert whole == asked + learnt, "training must show what evaluation shows"
    patches = [len(e.seen.patches) for e in examples[:4]]
    assert len(batch["pixel_values_videos"]) == sum(patches)
    with pytest.raises(DataError, match="fewer --frames"):
        conversations.collate(processor, examples[:1], 50)


def test_resuming_gives_the_same_curve_and_weights(tiny_qwen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from safetensors.torch import load_file

    monkeypatch.setattr(sft, "LONGEST_REPLY", {"none": 4})  # random weights never stop by themselves
    numbers = {"epochs": 2, "batch": 1, "accumulate": 2, "save_every": 2, "rate": 1e-3, "rank": 4}
    whole = train(few(4), tiny_qwen, tmp_path / "whole", **numbers)
    (tmp_path / "cut").mkdir()
    for name in (runs.CONFIG, lora.CHECKPOINTS):
        copy = shutil.copytree if (tmp_path / "whole" / name).is_dir() else shutil.copy
        copy(tmp_path / "whole" / name, tmp_path / "cut" / name)
    shutil.rmtree(tmp_path / "cut" / lora.CHECKPOINTS / "checkpoint-4")
    torn = tmp_path / "cut" / lora.CHECKPOINTS / "checkpoint-4"
    torn.mkdir()
    (torn / "adapter_model.safetensors").write_bytes(b"half")
    again = train(few(4), tiny_qwen, tmp_path / "cut", **numbers)
    curves = [json.loads((tmp_path / name / lora.CURVES).read_text()) for name in ("whole", "cut")]
    assert curves[0] == curves[1]
    assert [h["step"] for h in curves[0] if "loss" in h] == [1, 2, 4]
    first, second = (load_file(folder / "adapter_model.safetensors") for folder in (whole, again))
    assert all((first[name] == second[name]).all() for name in first)
    assert (tmp_path / "cut" / lora.PICTURE).read_text().startswith("<svg")
    with pytest.raises(StoreError, match="tuning"):
        train(few(4), tiny_qwen, tmp_path / "cut", **numbers | {"rank": 8})


@pytest.mark.slow
def test_four_questions_are_learnt_to_the_last_answer(tiny_qwen: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Generated answers, before and after; the merged model says the same; another number of frames is refused."""
    data = few(4)
    numbers = {
        "epochs": 100,
        "batch": 4,
        "accumulate": 1,
        "save_every": 50,
        "rate": 5e-3,
        "rank": 32,
        "alpha": 64,
        "dropout": 0,
        "vision": 1,
    }
    adapter = train(data, tiny_qwen, tmp_path / "out", test=data, **numbers)
    result = json.loads((tmp_path / "out" / lora.EVALUATION / runs.RESULTS).read_text())
    assert (result["accuracy"], result["invalid_rate"], result["score_macro"]) == (100.0, 0.0, 100.0)
    record = json.loads((adapter / qwen.RECORD).read_text())
    assert record == record | qwen.setting(FRAMES, PIXELS, "true", data.fingerprint)
    page = (adapter / "README.md").read_text()
    assert "| 100.0" in page
    assert "4 frames" not in page
    assert f"| frames of a clip | {FRAMES}," in page

    import torch

    found, _ = watching.footage(data.items, None)
    chat = sft.chat(data.items[0])
    logits, replies = [], []
    for way in ("bare", "adapter", "merged"):
        model, processor = qwen.load(str(tiny_qwen), None if way == "bare" else str(adapter))
        model = model.merge_and_unload() if way == "merged" else model
        seen = qwen.see(processor, watching.look(chat.video_id, found[chat.video_id], SHOWN), PIXELS)
        inputs = qwen.batch(processor, [qwen.conversation(processor, chat.system, chat.user, seen)], seen, "cpu")
        inputs["pixel_values_videos"] = seen.patches
        with torch.inference_mode():
            logits.append(model(**inputs).logits[0, -1])
            out = model.generate(**inputs, max_new_tokens=12, do_sample=False)
        replies.append(processor.tokenizer.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
    assert (logits[0] - logits[1]).abs().max() > 1.0
    assert torch.allclose(logits[1], logits[2], atol=1e-3)
    assert replies[1] == replies[2] == chat.assistant != replies[0]

    model = f"qwen3_vl={tiny_qwen}"
    command = ["evaluate", "--model", model, "--option", f"adapter={adapter}", "--data", str(rows.SAMPLE), "--out", str(tmp_path / "other")]
    assert cli.main([*command, "--frames", "8", "--pixels", str(PIXELS), "--limit", "1"]) == 2
    assert "frames: 4 trained, 8 now" in capsys.readouterr().err


@pytest.mark.slow
def test_a_killed_training_goes_on(tiny_qwen: Path, tmp_path: Path):
    numbers = {"epochs": 4, "batch": 1, "accumulate": 1, "save_every": 4, "rate": 1e-3, "rank": 4}
    train(few(4), tiny_qwen, tmp_path / "whole", **numbers)
    script = (
        "import sys; sys.path[:0] = [sys.argv[1]]; import tiny_qwen3_vl, test_train; from pathlib import Path; "
        "tiny_qwen3_vl.torchvision_works(); "
        f"test_train.train(test_train.few(4), Path(sys.argv[2]), Path(sys.argv[3]), **{numbers!r})"
    )
    command = [sys.executable, "-c", script, str(Path(__file__).parent), str(tiny_qwen), str(tmp_path / "killed")]
    child = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])})
    marks = tmp_path / "killed" / lora.CHECKPOINTS
    until = time.monotonic() + 400
    while not list(marks.glob("checkpoint-*/trainer_state.json")) and child.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    assert child.poll() is None
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not (tmp_path / "killed" / lora.ADAPTER).exists()
    subprocess.run(command, check=True, timeout=600, env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])})
    curves = [json.loads((tmp_path / name / lora.CURVES).read_text()) for name in ("whole", "killed")]
    assert curves[0] == curves[1]


def test_what_cannot_be_trained_is_one_line(tmp_path: Path, tiny_qwen: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["train", "--model", "qwen3_vl", "--out", str(tmp_path)]) == 2
    assert "qwen3_vl=CHECKPOINT" in capsys.readouterr().err
    assert cli.main(["train", "--model", f"qwen3_vl={tiny_qwen}", "--set", "rnk=3", "--out", str(tmp_path)]) == 2
    assert "expected one of rank" in capsys.readouterr().err
    gone = replace(DATA.items[0], source="elsewhere", video_id="elsewhere/x", video_path="elsewhere/x.mp4")
    with pytest.raises(DataError, match="--videos"):
        train(Rows((gone,), "x", "all", "train", "0"), tiny_qwen, tmp_path)


def test_a_template_that_hides_the_reply_is_refused(tiny_qwen: Path):
    _, processor = qwen.load(str(tiny_qwen))
    processor.chat_template = qwen.TEMPLATE.replace("<|im_start|>assistant\\n", "<|im_start|>assistant\\n<think>\\n")
    with pytest.raises(SetupError, match="Instruct"):
        conversations.tokens(processor, conversations.Example(sft.chat(DATA.items[0]), qwen.Seen()))
