"""The Explore page."""

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
