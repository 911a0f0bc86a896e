"""LoRA on Qwen3-VL: transformers' Trainer over `conversations`, checkpoints that are scored by generated answers, and what is left behind.

config.json      what decides the result; another training in the same folder is refused
checkpoints/     the Trainer's own, with optimiser and random state: the same command goes on from the last whole one
adapter/         the result: PEFT weights, humanmovevqa.json (how it must be asked), README.md (the model card)
curves.json      loss and scores by step; curves.svg draws them
evaluation/      the adapter's run over the test split, by the evaluation's own code
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from builder import evaluate, plugins, qwen, runs, scoring, sft, store, watching
from builder.rows import Item, Rows
from builder.sft import Tuning
from builder.train import card, conversations
from builder.types import DataError, SetupError
from builder.viz import learning
from builder.watching import Prompt, Shown
from builder.workers import Progress

MODEL = "qwen3_vl"
CHECKPOINTS, ADAPTER, CURVES, PICTURE, EVALUATION = "checkpoints", "adapter", "curves.json", "curves.svg", "evaluation"
WATCHED = 0.05  # share of the train split's clips that are kept out of training, to see its score rise or fall
PROBE = (8, 64)  # clips and questions of each side that every checkpoint answers
# Every linear layer of the language model.  The published recipe's "all" means these too: its trainer freezes the vision tower.
LANGUAGE = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
KEPT = 3  # checkpoints on disk
Bars = Callable[[str, int], AbstractContextManager[Progress]]  # (title, total): how far something is, as `terminal.bar`


@dataclass(frozen=True)
class Plan:
    """One fine-tuning: the checkpoint it starts from, how clips are shown, what replies are learnt, and its numbers."""

    checkpoint: str
    frames: int = watching.FRAMES
    pixels: int = watching.PIXELS
    reasoning: str = "none"
    timestamps: str = "true"
    tuning: Tuning = field(default_factory=Tuning)
    videos: Path | None = None
    device: str = "auto"


def train(data: Rows, test: Callable[[], Rows] | None, plan: Plan, out: Path, bars: Bars, say: Callable[[str], None]) -> Path:
    """Fine-tune on `data`, evaluate on `test`, and return the adapter's folder.  Stopped at any moment, the same call goes on.

    Raises DataError for missing videos, StoreError when `out` holds another training, SetupError for what is not installed.
    """
    found, missing = watching.footage(data.items, plan.videos)
    if missing:
        some = "; ".join(sorted(missing.values())[:3])
        raise DataError(f"{len(missing)} of {len(missing) + len(found)} videos are not there: {some}; pass their folder with --videos")
    learnt, watched = divided(data.items, plan.tuning.seed)
    model, processor = qwen.load(plan.checkpoint, device=plan.device)
    runs.write_config(out, _identity(data, plan, len(watched)), {"title": f"LoRA on {Path(plan.checkpoint).name}"})
    say(f"{len(learnt)} questions to learn from, {len(watched)} kept out to watch the score")
    adapter = out / ADAPTER
    asked = test() if test is not None else None
    if not (adapter / qwen.RECORD).is_file():
        write_curves(out, _fit(model, processor, learnt, watched, found, plan, out, bars))
        _record(adapter, data, asked or data, plan)  # last: it says that the adapter is whole
    del model, processor
    result = None
    if asked is not None:
        options = {"adapter": str(adapter), "max_new_tokens": str(sft.LONGEST_REPLY[plan.reasoning]), "timestamps": plan.timestamps}
        setting = evaluate.Plan(MODEL, plan.checkpoint, options, frames=plan.frames, pixels=plan.pixels, videos=plan.videos)
        with bars("questions answered", len(asked.items)) as progress:
            run = evaluate.evaluate(asked, setting, out / EVALUATION, progress, say)
        result = runs.write_results(run)
    history = json.loads((out / CURVES).read_bytes())
    store.write_atomic(adapter / "README.md", card.render(runs.read_config(out)["identity"], history, result).encode())
    return adapter


def divided(items: Sequence[Item], seed: int) -> tuple[list[Item], list[Item]]:
    """(learnt from, kept out) by clip, decided by a hash of the clip; with few clips nothing may be kept out."""

    def out(item: Item) -> bool:
        number = hashlib.sha256(f"{seed}|watched|{item.video_id}".encode()).digest()[:8]
        return int.from_bytes(number, "big") / 2**64 < WATCHED

    learnt, watched = [i for i in items if not out(i)], [i for i in items if out(i)]
    return (learnt, watched) if learnt else (watched, [])


def _fit(
    model: Any,
    processor: Any,
    learnt: Sequence[Item],
    watched: Sequence[Item],
    found: Mapping[str, watching.Footage],
    plan: Plan,
    out: Path,
    bars: Bars,
) -> list[dict[str, Any]]:
    """Train, save the adapter, and return loss and scores by step."""
    tuning = plan.tuning
    model = wrapped(model, tuning)
    shown = Shown("video", plan.frames, plan.pixels)
    chats = sft.chats(learnt, plan.reasoning)
    places = conversations.order([c.video_id for c in chats], tuning.epochs, tuning.seed)
    clips = conversations.Clips(processor, found, shown, plan.timestamps, [chats[p].video_id for p in places])
    probes = {"score": probe(watched), "score_learnt": probe(learnt)}
    try:
        with bars("optimiser steps", steps(len(places), tuning)) as progress:
            teacher = _teacher(model, processor, conversations.Conversations(chats, clips, places), plan, out, progress)
            teacher.probes = lambda: {name: _scored(model, processor, items, found, shown, plan) for name, items in probes.items() if items}
            last = whole_checkpoint(out / CHECKPOINTS)
            teacher.train(resume_from_checkpoint=None if last is None else str(last))
    finally:
        clips.close()
    model.save_pretrained(out / ADAPTER)
    return history_of(teacher.state.log_history)


def wrapped(model: Any, tuning: Tuning) -> Any:
    """The model with fresh LoRA weights, the same ones for the same seed; everything else is frozen.  Raises SetupError."""
    try:
        import torch
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise SetupError(f"fine-tuning needs peft and accelerate ({error}); run: pip install 'humanmovevqa[models]'") from None
    torch.manual_seed(tuning.seed)
    targets: Any = "all-linear" if tuning.vision else LANGUAGE
    config = LoraConfig(r=tuning.rank, lora_alpha=tuning.alpha, lora_dropout=tuning.dropout, target_modules=targets)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers for a name that it has given up
        return get_peft_model(model, config)


def steps(conversations: int, tuning: Tuning) -> int:
    """Optimiser steps that so many conversations take."""
    return max(1, math.ceil(math.ceil(conversations / tuning.batch) / tuning.accumulate))


def _teacher(model: Any, processor: Any, data: Any, plan: Plan, out: Path, progress: Progress) -> Any:
    """The Trainer: our order, our batches, and scores by generated answers wherever it saves."""
    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments

    tuning = plan.tuning
    gpu = next(model.parameters()).device.type == "cuda"

    class Teacher(Trainer):
        probes: Any = None

        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            return torch.utils.data.SequentialSampler(data)

        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
            reply = int((inputs["labels"] != conversations.IGNORED).int().argmax(dim=1).min())
            kept = inputs["labels"].shape[1] - reply + 1  # the words before the replies need no logits
            short = {**inputs, "labels": inputs["labels"][:, -kept:], "logits_to_keep": kept}
            return super().compute_loss(model, short, return_outputs, num_items_in_batch)

        def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
            model.eval()
            found = self.probes() if self.probes else {}
            model.train()
            self.log(dict(found))
            self.control: Any = self.callback_handler.on_evaluate(self.args, self.state, self.control, found)
            return dict(found)

    class Told(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            progress(state.global_step, state.max_steps, "")
            if state.global_step >= state.max_steps:
                control.should_log = control.should_evaluate = control.should_save = True

    settings = TrainingArguments(
        output_dir=str(out / CHECKPOINTS),
        num_train_epochs=1,  # every epoch's order is laid out in `data`
        per_device_train_batch_size=tuning.batch,
        gradient_accumulation_steps=tuning.accumulate,
        learning_rate=tuning.rate,
        lr_scheduler_type="cosine",
        warmup_steps=int(tuning.warmup * steps(len(data), tuning)),
        logging_steps=max(1, min(10, tuning.save_every)),
        logging_first_step=True,
        eval_strategy="steps",
        eval_steps=tuning.save_every,
        save_strategy="steps",
        save_steps=tuning.save_every,
        save_total_limit=KEPT,
        bf16=gpu,
        use_cpu=not gpu,
        activation_checkpointing=bool(tuning.checkpointing),
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_pin_memory=gpu,
        disable_tqdm=True,
        report_to=[],
        seed=tuning.seed,
    )
    if tuning.checkpointing:
        model.enable_input_require_grads()
    teacher = Teacher(
        model=model,
        args=settings,
        train_dataset=data,
        eval_dataset=data,
        data_collator=lambda examples: conversations.collate(processor, examples, tuning.longest),
        callbacks=[Told()],
    )
    from transformers.trainer_callback import PrinterCallback

    teacher.remove_callback(PrinterCallback)
    return teacher


def probe(items: Sequence[Item]) -> list[Item]:
    """The few questions that every checkpoint answers: always the same, of a few clips."""
    few = sorted({i.video_id for i in items}, key=lambda v: store.digest("probe", v))[: PROBE[0]]
    chosen = [i for i in items if i.video_id in few]
    return sorted(chosen, key=lambda i: store.digest("probe", i.question.id))[: PROBE[1]]


def _scored(
    model: Any, processor: Any, items: Sequence[Item], found: Mapping[str, watching.Footage], shown: Shown, plan: Plan
) -> float | None:
    """The chance-normalised score of generated answers to these questions, in points."""
    answerer = plugins.load("models", MODEL).Answerer(
        model, processor, qwen.setting(plan.frames, plan.pixels, plan.timestamps), "generate", sft.LONGEST_REPLY[plan.reasoning], 8, {}
    )
    graded = []
    for group in evaluate.grouped([evaluate.Ask(i, 0) for i in items], shown):
        name = group[0].item.video_id
        of = {ask.key: ask.item for ask in group}
        prompts: list[Prompt] = [evaluate.prompt(ask) for ask in group]
        for reply in answerer(watching.look(name, found[name], shown), prompts):
            item = of[reply.key]
            choice = runs.choice_of(reply.text, item.question.options)
            q = item.question
            graded.append(scoring.Graded(q.id, item.source, item.video_id, q.category, len(q.options), choice, q.answer))
    macro: float | None = scoring.report(graded, resamples=1)["score_macro"]
    return macro


def whole_checkpoint(folder: Path) -> Path | None:
    """The last checkpoint that was written to its end; those that a killed process left half are removed."""
    for path in sorted(folder.glob("checkpoint-*"), key=lambda p: -int(p.name.rpartition("-")[2])):
        if (path / "trainer_state.json").is_file():  # the Trainer writes it last
            return path
        shutil.rmtree(path)
    return None


def history_of(log: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Loss and scores by step from the Trainer's log, one record a step."""
    steps: dict[int, dict[str, Any]] = {}
    for record in log:
        known = {k: record[k] for k in ("loss", "learning_rate", "score", "score_learnt") if k in record}
        if known:
            steps.setdefault(record["step"], {"step": record["step"]}).update(known)
    return [steps[k] for k in sorted(steps)]


