"""The default lifter on whole videos: the packaged clips against their truth, and what it refuses, with the reason."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from builder import cli, geometry, lifting, plugins, recipe, render
from builder.lifters import monocular
from builder.sources import folder, sample
from builder.types import Clip, LiftError, SetupError, Track, VideoError
from builder.validate.metrics import measure
from builder.validate.pairing import paired
from builder.video import read_frames, write_clip

SEES_SOMEBODY = "there_and_back"


def clip_of(video: Path) -> Clip:
    (clip,) = folder.clips(video)
    return clip


def packaged(name: str) -> Clip:
    return next(clip for clip in sample.clips() if clip.sequence == name)


def images(name: str, every: int = 1, most: int = 10_000) -> list[np.ndarray]:
    """Frames of a packaged clip, small."""
    clip = packaged(name)
    assert clip.video is not None
    return [f.image for f in read_frames(clip.video, longest_side=480)][::every][:most]


def room(seed: int, count: int) -> list[np.ndarray]:
    """An empty, noisy room of rectangles."""
    rng = np.random.default_rng(seed)
    image = np.full((270, 480, 3), rng.integers(90, 160, 3), np.uint8)
    for _ in range(80):
        y, x = rng.integers(0, 250), rng.integers(0, 460)
        image[y : y + rng.integers(6, 60), x : x + rng.integers(6, 60)] = rng.integers(0, 256, 3)
    return [np.clip(image + rng.normal(0, 2, image.shape), 0, 255).astype(np.uint8) for _ in range(count)]


REFUSED = {
    "two frames": (lambda: images(SEES_SOMEBODY, most=2), 30, r"it lasts 0\.07 s; expected 1 s or more"),
    "3 fps": (lambda: images(SEES_SOMEBODY, every=10), 3, r"3\.0 frames per second; expected 10 or more"),
    "nobody": (lambda: room(1, 45), 30, "nobody is in view"),
    "a montage": (lambda: [*images(SEES_SOMEBODY, most=40), *images("side_steps", most=40), *room(2, 30)], 30, r"montage, with 2 cut"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_the_reason(tmp_path: Path, networks: Path, name: str):
    make, fps, reason = REFUSED[name]
    write_clip(tmp_path / "clip.mp4", make(), fps)
    with pytest.raises(LiftError, match=reason) as caught:
        monocular.load(weights=networks)(clip_of(tmp_path / "clip.mp4"))
    assert "\n" not in str(caught.value)


def test_what_is_no_video_is_one_line(tmp_path: Path, networks: Path):
    """Random bytes, and a small file whose header promises gigabytes; more of them stand in test_video_hostile."""
    (tmp_path / "random.mp4").write_bytes(np.random.default_rng(0).bytes(20_000))
    gif = bytearray(b"GIF89a" + b"\xff\xff\xff\xff" + b"\x00" * 40)
    (tmp_path / "huge.avi").write_bytes(gif)
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(VideoError) as caught:
            monocular.load(weights=networks)(clip_of(path))
        assert "\n" not in str(caught.value)


def lifted(name: str, networks: Path) -> tuple[Track, Track]:
    clip = packaged(name)
    (track,) = monocular.load(weights=networks)(clip)
    (truth,) = sample.reference(clip)
    return track, truth


def test_a_packaged_clip_is_lifted_near_its_truth(networks: Path):
    """Bounds are about twice what was measured."""
    track, truth = lifted("side_steps", networks)
    errors = measure(paired(track, truth), recipe.load())
    assert errors["ate_m"] < 0.3
    assert errors["heading_error_deg"] < 12
    assert errors["heading_flip_rate"] == 0


@pytest.mark.parametrize(("name", "directions"), [("side_steps", ("left", "right")), ("backing_away", ("backward",))])
def test_who_backs_or_side_steps_is_not_turned_to_where_they_go(networks: Path, name: str, directions: tuple[str, ...]):
    from builder.motion import describe

    track, _ = lifted(name, networks)
    motion = describe(track, recipe.load())
    before_turning = next((e.start_frame for e in motion.events if e.code == "rotation_yaw"), motion.num_frames)
    went = [e.direction for e in motion.events if e.code.startswith("displacement") and e.end_frame <= before_turning + 10]
    assert [d for d in went if d not in ("up", "down")][: len(directions)] == list(directions)


def test_the_same_video_at_another_size_rate_and_container_is_the_same_walk(tmp_path: Path, networks: Path):
    """Every other frame, half the size: the way gone and the turn stay."""
    track, _ = lifted(SEES_SOMEBODY, networks)
    write_clip(tmp_path / "small.mp4", images(SEES_SOMEBODY, every=2), 15)
    (small,) = monocular.load(weights=networks)(clip_of(tmp_path / "small.mp4"))
    assert small.fps == pytest.approx(15)
    a, b = (geometry.anchor(t) for t in (track, small))
    assert np.linalg.norm(a.position_m[-1] - b.position_m[-1]) < 0.35
    turned = [geometry.heading_deg(t.body_to_world)[-1] for t in (a, b)]
    assert abs(turned[0] - turned[1]) < 20


def test_the_verb_leaves_track_facts_and_picture(tmp_path: Path, networks: Path, capsys: pytest.CaptureFixture[str]):
    clip = packaged(SEES_SOMEBODY)
    assert cli.main(["lift", str(clip.video), "--option", f"weights={networks}", "--out", str(tmp_path / "out")]) == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["track.json", "track.npz", "track.png"]
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "turned" in said


@pytest.mark.slow
def test_the_two_views_of_one_walk_agree(test_data: Path, networks: Path):
    """A calibrated, synchronised pair: seen from opposite sides, the same way gone in the person's own frame."""
    videos = [test_data / "videos" / f"pose2sim_cam0{n}.mp4" for n in (1, 3)]
    tracks = [monocular.load(focal=1681, weights=networks, camera="static")(clip_of(video))[0] for video in videos]
    a, b = (geometry.anchor(t) for t in tracks)
    n = min(a.num_frames, b.num_frames)
    assert np.linalg.norm(a.position_m[:n] - b.position_m[:n], axis=1).max() < 0.25
    off = geometry.heading_deg(a.body_to_world)[:n] - geometry.heading_deg(b.body_to_world)[:n]
    assert np.abs((off + 180) % 360 - 180).max() < 15


