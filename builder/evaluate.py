"""Put a model before the questions: each clip decoded once, shown once, all its questions asked, every reply kept at once.

Nothing is aggregated here (`scoring`, through `runs`).  Stopped at any moment, the same call goes on where it was.
"""

from __future__ import annotations

import inspect
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import IO, Any

from builder import __version__, lifting, motion, pipeline, plugins, prompts, recipe, runs, store, watching
from builder.rows import Item, Rows
from builder.types import BuildError, DataError, HumanMoveError, PluginError, Question, SetupError, Track, VideoError
from builder.watching import Footage, Model, Prompt, Shown, Watch
from builder.workers import Progress

PACKAGES = ("av", "decord", "numpy", "torch", "torchvision", "transformers", "peft")
LISTED = 10


@dataclass(frozen=True)
class Plan:
    """One evaluation: a model plugin with its checkpoint and options, how clips are shown, and which part of the rows is asked."""

    model: str
    checkpoint: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    mode: str = "video"
    frames: int | None = None
    pixels: int | None = None
    circular: bool = False
    shard: tuple[int, int] | None = None
    limit: int | None = None
    videos: Path | None = None
    skip_missing: bool = False
    sources: tuple[tuple[str, str | None], ...] = ()
    lifter: str = lifting.TRUTH
    work: Path = Path("work")
    max_cost: float | None = None
    train: Callable[[], Rows] | None = None


@dataclass(frozen=True)
class Ask:
    """One question in one rotation of its options."""

    item: Item
    rotation: int

    @property
    def key(self) -> str:
        """What a reply names it by."""
        return f"{self.item.question.id}#{self.rotation}" if self.rotation else self.item.question.id


@dataclass
class Clock:
    """What a session took, in seconds: decoding (in the background), waiting for frames, waiting for the model."""

    decode_s: float = 0.0
    waited_s: float = 0.0
    answer_s: float = 0.0
    answers: int = 0
    tokens: list[int] = field(default_factory=lambda: [0, 0])


def plugin(name: str) -> Any:
    """The model plugin of that name.  Raises PluginError when its ABOUT does not say what it sees."""
    module = plugins.load("models", name, ("ABOUT", "load"))
    if module.ABOUT.get("sees") not in watching.SEES:
        raise PluginError(f"model {name}: ABOUT['sees'] is {module.ABOUT.get('sees')!r}; expected one of {', '.join(watching.SEES)}")
    return module


def shown_of(plan: Plan, about: Mapping[str, Any]) -> Shown:
    """How clips are shown to this model.  A mode that does not concern it is an error."""
    sees = about["sees"]
    if plan.mode not in watching.MODES:
        raise BuildError(f"--mode {plan.mode}: expected one of {', '.join(watching.MODES)}")
    if plan.mode != "video" and sees not in watching.SHOWN_FRAMES:
        raise BuildError(f"--mode {plan.mode}: model {plan.model!r} is shown no frames (it sees: {sees}), so the mode would change nothing")
    frames = plan.frames or int(about.get("frames", watching.FRAMES))
    return Shown(plan.mode if sees in watching.SHOWN_FRAMES else sees, frames, plan.pixels or int(about.get("pixels", watching.PIXELS)))


def evaluate(data: Rows, plan: Plan, out: Path, progress: Progress, say: Callable[[str], None]) -> runs.Run:
    """Answer what is not yet answered in the run folder `out`, and return the run as it then stands.

    Raises DataError for missing videos, StoreError when `out` holds another run, and what the model and the videos raise.
    """
    module = plugin(plan.model)
    shown = shown_of(plan, module.ABOUT)
    asks = part(data.items, plan)
    found, missing = _found(asks, plan, shown, module.ABOUT["sees"], say)
    tracks = _tracks([a.item for a in asks], plan) if shown.mode.startswith("track") else {}
    model = load(module, plan, shown, data)
    if plan.max_cost is not None and not hasattr(model, "estimate"):
        raise BuildError(f"--max-cost: model {plan.model} knows no prices")
    runs.write_config(out, identity(plan, shown, data, model), _about(plan, module, data, missing))
    with runs.appending(out / runs.shard_name(plan.shard)) as file:
        done = runs.answered(out)
        groups = grouped([a for a in asks if a.item.video_id not in missing and (a.item.question.id, a.rotation) not in done], shown)
        todo = sum(len(g) for g in groups)
        put = {a.key: prompt(a, _seen(a.item, tracks) if shown.mode == "track-text" else "") for g in groups for a in g}
        _cost(model, list(put.values()), shown, plan, say)
        clock, started = Clock(), time.monotonic()
        try:
            show = partial(_look, shown=shown, found=found, tracks=tracks, clock=clock)
            _answer(model, groups, put, show, file, clock, lambda k: progress(len(asks) - todo + k, len(asks), ""), plan.skip_missing, say)
        finally:
            if todo:
                runs.write_speed(out, _session(clock, time.monotonic() - started))
    (run,) = runs.read([out])
    return run


