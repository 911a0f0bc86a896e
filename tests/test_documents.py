"""What the documents say holds: links lead somewhere, commands exist and are run or say why not, numbers are those that were measured."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import documents
import pytest
from packaged import INFO, TEST, TRAIN

from builder import cli, plugins, recipe, rows
from builder.recipe import FOLDER as RECIPES
from builder.train import studies

ROOT = documents.ROOT
GUIDES = [name for name in documents.DOCUMENTS if not name.startswith(("cards/", "builder/"))]
README = documents.text("README.md")
MAKE = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]

# Commands of the documents that a test runs as they stand, by the test that does.
RUN = {
    "here": {
        "humanmovevqa list",
        "humanmovevqa evaluate --model blind",
        "humanmovevqa verify",
        "make help",
    },
    "test_contributing.py": set(documents.commands(documents.text("CONTRIBUTING.md"))),
    "test_strangers.py": {
        "humanmovevqa evaluate --model blind --out runs/blind",
        "humanmovevqa evaluate --model openai_api=my-model --option url=http://localhost:8000/v1 --out runs/mine",
        "humanmovevqa score runs/mine runs/blind --out scores",
        "humanmovevqa compare runs/blind runs/mine",
        "humanmovevqa check emdb=/data/EMDB",
        "humanmovevqa videos emdb=/data/EMDB --out clips",
        "humanmovevqa build --source emdb=/data/EMDB",
        "humanmovevqa verify --videos clips",
        "humanmovevqa push your-name/humanmovevqa --dry-run",
    },
}
# The others are only read by the real parser.  Why they are not run: the first pattern that fits says it.
READ_ONLY = (
    (r"^make (build|test|lint)$", "continuous integration runs it (.ci/run)"),
    (r"^make (demo|bench|evidence|sample|gallery|clean)$", "minutes or hours, or it changes the checkout"),
    (r"^python tests/(evidence|benchmarks/download)\.py", "minutes or hours, or an index of packages"),
    (r"^(hf|pip|srun|for) ", "another program's command"),
    (r"humanmovevqa status ", "a work folder of yours; test_standing.py runs it on its own"),
    (r"emdb=|rich=|egobody=|ROOT", "a licensed copy; test_datasets_broken.py and test_strangers.py run the like on generated ones"),
    (r" push |--data your-name/", "a Hub; test_hub_push.py and test_exports.py run the like against one on this machine"),
    (
        r"^humanmovevqa train|export (llamafactory|chat-jsonl)",
        "weights or an hour; test_train.py and test_sft.py run the like on small ones",
    ),
    (
        r"--model (qwen3_vl|transformers_vlm|openai_api|human|replay)",
        "weights, a server or a person; test_evaluate.py has stand-ins for each",
    ),
    (r"--lifter|--captioner|lift |folder=", "weights or another program; the slow tests run the like"),
    (r"tracks=FOLDER|--data released/|--model track_reader", "files of yours; test_cli.py and test_rows.py run the like on generated ones"),
    (r"^humanmovevqa build( --source synthetic=1000)?$", "minutes; test_cli.py builds less"),
    (
        r"^humanmovevqa (score|compare)( runs/(\*|A|B|video|blind|shuffled))+( --out scores)?$",
        "runs of yours; test_evaluate.py makes its own",
    ),
    (r"^humanmovevqa export lmms-eval --out task$", "a folder of yours; test_exports.py writes another"),
    (r"^humanmovevqa demo --port 7860$", "it goes on until it is stopped; test_demo_browser.py opens it"),
)


@pytest.mark.parametrize("document", documents.DOCUMENTS)
def test_links_lead_somewhere(document: str):
    page, here = documents.text(document), (ROOT / document).parent
    broken = []
    for link in documents.links(page):
        if "{{" in link or "{%" in link:
            continue  # filled in by the card's template
        path, _, anchor = link.partition("#")
        target = (here / path).resolve() if path else ROOT / document
        if not target.exists() or not target.is_relative_to(ROOT):
            broken.append(f"{link}: no such file")
        elif anchor and anchor not in documents.anchors(target.read_text(encoding="utf-8")):
            broken.append(f"{link}: no such heading")
    assert broken == []


def test_a_broken_link_would_be_found():
    page = "# A heading, with `code` \n[x](#a-heading-with-code) ![y](no.png)\n```\n[not](a.link)\n```\n"
    assert documents.links(page) == ["#a-heading-with-code", "no.png"]
    assert documents.anchors(page) == {"a-heading-with-code"}


def parsed(words: list[str]) -> str:
    """What the real parser has against a command, "" when nothing."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            cli.parser().parse_args(words[1:])
    except SystemExit as stop:
        return said.getvalue() if stop.code else ""
    return ""


