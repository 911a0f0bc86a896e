"""Whose questions are asked: a dataset folder of ours, a Hub repo, the authors' released JSON, or anybody's multiple choice.

Every row becomes an Item, checked when it is read: an evaluation never finds out late that an answer is not among the options.
Rows of others keep their own category names; which column means what is a small map from roles to columns.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder import export, schema, store
from builder.types import CATEGORIES, DataError, Question

SAMPLE = Path(__file__).resolve().parent / "sample"
FILES = (".json", ".jsonl", ".csv", ".tsv", ".parquet")
# role: the columns that are taken for it when the map names none
ROLES: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "question_id", "qid", "uid"),
    "question": ("question", "query"),
    "options": ("options", "choices", "candidates"),
    "answer": ("answer", "correct_answer", "gt", "label", "answer_index"),
    "video": ("video_path", "video", "video_name", "video_id"),
    "category": ("category", "task", "task_type", "question_type", "type"),
    "source": ("source", "dataset"),
}
NEEDED = ("question", "answer", "video")
LETTERED = re.compile(r"\s*\(?([A-H])\s*[.):]\s*(.*\S)\s*", re.DOTALL)
HEADER = re.compile(r"^\s*(?:options|choices)\s*:?\s*$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Item:
    """One question with the clip that it is about.  `video_path` is relative to a video folder; `start_frame` and `end_frame`
    number the source's frames at `fps` and are None for rows that do not say; `recipe` names the thresholds behind the answer."""

    question: Question
    source: str
    video_id: str
    video_path: str
    start_frame: int | None = None
    end_frame: int | None = None
    fps: float | None = None
    recipe: str = "default"


@dataclass(frozen=True)
class Rows:
    """Items sorted by id, what they were read from, and 16 hex digits that change when anything asked or answered does."""

    items: tuple[Item, ...]
    name: str
    config: str
    split: str
    fingerprint: str


def meant() -> tuple[str, str]:
    """The dataset that is meant when none is named, and why it is that one: the first that is there of HUMANMOVEVQA_DATA,
    ./humanmovevqa, HUMANMOVEVQA_REPO and the packaged sample."""
    if named := os.environ.get("HUMANMOVEVQA_DATA"):
        return named, "HUMANMOVEVQA_DATA"
    if export.is_built(Path("humanmovevqa")):
        return "humanmovevqa", "./humanmovevqa"
    if repo := os.environ.get("HUMANMOVEVQA_REPO"):
        return repo, "HUMANMOVEVQA_REPO, on the Hub"
    return str(SAMPLE), "the packaged sample"


def read(data: str | None = None, config: str = "all", split: str = "test", columns: Mapping[str, str] | None = None) -> Rows:
    """The questions of one split.  `data` is a built folder, a file or folder of JSON rows, or a Hub repo; `columns` maps ROLES
    to the columns of rows that are not ours.  Raises DataError."""
    data = data or meant()[0]
    path = Path(data).expanduser()
    if export.is_built(path):
        items = [item_of(row) for row in _built(path, config, split)]
        name = "humanmovevqa/sample" if path.resolve() == SAMPLE else path.name
    elif path.exists():
        items, name = _files(path, columns or {}), path.name
    elif re.fullmatch(r"[\w.-]+/[\w.-]+", data) and path.suffix not in FILES:
        table = _hub(data, config, split)
        ours = schema.LASTING <= set(table[0] if table else {})
        items = [item_of(row) for row in table] if ours and not columns else _others(table, columns or {}, data)
        name = data
    else:
        raise DataError(f"--data {data}: expected a built dataset folder, a file of rows ({', '.join(FILES)}) or a Hub repo, found nothing")
    if not items:
        raise DataError(f"{data}: no question in config {config!r}, split {split!r}")
    return Rows(tuple(_unique(items, data)), name, config, split, fingerprint(items))


def fingerprint(items: Iterable[Item]) -> str:
    """16 hex digits over what is asked, shown and right."""
    return store.digest(sorted([i.question.id, i.video_id, i.question.text, list(i.question.options), i.question.answer] for i in items))


def item_of(row: Mapping[str, Any]) -> Item:
    """The Item of a row of our own dataset.  Raises DataError."""
    question = schema.question(row)
    return _checked(
        Item(
            question=question,
            source=row["source"],
            video_id=row["video_id"],
            video_path=row["video_path"],
            start_frame=row["start_frame"],
            end_frame=row["end_frame"],
            fps=row["fps"],
            recipe=row["recipe"],
        ),
        f"row {question.id}",
    )


