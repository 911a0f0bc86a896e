"""Where a build stands: failures as data, what is tried again, and why what is stale is so."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_lifting import standin, videos  # noqa: F401

from builder import cli, lifting, lineage, pipeline, plans, recipe, standing
from builder.types import LiftError, NotNowError


class Build:
    """A work folder that is built with a stand-in for a lifter."""

    def __init__(self, tmp_path: Path, lifter: str, seen: Callable[[], list[str]]) -> None:
        self.lifter, self.seen = lifter, seen
        self.folder, self.work = videos(tmp_path / "videos", "one.mp4", "two.mp4", "nobody.mp4", "doubtful.mp4"), tmp_path / "work"
        self.options = [
            "--lifter",
            lifter,
            "--option",
            f"count={tmp_path / 'count'}",
            "--work",
            str(self.work),
            "--quiet",
            "--workers",
            "1",
        ]
        self.options += ["--out", str(tmp_path / "out"), "--no-report"]

    def __call__(self, *more: str) -> int:
        return cli.main(["build", "--source", f"folder={self.folder}", *self.options, *more])


@pytest.fixture
def build(tmp_path: Path, standin: tuple[str, Callable[[], list[str]]]) -> Build:  # noqa: F811
    return Build(tmp_path, *standin)


def status(work: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    """What `humanmovevqa status WORK --json` says, by stage."""
    capsys.readouterr()
    assert cli.main(["status", str(work), "--json"]) == 0
    return {stage["stage"]: stage for stage in json.loads(capsys.readouterr().out)["stages"]}


def counts(stage: dict[str, Any]) -> dict[str, int]:
    return {name: stage[name] for name in standing.STANDINGS if stage[name]}


def test_every_clip_leaves_how_it_fared(build: Build, capsys: pytest.CaptureFixture[str]):
    assert build() == 0
    record = json.loads((build.work / "tracks" / "folder%2Fnobody.json").read_text())
    assert (record["status"], record["error"]) == ("failed", {"class": "LiftError", "line": "nobody is in view"})
    assert record["seconds"] >= 0
    assert set(record["made_from"]) == {"clip", "lifter", "options", "code"}
    asked = json.loads((build.work / "questions" / "folder%2Fdoubtful.json").read_text())
    assert (asked["status"], asked["errors"][0]["class"], asked["people"]) == ("failed", "LiftError", [])
    found = status(build.work, capsys)
    assert counts(found["tracks"]) == {"done": 3, "failed": 1}
    assert counts(found["questions"]) == {"done": 2, "failed": 2}
    assert found["tracks"]["why"]["failed"] == [{"count": 1, "line": "LiftError: nobody is in view", "example": "folder/nobody"}]
    assert found["questions"]["clips_per_hour"] > 0
    assert cli.main(["status", str(build.work)]) == 0
    said = capsys.readouterr().out
    assert "tracks: 1 failed: LiftError: nobody is in view (such as folder/nobody)" in said
    assert "--retry-failed" in said


def test_what_is_left_is_counted_and_reckoned(build: Build, capsys: pytest.CaptureFixture[str]):
    assert build("--rank", "0", "--world-size", "2") == 0
    found = status(build.work, capsys)["tracks"]
    assert counts(found) == {"done": 2, "pending": 2}
    assert found["hours_left"] == pytest.approx(2 * found["seconds_per_clip"] / 2 / 3600, abs=1e-3)


def test_what_failed_is_tried_again_only_when_that_is_wished(build: Build, tmp_path: Path):
    assert build() == 0
    first = (tmp_path / "out" / "manifest.json").read_bytes()
    assert len(build.seen()) == 4
    assert build() == 0
    assert len(build.seen()) == 4
    assert build("--retry-failed") == 0
    assert build.seen()[4:] == ["folder/doubtful", "folder/nobody"][1:], "the refused track is a verdict of the lifter, kept with it"
    assert (tmp_path / "out" / "manifest.json").read_bytes() == first


def test_lifting_alone_can_be_tried_again_and_asking_notices(
    build: Build,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    assert build() == 0
    real = lifting.load(build.lifter, {"count": str(tmp_path / "count")})
    one = next(c for c in pipeline.clips_of(plans.recall(build.work)[0]) if c.clip_id == "folder/one")
    healed = [replace(track, clip_id="folder/nobody") for track in real(one)]
    monkeypatch.setattr(lifting, "load", lambda *_: lambda clip: healed if clip.clip_id == "folder/nobody" else real(clip))
    assert build("--stage", "lift", "--retry-failed") == 0
    found = status(build.work, capsys)
    assert counts(found["tracks"]) == {"done": 4}
    assert found["questions"]["why"]["stale"][0]["line"].startswith("it failed for its tracks, which were lifted again since")
    assert build() == 0
    assert counts(status(build.work, capsys)["questions"]) == {"done": 3, "failed": 1}


@pytest.mark.parametrize("error", [NotNowError("GPU out of memory"), MemoryError(), OSError(12, "Cannot allocate memory")])
def test_what_cannot_be_done_now_is_never_a_verdict(
    build: Build,
    tmp_path: Path,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    real = lifting.load(build.lifter, {"count": str(tmp_path / "count")})

    def busy(clip: Any) -> Any:
        if clip.clip_id == "folder/two":
            raise error
        return real(clip)

    with monkeypatch.context() as m:
        m.setattr(lifting, "load", lambda *_: busy)
        assert build() == 0
        found = status(build.work, capsys)
        assert counts(found["tracks"]) == {"done": 2, "failed": 1, "later": 1}
        assert counts(found["questions"]) == {"done": 1, "failed": 2, "later": 1}
        assert build("--strict") == 2, "a dataset that lacks a clip for now is not strict"
    assert build() == 0
    assert counts(status(build.work, capsys)["tracks"]) == {"done": 3, "failed": 1}


def test_why_something_is_stale(build: Build, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    def why() -> dict[str, set[str]]:
        return {
            name: {key for key, meaning in lineage.MEANS.items() for one in stage["why"].get("stale", ()) if one["line"] == meaning}
            for name, stage in status(build.work, capsys).items()
        }

    def stale() -> list[int]:
        return [stage["stale"] for stage in status(build.work, capsys).values()]

    assert build() == 0
    assert why() == {"tracks": set(), "questions": set()}
    (build.folder / "one.mp4").write_bytes(b"another film")
    assert (stale(), why()) == ([1, 1], {"tracks": {"clip"}, "questions": {"clip"}})
    assert build() == 0
    remembered = json.loads((build.work / plans.FILE).read_text())
    (build.work / plans.FILE).write_text(json.dumps({**remembered, "changes": {"seed": 5}}))
    assert (stale(), why()) == ([0, 4], {"tracks": set(), "questions": {"recipe"}})
    (build.work / plans.FILE).write_text(json.dumps({**remembered, "options": {**remembered["options"], "extra": "1"}}))
    assert (stale(), why()) == ([4, 4], {"tracks": {"options"}, "questions": {"options"}})
    (build.work / plans.FILE).write_text(json.dumps(remembered))
    file = Path(build.folder.parent / "standins_for_test" / "lifter.py")
    file.write_text(file.read_text() + "\n# another version\n")
    assert (stale(), why()) == ([4, 4], {"tracks": {"code"}, "questions": {"code"}})
    before = len(build.seen())
    assert build() == 0
    assert len(build.seen()) == before + 4, "another version of the lifter lifts everything again"


def test_a_lifter_is_also_what_it_imports():
    def names(*of: str, without: tuple[str, ...] = ()) -> set[str]:
        return {p.relative_to(lineage.HERE).as_posix() for p in lineage.reached(*of, without=without)}

    assert {"body.py", "fits.py", "outputs.py", "program.py", "referent.py", "unpickle/__init__.py", "unpickle/torchfiles.py"} <= names(
        "lifters/gvhmr"
    )
    assert {"recordings/cutting.py", "recordings/reading.py", "body.py", "unpickle/__init__.py"} <= names("sources/emdb")
    truth = names("sources/synthetic", "lifters/groundtruth", without=lifting.FILMING)
    assert "performer/actions.py" in truth
    assert not any(name.startswith(("render/", "video/")) for name in truth)
    assert not any(name.startswith("questions/") for name in names("lifters/monocular", "sources/folder", "lifting"))


def test_a_plugin_of_somebody_counts_with_what_it_imports_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(tmp_path)
    seen: list[tuple[str, ...]] = []
    real = lineage._reached
    monkeypatch.setattr(lineage, "_reached", lambda names, without: (seen.append(names), real(names, without))[1])
    assert lineage.code_of("lifters/mine.none") == lineage.code_of("lifters/none.mine"), "neither is to be found"
    package = tmp_path / "plugins_for_test"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "one.py").write_text("from builder import fits\n")
    before = lineage.code_of("lifters/plugins_for_test.one")
    assert seen[-1] == ("lifters/plugins_for_test.one", "fits")
    (package / "one.py").write_text("from builder import fits, outputs\n")
    assert lineage.code_of("lifters/plugins_for_test.one") != before


def test_reasons_that_differ_in_numbers_and_names_are_one(tmp_path: Path):
    stage = standing.Stage("tracks")
    for n in range(3):
        stage.add("failed", f"folder/{n}", f"LiftError: folder/{n}: only {n}% of the points agree")
    stage.add("failed", "folder/x", "LiftError: nobody is in view")
    assert [(one["count"], one["example"]) for one in stage.record(1)["why"]["failed"]] == [(3, "folder/0"), (1, "folder/x")]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, "it has no plan.json"),
        ("{", "cannot be read"),
        ("[]", "expected a plan of format"),
        ('{"format": "x"}', "expected a plan of format"),
    ],
)
def test_a_folder_without_a_plan_says_so(tmp_path: Path, content: str | None, line: str, capsys: pytest.CaptureFixture[str]):
    if content is not None:
        (tmp_path / plans.FILE).write_text(content)
    assert cli.main(["status", str(tmp_path)]) == 2
    assert line in capsys.readouterr().err


def test_a_plan_comes_back(tmp_path: Path):
    plan = pipeline.Plan((("synthetic", "5"), ("sample", None)), "monocular", recipe.load(seed=3), tmp_path, 4, {"a": "b"})
    plans.remember(plan, "default", {"seed": 3}, 6)
    assert plans.recall(tmp_path) == (plan, 6)


def test_a_failure_comes_back_as_the_class_it_was(tmp_path: Path):
    from builder import store

    with pytest.raises(LiftError, match="nobody"):
        lifting._again(store.Work(tmp_path), {"status": "failed", "error": {"class": "LiftError", "line": "nobody"}})
