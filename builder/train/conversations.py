"""Conversations as a trainer's batches: in which order, each clip decoded once while it is asked about, and which tokens are learnt.

Frames, prompt and time stamps are those of `qwen`, which evaluation uses: there is no second way of showing a clip.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from builder import qwen, watching
from builder.sft import Chat
from builder.types import DataError, SetupError
from builder.watching import Footage, Shown

TOGETHER = 8  # clips whose questions are mixed: fewer would make batches of one clip, more would not fit in memory
IGNORED = -100  # a label that is not learnt


def order(videos: Sequence[str], epochs: float, seed: int) -> list[int]:
    """Places in `videos` (the clip of each question) for all epochs: clips in random groups, the questions of a group mixed.

    A pure function of its arguments, so that a resumed training goes on with what it would have seen.
    """
    places: dict[str, list[int]] = {}
    for place, video in enumerate(videos):
        places.setdefault(video, []).append(place)
    out: list[int] = []
    for epoch in range(math.ceil(epochs)):
        number = hashlib.sha256(f"{seed}|epoch {epoch}".encode()).digest()[:8]
        rng = np.random.default_rng(int.from_bytes(number, "big"))
        names = [sorted(places)[k] for k in rng.permutation(len(places))]
        for start in range(0, len(names), TOGETHER):
            group = [place for name in names[start : start + TOGETHER] for place in places[name]]
            out += [group[k] for k in rng.permutation(len(group))]
    return out[: math.ceil(epochs * len(videos))]


class Clips:
    """The clips of a sequence of questions, ready for the model: those of this group and, in the background, of the next."""

    def __init__(self, processor: Any, found: Mapping[str, Footage], shown: Shown, timestamps: str, sequence: Sequence[str]) -> None:
        self.processor, self.found, self.shown, self.timestamps = processor, found, shown, timestamps
        self.sequence = sequence
        self.groups: list[list[str]] = []
        self.group_of: list[int] = []
        for video in sequence:
            if not self.groups or (video not in self.groups[-1] and len(self.groups[-1]) == TOGETHER):
                self.groups.append([])
            if video not in self.groups[-1]:
                self.groups[-1].append(video)
            self.group_of.append(len(self.groups) - 1)
        self.decoded = 0
        self._kept: dict[str, Future[qwen.Seen]] = {}
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="decode")

    def __getitem__(self, place: int) -> qwen.Seen:
        """The clip of the question at this place of the sequence.  Raises VideoError."""
        here = self.group_of[place]
        wanted = [video for group in self.groups[here : here + 2] for video in group]
        self._kept = {video: self._kept[video] for video in wanted if video in self._kept}
        for video in wanted:
            if video not in self._kept:
                self._kept[video] = self._pool.submit(self._see, video)
        return self._kept[self.sequence[place]].result()

    def _see(self, video: str) -> qwen.Seen:
        self.decoded += 1
        return qwen.see(self.processor, watching.look(video, self.found[video], self.shown), self.shown.pixels, self.timestamps)

    def close(self) -> None:
        """Stop decoding ahead."""
        self._pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class Example:
    """One conversation with its clip."""

    chat: Chat
    seen: qwen.Seen


class Conversations:
    """What a trainer draws from: conversation after conversation in the order of `order`, over all epochs."""

    def __init__(self, chats: Sequence[Chat], clips: Clips, places: Sequence[int]) -> None:
        self.chats, self.clips, self.places = chats, clips, places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Example:
        return Example(self.chats[self.places[index]], self.clips[index])


def collate(processor: Any, examples: Sequence[Example], longest: int, pixels: bool = True) -> dict[str, Any]:
    """A batch: (B, L) tokens padded on the right, and labels that are IGNORED everywhere but in the reply and its end.

    With `pixels` the clips' patches are in it, otherwise the model must be given their features.  Raises DataError for a
    conversation of more than `longest` tokens, which is never cut: what is cut off is the reply.
    """
    import torch

    rows, labels = [], []
    for example in examples:
        ids, start = tokens(processor, example)
        if len(ids) > longest:
            raise DataError(
                f"question {example.chat.id}: its conversation has {len(ids)} tokens, more than {longest}; "
                "pass fewer --frames or --pixels, or a larger --set longest=N"
            )
        rows.append(ids)
        labels.append([IGNORED] * start + ids[start:])
    width = max(map(len, rows))
    pad = processor.tokenizer.pad_token_id

    def square(lists: Sequence[Sequence[int]], filler: int) -> Any:
        return torch.tensor([[*one, *[filler] * (width - len(one))] for one in lists])

    out = {
        "input_ids": square(rows, pad),
        "attention_mask": square([[1] * len(ids) for ids in rows], 0),
        "mm_token_type_ids": square(processor.create_mm_token_type_ids(rows), 0),
        "labels": square(labels, IGNORED),
    }
    seen = [e.seen for e in examples]
    if any(s.grid is not None for s in seen):
        out["video_grid_thw"] = torch.cat([s.grid for s in seen])
        if pixels:
            out["pixel_values_videos"] = torch.cat([s.patches for s in seen])
    return out


def tokens(processor: Any, example: Example) -> tuple[list[int], int]:
    """(the whole conversation, where its reply begins), in tokens.  Raises SetupError where a template hides that place."""
    chat, seen = example.chat, example.seen
    asked = qwen.conversation(processor, chat.system, chat.user, seen)
    whole = qwen.conversation(processor, chat.system, chat.user, seen, chat.assistant).rstrip()
    before, ids = (processor.tokenizer.encode(text, add_special_tokens=False) for text in (asked, whole))
    if ids[: len(before)] != before or len(ids) <= len(before):
        raise SetupError(
            "the checkpoint's chat template does not write a reply behind what it writes before one (it may add thoughts); "
            "take a checkpoint that answers at once, such as an Instruct one"
        )
    return ids, len(before)
