"""The stages on datatrove: the same bytes as one process, whatever fails on the way; SLURM through a stand-in that runs its scripts."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from test_pipeline import content

from builder import cli, cluster, lifting, pipeline
from builder.recipe import FOLDER as RECIPES
from builder.types import BuildError

pytest.importorskip("datatrove", reason="datatrove is an extra")
ROOT = Path(__file__).resolve().parents[1]
NAMES = ("a", "b", "c", "d", "e", "f")

# Somebody's lifter: it puts down what it lifts, and while the file "trouble" is there some clips cannot be done.
LIFTER = """
import os
import signal
from dataclasses import replace
from pathlib import Path
from builder.performer import Turn, Wait, Walk, perform
from builder.types import LiftError, NotNowError

ABOUT = {"title": "stand-in", "licence": "none"}

def load(here):
    def lift(clip):
        with open(Path(here) / "seen", "a") as f:
            f.write(clip.video.stem + "\\n")
        if (Path(here) / "trouble").exists() and clip.video.stem == "b":
            raise NotNowError("out of GPU memory")
        if (Path(here) / "murder").exists() and clip.video.stem == "c":
            os.kill(os.getpid(), signal.SIGKILL)
        if (Path(here) / "trouble").exists() and clip.video.stem == "d":
            raise RuntimeError("a defect")
        if clip.video.stem == "f":
            raise LiftError("nobody is in view")
        script = [Walk(3.0), Turn(100.0), Wait(1.0), Walk(2.0, 90.0), Turn(-60.0), Walk(1.5)]
        return [replace(perform(script, seed=clip.video.stem, clip_id=clip.clip_id), lifter="standin")]
    return lift
