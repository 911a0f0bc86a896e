"""Image folders into clips: the right frames in the right shape, resumable, verified, and nothing made of a folder with gaps."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import fixture_datasets as fx
import numpy as np
import pytest
from PIL import Image

from builder import cli, footage, geometry, lifting, pipeline, plugins, recipe, recordings, schema
from builder.performer import Turn, Wait, Walk, perform
from builder.types import SourceError
from builder.video import probe, read_frames

SHORT = perform([Wait(0.5), Walk(4.0), Turn(90, 1.5), Walk(2.0), Wait(1.2)], seed="short")
SIZE = {"emdb": (72, 96), "rich": (84, 62), "portrait": (62, 84), "egobody": (96, 54)}


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("copies")
    draw = {name: fx.numbered_image(size) for name, size in SIZE.items()}
    fx.emdb(root / "emdb", SHORT, images=draw["emdb"])
    pictured = {"00": draw["rich"], "01": draw["portrait"]}
    scene = fx.Scene("Pavallion", portrait=(1,))
    fx.rich(root / "rich", {"003": SHORT}, "Pavallion_003_walk", layout=fx.UNZIPPED, scene=scene, images=pictured)
    fx.EgoBody(root / "egobody").add(SHORT, SHORT, images={"sub_1": draw["egobody"]})
    return {name: root / name for name in ("emdb", "rich", "egobody")}


def videos(*arguments: object) -> int:
    return cli.main(["videos", *map(str, arguments), "--quiet"])


@pytest.mark.parametrize("name", ["emdb", "rich", "egobody"])
def test_a_video_shows_exactly_the_frames_of_its_clip(copies: dict[str, Path], tmp_path: Path, name: str):
    assert videos(f"{name}={copies[name]}", "--out", tmp_path / "videos") == 0
    manifest = json.loads((tmp_path / "videos" / "videos.json").read_text())
    clips = list(plugins.load("sources", name).clips(copies[name]))
    assert sorted(manifest["videos"]) == sorted(schema.video_path(clip) for clip in clips)
    for clip in clips:
        file = tmp_path / "videos" / schema.video_path(clip)
        info, entry = probe(file), manifest["videos"][schema.video_path(clip)]
        assert (info.codec, info.constant_rate, info.fps, info.num_frames) == ("h264", True, 30, clip.num_frames)
        assert (info.width, info.height) == SIZE["portrait" if clip.view == "cam_01" else name]
        assert (info.width < info.height) is (clip.width < clip.height), "portrait stays portrait"
        shown = [fx.read_number(frame.image) for frame in read_frames(file)]
        assert shown == list(range(clip.start_frame, clip.end_frame))
        assert entry["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
        assert (entry["size"], entry["frames"], entry["start_frame"]) == (file.stat().st_size, clip.num_frames, clip.start_frame)
    there = {p.name for p in (tmp_path / "videos").rglob("*") if p.is_file()}
    assert there == {"videos.json", *(Path(path).name for path in manifest["videos"])}, "nothing else is written"


def test_videos_go_on_where_they_were_and_repair_what_is_damaged(copies: dict[str, Path], tmp_path: Path):
    out, source = tmp_path / "videos", f"emdb={copies['emdb']}"
    assert videos(source, "--out", out) == 0
    (file,) = out.rglob("*.mp4")
    made, content = file.stat().st_mtime_ns, file.read_bytes()
    assert videos(source, "--out", out) == 0
    assert file.stat().st_mtime_ns == made, "not made again"
    file.write_bytes(content[:-10] + b"0123456789")
    assert videos(source, "--out", out) == 0
    assert file.read_bytes() == content, "same images, same bytes"
    file.unlink()
    (out / "x.mp4.tmp").touch()
    assert videos(source, "--out", out, "--longest-side", 48) == 0
    info = probe(file)
    assert (info.width, info.height) == (36, 48)
    (out / "videos.json").write_text("<html>")
    assert videos(source, "--out", out) == 2


def test_missing_and_bad_images_are_named_and_cost_only_their_clip(
    copies: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    long = perform([Wait(0.5), Walk(4.0), Turn(90, 1.5), Walk(2.0), Wait(16), Turn(-90, 2), Walk(3), Wait(8)], seed="long")
    folder = fx.emdb(tmp_path / "emdb", long, images=fx.numbered_image((24, 32)))
    for number in (5, 6, 7, 300):
        (folder / "images" / f"{number:05d}.jpg").unlink()
    assert videos(f"emdb={tmp_path / 'emdb'}", "--out", tmp_path / "out") == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "images are missing: 4 of" in said[0]
    assert "(00005-00007, ...)" in said[0]
    assert len(list((tmp_path / "out").rglob("*.mp4"))) == 1
    for number, data, word in ((900, b"<html>login</html>", "an HTML page"), (901, None, "damaged"), (902, b"", "an empty file")):
        file = folder / "images" / f"{number:05d}.jpg"
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2] if data is None else data)
        assert videos(f"emdb={tmp_path / 'emdb'}", "--out", tmp_path / "other") == 2
        line = next(line for line in capsys.readouterr().err.splitlines() if f"{number:05d}.jpg" in line)
        assert word in line
        assert not list((tmp_path / "other").rglob("*.mp4"))
        file.write_bytes(whole)


def test_pictures_are_turned_and_shrunk_as_they_are_shown(tmp_path: Path):
    wide = np.zeros((40, 80, 3), np.uint8)
    wide[:, :40] = 200
    files = []
    for k in range(3):
        exif = Image.Exif()
        exif[footage.ORIENTATION] = 6  # turn clockwise to show
        files.append(tmp_path / f"{k}.jpg")
        Image.fromarray(wide).save(files[-1], exif=exif)
    assert footage.image_size(files[0]) == (40, 80)
    shown = list(footage.pictures(files, 40))
    assert [s.shape for s in shown] == [(40, 20, 3)] * 3
    assert shown[0][:18].mean() > 180
    assert shown[0][22:].mean() < 20
    Image.fromarray(wide).save(tmp_path / "3.jpg")
    with pytest.raises(SourceError, match=r"3\.jpg: expected the shape of the images before it"):
        list(footage.pictures([*files, tmp_path / "3.jpg"], 40))


def test_few_pictures_are_held_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "a.png"
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(file)
    opened: list[int] = []
    real = footage._picture
    monkeypatch.setattr(footage, "_picture", lambda path, size: (opened.append(1), real(path, size))[1])
    taken = footage.pictures([file] * 500, 8)
    for _ in range(3):
        next(taken)
    assert len(opened) <= 3 + (os.cpu_count() or 1) + 2
    taken.close()


@pytest.mark.parametrize(
    ("there", "words"),
    [({1, 2, 3}, ""), ({1, 3}, "1 of 3 frames (00002)"), (set(), "3 of 3 frames (00001-00003)"), ({2}, "2 of 3 frames (00001, ...)")],
)
def test_missing_frames_in_words(there: set[int], words: str):
    assert footage.missing(dict.fromkeys(there, Path()), 1, 4) == words


@pytest.fixture
def lifted_by(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[Path]]:
    """A lifter, "stand_in", that counts the frames of the video it is given and returns the short walk over them; the videos seen."""
    seen: list[Path] = []

    def load(**options: str):
        def lift(clip):
            seen.append(clip.video)
            numbers = [f.index for f in read_frames(clip.video, start_s=clip.start_frame / 30, end_s=clip.end_frame / 30)]
            assert numbers == list(range(len(SHORT.frame_ids[: len(numbers)])))
            return [replace(geometry.crop(SHORT, 0, len(numbers)), clip_id=clip.clip_id, lifter="stand_in")]

        return lift

    real = plugins.load

    def found(package: str, name: str, needs: tuple[str, ...] = ()):
        if name == "stand_in":
            return type("Lifter", (), {"ABOUT": {}, "load": staticmethod(load)})
        return real(package, name, needs)

    monkeypatch.setattr(plugins, "load", found)
    lifting._loaded.cache_clear()
    return lambda: seen


def test_a_lifter_gets_the_video_and_rows_point_into_the_source(
    copies: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lifted_by: Callable[[], list[Path]]
):
    """From the image folder, or from what `videos` has made; what was lifted counts from 0, what is published from the source's frame."""
    (listed,) = plugins.load("sources", "rich").clips(copies["rich"])
    shown = plugins.load("sources", "rich").film(listed, tmp_path / "films")
    assert (shown.start_frame, shown.end_frame, shown.meta["video_start_frame"]) == (0, SHORT.num_frames, 40)
    for ready in (False, True):
        if ready:
            assert videos(f"rich={copies['rich']}", "--out", tmp_path / "videos") == 0
            monkeypatch.setenv(recordings.VIDEOS, str(tmp_path / "videos"))
        plan = pipeline.Plan((("rich", str(copies["rich"])),), "stand_in", recipe.load(), tmp_path / f"work{ready}")
        clips = pipeline.clips_of(plan)
        pipeline.process(clips, plan, 1, lambda *_: None)
        found, skipped, missing = pipeline.gather(clips, plan)
        assert (skipped, missing) == ([], [])
        (asked,) = found
        assert (asked.clip.start_frame, asked.clip.end_frame) == (clips[0].start_frame, clips[0].end_frame) == (40, 40 + SHORT.num_frames)
        assert lifted_by()[-1].is_relative_to(tmp_path / ("videos" if ready else "workFalse"))


