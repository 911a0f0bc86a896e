"""The rules of the house that can be read off the source: who may import whom, and what may happen at import."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PLUGIN_PACKAGES = ("sources", "lifters", "questions", "models")
HEAVY = (
    "av",
    "cv2",
    "datatrove",
    "decord",
    "ai_edge_litert",
    "gradio",
    "mannequin",
    "moderngl",
    "peft",
    "pycolmap",
    "smplx",
    "torch",
    "torchcodec",
    "transformers",
)

# From the bottom up: a module imports from its own layer or a lower one.  Whatever is not named here is a stage.
LAYERS = (
    {"types"},
    {"geometry", "plugins", "recipe"},
    {"(stages)"},
    {"assemble", "cluster", "corpus", "evaluate", "pipeline", "plans", "room", "standing", "train", "validate"},
    {"verbs"},
    {"cli"},
    {"humanmovevqa", "demo"},
)
STAGE = 2

FILES = sorted(p for p in [ROOT / "humanmovevqa.py", *ROOT.glob("builder/**/*.py"), *ROOT.glob("demo/**/*.py")] if p.is_file())
BUILDER = [p for p in FILES if ROOT / "builder" in p.parents]


class Import(NamedTuple):
    """One imported module by its absolute name, where, and whether importing the file runs it."""

    module: str
    line: int
    at_import: bool


def module_of(path: Path) -> str:
    """The dotted name of a file: builder/sources/tracks.py is builder.sources.tracks."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(p): p for p in FILES}


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _statements(node: ast.AST, at_import: bool = True) -> Iterator[tuple[ast.AST, bool]]:
    for child in ast.iter_child_nodes(node):
        inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        yield child, at_import
        yield from _statements(child, at_import and not inside)


