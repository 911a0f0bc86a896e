"""The stages of a build on datatrove's executors: tasks on this machine, a SLURM cluster or a Ray cluster.

    lift (tasks, with GPUs) -> ask (tasks) -> merge (one task, one process)

A task is a rank's share of the clips, as `--rank/--world-size` has it, so whatever runs it leaves the same artefacts; everything about
processes, queues, logs and what is done already is datatrove's.  Its logs lie in `<work>/datatrove/<stage>-<tasks>/`.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from builder import corpus, lifting, pipeline, store
from builder.lifting import FAILED, LATER, TRUTH
from builder.types import BuildError, Clip, NotNowError, SetupError
from builder.workers import unseen

STAGES = ("lift", "ask", "merge")
LOGS = "datatrove"
# What a task of each stage gets where `--resources` does not say otherwise; `time` and `partition` are SLURM's.
RESOURCES: Mapping[str, Mapping[str, str]] = {
    "lift": {"gpus": "1", "cpus": "4", "memory_gb": "32", "time": "24:00:00", "partition": "gpu"},
    "ask": {"gpus": "0", "cpus": "1", "memory_gb": "4", "time": "24:00:00", "partition": "cpu"},
    "merge": {"gpus": "0", "cpus": "1", "memory_gb": "16", "time": "24:00:00", "partition": "cpu"},
}
NUMBERS = ("gpus", "cpus", "memory_gb")


@dataclass(frozen=True)
class Order:
    """What is to be run: the plan, where the dataset goes, and how the merge is to be (as `corpus.merge` takes it)."""

    plan: pipeline.Plan
    out: Path
    strict: bool = False
    report: bool = True


@dataclass(frozen=True)
class Step:
    """One stage as datatrove calls it, for one task; picklable."""

    stage: str
    order: Order = field(repr=False)
    notes: Path | None = None  # where `_watched` looks

    def __call__(self, data: Any, rank: int = 0, world_size: int = 1) -> None:
        """Do a task's share.  Raises NotNowError when clips of it could not be done now, so that the task counts as unfinished."""
        note = None if self.notes is None else self.notes / str(os.getpid())
        if note is not None:
            note.touch()
        try:
            self._share(rank, world_size)
        finally:
            if note is not None:
                note.unlink(missing_ok=True)

    def _share(self, rank: int, world_size: int) -> None:
        plan = self.order.plan
        clips = pipeline.clips_of(plan)
        if self.stage == "merge":
            corpus.merge(plan, clips, self.order.out, self.order.strict, self.order.report, print, print)
            return
        plan = _retrying(self.stage, plan, clips)
        mine = clips[rank::world_size]
        do = pipeline.lift if self.stage == "lift" else pipeline.process
        do(mine, plan, 1, unseen)
        waiting = [clip for clip in mine if unfinished(self.stage, clip, replace(plan, retry=False))]
        if waiting:
            raise NotNowError(f"task {rank} of {world_size}: {why(self.stage, waiting[0], plan)} ({len(waiting)} of {len(mine)} clips)")


def _retrying(stage: str, plan: pipeline.Plan, clips: Sequence[Clip]) -> pipeline.Plan:
    """The plan as a stage has it: what failed to be lifted is tried again where lifting has its machines, not by those that ask."""
    lifts = any(lifting.lifter_of(clip, plan.lifter) != TRUTH for clip in clips)
    return replace(plan, retry=False) if stage == "ask" and lifts else plan


def unfinished(stage: str, clip: Clip, plan: pipeline.Plan) -> bool:
    """Whether there is anything left to do about a clip in a stage."""
    job, work = pipeline.job_of(clip, plan), store.Work(plan.work)
    if stage == "ask":
        return pipeline.finished(work, job, pipeline.key_of(job), plan.retry) is None
    if job.lifter == TRUTH:
        return False
    record = lifting.found(work, clip, lifting.key_of(clip, job.lifter, job.options))
    return record is None or (plan.retry and record["status"] == FAILED)


def why(stage: str, clip: Clip, plan: pipeline.Plan) -> str:
    """What the artefact of an unfinished clip says about it."""
    record = store.Work(plan.work).read(lifting.STAGE if stage == "lift" else pipeline.STAGE, clip.clip_id) or {}
    errors = record.get("errors") or [record.get("error")]
    return errors[0]["line"] if record.get("status") == LATER and errors[0] else f"{clip.clip_id} was not done"


