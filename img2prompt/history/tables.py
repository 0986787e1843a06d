"""The tables, as SQLAlchemy knows them. Only `migrations` creates and changes them.

Everything about a post belongs to its row in ``posts`` and is deleted with it. What belongs to one of
its pictures also has the picture's ``position``: 1 for the first. Thumbnails and vectors have tables of
their own, so that counting and listing posts do not read them.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

Key = BigInteger().with_variant(Integer, "sqlite")


class Words(TypeDecorator[str]):
    """Text without what some databases refuse: NUL characters and halves of surrogate pairs."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return value if value is None else value.encode("utf-8", "ignore").decode().replace("\0", "")


class Moment(TypeDecorator[datetime]):
    """An aware datetime in UTC. SQLite knows no time zones and stores it without one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value if value is None else value.astimezone(timezone.utc)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value.astimezone(timezone.utc)


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[dict[Any, Any]] = {str: Words, datetime: Moment, bytes: LargeBinary}


def post_key(**options: Any) -> Mapped[int]:
    """The column with the id of the post that a row belongs to."""
    return mapped_column(Key, ForeignKey("posts.id", ondelete="CASCADE"), **options)


class PostRow(Base):
    """What was written about a picture, or about the pictures of a carousel."""

    __tablename__ = "posts"
    __table_args__ = (
        UniqueConstraint("owner", "fingerprint", name="posts_owner_fingerprint"),
        Index("posts_owner_id", "owner", "id"),
        Index("posts_owner_created_at", "owner", "created_at"),
        Index("posts_owner_tone", "owner", "tone", "id"),
        {"sqlite_autoincrement": True},  # ids are never reused, so a larger one is always newer
    )

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    owner: Mapped[str]
    created_at: Mapped[datetime]
    fingerprint: Mapped[str]  # hash of pictures, engine and prompts, which identify the post
    engine: Mapped[str]
    versions: Mapped[dict[str, str]] = mapped_column(JSON)
    language: Mapped[str]
    platform: Mapped[str]
    tone: Mapped[str]
    goal: Mapped[str]
    length: Mapped[str]
    emoji: Mapped[str]
    note: Mapped[str]
    seed: Mapped[int]
    hashtag_count: Mapped[int]  # as chosen; those written are in ``hashtags``
    variant_count: Mapped[int]

    pictures: Mapped[list[PictureRow]] = relationship(
        order_by="PictureRow.position", cascade="all, delete-orphan"
    )
    variants: Mapped[list[VariantRow]] = relationship(order_by="VariantRow.id", cascade="all, delete-orphan")
    labels: Mapped[list[LabelRow]] = relationship(order_by="LabelRow.id", cascade="all, delete-orphan")
    hashtags: Mapped[list[HashtagRow]] = relationship(order_by="HashtagRow.id", cascade="all, delete-orphan")
    timings: Mapped[list[TimingRow]] = relationship(order_by="TimingRow.id", cascade="all, delete-orphan")
    thumbnails: Mapped[list[ThumbnailRow]] = relationship(cascade="all, delete-orphan")
    embeddings: Mapped[list[EmbeddingRow]] = relationship(cascade="all, delete-orphan")
    search: Mapped[SearchRow] = relationship(cascade="all, delete-orphan")


class PictureRow(Base):
    """A picture of a post, and what the engine said about it."""

    __tablename__ = "pictures"
    __table_args__ = (PrimaryKeyConstraint("post_id", "position"),)

    post_id: Mapped[int] = post_key()
    position: Mapped[int]
    content_hash: Mapped[str]
    width: Mapped[int]  # of the picture the engine saw, in pixels
    height: Mapped[int]
    orientation: Mapped[str]
    colours: Mapped[list[str]] = mapped_column(JSON)
    caption: Mapped[str]
    prompt: Mapped[str]


class VariantRow(Base):
    """One text of a post, and what the person did with it."""

    __tablename__ = "variants"
    __table_args__ = (
        Index("variants_post_id", "post_id"),
        Index("variants_starred", "post_id", sqlite_where=text("starred"), postgresql_where=text("starred")),
    )

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    post_id: Mapped[int] = post_key()
    text: Mapped[str]
    edited: Mapped[str | None]  # the current text, if the person changed it
    copied: Mapped[bool]
    starred: Mapped[bool]
    writer: Mapped[str]


class LabelRow(Base):
    """A label of a picture. Those of the table ``objects`` are the things that its caption names."""

    __tablename__ = "labels"
    __table_args__ = (Index("labels_post_id", "post_id"),)

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    post_id: Mapped[int] = post_key()
    position: Mapped[int]
    table_name: Mapped[str]
    name: Mapped[str]
    score: Mapped[float]


class HashtagRow(Base):
    """A hashtag of the post, with its #."""

    __tablename__ = "hashtags"
    __table_args__ = (Index("hashtags_post_id", "post_id"),)

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    post_id: Mapped[int] = post_key()
    tag: Mapped[str]


class ThumbnailRow(Base):
    """A small copy of a picture, as WebP."""

    __tablename__ = "thumbnails"
    __table_args__ = (PrimaryKeyConstraint("post_id", "position"),)

    post_id: Mapped[int] = post_key()
    position: Mapped[int]
    webp: Mapped[bytes]


class EmbeddingRow(Base):
    """The embedding of a picture's prompt, 384 float16 values. A new vector gets a new row with a larger id."""

    __tablename__ = "embeddings"
    __table_args__ = (
        UniqueConstraint("post_id", "position", name="embeddings_post_id_position"),
        Index("embeddings_owner_id", "owner", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    post_id: Mapped[int] = post_key()
    position: Mapped[int]
    owner: Mapped[str]
    vector: Mapped[bytes]


class SearchRow(Base):
    """The words by which a post can be found (see `search`). The index over them is the database's own."""

    __tablename__ = "search_texts"

    post_id: Mapped[int] = post_key(primary_key=True)
    words: Mapped[str]


class TimingRow(Base):
    """How long a step took, for one picture."""

    __tablename__ = "timings"
    __table_args__ = (Index("timings_post_id", "post_id"),)

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    post_id: Mapped[int] = post_key()
    position: Mapped[int]
    step: Mapped[str]
    seconds: Mapped[float]


class FailureRow(Base):
    """A failure. It belongs to an owner, not to a post."""

    __tablename__ = "failures"
    __table_args__ = (Index("failures_owner_failed_at", "owner", "failed_at"),)

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    owner: Mapped[str]
    failed_at: Mapped[datetime]
    step: Mapped[str]
    engine: Mapped[str]
    message: Mapped[str]
