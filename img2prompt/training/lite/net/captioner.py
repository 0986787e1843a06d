"""A small transformer that writes captions from the image grid.

One encoder layer lets the 49 grid cells and a summary cell look at each other; three
decoder layers write the caption a word at a time, with cached keys and values. Vaswani et al., *Attention Is All You Need*, 2017; pre-norm blocks.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from img2prompt.engines.lite.search import EOS, PAD, SPECIALS
from img2prompt.training.lite.net.tower import GRID, GRID_WIDTH

MEMORY_PARTS = (
    "project",
    "cells",
    "summary",
    "hint",
    "encoder",
    "memory_norm",
)  # of a captioner: all that look


@dataclass(frozen=True)
class CaptionerConfig:
    """Shape of the captioner."""

    vocabulary: int
    width: int = 384
    heads: int = 6
    feedforward: int = 1024
    encoder_layers: int = 1
    decoder_layers: int = 3
    max_words: int = 22
    dropout: float = 0.1
    hint: int = 0  # width of the vector that may come with a grid; 0 for none
    grid: int = GRID_WIDTH  # channels of the grid

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Linear(nn.Linear):
    """`torch.nn.Linear`, on rows: those ONNX Runtime multiplies with a weight as it lies, without another copy."""

    def forward(self, x: Tensor) -> Tensor:
        return by_rows(x, self.weight, self.bias)


def by_rows(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """(…, in) → (…, out), see `Linear`."""
    return F.linear(x.flatten(0, -2), weight, bias).unflatten(0, x.shape[:-1])


class Attention(nn.Module):
    """Multi-head attention whose keys and values can be prepared once and reused."""

    def __init__(self, config: CaptionerConfig):
        super().__init__()
        self.heads = config.heads
        self.query = Linear(config.width, config.width)
        self.key_value = Linear(config.width, 2 * config.width)
        self.out = Linear(config.width, config.width)

    def split(self, x: Tensor) -> Tensor:
        """(N, T, width) → (N, heads, T, width / heads)"""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def prepare(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of a source (N, S, width)."""
        key, value = self.key_value(source).chunk(2, dim=-1)
        return self.split(key), self.split(value)

    def forward(self, x: Tensor, key: Tensor, value: Tensor, causal: bool = False) -> Tensor:
        mixed = F.scaled_dot_product_attention(self.split(self.query(x)), key, value, is_causal=causal)
        return self.out(mixed.transpose(1, 2).flatten(2))


def feedforward(config: CaptionerConfig) -> nn.Sequential:
    return nn.Sequential(
        Linear(config.width, config.feedforward), nn.GELU(), Linear(config.feedforward, config.width)
    )


class EncoderLayer(nn.Module):
    """Self-attention between the cells, then a feed-forward network for each."""

    def __init__(self, config: CaptionerConfig):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(config.width), nn.LayerNorm(config.width)
        self.attention = Attention(config)
        self.feedforward = feedforward(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm1(x)
        x = x + self.dropout(self.attention(normed, *self.attention.prepare(normed)))
        return x + self.dropout(self.feedforward(self.norm2(x)))


Cache = tuple[Tensor, Tensor]


class DecoderLayer(nn.Module):
    """Attention to earlier words, then to the picture, then a feed-forward network."""

    def __init__(self, config: CaptionerConfig):
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(config.width) for _ in range(3))
        self.own = Attention(config)
        self.picture = Attention(config)
        self.feedforward = feedforward(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, picture: Cache, past: Cache | None) -> tuple[Tensor, Cache]:
        normed = self.norm1(x)
        key, value = self.own.prepare(normed)
        if past is not None:
            key, value = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)
        x = x + self.dropout(self.own(normed, key, value, causal=past is None))
        x = x + self.dropout(self.picture(self.norm2(x), *picture))
        return x + self.dropout(self.feedforward(self.norm3(x))), (key, value)


