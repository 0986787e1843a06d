"""The dashboard's numbers and its SQL panel, on both databases."""

from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import Engine

from img2prompt.errors import HistoryError
from img2prompt.history import History, Variant, sandbox, sql
from img2prompt.history.statistics import Count, Dashboard, Duration, Length, Totals
from img2prompt.posts import Choices, Seen
from img2prompt.results import Match
from tests.helpers.history_database import make_picture, make_post

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


@pytest.fixture
def filled(engine: Engine) -> Engine:
    """Four posts of one person on three days, and one post and failure of another."""
    mine = History(engine, "mine")
    late = NOON.replace(hour=23, minute=30).astimezone(timezone(timedelta(hours=-8)))
    labels = {"mediums": [Match("photo", 0.2), Match("oil painting", 0.3)], "flavors": [Match("cozy", 0.1)]}
    for number, (at, tone, goal) in enumerate(
        [
            (NOON - timedelta(days=40), "plain", "none"),
            (NOON - timedelta(days=1), "playful", "save"),
            (NOON, "playful", "none"),
            (late, "poetic", "none"),
        ]
    ):
        mine.save(
            make_post(
                number,
                created_at=at,
                choices=Choices(tone=tone, goal=goal),
                seen=Seen("a dog", labels, "landscape", ("brown",)),
                variants=(Variant("abc\n\n#d"), Variant("🐕🐕")),
                hashtags=("#dog", f"#n{number}"),
                timings={"look": 0.1 * (number + 1)},
            )
        )
    post = mine.posts()[0]
    mine.mark(post.id, "🐕🐕", copied=True, edited="🐕🐕🐕")
    mine.mark(mine.posts()[1].id, "🐕🐕", starred=True)
    for _ in range(2):
        mine.failed("open", "", "not a picture", NOON)
    mine.failed("caption", "lite", "no memory", NOON - timedelta(days=50))
    theirs = History(engine, "theirs")
    theirs.save(make_post(9, created_at=NOON, choices=Choices(tone="secret"), hashtags=("#secret",)))
    theirs.failed("open", "secret", "secret", NOON)
    return engine


def test_all_time(filled: Engine) -> None:
    board = Dashboard(filled, "mine")
    assert board.totals() == Totals(posts=4, copied=1, starred=1, failures=3)
    assert board.days() == [(date(2026, 1, 20), 1), (date(2026, 2, 28), 1), (date(2026, 3, 1), 2)]
    assert board.tones() == [Count("playful", 2), Count("plain", 1), Count("poetic", 1)]
    assert board.goals() == [Count("none", 3), Count("save", 1)]
    assert board.objects() == [Count("beach", 4), Count("dog", 4)]
    assert board.styles() == [Count("cozy", 4), Count("oil painting", 4)]
    assert board.hashtags()[0] == Count("#dog", 4) and len(board.hashtags()) == 5
    assert board.lengths() == [Length(4, 4), Length(6, 6), Length(7, 3), Length(7, 3)]
    (look,) = board.durations()
    assert look == Duration("lite", "look", pytest.approx(0.25), pytest.approx(0.385), 4)
    assert [(f.step, f.engine, f.message, f.times, f.latest) for f in board.failures()] == [
        ("open", "", "not a picture", 2, NOON),
        ("caption", "lite", "no memory", 1, NOON - timedelta(days=50)),
    ]


def test_a_carousel_counts_once(engine: Engine) -> None:
    mine = History(engine, "mine")
    post_id = mine.save(make_post(pictures=tuple(make_picture(n) for n in range(3))))
    mine.mark(post_id, "first of 0", copied=True, starred=True)
    board = Dashboard(engine, "mine")
    assert board.totals() == Totals(posts=1, copied=1, starred=1, failures=0)
    assert [count for _, count in board.days()] == [1] and len(board.lengths()) == 1
    for counts in (board.tones(), board.goals(), board.objects(), board.styles(), board.hashtags()):
        assert counts and {count.posts for count in counts} == {1}
    assert {duration.pictures for duration in board.durations()} == {3}
    assert sql.ask(engine, "mine", "SELECT count(*) FROM posts JOIN hashtags ON posts.id = post_id").rows == [
        (2,)
    ]
    question = """
        SELECT count(DISTINCT post_id), count(*), sum(position)
        FROM posts JOIN pictures ON posts.id = post_id JOIN labels USING (post_id, position)
        WHERE table_name = 'mediums' AND caption LIKE '%dog%'
    """
    assert sql.ask(engine, "mine", question).rows == [(1, 6, 12)]


def test_a_period(filled: Engine) -> None:
    board = Dashboard(filled, "mine", since=NOON - timedelta(days=30))
    assert board.totals() == Totals(posts=3, copied=1, starred=1, failures=2)
    assert sum(count for _, count in board.days()) == 3
    assert Count("plain", 1) not in board.tones()
    assert len(board.failures()) == 1


def test_nobody_sees_the_others(filled: Engine) -> None:
    calls = [name for name in vars(Dashboard) if not name.startswith("_")]
    assert len(calls) == 10
    for name in calls:
        assert "secret" not in repr(getattr(Dashboard(filled, "mine"), name)())
        nothing = getattr(Dashboard(filled, "nobody"), name)()
        assert nothing in ([], Totals(0, 0, 0, 0))


@pytest.fixture
def file(filled: Engine, tmp_path: Path) -> Path:
    sql.copy(filled, "mine", tmp_path / "copy.db")
    return tmp_path / "copy.db"


def test_questions(file: Path) -> None:
    answer = sql.ask_file(file, "SELECT tone, count(*) AS n FROM posts GROUP BY tone ORDER BY n DESC, tone")
    assert answer == (["tone", "n"], [("playful", 2), ("plain", 1), ("poetic", 1)], False)
    days = "SELECT DISTINCT date(created_at) FROM posts WHERE created_at > '2026-02-01' ORDER BY 1"
    assert sql.ask_file(file, days).rows == [("2026-02-28",), ("2026-03-01",)]
    for table, columns in sql.columns().items():
        found = sql.ask_file(file, f"SELECT {', '.join(columns)} FROM {table}")
        assert found.rows and "secret" not in repr(found)
    assert "owner" not in repr(sql.columns())
    many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) SELECT i FROM n"
    answer = sql.ask_file(file, many)
    assert len(answer.rows) == sandbox.MOST_ROWS and answer.cut


def test_questions_wait_for_their_turn(filled: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "MOST_WAITING", 0)
    assert sql.ask(filled, "mine", "SELECT count(*) FROM posts").rows == [(4,)]
    for _ in range(sql.AT_ONCE):
        sql._turn.acquire()
    try:
        with pytest.raises(HistoryError, match="Others are asking"):
            sql.ask(filled, "mine", "SELECT count(*) FROM posts")
    finally:
        sql._turn.release(sql.AT_ONCE)
