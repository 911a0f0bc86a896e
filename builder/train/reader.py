"""Training of the track reader on scripted people: seeded, in CPU minutes, and going on from its last checkpoint when it is stopped."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from builder import reader, store, told, wordings
from builder.train import card, exam
from builder.train.lessons import CAST, VIEWS, Batches, Lessons, lessons
from builder.train.tutor import Halves, tutoring
from builder.types import StoreError
from builder.viz import learning
from builder.workers import Progress

WATCHED = 24  # people at the end of the cast who are never learnt from: their score is watched
WEIGHTS, CHECKPOINT = "track_reader.safetensors", "checkpoint.pt"
Bars = Callable[[str, int], AbstractContextManager[Progress]]


@dataclass(frozen=True)
class Plan:
    """One training: how many people, optimiser steps and their greatest rate, and the seed."""

    people: int = 2625
    steps: int = 3400
    rate: float = 1.5e-3
    seed: int = 0
    workers: int = 2
    work: Path = Path("work")


def train(plan: Plan, out: Path, bars: Bars, say: Callable[[str], None], start: Path | None = None) -> Path:
    """Write the reader's weights, curves and card into `out` and return the weights' path.  The same call goes on where it stopped.

    `start` is a reader to go on from, for instance because there are new wordings to learn.
    """
    if start is not None:
        reader.load(start)  # so that a wrong file is said now and not after minutes
    store.need_folder(out)
    with bars("people written down", -(-plan.people // 25)) as progress:
        known = lessons(CAST, plan.people, plan.work, plan.workers, progress)
    watched = min(WATCHED, plan.people // 4)
    learnt = known.only(range(len(known.count) - watched))
    weights = fit(learnt, known.only(range(len(known.count) - watched, len(known.count))), plan, out, bars, say, start)
    write_card(weights, bars)
    return weights


def fit(
    learnt: Lessons,
    watched: Lessons | None,
    plan: Plan,
    out: Path,
    bars: Bars,
    say: Callable[[str], None],
    start: Path | None = None,
) -> Path:
    """Train on these lessons, from nothing or from the reader `start`, watching the score on others; the weights' path in `out`.

    Every `steps / 10` steps a checkpoint is written; it is of these lessons and this plan alone, and any other is passed over.
    """
    import torch

    weights = out / WEIGHTS
    words = reader.Words.of([*learnt.texts, *learnt.phrases, *wordings.learnt()])
    before: dict[str, Any] = {}
    if start is not None:
        old, spoken, before = reader.load(start)
        words = reader.Words((*spoken.known, *(w for w in words.known if w not in spoken.known)))
    shape = replace(reader.Shape(**before["shape"]), words=len(words.known)) if before else reader.Shape(words=len(words.known))
    known = asdict(plan) | {"work": "", "workers": 0}
    code = store.digest(known, asdict(shape), reader.FORMAT, told.COLUMNS, before.get("plan"), [q.id for q in learnt.questions])
    if weights.is_file() and reader.load(weights)[2].get("plan") == code:
        return weights
    batches = Batches(learnt, words, plan.seed)
    torch.manual_seed(plan.seed)
    net = reader.network(shape)
    size = sum(p.numel() for p in net.parameters())
    if before:
        weights_before = old.state_dict()
        new = net.state_dict()["word.weight"]
        weights_before["word.weight"] = torch.cat([weights_before["word.weight"], new[len(spoken.known) :]])
        net.load_state_dict(weights_before)
    tutor = None if before else tutoring(shape, batches.programs)
    threads = ThreadPoolExecutor(2)
    halves = Halves(net, tutor, threads)
    everything = halves.parameters
    groups = [
        {"params": [p for p in everything if p.dim() > 1], "weight_decay": 0.02},
        {"params": [p for p in everything if p.dim() <= 1], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=plan.rate, betas=(0.9, 0.98))
    say(f"{len(learnt.count)} people, {len(learnt.questions):,} questions, {len(words.known)} words, {size:,} parameters")
    state: dict[str, Any] = {"step": 0, "seconds": 0.0, "history": [], "loss": None}
    if (out / CHECKPOINT).is_file():
        try:
            kept = torch.load(out / CHECKPOINT, weights_only=True)
        except (OSError, ValueError, RuntimeError, EOFError, UnpicklingError) as error:
            raise StoreError(f"{out / CHECKPOINT}: cannot be read ({str(error).splitlines()[0][:100]}); delete it to start anew") from None
        if kept["code"] == code:
            state = kept["state"]
            net.load_state_dict(kept["net"])
            if tutor is not None:
                tutor.load_state_dict(kept["tutor"])
            optimiser.load_state_dict(kept["optimiser"])
            say(f"going on from step {state['step']}")
    every, started = max(1, plan.steps // 10), time.process_time() - state["seconds"]
    net.train()
    with bars("optimiser steps", plan.steps) as progress, threads, one_thread():
        for step, batch in enumerate(batches, start=1):
            if step <= state["step"]:
                continue  # what was learnt before the stop: drawn again, so that what follows is the same
            if step > plan.steps:
                break
            for group in optimiser.param_groups:
                group["lr"] = plan.rate * min(1.0, step / 100) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / plan.steps)))
            loss = halves.backward(batch)
            torch.nn.utils.clip_grad_norm_(everything, 1.0)
            optimiser.step()
            state["loss"] = loss if state["loss"] is None else 0.97 * state["loss"] + 0.03 * loss
            state["step"] = step
            if step % max(1, every // 6) == 0 or step == plan.steps:
                state["history"].append({"step": step, "loss": round(state["loss"], 4)})
            if step % every == 0 or step == plan.steps:
                state["seconds"] = round(time.process_time() - started, 1)
                if watched is not None:
                    state["history"][-1]["score"] = exam.report(net, words, {"watched": watched})["score_macro"]
                    net.train()
                parts = {
                    "net": net.state_dict(),
                    "tutor": tutor.state_dict() if tutor is not None else {},
                    "optimiser": optimiser.state_dict(),
                }
                torch.save({"code": code, "state": state, **parts}, out / "checkpoint.tmp")
                (out / "checkpoint.tmp").replace(out / CHECKPOINT)
                store.write_atomic(out / "curves.json", (json.dumps(state["history"], indent=1) + "\n").encode())
                store.write_atomic(out / "curves.svg", learning.curves(state["history"]).encode())
            progress(step, plan.steps, "")
    steps, seconds = plan.steps + before.get("steps", 0), state["seconds"] + before.get("cpu_seconds", 0.0)
    about = {"people": len(learnt.count), "questions": len(learnt.questions), "steps": steps, "parameters": size}
    about |= {"cpu_seconds": seconds, "seed": plan.seed, "recipe": "default", "views": VIEWS, "plan": code}
    reader.save(weights, net, shape, words, about)
    (out / CHECKPOINT).unlink(missing_ok=True)
    return weights


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside, every operation of torch keeps to the thread that calls it."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def write_card(weights: Path, bars: Bars, number: int = 100) -> dict[str, Any]:
    """Measure a reader and write score.json and its card, README.md, beside it."""
    with bars("people asked", number) as progress:
        found = exam.measure(weights, number, progress=progress)
    store.write_atomic(weights.parent / "score.json", (json.dumps(found, indent=1) + "\n").encode())
    store.write_atomic(weights.parent / "README.md", card.render_reader(reader.load(weights)[2], found).encode())
    return found
