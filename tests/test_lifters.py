"""Readers of what other people's lifters leave: one walk through all of them, their quirks, and files that must be refused."""

from __future__ import annotations

import collections
import os
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fixture_lifters as files
import joblib
import numpy as np
import pytest
import torch
from fixture_walk import Walk, walk, yaw

from builder import geometry, lifting, plugins, recipe, selection
from builder.sources import tracks as track_files
from builder.types import Clip, LiftError, NotNowError, SetupError, Track

TOOLS = ("prompthmr", "gvhmr", "wham", "tram")
NAME = "park/walk"


def clip_of(known: Walk | None = None, **changes: Any) -> Clip:
    n, fps = (known.num_frames, known.fps) if known else (0, 0.0)
    return replace(Clip(f"folder/{NAME}", "folder", NAME, fps, 0, n, n, "park", "qa_only"), **changes)


def write(tool: str, folder: Path, known: Walk) -> Path:
    """The results of one person over all frames."""
    if tool == "prompthmr":
        return files.prompthmr(folder, {1: known})
    if tool == "gvhmr":
        return files.gvhmr(folder, known)
    if tool == "wham":
        return files.wham(folder, {0: (known, slice(None))})
    return files.tram(folder, [(known, np.arange(known.num_frames))])


def lift(tool: str, results: Path, clip: Clip, **options: str) -> list[Track]:
    return lifting.sort(plugins.load("lifters", tool, ("ABOUT", "load")).load(results=str(results), **options)(clip))


def truth_of(known: Walk) -> Track:
    n = known.num_frames
    return Track("folder/x", "0", known.fps, np.ones(n, bool), known.body_to_world, known.position_m, np.arange(n))


def assert_walk(found: Track, known: Walk, rows: Any = slice(None)) -> None:
    """The anchored path to 0.1 mm and the heading to 1e-4 of a degree times the precision of float32."""
    expected, anchored = geometry.anchor(truth_of(known)), geometry.anchor(found)
    np.testing.assert_allclose(anchored.position_m[rows], expected.position_m[rows], atol=1e-4)
    turned, heading = geometry.heading_deg(expected.body_to_world), geometry.heading_deg(anchored.body_to_world)
    np.testing.assert_allclose(np.radians(heading[rows]), np.radians(turned[rows]), atol=1e-4)


def questions_of(found: Track) -> list[Any]:
    same = replace(found, clip_id="folder/x", person_id="0", referent=None)
    _, asked = selection.questions_of(same, recipe.load())
    return [(q.template, q.quantity, q.window, q.text, q.options, q.answer) for q in asked]


def everywhere(folder: Path, known: Walk) -> Iterator[tuple[str, Track]]:
    """The walk through every reader of somebody else's tracks."""
    for tool in TOOLS:
        write(tool, folder / tool / NAME, known)
        (track,) = lift(tool, folder / tool, clip_of(known))
        yield tool, track
    (folder / "tracks").mkdir()
    files.motionx(folder / "tracks" / "motionx.npy", known)
    files.amass(folder / "tracks" / "amass_smplh.npz", known, stageii=False)
    files.amass(folder / "tracks" / "amass_stageii.npz", known, stageii=True)
    for clip in track_files.clips(folder / "tracks"):
        (track,) = track_files.reference(clip)
        yield clip.sequence, track


def test_the_same_walk_gives_the_same_path_and_the_same_questions(tmp_path: Path) -> None:
    known = walk()
    expected = questions_of(truth_of(known))
    assert len(expected) > 20
    names = []
    for name, track in everywhere(tmp_path, known):
        assert_walk(track, known)
        assert questions_of(track) == expected, name
        np.testing.assert_array_less(0.7, track.body_to_world[:, 1, 1])  # +Y is up everywhere
        assert track.fps == known.fps
        names.append((name, track.root_kind))
    assert names == [
        ("prompthmr", "pelvis_approx"),
        ("gvhmr", "pelvis_approx"),
        ("wham", "midhip"),
        ("tram", "pelvis_approx"),
        ("amass_smplh", "pelvis_approx"),
        ("amass_stageii", "pelvis_approx"),
        ("motionx", "pelvis_approx"),
    ]


@pytest.mark.parametrize("tool", ["prompthmr", "gvhmr", "tram"])
def test_cameras_are_where_they_were(tmp_path: Path, tool: str) -> None:
    """Relative to the person; PromptHMR's own `Twc` and GVHMR's missing camera notwithstanding."""
    known = walk()
    write(tool, tmp_path / NAME, known)
    (track,) = lift(tool, tmp_path, clip_of(known))
    assert track.camera_to_world is not None
    assert track.provenance["clip"]["camera"] == "moving"
    body = np.tile(np.eye(4), (known.num_frames, 1, 1))
    body[:, :3, :3], body[:, :3, 3] = track.body_to_world, track.position_m
    true = np.tile(np.eye(4), (known.num_frames, 1, 1))
    true[:, :3, :3], true[:, :3, 3] = known.body_to_world, known.position_m
    np.testing.assert_allclose(np.linalg.inv(body) @ track.camera_to_world, np.linalg.inv(true) @ known.moving_camera, atol=2e-4)


