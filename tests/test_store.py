"""Store: tracks come back bit for bit, files are whole or absent, and artefacts are fresh, stale or damaged but never wrong."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builder import store
from builder.performer import Turn, Walk, perform
from builder.types import Clip, StoreError, Track, TrackError

ODD_IDS = (
    "tracks/a b/ü%2F..",
    "..",
    ".",
    "",
    "a/b",
    "a%2Fb",
    "a\\b:c*?<>|\"'",
    "line\nbreak\ttab",
    "A",
    "走路的人" * 40,
    "走路的人" * 40 + "2",
    "x" * 400,
    "🕺/💃",
)


@pytest.fixture
def full() -> Track:
    """A track with every field filled, odd numbers included."""
    track = perform([Walk(2.0), Turn(90.0)], seed=3)
    n, rng = track.num_frames, np.random.default_rng(0)
    valid = rng.random(n) > 0.1
    position = track.position_m.copy()
    position[~valid] = np.nan
    position[0, 1] = -0.0
    position[1, 1] = 5e-324
    valid[:2] = True
    return replace(
        track,
        clip_id="tracks/ü b",
        person_id="p/1",
        fps=29.97002997002997,
        valid=valid,
        position_m=position,
        frame_ids=np.arange(n, dtype=np.int64) * 3 + 17,
        root_kind="midhip",
        joints_m=rng.standard_normal((n, 22, 3)).astype(np.float32),
        camera_to_world=np.tile(np.eye(4), (n, 1, 1)),
        lifter="prompthmr",
        referent="the man in the red shirt – ü",
        provenance={"list": [1, 2.5, None, True], "nested": {"ü": "é"}, "small": 0.1 + 0.2},
        extra={
            "betas": rng.standard_normal(10).astype(np.float16),
            "bbox": np.arange(n * 4, dtype=np.uint16).reshape(n, 4),
            "empty": np.zeros((0, 3)),
            "flag": np.array(True),
            "big": np.asfortranarray(rng.standard_normal((n, 3))).astype(">f8"),
        },
    )


CLIP = Clip(
    clip_id="tracks/ü b",
    source="tracks",
    sequence="ü b",
    fps=29.97002997002997,
    start_frame=17,
    end_frame=400,
    num_frames=128,
    group="subject 1",
    redistribution="open",
    view="cam0",
    video=Path("clips/ü b.mp4"),
    width=1280,
    height=720,
    camera="moving",
    split="test",
    meta={"licence": "CC0", "numbers": [1, 2.5, None]},
)


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def test_tracks_come_back_bit_for_bit(tmp_path: Path, full: Track):
    store.write_track(tmp_path / "deep" / "full.npz", full, CLIP)
    back, clip = store.read_track(tmp_path / "deep" / "full.npz")
    assert clip == CLIP
    for field in fields(Track):
        was, now = getattr(full, field.name), getattr(back, field.name)
        if isinstance(was, np.ndarray):
            assert same_bits(was, now), field.name
        elif field.name == "extra":
            assert set(was) == set(now)
            assert all(same_bits(was[name], now[name]) for name in was)
        else:
            assert was == now, field.name
    assert {*store.ARRAYS, *store.OPTIONAL_ARRAYS, *store.TEXTS, "extra"} == {field.name for field in fields(Track)}


def test_a_bare_track_comes_back_without_a_clip(tmp_path: Path):
    track = replace(perform([Walk(1.0)]), frame="anchored")
    store.write_track(tmp_path / "bare.npz", track)
    back, clip = store.read_track(tmp_path / "bare.npz")
    assert clip is None
    assert (back.frame, back.joints_m, back.camera_to_world, back.referent, back.extra) == ("anchored", None, None, None, {})
    clipped = replace(CLIP, video=None, split=None)
    store.write_track(tmp_path / "clip.npz", track, clipped)
    assert store.read_track(tmp_path / "clip.npz")[1] == clipped


def test_equal_tracks_give_equal_files(tmp_path: Path, full: Track):
    for name in ("a.npz", "b.npz"):
        store.write_track(tmp_path / name, full, CLIP)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_objects_are_neither_written_nor_read(tmp_path: Path):
    track = perform([Walk(1.0)])
    with pytest.raises(TrackError, match=r"'extra\.names' holds Python objects"):
        store.write_track(tmp_path / "no.npz", replace(track, extra={"names": np.array([{}], dtype=object)}))
    assert list(tmp_path.iterdir()) == []
    np.savez(tmp_path / "objects.npz", a=np.zeros(3), names=np.array([{"a": 1}], dtype=object))
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object))
    with pytest.raises(TrackError, match=r"objects\.npz: field 'names' holds pickled Python objects"):
        store.read_arrays(tmp_path / "objects.npz")
    with pytest.raises(TrackError, match=r"objects\.npy"):
        store.read_arrays(tmp_path / "objects.npy")


def damaged_member(content: bytes, name: str) -> bytes:
    """The same archive with the compressed bytes of one member overwritten."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        info = archive.getinfo(f"{name}.npy")
    start = info.header_offset + 30 + len(info.filename) + 20
    return content[:start] + b"\xff" * 40 + content[start + 40 :]


