"""The first page where the engine can write posts: they come when asked for, one by one, beside the phrasebook's."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

import img2prompt
from img2prompt import Pipeline
from img2prompt.engines.base import Question
from img2prompt.errors import WeightsError
from img2prompt.history import History, open_database
from img2prompt.history.database import default_url
from img2prompt.posts import Choices, Variant
from img2prompt.web.caption import cards
from img2prompt.web.caption.cards import Desk
from img2prompt.web.caption.writing import Writing
from img2prompt.web.shared import pipelines
from img2prompt.web.shared.i18n import catalogue
from img2prompt.web.shared.photo import Photo
from tests.app.test_caption_page import choose, drawing, open_page, posts, press, shown, upload
from tests.helpers.chatting import MODEL, as_json, in_pieces, with_answers

WRITE = catalogue("en")["write"].format(model=MODEL)
GOOD = ["fetch is a serious business", "one more round", "today counts double"]
PATIENCE = 300  # seconds


def posts_of(*hooks: str) -> list[dict[str, str]]:
    return [{"hook": hook, "body": "", "call": ""} for hook in hooks]


@pytest.fixture
def talking(pipeline, monkeypatch) -> Iterator[Callable[..., list[Question]]]:
    """Have the app's engine chat, with the answers that a function gives; returns the questions."""

    def talk(answer: Callable[[Question], Iterable[str]]) -> list[Question]:
        chatting, asked = with_answers(pipeline, answer)

        def load(settings):
            return Pipeline(chatting.engine, chatting.sentences, chatting.tables, settings)

        monkeypatch.setattr(img2prompt, "load_pipeline", load, raising=False)
        pipelines.pipelines.clear()
        return asked

    yield talk
    pipelines.pipelines.clear()


def described() -> AppTest:
    return press(press(open_page(), "Flower"), "Start Captioning")


def writers(page: AppTest) -> list[str]:
    return [data["writer"] for data in shown(page) if "limits" in data]


def test_there_is_no_such_button_where_the_engine_cannot_write():
    pipelines.pipelines.clear()
    page = described()
    assert not any("Write with" in button.label for button in page.button)
    assert set(writers(page)) == {""}


def test_posts_come_one_by_one_while_the_model_writes(talking):
    drawn: list[bool] = []

    def answer(question: Question) -> Iterator[str]:
        yield 'Here you are:\n```json\n{"posts": ['
        for post in posts_of(*GOOD):
            yield from in_pieces(f"{json.dumps(post)}, ")
            until = time.monotonic() + PATIENCE
            while (
                not any(text.startswith(post["hook"]) for text in desk.written) and time.monotonic() < until
            ):
                time.sleep(0.02)
            drawn.append(any(text.startswith(post["hook"]) for text in desk.written))
        yield "]}"

    asked = talking(answer)
    page = choose(described(), "variants", 3)
    desk, before = page.session_state["desk"], posts(page)
    assert not asked
    press(page, WRITE)
    assert drawn[:2] == [True, True]  # the model is stopped after the third
    assert all(text.startswith(hook) for text, hook in zip(posts(page)[:3], GOOD, strict=True))
    assert posts(page)[3:] == before
    assert writers(page) == [f"By {MODEL}"] * 3 + ["By the phrasebook"] * 3
    assert len(asked) == 1 and asked[0].picture is not None


def test_what_is_refused_is_said_and_the_phrasebook_stays(talking):
    talking(lambda question: in_pieces(as_json(posts_of(GOOD[0], "Busan once more", "so #blessed"))))
    page = choose(described(), "variants", 3)
    before = posts(page)
    press(page, WRITE)
    assert posts(page)[0].startswith(GOOD[0]) and posts(page)[1:] == before
    assert any("1 of the 3 posts" in caption.value for caption in page.caption)


def test_a_choice_asks_the_model_for_nothing_and_its_posts_stay(talking):
    answers = iter([as_json(posts_of(*GOOD[:2])), as_json(posts_of(GOOD[2], GOOD[0]))])
    asked = talking(lambda question: in_pieces(next(answers)))
    page = press(choose(described(), "variants", 2), WRITE)
    first = posts(page)[:2]
    choose(page, "tone", "poetic")
    press(page, "Shuffle")
    assert posts(page)[:2] == first and len(asked) == 1

    desk = page.session_state["desk"]
    desk.starred.append(first[1])
    press(page, WRITE)  # others, which differ from the first
    assert posts(page)[0] == first[1] and posts(page)[1].startswith(GOOD[2])
    assert first[0] not in posts(page) and GOOD[0] in asked[1].text
    assert writers(page)[:2] == [f"By {MODEL}, for your earlier choices", f"By {MODEL}"]


