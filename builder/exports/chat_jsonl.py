"""Conversations with videos, one JSON object per line, for any trainer.

`--style parts` gives messages whose content is a list of parts, as transformers' and TRL's chat templates take them; `--style tag`
gives plain text with <video> in it and a list `videos`, as ms-swift takes it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from builder import exports, qwen, rows, sft, watching

HELP = "conversations with videos, one JSON object per line"
EXAMPLE = "humanmovevqa export chat-jsonl --data humanmovevqa --reasoning short --out chat"
FILE = "train.jsonl"
STYLES = ("parts", "tag")
README = """\
# HumanMoveVQA as conversations

`{file}`: {number} conversations of {name} ({config}, {split}), in the style `{style}`; video files are {where}.

Time stamps are a trainer's business: for Qwen3-VL it makes them from frame numbers and the frame rate that it is told, and not every
trainer is told the clip's own.  `{record}` describes {frames} frames of {pixels} pixels at true seconds; put it beside an adapter
that was trained so, and `humanmovevqa evaluate` refuses to ask it any other way.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this format."""
    exports.common_options(parser)
    parser.set_defaults(split="train")
    parser.add_argument("--reasoning", choices=sft.REASONING, default="none", help="replies: the answer alone, or short reasoning first")
    parser.add_argument("--style", choices=STYLES, default="parts", help="how a message names its video (default: parts)")
    parser.add_argument("--videos", type=Path, metavar="DIR", help="folder of the clips: rows then name the files themselves")


def run(args: argparse.Namespace) -> int:
    """Write the folder."""
    data = rows.read(args.data, args.config, args.split)
    exports.need_videos(data.items, args.videos)
    exports.write_folder(args.out, files(data, args.reasoning, args.style, args.videos), FILE)
    return 0


def files(data: rows.Rows, reasoning: str, style: str, videos: Path | None) -> dict[str, str]:
    """Name -> text of the folder's files.  Raises DataError."""
    made = [message_row(chat, style, videos) for chat in sft.chats(data.items, reasoning)]
    record = {**qwen.setting(watching.FRAMES, watching.PIXELS, "true", data.fingerprint), "reasoning": reasoning}
    about = {"name": data.name, "config": data.config, "split": data.split, "style": style, "number": len(made), "file": FILE}
    where = "those under the folder that was given" if videos else "named relative to your video folder"
    return {
        FILE: "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made),
        qwen.RECORD: json.dumps(record, indent=1, sort_keys=True) + "\n",
        "README.md": README.format(**about, where=where, record=qwen.RECORD, frames=watching.FRAMES, pixels=watching.PIXELS),
    }


def message_row(chat: sft.Chat, style: str, videos: Path | None = None) -> dict[str, Any]:
    """One conversation; `videos` is put before its video's path."""
    path = str((videos / chat.video_path).absolute()) if videos else chat.video_path
    about = {"id": chat.id, "category": chat.category, "source": chat.source}
    if style == "tag":
        turns = (("system", chat.system), ("user", f"<video>\n{chat.user}"), ("assistant", chat.assistant))
        return {**about, "messages": [{"role": role, "content": text} for role, text in turns], "videos": [path]}

    def said(text: str) -> dict[str, str]:
        return {"type": "text", "text": text}

    return {
        **about,
        "messages": [
            {"role": "system", "content": [said(chat.system)]},
            {"role": "user", "content": [{"type": "video", "video": path}, said(chat.user)]},
            {"role": "assistant", "content": [said(chat.assistant)]},
        ],
    }
