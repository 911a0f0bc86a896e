"""The Hub row: one row of the published dataset, its columns and their meaning, and Question <-> row.

This is the public contract.  A column is never renamed or given another type within a major version.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from builder import __version__
from builder.types import CATEGORIES, BuildError, Clip, DataError, Question, Track

if TYPE_CHECKING:
    import datasets

LETTERS = "ABCDEFGH"
MAX_NAME = 120
CLIPS = "videos"  # the folder of a published dataset in which open clips lie
IN_A_REPO = rf"hf://datasets/[\w.-]+/[\w.-]+/{CLIPS}/"
PLAIN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9-])?")
ABSOLUTE = re.compile(r"""(?:^|["'\s=])(?:/\w|~/|file:/|[A-Za-z]:[\\/]|\\\\)""")


class Column(NamedTuple):
    """A column of the row: its type ("string", "int32", "float64", ..., "list<string>" or "video") and what it means."""

    type: str
    meaning: str


COLUMNS: Mapping[str, Column] = {
    "id": Column("string", "Stable id of the question; the same question keeps its id in every later build."),
    "video": Column(
        "video", "The clip itself where it may be shared and lies on the Hub, as `path` without `bytes`; null everywhere else."
    ),
    "video_id": Column("string", "Id of the clip, unique across sources; all questions about one clip share it."),
    "video_path": Column("string", "Where the clip lies under your video folder: `<source>/<sequence>/<clip>.mp4`."),
    "source": Column("string", "Source dataset, which is also the name of its config."),
    "sequence": Column("string", "Recording of the source from which the clip is cut."),
    "person": Column("string", "Id of the person whom the question is about, within the clip."),
    "referent": Column("string", "Words that name the person when several are visible; null when one is."),
    "start_frame": Column("int32", "First source frame of the clip."),
    "end_frame": Column("int32", "Source frame after the last one of the clip (half-open)."),
    "fps": Column("float64", "Frames per second of the source frame numbers."),
    "num_frames": Column("int32", "Number of frames of the clip."),
    "category": Column("string", f"Question family: {', '.join(CATEGORIES)}."),
    "template": Column("string", "Wording template within the category."),
    "quantity": Column("string", "The measured quantity that decides the answer."),
    "window": Column("string", "Part of the clip that is asked about: the whole clip, a half or a quarter."),
    "question": Column("string", "The question in plain words, without the options."),
    "options": Column("list<string>", "Texts of the options, in order, without letters."),
    "answer": Column("string", "Letter of the right option."),
    "answer_index": Column("int8", "Place of the right option in `options`, from 0."),
    "answer_text": Column("string", "Text of the right option."),
    "num_options": Column("int8", "Number of options k."),
    "chance": Column("float64", "Share that guessing gets right, 1/k."),
    "robustness": Column("float64", "Share of perturbed copies of the track that give the same answer, 0 to 1."),
    "reasoning": Column("string", "Short explanation of the answer from the deciding values."),
    "evidence": Column("string", "The deciding values as a JSON object (coarse; no poses, no paths)."),
    "official_split": Column("string", "Split of the clip in its source's own division; null when it has none."),
    "lifter": Column("string", "What made the 3D track: `groundtruth`, or the name of a video-to-3D method."),
    "recipe": Column("string", "Name of the recipe (all thresholds and quotas) of the build."),
    "generator_version": Column("string", "Version of the generator that made the row."),
}


# What a row of any version has: datasets from before the column `video` are read like today's.
LASTING = frozenset(COLUMNS) - {"video"}


def features() -> datasets.Features:
    """The `datasets.Features` of a row: exactly `COLUMNS`, in that order; a video is not decoded unless somebody casts the column."""
    from datasets import Features, List, Value, Video

    others = {"list<string>": List(Value("string")), "video": Video(decode=False)}
    return Features({name: others.get(c.type) or Value(c.type) for name, c in COLUMNS.items()})


def video_path(clip: Clip) -> str:
    """Where a clip lies under a video folder: `<source>/<sequence>/<clip>.mp4`, relative, with "/" on every system.

    "/" within a name becomes "__"; any other character but letters, digits, ".", "_" and "-" becomes "-", and the name then
    ends in a digest of the original, so that two clips never share a path.
    """
    return f"{_safe(clip.source)}/{_safe(clip.sequence)}/{_safe(clip.clip_id)}.mp4"


def clip_on_hub(repo: str, video_path: str) -> dict[str, str | None]:
    """The value of `video` in a row whose clip lies in the dataset repo OWNER/NAME: where it is, and no bytes."""
    return {"bytes": None, "path": f"hf://datasets/{repo}/{CLIPS}/{video_path}"}


def row(question: Question, clip: Clip, track_info: Track | Mapping[str, Any], reasoning: str, recipe_name: str) -> dict[str, Any]:
    """The row of a question: a dict with exactly the keys of `COLUMNS`, in that order, of plain Python values.

    `track_info` is the track or a mapping with its `lifter` and its `referent` (None when the person needs no name).
    Raises DataError when the question is not about this clip, or cannot be a row.
    """
    where = f"question {question.id}"
    if question.clip_id != clip.clip_id:
        raise DataError(f"{where}: expected the clip it asks about, {question.clip_id!r}, got clip {clip.clip_id!r}")
    if question.category not in CATEGORIES:
        raise DataError(f"{where}: field 'category': expected one of {', '.join(CATEGORIES)}, got {question.category!r}")
    n = len(question.options)
    if not 2 <= n <= len(LETTERS) or len(set(question.options)) != n or not 0 <= question.answer < n:
        raise DataError(
            f"{where}: expected 2 to {len(LETTERS)} distinct options and an answer among them, "
            f"got {list(question.options)} and answer {question.answer}"
        )
    info = track_info if isinstance(track_info, Mapping) else vars(track_info)
    try:
        evidence = json.dumps(dict(question.evidence), sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: field 'evidence': expected finite JSON values, got one that is not ({error})") from None
    return {
        "id": question.id,
        "video": None,
        "video_id": clip.clip_id,
        "video_path": video_path(clip),
        "source": clip.source,
        "sequence": clip.sequence,
        "person": question.person_id,
        "referent": info.get("referent"),
        "start_frame": clip.start_frame,
        "end_frame": clip.end_frame,
        "fps": clip.fps,
        "num_frames": clip.num_frames,
        "category": question.category,
        "template": question.template,
        "quantity": question.quantity,
        "window": question.window,
        "question": question.text,
        "options": list(question.options),
        "answer": LETTERS[question.answer],
        "answer_index": question.answer,
        "answer_text": question.answer_text,
        "num_options": n,
        "chance": 1 / n,
        "robustness": question.robustness,
        "reasoning": reasoning,
        "evidence": evidence,
        "official_split": clip.split,
        "lifter": info["lifter"],
        "recipe": recipe_name,
        "generator_version": __version__,
    }


def question(row: Mapping[str, Any]) -> Question:
    """The Question in a row, equal in every field to the one given to `row`, also after Parquet.

    Raises DataError when a column is missing or the answer's letter, place and text disagree.
    """
    try:
        options, place = tuple(row["options"]), int(row["answer_index"])
        agrees = 0 <= place < len(options) and row["answer"] == LETTERS[place] and row["answer_text"] == options[place]
        if not agrees:
            raise DataError(
                f"row {row['id']}: answer {row['answer']!r}, answer_index {place} and answer_text {row['answer_text']!r} "
                f"do not name one option of {list(options)}; load the dataset again"
            )
        return Question(
            id=row["id"],
            clip_id=row["video_id"],
            person_id=row["person"],
            category=row["category"],
            template=row["template"],
            quantity=row["quantity"],
            window=row["window"],
            text=row["question"],
            options=options,
            answer=place,
            evidence=json.loads(row["evidence"]),
            robustness=float(row["robustness"]),
        )
    except KeyError as error:
        raise DataError(f"row {row.get('id', '?')}: no column {error.args[0]!r}; expected a row of HumanMoveVQA") from None


def check(row: Mapping[str, Any], source: str) -> None:
    """Raise BuildError when a row may not be published: other columns, another source, or a path of this machine in it."""
    where = f"row {row.get('id', '?')} of {source}"
    if list(row) != list(COLUMNS):
        odd = sorted(set(row) ^ set(COLUMNS)) or ["their order"]
        raise BuildError(f"{where}: expected exactly the columns of schema.COLUMNS, got a difference in {', '.join(odd)}; use schema.row")
    if row["source"] != source:
        raise BuildError(f"{where}: expected column 'source' to say {source!r}, got {row['source']!r}; assemble again")
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)+\.mp4", row["video_path"]) or ".." in row["video_path"].split("/"):
        raise BuildError(f"{where}: expected a relative video_path, got {row['video_path']!r}; use schema.video_path")
    if row["video"] is not None and not re.fullmatch(IN_A_REPO + re.escape(row["video_path"]), _place(row["video"])):
        raise BuildError(
            f"{where}: column 'video' holds more than the place of this clip on the Hub, hf://datasets/OWNER/NAME/{CLIPS}/<video_path>"
        )
    for name, value in row.items():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and ("/" in text or "\\" in text) and ABSOLUTE.search(text):
                raise BuildError(f"{where}: column {name!r} holds an absolute path, which is never published: {text[:120]!r}")


def _place(video: Any) -> str:
    """The path of a `video`, "" where it has bytes, no path, or another form."""
    plain = isinstance(video, Mapping) and video.get("bytes") is None and isinstance(video.get("path"), str)
    return str(video["path"]) if plain else ""


@lru_cache(4096)
def _safe(name: str) -> str:
    """`name` as one path part: itself, with "__" for "/", where that is safe and unambiguous, else cleaned, with a digest."""
    parts = name.split("/")
    if all(PLAIN.fullmatch(p) and "__" not in p for p in parts) and len(name) <= MAX_NAME:
        return "__".join(parts)
    clean = re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip(".-")[:MAX_NAME]
    return f"{clean or 'x'}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