@pytest.mark.parametrize("name", ["position_m", "body_to_world", "valid", "meta", "extra.bbox"])
def test_damage_inside_a_field_is_one_line_that_names_it(tmp_path: Path, full: Track, name: str):
    path = tmp_path / "damaged.npz"
    store.write_track(path, full, CLIP)
    path.write_bytes(damaged_member(path.read_bytes(), name))
    with pytest.raises(TrackError, match=rf"damaged\.npz: field '{name}' is damaged") as caught:
        store.read_track(path)
    assert "\n" not in str(caught.value)


def test_a_file_cut_or_changed_anywhere_is_a_track_error_or_the_track(tmp_path: Path):
    track, path = perform([Walk(1.0)]), tmp_path / "some.npz"
    store.write_track(path, track)
    content, rng = path.read_bytes(), np.random.default_rng(1)
    cuts = [content[:n] for n in rng.integers(0, len(content), 40)]
    hits = [content[:n] + bytes(rng.integers(0, 256, 8, dtype=np.uint8)) + content[n + 8 :] for n in rng.integers(0, len(content) - 8, 160)]
    refused = 0
    for data in (*cuts, *hits, b"", b"PK", b"\x93NUMPY"):
        path.write_bytes(data)
        try:
            back, _ = store.read_track(path)
        except TrackError as error:
            said = str(error)
        else:
            said = f"{path}" if np.array_equal(back.position_m, track.position_m) else "another track"
        refused += said != str(path)
        assert str(path) in said
        assert "\n" not in said
    assert refused > 150


@pytest.mark.parametrize(
    "spoil",
    [
        lambda m: [],
        lambda m: "text",
        lambda m: m | {"schema": "hmv-track/9"},
        lambda m: {k: v for k, v in m.items() if k != "track"},
        lambda m: m | {"track": m["track"] | {"colour": "red"}},
        lambda m: m | {"track": {k: v for k, v in m["track"].items() if k != "fps"}},
        lambda m: m | {"track": m["track"] | {"fps": "thirty"}},
        lambda m: m | {"track": m["track"] | {"fps": None}},
        lambda m: m | {"track": m["track"] | {"frame": "sky"}},
        lambda m: m | {"track": []},
        lambda m: m | {"clip": {}},
        lambda m: m | {"clip": [1]},
        lambda m: m | {"clip": m["clip"] | {"colour": "red"}},
        lambda m: m | {"clip": m["clip"] | {"video": 3}},
    ],
)
def test_foreign_meta_is_a_track_error(tmp_path: Path, spoil: Callable[[Any], Any]):
    path = tmp_path / "meta.npz"
    store.write_track(path, perform([Walk(1.0)]), CLIP)
    arrays = store.read_arrays(path)
    meta = spoil(json.loads(str(arrays.pop("meta"))))
    np.savez(path, **arrays, meta=np.array(json.dumps(meta)))
    with pytest.raises(TrackError, match=r"meta\.npz") as caught:
        store.read_track(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"position_m": np.array(3.0)},
        {"position_m": np.zeros(40)},
        {"position_m": np.full((40, 3), "a")},
        {"valid": np.ones(3, dtype=bool)},
        {"valid": np.ones(40)},
        {"frame_ids": np.zeros(40, dtype=np.int64)},
        {"body_to_world": np.zeros((40, 3, 3))},
        {"body_to_world": np.zeros((40, 4, 4))},
        {"colour": np.zeros(3)},
        {"meta": np.zeros(3)},
    ],
)
def test_foreign_arrays_are_a_track_error(tmp_path: Path, change: dict[str, Any]):
    path = tmp_path / "arrays.npz"
    store.write_track(path, perform([Walk(1.0)]))
    np.savez(path, **store.read_arrays(path) | change)
    with pytest.raises(TrackError, match=r"arrays\.npz"):
        store.read_track(path)


