"""HumanMoveVQA for outsiders: `load()` and `attach_videos()`, the dataset builder, and the command line.

Importing this module makes the bare name work wherever you are, because `datasets` 5 runs no scripts:

    import humanmovevqa, datasets
    datasets.load_dataset("humanmovevqa", split="test")

The name stands for the first of: `data_dir=`, the folder in HUMANMOVEVQA_DATA, ./humanmovevqa, the Hub repo in
HUMANMOVEVQA_REPO ("org/name"), the sample that comes with the package.  One line on stderr says which.  `unregister()` takes
the name away again.  Without this module, a built folder is an ordinary dataset folder: `load_dataset("./humanmovevqa")`.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import datasets
import datasets.inspect
import datasets.load
from datasets.builder import Key
from datasets.table import table_cast

import builder

_HERE = os.path.dirname(os.path.realpath(__file__))
if os.path.dirname(os.path.realpath(builder.__file__ or "")) != os.path.join(_HERE, "builder"):
    _sentence = (
        f"humanmovevqa expected its own package 'builder' in {_HERE}, but Python found another one at "
        f"{builder.__file__ or list(builder.__path__)}; take that off the path, or use an environment without it"
    )
    if os.path.basename(sys.argv[0]) in ("humanmovevqa", "humanmovevqa.exe"):  # the installed command: a user's mistake is one line
        print(_sentence, file=sys.stderr)
        raise SystemExit(2)
    raise ImportError(_sentence)

from builder import __version__, export  # noqa: E402
from builder.types import DataError  # noqa: E402

__all__ = ["HumanMoveVQA", "HumanMoveVQAConfig", "attach_videos", "load", "main", "register", "resolve", "unregister"]

NAME = "humanmovevqa"
CONFIGS = {
    "all": "Every source of the folder.",
    "emdb": "EMDB: one person, a moving hand-held camera.",
    "rich": "RICH: indoors and outdoors, several static cameras.",
    "egobody": "EgoBody: two people interacting indoors.",
    "folder": "Videos from a folder of your own.",
    "tracks": "Clips that came as finished 3D tracks.",
    "synthetic": "Procedural motion of a stick figure; clips may be shared.",
    "sample": "The small sample that comes with the project.",
}

_PATCHED = (datasets.load, datasets.inspect)
_MARK = "_humanmovevqa_original"
_said: set[str] = set()


def load(
    name: str = "all",
    split: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    streaming: bool = False,
    **options: Any,
) -> Any:
    """The dataset, as `datasets.load_dataset` returns it: a `Dataset` of one split, a `DatasetDict` of all where `split` is None, or
    their streaming kinds.

    `name` is a source or "all"; `data_dir` a built folder, without which the name stands for what `resolve` says.  `split` may be
    an expression ("train[:50%]+test").  `options` go to `load_dataset` (num_proc, cache_dir, and revision where the name stands
    for a Hub repo).  A row's columns, their types and meaning are those of `builder.schema.COLUMNS` and of every dataset card.
    Raises DataError when no dataset is found, ValueError for a config that it does not have.
    """
    register()
    folder = None if data_dir is None else os.fspath(data_dir)
    return datasets.load_dataset(NAME, name, data_dir=folder, split=split, streaming=streaming, **options)


def attach_videos(dataset: Any, root: str | os.PathLike[str] | None = None, missing: str = "error", decode: bool = False) -> Any:
    """`dataset` with its column `video` filled from the clips under `root`, by default HUMANMOVEVQA_VIDEO_DIR.

    The packaged clips are found without either.  Takes what `load` and `datasets.load_dataset` return: a split or a dict of
    splits, map-style or streaming.  `decode=False` gives {"path", "bytes"} per row: the clip's absolute path, and no bytes;
    `decode=True` a decoder of torchcodec.  What stood in `video` before, such as the place of an open clip on the Hub, is
    replaced.  A question whose clip is not there is an error ("error"), a row without a video ("none") or left out ("drop").
    Raises DataError, from a stream while it is read, and SetupError where torchcodec is missing.
    """
    from builder import attach

    return attach.attach(dataset, root, missing, decode)


def resolve(data_dir: str | os.PathLike[str] | None = None) -> tuple[Path | None, str | None]:
    """What the bare name stands for now: (built folder, None) or (None, Hub repo id); says so once on stderr.

    Raises DataError when a folder that was asked for is not a built one, or when there is nothing at all.
    """
    from builder import rows

    given, why = (os.fspath(data_dir), "data_dir") if data_dir else rows.meant()
    folder = Path(given).expanduser().resolve()
    if why in ("data_dir", "HUMANMOVEVQA_DATA"):
        try:
            export.manifest(folder)
        except DataError as error:
            raise DataError(f"{why}={given!r} is not a built dataset: {error}") from None
        return _say(folder, why), None
    if "on the Hub" in why:
        return None, _say(given, why)
    if folder != rows.SAMPLE:
        return _say(folder, why), None
    if export.is_built(folder):
        return _say(folder, f"{why}; run `humanmovevqa build`, or pass data_dir=, for more"), None
    raise DataError(
        f"no HumanMoveVQA dataset found: data_dir and HUMANMOVEVQA_DATA are not given, {Path(NAME).resolve()} is not a built folder, "
        f"HUMANMOVEVQA_REPO is not set, and the packaged sample {folder} is absent; run `humanmovevqa build` here, or pass data_dir="
    )


class HumanMoveVQAConfig(datasets.BuilderConfig):
    """One source of a built folder, or "all".  Its id, which names the cache, changes with the folder's content."""

    def create_config_id(self, config_kwargs: dict[str, Any], custom_features: Any = None) -> str:
        """The config's name, what else the user changed, and the fingerprint of the data: never the folder's place."""
        changed = {key: value for key, value in config_kwargs.items() if key != "data_dir"}
        return f"{super().create_config_id(changed, custom_features)}-{export.fingerprint(Path(self.data_dir))}"


