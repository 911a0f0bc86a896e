"""A dataset folder for LLaMA-Factory: rows, `dataset_info.json` with the role tags, a LoRA configuration, and how to evaluate after it.

That trainer writes as seconds "frame number / video_fps".  With `--timestamps true` video_fps is the clips' own frame rate, so the
seconds are true; with `--timestamps llamafactory` it is 64, as in the published recipe, and an adapter must be asked the same way.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from builder import exports, qwen, rows, sft, watching
from builder.rows import Item
from builder.types import DataError

HELP = "training data and configuration for LLaMA-Factory"
EXAMPLE = "humanmovevqa export llamafactory --data humanmovevqa --videos clips --out lf"
INFO, NAME, FILE = "dataset_info.json", "humanmovevqa", "train.json"
TAGS = {"role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt", "system_tag": "system"}
PLACE = "<video>"
YAML = """\
# LoRA fine-tuning of Qwen3-VL on HumanMoveVQA, written by `humanmovevqa export llamafactory`: {number} conversations.
# Time stamps: {stamps}.
model_name_or_path: Qwen/Qwen3-VL-8B-Instruct
stage: sft
do_train: true
finetuning_type: lora
lora_rank: {rank}
lora_alpha: {alpha}
lora_dropout: {dropout}
lora_target: all
freeze_multi_modal_projector: false

dataset: {name}
dataset_dir: {folder}
media_dir: {media}
template: qwen3_vl_nothink
cutoff_len: {longest}
preprocessing_num_workers: 8
video_fps: {fps:g}
video_maxlen: {frames}
video_max_pixels: {pixels}

output_dir: {folder}/adapter
per_device_train_batch_size: {batch}
gradient_accumulation_steps: {accumulate}
learning_rate: {rate}
num_train_epochs: {epochs}
lr_scheduler_type: cosine
warmup_ratio: {warmup}
bf16: true
logging_steps: 10
save_steps: {save_every}
plot_loss: true
report_to: none
seed: {seed}
"""
README = """\
# HumanMoveVQA for LLaMA-Factory

    llamafactory-cli train {folder}/train.yaml
    cp {folder}/{record} {folder}/adapter/
    humanmovevqa evaluate --model qwen3_vl=Qwen/Qwen3-VL-8B-Instruct --option adapter={folder}/adapter \\
        --option timestamps={timestamps} --frames {frames} --pixels {pixels}{reply} --videos VIDEOS

The clips lie under `media_dir` as the rows name them.  Time stamps: {stamps}.
`{record}` says with which frames, pixels, time stamps and prompt the adapter is trained; `evaluate` refuses any other.
The files were checked against LLaMA-Factory's documented format, not by running it: it needs older versions of what this project uses.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this format."""
    exports.common_options(parser)
    parser.set_defaults(split="train")
    parser.add_argument("--reasoning", choices=sft.REASONING, default="none", help="replies: the answer alone, or short reasoning first")
    parser.add_argument("--videos", type=Path, metavar="DIR", help="folder of the clips; they are then looked for (default: not checked)")
    parser.add_argument("--frames", type=int, default=watching.FRAMES, metavar="N", help=f"frames of a clip (default: {watching.FRAMES})")
    parser.add_argument("--pixels", type=int, default=watching.PIXELS, metavar="N", help=f"pixels of a frame (default: {watching.PIXELS})")
    parser.add_argument("--timestamps", choices=qwen.TIMES, default="true", help="seconds that the model reads (default: true)")


def run(args: argparse.Namespace) -> int:
    """Write the folder."""
    data = rows.read(args.data, args.config, args.split)
    exports.need_videos(data.items, args.videos)
    made = files(data, args.out, args.reasoning, args.videos, args.frames, args.pixels, args.timestamps)
    exports.write_folder(args.out, made, INFO)
    if not args.quiet:
        print(f"llamafactory-cli train {args.out / 'train.yaml'}", file=sys.stderr)
    return 0


def files(
    data: rows.Rows,
    out: Path,
    reasoning: str,
    videos: Path | None,
    frames: int,
    pixels: int,
    timestamps: str,
    tuning: sft.Tuning | None = None,
) -> dict[str, str]:
    """Name -> text of the folder's files.  Raises DataError."""
    tuning = tuning or sft.Tuning()
    fps = _fps(data.items, timestamps)
    stamps = "true seconds" if timestamps == "true" else f"frame number / {fps:g}, which are seconds only for clips at that rate"
    conversations = [conversation(chat) for chat in sft.chats(data.items, reasoning)]
    record = {**qwen.setting(frames, pixels, timestamps, data.fingerprint), "reasoning": reasoning, "trainer": "LLaMA-Factory"}
    values = {
        **vars(tuning),
        "number": len(conversations),
        "stamps": stamps,
        "timestamps": timestamps,
        "name": NAME,
        "folder": out.resolve(),
        "media": videos.resolve() if videos else "VIDEOS",
        "fps": fps,
        "frames": frames,
        "pixels": pixels,
        "record": qwen.RECORD,
        "rate": f"{tuning.rate:.1e}",
        "reply": f" --option max_new_tokens={sft.LONGEST_REPLY[reasoning]}" if reasoning != "none" else "",
    }
    return {
        FILE: json.dumps(conversations, indent=1, ensure_ascii=False) + "\n",
        INFO: json.dumps({NAME: info()}, indent=2) + "\n",
        "train.yaml": YAML.format(**values),
        qwen.RECORD: json.dumps(record, indent=1, sort_keys=True) + "\n",
        "README.md": README.format(**values),
    }


def info() -> dict[str, Any]:
    """The entry of `dataset_info.json`.  The tags are stated: without them a row of other roles is dropped as invalid."""
    columns = {"messages": "conversations", "videos": "videos", "system": "system"}
    return {"file_name": FILE, "formatting": "sharegpt", "columns": columns, "tags": TAGS}


def conversation(chat: sft.Chat) -> dict[str, Any]:
    """One row in ShareGPT's form: turns alternate, the person asks first, and each <video> in the text has its file."""
    turns = [(TAGS["user_tag"], f"{PLACE}\n{chat.user}"), (TAGS["assistant_tag"], chat.assistant)]
    return {
        "id": chat.id,
        "task": chat.category,
        "system": chat.system,
        "conversations": [{TAGS["role_tag"]: role, TAGS["content_tag"]: text} for role, text in turns],
        "videos": [chat.video_path],
    }


def _fps(items: Sequence[Item], timestamps: str) -> float:
    """What video_fps must be for this convention.  Raises DataError where no one number gives true seconds."""
    if timestamps != "true":
        return qwen.LLAMAFACTORY_FPS
    rates = {None if item.fps is None else round(item.fps, 3) for item in items}
    if len(rates) != 1 or None in rates:
        named = ", ".join("unknown" if r is None else f"{r:g}" for r in sorted(rates, key=lambda r: r or 0.0))
        raise DataError(
            f"--timestamps true: LLaMA-Factory divides frame numbers by one video_fps, and these clips have the frame rates {named}; "
            "export one source at a time (--config), or pass --timestamps llamafactory"
        )
    return float(rates.pop() or 0.0)
