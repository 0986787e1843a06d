"""The heads: small networks on top of the image tower."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from img2prompt.embeddings import WIDTH
from img2prompt.training.lite.net.tower import GRID, GRID_WIDTH


def _two_layers(features: int, hidden: int, answers: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(features),
        nn.Dropout(dropout),
        nn.Linear(features, hidden),
        nn.GELU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, answers),
    )


class Locator(nn.Module):
    """Pooled features → the vector in MiniLM space by which captions find the picture.

    Trained with a contrastive loss, so that each picture's vector is unlike the others'.
    """

    def __init__(self, features: int, hidden: int = 512, dropout: float = 0.2):
        super().__init__()
        self.layers = _two_layers(features, hidden, WIDTH, dropout)

    def forward(self, pooled: Tensor) -> Tensor:
        """Pooled features (N, F) → (N, 384) unit vectors."""
        return F.normalize(self.layers(pooled), dim=-1)


class Regressor(nn.Module):
    """Pooled features → the mean MiniLM embedding of the captions that people write for the picture."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, features: int, hidden: int = 512, dropout: float = 0.4):
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))
        self.layers = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(features, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, WIDTH),
        )

    def standardise(self, pooled: Tensor) -> None:
        """Store mean and deviation of the training features (N, F), which `forward` standardises with."""
        self.mean, self.deviation = pooled.mean(0), pooled.std(0) + 1e-3

    def forward(self, pooled: Tensor) -> Tensor:
        """Pooled features (N, F) → (N, 384) unit vectors."""
        standard = ((pooled - self.mean) / self.deviation).clamp(-6, 6)
        return F.normalize(self.layers(standard).float(), dim=-1)


class Evidence(nn.Module):
    """The picture → what a caption of it would mention: people, words, one of the labels.

    People are looked for in each cell by itself, and the strongest cells decide (multiple instance
    learning, Dietterich et al., 1997): a kitchen must not speak against the person in it.
    """

    def __init__(self, features: int, words: int, labels: int, hidden: int = 512, dropout: float = 0.3):
        super().__init__()
        self.cells = nn.Sequential(
            nn.LayerNorm(2 * GRID_WIDTH),
            nn.Dropout(dropout),
            nn.Linear(2 * GRID_WIDTH, 128),
            nn.GELU(),
            nn.Linear(128, 2),
        )
        self.sizes = (words, labels + 1)
        self.layers = _two_layers(features, hidden, sum(self.sizes), dropout)

    def forward(self, grids: Tensor, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Both grids (N, 2560, 7, 7) and memory → logits of nobody, one person and several (N, 3;
        softmax), of each word (N, W; sigmoid), and of each label and of none of them (N, L + 1; softmax)."""
        cells = self.cells(grids.flatten(2).transpose(1, 2).float()).logsumexp(1) - math.log(GRID * GRID)
        people = torch.cat([torch.zeros_like(cells[:, :1]), cells], dim=1)
        words, labels = self.mentions(pool_more(grids, memory))
        return people, words, labels

    def mentions(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """What `pool_more` gives → the logits of words and labels, as in `forward`."""
        words, labels = self.layers(pooled).split(self.sizes, dim=1)
        return words, labels


def pool(grids: Tensor, memory: Tensor) -> Tensor:
    """Both grids (N, 2560, 7, 7), averaged, and cell 0 of memory (N, 50, width) → (N, 2560 + width) float32."""
    return torch.cat([grids.mean((2, 3)), memory[:, 0]], dim=1).float()


def pool_more(grids: Tensor, memory: Tensor) -> Tensor:
    """What `pool` gives, and the largest value of each channel of the untouched grid: (N, 3840 + width) float32."""
    return torch.cat([pool(grids, memory), grids[:, :GRID_WIDTH].amax((2, 3)).float()], dim=1)
