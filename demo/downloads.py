"""Files of a scene for the visitor to keep: the track, its facts, its path, its questions as dataset rows, and the quiz as a run."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from builder import geometry, lifting, schema, selection, store
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
    """The quiz's answers as samples of an evaluation, the model being a person."""
    path = folder / "quiz_answers.jsonl"
    lines = []
    for given in game.answered:
        question = given.question
        lines.append(
            {
                "question_id": question.id,
                "video_id": question.clip_id,
                "category": question.category,
                "model": "human",
                "reply": schema.LETTERS[given.choice],
                "choice": given.choice,
                "answer": question.answer,
                "num_options": len(question.options),
                "correct": given.choice == question.answer,
                "seconds": round(given.seconds, 1),
            }
        )
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return [path]