def column_map(text: str | None) -> dict[str, str]:
    """ "question=q,options=a+b+c" as a map from roles to columns.  Raises DataError for an unknown role."""
    out = {}
    for part in filter(None, (text or "").split(",")):
        role, _, column = (p.strip() for p in part.partition("="))
        if role not in ROLES or not column:
            raise DataError(f"--columns {part}: expected ROLE=COLUMN with a role of {', '.join(ROLES)}, such as question=query")
        out[role] = column
    return out


def _built(folder: Path, config: str, split: str) -> list[dict[str, Any]]:
    configs = export.configs(folder)
    if config not in configs:
        raise DataError(f"{folder}: no config {config!r}; expected one of {', '.join(configs)}")
    if split not in configs[config]:
        raise DataError(f"{folder}: config {config!r} has no split {split!r}; expected one of {', '.join(configs[config])}")
    out: list[dict[str, Any]] = []
    for file in configs[config][split]:
        for group in range(export.groups(file)):
            out += export.read(file, group).to_pylist()
    return out


def _hub(repo: str, config: str, split: str) -> list[dict[str, Any]]:
    import datasets

    try:
        names = datasets.get_dataset_config_names(repo)
        chosen = config if config in names or config != "all" else names[0]
        return [dict(row) for row in datasets.load_dataset(repo, chosen, split=split)]
    except Exception as error:  # datasets and the Hub client raise dozens of types for "not there" and "not reachable"
        why = " ".join(str(error).split())[:300]
        raise DataError(f"--data {repo}: no such folder here, and the Hub repo's {config}/{split} cannot be read: {why}") from None


def _files(path: Path, columns: Mapping[str, str]) -> list[Item]:
    files = [path] if path.is_file() else sorted(p for p in path.iterdir() if p.suffix in FILES)
    if not files:
        raise DataError(f"{path}: expected a built dataset (manifest.json) or files of rows ({', '.join(FILES)}), found neither")
    out: list[Item] = []
    for file in files:
        table = _table(file)
        out += _others(table, columns, str(file), _category_of(file.stem), prefix=f"{file.stem}/" if len(files) > 1 else "")
    return out


def _table(file: Path) -> list[dict[str, Any]]:
    try:
        if file.suffix == ".parquet":
            import pyarrow.parquet

            return list(pyarrow.parquet.read_table(file).to_pylist())
        text = file.read_text(encoding="utf-8")
        if file.suffix in (".csv", ".tsv"):
            return list(csv.DictReader(text.splitlines(), delimiter="," if file.suffix == ".csv" else "\t"))
        found = [json.loads(line) for line in text.splitlines() if line.strip()] if file.suffix == ".jsonl" else json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file}: cannot be read as {file.suffix[1:]} rows ({' '.join(str(error).split())})") from None
    if isinstance(found, dict):  # {"data": [rows]}
        lists = [value for value in found.values() if isinstance(value, list)]
        found = lists[0] if len(lists) == 1 else None
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise DataError(f"{file}: expected a list of rows, each a JSON object")
    return found


def _others(table: Sequence[Mapping[str, Any]], columns: Mapping[str, str], where: str, category: str = "", prefix: str = "") -> list[Item]:
    """Items of rows that are not ours; the released JSON's options stand in the question, its answer is "A. text"."""
    if not table:
        return []
    have = set().union(*table)
    names = {role: columns.get(role) or next((c for c in defaults if c in have), "") for role, defaults in ROLES.items()}
    for role, name in names.items():
        missing = [c for c in name.split("+") if c and c not in have]
        if missing or (role in NEEDED and not name):
            lacks = f"no column {missing[0]!r}" if missing else f"no column for the {role}"
            raise DataError(f"{where}: {lacks}; it has {', '.join(sorted(have))}; say which with --columns {role}=COLUMN")
    return [_other(row, names, f"{where}, row {n + 1}", f"{prefix}{n}", category, prefix) for n, row in enumerate(table)]


