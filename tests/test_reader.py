"""The track reader: what it is told of a track, words, its file, and that it can learn; the packaged weights if there are any."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builder import evaluate, motion, plugins, reader, recipe, rows, selection, watching, wordings
from builder.performer import cast_clips, cast_reference
from builder.train import reader as training
from builder.types import DataError, Motion, Question

torch = pytest.importorskip("torch")
RECIPE = recipe.load("default")


@pytest.fixture(scope="module")
def people() -> list[tuple[Motion, list[Question]]]:
    known = training.learning_recipe()
    return [selection.questions_of(cast_reference(clip)[0], known) for clip in cast_clips("synthetic", "reader-test", 2)]


@pytest.fixture(scope="module")
def small(people: list[tuple[Motion, list[Question]]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of fresh weights of a small shape."""
    words = reader.Words.of([t for _, questions in people for q in questions for t in (q.text, *q.options)])
    torch.manual_seed(0)
    shape = reader.Shape(len(words.known), width=24, heads=2, readers=1, listeners=1, askers=1, gist=2, inner=24)
    path = tmp_path_factory.mktemp("reader") / training.WEIGHTS
    reader.save(path, reader.network(shape), shape, words, {"people": 0, "steps": 0})
    return path


def told(described: Motion) -> reader.Told:
    return reader.stretches(described), reader.movements(described)


def test_what_is_told_follows_the_motion(people: list[tuple[Motion, list[Question]]]):
    described, _ = people[0]
    steps, events = told(described)
    assert steps.shape == (reader.STEPS, reader.WIDTHS[0])
    assert events.shape == (min(len(described.events), reader.EVENTS), reader.WIDTHS[1])
    assert np.isfinite(steps).all()
    assert np.isfinite(events).all()
    left = list(reader.SCALES).index("displacement_x")
    changes = steps[:, 3 * left + 1].astype(float).sum() * reader.SCALES["displacement_x"]
    assert changes == pytest.approx(described.path_m[-1, 0] - described.path_m[0, 0], abs=0.05)
    kinds = [reader.KINDS[k] for k in events[:, : len(reader.KINDS)].argmax(1)]
    assert sorted(kinds) == sorted(e.direction for e in described.events)


def test_order_of_options_and_company_change_no_answer(small: Path, people: list[tuple[Motion, list[Question]]]):
    net, words, _ = reader.load(small)
    described, questions = people[0]
    asked = [(q.text, q.options) for q in questions[:12]]
    together = reader.choose(net, words, told(described), asked)
    for (text, options), row in zip(asked, together, strict=True):
        (turned,) = reader.choose(net, words, told(described), [(text, options[::-1])])
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


def test_it_learns_what_it_is_shown(people: list[tuple[Motion, list[Question]]], monkeypatch: pytest.MonkeyPatch):
    """Two people's questions are learnt by heart; without their tracks, which tell them apart, they cannot be."""
    torch.manual_seed(0)
    texts = [t for _, questions in people for q in questions for t in (q.text, *q.options)]
    words = reader.Words.of(texts, least=1)
    ids = [{(q.text, frozenset(q.options)): q for q in questions} for _, questions in people]
    disputed = [key for key in ids[0] if key in ids[1] and ids[0][key].answer_text != ids[1][key].answer_text][:8]
    assert len(disputed) == 8
    everybody = [
        training.Person([told(m)], [(q.category, q.text, q.options, q.answer) for q in (d[k] for k in disputed)])
        for (m, _), d in zip(people, ids, strict=True)
    ]
    monkeypatch.setattr(training, "PEOPLE", 2)
    monkeypatch.setattr(training, "VIEWS", 0)
    net = reader.network(reader.Shape(len(words.known), width=32, heads=2, readers=1, listeners=1, askers=2, gist=2, inner=32))
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    for step, (*inputs, answers) in enumerate(training.batches(everybody, words, training.Plan())):
        loss = torch.nn.functional.cross_entropy(net(*inputs).flatten(0, 1), answers.flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step == 150:
            break

    def right(view: Any) -> float:
        found = [
            max(range(len(row)), key=row.__getitem__) == answer
            for p in everybody
            for row, (_, _, _, answer) in zip(
                reader.choose(net, words, view(p.views[0]), [(t, o) for _, t, o, _ in p.questions]), p.questions, strict=True
            )
        ]
        return sum(found) / len(found)

    assert right(lambda seen: seen) > 0.9
    assert right(reader.hidden) <= 0.5


def test_other_words_ask_the_same():
    text = "How many separate times does the person turn left (by 30 degrees or more) during the last quarter of the video?"
    draw = random.Random(0)
    seen = {wordings.reworded(text, draw) for _ in range(200)}
    assert len(seen) > 30
    for other in (*seen, wordings.reworded(text, draw, kept_out=True)):
        assert "left" in other
        assert "right" not in other
        assert any(word in other for word in ("last", "fourth"))
    learnt = {alternative for _, alternatives, _ in wordings.PHRASES for alternative in alternatives}
    assert not learnt & {alternative for _, _, kept in wordings.PHRASES for alternative in kept}


PACKAGED = Path(plugins.load("models", "track_reader").PACKAGED)


@pytest.mark.skipif(not PACKAGED.exists(), reason="no weights of the track reader are packaged")
def test_the_packaged_reader_is_small_quick_and_reads():
    assert PACKAGED.stat().st_size <= 4_000_000
    net, words, head = reader.load(PACKAGED)
    assert head["parameters"] <= 2_000_000
    found = training.measure(number=12, seed=3, reword=False)
    assert found["true"]["score_macro"] - found["hidden"]["score_macro"] > 20
    described = motion.describe(cast_reference(next(cast_clips("synthetic", "seed-3", 1)))[0], RECIPE)
    asked = [("Does the person turn left (by 30 degrees or more) at any point in the video?", ("Yes", "No"))]
    reader.choose(net, words, told(described), asked)
    started = time.process_time()
    reader.choose(net, words, told(described), asked)
    assert time.process_time() - started < 0.2