class HumanMoveVQA(datasets.ArrowBasedBuilder):
    """Reads the Parquet of a built folder; needs no hook: `HumanMoveVQA(data_dir=...)`, prepare, `as_dataset("test")`.

    `config_name` is a source of the folder, default "all"; `data_dir` as in `resolve`.  Raises DataError, and ValueError that
    lists the folder's configs for one that it does not have.
    """

    BUILDER_CONFIG_CLASS = HumanMoveVQAConfig
    BUILDER_CONFIGS = [HumanMoveVQAConfig(name=name, description=text) for name, text in CONFIGS.items()]  # noqa: RUF012
    DEFAULT_CONFIG_NAME = "all"

    def __init__(
        self,
        cache_dir: str | None = None,
        dataset_name: str | None = None,
        config_name: str | None = None,
        hash: str | None = None,
        data_dir: str | None = None,
        **options: Any,
    ) -> None:
        """Look at the folder and nothing more; the other arguments are those of `datasets.ArrowBasedBuilder`."""
        folder, repo = resolve(data_dir)
        if folder is None:
            raise DataError(f"HumanMoveVQA reads a built folder, and the name stands for the Hub repo {repo}; use load() or pass data_dir=")
        name, have = config_name or self.DEFAULT_CONFIG_NAME, list(export.configs(folder))
        if name not in have:
            raise ValueError(f"config {name!r}: expected one of {', '.join(have)}, which is what {folder} holds")
        super().__init__(
            cache_dir=cache_dir, dataset_name=dataset_name or NAME, config_name=name, hash=hash or _code(), data_dir=str(folder), **options
        )

    def _info(self) -> datasets.DatasetInfo:
        files = next(iter(self._files().values()))
        return datasets.DatasetInfo(features=datasets.Features.from_arrow_schema(export.read(files[0], 0).schema))

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        """One generator per split; its shards are (file, row group), so that workers and streams can share one file."""
        return [
            datasets.SplitGenerator(name=split, gen_kwargs={"shards": [(str(f), g) for f in files for g in range(export.groups(f))]})
            for split, files in self._files().items()
        ]

    def _generate_tables(self, shards: Sequence[tuple[str, int]]) -> Iterator[tuple[Key, Any]]:
        for number, (path, group) in enumerate(shards):
            yield Key(number, 0), table_cast(export.read(Path(path), group), self.info.features.arrow_schema)

    def _files(self) -> export.Splits:
        return export.configs(Path(self.config.data_dir))[self.config.name]


def register() -> None:
    """Let `datasets` find the bare name: wrap its module factory, once.  Raises DataError when this `datasets` has none."""
    for module in _PATCHED:
        factory = getattr(module, "dataset_module_factory", None)
        if factory is None or not hasattr(datasets.load, "DatasetModule"):
            raise DataError(
                f"datasets {datasets.__version__} has no {module.__name__}.dataset_module_factory to extend; install datasets>=5.2,<6, "
                "or use humanmovevqa.HumanMoveVQA(data_dir=...)"
            )
        if not hasattr(factory, _MARK):
            module.dataset_module_factory = _wrap(factory)


def unregister() -> None:
    """Give `datasets` its own module factory back; the bare name is then an unknown dataset again."""
    for module in _PATCHED:
        module.dataset_module_factory = getattr(module.dataset_module_factory, _MARK, module.dataset_module_factory)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line on `argv` (default: the process's own); returns its exit status, 0, 2 or 130 as `humanmovevqa --help` says."""
    from builder.cli import main as run

    return run(argv)


def _wrap(original: Any) -> Any:
    """The module factory of `datasets`, which for our name alone gives our builder, or the Hub repo it stands for."""

    @functools.wraps(original)
    def dataset_module_factory(path: str, *args: Any, **kwargs: Any) -> Any:
        if path != NAME:
            return original(path, *args, **kwargs)
        if kwargs.get("data_files") is not None:
            raise DataError(f"{NAME} takes a built folder as data_dir=, not data_files=; for other files use load_dataset('parquet', ...)")
        folder, repo = resolve(kwargs.get("data_dir"))
        if folder is None:
            return original(repo, *args, **kwargs)
        if kwargs.get("revision") is not None:
            raise DataError(
                f"revision={kwargs['revision']!r} names a version on the Hub, but {NAME} stands for the folder {folder}; leave it out"
            )
        configs = [HumanMoveVQAConfig(name=name, description=CONFIGS.get(name)) for name in export.configs(folder)]
        return datasets.load.DatasetModule(
            NAME,
            _code(),
            {"dataset_name": NAME, "data_dir": str(folder)},
            datasets.load.BuilderConfigsParameters(builder_configs=configs, default_config_name="all"),
        )

    setattr(dataset_module_factory, _MARK, original)
    return dataset_module_factory


@functools.cache
def _code() -> str:
    """Hash of the reader, part of the cache path: another reader never serves rows that this one prepared."""
    with open(os.path.join(_HERE, f"{NAME}.py"), "rb") as f:
        return hashlib.sha256(__version__.encode() + f.read()).hexdigest()


def _say(place: Any, why: str) -> Any:
    if str(place) not in _said:
        _said.add(str(place))
        print(f"{NAME}: using {place} ({why})", file=sys.stderr)
    return place


if __name__ == "__main__":
    raise SystemExit(main())
register()
