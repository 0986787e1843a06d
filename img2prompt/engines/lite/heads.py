"""The heads of the lite engine: small networks on top of the image tower."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from img2prompt.embeddings import WIDTH


class Locator(nn.Module):
    """Pooled features → the vector in MiniLM space by which captions find the picture.

    Trained with a contrastive loss, so that each picture's vector is unlike the others'.
    """

    def __init__(self, features: int, hidden: int = 512, dropout: float = 0.2):
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(features),
            nn.Dropout(dropout),
            nn.Linear(features, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, WIDTH),
        )

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


def pool(grid: Tensor, memory: Tensor) -> Tensor:
    """Grid (N, 1280, 7, 7), averaged, and cell 0 of memory (N, 50, width) → (N, 1280 + width) float32."""
    return torch.cat([grid.mean((2, 3)), memory[:, 0]], dim=1).float()
