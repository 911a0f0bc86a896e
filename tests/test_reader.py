"""The track reader: what it is told of a track, words, its file, and that it can learn; the packaged weights if there are any."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partialmethod
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builder import cli, evaluate, geometry, motion, plugins, reader, recipe, rows, selection, told, watching, wordings
from builder.performer import cast_clips, cast_reference
from builder.quantities import Measures
from builder.train import exam, lessons
from builder.train import reader as training
from builder.train.tutor import Halves, Programs, tutoring
from builder.types import DataError, Motion, Question, SourceError, StoreError

torch = pytest.importorskip("torch")
RECIPE = recipe.load("default")
TINY = {"width": 24, "heads": 2, "readers": 1, "listeners": 1, "askers": 2, "gist": 2, "inner": 24, "small": 16, "slots": 2}


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> lessons.Lessons:
    """Three people as a training writes and reads them."""
    return lessons.lessons(lessons.CAST, 3, tmp_path_factory.mktemp("work"), 1, lambda *done: None)


@pytest.fixture(scope="module")
def people() -> list[tuple[Motion, list[Question]]]:
    known = lessons.learning_recipe()
    return [selection.questions_of(cast_reference(clip)[0], known) for clip in cast_clips("synthetic", "reader-test", 2)]


@pytest.fixture(scope="module")
def small(people: list[tuple[Motion, list[Question]]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of fresh weights of a small shape."""
    words = reader.Words.of([t for _, questions in people for q in questions for t in (q.text, *q.options)])
    torch.manual_seed(0)
    shape = reader.Shape(len(words.known), **TINY)
    path = tmp_path_factory.mktemp("reader") / training.WEIGHTS
    reader.save(path, reader.network(shape), shape, words, {"people": 0, "steps": 0})
    return path


def tables(described: Motion) -> told.Told:
    return told.told(described, RECIPE)


def test_what_is_told_follows_the_motion(people: list[tuple[Motion, list[Question]]]):
    for described, _ in people:
        found = tables(described)
        for name, table, rows_, columns in zip(told.TABLES, found, told.ROWS, told.COLUMNS, strict=True):
            assert table.shape == (min(len(described.events), rows_) if name == "movements" else rows_, columns)
            assert np.isfinite(table).all()
        sums, _, _, moves, stretches = found
        m = Measures(described, RECIPE)
        for k, kind in enumerate(told.KINDS):
            for n, window in enumerate(told.WINDOWS):
                assert sums[k * len(told.WINDOWS) + n][:7].argmax() == min(6, m.count(kind, window))
        kinds = [told.KINDS[k] for k in moves[:, : len(told.KINDS)].argmax(1)]
        assert sorted(kinds) == sorted(e.direction for e in described.events)
        changes = stretches[:, 1].astype(float).sum() * told.SCALES["displacement_x"]
        assert changes == pytest.approx(described.path_m[-1, 0] - described.path_m[0, 0], abs=0.05)
        assert not any(t.any() for t in told.hidden(found))


def test_the_shortest_clip_can_be_told():
    (clip,) = cast_clips("synthetic", "reader-test", 1)
    track = geometry.crop(cast_reference(clip)[0], 0, 2)
    for table in told.told(motion.describe(track, RECIPE), RECIPE):
        assert np.isfinite(table).all()


def test_order_of_options_and_company_change_no_answer(small: Path, people: list[tuple[Motion, list[Question]]]):
    net, words, _ = reader.load(small)
    described, questions = people[0]
    asked = [(q.text, q.options) for q in questions[:12]]
    together = reader.choose(net, words, tables(described), asked)
    for (text, options), row in zip(asked, together, strict=True):
        (turned,) = reader.choose(net, words, tables(described), [(text, options[::-1])])
        assert turned[::-1] == pytest.approx(row, abs=2e-3)
        assert np.exp(row).sum() == pytest.approx(1.0, abs=1e-4)


def test_it_answers_through_the_harness_and_can_be_blinded(small: Path, people: list[tuple[Motion, list[Question]]]):
    module = plugins.load("models", "track_reader")
    (clip,) = cast_clips("synthetic", "reader-test", 1)
    (track,) = cast_reference(clip)
    _, questions = people[0]
    prompts = [evaluate.prompt(evaluate.Ask(rows.Item(q, "synthetic", clip.clip_id, "x"), 0)) for q in questions[:8]]
    watch = watching.Watch(clip.clip_id, tracks={track.person_id: track})
    replies = list(module.load(str(small))(watch, prompts))
    blind = list(module.load(str(small), blind="1")(watch, prompts))
    assert [r.key for r in replies] == [p.key for p in prompts]
    assert [r.scores for r in replies] != [r.scores for r in blind]
    assert all(r.finish == "error" for r in module.load(str(small))(watching.Watch("x"), prompts))


