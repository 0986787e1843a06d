"""The bundled engine: one small image tower, a captioner and three heads, on any CPU.

Everything it needs is in ``models/lite``: ``config.json``, ``model.safetensors``
(float16), ``tokenizer.json`` and ``labels.safetensors`` (label vectors, int8).
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn

from img2prompt.embeddings import WIDTH, unit
from img2prompt.engines.base import Aspect
from img2prompt.engines.lite import half_precision, imagenet
from img2prompt.engines.lite.captioner import UNK, Captioner, CaptionerConfig
from img2prompt.engines.lite.heads import Locator, Regressor, pool
from img2prompt.engines.lite.tower import GRID_WIDTH, STYLE_WIDTH, build_backbone, to_tensor, trunk_statistics
from img2prompt.errors import WeightsError
from img2prompt.minilm import SentenceEncoder
from img2prompt.vector_cache import label_vectors

FILES = ("config.json", "model.safetensors", "tokenizer.json", "labels.safetensors")
# What everyday pictures show, as captions begin; people aside, whom the captioner knows best.
SUBJECTS = Path(__file__).with_name("subjects.txt").read_text(encoding="utf-8").splitlines()
BEAMS = 4
NEAR_SUBJECTS = 3  # subjects tried for a picture that no candidate caption fits
BEST_BEGUN = 2  # captions beginning with each subject that are compared with the picture


class LiteNet(nn.Module):
    """All weights of the engine: trunk, two tails, classifier, captioner and three heads."""

    def __init__(self, config: CaptionerConfig):
        super().__init__()
        self.trunk, self.tail, self.classifier = build_backbone()
        self.imagenet_tail = copy.deepcopy(self.tail)
        self.captioner = Captioner(config)
        self.locator = Locator(GRID_WIDTH + config.width)
        self.regressor = Regressor(GRID_WIDTH + config.width)
        self.style = nn.Linear(STYLE_WIDTH, WIDTH)
        self.register_buffer("mean_embedding", torch.zeros(WIDTH))
        self.register_buffer("subject_mean", torch.zeros(WIDTH))


@dataclass(frozen=True)
class Features:
    """What `LiteEngine.encode` returns for N pictures."""

    memory: Tensor  # (N, 50, width), input of the captioner's decoder
    located: np.ndarray  # (N, 384) unit vectors: where captions find the picture
    regressed: np.ndarray  # (N, 384) unit vectors: the predicted embeddings of captions
    classes: np.ndarray  # (N, 1000) ImageNet probabilities
    named: np.ndarray  # (N, 384) the class names' vectors, weighted by `classes`; length 1 at most
    style: np.ndarray  # (N, 384) unit vectors: how the picture looks


class LiteEngine:
    """The lite engine; see `img2prompt.engines.base.Engine` for what each method returns.

    Parameters
    ----------
    folder : of the model, see the module
    sentences : embeds texts
    device : where the network runs

    Raises
    ------
    WeightsError
        When a file of the folder is missing or damaged.
    """

    name = "lite"
    captioner: str | None = "lite"
    space: str | None = "all-MiniLM-L6-v2"
    pool = 128  # with these, the styles best and negative take seconds a picture on two cores

    def __init__(self, folder: Path, sentences: SentenceEncoder, device: str = "cpu"):
        self.sentences = sentences
        self.device = torch.device(device)
        self.label_file: Path | None = folder / "labels.safetensors"
        try:
            self.weights_id = _digest(folder)
            self.config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            names = self.config["class_names"]
            self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            weights = load_file(folder / "model.safetensors")
            with torch.device("meta"):
                net = LiteNet(CaptionerConfig(**self.config["captioner"]))
            net.load_state_dict({name: value.float() for name, value in weights.items()}, assign=True)
        except WeightsError:
            raise
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise WeightsError(
                f"{folder}: {error}. Install img2prompt again to restore the bundled model."
            ) from error
        except Exception as error:  # tokenizers raises bare Exception for a missing or damaged file
            raise WeightsError(f"{folder / 'tokenizer.json'}: {error}. Install img2prompt again.") from error
        self.net = net.eval().to(self.device)
        for part in (self.net.trunk, self.net.tail, self.net.imagenet_tail):
            part.to(memory_format=torch.channels_last)
        if self.device.type == "cpu" and half_precision.supported():
            self.net.captioner.halve()
        self.class_vectors = label_vectors(self, "imagenet", names).float().numpy()
        self.subject_vectors = label_vectors(self, "subjects", SUBJECTS).float().numpy()
        self.naming = imagenet.Naming(names, self._similar)

    @property
    def mean_embedding(self) -> np.ndarray:
        """(384,) unit vector: the mean of the training captions' embeddings."""
        return self.net.get_buffer("mean_embedding").cpu().numpy()

    @property
    def vocabulary(self) -> Mapping[str, int]:
        """MiniLM's word pieces; flavors are ranked only if made of these."""
        return self.sentences.vocabulary

    @torch.inference_mode()
    def encode(self, images: Sequence[Image.Image]) -> Features:
        """Look at N RGB pictures of any size."""
        pixels = torch.stack([to_tensor(image) for image in images]).to(self.device)
        x, statistics = trunk_statistics(self.net.trunk, pixels)
        imagenet_features = self.net.imagenet_tail(x).mean((2, 3))
        classes = self.net.classifier(imagenet_features).softmax(1).cpu().numpy()
        named = imagenet.blend_names(classes, self.class_vectors)
        grid = self.net.tail(x)
        hint = torch.from_numpy(named).to(self.device) if self.net.captioner.config.hint else None
        memory = self.net.captioner.memory(grid, hint)
        pooled = pool(grid, memory)
        style = self.net.style(torch.cat([statistics, imagenet_features], dim=1))
        return Features(
            memory=memory,
            located=self.net.locator(pooled).cpu().numpy(),
            regressed=self.net.regressor(pooled).cpu().numpy(),
            classes=classes,
            named=named,
            style=nn.functional.normalize(style, dim=1).cpu().numpy(),
        )

    def regress(self, features: Features) -> np.ndarray:
        return features.regressed

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        return self.sentences.encode(texts)

    def embed_images(self, features: Features, aspect: Aspect = "content") -> np.ndarray:
        if aspect == "style":
            subject = features.located + features.named - self.net.get_buffer("subject_mean").cpu().numpy()
            blended = features.style + self.config["subject_share"] * subject
        else:
            blended = (
                features.located
                + self.config["regressed_share"] * features.regressed
                + self.config["class_share"] * features.named
            )
        return unit(blended)

    def describe(self, features: Features, beams: int = 0) -> list[str]:
        """N captions: of beam search's candidates, the one that best fits the picture.

        A candidate is judged by its score and by the cosine of its embedding with the picture's
        content vector; then it should name the class that the classifier is sure of. For a picture
        unlike those in training the captioner guesses. If none of its candidates comes near such a
        picture, captions that begin with the nearest everyday subjects join them.
        """
        beams = beams or BEAMS
        with torch.inference_mode():
            candidates = self.net.captioner.search(features.memory, beams=beams)
        content = self.embed_images(features)
        near = content @ self.subject_vectors.T
        texts = [[self._text(tokens) for tokens, _ in row] for row in candidates]
        vectors = iter(self.sentences.encode([text for row in texts for text in row]))
        fits = [np.array([next(vectors) @ content[i] for _ in row]) for i, row in enumerate(candidates)]
        lost = [
            (i, int(subject))
            for i, fit in enumerate(fits)
            if fit.max() < self.config["lost"] and near[i].max() > fit.max()
            for subject in np.argsort(-near[i])[:NEAR_SUBJECTS]
        ]
        begun = self._about(lost, features, content, beams)
        captions = []
        for i, row in enumerate(candidates):
            scored = list(zip(fits[i], (score for _, score in row), texts[i], strict=True))
            scored += begun[i]
            share = self.config["fit_share"]
            ranked = sorted(scored, key=lambda item: item[1] + share * item[0], reverse=True)
            captions.append(self._name_it([text for _, _, text in ranked], features, i, beams))
        return captions

    def _about(
        self, lost: Sequence[tuple[int, int]], features: Features, content: np.ndarray, beams: int
    ) -> dict[int, list[tuple[float, float, str]]]:
        """Captions that begin with given subjects: picture → (fit, score, text) of each.

        If a caption fits the picture less well than its subject alone, only the subject is kept.

        Parameters
        ----------
        lost : (picture, subject) pairs to try
        content : (N, 384) unit vectors of the pictures
        """
        begun: dict[int, list[tuple[float, float, str]]] = defaultdict(list)
        if not lost:
            return begun
        with torch.inference_mode():
            rows = self.net.captioner.search(
                features.memory[[picture for picture, _ in lost]],
                beams=beams,
                prefix=[self.tokenizer.encode(SUBJECTS[subject]).ids for _, subject in lost],
            )
        rows = [row[:BEST_BEGUN] for row in rows]
        vectors = iter(self.sentences.encode([self._text(tokens) for row in rows for tokens, _ in row]))
        for (picture, subject), row in zip(lost, rows, strict=True):
            alone = float(self.subject_vectors[subject] @ content[picture])
            for tokens, score in row:
                fit = float(next(vectors) @ content[picture])
                text = SUBJECTS[subject] if alone > fit else self._text(tokens)
                begun[picture].append((max(alone, fit), score, text))
        return begun

    def _begun(self, beginning: str, features: Features, row: int, beams: int) -> list[tuple[str, float]]:
        """(caption, score) of captions that begin with these words, best first; none if a word is unknown."""
        prefix = self.tokenizer.encode(beginning).ids
        if UNK in prefix:
            return []
        with torch.inference_mode():
            memory = features.memory[row : row + 1]
            completions = self.net.captioner.search(memory, beams=beams, prefix=[prefix])[0]
        return [(self._text(tokens), score) for tokens, score in completions]

    def _name_it(self, ranked: list[str], features: Features, row: int, beams: int) -> str:
        """The best caption that names what the classifier is sure of; one is made where none does.

        Parameters
        ----------
        ranked : the captions of picture `row`, best first
        """
        thing = self.naming.find(features.classes[row], self.config["sure"])
        if thing is None:
            return ranked[0]
        for caption in ranked:
            if self.naming.mentioned(caption, thing):
                return caption
        people = imagenet.PEOPLE.intersection(ranked[0].split())
        if thing.probability < self.config["sure_with_people" if people else "sure_alone"]:
            return ranked[0]
        if thing.written is None:
            return thing.shown
        # "an animal" stands in for one that the training captions never name
        for written in (thing.written, "an animal"):
            for caption, _ in self._begun(written, features, row, beams):
                return thing.shown + caption.removeprefix(written)
        return thing.shown

    def _text(self, tokens: list[int]) -> str:
        return " ".join(str(self.tokenizer.id_to_token(token)) for token in tokens)

    @lru_cache(maxsize=20_000)  # noqa: B019 - the engine lives as long as the process
    def _word_vector(self, word: str) -> np.ndarray:
        return self.sentences.encode([word])[0]

    def _similar(self, word: str, index: int) -> float:
        return float(self._word_vector(word) @ self.class_vectors[index])


def _digest(folder: Path) -> str:
    """SHA-256 of the files that the engine's answers depend on."""
    digest = hashlib.sha256()
    for name in FILES:
        if (folder / name).exists():  # label vectors may be missing; they are computed then
            digest.update(f"{name}:".encode() + hashlib.sha256((folder / name).read_bytes()).digest())
    return digest.hexdigest()