def test_a_models_folder_makes_the_pelvis_exact(tmp_path: Path) -> None:
    from test_body import model_arrays

    from builder import body

    (tmp_path / "models" / "smplx").mkdir(parents=True)
    np.savez(tmp_path / "models" / "smplx" / "SMPLX_NEUTRAL.npz", **model_arrays())
    known = walk()
    write("prompthmr", tmp_path / NAME, known)
    j0, _ = body.rest_pelvis("smplx", "neutral", np.zeros(10), tmp_path / "models")
    (near,), (exact,) = (
        lift("prompthmr", tmp_path, clip_of(known)),
        lift("prompthmr", tmp_path, clip_of(known), models=str(tmp_path / "models")),
    )
    assert exact.root_kind == "pelvis"
    np.testing.assert_allclose(exact.position_m - near.position_m, np.broadcast_to(j0 - body.APPROXIMATE_M["smplx"], (300, 3)), atol=1e-6)
    with pytest.raises(SetupError, match=r"SMPL_NEUTRAL\.npz"):
        lift("tram", tmp_path, clip_of(known), models=str(tmp_path / "models"))


def test_guessed_frames_and_gaps_are_not_seen(tmp_path: Path) -> None:
    known = walk()
    files.prompthmr(tmp_path / NAME, {1: known}, guessed={1: range(100, 112)})
    (track,) = lift("prompthmr", tmp_path, clip_of(known))
    assert np.flatnonzero(~track.valid).tolist() == list(range(100, 112))
    assert_walk(track, known, track.valid)
    assert np.isfinite(track.position_m).all()
    assert np.abs(np.diff(track.position_m, axis=0)).max() < 0.1
    frames = np.r_[0:40, 55:200, 230:300]
    files.tram(tmp_path / NAME, [(known, frames)])
    (track,) = lift("tram", tmp_path, clip_of(known))
    assert np.flatnonzero(track.valid).tolist() == frames.tolist()
    assert track.num_frames == 300
    assert_walk(track, known, track.valid)


def test_a_clip_is_a_window_of_its_video(tmp_path: Path) -> None:
    known = walk()
    for tool in TOOLS:
        write(tool, tmp_path / tool / NAME, known)
        (track,) = lift(tool, tmp_path / tool, clip_of(known, start_frame=60, end_frame=240))
        assert track.frame_ids.tolist() == list(range(60, 240))
        assert (track.provenance["clip"]["start_frame"], track.provenance["clip"]["end_frame"]) == (60, 240)
        np.testing.assert_allclose(
            np.linalg.norm(track.position_m - track.position_m[0], axis=1),
            np.linalg.norm(known.position_m[60:240] - known.position_m[60], axis=1),
            atol=1e-4,
        )


@pytest.mark.parametrize(("fps", "every"), [(60.0, 1), (89.0, 1), (100.0, 2), (120.0, 2), (240.0, 4)])
def test_prompthmr_leaves_frames_of_fast_videos_out(tmp_path: Path, fps: float, every: int) -> None:
    """It keeps the last of every few, and the walk still lasts as long."""
    known = walk(fps=fps)
    files.prompthmr(tmp_path / NAME, {1: known}, every)
    (track,) = lift("prompthmr", tmp_path, clip_of(known))
    assert track.fps == fps / every
    assert track.frame_ids[:2].tolist() == [every - 1, 2 * every - 1]
    np.testing.assert_allclose(
        np.diff(track.position_m, axis=0), np.diff(files.first_camera_world(known, True).position_m[every - 1 :: every], axis=0), atol=1e-5
    )
    assert track.provenance["clip"]["fps"] == fps


def people(known: Walk) -> tuple[Walk, Walk]:
    """The walker, and somebody who does the same a little further to the picture's right."""
    right = known.moving_camera[0, :3, 0] * [1, 0, 1]
    other = known.placed(yaw(0.0, 1.6 * right / np.linalg.norm(right)))
    return known, replace(other, moving_camera=known.moving_camera)