@pytest.mark.slow
def test_from_image_folder_to_questions_by_way_of_the_default_lifter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], networks: Path
):
    """Packaged clips as image folders in EMDB's layout -> videos -> lifted -> dataset, and lifted answers beside those of the fits."""
    root, sample = tmp_path / "EMDB", plugins.load("sources", "sample")
    lasting = [clip for clip in sample.clips() if clip.num_frames >= 8.2 * clip.fps][:2]
    for k, clip in enumerate(lasting):
        (truth,) = sample.reference(clip)
        frames = read_frames(clip.video)

        def draw(frame: int, to: Path, frames=frames) -> None:
            Image.fromarray(next(frames).image).save(to, quality=95)

        fx.emdb(root, truth, f"P{k}/{k:02d}_{clip.sequence}", size=(clip.width, clip.height), images=draw, filmed=True)
    monkeypatch.setenv("HUMANMOVEVQA_WEIGHTS", str(networks))
    assert cli.main(["check", f"emdb={root}", "--quiet"]) == 0
    assert videos(f"emdb={root}", "--out", tmp_path / "videos") == 0
    monkeypatch.setenv(recordings.VIDEOS, str(tmp_path / "videos"))
    work = ["--work", str(tmp_path / "work"), "--workers", "1", "--quiet"]
    assert (
        cli.main(["build", "--source", f"emdb={root}", "--lifter", "monocular", "--no-report", "--out", str(tmp_path / "out"), *work]) == 0
    )
    info = json.loads((tmp_path / "out" / "build_info.json").read_text())
    assert info["lifters"] == {"emdb": "monocular"}
    assert info["generated"]["tracks"] == len(lasting)
    assert sum(info["generated"]["after"].values()) > 30
    assert not list((tmp_path / "work").rglob("*.mp4")), "the ready videos are used"
    command = ["validate", "--source", f"emdb={root}", "--lifter", "monocular", "--out", str(tmp_path / "validation"), *work]
    assert cli.main(command) == 0
    found = json.loads((tmp_path / "validation" / "validation.json").read_text())
    assert found["answer_agreement"] > 0.9
    assert found["ate_m_median"] < 0.5
    assert found["heading_error_deg_median"] < 15
