"""People named by their clothes: words from captions, pictures from clips, and both kinds of captioner, a model and a server."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fixture_lifters as files
import numpy as np
import pytest
from fixture_walk import Array, Walk, walk
from test_lifters import people
from tiny_qwen3_vl import torchvision_works

from builder import captioner, clothing, portraits, store
from builder.cli import main
from builder.lifters import captioned
from builder.sources import folder as videos
from builder.types import Clip, SetupError, Track
from builder.video import write_clip

RED, BLUE, GREY = (200, 30, 35), (35, 70, 190), (128, 128, 128)
SIZE = 640, 360


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a man wearing a blue shirt and black pants", {("shirt", "blue"), ("trousers", "black")}),
        (
            "Dark grey hooded sweatshirt, light-blue jeans, white baseball cap.",
            {("hoodie", "dark grey"), ("jeans", "light blue"), ("cap", "white")},
        ),
        ("navy blue t-shirt; khaki shorts", {("T-shirt", "dark blue"), ("shorts", "khaki")}),
        ("a long red evening dress", {("dress", "red")}),
        ("a red and white striped shirt", set()),
        ("a black jacket with a red backpack", {("jacket", "black")}),
        ("blackshirts in a redress", set()),
        ("", set()),
    ],
)
def test_captions_are_read_for_clothes_only(caption: str, expected: set[tuple[str, str]]) -> None:
    assert {(one.garment, one.colour) for one in clothing.worn(caption)} == expected


def test_pictures_must_agree() -> None:
    said = ["a blue shirt and black pants", "a blue t-shirt", "a green jacket, black trousers", "blue shirt"]
    assert [(w.garment, w.colour) for w in clothing.agreed(said)] == [("shirt", "blue")]
    assert clothing.agreed(["a blue shirt", "a red shirt"]) == []
    assert clothing.agreed([]) == []


@pytest.mark.parametrize(
    ("captions", "expected"),
    [
        (["red jacket", "blue shirt"], ["the person in the red jacket", "the person in the blue shirt"]),
        (["black jacket, red cap", "dark blue coat, white cap"], ["the person with the red cap", "the person with the white cap"]),
        (["red jacket", "black trousers"], [None, None]),
        (["red jacket", ""], [None, None]),
        (["red dress", "green shirt, blue jeans"], ["the person in the red dress", "the person in the green shirt"]),
        (["red top", "blue top", "blue shirt"], ["the person in the red top", None, None]),
        (["grey top", "light grey top"], [None, None]),
        (["red top"], [None]),
    ],
)
def test_words_single_out_or_are_not_used(captions: list[str], expected: list[str | None]) -> None:
    assert clothing.singled_out([clothing.agreed([c] * 3) for c in captions]) == expected


def test_pictures_are_spread_clear_and_large() -> None:
    n = 100
    boxes = np.tile([0.4, 0.2, 0.5, 0.8], (n, 1))
    boxes[:20, [1, 3]] = [0.45, 0.5]  # far away
    boxes[40:60, [0, 2]] = [0.97, 1.07]  # half out of the picture
    other = np.full((n, 4), np.nan)
    other[80:] = [0.42, 0.2, 0.52, 0.8]
    track = Track("c", "0", 30.0, np.arange(n) != 30, np.tile(np.eye(3), (n, 1, 1)), np.zeros((n, 3)), np.arange(n))
    rows = portraits.rows_of(track, boxes, [other], 10)
    assert rows == [24, 34, 64, 74]
    with_gap = portraits.rows_of(track, boxes, [], 10)
    assert len(with_gap) == 6
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[20:80, 80:100] = 255
    assert portraits.cut(picture, boxes[30])[5:-5, 2:-2].min() == 255
    assert portraits.cut(picture, np.array([-0.2, -0.3, 0.1, 0.4])).shape == (46, 25, 3)


def test_boxes_come_from_whatever_a_track_has() -> None:
    known = walk()
    n = known.num_frames
    base = {"valid": np.ones(n, bool), "body_to_world": known.body_to_world, "position_m": known.position_m, "frame_ids": np.arange(n)}
    seen = Track("c", "0", 30.0, **base, camera_to_world=known.moving_camera, extra={"camera_matrix": known.camera_matrix})
    boxes = portraits.boxes_of(seen)
    assert boxes is not None
    true = known.boxes(known.moving_camera) / np.tile([known.width, known.height], 2)
    np.testing.assert_allclose(
        (boxes[:, :2] + boxes[:, 2:]) / 2, known.pixels(known.moving_camera) / [known.width, known.height], atol=1e-9
    )
    assert np.abs(boxes - true).max() < 0.08
    points = np.random.default_rng(1).uniform([100, 50], [300, 500], (n, 33, 2))
    marked = Track("c", "0", 30.0, **base, extra={"camera_matrix": known.camera_matrix, "landmarks_px": points})
    np.testing.assert_allclose(portraits.boxes_of(marked)[3], [*points[3].min(0), *points[3].max(0)] / np.tile([1280, 720], 2))
    assert portraits.boxes_of(Track("c", "0", 30.0, **base)) is None


# A clip of two people, drawn as the boxes that PromptHMR's file has for them


def drawn(path: Path, pair: tuple[Walk, Walk], colours: tuple[Any, Any]) -> None:
    def picture(frame: int) -> Array:
        image = np.full((SIZE[1], SIZE[0], 3), GREY, np.uint8)
        for person, colour in zip(pair, colours, strict=True):
            left, top, right, bottom = (person.boxes(person.moving_camera)[frame] / 2).round().astype(int)
            image[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = colour
        return image

    write_clip(path, (picture(k) for k in range(pair[0].num_frames)), 30.0)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scene")
    known, other = people(walk())
    drawn(folder / "videos" / "pair.mp4", (known, other), (RED, BLUE))
    files.prompthmr(folder / "results" / "pair", {1: known, 2: other})
    return folder


class Wardrobe(BaseHTTPRequestHandler):
    """A server that knows two coats by their colour."""

    seen: list[dict[str, Any]]
    broken = ""

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).seen.append({"path": self.path, "model": body["model"], "key": self.headers.get("Authorization")})
        url = body["messages"][0]["content"][1]["image_url"]["url"]
        import cv2

        image = cv2.imdecode(np.frombuffer(base64.b64decode(url.partition(",")[2]), np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
        middle = image[image.shape[0] // 3 : -image.shape[0] // 3, image.shape[1] // 3 : -image.shape[1] // 3].mean(axis=(0, 1))
        said = "A red jacket and black trousers." if middle[0] > middle[2] + 40 else "a blue shirt, black pants" if middle[2] > 120 else "?"
        content = self.broken or json.dumps({"choices": [{"message": {"content": said}}]})
        self.send_response(503 if self.broken == "503" else 200)
        self.end_headers()
        self.wfile.write(content.encode())


@pytest.fixture
def server() -> Iterator[str]:
    Wardrobe.seen, Wardrobe.broken = [], ""
    with ThreadingHTTPServer(("127.0.0.1", 0), Wardrobe) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/v1#dresser"
        running.shutdown()


def rows_of(out: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as parquet

    return [row for file in sorted(out.rglob("*.parquet")) for row in parquet.read_table(file).to_pylist()]


def test_a_build_asks_by_clothes(scene: Path, tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From two people's results through a captioning server to questions; without a captioner the same people go by place."""
    monkeypatch.setenv("OPENAI_API_KEY", "sesame")
    common = ["build", "--source", f"folder={scene / 'videos'}", "--lifter", "prompthmr", "--option", f"results={scene / 'results'}"]
    common += ["--work", str(tmp_path / "work"), "--workers", "1", "--no-report", "--quiet"]
    for extra, expected in (
        ([], {"the person who first appears further to the left", "the person who first appears further to the right"}),
        (["--captioner", server], {"the person in the red jacket", "the person in the blue shirt"}),
    ):
        assert main([*common, "--out", str(tmp_path / f"out{len(extra)}"), *extra]) == 0
        rows = rows_of(tmp_path / f"out{len(extra)}")
        assert {row["referent"] for row in rows} == expected
        assert all(any(name in row["question"] for name in expected) for row in rows)
        assert {row["lifter"] for row in rows} == {"prompthmr"}
    assert {(s["path"], s["model"], s["key"]) for s in Wardrobe.seen} == {("/v1/chat/completions", "dresser", "Bearer sesame")}
    asked = len(Wardrobe.seen)
    assert 4 <= asked <= 10
    assert main([*common, "--out", str(tmp_path / "again"), "--captioner", server]) == 0
    assert len(Wardrobe.seen) == asked
    kept = [store.read_track(f)[0] for f in (tmp_path / "work").rglob("*.npz")]
    assert {t.provenance["captioner"] for t in kept} == {"v1#dresser"}


