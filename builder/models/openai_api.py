"""Any server that speaks OpenAI's chat completions: `openai_api=MODEL`, with `--option url=https://host/v1` for others than OpenAI.

vLLM, SGLang, `transformers serve`, Gemini's and Hugging Face's compatible endpoints do.  Frames go as JPEG data URIs, each behind
its time, because that is what all of them take.  The key comes from the environment alone (`OPENAI_API_KEY`, or the variable that
`--option key=NAME` names) and is neither kept nor shown.  Several questions are in flight at once (`concurrency`); what fails for
the moment is tried again, with the pause that the server asks for; a refusal is a reply and counts as wrong.
"""

from __future__ import annotations

import base64
import io
import json
import os
import random
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import Any, TypeVar

from builder.types import HumanMoveError, SetupError
from builder.watching import Model, Prompt, Reply, Watch

ABOUT = {"title": "Frames as images, each behind its time, through an API", "sees": "frames", "frames": 32, "pixels": 147_456}
URL, KEY = "https://api.openai.com/v1", "OPENAI_API_KEY"
AGAIN = (408, 409, 425, 429, 500, 502, 503, 504, 529)
REFUSALS = ("content_filter", "content_policy_violation", "moderation_blocked", "ResponsibleAIPolicyViolation")
JPEG_QUALITY = 90
LONGEST_PAUSE_S = 300.0
LONGEST_STREAM = 4_000_000  # bytes of a reply that comes in pieces
A = TypeVar("A")
# name: (default, least) of the options that are numbers
NUMBERS: Mapping[str, tuple[float, float]] = {
    "concurrency": (8, 1),
    "max_tokens": (1024, 1),
    "timeout_s": (120, 0.01),
    "retries": (8, 0),
    "backoff_s": (1.0, 0),
    "tokens_per_frame": (85, 1),
    "tokens_per_reply": (16, 1),
    "price_in": (-1, 0),
    "price_out": (-1, 0),
}


class ApiError(HumanMoveError):
    """An API refuses to go on: a wrong key, an unknown model, no credit, or no answer after every retry."""


def load(
    checkpoint: str | None = None, url: str = "", key: str = KEY, detail: str = "low", temperature: str = "0", **numbers: str
) -> Model:
    """The model `checkpoint` behind `url`.  Raises SetupError."""
    if not checkpoint:
        raise SetupError("model openai_api: expected the server's name of a model, such as openai_api=gpt-5-mini")
    base = (url or os.environ.get("OPENAI_BASE_URL") or URL).rstrip("/")
    parts = urllib.parse.urlsplit(base)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise SetupError("--option url: expected http(s)://host/v1 without user, password or query; keys come from the environment")
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", key) or key.startswith("sk_"):
        raise SetupError("--option key: expected the NAME of an environment variable, not a key")
    secret = os.environ.get(key, "")
    if not secret and (base == URL or key != KEY):
        raise SetupError(f"{base} needs a key: set the environment variable {key}")
    unknown = sorted(set(numbers) - set(NUMBERS))
    if unknown:
        raise SetupError(f"model openai_api takes no --option {unknown[0]}; it takes url, key, detail, temperature, {', '.join(NUMBERS)}")
    known = {name: _number(name, numbers.get(name), default, least) for name, (default, least) in NUMBERS.items()}
    return Client(checkpoint, base, secret, detail, temperature, known)


def _number(name: str, text: str | None, default: float, least: float) -> float:
    try:
        value = default if text is None else float(text)
    except ValueError:
        value = float("nan")
    if text is not None and not least <= value < float("inf"):
        raise SetupError(f"--option {name}={text}: expected a number of {least:g} or more")
    return value


