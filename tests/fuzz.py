"""Hypothesis against every reader of what others write: good files, spoilt at random, and wild ones.

python tests/fuzz.py [EXAMPLES]     # so many spoilt files for every reader; prints, as JSON, how many were read, and how many refused

A reader may give something or raise an error of ours; anything else is a defect, and so are an example of LONGEST_S and a reader that
takes MOST_MB.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from builder import export, fits, footage, listing, pipeline, plans, plugins, prompts, recipe, runs, store, unpickle, video  # noqa: E402
from builder.performer import Turn, Walk, perform  # noqa: E402
from builder.types import Clip, HumanMoveError  # noqa: E402

LONGEST_S = 20.0
MOST_MB = 800
GOOD = perform([Walk(2.0), Turn(90.0)], seed=1)
CLIP = Clip("folder/x", "folder", "x", 30.0, 0, 0, 0, "x", "qa_only")

Reader = Callable[[Path], object]
Writer = Callable[[Path], None]


def neutral(path: Path) -> None:
    """A track as people write them."""
    np.savez(path, trans=GOOD.position_m, root_rot=GOOD.body_to_world, fps=30.0, up="y")


def film(path: Path) -> None:
    """A short video."""
    video.write_clip(path, (np.full((32, 48, 3), 9 * n, np.uint8) for n in range(8)), 30.0)


def lifter_file(name: str, file: str) -> Writer:
    """The file of a lifter, written as that lifter's own code would."""

    def write(path: Path) -> None:
        import fixture_lifters
        from fixture_walk import walk

        with tempfile.TemporaryDirectory() as folder:
            known = walk()
            writer = getattr(fixture_lifters, name)
            writer(Path(folder) / "x", {"gvhmr": known, "wham": {1: (known, slice(None))}}.get(name, {1: known}))
            path.write_bytes((Path(folder) / "x" / file).read_bytes())

    return write


def by_lifter(name: str, file: str) -> Reader:
    """The file through the lifter's reader, as a build has it."""

    def read(path: Path) -> object:
        return plugins.load("lifters", name)._fits(path, fits.timing(CLIP, 30.0), None)

    def read_one(path: Path) -> object:
        return plugins.load("lifters", name)._fit(path, fits.timing(CLIP, 30.0), None)

    def read_two(path: Path) -> object:
        return plugins.load("lifters", name)._fits(path, fits.timing(CLIP, 30.0))

    return {"gvhmr": read_one, "wham": read_two}.get(name, read)


def tram(path: Path) -> None:
    """TRAM's whole folder, of which `path` is a file."""
    import fixture_lifters
    from fixture_walk import walk

    known = walk()
    fixture_lifters.tram(path.parent.parent if path.parent.name == "hps" else path.parent, [(known, np.arange(len(known.moving_camera)))])


def by_tram(path: Path) -> object:
    """That folder through the lifter's reader."""
    folder = path.parent.parent if path.parent.name == "hps" else path.parent
    return plugins.load("lifters", "tram")._fits(folder, fits.timing(CLIP, 30.0), None)


def from_folder(path: Path) -> object:
    """A track file by way of the source `tracks`."""
    source = plugins.load("sources", "tracks")
    return [source.reference(clip) for clip in source.clips(path.parent)]


def text(content: str) -> Writer:
    """A writer of this text."""

    def write(path: Path) -> None:
        path.write_text(content)

    return write


def plan(path: Path) -> None:
    """What a build remembers in its work folder."""
    plans.remember(pipeline.Plan((("synthetic", "3"),), "", recipe.load(), path.parent, None, {"a": "b"}), "default", {"seed": 1}, 2)


def manifest(path: Path) -> None:
    """A dataset's list of files, and the one of them that is looked for."""
    rows = "emdb/test-00000-of-00001.parquet"
    (path.parent / rows).parent.mkdir()
    (path.parent / rows).write_bytes(b"123")
    path.write_bytes(export.manifest_of({rows: {"size": 3, "sha256": "00"}, "README.md": {"size": 1, "sha256": "0"}}))


SAMPLE = {
    "question_id": "a",
    "question": "q",
    "reply": "B",
    "choice": 1,
    "answer": 1,
    "options": ["x", "y"],
    "rotation": 0,
    "category": "numerical",
}
VIDEOS = {"format": footage.FORMAT, "videos": {"a.mp4": {"size": 3, "frames": 2, "sha256": "0"}}}

