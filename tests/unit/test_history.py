"""The history: the same on SQLite and PostgreSQL, each person's own, and honest about trouble."""

from __future__ import annotations

import csv
import hashlib
import inspect
import io
import json
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from sqlalchemy import Connection, Engine, create_engine, event, text

from img2prompt.errors import HistoryError
from img2prompt.history import History, Post, Variant, open_database, space, sql
from img2prompt.history.database import default_url, migrate, writing
from img2prompt.history.export import write_csv, write_json
from img2prompt.history.record import THUMBNAIL_BYTES, content_hash, thumbnail
from img2prompt.history.statistics import Dashboard
from img2prompt.history.tables import Base
from img2prompt.posts import Choices, Seen
from img2prompt.results import Match
from tests.helpers import ROOT
from tests.helpers.history_database import make_picture, make_post


@pytest.fixture
def history(engine: Engine) -> History:
    return History(engine, "local")


def count_rows(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return connection.scalar(text(f"SELECT count(*) FROM {table}"))


def test_a_saved_post_comes_back_whole(history: History) -> None:
    post = make_post(
        1, choices=Choices("plain", "question", "off", "long", 7, 3, "Busan, 강아지", 2, "ko", "linkedin")
    )
    back = history.get(history.save(post))
    assert back is not None and back.id
    assert_same(back, post)
    assert back.created_at.tzinfo is not None


def assert_same(back: Post, post: Post) -> None:
    for name in post.__dataclass_fields__:
        if name not in ("id", "pictures"):
            assert getattr(back, name) == getattr(post, name), name
    for one, other in zip(back.pictures, post.pictures, strict=True):
        for name in one.__dataclass_fields__:
            if name != "embedding":
                assert getattr(one, name) == getattr(other, name), name
        np.testing.assert_allclose(one.embedding, other.embedding, atol=2e-4)


def test_a_carousel_is_one_post(history: History, engine: Engine) -> None:
    labels = [{"mediums": [Match(name, 0.3)]} for name in ("photo", "oil painting", "sketch")]
    pictures = tuple(
        make_picture(
            number,
            seen=Seen(f"a dog on the {place}", labels[number], "landscape", (place,)),
            objects=("dog", place),
            timings={"look": number + 1.0},
        )
        for number, place in enumerate(("beach", "sofa", "moon"))
    )
    post = make_post(pictures=pictures)
    post_id = history.save(post)
    assert_same(history.get(post_id), post)
    assert history.count() == count_rows(engine, "posts") == 1
    assert all(history.count(f"dog {place}") == 1 for place in ("beach", "sofa", "moon"))
    # The same pictures in the same order are the same post, a part of them is another.
    assert history.save(replace(post, variants=(Variant("other"),))) == post_id
    assert count_rows(engine, "pictures") == count_rows(engine, "embeddings") == 3
    alone = history.save(make_post(pictures=pictures[:1]))
    assert history.save(make_post(pictures=pictures[::-1])) not in (post_id, alone)
    history.save(make_post(9))
    assert [found.id for found, _ in history.like(pictures[0].embedding)][1:] != []
    near = history.like(pictures[2].embedding, limit=4)
    assert len({found.id for found, _ in near}) == len(near) == 4 and near[0][1] == pytest.approx(1, abs=1e-3)
    assert history.delete([post_id]) == 1 and count_rows(engine, "pictures") == 5


def test_saving_again_keeps_the_date_and_the_marks(history: History) -> None:
    post = make_post(1)
    post_id = history.save(post)
    history.mark(post_id, "first of 1", copied=True, starred=True, edited="mine")
    again = make_post(
        1, variants=(Variant("first of 1"), Variant("third")), created_at=datetime.now(timezone.utc)
    )
    assert history.save(again) == post_id
    [back] = history.posts()
    assert back.created_at == post.created_at
    assert back.variants == (
        Variant("first of 1", "mine", copied=True, starred=True),
        Variant("third"),
    )
    assert back.starred and len(back.hashtags) == 2 and len(back.cover.timings) == 2
    assert history.save(make_post(1, engine="full")) != post_id


def test_other_words_write_no_label_again(history: History, engine: Engine) -> None:
    def labels() -> list[int]:
        with engine.connect() as connection:
            return list(connection.scalars(text("SELECT id FROM labels ORDER BY id")))

    post = make_post(0)
    history.save(post)
    before = labels()
    history.save(replace(post, variants=(Variant("Other words."),)))
    assert before and labels() == before
    (cover,) = post.pictures
    history.save(replace(post, pictures=(replace(cover, objects=("kite",)),)))
    assert labels() != before


def test_threads_write_one_after_the_other(tmp_path: Path) -> None:
    """Who has to wait is not left to SQLite, which sleeps on when the other has long been done."""
    engine = open_database(f"sqlite:///{tmp_path / 'history.db'}")
    begun: list[int] = []
    event.listen(engine, "begin", lambda _: begun.append(threading.get_ident()))

    def write() -> None:
        with writing(engine):
            pass

    other = threading.Thread(target=write)
    with writing(engine):
        other.start()
        other.join(0.2)
        assert len(begun) == 1
    other.join(60)
    assert begun == [threading.get_ident(), other.ident]


def test_marked_variants_and_the_last_ones_stay(history: History) -> None:
    for seed in range(15):
        post_id = history.save(make_post(1, variants=tuple(Variant(f"{seed} {n}") for n in range(5))))
        marks = {3: {"copied": True}, 6: {"starred": True}, 9: {"edited": "mine"}}
        if seed in marks:
            history.mark(post_id, f"{seed} 4", **marks[seed])
    texts = [variant.text for variant in history.get(post_id).variants]
    assert texts == ["3 4", "6 4", "9 4", *(f"14 {n}" for n in range(5))]


def test_marks(history: History) -> None:
    post_id = history.save(make_post(1))
    assert history.mark(post_id, "shuffled", starred=True)
    assert history.mark(post_id, "first of 1", edited="zebra")
    assert history.mark(post_id, "shuffled", copied=True)
    assert history.get(post_id).variants[2] == Variant("shuffled", copied=True, starred=True)
    assert [post.id for post in history.posts("zebra")] == [post_id]
    assert history.mark(post_id, "first of 1", edited="first of 1")
    assert history.get(post_id).variants[0].edited is None and not history.posts("zebra")
    assert not history.mark(post_id + 1, "first of 1", starred=True)


def test_who_wrote_a_variant(history: History) -> None:
    post_id = history.save(make_post(1))
    history.mark(post_id, "words", starred=True)  # before the model has written all, and they are saved
    variants = (Variant("words", writer="talker-1b"), Variant("others"))
    assert history.save(make_post(1, variants=variants)) == post_id
    assert [(variant.text, variant.writer, variant.starred) for variant in history.get(post_id).variants] == [
        ("words", "talker-1b", True),
        ("others", "phrasebook", False),
    ]


def test_search(history: History) -> None:
    note = Choices(note="Café Müller, 강아지가 좋아요! it's C++")
    post_id = history.save(make_post(1, choices=note))
    history.save(make_post(2, prompt="a cat", hashtags=(), objects=()))
    for query in ("cafe", "CAFÉ müll", "강아지", "dog bea oil", "#dog", "it's", "c++", "number1", '"dog*'):
        assert post_id in [post.id for post in history.posts(query)], query
    assert [post.id for post in history.posts("dog cafe")] == [post_id]
    assert history.count("dog") == 2 and history.count("elephant") == 0 and history.count("dog elephant") == 0
    history.delete([post_id])
    assert not history.posts("cafe")


def test_search_for_what_is_no_word(history: History) -> None:
    texts = ["An elephant 🐘 50% off", "A heart ❤️ snake_case", "Stars * and C++", "back\\slash"]
    ids = [history.save(make_post(n, variants=(Variant(text),))) for n, text in enumerate(texts)]
    for query, found in {
        "🐘": [0], "%": [0], "_": [1], "❤️": [1], "❤": [1], "*": [2], "c++": [2], "\\": [3],
        "elephant 🐘": [0], "snake 🐘": [], "🦒": [], "!!!": [], "'": [], '"': [], "%%": [], "🐘%": [0],
        " ": range(4), "\0": range(4),
    }.items():  # fmt: skip
        assert [post.id for post in history.posts(query)] == [ids[n] for n in reversed(found)], query
        assert history.count(query) == len(found), query
    assert history.mark(ids[0], texts[0], edited="🦒") and history.count("🦒") == 1
    assert history.count("elephant, !!!") == 1  # punctuation between words says nothing


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(codec=None), max_size=40))
def test_any_text_can_be_saved_and_searched(history: History, words: str) -> None:
    post_id = history.save(make_post(1, prompt=words, variants=(Variant(words),)))
    assert isinstance(history.posts(words), list)
    history.delete([post_id])