def write_curves(out: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """curves.json and its picture."""
    store.write_atomic(out / CURVES, (json.dumps(list(history), indent=1) + "\n").encode())
    store.write_atomic(out / PICTURE, learning.curves(history).encode())


def _identity(data: Rows, plan: Plan, watched: int) -> dict[str, Any]:
    return {
        "model": MODEL,
        "checkpoint": plan.checkpoint,
        "weights": qwen.weights_digest(plan.checkpoint),
        "setting": qwen.setting(plan.frames, plan.pixels, plan.timestamps),
        "reasoning": plan.reasoning,
        "tuning": asdict(plan.tuning),
        "watched": watched,
        "data": {"name": data.name, "config": data.config, "split": data.split, "fingerprint": data.fingerprint, "n": len(data.items)},
    }


def _record(adapter: Path, data: Rows, asked: Rows, plan: Plan) -> None:
    """humanmovevqa.json beside the weights: how the adapter must be asked, and what it learnt from."""
    known = qwen.setting(plan.frames, plan.pixels, plan.timestamps, asked.fingerprint)
    trained = {"name": data.name, "config": data.config, "split": data.split, "fingerprint": data.fingerprint, "questions": len(data.items)}
    record = {**known, "reasoning": plan.reasoning, "checkpoint": plan.checkpoint, "trained_on": trained, "tuning": asdict(plan.tuning)}
    store.write_atomic(adapter / qwen.RECORD, (json.dumps(record, indent=1, sort_keys=True) + "\n").encode())
