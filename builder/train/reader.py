"""Training of the track reader: scripted people, tracks with a lifter's errors, questions in many wordings; seeded, on two CPU cores.

The people are a cast of their own, so nobody of `synthetic=N@SEED` is among them.  A question is learnt only where the true track and
all noisy copies that are shown in training give the same answer.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from builder import assemble, motion, reader, recipe, robustness, scoring, selection, store, wordings, workers
from builder.performer import cast_clips, cast_reference
from builder.recipe import Recipe
from builder.train import card
from builder.types import CATEGORIES, Question, StoreError
from builder.viz import learning
from builder.workers import Progress

CAST = ("synthetic", "track-reader")
VIEWS = 3  # noisy copies of each track beside the true one
CHUNK = 25  # people in one file of the work folder
TOGETHER = 20  # files whose questions are flattened together
KEPT = ("id", "category", "template", "quantity", "window", "text", "options", "answer")  # of a question
POOL = 20  # questions of a person and category
PEOPLE, ASKED = 16, 16  # tracks of a step, and questions about each
FRESH = 1000  # number of the noisy copy that readers are tested on: never one of those that they learn from
WEIGHTS = "track_reader.safetensors"
Bars = Callable[[str, int], AbstractContextManager[Progress]]


@dataclass(frozen=True)
class Plan:
    """One training: how many people, optimiser steps at most, minutes at most (whichever ends first), and the seed."""

    people: int = 4000
    steps: int = 1500
    minutes: float = 20.0
    rate: float = 1.5e-3
    seed: int = 0
    workers: int = 2
    work: Path = Path("work")


@dataclass(frozen=True)
class Job:
    """One chunk of the cast."""

    start: int
    count: int
    folder: Path


@dataclass(frozen=True, eq=False)
class Person:
    """What is known of one person: views (the true track first), and (category, text, options, answer) of each question."""

    views: Sequence[reader.Told]
    questions: Sequence[tuple[str, str, tuple[str, ...], int]]


def learning_recipe() -> Recipe:
    """The default recipe with as many copies as are shown in training, all of which must agree."""
    known = recipe.load("default")
    robust = replace(known.robustness, copies=VIEWS, agree=VIEWS)
    return replace(known, robustness=robust, questions=replace(known.questions, pool=POOL))


def make(job: Job) -> None:
    """Write one chunk of people, unless it is there: `<start>.npz`, and their questions in `<start>.json`."""
    path = job.folder / f"{job.start:06d}"
    if path.with_suffix(".json").is_file():
        return
    known = learning_recipe()
    arrays: dict[str, NDArray[Any]] = {}
    asked: list[Question] = []
    clips = list(cast_clips(*CAST, job.start + job.count))[job.start :]
    for number, clip in enumerate(clips):
        (track,) = cast_reference(clip)
        described, questions = selection.questions_of(track, known)
        asked += questions
        sampled = motion.sample(track, known)
        noisy = [motion.segment(robustness.perturb(sampled, known, k), known) for k in range(VIEWS)]
        for view, told in enumerate((described, *noisy)):
            arrays[f"{number}/{view}/steps"], arrays[f"{number}/{view}/events"] = reader.stretches(told), reader.movements(told)
    number_of = {clip.clip_id: k for k, clip in enumerate(clips)}
    records = [[number_of[q.clip_id], *(getattr(q, name) for name in KEPT)] for q in asked]
    with open(path.with_suffix(".tmp"), "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    path.with_suffix(".tmp").rename(path.with_suffix(".npz"))
    store.write_atomic(path.with_suffix(".json"), json.dumps(records).encode())


def people(plan: Plan, bars: Bars) -> list[Person]:
    """Everybody to learn from, made where the work folder does not have them yet."""
    code = store.digest(learning_recipe().digest, reader.WIDTHS, VIEWS, POOL, CHUNK)
    folder = plan.work / "track_reader" / code
    store.need_folder(folder)
    jobs = [Job(start, CHUNK, folder) for start in range(0, plan.people, CHUNK)]
    with bars("people written down", len(jobs)) as progress:
        workers.run_all(make, jobs, [str(job.start) for job in jobs], plan.workers, progress)
    out: list[Person] = []
    for start in range(0, len(jobs), TOGETHER):
        out += _flattened(jobs[start : start + TOGETHER])
    return out


def _flattened(jobs: Sequence[Job]) -> list[Person]:
    """The people of these files who are asked anything, without the questions whose answers are too common.  Raises StoreError."""
    views: dict[str, list[reader.Told]] = {}
    questions: list[Question] = []
    for job in jobs:
        path = job.folder / f"{job.start:06d}"
        try:
            with np.load(path.with_suffix(".npz")) as arrays:
                for n in range(job.count):
                    both = [(arrays[f"{n}/{v}/steps"], arrays[f"{n}/{v}/events"]) for v in range(1 + VIEWS)]
                    views[f"{job.start}/{n}"] = both
            for number, *values in json.loads(path.with_suffix(".json").read_bytes()):
                known = dict(zip(KEPT, values, strict=True))
                known["options"] = tuple(known["options"])
                questions.append(Question(clip_id=f"{job.start}/{number}", person_id="0", evidence={}, **known))
        except (OSError, ValueError, KeyError) as error:
            raise StoreError(f"{path}.npz: cannot be read ({error}); delete it and {path.name}.json, and both are made again") from None
    asked: dict[str, list[tuple[str, str, tuple[str, ...], int]]] = {}
    for q in assemble.flatten(questions, learning_recipe()):
        asked.setdefault(q.clip_id, []).append((q.category, q.text, q.options, q.answer))
    return [Person(views[name], found) for name, found in asked.items()]


def train(plan: Plan, out: Path, bars: Bars, say: Callable[[str], None]) -> Path:
    """Write the reader's weights into `out` and return their path.  Training that is stopped starts anew from the people kept."""
    import torch

    store.need_folder(out)
    everybody = people(plan, bars)
    texts = [text for p in everybody for _, question, options, _ in p.questions for text in (question, *options)]
    words = reader.Words.of([*texts, *(t for t in wordings.vocabulary() for _ in range(3))])
    say(f"{len(everybody)} people, {sum(len(p.questions) for p in everybody)} questions, {len(words.known)} words")
    torch.manual_seed(plan.seed)
    shape = reader.Shape(words=len(words.known))
    net = reader.network(shape)
    size = sum(p.numel() for p in net.parameters())
    say(f"{size:,} parameters")
    groups = [
        {"params": [p for p in net.parameters() if p.dim() > 1], "weight_decay": 0.02},
        {"params": [p for p in net.parameters() if p.dim() <= 1], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=plan.rate, betas=(0.9, 0.98))
    history: list[dict[str, Any]] = []
    started, run, step = time.monotonic(), 0.0, 0
    net.train()
    with bars("optimiser steps", plan.steps) as progress:
        for step, batch in enumerate(batches(everybody, words, plan), start=1):
            done = max(step / plan.steps, (time.monotonic() - started) / (60 * plan.minutes))
            if done > 1:
                break
            for group in optimiser.param_groups:
                group["lr"] = plan.rate * min(1.0, step / 60) * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * done)))
            *inputs, answers = batch
            scores = net(*inputs).flatten(0, 1)
            loss = torch.nn.functional.cross_entropy(scores, answers.flatten(), ignore_index=-1)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            run = loss.item() if step == 1 else 0.95 * run + 0.05 * loss.item()
            if step % 20 == 0:
                history.append({"step": step, "loss": round(run, 4), "seconds": round(time.monotonic() - started, 1)})
            progress(step, plan.steps, "")
    about = {"people": len(everybody), "steps": step, "parameters": size, "seed": plan.seed, "recipe": "default", "views": VIEWS}
    reader.save(out / WEIGHTS, net, shape, words, about)
    store.write_atomic(out / "curves.json", (json.dumps(history, indent=1) + "\n").encode())
    store.write_atomic(out / "curves.svg", learning.curves(history).encode())
    write_card(out / WEIGHTS, bars)
    return out / WEIGHTS


