"""A validation from the command line, with a stand-in for a lifter."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixture_validation import R

from builder import geometry, motion, plugins, recipe, store
from builder.geometry import transform, yaw_matrix
from builder.performer import Turn, Wait, Walk, perform
from builder.robustness import WANDER_S
from builder.types import BuildError, Clip, Floats, LiftError, PluginError, Track
from builder.verbs.validate import run

ABOUT = {"title": "Truth with known errors", "licence": "CC0-1.0", "needs": "a source with ground truth"}
CALLS: list[str] = []


def noisy(track: Track, factor: float = 1.0) -> Track:
    """The track in another world, with a lifter's errors of the recipe's sizes times `factor`; seeded from the clip's name."""
    cfg = R.robustness
    rng = np.random.default_rng([ord(c) for c in track.clip_id])
    n, hz = track.num_frames, track.fps
    pad = round(4 * WANDER_S * hz)

    def wander(size: float) -> Floats:
        from scipy.ndimage import gaussian_filter1d

        noise = gaussian_filter1d(rng.standard_normal(n + 2 * pad), WANDER_S * hz)[pad : pad + n]
        return np.asarray(factor * size * noise * np.sqrt(2 * np.sqrt(np.pi) * WANDER_S * hz))

    draw = factor * rng.standard_normal(6)
    at = np.clip(np.arange(n) + draw[0] * cfg.timing_s * hz, 0, n - 1)
    position = np.stack([np.interp(at, np.arange(n), column) for column in track.position_m.T], axis=1)
    way = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(motion.smooth(position[:, [0, 2]], 0.25, hz), axis=0).T))])
    position = (position - position[0]) * np.exp(draw[1] * cfg.scale) + position[0]
    position = position + np.outer(way * cfg.drift_per_m, draw[2:5] * [1.0, 0.3, 1.0])
    position[:, 1] += wander(cfg.height_m)
    body = track.body_to_world[np.rint(at).astype(int)]
    lean = np.radians(np.stack([wander(cfg.lean_deg), np.zeros(n), wander(cfg.lean_deg)], axis=1))
    body = yaw_matrix(draw[5] * cfg.anchor_deg + wander(cfg.heading_deg)) @ geometry.matrices_from_rotvec(lean) @ body
    lifted = replace(track, position_m=position, body_to_world=body, joints_m=None, camera_to_world=None, extra={}, lifter="noisy")
    return transform(lifted, yaw_matrix(110), np.array([2.0, 0.3, -7.0]))


def load(factor: float | str = 1.0) -> Callable[[Clip], list[Track]]:
    """The stand-in: noisy truth, one clip that cannot be lifted and one whose track is not to be trusted."""

    def lift(clip: Clip) -> list[Track]:
        CALLS.append(clip.clip_id)
        if clip.clip_id.endswith("unseen"):
            raise LiftError("nobody is in view")
        track = noisy(plugins.load("sources", clip.source).reference(clip)[0], float(factor))
        doubt = {"verdict": "refuse", "reasons": ["legs out of view"]} if clip.clip_id.endswith("doubted") else {}
        return [replace(track, provenance=doubt)]

    return lift


@pytest.fixture
def standin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> argparse.Namespace:
    """The verb's arguments for a folder of five tracks and the stand-in."""
    package = tmp_path / "code" / "standin_lifters"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "noisy.py").write_text(f"from {__name__} import ABOUT, load\n")
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    scripts = {"a": [Wait(1), Walk(4), Turn(90), Walk(2)], "b": [Wait(1), Turn(-180), Walk(5)], "c": [Walk(3), Wait(2), Walk(3)]}
    for name in ("a", "b", "c", "unseen", "doubted"):
        store.write_track(tmp_path / "tracks" / f"{name}.npz", perform(scripts.get(name, [Walk(3)]), clip_id=name))
    CALLS.clear()
    return argparse.Namespace(
        source=[f"tracks={tmp_path / 'tracks'}"],
        lifter="standin_lifters.noisy",
        option=["factor=2"],
        recipe="default",
        out=tmp_path / "out",
        work=tmp_path / "work",
        workers=1,
        limit=None,
        fit=True,
        quiet=True,
    )