class Captioner(nn.Module):
    """Grid (N, config.grid, 7, 7) → captions as token ids."""

    def __init__(self, config: CaptionerConfig):
        super().__init__()
        self.config = config
        self.project = Linear(config.grid, config.width)
        self.cells = nn.Parameter(torch.zeros(1, GRID * GRID, config.width))
        self.summary = nn.Parameter(torch.zeros(1, 1, config.width))
        if config.hint:
            self.hint = nn.Linear(config.hint, config.width, bias=False)
            nn.init.zeros_(self.hint.weight)
        self.encoder = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.memory_norm = nn.LayerNorm(config.width)
        self.words = nn.Embedding(config.vocabulary, config.width)
        self.positions = nn.Embedding(config.max_words + 2, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.norm = nn.LayerNorm(config.width)
        for parameter in (self.cells, self.summary, self.words.weight, self.positions.weight):
            nn.init.normal_(parameter, std=0.02)

    def memory(self, grid: Tensor, hint: Tensor | None = None) -> Tensor:
        """Grid (N, config.grid, 7, 7) → memory (N, 50, width); cell 0 sums up the picture.

        The hint (N, config.hint), vectors of length 1 at most, is added to cell 0.
        """
        x = self.project(grid.flatten(2).transpose(1, 2)) + self.cells
        summary = self.summary.expand(len(x), -1, -1)
        if hint is not None:
            summary = summary + self.hint(hint * self.config.hint**0.5)[:, None]
        x = self.dropout(torch.cat([summary, x], dim=1))
        for layer in self.encoder:
            x = layer(x)
        return self.memory_norm(x)

    def prepare(self, memory: Tensor) -> list[Cache]:
        """Each decoder layer's keys and values of the picture."""
        return [layer.picture.prepare(memory) for layer in self.decoder]  # type: ignore[operator, union-attr]

    def decode(
        self, tokens: Tensor, pictures: list[Cache], past: list[Cache] | None = None
    ) -> tuple[Tensor, list[Cache]]:
        """Tokens (N, T) → logits (N, T, vocabulary) and the cache for the next call."""
        offset = 0 if past is None else past[0][0].shape[2]
        positions = torch.arange(offset, offset + tokens.shape[1], device=tokens.device)
        x = self.dropout(self.words(tokens) + self.positions(positions))
        caches = []
        for i, layer in enumerate(self.decoder):
            x, cache = layer(x, pictures[i], None if past is None else past[i])
            caches.append(cache)
        return self.logits(self.norm(x)), caches

    def logits(self, x: Tensor) -> Tensor:
        """(…, width) → (…, vocabulary), with the weights of the word embeddings."""
        return by_rows(x, self.words.weight)

    def forward(self, memory: Tensor, tokens: Tensor) -> Tensor:
        """Teacher forcing: logits (N, T, vocabulary) for the word after each token."""
        return self.decode(tokens, self.prepare(memory))[0]

    @torch.no_grad()
    def sample(self, memory: Tensor, starts: Tensor, count: int, length: int) -> Tensor:
        """`count` random captions a picture: tokens (N · count, at most `length`), without their start.

        Parameters
        ----------
        starts : (N,) BOS, NOBODY or SOMEBODY
        """
        pictures = repeat(self.prepare(memory), count)
        tokens = starts.repeat_interleave(count)[:, None]
        finished = torch.zeros(len(tokens), dtype=torch.bool, device=memory.device)
        written, past = [], None
        for _ in range(length):
            logits, past = self.decode(tokens, pictures, past)
            logits = self.allowed(logits[:, -1].float())
            gumbel = -torch.rand_like(logits).clamp_(min=1e-20).log_().neg_().log_()
            tokens = (logits + gumbel).argmax(-1, keepdim=True)  # as likely as softmax says, but cheaper
            tokens = tokens.masked_fill(finished[:, None], PAD)
            written.append(tokens)
            finished |= tokens[:, 0] == EOS
            if finished.all():
                break
        return torch.cat(written, dim=1)

    @staticmethod
    def allowed(logits: Tensor) -> Tensor:
        """The logits with -inf for padding, a beginning and the unknown word: all special tokens but the end."""
        tokens = torch.arange(logits.shape[-1], device=logits.device)
        return logits.masked_fill((tokens < len(SPECIALS)) & (tokens != EOS), -torch.inf)


def repeat(pictures: list[Cache], count: int | Tensor) -> list[Cache]:
    """Keys and values for `count` captions of each picture, or for (N,) counts; copies stand together."""
    return [(key.repeat_interleave(count, 0), value.repeat_interleave(count, 0)) for key, value in pictures]
