"""What a person installs agrees with what is there: requirements, wheel, and the tree that docs/architecture.md draws."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import documents
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXTRAS = PROJECT["optional-dependencies"]
DECLARED = [Requirement(line) for line in [*PROJECT["dependencies"], *(line for lines in EXTRAS.values() for line in lines)]]


def pinned() -> list[Requirement]:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


PINS = {canonicalize_name(r.name): r for r in pinned()}


def test_every_requirement_is_one_exact_public_version():
    assert len(PINS) == len(pinned()), "a name is pinned twice"
    assert [str(r) for r in PINS.values() if not re.fullmatch(r"==[0-9][0-9a-z.]*", str(r.specifier))] == []


@pytest.mark.parametrize("wanted", DECLARED, ids=str)
def test_pyproject_is_pinned_in_requirements(wanted: Requirement):
    assert canonicalize_name(wanted.name) in PINS, "add it to requirements.txt"
    pin = PINS[canonicalize_name(wanted.name)]
    version = next(iter(pin.specifier)).version
    assert wanted.specifier.contains(version), f"requirements.txt has {version}, pyproject.toml asks for {wanted.specifier}"
    assert str(pin.marker or "") == str(wanted.marker or "")


def installed_requirements() -> Iterator[tuple[str, Requirement]]:
    """Each pinned distribution with each thing it needs here, extras left out."""
    for name in PINS:
        try:
            needs = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # pinned for another platform
        yield from ((name, r) for r in map(Requirement, needs) if r.marker is None or r.marker.evaluate({"extra": ""}))


def test_requirements_are_complete():
    missing = sorted({f"{r.name} (for {name})" for name, r in installed_requirements() if canonicalize_name(r.name) not in PINS})
    on_gpu_wheels_only = [m for m in missing if m.startswith(("nvidia-", "cuda-", "triton "))]
    assert missing == on_gpu_wheels_only, "add its pin to requirements.txt"


def test_what_is_imported_is_declared():
    """Modules imported under builder/ and humanmovevqa.py come from the standard library, from us, or from pyproject."""
    declared = {canonicalize_name(r.name) for r in DECLARED}
    owners = packages_distributions()
    wrong = set()
    for path in [p for p in [ROOT / "humanmovevqa.py", *ROOT.glob("builder/**/*.py")] if p.is_file()]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules = [a.name for a in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules = [node.module]
            else:
                continue
            for top in {m.split(".")[0] for m in modules} - set(sys.stdlib_module_names) - {"builder", "humanmovevqa"}:
                if not declared & {canonicalize_name(d) for d in owners.get(top, [top])}:
                    wrong.add(f"{path.relative_to(ROOT)} imports {top}")
    assert sorted(wrong) == [], "name it in pyproject.toml and pin it in requirements.txt"


def drawn_tree() -> set[str]:
    """Paths of the files in architecture.md's tree: one line each, two spaces of indent per folder, folders end with a slash."""
    block = re.search(r"## Files\n.*?```\w*\n(.*?)```", documents.text("docs/architecture.md"), re.S)
    assert block, "docs/architecture.md has no tree under '## Files'"
    files, folders = set(), []
    for line in filter(str.strip, block[1].splitlines()):
        depth = (len(line) - len(line.lstrip())) // 2
        name = line.split()[0]
        assert len(line.split()) > 1, f"docs/architecture.md says nothing about {name}"
        folders[depth:] = [name]
        if not name.endswith("/"):
            files.add("".join(folders))
    return files


def test_the_drawn_tree_is_the_tree():
    there = {p.relative_to(ROOT).as_posix() for folder in ("builder", "cards", "demo") for p in (ROOT / folder).rglob("*.*") if p.is_file()}
    there = {p for p in there if not p.startswith(("builder/sample/", "builder/clips/")) and not p.endswith(("__init__.py", ".pyc"))}
    named = drawn_tree()
    assert sorted(there - named) == [], "these files are not in the tree of docs/architecture.md"
    assert sorted(f for f in named if not (ROOT / f).exists()) == [], "the tree of docs/architecture.md names files that are not there"


def test_no_conflicting_front_matter():
    """`datasets` would read YAML at the head of README.md as the description of a dataset in this folder."""
    assert not README.startswith("---")


def test_entry_point():
    module, function = PROJECT["scripts"]["humanmovevqa"].split(":")
    assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.slow
def test_wheel(tmp_path: Path):
    tree = tmp_path / "tree"
    skip = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "humanmovevqa", "work", "tests")
    shutil.copytree(ROOT, tree, ignore=skip)
    command = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", str(tmp_path)]
    subprocess.run(command, cwd=tree, check=True, timeout=300)
    (wheel,) = tmp_path.glob("humanmovevqa-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
        (entry_points,) = [archive.read(n).decode() for n in inside if n.endswith("entry_points.txt")]
    assert "humanmovevqa = humanmovevqa:main" in entry_points
    shipped = {p.relative_to(tree).as_posix() for folder in ("builder", "cards", "demo") for p in (tree / folder).rglob("*") if p.is_file()}
    assert sorted({"humanmovevqa.py", "builder/recipes/default.toml", "cards/dataset.md"} - inside) == []
    assert sorted(shipped - inside) == [], "files of the project that the wheel leaves behind"
    assert sorted(n for n in inside - shipped if ".dist-info/" not in n and n != "humanmovevqa.py") == []
