"""The model server on the Models page, for who sits at the machine and for others, and where photos go then."""

import io
import json
import threading
import time

import pytest
import streamlit as st
from PIL import Image
from streamlit.testing.v1 import AppTest

pytest.importorskip("openai", reason="needs the extra endpoint")

from img2prompt.batch.runs import DAYS
from img2prompt.web.batch import sources
from img2prompt.web.caption import work
from img2prompt.web.shared import pipelines
from img2prompt.web.shared.frame import as_it_is
from img2prompt.web.shared.i18n import catalogue
from tests.app.test_caption_page import press, upload
from tests.app.test_models_page import choose, open_page
from tests.app.test_posts_by_a_model import GOOD
from tests.helpers import chat_server
from tests.helpers.batches import crop, finish
from tests.helpers.chat_server import fails
from tests.helpers.protocol import visit
from tests.helpers.server import serve

EN = catalogue("en")
KEY = "sk-Tr0ub4dor-3"
ELSEWHERE = {"Host": "captions.example.org", "Origin": "https://captions.example.org"}


@pytest.fixture
def chat():
    with chat_server.serve() as chat:
        yield chat
    pipelines.pipelines.clear()


def text(page: AppTest) -> str:
    return " ".join(
        element.value for element in [*page.markdown, *page.caption, *page.warning, *page.success]
    )


def name_server(page: AppTest, url: str) -> AppTest:
    choose(page, "models-engine", "endpoint")
    next(widget for widget in page.text_input if widget.key == "models-endpoint-url").set_value(url)
    page.run()
    assert not page.exception
    return page


def test_a_server_is_named_tested_and_reads_the_photos(chat):
    chat.models = ["nomic-embed-text", "seer-7b", "seer-70b"]
    page = name_server(open_page(), chat.address)
    host = as_it_is(f"localhost:{chat.port}")
    assert page.success[0].value == "Endpoint reads your photos from now on."
    assert f"model server {host}" in text(page) and EN["privacy"] not in text(page)
    [model] = [box for box in page.selectbox if box.key.startswith("models-endpoint-model")]
    assert model.options == ["The server’s first", *chat.models]
    assert not chat.asked  # choosing asks for no picture
    press(page, "Test")
    assert page.success[0].value.startswith("seer-7b answers, in ")
    assert page.success[0].value.endswith("s: a red ball lies on green grass")
    assert len(chat.pictures) == 1 and Image.open(io.BytesIO(chat.pictures[0])).size == (320, 240)
    choose(page, "models-endpoint-model", "seer-70b")
    chosen = page.session_state["model_choice"]
    assert chosen["endpoint_url"] == chat.address and chosen["endpoint_model"] == "seer-70b"

    photos = open_page("pages/caption.py", state={"model_choice": chosen})
    assert f"model server {host}" in text(photos) and EN["privacy.history"] not in text(photos)
    press(press(photos, "Flower"), "Start Captioning")
    assert not photos.error and "Read by the Endpoint engine" in text(photos)
    [photo] = photos.session_state["opened"].values()
    assert photo.result.model == "seer-70b" and photo.result.caption == "a red ball lies on green grass"
    assert chat.asked[-1]["model"] == "seer-70b"
    other = open_page("pages/caption.py")
    assert host not in text(other) and EN["privacy.history"] in text(other)
    assert host in text(open_page("pages/batch.py", state={"model_choice": chosen}))


def test_a_failing_test_says_why(chat):
    page = name_server(open_page(), chat.address)
    chat.script.append(fails(400, "this model sees no *pictures*"))
    press(page, "Test")
    assert "refuses the question" in page.error[0].value and r"\*pictures\*" in page.error[0].value
    chat.stop()
    press(page, "Test")
    assert any("Nothing answers at" in error.value for error in page.error)


def test_addresses_beyond_this_machine_are_confirmed_one_by_one():
    page = name_server(open_page(), "http://192.0.2.7:8000/v1")
    warning = page.warning[0].value
    assert warning.startswith(f"{as_it_is('192.0.2.7:8000')} is not the machine that runs this app")
    assert warning.endswith(EN["models.endpoint.unencrypted"])
    assert not page.success and page.session_state["model_choice"] == {}
    button = next(button for button in page.button if button.key == "models-endpoint-confirm")
    assert button.label == f"Send my photos to {as_it_is('192.0.2.7:8000')}"
    page.session_state["endpoint-hosts"] = [("192.0.2.8:8000", False)]  # another one does not count
    assert page.run().warning[0].value == warning
    https = name_server(page, "https://models.example.com/v1").warning[0].value
    assert EN["models.endpoint.unencrypted"] not in https


def test_who_confirmed_a_host_for_https_is_asked_again_before_everybody_may_read_it():
    page = name_server(open_page(), "https://models.example.com/v1")
    press(page, f"Send my photos to {as_it_is('models.example.com')}")
    assert not page.warning and page.success
    page = name_server(page, "http://models.example.com/v1")
    assert page.warning[0].value.endswith(EN["models.endpoint.unencrypted"]) and not page.success
    assert page.session_state["model_choice"]["endpoint_url"].startswith("https:")


