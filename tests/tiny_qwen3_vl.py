"""A Qwen3-VL of 0.3 million random weights, made from the real classes in a second: everything of the real path but its knowledge.

The tokenizer is a small BPE trained on the packaged questions; the processor, the video processor and the model are those of
transformers.  `python tests/tiny_qwen3_vl.py DIR` writes one, `... serve DIR PORT` puts it behind transformers' own server.
"""

from __future__ import annotations

import sys
from pathlib import Path

SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<think>",
    "</think>",
)


def torchvision_works() -> None:
    """Let torchvision's wheel import beside a CPU torch whose compiled operators it does not match.

    Only its Python part is needed (resizing tensors).  Declaring the two operators that its import looks for is enough; where
    torch and torchvision come from one index, nothing happens.
    """
    import torch

    try:
        import torchvision
    except RuntimeError:
        for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        torchvision_works.library = library  # type: ignore[attr-defined]  # it lives as long as this object
        import torchvision  # noqa: F401


def write(folder: Path, template: bool = False) -> Path:
    """The checkpoint folder, made anew; with a chat template of its own if asked, as released checkpoints have."""
    torchvision_works()
    import torch

    torch.set_num_threads(1)  # matrices this small only wait for each other
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import (
        PreTrainedTokenizerFast,
        Qwen2VLImageProcessor,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    from builder import prompts, qwen, rows

    items = rows.read(str(rows.SAMPLE)).items
    corpus = [prompts.SYSTEM, "<0.5 seconds>", *(prompts.render(i.question.text, i.question.options) for i in items)]
    corpus += 200 * [prompts.target(place) for place in range(len(prompts.LETTERS))]  # each letter one token, as in Qwen's own
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=500, special_tokens=list(SPECIAL), initial_alphabet=alphabet))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>", extra_special_tokens=list(SPECIAL), padding_side="left"
    )
    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in SPECIAL}
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "max_position_embeddings": 8192,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [3, 3, 2], "mrope_interleaved": True},
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
        },
        vision_config={
            "depth": 3,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "out_hidden_size": 64,
            "patch_size": 16,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0, 1, 2],
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    model = Qwen3VLForConditionalGeneration(config).eval()
    with torch.no_grad():  # random weights say nothing of the video unless its features are as large as words
        for name, weights in model.named_parameters():
            if weights.dim() > 1:
                weights.mul_(4.0 if "visual" in name else 2.0)
    model.generation_config.eos_token_id = ids["<|im_end|>"]
    model.generation_config.pad_token_id = ids["<|endoftext|>"]
    processor = Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(patch_size=16),
        tokenizer=tokenizer,
        video_processor=Qwen3VLVideoProcessor(),
        chat_template=qwen.TEMPLATE if template else None,
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def serve(folder: str, port: str) -> None:
    """`transformers serve` for that folder, on this machine's torchvision: pictures are opened by Pillow where it cannot."""
    torchvision_works()
    import io

    import numpy as np
    import torch
    import torchvision.io
    from PIL import Image
    from transformers.cli.transformers import main

    def decode_image(data: torch.Tensor, *args: object, **options: object) -> torch.Tensor:
        picture = Image.open(io.BytesIO(data.numpy().tobytes())).convert("RGB")
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1)

    torchvision.io.decode_image = decode_image
    sys.argv = ["transformers", "serve", folder, "--device", "cpu", "--port", port]
    main()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    if sys.argv[1] == "serve":
        serve(*sys.argv[2:])
    else:
        print(write(Path(sys.argv[1]), template=True))