def test_pages_and_filters(history: History) -> None:
    ids = [history.save(make_post(n, choices=Choices(tone=("plain", "funny")[n % 2]))) for n in range(10)]
    seen: list[int] = []
    while page := history.posts(after=seen[-1] if seen else None, limit=3):
        seen += [post.id for post in page]
    assert seen == ids[::-1]
    assert [post.id for post in history.posts(tones=["funny"])] == ids[1::2][::-1]
    first, last = datetime(2026, 1, 3, tzinfo=timezone.utc), datetime(2026, 1, 5, tzinfo=timezone.utc)
    assert [post.id for post in history.posts(since=first, until=last)] == [ids[3], ids[2]]
    history.mark(ids[4], "first of 4", starred=True)
    assert [post.id for post in history.posts(starred=True)] == [ids[4]]
    assert history.count(starred=True, tones=["funny"]) == 0 and history.count(tones=["plain"]) == 5


def test_more_like_this_follows_what_other_processes_do(history: History, url: str) -> None:
    ids = [history.save(make_post(n)) for n in range(5)]
    near = make_picture(0).embedding + 0.5 * make_picture(3).embedding
    assert [post.id for post, _ in history.like(near, limit=2)] == [ids[0], ids[3]]
    assert ids[0] not in [post.id for post, _ in history.like(ids[0])]
    other = History(open_database(url), "local")
    added = other.save(make_post(9, embedding=near / np.linalg.norm(near)))
    other.delete([ids[3]])
    found = history.like(near, limit=9)
    assert [post.id for post, _ in found][:2] == [added, ids[0]]
    assert found[0][1] == pytest.approx(1, abs=1e-3) and len(found) == 5
    assert not history.like(ids[3])
    other.engine.dispose()