class Died(BaseException):
    """Stands for Ctrl-C, which no `except OSError` catches."""


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), Died()])
@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_failed_write_keeps_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, error: BaseException):
    path = tmp_path / "file"
    store.write_atomic(path, b"old")

    def fail(*args: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(store.os, function, fail)
        expected = StoreError if isinstance(error, OSError) else Died
        with pytest.raises(expected) as caught:
            store.write_atomic(path, b"new" * 1000)
    if expected is StoreError:
        assert str(path) in str(caught.value)
        assert "No space left" in str(caught.value)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"], "nothing half-written stays beside it"
    store.write_atomic(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_place_that_cannot_be_written_is_a_store_error(tmp_path: Path):
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file" / "x.json", tmp_path / "file" / "deep" / "x.json"):
        with pytest.raises(StoreError, match="cannot write"):
            store.write_atomic(path, b"new")
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    with pytest.raises(StoreError, match="cannot write"):
        store.write_atomic(tmp_path / "folder", b"new")
    assert (tmp_path / "file").read_text() == "mine"
    assert {p.name for p in tmp_path.iterdir()} == {"file", "folder"}


def test_work_folder_that_is_a_file(tmp_path: Path):
    (tmp_path / "work").write_text("mine")
    with pytest.raises(StoreError, match=r"expected a folder, found a file; pass another --work"):
        store.Work(tmp_path / "work")
    (tmp_path / "questions").write_text("mine")
    with pytest.raises(StoreError, match="cannot write"):
        store.Work(tmp_path).put("questions", "a", "key", {})
    assert store.Work(tmp_path).get("questions", "a", "key") is None


def test_an_artefact_is_given_back_only_under_its_key(tmp_path: Path):
    work, record = store.Work(tmp_path / "not yet"), {"status": "done", "people": [{"x": 0.1 + 0.2, "ü": None}]}
    assert work.get("questions", "a", "key") is None
    assert work.put("questions", "a", "key", record) == record | {"key": "key"}
    assert work.get("questions", "a", "key") == record | {"key": "key"}
    assert work.get("questions", "a", "another key") is None
    assert work.get("another stage", "a", "key") is None
    assert work.get("questions", "b", "key") is None
    work.put("questions", "a", "key 2", {"status": "failed"})
    assert work.get("questions", "a", "key") is None
    assert work.get("questions", "a", "key 2") == {"status": "failed", "key": "key 2"}
    assert [p.name for p in work.all("questions")] == ["a.json"]
    assert list(work.all("nothing")) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b"",
        lambda b: b[: len(b) // 2],
        lambda b: b[:-1],
        lambda b: bytes(len(b)),
        lambda b: b"[1, 2]",
        lambda b: b'"key"',
        lambda b: b"null",
        lambda b: b"\xff\xfe" + b,
        lambda b: b"{}",
        lambda b: b"[" * 100_000,
    ],
)
def test_a_damaged_artefact_is_none(tmp_path: Path, damage: Callable[[bytes], bytes]):
    work = store.Work(tmp_path)
    work.put("questions", "a", "key", {"status": "done", "text": "ü"})
    path = work.path("questions", "a")
    path.write_bytes(damage(path.read_bytes()))
    assert work.get("questions", "a", "key") is None
    work.put("questions", "a", "key", {"status": "done"})
    assert work.get("questions", "a", "key") == {"status": "done", "key": "key"}


def test_any_clip_id_has_its_own_file_inside_the_work_folder(tmp_path: Path):
    work = store.Work(tmp_path / "work")
    for number, clip_id in enumerate(ODD_IDS):
        work.put("questions", clip_id, "key", {"number": number})
    for number, clip_id in enumerate(ODD_IDS):
        assert work.get("questions", clip_id, "key") == {"number": number, "key": "key"}, clip_id
        path = work.path("questions", clip_id)
        assert path.parent == tmp_path / "work" / "questions"
        assert path.resolve().parent == path.parent.resolve()
    assert len(list(work.all("questions"))) == len(ODD_IDS)
    assert sorted(os.listdir(tmp_path)) == ["work"]


def test_digests_depend_on_content_and_nothing_else():
    assert store.digest({"a": 1, "b": [2]}, "x") == store.digest({"b": [2], "a": 1}, "x")
    assert store.digest("ab", "c") != store.digest("a", "bc")
    assert store.digest(asdict(CLIP)) != store.digest(asdict(replace(CLIP, group="other")))
    assert len(store.digest()) == 16