@pytest.mark.parametrize("document", GUIDES)
def test_commands_parse(document: str):
    wrong = {}
    for command in documents.commands(documents.text(document)):
        words = documents.words_of(command)
        if words[0] == "humanmovevqa":
            wrong[command] = parsed(words)
        elif words[0] == "make":
            wrong[command] = "" if words[1] in MAKE else "no such target"
        elif words[0] == "python" and words[1] != "-c":
            wrong[command] = "" if (ROOT / words[1]).is_file() else "no such file"
    assert {command: why for command, why in wrong.items() if why} == {}


@pytest.mark.parametrize("document", GUIDES)
def test_what_commands_name_exists(document: str):
    """Sources, lifters, models and recipes, which the parser takes as any text; a page may name one that it adds itself."""
    page, wrong = documents.text(document), []
    added = {(kind, name) for kind, name in re.findall(r"^# builder/(\w+)/(\w+)\.(?:py|toml)$", page, re.M)}
    for command in documents.commands(page):
        words = documents.words_of(command)
        if words[0] != "humanmovevqa" or words[1] in ("--help", "demo"):
            continue
        args = vars(cli.parser().parse_args(words[1:]))
        sources = args.get("source") or []
        named = [("sources", text) for text in ([sources] if isinstance(sources, str) else sources)]
        named += [(f"{kind}s", args[kind]) for kind in ("lifter", "model", "recipe") if isinstance(args.get(kind), str)]
        for kind, text in named:
            name = text.partition("=")[0].removeprefix("mypackage.")
            known = (*recipe.names(), *studies.STUDIES) if kind == "recipes" else plugins.names(kind)
            if name not in ("", *known, "SOURCE") and (kind, name) not in added and not name.endswith(".toml"):
                wrong.append(f"{command}: no {kind[:-1]} {name!r}")
    assert wrong == []


@pytest.mark.parametrize("document", GUIDES)
def test_what_the_prose_calls_a_command_is_one(document: str):
    top = next(a.choices for a in cli.parser()._actions if a.dest == "verb")
    wrong = []
    for words in map(str.split, documents.mentions(documents.text(document))):
        if words[0] == "make" and words[1] not in MAKE:
            wrong.append(" ".join(words))
        if words[0] == "humanmovevqa" and words[1] not in ("VERB", "--help"):
            one = top.get(words[1])
            if one is not None and words[1] == "export" and len(words) > 2 and words[2] != "FORMAT":
                one = next(a.choices for a in one._actions if a.dest == "format").get(words[2])
            known = set(one._option_string_actions) if one else set()
            wrong += [" ".join(words)] * bool(not one or {w for w in words if w.startswith("--")} - known)
    assert wrong == []


def test_every_command_is_run_or_says_why_not():
    run = set().union(*RUN.values())
    shown = {command for document in GUIDES for command in documents.commands(documents.text(document))}
    assert sorted(run - shown) == [], "no document shows this any more"
    assert sorted(c for c in shown - run if not any(re.search(pattern, c) for pattern, _ in READ_ONLY)) == []
    walks = (ROOT / "tests" / "test_strangers.py").read_text(encoding="utf-8")
    assert 'walk("Evaluate a model tonight.")' in walks
    assert 'walk("Rebuild from a licensed copy, and push.")' in walks


