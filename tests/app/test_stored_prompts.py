"""What a photo's file says, on the pages, with the real pipeline."""

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from img2prompt.history import History, open_database
from img2prompt.history.database import default_url
from tests.app.test_caption_page import open_page, posts, press, shown, upload, words
from tests.helpers import stored as files
from tests.helpers.pictures import FLOWER
from tests.helpers.stored import DREAM, INFOTEXT, UGLY

TITLE = "The prompt stored in this file"


def photo(**texts: str) -> bytes:
    return files.png(texts, Image.open(FLOWER).resize((160, 120)))


def noted() -> bytes:
    texts = {"Title": "Mina's *first* garden", "Description": "We planted it together. " * 30}
    data = files.png(texts, Image.open(FLOWER).resize((160, 120)))
    return data


def suggestions(page: AppTest) -> list[str]:
    return [button.label for button in page.button if str(button.key).startswith("suggest-")]


def test_the_stored_prompt_is_there_at_once_and_takes_the_place_of_ours_when_asked():
    page = upload(open_page(), ("dream.png", photo(parameters=INFOTEXT)))
    assert words(page)[TITLE] == DREAM  # before anything is read
    assert words(page)["Negative prompt in the file"] == UGLY
    assert any(
        "dreamy_v3, DPM++ 2M Karras, 28 steps" in caption.value.replace("\\", "") for caption in page.caption
    )
    assert not page.toggle or all("instead" not in toggle.label for toggle in page.toggle)
    press(page, "Start Captioning")
    ours = words(page)["Prompt"]
    assert ours != DREAM and words(page)[TITLE] == DREAM
    use = next(toggle for toggle in page.toggle if toggle.label == "Use it instead of ours")
    use.set_value(True).run()
    assert not page.exception and words(page)["Prompt"] == DREAM
    assert not any("lighthouse" in post for post in posts(page))
    next(toggle for toggle in page.toggle if toggle.label == "Use it instead of ours").set_value(False).run()
    assert words(page)["Prompt"] == ours


def test_the_history_keeps_the_prompt_that_was_chosen():
    history = History(open_database(default_url()), "local")
    history.delete_all()
    page = press(upload(open_page(), ("dream.png", photo(parameters=INFOTEXT))), "Start Captioning")
    ours = words(page)["Prompt"]
    assert [post.cover.prompt for post in history.posts(limit=1)] == [ours]
    next(toggle for toggle in page.toggle if toggle.label == "Use it instead of ours").set_value(True).run()
    assert [post.cover.prompt for post in history.posts(limit=2)] == [DREAM, ours]
    history.delete_all()


def test_posts_and_their_download_never_have_it():
    page = press(upload(open_page(), ("dream.png", photo(parameters=INFOTEXT))), "Start Captioning")
    next(toggle for toggle in page.toggle if toggle.label == "Use it instead of ours").set_value(True).run()
    texts = [
        *posts(page),
        *(text for title, text in words(page).items() if "Alt" in title or title == "Caption"),
    ]
    assert len(texts) > 5
    assert not any(word in text for text in texts for word in ("lighthouse", "dreamy", "blurry", "등대"))


def test_a_model_that_made_the_picture_is_named():
    made = f'Iptc4xmpExt:DigitalSourceType="{files.MADE_BY_A_MODEL}" xmp:CreatorTool="ChatGPT"'
    page = upload(open_page(), ("made.jpg", files.encoded("JPEG", xmp=files.xmp(made))))
    assert any("a model made this picture (ChatGPT)" in text.value for text in page.markdown)
    assert TITLE not in words(page)
    unnamed = files.xmp(f'Iptc4xmpExt:DigitalSourceType="{files.MADE_BY_A_MODEL}"')
    page = upload(open_page(), ("made.jpg", files.encoded("JPEG", xmp=unnamed)))
    assert any("a model made this picture, and" in text.value for text in page.markdown)


def test_notes_are_offered_and_used_only_when_pressed():
    page = upload(open_page(), ("garden.png", noted()))
    title, description = suggestions(page)
    assert title == "Mina's \\*first\\* garden" and description.endswith("…")
    assert page.text_input(key="note").value == ""
    press(page, "Start Captioning")
    assert posts(page) and not any("garden" in post and "Mina" in post for post in posts(page))
    press(page, title)
    assert page.text_input(key="note").value == "Mina's *first* garden"
    assert all("Mina's *first* garden" in post for post in posts(page))
    assert suggestions(page) == [description]
    too_long = next(button for button in page.button if button.label == description)
    assert too_long.disabled and "is no room" in too_long.help
    page.text_input(key="note").set_value("").run()
    press(page, description)
    note = page.text_input(key="note").value
    assert note.startswith("We planted it together.") and len(note) <= 300


def test_a_note_of_ones_own_stays_before_what_is_pressed():
    data = files.with_segment(0xED, files.iptc({55: ["20240531"], 90: ["Busan"]}))
    page = upload(open_page(), ("busan.jpg", data))
    assert suggestions(page) == ["Busan", "May 31, 2024"]
    page.text_input(key="note").set_value("with Mina").run()
    press(page, "Busan")
    assert page.text_input(key="note").value == "with Mina, Busan"
    korean = upload(open_page("ko-KR"), ("busan.jpg", data))
    assert "2024년 5월 31일" in suggestions(korean)


def test_nothing_that_was_typed_gives_way_to_what_is_pressed():
    page = upload(open_page(), ("busan.jpg", files.with_segment(0xED, files.iptc({90: ["Busan"]}))))
    story = "a long story. " * 22  # longer than posts take
    page.text_input(key="note").set_value(story)
    press(page, "Busan")  # before the page has heard of it
    assert page.text_input(key="note").value == story and page.button(key="suggest-Busan").disabled
    page.text_input(key="note").set_value(story[:280])
    page.run()
    assert press(page, "Busan").text_input(key="note").value == f"{story[:280].strip()}, Busan"


@pytest.mark.parametrize("server", [False, True])
def test_switched_off_nothing_of_it_is_shown(monkeypatch, server):
    if server:
        monkeypatch.setenv("IMG2PROMPT_STORED", "no")
    page = open_page()
    if not server:
        page.switch_page("pages/models.py").run()
        next(toggle for toggle in page.toggle if toggle.key == "models-stored").set_value(False).run()
        assert not page.exception
        page.switch_page("pages/caption.py").run()
    upload(page, ("dream.png", photo(parameters=INFOTEXT)))
    assert "lighthouse" not in str(shown(page))
    press(page, "Start Captioning")
    assert "lighthouse" not in str(shown(page)) and posts(page)


def test_two_photos_and_their_prompts():
    page = upload(
        open_page(), ("a.png", photo(parameters=INFOTEXT)), ("b.png", photo(parameters="a second one"))
    )
    assert words(page)["The prompt stored in the file of photo 1"] == DREAM
    assert words(page)["The prompt stored in the file of photo 2"] == "a second one"