def filmed_as(variant: str, kind: str, folder: Path) -> tuple[Clip, Track]:
    """A rendered clip with something wrong on purpose, and its truth; a skip where nothing can be drawn."""
    synthetic = plugins.load("sources", "synthetic")
    clip = next(c for c in synthetic.clips("8@7:filmed") if c.meta["camera_kind"] == kind)
    (truth,) = synthetic.reference(clip)
    try:
        render.film(truth, clip, folder / "clip.mp4", variant=variant)
    except SetupError as error:
        pytest.skip(str(error))
    return clip_of(folder / "clip.mp4"), truth


@pytest.mark.slow
def test_head_and_shoulders_are_refused(tmp_path: Path, networks: Path):
    clip, _ = filmed_as("bust", "static", tmp_path)
    try:
        tracks = monocular.load(weights=networks)(clip)
    except LiftError as error:
        said = [str(error)]
    else:
        assert all(lifting.refused(track) for track in tracks)
        said = [" ".join(track.provenance["reasons"]) for track in tracks]
    assert all(re.search("head to knees|knees seen|shoulders to ankles", reason) for reason in said), said


@pytest.mark.slow
def test_a_repeated_texture_under_a_moving_camera_misleads_nobody(tmp_path: Path, networks: Path):
    """Refused or right: points are followed from frame to frame, so a tile cannot be mistaken for the next one."""
    clip, truth = filmed_as("tiled", "handheld", tmp_path)
    try:
        (track,) = monocular.load(weights=networks)(clip)
    except LiftError:
        return
    errors = measure(paired(track, truth), recipe.load())
    assert errors["ate_m"] < 0.35
    assert errors["heading_error_deg"] < 15