def test_delete_takes_everything_along(history: History, engine: Engine) -> None:
    ids = [history.save(make_post(n)) for n in range(3)]
    assert history.delete([ids[0], 999]) == 1
    history.failed("open", "lite", "no picture")
    assert history.delete_all() == 2
    for table in Base.metadata.tables:
        assert count_rows(engine, table) == 0, table
    assert history.save(make_post(0)) > ids[-1]


# Each call as somebody else would try it on the id of a post that is not theirs, and what must come back.
STRANGER = {
    "save": lambda own, post_id: own.save(make_post(1)) != post_id,
    "mark": lambda own, post_id: own.mark(post_id, "first of 1", starred=False, edited="gone") is False,
    "posts": lambda own, post_id: all(post.id != post_id for post in own.posts() + own.posts("dog")),
    "count": lambda own, post_id: own.count() == own.count("dog") == len(own.posts()),
    "get": lambda own, post_id: own.get(post_id) is None,
    "like": lambda own, post_id: (
        own.like(post_id) == [] and all(post.id != post_id for post, _ in own.like(make_picture(1).embedding))
    ),
    "delete": lambda own, post_id: own.delete([post_id]) == 0,
    "delete_all": lambda own, post_id: own.delete_all() <= 1,
    "export": lambda own, post_id: all(post.id != post_id for post in own.export()),
    "failed": lambda own, post_id: own.failed("open", "lite", "theirs") is None,
}


def test_nobody_reaches_the_posts_of_another(engine: Engine) -> None:
    calls = {name for name, _ in inspect.getmembers(History, inspect.isfunction) if not name.startswith("_")}
    assert calls == set(STRANGER), "a call of History without a test that it keeps to its owner"
    mine, theirs = History(engine, "me"), History(engine, "somebody else")
    post_id = mine.save(make_post(1))
    mine.mark(post_id, "first of 1", starred=True)
    mine.failed("open", "lite", "mine")
    before = mine.get(post_id)
    for _ in range(2):  # with posts of their own, and without
        for name, attempt in STRANGER.items():
            assert attempt(theirs, post_id), name
            assert mine.get(post_id).variants == before.variants, name
            assert mine.count() == 1, name
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM failures WHERE owner = 'me'")) == 1
    with pytest.raises(HistoryError, match="owner"):
        History(engine, "")


def test_tables_are_as_the_models_say(engine: Engine) -> None:
    own = {"search_index", "search_index_data", "search_index_idx", "search_index_docsize"}
    own |= {"search_index_config", "lexemes", "search_texts_lexemes"}  # the databases' own search
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_name": lambda name, *_: name not in own, "compare_type": False}
        )
        assert compare_metadata(context, Base.metadata) == []


