"""One look at a data set: a report in one HTML file, with nothing fetched when it is opened.

    PromptSet(s) ──▶ survey ──▶ figures ──▶ report

Everything a data set brings is text to the report, whatever markup it looks like.
"""

from __future__ import annotations

import base64
import html
import io
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import regex

from img2prompt.datasets.filter import THRESHOLD, Progress, embed_texts, near_duplicates
from img2prompt.datasets.pairs import PairsFolder
from img2prompt.datasets.table import read_table
from img2prompt.errors import DataError, Img2PromptError

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from img2prompt.sentences import SentenceEncoder

EMBEDDED = 5000  # rows of a group that are embedded, drawn at random
MAPPED = 1000  # rows on the map, and pictures that are opened
TOP = 25  # words, phrases and styles shown
GRID = 12  # at most one picture in each of GRID × GRID fields of the map
THUMBNAIL = 72  # pixels
STYLE_TABLES = ("mediums", "movements", "artists")
STYLE_WORDS = 5  # the longest name of a style that is looked for
WRAP = 60  # characters of a line in a label

_WORD = regex.compile(r"[\p{L}\p{N}][\p{L}\p{M}\p{N}'’-]*")


@dataclass(frozen=True)
class PromptSet:
    """Texts, and where there are any their pictures."""

    name: str
    ids: Sequence[str]
    texts: Sequence[str]
    read: Callable[[str], bytes] | None = None  # id → an encoded picture

    def draw(self, most: int) -> PromptSet:
        """At most so many rows, always the same ones, in order."""
        if len(self.texts) <= most:
            return self
        rows = np.sort(np.random.default_rng(0).permutation(len(self.texts))[:most])
        return PromptSet(self.name, [self.ids[i] for i in rows], [self.texts[i] for i in rows], self.read)


@dataclass(frozen=True)
class Picture:
    """What is shown of a picture."""

    width: int
    height: int
    brightness: float  # mean luma, 0 black to 1 white
    thumbnail: str  # a data: address


@dataclass(frozen=True)
class Drift:
    """How another group differs from the first."""

    group: str
    separability: float  # AUC of telling the groups apart by embeddings: 0.5 alike, 1 apart
    nearest: np.ndarray  # (n,) each row's greatest similarity with a row of the first group
    words: list[tuple[str, float]]  # how many times as frequent as in the first group


@dataclass
class Survey:
    """What there is to see in one or several groups of prompts."""

    groups: list[PromptSet]
    lengths: dict[str, list[int]] = field(default_factory=dict)  # group → words of each prompt
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


def load_sets(path: str | Path, content: bytes | None = None) -> list[PromptSet]:
    """The groups in a pairs folder (its splits), a CSV or a .txt; with `content`, a file of that name.

    Raises
    ------
    DataError
        When it cannot be read or is empty.
    """
    path = Path(path)
    if content is not None or not path.is_dir():
        table = read_table(path, content)
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
    """Count, embed and compare.

    Parameters
    ----------
    groups : the first is what the others are compared with; names are made distinct
    encoder : embeds at most `EMBEDDED` rows of each group
    """
    names = Counter(group.name for group in groups)
    groups = [
        group
        if names[group.name] == 1
        else PromptSet(f"{group.name} ({i})", group.ids, group.texts, group.read)
        for i, group in enumerate(groups, 1)
    ]
    texts = [text for group in groups for text in group.texts]
    counts = {group.name: _count_words(group.texts) for group in groups}
    found = Survey(list(groups))
    found.lengths = {group.name: [len(_WORD.findall(text)) for text in group.texts] for group in groups}
    found.words = sum(counts.values(), Counter()).most_common(TOP)
    phrases = Counter(part.strip().lower() for text in texts if "," in text for part in text.split(","))
    phrases.pop("", None)
    found.phrases = [(phrase, count) for phrase, count in phrases.most_common(TOP) if count > 1]
    found.styles = _count_styles(texts).most_common(TOP)
    found.equal = len(texts) - len(set(texts))

    drawn = [group.draw(EMBEDDED) for group in groups]
    sample = [text for group in drawn for text in group.texts]
    found.compared = len(sample)
    vectors = embed_texts(sample, encoder, progress)
    twins = near_duplicates(vectors, THRESHOLD)
    order = np.argsort(-twins.similarities, kind="stable")[: (twins.rows >= 0).sum()]
    pairs = ((sample[row], sample[twins.rows[row]], float(twins.similarities[row])) for row in order)
    found.twins = [pair for pair in pairs if pair[0] != pair[1]][:TOP]

    ends = np.cumsum([len(group.texts) for group in drawn])
    parts = np.split(vectors, ends[:-1])
    for group, part in zip(groups[1:], parts[1:], strict=True):
        ratios = _rarer(counts[groups[0].name], counts[group.name])
        found.drifts.append(Drift(group.name, *_compare(parts[0], part), ratios))
    rows = np.sort(np.random.default_rng(1).permutation(len(sample))[:MAPPED])
    labels = [(group, row) for group in drawn for row in range(len(group.texts))]
    found.places = _project(vectors[rows])
    for done, (group, row) in enumerate((labels[row] for row in rows), 1):
        found.mapped.append((group.name, group.ids[row], group.texts[row]))
        found.pictures.append(_look_at(group, group.ids[row], found.unreadable))
        if progress and group.read:
            progress("Opening pictures", done, len(rows))
    return found