def write_card(weights: Path, bars: Bars, number: int = 100) -> dict[str, Any]:
    """Measure a reader and write score.json and its card, README.md, beside it."""
    with bars("people asked", number) as progress:
        found = measure(weights, number, progress=progress)
    store.write_atomic(weights.parent / "score.json", (json.dumps(found, indent=1) + "\n").encode())
    store.write_atomic(weights.parent / "README.md", card.render_reader(reader.load(weights)[2], found).encode())
    return found


def batches(everybody: Sequence[Person], words: reader.Words, plan: Plan) -> Iterator[tuple[Any, ...]]:
    """Batches for ever: people in a new order each round, one view each, their questions evenly over the categories, half reworded."""
    draw = random.Random(plan.seed)
    remembered: dict[str, list[int]] = {}

    def numbers(text: str, longest: int) -> list[int]:
        if text not in remembered:
            remembered[text] = words.numbers(text, longest)
        return remembered[text]

    by = [{c: [q for q in p.questions if q[0] == c] for c in CATEGORIES} for p in everybody]
    order: list[int] = []
    while True:
        if len(order) < PEOPLE:
            order += draw.sample(range(len(everybody)), len(everybody))
        chosen, order = order[:PEOPLE], order[PEOPLE:]
        views, asked = [], []
        for number in chosen:
            views.append(everybody[number].views[draw.randrange(1 + VIEWS)])
            there = [c for c in CATEGORIES if by[number][c]]
            asked.append([draw.choice(by[number][draw.choice(there)]) for _ in range(ASKED)])
        yield *reader.stacked(views), *_asked(asked, numbers, words, draw)


