"""The pipeline: pictures in, captions, prompts, labels and embeddings out."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from img2prompt import instructions, metadata, prompts
from img2prompt.batcher import Batcher
from img2prompt.embeddings import unit
from img2prompt.engines.base import Engine, Question, Request
from img2prompt.engines.registry import choose, load_engine
from img2prompt.ensemble.members import Ensemble, Evidence, load_ensemble
from img2prompt.errors import AnswerError, ConfigError
from img2prompt.images import Limits, open_image
from img2prompt.labels import ranking
from img2prompt.labels.phrases import phrase_vectors
from img2prompt.labels.ranking import LabelTable, load_tables
from img2prompt.labels.tables import ASPECTS, read_labels, read_own_labels
from img2prompt.minilm import SentenceEncoder
from img2prompt.ocr import TextReader
from img2prompt.posts.gender import neutral_people
from img2prompt.posts.model import ModelRewriter
from img2prompt.posts.post import PHRASEBOOK, TEXT, THINGS
from img2prompt.posts.prose import is_tags
from img2prompt.posts.quotes import quote, with_quote
from img2prompt.results import Description, Line, Match, Result
from img2prompt.settings import AUTO, Settings

Source = str | Path | bytes | Image.Image
Asked = tuple[Image.Image, Request]

GENERATED = 0.85  # probability that a machine made a picture, from which on its prompt is a nearest one
NOBODY = "Qqzx"  # a name that no caption has and no rule knows
LEAST_WORDS = 0.01  # of their share in the embedding, which the words of such a picture's prompt keep
ON_CPU, ON_GPU = 16, 64  # pictures


def batch_size_for(device: str) -> int:
    """Number of pictures that go through the model together, for an engine's device ("cpu", "cuda" …)."""
    return ON_CPU if device == "cpu" else ON_GPU


