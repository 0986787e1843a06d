"""The fold in which a visitor says how photos are to be described, on the Caption page and on the Batch page."""

import concurrent.futures
import json
import re
import threading

import pytest
from streamlit.testing.v1 import AppTest

from img2prompt.batch.runs import Run, Runs
from img2prompt.errors import DataError
from img2prompt.instructions import load_preset
from img2prompt.web.batch import sources
from img2prompt.web.shared import pipelines
from img2prompt.web.shared.i18n import catalogue
from tests.helpers import ROOT
from tests.helpers.batches import PATIENCE, finish, uploads
from tests.helpers.following import following


@pytest.fixture
def follows(pipeline, monkeypatch):
    """The app on an engine that follows, and says this text instead of the instruction."""

    def follows(says: str = ""):
        def load_pipeline(settings):
            told = following(pipeline, says)
            told.settings = settings
            return told

        monkeypatch.setattr("img2prompt.pipeline.load_pipeline", load_pipeline)
        pipelines.pipelines.clear()

    pipelines.pipelines.clear()
    yield follows
    pipelines.pipelines.clear()


def open_page(page: str = "", locale: str = "en-US", **query: str) -> AppTest:
    opened = AppTest.from_file(str(ROOT / "app.py"), default_timeout=PATIENCE)
    opened.context["locale"] = locale
    opened.run()
    if page:
        opened.switch_page(page)
    opened.query_params.update(query)
    for _ in range(2):  # by the second the model is there, as after any click
        opened.run()
        pipelines.pipelines(next(iter(pipelines.pipelines._slots))).result()
    assert not opened.exception
    return opened


def press(page: AppTest, label: str) -> AppTest:
    next(button for button in page.button if button.label.startswith(label)).click()
    page.run()
    assert not page.exception
    return page


def choose(page: AppTest, key: str, value: str) -> AppTest:
    widgets = [*page.selectbox, *page.text_area, *page.text_input, *page.get("button_group")]
    next(widget for widget in widgets if widget.key.startswith(key)).set_value(value)
    page.run()
    assert not page.exception
    return page


def data(page: AppTest) -> list:
    return [json.loads(element.proto.json) for element in page.get("bidi_component")]


def words(page: AppTest) -> dict[str, str]:
    return {shown["title"]: shown["text"] for shown in data(page) if "title" in shown}


def fields(page: AppTest) -> set[str]:
    return {field.key for field in (*page.text_area, *page.text_input) if field.key.startswith("instruction")}


def test_an_engine_that_follows_nothing_says_so_and_what_does(follows):
    page = open_page()
    told = next(text.value for text in page.markdown if "follows no instructions" in text.value)
    assert told.startswith("Lite ") and "chat model" in told and "endpoint" in told
    assert not fields(page) and not [box for box in page.selectbox if box.key.startswith("instruction")]
    assert words(press(press(page, "Flower"), "Start Captioning"))["Caption"]
    korean = open_page(locale="ko-KR")
    assert any("라이트: 지시를 따르지 않고" in text.value for text in korean.markdown)


def test_a_photo_is_described_as_it_was_said(follows):
    follows()
    page = press(choose(open_page(), "instruction-own", "Name {name}. {note}"), "Flower")
    press(page, "Start Captioning")
    assert words(page)["Caption"] == "Name Flower."
    assert "Start Captioning" not in [button.label for button in page.button]

    choose(page, "note", "Busan {name}")  # which the instruction takes: the words are not up to date
    press(page, "Start Captioning")
    assert words(page)["Caption"] == "Name Flower. Busan {name}"
    choose(page, "instruction-own", "")
    press(page, "Start Captioning")
    assert words(page)["Caption"].startswith("A ") and words(page)["Caption"].endswith(".")


def test_a_preset_brings_its_prompt_and_asks_for_what_it_takes(follows):
    follows("OHWX, red petals, garden, macro, soft light")
    page = open_page()
    assert fields(page) == {"instruction-own"}
    choose(page, "instruction-preset", "training")
    assert fields(page) == {"instruction-own", "instruction-trigger"}
    assert load_preset("training").uses["en"] in [text.value.replace("\\", "") for text in page.caption]
    choose(page, "instruction-trigger", "ohwx")
    press(press(page, "Flower"), "Start Captioning")
    said = "ohwx, red petals, garden, macro, soft light"
    assert words(page)["Caption"] == words(page)["Prompt"] == said
    posts = [shown["text"] for shown in data(page) if "limits" in shown]
    assert posts and not any("ohwx" in post for post in posts)


def test_presets_are_called_in_the_language_of_the_page(follows):
    follows()
    boxes = {
        locale: next(box for box in open_page(locale=locale).selectbox if box.key.startswith("instruction"))
        for locale in ("en-US", "ko-KR")
    }
    assert {"None", "SDXL tags", "Training caption"} <= set(boxes["en-US"].options)
    assert {"없음", "SDXL 태그", "학습용 캡션"} <= set(boxes["ko-KR"].options)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("instruction-own", "{name.__class__}", "has {name.__class__} in it"),
        ("instruction-own", "x" * 4001, "characters; at most 4000"),
        ("instruction-trigger", "x" * 61, "trigger is"),
    ],
)
def test_what_cannot_be_used_is_said_and_nothing_is_told(follows, key, value, told):
    follows()
    page = choose(choose(open_page(), "instruction-preset", "training"), key, value)
    (error,) = page.error
    assert told in re.sub(r":small\[\]|\\", "", error.value)
    assert page.session_state["told"] == {}