def test_a_model_that_was_chosen_is_that_servers(chat):
    chat.models = ["seer-7b", "seer-70b"]
    page = choose(name_server(open_page(), chat.address), "models-endpoint-model", "seer-70b")
    with chat_server.serve() as other:
        other.models = ["eye-3b"]
        page = name_server(page, other.address)
        [model] = [box for box in page.selectbox if box.key.startswith("models-endpoint-model")]
        assert model.options == ["The server’s first", "eye-3b"]
        chosen = page.session_state["model_choice"]
        assert (chosen["endpoint_url"], chosen["endpoint_model"]) == (other.address, "")
        press(page, "Test")
        assert other.asked[-1]["model"] == "eye-3b"


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/v1", "file:///etc/passwd", "http://me:pass@localhost/v1"]
)
def test_what_is_no_address_is_refused(url):
    page = name_server(open_page(), url)
    assert page.error and not page.success and page.session_state["model_choice"] == {}


def test_another_visitor_names_no_address(chat, request_headers):
    """On a server the app must call nothing that a visitor names: the choice is not even offered."""
    request_headers(ELSEWHERE)
    page = open_page()
    [engines] = [group for group in page.get("button_group") if group.key.startswith("models-engine")]
    assert engines.options == ["Lite", "Full"]
    assert not page.text_input and not chat.headers


def test_the_servers_own_setting_counts_for_visitors(chat, request_headers, monkeypatch):
    monkeypatch.setenv("IMG2PROMPT_ENDPOINT_URL", chat.address)
    request_headers(ELSEWHERE)
    page = choose(open_page(), "models-engine", "endpoint")
    assert page.success[0].value == "Endpoint reads your photos from now on."
    assert "which whoever runs this app has chosen" in text(page)
    assert not page.text_input and "Test" not in [button.label for button in page.button]
    assert page.session_state["model_choice"]["endpoint_url"] == chat.address
    monkeypatch.setenv("IMG2PROMPT_ENDPOINT_URL", "https://models.example.com/v1")  # not confirmed
    page = choose(open_page(), "models-engine", "endpoint")
    assert EN["models.endpoint.off"] in text(page) and not page.success
    monkeypatch.delenv("IMG2PROMPT_ENDPOINT_URL")
    monkeypatch.setenv("IMG2PROMPT_ENGINE", "endpoint")  # without an address
    assert EN["models.endpoint.off"] in text(open_page())


def test_the_key_goes_to_the_address_beside_it(chat, monkeypatch):
    monkeypatch.setenv("IMG2PROMPT_ENDPOINT_KEY", KEY)
    monkeypatch.setenv("IMG2PROMPT_ENDPOINT_URL", chat.address)
    page = choose(open_page(), "models-engine", "endpoint")
    assert EN["models.endpoint.key.there"] in text(page)
    press(page, "Test")
    assert chat.headers[-1]["authorization"] == f"Bearer {KEY}"
    assert KEY not in str(page.session_state["model_choice"])


@pytest.mark.parametrize("own", ["", "http://localhost:1/v1"])
def test_the_key_goes_to_no_address_that_a_visitor_names(own, chat, monkeypatch):
    """Nor where the server's settings name none beside it."""
    monkeypatch.setenv("IMG2PROMPT_ENDPOINT_KEY", KEY)
    monkeypatch.setenv("IMG2PROMPT_ENDPOINT_URL", own)
    page = name_server(open_page(), chat.address)
    assert EN["models.endpoint.key"] in text(page)
    press(page, "Test")
    assert "authorization" not in chat.headers[-1]
    page.session_state["model_choice"] = {"engine": "endpoint", "endpoint_url": chat.address}
    photos = open_page("pages/caption.py", state={"model_choice": page.session_state["model_choice"]})
    press(press(photos, "Flower"), "Start Captioning")
    assert "authorization" not in chat.headers[-1]


@pytest.mark.slow
def test_the_key_may_stand_in_the_apps_secrets(chat, tmp_path):
    file = tmp_path / "secrets.toml"
    file.write_text(f'IMG2PROMPT_ENDPOINT_KEY = "{KEY}"\n')
    told = {"IMG2PROMPT_ENGINE": "endpoint", "IMG2PROMPT_ENDPOINT_URL": chat.address}
    with (
        serve(tmp_path, STREAMLIT_SECRETS_FILES=str(file), **told) as server,
        visit(server.address) as visitor,
    ):
        page = visitor.open("models")
        assert EN["models.endpoint.key.there"] in page and KEY not in page
    assert chat.headers and all(headers["authorization"] == f"Bearer {KEY}" for headers in chat.headers)


def test_a_server_that_is_set_wrongly_leaves_lite_and_says_so(monkeypatch):
    monkeypatch.setenv("IMG2PROMPT_ENGINE", "endpoint")
    monkeypatch.setenv("IMG2PROMPT_ENDPOINT_URL", "https://models.example.com/v1")
    page = open_page("pages/caption.py")
    assert EN["privacy.history"] in text(page)  # so nothing is sent
    press(press(page, "Flower"), "Start Captioning")
    assert "is not this machine" in page.error[0].value
    assert page.error[0].value.endswith(EN["models.instead"]) and "Lite engine" in text(page)


