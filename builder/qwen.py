"""Qwen3-VL as it is asked here: how a clip, at its true times, and questions become the model's input; and its LoRA adapters.

Evaluation, training and the demo share this, so that an adapter meets at test time what it met in training.  A clip's frames
go through the vision tower once for all its questions.  The video's own clock is in milliseconds: Qwen3-VL writes
frame number / rate as "<t seconds>" before every pair of frames, and with times for numbers and 1000 for the rate that is the
true time at any frame rate, varying ones included.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from builder import prompts
from builder.types import DataError, SetupError
from builder.watching import Watch

VISION = ("<|vision_start|>", "<|video_pad|>", "<|vision_end|>")
# What the released checkpoints' template gives for one system and one user message; used where a checkpoint has none.
TEMPLATE = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' }}"
    "{%- if message.content is string %}{{- message.content }}{%- else %}{%- for part in message.content %}"
    "{%- if part.type == 'video' %}{{- '<|vision_start|><|video_pad|><|vision_end|>' }}"
    "{%- elif part.type == 'image' %}{{- '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{%- elif part.type == 'image_url' %}{{- '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{%- elif part.text is defined %}{{- part.text }}{%- endif %}{%- endfor %}{%- endif %}{{- '<|im_end|>\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
TIMES = ("true", "llamafactory")
LLAMAFACTORY_FPS = 64.0  # that trainer divides frame numbers by video_fps, which the published recipe sets to 64
RECORD = "humanmovevqa.json"
MUST_AGREE = ("frames", "pixels", "timestamps", "prompt")


@dataclass(frozen=True, eq=False)
class Seen:
    """A clip ready for the model: `patches` and `grid` (1, 3) as the video processor gives them, and `words`, the text with the
    time stamps that stands for the clip in a prompt.  `grid` and `patches` are None without a video."""

    words: str = ""
    patches: Any = None
    grid: Any = None


def load(checkpoint: str, adapter: str | None = None, dtype: str = "auto", device: str = "auto") -> tuple[Any, Any]:
    """(model, processor) of a checkpoint, with a LoRA adapter on top if named.  Raises SetupError, DataError."""
    processor_class, model_class = _classes()
    import torch

    where = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    kind = dtype if dtype != "auto" or where != "cpu" else "float32"  # on a CPU, half precision is slow and often missing
    try:
        processor = processor_class.from_pretrained(checkpoint)
        model = model_class.from_pretrained(checkpoint, dtype=kind if kind == "auto" else getattr(torch, kind, kind))
    except Exception as error:  # a folder that is no checkpoint fails in as many ways as there are libraries below
        raise SetupError(f"checkpoint {checkpoint!r} cannot be loaded as a Qwen3-VL: {one_line(error)}") from None
    if getattr(model.config, "model_type", "") != "qwen3_vl":
        raise SetupError(f"checkpoint {checkpoint!r}: expected a Qwen3-VL, got {model.config.model_type!r}; try --model transformers_vlm")
    if adapter is not None:
        model = with_adapter(model, adapter)
    if not getattr(processor, "chat_template", None):
        processor.chat_template = TEMPLATE
    processor.tokenizer.padding_side = "left"
    return model.to(where).eval(), processor


def with_adapter(model: Any, adapter: str) -> Any:
    """The model with a LoRA adapter on top.  Raises SetupError where peft is missing or the adapter does not fit."""
    try:
        from peft import PeftModel
    except ImportError:
        raise SetupError("adapters need peft; run: pip install 'humanmovevqa[models]'") from None
    try:
        return PeftModel.from_pretrained(model, adapter)
    except Exception as error:  # as above
        raise SetupError(f"adapter {adapter!r} does not fit this checkpoint: {one_line(error)}") from None


def _classes() -> tuple[Any, Any]:
    """transformers' processor and model class; a broken torchvision is named, because transformers only says "Could not import"."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise SetupError(f"Qwen3-VL needs torch ({error}); run: pip install 'humanmovevqa[models]'") from None
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError) as error:
        raise SetupError(
            f"Qwen3-VL's video processor needs a torchvision that matches torch, and importing it fails ({one_line(error)}); "
            "install both from the same index: pip install 'torch==2.13.0' 'torchvision==0.28.0'"
        ) from None
    try:
        from transformers import AutoProcessor, Qwen3VLForConditionalGeneration
    except ImportError as error:
        raise SetupError(
            f"Qwen3-VL needs transformers 5.23 or newer ({one_line(error)}); run: pip install 'humanmovevqa[models]'"
        ) from None
    return AutoProcessor, Qwen3VLForConditionalGeneration


