"""Studies: several trainings that differ in one thing, one command, ending in a table and a picture.

runs/NAME/result.json   what one training scored; it is written last, so a run that is there is finished and is not run again
study.json, study.md    all of them, and the table
study.svg               the picture

`Readers` trains track readers and needs no video; `Adapters` fine-tunes a video model.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from builder import assemble, reader, recipe, runs, store
from builder.rows import Rows, fingerprint
from builder.train import exam, lora
from builder.train import reader as readers
from builder.train.lessons import Lessons, lessons, merged
from builder.types import CATEGORIES, RecipeError, StoreError
from builder.viz import studies as pictures

JOINT = "joint"  # the training on every group at once


@dataclass(frozen=True)
class Study:
    """What varies, over which values (cross: over the groups at hand), and why a track reader has no such study, if it has none."""

    title: str
    values: tuple[Any, ...] = ()
    no_reader: str = ""


STUDIES: Mapping[str, Study] = {
    "cross": Study("Learnt from one group of clips, asked about another"),
    "frames": Study("Score over the number of frames", (8, 16, 32, 64)),
    "resolution": Study("Score over the pixels of a frame", (16_384, 32_768, 65_536, 131_072), "a track has no pixels"),
    "reasoning": Study(
        "The answer alone, or short reasoning first", ("none", "short"), "a track reader picks an option and writes no words"
    ),
}


class Student(Protocol):
    """A kind of model that studies are made of."""

    def groups(self) -> Sequence[str]:
        """The groups of clips at hand."""

    def identity(self) -> Mapping[str, Any]:
        """What decides its results, beside what a study varies."""

    def scores(self, study: str, value: Any, folder: Path) -> Mapping[str, Any]:
        """Train in `folder` as the study says and return `report`-like scores, with `by_source` for each group."""


def study(name: str, student: Student, values: Sequence[str], out: Path, say: Callable[[str], None]) -> Path:
    """Run what is not yet run of a study and return its table's path.

    Raises RecipeError for an unknown study or value and for `cross` with one group, StoreError where `out` holds another study.
    """
    if name not in STUDIES:
        raise RecipeError(f"--recipe {name}: expected one of {', '.join(STUDIES)}")
    known = STUDIES[name]
    if known.no_reader and isinstance(student, Readers):
        raise RecipeError(f"--recipe {name} with --model track_reader: {known.no_reader}; it goes with qwen3_vl=CHECKPOINT")
    if name == "cross" and values:
        raise RecipeError("--values: cross takes the groups of clips at hand; leave it out")
    chosen = [*student.groups(), JOINT] if name == "cross" else [_value(name, v) for v in values] or list(known.values)
    if name == "cross" and len(chosen) < 3:
        raise RecipeError(f"--recipe cross: expected at least two groups of clips, found {', '.join(student.groups())}")
    identity = {"study": name, **student.identity()}
    store.need_folder(out)
    asked: dict[str, dict[str, Any]] = {}
    for value in chosen:
        folder = out / "runs" / store.plain(str(value))
        path = folder / "result.json"
        if path.is_file():
            record = json.loads(path.read_bytes())
            if record["identity"] != identity:
                raise StoreError(f"{path}: is of another study; choose another --out, or delete {out}")
            say(f"{value}: finished before")
        else:
            say(f"{value}: training")
            store.need_folder(folder)
            record = {"identity": identity, "value": value, "result": student.scores(name, value, folder)}
            store.write_atomic(path, (json.dumps(record, indent=1) + "\n").encode())
        asked[str(value)] = record["result"]
    found = {"study": name, "title": known.title, "identity": identity, "results": {k: _brief(v) for k, v in asked.items()}}
    store.write_atomic(out / "study.json", (json.dumps(found, indent=1) + "\n").encode())
    store.write_atomic(out / "study.svg", pictures.picture(found).encode())
    store.write_atomic(out / "study.md", ("\n".join(table(found)) + "\n").encode())
    return out / "study.md"


def _value(name: str, text: str) -> Any:
    """A value of `--values`.  Raises RecipeError."""
    expected = STUDIES[name].values
    numbers = bool(expected) and isinstance(expected[0], int)
    if numbers and text.isascii() and text.isdigit() and 2 <= int(text) < 10**7:
        return int(text)
    if text in expected:
        return text
    raise RecipeError(f"--values {text}: {name} expects {'whole numbers from 2' if numbers else ' and '.join(map(str, expected))}")


def _brief(result: Mapping[str, Any]) -> dict[str, Any]:
    """What a table and a picture need of one run."""
    return {
        "score": result["score_macro"],
        "interval": result["interval"],
        "n": result["n"],
        "by_category": {c: cell["score"] for c, cell in result["by_category"].items()},
        "by_group": {g: {"score": cell["score"], "interval": cell["interval"], "n": cell["n"]} for g, cell in result["by_source"].items()},
    }


def table(found: Mapping[str, Any]) -> list[str]:
    """The study as lines of Markdown: points, 0 is guessing, with 95 % intervals over clips."""
    results = found["results"]

    def cell(one: Mapping[str, Any] | None) -> str:
        if one is None or one["score"] is None:
            return "-"
        return f"{one['score']:.1f}" + ("" if not one["interval"] else f" [{one['interval'][0]:.1f}, {one['interval'][1]:.1f}]")

    if found["study"] == "cross":
        groups = list(dict.fromkeys(g for one in results.values() for g in one["by_group"]))
        head = ["learnt from", *(f"asked: {g}" for g in groups)]
        rows = [[name, *(cell(one["by_group"].get(g)) for g in groups)] for name, one in results.items()]
    else:
        present = [c for c in CATEGORIES if any(c in one["by_category"] for one in results.values())]
        head = [found["study"], "score", *present]
        rows = [
            [name, cell(one), *(cell({"score": one["by_category"].get(c), "interval": None}) for c in present)]
            for name, one in results.items()
        ]
    asked = ", ".join(sorted({f"{one['n']:,}" for one in results.values()}))
    return [
        f"# {found['title']}",
        "",
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
        f"Points: 0 is guessing, 100 all right; in brackets the 95 % interval over clips. Questions asked: {asked}.",
    ]


@dataclass(frozen=True, eq=False)
class Readers:
    """Track readers on sources of open tracks, named as on the command line; `plan.people` is the most people of each."""

    sources: tuple[str, ...]
    plan: readers.Plan
    bars: readers.Bars
    say: Callable[[str], None]

    @property
    def named(self) -> dict[str, str]:
        """Each source by its name in tables: without its folder, unless two would be called the same."""
        short = [source.partition("=")[0] if Path(source.partition("=")[2]).exists() else source for source in self.sources]
        return dict(zip(short if len(set(short)) == len(short) else self.sources, self.sources, strict=True))

    def groups(self) -> Sequence[str]:
        """The sources, as `named`."""
        return list(self.named)

    def identity(self) -> Mapping[str, Any]:
        """The plan and the sources."""
        return {"model": "track_reader", "sources": self.groups(), "plan": {**asdict(self.plan), "work": "", "workers": 0}}

    def scores(self, study: str, value: Any, folder: Path) -> Mapping[str, Any]:
        """Train on one group or all, or on tracks of `value` samples; ask about people of the test split of every group."""
        parts = {name: self._halves(source, value if study == "frames" else None) for name, source in self.named.items()}
        learnt = merged([train for name, (train, _) in parts.items() if study != "cross" or value in (name, JOINT)])
        weights = readers.fit(learnt, None, self.plan, folder, self.bars, self.say)
        net, words, _ = reader.load(weights)
        return exam.report(net, words, {name: test for name, (_, test) in parts.items()})

    def _halves(self, source: str, samples: int | None) -> tuple[Lessons, Lessons]:
        """(train, test) of one source, divided by group as a build divides."""
        plan, known = self.plan, recipe.load("default")
        with self.bars(f"people of {source}", -(-plan.people // 25)) as progress:
            everybody = lessons(source, plan.people, plan.work, plan.workers, progress, samples)
        sides = [assemble.split_of(group, known) for group in everybody.groups]
        train, test = ([k for k, side in enumerate(sides) if side == name] for name in ("train", "test"))
        if not train or not test:
            raise RecipeError(f"--source {source}: {len(train)} people to learn from and {len(test)} to ask; expected some of both")
        return everybody.only(train), everybody.only(test)


@dataclass(frozen=True, eq=False)
class Adapters:
    """LoRA adapters on the questions of a dataset; its groups are the sources of the rows."""

    data: Rows
    test: Rows
    plan: lora.Plan
    bars: lora.Bars
    say: Callable[[str], None]

    def groups(self) -> Sequence[str]:
        """The sources of the rows to learn from."""
        return sorted({item.source for item in self.data.items})

    def identity(self) -> Mapping[str, Any]:
        """The plan and the rows."""
        plan = {**asdict(self.plan), "videos": None}
        return {"model": lora.MODEL, "plan": plan, "data": self.data.fingerprint, "test": self.test.fingerprint}

    def scores(self, study: str, value: Any, folder: Path) -> Mapping[str, Any]:
        """Fine-tune as the study says, and evaluate on the whole test split."""
        field = {"frames": "frames", "resolution": "pixels", "reasoning": "reasoning"}.get(study)
        plan = replace(self.plan, **{field: value}) if field else self.plan
        items = tuple(i for i in self.data.items if study != "cross" or value in (i.source, JOINT))
        data = replace(self.data, items=items, fingerprint=fingerprint(items))
        lora.train(data, lambda: self.test, plan, folder, self.bars, self.say)
        found: Mapping[str, Any] = json.loads((folder / lora.EVALUATION / runs.RESULTS).read_bytes())
        return found
