"""The real Qwen3-VL classes on real clips: what the model is told of time, what it costs to ask again, and its adapters.

The weights are random and tiny, so these tests say that the path is right, not that a model knows anything.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builder import cli, evaluate, plugins, prompts, qwen, rows, runs, watching
from builder.evaluate import Plan
from builder.types import SetupError
from builder.watching import Footage, Shown, Watch

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
DATA = rows.read(str(rows.SAMPLE))
CLIP = Path(watching.__file__).parent / "clips" / "jumps.mp4"
PIXELS = 9216
SHOWN = {"mode": "video", "frames": 6, "pixels": PIXELS, "data": DATA.fingerprint}


@pytest.fixture(scope="module")
def watch() -> Watch:
    return watching.look("sample/jumps", Footage(CLIP), Shown("video", 6, PIXELS))


@pytest.fixture(scope="module")
def loaded(tiny_qwen: Path) -> tuple[Any, Any]:
    return qwen.load(str(tiny_qwen))


@pytest.fixture(scope="module")
def adapter(tiny_qwen: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter whose weights are not zero, as training leaves one."""
    import torch
    from peft import LoraConfig, get_peft_model

    model, _ = qwen.load(str(tiny_qwen))
    model = get_peft_model(model, LoraConfig(r=8, lora_alpha=64, target_modules="all-linear", init_lora_weights=False))
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("adapter")
    model.save_pretrained(folder)
    (folder / qwen.RECORD).write_text(json.dumps(qwen.setting(6, PIXELS, "true", DATA.fingerprint)))
    return folder


def put(number: int) -> list[watching.Prompt]:
    return [evaluate.prompt(a) for a in evaluate.part(DATA.items, Plan("x")) if a.item.video_id == "sample/jumps"][:number]


def stamps(text: str) -> list[float]:
    return [float(t) for t in re.findall(r"<([\d.]+) seconds>", text)]


def test_the_model_is_told_the_true_times_of_its_frames(loaded: tuple[Any, Any], watch: Watch):
    _, processor = loaded
    seen = qwen.see(processor, watch, PIXELS)
    assert watch.times_s is not None
    true = watch.times_s.reshape(-1, 2).mean(axis=1)
    assert np.allclose(stamps(seen.words), true, atol=0.051)
    text = qwen.conversation(processor, "S", "Q", seen)
    tokens = qwen.batch(processor, [text], seen, "cpu")["input_ids"][0]
    assert np.allclose(stamps(processor.tokenizer.decode(tokens)), true, atol=0.051), "the times are lost on the way into tokens"
    uneven = replace(watch, times_s=np.array([0.0, 0.2, 0.4, 3.0, 9.0, 10.0]))
    assert stamps(qwen.see(processor, uneven, PIXELS).words) == [0.1, 1.7, 9.5]


def test_the_published_recipe_s_times_can_be_had(loaded: tuple[Any, Any], watch: Watch):
    _, processor = loaded
    seen = qwen.see(processor, watch, PIXELS, "llamafactory")
    assert watch.times_s is not None
    assert np.allclose(stamps(seen.words), (watch.times_s * 30 / 64).reshape(-1, 2).mean(axis=1), atol=0.051)
    with pytest.raises(SetupError, match="expected one of true, llamafactory"):
        qwen.see(processor, watch, PIXELS, "guessed")


def test_the_prompt_is_the_processor_s_own(loaded: tuple[Any, Any], watch: Watch):
    """Token for token what transformers' processor makes of the same conversation with the same frames."""
    _, processor = loaded
    seen = qwen.see(processor, watch, PIXELS)
    text = qwen.conversation(processor, prompts.SYSTEM, "Where to?", seen)
    assert text.startswith(f"<|im_start|>system\n{prompts.SYSTEM}<|im_end|>\n<|im_start|>user\n<")
    assert text.endswith("Where to?<|im_end|>\n<|im_start|>assistant\n")
    ours = qwen.batch(processor, [text], seen, "cpu")
    assert watch.frames is not None
    plain = text.replace(seen.words, "<|video_pad|>")
    theirs = processor(
        text=[plain],
        videos=[watch.frames],
        video_metadata=[qwen.metadata(watch)],
        do_sample_frames=False,
        cap_pixels_per_frame=False,
        size={"shortest_edge": 1024 * 6, "longest_edge": PIXELS * 6},
        return_tensors="pt",
    )
    assert ours["input_ids"].tolist() == theirs["input_ids"].tolist()
    assert ours["mm_token_type_ids"].tolist() == theirs["mm_token_type_ids"].tolist()
    assert bool((seen.patches == theirs["pixel_values_videos"]).all())
    assert seen.grid.tolist() == theirs["video_grid_thw"].tolist()