def _look(
    group: Sequence[Ask], shown: Shown, found: Mapping[str, Footage], tracks: Mapping[str, Mapping[str, Track]], clock: Clock
) -> Watch:
    """What the model is shown of the clip that these questions share."""
    began = time.monotonic()
    name = group[0].item.video_id
    where = found.get(name)
    if where is None or shown.mode in ("blind", "track-text"):
        watch = Watch(name, tracks=tracks.get(name, {}))
    elif shown.mode == "file":
        watch = Watch(name, video=where.path)
    else:
        watch = watching.look(name, where, shown)
    clock.decode_s += time.monotonic() - began
    return watch


def _answer(
    model: Model,
    groups: Sequence[Sequence[Ask]],
    put: Mapping[str, Prompt],
    show: Callable[[Sequence[Ask]], Watch],
    file: IO[bytes],
    clock: Clock,
    tick: Callable[[int], None],
    skip: bool,
    say: Callable[[str], None],
) -> None:
    """Ask group by group, frames of the next clip being decoded meanwhile, and keep each reply as it comes."""
    for group, watch in watching.prefetched(groups, show):
        began = time.monotonic()
        try:
            watched = watch()
        except VideoError as error:  # damage that its header did not show
            if not skip:
                raise
            say(f"skipping {len(group)} questions: {error}")
            continue
        clock.waited_s += time.monotonic() - began
        open_asks = {a.key: a for a in group}
        last = time.monotonic()
        for reply in model(watched, [put[a.key] for a in group]):
            ask = open_asks.pop(reply.key, None)
            if ask is None:
                raise PluginError(f"the model replied to {reply.key!r}, which it was not asked or has answered; see builder/watching.py")
            now = time.monotonic()
            runs.append(file, runs.line(ask.item, ask.rotation, reply, now - last))
            clock.answer_s, last = clock.answer_s + now - last, now
            clock.answers += 1
            if reply.tokens:
                clock.tokens = [a + b for a, b in zip(clock.tokens, reply.tokens, strict=True)]
            tick(clock.answers)


def part(items: Sequence[Item], plan: Plan) -> list[Ask]:
    """The questions of this limit and shard, in every rotation that is asked.  A shard is a share of the clips."""
    chosen = sorted(items, key=lambda i: store.digest("limit", i.question.id))[: plan.limit]
    if plan.shard:
        place, number = plan.shard
        mine = set(sorted({i.video_id for i in chosen})[place - 1 :: number])
        chosen = [i for i in chosen if i.video_id in mine]
    chosen.sort(key=lambda i: (i.source, i.video_id, i.question.id))
    return [Ask(i, r) for i in chosen for r in range(len(i.question.options) if plan.circular else 1)]


def grouped(asks: Sequence[Ask], shown: Shown) -> list[list[Ask]]:
    """Questions of one clip together; all in one where no clip is shown."""
    if shown.mode in ("nothing", "text"):
        return [list(asks)] if asks else []
    by: dict[str, list[Ask]] = {}
    for ask in asks:
        by.setdefault(ask.item.video_id, []).append(ask)
    return list(by.values())


def prompt(ask: Ask, seen: str = "") -> Prompt:
    """The question as it is put: the one prompt of `prompts`, without the answer."""
    question = watching.sealed(ask.item.question, ask.rotation)
    text = prompts.render(question.text, question.options, seen)
    return Prompt(ask.key, prompts.SYSTEM, text, question.options, question)


