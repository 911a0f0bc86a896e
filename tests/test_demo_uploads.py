"""What visitors may bring to the demo: refused with one line, and nothing of the machine in it, or shown and asked."""

from __future__ import annotations

import io
import os
import pickle
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builder.performer import Turn, Wait, Walk, perform
from builder.video import write_clip
from demo import lifters, limits, sandbox
from demo.sandbox import Refused
from demo.visit import Visit


def moving(path: Path, frames: int = 40, fps: float = 20.0, size: tuple[int, int] = (48, 64)) -> Path:
    images = (np.full((*size, 3), (7 * k) % 255, np.uint8) for k in range(frames))
    write_clip(path, images, fps)
    return path


def huge(path: Path) -> Path:
    """A few kilobytes that would be gigabytes of pixels."""
    import av

    with av.open(str(path), "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=30, options={"preset": "ultrafast", "crf": "51"})
        stream.width, stream.height, stream.pix_fmt = 7680, 4320, "yuv420p"
        frame = av.VideoFrame(7680, 4320, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        for k in range(2):
            frame.pts = k
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def endless(path: Path) -> Path:
    """Ten hours in a small file: one frame every ten minutes."""
    from fractions import Fraction

    import av

    with av.open(str(path), "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1)
        frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24").reformat(format="yuv420p")
        for k in range(61):
            frame.pts, frame.time_base = 600 * k, Fraction(1, 1)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


HOSTILE_VIDEOS = {
    "random bytes": lambda d: written(d / "a.mp4", np.random.default_rng(1).bytes(20_000)),
    "nothing": lambda d: written(d / "a.mp4", b""),
    "a playlist": lambda d: written(d / "a.mp4", b"#EXTM3U\n#EXTINF:5,\nhttp://127.0.0.1:PORT/x.ts\n#EXT-X-ENDLIST\n"),
    "a concat script": lambda d: written(d / "a.mp4", b"ffconcat version 1.0\nfile /etc/passwd\n"),
    "an SVG": lambda d: written(d / "a.mp4", b"<svg xmlns='http://www.w3.org/2000/svg'><image href='http://127.0.0.1:PORT/x'/></svg>"),
    "a program": lambda d: written(d / "a.mp4", b"#!/bin/sh\ntouch /tmp/owned\n"),
    "cut off": lambda d: written(d / "a.mp4", moving(d / "b.mp4").read_bytes()[:700]),
    "8K": lambda d: huge(d / "a.mp4"),
    "ten hours": lambda d: endless(d / "a.mp4"),
    "a second too short": lambda d: moving(d / "a.mp4", 4),
    "five frames a second": lambda d: moving(d / "a.mp4", 20, 5.0),
    "40 s": lambda d: moving(d / "a.mp4", 800),
    "another ending": lambda d: written(d / "a.m3u8", b"#EXTM3U\n"),
    "no ending": lambda d: written(d / "a", b"x"),
}


@pytest.mark.parametrize("what", HOSTILE_VIDEOS)
def test_hostile_videos_are_refused_in_one_line(what: str, tmp_path: Path, listener: tuple[int, list[str]]):
    port, asked = listener
    path = HOSTILE_VIDEOS[what](tmp_path)
    data = path.read_bytes()
    if b"PORT" in data:
        path.write_bytes(data.replace(b"PORT", str(port).encode()))
    began = time.monotonic()
    with pytest.raises(Refused) as caught:
        lifters.check(str(path), False)
    said = str(caught.value)
    assert "\n" not in said
    assert said.endswith((".", "?", "!"))
    assert str(tmp_path) not in said
    assert "Traceback" not in said
    assert time.monotonic() - began < 20
    assert asked == []


def test_too_large_a_video_says_how_large_it_may_be(tmp_path: Path):
    with pytest.raises(Refused, match="7680 × 4320 pixels, and at most 2560 × 1440 are read"):
        lifters.check(str(huge(tmp_path / "a.mp4")), False)


def test_a_copy_of_half_a_minute_is_one_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """900 frames at 29.97 a second last a little longer; the folder source would make two clips of that."""
    from builder import lifting
    from demo import worker

    seen: list[Any] = []
    monkeypatch.setattr(lifting, "load", lambda *_: lambda clip: seen.append(clip) or [])
    copy = moving(tmp_path / "clip.mp4", 901, 30000 / 1001)
    assert worker.lift(str(copy), str(tmp_path), "monocular", {}, "folder/clip-1") == []
    (clip,) = seen
    assert (clip.clip_id, clip.video, clip.num_frames) == ("folder/clip-1", copy, 0)


def test_progress_is_told_now_and_then_and_at_every_new_stage(monkeypatch: pytest.MonkeyPatch):
    from demo import worker

    told: list[dict[str, Any]] = []
    monkeypatch.setattr(worker, "say", lambda **message: told.append(message))
    tell = worker.Teller()
    for share in (0.0, 0.1, 0.2):
        tell("Reading the clip", share)
    tell("Finding how the camera moved", 0.9)
    assert [t["share"] for t in told] == [0.0, 0.9]


def test_too_many_bytes_are_refused_unread(tmp_path: Path):
    with open(tmp_path / "a.mp4", "wb") as f:
        f.truncate(limits.FILE_BYTES + 1)
    with pytest.raises(Refused, match="50 MB"):
        lifters.check(str(tmp_path / "a.mp4"), False)


def npz(path: Path, **arrays: Any) -> Path:
    np.savez_compressed(path, **arrays)
    return path


def bomb(path: Path) -> Path:
    """Two hundred megabytes of zeros in a few hundred kilobytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("trans.npy", "w", force_zip64=True) as f:
            f.write(b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (8700000, 3), }".ljust(128) + b"\n")
            for _ in range(25):
                f.write(bytes(8 * 1024 * 1024))
    return path


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch owned",)


T = 60
HOSTILE_TRACKS = {
    "random bytes": lambda d: written(d / "a.npz", np.random.default_rng(2).bytes(9000)),
    "a pickle": lambda d: written(d / "a.npz", pickle.dumps(Evil())),
    "pickled objects": lambda d: npz(
        d / "a.npz", trans=np.array([Evil()] * 3, dtype=object), root_rot=np.zeros((3, 3, 3)), fps=30.0, up="y"
    ),
    "a zip bomb": lambda d: bomb(d / "a.npz"),
    "many members": lambda d: npz(d / "a.npz", **{f"x{k}": np.zeros(2) for k in range(100)}),
    "other keys": lambda d: npz(d / "a.npz", hello=np.zeros(3)),
    "no numbers": lambda d: npz(d / "a.npz", trans=np.full((T, 3), np.nan), root_rot=np.tile(np.eye(3), (T, 1, 1)), fps=30.0, up="y"),
    "an hour": lambda d: npz(d / "a.npz", trans=np.zeros((3600, 3)), root_rot=np.tile(np.eye(3), (3600, 1, 1)), fps=1.0, up="y"),
    "a path for a name": lambda d: written(d / "a.npz", zipped({"../../evil.npy": b"x", "/etc/passwd": b"y"})),
    "another ending": lambda d: written(d / "a.pkl", pickle.dumps(Evil())),
}


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


@pytest.mark.parametrize("what", HOSTILE_TRACKS)
def test_hostile_tracks_are_refused_in_one_line(what: str, tmp_path: Path):
    (tmp_path / "up").mkdir()
    (tmp_path / "root").mkdir()
    path = HOSTILE_TRACKS[what](tmp_path / "up")
    with pytest.raises(Refused) as caught:
        lifters.given(Visit.of(None), str(path), None, tmp_path / "root")  # type: ignore[arg-type]
    said = str(caught.value)
    assert "\n" not in said
    assert str(tmp_path) not in said
    assert "Traceback" not in said
    assert not list(tmp_path.rglob("owned"))
    assert not Path("owned").exists()
    assert not list(tmp_path.rglob("evil*"))


def test_a_track_of_ones_own_is_shown_and_asked(tmp_path: Path):
    track = perform((Walk(2.0), Wait(0.6), Turn(90.0), Wait(0.6)), 30.0, seed="demo", clip_id="test/demo")
    (tmp_path / "root").mkdir()
    path = npz(tmp_path / "my walk.npz", trans=track.position_m, root_rot=track.body_to_world, fps=30.0, up="y")
    visit = Visit.of(None)
    found = lifters.given(visit, str(path), None, tmp_path / "root")  # type: ignore[arg-type]
    assert found.title == "my walk"
    assert found.subject is not None
    assert found.video is None
    from demo.events.questions import answered

    assert answered(found, "which way did they turn").answer == "To the left"
    assert not path.exists()  # the upload itself is gone
    visit.forget()
    assert list((tmp_path / "root").iterdir()) == []


def test_two_who_bring_the_same_file_do_not_lose_it(tmp_path: Path):
    """They share gradio's copy of it; the first to be done takes away only their own."""
    path = written(tmp_path / "same.mp4", b"x")
    one, two = Visit.of(None), Visit.of(None)
    mine, theirs = (visit.take(str(path), tmp_path) for visit in (one, two))
    one.forget()
    assert not mine.exists()
    assert not path.exists()
    assert theirs.read_bytes() == b"x"
    with pytest.raises(Refused, match="choose the file again"):
        one.take(str(path), tmp_path)
    newer = written(tmp_path / "same.mp4", b"x")  # uploaded once more
    two.give_back(str(path))
    assert newer.exists()
    assert two.folders == []


def test_the_worker_is_bounded_and_knows_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setitem(sandbox.BOUNDS, "check", limits.Bound(0.05, 20, 2048 * limits.MB))
    with pytest.raises(Refused, match=r"longer than 0\.05 seconds"):
        sandbox.result("check", path=moving(tmp_path / "a.mp4"), first_part=False)
    monkeypatch.setitem(sandbox.BOUNDS, "check", limits.Bound(20, 20, 200 * limits.MB))
    with pytest.raises(Refused):  # whichever library notices first that there is no more memory
        sandbox.result("check", path=tmp_path / "a.mp4", first_part=False)
    assert "HF_TOKEN" not in sandbox.HANDED_ON


def test_the_copy_has_no_sound_no_metadata_and_stands_upright(tmp_path: Path):
    import av

    source = moving(tmp_path / "a.mp4", 90, 60.0, (64, 48))
    tagged = tmp_path / "b.mp4"
    with av.open(str(source)) as given, av.open(str(tagged), "w", format="mp4", options={"movflags": "use_metadata_tags"}) as out:
        out.metadata["location"] = "+52.5+13.4/"
        out.metadata["comment"] = "private"
        stream = out.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    info = sandbox.result("prepare", path=tagged, out=tmp_path, first_part=False)
    assert (info["rate"], info["frames"]) == (30.0, 45)
    with av.open(str(tmp_path / "clip.mp4")) as copy:
        assert len(copy.streams) == 1
        assert not {"location", "comment"} & set(copy.metadata)
    assert b"private" not in (tmp_path / "clip.mp4").read_bytes()


def test_without_weights_the_button_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HUMANMOVEVQA_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert "weights are not here" in lifters.state()
    with pytest.raises(Refused, match="The examples work"):
        next(iter(lifters.lift(Visit.of(None), "x.mp4", "auto", "", False, tmp_path, None)))  # type: ignore[arg-type]
