"""Full-text search over the words of a post: FTS5 on SQLite, tsvector on PostgreSQL."""

import unicodedata
from collections.abc import Iterable

import regex
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
PAGE = 500

SQLITE = """
CREATE VIRTUAL TABLE search_index USING fts5(words, content='search_texts', content_rowid='post_id')
---
CREATE TRIGGER search_added AFTER INSERT ON search_texts BEGIN
    INSERT INTO search_index(rowid, words) VALUES (new.post_id, new.words);
END
---
CREATE TRIGGER search_removed AFTER DELETE ON search_texts BEGIN
    INSERT INTO search_index(search_index, rowid, words) VALUES ('delete', old.post_id, old.words);
END
---
CREATE TRIGGER search_changed AFTER UPDATE ON search_texts BEGIN
    INSERT INTO search_index(search_index, rowid, words) VALUES ('delete', old.post_id, old.words);
    INSERT INTO search_index(rowid, words) VALUES (new.post_id, new.words);
END
"""
POSTGRESQL = """
ALTER TABLE search_texts ADD COLUMN lexemes tsvector
    GENERATED ALWAYS AS (to_tsvector('simple', words)) STORED
---
CREATE INDEX search_texts_lexemes ON search_texts USING gin (lexemes)
"""


def upgrade() -> None:
    op.create_table(
        "search_texts",
        sa.Column("post_id", KEY, sa.ForeignKey("posts.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("words", sa.Text, nullable=False),
    )
    for statement in (SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRESQL).split("---"):
        op.execute(sa.text(statement.strip()))
    _fill(op.get_bind())


def _fill(connection: sa.Connection) -> None:
    """Fill the search table for posts that exist already."""
    last = 0
    page = sa.text("SELECT id, caption, prompt, note FROM posts WHERE id > :last ORDER BY id LIMIT :page")
    while rows := connection.execute(page, {"last": last, "page": PAGE}).all():
        last = rows[-1].id
        texts = {row.id: [row.caption, row.prompt, row.note] for row in rows}
        for query in (
            "SELECT post_id, name FROM labels",
            "SELECT post_id, tag FROM hashtags",
            "SELECT post_id, text FROM variants",
            "SELECT post_id, edited FROM variants",
        ):
            rows_with_text = connection.execute(
                sa.text(f"{query} WHERE post_id BETWEEN :first AND :last"),
                {"first": rows[0].id, "last": last},
            )
            for post_id, text in rows_with_text:
                texts[post_id].append(text or "")
        connection.execute(
            sa.text("INSERT INTO search_texts (post_id, words) VALUES (:post_id, :words)"),
            [{"post_id": post_id, "words": searchable(lines)} for post_id, lines in texts.items()],
        )


# A copy of `img2prompt.history.search` as it was then: a migration does the same for ever.
WORD = regex.compile(r"[\p{L}\p{M}\p{N}]+")
ACCENTS = regex.compile("[\u0300-\u036f]")


def searchable(texts: Iterable[str]) -> str:
    """The words of some texts, each once, in lower case and without accents."""
    return " ".join(dict.fromkeys(word for text in texts for word in words_of(text)))


def words_of(text: str) -> list[str]:
    plain = ACCENTS.sub("", unicodedata.normalize("NFKD", text.casefold()))
    return WORD.findall(unicodedata.normalize("NFC", plain))