def _other(row: Mapping[str, Any], names: Mapping[str, str], where: str, number: str, category: str, prefix: str) -> Item:
    def value(role: str) -> Any:
        return row.get(names[role]) if names[role] else None

    text, options = str(value("question") or "").strip(), value("options")
    if names["options"] and "+" in names["options"]:
        options = [row.get(c) for c in names["options"].split("+")]
    if isinstance(options, str):
        options = _parsed(options)
    if isinstance(options, Mapping):
        options = [options[k] for k in sorted(options)]
    if options is None:
        text, options = _embedded(text, where)
    options = [str(o).strip() for o in options if o is not None and str(o).strip()]
    letters = [LETTERED.fullmatch(o) for o in options]
    if options and all(m and m[1] == schema.LETTERS[k] for k, m in enumerate(letters)):
        options = [m[2] for m in letters if m]
    video = str(value("video")[0] if isinstance(value("video"), list) and value("video") else value("video") or "")
    question = Question(
        id=prefix + str(value("id")) if value("id") is not None else number,
        clip_id=video,
        person_id="0",
        category=str(value("category") or category or "question"),
        template=str(value("category") or category or "question"),
        quantity="",
        window="",
        text=text,
        options=tuple(options),
        answer=_answer(value("answer"), options, where),
        evidence={},
    )
    return _checked(Item(question, str(value("source") or "others"), video, video), where)


def _parsed(text: str) -> Any:
    """Options in one cell: JSON, or one per line or separated by "|"."""
    try:
        found = json.loads(text)
        if isinstance(found, list | dict):
            return found
    except ValueError:
        pass
    return text.split("\n") if "\n" in text else text.split("|")


def _embedded(text: str, where: str) -> tuple[str, list[str]]:
    """A question and the options that stand in it behind "Options:" (or in lettered lines)."""
    header = HEADER.search(text)
    stem, listed = (text[: header.start()], text[header.end() :]) if header else ("", text)
    found = re.findall(r"^\s*\(?([A-H])\s*[.):]\s*(.+?)\s*$", listed, re.MULTILINE)
    if [letter for letter, _ in found] != list(schema.LETTERS[: len(found)]) or not found:
        raise DataError(
            f"{where}: expected options in a column or behind 'Options:' in the question, lettered from A, found {text[-80:]!r}"
        )
    if not header:
        stem = re.split(r"^\s*\(?A\s*[.):]", text, maxsplit=1, flags=re.MULTILINE)[0]
    return stem.strip(), [option for _, option in found]


def _answer(value: Any, options: Sequence[str], where: str) -> int:
    """The place of the right option from its text, its letter, "A. text", or its place from 0."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = str(value if value is not None else "").strip()
    if text in options:
        return list(options).index(text)
    if re.fullmatch(r"\d+", text):
        return int(text)
    match = re.fullmatch(r"\(?([A-Ha-h])\)?[.:]?", text) or LETTERED.fullmatch(text)
    if not match:
        raise DataError(
            f"{where}: answer {text[:60]!r} is neither an option's text nor a letter nor a place from 0; options: {list(options)}"
        )
    place = schema.LETTERS.index(match[1].upper())
    if match.re is LETTERED and place < len(options) and match[2] != options[place]:
        raise DataError(f"{where}: answer {text[:60]!r} does not agree with its option {options[place]!r}")
    return place


def _checked(item: Item, where: str) -> Item:
    q = item.question
    if not 2 <= len(q.options) <= len(schema.LETTERS):
        raise DataError(f"{where}: expected 2 to {len(schema.LETTERS)} options, got {len(q.options)}: {list(q.options)}")
    if len(set(q.options)) != len(q.options):
        raise DataError(f"{where}: two options say the same, so that no answer is right alone: {list(q.options)}")
    if not 0 <= q.answer < len(q.options):
        raise DataError(f"{where}: answer {q.answer} is outside its {len(q.options)} options {list(q.options)}")
    if not q.text or not item.video_id:
        raise DataError(f"{where}: expected a question and a video, got {q.text!r} and {item.video_id!r}")
    return item


def _unique(items: Sequence[Item], where: str) -> list[Item]:
    seen: dict[str, Item] = {}
    for item in items:
        if seen.setdefault(item.question.id, item) is not item:
            raise DataError(f"{where}: the id {item.question.id!r} names two questions; give them ids of their own (--columns id=COLUMN)")
    return [seen[key] for key in sorted(seen)]


def _category_of(stem: str) -> str:
    """The category that a file name speaks of, else the name itself."""
    return next((c for c in sorted(CATEGORIES, key=len, reverse=True) if c in stem.lower()), stem)