class Client:
    """One server and model as a model of `watching`."""

    def __init__(self, model: str, base: str, secret: str, detail: str, temperature: str, numbers: Mapping[str, float]) -> None:
        self.url, self._secret, self.detail, self.numbers = f"{base}/chat/completions", secret, detail, numbers
        self.identity = {"url": base, "detail": detail, "max_tokens": int(numbers["max_tokens"]), "temperature": temperature}
        self._body: dict[str, Any] = {"model": model, "max_completion_tokens": int(numbers["max_tokens"]), "seed": 0}
        if temperature != "none":
            self._body["temperature"] = float(temperature)
        self._open = urllib.request.build_opener(_NoRedirect()).open  # a redirect would carry the key to another host
        self._lock = threading.Lock()
        self._not_before = 0.0
        self._stop = threading.Event()

    def estimate(self, asked: Sequence[Prompt], frames: int, pixels: int) -> tuple[str, float | None]:
        """What these prompts will cost, in words and in the currency of the prices (None without prices)."""
        n = self.numbers
        words = sum(len(p.system) + len(p.text) for p in asked) / 4
        read = words + len(asked) * frames * (n["tokens_per_frame"] + 6)  # and its time
        written = len(asked) * n["tokens_per_reply"]
        text = f"{len(asked)} requests of {frames} frames to {self.url}: about {read / 1e6:.2f} M tokens in, {written / 1e6:.3f} M out"
        if n["price_in"] < 0 or n["price_out"] < 0:
            return f"{text}; prices unknown (--option price_in=... price_out=... per million tokens)", None
        cost = (read * n["price_in"] + written * n["price_out"]) / 1e6
        return f"{text}; about {cost:.2f} at {n['price_in']:g} and {n['price_out']:g} per million", cost

    def __call__(self, watch: Watch, asked: Sequence[Prompt]) -> Iterator[Reply]:
        """Replies as they come.  When one question fails for good, those in flight are still waited for, then ApiError is raised."""
        seen = images(watch, self.detail)
        failed: Exception | None = None
        self._stop.clear()
        with ThreadPoolExecutor(max_workers=int(self.numbers["concurrency"]), thread_name_prefix="ask") as pool:
            todo = iter(asked)
            flying: set[Future[Reply]] = set()
            try:
                while True:
                    while failed is None and len(flying) < self.numbers["concurrency"] and (prompt := next(todo, None)) is not None:
                        flying.add(pool.submit(self._ask, prompt, seen))
                    if not flying:
                        break
                    done, flying = wait(flying, return_when=FIRST_COMPLETED)
                    for future in done:
                        error = future.exception()
                        if error is None:
                            yield future.result()
                        elif failed is None:
                            failed = error if isinstance(error, Exception) else RuntimeError(str(error))
                            self._stop.set()
            finally:
                self._stop.set()  # nobody is left to read what a waiting retry would bring
        if failed is not None:
            raise failed

    def stream(self, watch: Watch, prompt: Prompt) -> Iterator[Reply]:
        """The reply to one prompt as it grows: each Reply has all of the text so far, the last one is whole.  Raises ApiError.

        A server that does not stream answers in one piece.
        """
        self._stop.clear()
        messages = _messages(prompt, images(watch, self.detail))
        try:
            answer = self._tried(prompt.key, lambda body: self._opened({**body, "messages": messages, "stream": True}))
            with answer:
                yield from _grown(prompt, answer)
        except _Refused as refused:
            yield prompt.reply(self._hidden(str(refused)), "refused")
        except (_Again, OSError, HTTPException) as error:  # cut off in the middle of it
            raise ApiError(self._hidden(f"{self.url}: {error}")) from None

    def _ask(self, prompt: Prompt, seen: Sequence[Mapping[str, Any]]) -> Reply:
        """One question, tried until it is answered, refused, or beyond hope."""
        messages = _messages(prompt, seen)
        try:
            return self._tried(prompt.key, lambda body: _reply(prompt, self._post({**body, "messages": messages})))
        except _Refused as refused:
            return prompt.reply(self._hidden(str(refused)), "refused")

    def _tried(self, key: str, send: Callable[[Mapping[str, Any]], A]) -> A:
        """What `send` makes of the request's parameters, in as many attempts as it takes.  Raises _Refused and ApiError."""
        jitter = random.Random(key)
        why = ""
        attempt, adapted = 0, 0
        while attempt <= self.numbers["retries"]:
            self._pause(why != "")
            with self._lock:
                body = dict(self._body)
            try:
                return send(body)
            except _Again as again:
                why = str(again)
                delay = again.after_s
                if delay is None:
                    delay = self.numbers["backoff_s"] * 2**attempt * (0.5 + jitter.random())
                attempt += 1
                if attempt <= self.numbers["retries"]:
                    self._wait(min(delay, LONGEST_PAUSE_S), everybody=again.after_s is not None)
            except _Rejected as rejected:  # 400: some models do not take a parameter that others need
                adapted += 1
                if adapted > 4 or not self._adapt(body, str(rejected)):
                    raise ApiError(self._hidden(f"{self.url}: {rejected}")) from None
        raise ApiError(self._hidden(f"{self.url}: no answer after {attempt} attempts, the last: {why}; run the same command to go on"))

    def _opened(self, body: Mapping[str, Any]) -> Any:
        """The server's answer, not yet read."""
        headers = {"Content-Type": "application/json", "User-Agent": "humanmovevqa"}
        if self._secret:
            headers["Authorization"] = f"Bearer {self._secret}"
        request = urllib.request.Request(self.url, json.dumps(body).encode(), headers)
        try:
            return self._open(request, timeout=self.numbers["timeout_s"])
        except urllib.error.HTTPError as error:
            with error:
                raise _judged(error.code, error.headers.get("Retry-After"), _body_of(error)) from None
        except (OSError, HTTPException) as error:  # refused, reset, timed out
            raise _Again(f"{type(error).__name__}: {error}") from None

    def _post(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            with self._opened(body) as answer:
                text = answer.read()
        except (OSError, HTTPException) as error:  # cut off
            raise _Again(f"{type(error).__name__}: {error}") from None
        return _completion(text)

    def _adapt(self, sent: Mapping[str, Any], message: str) -> bool:
        """Whether a parameter that the server complains of could be left out or renamed for all further requests."""
        with self._lock:
            for name in ("max_completion_tokens", "temperature", "seed", "max_tokens"):
                if name in message and name in sent:
                    value = self._body.pop(name, None)
                    if name == "max_completion_tokens" and value is not None:
                        self._body["max_tokens"] = value
                    return True
        return False

    def _wait(self, seconds: float, everybody: bool) -> None:
        """Wait before the next attempt; a pause that the server named holds for every thread."""
        if everybody:
            with self._lock:
                self._not_before = max(self._not_before, time.monotonic() + seconds)
        elif self._stop.wait(seconds):
            raise ApiError("stopped")

    def _pause(self, retry: bool) -> None:
        while (left := self._not_before - time.monotonic()) > 0:
            if self._stop.wait(left):
                raise ApiError("stopped")
        if retry and self._stop.is_set():
            raise ApiError("stopped")

    def _hidden(self, text: str) -> str:
        """`text` in one line without the key, or anything that looks like one."""
        plain = " ".join(text.split())[:400]
        plain = plain.replace(self._secret, "***") if self._secret else plain
        return re.sub(r"\b(sk|hf|AIza|gsk)[-_]?[\w*-]{8,}", "***", plain)


class _Again(Exception):
    """Worth another attempt, `after_s` from now if the server said so."""

    def __init__(self, why: str, after_s: float | None = None) -> None:
        super().__init__(why)
        self.after_s = after_s


class _Refused(Exception):
    """The server will not answer this question."""


class _Rejected(Exception):
    """The server does not accept the request."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def _body_of(error: urllib.error.HTTPError) -> str:
    try:
        return error.read(4000).decode("utf-8", "replace")
    except (OSError, HTTPException):
        return ""


def _judged(status: int, retry_after: str | None, text: str) -> Exception:
    """What an HTTP error means."""
    try:
        found = json.loads(text)
        error = found.get("error", found) if isinstance(found, dict) else {}
        code, message = str(error.get("code") or error.get("type") or ""), str(error.get("message") or text)
    except (ValueError, AttributeError):
        code, message = "", text
    said = f"status {status}: {message.strip() or 'no explanation'}"
    if code in REFUSALS:
        return _Refused(message)
    if code == "insufficient_quota":
        return _Rejected(said)
    if status in AGAIN:
        return _Again(said, _seconds(retry_after))
    return _Rejected(said)


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After, in seconds or as a date, as seconds from now."""
    if not retry_after:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def _messages(prompt: Prompt, seen: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"role": "system", "content": prompt.system},
        {"role": "user", "content": [*seen, {"type": "text", "text": prompt.text}]},
    ]