@contextmanager
def old_database(url: str, revision: str) -> Iterator[Connection]:
    """A new database whose tables are those of an earlier version."""
    if url.startswith("sqlite"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir()
    old = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with old.begin() as connection:
        migrate(connection, revision)
        yield connection
    old.dispose()


def insert_picture(connection: Connection) -> None:
    """What belongs to the picture of post 1, in tables that all earlier schemas have."""
    connection.execute(
        text("INSERT INTO thumbnails (post_id, webp) VALUES (1, :webp)"),
        {"webp": make_picture().thumbnail},
    )
    connection.execute(
        text("INSERT INTO embeddings (id, post_id, owner, vector) VALUES (1, 1, 'local', :vector)"),
        {"vector": make_picture(1).embedding.astype(np.float16).tobytes()},
    )


@pytest.mark.parametrize("revision", ["0001", "0002", "0003"])
def test_migration_from_each_earlier_schema_keeps_the_posts(url: str, revision: str) -> None:
    with old_database(url, revision) as connection:
        connection.execute(
            text(
                "INSERT INTO posts (id, owner, fingerprint, content_hash, created_at, width, height, colours, "
                "versions, orientation, caption, prompt, engine, language, tone, goal, length, emoji, note, "
                "seed, hashtag_count, variant_count) VALUES (1, 'local', 'f', 'h', '2025-12-31 10:00:00', 4, 3, "
                "'[]', '{}', 'square', 'an old dog', 'p', 'lite', 'en', 'plain', 'none', 'short', 'few', '', "
                "0, 5, 5)"
            )
        )
        connection.execute(
            text(
                "INSERT INTO variants (id, post_id, text, copied, starred) VALUES (1, 1, 'zebra', true, true)"
            )
        )
        insert_picture(connection)
        if revision > "0001":
            connection.execute(text("INSERT INTO search_texts VALUES (1, 'old dog zebra')"))
    engine = open_database(url)
    history = History(engine, "local")
    [post] = history.posts("zebra old")
    assert (
        post.cover.seen.caption == "an old dog"
        and post.starred
        and post.cover.thumbnail == make_picture().thumbnail
        and post.variants[0].writer == "phrasebook"
    )
    assert history.mark(1, "zebra", edited="giraffe") and history.posts("giraffe")
    history.failed("open", "lite", "reason")
    assert history.delete_all() == 1
    engine.dispose()


def test_a_post_with_more_hashtags_than_instagram_takes_now_can_still_be_read(url: str) -> None:
    with old_database(url, "0004") as connection:
        connection.execute(
            text(
                "INSERT INTO posts (id, owner, fingerprint, created_at, versions, engine, language, tone, goal, "
                "length, emoji, note, seed, hashtag_count, variant_count) VALUES (1, 'local', 'f', "
                "'2025-11-30 10:00:00', '{}', 'lite', 'en', 'plain', 'none', 'short', 'few', '', 0, 12, 5)"
            )
        )
        connection.execute(
            text(
                "INSERT INTO pictures (post_id, position, content_hash, width, height, orientation, colours, caption, "
                "prompt) VALUES (1, 1, 'h', 4, 3, 'square', '[]', 'an old dog', 'p')"
            )
        )
        insert_picture(connection)
    engine = open_database(url)
    [post] = History(engine, "local").posts()
    assert (post.choices.hashtags, post.choices.platform) == (5, "instagram")
    engine.dispose()


def save_as_before(
    connection: Connection, number: int, at: object, owner: str = "local", *texts: str
) -> None:
    """Save make_post(number), with these texts, as version 0003 did; the number is its id."""
    picture = make_picture(number)
    identity = f"{picture.content_hash}\nlite\n{picture.prompt}"
    post = {
        "id": number,
        "owner": owner,
        "fingerprint": hashlib.sha256(identity.encode()).hexdigest(),
        "content_hash": picture.content_hash,
        "created_at": at,
        "width": 8,
        "height": 6,
        "colours": "[]",
        "versions": "{}",
        "orientation": "landscape",
        "caption": f"dog {number}",
        "prompt": picture.prompt,
        "engine": "lite",
        "language": "en",
        "tone": "plain",
        "goal": "none",
        "length": "short",
        "emoji": "few",
        "note": "",
        "seed": 0,
        "hashtag_count": 5,
        "variant_count": 3,
    }
    own = {"post_id": number}
    for table, row in [
        ("posts", post),
        *(("variants", own | {"text": words, "copied": False, "starred": False}) for words in texts),
        ("labels", own | {"table_name": "objects", "name": f"dog {number}", "score": 1.0}),
        ("hashtags", own | {"tag": "#dog"}),
        ("timings", own | {"step": "look", "seconds": 0.5}),
        ("thumbnails", own | {"webp": picture.thumbnail}),
        ("embeddings", own | {"owner": owner, "vector": picture.embedding.astype(np.float16).tobytes()}),
        ("search_texts", own | {"words": f"dog number{number}"}),
    ]:
        marks = ", ".join(f":{name}" for name in row)
        connection.execute(text(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})"), row)


def test_migration_makes_one_post_of_a_carousel(url: str) -> None:
    many = [f"text {number}" for number in range(75)]
    with old_database(url, "0003") as connection:
        for number, at, owner, *texts in [
            (1, "2026-01-01 10:00:00.1", "local", "a", "b"),  # 1, 2 and 3 are a carousel
            (2, "2026-01-01 10:00:00.2", "local", "a", "b"),
            (3, "2026-01-01 10:00:01.9", "local", "a", "b"),
            (4, "2026-01-01 10:00:02.0", "local", "a", "c"),  # other texts
            (5, "2026-01-01 10:00:02.1", "other", "a", "b"),  # somebody else
            (6, "2026-01-01 10:00:09.0", "local", "a", "b"),  # much later
            (7, "2026-01-01 10:00:10.0", "local"),  # nothing to compare
            (8, "2026-01-01 10:00:10.0", "local"),
            (9, "2026-01-01 11:00:00.0", "local", *many),
        ]:  # fmt: skip
            save_as_before(connection, number, at, owner, *texts)
        connection.execute(text("UPDATE variants SET starred = true WHERE text = 'b' AND post_id = 2"))
        connection.execute(
            text("UPDATE variants SET edited = 'mine' WHERE text = 'b' AND post_id IN (1, 2, 3)")
        )
        connection.execute(text("UPDATE variants SET copied = true WHERE text = 'text 3'"))
        for number in range(20, 32):  # more at once than a carousel has: somebody's own program
            save_as_before(connection, number, "2026-01-02 10:00:00.0", "local", "same")
        if url.startswith("sqlite"):
            save_as_before(connection, 40, "never", "local", "a")
            save_as_before(connection, 41, 7, "local", "a")
    engine = open_database(url)
    history = History(engine, "local")
    ids = [1, 4, 6, 7, 8, 9, *range(20, 32)]
    assert [post.id for post in history.export()] == ids[::-1]
    carousel = history.get(1)
    assert [picture.seen.caption for picture in carousel.pictures] == ["dog 1", "dog 2", "dog 3"]
    assert carousel.variants == (Variant("a"), Variant("b", "mine", starred=True))
    assert [picture.objects for picture in carousel.pictures] == [("dog 1",), ("dog 2",), ("dog 3",)]
    assert carousel.hashtags == ("#dog",) and carousel.pictures[2].timings == {"look": 0.5}
    assert [post.id for post in history.posts("number1 number3")] == [1]
    assert history.like(make_picture(2).embedding, limit=1)[0][0].id == 1
    assert [variant.text for variant in history.get(9).variants] == ["text 3", *many[-3:]]
    for number in (1, 4, 9):  # as read from the database, each is still itself
        assert history.save(history.get(number)) == number
    for table in ("variants", "hashtags", "search_texts"):
        assert not count_rows(engine, f"{table} WHERE post_id IN (2, 3)")
    assert History(engine, "other").count() == 1
    engine.dispose()


def test_migrations_carry_what_they_need() -> None:
    files = list((ROOT / "img2prompt" / "history" / "migrations").rglob("*.py"))
    assert len(files) > 3
    for file in files:
        assert not re.search(r"^\s*(from|import) img2prompt", file.read_text("utf-8"), re.MULTILINE), file


def test_a_newer_database_asks_for_an_update(engine: Engine, url: str) -> None:
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(HistoryError, match="Update img2prompt"):
        open_database(url)


def writer(url: str, first: int, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.helpers.history_writer", url, str(first), str(count)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


# What SQLite lets other programs write, or a damaged disk leave, in the rows of the post :id.
DAMAGES = [
    "UPDATE posts SET created_at = 'yesterday' WHERE id = :id",
    "UPDATE posts SET created_at = 12345 WHERE id = :id",
    "UPDATE pictures SET colours = '[' WHERE post_id = :id",
    "UPDATE pictures SET colours = 7 WHERE post_id = :id",
    "UPDATE posts SET versions = '[[]]' WHERE id = :id",
    "UPDATE pictures SET width = 'wide' WHERE post_id = :id",
    "UPDATE pictures SET height = 0 WHERE post_id = :id",
    "UPDATE pictures SET caption = x'00' WHERE post_id = :id",
    "UPDATE posts SET tone = x'00' WHERE id = :id",
    "UPDATE posts SET goal = 'world peace' WHERE id = :id",
    "UPDATE posts SET variant_count = 'many' WHERE id = :id",
    "UPDATE posts SET hashtag_count = 99 WHERE id = :id",
    "UPDATE posts SET engine = x'00' WHERE id = :id",
    "UPDATE variants SET text = x'00' WHERE post_id = :id",
    "UPDATE labels SET score = 'high' WHERE post_id = :id",
    "UPDATE labels SET name = x'00' WHERE post_id = :id",
    "UPDATE hashtags SET tag = x'00' WHERE post_id = :id",
    "UPDATE timings SET seconds = 9e999 WHERE post_id = :id",
    "UPDATE timings SET seconds = x'00' WHERE post_id = :id",
    "UPDATE thumbnails SET webp = substr(webp, 1, 40) WHERE post_id = :id",
    "UPDATE thumbnails SET webp = 'none' WHERE post_id = :id",
    "UPDATE thumbnails SET webp = substr(webp, 1, 12) || zeroblob(length(webp) - 12) WHERE post_id = :id",
    "UPDATE embeddings SET vector = x'00' WHERE post_id = :id",
    "UPDATE embeddings SET vector = 7 WHERE post_id = :id",
    "UPDATE pictures SET position = 'first' WHERE post_id = :id",
    "UPDATE thumbnails SET position = 2 WHERE post_id = :id",
    "DELETE FROM pictures WHERE post_id = :id",
    "DELETE FROM thumbnails WHERE post_id = :id",
    "DELETE FROM embeddings WHERE post_id = :id",
    "UPDATE failures SET failed_at = 'yesterday' WHERE message = :id",
    "UPDATE failures SET step = x'00' WHERE message = :id",
]


def test_a_post_that_is_there_can_be_left_as_it_is(tmp_path: Path) -> None:
    history = open_file(tmp_path / "history.db")
    post = make_post(1)
    number = history.save(post)
    other = replace(post, variants=(Variant("Written by a batch"),))
    assert history.save(other, replace=False) == number
    assert history.get(number).variants == post.variants
    assert history.save(other) == number
    assert history.get(number).variants == other.variants


def test_a_damaged_row_spoils_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    history = open_file(tmp_path / "history.db")
    for number, damage in enumerate(DAMAGES):
        kept, post_id = history.save(make_post(2 * number)), history.save(make_post(2 * number + 1))
        history.failed("open", "", str(post_id))
        with writing(history.engine) as connection:
            assert connection.execute(text(damage), {"id": post_id}).rowcount, damage
        damaged: list[int] = []
        posts = history.posts(damaged=damaged)
        assert posts[-1].id == kept and len(posts) + len(damaged) == 2, damage
        assert damaged == [post_id] or "failures" in damage, damage
        assert [post.id for post in history.export()] == [post.id for post in posts], damage
        assert post_id not in damaged or f"Post {post_id} in" in caplog.text
        assert kept in [post.id for post, _ in history.like(make_picture(0).embedding)], damage
        board = Dashboard(history.engine, "local")
        for name in vars(Dashboard):
            if not name.startswith("_"):
                getattr(board, name)()
        copy = tmp_path / "copy.db"
        sql.copy(history.engine, "local", copy)
        with closing(sqlite3.connect(copy)) as copied:
            assert (kept,) in copied.execute("SELECT id FROM posts").fetchall(), damage
        if damaged:
            with pytest.raises(HistoryError, match="damaged"):
                history.get(post_id)
        with suppress(HistoryError):  # a damaged post can be mended or not, but does no more than say so
            history.save(make_post(2 * number + 1))
        with suppress(HistoryError):
            history.mark(post_id, "first", edited="second")
        assert history.delete([post_id, kept]) == 2, damage
        history.delete_all()


def test_a_whole_page_of_damaged_posts_is_passed_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("img2prompt.history.store.PAGE", 3)
    history = open_file(tmp_path / "history.db")
    ids = [history.save(make_post(number)) for number in range(9)]
    with writing(history.engine) as connection:
        connection.execute(
            text(f"UPDATE pictures SET colours = '[' WHERE post_id BETWEEN {ids[2]} AND {ids[7]}")
        )
    assert [post.id for post in history.export()] == [ids[8], ids[1], ids[0]]


def test_a_broken_character_is_only_that(tmp_path: Path) -> None:
    history = open_file(tmp_path / "history.db")
    post_id = history.save(make_post(1))
    with writing(history.engine) as connection:
        connection.execute(text("UPDATE pictures SET caption = CAST(x'61ff62' AS TEXT)"))
    [post] = history.posts()
    assert post.cover.seen.caption == "a\ufffdb"
    assert history.mark(post_id, "first of 1", starred=True)


def test_a_post_without_its_search_words_can_be_marked(tmp_path: Path) -> None:
    history = open_file(tmp_path / "history.db")
    post_id = history.save(make_post(1))
    with writing(history.engine) as connection:
        connection.execute(text("DELETE FROM search_texts"))
    assert history.mark(post_id, "first of 1", edited="zebra")
    assert history.count("zebra") == 1


@pytest.mark.slow
def test_two_processes_start_and_write_at_once(url: str) -> None:
    writers = [writer(url, first, 20) for first in (0, 100)]
    said = [process.communicate(timeout=300)[0].split() for process in writers]
    assert [process.returncode for process in writers] == [0, 0]
    engine = open_database(url)
    assert {str(post.id) for post in History(engine, "local").export()} == {*said[0], *said[1]}
    assert History(engine, "local").count() == 40
    engine.dispose()


def test_the_same_post_saved_at_once_is_one(history: History) -> None:
    with ThreadPoolExecutor(4) as pool:
        ids = set(pool.map(history.save, [make_post(1)] * 8))
    assert len(ids) == 1 and history.count() == 1


def test_a_kill_while_writing_loses_at_most_that_write(url: str) -> None:
    process = writer(url, 0, 100_000)
    assert process.stdout
    said = [process.stdout.readline().strip() for _ in range(25)]
    process.kill()
    said += process.communicate()[0].split()
    engine = open_database(url)
    kept = [str(post.id) for post in History(engine, "local").export()][::-1]
    assert kept[: len(said)] == said and len(kept) - len(said) <= 1
    if url.startswith("sqlite"):
        with engine.connect() as connection:
            assert connection.scalar(text("PRAGMA integrity_check")) == "ok"
    engine.dispose()


def test_export(history: History) -> None:
    history.save(make_post(1, prompt="=1+1", choices=Choices(note="강아지")))
    post_id = history.save(make_post(2))
    history.mark(post_id, "first of 2", starred=True, edited="mine, all\nmine")
    table, objects = io.BytesIO(), io.BytesIO()
    write_csv(table, history.export())
    write_json(objects, history.export())
    first, second = csv.DictReader(io.StringIO(table.getvalue().decode("utf-8-sig")))
    assert first["starred"] == "mine, all\nmine" and first["labels"] == "mediums: oil painting, photo"
    assert second["prompt"] == "'=1+1" and second["note"] == "강아지"
    newest, oldest = json.loads(objects.getvalue())
    assert newest["variants"][0] == {
        "text": "first of 2",
        "edited": "mine, all\nmine",
        "copied": False,
        "starred": True,
        "writer": "phrasebook",
    }
    [picture] = oldest["pictures"]
    assert picture["prompt"] == "=1+1" and picture["timings"] == {"look": 0.25, "caption": 0.5}
    history.delete_all()
    history.save(make_post(pictures=(make_picture(1), make_picture(2, objects=("cat",)))))
    table = io.BytesIO()
    write_csv(table, history.export())
    [carousel] = csv.DictReader(io.StringIO(table.getvalue().decode()))
    assert carousel["objects"] == "dog, beach\ncat" and carousel["width"] == "8\n8"
    history.delete_all()
    empty = io.BytesIO()
    write_json(empty, history.export())
    assert json.loads(empty.getvalue()) == []


# What only one of the databases can suffer from


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "history.db"


def open_file(file: Path) -> History:
    return History(open_database(f"sqlite:///{file}"), "local")


def test_a_full_disk(file: Path) -> None:
    history = open_file(file)
    kept = history.save(make_post(0))
    with history.engine.connect() as connection:
        pages = connection.scalar(text("PRAGMA page_count"))
    with history.engine.connect() as connection:  # of the one connection in the pool
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(HistoryError, match="no space left. Free some"):
        for number in range(1, 200):
            history.save(make_post(number))
    assert history.get(kept)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["running", "restart", "bare"])
def test_deleting_on_a_full_disk(tmp_path: Path, when: str) -> None:
    def on_small_disk(*command: str) -> subprocess.CompletedProcess[str]:
        mount = 'mount -t tmpfs -o size=16m tmpfs "$0" && exec "$@"'
        inside = [
            "unshare",
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            mount,
            str(tmp_path),
            *command,
        ]
        return subprocess.run(inside, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)

    if not shutil.which("unshare") or on_small_disk("true").returncode:
        pytest.skip("no small disk can be mounted here")
    done = on_small_disk(sys.executable, "-m", "tests.helpers.full_disk", str(tmp_path), when)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    if when == "bare":
        assert "so full that 0 of 30 posts could be deleted. Free some megabytes" in said["error"]
        assert said["left"] == said["posts"]
        return
    assert said["deleted"] == (30 if when == "running" else said["posts"]) > 20
    assert said["left"] == said["posts"] - said["deleted"]
    assert said["saved"] == said["left"] + 1  # what was deleted made room


def test_a_reserve_is_for_large_histories_and_ample_disks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, kept = tmp_path / "history.db", tmp_path / "history.db-reserve"
    history = open_file(file)
    history.save(make_post(1))
    open_file(file)
    assert not kept.exists()
    monkeypatch.setattr(space, "SMALLEST", 0)
    monkeypatch.setattr(space, "AMPLE", 1 << 62)
    open_file(file)
    assert not kept.exists()
    monkeypatch.setattr(space, "AMPLE", 0)
    open_file(file)
    assert kept.stat().st_size == space.RESERVE and (os.name != "posix" or kept.stat().st_mode & 0o077 == 0)
    monkeypatch.setattr(space, "NEEDED", 1 << 62)
    open_file(file)
    assert not kept.exists()


def test_a_locked_database(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("img2prompt.history.database.BUSY_SECONDS", 0)
    history = open_file(file)
    with closing(sqlite3.connect(file)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(HistoryError, match="another program. Try again"):
            history.save(make_post(0))
        assert history.posts() == []  # who only reads does not wait
    assert history.save(make_post(0))


def test_files_that_cannot_be_a_history(file: Path, tmp_path: Path) -> None:
    file.write_bytes(b"no database at all" * 100)
    with pytest.raises(HistoryError, match="no SQLite database. Move it away"):
        open_file(file)
    with pytest.raises(HistoryError, match="cannot be made"):
        open_file(file / "below" / "history.db")
    with pytest.raises(HistoryError, match="cannot be opened"):
        open_file(tmp_path)


def test_a_file_that_cannot_be_written(file: Path) -> None:
    open_file(file).engine.dispose()
    # Permissions do not stop root; SQLite's own way of opening for reading only does.
    with pytest.raises(HistoryError, match="write permission"):
        History(open_database(f"sqlite:///file:{file}?mode=ro&uri=true"), "local").save(make_post(0))


def test_addresses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IMG2PROMPT_DATABASE_URL", f"sqlite:///{tmp_path}/mine.db")
    assert default_url().endswith("mine.db")
    monkeypatch.delenv("IMG2PROMPT_DATABASE_URL")
    assert default_url().endswith("img2prompt/history.db")
    with pytest.raises(HistoryError, match="no address of a database"):
        open_database("nonsense")
    with pytest.raises(HistoryError, match="mysql is not supported"):
        open_database("mysql://somebody@host/history")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("postgresql://somebody:secret@127.0.0.1:9/history", "history on 127.0.0.1 cannot be reached"),
        (
            "postgresql://somebody@127.0.0.1:9/history?password=secret",
            "history on 127.0.0.1 cannot be reached",
        ),
        ("postgresql://127.0.0.1:9/history?password=sec@secret", "Write them as %40"),
        ("postgresql://127.0.0.1:9/history?host=127.0.0.1&passwort=secret", "history on 127.0.0.1"),
        ("postgresql://somebody:sec@secret@127.0.0.1:9/history", "Write them as %40"),
        ("postgresql://somebody:a@secret:b@127.0.0.1:9/history", "Write them as %40"),
        ("postgresql://somebody:sec@secret/c@127.0.0.1:9/history", "Write them as %40"),
        ("postgresql://somebody@127.0.0.1:secret/history", "no address of a database"),
    ],
)
def test_no_message_names_more_than_host_and_database(
    address: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(HistoryError, match=message) as caught:
        open_database(address)
    shown = str(caught.value)
    assert "secret" not in shown + caplog.text and "somebody" not in shown
    if "history on" in message:
        assert "The log has the details." in shown and "onnect" in caplog.text


@pytest.mark.skipif(os.name != "posix", reason="this platform has other permissions")
def test_only_its_owner_can_read_the_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def modes() -> dict[str, int]:
        return {
            path.name: stat.S_IMODE(path.stat().st_mode) for path in [file.parent, *file.parent.iterdir()]
        }

    private = {"history.db": 0o600, "history.db-wal": 0o600, "history.db-shm": 0o600}
    monkeypatch.delenv("IMG2PROMPT_DATABASE_URL", raising=False)
    monkeypatch.setattr("platformdirs.user_data_path", lambda name: tmp_path / "data" / name)
    file = Path(default_url().removeprefix("sqlite:///"))
    history = History(open_database(), "local")
    history.save(make_post(0))
    assert modes() == {"img2prompt": 0o700} | private
    # As an earlier version left them, with another program that still has the file open.
    for path in [file.parent, *file.parent.iterdir()]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    History(open_database(), "local").save(make_post(1))
    assert modes() == {"img2prompt": 0o700} | private
    # A folder that is there already is not ours to close.
    (tmp_path / "shared").mkdir(mode=0o755)
    (tmp_path / "shared").chmod(0o755)
    file = tmp_path / "shared" / "history.db"
    open_database(f"sqlite:///{file}").dispose()
    assert modes()["shared"] == 0o755 and modes()["history.db"] == 0o600


def test_thumbnails_are_small_and_tell_nothing(tmp_path: Path) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (900, 900, 3), np.uint8))
    exif = Image.Exif()
    exif[0x010E] = "where I live"
    noise.save(tmp_path / "photo.jpg", exif=exif, icc_profile=b"profile")
    for picture in (Image.open(tmp_path / "photo.jpg"), Image.new("RGBA", (2, 1000)), noise.convert("L")):
        encoded = thumbnail(picture)
        assert len(encoded) <= THUMBNAIL_BYTES
        small = Image.open(io.BytesIO(encoded))
        assert small.format == "WEBP" and max(small.size) <= 320
        assert not small.getexif() and not small.info.get("icc_profile") and b"where" not in encoded
    assert max(Image.open(io.BytesIO(thumbnail(Image.new("RGB", (900, 600))))).size) == 320


def test_the_content_hash_is_of_the_pixels() -> None:
    picture = Image.new("RGB", (4, 2), "red")
    assert content_hash(picture) == content_hash(picture.convert("RGBA"))
    assert content_hash(picture) != content_hash(picture.resize((2, 4)))