@pytest.mark.parametrize("command", sorted(RUN["here"]))
def test_commands_run(command: str, tmp_path: Path):
    words = documents.words_of(command)
    program = [sys.executable, str(ROOT / "humanmovevqa.py")] if words[0] == "humanmovevqa" else ["make", "-C", str(ROOT)]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([*program, *words[1:]], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_readme_python_runs(tmp_path: Path):
    """Every Python block of README, in one process, in a folder that holds a built one."""
    shutil.copytree(rows.SAMPLE, tmp_path / "humanmovevqa")
    code = "\n".join(code for language, code in documents.blocks(README) if language == "python")
    assert "load_dataset" in code
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", f"{code}\nprint({{s: len(d) for s, d in questions.items()}})"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == str({"train": TRAIN, "test": TEST}), done.stderr


def test_make_help_lists_every_target():
    done = subprocess.run(["make", "-C", str(ROOT), "--no-print-directory", "help"], capture_output=True, text=True, timeout=60)
    assert {line.split()[1] for line in done.stdout.splitlines()} == MAKE
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_modules_that_the_architecture_names_exist():
    page = documents.text("docs/architecture.md").partition("## Files")[0]
    named = set(re.findall(r"(?:builder|demo|tests|cards)/[\w/.]*\w/?", page))
    assert len(named) > 30
    assert sorted(name for name in named if not (ROOT / name.rstrip("/")).exists()) == []


def test_layers_are_drawn_as_they_are_tested():
    import test_layers

    page = documents.text("docs/architecture.md")
    (drawn,) = [code for _, code in documents.blocks(page) if code.startswith("demo  humanmovevqa")]
    layers = [set(re.sub(r"\(.*", "", line).split()) for line in drawn.splitlines()]
    assert layers[::-1] == [{"stages"} if "(stages)" in layer else set(layer) for layer in test_layers.LAYERS]


def test_numbers_of_the_sample_are_those_of_its_build():
    assert sum(INFO["generated"]["after"].values()) == TRAIN + TEST
    assert f"packaged sample's test split ({TEST} questions about 3 rendered clips" in README
    assert INFO["generated"]["tracks"] == 12
    assert "the dozen clips of the packaged sample" in README


def test_numbers_of_an_answer_are_those_of_the_recipe():
    recipe = tomllib.loads((RECIPES / "default.toml").read_text(encoding="utf-8"))
    channels = recipe["channels"]
    least = [channels[c]["minimum"] for c in ("displacement_z", "displacement_y", "rotation_yaw", "rotation_pitch")]
    assert least == [0.3, 0.2, 30.0, 20.0]
    assert "it counts from 30 cm (20 cm up or down, 30 degrees of turning, 20 of leaning)" in README
    assert "a pause of half a second ends it" in README
    assert channels["displacement_z"]["pause_s"] == 0.5
    robustness = recipe["robustness"]
    assert f"kept if {robustness['agree']} of {robustness['copies']} perturbed copies" in README


def test_label_truth_is_tested_as_widely_as_readme_says():
    from script_oracle import PEOPLE

    tests = {name: (ROOT / "tests" / name).read_text(encoding="utf-8") for name in ("test_facts.py", "test_truth.py")}
    floors = re.findall(r"\((?:False|True), (\d+)\)", tests["test_facts.py"])
    assert f"(at least {sum(map(int, floors)):,} decided answers)" in README
    assert f"over {len(PEOPLE)} scripted people" in README
    (least,) = re.findall(r"assert len\(decided\) >= max\((\d+)", tests["test_truth.py"])
    assert f"(at least {int(least):,})" in README


def test_documents_stay_small():
    prose = re.sub(r"<!-- measured: begin -->.*<!-- measured: end -->", "", README, flags=re.S)
    assert len(prose.encode()) < 13_000
    assert len(README.encode()) < 20_000
    assert sum(p.stat().st_size for p in (ROOT / "docs").rglob("*") if p.is_file()) < 3_000_000


def test_the_page_is_no_dataset_card():
    """`datasets` would read YAML at the head of README.md as the description of a dataset in this folder."""
    assert not README.startswith("---")