def _completion(text: bytes) -> Mapping[str, Any]:
    """A chat completion, or a piece of one, from its JSON.  Raises _Again."""
    try:
        found = json.loads(text)
    except ValueError:
        raise _Again("the reply is no JSON") from None
    if not isinstance(found, dict) or not found.get("choices"):
        raise _Again("the reply has no choices")
    return found


def _grown(prompt: Prompt, answer: Any) -> Iterator[Reply]:
    """Replies from the server-sent events of an answer, or its only one when it is whole.  Raises _Again, _Refused."""
    if "event-stream" not in answer.headers.get("Content-Type", ""):
        yield _reply(prompt, _completion(answer.read()))
        return
    text, ended, size = "", "", 0
    for line in answer:
        size += len(line)
        if size > LONGEST_STREAM:
            raise _Again("the reply does not end")
        name, _, data = line.strip().partition(b":")
        if name != b"data":
            continue  # a comment that keeps the connection open, an event's name, the gap between two
        if data.strip() == b"[DONE]":
            ended = ended or "stop"
            break
        found = _piece(data)
        if not found:
            continue
        said = _reply(prompt, found)
        text += said.text
        if ended != "refused" and (said.finish == "refused" or found["choices"][0].get("finish_reason")):
            ended = said.finish
        if said.text:
            yield prompt.reply(text, "length")
    if not ended:
        raise _Again("the reply broke off")
    yield prompt.reply(text, ended)


