"""Asks a model what somebody wears: any image-to-text or vision-language checkpoint of transformers, or an OpenAI-compatible server.

A captioner is a callable from pictures of one person to one text each.  A server is sent those pictures, and nothing else.
"""

from __future__ import annotations

import base64
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from http.client import HTTPException
from typing import Any

import numpy as np
from numpy.typing import NDArray

from builder.types import SetupError

Image = NDArray[np.uint8]
Captioner = Callable[[Sequence[Image]], list[str]]

DEFAULT = "Salesforce/blip2-opt-2.7b"  # the paper's kind
ASK = "What clothes is the person in the middle of the picture wearing? Name each garment with its colour, nothing else."
ASK_BLIP2 = "Question: what clothes is the person wearing, and in which colours? Answer:"  # the form that it was taught
LONGEST = 60  # tokens
KEY = "OPENAI_API_KEY"
TIMEOUT_S = 120.0
JPEG_QUALITY = 90


def is_address(captioner: str) -> bool:
    """Whether a captioner is a server's address and not a checkpoint."""
    return captioner.startswith(("http://", "https://"))


def load(captioner: str) -> Captioner:
    """The captioner by its checkpoint (a folder or a Hub id), or by a server's address as `http://HOST/v1#MODEL`.

    Weights are loaded here, and nothing is asked of a server.  A server's key comes from the variable `OPENAI_API_KEY`.  Raises SetupError.
    """
    return _server(captioner) if is_address(captioner) else _checkpoint(captioner)


def need_form(captioner: str) -> None:
    """Raise SetupError for an address that can be none."""
    if is_address(captioner):
        parts = urllib.parse.urlsplit(captioner)
        if not parts.hostname or parts.username or parts.query or not parts.fragment:
            raise SetupError(f"captioner {parts.hostname or captioner}: expected http://HOST/v1#MODEL, without user, password or query")


def _checkpoint(name: str) -> Captioner:
    try:
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor
    except (ImportError, RuntimeError) as error:
        raise SetupError(f"a captioner needs torch and transformers ({_line(error)}); run: pip install 'humanmovevqa[models]'") from None
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        processor = AutoProcessor.from_pretrained(name)
        model: Any = AutoModelForImageTextToText.from_pretrained(name, dtype="auto" if device == "cuda" else torch.float32)
    except Exception as error:  # transformers raises whatever a checkpoint's own code and files raise
        raise SetupError(f"captioner {name!r} cannot be loaded as an image-to-text model: {_line(error)}") from None
    if not hasattr(processor, "tokenizer"):
        raise SetupError(f"captioner {name!r} has no processor for both pictures and words; expected one such as {DEFAULT}")
    model = model.to(device).eval()
    talks = bool(getattr(processor, "chat_template", None))

    def ask(images: Sequence[Image]) -> list[str]:
        try:
            return [_said(model, processor, image, talks) for image in images]
        except (RuntimeError, ValueError, TypeError) as error:
            raise SetupError(f"captioner {name!r} failed on a picture: {_line(error)}") from None

    return ask


def _said(model: Any, processor: Any, image: Image, talks: bool) -> str:
    """The model's words about one picture, the question not repeated; the likeliest words, so the same ones every time."""
    import torch

    given: dict[str, Any] = {"images": [image], "return_tensors": "pt"}
    if talks:
        content = [{"type": "image"}, {"type": "text", "text": ASK}]
        written = processor.apply_chat_template([{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True)
        given["text"] = [written]
    elif model.config.model_type in ("blip-2", "instructblip"):
        given["text"] = [ASK_BLIP2]
    inputs = processor(**given).to(model.device, model.dtype)
    with torch.inference_mode():
        out = model.generate(**inputs, max_new_tokens=LONGEST, do_sample=False)[0]
    asked = inputs.get("input_ids")
    if asked is not None and len(out) >= asked.shape[1] and bool((out[: asked.shape[1]] == asked[0]).all()):
        out = out[asked.shape[1] :]
    return " ".join(processor.tokenizer.decode(out, skip_special_tokens=True).split())


def _server(address: str) -> Captioner:
    need_form(address)
    base, _, model = address.partition("#")
    url = f"{base.rstrip('/')}/chat/completions"
    secret = os.environ.get(KEY, "")
    opener = urllib.request.build_opener(_NoRedirect())

    def ask(images: Sequence[Image]) -> list[str]:
        return [_answer(opener, url, model, secret, image) for image in images]

    return ask


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry pictures and key to another host."""

    def redirect_request(self, *arguments: Any, **named: Any) -> None:
        """None: the redirect is an error."""
        return None


def _answer(opener: Any, url: str, model: str, secret: str, image: Image) -> str:
    picture = {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{base64.b64encode(_jpeg(image)).decode()}"}}
    message = {"role": "user", "content": [{"type": "text", "text": ASK}, picture]}
    body = {"model": model, "messages": [message], "max_tokens": LONGEST * 4, "temperature": 0, "seed": 0}
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {secret}"} if secret else {})
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with opener.open(request, timeout=TIMEOUT_S) as reply:
            content = json.loads(reply.read(1 << 20))["choices"][0]["message"]["content"]
    except urllib.error.HTTPError as error:
        said = error.read(300).decode(errors="replace")
        raise SetupError(f"captioner at {url}: refused with {error.code} ({' '.join(said.split())[:120]})") from None
    except (OSError, HTTPException) as error:
        raise SetupError(f"captioner at {url}: no answer ({_line(error)}); is it running?") from None
    except (ValueError, KeyError, IndexError, TypeError):
        raise SetupError(f"captioner at {url}: expected a chat completion, got something else; is the address right?") from None
    return " ".join(str(content or "").split())


def _jpeg(image: Image) -> bytes:
    try:
        import cv2
    except ImportError as error:
        raise SetupError(f"pictures for a captioner need OpenCV ({error}); run: pip install 'humanmovevqa[lift]'") from None
    _, packed = cv2.imencode(".jpg", np.ascontiguousarray(image[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return bytes(packed)


def _line(error: BaseException) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
