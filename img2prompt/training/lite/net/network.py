"""All weights of the bundled engine in one module, and the two networks that it is run as."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from img2prompt.embeddings import WIDTH
from img2prompt.engines.lite.search import EOS, OFFERED
from img2prompt.training.lite.net.captioner import Attention, Captioner, CaptionerConfig, DecoderLayer
from img2prompt.training.lite.net.generated import Generated
from img2prompt.training.lite.net.heads import Evidence, Locator, Regressor, pool
from img2prompt.training.lite.net.tower import (
    GRID_WIDTH,
    STYLE_WIDTH,
    blend_names,
    build_backbone,
    trunk_statistics,
)

CLASSES = 1000


class LiteNet(nn.Module):
    """Trunk, two tails, classifier, captioner and heads, with the names that the model file has.

    Parameters
    ----------
    words, labels : how many the evidence is asked for
    """

    mean_embedding: Tensor
    subject_mean: Tensor
    class_vectors: Tensor

    def __init__(self, config: CaptionerConfig, words: int, labels: int):
        super().__init__()
        self.trunk, self.tail, self.classifier = build_backbone()
        self.imagenet_tail = copy.deepcopy(self.tail)
        self.captioner = Captioner(config)
        pooled = 2 * GRID_WIDTH + config.width
        self.locator = Locator(pooled)
        self.regressor = Regressor(pooled)
        self.evidence = Evidence(pooled + GRID_WIDTH, words, labels)
        self.style = nn.Linear(STYLE_WIDTH, WIDTH)
        self.generated = Generated()
        self.register_buffer("mean_embedding", torch.zeros(WIDTH))
        self.register_buffer("subject_mean", torch.zeros(WIDTH))
        # (1000, 384), the class names' vectors; they come with those of the labels, not with the weights
        self.register_buffer("class_vectors", torch.zeros(CLASSES, WIDTH))


class Look(nn.Module):
    """Pixels (N, 3, 224, 224) → what `img2prompt.engines.lite.networks.SEEN` names, then keys and values."""

    class_vectors: Tensor

    def __init__(self, net: LiteNet):
        super().__init__()
        self.trunk, self.tail, self.imagenet_tail = net.trunk, net.tail, net.imagenet_tail
        self.classifier, self.captioner, self.evidence = net.classifier, net.captioner, net.evidence
        self.locator, self.regressor = net.locator, net.regressor
        self.style, self.generated = net.style, net.generated
        self.register_buffer("class_vectors", net.class_vectors)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        x, statistics = trunk_statistics(self.trunk, pixels)
        untouched = self.imagenet_tail(x)
        features = untouched.mean((2, 3))
        classes = self.classifier(features).softmax(1)
        named = blend_names(classes, self.class_vectors)
        grids = torch.cat([untouched, self.tail(x)], dim=1)
        memory = self.captioner.memory(grids, named)
        pooled = pool(grids, memory)
        people, words, labels = self.evidence(grids, memory)
        located, regressed = self.locator(pooled), self.regressor(pooled)
        looks = torch.cat([statistics, features], dim=1)
        prompts, made = self.generated(looks, located + regressed)
        return (
            located,
            regressed,
            classes,
            named,
            F.normalize(self.style(looks), dim=1),
            1 - people.softmax(1)[:, 0],
            words.sigmoid(),
            labels.softmax(1),
            prompts,
            made,
            *[part for cache in self.captioner.prepare(memory) for part in cache],
        )


class Write(nn.Module):
    """One word more: see `img2prompt.engines.lite.search.Step`."""

    def __init__(self, captioner: Captioner):
        super().__init__()
        self.captioner = captioner

    def forward(
        self, tokens: Tensor, rows: Tensor, pictures: list[Tensor], past: list[Tensor]
    ) -> tuple[Tensor, ...]:
        """Words chosen last (P, K) → what may follow.

        Parameters
        ----------
        rows : (P · K,) of the past, that the captions continue
        pictures : each layer's keys and values of the pictures, (P, heads, 50, width / heads)
        past : the same of what was written, (rows, heads, words, width / heads)

        Returns
        -------
        Log probabilities (P, K, OFFERED) and words, see `Step`; log probability of an end (P, K); new past
        """
        net = self.captioner
        count, beams = tokens.shape
        x = net.words(tokens) + net.positions.weight[past[0].shape[2]]
        following = []
        for number, layer in enumerate(net.decoder):
            assert isinstance(layer, DecoderLayer)
            old_key, old_value = (part[rows] for part in past[2 * number : 2 * number + 2])
            normed = layer.norm1(x).flatten(0, 1)[:, None]
            key, value = layer.own.prepare(normed)
            key, value = torch.cat([old_key, key], dim=2), torch.cat([old_value, value], dim=2)
            x = x + attend(layer.own, normed, key, value).view(count, beams, -1)
            # All captions of a picture look at the same keys and values.
            x = x + attend(layer.picture, layer.norm2(x), *pictures[2 * number : 2 * number + 2])
            x = x + layer.feedforward(layer.norm3(x))
            following += [key, value]
        logits = net.logits(net.norm(x))
        logp = net.allowed(logits).log_softmax(-1)
        best = logp.topk(min(OFFERED, logp.shape[-1]), dim=-1)
        return best.values, best.indices, logp[:, :, EOS], *following


def attend(attention: Attention, x: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """What the attention returns, in operators that ONNX Runtime fuses: PyTorch's own one would copy all keys."""
    query = attention.split(attention.query(x)) * key.shape[-1] ** -0.5
    mixed = (query @ key.transpose(2, 3)).softmax(-1) @ value
    return attention.out(mixed.transpose(1, 2).flatten(2))