def lifted(scene: Path, name: str) -> list[Track]:
    (clip,) = videos.clips(scene / "videos")
    return captioned.load(captioner=name, lifter="prompthmr", results=str(scene / "results"))(clip)


def test_a_server_that_fails_is_named_in_a_line(scene: Path, server: str) -> None:
    for broken, expected in (
        ("503", r"refused with 503"),
        ("<html>", "expected a chat completion"),
        ('{"choices": []}', "expected a chat"),
    ):
        Wardrobe.broken = broken
        with pytest.raises(SetupError, match=expected) as caught:
            lifted(scene, server)
        assert "\n" not in str(caught.value)
    with pytest.raises(SetupError, match="no answer"):
        lifted(scene, "http://127.0.0.1:9/v1#x")
    for bad in ("http://h/v1", "http://u:p@h/v1#m", "https://#m"):
        with pytest.raises(SetupError, match=r"expected http://HOST/v1#MODEL"):
            captioned.load(captioner=bad)
    with pytest.raises(SetupError, match="expected a checkpoint"):
        captioned.load(captioner="")


def test_one_person_needs_no_name(scene: Path, tmp_path: Path, server: str) -> None:
    files.prompthmr(tmp_path / "pair", {1: walk()})
    (clip,) = videos.clips(scene / "videos")
    (track,) = captioned.load(captioner=server, lifter="prompthmr", results=str(tmp_path))(clip)
    assert track.referent is None
    assert Wardrobe.seen == []


