"""The folder is the registry: what is in it is listed and loaded by name, what is not says what is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder import evaluate, plugins, prompts, rows, watching
from builder.types import HumanMoveError, PluginError

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("package", plugins.PACKAGES)
def test_names_are_the_files_of_the_folder(package: str):
    files = {p.stem for p in (ROOT / "builder" / package).glob("[!_]*.py")}
    assert set(plugins.names(package)) >= files
    assert plugins.names(package) == sorted(plugins.names(package))


def test_listing_imports_no_plugin():
    code = """
import sys
from builder import plugins
listed = [f"builder.{p}.{n}" for p in plugins.PACKAGES for n in plugins.names(p)]
assert listed
print([name for name in listed if name in sys.modules])
"""
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.stdout.strip() == "[]", run.stderr


def test_a_known_name_is_its_module():
    for name in plugins.names("questions"):
        assert plugins.load("questions", name, ("CATEGORY", "ask", "explain")).__name__ == f"builder.questions.{name}"


@pytest.mark.parametrize("package", plugins.PACKAGES)
def test_an_unknown_name_says_which_there_are(package: str):
    with pytest.raises(PluginError) as caught:
        plugins.load(package, "nosuch")
    message = str(caught.value)
    assert "'nosuch'" in message
    assert package in message
    assert all(name in message for name in plugins.names(package))
    assert "\n" not in message


@pytest.mark.parametrize("name", ["nosuch.module", "builder.questions.nosuch", ".numerical", "..", "numerical."])
def test_a_dotted_path_that_leads_nowhere_is_said_in_one_line(name: str):
    with pytest.raises(PluginError) as caught:
        plugins.load("questions", name)
    assert repr(name) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of somebody else's, on the path."""
    folder = tmp_path / "theirs_for_test"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.startswith(folder.name)]:
        del sys.modules[name]


def test_an_outside_plugin_is_a_dotted_path(outside: Path):
    (outside / "family.py").write_text("CATEGORY = 'numerical'\n\ndef ask(*args):\n    return []\n")
    module = plugins.load("questions", "theirs_for_test.family", ("CATEGORY", "ask"))
    assert module.ask() == []
    assert "theirs_for_test.family" not in plugins.names("questions")


def test_what_a_plugin_lacks_is_named_with_its_file(outside: Path):
    (outside / "empty.py").write_text("CATEGORY = 'numerical'\n")
    with pytest.raises(PluginError, match=r"lacks 'ask'") as caught:
        plugins.load("questions", "theirs_for_test.empty", ("CATEGORY", "ask"))
    assert str(outside / "empty.py") in str(caught.value)


def test_a_package_that_a_plugin_needs_is_named(outside: Path):
    (outside / "hungry.py").write_text("import nosuch_package_for_test\n")
    with pytest.raises(PluginError, match="nosuch_package_for_test"):
        plugins.load("lifters", "theirs_for_test.hungry")


def test_a_bug_in_a_plugin_keeps_its_traceback(outside: Path):
    (outside / "broken.py").write_text("1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        plugins.load("lifters", "theirs_for_test.broken")


# Models that need no server and no weights but packaged ones answer; those that do say so in one line when they are given none.
WEIGHTLESS = ("blind", "chance", "constant", "geometry", "majority", "track_reader")


@pytest.mark.parametrize("name", plugins.names("models"))
def test_a_model_says_what_it_is_and_what_it_sees(name: str):
    module = evaluate.plugin(name)
    assert module.ABOUT["title"]
    assert module.ABOUT["sees"] in watching.SEES
    assert set(module.ABOUT.get("needs", ())) <= {"train", "shown", "recipe"}
    assert module.__doc__
    assert module.load.__doc__


@pytest.mark.parametrize("name", plugins.names("models"))
def test_a_model_answers_or_says_what_it_lacks(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The contract: at most one readable reply per prompt, in any order, the same when asked again."""
    monkeypatch.setattr(sys, "stdin", None if name != "human" else __import__("io").StringIO("A\n" * 16))
    data = rows.read(str(rows.SAMPLE))
    plan = evaluate.Plan(name, limit=8, train=lambda: rows.read(str(rows.SAMPLE), "all", "train"))
    if name not in (*WEIGHTLESS, "human"):
        with pytest.raises(HumanMoveError) as caught:
            evaluate.evaluate(data, plan, tmp_path / "run", lambda *a: None, lambda text: None)
        assert "\n" not in str(caught.value)
        assert f"{name}=" in str(caught.value)
        return
    runs = [evaluate.evaluate(data, plan, tmp_path / out, lambda *a: None, lambda text: None) for out in ("once", "again")]
    assert [s["question_id"] for s in runs[0].samples] == sorted({s["question_id"] for s in runs[0].samples})
    assert len(runs[0].samples) == 8
    for sample in runs[0].samples:
        assert prompts.parse(sample["reply"], sample["num_options"], sample["options"]) == sample["choice"] is not None
    assert [s["reply"] for s in runs[0].samples] == [s["reply"] for s in runs[1].samples]
