"""The run folder: what one model answered under one setting, growing line by line, and what follows from it.

    config.json      what decides the answers (model, frames, prompt, data, ...), its digest, and what happened to be installed
    samples*.jsonl   one line per answered question, appended and flushed as answers come; one file per shard
    results.json     the scores, made from the samples alone: the same for any interruption, shard or order
    results.md       the same as tables
    speed.json       how long it took, session by session

Replies are read anew, by the parser of today, whenever a run is scored.
"""

from __future__ import annotations

import fcntl
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from builder import prompts, scoring, store
from builder.rows import Item
from builder.types import DataError, StoreError
from builder.watching import Reply, rotated

CONFIG, SAMPLES, RESULTS, TABLE, SPEED = "config.json", "samples.jsonl", "results.json", "results.md", "speed.json"
FORMAT = "humanmovevqa-run/1"


@dataclass(frozen=True)
class Run:
    """A run read back: its config, every sample line, and the graded answers."""

    folder: Path
    config: Mapping[str, Any]
    samples: tuple[Mapping[str, Any], ...]
    graded: tuple[scoring.Graded, ...]

    @property
    def title(self) -> str:
        """What a table calls the run."""
        return str(self.config["title"])


def write_config(folder: Path, identity: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Begin a run in `folder`, or make sure that the one there is the same.  `identity` decides the answers, `about` does not.

    Raises StoreError naming what differs when the folder holds another run.
    """
    path = folder / CONFIG
    if path.exists():
        there = read_config(folder)["identity"]
        plain = json.loads(json.dumps(identity))
        differs = sorted(k for k in there.keys() | plain.keys() if there.get(k) != plain.get(k))
        if differs:
            one = differs[0]
            raise StoreError(
                f"{folder} holds another run: {', '.join(differs)} differ "
                f"({one}: {_short(there.get(one))} there, {_short(plain.get(one))} now); pass another --out"
            )
    store.need_folder(folder)
    record = {"format": FORMAT, "digest": store.digest(identity), "identity": identity, **about}
    store.write_atomic(path, (json.dumps(record, indent=1, sort_keys=True) + "\n").encode())


def read_config(folder: Path) -> dict[str, Any]:
    """The config of a run.  Raises DataError."""
    path = folder / CONFIG
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{folder}: expected a run folder with {CONFIG}, found none; `humanmovevqa evaluate` makes one") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise DataError(f"{path}: expected format {FORMAT!r}, got another file")
    return found


def shard_name(shard: tuple[int, int] | None) -> str:
    """The samples file of a shard (i of n, from 1)."""
    return SAMPLES if shard is None else f"samples-{shard[0]}-of-{shard[1]}.jsonl"


@contextmanager
def appending(path: Path) -> Iterator[IO[bytes]]:
    """The samples file, open to append whole lines; a torn last line, which a killed process left, is cut off.

    Raises StoreError when another process writes to it.
    """
    try:
        file = open(path, "a+b")
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror}; pass another --out") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StoreError(f"{path}: another process is answering into this run; wait for it, or pass another --out") from None
        file.seek(0)
        whole = file.read()
        file.truncate(whole.rfind(b"\n") + 1)
        yield file


def append(file: IO[bytes], line: Mapping[str, Any]) -> None:
    """Write one line and hand it to the system, so that killing this process loses nothing of it."""
    file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
    file.flush()


def line(item: Item, rotation: int, reply: Reply, seconds: float) -> dict[str, Any]:
    """The sample line of a reply: enough to score it, and to read it again, without the dataset."""
    q = item.question
    choice = choice_of(reply.text, q.options, rotation)
    out: dict[str, Any] = {
        "question_id": q.id,
        "rotation": rotation,
        "choice": choice,
        "answer": q.answer,
        "correct": choice == q.answer,
        "num_options": len(q.options),
        "category": q.category,
        "source": item.source,
        "video_id": item.video_id,
        "options": list(q.options),
        "reply": reply.text,
        "finish": reply.finish,
        "seconds": round(seconds, 4),
    }
    if reply.scores is not None:
        out["scores"] = [round(s, 5) for s in reply.scores]
    if reply.tokens is not None:
        out["tokens"] = list(reply.tokens)
    return out


def choice_of(reply: str, options: Sequence[str], rotation: int = 0) -> int | None:
    """The place in `options` of what a reply names, where the options were shown turned by `rotation`."""
    found = prompts.parse(reply, len(options), rotated(options, rotation))
    return None if found is None else (found + rotation) % len(options)


def read_samples(path: Path) -> list[dict[str, Any]]:
    """Every whole line of a samples file.  Raises DataError naming the first line that is not one."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    out = []
    for number, text in enumerate(data[: data.rfind(b"\n") + 1].splitlines(), start=1):
        try:
            record = json.loads(text)
            if not isinstance(record, dict) or "question_id" not in record or "reply" not in record:
                raise ValueError("no question_id or no reply")
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{path}, line {number}: expected a sample ({error}); delete the line, and its question is asked again"
            ) from None
        out.append(record)
    return out