def clock(watch: Watch, timestamps: str) -> tuple[list[int], float]:
    """(frame numbers, rate) whose quotient is what the model reads as seconds: true times, or those of LLaMA-Factory's recipe."""
    if timestamps not in TIMES:
        raise SetupError(f"timestamps={timestamps}: expected one of {', '.join(TIMES)}")
    assert watch.times_s is not None
    if timestamps == "true":
        return [int(t) for t in np.rint(1000 * watch.times_s)], 1000.0
    return [int(t) for t in np.rint(watch.fps * watch.times_s)], LLAMAFACTORY_FPS


def metadata(watch: Watch, timestamps: str = "true") -> Any:
    """What transformers' processors want to know of a clip whose frames are already chosen."""
    from transformers.video_utils import VideoMetadata

    assert watch.frames is not None
    numbers, rate = clock(watch, timestamps)
    if len(numbers) == 1:  # the video tower pairs frames
        numbers = numbers * 2
    height, width = watch.frames.shape[1:3]
    return VideoMetadata(
        total_num_frames=numbers[-1] + 1, fps=rate, width=width, height=height, duration=watch.duration_s, frames_indices=numbers
    )


def see(processor: Any, watch: Watch, pixels: int, timestamps: str = "true") -> Seen:
    """The clip ready for the model: at most `pixels` per frame, frames at their own times; no clip, no video."""
    if watch.frames is None:
        return Seen()
    import torch

    frames = watch.frames if len(watch.frames) > 1 else np.repeat(watch.frames, 2, axis=0)
    count = len(frames)
    side = processor.video_processor.patch_size * processor.video_processor.merge_size
    budget = {"shortest_edge": side * side * count, "longest_edge": max(side * side, pixels) * count}
    made = processor.video_processor(
        [torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)],
        video_metadata=[metadata(watch, timestamps)],
        do_sample_frames=False,
        size=budget,
        cap_pixels_per_frame=False,
        return_metadata=True,
        return_tensors="pt",
    )
    words = processor.replace_video_token(made, 0)
    return Seen(words, made["pixel_values_videos"], made["video_grid_thw"])


def conversation(processor: Any, system: str, text: str, seen: Seen, reply: str | None = None) -> str:
    """The whole prompt as the checkpoint's template writes it, the clip's words in place, up to where the reply begins; with
    `reply`, the reply and its end too."""
    content = [*([{"type": "video"}] if seen.words else []), {"type": "text", "text": text}]
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": [{"type": "text", "text": system}]},
        {"role": "user", "content": content},
    ]
    if reply is not None:
        messages.append({"role": "assistant", "content": [{"type": "text", "text": reply}]})
    written: str = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=reply is None)
    if not seen.words:
        return written
    whole = "".join(VISION)
    if written.count(VISION[1]) != 1:
        raise SetupError(f"the checkpoint's chat template gives {written.count(VISION[1])} places for a video; expected 1")
    return written.replace(whole if whole in written else VISION[1], seen.words)


def batch(processor: Any, written: Sequence[str], seen: Seen, device: Any) -> dict[str, Any]:
    """Prompts that share one clip as the model's tensors, without its pixels: `features` stands for them."""
    import torch

    tokens = processor.tokenizer(list(written), padding=True, return_tensors="pt", add_special_tokens=False)
    out = {"input_ids": tokens["input_ids"].to(device), "attention_mask": tokens["attention_mask"].to(device)}
    kinds = processor.create_mm_token_type_ids(tokens["input_ids"].tolist())
    out["mm_token_type_ids"] = torch.tensor(kinds, device=device)
    if seen.grid is not None:
        out["video_grid_thw"] = seen.grid.repeat(len(written), 1).to(device)
    return out


def letter_tokens(tokenizer: Any) -> tuple[str, list[int]]:
    """(what a reply begins with, the one token of each letter behind it).  Raises SetupError where a letter is no token."""
    for lead, gap in ((prompts.LEAD, " "), (f"{prompts.LEAD} ", "")):
        start = tokenizer.encode(lead, add_special_tokens=False)
        whole = [tokenizer.encode(f"{lead}{gap}{letter}", add_special_tokens=False) for letter in prompts.LETTERS]
        if all(ids[:-1] == start for ids in whole):
            return lead, [ids[-1] for ids in whole]
    raise SetupError("answer=logprob: in this tokenizer the letters are not one token each; use answer=generate")


