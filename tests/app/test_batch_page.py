"""The Batch page, with the real pipeline."""

import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from streamlit import config
from streamlit.testing.v1 import AppTest

from img2prompt.batch.runs import Run, Runs
from img2prompt.batch.state import State
from img2prompt.history.database import default_url
from img2prompt.posts import Choices
from img2prompt.settings import SERVER_FOLDERS
from img2prompt.web.batch import earlier as earlier_page
from img2prompt.web.batch import results, sources
from img2prompt.web.shared import keeping
from tests.helpers import ROOT
from tests.helpers.batches import PATIENCE, crop, finish, uploads


@pytest.fixture
def server(tmp_path, monkeypatch) -> Iterator[Runs]:
    """The batches of a fresh server."""
    monkeypatch.setenv("IMG2PROMPT_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("IMG2PROMPT_BEAMS", "1")
    yield sources.runs()


def open_page(locale: str = "en-US", **query: str) -> AppTest:
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=PATIENCE)
    page.context["locale"] = locale
    page.run()
    page.switch_page("pages/batch.py")
    page.query_params.update(query)
    page.run()
    assert not page.exception
    return page


def press(page: AppTest, label: str) -> AppTest:
    next(button for button in page.button if button.label.startswith(label)).click()
    page.run()
    assert not page.exception
    return page


def begin(page: AppTest, label: str = "Start Captioning", count: int = 5) -> Run:
    page.file_uploader[0].set_value([(name, data.getvalue(), "image/jpeg") for name, data in uploads(count)])
    page.run()
    press(page, label)
    (run,) = sources.runs()._open.values()
    finish(run)
    page.run()
    assert not page.exception
    return run


def captions(page: AppTest) -> list[str]:
    return [json.loads(element.proto.json)["text"] for element in editors(page)]


def editors(page: AppTest) -> list:
    return [part for part in page.get("bidi_component") if "kept" in json.loads(part.proto.json)]


def choose(page: AppTest, key: str, value: str) -> AppTest:
    widgets = [*page.get("button_group"), *page.text_input]
    next(widget for widget in widgets if widget.key == key).set_value(value)
    page.run()
    assert not page.exception
    return page


def test_an_empty_page_explains_itself(server):
    page = open_page()
    assert page.title[0].value == "Many pictures at once"
    assert "Stop whenever you like" in "".join(text.value for text in page.markdown)
    assert not page.button


def test_a_setting_that_cannot_be_used_is_told_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("IMG2PROMPT_RUNS", str(tmp_path / "others"))
    monkeypatch.setenv("IMG2PROMPT_RUNS_GIGABYTES", "much")
    page = open_page()
    assert "IMG2PROMPT_RUNS_GIGABYTES" in page.error[0].value


def test_from_uploads_to_edited_captions(server):
    page = open_page()
    run = begin(page)
    assert "**5 of 5** · 1 failed" in [text.value for text in page.markdown]
    lines = run.lines()
    assert captions(page) == [line.caption for line in lines if not line.error]
    assert lines[3].error.split("(")[0][:30] in page.error[0].value

    run.edit(lines[1].name, "my own words")
    assert captions(page.run())[1] == "my own words"
    run.edit(lines[1].name, "")
    assert captions(page.run())[1] == lines[1].caption

    assert not captions(choose(page, "batch-shown", "edited"))
    run.edit(lines[1].name, "word " * 76)
    assert captions(page.run()) == [("word " * 76).strip()]
    assert len(captions(choose(page, "batch-shown", "long"))) == 1
    press(page, "Undo")
    assert not captions(page)
    press(page, "Redo")
    assert len(captions(page)) == 1
    run.edit(lines[1].name, "")

    assert not captions(choose(page, "batch-shown", "failed")) and page.error
    assert len(captions(choose(page, "batch-shown", "described"))) == 4 and not page.error
    assert captions(choose(page, "batch-search", "TRIP/2")) == [lines[2].caption]
    assert not captions(choose(page, "batch-search", "no such words"))
    assert "Nothing here fits." in [text.value for text in page.caption]