def load(module: Any, plan: Plan, shown: Shown, data: Rows) -> Model:
    """The loaded model.  Raises SetupError for options that it does not take; ABOUT["needs"] says what else it is given."""
    given: dict[str, Any] = dict(plan.options)
    needs = module.ABOUT.get("needs", ())
    if "train" in needs:
        given["train"] = train_questions(plan, data)
    if "shown" in needs:
        given["shown"] = {"mode": shown.mode, "frames": shown.frames, "pixels": shown.pixels, "data": data.fingerprint}
    if "recipe" in needs:
        given["recipe"] = data.items[0].recipe
    try:
        inspect.signature(module.load).bind(plan.checkpoint, **given)
    except TypeError as error:
        takes = [p for p in inspect.signature(module.load).parameters if p not in ("checkpoint", *needs)]
        raise SetupError(f"model {plan.model}: {error}; it takes --option of {', '.join(takes) or 'no kind'}") from None
    model: Model = module.load(plan.checkpoint, **given)
    return model


def train_questions(plan: Plan, data: Rows) -> list[Question]:
    """The questions of the train split, for models that know how often what is right.

    Raises DataError where there is none, or it holds questions that are asked: a file without splits would teach the answers.
    """
    train = plan.train().items if plan.train else ()
    asked = {item.question.id for item in data.items}
    if not train or any(item.question.id in asked for item in train):
        raise DataError(f"model {plan.model} learns from a train split; {data.name} has none apart from what is asked")
    return [item.question for item in train]


def identity(plan: Plan, shown: Shown, data: Rows, model: Model) -> dict[str, Any]:
    """Everything that decides the answers, JSON-ready: a run folder holds one identity."""
    pictures = {} if shown.mode in ("blind", "track-text", *watching.SEES[2:]) else {"frames": shown.frames, "pixels": shown.pixels}
    seen = {"lifter": plan.lifter} if shown.mode.startswith("track") else {}
    videos: dict[str, int] = {}
    for item in data.items:
        videos[item.video_id] = videos.get(item.video_id, 0) + 1
    return {
        "model": plan.model,
        "checkpoint": plan.checkpoint,
        "options": dict(sorted(plan.options.items())),
        "weights": getattr(model, "identity", {}),
        "mode": shown.mode,
        **pictures,
        **seen,
        "circular": plan.circular,
        "prompt": prompts.digest(),
        "data": {"name": data.name, "config": data.config, "split": data.split, "fingerprint": data.fingerprint},
        "videos": dict(sorted(videos.items())),
    }


def _about(plan: Plan, module: Any, data: Rows, missing: Mapping[str, str]) -> dict[str, Any]:
    name = plan.model + (f" {Path(plan.checkpoint).name}" if plan.checkpoint else "")
    tracks = module.ABOUT["sees"] == "track" or plan.mode == "track-text"
    how = [plan.mode if plan.mode != "video" else "", f"tracks by {plan.lifter}" if tracks and plan.lifter != lifting.TRUTH else ""]
    return {
        "title": ", ".join(filter(None, [name, *how])),
        "about": str(module.ABOUT["title"]),
        "missing_videos": sorted(missing),
        "versions": {"humanmovevqa": __version__, "python": platform.python_version(), **_versions()},
        "seed": 0,
    }