def test_a_post_that_is_opened_again_has_what_the_model_wrote(talking, tmp_path, monkeypatch):
    monkeypatch.setenv("IMG2PROMPT_DATABASE_URL", f"sqlite:///{tmp_path / 'history.db'}")
    asked = talking(lambda question: in_pieces(as_json(posts_of(*GOOD))))
    page = press(choose(described(), "variants", 3), WRITE)
    before = posts(page), writers(page)
    again = press(open_page(), catalogue("en")["history.go_on"])
    assert (posts(again), writers(again)) == before and len(asked) == 1
    assert posts(choose(again, "tone", "poetic"))[:3] == before[0][:3]


def test_posts_for_other_choices_say_so(talking):
    talking(lambda question: in_pieces(as_json(posts_of(*GOOD[:2]))))
    page = press(choose(described(), "variants", 2), WRITE)
    now, before = [f"By {MODEL}"] * 2, [f"By {MODEL}, for your earlier choices"] * 2
    press(choose(page, "variants", 3), "Shuffle")  # which says nothing of a single post
    assert writers(page)[:2] == now
    choose(page, "note", "Busan, with Mina")
    assert writers(page)[:2] == before and writers(page)[2:] == ["By the phrasebook"] * 3
    assert writers(choose(page, "note", ""))[:2] == now


def test_what_the_model_wrote_before_stays_in_the_history(talking, tmp_path, monkeypatch):
    monkeypatch.setenv("IMG2PROMPT_DATABASE_URL", f"sqlite:///{tmp_path / 'history.db'}")
    answers = iter([as_json(posts_of(GOOD[0])), as_json(posts_of(GOOD[1]))])
    talking(lambda question: in_pieces(next(answers)))
    page = press(press(choose(described(), "variants", 1), WRITE), WRITE)
    assert posts(page)[0].startswith(GOOD[1]) and len(posts(page)) == 2

    def kept() -> list[str]:
        (post,) = History(open_database(default_url()), "local").posts()
        return [variant.text for variant in post.variants if variant.writer == MODEL]

    assert [text[: len(hook)] for text, hook in zip(kept(), GOOD, strict=False)] == GOOD[:2]
    before = kept()
    again = press(press(open_page(), "Flower"), "Start Captioning")  # in another session
    assert not set(before) & set(posts(again)) and kept() == before


def test_an_engine_that_fails_is_explained(talking):
    answers = iter([posts_of(GOOD[0]), [], []])

    def answer(question: Question) -> Iterator[str]:
        yield from map(json.dumps, next(answers))
        raise WeightsError("The server is gone.")

    talking(answer)
    page = press(described(), WRITE)
    for _ in range(2):  # what is there already stays when the next try brings nothing
        assert any("gone" in error.value for error in page.error)
        assert posts(page)[0].startswith(GOOD[0]) and len(posts(page)) == 6
        press(page, WRITE)
    assert not next(button for button in page.button if button.label == WRITE).disabled


def test_a_mistake_of_ours_is_raised_once(talking):
    talking(lambda question: 1 / 0)
    page = described()
    next(button for button in page.button if button.label == WRITE).click().run()
    assert len(page.exception) == 1
    page.run()
    assert not page.exception and len(posts(page)) == 5


def test_of_several_photos_the_model_is_told(talking):
    asked = talking(lambda question: in_pieces(as_json(posts_of(*GOOD))))
    page = upload(open_page(), ("ball.png", drawing()), ("blue.png", drawing("#3355cc")))
    press(press(page, "Start Captioning"), WRITE)
    assert asked[0].picture is None and "series of 2 pictures" in asked[0].text


def test_a_model_that_writes_for_photos_that_are_gone_is_stopped():
    left, ended = threading.Event(), threading.Event()

    def variants() -> Generator[Variant, None, None]:
        try:
            yield Variant("one", "one", (), MODEL)
            left.wait(PATIENCE)
            while True:
                yield Variant("another", "another", (), MODEL)
        finally:
            ended.set()

    desk = Desk([Photo("a", lambda: Image.new("RGB", (8, 8)))], writing=Writing(variants(), MODEL, Choices()))
    cards.leave(desk)
    left.set()
    assert ended.wait(PATIENCE) and len(desk.writing.posts) == 2
