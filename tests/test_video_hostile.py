"""What is no video, or not one to be read: refused in one line, within bounds of memory and time."""

from __future__ import annotations

import struct
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from fixture_video import HEIGHT, WIDTH, av, copied, encode, numbered

from builder.types import VideoError
from builder.video import Limits, probe, read_frames, sample_frames


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("video")


def test_not_videos(tmp_path: Path, constant: Path):
    from PIL import Image

    random = np.random.default_rng(0).bytes(20_000)
    for name, data in {
        "empty.mp4": b"",
        "random.mp4": random,
        "random": random,
        "zeros.avi": bytes(20_000),
        "t.mp4": b"hello\n" * 99,
    }.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "headless.mp4").write_bytes(constant.read_bytes()[:-2000])
    for ending in ("png", "jpg", "webp", "gif", "bmp"):
        Image.fromarray(numbered(1)).save(tmp_path / f"image.{ending}")
    (tmp_path / "image.mp4").write_bytes((tmp_path / "image.png").read_bytes())
    encode(tmp_path / "one.mp4", range(1))
    with av.open(str(tmp_path / "sound.mp4"), "w") as out:
        stream = out.add_stream("aac", rate=44100, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), format="fltp", layout="mono")
        frame.rate, frame.pts = 44100, 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode())
    unreadable = "not a video that can be read"
    expected = {
        "nowhere.mp4": "expected a video file, found nothing",
        ".": "expected a video file, found something else",
        "empty.mp4": "the file is empty",
        "random.mp4": unreadable,
        "random": unreadable,
        "zeros.avi": unreadable,
        "t.mp4": unreadable,
        "headless.mp4": "cut off before its index",
        "image.png": "this is an image",
        "image.jpg": "this is an image",
        "image.webp": "this is an image",
        "image.bmp": "this is an image",
        "image.mp4": "this is an image",
        "image.gif": "at least 2 frames, found 1",
        "one.mp4": "at least 2 frames, found 1",
        "sound.mp4": "sound but no video",
    }
    for name, message in expected.items():
        for read in (probe, lambda p: list(read_frames(p)), lambda p: sample_frames(p, [0.0])):
            with pytest.raises(VideoError, match=message) as caught:
                read(tmp_path / name)
            assert str(caught.value).startswith(str(tmp_path / name))
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "avi", "webm"])
def test_cut_off(folder: Path, ending: str):
    if ending == "mp4":
        whole = copied(encode(folder / "w0.mp4", range(90), g="30"), folder / "w.mp4", movflags="faststart")
    elif ending == "webm":
        whole = encode(folder / "w.webm", range(90), codec="libvpx-vp9", deadline="realtime", **{"cpu-used": "8"})
    else:
        whole = encode(folder / f"w.{ending}", range(90), codec="mpeg4")
    path = folder / f"cut.{ending}"
    path.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.6)])
    for read in (probe, lambda p: list(read_frames(p))):
        with pytest.raises(VideoError, match="cut off"):
            read(path)


def test_playlists_open_nothing(tmp_path: Path, constant: Path):
    (tmp_path / "concat.mp4").write_text(f"ffconcat version 1.0\nfile {constant.name}\n")
    (tmp_path / constant.name).write_bytes(constant.read_bytes())
    (tmp_path / "list.m3u8").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{constant.name}\n#EXT-X-ENDLIST\n")
    for name in ("concat.mp4", "list.m3u8"):
        with pytest.raises(VideoError, match="not a video that can be read"):
            probe(tmp_path / name)


def huge(path: Path, source: Path, key_frame: int) -> Path:
    """A VP8 file whose key frames from `key_frame` on claim 16383 x 16383 pixels."""
    data = bytearray(source.read_bytes())
    at = [n for n in range(len(data) - 7) if data[n : n + 3] == b"\x9d\x01\x2a"]
    assert len(at) > key_frame
    for n in at[key_frame:]:
        data[n + 3 : n + 7] = struct.pack("<HH", 16383, 16383)
    path.write_bytes(data)
    return path


