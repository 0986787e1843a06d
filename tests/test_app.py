"""The first page, path by path, with the real pipeline behind it."""

import json
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from streamlit.testing.v1 import AppTest

import img2prompt
from img2prompt.web import model

APP = str(Path(__file__).parents[1] / "app.py")


def open_page() -> AppTest:
    page = AppTest.from_file(APP, default_timeout=300).run()
    assert not page.exception
    return page


def press(page: AppTest, label: str) -> AppTest:
    next(button for button in page.button if button.label == label).click()
    page.run()
    assert not page.exception
    return page


def upload(page: AppTest, name: str, data: bytes) -> AppTest:
    page.file_uploader[0].set_value((name, data, "image/png"))
    page.run()
    assert not page.exception
    return page


def words(page: AppTest) -> dict[str, str]:
    """Title → text of everything that can be copied."""
    shown = [json.loads(element.proto.json) for element in page.get("bidi_component")]
    return {data["title"]: data["text"] for data in shown if "title" in data}


def labels(page: AppTest) -> list[str]:
    shown = [json.loads(element.proto.json) for element in page.get("bidi_component")]
    return [table["title"] for data in shown if isinstance(data, list) for table in data]


def drawing() -> bytes:
    """A red ball on grass under a blue sky, as PNG."""
    image = Image.new("RGB", (320, 240), "#7fb2e5")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 150, 320, 240), fill="#3f8f3f")
    draw.ellipse((120, 110, 200, 190), fill="#c62828")
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def test_start_page_asks_for_a_photo():
    page = open_page()
    assert page.title[0].value == "Captioning for Instagram"
    assert {"png", "heic", "avif"} <= {kind.lstrip(".") for kind in page.file_uploader[0].allowed_type}
    assert "Start Captioning" not in [button.label for button in page.button]
    assert not words(page)


def test_sample_photo_gets_words():
    page = press(press(open_page(), "Flower"), "Start Captioning")
    caption, prompt = words(page)["Caption"], words(page)["Prompt"]
    assert caption[0].isupper() and caption.endswith(".")
    assert prompt.lower().startswith(caption[:-1].lower())
    assert labels(page) == ["Mediums", "Movements", "Flavors"]
    assert any("lite engine" in caption.value for caption in page.caption)


def test_uploaded_photo_gets_words_and_keeps_them():
    page = upload(open_page(), "ball.png", drawing())
    page = press(page, "Start Captioning")
    before = words(page)
    assert before["Caption"]
    page.run()  # what any later click does: the script runs again, the model does not
    assert words(page) == before


def test_file_that_is_no_picture_is_explained():
    page = upload(open_page(), "notes.jpg", b"Milk, eggs, flour")
    assert page.error[0].value.startswith("notes.jpg")
    page = press(upload(page, "ball.png", drawing()), "Start Captioning")
    assert not page.error and words(page)["Caption"]


@pytest.mark.parametrize("change", ["sample", "upload", "removal"])
def test_words_go_with_their_picture(change):
    page = press(upload(open_page(), "ball.png", drawing()), "Start Captioning")
    assert words(page)
    if change == "sample":
        press(page, "Temple")
        assert page.file_uploader[0].value is None  # no file name beside another picture
    elif change == "upload":
        upload(page, "notes.jpg", b"Milk, eggs, flour")
        assert not page.get("imgs")
    else:
        page.file_uploader[0].clear()
        page.run()
        assert not page.get("imgs")
    assert not words(page)


def test_visitors_share_the_model_but_not_the_photo(monkeypatch):
    loads = []
    load_pipeline = img2prompt.load_pipeline

    def counted():
        loads.append(1)
        return load_pipeline()

    monkeypatch.setattr(img2prompt, "load_pipeline", counted, raising=False)
    model.start_loading.clear()
    first, second = open_page(), open_page()
    press(press(first, "Flower"), "Start Captioning")
    press(first, "Start Captioning")
    assert not words(second.run())
    press(press(second, "Temple"), "Start Captioning")
    assert len(loads) == 1
    assert words(first)["Caption"] != words(second)["Caption"]


def test_unusable_setting_is_explained(monkeypatch):
    monkeypatch.setenv("IMG2PROMPT_STYLE", "baroque")
    assert "baroque" in open_page().error[0].value


def test_damaged_weights_are_explained(monkeypatch, tmp_path):
    (tmp_path / "lite").mkdir()
    (tmp_path / "lite" / "model.safetensors").write_bytes(b"half a download")
    monkeypatch.setenv("IMG2PROMPT_MODELS", str(tmp_path))
    model.start_loading.clear()
    page = press(press(open_page(), "Flower"), "Start Captioning")
    assert str(tmp_path) in page.error[0].value and not words(page)

    monkeypatch.undo()  # the next press finds the weights again
    press(page, "Start Captioning")
    assert not page.error and words(page)["Caption"]
