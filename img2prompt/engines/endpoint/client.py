"""Ask a server that speaks OpenAI's chat completions, through the official client.

Whatever the server answers may be wrong, endless or hostile, and whatever it is sent may be read there. So it
gets the question and nothing about who asks, it sends nobody elsewhere, and its answers are bounded.
"""

from __future__ import annotations

import base64
import io
import json
import math
import random
import ssl
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, TypeVar

import httpx2
import openai
from PIL import Image

from img2prompt.engines.base import Question
from img2prompt.engines.endpoint.address import Address
from img2prompt.engines.endpoint.transport import Guard
from img2prompt.errors import AnswerError, ConfigError, EndpointError
from img2prompt.files import without_controls
from img2prompt.settings import Settings
from img2prompt.wording import LONGEST, as_unicode

SIDE = 1024  # pixels, at most, of a picture that is sent
QUALITY = 90  # of its JPEG
MOST_CHARACTERS = 50_000  # of an answer
# Seconds in which a server may come back: for a batch, and while somebody looks on.
PATIENCE, WATCHED = 120.0, 8.0
FEW, FOREVER = 3, 10**6  # tries of a question on which the server itself fails, and of others
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0  # seconds before another try
# What not every server takes of a question, and the words of its complaint; then it is asked without.
OPTIONAL = {
    "response_format": ("response_format", "json_schema", "grammar", "structured"),
    "max_tokens": ("max_tokens",),
    "temperature": ("temperature",),
}

Answer = TypeVar("Answer")


class Unstructured(AnswerError):
    """The server takes no JSON schema."""


class _Problem(NamedTuple):
    error: EndpointError
    tries: int = 1  # that the question is worth
    pause: float | None = None  # seconds that the server asks to wait before another one


