"""Write the graph of all-MiniLM-L6-v2, which `img2prompt.minilm` runs: ``python -m img2prompt.training.minilm``.

A plain BERT encoder (Wang et al., *MiniLM*, 2020). Its parts have the names of the published file, so
that the graph takes the weights as they are there. The vectors of word pieces are looked up outside of it:
ONNX Runtime would copy all 30,522 of them.
"""

from __future__ import annotations

import math

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from img2prompt.embeddings import WIDTH
from img2prompt.minilm import GRAPH, MAX_TOKENS, installed_folder
from img2prompt.training.graphs import write_graph

LAYERS = 6
HEADS = 12
FEED_FORWARD = 1536
POSITIONS = 512
UNSEEN = 1e9  # taken from the scores of padding


class Embeddings(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.position_embeddings = nn.Embedding(POSITIONS, WIDTH)
        self.token_type_embeddings = nn.Embedding(2, WIDTH)
        self.LayerNorm = nn.LayerNorm(WIDTH, eps=1e-12)

    def forward(self, words: Tensor) -> Tensor:
        places = self.position_embeddings.weight[: words.shape[1]] + self.token_type_embeddings.weight[0]
        return self.LayerNorm(words + places)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.self = nn.ModuleDict({name: nn.Linear(WIDTH, WIDTH) for name in ("query", "key", "value")})
        self.output = Output(WIDTH)

    def forward(self, rows: Tensor, unseen: Tensor) -> Tensor:
        shape = (*unseen.shape, HEADS, WIDTH // HEADS)
        q, k, v = (part(rows).view(shape).transpose(1, 2) for part in self.self.values())
        scores = q @ k.transpose(-1, -2) / math.sqrt(WIDTH // HEADS) + unseen[:, None, None]
        seen = scores.softmax(-1) @ v
        return self.output(seen.transpose(1, 2).reshape(rows.shape), rows)


class Output(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, WIDTH)
        self.LayerNorm = nn.LayerNorm(WIDTH, eps=1e-12)

    def forward(self, change: Tensor, rows: Tensor) -> Tensor:
        return self.LayerNorm(rows + self.dense(change))


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = Attention()
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(WIDTH, FEED_FORWARD)})
        self.output = Output(FEED_FORWARD)

    def forward(self, rows: Tensor, unseen: Tensor) -> Tensor:
        rows = self.attention(rows, unseen)
        return self.output(nn.functional.gelu(self.intermediate["dense"](rows)), rows)


class MiniLM(nn.Module):
    """Vectors of word pieces (N, T, 384), and which of them are no padding (N, T) → unit vectors (N, 384)."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = Embeddings()
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(Layer() for _ in range(LAYERS))})

    def forward(self, words: Tensor, real: Tensor) -> Tensor:
        # As rows, for products of matrices, whose weights stay as they are.
        rows = self.embeddings(words).flatten(0, 1)
        unseen = (real.float() - 1) * UNSEEN
        for layer in self.encoder["layer"].children():
            rows = layer(rows, unseen)
        means = real.float()[:, None] @ rows.view(words.shape)  # but for their length
        return nn.functional.normalize(means[:, 0], dim=1)


def load() -> MiniLM:
    """The network with its weights, on the processor.

    Raises
    ------
    WeightsError
        When the model is not installed.
    """
    net = MiniLM()
    weights = load_file(installed_folder() / "model.safetensors")
    net.load_state_dict({name: weights[name] for name in net.state_dict()})
    return net.eval()


def main() -> None:
    words = torch.zeros(3, MAX_TOKENS, WIDTH)
    inputs = {"words": words, "real": torch.ones(words.shape[:2], dtype=torch.bool)}
    write_graph(GRAPH, load(), inputs, ["vectors"], {name: (0, 1) for name in inputs})


if __name__ == "__main__":
    main()