def resources_of(given: Sequence[str]) -> dict[str, dict[str, str]]:
    """The resources of each stage from texts such as "lift:gpus=2,partition=a100".  Raises BuildError."""
    out = {stage: dict(usual) for stage, usual in RESOURCES.items()}
    for text in given:
        stage, colon, rest = text.partition(":")
        pairs = [pair.partition("=") for pair in rest.split(",")]
        if stage not in STAGES or not colon or not all(key and equals and value for key, equals, value in pairs):
            raise BuildError(
                f"--resources {text}: expected STAGE:KEY=VALUE,..., such as lift:gpus=1,partition=a100; stages: {', '.join(STAGES)}"
            )
        for key, _, value in pairs:
            if key in NUMBERS and not value.isdigit():
                raise BuildError(f"--resources {text}: expected a whole number for {key}, got {value}")
            out[stage][key] = value
    return out


def run(order: Order, executor: str, tasks: int, workers: int, resources: Mapping[str, Mapping[str, str]]) -> None:
    """Run, or on SLURM submit, every stage that has anything left to do.  Raises SetupError, and what the stages raise."""
    if find_spec("datatrove") is None:
        raise SetupError("--engine datatrove needs datatrove; pip install 'humanmovevqa[cluster]'")
    if executor == "ray" and find_spec("ray") is None:
        raise SetupError("--executor ray needs ray on this machine and on the cluster; pip install 'datatrove[ray]'")
    order = replace(order, plan=replace(order.plan, work=order.plan.work.absolute()), out=order.out.absolute())
    clips = pipeline.clips_of(order.plan)
    last = None
    notes = order.plan.work / LOGS / f"at-work-{os.getpid()}" if executor == "local" else None
    for stage in STAGES:
        if stage == "lift" and all(lifting.lifter_of(clip, order.plan.lifter) == TRUTH for clip in clips):
            continue
        count = 1 if stage == "merge" else tasks
        logs = order.plan.work / LOGS / f"{stage}-{count}"
        plan = _retrying(stage, order.plan, clips)
        for rank in range(count):
            if stage == "merge" or any(unfinished(stage, clip, plan) for clip in clips[rank::count]):
                (logs / "completions" / f"{rank:05d}").unlink(missing_ok=True)
        last = _executor(executor, Step(stage, order, notes), count, workers, resources[stage], logs, last)
    assert last is not None
    with nullcontext() if notes is None else _watched(notes):
        last.run()


@contextmanager
def _watched(notes: Path) -> Iterator[None]:
    """Raise NotNowError inside, in the main thread, once a process is gone whose note is still there: datatrove waits for it for ever."""
    over = threading.Event()
    main = threading.get_ident()

    def lost(*_: object) -> None:
        raise NotNowError("a process that ran a task was killed, perhaps for want of memory; what is finished is kept: try fewer --workers")

    def watch() -> None:
        while not over.wait(1.0):
            if any(_gone(int(note.name)) and note.exists() for note in list(notes.iterdir())):
                signal.pthread_kill(main, signal.SIGUSR1)
                return

    notes.mkdir(parents=True)
    before = signal.signal(signal.SIGUSR1, lost)
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        signal.signal(signal.SIGUSR1, before)
        shutil.rmtree(notes, ignore_errors=True)


def _gone(process: int) -> bool:
    """Whether there is no process of this number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def _executor(kind: str, step: Step, tasks: int, workers: int, needs: Mapping[str, str], logs: Path, depends: Any) -> Any:
    """datatrove's executor of one stage, which runs what it depends on first."""
    stage, steps = step.stage, [step]
    if kind == "local":
        from datatrove.executor import LocalPipelineExecutor

        return LocalPipelineExecutor(steps, tasks, min(workers, tasks), str(logs), depends)
    cpus, gpus = max(1, int(needs["cpus"])), int(needs["gpus"])
    shared = {"cpus_per_task": cpus, "gpus_per_task": gpus, "mem_per_cpu_gb": max(1, -(-int(needs["memory_gb"]) // cpus))}
    if kind == "ray":
        from datatrove.executor import RayPipelineExecutor

        return RayPipelineExecutor(steps, tasks, workers, depends, logging_dir=str(logs), **shared)
    from datatrove.executor import SlurmPipelineExecutor

    return SlurmPipelineExecutor(
        steps,
        tasks,
        needs["time"],
        needs["partition"],
        workers=workers if stage != "merge" else 1,
        job_name=f"humanmovevqa-{stage}",
        qos=needs.get("qos", ""),
        env_command=needs.get("env", f'export PATH="{Path(sys.executable).absolute().parent}{os.pathsep}$PATH"'),
        sbatch_args={k: v for k, v in needs.items() if k not in (*NUMBERS, "time", "partition", "qos", "env")},
        depends=depends,
        logging_dir=str(logs),
        **shared,
    )