# name: the file's name, what writes a good one, what reads it.
TARGETS: dict[str, tuple[str, Writer, Reader]] = {
    "canonical track": ("x.npz", lambda p: store.write_track(p, GOOD, replace(CLIP, meta={})), store.read_track),
    "track of others": ("x.npz", neutral, from_folder),
    "groups": ("groups.json", text('{"x": "anna", "y": "ben"}'), lambda p: listing.groups(p.parent)),
    "recipe": ("x.toml", text((recipe.FOLDER / "default.toml").read_text()), lambda p: recipe.load(str(p))),
    "plan of a work folder": (plans.FILE, plan, lambda p: plans.recall(p.parent)),
    "artefact": ("s/x.json", text('{"key": "k", "status": "done"}'), lambda p: store.Work(p.parent.parent).get("s", "x", "k")),
    "manifest": (export.MANIFEST, manifest, lambda p: export.configs(p.parent)),
    "list of videos": (footage.MANIFEST, text(json.dumps(VIDEOS)), lambda p: footage.Manifest(p.parent)),
    "run": ("samples.jsonl", text("\n".join([json.dumps(SAMPLE)] * 2)), runs.read_samples),
    "video": ("x.mp4", film, lambda p: (video.probe(p), list(video.read_frames(p)))),
    "npy": ("x.npy", lambda p: np.save(p, GOOD.position_m), unpickle.read),
    "gvhmr": ("hmr4d_results.pt", lifter_file("gvhmr", "hmr4d_results.pt"), by_lifter("gvhmr", "")),
    "prompthmr": ("results.pkl", lifter_file("prompthmr", "results.pkl"), by_lifter("prompthmr", "")),
    "tram, the camera": ("camera.npy", tram, by_tram),
    "tram, a person": ("hps/hps_track_0.npy", tram, by_tram),
    "wham": ("wham_output.pkl", lifter_file("wham", "wham_output.pkl"), by_lifter("wham", "")),
}
QUICK = [name for name in TARGETS if name.partition(",")[0] not in ("gvhmr", "prompthmr", "tram", "wham")]  # what needs no torch

PLACE = st.floats(0, 1, exclude_max=True)
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("set"), PLACE, st.binary(min_size=1, max_size=8)),
        st.tuples(st.just("insert"), PLACE, st.binary(min_size=1, max_size=64)),
        st.tuples(st.just("delete"), PLACE, st.integers(1, 200)),
        st.tuples(st.just("repeat"), PLACE, st.integers(1, 200)),
        st.tuples(st.just("cut"), PLACE, st.just(0)),
        st.tuples(
            st.just("number"), PLACE, st.sampled_from([b"-1", b"1e999", b"NaN", b"null", b"[[]]", b"999999999999999999999", b'""', b"{}"])
        ),
    ),
    min_size=1,
    max_size=6,
)
DIGITS = b"0123456789"


def spoilt(data: bytes, changes: list[tuple[str, float, Any]]) -> bytes:
    """The bytes with these changes made, one after the other."""
    for kind, place, what in changes:
        at = int(place * len(data))
        if kind == "set":
            data = data[:at] + what + data[at + len(what) :]
        elif kind == "insert":
            data = data[:at] + what + data[at:]
        elif kind == "delete":
            data = data[:at] + data[at + what :]
        elif kind == "repeat":
            data = data[:at] + data[at : at + what] * 3 + data[at + what :]
        elif kind == "cut":
            data = data[:at]
        else:  # the next number, in files that are text
            start = next((k for k in range(at, len(data)) if data[k] in DIGITS), len(data))
            end = next((k for k in range(start, len(data)) if data[k] not in DIGITS), len(data))
            data = data[:start] + what + data[end:]
    return data


def against(name: str, examples: int) -> dict[str, int]:
    """Give a reader so many spoilt files; how many it read, and how many it refused and how.  Raises what is a defect."""
    file, write, read = TARGETS[name]
    found: Counter[str] = Counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / file
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
        good = path.read_bytes()
        read_once = _outcome(read, path)
        assert read_once == "read", f"{name}: the good file is refused: {read_once}"

        @settings(max_examples=examples, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(CHANGES)
        def one(changes: list[tuple[str, float, Any]]) -> None:
            path.write_bytes(spoilt(good, changes))
            started = time.monotonic()
            found[_outcome(read, path)] += 1
            assert time.monotonic() - started < LONGEST_S, f"{name}: hangs"

        one()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < MOST_MB, f"{name}: took {grown:.0f} MB more"
    return dict(sorted(found.items()))


def _outcome(read: Reader, path: Path) -> str:
    try:
        return "made again" if read(path) is None else "read"  # a damaged artefact is as good as none
    except HumanMoveError as error:
        said = error
    assert "\n" not in str(said).strip(), f"an error of several lines: {said}"
    return type(said).__name__


def replies(examples: int) -> dict[str, int]:
    """The same for the reader of models' replies, which refuses nothing."""
    found: Counter[str] = Counter()
    words = st.sampled_from(
        ["A", "(B)", "answer is", "<answer>", "</answer>", "<think>", "**C**", '{"answer":', '"D"}', "not", "or", "option", "\n"]
    )
    texts = st.one_of(st.text(max_size=400), st.lists(st.one_of(words, st.text(max_size=12)), max_size=60).map(" ".join))

    @settings(max_examples=examples, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(texts, st.integers(2, 8), st.integers(1, 40))
    def one(reply: str, n: int, times: int) -> None:
        started = time.monotonic()
        choice = prompts.parse(reply * times, n, [f"option {k}" for k in range(n)])
        assert choice is None or 0 <= choice < n
        assert time.monotonic() - started < LONGEST_S, "replies: hangs"
        found["read" if choice is not None else "unreadable"] += 1

    one()
    return dict(sorted(found.items()))


def everything(examples: int) -> dict[str, dict[str, int]]:
    """Every reader's counts."""
    return {**{name: against(name, examples) for name in TARGETS}, "replies": replies(examples)}


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    print(json.dumps(everything(int(sys.argv[1]) if len(sys.argv) > 1 else 1000), indent=1))
