"""From clips to tracks: lifted once, asked again; refusals remembered, missing set-up not; videos of one's own become clips."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from builder import cli, lifting, pipeline, plugins, recipe
from builder.performer import Turn, Wait, Walk, perform
from builder.types import Clip, LiftError, SetupError, SourceError

# A lifter of somebody else's: how often it ran is in a file, what it does is in the name of the video.
LIFTER = """
from dataclasses import replace
from pathlib import Path
from builder.performer import Turn, Wait, Walk, perform
from builder.types import LiftError, SetupError

ABOUT = {"title": "stand-in", "licence": "none"}

def load(count, extra="0"):
    def lift(clip):
        with open(count, "a") as f:
            f.write(clip.clip_id + "\\n")
        name = clip.video.stem
        if name == "nobody":
            raise LiftError("nobody is in view")
        if name == "unready":
            raise SetupError("weights are missing")
        track = perform([Walk(3.0), Turn(100.0), Wait(1.0), Walk(2.0, 90.0), Turn(-60.0), Walk(1.5)], seed=name, clip_id=clip.clip_id)
        track = replace(track, lifter="standin")
        if name == "doubtful":
            return [replace(track, provenance={"verdict": "refuse", "reasons": ["the floor is upside down"]})]
        if name == "pair":
            return [replace(track, person_id=p, referent=f"the person on the {p}") for p in ("right", "left")]
        if name == "crowd":
            return [replace(track, person_id=str(n)) for n in range(2)]
        if name == "fast":
            return [replace(track, frame_ids=track.frame_ids * 2)]
        return [track]
    return lift
"""


@pytest.fixture
def standin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Callable[[], list[str]]]]:
    """The lifter's dotted path, and the clips it has seen so far."""
    package = tmp_path / "standins_for_test"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "lifter.py").write_text(LIFTER)
    monkeypatch.syspath_prepend(tmp_path)
    count = tmp_path / "count"
    count.touch()
    yield "standins_for_test.lifter", lambda: count.read_text().splitlines()
    lifting._loaded.cache_clear()
    for name in [name for name in sys.modules if name.startswith(package.name)]:
        del sys.modules[name]


def videos(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return folder


def plan_of(folder: Path, lifter: str, tmp_path: Path, **changes: object) -> pipeline.Plan:
    options = {"count": str(tmp_path / "count")}
    return replace(pipeline.Plan((("folder", str(folder)),), lifter, recipe.load(), tmp_path / "work", options=options), **changes)  # type: ignore[arg-type]


def built(plan: pipeline.Plan) -> tuple[list[pipeline.Asked], list[dict[str, str]]]:
    clips = pipeline.clips_of(plan)
    pipeline.process(clips, plan, 1, lambda *_: None)
    people, skipped, missing = pipeline.gather(clips, plan)
    assert missing == []
    return people, skipped


def test_videos_of_a_folder_are_clips(tmp_path: Path):
    source = plugins.load("sources", "folder")
    videos(tmp_path, "b.mp4", "a/deep.MOV", ".hidden.mp4", "notes.txt")
    (tmp_path / "groups.json").write_text(json.dumps({"b": "anna"}))
    found = list(source.clips(tmp_path))
    assert [(c.clip_id, c.group, c.redistribution) for c in found] == [
        ("folder/a/deep", "a/deep", "qa_only"),
        ("folder/b", "anna", "qa_only"),
    ]
    (alone,) = source.clips(tmp_path / "b.mp4")
    assert (alone.clip_id, alone.video) == ("folder/b", tmp_path / "b.mp4")
    videos(tmp_path, "b.mkv")
    with pytest.raises(SourceError, match=r"b\.mkv and b\.mp4 have the same name"):
        source.clips(tmp_path)
    for root, message in ((None, "none was given"), (tmp_path / "no", "it does not exist"), (tmp_path / "a" / "x", "it does not exist")):
        with pytest.raises(SourceError, match=message):
            source.clips(root)


def test_another_recipe_asks_again_and_lifts_nothing(tmp_path: Path, standin: tuple[str, Callable[[], list[str]]]):
    lifter, seen = standin
    folder = videos(tmp_path / "videos", "one.mp4", "two.mp4", "nobody.mp4")
    first, skipped = built(plan_of(folder, lifter, tmp_path))
    assert seen() == ["folder/nobody", "folder/one", "folder/two"]
    assert {p.track["lifter"] for p in first} == {"standin"}
    assert skipped == [{"clip_id": "folder/nobody", "reason": "nobody is in view"}]
    again, _ = built(plan_of(folder, lifter, tmp_path, recipe=recipe.load(seed=9)))
    assert len(again) == 2
    assert len(seen()) == 3, "lifted again for another recipe"
    videos(folder, "one.mp4").joinpath("one.mp4").write_bytes(b"another video")
    built(plan_of(folder, lifter, tmp_path))
    assert seen()[3:] == ["folder/one"], "a changed video lifts itself again, and only itself"
    options = {"count": str(tmp_path / "count"), "extra": "1"}
    built(plan_of(folder, lifter, tmp_path, options=options))
    assert len(seen()) == 7, "other options are another lifter"


def test_lifted_tracks_come_back_as_they_were(tmp_path: Path, standin: tuple[str, Callable[[], list[str]]]):
    lifter, seen = standin
    (clip,) = plugins.load("sources", "folder").clips(videos(tmp_path / "v", "pair.mp4"))
    options = {"count": str(tmp_path / "count")}
    first, second = (lifting.lifted(clip, lifter, options, tmp_path / "work") for _ in range(2))
    assert [t.person_id for t in first] == [t.person_id for t in second] == ["left", "right"]
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.position_m, b.position_m)
        assert (a.referent, a.provenance["seed"]) == (b.referent, b.provenance["seed"])
    assert len(seen()) == 1
    next((tmp_path / "work" / lifting.STAGE).glob("*.json")).write_text("{damaged")
    assert len(lifting.lifted(clip, lifter, options, tmp_path / "work")) == 2
    assert len(seen()) == 2


