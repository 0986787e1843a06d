"""Look over a model's shoulder while it writes: tell who listens, end loops, stop when nobody listens."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import StoppingCriteria

from img2prompt.engines.full.families.words import LONGEST_LOOP, copies

EVERY = 8  # tokens between two looks for loops

Hear = Callable[[str], object]


class Watch(StoppingCriteria):
    """Told by transformers of every token; ends rows that repeat themselves.

    Parameters
    ----------
    start : number of the prompts' tokens
    hears : N, who is told each row's text so far
    read : tokens → text
    stop : ends all rows once it is set
    """

    def __init__(
        self,
        start: int,
        hears: Sequence[Hear | None],
        read: Callable[[Tensor], str],
        stop: threading.Event | None = None,
    ):
        self.start = start
        self.hears = hears
        self.read = read
        self.stop = stop
        self._heard = [""] * len(hears)

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        tokens = input_ids[:, self.start :]
        ended = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
        if self.stop is not None and self.stop.is_set():
            ended.fill_(True)
        if tokens.shape[1] % EVERY == 0:
            ended |= looping(tokens)
        if len(tokens) == len(self.hears):  # else there are several beams a row
            for row, hear in enumerate(self.hears):
                if hear is not None:
                    self._tell(row, hear, tokens[row])
        return ended

    def _tell(self, row: int, hear: Hear, tokens: Tensor) -> None:
        text = self.read(tokens).rstrip("\N{REPLACEMENT CHARACTER}").rstrip()  # of half a letter
        if text != self._heard[row]:
            self._heard[row] = text
            hear(text)


def looping(tokens: Tensor) -> Tensor:
    """(N,) whether rows of (N, T) tokens end in loops; see `img2prompt.engines.full.families.words.loop`."""
    found = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
    for period in range(1, LONGEST_LOOP + 1):
        length = period * copies(period)
        if length <= tokens.shape[1]:
            tail = tokens[:, -length:]
            found |= (tail[:, period:] == tail[:, :-period]).all(1)
    return found
