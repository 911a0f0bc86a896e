"""Where the project is installed: without its extras, on every Python that it names, from a wheel, and beside somebody else's `builder`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy as np
import pytest
from packaged import TEST
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from builder.performer import Turn, Walk, perform

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHONS = sorted(text.rpartition(" ")[2] for text in PROJECT["classifiers"] if text.startswith("Programming Language :: Python :: 3."))
COMMAND = "import sys\nfrom humanmovevqa import main\nsys.exit(main())\n"  # what pip writes into bin/humanmovevqa
LOAD = """
import sys
from datasets import load_dataset
import humanmovevqa
print(sum(len(split) for split in load_dataset("./humanmovevqa").values()), len(humanmovevqa.load(split="test", data_dir=sys.argv[1])))
"""
WITHOUT = """
from importlib.machinery import PathFinder
found = PathFinder.find_spec
PathFinder.find_spec = staticmethod(lambda name, *more: None if name.partition(".")[0] in BLOCKED else found(name, *more))
"""


def names(lines: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in lines}


def extra_modules() -> set[str]:
    """The modules that only the extras bring."""
    optional = set().union(*(names(lines) for extra, lines in PROJECT["optional-dependencies"].items() if extra != "dev"))
    only = optional - names(PROJECT["dependencies"])
    return {module for module, owners in packages_distributions().items() if {canonicalize_name(o) for o in owners} <= only}


def offline(home: Path, **more: str) -> dict[str, str]:
    keep = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    return keep | {"HOME": str(home), "HF_HUB_OFFLINE": "1", "OPENBLAS_NUM_THREADS": "1", "TQDM_DISABLE": "1"} | more


def tracks(folder: Path) -> Path:
    """Two people's tracks, as somebody would bring them."""
    folder.mkdir(parents=True)
    for seed in (1, 2):
        walk = perform([Walk(3.0), Turn(90.0), Walk(2.0), Turn(-60.0), Walk(1.5)], seed=seed)
        np.savez(folder / f"walk{seed}.npz", trans=walk.position_m, root_rot=walk.body_to_world, fps=30.0, up="y")
    return folder


def test_the_core_alone_builds_and_loads(tmp_path: Path):
    """As without the extras: none of their modules can be imported, and nothing asks for one."""
    blocked = extra_modules()
    assert {"av", "gradio", "torch", "transformers"} <= blocked
    assert not blocked & {"datasets", "numpy", "PIL", "pyarrow"}
    tracks(tmp_path / "tracks")
    before = f"BLOCKED = {sorted(blocked)!r}\n{WITHOUT}"

    def run(code: str, *arguments: str) -> str:
        command = [sys.executable, "-c", before + code, *arguments]
        environment = offline(tmp_path, PYTHONPATH=str(ROOT))
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run(COMMAND, "--help").startswith("usage: humanmovevqa")
    run(COMMAND, "build", "--source", "tracks=tracks", "--workers", "1", "--quiet")
    assert (tmp_path / "humanmovevqa" / "report.html").stat().st_size > 10_000
    asked, sample = map(int, run(LOAD, str(ROOT / "builder" / "sample")).split())
    assert asked == sum(json.loads((tmp_path / "humanmovevqa" / "build_info.json").read_bytes())["generated"]["after"].values()) > 0
    assert sample == TEST
    run(COMMAND, "evaluate", "--model", "blind", "--quiet", "--data", str(ROOT / "builder" / "sample"))


def test_a_missing_extra_is_one_line(tmp_path: Path):
    code = f"BLOCKED = {sorted(extra_modules())!r}\n{WITHOUT}{COMMAND}"
    environment = offline(tmp_path, PYTHONPATH=str(ROOT))
    for arguments in (["demo"], ["evaluate", "--model", "qwen3_vl=some/checkpoint", "--quiet"]):
        command = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
        assert "pip install" in done.stderr


def test_somebody_elses_builder_is_one_sentence(tmp_path: Path):
    """On the path before ours: the command says it in a line and exits with 2, the import says the same as an ImportError."""
    (tmp_path / "theirs" / "builder").mkdir(parents=True)
    (tmp_path / "theirs" / "builder" / "__init__.py").touch()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "humanmovevqa").write_text(COMMAND)
    environment = offline(tmp_path, PYTHONPATH=os.pathsep.join([str(tmp_path / "theirs"), str(ROOT)]))

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)

    command = run(str(tmp_path / "bin" / "humanmovevqa"), "list")
    assert (command.returncode, command.stdout, len(command.stderr.splitlines())) == (2, "", 1)
    assert f"found another one at {tmp_path / 'theirs' / 'builder'}" in command.stderr
    imported = run("-c", "import humanmovevqa")
    assert imported.stderr.splitlines()[-1] == f"ImportError: {command.stderr.strip()}"


def interpreter(version: str) -> str:
    """Where Python `version` ("3.12") is on this machine, or a skip."""
    places = [f"python{version}", *map(str, sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python")))]
    for place in places:
        if found := shutil.which(place):
            if subprocess.run([found, "-c", "import ssl, venv"], capture_output=True).returncode == 0:
                return found
    pytest.skip(f"Python {version} is not on this machine")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    skip = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "humanmovevqa", "work", "runs", "tests")
    shutil.copytree(ROOT, folder / "tree", ignore=skip)
    command = [sys.executable, "-m", "pip", "wheel", "./tree", "--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", str(folder)]
    subprocess.run(command, cwd=folder, check=True, timeout=300)
    (made,) = folder.glob("*.whl")
    return made


@pytest.mark.slow
@pytest.mark.parametrize("version", PYTHONS)
def test_the_wheel_works_in_an_empty_environment(version: str, wheel: Path, tmp_path: Path):
    """Wheel and core dependencies alone, an empty HOME, another folder; every Python gives the same bytes."""
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([interpreter(version), "-m", "venv", tmp_path / "venv"], check=True, timeout=120)
    install = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--quiet", str(wheel)]
    done = subprocess.run(install, capture_output=True, text=True, timeout=550)
    if done.returncode and ("No matching distribution" in done.stderr or "Connection" in done.stderr):
        pytest.skip(f"no index to install from: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    here = tmp_path / "elsewhere"
    tracks(here / "tracks")

    def run(*words: str) -> str:
        done = subprocess.run(words, cwd=here, env=offline(tmp_path / "home"), capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, done.stderr
        return done.stdout

    command = str(python.with_name("humanmovevqa"))
    assert run(command, "--help").startswith("usage: humanmovevqa")
    run(command, "build", "--source", "tracks=tracks", "--workers", "1", "--quiet", "--no-report")
    assert (here / "humanmovevqa" / "manifest.json").read_bytes() == here_and_now(tmp_path / "own")
    home = run(str(python), "-c", "import builder; print(builder.__path__[0])").strip()
    assert Path(home).is_relative_to(tmp_path / "venv")
    assert run(str(python), "-c", LOAD, f"{home}/sample").split()[1] == str(TEST)
    run(command, "evaluate", "--model", "blind", "--quiet", "--data", f"{home}/sample")


def here_and_now(folder: Path) -> bytes:
    """The manifest of the same build by this checkout and this Python."""
    tracks(folder / "tracks")
    command = [
        sys.executable,
        str(ROOT / "humanmovevqa.py"),
        "build",
        "--source",
        "tracks=tracks",
        "--workers",
        "1",
        "--quiet",
        "--no-report",
    ]
    subprocess.run(command, cwd=folder, env=offline(folder), check=True, timeout=180)
    return (folder / "humanmovevqa" / "manifest.json").read_bytes()
