"""The first page, path by path, with the real pipeline behind it."""

import json
import re
import string
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO

import pytest
from PIL import Image, ImageDraw
from streamlit.testing.v1 import AppTest

import img2prompt
from img2prompt.images import SUFFIXES
from img2prompt.posts import Choices, alt_text, compose, tones
from img2prompt.posts.themes import hint_for
from img2prompt.web.caption import choices, reading
from img2prompt.web.caption.cards import Desk
from img2prompt.web.caption.photos import MOST_PHOTOS
from img2prompt.web.shared import pipelines
from img2prompt.web.shared.i18n import catalogue
from tests.helpers import ROOT
from tests.helpers.pictures import towers


def open_page(locale: str = "en-US") -> AppTest:
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    page.context["locale"] = locale
    page.run()
    assert not page.exception
    return page


def press(page: AppTest, label: str) -> AppTest:
    next(button for button in page.button if button.label == label).click()
    page.run()
    assert not page.exception
    return page


def upload(page: AppTest, *files: tuple[str, bytes]) -> AppTest:
    page.file_uploader[0].set_value([(name, data, "image/png") for name, data in files])
    page.run()
    assert not page.exception
    return page


def choose(page: AppTest, name: str, value: object) -> AppTest:
    key = {"hashtags": "hashtags-instagram"}.get(name, name)
    widgets = [*page.get("button_group"), *page.slider, *page.selectbox, *page.text_input, *page.text_area]
    next(widget for widget in widgets if widget.key == key).set_value(value)
    page.run()
    assert not page.exception
    return page


def shown(page: AppTest) -> list:
    """The data of every component on the page."""
    return [json.loads(element.proto.json) for element in page.get("bidi_component")]


def words(page: AppTest) -> dict[str, str]:
    """Title → text of everything that can be copied, besides the posts."""
    return {data["title"]: data["text"] for data in shown(page) if "title" in data}


def labels(page: AppTest) -> list[str]:
    return [table["title"] for data in shown(page) if isinstance(data, list) for table in data]


def posts(page: AppTest) -> list[str]:
    return [data["text"] for data in shown(page) if "limits" in data]


def written(page: AppTest, **choices: object) -> list[str]:
    """The posts that the composer writes for the photos of a page."""
    seen = [photo.seen for photo in page.session_state["opened"].values()]
    return [variant.text for variant in compose(seen, Choices(**choices))]


@pytest.fixture(scope="module")
def looks() -> Iterator[list[int]]:
    """How many pictures the model has looked at, call by call."""
    calls = []
    original = img2prompt.Pipeline.__call__

    def counted(self, images, style=None):
        calls.append(len(images))
        return original(self, images, style)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(img2prompt.Pipeline, "__call__", counted)
        yield calls


@pytest.fixture(scope="module")
def flower(looks) -> AppTest:
    """A page with posts about the flower. Tests that change a choice leave it changed."""
    return press(press(open_page(), "Flower"), "Start Captioning")


def drawing(colour: str = "#c62828") -> bytes:
    """A ball on grass under a blue sky, as PNG."""
    image = Image.new("RGB", (320, 240), "#7fb2e5")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 150, 320, 240), fill="#3f8f3f")
    draw.ellipse((120, 110, 200, 190), fill=colour)
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def test_start_page_asks_for_a_photo():
    page = open_page()
    assert page.title[0].value == "Captioning for Instagram"
    assert set(SUFFIXES) <= set(page.file_uploader[0].allowed_type)
    assert "Start Captioning" not in [button.label for button in page.button]
    assert not words(page) and not posts(page)


def test_sample_photo_gets_words():
    page = press(press(open_page(), "Flower"), "Start Captioning")
    caption, prompt = words(page)["Caption"], words(page)["Prompt"]
    assert caption[0].isupper() and caption.endswith(".")
    assert prompt.lower().startswith(caption[:-1].lower())
    assert labels(page) == ["Mediums", "Movements", "Flavors"]
    assert any("Lite engine" in caption.value for caption in page.caption)


def test_uploaded_photo_gets_words_and_keeps_them():
    page = upload(open_page(), ("ball.png", drawing()))
    page = press(page, "Start Captioning")
    before = words(page)
    assert before["Caption"]
    page.run()  # what any later click does: the script runs again, the model does not
    assert words(page) == before


