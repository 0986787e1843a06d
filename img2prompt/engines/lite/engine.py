"""The bundled engine: one small image tower, a captioner and their heads, on any CPU.

Everything it needs is in ``models/lite``: ``config.json``, ``model.safetensors`` (see
`packed`), ``tokenizer.json``, ``labels.safetensors`` (label vectors, int8) and the graphs
of its two networks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from safetensors import SafetensorError
from tokenizers import Tokenizer

from img2prompt.embeddings import unit
from img2prompt.engines.base import Aspect, Question, Request
from img2prompt.engines.lite import choice, imagenet, networks, packed
from img2prompt.engines.lite.choice import Candidate, Weights
from img2prompt.engines.lite.networks import LOOK, WRITE, Graphs, Networks
from img2prompt.engines.lite.pixels import to_pixels
from img2prompt.engines.lite.search import NOBODY, SOMEBODY, UNK, search
from img2prompt.errors import WeightsError
from img2prompt.minilm import SentenceEncoder
from img2prompt.posts.facts import vividness
from img2prompt.results import Description, Match
from img2prompt.tensors import mapped
from img2prompt.vector_cache import label_vectors
from img2prompt.wording import reason

FILES = ("config.json", "model.safetensors", "tokenizer.json", "labels.safetensors", LOOK, WRITE)
BEAMS = 4
BEGUN = 3  # captions beginning with a thing that are compared with the others
POSSIBLE = 0.1  # probability from which a word is among the things of a picture
MOST_THINGS = 12
SOMEONE = "person"  # the thing that is there where somebody is
SHORTEST = 5  # words of a caption that the captioner writes; a bare name may be shorter


@dataclass(frozen=True)
class Features:
    """What `LiteEngine.encode` returns for N pictures."""

    pictures: Sequence[np.ndarray]  # see `img2prompt.engines.lite.networks.Networks.writer`
    located: np.ndarray  # (N, 384) unit vectors: where captions find the picture
    regressed: np.ndarray  # (N, 384) unit vectors: the predicted embeddings of captions
    classes: np.ndarray  # (N, 1000) ImageNet probabilities
    named: np.ndarray  # (N, 384) the class names' vectors, weighted by `classes`; length 1 at most
    style: np.ndarray  # (N, 384) unit vectors: how the picture looks
    somebody: np.ndarray  # (N,) probability that captions mention people
    words: np.ndarray  # (N, W) probability that captions have each word
    labels: np.ndarray  # (N, L + 1) probability of each label, and of none of them
    prompts: np.ndarray  # (N, 384) unit vectors: the predicted embeddings of prompts, had machines made them
    made: np.ndarray  # (N,) probability that the picture was generated or drawn
    vividness: Sequence[float]  # of the N pictures, see `img2prompt.posts.facts.vividness`


class Beginning(NamedTuple):
    """Where the captioner sets out to write."""

    row: int  # of the picture
    start: int  # NOBODY or SOMEBODY
    shown: str = ""  # the name of a thing
    written: str = ""  # what the captioner writes in its place,
    tokens: tuple[int, ...] = ()  # and that in its words
    most: int | None = None  # captions that are compared with the others; all of them unless it says so


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
    follows = chats = False
    pool = 128  # with these, the styles best and negative take seconds a picture on two cores

    def __init__(self, folder: Path, sentences: SentenceEncoder, device: str = "cpu"):
        self.sentences = sentences
        self.device = device
        self._folder = folder
        self.label_file: Path | None = folder / "labels.safetensors"
        try:
            self.config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            names = self.config["class_names"]
            self.labels: list[str] = self.config["labels"]
            self.words = {word: number for number, word in enumerate(self.config["words"])}
            self.weights = Weights(**self.config["choice"])
            self.layers = int(self.config["captioner"]["decoder_layers"])
            self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            weights = packed.unpack(mapped(folder / "model.safetensors"))
            incidental = self.config["incidental"]
            trust = imagenet.Trust(**self.config["trust"])
            self.kinds = {self.words[word]: str(shown) for word, shown in self.config["kinds"].items()}
            self.mean_embedding = weights["mean_embedding"]
            self.subject_mean = weights["subject_mean"]
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise WeightsError(
                f"{folder} cannot be used ({reason(error)}). Install img2prompt again to restore the bundled model."
            ) from error
        except Exception as error:  # tokenizers raises bare Exception for a missing or damaged file
            raise WeightsError(
                f"{folder / 'tokenizer.json'} cannot be used ({reason(error)}). Install img2prompt again."
            ) from error
        self.class_vectors = label_vectors(self, "imagenet", names).astype(np.float32, copy=False)
        # Nothing in here refers to the engine, which would keep its weights when nobody needs them any more.
        word_vector = lru_cache(maxsize=20_000)(partial(_word_vector, sentences))
        similar = partial(_similar, word_vector, self.class_vectors)
        self.naming = imagenet.Naming(names, incidental, similar, trust)
        weights["class_vectors"] = self.class_vectors
        self.networks: Networks = Graphs(folder, weights, self.layers, device)

    @cached_property
    def weights_id(self) -> str:
        """SHA-256 of the files that the engine's answers depend on."""
        return _digest(self._folder)

    @property
    def vocabulary(self) -> Mapping[str, int]:
        """MiniLM's word pieces; flavors are ranked only if made of these."""
        return self.sentences.vocabulary

    def encode(self, images: Sequence[Image.Image]) -> Features:
        """Look at N RGB pictures of any size."""
        seen = self.networks.look(np.stack([to_pixels(image) for image in images]))
        return Features(
            **{name: seen[name] for name in networks.SEEN},
            pictures=[seen[name] for name in networks.cache_names(self.layers)],
            vividness=[vividness(image) for image in images],
        )

    def regress(self, features: Features) -> np.ndarray:
        """The embedding of the caption of a photo, of the prompt of a picture that a machine made; else between."""
        made = features.made[:, None]
        return unit(made * features.prompts + (1 - made) * features.regressed)

    def generated(self, features: Features) -> np.ndarray:
        return features.made

    def things(self, features: Features) -> list[list[Match]]:
        evidence = zip(features.words, features.labels, features.somebody, strict=True)
        return [self._things(words, labels, float(somebody)) for words, labels, somebody in evidence]

    def _things(self, words: np.ndarray, labels: np.ndarray, somebody: float) -> list[Match]:
        """The likeliest words and labels of a picture, each thing once."""
        likely = {SOMEONE: somebody} if somebody >= POSSIBLE else {}
        likely |= {name: float(labels[i]) for i, name in self._named_labels.items() if labels[i] >= POSSIBLE}
        for i in np.flatnonzero(words >= POSSIBLE):
            if word := choice.thing(self.config["words"][i]):
                likely[word] = max(likely.get(word, 0.0), float(words[i]))
        order = sorted(likely, key=lambda name: -likely[name])[:MOST_THINGS]
        return [Match(name, likely[name]) for name in order]

    @cached_property
    def _named_labels(self) -> dict[int, str]:
        """Place → label, without its article."""
        return {
            i: label.split(" ", 1)[1] if label.startswith(("a ", "an ", "the ")) else label
            for i, label in enumerate(self.labels)
        }

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        return self.sentences.encode(texts)

    def embed_images(self, features: Features, aspect: Aspect = "content") -> np.ndarray:
        if aspect == "style":
            subject = features.located + features.named - self.subject_mean
            blended = features.style + self.config["subject_share"] * subject
        else:
            blended = (
                features.located
                + self.config["regressed_share"] * features.regressed
                + self.config["class_share"] * features.named
            )
        return unit(blended)

    def chat(self, question: Question) -> Iterator[str]:
        """Nothing: the captioner writes captions only."""
        raise WeightsError(
            "The lite engine cannot chat. Choose a chat model with --engine full, or --engine endpoint."
        )

    def describe(
        self, features: Features, beams: int = 0, requests: Sequence[Request] | None = None
    ) -> list[Description]:
        """N captions: of all candidates, those that the most evidence speaks for, see `choice`.

        Candidates are what beam search finds, with and without people where it is open whether somebody
        is there; and the things that the classifier or the evidence is sure of, by themselves and as
        the beginning of a caption.
        """
        count = len(features.somebody)
        known = [self.naming.find(classes, self.config["sure"]) for classes in features.classes]
        # Of each picture its candidates: text and score.
        written: list[list[tuple[str, float]]] = [[] for _ in range(count)]
        begun: list[Beginning] = []
        for row in range(count):
            begun += self._free(features, row)
            named = self._named(features, row, known[row])
            written[row] += [(name.shown, 0.0) for name in named]
            begun += [name for name in named if UNK not in name.tokens]
        for beginning, found in zip(begun, self._search(features, begun, beams or BEAMS), strict=True):
            for tokens, score in found[: beginning.most]:
                more = self._text(tokens).removeprefix(beginning.written)
                if not (beginning.shown and choice.compounds(more)):
                    written[beginning.row].append((beginning.shown + more, score))
        written = list(map(choice.true_colours, written, features.vividness))
        for row, words in enumerate(features.words):
            written[row] = [
                (choice.without_unseen(text, words, self.words), score) for text, score in written[row]
            ]

        texts = [text for row in written for text, _ in row]
        vectors = iter(self.sentences.encode(texts))
        content = self.embed_images(features)
        captions = []
        for row in range(count):
            candidates = [
                self._candidate(text, score, float(next(vectors) @ content[row]), features, row, known[row])
                for text, score in written[row]
            ]
            captions.append(choice.choose(choice.without_padding(candidates), self.weights).text)
        return list(map(Description, captions))

    def _candidate(
        self, text: str, score: float, fit: float, features: Features, row: int, thing: imagenet.Thing | None
    ) -> Candidate:
        """A caption of picture `row` with the evidence for it."""
        return Candidate(
            text,
            score,
            fit,
            said=choice.said(text, features.words[row], self.words),
            people=choice.people(text, float(features.somebody[row]), self.config["lean"]),
            sure=thing.probability if thing and self.naming.mentioned(text, thing) else 0.0,
        )

    def _free(self, features: Features, row: int) -> list[Beginning]:
        """What any caption of a picture begins with: nobody, somebody, or both where it is open who is there."""
        somebody = features.somebody[row]
        starts = ((NOBODY, somebody < self.config["surely"]), (SOMEBODY, somebody > self.config["hardly"]))
        return [Beginning(row, start) for start, is_open in starts if is_open]

    def _named(self, features: Features, row: int, thing: imagenet.Thing | None) -> list[Beginning]:
        """The names of what a picture surely shows, as beginnings of captions."""
        names = []
        if thing and thing.probability >= self.config["named"]:
            names.append((thing.shown, thing.written or thing.shown.lower()))
        label = int(features.labels[row].argmax())
        if label < len(self.labels) and features.labels[row, label] >= self.config["named"]:
            names.append((self.labels[label], self.labels[label].lower()))
        if not names:  # what kind of thing it is may be sure all the same
            sure = {word: features.words[row, word] for word in self.kinds}
            kind = max(sure, key=sure.__getitem__, default=None)
            if kind is not None and sure[kind] >= self.config["named"]:
                names.append((self.kinds[kind], self.kinds[kind]))
        start = SOMEBODY if features.somebody[row] > 0.5 else NOBODY
        return [
            Beginning(row, start, shown, written, tuple(self.tokenizer.encode(written).ids), BEGUN)
            for shown, written in names
        ]

    def _search(
        self, features: Features, begun: Sequence[Beginning], beams: int
    ) -> list[list[tuple[list[int], float]]]:
        """Beam search from all beginnings at once: each word reads all of the captioner's weights."""
        rows = [beginning.row for beginning in begun]
        step = self.networks.writer([array[rows] for array in features.pictures])
        words = self.config["captioner"]["max_words"]
        starts, prefixes = [one.start for one in begun], [one.tokens for one in begun]
        return search(step, starts, beams, words, prefixes, SHORTEST)

    def _text(self, tokens: list[int]) -> str:
        return " ".join(str(self.tokenizer.id_to_token(token)) for token in tokens)


def _word_vector(sentences: SentenceEncoder, word: str) -> np.ndarray:
    """(384,) unit vector of a word."""
    return sentences.encode([word])[0]


def _similar(
    word_vector: Callable[[str], np.ndarray], class_vectors: np.ndarray, word: str, index: int
) -> float:
    """The cosine of a word and a class name."""
    return float(word_vector(word) @ class_vectors[index])


def _digest(folder: Path) -> str:
    """SHA-256 of the files that the engine's answers depend on."""
    digest = hashlib.sha256()
    for name in FILES:
        if (folder / name).exists():  # label vectors may be missing; they are computed then
            digest.update(f"{name}:".encode() + hashlib.sha256((folder / name).read_bytes()).digest())
    return digest.hexdigest()