def test_frames_stay_within_the_budget_of_pixels(loaded: tuple[Any, Any], watch: Watch):
    _, processor = loaded
    for pixels in (2048, 9216, 65_536):
        t, h, w = qwen.see(processor, watch, pixels).grid[0].tolist()
        assert t == 3
        assert 256 * h * w <= pixels
    one = replace(watch, frames=watch.frames[:1], times_s=watch.times_s[:1])  # type: ignore[index]
    assert qwen.see(processor, one, PIXELS).grid[0, 0] == 1


def test_encoding_a_clip_once_changes_no_answer(loaded: tuple[Any, Any], watch: Watch):
    import torch

    model, processor = loaded
    seen = qwen.see(processor, watch, PIXELS)
    texts = [qwen.conversation(processor, p.system, p.text, seen) for p in put(3)]
    inputs = qwen.batch(processor, texts, seen, "cpu")
    with torch.inference_mode():
        shared = model(**inputs, mm_encoder_outputs=qwen.repeated(qwen.features(model, seen), 3)).logits[:, -1]
        alone = []
        for text in texts:
            one = qwen.batch(processor, [text], seen, "cpu")
            alone.append(model(**one, pixel_values_videos=seen.patches).logits[0, -1])
        blind = qwen.batch(processor, [qwen.conversation(processor, p.system, p.text, qwen.Seen()) for p in put(3)], qwen.Seen(), "cpu")
        unseen = model(**blind).logits[:, -1]
    assert torch.allclose(shared, torch.stack(alone), atol=1e-3)
    assert not torch.allclose(shared, unseen, atol=1e-2), "the video does not reach the answer"


def test_generated_and_measured_answers_with_and_without_adapter(tiny_qwen: Path, adapter: Path, watch: Watch):
    module = plugins.load("models", "qwen3_vl")
    asked = put(3)
    found = {}
    for way in ("generate", "logprob"):
        for on in (None, str(adapter)):
            model = module.load(str(tiny_qwen), SHOWN, adapter=on, answer=way, max_new_tokens="3", batch="2")
            replies = list(model(watch, asked))
            assert [r.key for r in replies] == [p.key for p in asked]
            if way == "logprob":
                assert replies == list(model(watch, asked)), "asked again, another answer"
            found[way, on is not None] = replies
            assert (model.identity["adapter"] is not None) == (on is not None)
    for prompt, reply in zip(asked, found["logprob", False], strict=True):
        assert reply.scores is not None
        assert len(reply.scores) == len(prompt.options)
        assert prompts.parse(reply.text, len(prompt.options)) == int(np.argmax(reply.scores))
    assert all(r.finish in ("stop", "length") and r.tokens and 0 < r.tokens[1] <= 3 for r in found["generate", False])
    for way in ("generate", "logprob"):
        assert found[way, False] != found[way, True], "the adapter changes nothing"


def test_left_padding_keeps_batches_out_of_the_answers(tiny_qwen: Path, watch: Watch):
    module = plugins.load("models", "qwen3_vl")
    asked = put(4)
    one, many = (list(module.load(str(tiny_qwen), SHOWN, answer="logprob", batch=size)(watch, asked)) for size in ("1", "4"))
    for a, b in zip(one, many, strict=True):
        assert a.scores == pytest.approx(b.scores, abs=1e-3)


