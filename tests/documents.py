"""What the project's documents show: their code blocks, commands, links and anchors."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted(
    p.relative_to(ROOT).as_posix()
    for p in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("cards/*.md"), ROOT / "builder" / "sample" / "README.md"]
)
PROGRAMS = ("humanmovevqa", "make", "python", "hf", "pip")


def text(document: str) -> str:
    """A document by its path in the project."""
    return (ROOT / document).read_text(encoding="utf-8")


def blocks(page: str) -> list[tuple[str, str]]:
    """(language, code) of every fenced block, in order."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", page, re.M | re.S)


def prose(page: str) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page, flags=re.M | re.S)


def commands(page: str) -> list[str]:
    """Every command line of the page's blocks, without its comment or folder; continued lines are one."""
    lines = [line for _, code in blocks(page) for line in code.replace("\\\n", " ").splitlines()]
    return _commands(lines)


def mentions(page: str) -> list[str]:
    """Every command that the page's prose names in a code span."""
    return _commands(re.findall(r"`([^`\n]+)`", prose(page)))


def _commands(lines: list[str]) -> list[str]:
    out = []
    for line in lines:
        command = re.sub(r"\s+#\s.*$", "", line.strip()).removeprefix(".venv/bin/")
        if command.partition(" ")[0] in PROGRAMS and " " in command and command not in out:
            out.append(command)
    return out


def words_of(command: str) -> list[str]:
    """The command's words as a shell gives them."""
    return shlex.split(command)


def links(page: str) -> list[str]:
    """The target of every link and picture of the page, web addresses left out."""
    found = re.findall(r"\]\(([^)\s]+)\)", prose(page)) + re.findall(r"(?:src|href)=\"([^\"]+)\"", prose(page))
    return [target for target in found if not re.match(r"[a-z]+:|//", target)]


def anchors(page: str) -> set[str]:
    """The names that a web page of this document gives its headings."""
    out: set[str] = set()
    for heading in re.findall(r"^#+ +(.+?)\s*$", prose(page), re.M):
        plain = re.sub(r"[^\w\s-]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower())
        name, number = plain.replace(" ", "-"), 0
        while (name if not number else f"{name}-{number}") in out:
            number += 1
        out.add(name if not number else f"{name}-{number}")
    return out
