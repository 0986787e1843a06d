"""The plots of a survey, and the report: one HTML file that loads nothing from elsewhere.

All texts of a data set are escaped, so none of them can act as markup.
"""

from __future__ import annotations

import html
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from img2prompt.datasets.deduplicate import THRESHOLD
from img2prompt.datasets.survey import TOP, Survey

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


GRID = 12  # the map shows at most one picture in each of GRID × GRID fields
WRAP = 60  # characters per line of a label


def figures(survey: Survey) -> dict[str, Figure]:
    """Title → plot; plots without data are left out."""
    import plotly.express as px
    import plotly.graph_objects as go

    plots: dict[str, Figure] = {}
    lengths = go.Figure(layout={"barmode": "overlay", "xaxis_title": "words", "yaxis_title": "share (%)"})
    for name, values in survey.lengths.items():
        lengths.add_histogram(x=values, name=_plain(name), opacity=0.65, histnorm="percent")
    plots["Prompt lengths"] = lengths
    for title, counted in [
        ("Frequent words", survey.words),
        ("Frequent phrases", survey.phrases),
        ("Styles", survey.styles),
    ]:
        if counted:
            plots[title] = _bars(counted, "prompts")
    pictures = [picture for picture in survey.pictures if picture]
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
    if len(survey.places):
        plots["Map"] = _map(survey)
    if survey.drifts:
        nearest = go.Figure(
            layout={
                "barmode": "overlay",
                "xaxis_title": "similarity with the nearest prompt of the first group",
            }
        )
        for drift in survey.drifts:
            nearest.add_histogram(x=drift.nearest, name=_plain(drift.group), opacity=0.65)
        plots["Leaks"] = nearest
        for drift in survey.drifts:
            if drift.words:
                plots[f"Words of {drift.group}"] = _bars(
                    drift.words, "times as frequent as in the first group"
                )
    for plot in plots.values():
        plot.update_traces(marker_color=None)  # the template's, also where Plotly Express has put its own
        # At the top, room for the tools, which phones always show.
        plot.update_layout(template="plotly_white", margin={"l": 60, "r": 20, "t": 40, "b": 50})
    return plots


def report(survey: Survey, title: str) -> str:
    """The survey as one HTML page that needs no network."""
    from plotly.offline import get_plotlyjs

    sections = [
        f"<h1>{html.escape(title)}</h1>",
        _table(("", "prompts", "different", "median words"), _totals(survey)),
    ]
    for name, plot in figures(survey).items():
        sections += [f"<h2>{html.escape(name)}</h2>", plot.to_html(full_html=False, include_plotlyjs=False)]
    sections.append("<h2>Near-duplicates</h2>")
    sections.append(
        f"<p>{survey.equal:,} prompts are copies of earlier ones to the letter. Looked for among "
        f"{survey.compared:,} prompts, at a cosine of {THRESHOLD} or more; the most similar that differ:</p>"
    )
    sections.append(
        _table(("prompt", "twin", "similarity"), [(a, b, f"{s:.3f}") for a, b, s in survey.twins])
    )
    if survey.drifts:
        sections.append(
            "<h2>Drift</h2><p>Can a linear classifier tell the groups apart? 0.5: no; 1: always.</p>"
        )
        drifts = [
            (d.group, f"{d.separability:.3f}", f"{(d.nearest >= THRESHOLD).sum():,} of {len(d.nearest):,}")
            for d in survey.drifts
        ]
        sections.append(_table(("group", "separability", "in the first group already"), drifts))
    if survey.unreadable:
        sections.append("<h2>Pictures that cannot be read</h2>")
        sections.append(_table(("what is wrong",), [(line,) for line in survey.unreadable[:TOP]]))
    return _PAGE.format(title=html.escape(title), script=get_plotlyjs(), body="\n".join(sections))


def _totals(survey: Survey) -> list[tuple[str, ...]]:
    return [
        (
            group.name,
            f"{len(group.texts):,}",
            f"{len(set(group.texts)):,}",
            f"{np.median(survey.lengths[group.name]):g}",
        )
        for group in survey.groups
    ]


def _map(survey: Survey) -> Figure:
    import plotly.graph_objects as go

    low, high = survey.places.min(axis=0), survey.places.max(axis=0)
    extent = np.maximum(high - low, 1e-6)
    plot = go.Figure(layout={"height": 760, "hoverlabel": {"align": "left"}})
    groups = np.array([group for group, _, _ in survey.mapped])
    for group in survey.groups:
        rows = np.flatnonzero(groups == group.name)
        plot.add_scatter(
            x=survey.places[rows, 0],
            y=survey.places[rows, 1],
            mode="markers",
            name=_plain(group.name),
            text=[_plain(f"{survey.mapped[row][1]}: {survey.mapped[row][2]}") for row in rows],
            hoverinfo="text",
            marker={"size": 7, "opacity": 0.7},
        )
    taken: set[tuple[int, ...]] = set()
    for place, picture in zip(survey.places, survey.pictures, strict=True):
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
    """Text for a plot: wrapped, cut after five lines, and escaped, as plotly reads <b> as markup."""
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