def test_the_truth_of_a_filmed_window_is_asked_for_by_its_own_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    from builder import plugins
    from builder.sources import tracks as source

    asked = []

    def reference(clip: Clip) -> list[Track]:
        asked.append((clip.start_frame, clip.end_frame))
        return []

    monkeypatch.setattr(source, "reference", reference)
    assert plugins.load("sources", "tracks").reference is reference
    clip = Clip("tracks/a", "tracks", "a", 30.0, 0, 300, 300, "g", "qa_only", meta={captioned.FIRST_FRAME: 40})
    assert captioned.load(captioner="x")(clip) == []
    assert asked == [(40, 340)]


# Real classes of transformers with random weights: nothing they say is clothing, so place stands


WORDS = "question : what clothes is the person wearing , and in which colours ? answer a red jacket blue shirt black trousers".split()


def tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<s>", "</s>", "<unk>", "<image>"]
    vocabulary = {word: k for k, word in enumerate([*special, *dict.fromkeys(WORDS)])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    out = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    out.add_special_tokens({"additional_special_tokens": ["<image>"]})
    return out


def blip2(folder: Path) -> None:
    import torch
    from transformers import Blip2Config, Blip2ForConditionalGeneration, Blip2Processor, BlipImageProcessor

    words = tokenizer()
    torch.manual_seed(3)
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = Blip2Config(
        vision_config={**small, "image_size": 28, "patch_size": 14},
        qformer_config={**small, "encoder_hidden_size": 16, "vocab_size": 30, "cross_attention_frequency": 1},
        text_config={
            "model_type": "opt", "hidden_size": 16, "ffn_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "vocab_size": len(words), "word_embed_proj_dim": 16, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
        },
        num_query_tokens=4,
        image_token_id=words.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    Blip2ForConditionalGeneration(config).save_pretrained(folder)
    Blip2Processor(BlipImageProcessor(size={"height": 28, "width": 28}), words, num_query_tokens=4).save_pretrained(folder)


def llava(folder: Path) -> None:
    """A vision-language model that is talked to by its chat template."""
    import torch
    from transformers import CLIPImageProcessor, CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor

    words = tokenizer()
    torch.manual_seed(4)
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    image = words.convert_tokens_to_ids("<image>")
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**small, image_size=28, patch_size=14, projection_dim=16),
        text_config=LlamaConfig(**small, vocab_size=len(words), pad_token_id=0, bos_token_id=1, eos_token_id=2),
        image_token_index=image,
        image_seq_length=4,
    )
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    template = (
        "{% for m in messages %}{% for c in m['content'] %}{{ '<image>' if c['type'] == 'image' else c['text'] }} {% endfor %}{% endfor %}"
    )
    pictures = CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    LlavaProcessor(
        pictures, words, patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1, chat_template=template
    ).save_pretrained(folder)


def test_a_vision_language_model_is_talked_to(tmp_path: Path) -> None:
    torchvision_works()
    llava(tmp_path)
    (said,) = captioner.load(str(tmp_path))([np.full((40, 20, 3), 90, np.uint8)])
    assert "middle" not in said
    assert "<image>" not in said


def test_a_checkpoint_is_asked(scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torchvision_works()
    blip2(tmp_path / "blip2")
    ask = captioner.load(str(tmp_path / "blip2"))
    images = [np.full((40, 20, 3), value, np.uint8) for value in (10, 200)]
    said = ask(images)
    assert len(said) == 2
    assert ask(images) == said
    assert not any("question" in text and "wearing" in text for text in said), "the question is repeated"
    found = lifted(scene, str(tmp_path / "blip2"))
    assert all(len(t.provenance["captions"]) >= 3 for t in found)
    assert {t.referent for t in found} == {
        "the person who first appears further to the left",
        "the person who first appears further to the right",
    }
    with pytest.raises(SetupError, match="cannot be loaded as an image-to-text model") as caught:
        captioner.load(str(tmp_path))
    assert "\n" not in str(caught.value)
