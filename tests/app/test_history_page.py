"""The history in the app: whose it is, what is kept of a caption, and the History page, with the real pipeline."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from streamlit import config
from streamlit.testing.v1 import AppTest

from img2prompt.errors import HistoryError
from img2prompt.history.database import open_database
from img2prompt.history.store import History
from img2prompt.posts import Seen
from img2prompt.web.shared import keeping
from img2prompt.web.shared.i18n import catalogue
from img2prompt.web.shared.photo import Photo
from tests.helpers import ROOT
from tests.helpers.history_database import make_picture, make_post
from tests.helpers.pictures import small_photos

TEXT = catalogue("en")
SIGN_IN = {
    "auth": {
        "redirect_uri": "http://localhost/oauth2callback",
        "cookie_secret": "8OTtNLV5Vr0mmOFVOkwxJlLaUZL1P1sJ",
        "client_id": "c",
    }
}


@pytest.fixture(autouse=True)
def url(tmp_path, monkeypatch) -> str:
    """An empty database."""
    address = f"sqlite:///{tmp_path / 'history.db'}"
    monkeypatch.setenv("IMG2PROMPT_DATABASE_URL", address)
    return address


@pytest.fixture
def open_to_all() -> Iterator[None]:
    """A server that listens beyond this machine."""
    before = config.get_option("server.address")
    config.set_option("server.address", "0.0.0.0")
    yield
    config.set_option("server.address", before)


def person(name: str) -> dict:
    """Somebody signed in."""
    return {"is_logged_in": True, "iss": "https://login.example.org", "sub": name, "name": name.capitalize()}


def run(page: AppTest) -> AppTest:
    page.run()
    assert not page.exception
    return page


def open_page(user: dict | None = None, sign_in: dict = SIGN_IN) -> AppTest:
    """The Caption page; with a user, signed in or not, on a server with sign-in."""
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    page.context["locale"] = "en-US"
    if user is not None:
        page.secrets = sign_in
        page.user = user
    return run(page)


def press(page: AppTest, label: str) -> AppTest:
    next(button for button in page.button if button.label == label).click()
    return run(page)


def caption(page: AppTest, sample: str = "Flower") -> AppTest:
    return press(press(page, sample), "Start Captioning")


def go(page: AppTest, view: str = "history") -> AppTest:
    return run(page.switch_page(f"pages/{view}.py"))


def said(page: AppTest) -> list[str]:
    return [element.value for element in [*page.info, *page.warning, *page.error]]


def saved(url: str, owner: str = "local") -> list:
    return History(open_database(url), owner).posts()


def buttons(page: AppTest) -> list[str]:
    return [button.label for button in page.button]


def test_a_caption_is_kept_once_and_found(url):
    page = caption(open_page())
    (first,) = saved(url)
    run(page)
    (post,) = saved(url)
    assert post.variants == first.variants and len(post.variants) == 5
    assert post.cover.seen.caption == page.session_state["opened"]["flower"].result.caption
    press(page, "Shuffle")
    (post,) = saved(url)
    assert len(post.variants) == 5 and post.choices.seed == 1
    assert not {v.text for v in post.variants} <= {v.text for v in first.variants}

    go(page)
    assert post.cover.seen.caption.capitalize() + "." in buttons(page)
    page.text_input(key="history-search").set_value("zeppelin")
    assert TEXT["history.none"] in [caption.value for caption in run(page).caption]


def test_an_empty_history_explains_itself():
    assert TEXT["history.empty"] in said(go(open_page()))


def test_a_post_is_reopened_starred_and_deleted(url):
    page = go(caption(open_page()))
    (post,) = saved(url)
    press(page, post.cover.seen.caption.capitalize() + ".")
    press(page, "Star post 2")
    assert [variant.text for variant in saved(url)[0].variants if variant.starred] == [post.variants[1].text]
    assert "Unstar post 2" in buttons(page)

    press(page, TEXT["history.reopen"])
    assert page.title[0].value == TEXT["title"]
    assert TEXT["history.reopened"] in [caption.value for caption in page.caption]
    assert page.session_state["desk"].starred == [post.variants[1].text]
    assert "Start Captioning" not in buttons(page)
    go(page, "caption")  # where it is already; a test stays where it went last
    next(widget for widget in page.get("button_group") if widget.key == "tone").set_value("poetic")
    run(page)
    (again,) = saved(url)  # the same post, though only its thumbnail is there
    assert again.id == post.id and again.choices.tone == "poetic" and len(again.variants) == 6

    press(press(go(page), post.cover.seen.caption.capitalize() + "."), TEXT["history.delete.yes"])
    assert not saved(url) and TEXT["history.empty"] in said(page)


def cards(page: AppTest) -> list[str]:
    """The texts of the posts on the Caption page."""
    shown = [json.loads(element.proto.json) for element in page.get("bidi_component")]
    return [data["text"] for data in shown if "limits" in data]


def test_a_carousel_is_one_post_and_comes_back_whole(url):
    page = open_page()
    page.file_uploader[0].set_value([(p["name"], p["buffer"], p["mimeType"]) for p in small_photos()])
    press(run(page), "Start Captioning")
    (post,) = saved(url)
    captions = [photo.result.caption for photo in page.session_state["opened"].values()]
    assert len(captions) == 3 and [picture.seen.caption for picture in post.pictures] == captions
    press(page, "Shuffle")
    press(page, "Shuffle")
    (latest,) = saved(url)
    assert latest.id == post.id and latest.choices.seed == 2

    history = History(open_database(url), "local")
    star, copy, edit = (variant.text for variant in latest.variants[1:4])
    press(page, "Shuffle")  # none of these three is written any more
    history.mark(post.id, star, starred=True)
    history.mark(post.id, copy, copied=True)
    history.mark(post.id, edit, edited="Written by hand")

    later = go(open_page())
    assert any(caption.value.endswith("Plain · 3 photos · ★") for caption in later.caption)
    press(later, captions[0].capitalize() + ".")
    assert [tab.label for tab in later.tabs] == ["Photo 1", "Photo 2", "Photo 3"]
    press(later, TEXT["history.reopen"])
    assert [photo.result.caption for photo in later.session_state["opened"].values()] == captions
    assert cards(later)[:3] == [star, "Written by hand", copy] and len(cards(later)) == 8
    assert [again.id for again in saved(url)] == [post.id]


def test_who_comes_back_can_go_on(url):
    page = open_page()
    assert TEXT["history.go_on"] not in buttons(page)  # there is nothing yet
    caption(page)
    (post,) = saved(url)
    page.session_state["opened"].clear()
    assert TEXT["history.go_on"] not in buttons(run(page))  # this visitor put the photo away

    page = open_page()
    assert not cards(page)  # an old post is not in the way
    press(page, TEXT["history.go_on"])
    assert cards(page) == [variant.text for variant in post.variants]
    assert TEXT["history.reopened"] in [caption.value for caption in page.caption]

    go(page := open_page()).toggle(key="keep-history").set_value(False)
    assert TEXT["history.go_on"] not in buttons(go(run(page), "caption"))  # switched off
    assert TEXT["history.go_on"] not in buttons(open_page(person("ada")))  # somebody else's


def test_what_is_not_alike_is_not_shown(url):
    history = History(open_database(url), "local")
    one, other = make_picture(1).embedding, make_picture(2).embedding  # nearly orthogonal
    for number, cosine in ((1, 1.0), (2, 0.75), (3, 0.5)):
        vector = cosine * one + (1 - cosine**2) ** 0.5 * other
        seen = Seen(f"picture {number}", {}, "square", ("red",))
        first = history.save(make_post(number, seen=seen, embedding=vector / np.linalg.norm(vector)))
        first -= number - 1
    page = open_page()
    page.query_params["post"] = str(first)
    go(page)
    assert [label for label in buttons(page) if label.startswith("Picture")] == ["Picture 2."]


def test_delete_all(url):
    page = go(caption(caption(open_page(), "Temple")))
    assert len(saved(url)) == 2
    press(page, TEXT["history.delete_all.yes"])
    assert not saved(url)


def test_who_is_signed_in_sees_only_their_own(url):
    ada, bob = open_page(person("ada")), open_page(person("bob"))
    go(caption(ada))
    (post,) = saved(url, "https://login.example.org|ada")
    assert not saved(url) and not saved(url, "https://login.example.org|bob")
    assert TEXT["history.empty"] in said(go(bob))

    bob.query_params["post"] = str(post.id)
    assert TEXT["history.gone"] in said(run(bob))
    assert post.cover.seen.caption.capitalize() + "." not in buttons(bob)


@pytest.mark.parametrize(
    "auth", [{}, {"cookie_secret": ""}, {"cookie_secret": "x" * 31}, {"cookie_secret": 10**40}, "on"]
)
def test_nobody_is_believed_where_cookies_can_be_forged(url, monkeypatch, auth):
    monkeypatch.setenv("IMG2PROMPT_HISTORY", "on")
    History(open_database(url), "https://login.example.org|ada").save(make_post(0))
    History(open_database(url), "local").save(make_post(1))
    page = open_page(person("ada"), {"auth": auth})
    for view in ("caption", "history", "dashboard", "batch"):
        (error,) = go(page, view).error
        assert "cookie_secret" in error.value
        assert not page.button and not page.metric and not page.file_uploader


def test_secrets_that_cannot_be_read_are_not_taken_for_none(url, tmp_path, monkeypatch):
    monkeypatch.setenv("IMG2PROMPT_HISTORY", "on")
    file = tmp_path / "secrets.toml"
    file.write_text("[auth\n")
    before = config.get_option("secrets.files")
    config.set_option("secrets.files", [str(file)])
    try:
        page = open_page()
    finally:
        config.set_option("secrets.files", before)
    assert str(file) in page.error[0].value and not page.button


@pytest.mark.parametrize("user", [{"is_logged_in": False}, {"is_logged_in": True, "name": "Nobody"}])
def test_without_an_identity_nothing_is_kept(url, user):
    page = caption(open_page(user))
    assert not said(page)
    go(page)
    assert TEXT["history.sign_in"] in said(page) or not user["is_logged_in"]
    with open_database(url).connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM posts").scalar() == 0


@pytest.mark.slow
def test_open_to_all_there_is_a_history_only_on_request(url, open_to_all, monkeypatch):
    page = caption(open_page())
    assert not saved(url)
    assert TEXT["history.off"] in said(go(page))
    monkeypatch.setenv("IMG2PROMPT_HISTORY", "on")
    go(caption(open_page()))
    assert len(saved(url)) == 1


def test_under_another_name_there_is_no_history(url, request_headers):
    caption(open_page())
    request_headers({"Host": "captions.example.org"})
    page = caption(open_page(), "Temple")
    assert len(saved(url)) == 1
    assert TEXT["history.off"] in said(go(page))
    assert TEXT["history.off"] in said(go(page, "dashboard"))


@pytest.mark.parametrize("view", ["caption", "history", "dashboard"])
def test_an_answer_that_is_neither_yes_nor_no_is_explained(url, monkeypatch, view):
    page = open_page()
    monkeypatch.setenv("IMG2PROMPT_HISTORY", "disabled")
    go(page, view)
    assert [error.value.split(";")[0] for error in page.error] == ["IMG2PROMPT_HISTORY is 'disabled'"]


def test_switched_off_by_the_server(url, monkeypatch):
    monkeypatch.setenv("IMG2PROMPT_HISTORY", "off")
    page = caption(open_page())
    assert not saved(url) and TEXT["history.switched_off"] in said(go(page))


def test_switched_off_by_the_visitor(url):
    page = caption(open_page())
    go(page).toggle(key="keep-history").set_value(False)
    assert TEXT["history.paused"] in said(run(page))
    go(page, "caption")
    caption(page, "Temple")
    assert len(saved(url)) == 1  # what was kept before stays
    go(page).toggle(key="keep-history").set_value(True)
    run(page)
    go(page, "caption")
    assert len(saved(url)) == 2


def test_a_history_that_fails_costs_no_caption(url, tmp_path):
    open_database(url).dispose()
    database = sqlite3.connect(tmp_path / "history.db")
    database.execute("DROP TABLE thumbnails")
    database.commit()
    page = caption(open_page())
    assert page.session_state["opened"]["flower"].result and len(page.get("bidi_component")) > 5
    (warning,) = page.warning
    assert warning.value.startswith("This is not in your history: The history")
    press(page, "Shuffle")
    assert page.warning


def test_a_database_that_cannot_be_opened_costs_no_caption(tmp_path, monkeypatch):
    (tmp_path / "text.db").write_text("no database " * 1000)
    monkeypatch.setenv("IMG2PROMPT_DATABASE_URL", f"sqlite:///{tmp_path / 'text.db'}")
    page = caption(open_page())
    assert page.session_state["opened"]["flower"].result
    assert "is damaged or no SQLite database" in page.warning[0].value
    assert "is damaged or no SQLite database" in go(page).error[0].value


def test_a_post_with_a_damaged_thumbnail_is_not_offered(url, tmp_path):
    caption(open_page())
    assert TEXT["history.go_on"] in buttons(open_page())
    with closing(sqlite3.connect(tmp_path / "history.db")) as database, database:
        ((webp,),) = database.execute("SELECT webp FROM thumbnails")
        database.execute("UPDATE thumbnails SET webp = ?", [webp[:12] + bytes(len(webp) - 12)])
    page = open_page()
    assert not page.exception and TEXT["start"] not in buttons(page)
    assert TEXT["history.go_on"] not in buttons(page)


def test_damaged_posts_are_passed_by_and_can_be_deleted(url, tmp_path):
    history = History(open_database(url), "local")
    first, second = history.save(make_post(1)), history.save(make_post(2))
    with closing(sqlite3.connect(tmp_path / "history.db")) as database:
        database.execute("UPDATE pictures SET colours = '[' WHERE post_id = ?", [second])
        database.execute("UPDATE posts SET created_at = 'never' WHERE id = ?", [second])
        database.commit()
    page = go(open_page())
    assert [warning.value for warning in page.warning] == [TEXT["history.damaged"].format(count=1)]
    assert "A brown dog runs on the beach." in buttons(page)
    assert not go(page, "dashboard").error
    press(go(page), TEXT["history.damaged.delete"])
    assert not page.warning and [post.id for post in history.posts()] == [first]


def test_a_mark_of_a_deleted_post_is_not_lost_in_silence(url, monkeypatch):
    history = History(open_database(url), "local")
    post = make_post(1)
    photo = Photo("photo", lambda: Image.new("RGB", (8, 6)), post=replace(post, id=history.save(post)))
    monkeypatch.setattr(keeping, "_writable", lambda: history)
    keeping.mark([photo], "first of 1", starred=True)
    history.delete_all()
    with pytest.raises(HistoryError, match="deleted there meanwhile"):
        keeping.mark([photo], "first of 1", edited="mine")
    keeping.keep([photo], post.choices, [])
    keeping.mark([photo], "first of 1", edited="mine")
    [again] = history.posts()
    assert again.id == photo.post.id and again.variants[0].now == "mine"


def test_failures_are_noted(url):
    page = open_page()
    page.file_uploader[0].set_value([("notes.jpg", b"Milk, eggs", "image/jpeg")])
    run(page)
    with open_database(url).connect() as connection:
        rows = connection.exec_driver_sql("SELECT owner, step FROM failures").all()
    assert rows == [("local", "open")]