"""

SBATCH = """#!/bin/bash
n=$(ls "$JOBS" | wc -l)
for last; do true; done
cp "$last" "$JOBS/$n.slurm"
echo "${@:1:$#-1}" > "$JOBS/$n.args"
echo "Submitted batch job $n"
if [ -n "$HOLD" ] || grep -q merge_stats "$last"; then exit 0; fi
tasks=$(sed -n 's/#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$last")
for t in $(seq 0 "$tasks"); do
  export SLURM_ARRAY_TASK_ID=$t RUN_OFFSET=0 SLURM_NODELIST=node SLURM_JOB_ID=$n
  bash "$last" >> "$JOBS/$n.out" 2>&1 || echo "task $t: $?" >> "$JOBS/failed"
done
"""
PROGRAMS = {
    "sbatch": SBATCH,
    "srun": '#!/bin/bash\nwhile [[ "$1" == -* || "$1" =~ ^[0-9]+$ ]]; do shift; done\nexec "$@"\n',
    "scontrol": '#!/bin/bash\necho "${@: -1}"\n',
    "launch_pickled_pipeline": f'#!/bin/bash\nexec {sys.executable} -m datatrove.tools.launch_pickled_pipeline "$@"\n',
}


def quick(folder: Path) -> Path:
    """A recipe that doubts little, so that asking is soon done."""
    text = (RECIPES / "default.toml").read_text()
    (folder / "quick.toml").write_text(text.replace("copies = 16", "copies = 2").replace("agree = 15", "agree = 2"))
    return folder / "quick.toml"


class Site:
    """Videos, a lifter of somebody's, and the command line over them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.recipe = folder, quick(folder)
        self.videos = folder / "videos"
        self.videos.mkdir()
        for name in NAMES:
            (self.videos / f"{name}.mp4").write_bytes(name.encode())
        (folder / "sites_for_test").mkdir()
        (folder / "sites_for_test" / "__init__.py").touch()
        (folder / "sites_for_test" / "lifter.py").write_text(LIFTER)

    def build(self, name: str, *more: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """`humanmovevqa build` into folders of this name."""
        command = [sys.executable, str(ROOT / "humanmovevqa.py"), "build", "--source", f"folder={self.videos}", "--no-report"]
        command += ["--recipe", str(self.recipe), "--lifter", "sites_for_test.lifter", "--option", f"here={self.folder}"]
        command += ["--work", str(self.folder / f"{name}-work"), "--out", str(self.folder / f"{name}-out"), *more]
        path = os.pathsep.join([str(self.folder), str(ROOT)])
        env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": path, **environment}
        return subprocess.run(command, capture_output=True, text=True, timeout=300, env=env, cwd=self.folder)

    def seen(self) -> list[str]:
        """What was lifted so far, in all builds."""
        file = self.folder / "seen"
        return file.read_text().split() if file.exists() else []

    def content(self, name: str) -> dict[str, bytes]:
        return content(self.folder / f"{name}-out")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    made = Site(tmp_path_factory.mktemp("site"))
    done = made.build("plain", "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert sorted(made.seen()) == list(NAMES)
    return made


def test_four_local_tasks_that_fail_and_are_run_again_give_the_same_bytes(site: Site):
    (site.folder / "trouble").touch()
    before = len(site.seen())
    failed = site.build("local", "--engine", "datatrove", "--tasks", "4", "--workers", "2")
    assert failed.returncode != 0
    assert not (site.folder / "local-out").exists()
    logs = site.folder / "local-work" / "datatrove" / "lift-4"
    assert not {"00001", "00003"} & {p.name for p in (logs / "completions").glob("*")}, "b and d are in tasks 1 and 3"
    (site.folder / "trouble").unlink()
    lifted = {p.name.partition("@")[0] for p in (site.folder / "local-work" / "tracks").glob("*.npz")}
    done = site.build("local", "--engine", "datatrove", "--tasks", "4", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert site.content("local") == site.content("plain")
    again = site.seen()[before:]
    assert all(again.count(name.removeprefix("folder%2F")) == 1 for name in lifted), "what was finished was lifted again"
    assert (
        "skipped folder/f: nobody is in view"
        in (site.folder / "local-work/datatrove/merge-1/logs/task_00000.log").read_text() + done.stdout
    )


def test_a_local_task_that_is_killed_is_one_line_and_not_waited_for(site: Site):
    (site.folder / "murder").touch()
    killed = site.build("killed", "--engine", "datatrove", "--tasks", "3", "--workers", "2")
    (site.folder / "murder").unlink()
    assert killed.returncode == 2
    assert "a process that ran a task was killed" in killed.stderr.splitlines()[-1]
    done = site.build("killed", "--engine", "datatrove", "--tasks", "3", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert site.content("killed") == site.content("plain")
    assert not list((site.folder / "killed-work" / "datatrove").glob("at-work-*"))


def test_slurm_gets_a_script_for_each_stage_and_they_work(site: Site, tmp_path: Path):
    jobs, programs = tmp_path / "jobs", tmp_path / "bin"
    jobs.mkdir()
    programs.mkdir()
    for name, text in PROGRAMS.items():
        (programs / name).write_text(text)
        (programs / name).chmod(stat.S_IRWXU)
    options = ("--engine", "datatrove", "--executor", "slurm", "--tasks", "3", "--workers", "2")
    resources = ("--resources", "lift:gpus=2,partition=a100,account=vision,env=:", "--resources", "ask:env=:", "--resources", "merge:env=:")
    environment = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "JOBS": str(jobs)}
    done = site.build("slurm", *options, *resources, **environment)
    assert done.returncode == 0, done.stderr
    scripts = [p.read_text() for p in sorted(jobs.glob("*.slurm"), key=lambda p: int(p.stem)) if "launch_pickled" in p.read_text()]
    assert [s.split("--job-name=")[1].split()[0] for s in scripts] == [f"humanmovevqa-{stage}" for stage in cluster.STAGES]
    lift, ask, merge = scripts
    for line in ("gpus=2", "partition=a100", "account=vision", "array=0-2%2", "cpus-per-task=4", "mem-per-cpu=8G"):
        assert f"#SBATCH --{line}\n" in lift
    assert "--gpus" not in ask
    assert "array=0-0%1" in merge
    arguments = [p.read_text() for p in sorted(jobs.glob("*.args"), key=lambda p: int(p.stem))]
    assert sum("--dependency=afterok:" in a for a in arguments) == 2
    assert not (jobs / "failed").exists(), "".join(p.read_text() for p in jobs.glob("*.out"))[-3000:]
    assert site.content("slurm") == site.content("plain")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--tasks", "2"], "--tasks, --executor and --resources are for --engine datatrove"),
        (["--engine", "datatrove", "--stage", "lift"], "leave --rank, --world-size and --stage out"),
        (["--engine", "datatrove", "--resources", "lift=4"], "--resources lift=4: expected STAGE:KEY=VALUE,..."),
        (
            ["--engine", "datatrove", "--resources", "lift:gpus=many"],
            "--resources lift:gpus=many: expected a whole number for gpus, got many",
        ),
    ],
)
def test_what_makes_no_sense_is_one_line(options: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    places = ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]
    assert cli.main(["build", "--source", "synthetic=1", *places, *options]) == 2
    assert line in capsys.readouterr().err
    assert not (tmp_path / "work" / "questions").exists()


def test_without_ray_or_datatrove_the_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    options = [
        "build",
        "--source",
        "synthetic=1",
        "--work",
        str(tmp_path / "work"),
        "--out",
        str(tmp_path / "out"),
        "--engine",
        "datatrove",
    ]
    for missing, extra in (("ray", ["--executor", "ray"]), ("datatrove", [])):
        monkeypatch.setattr(cluster, "find_spec", lambda name, missing=missing: None if name == missing else name)
        assert cli.main([*options, *extra]) == 2
        assert f"needs {missing}" in capsys.readouterr().err


def test_resources_are_the_usual_ones_unless_said():
    found = cluster.resources_of(["ask:cpus=3,qos=low"])
    assert found["ask"] == {**cluster.RESOURCES["ask"], "cpus": "3", "qos": "low"}
    assert found["lift"] == cluster.RESOURCES["lift"]
    with pytest.raises(BuildError):
        cluster.resources_of(["sleep:cpus=1"])


def test_tasks_are_the_shares_of_rank_and_world_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from builder import recipe

    done: list[list[str]] = []
    monkeypatch.setattr(pipeline, "process", lambda clips, *_: done.append([c.clip_id for c in clips]))
    monkeypatch.setattr(cluster, "unfinished", lambda *_: False)
    order = cluster.Order(pipeline.Plan((("synthetic", "5"),), "", recipe.load(), tmp_path), tmp_path / "out")
    for rank in range(2):
        cluster.Step("ask", order)(None, rank, 2)
    assert [[name[-1] for name in share] for share in done] == [["0", "2", "4"], ["1", "3"]]
    assert json.dumps(repr(cluster.Step("ask", order))).count("Recipe") == 0
    assert lifting.LATER == "later"
