"""Explore data sets: counts, near-duplicates, a map, and how several sets differ.

    PromptSet(s) ──▶ survey ──▶ figures ──▶ report

`figures` and `report` are in `img2prompt.datasets.report`.
"""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import regex

from img2prompt.datasets.deduplicate import THRESHOLD, Progress, embed_texts, near_duplicates
from img2prompt.datasets.pairs import PairsFolder
from img2prompt.datasets.table import Limits, read_table
from img2prompt.errors import ConfigError, DataError, Img2PromptError
from img2prompt.libraries import install, missing

if TYPE_CHECKING:
    from img2prompt.minilm import SentenceEncoder

EMBEDDED = 5000  # rows of each group that are embedded, drawn at random
MAPPED = 1000  # rows on the map, whose pictures are opened
TOP = 25  # rows of each list that are shown
THUMBNAIL = 72  # pixels
STYLE_TABLES = ("mediums", "movements", "artists")
STYLE_WORDS = 5  # names of styles with more words are not looked for

_WORD = regex.compile(r"[\p{L}\p{N}][\p{L}\p{M}\p{N}'’-]*")


@dataclass(frozen=True)
class PromptSet:
    """A group of texts with their ids and, where there are any, their pictures."""

    name: str
    ids: Sequence[str]
    texts: Sequence[str]
    read: Callable[[str], bytes] | None = None  # id → an encoded picture

    def draw(self, most: int) -> PromptSet:
        """At most `most` rows, drawn at random but always the same ones, in order."""
        if len(self.texts) <= most:
            return self
        rows = np.sort(np.random.default_rng(0).permutation(len(self.texts))[:most])
        return PromptSet(self.name, [self.ids[i] for i in rows], [self.texts[i] for i in rows], self.read)


@dataclass(frozen=True)
class Picture:
    """What the survey shows about a picture."""

    width: int  # pixels
    height: int
    brightness: float  # mean luma, 0 black to 1 white
    thumbnail: str  # a data: URL with a WebP image


@dataclass(frozen=True)
class Drift:
    """How a group differs from the first one."""

    group: str
    separability: float  # cross-validated AUC of a linear classifier: 0.5 alike, 1 fully apart
    nearest: np.ndarray  # (n,) each row's largest cosine with a row of the first group
    words: list[tuple[str, float]]  # word, and how many times as frequent it is as in the first group


@dataclass
class Survey:
    """What `survey` finds out about one or several groups of prompts. Lists of pairs are (text, count)."""

    groups: list[PromptSet]
    lengths: dict[str, list[int]] = field(default_factory=dict)  # group → number of words of each prompt
    words: list[tuple[str, int]] = field(default_factory=list)
    phrases: list[tuple[str, int]] = field(default_factory=list)  # between commas
    styles: list[tuple[str, int]] = field(default_factory=list)
    equal: int = 0  # rows whose text is that of an earlier row
    compared: int = 0  # rows among which near-duplicates were looked for
    twins: list[tuple[str, str, float]] = field(default_factory=list)  # most similar first
    places: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))  # (n, 2) on the map
    mapped: list[tuple[str, str, str]] = field(default_factory=list)  # (group, id, text) of each place
    pictures: list[Picture | None] = field(default_factory=list)  # of each place
    unreadable: list[str] = field(default_factory=list)
    drifts: list[Drift] = field(default_factory=list)


def check_libraries() -> None:
    """Raise ConfigError if something is not installed that `survey` or its figures need."""
    if absent := missing("faiss", "joblib", "plotly", "scipy", "sklearn", "threadpoolctl"):
        raise ConfigError(f"Exploring data sets needs {', '.join(absent)}. {install(*absent)}")


def load_sets(
    path: str | Path, content: bytes | None = None, limits: Limits | None = None
) -> list[PromptSet]:
    """The groups of prompts in a pairs folder (one for each split), a CSV or a .txt.

    Parameters
    ----------
    path : the folder or file
    content : the bytes of an uploaded file; `path` is then only its name
    limits : of a CSV or a .txt; by default there are none

    Raises
    ------
    DataError
        When it cannot be read, is empty or exceeds the limits.
    """
    path = Path(path)
    if content is not None or not path.is_dir():
        table = read_table(path, content, limits)
        if not table.rows:
            raise DataError(f"{path} has no rows.")
        return [PromptSet(path.name, table.ids, table.texts)]
    folder = PairsFolder(path)
    if not len(folder):
        raise DataError(f"{path} has no pairs.")
    groups: dict[str, list[tuple[str, str]]] = {}
    for pair in folder.pairs:
        groups.setdefault(pair.split, []).extend((pair.name, text) for text in pair.texts)
    return [
        PromptSet(
            f"{path.name} {split}".strip(),
            [name for name, _ in rows],
            [text for _, text in rows],
            folder.read,
        )
        for split, rows in groups.items()
    ]