def _versions() -> dict[str, str]:
    out = {}
    for name in PACKAGES:
        try:
            out[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return out


def _found(
    asks: Sequence[Ask], plan: Plan, shown: Shown, sees: str, say: Callable[[str], None]
) -> tuple[dict[str, Footage], dict[str, str]]:
    """Where the clips are, and those that are not there or cannot be opened: refused, or skipped where that was asked for."""
    if shown.mode in ("blind", "track-text") or sees not in (*watching.SHOWN_FRAMES, "file"):
        return {}, {}
    from builder import video

    found, missing = watching.footage([a.item for a in asks], plan.videos)
    for name, where in sorted(found.items()):
        try:
            video.probe(where.path)
        except SetupError:
            raise
        except HumanMoveError as error:
            missing[name] = str(error)
            del found[name]
    if missing:
        number = sum(a.item.video_id in missing for a in asks)
        listed = "; ".join(sorted(missing.values())[:LISTED]) + (f"; and {len(missing) - LISTED} more" if len(missing) > LISTED else "")
        root = plan.videos or f"(no folder: pass --videos or set {watching.VARIABLE})"
        text = f"{len(missing)} of {len(missing) + len(found)} videos, with {number} questions, are not readable under {root}: {listed}"
        if not plan.skip_missing or not found:
            raise DataError(f"{text}; put them there, or pass --missing skip to leave their questions out, which the results will say")
        say(f"skipping {text}")
    return found, missing


def _tracks(items: Sequence[Item], plan: Plan) -> dict[str, dict[str, Track]]:
    """video_id -> person -> track, by the plan's lifter from its sources.  Raises DataError for clips that no source has."""
    wanted = {i.video_id for i in items}
    names = {i.source for i in items}
    sources = plan.sources or tuple((name, None) for name in sorted(names & {"sample"}))
    if not sources:
        raise DataError(f"tracks of {', '.join(sorted(names))} are needed: say where they come from with --source NAME[=ROOT]")
    kept = pipeline.Plan(sources, plan.lifter, recipe.load(items[0].recipe), plan.work)
    found = {clip.clip_id: clip for clip in pipeline.clips_of(kept) if clip.clip_id in wanted}
    if wanted - found.keys():
        lacking = sorted(wanted - found.keys())
        raise DataError(
            f"{len(lacking)} of {len(wanted)} clips are in none of the sources, first {lacking[0]!r}; pass --source NAME[=ROOT]"
        )
    return {name: {track.person_id: track for track in pipeline.people_of(clip, kept)} for name, clip in sorted(found.items())}


def _seen(item: Item, tracks: Mapping[str, Mapping[str, Track]]) -> str:
    """The person's motion in words: place and facing twice a second, and the movements that count."""
    track = tracks.get(item.video_id, {}).get(item.question.person_id)
    if track is None:
        return "The person's path is not known."
    return track_text(track, item.recipe)


def track_text(track: Track, recipe_name: str = "default") -> str:
    """A track as text for a language model: metres and degrees in the person's own frame, twice a second."""
    told = motion.describe(track, recipe.load(recipe_name))
    step = max(1, round(told.fps / 2))
    up = told.signals["displacement_y"]
    lines = [
        f"The video lasts {(told.num_frames - 1) / told.fps:.1f} s. Twice a second: seconds, metres to the left of the start, "
        "metres in front of it, metres up, degrees turned to the left."
    ]
    for k in range(0, told.num_frames, step):
        left, forward = told.path_m[k]
        lines.append(f"{k / told.fps:.1f}: {left:+.2f} {forward:+.2f} {up[k]:+.2f} {told.heading_deg[k]:+.0f}")
    return "\n".join(lines)


def _cost(model: Model, put: Sequence[Prompt], shown: Shown, plan: Plan, say: Callable[[str], None]) -> None:
    """Say what the model expects to cost, and refuse before the first request where that is more than allowed."""
    estimate = getattr(model, "estimate", None)
    if estimate is None:
        return
    frames = {"blind": 0, "track-text": 0, "first-frame": 1}.get(shown.mode, shown.frames)
    text, cost = estimate(put, frames, shown.pixels)
    say(text)
    if plan.max_cost is not None and cost is None:
        raise BuildError("--max-cost: no prices given; pass --option price_in=... and --option price_out=... per million tokens")
    if plan.max_cost is not None and cost is not None and cost > plan.max_cost:
        raise BuildError(
            f"the estimated cost of {cost:.2f} is above --max-cost {plan.max_cost:.2f}; nothing was asked: lower --frames or --limit"
        )


def _session(clock: Clock, seconds: float) -> dict[str, Any]:
    return {
        "answers": clock.answers,
        "seconds": round(seconds, 2),
        "answers_per_s": round(clock.answers / seconds, 3) if seconds else None,
        "decode_s": round(clock.decode_s, 2),
        "waiting_for_frames_share": round(clock.waited_s / seconds, 3) if seconds else None,
        "answering_s": round(clock.answer_s, 2),
        "tokens_in": clock.tokens[0],
        "tokens_out": clock.tokens[1],
    }


def out_folder(plan: Plan, data: Rows) -> Path:
    """The default run folder of a plan: the same command gives the same one."""
    what = (plan.model, plan.checkpoint, sorted(plan.options.items()), plan.mode, plan.frames, plan.pixels, plan.circular, plan.lifter)
    name = "-".join(filter(None, [plan.model.rpartition(".")[2], plan.checkpoint and Path(plan.checkpoint).name, plan.mode]))
    return Path("runs") / f"{store.plain(name)}-{store.digest(*what, data.fingerprint)[:8]}"