@pytest.mark.parametrize("tool", ["prompthmr", "wham", "tram"])
def test_several_people_are_named_by_place(tmp_path: Path, tool: str) -> None:
    known, other = people(walk())
    if tool == "prompthmr":
        files.prompthmr(tmp_path / NAME, {7: other, 12: known})
    elif tool == "wham":
        files.wham(tmp_path / NAME, {7: (other, slice(0, 200)), 12: (known, slice(20, 300)), 13: (known, slice(0, 20))})
    else:
        files.tram(tmp_path / NAME, [(other, np.arange(300)), (known, np.arange(20, 280))])
    clip = clip_of(known)
    if tool == "wham":  # it keeps no picture's size
        clip = video_clip(tmp_path, known)
    found = lift(tool, tmp_path, clip)
    ids = ["0", "1"] if tool == "tram" else ["12", "7"]
    assert [t.person_id for t in found] == ids
    words = {t.person_id: t.referent for t in found}
    first = "0" if tool == "tram" else "7"
    last = "1" if tool == "tram" else "12"
    assert words[first] == "the person who first appears further to the right"
    assert words[last] == "the person who first appears further to the left"


def video_clip(folder: Path, known: Walk) -> Clip:
    """A clip whose video is as long as the walk."""
    from builder.video import write_clip

    picture = np.zeros((36, 64, 3), np.uint8)
    path = folder / "videos" / "walk.mp4"
    write_clip(path, (picture for _ in range(known.num_frames)), known.fps)
    return clip_of(video=path)


def test_time_comes_from_the_video(tmp_path: Path) -> None:
    slow = walk(fps=24.0)
    clip = video_clip(tmp_path, slow)
    assert clip.fps == 0
    for tool in TOOLS:
        write(tool, tmp_path / tool / "walk", slow)
        (track,) = lift(tool, tmp_path / tool, clip)
        assert track.fps == pytest.approx(24.0)
        assert_walk(track, slow)
        assert track.provenance["clip"]["num_frames"] == slow.num_frames
        (told,) = lift(tool, tmp_path / tool, replace(clip, video=None), fps="24")
        assert told.fps == 24.0
        write(tool, tmp_path / tool / "walk", walk(fps=30.0))
        with pytest.raises(LiftError, match=r"a video with 300 frames, the clip's has 240: not the same video"):
            lift(tool, tmp_path / tool, clip)


def test_without_video_prompthmr_knows_the_rate_itself_and_others_ask(tmp_path: Path) -> None:
    known = walk(fps=25.0)
    for tool in TOOLS:
        write(tool, tmp_path / tool / NAME, known)
        if tool == "prompthmr":
            assert lift(tool, tmp_path / tool, clip_of())[0].fps == 25.0
            files.prompthmr(tmp_path / tool / NAME, {1: walk(fps=120.0)}, 2)  # its 60 may stand for more
        with pytest.raises(LiftError, match=r"folder/park/walk: nothing says how many frames per second.*--option fps=30"):
            lift(tool, tmp_path / tool, clip_of())


def test_wham_without_camera_motion_is_doubted(tmp_path: Path) -> None:
    known = walk()
    for moved, verdict in ((True, None), (False, "warn")):
        files.wham(tmp_path / NAME, {0: (known, slice(None))}, moved)
        (track,) = lift("wham", tmp_path, clip_of(known))
        assert track.provenance.get("verdict") == verdict


def test_tram_before_the_vertical_is_refused(tmp_path: Path) -> None:
    known = walk()
    files.tram(tmp_path / NAME, [(known, np.arange(300))], upright=False)
    with pytest.raises(LiftError, match=r"folder/park/walk: park/walk/camera\.npy: made before TRAM found the vertical"):
        lift("tram", tmp_path, clip_of(known))


def test_results_are_found_by_many_names(tmp_path: Path) -> None:
    known = walk()
    clip = clip_of(known, video=Path("/somewhere/my.holiday.mp4"), sequence="P1/14_climb")
    for name in ("park/walk", "my.holiday", "my", "P1_14_climb", "14_climb"):
        files.gvhmr(tmp_path / name.replace("/", "-") / name, known)
        assert len(lift("gvhmr", tmp_path / name.replace("/", "-"), clip)) == 1
    assert len(lift("gvhmr", tmp_path / "my" / "my", clip)) == 1
    (tmp_path / "empty").mkdir()
    files.gvhmr(tmp_path / "empty", known)  # whose, nobody knows
    with pytest.raises(NotNowError, match=r"folder/park/walk: no hmr4d_results\.pt of this clip under empty/: looked in park/walk"):
        lift("gvhmr", tmp_path / "empty", clip)


def test_bad_options_are_one_line(tmp_path: Path) -> None:
    for tool in TOOLS:
        load = plugins.load("lifters", tool).load
        with pytest.raises(SetupError, match=r"option results=.*expected a folder"):
            load(results=tmp_path / "none")
        with pytest.raises(SetupError, match="option fps=fast: expected a number from 1 to 1000"):
            load(results=tmp_path, fps="fast")
        with pytest.raises(SetupError, match=f"lifter {tool}: .*--option NAME=VALUE"):
            lifting.load(tool, {"results": str(tmp_path), "speed": "9"})
        if tool in ("prompthmr", "gvhmr"):
            with pytest.raises(SetupError, match=r"results=DIR.*root=DIR"):
                load()
            with pytest.raises(SetupError, match="expected moving or static"):
                load(results=tmp_path, camera="tilted")


