"""One post for a carousel: what belongs to one of its pictures moves out of the post's row.

Before, each photo of a carousel had a post of its own, with the same texts. Such posts become one
where it is sure that they belong together. Of the texts of a post, those without a mark that were
not the last written go.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
# The app saved the posts of a carousel one right after the other, each within a fraction of a second.
TOGETHER = timedelta(seconds=2)
MOST_PHOTOS = 10  # in a carousel of the app
MOVED = "content_hash, width, height, orientation, colours, caption, prompt"
CHOICES = "engine, language, tone, goal, length, emoji, note, seed, hashtag_count, variant_count"


def upgrade() -> None:
    op.create_table(
        "pictures",
        post_key(),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("content_hash", sa.Text, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("orientation", sa.Text, nullable=False),
        sa.Column("colours", sa.JSON, nullable=False),
        sa.Column("caption", sa.Text, nullable=False),
        sa.Column("prompt", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("post_id", "position"),
    )
    op.execute(f"INSERT INTO pictures (post_id, position, {MOVED}) SELECT id, 1, {MOVED} FROM posts")
    for name in MOVED.split(", "):
        op.drop_column("posts", name)
    for table in ("labels", "timings"):
        op.add_column(table, position())
    if op.get_bind().dialect.name == "sqlite":
        _rebuild_keys()
    else:
        _change_keys()
    connection = op.get_bind()
    for ids in _carousels(connection):
        _join(connection, ids)
    _drop_old_variants(connection)


def post_key() -> sa.Column:
    return sa.Column("post_id", KEY, sa.ForeignKey("posts.id", ondelete="CASCADE"), nullable=False)


def position() -> sa.Column:
    return sa.Column("position", sa.Integer, nullable=False, server_default="1")


def _change_keys() -> None:
    for table in ("thumbnails", "embeddings"):
        op.add_column(table, position())
    op.drop_constraint("thumbnails_pkey", "thumbnails")
    op.create_primary_key("thumbnails_pkey", "thumbnails", ["post_id", "position"])
    op.drop_constraint("embeddings_post_id_key", "embeddings")
    op.create_unique_constraint("embeddings_post_id_position", "embeddings", ["post_id", "position"])


def _rebuild_keys() -> None:
    """As `_change_keys`; SQLite changes the key of a table only by copying it."""
    op.create_table(
        "new_thumbnails",
        post_key(),
        position(),
        sa.Column("webp", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("post_id", "position"),
    )
    op.create_table(
        "new_embeddings",
        sa.Column("id", KEY, primary_key=True),
        post_key(),
        position(),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("vector", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("post_id", "position", name="embeddings_post_id_position"),
        sqlite_autoincrement=True,
    )
    for table, columns in (("thumbnails", "post_id, webp"), ("embeddings", "id, post_id, owner, vector")):
        op.execute(f"INSERT INTO new_{table} ({columns}) SELECT {columns} FROM {table}")
        op.drop_table(table)
        op.rename_table(f"new_{table}", table)
    op.create_index("embeddings_owner_id", "embeddings", ["owner", "id"])


def _carousels(connection: sa.Connection) -> Iterator[list[int]]:
    """The ids of posts that are surely one carousel: written together, with the same choices and texts."""
    query = sa.text(f"SELECT id, created_at, owner, {CHOICES} FROM posts ORDER BY owner, id")
    for together in _saved_together(connection.execute(query).all()):
        texts = {
            row.id: {variant.text for variant in _of_posts(connection, "text FROM variants", [row.id])}
            for row in together
        }
        for same, group in groupby(texts, texts.__getitem__):
            carousel = list(group)
            if same and 1 < len(carousel) <= MOST_PHOTOS:
                yield carousel


def _saved_together(rows: Sequence[Any]) -> Iterator[list[Any]]:
    """Runs of posts of one owner with the same choices, each saved right after the one before."""
    together: list[Any] = []
    for row in rows:
        if together and row[2:] == together[-1][2:] and _is_right_after(row, together[-1]):
            together.append(row)
            continue
        if len(together) > 1:
            yield together
        together = [row]
    if len(together) > 1:
        yield together


def _is_right_after(row: Any, before: Any) -> bool:
    # Dates come as text from SQLite, where a damaged one is any value.
    try:
        moments = [datetime.fromisoformat(str(one.created_at)) for one in (row, before)]
        return timedelta(0) <= moments[0] - moments[1] <= TOGETHER
    except (ValueError, TypeError):
        return False


def _join(connection: sa.Connection, ids: Sequence[int]) -> None:
    """Make one post of several: that of the first picture gets the others."""
    first = ids[0]
    identity = fingerprint(
        _of_posts(connection, "content_hash, engine, prompt FROM pictures JOIN posts ON id = post_id", ids)
    )
    namesake = sa.text(
        "SELECT id FROM posts WHERE fingerprint = :it AND owner = (SELECT owner FROM posts WHERE id = :id)"
    )
    if connection.scalar(namesake, {"it": identity, "id": first}):
        return  # damaged: the app made no such post yet
    marks = _of_posts(connection, "id, post_id, text, edited, copied, starred FROM variants", ids)
    for variant in (row for row in marks if row.post_id == first):
        same = [row for row in marks if row.text == variant.text]
        connection.execute(
            sa.text(
                "UPDATE variants SET edited = :edited, copied = :copied, starred = :starred WHERE id = :id"
            ),
            {
                "id": variant.id,
                "edited": next((row.edited for row in same if row.edited is not None), None),
                "copied": any(row.copied for row in same),
                "starred": any(row.starred for row in same),
            },
        )
    lines = _of_posts(connection, "post_id, words FROM search_texts", ids)
    words = dict.fromkeys(word for row in lines for word in str(row.words).split())
    connection.execute(
        sa.text("UPDATE search_texts SET words = :words WHERE post_id = :id"),
        {"words": " ".join(words), "id": first},
    )
    for number, post_id in enumerate(ids[1:], 2):
        for table in ("pictures", "labels", "timings", "thumbnails", "embeddings"):
            connection.execute(
                sa.text(f"UPDATE {table} SET post_id = :first, position = :number WHERE post_id = :id"),
                {"first": first, "number": number, "id": post_id},
            )
        for table in ("variants", "hashtags", "search_texts"):
            connection.execute(sa.text(f"DELETE FROM {table} WHERE post_id = :id"), {"id": post_id})
        connection.execute(sa.text("DELETE FROM posts WHERE id = :id"), {"id": post_id})
    connection.execute(
        sa.text("UPDATE posts SET fingerprint = :fingerprint WHERE id = :id"),
        {"fingerprint": identity, "id": first},
    )


def fingerprint(pictures: Iterable[Sequence[Any]]) -> str:
    """What identifies a post, as `img2prompt.history.store` had it then: content hash, engine and prompt."""
    identity = "\n".join("\n".join(map(str, picture)) for picture in pictures)
    return hashlib.sha256(identity.encode("utf-8", "ignore")).hexdigest()


def _of_posts(connection: sa.Connection, what: str, ids: Sequence[int]) -> Sequence[Any]:
    query = sa.text(f"SELECT {what} WHERE post_id IN :ids ORDER BY post_id")
    return connection.execute(query.bindparams(sa.bindparam("ids", ids, expanding=True))).all()


def _drop_old_variants(connection: sa.Connection) -> None:
    connection.execute(
        sa.text(
            """
            DELETE FROM variants WHERE id IN (
                SELECT id FROM (
                    SELECT variants.id, variant_count,
                        row_number() OVER (PARTITION BY post_id ORDER BY variants.id DESC) AS place
                    FROM variants JOIN posts ON posts.id = post_id
                    WHERE NOT copied AND NOT starred AND edited IS NULL
                ) AS unmarked WHERE place > variant_count
            )
            """
        )
    )