def test_words_are_shown_while_they_come(chat, monkeypatch):
    """Without a guess at anybody's gender, as in the end."""
    rest = threading.Event()

    def slowly(handler):
        handler.begin_stream()
        handler.piece({"content": '{"caption": "A woman and a *dog*'})
        assert rest.wait(60)
        handler.piece({"content": ' rest."}'})
        handler.event(b"[DONE]")
        handler.close_connection = True

    shown = []

    def watched(text):
        shown.append(as_it_is(text))
        rest.set()
        return shown[-1]

    monkeypatch.setattr(work, "as_it_is", watched)
    chat.script.append(slowly)
    state = {"model_choice": {"engine": "endpoint", "endpoint_url": chat.address}}
    photos = open_page("pages/caption.py", state=state)
    press(press(photos, "Flower"), "Start Captioning")
    assert shown[0] == r"A person and a \*dog\*"
    [photo] = photos.session_state["opened"].values()
    assert photo.result.caption == "a person and a *dog* rest"


def test_another_click_does_not_ask_again(chat):
    """It ends the run that waits for the words; the next one goes on waiting for the same."""
    clicked = threading.Event()

    def slowly(handler):
        assert clicked.wait(60)
        handler.stream(json.dumps(chat_server.RECORD))

    chat.script.append(slowly)
    state = {"model_choice": {"engine": "endpoint", "endpoint_url": chat.address}}
    page = press(open_page("pages/caption.py", state=state), "Flower")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "wait", lambda *_: st.stop())
        press(page, "Start Captioning")
    while not chat.asked:
        time.sleep(0.01)
    clicked.set()
    page.run()
    assert not page.exception and len(chat.asked) == 1
    [photo] = page.session_state["opened"].values()
    assert photo.result.caption == "a red ball lies on green grass" and "work" not in page.session_state


def test_what_goes_along_with_a_photo_is_said(chat):
    state = {"model_choice": {"engine": "endpoint", "endpoint_url": chat.address}}
    page = open_page("pages/caption.py", state=state)
    pipelines.pipelines(list(pipelines.pipelines._slots)[-1]).result()
    page.run()
    for field, said in (
        (page.text_area(key="instruction-own"), "{name}: {note}"),
        (page.text_input(key="note"), "Jeju"),
    ):
        field.set_value(said).run()
    press(upload(page, ("Mina.png", crop(0))), "Start Captioning")
    assert "Mina: Jeju" in json.dumps(chat.asked[-1])
    assert "in it your detail and the file’s name" in text(page)
    chat.say = lambda body: json.dumps({"posts": [{"hook": GOOD[0], "body": "", "call": ""}]})
    press(page, "Write with seer-7b")
    press(page, "Write with seer-7b")
    asked = json.dumps(chat.asked[-1])
    assert all(word in asked for word in ("Jeju", "earlier", GOOD[0]))
    assert "your own captions, and the posts that a model wrote before" in text(page)
    batch = open_page("pages/batch.py", state=state)
    assert "in it your detail and the names of the file and its folder" in text(batch)


def test_the_batch_page_says_where_a_batch_goes_as_long_as_it_does(chat, tmp_path, monkeypatch):
    monkeypatch.setenv("IMG2PROMPT_RUNS", str(tmp_path / "runs"))
    goes_on = threading.Event()

    def slowly(handler):
        assert goes_on.wait(60)
        handler.stream(json.dumps(chat_server.RECORD))

    chat.script.append(slowly)
    here, host = EN["batch.privacy"].format(days=DAYS), f"model server {as_it_is(f'localhost:{chat.port}')}"
    state = {"model_choice": {"engine": "endpoint", "endpoint_url": chat.address}}
    page = open_page("pages/batch.py", state=state)
    page.file_uploader[0].set_value([("a.jpg", crop(0), "image/jpeg")]).run()
    press(page, "Start Captioning · 1 file")
    (run,) = sources.runs()._open.values()
    page.session_state["model_choice"] = {"engine": "lite"}
    assert run.working and host in text(page.run()) and here not in text(page)
    page.session_state["run"] = ""
    page.query_params.clear()
    assert page.run().file_uploader and host in text(page)  # where another batch would be begun, here
    assert here in text(open_page("pages/batch.py"))  # somebody else
    goes_on.set()
    finish(run)
    assert here in text(page.run()) and host not in text(page)


def test_a_server_that_fails_is_told_and_asked_again(chat):
    state = {"model_choice": {"engine": "endpoint", "endpoint_url": chat.address}}
    page = press(open_page("pages/caption.py", state=state), "Flower")
    chat.script.append(fails(400, "out of paper"))
    press(page, "Start Captioning")
    assert r"out of paper" in page.error[0].value
    press(page, "Start Captioning")
    assert not page.error