class Pipeline:
    """Caption, prompt, labels and embedding for a batch of pictures.

    Safe to call from several threads. Pictures of calls that wait at the same time go through the model
    together, a few at a time, so that memory does not grow with their number, and a single one that comes
    while many wait is among the next. The results are those of a call by itself, up to the last digits of
    their numbers. A picture that fails fails its own call only.

    Parameters
    ----------
    engine : looks at the pictures
    sentences : embeds the prompts
    tables : labels to rank
    settings : style, people, ratio, beams and limits
    members : an ensemble whose embedding replaces the mix of prompt and regressor at ``settings.ratio``
    """

    def __init__(
        self,
        engine: Engine,
        sentences: SentenceEncoder,
        tables: list[LabelTable],
        settings: Settings,
        members: Ensemble | None = None,
    ):
        self.engine = engine
        self.sentences = sentences
        self.tables = tables
        self.settings = settings
        self.members = members
        self.reader = TextReader()
        self._batcher: Batcher[Asked, Result] = Batcher(batch_size_for(engine.device))

    def with_people(self, people: str) -> Pipeline:
        """This pipeline with another value of the setting ``people``; both share the models and their batches.

        Raises
        ------
        ConfigError
            When there is no such value.
        """
        return self.with_words(people=people)

    def with_text(self, read_text: bool) -> Pipeline:
        """This pipeline with another value of the setting ``read_text``; see `with_words`."""
        return self.with_words(read_text=read_text)

    def with_words(self, **changes: Any) -> Pipeline:
        """This pipeline with other values of settings that change words only; both share the models and their batches.

        Parameters
        ----------
        **changes : any of ``people``, ``read_text``, ``style``, ``instruction`` and ``trigger``

        Raises
        ------
        ConfigError
            For a value that cannot be used.
        """
        other = copy(self)
        other.settings = replace(self.settings, **changes)
        return other

    def request(self, name: str = "", folder: str = "") -> Request:
        """How the settings ask for a picture to be described, whose file has this name and is in this folder.

        Raises
        ------
        ConfigError
            When the instruction is too long, or has a placeholder that there is not.
        """
        told = instructions.bind(self.settings.instruction, name=name, folder=folder)
        return Request(told, trigger=self.settings.trigger)

    def rewriter(self, picture: Image.Image | None = None, earlier: Sequence[str] = ()) -> ModelRewriter:
        """Has the engine's model write posts, see `img2prompt.posts.compose`.

        Parameters
        ----------
        picture : that `open` returned, for the model to look at
        earlier : posts that there are already, which the model is to differ from

        Raises
        ------
        ConfigError
            Where the engine does not chat.
        """
        name = self.engine.captioner or self.engine.name
        if not self.engine.chats:
            raise ConfigError(
                f"{name} writes no posts. Choose a chat model or an endpoint as engine, or the phrasebook as writer."
            )

        def ask(
            text: str, picture: Image.Image | None, schema: Mapping[str, Any], most: int
        ) -> Iterator[str]:
            return self.engine.chat(Question(text, picture, schema, most))

        return ModelRewriter(ask, name, picture, self.settings.people, earlier)

    def writes(self, writer: str) -> bool:
        """Whether the engine's model writes posts, by the wish for one of `img2prompt.posts.post.WRITERS`.

        Raises
        ------
        ConfigError
            Where the model is to, and cannot.
        """
        if writer == "model":
            self.rewriter()
        return self.engine.chats and writer != PHRASEBOOK

    def open(self, source: Source) -> Image.Image:
        """Bytes, a path or a picture → upright RGB picture, if it is within the limits of the settings.

        What its file says of itself comes along, for `img2prompt.metadata.of`.

        Raises
        ------
        ImageError
            When the bytes cannot become a picture.
        """
        return open_image(source, Limits.from_settings(self.settings))

    def __call__(self, images: Source | Sequence[Source], style: str | None = None) -> list[Result]:
        """One result per picture, in order; a single picture is a batch of one.

        Parameters
        ----------
        images : path, bytes or PIL picture, or a sequence of them
        style : form of the prompt; by default the one in the settings

        Raises
        ------
        ImageError
            When a source cannot become a picture; use `open` to find out which.
        ConfigError
            When the style is unknown, or needs a CLIP model and there is none.
        BusyError
            When too many calls wait already.
        """
        sources = [images] if isinstance(images, str | Path | bytes | Image.Image) else list(images)
        results: list[Result] = []
        size = self._batcher.size  # pictures that are open at a time, of however many
        for start in range(0, len(sources), size):
            clock = _Clock()
            some = sources[start : start + size]
            requests = [
                self.request(**instructions.place_of(source))
                if isinstance(source, str | Path)
                else self.request()
                for source in some
            ]
            results += self._describe(partial(self._open, some, clock), style, clock, requests=requests)
        return results

    def describe(
        self,
        pictures: Sequence[Image.Image],
        style: str | None = None,
        waiting: Callable[[int], object] | None = None,
        requests: Sequence[Request] | None = None,
    ) -> list[Result]:
        """One result per picture, for pictures that `open` returned; otherwise as a call of the pipeline.

        Parameters
        ----------
        requests : how each picture is to be described; by default with the instruction in the settings
        waiting : called about once a second, while the model looks at others' pictures, with the number of
            other calls that wait or are answered. An exception that it raises ends the wait.
        """
        return self._describe(lambda: pictures, style, _Clock(), waiting, requests)

    def describe_each(
        self, pictures: Sequence[Image.Image], requests: Sequence[Request] | None = None
    ) -> list[Result | AnswerError]:
        """As `describe`, with an error in the place of each picture that a model server cannot be used for."""
        try:
            return [*self.describe(pictures, requests=requests)]
        except AnswerError as error:
            if len(pictures) == 1:
                return [error]
        alone = [slice(place, place + 1) for place in range(len(pictures))]
        return [self.describe_each(pictures[one], requests and requests[one])[0] for one in alone]

    def _open(self, sources: Sequence[Source], clock: _Clock) -> list[Image.Image]:
        pictures = [self.open(source) for source in sources]
        clock.lap("open")
        return pictures

    def _describe(
        self,
        opened: Callable[[], Sequence[Image.Image]],
        style: str | None,
        clock: _Clock,
        waiting: Callable[[int], object] | None = None,
        requests: Sequence[Request] | None = None,
    ) -> list[Result]:
        style = style or self.settings.style
        # All in which callers of one model differ, but for their requests, which go with the pictures.
        kind = style, self.settings.people, self.settings.read_text

        def asked() -> list[Asked]:
            pictures = opened()
            wishes = requests or [self.request()] * len(pictures)
            if not self.engine.follows and any(wish.instruction for wish in wishes):
                raise ConfigError(
                    f"{self.engine.captioner or self.engine.name} follows no instructions. Leave the instruction "
                    "out, or choose a chat model or an endpoint as engine."
                )
            for instruction in {wish.instruction for wish in wishes}:
                instructions.check_placeholders(instruction)
            return list(zip(pictures, wishes, strict=True))

        results = self._batcher(partial(self._run, style), asked, kind, waiting)
        clock.lap("wait")
        clock.laps["wait"] -= sum(result.seconds for result in results)
        before = {step: seconds / len(results) for step, seconds in clock.laps.items() if results}
        return [
            replace(
                result,
                seconds=sum(before.values()) + result.seconds,
                timings={**before, **result.timings},
                stored=result.stored if self.settings.stored else None,
            )
            for result in results
        ]

    def _run(self, style: str, asked: Sequence[Asked]) -> list[Result]:
        """The results for N pictures that go through the model together."""
        clock = _Clock()
        pictures, requests = [picture for picture, _ in asked], [request for _, request in asked]
        features = self.engine.encode(pictures)
        clock.lap("look")
        vectors: dict[str, np.ndarray] = {}
        matches: list[dict[str, list[Match]]] = [{} for _ in pictures]
        if self.engine.space:
            vectors = ranking.picture_vectors(self.engine, features)
            own = [table.name for table in self.tables if table.name not in ASPECTS]
            matches = ranking.rank_all(vectors, self.tables, prompts.labels_needed(style, own))
        for labels, things in zip(matches, self.engine.things(features) or [], strict=False):
            labels[THINGS] = things
        clock.lap("labels")
        requests = [_filled(request, labels) for request, labels in zip(requests, matches, strict=True)]
        said = [Description("")] * len(pictures)
        if self.engine.captioner:
            said = self.engine.describe(features, self.settings.beams, requests)
        said = [
            replace(description, caption=instructions.begin_with(request.trigger, description.caption))
            for request, description in zip(requests, said, strict=True)
        ]
        captions = [description.caption for description in said]
        clock.lap("caption")
        made = self.engine.generated(features)
        made = np.zeros(len(pictures)) if made is None else made
        # The embedding stands for a prompt that could have made the picture, so never for a negative one.
        # The nearest prompt is made from it.
        first = "seed" if style in (AUTO, "negative", "nearest", "caption") else style
        texts = self._write(first, captions, matches, vectors)
        if style == AUTO:  # a prompt of the engine's own is as good for a picture that a machine made
            texts = [each.prompt or text for each, text in zip(said, texts, strict=True)]
            made = np.where([bool(each.prompt) for each in said], 0.0, made)
        clock.lap("prompt")
        written = self.sentences.encode(texts)
        embeddings = self._mix(Evidence(pictures, features, written), made, worded=any(texts))
        if self.settings.people == "neutral":  # after the embedding, in which nobody reads words
            said, texts = _neutral(said, texts, [request.trigger for request in requests])
            captions = [description.caption for description in said]
        clock.lap("embedding")
        lines: Sequence[Sequence[Line]] = [()] * len(pictures)
        if self.settings.read_text:
            lines = self.reader.read(pictures)
            clock.lap("read")
        if style in (AUTO, "nearest"):
            for i, text in self._nearest(captions, embeddings, (made > GENERATED) | (style == "nearest")):
                texts[i] = text
        elif style != first:
            texts = self._write(style, captions, matches, vectors)
        clock.lap("prompt")
        for labels, read in zip(matches, lines, strict=True):
            if read:
                labels[TEXT] = [Match(line.text, line.score) for line in read]
        share = 1.0 / len(pictures)
        timings = {step: seconds * share for step, seconds in clock.laps.items()}
        return [
            Result(
                caption=captions[i] if requests[i].instruction else with_quote(captions[i], quote(lines[i])),
                prompt=texts[i],
                labels=matches[i],
                embedding=embeddings[i],
                engine=self.engine.name,
                seconds=sum(timings.values()),
                timings=timings,
                model=self.engine.captioner or "",
                details=said[i] if said[i].record() else None,
                instruction=requests[i].instruction,
                trigger=requests[i].trigger,
                text=tuple(lines[i]),
                stored=metadata.of(pictures[i]).stored,
            )
            for i in range(len(pictures))
        ]

    @cached_property
    def _phrases(self) -> tuple[prompts.Phrases, prompts.Phrases]:
        """The mediums and the flavors that a nearest prompt is made of, the user's labels among the latter."""
        own = {table.name: table.labels for table in self.tables if table.name not in ASPECTS}
        mediums = phrase_vectors(self.sentences, ["mediums"])
        flavors = phrase_vectors(self.sentences, ["movements", "flavors"], own)
        return prompts.Phrases(*mediums), prompts.Phrases(*flavors)

    def _nearest(
        self, captions: Sequence[str], embeddings: np.ndarray, wanted: np.ndarray
    ) -> Iterator[tuple[int, str]]:
        """The nearest prompts of those of N pictures that they are wanted for, each with its picture's place."""
        if wanted.any():
            mediums, flavors = self._phrases
            places = np.flatnonzero(wanted).tolist()
            subjects = [captions[i] for i in places]
            texts = prompts.nearest(subjects, embeddings[places], mediums, flavors, self.sentences.encode)
            yield from zip(places, texts, strict=True)

    def _mix(self, evidence: Evidence, made: np.ndarray, worded: bool) -> np.ndarray:
        """The pictures' embeddings (N, 384).

        Parameters
        ----------
        made : (N,) probability that a machine made the picture; the likelier, the less its prompt counts,
            since captions of such pictures are poor
        worded : where False, there are no prompts to mix in
        """
        if self.members:
            return self.members(evidence)
        regressed = self.engine.regress(evidence.features)
        if regressed is None:
            return evidence.written
        ratio = self.settings.ratio if worded else 0.0
        words = ratio * np.maximum(1 - made, LEAST_WORDS)[:, None]
        return unit(words * evidence.written + (1 - ratio) * regressed)

    def _write(
        self,
        style: str,
        captions: Sequence[str],
        matches: Sequence[prompts.Matches],
        vectors: Mapping[str, np.ndarray],
    ) -> list[str]:
        """The prompts of N pictures in one style."""
        if style not in ("best", "negative"):
            return [
                prompts.build(style, caption, labels)
                for caption, labels in zip(captions, matches, strict=True)
            ]
        if not self.engine.space:
            raise ConfigError(f"style {style!r} compares texts with the picture; set clip_model for that.")
        similar = partial(ranking.similarities, self.engine, vectors["content"])
        if style == "best":
            joined = sorted(self.tables, key=lambda table: table.name)  # clip-interrogator's order
            pools = ranking.pools(vectors, joined, self.engine.pool)
            return prompts.best(captions, matches, pools, similar)
        farthest: list[list[str]] = [[] for _ in captions]
        # A small engine's farthest flavors are just any words, so it chooses among the common flaws only.
        if self.engine.vocabulary is None:
            flavors = [table for table in self.tables if table.name == "flavors"]
            farthest = ranking.pools(vectors, flavors, self.engine.pool, least=True)
        flaws = read_labels("negative")
        return prompts.negative([pool + flaws for pool in farthest], similar)


