"""Any image-text-to-text model of transformers: `transformers_vlm=CHECKPOINT` (InternVL, LLaVA-OneVision, SmolVLM, Qwen-VL, ...).

The checkpoint's own processor and chat template decide the form.  `--option input=video` (default) hands the frames over as one
video, `input=images` as pictures, each behind its time.  One question at a time; for Qwen3-VL use `qwen3_vl`, which is faster.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from builder import qwen
from builder.types import SetupError
from builder.watching import Model, Prompt, Reply, Watch

ABOUT = {"title": "A transformers model, frames as its own processor takes them", "sees": "video", "frames": 32}
INPUTS = ("video", "images")


def load(
    checkpoint: str | None = None, input: str = "video", max_new_tokens: str = "64", dtype: str = "auto", device: str = "auto"
) -> Model:
    """The model.  Raises SetupError."""
    if not checkpoint:
        raise SetupError("model transformers_vlm: expected a checkpoint, such as transformers_vlm=OpenGVLab/InternVL3_5-8B-HF")
    if input not in INPUTS:
        raise SetupError(f"--option input={input}: expected one of {', '.join(INPUTS)}")
    if not max_new_tokens.isdecimal() or int(max_new_tokens) < 1:
        raise SetupError(f"--option max_new_tokens={max_new_tokens}: expected a whole number of 1 or more")
    try:
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor
    except (ImportError, RuntimeError) as error:
        raise SetupError(f"transformers or torch cannot be imported ({qwen.one_line(error)}); pip install 'humanmovevqa[models]'") from None
    where = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    kind = "float32" if dtype == "auto" and where == "cpu" else dtype
    try:
        processor = AutoProcessor.from_pretrained(checkpoint)
        model: Any = AutoModelForImageTextToText.from_pretrained(checkpoint, dtype=kind if kind == "auto" else getattr(torch, kind, kind))
    except Exception as error:  # a folder that is no checkpoint fails in as many ways as there are libraries below
        raise SetupError(f"checkpoint {checkpoint!r} cannot be loaded as an image-text-to-text model: {qwen.one_line(error)}") from None
    if not getattr(processor, "chat_template", None):
        raise SetupError(f"checkpoint {checkpoint!r} has no chat template, so its form of a question is not known")
    return Talker(model.to(where).eval(), processor, input, int(max_new_tokens), checkpoint)


class Talker:
    """A loaded model as a model of `watching`."""

    def __init__(self, model: Any, processor: Any, way: str, longest: int, checkpoint: str) -> None:
        self.model, self.processor, self.way, self.longest = model, processor, way, longest
        revision = getattr(model.config, "_commit_hash", None) or qwen.weights_digest(checkpoint)
        self.identity = {
            "revision": revision,
            "type": model.config.model_type,
            "dtype": str(model.dtype).removeprefix("torch."),
            "input": way,
        }

    def __call__(self, watch: Watch, asked: Sequence[Prompt]) -> Iterator[Reply]:
        """Replies in order."""
        import torch

        for prompt in asked:
            inputs = self._inputs(watch, prompt).to(self.model.device, self.model.dtype)
            width = inputs["input_ids"].shape[1]
            with torch.inference_mode():
                out = self.model.generate(**inputs, max_new_tokens=self.longest, do_sample=False, temperature=None, top_p=None, top_k=None)
            ids = out[0, width:].tolist()
            ends = self.model.generation_config.eos_token_id
            ended = bool(set(ids) & set(ends if isinstance(ends, list) else [ends]))
            text = self.processor.tokenizer.decode(ids, skip_special_tokens=True)
            yield prompt.reply(text.strip(), "stop" if ended else "length", tokens=(width, len(ids)))

    def stream(self, watch: Watch, prompt: Prompt) -> Iterator[Reply]:
        """The reply to one prompt as it grows: each Reply has all of the text so far, the last one is whole."""
        inputs = self._inputs(watch, prompt).to(self.model.device, self.model.dtype)
        text = ""
        for piece in qwen.spoken(self.model, self.processor.tokenizer, inputs, self.longest):
            text += piece
            yield prompt.reply(text.lstrip(), "length")
        yield prompt.reply(text.strip())

    def _inputs(self, watch: Watch, prompt: Prompt) -> Any:
        """What the processor makes of one question and the frames."""
        given: dict[str, Any] = {}
        content: list[dict[str, Any]] = []
        if watch.frames is not None and watch.times_s is not None:
            if self.way == "video":
                content.append({"type": "video"})
                given["videos"] = [watch.frames if len(watch.frames) > 1 else watch.frames.repeat(2, axis=0)]
                given["videos_kwargs"] = {"do_sample_frames": False, "video_metadata": [qwen.metadata(watch)]}
            else:
                from PIL import Image

                for time_s in watch.times_s:
                    content += [{"type": "text", "text": f"t={time_s:.1f}s"}, {"type": "image"}]
                given["images"] = [Image.fromarray(frame) for frame in watch.frames]
        content.append({"type": "text", "text": prompt.text})
        messages = [{"role": "system", "content": [{"type": "text", "text": prompt.system}]}, {"role": "user", "content": content}]
        written = self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return self.processor(text=[written], return_tensors="pt", **given)