def test_who_cannot_be_named_or_trusted_is_not_asked_about(tmp_path: Path, standin: tuple[str, Callable[[], list[str]]]):
    folder = videos(tmp_path / "videos", "pair.mp4", "crowd.mp4", "doubtful.mp4", "fast.mp4")
    people, skipped = built(plan_of(folder, standin[0], tmp_path))
    assert sorted((p.clip.clip_id, p.track["person"]) for p in people) == [
        ("folder/fast", "0"),
        ("folder/pair", "left"),
        ("folder/pair", "right"),
    ]
    reasons = {s["clip_id"]: s["reason"] for s in skipped}
    assert "not to be trusted: the floor is upside down" in reasons["folder/doubtful"]
    assert "nothing that singles this one out" in reasons["folder/crowd"]
    for p in people:
        if p.clip.clip_id == "folder/pair":
            assert all(p.track["referent"] in q.text.lower() for q in p.questions)
        else:
            assert (p.clip.fps, p.clip.end_frame % 2) == (60.0, 1), "every second frame of a video of 60 per second"


def test_what_the_machine_lacks_stops_the_build_and_is_tried_again(tmp_path: Path, standin: tuple[str, Callable[[], list[str]]]):
    folder = videos(tmp_path / "videos", "unready.mp4")
    for attempt in (1, 2):
        with pytest.raises(SetupError, match="weights are missing"):
            built(plan_of(folder, standin[0], tmp_path))
        assert len(standin[1]()) == attempt


def test_an_option_that_the_lifter_has_not_is_said(tmp_path: Path, standin: tuple[str, Callable[[], list[str]]]):
    with pytest.raises(SetupError, match="unexpected keyword argument 'nosuch'"):
        lifting.load(standin[0], {"count": "x", "nosuch": "1"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lift", "nowhere.mp4"], r"nowhere\.mp4: expected a video file, found nothing"),
        (["lift", "."], r"\.: expected a video file, found something else"),
        (["build", "--option", "focal"], r"--option focal: expected KEY=VALUE"),
        (["validate", "--source", "nope"], r"no plugin 'nope' in sources"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(message, line), line


def test_facts_of_a_track_are_a_sentence():
    from builder.motion import describe

    track = replace(perform([Wait(1.0), Walk(2.0), Turn(90.0), Wait(1.0)], seed=1), provenance={"verdict": "warn", "reasons": ["dark"]})
    known = lifting.facts(track, describe(track, recipe.load()))
    assert json.loads(json.dumps(known)) == known
    assert {e["what"] for e in known["events"]} >= {"forward", "turn_left"}
    text = lifting.sentence(known)
    assert text.startswith("warn (dark): person 0: ended 2.0 m forward")
    assert "degrees to the left" in text


def test_a_source_that_can_film_is_asked_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Only when a lifter has to see the clip, and into the work folder."""

    class Source:
        ABOUT: dict[str, str] = {}  # noqa: RUF012

        @staticmethod
        def film(clip: Clip, folder: Path) -> Clip:
            return replace(clip, video=folder / "made.mp4")

    clip = Clip("s/1", "s", "1", 30.0, 0, 10, 10, "1", "open", width=64, height=48)
    monkeypatch.setattr(lifting.plugins, "load", lambda package, name, needs=(): Source)
    filmed = lifting.seen(clip, tmp_path)
    assert filmed.video is not None
    assert filmed.video.is_relative_to(tmp_path / lifting.VIDEOS)
    assert lifting.seen(filmed, tmp_path) is filmed


def test_refusal_is_an_error_again_when_remembered(tmp_path: Path, standin: tuple[str, Callable[[], list[str]]]):
    (clip,) = plugins.load("sources", "folder").clips(videos(tmp_path / "v", "nobody.mp4"))
    for _ in range(2):
        with pytest.raises(LiftError, match="nobody is in view"):
            lifting.lifted(clip, standin[0], {"count": str(tmp_path / "count")}, tmp_path / "work")
    assert len(standin[1]()) == 1


def test_a_video_that_is_none_is_skipped_and_its_place_not_published(
    tmp_path: Path, standin: tuple[str, Callable[[], list[str]]], capsys: pytest.CaptureFixture[str]
):
    folder = videos(tmp_path / "videos", "one.mp4", "junk.mp4")
    source = LIFTER.replace('if name == "nobody":', 'if name == "junk":').replace('"nobody is in view"', 'f"{clip.video}: not a video"')
    (tmp_path / "standins_for_test" / "lifter.py").write_text(source)
    options = [
        "--lifter",
        standin[0],
        "--option",
        f"count={tmp_path / 'count'}",
        "--work",
        str(tmp_path / "work"),
        "--out",
        str(tmp_path / "out"),
    ]
    assert cli.main(["build", "--source", f"folder={folder}", "--workers", "1", "--no-report", *options]) == 0
    assert "skipped folder/junk: junk.mp4: not a video" in capsys.readouterr().err
    info = (tmp_path / "out" / "build_info.json").read_text()
    assert "junk.mp4: not a video" in info
    assert str(tmp_path) not in info