def features(model: Any, seen: Seen) -> Any:
    """What the vision tower makes of a clip, or None without one."""
    if seen.patches is None:
        return None
    import torch

    with torch.inference_mode():
        return model.get_video_features(seen.patches.to(model.device), seen.grid.to(model.device), return_dict=True)


def repeated(made: Any, times: int) -> dict[str, Any]:
    """The features of one clip for `times` prompts, as the model's `mm_encoder_outputs`."""
    from transformers.models.qwen3_vl.modeling_qwen3_vl import BaseModelOutputWithDeepstackFeatures

    deep: Any = [list(level) * times for level in made.deepstack_features]
    flat: Any = list(made.pooler_output) * times
    return {"video": BaseModelOutputWithDeepstackFeatures(pooler_output=flat, deepstack_features=deep)}


def spoken(model: Any, tokenizer: Any, inputs: Mapping[str, Any], longest: int) -> Iterator[str]:
    """The pieces of the reply that a model writes to one prompt, as they come.  Whoever stops listening stops the model."""
    import torch
    from transformers import StoppingCriteriaList, TextIteratorStreamer

    heard = TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
    left, failed = threading.Event(), []
    stop = StoppingCriteriaList([lambda ids, _, **__: torch.full((len(ids),), left.is_set(), dtype=torch.bool, device=ids.device)])

    def write() -> None:
        try:
            with torch.inference_mode():
                model.generate(
                    **inputs,
                    max_new_tokens=longest,
                    do_sample=False,
                    temperature=None,
                    top_p=None,
                    top_k=None,
                    use_cache=True,
                    streamer=heard,
                    stopping_criteria=stop,
                )
        except Exception as error:  # it belongs to whoever listens
            failed.append(error)
            heard.end()

    writer = threading.Thread(target=write, name="reply", daemon=True)
    writer.start()
    try:
        yield from heard
    finally:
        left.set()
        writer.join()
    if failed:
        raise failed[0]


def setting(frames: int, pixels: int, timestamps: str = "true", data: str = "") -> dict[str, Any]:
    """What an adapter was trained with, or is asked with: the record that lies beside it as humanmovevqa.json."""
    return {"frames": frames, "pixels": pixels, "timestamps": timestamps, "prompt": prompts.digest(), "data": data}


def check_adapter(adapter: str, asked: Mapping[str, Any], force: bool = False) -> list[str]:
    """Warnings about an adapter under this setting.  Raises SetupError where it was trained with another, unless forced."""
    path = Path(adapter) / RECORD
    if not path.is_file():
        return [f"{adapter}: no {RECORD} says with which frames, pixels, times and prompt it was trained; a mismatch would go unseen"]
    try:
        trained = json.loads(path.read_bytes())
        differs = [f"{k}: {trained.get(k)!r} trained, {asked[k]!r} now" for k in MUST_AGREE if trained.get(k) != asked[k]]
    except (ValueError, AttributeError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
    if differs and not force:
        raise SetupError(f"adapter {adapter} was trained otherwise ({'; '.join(differs)}); use the same, or --option force=1")
    other = trained.get("data") and asked["data"] and trained["data"] != asked["data"]
    notes = [f"{adapter}: trained on other data than is asked about; are its clips none of these?"] if other else []
    return [*(f"{adapter}: {d}" for d in differs), *notes]


def weights_digest(folder: str | None) -> str | None:
    """16 hex digits over the names, sizes and small files of a local checkpoint or adapter; None for a name on the Hub."""
    if folder is None or not Path(folder).is_dir():
        return None
    found = hashlib.sha256()
    for file in sorted(p for p in Path(folder).rglob("*") if p.is_file()):
        size = file.stat().st_size
        found.update(f"{file.relative_to(folder)} {size}\n".encode())
        with open(file, "rb") as f:  # of weights the ends, which hold their table and the last of them
            found.update(f.read(1 << 20))
            f.seek(max(0, size - (1 << 20)))
            found.update(f.read())
    return found.hexdigest()[:16]


def one_line(error: Exception) -> str:
    """An error's text in one line of at most 300 characters."""
    return " ".join(str(error).split())[:300] or type(error).__name__
