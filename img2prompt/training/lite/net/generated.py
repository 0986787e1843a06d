"""Pictures that machines made: how likely the picture is one, and the embedding of its prompt."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from img2prompt.embeddings import WIDTH
from img2prompt.training.lite.net.tower import STYLE_WIDTH

RANK = 128  # of the map from features to prompts' embeddings
CLIP = 5.0  # features further from their mean, in deviations, count as this far


class Generated(nn.Module):
    """Two linear heads on how a picture looks: trunk statistics and pooled ImageNet features.

    What the heads for captions say joins the prompt's embedding, because subjects are known from many
    more photos than there are generated pictures.
    """

    mean: Tensor
    deviation: Tensor
    share: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(STYLE_WIDTH))
        self.register_buffer("deviation", torch.ones(STYLE_WIDTH))
        self.register_buffer("share", torch.zeros(1))  # weight of what the heads for captions say
        self.down = nn.Linear(STYLE_WIDTH, RANK, bias=False)
        self.up = nn.Linear(RANK, WIDTH)
        self.gate = nn.Linear(STYLE_WIDTH, 1)

    def standardise(self, looks: Tensor) -> Tensor:
        """Features (N, 1872) in deviations from their mean, none further than 5."""
        return ((looks.float() - self.mean) / self.deviation).clamp(-CLIP, CLIP)

    def forward(self, looks: Tensor, captioned: Tensor) -> tuple[Tensor, Tensor]:
        """What machines that made the pictures were told, and whether there was one.

        Parameters
        ----------
        looks : (N, 1872) trunk statistics, then pooled ImageNet features
        captioned : (N, 384) sum of the unit vectors of locator and regressor

        Returns
        -------
        (N, 384) unit vectors, the predicted embeddings of the prompts; and (N,) the probability that
        the picture was generated or drawn, set so that few photos have more than 0.5
        """
        standard = self.standardise(looks)
        prompts = self.up(self.down(standard)) + self.share * captioned
        return F.normalize(prompts, dim=1), self.gate(standard).squeeze(1).sigmoid()
