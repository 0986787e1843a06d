"""Models that are asked in plain words, through their chat template: SmolVLM, Qwen-VL, Gemma, LLaVA and more.

Pictures are answered in batches, padded on the left; each gets the words that it gets alone.
"""

from __future__ import annotations

import queue
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError
from PIL import Image
from torch import Tensor
from transformers import StoppingCriteriaList

from img2prompt.engines.base import Question, Request
from img2prompt.engines.device import Batches, Place
from img2prompt.engines.full.families import published
from img2prompt.engines.full.families.watch import Hear, Watch
from img2prompt.engines.full.families.words import (
    as_caption,
    first_sentence,
    spoken,
    unlooped,
    with_schema,
)
from img2prompt.results import Description

CAPTION = "Describe this picture in one short, plain sentence. Say only what can be seen."
PARAGRAPH = "Describe this picture in one paragraph. Say only what can be seen."
SHORT, LONG = 64, 512  # new tokens at most, of a caption and of what an instruction asks for
SIDE = 1024  # pixels of the longer side of a picture, for models that look at any size
LARGEST_SIDE = 4096  # in a processor's settings; a larger number counts all pixels
# The likeliest words, also of models whose own settings draw lots.
GREEDY: Mapping[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
AS_LIST = "'type':"  # in a prompt whose template takes plain text and was given a list


def load(
    folder: Path, place: Place, precision: str, batch_size: int, quantize: str, details: bool
) -> ChatModel:
    """Load one; see `img2prompt.engines.full.families.load_captioner`.

    On a GPU, ``auto`` means bf16 where it can: most were trained in it, and some overflow in fp16.
    """
    is_cuda = place.device.type == "cuda"
    if precision == "auto" and is_cuda and torch.cuda.is_bf16_supported(including_emulation=False):
        precision = "bf16"
    loaded = published.load(folder, place, precision, quantize)
    try:
        return ChatModel(loaded, place, batch_size, details)
    except (ValueError, TemplateError) as error:
        raise published.unusable(folder, error) from error


@dataclass(frozen=True)
class Turn:
    """One question to the model."""

    text: str
    picture: Image.Image | None
    most: int  # new tokens
    hear: Hear | None = None


class ChatModel:
    """A model that follows instructions and chats; see `ChatModel` of this package.

    Raises
    ------
    ValueError, jinja2.TemplateError
        When it has no chat template, or one that cannot be used.
    """

    follows = True

    def __init__(self, loaded: published.Published, place: Place, batch_size: int, details: bool):
        self._net, self._processor, self._dtype = loaded
        self._tokenizer = self._processor.tokenizer
        self._template = self._processor.chat_template or self._tokenizer.chat_template
        if not self._template:
            raise ValueError("the chat template is missing, chat_template.jinja")
        self._tokenizer.padding_side = "left"
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self._place = place
        self._batches = Batches(place, self._net, batch_size)
        self._details = details
        self._mark = getattr(self._processor, "image_token", "")  # of a picture's place in a prompt
        # Those that have no name of their own, as of the template's turns, are among the added ones only.
        added = [str(token) for token in self._tokenizer.added_tokens_decoder.values() if token.special]
        control = {*self._tokenizer.all_special_tokens, *added, self._mark} - {""}
        self._control = re.compile("|".join(map(re.escape, control)))
        self._prompt(Turn(CAPTION, Image.new("RGB", (1, 1)), SHORT))  # a bad template is to fail here

    def prepare(self, image: Image.Image) -> Image.Image:
        """RGB picture → one no larger than what the model sees of it."""
        return shrunk(image, getattr(self._processor.image_processor, "size", None) or {})

    def describe(
        self, prepared: Sequence[Image.Image], beams: int = 0, requests: Sequence[Request] | None = None
    ) -> list[Description]:
        """A sentence in lower case a picture, or what each one's instruction asks for, as it was written.

        What the model says after the first sentence, unasked, becomes the detailed description.
        """
        requests = requests or [Request()] * len(prepared)
        turns = [
            Turn(
                request.instruction or CAPTION, picture, LONG if request.instruction else SHORT, request.hear
            )
            for picture, request in zip(prepared, requests, strict=True)
        ]
        answers = self._batches(partial(self._answer, beams=beams), turns)
        paragraphs = [""] * len(turns)
        if self._details:
            more = [Turn(PARAGRAPH, turn.picture, LONG) for turn in turns]
            paragraphs = self._batches(partial(self._answer, beams=beams), more)
        return [
            _described(answer, paragraph, bool(request.instruction))
            for answer, paragraph, request in zip(answers, paragraphs, requests, strict=True)
        ]

    def chat(self, question: Question) -> Iterator[str]:
        """The pieces of the answer as they are written. Who stops reading stops the model."""
        picture = None if question.picture is None else self.prepare(question.picture)
        heard: queue.Queue[str | None] = queue.Queue()
        turn = Turn(with_schema(question.text, question.schema), picture, question.most, heard.put)
        stop = threading.Event()
        with ThreadPoolExecutor(1, "chat") as thread:
            answer = thread.submit(self._batches, partial(self._answer, stop=stop), [turn])
            answer.add_done_callback(lambda _: heard.put(None))
            said = ""
            try:
                while (text := heard.get()) is not None:
                    yield text[len(said) :]
                    said = text
                answer.result()  # raises what went wrong
            finally:
                stop.set()

    def _answer(
        self, turns: Sequence[Turn], beams: int = 0, stop: threading.Event | None = None
    ) -> list[str]:
        """What the model answers to N turns, of which all or none have pictures."""
        prompts = [self._prompt(turn) for turn in turns]
        pictures = [[turn.picture] for turn in turns if turn.picture is not None]
        how: dict[str, Any] = {}
        if pictures:  # a GPU cuts them up and resizes them in a fraction of a processor's time
            how["images_kwargs"] = {"device": str(self._place.device)}
        if self._tokenizer.bos_token and prompts[0].startswith(self._tokenizer.bos_token):
            how["add_special_tokens"] = False  # the template has begun already
        inputs = self._processor(
            text=prompts, images=pictures or None, padding=True, return_tensors="pt", **how
        ).to(self._place.device, dtype=self._dtype)
        start = inputs["input_ids"].shape[1]
        most = max(turn.most for turn in turns)
        watch = Watch(start, [turn.hear for turn in turns], self._read, stop)
        tokens = self._net.generate(
            **inputs,
            max_new_tokens=most,
            pad_token_id=self._tokenizer.pad_token_id,
            stopping_criteria=StoppingCriteriaList([watch]),
            **GREEDY,
            **({"num_beams": beams} if beams else {}),
        )
        texts = []
        for turn, row in zip(turns, tokens[:, start:].tolist(), strict=True):
            while row and row[-1] == self._tokenizer.pad_token_id:  # where other rows were longer
                row.pop()
            texts.append(self._read(unlooped(row[: turn.most])).strip())
        return texts

    def _prompt(self, turn: Turn) -> str:
        """The words that the model goes on from, with a place for the picture."""
        text = turn.text
        # Nobody's text may write one, nor two of which one is left: each round shortens it.
        while (shorter := self._control.sub("", text)) != text:
            text = shorter
        picture = [] if turn.picture is None else [{"type": "image"}]
        prompt = self._render([*picture, {"type": "text", "text": text}])
        if AS_LIST in prompt:  # a template for plain text; some of these put the picture's place themselves
            prompt = self._render(text)
            if picture and self._mark not in prompt:
                prompt = self._render(f"{self._mark}\n{text}")
        return prompt if picture or not self._mark else prompt.replace(self._mark, "")

    def _render(self, content: str | list[dict[str, str]]) -> str:
        return self._processor.apply_chat_template(
            [{"role": "user", "content": content}],
            chat_template=self._template,
            add_generation_prompt=True,
            tokenize=False,
        )

    def _read(self, tokens: Tensor | Sequence[int]) -> str:
        return spoken(self._tokenizer.decode(tokens, skip_special_tokens=True))


def shrunk(image: Image.Image, size: Mapping[str, int | None]) -> Image.Image:
    """A picture no larger than a model sees it.

    Parameters
    ----------
    size : of what the processor makes, in its own terms: ``longest_edge``, ``shortest_edge``, or ``height``
        and ``width``, in pixels of a side. Where they are so large that they must be meant of a whole
        picture, which then may have any shape, its longer side becomes 1,024 pixels.
    """
    longest = size.get("longest_edge") or 0
    side, short = max(longest, SIDE), 0
    if longest > LARGEST_SIDE:
        side = SIDE
    else:
        short = max(size.get(name) or 0 for name in ("height", "width", "shortest_edge"))
    factor = max(side / max(image.size), short / min(image.size))
    if factor >= 1:
        return image
    width, height = (max(1, round(edge * factor)) for edge in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)


def _described(answer: str, paragraph: str, instructed: bool) -> Description:
    if instructed:
        return Description(answer, detailed=paragraph)
    sentence = first_sentence(answer)
    more = answer if sentence != answer else ""
    return Description(as_caption(sentence), detailed=paragraph or more)