def _filled(request: Request, labels: Mapping[str, Sequence[Match]]) -> Request:
    """A request whose instruction is as the engine is told it, for a picture with these labels."""
    if not request.instruction:
        return request
    values = {"labels": instructions.labels_in_words(labels), "trigger": request.trigger}
    return replace(request, instruction=instructions.fill(request.instruction, values))


def _neutral(
    said: Sequence[Description], texts: Sequence[str], triggers: Sequence[str]
) -> tuple[list[Description], list[str]]:
    """Descriptions without anybody's gender, and prompts with these captions in place of the others.

    Words that can be read in the picture stay as they are written there.
    """
    neutral = [
        replace(
            description,
            caption=_without_gender(description.caption, trigger),
            detailed=_without_gender(description.detailed, trigger),
            prompt=_without_gender(description.prompt, trigger),
            tags=tuple(dict.fromkeys(map(neutral_people, description.tags))),
            alt=_without_gender(description.alt, trigger),
        )
        for description, trigger in zip(said, triggers, strict=True)
    ]
    texts = [
        new.prompt if old.prompt and text == old.prompt else prompts.recaption(text, old.caption, new.caption)
        for text, old, new in zip(texts, said, neutral, strict=True)
    ]
    return neutral, texts


def _without_gender(text: str, trigger: str) -> str:
    """A text without anybody's gender.

    Tags stay as they are, as models know them by their spelling, and so does the trigger word: "ohwx man".
    """
    if is_tags(text):
        return text
    if not trigger:
        return neutral_people(text)
    hidden = re.sub(rf"(?<!\w){re.escape(trigger)}(?!\w)", NOBODY, text, flags=re.IGNORECASE)
    return neutral_people(hidden).replace(NOBODY, trigger)


class _Clock:
    """A stopwatch: the seconds of each named step, added up where it comes twice."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = self.laps.get(name, 0.0) + now - self._last
        self._last = now


def load_pipeline(settings: Settings | None = None, **overrides: Any) -> Pipeline:
    """Build a pipeline.

    Parameters
    ----------
    settings : a complete `Settings`; by default defaults and environment
    **overrides : single settings, for example ``engine="lite", style="classic"``

    Raises
    ------
    ConfigError
        For a setting that cannot be used.
    WeightsError
        When the chosen engine's weights are missing or damaged.
    DataError
        When one of the user's label tables, or a bank of the ensemble, cannot be used.
    """
    settings = choose(settings or Settings.load(**overrides)).settings
    own = read_own_labels(settings.labels)
    sentences = SentenceEncoder()
    engine = load_engine(settings, sentences)
    tables = load_tables(engine, own, settings.label_cache)
    members = load_ensemble(settings.ensemble, engine, settings) if settings.ensemble else None
    return Pipeline(engine, sentences, tables, settings, members)
