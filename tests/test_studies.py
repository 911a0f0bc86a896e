"""Studies: trained once each, the rest refused in one line, a table and a picture at the end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest

from builder import reader, rows
from builder.train import lora, studies
from builder.train import reader as training
from builder.types import CATEGORIES, HumanMoveError, RecipeError, StoreError
from builder.viz import studies as pictures

torch = pytest.importorskip("torch")
TINY = {"width": 16, "heads": 2, "readers": 1, "listeners": 1, "askers": 1, "gist": 1, "inner": 16, "small": 8, "slots": 1}


def bars(title: str, total: int) -> Any:
    return nullcontext(lambda *done: None)


def silent(text: str) -> None:
    pass


class Counted:
    """A student that learns nothing, and counts."""

    def __init__(self) -> None:
        self.trained: list[Any] = []

    def groups(self) -> Sequence[str]:
        return ["north", "south"]

    def identity(self) -> Mapping[str, Any]:
        return {"model": "counted"}

    def scores(self, study: str, value: Any, folder: Path) -> Mapping[str, Any]:
        if len(self.trained) == 2:
            raise KeyboardInterrupt
        self.trained.append(value)
        cell = {"score": 40.0 + len(self.trained), "interval": [30.0, 50.0], "n": 5}
        by = {"by_category": dict.fromkeys(CATEGORIES, cell), "by_source": dict.fromkeys(self.groups(), cell)}
        return {"score_macro": cell["score"], "interval": cell["interval"], "n": 10, **by}


@pytest.mark.parametrize(("name", "last"), [("cross", "joint"), ("frames", "64"), ("resolution", "131072"), ("reasoning", "short")])
def test_a_study_that_is_stopped_goes_on_and_ends_in_a_table_and_a_picture(name: str, last: str, tmp_path: Path):
    first, again = Counted(), Counted()
    for student in (first, again):
        try:
            path = studies.study(name, student, [], tmp_path, silent)
        except KeyboardInterrupt:
            assert not (tmp_path / "study.json").exists()
            path = tmp_path / "study.md"
    values = [*first.groups(), "joint"] if name == "cross" else list(studies.STUDIES[name].values)
    assert [*first.trained, *again.trained] == values
    found = json.loads((tmp_path / "study.json").read_text())
    assert list(found["results"])[-1] == last
    lines = path.read_text().splitlines()
    assert sum(line.startswith("| ") for line in lines) == 1 + len(values)
    assert "41.0" in path.read_text()
    picture = (tmp_path / "study.svg").read_text()
    assert picture.startswith("<svg")
    assert pictures.picture(found) == picture
    before = (tmp_path / "study.svg").stat().st_mtime_ns, len(again.trained)
    studies.study(name, again, [], tmp_path, silent)
    assert len(again.trained) == before[1]


def test_what_makes_no_study_is_said_in_one_line(tmp_path: Path):
    readers = studies.Readers(("cast",), training.Plan(), bars, silent)
    cases: list[tuple[str, Any, list[str], str]] = [
        ("nosuch", Counted(), [], "expected one of cross, frames"),
        ("resolution", readers, [], "a track has no pixels"),
        ("reasoning", readers, [], "writes no words"),
        ("cross", readers, [], "at least two groups"),
        ("frames", Counted(), ["many"], "whole numbers"),
        ("reasoning", Counted(), ["long"], "none and short"),
        ("cross", Counted(), ["1"], "leave it out"),
    ]
    for name, student, values, message in cases:
        with pytest.raises(RecipeError, match=message) as caught:
            studies.study(name, student, values, tmp_path / "out", silent)
        assert "\n" not in str(caught.value)
    studies.study("reasoning", Counted(), [], tmp_path / "one", silent)
    other = Counted()
    other.identity = lambda: {"model": "other"}  # type: ignore[method-assign]
    with pytest.raises(StoreError, match="another study"):
        studies.study("reasoning", other, [], tmp_path / "one", silent)


def test_track_readers_learn_from_one_group_and_are_asked_about_every_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reader.Shape, "__init__", partialmethod(reader.Shape.__init__, **TINY))
    plan = training.Plan(people=8, steps=2, workers=1, work=tmp_path / "work")
    sources = ("synthetic=8@5", "synthetic=8@6:filmed")
    student = studies.Readers(sources, plan, bars, silent)
    assert studies.study("cross", student, [], tmp_path / "cross", silent).is_file()
    found = json.loads((tmp_path / "cross" / "study.json").read_text())
    assert list(found["results"]) == [*sources, "joint"]
    for one in found["results"].values():
        assert set(one["by_group"]) == set(sources)
    heads = {
        name: reader.load(tmp_path / "cross" / "runs" / name / training.WEIGHTS)[2]["people"]
        for name in map(studies.store.plain, found["results"])
    }
    assert heads["joint"] == sum(heads.values()) - heads["joint"]


def test_adapters_learn_from_the_rows_of_a_group_and_with_the_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    data = rows.read(str(rows.SAMPLE), "all", "train")
    half = len(data.items) // 2
    items = tuple(rows.Item(i.question, "a" if k < half else "b", i.video_id, i.video_path) for k, i in enumerate(data.items))
    data = rows.Rows(items, data.name, data.config, data.split, data.fingerprint)
    seen: list[tuple[int, lora.Plan]] = []

    def train(learnt: rows.Rows, test: Any, plan: lora.Plan, out: Path, *rest: Any) -> None:
        seen.append((len(learnt.items), plan))
        (out / lora.EVALUATION).mkdir(parents=True)
        (out / lora.EVALUATION / "results.json").write_text(json.dumps(Counted().scores("cross", "a", out)))

    monkeypatch.setattr(lora, "train", train)
    student = studies.Adapters(data, data, lora.Plan("x"), bars, silent)
    assert student.groups() == ["a", "b"]
    studies.study("cross", student, [], tmp_path / "cross", silent)
    assert [n for n, _ in seen] == [half, len(items) - half, len(items)]
    studies.study("frames", student, ["4", "8"], tmp_path / "frames", silent)
    assert [plan.frames for _, plan in seen[3:]] == [4, 8]
    studies.study("resolution", student, ["1024"], tmp_path / "resolution", silent)
    studies.study("reasoning", student, [], tmp_path / "reasoning", silent)
    assert seen[5][1].pixels == 1024
    assert [plan.reasoning for _, plan in seen[6:]] == ["none", "short"]
    assert issubclass(RecipeError, HumanMoveError)
