"""The Explore page."""

import json
import re

import pytest
from streamlit.testing.v1 import AppTest

from img2prompt.datasets.report import figures
from img2prompt.datasets.survey import PromptSet, survey
from img2prompt.minilm import SentenceEncoder
from tests.helpers import ROOT

TRAIN = [f"a {colour} {thing} in the snow, oil on canvas, by Greg Rutkowski" for colour in
         ("red", "blue", "green", "black") for thing in ("fox", "boat", "castle")]  # fmt: skip
VALID = [f"a {dish} on a wooden table, food photography" for dish in
         ("pizza", "soup", "salad", "burger", "cake", "curry")]  # fmt: skip


@pytest.fixture
def page():
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300).run()
    return page.switch_page("pages/explore.py").run()


def test_a_file_is_read_once(page):
    page.file_uploader[0].set_value([("train.txt", "\n".join(TRAIN).encode(), "text/plain")]).run()
    page.file_uploader[1].set_value([("broken.csv", b"no,such,columns\n", "text/csv")]).run()
    assert "needs a picture column" in page.error[0].value
    read = page.session_state["prompt-sets"]
    page.run()
    again = page.session_state["prompt-sets"]
    assert len(read) == 2 and all(again[file] is sets for file, sets in read.items())
    page.file_uploader[1].set_value([]).run()
    assert not page.error and [sets[0].name for sets in page.session_state["prompt-sets"].values()] == [
        "train.txt"
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"a\n" * 2_700_000, "train.txt is larger than 5 MB"),
        (b"a\n" * 200_001, "train.txt has more than 200,000 rows"),
        (b"short\n" + b"a" * 5001, "a text of 5,001 characters"),
    ],
)
def test_no_more_is_read_than_a_server_can_bear(page, content, told):
    told_browser = [json.loads(component.proto.json) for component in page.get("bidi_component")]
    assert [data["bytes"] for data in told_browser if "bytes" in data] == [5 * 2**20] * 2
    page.file_uploader[0].set_value([("train.txt", content, "text/plain")]).run()
    assert told in page.error[0].value and "img2prompt dataset explore" in page.error[0].value
    assert not page.button and not page.exception


@pytest.mark.slow
def test_the_plots_are_those_of_the_report():
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300).run()
    page.switch_page("pages/explore.py").run()
    assert not page.exception and not page.button
    rows = "imgId,prompt\n" + "".join(f'{i},"{text}"\n' for i, text in enumerate(TRAIN))
    page.file_uploader[0].set_value([("broken.csv", b"no,such,columns\n", "text/csv")]).run()
    assert "needs a picture column" in page.error[0].value
    page.file_uploader[0].set_value([("train.csv", rows.encode(), "text/csv")])
    page.file_uploader[1].set_value([("valid.txt", "\n".join(VALID).encode(), "text/plain")]).run()
    next(button for button in page.button if button.label == "Explore").click().run()
    assert not page.exception and not page.error
    titles = [one.value for one in page.subheader]
    expected = figures(
        survey(
            [PromptSet("train.csv", TRAIN, TRAIN), PromptSet("valid.txt", VALID, VALID)], SentenceEncoder()
        )
    )
    assert titles == list(expected) and "Leaks" in titles


@pytest.mark.slow
def test_korean_plots_with_the_colours_of_the_app():
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    page.session_state["language"] = "ko"
    page.run().switch_page("pages/explore.py").run()
    for uploader, texts in zip(page.file_uploader, (TRAIN, VALID), strict=True):
        uploader.set_value([("prompts.txt", "\n".join(texts).encode(), "text/plain")])
    page.run()
    next(button for button in page.button if button.label == "살펴보기").click().run()
    assert not page.exception and not page.error
    plots = [json.loads(plot.proto.spec)["layout"] for plot in page.get("plotly_chart")]
    titles = [one.value for one in page.subheader]
    titles += [plot[axis]["title"]["text"] for plot in plots for axis in ("xaxis", "yaxis")]
    assert len(plots) >= 5
    for title in filter(None, titles):
        assert re.search("[가-힣]", title), title
    # Streamlit puts the theme's colors, of which Altair's charts are too, in the place of these.
    assert all(plot["template"]["layout"]["colorway"][0] == "#000001" for plot in plots)