def figures(found: Survey) -> dict[str, Figure]:
    """The plots of a survey by title; none where there is nothing to plot."""
    import plotly.express as px
    import plotly.graph_objects as go

    plots: dict[str, Figure] = {}
    lengths = go.Figure(layout={"barmode": "overlay", "xaxis_title": "words", "yaxis_title": "share (%)"})
    for name, values in found.lengths.items():
        lengths.add_histogram(x=values, name=_plain(name), opacity=0.65, histnorm="percent")
    plots["Prompt lengths"] = lengths
    for title, counted in [
        ("Frequent words", found.words),
        ("Frequent phrases", found.phrases),
        ("Styles", found.styles),
    ]:
        if counted:
            plots[title] = _bars(counted, "prompts")
    pictures = [picture for picture in found.pictures if picture]
    if pictures:
        sizes = Counter((picture.width, picture.height) for picture in pictures)
        plots["Picture sizes"] = px.scatter(
            x=[width for width, _ in sizes],
            y=[height for _, height in sizes],
            size=list(sizes.values()),
            labels={"x": "width (pixels)", "y": "height (pixels)", "size": "pictures"},
        ).update_traces(marker_sizemin=3)
        plots["Brightness"] = px.histogram(
            x=[picture.brightness for picture in pictures], nbins=40, range_x=[0, 1]
        ).update_layout(xaxis_title="mean luma: 0 black, 1 white", yaxis_title="pictures")
    if len(found.places):
        plots["Map"] = _map(found)
    if found.drifts:
        nearest = go.Figure(
            layout={
                "barmode": "overlay",
                "xaxis_title": "similarity with the nearest prompt of the first group",
            }
        )
        for drift in found.drifts:
            nearest.add_histogram(x=drift.nearest, name=_plain(drift.group), opacity=0.65)
        plots["Leaks"] = nearest
        for drift in found.drifts:
            if drift.words:
                plots[f"Words of {drift.group}"] = _bars(
                    drift.words, "times as frequent as in the first group"
                )
    for plot in plots.values():
        plot.update_layout(template="plotly_white", margin={"l": 60, "r": 20, "t": 20, "b": 50})
    return plots


def report(found: Survey, title: str) -> str:
    """The survey as one HTML page that needs no network."""
    from plotly.offline import get_plotlyjs

    sections = [
        f"<h1>{html.escape(title)}</h1>",
        _table(("", "prompts", "different", "median words"), _totals(found)),
    ]
    for name, plot in figures(found).items():
        sections += [f"<h2>{html.escape(name)}</h2>", plot.to_html(full_html=False, include_plotlyjs=False)]
    sections.append("<h2>Near-duplicates</h2>")
    sections.append(
        f"<p>{found.equal:,} prompts are copies of earlier ones to the letter. Looked for among "
        f"{found.compared:,} prompts, at a cosine of {THRESHOLD} or more; the most similar that differ:</p>"
    )
    sections.append(_table(("prompt", "twin", "similarity"), [(a, b, f"{s:.3f}") for a, b, s in found.twins]))
    if found.drifts:
        sections.append(
            "<h2>Drift</h2><p>Can a linear classifier tell the groups apart? 0.5: no; 1: always.</p>"
        )
        drifts = [
            (d.group, f"{d.separability:.3f}", f"{(d.nearest >= THRESHOLD).sum():,} of {len(d.nearest):,}")
            for d in found.drifts
        ]
        sections.append(_table(("group", "separability", "in the first group already"), drifts))
    if found.unreadable:
        sections.append("<h2>Pictures that cannot be read</h2>")
        sections.append(_table(("what is wrong",), [(line,) for line in found.unreadable[:TOP]]))
    return _PAGE.format(title=html.escape(title), script=get_plotlyjs(), body="\n".join(sections))