def sample_files(folder: Path) -> list[Path]:
    """The samples files of a run, sorted."""
    return sorted(folder.glob("samples*.jsonl"))


def answered(folder: Path) -> set[tuple[str, int]]:
    """(question id, rotation) of every answer in the folder, whichever shard gave it."""
    return {(s["question_id"], s["rotation"]) for file in sample_files(folder) for s in read_samples(file)}


def read(folders: Sequence[Path]) -> list[Run]:
    """The runs in these folders; folders of one identity (shards from several machines) become one run.  Raises DataError."""
    merged: dict[str, list[Path]] = {}
    for folder in folders:
        merged.setdefault(read_config(folder)["digest"], []).append(folder)
    return [_read(group) for group in merged.values()]


def _read(folders: Sequence[Path]) -> Run:
    samples: dict[tuple[str, int], dict[str, Any]] = {}
    for file in [f for folder in folders for f in sample_files(folder)]:
        for sample in read_samples(file):
            samples.setdefault((sample["question_id"], sample["rotation"]), sample)  # the first answer counts
    ordered = [samples[key] for key in sorted(samples)]
    try:
        return Run(folders[0], read_config(folders[0]), tuple(ordered), tuple(_graded(s) for s in ordered))
    except (KeyError, TypeError) as error:
        raise DataError(f"{folders[0]}: a sample lacks what a score needs ({error}); is it of this version?") from None


def _graded(sample: Mapping[str, Any]) -> scoring.Graded:
    return scoring.Graded(
        question_id=sample["question_id"],
        source=sample["source"],
        video_id=sample["video_id"],
        category=sample["category"],
        num_options=sample["num_options"],
        choice=choice_of(sample["reply"], sample["options"], sample["rotation"]),
        answer=sample["answer"],
        rotation=sample["rotation"],
    )


def results(run: Run) -> dict[str, Any]:
    """What `results.json` holds: `scoring.report`, how replies ended, and which questions of the split have no answer."""
    found = scoring.report(run.graded)
    expected: Mapping[str, int] = run.config["identity"]["videos"]
    have = Counter(s["video_id"] for s in run.samples if s["rotation"] == 0)
    unanswered = {video: n - have[video] for video, n in sorted(expected.items()) if n > have[video]}
    ends = Counter(s["finish"] for s in run.samples)
    return {
        "title": run.title,
        "about": run.config["about"],
        "mode": run.config["identity"]["mode"],
        "run": run.config["digest"],
        "data": run.config["identity"]["data"],
        **found,
        "expected": sum(expected.values()),
        "unanswered": unanswered,
        "finish": dict(sorted(ends.items())),
        "read_differently": sum(g.choice != s["choice"] for g, s in zip(run.graded, run.samples, strict=True)),
        "parser": prompts.parser_digest(),
    }


def write_results(run: Run) -> dict[str, Any]:
    """Write results.json and results.md beside the samples, and return the former."""
    from builder import tables

    found = results(run)
    store.write_atomic(run.folder / RESULTS, (json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode())
    store.write_atomic(run.folder / TABLE, tables.page([found]).encode())
    return found


def probe_drops(found: Sequence[Run]) -> list[dict[str, Any]]:
    """What each probe changes: for every model whose video run is among these, its other modes minus it, paired, in points."""
    out = []
    for base in found:
        if base.config["identity"]["mode"] != "video":
            continue
        for other in found:
            asked = {g.question_id for g in base.graded} & {g.question_id for g in other.graded}
            if other is base or _setting(other) != _setting(base) or not asked:
                continue
            change = scoring.compare(base.graded, other.graded)["macro"]
            named = {"title": base.title, "mode": other.config["identity"]["mode"]}
            out.append({**named, "difference": change["difference"], "interval": change["interval"]})
    return out


def _setting(run: Run) -> tuple[Any, ...]:
    """What has to be the same for two runs to differ in their mode alone."""
    kept = ("model", "checkpoint", "options", "circular", "data")
    return tuple(json.dumps(run.config["identity"].get(key), sort_keys=True) for key in kept)


def write_speed(folder: Path, session: Mapping[str, Any]) -> None:
    """Add what one session took to speed.json."""
    path = folder / SPEED
    sessions = json.loads(path.read_bytes()) if path.exists() else []
    store.write_atomic(path, (json.dumps([*sessions, session], indent=1) + "\n").encode())


def keep_choices(
    folder: Path, identity: Mapping[str, Any], about: Mapping[str, Any], choices: Iterable[tuple[Item, int | None, float]]
) -> Run:
    """A run from answers that came some other way, such as a person's in a quiz: (item, place chosen, seconds)."""
    write_config(folder, identity, about)
    with appending(folder / SAMPLES) as file:
        have = {(s["question_id"], s["rotation"]) for s in read_samples(folder / SAMPLES)}
        for item, choice, seconds in choices:
            if (item.question.id, 0) not in have:
                text = "" if choice is None else prompts.target(choice)
                append(file, line(item, 0, Reply(item.question.id, text), seconds))
    (run,) = read([folder])
    write_results(run)
    return run


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
