"""Questions in SQL that attack: bounded in time, memory and answer, and never more than reading."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from img2prompt.errors import HistoryError
from img2prompt.history import History, open_database, sandbox, sql
from img2prompt.posts import Seen
from img2prompt.results import Match
from tests.helpers.history_database import make_post


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy for questions, with 60 labels of 500 characters. Nothing may change it."""
    folder = tmp_path_factory.mktemp("questions")
    engine = open_database(f"sqlite:///{folder / 'history.db'}")
    labels = {"mediums": [Match(f"{n}{'x' * 500}", 0.5) for n in range(60)]}
    History(engine, "mine").save(make_post(1, seen=Seen("a dog", labels, "landscape", ("brown",))))
    sql.copy(engine, "mine", folder / "copy.db")
    engine.dispose()
    return folder / "copy.db"


@pytest.mark.parametrize(
    "question",
    [
        "DELETE FROM posts",
        "INSERT INTO hashtags VALUES (1, 1, '#x')",
        "UPDATE posts SET tone = 'x'",
        "DROP TABLE posts",
        "CREATE TABLE x (y)",
        "CREATE TEMP TABLE x AS SELECT 1",
        "ATTACH DATABASE '/tmp/other.db' AS other",
        "PRAGMA query_only = OFF",
        "SELECT * FROM pragma_database_list",
        "VACUUM INTO '/tmp/other.db'",
        "SELECT load_extension('x')",
        "SELECT 1; DROP TABLE posts",
        "BEGIN",
        "SELECT writefile('x', 'y')",
        "SELECT * FROM embeddings",
        "SELECT owner FROM posts",
        "",
        "-- nothing",
        "SELECT \ud800",
        "SELECT 'a\0b'",
        "SELECT '" + "x" * 20_000 + "'",
        "SELECT length(randomblob(2000000000))",
        "SELECT printf('%2000000000d', 1)",
        "SELECT fts3_tokenizer('simple')",
        "SELECT sqlite_version()",
        "SELECT sql FROM sqlite_master",
        "SELECT value FROM json_each('[1]')",
        "SELECT " + "*, " * 2000 + "* FROM posts",
    ],
)
def test_nothing_else_is_done(file: Path, question: str) -> None:
    before = file.read_bytes()
    with pytest.raises(HistoryError):
        sql.ask_file(file, question)
    assert file.read_bytes() == before and {path.name for path in file.parent.glob("copy*")} == {"copy.db"}


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT"
LONG = "(SELECT substr(group_concat(name), 1, 9000) FROM labels)"
LONGER = f"replace({LONG}, 'x', 'xxxxxxxxxx')"


@pytest.mark.parametrize(
    "question",
    [
        f"{ENDLESS} count(*) FROM n",
        f"{ENDLESS} sum(instr({LONGER} || i, {LONG} || '!')) FROM n",  # few steps, each a long one
        f"{ENDLESS} count(*) FROM n WHERE {LONGER} || i LIKE '{'%x' * 90}%!'",
    ],
)
def test_a_question_is_ended(file: Path, question: str, monkeypatch: pytest.MonkeyPatch) -> None:
    psutil = pytest.importorskip("psutil")
    monkeypatch.setattr(sandbox, "MOST_SECONDS", 0.5)
    with pytest.raises(HistoryError, match="longer than"):
        sql.ask_file(file, question)
    assert not any(str(file) in process.cmdline() for process in psutil.Process().children(recursive=True))


@pytest.mark.parametrize(
    "question",
    [
        f"{ENDLESS} i, {LONG} AS text FROM n ORDER BY text",
        " UNION ALL ".join(["SELECT a.name || b.name FROM labels a, labels b"] * 150) + " ORDER BY 1",
        "WITH RECURSIVE n(s) AS (SELECT 'xxxxxxxx' UNION ALL SELECT s || s FROM n) SELECT length(s) FROM n",
    ],
    ids=["sorted rows", "a long question", "one value"],
)
def test_a_question_cannot_fill_the_memory(file: Path, question: str) -> None:
    with pytest.raises(HistoryError, match="MB of memory|more than 100 kB"):
        sql.ask_file(file, question)


def test_an_answer_has_a_limited_size(file: Path) -> None:
    answer = sql.ask_file(file, f"{ENDLESS} i, {LONG} FROM n")
    assert answer.cut and 100 < len(answer.rows) < sandbox.MOST_ROWS
    assert sum(len(text) for _, text in answer.rows) <= sandbox.LARGEST_ANSWER
    with pytest.raises(HistoryError, match="columns"):
        sql.ask_file(file, f"SELECT {'1, ' * sandbox.MOST_COLUMNS} 1")


def test_what_questions_need_is_allowed(file: Path) -> None:
    question = """
        SELECT p.tone LIKE 'PL%', round(avg(length(l.name)), 1) > 1, strftime('%Y', p.created_at),
               count(*) FILTER (WHERE l.name GLOB '1x*'), row_number() OVER (ORDER BY max(l.score)),
               group_concat(DISTINCT l.table_name), upper(substr(c.caption, 3)), coalesce(NULL, '-')
        FROM posts p JOIN pictures c ON c.post_id = p.id JOIN labels l ON l.post_id = p.id WHERE p.id IN (SELECT post_id FROM hashtags)
    """
    assert sql.ask_file(file, question).rows == [(1, 1, "2026", 1, 1, "mediums,objects", "DOG", "-")]


def test_values_of_every_kind_arrive(file: Path) -> None:
    question = "SELECT NULL, 1, 1.5, 9223372036854775807, 9e999, '강아지', x'00ff', CAST(x'41ff' AS TEXT)"
    [row] = sql.ask_file(file, question).rows
    assert row == (None, 1, 1.5, 2**63 - 1, float("inf"), "강아지", "x'00ff'", "A\ufffd")


@pytest.mark.skipif(os.name != "posix", reason="this platform limits no process")
def test_the_process_is_limited_by_the_system_too(tmp_path: Path) -> None:
    script = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("sandbox", {sandbox.__file__!r})
sandbox = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sandbox)
sandbox.limit_process()
try:
    with open("file", "w") as file:
        file.write("x")
except OSError:
    print("no file")
if sys.platform == "linux":
    try:
        bytearray(sandbox.MOST_MEMORY)
    except MemoryError:
        print("no memory")
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], check=False, cwd=tmp_path, capture_output=True, text=True
    )
    expected = "no file\nno memory\n" if sys.platform == "linux" else "no file\n"
    assert done.stdout == expected, done.stderr
