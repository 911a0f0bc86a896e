"""A model before the questions: everything is asked once, nothing is lost, and the scores say what was and was not answered."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from packaged import TEST

from builder import cli, evaluate, export, plugins, prompts, rows, runs, watching
from builder.evaluate import Plan
from builder.types import CATEGORIES, BuildError, DataError, HumanMoveError, PluginError, SetupError, StoreError, VideoError
from builder.watching import Prompt, Reply, Watch

DATA = rows.read(str(rows.SAMPLE))


def quiet(*args: Any) -> None:
    """No progress, no words."""


def asked(plan: Plan, out: Path, data: rows.Rows = DATA) -> dict[str, Any]:
    """The results of a run."""
    plan = plan if plan.train else replace(plan, train=lambda: rows.read(str(rows.SAMPLE), "all", "train"))
    return runs.write_results(evaluate.evaluate(data, plan, out, quiet, quiet))


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Makes a plugin out of a function (watch, prompts) -> replies and gives its name."""

    def make(answer: Any, sees: str = "video", **about: Any) -> str:
        module = type(sys)("theirs.model")
        module.ABOUT = {"title": "a test's model", "sees": sees, **about}  # type: ignore[attr-defined]
        module.load = lambda checkpoint=None: answer  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "theirs", type(sys)("theirs"))
        monkeypatch.setitem(sys.modules, "theirs.model", module)
        return "theirs.model"

    return make


def first(watch: Watch, prompts_: Sequence[Prompt]) -> Iterator[Reply]:
    for prompt in prompts_:
        yield prompt.reply("A")


def test_the_track_answers_everything_about_itself(tmp_path: Path):
    found = asked(Plan("geometry"), tmp_path / "run")
    assert found["score_macro"] == found["score_micro"] == 100.0
    assert found["n"] == found["expected"] == len(DATA.items)
    assert found["mode"] == "track"


def test_the_blind_row_is_the_build_s_own_blind_score(tmp_path: Path):
    info = json.loads((rows.SAMPLE / export.INFO).read_text())
    for solver in ("priors", "second"):
        found = asked(Plan("blind", solver), tmp_path / solver)
        built = info["blind"][solver]["synthetic"]["by_category"]
        assert {c: cell["score"] for c, cell in found["by_category"].items()} == {c: cell["score"] for c, cell in built.items()}
        assert found["score_macro"] == pytest.approx(info["blind"][solver]["synthetic"]["mean"]["score"], abs=0.02)


def test_guessing_is_zero_within_its_interval(tmp_path: Path):
    data = replace(DATA, items=tuple(i for split in ("train", "test") for i in rows.read(str(rows.SAMPLE), "all", split).items))
    for seed in ("0", "1", "2"):
        low, high = asked(Plan("chance", options={"seed": seed}), tmp_path / seed, data)["interval"]
        assert low < 0 < high


def test_a_constant_letter_and_the_majority(tmp_path: Path):
    found = asked(Plan("constant", "b"), tmp_path / "b")
    right = np.mean([i.question.answer == 1 for i in DATA.items])
    assert found["accuracy"] == pytest.approx(100 * right, abs=0.01)
    train = rows.read(str(rows.SAMPLE), "all", "train").items
    counts = Counter((i.question.template, i.question.answer_text) for i in train)
    asked(Plan("majority"), tmp_path / "m")
    for sample in runs.read_samples(tmp_path / "m" / runs.SAMPLES):
        q = next(i.question for i in DATA.items if i.question.id == sample["question_id"])
        best = max(counts[q.template, o] for o in q.options)
        assert counts[q.template, q.options[sample["choice"]]] == best


def test_a_model_is_shown_each_clip_once_with_all_its_questions(tmp_path: Path, model: Callable[..., str]):
    shown: list[tuple[str, int]] = []

    def answer(watch: Watch, asked: Sequence[Prompt]) -> Iterator[Reply]:
        assert watch.frames is not None
        assert watch.frames.shape[0] == 5
        shown.append((watch.video_id, len(asked)))
        yield from reversed(list(first(watch, asked)))  # any order will do

    found = asked(Plan(model(answer), frames=5, pixels=4000), tmp_path / "run")
    assert Counter(dict(shown)) == Counter(i.video_id for i in DATA.items)
    assert len(shown) == len(dict(shown))
    assert found["n"] == len(DATA.items)
    speed = json.loads((tmp_path / "run" / runs.SPEED).read_text())
    assert speed[0]["answers"] == len(DATA.items)
    assert speed[0]["decode_s"] > 0
    assert 0 <= speed[0]["waiting_for_frames_share"] <= 1


