"""The same demo as a folder that runs as a Hugging Face Space: its card, its own requirements, and nothing that may not be shared.

`humanmovevqa demo --stage DIR` writes it, `humanmovevqa push OWNER/NAME --space DIR` publishes it.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from builder import __version__
from builder.types import BuildError
from demo import answerers, limits, speech
from demo.answerers import Answerer

ROOT = Path(__file__).resolve().parent.parent
PYTHON = "3.12.12"  # ZeroGPU takes this and 3.10.13
TORCH = {"torch": "2.11.0", "torchvision": "0.26.0"}  # the newest that ZeroGPU takes, and its companion; only where something needs them
# What the demo imports, and the lifter; gradio itself comes from the card's sdk_version.
NEEDS = (
    "ai-edge-litert",
    "av",
    "jinja2",
    "markupsafe",
    "numpy",
    "opencv-python-headless",
    "pyarrow",
    "pycolmap",
    "rich",
    "scipy",
)
READER_NEEDS = ("safetensors",)
MODEL_NEEDS = ("transformers", "peft", "safetensors")
PACKAGES = ("libgomp1",)  # OpenMP, for pycolmap
TAKEN = (".py", ".toml", ".html", ".css", ".js", ".j2", ".md", ".mp4", ".npz", ".safetensors")
LEFT = ("__pycache__", "sample", "verbs", "hub", "exports")  # of builder/: what only the command line needs
APP = '''"""The Space's program; `humanmovevqa demo --stage` wrote it."""

import os
import sys

if os.environ.get("SPACES_ZERO_GPU"):
    import spaces  # noqa: F401  # before anything imports torch

{models}from demo.serving import serve

if __name__ == "__main__":
    sys.exit(serve(os.environ.get("GRADIO_SERVER_NAME", "0.0.0.0"), int(os.environ.get("GRADIO_SERVER_PORT", "7860")), fetch=True))
'''


def stage(out: Path, models: Sequence[str] = (), datasets: Sequence[str] = ()) -> Path:
    """Write the Space into `out`, an empty or new folder, and return it.  `models`: specs as `--model` takes them.

    Raises BuildError when the folder holds something or a model lies on this machine alone, SetupError for one that there is not.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BuildError(f"{out}: expected a new or empty folder for the Space, found something in it; pass another folder")
    named = [answerers.parse(spec) for spec in models]
    here = [path for a in named for path in (a.checkpoint, a.options.get("adapter")) if path and Path(path).exists()]
    if here:
        raise BuildError(f"{here[0]} lies on this machine, where a Space cannot read it; name a repository of the Hub")
    out.mkdir(parents=True, exist_ok=True)
    for package in ("builder", "demo"):
        for file in sorted((ROOT / package).rglob("*")):
            path = file.relative_to(ROOT)
            if file.is_file() and file.suffix in TAKEN and not set(path.parts[1:-1]) & set(LEFT):
                (out / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, out / path)
    chosen = f'os.environ.setdefault("{answerers.VARIABLE}", {" ".join(models)!r})\n' if models else ""
    (out / "app.py").write_text(APP.replace("{models}", chosen), encoding="utf-8")
    (out / "requirements.txt").write_text("".join(f"{line}\n" for line in requirements(named)), encoding="utf-8")
    (out / "packages.txt").write_text("".join(f"{name}\n" for name in PACKAGES), encoding="utf-8")
    (out / "README.md").write_text(card([a.checkpoint for a in named if a.checkpoint and "/" in a.checkpoint], datasets), encoding="utf-8")
    return out


def requirements(named: Sequence[Answerer]) -> list[str]:
    """The Space's requirements: the versions that are installed, and so tested, here; torch as ZeroGPU has it.

    The track reader needs torch where its weights come with the package, a model of transformers always.
    """
    heavy = any(a.plugin in speech.ON_GPU for a in named)
    reader = any(a.reads_track for a in named) or not next(a for a in answerers.choices() if a.reads_track).why_not
    names = (*NEEDS, *(MODEL_NEEDS if heavy else READER_NEEDS if reader else ()))
    pins = [f"{name}=={version}" for name in names if (version := _version(name))]
    if heavy or reader:
        pins += [f"{name}=={version}" for name, version in TORCH.items() if heavy or name == "torch"]
    return sorted([*pins, "spaces"] if heavy else pins)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        if name in NEEDS:
            raise BuildError(
                f"{name} is not installed, so its version cannot be pinned; run: pip install 'humanmovevqa[demo,lift]'"
            ) from None
        return ""


def card(models: Sequence[str], datasets: Sequence[str]) -> str:
    """The Space's README with its front matter, from `cards/space.md`."""
    from jinja2 import Environment, StrictUndefined

    template = (ROOT / "cards" / "space.md").read_text(encoding="utf-8")
    page = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False).from_string(template)
    return page.render(
        gradio=importlib.metadata.version("gradio"),
        python=PYTHON,
        models=sorted(models),
        datasets=sorted(datasets),
        lifter=os.environ.get("HUMANMOVEVQA_DEMO_LIFTER", "monocular"),
        gpu_s=speech.GPU_S,
        seconds=f"{limits.SECONDS[1]:g}",
        megabytes=limits.FILE_BYTES // limits.MB,
        hours=f"{limits.KEPT_S / 3600:g}",
        version=__version__,
    )
