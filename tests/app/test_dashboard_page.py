"""The Dashboard page on a real history."""

import json
import re
from datetime import datetime, timedelta, timezone

import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest

from img2prompt.history import History, Variant, open_database
from img2prompt.posts import Choices
from tests.helpers import ROOT
from tests.helpers.history_database import make_post


@pytest.fixture
def mine(tmp_path, monkeypatch) -> History:
    url = f"sqlite:///{tmp_path / 'history.db'}"
    monkeypatch.setenv("IMG2PROMPT_DATABASE_URL", url)
    monkeypatch.setenv("IMG2PROMPT_HISTORY", "on")
    return History(open_database(url), "local")


def open_page(language: str = "en") -> AppTest:
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    page.session_state["language"] = language
    page.run()
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
    mine.save(make_post(5, variants=(Variant(f"{'x' * 125}\n\n{'y' * 200}"), Variant("z" * 126))))
    page = open_page()
    assert any("First lines over 125, where feeds cut: 0 of 6." in text.value for text in page.caption)
    assert metrics(page) == {"Posts": "6", "Copied": "1", "Starred": "0", "Failures": "1"}
    assert len(page.get("vega_lite_chart") or page.get("arrow_vega_lite_chart")) == 7
    assert page.dataframe[0].value["Step"].tolist() == ["Writing the caption", "Looking at it"]
    assert page.dataframe[1].value["Message"].tolist() == ["not a picture"]
    assert page.dataframe[1].value.columns[-1] == "Message"  # the longest may push nothing out of sight
    assert "YYYY-MM-DD HH:mm" in page.dataframe[1].proto.columns  # without the zone, which was cut off
    page.segmented_control(key="dashboard-period").set_value("week").run()
    assert metrics(page)["Posts"] == "1" and not page.exception


def charts(page: AppTest) -> list[tuple[dict, list[dict]]]:
    """Each chart of bars, and the rows that it draws."""
    found = [chart.proto for chart in page.get("vega_lite_chart") or page.get("arrow_vega_lite_chart")]
    return [
        (json.loads(chart.spec), pa.ipc.open_stream(chart.data.data).read_all().to_pylist())
        for chart in found
        if chart.data.data
    ]


@pytest.mark.parametrize(
    ("ages", "labels"),
    [
        ((0, 1), ["2026-03-19", "2026-03-20"]),
        ((0, 3), ["2026-03-17", "2026-03-18", "2026-03-19", "2026-03-20"]),  # nothing on two days
        (
            (0, 63),
            [
                f"2026-{week}"
                for week in "01-12 01-19 01-26 02-02 02-09 02-16 02-23 03-02 03-09 03-16".split()
            ],
        ),
        ((0, 400), [f"{2025 + (month > 11)}-{month % 12 + 1:02}-01" for month in range(1, 15)]),
    ],
)
def test_every_bar_over_time_has_its_own_label(mine, ages, labels):
    for age in ages:
        mine.save(make_post(age, created_at=datetime(2026, 3, 20, tzinfo=timezone.utc) - timedelta(days=age)))
    (over_time, rows), (tones, _), *_ = charts(open_page())
    # An axis of time would label hours, and seconds, as days.
    assert over_time["encoding"]["x"]["type"] == "ordinal"
    assert [row["day"] for row in rows] == labels
    assert sum(row["posts"] for row in rows) == len(ages)
    assert tones["height"]["step"] > 20  # room for a label, however few there are


def test_korean_says_all_in_korean(mine):
    mine.save(make_post(1))
    mine.failed("open", "", "The picture is empty. Copy or download it again.")
    mine.failed("caption", "full", "The memory of cuda is too small for these models. Set low_vram, choose smaller "
                'models (caption_model="blip-base", clip_model="ViT-L-14/openai"), or run on the CPU.')  # fmt: skip
    page = open_page("ko")
    cells = [
        str(cell)
        for table in page.dataframe
        for column in table.value.items()
        for cell in (column[0], *column[1])
    ]
    said = [element.value for element in [*page.header, *page.caption]]
    said += [element.label for element in [*page.metric, *page.expander, *page.text_area, *page.button]]
    for text in [*cells, *said]:
        assert re.search("[가-힣]", text) or not re.search("[a-z]", text), text
    assert "사진 열기" in cells and "이 사진 파일이 비어 있어요. 다시 복사하거나 내려받아 주세요." in cells


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