class Server:
    """A model server.

    Safe to use from several threads, which ask it as many questions at a time as the settings allow.

    Parameters
    ----------
    address : see `img2prompt.engines.endpoint.address.permitted`
    settings : key, model, timeout and number of questions at a time

    Raises
    ------
    ConfigError
        When the key cannot be one, or the proxy before the server none.
    """

    def __init__(self, address: Address, settings: Settings):
        self.address = address
        self._seconds = settings.endpoint_timeout
        self._key = settings.endpoint_key.strip()
        if not (self._key.isascii() and self._key.isprintable()) or " " in self._key:
            raise ConfigError(
                "endpoint_key holds characters that no key has. Copy it again, without what is around it."
            )
        self._met = False  # whether it has answered anything; a server that never did is not waited for
        self._left_out: set[str] = set()
        self._turns = threading.BoundedSemaphore(settings.endpoint_parallel)
        self._model = settings.endpoint_model
        self._client = openai.OpenAI(
            api_key=self._key or "none",
            base_url=address.url,
            max_retries=0,  # see `_patiently`
            http_client=httpx2.Client(
                transport=Guard(address, self._seconds, bool(self._key)),
                trust_env=False,
                follow_redirects=False,
                timeout=self._seconds,
            ),
        )

    @property
    def structures(self) -> bool:
        """Whether it takes a JSON schema, as far as is known."""
        return "response_format" not in self._left_out

    @property
    def model(self) -> str:
        """The model's name: the one that the settings name, else the first that the server has.

        Raises
        ------
        EndpointError
            When the server has to be asked, and does not answer or has none.
        """
        if not self._model:
            names = self.models()
            # Some servers hold models that only embed, beside those that write.
            self._model = next((name for name in names if "embed" not in name.lower()), "")
        if not self._model:
            raise EndpointError(
                f"{self.address.host} has no model. Load one there, or name it with endpoint_model."
            )
        return self._model

    def models(self) -> list[str]:
        """The names of the models that the server has; it is asked once, with no patience.

        Raises
        ------
        EndpointError
            When it does not answer, or not with a list.
        """
        try:
            names = [model.id for model in self._client.models.list().data or ()]
        except Exception as error:  # noqa: BLE001 - what a server answers can break anything
            raise self._explain(error).error from None
        return [
            without_controls(as_unicode(name))[:LONGEST]
            for name in names
            if isinstance(name, str) and name.strip()
        ]

    def answer(
        self,
        question: Question,
        hear: Callable[[str], object] | None = None,
        stop: threading.Event | None = None,
        strict: bool = False,
    ) -> str:
        """The whole answer.

        Parameters
        ----------
        hear : told the words so far, from this thread; may hear an answer begin again
        stop : once it is set, the question is not asked again
        strict : raise `Unstructured` rather than ask without the question's schema

        Raises
        ------
        AnswerError
            When it refuses this question, or its answer cannot be used.
        EndpointError
            When it cannot be reached, or does not let us in.
        """
        body = self._body(question, temperature=0.0)

        def read() -> str:
            text = ""
            for piece in self._pieces(body, strict):
                text += piece
                if len(text) > MOST_CHARACTERS:
                    raise AnswerError(f"{self._name} does not stop. Choose another model.")
                if hear:
                    hear(text)
            return text

        return self._patiently(read, body, WATCHED if hear else PATIENCE, stop)

    def chat(self, question: Question) -> Iterator[str]:
        """The pieces of the answer, as they come; errors as of `answer`."""
        body = self._body(question)

        def begin() -> tuple[str, Generator[str, None, None]]:
            pieces = self._pieces(body)
            return next(pieces, ""), pieces

        first, rest = self._patiently(begin, body, WATCHED)
        with closing(rest):  # whoever has heard enough frees the server
            yield first
            try:
                yield from rest
            except Exception as error:  # noqa: BLE001 - as above; what was said is not asked for again
                raise self._explain(error).error from None

    def _body(self, question: Question, **more: Any) -> dict[str, Any]:
        content: Any = question.text
        if question.picture is not None:
            picture = {"type": "image_url", "image_url": {"url": data_url(question.picture)}}
            content = [{"type": "text", "text": question.text}, picture]
        messages = [{"role": "user", "content": content}]
        body = {
            "model": self.model,
            "messages": messages,
            "stream": True,
            "max_tokens": question.most,
            **more,
        }
        if question.schema is not None:
            schema = {"name": "answer", "strict": True, "schema": dict(question.schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    def _pieces(self, body: dict[str, Any], strict: bool = False) -> Generator[str, None, None]:
        """The pieces of the answer to one try."""
        said = False
        with self._turns, self._client.chat.completions.create(**self._taken(body, strict)) as stream:
            self._met = True
            for choice in self._choices(stream):
                # A server that does not stream sends a message.
                part = getattr(choice, "delta", None) or getattr(choice, "message", None)
                if words := getattr(part, "refusal", None):
                    raise AnswerError(f"{self._name} refuses to answer ({self._clean(str(words))}).")
                if choice.finish_reason == "content_filter":
                    why = "its content filter stopped it"
                    raise AnswerError(f"{self._name} refuses to answer ({why}).")
                if words := getattr(part, "content", None):
                    said = True
                    yield as_unicode(str(words))
                if choice.finish_reason == "length" and not said:
                    raise AnswerError(
                        f"{self._name} thought for too long to answer. Choose a model that thinks less."
                    )

    @staticmethod
    def _choices(stream: openai.Stream[Any]) -> Iterator[Any]:
        """The first choice of each chunk."""
        if "event-stream" not in stream.response.headers.get("content-type", "event-stream"):
            completion = openai.types.chat.ChatCompletion.model_validate(json.loads(stream.response.read()))
            yield from completion.choices[:1]
            return
        for chunk in stream:
            yield from (chunk.choices or ())[:1]

    def _taken(self, body: dict[str, Any], strict: bool) -> dict[str, Any]:
        """The body without what the server is known not to take, which is gone from the body itself then.

        So a body holds what its own last try sent: others may have found out meanwhile what the server takes.
        """
        if strict and not self.structures:
            raise Unstructured(f"{self._name} takes no JSON schema.")
        for name in OPTIONAL:
            if name in self._left_out:
                body.pop(name, None)
        return body

    @property
    def _name(self) -> str:
        return f"{self._model} at {self.address.host}"

    def _patiently(
        self,
        work: Callable[[], Answer],
        body: Mapping[str, Any],
        patience: float,
        stop: threading.Event | None = None,
    ) -> Answer:
        """Try until it works, as long as another try may help and the patience lasts; `work` sends the body."""
        stop = stop or threading.Event()
        end = time.monotonic() + patience
        tries = 0
        while True:
            try:
                return work()
            except Exception as error:  # noqa: BLE001 - as in `models`
                if named := _complains_of(error, body):
                    self._left_out.add(named)
                    continue
                problem = self._explain(error)
                tries += 1
            pause = problem.pause or min(FIRST_PAUSE * 2 ** (tries - 1), LONGEST_PAUSE) * random.uniform(
                0.75, 1.25
            )
            if tries >= problem.tries or time.monotonic() + pause > end or stop.wait(pause):
                raise problem.error from None

    def _explain(self, error: Exception) -> _Problem:
        """What went wrong, and whether it may go better another time."""
        host = self.address.host
        chain = list(_chain(error))
        for cause in chain:
            if isinstance(cause, EndpointError):
                return _Problem(cause)
            if isinstance(cause, ssl.SSLCertVerificationError):
                why = self._clean(cause.verify_message)
                return _Problem(
                    EndpointError(f"{host} does not prove who it is, so nothing was sent ({why}).")
                )
        if isinstance(error, openai.APIStatusError):
            self._met = True
            return self._explain_status(error, self._clean(_said(error)))
        if any(isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout) for cause in chain):
            # The reason is the system's: [Errno 111] Connection refused.
            why = self._clean(str(error.__cause__).rpartition("] ")[2])
            said = (
                f"Nothing answers at {host} ({why}). Start the model server there, or correct endpoint_url."
            )
            return _Problem(EndpointError(said), FOREVER if self._met else 1)
        if isinstance(error, openai.APITimeoutError):
            said = f"{self._name} did not answer within {self._seconds:g} s. Set endpoint_timeout higher, or take a smaller model."
            return _Problem(AnswerError(said))
        if isinstance(error, openai.APIConnectionError):
            return _Problem(
                AnswerError(f"The connection to {host} broke before its answer was complete."), FEW
            )
        if isinstance(error, openai.APIError) and error.body is not None:
            return _Problem(AnswerError(f"{self._name} failed ({self._clean(error.message)})."))
        return _Problem(
            AnswerError(f"{host} answers what no model server says. Does endpoint_url end in /v1?")
        )

    def _explain_status(self, error: openai.APIStatusError, words: str) -> _Problem:
        host, status = self.address.host, error.status_code
        pause = _retry_after(error.response.headers.get("retry-after", ""))
        if 300 <= status < 400:
            said = f"{host} sends us to another address, which is not followed. Correct endpoint_url."
            return _Problem(EndpointError(said))
        if status in (401, 403) and self._key:  # its words may repeat the key
            return _Problem(
                EndpointError(f"{host} does not accept the key. Correct IMG2PROMPT_ENDPOINT_KEY.")
            )
        if status in (401, 403):
            return _Problem(EndpointError(f"{host} asks for a key. Put it into IMG2PROMPT_ENDPOINT_KEY."))
        if status == 404:
            said = f"{host} finds nothing there ({words}). See that endpoint_url ends in /v1, and that it has the model."
            return _Problem(EndpointError(said))
        if status == 429:
            said = f"{host} wants fewer questions ({words}). Wait, or set endpoint_parallel lower."
            return _Problem(EndpointError(said), FOREVER, pause)
        if status in (502, 503, 504):
            said = f"{host} is not ready ({words}). Try again when it is."
            return _Problem(EndpointError(said), FOREVER, pause)
        if status >= 500:
            return _Problem(AnswerError(f"{self._name} failed ({words})."), FEW, pause)
        return _Problem(AnswerError(f"{self._name} refuses the question ({words})."))

    def _clean(self, words: str) -> str:
        """Somebody else's words, to stand in the parentheses of a message: one short line, without the key."""
        if self._key:
            words = words.replace(self._key, "…")
        line = " ".join(without_controls(as_unicode(words), keep="\n").split())
        return line[:LONGEST].rstrip(".: ") + "…" * (len(line) > LONGEST) or "it does not say why"


def data_url(picture: Image.Image) -> str:
    """A picture (RGB, upright) as a JPEG in a data URL: at most `SIDE` pixels wide and high, and pixels only.

    Nothing else that its file held comes along: no place, no date, no names, no colour profile.
    """
    small = picture.convert("RGB")
    if max(small.size) > SIDE:
        small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    bare = Image.new("RGB", small.size)  # a copy would keep the comments that JPEG files may have
    bare.paste(small)
    buffer = io.BytesIO()
    bare.save(buffer, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _complains_of(error: Exception, body: Mapping[str, Any]) -> str:
    """The optional part of the body that the server does not take; empty if there is none."""
    if isinstance(error, openai.BadRequestError | openai.UnprocessableEntityError):
        text = json.dumps(error.body, default=str).lower()
        for name, words in OPTIONAL.items():
            if name in body and any(word in text for word in words):
                return name
    return ""


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _said(error: openai.APIStatusError) -> str:
    """The server's own words about an error: of its message, of its detail, or all."""
    body: Any = error.body
    for name in ("error", "message", "detail"):
        body = body.get(name, body) if isinstance(body, Mapping) else body
    return body if isinstance(body, str) else json.dumps(body, default=str)


def _retry_after(header: str) -> float | None:
    """Seconds to wait, from a number of them or a date; None where the header says nothing of the kind.

    Neither does it with less than our own first pause: that grows, while a server may say "0.001" for ever.
    """
    try:
        seconds = float(header)
    except ValueError:
        try:
            date = parsedate_to_datetime(header)
            seconds = (date.astimezone(timezone.utc) - datetime.now(timezone.utc)).total_seconds()
        except (ValueError, OverflowError):  # no date, or one at the edge of all dates
            return None
    return seconds if math.isfinite(seconds) and seconds >= FIRST_PAUSE else None
