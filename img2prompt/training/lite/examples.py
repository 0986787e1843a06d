"""What the captioner learns from: pictures of all sources with their words, as flat arrays.

Captions are of four kinds. Flickr8k's and COCO's were written by people who saw the picture. A
labelled photo's is its label, "a bedroom": true as far as it goes, so that only its beginning is
learned from and not that it ends there. A generated picture's is its prompt's subject, what stands
before the first comma and after "a painting of".
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from img2prompt.datasets.pairs import PairsFolder
from img2prompt.embeddings import TextEncoder
from img2prompt.engines.lite.choice import content_words
from img2prompt.files import replacing_path
from img2prompt.posts import grammar
from img2prompt.training.augment import SIDES
from img2prompt.training.lite.vocabulary import build_tokenizer, clean, encode

SOURCES = ("flickr8k", "coco40k", "gaps", "ai_pairs")
PEOPLE_SOURCES = 2  # of these: the ones whose captions were written by people who saw the picture
HELD_OUT = frozenset(("dcsan_models",))  # sources kept for choosing
CAPTION_WORDS = 17  # longer captions, 3 in 100, are cut
MISMATCH = 0.2  # a further caption whose cosine with the first is lower belongs to another photo
COMMON = 40  # captions that a word must be in to be looked for
LEARNABLE = 15  # photos with a label from which it is one; what is rarer has none of the labels
UNKNOWN = -1
KINDS = Path(__file__).with_name("kinds.txt")
# A photo of one of these shows none of the others, unless one is of the other's kind.
APART = frozenset(("fruit", "vegetable", "flower", "animal", "bird", "instrument"))
ALIKE = frozenset(
    (frozenset(("animal", "bird")), frozenset(("food", "fruit")), frozenset(("food", "vegetable")))
)
LABELLED_PEOPLE = {"no": 0, "yes": 1}
MEDIUM = re.compile(
    r"^.*?\b(?:photo|photograph|photography|shot|painting|illustration|drawing|render|rendering|portrait|picture|"
    r"image|watercolou?r|sketch|poster|scene|art|engraving)s? (?:of|featuring|showing) "
)
PERSON_CATEGORY = "1"  # of COCO
UNMENTIONED = (0.65, 0.2, 0.15)  # nobody, one, several: what others write where one caption leaves people out


@dataclass
class Examples:
    """N pictures with M captions."""

    source: np.ndarray  # (N,) index in SOURCES
    name: np.ndarray  # (N,) of the picture in its source
    first: np.ndarray  # (N + 1,) a picture's captions are first[i] … first[i + 1]
    sided: np.ndarray  # (N,) whether a caption says left or right, so that it must not be mirrored
    tokens: np.ndarray  # (M, words + 2) ids, see `vocabulary.encode`
    mention: np.ndarray  # (M,) people in the caption: 0 none, 1 one, 2 several, -1 unknown
    vectors: np.ndarray  # (M, 384) int8, in proportion to unit vectors
    people: np.ndarray  # (N, 3) probability of none, one and several; NaN where unknown
    words: np.ndarray  # (N, W) share of the captions with this word; -1 where unknown
    label: np.ndarray  # (N,) index of its label, L where it has none of them, -1 where unknown
    open_end: np.ndarray  # (N,) whether its captions are true beginnings, whose end means nothing
    word_names: np.ndarray  # (W,)
    label_names: np.ndarray  # (L,)

    def __len__(self) -> int:
        return len(self.source)

    def save(self, path: Path) -> None:
        with replacing_path(path) as part, open(part, "wb") as file:
            np.savez_compressed(file, **asdict(self))

    @classmethod
    def load(cls, path: Path) -> Examples:
        with np.load(path, allow_pickle=False) as arrays:
            return cls(**{field.name: arrays[field.name] for field in fields(cls)})


@dataclass(frozen=True)
class _Picture:
    source: int
    name: str
    texts: tuple[str, ...]
    seen: bool = False  # COCO lists a person in it
    label: str | None = None
    person: int = UNKNOWN


def people_in(text: str) -> int:
    """0 where a cleaned caption mentions nobody, 1 for one person, 2 for several."""
    persons = [word for word in text.split() if grammar.is_person(word)]
    if not persons:
        return 0
    several = len(persons) > 1 or any(grammar.is_plural(w) or w in grammar.COLLECTIVES for w in persons)
    return 2 if several else 1


def subject(prompt: str) -> str | None:
    """What a prompt is about, "a dog riding a skateboard"; None where it is too short or too long."""
    phrase = MEDIUM.sub("", prompt.split(",")[0].split(".")[0].lower())
    return phrase if 2 <= len(clean(phrase).split()) <= 14 else None


def label_forms(label: str) -> tuple[str, ...]:
    """How a caption may name a label; the first is the likeliest."""
    return (label, f"a view of {label}") if label.startswith("the ") else (label, f"a close up of {label}")


@dataclass(frozen=True)
class Kind:
    """A wider word for several labels, such as fruit for oranges."""

    word: str
    shown: str  # how a caption names one; empty where it does not by itself
    labels: frozenset[str]  # without their articles


def read_kinds() -> list[Kind]:
    """The wider words in ``kinds.txt``."""
    lines = KINDS.read_text(encoding="utf-8").splitlines()
    rows = [[part.strip() for part in line.split("|")] for line in lines if not line.startswith("#")]
    return [Kind(word, shown, frozenset(labels.split(", "))) for word, shown, labels in rows]


def wider(label: str, kinds: Sequence[Kind]) -> dict[str, float]:
    """Wider words → 1 where a label is of this kind, 0 where it is of another one that excludes it.

    >>> wider("oranges", read_kinds())["fruit"], wider("oranges", read_kinds())["animal"]
    (1.0, 0.0)
    """
    name = re.sub("^(an?|the) ", "", label)
    own = {kind.word for kind in kinds if name in kind.labels}
    if not own:
        return {}
    others = {word for word in APART - own if not any(frozenset((word, kind)) in ALIKE for kind in own)}
    return dict.fromkeys(own, 1.0) | dict.fromkeys(others, 0.0)


def read(data: Path, sentences: TextEncoder) -> list[_Picture]:
    """The training pictures of every source in `data`; captions of different photos are told by `sentences`."""
    folders = {source: PairsFolder(data / source) for source in SOURCES}
    more: dict[str, list[str]] = {}
    with open(data / "coco40k" / "more_captions.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            more.setdefault(row["image"], []).append(row["caption"])
    coco = folders["coco40k"].select("train")
    texts = [text for pair in coco if pair.name in more for text in (pair.texts[0], *more[pair.name])]
    vectors = dict(zip(texts, sentences.encode(texts), strict=True))

    pictures = [
        _Picture(0, pair.name, pair.texts)
        for split in ("train", "extra")
        for pair in folders["flickr8k"].select(split)
    ]
    for pair in coco:
        own = pair.texts[0]
        further = [t for t in more.get(pair.name, ()) if vectors[own] @ vectors[t] > MISMATCH]
        seen = PERSON_CATEGORY in pair.notes["categories"].split()
        pictures.append(_Picture(1, pair.name, (own, *further), seen))
    for pair in folders["gaps"].select("train"):
        if pair.notes["source"] not in HELD_OUT:
            label, person = pair.texts[0], LABELLED_PEOPLE.get(pair.notes["person"], UNKNOWN)
            pictures.append(_Picture(2, pair.name, label_forms(label), label=label, person=person))
    repeated = Counter[str]()
    for pair in folders["ai_pairs"].select("train"):
        phrase = subject(pair.texts[0]) if pair.notes["kind"] == "prompt" else None
        if phrase and pair.notes["source"] not in HELD_OUT:
            repeated[phrase] += 1
            if repeated[phrase] <= 2:  # some sources tried one subject in hundreds of styles
                pictures.append(_Picture(3, pair.name, (phrase,)))
    return pictures


def captions_of_people(data: Path) -> list[str]:
    """The captions of Flickr8k and COCO that are learned from."""
    return [
        text
        for source, splits in (("flickr8k", ("train", "extra")), ("coco40k", ("train",)))
        for pair in PairsFolder(data / source).pairs
        if pair.split in splits
        for text in pair.texts
    ]


def build(data: Path, sentences: TextEncoder) -> tuple[Examples, Tokenizer]:
    """Read every source in `data`, and the tokenizer of its words."""
    pictures = read(data, sentences)
    cleaned = [[clean(text) for text in picture.texts] for picture in pictures]
    written = [text for p, texts in zip(pictures, cleaned, strict=True) if p.source != 3 for text in texts]
    tokenizer = build_tokenizer(written)
    texts = [text for picture in pictures for text in picture.texts]
    distinct = list(dict.fromkeys(texts))
    row_of = dict(zip(distinct, sentences.encode(distinct), strict=True))
    vectors = np.stack([row_of[text] for text in texts])
    scaled = np.round(vectors / np.abs(vectors).max(1, keepdims=True) * 127).astype(np.int8)

    bags = [[content_words(text) for text in captions] for captions in cleaned]
    counts = Counter(
        w for p, b in zip(pictures, bags, strict=True) if p.source < 2 for words in b for w in words
    )
    kinds = read_kinds()
    wide = {kind.word for kind in kinds}
    photos = Counter(picture.label for picture in pictures if picture.label)
    labels = sorted(label for label, count in photos.items() if count >= LEARNABLE)
    named = {word for label in labels for word in content_words(clean(label))}
    word_names = sorted({w for w, n in counts.items() if n >= COMMON} | named | wide)
    number = {word: i for i, word in enumerate(word_names)}
    of_labels = np.array([word in named - wide for word in word_names])
    words = np.zeros((len(pictures), len(word_names)), np.float16)
    label_of = np.full(len(pictures), UNKNOWN, np.int16)
    label_words = [content_words(clean(label)) for label in labels]
    for i, (picture, captions) in enumerate(zip(pictures, bags, strict=True)):
        if picture.source >= 2:
            words[i] = UNKNOWN
        if picture.label:
            words[i, of_labels] = 0.0  # it has one label, so it is none of the others
        for bag in captions if picture.source < 2 else captions[:1]:
            for word in bag & number.keys():
                share = 1.0 if picture.source >= 2 else 1.0 / len(captions)
                words[i, number[word]] = max(words[i, number[word]], 0.0) + share
        if picture.label:
            for word, there in wider(picture.label, kinds).items():
                words[i, number[word]] = there
            label_of[i] = labels.index(picture.label) if picture.label in labels else len(labels)
        elif picture.source < 2:
            everything = set().union(*captions)
            label_of[i] = UNKNOWN if any(own and own <= everything for own in label_words) else len(labels)
    return (
        Examples(
            source=np.array([picture.source for picture in pictures], np.int8),
            name=np.array([picture.name for picture in pictures]),
            first=np.concatenate([[0], np.cumsum([len(picture.texts) for picture in pictures])]),
            sided=np.array([any(SIDES.search(text) for text in picture.texts) for picture in pictures]),
            tokens=np.array([encode(tokenizer, text, CAPTION_WORDS) for text in texts], np.int16),
            mention=np.array(
                [_mention(p, text) for p, own in zip(pictures, cleaned, strict=True) for text in own], np.int8
            ),
            vectors=scaled,
            people=np.array([_people(p, own) for p, own in zip(pictures, cleaned, strict=True)], np.float32),
            words=words,
            label=label_of,
            open_end=np.array([picture.label is not None for picture in pictures]),
            word_names=np.array(word_names),
            label_names=np.array(labels),
        ),
        tokenizer,
    )


def _mention(picture: _Picture, text: str) -> int:
    return picture.person if picture.label else people_in(text)


def _people(picture: _Picture, texts: Sequence[str]) -> tuple[float, float, float]:
    if picture.label and picture.person == UNKNOWN:
        return (np.nan, np.nan, np.nan)
    shares = [0.0, 0.0, 0.0]
    for text in texts:
        shares[_mention(picture, text)] += 1 / len(texts)
    if shares[0] == 1.0 and picture.seen and len(texts) == 1:
        return UNMENTIONED
    return (shares[0], shares[1], shares[2])