def survey(groups: Sequence[PromptSet], encoder: SentenceEncoder, progress: Progress | None = None) -> Survey:
    """Count, embed and compare groups of prompts.

    Parameters
    ----------
    groups : the others are compared with the first; equal names get a number
    encoder : embeds at most `EMBEDDED` rows of each group

    Raises
    ------
    ConfigError
        When a library is not installed.
    """
    check_libraries()
    names = Counter(group.name for group in groups)
    groups = [
        group
        if names[group.name] == 1
        else PromptSet(f"{group.name} ({i})", group.ids, group.texts, group.read)
        for i, group in enumerate(groups, 1)
    ]
    texts = [text for group in groups for text in group.texts]
    counts = {group.name: _count_words(group.texts) for group in groups}
    summary = Survey(list(groups))
    summary.lengths = {group.name: [len(_WORD.findall(text)) for text in group.texts] for group in groups}
    summary.words = sum(counts.values(), Counter()).most_common(TOP)
    phrases = Counter(part.strip().lower() for text in texts if "," in text for part in text.split(","))
    phrases.pop("", None)
    summary.phrases = [(phrase, count) for phrase, count in phrases.most_common(TOP) if count > 1]
    summary.styles = _count_styles(texts).most_common(TOP)
    summary.equal = len(texts) - len(set(texts))

    drawn = [group.draw(EMBEDDED) for group in groups]
    sample = [text for group in drawn for text in group.texts]
    summary.compared = len(sample)
    vectors = embed_texts(sample, encoder, progress)
    twins = near_duplicates(vectors, THRESHOLD)
    order = np.argsort(-twins.similarities, kind="stable")[: (twins.rows >= 0).sum()]
    pairs = ((sample[row], sample[twins.rows[row]], float(twins.similarities[row])) for row in order)
    summary.twins = [pair for pair in pairs if pair[0] != pair[1]][:TOP]

    ends = np.cumsum([len(group.texts) for group in drawn])
    parts = np.split(vectors, ends[:-1])
    for group, part in zip(groups[1:], parts[1:], strict=True):
        ratios = _rarer(counts[groups[0].name], counts[group.name])
        summary.drifts.append(Drift(group.name, *_compare(parts[0], part), ratios))
    rows = np.sort(np.random.default_rng(1).permutation(len(sample))[:MAPPED])
    labels = [(group, row) for group in drawn for row in range(len(group.texts))]
    summary.places = _project(vectors[rows])
    for done, (group, row) in enumerate((labels[row] for row in rows), 1):
        summary.mapped.append((group.name, group.ids[row], group.texts[row]))
        summary.pictures.append(_look_at(group, group.ids[row], summary.unreadable))
        if progress and group.read:
            progress("Opening pictures", done, len(rows))
    return summary


def _count_words(texts: Iterable[str]) -> Counter[str]:
    """The number of texts that hold each word, without English stop words and single letters."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    counts = Counter(word for text in texts for word in dict.fromkeys(_WORD.findall(text.lower())))
    return Counter(
        {word: n for word, n in counts.items() if word not in ENGLISH_STOP_WORDS and len(word) > 1}
    )


def _count_styles(texts: Iterable[str]) -> Counter[str]:
    """The number of texts that hold the name of each medium, movement and artist."""
    from img2prompt.labels.tables import read_labels

    names: dict[tuple[str, ...], str] = {}
    for table in STYLE_TABLES:
        for label in read_labels(table):
            words = _WORD.findall(label.lower().removeprefix("a ").removeprefix("an "))
            if 0 < len(words) <= STYLE_WORDS:
                names.setdefault(tuple(words), label)
    counts: Counter[str] = Counter()
    for text in texts:
        words = _WORD.findall(text.lower())
        spans = (tuple(words[i : i + n]) for i in range(len(words)) for n in range(1, STYLE_WORDS + 1))
        counts.update(dict.fromkeys(names[span] for span in spans if span in names).keys())
    return counts


def _rarer(first: Counter[str], other: Counter[str]) -> list[tuple[str, float]]:
    """The words that the other group uses most in proportion to the first: (word, times as frequent)."""
    total_first, total_other = max(1, first.total()), max(1, other.total())
    ratios = {
        word: (count + 0.5) / total_other / ((first[word] + 0.5) / total_first)
        for word, count in other.items()
        if count >= 5
    }
    ranked = sorted(ratios.items(), key=lambda item: -item[1])[:TOP]
    return [(word, round(ratio, 2)) for word, ratio in ranked if ratio > 1]


def _compare(first: np.ndarray, other: np.ndarray) -> tuple[float, np.ndarray]:
    """`Drift.separability` and `Drift.nearest` of the other group (n, D) against the first (m, D)."""
    import faiss
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    index = faiss.IndexFlatIP(first.shape[1])
    index.add(first)
    nearest = index.search(other, 1)[0][:, 0]
    folds = min(5, len(first), len(other))
    if folds < 2:
        return 0.5, nearest
    labels = np.repeat([0, 1], [len(first), len(other)])
    classifier = LogisticRegression(class_weight="balanced", max_iter=500)
    scores = cross_val_score(
        classifier,
        np.concatenate([first, other]),
        labels,
        scoring="roc_auc",
        cv=StratifiedKFold(folds, shuffle=True, random_state=0),
    )
    return float(scores.mean()), nearest


def _project(vectors: np.ndarray) -> np.ndarray:
    """(n, D) → (n, 2) on a map where neighbours stay neighbours (t-SNE: van der Maaten, Hinton, 2008)."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    if len(vectors) < 10:  # too few for neighbourhoods
        places = np.zeros((len(vectors), 2))
        if len(vectors) > 1:
            places[:] = PCA(2).fit_transform(vectors)
        return places
    perplexity = min(30, (len(vectors) - 1) // 3)
    return TSNE(init="pca", metric="cosine", perplexity=perplexity, random_state=0).fit_transform(vectors)


def _look_at(group: PromptSet, name: str, unreadable: list[str]) -> Picture | None:
    from PIL import Image

    from img2prompt.images import open_image

    if group.read is None:
        return None
    try:
        data = group.read(name)
        image = open_image(data)
        with Image.open(io.BytesIO(data)) as original:
            width, height = original.size
    except (Img2PromptError, OSError) as error:
        unreadable.append(f"{name}: {error}")
        return None
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    out = io.BytesIO()
    image.save(out, "WEBP", quality=60)
    address = "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode()
    return Picture(width, height, float(np.asarray(image.convert("L")).mean() / 255), address)
