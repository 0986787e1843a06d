"""Statistics about one owner's posts in a period."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import ColumnElement, Date, Engine, and_, func, select

from img2prompt.history import integrity
from img2prompt.history.database import reading
from img2prompt.history.record import OBJECTS
from img2prompt.history.tables import FailureRow, HashtagRow, LabelRow, PostRow, TimingRow, VariantRow
from img2prompt.posts.limits import size

Query = Any  # a Select; its type names its columns one by one
MOST = 10  # names in a ranking
MOST_FAILURES = 20


class Totals(NamedTuple):
    """Numbers of posts and failures."""

    posts: int
    copied: int  # posts with a copied variant
    starred: int  # posts with a starred variant
    failures: int


class Count(NamedTuple):
    """How many posts have something, such as a tone or a hashtag."""

    name: str
    posts: int


class Length(NamedTuple):
    """How long a post is, in UTF-16 units, as Instagram counts."""

    all: int
    first: int  # of its first line, which feeds show


class Duration(NamedTuple):
    """How long a step of an engine takes."""

    engine: str
    step: str
    median: float  # seconds a picture
    p95: float  # 95th percentile, seconds a picture
    pictures: int


class Failure(NamedTuple):
    """An error, and how often it occurred."""

    step: str
    engine: str
    message: str
    times: int
    latest: datetime


class Dashboard:
    """Statistics over the posts and failures of one owner. Damaged values count nowhere but in the totals.

    Every method raises `HistoryError` when the database fails.

    Parameters
    ----------
    engine : from `open_database`
    owner : whose posts to count
    since : count only posts from this aware time on; None for all
    """

    def __init__(self, engine: Engine, owner: str, since: datetime | None = None):
        self.engine = engine
        self._posts = and_(PostRow.owner == owner, *([PostRow.created_at >= since] if since else []))
        self._failures = and_(FailureRow.owner == owner, *([FailureRow.failed_at >= since] if since else []))

    def totals(self) -> Totals:
        """Numbers of posts, of copied and of starred posts, and of failures."""

        def posts_with(marked: ColumnElement[bool]) -> Query:
            return (
                select(func.count(VariantRow.post_id.distinct()))
                .join(PostRow, PostRow.id == VariantRow.post_id)
                .where(self._posts, marked)
            )

        queries = (
            select(func.count()).select_from(PostRow).where(self._posts),
            posts_with(VariantRow.copied.is_(True)),
            posts_with(VariantRow.starred.is_(True)),
            select(func.count()).select_from(FailureRow).where(self._failures),
        )
        with reading(self.engine) as connection:
            return Totals(*(connection.scalar(query) or 0 for query in queries))

    def days(self) -> list[tuple[date, int]]:
        """Number of posts on each day (UTC), the oldest first; days without posts are left out."""
        at: Any = PostRow.created_at
        if self.engine.dialect.name == "postgresql":
            at = func.timezone("UTC", at)
        day = func.date(at, type_=Date)
        query = select(day, func.count()).where(self._posts, day.is_not(None)).group_by(day).order_by(day)
        return [(day, count) for day, count in self._rows(query)]

    def tones(self) -> list[Count]:
        """Number of posts for each tone, the most used first."""
        return self._counts(PostRow.tone, select(PostRow.tone, func.count()))

    def goals(self) -> list[Count]:
        """Number of posts for each goal, the most used first."""
        return self._counts(PostRow.goal, select(PostRow.goal, func.count()))

    def objects(self) -> list[Count]:
        """The things that captions name most often, with their numbers of posts."""
        return self._labels(LabelRow.table_name == OBJECTS)

    def styles(self) -> list[Count]:
        """The best medium, movement and flavor of each picture, with their numbers of posts."""
        best = (
            select(
                LabelRow.name,
                LabelRow.post_id,
                func.row_number()
                .over(
                    partition_by=(LabelRow.post_id, LabelRow.position, LabelRow.table_name),
                    order_by=(LabelRow.score.desc(), LabelRow.id),
                )
                .label("rank"),
            )
            .join(PostRow, PostRow.id == LabelRow.post_id)
            .where(self._posts, LabelRow.table_name.in_(("mediums", "movements", "flavors")))
            .subquery()
        )
        count = func.count(best.c.post_id.distinct())
        query = select(best.c.name, count).where(best.c.rank == 1).group_by(best.c.name)
        return self._ranked(query, best.c.name)

    def hashtags(self) -> list[Count]:
        """The most frequent hashtags, with their numbers of posts."""
        query = (
            select(HashtagRow.tag, func.count())
            .join(PostRow, PostRow.id == HashtagRow.post_id)
            .where(self._posts)
            .group_by(HashtagRow.tag)
        )
        return self._ranked(query, HashtagRow.tag)

    def lengths(self) -> list[Length]:
        """The length of each post, the shortest first.

        A post counts with the current text of its copied variant, else of the starred one, else
        of the first.
        """
        ranked = (
            select(
                func.coalesce(VariantRow.edited, VariantRow.text).label("words"),
                func.row_number()
                .over(
                    partition_by=VariantRow.post_id,
                    order_by=(VariantRow.copied.desc(), VariantRow.starred.desc(), VariantRow.id),
                )
                .label("rank"),
            )
            .join(PostRow, PostRow.id == VariantRow.post_id)
            .where(self._posts)
            .subquery()
        )
        rows = self._rows(select(ranked.c.words).where(ranked.c.rank == 1))
        return sorted(
            Length(size(words), size(words.split("\n", 1)[0])) for (words,) in rows if isinstance(words, str)
        )

    def durations(self) -> list[Duration]:
        """Median and 95th percentile of the seconds of each step, the slowest first."""
        rows = self._rows(
            select(PostRow.engine, TimingRow.step, TimingRow.seconds)
            .join(PostRow, PostRow.id == TimingRow.post_id)
            .where(self._posts)
        )
        seconds = defaultdict(list)
        for engine, step, took in rows:
            if (
                isinstance(engine, str)
                and isinstance(step, str)
                and isinstance(took, float)
                and isfinite(took)
            ):
                seconds[engine, step].append(took)
        durations = [
            Duration(engine, step, float(np.median(took)), float(np.percentile(took, 95)), len(took))
            for (engine, step), took in seconds.items()
        ]
        return sorted(durations, key=lambda duration: (duration.engine, -duration.median, duration.step))

    def failures(self) -> list[Failure]:
        """The failures, each kind once, the latest first."""
        latest = func.max(FailureRow.failed_at)
        rows = self._rows(
            select(FailureRow.step, FailureRow.engine, FailureRow.message, func.count(), latest)
            .where(self._failures)
            .group_by(FailureRow.step, FailureRow.engine, FailureRow.message)
            .order_by(latest.desc())
            .limit(MOST_FAILURES)
        )
        return [Failure(*row) for row in rows if all(isinstance(text, str) for text in row[:3])]

    def _labels(self, which: ColumnElement[bool]) -> list[Count]:
        query = (
            select(LabelRow.name, func.count(LabelRow.post_id.distinct()))
            .join(PostRow, PostRow.id == LabelRow.post_id)
            .where(self._posts, which)
            .group_by(LabelRow.name)
        )
        return self._ranked(query, LabelRow.name)

    def _counts(self, column: Any, query: Query) -> list[Count]:
        return self._ranked(query.where(self._posts).group_by(column), column)

    def _ranked(self, query: Query, name: Any) -> list[Count]:
        """Run a query for names and counts; the largest counts come first."""
        count = query.selected_columns[1]
        rows = self._rows(query.order_by(count.desc(), name).limit(MOST))
        return [Count(*row) for row in rows if isinstance(row[0], str)]

    def _rows(self, query: Query) -> Sequence[Any]:
        with reading(self.engine) as connection:
            return list(integrity.rows(connection.execute(query)))