def test_file_that_is_no_picture_is_explained():
    page = upload(open_page(), ("notes.jpg", b"Milk, eggs, flour"))
    assert page.error[0].value.startswith("notes.jpg")
    page = press(upload(page, ("ball.png", drawing())), "Start Captioning")
    assert not page.error and words(page)["Caption"]


@pytest.mark.parametrize("change", ["sample", "upload", "removal"])
def test_words_go_with_their_picture(change):
    page = press(upload(open_page(), ("ball.png", drawing())), "Start Captioning")
    assert words(page)
    if change == "sample":
        press(page, "Temple")
        assert not page.file_uploader[0].value  # no file name beside another picture
    elif change == "upload":
        upload(page, ("notes.jpg", b"Milk, eggs, flour"))
        assert not page.get("imgs")
    else:
        page.file_uploader[0].set_value([])
        page.run()
        assert not page.get("imgs")
    assert not words(page) and not posts(page)


def test_an_uploader_that_has_left_takes_no_photo_away():
    page = open_page()
    earlier = page.get("file_uploader")[0].proto.id
    press(page, "Temple")
    # What a browser sends when the next click comes before it has drawn the page to its end.
    states = page._tree.get_widget_states()
    states.widgets.add(id=earlier).file_uploader_state_value.SetInParent()
    page._run(states)
    assert [photo.key for photo in page.session_state["opened"].values()] == ["temple"]
    assert "Start Captioning" in [button.label for button in page.button]


@pytest.mark.parametrize(
    ("choice", "value"),
    [("tone", tone) for tone in tones() if tone != Choices.tone]
    + [("goal", "question"), ("goal", "save"), ("goal", "tag")]
    + [("emoji", "off"), ("emoji", "many"), ("length", "line"), ("length", "long")]
    + [("variants", 1), ("variants", 10), ("note", "Busan, with Mina")],
)
def test_choice_changes_the_posts_without_another_look(flower, looks, choice, value):
    before = len(looks)
    default = getattr(Choices(hashtags=5), choice)
    assert posts(choose(flower, choice, default)) == written(flower)
    choose(flower, choice, value)
    assert posts(flower) == written(flower, **{choice: value}) != written(flower)
    choose(flower, choice, default)
    assert len(looks) == before


def test_the_number_of_hashtags():
    page = press(upload(open_page(), ("tower.png", towers())), "Start Captioning")
    assert all(3 <= post.count("#") <= 5 for post in posts(page))
    assert all(post.count("#") == 2 for post in posts(choose(page, "hashtags", 2)))
    assert all("#" not in post for post in posts(choose(page, "hashtags", 0)))


def test_the_platform_sets_what_a_post_may_have(flower):
    choose(flower, "platform", "x")
    assert posts(flower) == written(flower, platform="x")
    slider = next(slider for slider in flower.slider if slider.key == "hashtags-x")
    assert (slider.max, slider.value) == (5, 1)
    cards = [data for data in shown(flower) if isinstance(data, dict) and "limits" in data]
    assert {json.dumps(card["limits"]) for card in cards} == {'{"first": 280, "all": 280, "weighted": true}'}
    choose(flower, "platform", "instagram")
    assert posts(flower) == written(flower)


def test_posts_follow_the_visitors_own_captions(flower):
    own = "back in the water, finally!\n\nsunday was for pancakes!\n\nnew week, same coffee!"
    choose(flower, "voice", own)
    assert posts(flower) == written(flower, voice=own.split("\n\n"), hashtags=5)
    assert all(post == post.lower() and "!" in post for post in posts(flower))
    choose(flower, "voice", "#only #tags")
    assert "no captions" in " ".join(error.value for error in flower.error)
    choose(flower, "voice", "")
    assert posts(flower) == written(flower)


def test_the_example_of_a_detail_is_one_of_the_topic():
    page = press(upload(open_page(), ("tower.png", towers())), "Start Captioning")
    field = next(field for field in page.text_input if field.key == "note")
    (photo,) = page.session_state["opened"].values()
    assert field.placeholder == hint_for(photo.seen, "en") != ""
    assert field.placeholder != catalogue("en")["note.placeholder"]


def test_shuffle_writes_others_without_another_look(flower, looks):
    before, first = len(looks), posts(flower)
    second = posts(press(flower, "Shuffle"))
    third = posts(press(flower, "Shuffle"))
    assert len(first) == len(second) == len(third) == 5
    assert len({*first, *second, *third}) > 10
    assert len(looks) == before


