"""What `make build` fetches into an empty cache: the files that pip would take for requirements.txt, and the wheel with the weights.

python tests/benchmarks/download.py      # asks the index that pip is set up with; downloads nothing (a minute)
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[2]
PIP = (sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps", "--quiet", "--disable-pip-version-check")
SHOWN = 5


def files(*what: str) -> list[tuple[str, int]]:
    """Name and size in bytes of every file that pip would fetch."""
    done = subprocess.run([*PIP, "--report", "-", *what], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    with ThreadPoolExecutor(4) as threads:
        return list(threads.map(_file, json.loads(done.stdout)["install"]))


def _file(entry: dict[str, Any]) -> tuple[str, int]:
    url = entry["download_info"]["url"]
    name = unquote(url.rpartition("/")[2])
    if url.startswith("file:"):
        return name, Path(unquote(urlsplit(url).path)).stat().st_size
    with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=60) as answer:
        return name, int(answer.headers["Content-Length"])


def main() -> None:
    """Print the sum and the largest files."""
    from builder.lifters.monocular.weights import WHEEL

    packages, (weights,) = (
        files("-r", str(ROOT / "requirements.txt")),
        files("--python-version", "311", "--only-binary=:all:", "--target", "x", WHEEL),
    )
    for name, size in sorted(packages, key=lambda file: -file[1])[:SHOWN]:
        print(f"{size / 1e6:7.1f} MB  {name}")
    print(f"{sum(size for _, size in packages) / 1e6:7.1f} MB  {len(packages)} packages")
    print(f"{weights[1] / 1e6:7.1f} MB  {weights[0]}, for the pose networks")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