def _totals(found: Survey) -> list[tuple[str, ...]]:
    return [
        (
            group.name,
            f"{len(group.texts):,}",
            f"{len(set(group.texts)):,}",
            f"{np.median(found.lengths[group.name]):g}",
        )
        for group in found.groups
    ]


def _count_words(texts: Iterable[str]) -> Counter[str]:
    """In how many texts each word is, but for those that are in all."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    counts = Counter(word for text in texts for word in dict.fromkeys(_WORD.findall(text.lower())))
    return Counter(
        {word: n for word, n in counts.items() if word not in ENGLISH_STOP_WORDS and len(word) > 1}
    )


def _count_styles(texts: Iterable[str]) -> Counter[str]:
    """In how many texts the name of each medium, movement and artist is."""
    from img2prompt.labels import read_labels

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
    """The words that the other group uses most above the first: (word, times as frequent)."""
    total_first, total_other = max(1, first.total()), max(1, other.total())
    ratios = {
        word: (count + 0.5) / total_other / ((first[word] + 0.5) / total_first)
        for word, count in other.items()
        if count >= 5
    }
    ranked = sorted(ratios.items(), key=lambda item: -item[1])[:TOP]
    return [(word, round(ratio, 2)) for word, ratio in ranked if ratio > 1]


def _compare(first: np.ndarray, other: np.ndarray) -> tuple[float, np.ndarray]:
    """How well the groups' vectors can be told apart, and each other row's similarity with its nearest."""
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
    """(n, 2) places in which neighbours stay neighbours."""
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


def _map(found: Survey) -> Figure:
    import plotly.graph_objects as go

    low, high = found.places.min(axis=0), found.places.max(axis=0)
    extent = np.maximum(high - low, 1e-6)
    plot = go.Figure(layout={"height": 760, "hoverlabel": {"align": "left"}})
    groups = np.array([group for group, _, _ in found.mapped])
    for group in found.groups:
        rows = np.flatnonzero(groups == group.name)
        plot.add_scatter(
            x=found.places[rows, 0],
            y=found.places[rows, 1],
            mode="markers",
            name=_plain(group.name),
            text=[_plain(f"{found.mapped[row][1]}: {found.mapped[row][2]}") for row in rows],
            hoverinfo="text",
            marker={"size": 7, "opacity": 0.7},
        )
    taken: set[tuple[int, ...]] = set()
    for place, picture in zip(found.places, found.pictures, strict=True):
        spot = tuple(((place - low) / extent * (GRID - 1e-6)).astype(int))
        if picture and spot not in taken:
            taken.add(spot)
            plot.add_layout_image(
                source=picture.thumbnail,
                x=place[0],
                y=place[1],
                xref="x",
                yref="y",
                xanchor="center",
                yanchor="middle",
                sizex=extent[0] / GRID,
                sizey=extent[1] / GRID,
                layer="below",
            )
    axis = {"showticklabels": False, "showgrid": False, "zeroline": False}
    return plot.update_layout(xaxis=axis, yaxis=axis)


def _bars(counted: Sequence[tuple[str, float]], unit: str) -> Figure:
    import plotly.graph_objects as go

    names = [_plain(name) for name, _ in reversed(counted)]
    plot = go.Figure(layout={"height": 120 + 20 * len(names), "xaxis_title": unit, "yaxis_type": "category"})
    return plot.add_bar(x=[value for _, value in reversed(counted)], y=names, orientation="h")


def _plain(text: str) -> str:
    """Text for a plot, which would read <b> or <a> as markup; wrapped, and cut where it is long."""
    lines = textwrap.wrap(text, WRAP, max_lines=5, placeholder=" …")
    return "<br>".join(html.escape(line, quote=False) for line in lines)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        return f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"

    return f"<table>{line(header, 'th')}{''.join(line(row, 'td') for row in rows)}</table>"


_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<style>
 body {{ font: 16px/1.5 system-ui, sans-serif; color: #1c2321; max-width: 66rem; margin: 2rem auto; padding: 0 1rem; }}
 h1, h2 {{ line-height: 1.2; overflow-wrap: anywhere; }}
 h2 {{ margin-top: 2.5rem; }}
 table {{ border-collapse: collapse; width: 100%; }}
 th, td {{ text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid #dde3e1;
   overflow-wrap: anywhere; }}
 th {{ overflow-wrap: normal; }}
</style><script>{script}</script></head>
<body>
{body}
</body></html>
"""