def test_no_model_can_see_the_answer(tmp_path: Path, model: Callable[..., str]):
    def answer(watch: Watch, asked: Sequence[Prompt]) -> Iterator[Reply]:
        for prompt in asked:
            assert (prompt.question.answer, prompt.question.evidence) == (-1, {})
            yield prompt.reply("A")

    asked(Plan(model(answer), mode="blind"), tmp_path / "run")


@pytest.mark.parametrize("mode", watching.MODES)
def test_every_mode_shows_what_it_says(tmp_path: Path, model: Callable[..., str], mode: str):
    counts = {"video": 4, "shuffled": 4, "reversed": 4, "first-frame": 1}

    def answer(watch: Watch, asked: Sequence[Prompt]) -> Iterator[Reply]:
        assert (0 if watch.frames is None else len(watch.frames)) == counts.get(mode, 0)
        for prompt in asked:
            assert ("Twice a second" in prompt.text) == (mode == "track-text")
            assert prompt.text.endswith(prompts.render(prompt.question.text, prompt.options))
            yield prompt.reply("B")

    found = asked(Plan(model(answer), mode=mode, frames=4, pixels=4000, limit=2), tmp_path / "run")
    assert (found["n"], found["mode"]) == (2, mode)


def test_the_track_in_words_tells_where_the_person_is():
    (clip,) = [c for c in plugins.load("sources", "sample").clips() if c.sequence == "backing_away"]
    (track,) = plugins.load("sources", "sample").reference(clip)
    lines = evaluate.track_text(track).splitlines()
    assert lines[0].startswith("The video lasts 8.")
    assert lines[1] == "0.0: +0.00 +0.00 +0.00 +0" or lines[1].startswith("0.0: ")
    assert min(float(line.split()[2]) for line in lines[1:]) < -1.0  # metres in front of the start: they back away


def test_rotations_are_asked_and_read_back(tmp_path: Path, model: Callable[..., str]):
    def answer(watch: Watch, asked: Sequence[Prompt]) -> Iterator[Reply]:
        for prompt in asked:
            yield prompt.reply(sorted(prompt.options)[0])  # an opinion about texts, not places

    found = asked(Plan(model(answer), mode="blind", circular=True, limit=10), tmp_path / "run")
    samples = runs.read_samples(tmp_path / "run" / runs.SAMPLES)
    assert len(samples) == sum(s["num_options"] for s in samples if s["rotation"] == 0)
    for sample in samples:
        assert sample["options"][sample["choice"]] == sorted(sample["options"])[0]
    assert found["circular"]["all_right"] == found["accuracy"]
    assert found["circular"]["questions"] == found["n"] == 10


def test_shards_give_the_same_results_as_one_run(tmp_path: Path):
    whole = asked(Plan("chance"), tmp_path / "whole")
    for i in (3, 1, 2):
        found = asked(Plan("chance", shard=(i, 3)), tmp_path / "parts")
        asked(Plan("chance", shard=(i, 3)), tmp_path / f"machine{i}")
    assert found == whole
    texts = [(tmp_path / name / runs.RESULTS).read_bytes() for name in ("whole", "parts")]
    assert texts[0] == texts[1]
    (merged,) = runs.read([tmp_path / f"machine{i}" for i in (1, 2, 3)])
    assert runs.results(merged) == whole


def test_a_limit_is_the_beginning_of_the_whole(tmp_path: Path):
    few = asked(Plan("chance", limit=10), tmp_path / "run")
    assert (few["n"], few["expected"]) == (10, len(DATA.items))
    assert sum(few["unanswered"].values()) == len(DATA.items) - 10
    before = (tmp_path / "run" / runs.SAMPLES).read_bytes()
    assert asked(Plan("chance"), tmp_path / "run")["n"] == len(DATA.items)
    assert (tmp_path / "run" / runs.SAMPLES).read_bytes().startswith(before)