def test_an_adapter_trained_otherwise_is_refused(tiny_qwen: Path, adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    module = plugins.load("models", "qwen3_vl")
    for change, says in (({"frames": 8}, "frames: 6 trained, 8 now"), ({"pixels": 1}, "pixels: 9216 trained, 1 now")):
        with pytest.raises(SetupError, match=says):
            module.load(str(tiny_qwen), SHOWN | change, adapter=str(adapter))
    with pytest.raises(SetupError, match="timestamps: 'true' trained, 'llamafactory' now"):
        module.load(str(tiny_qwen), SHOWN, adapter=str(adapter), timestamps="llamafactory")
    assert any("frames" in line for line in qwen.check_adapter(str(adapter), qwen.setting(8, PIXELS), force=True))
    assert "other data" in qwen.check_adapter(str(adapter), qwen.setting(6, PIXELS, "true", "another"))[0]
    assert qwen.check_adapter(str(adapter), qwen.setting(6, PIXELS, "true", DATA.fingerprint)) == []
    (tmp_path / "bare").mkdir()
    assert "a mismatch would go unseen" in qwen.check_adapter(str(tmp_path / "bare"), qwen.setting(6, PIXELS))[0]
    with pytest.raises(SetupError, match="does not fit this checkpoint"):
        module.load(str(tiny_qwen), SHOWN, adapter=str(tmp_path / "bare"))


def test_a_wrong_checkpoint_is_one_line(tiny_qwen: Path, tmp_path: Path):
    module = plugins.load("models", "qwen3_vl")
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}')
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in tiny_qwen.iterdir():
        (broken / file.name).write_bytes(file.read_bytes()[:-100] if file.suffix == ".safetensors" else file.read_bytes())
    for checkpoint in (tmp_path / "nowhere", other, broken):
        with pytest.raises(SetupError) as caught:
            module.load(str(checkpoint), SHOWN)
        assert str(checkpoint) in str(caught.value)
        assert "\n" not in str(caught.value)
    for option in ({"answer": "guess"}, {"batch": "0"}, {"max_new_tokens": "many"}):
        with pytest.raises(SetupError, match="--option"):
            module.load(str(tiny_qwen), SHOWN, **option)


def test_a_torchvision_that_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(SetupError, match="needs a torchvision that matches torch"):
        qwen.load("anything")


def test_from_the_command_line_to_the_table(tiny_qwen: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    where = ["--frames", "4", "--pixels", str(PIXELS), "--quiet", "--limit", "6"]
    for mode in ("video", "blind", "reversed"):
        more = ["--mode", mode, "--option", "answer=logprob", "--out", str(tmp_path / mode)]
        assert cli.main(["evaluate", "--model", f"qwen3_vl={tiny_qwen}", *where, *more]) == 0
    assert cli.main(["score", *(str(tmp_path / m) for m in ("video", "blind", "reversed")), "--out", str(tmp_path / "scores")]) == 0
    assert (tmp_path / "scores" / "probes.svg").read_text().startswith("<svg")
    drops = json.loads((tmp_path / "scores" / "scores.json").read_text())["drops"]
    assert [d["mode"] for d in drops] == ["blind", "reversed"]
    config = runs.read_config(tmp_path / "video")
    assert config["identity"]["frames"] == 4
    assert config["identity"]["prompt"] == prompts.digest()
    assert config["identity"]["weights"]["answer"] == "logprob"
    assert "frames" not in runs.read_config(tmp_path / "blind")["identity"]


def test_any_image_text_model_takes_the_same_frames(tmp_path: Path, tiny_qwen: Path, watch: Watch):
    """The general adapter, on the same tiny checkpoint with a chat template of its own."""
    module = plugins.load("models", "transformers_vlm")
    with pytest.raises(SetupError, match="has no chat template"):
        module.load(str(tiny_qwen))
    folder = tmp_path / "with_template"
    folder.mkdir()
    for file in tiny_qwen.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "chat_template.jinja").write_text(qwen.TEMPLATE)
    for way in ("video", "images"):
        model = module.load(str(folder), input=way, max_new_tokens="4")
        inputs = model._inputs(watch, put(1)[0])
        text = model.processor.tokenizer.decode(inputs["input_ids"][0])
        assert watch.times_s is not None
        if way == "video":
            assert np.allclose(stamps(text), watch.times_s.reshape(-1, 2).mean(axis=1), atol=0.051)
        else:
            assert [float(t) for t in re.findall(r"t=([\d.]+)s", text)] == [round(float(t), 1) for t in watch.times_s]
            assert len(inputs["image_grid_thw"]) == 6
        (reply,) = model(watch, put(1))
        assert reply.tokens is not None
        assert reply.tokens[0] == inputs["input_ids"].shape[1]
    (blind,) = module.load(str(folder), max_new_tokens="4")(Watch("x"), put(1))
    assert blind.tokens is not None
    assert blind.tokens[0] < reply.tokens[0]
