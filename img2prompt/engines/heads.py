"""Small heads on top of the image tower."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from img2prompt.engines.tower import GRID_WIDTH

SENTENCE_WIDTH = 384


class Regressor(nn.Module):
    """Grid and the captioner's summary cell → the picture's place in MiniLM space."""

    def __init__(self, summary_width: int, hidden: int = 512, dropout: float = 0.2):
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(GRID_WIDTH + summary_width),
            nn.Dropout(dropout),
            nn.Linear(GRID_WIDTH + summary_width, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, SENTENCE_WIDTH),
        )

    def forward(self, grid: Tensor, memory: Tensor) -> Tensor:
        """(N, 1280, 7, 7) and (N, 50, width) → (N, 384) unit vectors."""
        features = torch.cat([grid.mean((2, 3)), memory[:, 0]], dim=1)
        return F.normalize(self.layers(features.float()), dim=-1)