def test_a_run_writes_numbers_and_pictures(standin: argparse.Namespace, capsys: pytest.CaptureFixture[str]):
    assert run(standin) == 0
    printed = capsys.readouterr().out
    assert "95 % interval" in printed
    assert "[robustness]" in printed
    found = json.loads((standin.out / "validation.json").read_text())
    wanted = "answer_agreement answer_agreement_by_category answer_agreement_unfiltered answer_agreement_unfiltered_by_category"
    wanted += " questions_by_category rte_percent_median ate_m_median heading_error_deg_median heading_flip_rate clips refused by_camera"
    wanted += " per_clip recipe lifter fitted answer_agreement_interval events"
    assert set(wanted.split()) <= set(found)
    assert (found["clips"], found["accepted"], found["recipe"]["digest"]) == (5, 3, recipe.load().digest)
    reasons = {r["clip_id"]: r["reason"] for r in found["refused"]}
    assert reasons == {"tracks/unseen": "nobody is in view", "tracks/doubted": "legs out of view"}
    assert 0.3 < found["answer_agreement"] <= 1
    assert found["answer_agreement_interval"][0] <= found["answer_agreement"] <= found["answer_agreement_interval"][1]
    assert 0.01 < found["ate_m_median"] < 2
    assert found["by_camera"]["static"]["clips"] == 5
    page = (standin.out / "validation.html").read_text()
    assert page.count("<svg") == 3
    assert not re.search(r"(src|href)=[\"'](?!#)", page), "nothing is loaded from elsewhere"
    assert "legs out of view" in page


def test_nothing_is_lifted_twice_and_a_stop_loses_nothing(standin: argparse.Namespace):
    from contextlib import contextmanager

    @contextmanager
    def stopping(title: str, total: int, quiet: bool) -> Any:
        def progress(done: int, total: int, what: str) -> None:
            if done == 2:
                raise KeyboardInterrupt

        yield progress

    with pytest.raises(KeyboardInterrupt):
        run(standin, stopping)
    assert not (standin.out / "validation.json").exists()
    assert len(CALLS) == 2
    run(standin)
    assert sorted(CALLS) == sorted(set(CALLS)), "every clip once"
    assert len(CALLS) == 5
    first = {p.name: p.read_bytes() for p in standin.out.iterdir()}
    made = {p: p.stat().st_mtime_ns for p in (standin.work / "validation").iterdir()}
    run(standin)
    assert len(CALLS) == 5
    assert {p: p.stat().st_mtime_ns for p in made} == made, "a fresh record is not made again"
    assert {p.name: p.read_bytes() for p in standin.out.iterdir()} == first, "equal input gives equal bytes"
    standin.option = ["factor=3"]
    run(standin)
    assert len(CALLS) == 10, "another option is another lifter"


def test_the_truth_as_a_lifter_agrees_in_everything(standin: argparse.Namespace):
    standin.lifter, standin.option, standin.limit = "groundtruth", [], 2
    run(standin)
    found = json.loads((standin.out / "validation.json").read_text())
    assert found["answer_agreement"] == found["answer_agreement_unfiltered"] == 1
    assert found["disagreements"] == 0
    assert found["ate_m_median"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"option": ["factor"]}, BuildError, "KEY=VALUE"),
        ({"workers": 0}, BuildError, "--workers"),
        ({"lifter": "nobody"}, PluginError, "no plugin 'nobody'"),
    ],
)
def test_mistakes_are_one_line(standin: argparse.Namespace, change: dict[str, Any], error: type[Exception], said: str):
    with pytest.raises(error, match=said):
        run(argparse.Namespace(**{**vars(standin), **change}))


def test_a_source_without_truth_is_refused(standin: argparse.Namespace, tmp_path: Path):
    (tmp_path / "a.mp4").write_bytes(b"")
    standin.source = [f"folder={tmp_path / 'a.mp4'}"]
    with pytest.raises(PluginError, match="reference"):
        run(standin)


def test_when_every_clip_is_refused_there_is_nothing_to_say(standin: argparse.Namespace, tmp_path: Path):
    for name in "abc":
        (tmp_path / "tracks" / f"{name}.npz").unlink()
    with pytest.raises(BuildError, match="not one of 2 clips could be compared"):
        run(standin)