@pytest.mark.slow
def test_the_address_finds_the_run_and_nobody_else_does(server):
    page = open_page()
    run = begin(page)
    assert captions(open_page(run=run.id)) == captions(page)
    stranger = open_page()
    assert stranger.file_uploader and not captions(stranger)
    gone = open_page(run=run.id[:-1] + "-")
    assert gone.info and gone.file_uploader


@pytest.mark.slow
def test_a_new_batch_leaves_the_old_one_within_reach(server, request_headers):
    request_headers({"Host": "captions.example.org"})  # a visitor from elsewhere
    page = open_page()
    run = begin(page)
    press(page, "New batch")
    assert not any(button.label.startswith("trip") for button in open_page().button)
    assert page.file_uploader and not captions(page)
    press(page, "trip")
    assert len(captions(page)) == 4
    press(page, "Delete this batch")
    assert page.file_uploader and sources.runs().get(run.id) is None


@pytest.mark.slow
def test_many_pictures_come_in_pages(server, monkeypatch):
    monkeypatch.setattr(results, "PAGE", 3)
    page = open_page()
    run = begin(page)
    found = [line.caption for line in run.lines() if not line.error]
    assert captions(page) == found[:3]
    page.session_state["batch-page-all-"] = 2
    assert captions(page.run()) == found[3:]


@pytest.mark.slow
def test_korean(server):
    page = open_page("ko-KR")
    begin(page, "캡션 만들기")
    said = [*page.caption, *page.header, *page.title]
    said = [text.value for text in said if not text.value.startswith("trip/")]
    said += [widget.label for widget in [*page.button, *page.text_input, *page.get("download_button")]]
    for text in said:
        assert re.search("[가-힣]", text), text


def earlier(page: AppTest) -> list[str]:
    return [button.label.replace("\\", "") for button in page.button if button.key.startswith("earlier-")]


def test_earlier_batches_say_what_they_are_and_can_be_found(server):
    for number in range(earlier_page.PAGE + 1):
        server.add(
            [(f"{number}.jpg", io.BytesIO(b"")), ("a.jpg", io.BytesIO(b"")), ("b.jpg", io.BytesIO(b""))]
        )
    archive = server.add([("_dog_.jpg", io.BytesIO(b""))])
    State(1, 1, 1).save(server._root / archive.id)
    page = open_page()
    labels = earlier(page)
    assert len(labels) == earlier_page.PAGE
    assert re.fullmatch(r"_dog_.jpg · \w+ \d+, \d{4}, \d\d::?.*\d\d · 1 picture · done · 1 failed", labels[0])
    assert re.search("^10.jpg and 2 more · .* · 3 pictures · stopped at 0 of 3$", labels[1])
    page.session_state["earlier-page-"] = 2
    assert len(earlier(page.run())) == 2
    assert [label.split(" and")[0] for label in earlier(choose(page, "earlier-search", "7.JPG "))] == [
        "7.jpg"
    ]
    assert len(earlier(choose(page, "earlier-search", "done"))) == 1
    assert not earlier(choose(page, "earlier-search", "no such thing"))
    assert "No earlier batch fits." in [text.value for text in page.caption]
    korean = earlier(open_page("ko-KR"))
    assert re.search(r"^10.jpg 외 2개 · \d{4}\. .* · 사진 3장 · 3장 중 0장에서 멈춤$", korean[1])


def test_one_file_is_no_plural(server):
    page = open_page()
    page.file_uploader[0].set_value([("a.jpg", crop(0), "image/jpeg")])
    page.run()
    assert "Start Captioning · 1 file" in [button.label for button in page.button]