def test_a_run_killed_at_any_moment_ends_as_an_undisturbed_one(tmp_path: Path, model: Callable[..., str]):
    """Twenty times SIGKILL, each at a random moment, by a process of its own."""
    log = tmp_path / "asked.log"

    def answer(watch: Watch, asked: Sequence[Prompt]) -> Iterator[Reply]:
        for prompt in asked:
            with open(log, "a") as f:
                f.write(f"{prompt.key}\n")
            time.sleep(0.004)
            yield prompt.reply(prompts.target(len(prompt.text) % len(prompt.options)))

    plan = Plan(model(answer, sees="text"))
    undisturbed = asked(plan, tmp_path / "undisturbed")
    log.unlink()
    rng = random.Random(7)
    killed = 0
    for _ in range(20):
        child = os.fork()
        if child == 0:
            try:
                asked(plan, tmp_path / "run")
            finally:
                os._exit(0)
        time.sleep(rng.uniform(0.0, 0.12))
        os.kill(child, signal.SIGKILL)
        killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert killed >= 10
    partly = len(runs.read_samples(tmp_path / "run" / runs.SAMPLES)) if (tmp_path / "run" / runs.SAMPLES).exists() else 0
    assert partly > 0, "no answer was given before a kill; the test shows nothing"
    assert asked(plan, tmp_path / "run") == undisturbed
    for name in (runs.RESULTS, runs.TABLE):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()
    times = Counter(log.read_text().split())
    assert set(times) == {i.question.id for i in DATA.items}
    assert sum(times.values()) - len(times) <= killed, "a kill cost more than the one answer that was under way"
    samples = [s["question_id"] for s in runs.read_samples(tmp_path / "run" / runs.SAMPLES)]
    assert len(samples) == len(set(samples)) == len(DATA.items)


def test_an_error_midway_keeps_what_was_answered(tmp_path: Path, model: Callable[..., str]):
    def answer(watch: Watch, asked: Sequence[Prompt]) -> Iterator[Reply]:
        for n, prompt in enumerate(asked):
            if n == 7:
                raise VideoError("enough")
            yield prompt.reply("A")

    with pytest.raises(VideoError):
        asked(Plan(model(answer, sees="text")), tmp_path / "run")
    assert len(runs.read_samples(tmp_path / "run" / runs.SAMPLES)) == 7
    assert asked(Plan(model(first, sees="text")), tmp_path / "run")["n"] == len(DATA.items)


def test_replies_can_be_scored_again_without_their_model(tmp_path: Path, model: Callable[..., str]):
    def answer(watch: Watch, asked: Sequence[Prompt]) -> Iterator[Reply]:
        for n, prompt in enumerate(asked):
            yield prompt.reply(f"I say {prompts.LETTERS[n % 2]}." if n % 3 else "hm", "length" if n % 3 == 0 else "stop")

    once = asked(Plan(model(answer, sees="text")), tmp_path / "run")
    again = asked(Plan("replay", str(tmp_path / "run")), tmp_path / "again")
    kept = ("score_macro", "interval", "by_category", "invalid_rate", "finish", "score_valid_only")
    assert {k: once[k] for k in kept} == {k: again[k] for k in kept}
    assert once["invalid_rate"] > 30
    foreign = tmp_path / "theirs.jsonl"
    foreign.write_text("".join(json.dumps({"id": i.question.id, "response": "Answer: A"}) + "\n" for i in DATA.items[:9]))
    found = asked(Plan("replay", str(foreign)), tmp_path / "foreign")
    assert (found["n"], found["invalid_rate"]) == (9, 0.0)
    assert f"{TEST - 9} of {TEST}" in (tmp_path / "foreign" / runs.TABLE).read_text()


def test_a_person_at_the_terminal_is_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    import io

    typed = io.StringIO("b\nwhat?\n?\nA\n")
    monkeypatch.setattr(sys, "stdin", typed)
    with pytest.raises(KeyboardInterrupt):
        asked(Plan("human", "ann"), tmp_path / "run")
    samples = runs.read_samples(tmp_path / "run" / runs.SAMPLES)
    assert [s["choice"] for s in samples] == [1, None, 0]
    said = capsys.readouterr().out
    assert "clips/" in said
    assert "a letter from A to" in said
    monkeypatch.setattr(sys, "stdin", io.StringIO("A\n" * 200))
    assert asked(Plan("human", "ann"), tmp_path / "run")["n"] == len(DATA.items)