def test_posts_stay_where_they_are_until_others_are_written():
    desk = Desk([], starred=["s"])
    assert desk.posts(["a", "b"]) == ["s", "a", "b"]
    desk.edit("a", "my a")
    desk.edit("b", "my b")
    assert desk.posts(["c", "d"]) == ["s", "a", "b", "c", "d"]

    # Neither an edit, nor a star, nor the end of either moves or removes one.
    desk.edit("a", "my other a")
    desk.starred = ["b", "d"]
    assert desk.posts(["c", "d"]) == ["s", "a", "b", "c", "d"]
    desk.edit("a", "a")
    assert desk.now("a") == "a" and desk.posts(["c", "d"]) == ["s", "a", "b", "c", "d"]

    assert desk.posts(["b", "e"]) == ["d", "b", "e"]  # also where one is written again


def test_browser_decides_the_language_and_the_switch_overrides():
    page = press(press(open_page("ko-KR"), "꽃"), "캡션 만들기")
    assert page.title[0].value == catalogue("ko")["title"]
    choose(choose(page, "tone", "poetic"), "emoji", "off")
    assert posts(page) == written(page, tone="poetic", emoji="off", language="ko")
    assert all(re.search("[가-힣]", post) for post in posts(page))

    said = [*page.markdown, *page.caption, *page.header]
    asked = [*page.button, *page.get("button_group"), *page.slider, *page.text_input, *page.toggle]
    for text in [element.value for element in said] + [element.label for element in asked]:
        assert re.search("[가-힣]", text), text

    choose(page, "language", "en")
    assert page.title[0].value == "Captioning for Instagram"
    assert posts(page) == written(page, tone="poetic", emoji="off")  # the choices are the same
    assert "Caption" in words(page)


def test_other_languages_read_english():
    assert open_page("fr-FR").title[0].value == "Captioning for Instagram"


def test_several_photos_make_one_carousel(looks):
    page = upload(open_page(), ("ball.png", drawing()), ("blue.png", drawing("#3355cc")))
    press(page, "Start Captioning")
    upload(page, *[(f"{colour}.png", drawing(colour)) for colour in ("#c62828", "#3355cc", "#eeee44")])
    assert not posts(page)  # one has not been looked at yet
    press(page, "Start Captioning")
    opened = page.session_state["opened"].values()
    assert [words(page)[f"Alt text {number}"] for number in (1, 2, 3)] == [alt_text(p.seen) for p in opened]
    assert posts(page) == written(page)
    assert [tab.label for tab in page.tabs] == ["Photo 1", "Photo 2", "Photo 3"]


def test_a_second_click_on_start_asks_for_no_other_photo():
    page = press(upload(open_page(), ("ball.png", drawing())), "Start Captioning")
    for photo in page.session_state["opened"].values():
        reading.ask_for([photo])  # what the button does, if it is pressed while the posts are being drawn
    page.run()
    assert not any(photo.asked for photo in page.session_state["opened"].values())


def test_too_many_photos_are_cut():
    page = upload(open_page(), *[(f"{n}.png", drawing()) for n in range(MOST_PHOTOS + 1)])
    assert str(MOST_PHOTOS) in page.error[0].value
    assert len(page.session_state["opened"]) == MOST_PHOTOS


def test_what_a_browser_remembers_is_what_was_chosen():
    chosen = Choices("poetic", "tag", "off", "long", 0, 10, note="with Mina", seed=3)
    cookie = choices.as_cookie(chosen)
    assert "Mina" not in cookie and set(cookie) <= set(string.ascii_letters + string.digits + "=&+%-._~")
    assert choices.as_choices(cookie) == replace(chosen, note="", seed=0)


@pytest.mark.parametrize(
    "cookie",
    [
        "",
        "&&==",
        "tone",
        "=plain",
        "%",
        "%ff%00=%ff",
        "tone=plain%00",
        "tone=../plain",
        "tone=<script>",
        "goal=sell",
        "platform=myspace",
        "platform=x&hashtags=6",
    ]
    + [
        f"{name}={value}"
        for name in ("hashtags", "variants")
        for value in ("", "-1", "31", "1e3", "٣", "05", "9" * 9)
    ]
    + ["variants=0", "note=Mina", "seed=7", "tone=&tone=", "&".join(f"a{n}=1" for n in range(99))],
)
def test_what_no_form_sent_is_not_remembered(cookie):
    assert choices.as_choices(cookie) == Choices(platform="x" if "=x" in cookie else "instagram")
    assert choices.as_choices(f"{cookie}&length=long").length in ("long", "short")