@cache
def imports(path: Path) -> tuple[Import, ...]:
    """Everything that a file imports, `from package import module` resolved to the module; type-checking blocks left out."""
    out = []
    package = module_of(path).split(".") if path.name == "__init__.py" else module_of(path).split(".")[:-1]
    for node, at_import in _statements(tree_of(path)):
        if isinstance(node, ast.Import):
            out += [Import(a.name, node.lineno, at_import) for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for a in node.names:
                full = f"{base}.{a.name}"
                out.append(Import(full if full in MODULES else base, node.lineno, at_import))
    return tuple(out)


def layer(module: str) -> int:
    parts = module.split(".")
    name = parts[1] if parts[0] == "builder" and len(parts) > 1 else parts[0]
    return next((i for i, names in enumerate(LAYERS) if name in names), STAGE)


def package_of(module: str) -> str | None:
    """The plugin package that a module is a plugin of, or None."""
    parts = module.split(".")
    return parts[1] if len(parts) > 2 and parts[0] == "builder" and parts[1] in PLUGIN_PACKAGES else None


def is_one_of(module: str, names: tuple[str, ...]) -> bool:
    return any(module == n or module.startswith(f"{n}.") for n in names)


def at(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def ours(path: Path) -> list[Import]:
    return [i for i in imports(path) if i.module in MODULES and i.module != "builder"]


def test_imports_point_downwards():
    wrong = [f"{at(p, i.line)} imports {i.module}" for p in FILES for i in ours(p) if layer(i.module) > layer(module_of(p))]
    assert wrong == [], "a module imports only from its own layer or a lower one"


def test_imports_have_no_circle():
    graph = {m: {i.module for i in ours(p)} - {m} for m, p in MODULES.items()}
    while free := [m for m, needs in graph.items() if not needs & graph.keys()]:
        for m in free:
            del graph[m]
    assert graph == {}, "these modules import each other in a circle"


def plugin_of(module: str) -> str:
    """The plugin that a module is or is a part of: builder.lifters.monocular.heading belongs to builder.lifters.monocular."""
    return ".".join(module.split(".")[:3])


def test_plugins_stand_alone():
    foreign = [(p, i) for p in FILES for i in ours(p) if package_of(i.module) and plugin_of(i.module) != plugin_of(module_of(p))]
    wrong = [f"{at(p, i.line)} imports {i.module}" for p, i in foreign]
    assert wrong == [], "a plugin is imported by nobody: builder.plugins loads it by name; share through a stage module"


def test_questions_know_neither_datasets_nor_rows():
    banned = ("datasets", "builder.schema", "builder.export")
    asking = [p for p in BUILDER if (ROOT / "builder" / "questions") in p.parents]
    wrong = [f"{at(p, i.line)} imports {i.module}" for p in asking for i in imports(p) if is_one_of(i.module, banned)]
    assert wrong == []


def test_builder_stands_below_its_users():
    wrong = [f"{at(p, i.line)} imports {i.module}" for p in BUILDER for i in imports(p) if is_one_of(i.module, ("demo", "humanmovevqa"))]
    assert wrong == [], "computation belongs to builder/; demo and humanmovevqa build on it"


def test_heavy_packages_are_imported_where_they_are_used():
    files = [p for p in FILES if not p.is_relative_to(ROOT / "demo")]
    wrong = [f"{at(p, i.line)} imports {i.module}" for p in files for i in imports(p) if i.at_import and is_one_of(i.module, HEAVY)]
    assert wrong == [], "put it inside the function that needs it"


@pytest.mark.parametrize("path", BUILDER, ids=module_of)
def test_file_imports(path: Path):
    importlib.import_module(module_of(path))


def test_importing_everything_loads_nothing_heavy_and_changes_nothing():
    modules = [m for m in MODULES if not is_one_of(m, ("demo",))]
    code = f"""
import importlib, json, logging, os, sys, threading
def state():
    return [dict(os.environ), list(sys.path), [repr(h) for h in logging.root.handlers], threading.active_count()]
before = state()
for name in {modules!r}:
    importlib.import_module(name)
changed = [now for now, then in zip(state(), before) if now != then]
print(json.dumps({{"heavy": [m for m in {HEAVY!r} if m in sys.modules], "changed": changed}}))
"""
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == {"heavy": [], "changed": []}


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_file_names_say_what_is_inside(path: Path):
    words = set(path.stem.strip("_").split("_"))
    assert not words & {"utils", "util", "common", "helpers", "helper", "misc", "part1", "part2", "v1", "v2", "old", "new"}


# What may be called on these modules: constructors of generators that take their seed as an argument.
SEEDED = {
    "numpy.random": {"Generator", "PCG64", "Philox", "SeedSequence", "default_rng"},
    "random": {"Random"},
}
UNSEEDED = ("secrets.", "uuid.uuid1", "uuid.uuid4", "os.urandom")


def dotted(node: ast.AST, aliases: dict[str, str]) -> str:
    """`np.random.seed` as numpy.random.seed, by the file's own imports; "" for anything that is not a plain name."""
    if isinstance(node, ast.Name):
        return aliases.get(node.id, node.id)
    if isinstance(node, ast.Attribute) and (base := dotted(node.value, aliases)):
        return f"{base}.{node.attr}"
    return ""


def global_randomness(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and name of every use of a process-wide or unseeded random source, and of the salted builtin `hash`."""
    aliases: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            aliases |= {a.asname or a.name.split(".")[0]: a.name if a.asname else a.name.split(".")[0] for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            aliases |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func, aliases)
        owner, _, function = name.rpartition(".")
        if owner in SEEDED:
            constructor = function in SEEDED[owner]
            if not constructor or not (node.args or node.keywords):
                yield node.lineno, name
        elif name == "hash" or name.startswith(UNSEEDED):
            yield node.lineno, name


def test_randomness_is_passed_in():
    wrong = [f"{at(p, line)} calls {name}" for p in FILES for line, name in global_randomness(tree_of(p))]
    assert wrong == [], "take a seeded generator as an argument; hash identities with hashlib"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import numpy as np\nnp.random.seed(3)", ["numpy.random.seed"]),
        ("import numpy as np\nnp.random.default_rng()", ["numpy.random.default_rng"]),
        ("import numpy as np\nnp.random.default_rng(3).normal()", []),
        ("from random import choice as pick\npick([1])", ["random.choice"]),
        ("import random\nrandom.Random('7/clip').random()", []),
        ("hash('x')", ["hash"]),
        ("def f(rng):\n    return rng.random()", []),
    ],
)
def test_the_search_for_randomness_finds_it(source: str, found: list[str]):
    assert [name for _, name in global_randomness(ast.parse(source))] == found