def test_a_quiz_elsewhere_becomes_a_run(tmp_path: Path):
    plan, shown = Plan("human", "bo"), watching.Shown("file")
    identity = evaluate.identity(plan, shown, DATA, first)
    about = {"title": "human bo", "about": "A person's answers"}
    choices = [(item, item.question.answer if n % 2 else None, 1.5) for n, item in enumerate(DATA.items)]
    run = runs.keep_choices(tmp_path / "quiz", identity, about, choices)
    found = runs.results(run)
    assert found["invalid_rate"] == pytest.approx(100 * np.mean([n % 2 == 0 for n in range(len(choices))]), abs=0.01)
    assert found["score_valid_only"] == 100.0


# what goes wrong


def test_missing_and_broken_videos_are_listed_before_the_model_loads(tmp_path: Path, model: Callable[..., str]):
    clip = Path(watching.__file__).parent / "clips" / "jumps.mp4"
    items = tuple(replace(i, source="emdb") for i in DATA.items)
    (tmp_path / "videos").mkdir()
    names = sorted({i.video_path for i in items})
    for name, data in zip(names, (clip.read_bytes(), b"no video at all"), strict=False):
        (tmp_path / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "videos" / name).write_bytes(data)
    data = replace(DATA, items=items)
    loaded = []

    def load(watch: Watch, asked: Sequence[Prompt]) -> Iterator[Reply]:
        loaded.append(watch)
        yield from first(watch, asked)

    name = model(load)
    plan = Plan(name, frames=2, pixels=2000, videos=tmp_path / "videos")
    with pytest.raises(DataError) as caught:
        asked(plan, tmp_path / "run", data)
    text = str(caught.value)
    assert "2 of 3 videos" in text
    assert names[1] in text
    assert names[2] in text
    assert "--missing skip" in text
    assert "\n" not in text
    assert not loaded
    assert not (tmp_path / "run").exists()
    found = asked(replace(plan, skip_missing=True), tmp_path / "run", data)
    assert len(loaded) == 1
    there = sum(i.video_path == names[0] for i in items)
    assert (found["n"], found["expected"]) == (there, len(items))
    assert len(found["unanswered"]) == 2
    assert "have no answer" in (tmp_path / "run" / runs.TABLE).read_text()
    with pytest.raises(DataError, match="3 of 3 videos"):
        asked(replace(plan, skip_missing=True, videos=tmp_path / "nowhere"), tmp_path / "run2", data)


def test_a_video_that_breaks_midway_stops_the_run_or_is_left_out(
    tmp_path: Path, model: Callable[..., str], monkeypatch: pytest.MonkeyPatch
):
    real = watching.look

    def look(video_id: str, *more: Any) -> Watch:
        if video_id == "sample/loop":
            raise VideoError("loop.mp4: after 3.00 s a frame is damaged")
        return real(video_id, *more)

    monkeypatch.setattr(watching, "look", look)
    plan = Plan(model(first), frames=2, pixels=2000)
    with pytest.raises(VideoError, match="damaged"):
        asked(plan, tmp_path / "run")
    found = asked(replace(plan, skip_missing=True), tmp_path / "run")
    assert list(found["unanswered"]) == ["sample/loop"]


def test_another_run_s_folder_is_left_alone(tmp_path: Path):
    asked(Plan("chance"), tmp_path / "run")
    before = (tmp_path / "run" / runs.SAMPLES).read_bytes()
    with pytest.raises(StoreError, match=r"holds another run: options differ .*pass another --out"):
        asked(Plan("chance", options={"seed": "5"}), tmp_path / "run")
    with pytest.raises(StoreError, match="data"):
        asked(Plan("chance"), tmp_path / "run", replace(DATA, fingerprint="0"))
    assert (tmp_path / "run" / runs.SAMPLES).read_bytes() == before


def test_two_processes_do_not_write_one_run(tmp_path: Path, model: Callable[..., str]):
    def answer(watch: Watch, prompts_: Sequence[Prompt]) -> Iterator[Reply]:
        with pytest.raises(StoreError, match="another process"), runs.appending(tmp_path / "run" / runs.SAMPLES):
            pass
        yield from first(watch, prompts_)

    asked(Plan(model(answer, sees="text"), limit=3), tmp_path / "run")