def test_a_long_note_is_cut_and_says_so(flower):
    choose(flower, "note", "at " + "word " * 79)
    assert [warning.value for warning in flower.sidebar.warning] == [
        catalogue("en")["note.cut"].format(most=300)
    ]
    seed = flower.session_state["desk"].seed  # of what other tests have shuffled
    assert posts(flower) == written(flower, note="at" + " word" * 59, seed=seed)
    choose(flower, "note", "")
    assert not flower.warning


def announced(page: AppTest) -> str:
    """What a screen reader is told."""
    (words,) = [data for data in shown(page) if isinstance(data, dict) and set(data) == {"caption", "posts"}]
    return f"{words['caption']} {words['posts']}".strip()


def test_a_screen_reader_hears_of_the_caption():
    page = open_page()
    assert announced(page) == ""
    assert announced(press(page, "Flower")) == ""
    press(page, "Start Captioning")
    assert announced(page) == f"{words(page)['Caption']} The posts are ready."
    before = announced(page)
    assert announced(press(page, "Shuffle")) == announced(choose(page, "tone", "poetic")) == before
    assert announced(press(page, "Temple")) == ""


def test_a_visit_to_another_page_loses_nothing():
    page = press(upload(open_page(), ("ball.png", drawing())), "Start Captioning")
    before = posts(choose(choose(page, "tone", "poetic"), "note", "Busan, with Mina"))
    page.switch_page("pages/batch.py").run()
    assert page.title[0].value == "Many pictures at once"
    page.switch_page("pages/caption.py").run()
    assert posts(page) == before
    upload(page, ("blue.png", drawing("#3355cc")))
    assert len(page.session_state["opened"]) == 1 and not posts(page)


def test_unreadable_file_does_not_stop_the_others():
    page = upload(open_page(), ("notes.jpg", b"Milk, eggs, flour"), ("ball.png", drawing()))
    assert page.error[0].value.startswith("notes.jpg")
    assert words(press(page, "Start Captioning"))["Caption"]


def test_camera_waits_until_it_is_wanted():
    page = open_page()
    assert not page.get("camera_input")
    page.toggle[0].set_value(True).run()
    assert page.get("camera_input")


@pytest.mark.slow
def test_visitors_share_the_model_but_not_the_photo(monkeypatch):
    loads = []
    load_pipeline = img2prompt.load_pipeline

    def counted(wanted):
        loads.append(1)
        return load_pipeline(wanted)

    monkeypatch.setattr(img2prompt, "load_pipeline", counted, raising=False)
    pipelines.pipelines.clear()
    first, second = open_page(), open_page()
    press(press(first, "Flower"), "Start Captioning")
    assert not words(second.run())
    press(press(second, "Temple"), "Start Captioning")
    assert len(loads) == 1
    assert words(first)["Caption"] != words(second)["Caption"]


def test_unusable_setting_is_explained(monkeypatch):
    monkeypatch.setenv("IMG2PROMPT_STYLE", "baroque")
    assert "baroque" in open_page().error[0].value


@pytest.mark.slow
def test_damaged_weights_are_explained(monkeypatch, tmp_path):
    (tmp_path / "lite").mkdir()
    (tmp_path / "lite" / "model.safetensors").write_bytes(b"half a download")
    monkeypatch.setenv("IMG2PROMPT_MODELS", str(tmp_path))
    pipelines.pipelines.clear()
    page = press(press(open_page(), "Flower"), "Start Captioning")
    assert str(tmp_path) in page.error[0].value and not words(page)

    monkeypatch.undo()  # the next press finds the weights again
    press(page, "Start Captioning")
    assert not page.error and words(page)["Caption"]


def test_only_the_file_of_a_photo_stays_in_memory_once_there_are_words():
    page = upload(open_page(), ("red.png", drawing()))
    (photo,) = page.session_state["opened"].values()
    pixels = photo.picture.tobytes()
    assert any(isinstance(kept, Image.Image) for kept in vars(photo).values())
    press(page, "Start Captioning")
    assert words(page)["Caption"]
    assert not any(isinstance(kept, Image.Image) for kept in vars(photo).values())
    assert photo.picture.tobytes() == pixels