def test_small_files_that_claim_much(tmp_path: Path, constant: Path):
    v8 = encode(tmp_path / "v8.webm", range(40), codec="libvpx", g="10", deadline="realtime", **{"cpu-used": "8"})
    with pytest.raises(VideoError, match="larger than 67108864 pixels"):
        probe(huge(tmp_path / "first.webm", v8, 0))
    late = huge(tmp_path / "late.webm", v8, 2)
    assert probe(late).num_frames == 40
    with pytest.raises(VideoError, match=r"after 0\.\d+ s a frame is damaged, cut off, or larger than 67108864 pixels"):
        list(read_frames(late))
    images = [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * 2
    gif = encode(tmp_path / "small.gif", range(2), codec="gif", pixels="rgb8", images=images)
    data = bytearray(gif.read_bytes())
    data[6:10] = b"\xff" * 4
    gif.write_bytes(data)
    with pytest.raises(VideoError, match="67108864 pixels"):
        probe(gif)
    for limits, message in {
        Limits(pixels=WIDTH * HEIGHT - 1): f"frames of {WIDTH} x {HEIGHT} are larger than",
        Limits(frames=89): "90 frames; at most 89",
        Limits(seconds=2.9): r"lasts 3 s; at most 2\.9",
    }.items():
        with pytest.raises(VideoError, match=message):
            probe(constant, limits)
        with pytest.raises(VideoError, match=message):
            read_frames(constant, limits=limits)


def test_limits_hold_while_decoding(constant: Path, monkeypatch: pytest.MonkeyPatch):
    """As for a file whose header and packets lie."""
    from builder.video import frames

    known = frames.scan(constant, Limits())
    monkeypatch.setattr(frames, "scan", lambda *_: known)
    seen = []
    for limits in (Limits(frames=40), Limits(seconds=1.5)):
        with pytest.raises(VideoError, match="the most that are read"):
            seen.extend(f.index for f in read_frames(constant, limits=limits))
    assert seen == [*range(40), *range(46)]


def test_damaged_files_give_one_line(constant: Path, varying: Path, tmp_path: Path):
    """Random damage: frames or a VideoError, nothing else."""
    rng = np.random.default_rng(3)
    outcomes = {"read": 0, "refused": 0}
    for source in (constant, varying):
        whole = source.read_bytes()
        for _ in range(25):
            data = bytearray(whole)
            for _ in range(int(rng.integers(1, 12))):
                at = int(rng.integers(0, len(data)))
                data[at : at + 4] = rng.bytes(4)
            (tmp_path / "damaged.mp4").write_bytes(data)
            try:
                times = [f.time_s for f in read_frames(tmp_path / "damaged.mp4", longest_side=32)]
                assert all(a < b for a, b in pairwise(times))
                outcomes["read"] += 1
            except VideoError as error:
                outcomes["refused" if "\n" not in str(error) else "bad message"] += 1
    assert min(outcomes.values()) > 0


MEMORY = """
import resource, sys
from builder.video import read_frames
frames = read_frames(sys.argv[1])
for n, frame in enumerate(frames):
    if n == 100:
        then = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(n, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - then) / 1024)
"""


def test_memory_does_not_grow_with_length(tmp_path: Path):
    """One minute of 640 x 360: 1800 frames of 0.66 MiB, of which some are at work in the decoder's threads."""
    pictures = [np.kron(numbered(n), np.ones((1, 4, 1), np.uint8))[:90].repeat(4, axis=0) for n in range(8)]
    path = encode(
        tmp_path / "minute.mp4", range(1800), size=(640, 360), images=(pictures[n // 30 % 8] for n in range(1800)), preset="ultrafast"
    )
    run = subprocess.run([sys.executable, "-c", MEMORY, str(path)], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    last, grown_mib = run.stdout.split()
    assert last == "1799"
    assert float(grown_mib) < 30
