"""The endpoint engine: the bundled model looks, ranks and embeds; a model server writes and chats."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from PIL import Image

from img2prompt.engines.base import Question, Request
from img2prompt.engines.endpoint import answers, asking
from img2prompt.engines.endpoint.client import Server
from img2prompt.engines.lite.engine import Features, LiteEngine
from img2prompt.errors import AnswerError
from img2prompt.minilm import SentenceEncoder
from img2prompt.results import Description

MOST_SPARED = 256  # answers kept for another try


@dataclass(frozen=True)
class Seen(Features):
    """What `EndpointEngine.encode` returns for N pictures."""

    images: Sequence[Image.Image]  # RGB, for the server


class EndpointEngine(LiteEngine):
    """The lite engine with somebody else's words; see `img2prompt.engines.base.Engine`.

    Labels, things and embeddings are lite's.

    Parameters
    ----------
    server : who writes
    parallel : pictures that it is asked about at a time
    folder, sentences, device : see `LiteEngine`

    Raises
    ------
    EndpointError
        When the server has to be asked which model it has, and does not answer.
    WeightsError
        When the bundled model is missing or damaged.
    """

    name = "endpoint"
    follows = chats = True

    def __init__(
        self, server: Server, parallel: int, folder: Path, sentences: SentenceEncoder, device: str = "cpu"
    ):
        self.server = server
        self.captioner: str | None = server.model
        super().__init__(folder, sentences, device)
        self._parallel = parallel
        self._spared: OrderedDict[tuple[str, str], Description] = OrderedDict()
        self._sparing = threading.Lock()

    @cached_property
    def weights_id(self) -> str:
        """SHA-256 of what the answers depend on: lite's files, the server's model, and what it is asked."""
        asked = repr((answers.ASK, answers.ASK_PLAIN, answers.FOLLOW, answers.SCHEMA))
        text = f"{super().weights_id}\n{self.server.address.url}\n{self.server.model}\n{asked}"
        return hashlib.sha256(text.encode()).hexdigest()

    def encode(self, images: Sequence[Image.Image]) -> Seen:
        """Look at N RGB pictures of any size."""
        return Seen(**vars(super().encode(images)), images=images)

    def describe(
        self, features: Features, beams: int = 0, requests: Sequence[Request] | None = None
    ) -> list[Description]:
        """What the server says of N pictures, a few of which it is asked about at a time.

        Where one fails, the others' answers are kept for when their pictures are tried again without it, so
        that nobody pays for them twice.

        Raises
        ------
        AnswerError
            When what it says of one of the pictures cannot be used.
        EndpointError
            When it cannot be reached, or does not let us in.
        """
        assert isinstance(features, Seen)
        wishes = requests or [Request()] * len(features.images)
        keys = [
            (_digest(image), wish.instruction) for image, wish in zip(features.images, wishes, strict=True)
        ]
        stop = threading.Event()
        with self._sparing:
            known = {key: self._spared.pop(key) for key in dict.fromkeys(keys) if key in self._spared}

        def ask(place: int) -> Description:
            said = known.get(keys[place])
            return said or asking.describe(self.server, features.images[place], wishes[place], stop)

        said, errors = _each(ask, len(keys), self._parallel, stop)
        if errors:
            self._spare({keys[place]: description for place, description in said.items()})
            raise next((error for error in errors if not isinstance(error, AnswerError)), errors[0])
        return [said[place] for place in range(len(keys))]

    def chat(self, question: Question) -> Iterator[str]:
        """The pieces of the server's answer, as they come; errors as of `describe`."""
        return self.server.chat(question)

    def _spare(self, said: Mapping[tuple[str, str], Description]) -> None:
        with self._sparing:
            self._spared.update(said)
            while len(self._spared) > MOST_SPARED:
                self._spared.popitem(last=False)


def _each(
    ask: Callable[[int], Description], count: int, parallel: int, stop: threading.Event
) -> tuple[dict[int, Description], list[BaseException]]:
    """Ask about `count` pictures, a few at a time: place → what was said, and the errors.

    `stop` is set when there is no sense in going on: after an error that concerns all, and in the end.
    """
    said: dict[int, Description] = {}
    errors: list[BaseException] = []
    todo = iter(range(count))
    turn = threading.Lock()

    def work() -> None:
        while not stop.is_set():
            with turn:
                place = next(todo, None)
            if place is None:
                return
            try:
                said[place] = ask(place)
            except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
                errors.append(error)
                if not isinstance(error, AnswerError):
                    stop.set()

    # No pool, whose threads the program's end waits for: who presses Ctrl-C need not wait for answers.
    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(parallel, count))]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        stop.set()
    return said, errors


def _digest(image: Image.Image) -> str:
    return hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest()