def test_a_file_that_is_none_of_ours_is_one_line(small: Path, tmp_path: Path):
    with pytest.raises(DataError, match="no track reader"):
        reader.load(tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(small.read_bytes()[:-50])
    with pytest.raises(DataError, match="not a file of this version"):
        reader.load(tmp_path / "bad.safetensors")


def test_lessons_are_what_was_made_and_hold_in_every_view(learnt: lessons.Lessons):
    assert learnt.count.shape == (3, 1 + lessons.VIEWS)
    known = lessons.learning_recipe()
    (_, track), *_ = lessons.tracks(lessons.CAST, 0, 1)
    own = {q.id: q for q in selection.questions_of(track, known)[1]}
    asked = [q for q, person in zip(learnt.questions, learnt.person, strict=True) if person == 0]
    assert asked
    for q in asked:
        assert (q.text, q.options, q.answer) == (own[q.id].text, own[q.id].options, own[q.id].answer)
    for view, seen in enumerate(lessons.views_of(track, known)):
        for stored, table in zip(learnt.tables, told.told(seen, RECIPE), strict=True):
            assert (stored[0, view][: len(table)] == table).all()


def test_a_source_may_have_fewer_people_than_are_asked_for(tmp_path: Path):
    found = lessons.lessons("synthetic=2@5", lessons.CHUNK + 1, tmp_path, 1, lambda *done: None)
    assert len(found.count) == 2
    (tmp_path / "none").mkdir()
    with pytest.raises(SourceError, match=r"tracks=.*none"):
        lessons.lessons(f"tracks={tmp_path / 'none'}", 3, tmp_path, 1, lambda *done: None)


def test_a_damaged_chunk_is_one_line(tmp_path: Path):
    job = lessons.Job(lessons.CAST, 0, 1, tmp_path)
    lessons.make(job)
    job.path.with_suffix(".npz").write_bytes(b"none")
    with pytest.raises(StoreError, match="delete it"):
        lessons.read(job)


def test_a_track_known_from_few_moments_loses_what_lies_between(people: list[tuple[Motion, list[Question]]]):
    (clip,) = cast_clips("synthetic", "reader-test", 1)
    sampled = motion.sample(cast_reference(clip)[0], RECIPE)
    every = lessons.thinned(sampled, len(sampled.heading_deg))
    assert np.allclose(every.position_m, sampled.position_m)
    few = lessons.thinned(sampled, 3)
    middle = (len(sampled.heading_deg) - 1) / 2
    assert np.allclose(few.position_m[[0, -1]], sampled.position_m[[0, -1]])
    assert np.abs(np.diff(few.heading_deg[: int(middle)], 2)).max() < 1e-9


def test_programs_name_the_rows_that_questions_are_about(learnt: lessons.Lessons):
    programs = Programs.of(learnt.questions)
    for k, q in enumerate(learnt.questions):
        assert programs.marks[k, : programs.templates].sum() == 1
        if q.template == "count_turns":
            row = programs.cells[k, 0]
            assert told.KINDS[row // len(told.WINDOWS)] == q.quantity
            assert told.WINDOWS[row % len(told.WINDOWS)] == q.window
        if q.template == "first_onset":
            quarters = {"The first quarter": "q1", "The second quarter": "q2", "The third quarter": "q3", "The last quarter": "q4"}
            assert [told.WINDOWS[w] for w in programs.option_windows[k]] == [quarters[o] for o in q.options]


def test_two_halves_give_the_gradient_of_the_whole(learnt: lessons.Lessons):
    words = reader.Words.of([*learnt.texts, *learnt.phrases])
    batches = lessons.Batches(learnt, words, 0, people=2, asked=4)
    batch = next(iter(batches))
    shape = reader.Shape(len(words.known), **TINY)
    torch.manual_seed(0)
    net = reader.network(shape)
    tutor = tutoring(shape, batches.programs)
    with ThreadPoolExecutor(2) as threads:
        halves = Halves(net, tutor, threads)
        loss = halves.backward(batch)
    answered = [p.grad.clone() for p in net.score.parameters()]
    net.zero_grad()
    inputs, answers = batch[:5], batch[5]
    whole = torch.nn.functional.cross_entropy(net(*inputs).flatten(0, 1), answers.flatten())
    whole.backward()
    assert loss == pytest.approx(whole.item(), abs=1e-5)
    assert all(torch.allclose(a, p.grad, atol=1e-6) for a, p in zip(answered, net.score.parameters(), strict=True))


def test_a_training_that_is_stopped_goes_on_to_the_same_weights(learnt: lessons.Lessons, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reader.Shape, "__init__", partialmethod(reader.Shape.__init__, **TINY))
    plan = training.Plan(steps=20, rate=3e-3)

    @contextmanager
    def until(last: int) -> Iterator[Any]:
        def done(step: int, total: int, name: str) -> None:
            if step == last:
                raise KeyboardInterrupt

        yield done

    def fit(out: str, last: int = -1) -> bytes:
        return training.fit(learnt, None, plan, tmp_path / out, lambda title, total: until(last), lambda text: None).read_bytes()

    for out in ("whole", "stopped"):
        (tmp_path / out).mkdir()
    whole = fit("whole")
    with pytest.raises(KeyboardInterrupt):
        fit("stopped", 13)
    assert (tmp_path / "stopped" / training.CHECKPOINT).is_file()
    # CPU seconds differ between runs; everything else is the same
    nets = [reader.load(tmp_path / "whole" / training.WEIGHTS)[0].state_dict()]
    fit("stopped")
    nets.append(reader.load(tmp_path / "stopped" / training.WEIGHTS)[0].state_dict())
    assert all(torch.equal(nets[0][name], nets[1][name]) for name in nets[0])
    assert json.loads((tmp_path / "whole" / "curves.json").read_text()) == json.loads((tmp_path / "stopped" / "curves.json").read_text())
    assert fit("whole") == whole  # finished: nothing is trained again
    monkeypatch.setattr(wordings, "learnt", lambda: ["Never heard before?"])
    (tmp_path / "longer").mkdir()
    start = tmp_path / "whole" / training.WEIGHTS
    longer = training.fit(learnt, None, plan, tmp_path / "longer", lambda title, total: until(-1), lambda text: None, start)
    (_, old, _), (_, new, head) = reader.load(start), reader.load(longer)
    assert head["steps"] == 40
    assert new.known[: len(old.known)] == old.known
    assert {"never", "heard", "before"} <= set(new.known)


def test_it_learns_what_it_is_shown(people: list[tuple[Motion, list[Question]]]):
    """Two people's questions are learnt by heart; without their tracks, which tell them apart, they cannot be."""
    torch.manual_seed(0)
    texts = [t for _, questions in people for q in questions for t in (q.text, *q.options)]
    words = reader.Words.of(texts)
    ids = [{(q.text, frozenset(q.options)): q for q in questions} for _, questions in people]
    disputed = [key for key in ids[0] if key in ids[1] and ids[0][key].answer_text != ids[1][key].answer_text][:8]
    assert len(disputed) == 8
    asked = tuple(d[key] for d in ids for key in disputed)
    stacked, _ = reader.stacked([tables(m) for m, _ in people])
    known = lessons.Lessons(
        tuple(t.numpy().astype(np.float16)[:, None] for t in stacked),
        np.array([[len(m.events)] for m, _ in people]),
        ("a", "b"),
        asked,
        np.repeat([0, 1], 8),
    )
    net = reader.network(reader.Shape(len(words.known), **TINY | {"width": 32}))
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    with training.one_thread():
        for (*inputs, answers, _), _ in zip(lessons.Batches(known, words, 0, people=2, asked=8), range(120), strict=False):
            loss = torch.nn.functional.cross_entropy(net(*inputs).flatten(0, 1), answers.flatten())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    def right(view: Any) -> float:
        found = []
        for k, (described, _) in enumerate(people):
            questions = asked[8 * k : 8 * k + 8]
            answers = reader.choose(net, words, view(tables(described)), [(q.text, q.options) for q in questions])
            found += [max(range(len(row)), key=row.__getitem__) == q.answer for row, q in zip(answers, questions, strict=True)]
        return sum(found) / len(found)

    assert right(lambda seen: seen) > 0.9
    assert right(told.hidden) <= 0.5


def test_other_words_ask_the_same():
    text = "How many separate times does the person turn left (by 30 degrees or more) during the last quarter of the video?"
    draw = random.Random(0)
    seen = {wordings.reworded(text, draw) for _ in range(200)}
    assert len(seen) > 30
    for other in (*seen, wordings.reworded(text, draw, kept_out=True)):
        assert "left" in other
        assert "right" not in other
        assert any(word in other for word in ("last", "fourth", "final"))
    learnt = {alternative for _, alternatives, _ in wordings.PHRASES for alternative in alternatives}
    assert not learnt & {alternative for _, _, kept in wordings.PHRASES for alternative in kept}


PACKAGED = Path(plugins.load("models", "track_reader").PACKAGED)


def test_the_packaged_reader_is_small_quick_and_reads():
    assert PACKAGED.stat().st_size <= 4_000_000
    net, words, head = reader.load(PACKAGED)
    assert head["parameters"] <= 2_000_000
    found = exam.measure(number=16, seed=3, reword=False)
    assert found["true"]["score_macro"] - found["hidden"]["score_macro"] > 30
    described = motion.describe(cast_reference(next(cast_clips("synthetic", "seed-3", 1)))[0], RECIPE)
    seen = tables(described)
    asked = [("Does the person turn left (by 30 degrees or more) at any point in the video?", ("Yes", "No"))]
    reader.choose(net, words, seen, asked)
    started = time.process_time()
    for _ in range(5):
        reader.choose(net, words, seen, asked)
    assert (time.process_time() - started) / 5 < 0.2  # tests/benchmarks/read.py measures it; this is against a slip of magnitude


def test_a_reader_that_is_not_there_is_said_before_anybody_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    work, out = tmp_path / "work", tmp_path / "out"
    assert cli.main(["train", "--model", f"track_reader={tmp_path / 'no'}", "--work", str(work), "--out", str(out)]) == 2
    assert f"no track reader {tmp_path / 'no'}" in capsys.readouterr().err
    assert not work.exists()
    assert not out.exists()
