"""Qwen3-VL: `qwen3_vl=CHECKPOINT`, a local folder or a Hub id, with `--option adapter=DIR` for a LoRA adapter on top.

Answers are generated (greedy) by default; `--option answer=logprob` takes the letter that is most probable behind "Answer:",
one forward pass without parse failures, and keeps the log-probabilities.  The two are not comparable for talkative models.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from builder import prompts, qwen
from builder.types import SetupError
from builder.watching import Model, Prompt, Reply, Watch

ABOUT = {"title": "Qwen3-VL, frames as video with their true times", "sees": "video", "needs": ("shown",)}
WAYS = ("generate", "logprob")


def load(
    checkpoint: str | None = None,
    shown: Mapping[str, Any] | None = None,
    adapter: str | None = None,
    answer: str = "generate",
    timestamps: str = "true",
    max_new_tokens: str = "64",
    batch: str = "8",
    dtype: str = "auto",
    device: str = "auto",
    force: str = "",
) -> Model:
    """The model; `shown` is how the harness shows clips.  Raises SetupError."""
    if not checkpoint:
        raise SetupError("model qwen3_vl: expected a checkpoint, such as qwen3_vl=Qwen/Qwen3-VL-8B-Instruct")
    if answer not in WAYS:
        raise SetupError(f"--option answer={answer}: expected one of {', '.join(WAYS)}")
    numbers = {"max_new_tokens": max_new_tokens, "batch": batch}
    for name, value in numbers.items():
        if not value.isdecimal() or int(value) < 1:
            raise SetupError(f"--option {name}={value}: expected a whole number of 1 or more")
    setting = qwen.setting(shown["frames"], shown["pixels"], timestamps, shown["data"]) if shown else qwen.setting(64, 65_536, timestamps)
    if adapter:
        for line in qwen.check_adapter(adapter, setting, bool(force)):
            print(f"WARNING: {line}", file=sys.stderr)
    model, processor = qwen.load(checkpoint, adapter, dtype, device)
    return Answerer(model, processor, setting, answer, int(max_new_tokens), int(batch), _identity(model, checkpoint, adapter, answer))


def _identity(model: Any, checkpoint: str, adapter: str | None, answer: str) -> dict[str, Any]:
    return {
        "revision": getattr(model.config, "_commit_hash", None) or qwen.weights_digest(checkpoint),
        "adapter": qwen.weights_digest(adapter),
        "dtype": str(model.dtype).removeprefix("torch."),
        "answer": answer,
    }


class Answerer:
    """A loaded Qwen3-VL as a model of `watching`."""

    def __init__(
        self, model: Any, processor: Any, setting: Mapping[str, Any], way: str, longest: int, size: int, identity: Mapping[str, Any]
    ) -> None:
        self.model, self.processor, self.setting = model, processor, setting
        self.way, self.longest, self.size = way, longest, size
        self.identity = dict(identity)

    def __call__(self, watch: Watch, asked: Sequence[Prompt]) -> Iterator[Reply]:
        """Replies in order, a batch at a time; the clip is encoded once."""
        seen = qwen.see(self.processor, watch, self.setting["pixels"], self.setting["timestamps"])
        made = qwen.features(self.model, seen)
        give = self._measure if self.way == "logprob" else self._generate
        for start in range(0, len(asked), self.size):
            yield from give(asked[start : start + self.size], seen, made)

    def stream(self, watch: Watch, prompt: Prompt) -> Iterator[Reply]:
        """The reply to one prompt as it grows: each Reply has all of the text so far, the last one is whole."""
        if self.way == "logprob":  # it is one forward pass
            yield from self(watch, [prompt])
            return
        seen = qwen.see(self.processor, watch, self.setting["pixels"], self.setting["timestamps"])
        inputs = self._inputs([prompt], seen, qwen.features(self.model, seen))
        text = ""
        for piece in qwen.spoken(self.model, self.processor.tokenizer, inputs, self.longest):
            text += piece
            yield prompt.reply(text, "length")
        yield prompt.reply(text)

    def _inputs(self, asked: Sequence[Prompt], seen: qwen.Seen, made: Any, lead: str = "") -> dict[str, Any]:
        written = [qwen.conversation(self.processor, p.system, p.text, seen) + lead for p in asked]
        inputs = qwen.batch(self.processor, written, seen, self.model.device)
        return inputs if made is None else {**inputs, "mm_encoder_outputs": qwen.repeated(made, len(asked))}

    def _generate(self, asked: Sequence[Prompt], seen: qwen.Seen, made: Any) -> Iterator[Reply]:
        import torch

        inputs = self._inputs(asked, seen, made)
        width = inputs["input_ids"].shape[1]
        with torch.inference_mode():
            out = self.model.generate(
                **inputs, max_new_tokens=self.longest, do_sample=False, temperature=None, top_p=None, top_k=None, use_cache=True
            )
        ends = self.model.generation_config.eos_token_id
        ends = set(ends if isinstance(ends, list) else [ends])
        for prompt, ids, mask in zip(asked, out[:, width:].tolist(), inputs["attention_mask"], strict=True):
            length = next((k for k, token in enumerate(ids) if token in ends), None)
            text = self.processor.tokenizer.decode(ids[:length], skip_special_tokens=True)
            written = len(ids) if length is None else length + 1
            yield prompt.reply(text, "length" if length is None else "stop", tokens=(int(mask.sum()), written))

    def _measure(self, asked: Sequence[Prompt], seen: qwen.Seen, made: Any) -> Iterator[Reply]:
        import torch

        lead, letters = qwen.letter_tokens(self.processor.tokenizer)
        inputs = self._inputs(asked, seen, made, lead)
        with torch.inference_mode():
            logits = self.model(**inputs, logits_to_keep=1).logits[:, -1].float().log_softmax(-1).cpu()
        for prompt, row, mask in zip(asked, logits, inputs["attention_mask"], strict=True):
            scores = row[letters[: len(prompt.options)]].tolist()
            best = max(range(len(scores)), key=scores.__getitem__)
            yield prompt.reply(prompts.target(best), scores=tuple(scores), tokens=(int(mask.sum()), 0))