def _asked(asked: Sequence[Sequence[Any]], numbers: Callable[[str, int], list[int]], words: reader.Words, draw: random.Random) -> Any:
    """Tensors of questions (P, Q, L), options (P, Q, K, W) and answers (P, Q)."""
    import torch

    texts, offers, answers = [], [], []
    for questions in asked:
        for _, text, options, answer in questions:
            said = words.numbers(wordings.reworded(text, draw), reader.LONGEST) if draw.random() < 0.5 else numbers(text, reader.LONGEST)
            texts.append([reader.UNKNOWN if draw.random() < 0.02 else w for w in said])
            offers.append([numbers(option, reader.WIDEST) for option in options])
            answers.append(answer)
    most, wide = max(map(len, offers)), max(len(o) for offer in offers for o in offer)
    choices = np.stack([reader.padded([*offer, *[[]] * (most - len(offer))], wide) for offer in offers])
    shape = (len(asked), -1)
    return (
        torch.from_numpy(reader.padded(texts)).view(*shape, max(map(len, texts))),
        torch.from_numpy(choices).view(*shape, most, wide),
        torch.tensor(answers).view(shape),
    )


def measure(
    path: Path | None = None, number: int = 200, seed: int = 7, reword: bool = True, progress: Progress = lambda *done: None
) -> dict[str, Any]:
    """Scores of a reader on people whom it has never seen: `number` people of `synthetic=N@SEED`, asked what a build publishes of them.

    "true" is on their true tracks, "noisy" on copies with a lifter's errors, "hidden" without the track, "reworded" on true tracks in
    wordings that were kept out of training; each with the mean over categories, its interval, and every category, in points.
    """
    from builder import plugins

    known = recipe.load("default")
    net, words, head = reader.load(path or Path(plugins.load("models", "track_reader").PACKAGED))
    asked: list[Question] = []
    tracks: dict[str, dict[str, reader.Told]] = {}
    for done, clip in enumerate(cast_clips("synthetic", f"seed-{seed}", number), start=1):
        progress(done, number, clip.clip_id)
        (track,) = cast_reference(clip)
        described, questions = selection.questions_of(track, known)
        asked += questions
        noisy = motion.segment(robustness.perturb(motion.sample(track, known), known, FRESH), known)
        told = (reader.stretches(described), reader.movements(described))
        tracks[clip.clip_id] = {"true": told, "noisy": (reader.stretches(noisy), reader.movements(noisy)), "hidden": reader.hidden(told)}
    kept = assemble.choose(asked, known)
    out: dict[str, Any] = {
        "people": number,
        "seed": seed,
        "questions": len(kept),
        "optimiser_steps": head["steps"],
        "trained_on": head["people"],
    }
    for way in ("true", "noisy", "hidden", *(["reworded"] if reword else [])):
        graded = []
        for clip_id, views in tracks.items():
            here = [q for q in kept if q.clip_id == clip_id]
            texts = [wordings.reworded(q.text, random.Random(q.id), kept_out=True) if way == "reworded" else q.text for q in here]
            scores = reader.choose(net, words, views.get(way, views["true"]), list(zip(texts, (q.options for q in here), strict=True)))
            for q, row in zip(here, scores, strict=True):
                best = max(range(len(row)), key=row.__getitem__)
                graded.append(scoring.Graded(q.id, "synthetic", clip_id, q.category, len(q.options), best, q.answer))
        found = scoring.report(graded)
        out[way] = {
            "score_macro": found["score_macro"],
            "interval": found["interval"],
            "by_category": {name: cell["score"] for name, cell in found["by_category"].items()},
        }
    return out