def test_torn_and_foreign_lines(tmp_path: Path):
    asked(Plan("chance", limit=5), tmp_path / "run")
    path = tmp_path / "run" / runs.SAMPLES
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    assert len(runs.read_samples(path)) == 4
    assert asked(Plan("chance", limit=5), tmp_path / "run")["n"] == 5
    assert sorted(path.read_bytes().splitlines(), key=len)[0].startswith(b'{"question_id"')
    path.write_bytes(b"not json\n" + whole)
    with pytest.raises(DataError, match=r"samples.jsonl, line 1"):
        runs.read([tmp_path / "run"])


@pytest.mark.parametrize(
    ("plan", "error", "says"),
    [
        (Plan("nosuch"), PluginError, "no plugin 'nosuch'"),
        (Plan("chance", mode="blind"), BuildError, "would change nothing"),
        (Plan("qwen3_vl", mode="backwards"), BuildError, "expected one of video, blind"),
        (Plan("chance", options={"sed": "1"}), SetupError, "it takes --option of seed"),
        (Plan("constant", "Z"), SetupError, "expected a letter"),
        (Plan("blind", "nosuch"), SetupError, "expected one of priors, second"),
        (Plan("replay"), DataError, "expected replay=RUN"),
        (Plan("replay", "nowhere.jsonl"), DataError, "cannot be read"),
        (Plan("chance", max_cost=1.0), BuildError, "knows no prices"),
        (Plan("qwen3_vl"), SetupError, "expected a checkpoint"),
        (Plan("openai_api"), SetupError, "expected the server's name"),
        (Plan("transformers_vlm"), SetupError, "expected a checkpoint"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, plan: Plan, error: type[HumanMoveError], says: str):
    with pytest.raises(error) as caught:
        asked(plan, tmp_path / "run")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_plugin_that_breaks_the_contract_is_told(tmp_path: Path, model: Callable[..., str]):
    def twice(watch: Watch, prompts_: Sequence[Prompt]) -> Iterator[Reply]:
        yield prompts_[0].reply("A")
        yield prompts_[0].reply("B")

    with pytest.raises(PluginError, match="not asked or has answered"):
        asked(Plan(model(twice, sees="text")), tmp_path / "run")
    with pytest.raises(PluginError, match="expected one of video"):
        asked(Plan(model(first, sees="everything")), tmp_path / "run2")


def test_nothing_is_learnt_from_what_is_asked(tmp_path: Path):
    for train in (None, lambda: DATA):
        with pytest.raises(DataError, match="has none apart from what is asked"):
            evaluate.evaluate(DATA, Plan("blind", train=train), tmp_path / "run", quiet, quiet)


def test_tracks_must_come_from_somewhere(tmp_path: Path):
    items = tuple(replace(i, source="emdb") for i in DATA.items)
    with pytest.raises(DataError, match="--source"):
        asked(Plan("geometry"), tmp_path / "a", replace(DATA, items=items))
    with pytest.raises(DataError, match="are in none of the sources"):
        asked(Plan("geometry", sources=(("synthetic", "3"),)), tmp_path / "b", replace(DATA, items=items))


# the verbs


def test_the_verbs_from_model_to_table_and_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HUMANMOVEVQA_REPO", raising=False)
    for name in ("geometry", "chance"):
        assert cli.main(["evaluate", "--model", name, "--quiet", "--out", f"runs/{name}"]) == 0
    said = capsys.readouterr().out
    assert "| geometry | The question's own program on the track; no video model | 100.0 [100.0, 100.0] |" in said
    assert cli.main(["score", "runs/geometry", "runs/chance", "--published"]) == 0
    said = capsys.readouterr().out
    assert "| Gemini-3-Flash | published" in said
    assert said.index("| geometry |") < said.index("| chance |") < said.index("published")
    assert (tmp_path / "scores" / "categories.svg").read_text().startswith("<svg")
    assert json.loads((tmp_path / "scores" / "scores.json").read_text())["runs"][0]["title"] == "geometry"
    assert cli.main(["compare", "runs/chance", "runs/geometry"]) == 0
    assert "geometry is ahead in 100.0 % of the draws" in capsys.readouterr().out
    assert cli.main(["compare", "runs/chance", "runs/nosuch"]) == 2
    assert "expected a run folder" in capsys.readouterr().err
    assert cli.main(["evaluate", "--model", "chance", "--shard", "3/2"]) == 2
    assert "expected I/N" in capsys.readouterr().err


def test_every_category_is_asked():
    assert {i.question.category for i in DATA.items} == set(CATEGORIES)