def _piece(data: bytes) -> Mapping[str, Any]:
    """One event's piece of a reply in the form of a whole one; empty where it has none, such as the count of tokens at the end."""
    try:
        found = json.loads(data)
        choices = found["choices"]
        return {"choices": [{**choices[0], "message": choices[0].get("delta") or {}}]} if choices else {}
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise _Again("a piece of the reply is no chat completion") from None


def _reply(prompt: Prompt, found: Mapping[str, Any]) -> Reply:
    try:
        choice = found["choices"][0]
        message = choice.get("message") or {}
        content = message.get("content")
        if isinstance(content, list):
            content = "".join(str(part.get("text", "")) for part in content)
        ended = {"stop": "stop", "length": "length", "content_filter": "refused"}.get(choice.get("finish_reason") or "stop", "stop")
        usage = found.get("usage") or {}
        tokens = (int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0))
    except (KeyError, IndexError, TypeError, AttributeError, ValueError):
        raise _Again("the reply is no chat completion") from None
    if message.get("refusal"):
        return prompt.reply(str(message["refusal"]), "refused", tokens=tokens)
    return prompt.reply(str(content or ""), ended, tokens=tokens)


def images(watch: Watch, detail: str) -> list[dict[str, Any]]:
    """The frames as message parts: each time as text, then its frame as a JPEG data URI."""
    if watch.frames is None or watch.times_s is None:
        return []
    from PIL import Image

    parts: list[dict[str, Any]] = []
    for frame, time_s in zip(watch.frames, watch.times_s, strict=True):
        buffer = io.BytesIO()
        Image.fromarray(frame).save(buffer, "JPEG", quality=JPEG_QUALITY)
        uri = f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
        parts += [{"type": "text", "text": f"t={time_s:.1f}s"}, {"type": "image_url", "image_url": {"url": uri, "detail": detail}}]
    return parts