def test_posts_and_a_place_in_the_history(server, tmp_path, monkeypatch):
    monkeypatch.setenv("IMG2PROMPT_DATABASE_URL", f"sqlite:///{tmp_path / 'history.db'}")
    page = open_page()
    page.file_uploader[0].set_value([(name, data.getvalue(), "image/jpeg") for name, data in uploads(3, 1)])
    page.run()
    for key in ("batch-posts", "batch-keep"):
        page.toggle(key=key).set_value(True)
        page.run()
    choose(page, "batch-tone", "playful")
    choose(page, "batch-note", "Jeju, with Mina")
    press(page, "Start Captioning")
    (run,) = server._open.values()
    finish(run)
    page.run()
    assert run.choices == Choices(tone="playful", note="Jeju, with Mina", variants=1)
    written = list(run.posts([line.name for line in run.lines()]).values())
    assert len(written) == 2 and shown_posts(page) == written
    history = keeping._HISTORIES((default_url(), "local"))
    posts = history.posts()
    assert [post.cover.seen.caption for post in posts][::-1] == [
        line.caption for line in run.lines() if not line.error
    ]
    assert {post.choices for post in posts} == {replace(run.choices, hashtags=5)}
    assert [post.variants[0].text for post in posts][::-1] == written

    choose(
        page, f"posts-{run.id}-note", "Busan"
    )  # later: the page's posts follow, and no picture is read again
    assert len(shown_posts(page)) == 2 and all("Busan" in post for post in shown_posts(page))
    other = open_page(run=run.id)  # who only looks changes nothing
    page.toggle(key=f"posts-{run.id}-posts").set_value(False)
    page.run()
    other.run()
    assert run.choices is None
    assert not shown_posts(page.run())


def shown_posts(page: AppTest) -> list[str]:
    parts = [json.loads(part.proto.json) for part in page.get("bidi_component")]
    return [part["text"] for part in parts if isinstance(part, dict) and part.get("title") == "Post"]


def test_who_has_no_history_is_told_so(server, request_headers):
    request_headers({"Host": "captions.example.org"})
    page = open_page()
    page.file_uploader[0].set_value([("a.jpg", crop(0), "image/jpeg")])
    page.run()
    assert page.toggle(key="batch-keep").disabled


@pytest.mark.parametrize(
    ("address", "variable", "offered"),
    [
        ("localhost", "", True),
        ("127.0.0.1", "", True),
        ("0.0.0.0", "", False),
        (None, "", False),
        ("0.0.0.0", "yes", True),
        ("localhost", "no", False),
    ],
)
def test_server_folders_only_for_whoever_sits_at_the_server(server, monkeypatch, address, variable, offered):
    monkeypatch.setenv(SERVER_FOLDERS, variable)
    before = config.get_option("server.address")
    config._set_option("server.address", address, "test")
    try:
        page = open_page()
    finally:
        config._set_option("server.address", before, "test")
    (places,) = [group for group in page.get("button_group") if group.key == "batch-from"]
    assert (places.options == ["Files or ZIP", "A folder", "On this machine"]) == offered


@pytest.mark.slow
def test_who_sits_at_the_server_finds_all_batches(server):
    begin(open_page())
    assert any(button.label.startswith("trip") for button in open_page().button)


def test_an_answer_that_is_neither_yes_nor_no_is_explained(server, monkeypatch):
    monkeypatch.setenv(SERVER_FOLDERS, "perhaps")
    assert "IMG2PROMPT_SERVER_FOLDERS is 'perhaps'" in open_page().error[0].value


@pytest.mark.slow
def test_a_folder_on_the_server(server, tmp_path, monkeypatch):
    monkeypatch.setenv(SERVER_FOLDERS, "yes")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "0.jpg").write_bytes(crop(0))
    page = choose(open_page(), "batch-from", "server")
    for name in (str(tmp_path / "nowhere"), "~nobody-of-this-name", "x" * 300):
        press(choose(page, "folder", name), "Start Captioning")
        assert "is not a folder" in page.error[0].value
    press(choose(page, "folder", f" {tmp_path / 'photos'}\t"), "Start Captioning")
    (run,) = sources.runs()._open.values()
    finish(run)
    assert len(captions(page.run())) == 1