def test_while_the_model_loads_the_fold_says_so_and_keeps_what_was_wished(follows, monkeypatch):
    follows()
    page = choose(open_page(), "instruction-own", "one word")
    engine = pipelines.engine
    monkeypatch.setattr(pipelines, "engine", lambda loading: None)
    page.run()
    assert catalogue("en")["loading"] in [text.value for text in page.caption] and not fields(page)
    assert page.session_state["told"] == {"instruction": "one word"}
    monkeypatch.setattr(pipelines, "engine", engine)
    page.run()
    assert fields(page) and page.session_state["told"] == {"instruction": "one word"}


@pytest.fixture
def another(pipeline, monkeypatch):
    """Let a page choose another model, which follows or not, and is loaded as soon as somebody waits for it."""

    def another(page: AppTest, follows: bool) -> None:
        may_load = threading.Event()

        def load_pipeline(settings):
            assert may_load.wait(PATIENCE)
            told = following(pipeline, "") if follows else pipeline.with_words()
            told.settings = settings
            return told

        def waited(futures):
            may_load.set()
            return concurrent.futures.wait(futures)

        monkeypatch.setattr("img2prompt.pipeline.load_pipeline", load_pipeline)
        monkeypatch.setattr("img2prompt.web.shared.instruction.wait", waited)
        page.session_state["model_choice"] = {"ratio": 0.3}
        page.run()
        assert not page.exception and not fields(page)

    return another


@pytest.mark.parametrize("does", [True, False])
def test_what_one_model_was_told_another_is_told_only_if_it_follows(follows, another, does):
    follows()
    page = press(choose(open_page(), "instruction-own", "Name {name}."), "Flower")
    another(page, does)
    assert page.session_state["told"] == {}
    press(page, "Start Captioning")
    assert (words(page)["Caption"] == "Name Flower.") == does and not page.error
    assert page.session_state["told"] == ({"instruction": "Name {name}."} if does else {})


@pytest.mark.parametrize("does", [True, False])
def test_a_batch_waits_for_the_model_before_it_is_told_anything(follows, another, server, does):
    follows()
    page = open_page("pages/batch.py")
    page.file_uploader[0].set_value([("a.jpg", uploads(1, None)[0][1].getvalue(), "image/jpeg")])
    choose(page.run(), "batch-instruction-own", "{name}")
    another(page, does)
    press(page, "Start Captioning")
    (run,) = sources.runs()._open.values()
    finish(run)
    assert run.told == ({"instruction": "{name}"} if does else {}) and not run.error
    assert ([line.caption for line in run.lines()] == ["a"]) == does


@pytest.fixture
def server(tmp_path, monkeypatch) -> Runs:
    """The batches of a fresh server."""
    monkeypatch.setenv("IMG2PROMPT_RUNS", str(tmp_path / "runs"))
    return sources.runs()


def begin(page: AppTest) -> Run:
    page.file_uploader[0].set_value(
        [(name, content.getvalue(), "image/jpeg") for name, content in uploads(3, None)]
    )
    page.run()
    choose(page, "batch-instruction-own", "{folder}/{name}")
    press(page, "Start Captioning")
    (run,) = sources.runs()._open.values()
    finish(run)
    return run


def test_a_batch_has_its_own_instruction_whoever_goes_on(follows, server):
    follows()
    run = begin(open_page("pages/batch.py"))
    assert run.told == {"instruction": "{folder}/{name}"} and not run.error
    assert [line.caption for line in run.lines()] == ["trip/0", "trip/1", "trip/2"]
    page = open_page("pages/batch.py", run=run.id)
    assert "Instruction: {folder}/{name}" in [text.value.replace(":small[]", "") for text in page.caption]
    server._open.clear()
    run.close()

    again = server.get(run.id)  # after a restart of the server
    assert again.told == run.told
    again.journal.clear()
    sources.start.__globals__["runs"]().start(again, pipelines.loader(again.told))
    finish(again)
    assert [line.caption for line in again.lines()] == ["trip/0", "trip/1", "trip/2"]


def test_a_batch_on_an_engine_that_follows_nothing_says_why(follows, server):
    page = open_page("pages/batch.py")
    page.file_uploader[0].set_value(
        [(name, content.getvalue(), "image/jpeg") for name, content in uploads(1, None)]
    )
    page.run()
    assert any("follows no instructions" in text.value for text in page.markdown)
    run = server.add(uploads(1, None), told={"instruction": "one word"})
    server.start(run, pipelines.loader(run.told))
    finish(run)
    assert "lite follows no instructions" in run.error


@pytest.mark.parametrize("told", ["[]", '"x"', "1"])
def test_a_batch_whose_instruction_is_damaged_is_said_to_be(server, told):
    run = server.add(uploads(1, None), told={"instruction": "one word"})
    server._open.clear()
    run.close()
    file = server._root / run.id / "about.json"
    file.write_text(re.sub(r'"told": \{.*?\}', f'"told": {told}', file.read_text("utf-8")), "utf-8")
    with pytest.raises(DataError, match="damaged"):
        server.get(run.id)
