"""Files of a scene for the visitor to keep: the track, its facts, its path, its questions as dataset rows, and the quiz as a run."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from builder import __version__, geometry, lifting, prompts, schema, selection, store
from demo.quiz import Quiz
from demo.scene import Scene

PER_CATEGORY = 3


def write(scene: Scene, folder: Path, game: Quiz | None = None) -> list[Path]:
    """Write every file that this scene can give into `folder`; which, in the order in which the page lists them."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / "track.npz", folder / "track.json", folder / "path.csv"]
    store.write_track(files[0], scene.track, replace(scene.clip, video=None, meta={}))
    files[1].write_text(facts(scene), encoding="utf-8")
    files[2].write_text(path_csv(scene), encoding="utf-8", newline="")
    if scene.subject is not None:
        files.append(folder / "questions.jsonl")
        files[-1].write_text(rows(scene), encoding="utf-8")
    if game is not None and game.answered:
        files += run(scene, game, folder)
    return files


def facts(scene: Scene) -> str:
    """What is known of the track, as JSON text."""
    from builder import motion, recipe

    described = scene.subject.motion if scene.subject else motion.describe(scene.track, recipe.load())
    return json.dumps(lifting.facts(scene.track, described), indent=2) + "\n"


def path_csv(scene: Scene) -> str:
    """One line per frame: seconds of the video, place and facing in the person's own first frame, and whether they were seen."""
    anchored = geometry.anchor(scene.track)
    filled = geometry.fill_invalid(anchored)
    heading = geometry.heading_deg(filled.body_to_world)
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(("seconds", "left_m", "up_m", "forward_m", "turned_left_deg", "seen"))
    for k in range(anchored.num_frames):
        x, y, z = (f"{v:.4f}" for v in np.round(filled.position_m[k], 4) + 0.0)
        writer.writerow((f"{scene.start_s + k / scene.track.fps:.4f}", x, y, z, f"{heading[k]:.2f}", int(anchored.valid[k])))
    return out.getvalue()


def rows(scene: Scene) -> str:
    """The generated questions, those that survive doubt, as rows of the dataset, one JSON object a line."""
    assert scene.subject is not None
    families = {family.CATEGORY: family for family in selection.families().values()}
    out = []
    for question in scene.subject.questions(PER_CATEGORY):
        why = families[question.category].explain(question)
        clip = replace(scene.clip, clip_id=question.clip_id)
        out.append(schema.row(question, clip, scene.track, why, scene.subject.recipe.name))
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in out)


def run(scene: Scene, game: Quiz, folder: Path) -> list[Path]:
    """The quiz's answers as a run folder of an evaluation, zipped, the model being a person: `humanmovevqa score` reads it."""
    from builder import runs
    from builder.rows import Item

    clip = scene.clip
    items = [
        Item(a.question, clip.source, a.question.clip_id, schema.video_path(clip), clip.start_frame, clip.end_frame, clip.fps)
        for a in game.answered
    ]
    made = store.digest([a.question.id for a in game.answered])
    identity = {
        "model": "human",
        "checkpoint": None,
        "options": {},
        "weights": {},
        "mode": "video",
        "circular": False,
        "prompt": prompts.digest(),
        "data": {"name": f"quiz about {clip.clip_id}", "config": clip.source, "split": "quiz", "fingerprint": made},
        "videos": {clip.clip_id: len(items)},
        "lifter": scene.lifter,
    }
    about = {
        "title": "human",
        "about": "A visitor's answers to the demo's quiz",
        "missing_videos": [],
        "versions": {"humanmovevqa": __version__},
    }
    out = folder / "quiz-run"
    runs.keep_choices(out, identity, about, [(i, a.choice, round(a.seconds, 1)) for i, a in zip(items, game.answered, strict=True)])
    packed = folder / "quiz-run.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(p for p in out.iterdir() if p.is_file()):
            archive.writestr(zipfile.ZipInfo(f"quiz-run/{file.name}"), file.read_bytes())
    return [packed]
