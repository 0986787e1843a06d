"""The Dashboard page on a real history."""

from datetime import datetime, timedelta, timezone

import pytest
from streamlit.testing.v1 import AppTest

from img2prompt.history import History, open_database
from img2prompt.posts import Choices
from tests.helpers import ROOT
from tests.helpers.history_database import make_post


@pytest.fixture
def mine(tmp_path, monkeypatch) -> History:
    url = f"sqlite:///{tmp_path / 'history.db'}"
    monkeypatch.setenv("IMG2PROMPT_DATABASE_URL", url)
    monkeypatch.setenv("IMG2PROMPT_HISTORY", "on")
    return History(open_database(url), "local")


def open_page() -> AppTest:
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300).run()
    page.switch_page("pages/dashboard.py").run()
    assert not page.exception
    return page


def metrics(page: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in page.metric}


def test_an_empty_history_explains_itself(mine):
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300).run()
    page.switch_page("pages/dashboard.py").run()
    assert not page.exception and not page.metric
    assert "Nothing to count yet" in page.info[0].value


@pytest.mark.slow
def test_numbers_follow_the_period(mine):
    now = datetime.now(timezone.utc)
    for number in range(6):
        post = make_post(
            number, created_at=now - timedelta(days=20 * number), choices=Choices(tone="poetic", goal="save")
        )
        mine.mark(mine.save(post), "first of 0", copied=number == 0)
    mine.failed("open", "", "not a picture")
    page = open_page()
    assert metrics(page) == {"Posts": "6", "Copied": "1", "Starred": "0", "Failures": "1"}
    assert len(page.get("vega_lite_chart") or page.get("arrow_vega_lite_chart")) == 7
    assert page.dataframe[0].value["Step"].tolist() == ["caption", "look"]
    assert page.dataframe[1].value["Message"].tolist() == ["not a picture"]
    assert "YYYY-MM-DD HH:mm" in page.dataframe[1].proto.columns  # without the zone, which was cut off
    page.segmented_control(key="dashboard-period").set_value("week").run()
    assert metrics(page)["Posts"] == "1" and not page.exception


@pytest.mark.slow
def test_questions_in_sql(mine):
    mine.save(make_post(1, choices=Choices(tone="playful")))
    page = open_page()
    page.button[0].click().run()
    assert page.dataframe[-1].value["tone"].tolist() == ["playful"]
    page.text_area[0].set_value("DROP TABLE posts")
    page.button[0].click().run()
    assert "Only reading is possible here" in page.error[0].value and mine.count() == 1


def test_a_server_without_history_says_so(mine, monkeypatch):
    monkeypatch.setenv("IMG2PROMPT_HISTORY", "off")
    page = open_page()
    assert "switched off" in page.info[0].value and not page.metric