class Touch:
    """A pickle that would leave a file behind."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


def test_hostile_results_run_nothing(tmp_path: Path) -> None:
    """In the place of every file that a lifter's folder is read for."""
    known, mark = walk(), tmp_path / "pwned"
    for tool, name in {
        "prompthmr": "results.pkl",
        "gvhmr": "hmr4d_results.pt",
        "wham": "wham_output.pkl",
        "tram": "camera.npy",
        "wham ": "slam_results.pth",
        "tram ": "hps/hps_track_0.npy",
    }.items():
        folder = tmp_path / tool
        for kind in ("pickle", "zlib", "npy", "torch", "legacy"):
            write(tool.strip(), folder / NAME, known)
            file, value = folder / NAME / name, {"people": [Touch(mark)]}
            if kind == "pickle":
                file.write_bytes(pickle.dumps(value))
            elif kind == "zlib":
                joblib.dump(value, file, compress=3)
            elif kind == "npy":
                with open(file, "wb") as stream:
                    np.save(stream, np.array(value, dtype=object), allow_pickle=True)
            else:
                torch.save(value, file, _use_new_zipfile_serialization=kind == "torch")
            with pytest.raises(LiftError, match=rf"folder/park/walk: park/walk/{name}: ") as caught:
                lift(tool.strip(), folder, clip_of(known))
            assert "\n" not in str(caught.value)
            assert "system" in str(caught.value) or kind == "legacy"
    write("prompthmr", tmp_path / "rate" / NAME, known)
    for rate in (tmp_path / "rate").rglob("*.smpl"):
        with open(rate, "wb") as stream:
            np.savez(stream, frameRate=np.array(Touch(mark), dtype=object))
    with pytest.raises(LiftError, match="nothing says how many frames per second"):
        lift("prompthmr", tmp_path / "rate", clip_of())
    assert not mark.exists()


def test_damaged_results_are_one_line(tmp_path: Path) -> None:
    """Wrong keys, shapes, frames and cut-off files; none of it names a place on this machine."""
    known = walk()
    for tool in TOOLS:
        file = write(tool, tmp_path / tool / NAME, known)
        whole = file.read_bytes()
        for content in (b"", b"<!DOCTYPE html><title>Sign in</title>", whole[: len(whole) // 2], pickle.dumps([1, 2])):
            file.write_bytes(content)
            with pytest.raises(LiftError, match=r"folder/park/walk: park/walk/\w+\.\w+: ") as caught:
                lift(tool, tmp_path / tool, clip_of(known))
            assert str(tmp_path) not in str(caught.value)
    file = files.prompthmr(tmp_path / "odd" / NAME, {1: known})
    good = joblib.load(file)

    def broken(change: Any) -> str:
        data = pickle.loads(pickle.dumps(good))
        change(data)
        joblib.dump(data, file)
        with pytest.raises(LiftError) as caught:
            lift("prompthmr", tmp_path / "odd", clip_of(known))
        return str(caught.value)

    person = "park/walk/results.pkl: person 1: field "
    assert f"{person}'trans': expected numbers of shape (any, 3), got float32 of shape (300, 2)" in broken(
        lambda d: d["people"][1]["smplx_world"].update(trans=np.zeros((300, 2), np.float32))
    )
    assert f"{person}'pose': expected numbers of shape (300, 165)" in broken(
        lambda d: d["people"][1]["smplx_world"].update(pose=np.zeros((299, 165)))
    )
    assert f"{person}'frames': expected numbers below the camera's 300" in broken(
        lambda d: d["people"][1].update(frames=np.arange(300) + 1)
    )
    assert "expected frame numbers from 0, got -1" in broken(lambda d: d["people"][1].update(frames=np.arange(300) - 1))
    assert "Rcw: expected rotation matrices" in broken(lambda d: d["camera_world"].update(Rcw=np.ones((300, 3, 3))))
    assert "expected the field 'Rcw'" in broken(lambda d: d["camera_world"].pop("Rcw"))
    assert "PromptHMR found nobody" in broken(lambda d: d.update(people=collections.OrderedDict()))
    assert "nobody is fitted for 1 s" in broken(lambda d: d["people"][1].update(detected=np.arange(300) < 20))
    assert "nobody is fitted for 1 s" in broken(lambda d: d["people"][1].pop("smplx_world"))
    assert "nobody is fitted for 1 s" in broken(lambda d: d["people"][1]["smplx_world"].update(trans=np.full((300, 3), np.nan)))
