"""What one person's posts add up to, for a period."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import ColumnElement, Engine, and_, func, select

from img2prompt.history.database import reading
from img2prompt.history.record import OBJECTS
from img2prompt.history.tables import FailureRow, HashtagRow, LabelRow, PostRow, TimingRow, VariantRow
from img2prompt.posts.limits import size

Query = Any  # a Select; its type names its columns one by one
MOST = 10  # names of a ranking
MOST_FAILURES = 20


class Totals(NamedTuple):
    posts: int
    copied: int  # posts of which a variant was
    starred: int
    failures: int


class Count(NamedTuple):
    name: str
    posts: int


class Duration(NamedTuple):
    engine: str
    step: str
    median: float  # seconds a picture
    p95: float
    posts: int


class Failure(NamedTuple):
    step: str
    engine: str
    message: str
    times: int
    latest: datetime


class Dashboard:
    """Counts over the posts and failures of one owner; every query is bound to it.

    Every call raises `HistoryError` when the database does not do what it should.

    Parameters
    ----------
    engine : from `open_database`
    owner : whose posts
    since : an aware time, from which on they count; None for all
    """

    def __init__(self, engine: Engine, owner: str, since: datetime | None = None):
        self.engine = engine
        self._posts = and_(PostRow.owner == owner, *([PostRow.created_at >= since] if since else []))
        self._failures = and_(FailureRow.owner == owner, *([FailureRow.failed_at >= since] if since else []))

    def totals(self) -> Totals:
        """How many posts, how many of them of use, how many failures."""

        def those(marked: ColumnElement[bool]) -> Query:
            return (
                select(func.count(VariantRow.post_id.distinct()))
                .join(PostRow, PostRow.id == VariantRow.post_id)
                .where(self._posts, marked)
            )

        queries = (
            select(func.count()).select_from(PostRow).where(self._posts),
            those(VariantRow.copied.is_(True)),
            those(VariantRow.starred.is_(True)),
            select(func.count()).select_from(FailureRow).where(self._failures),
        )
        with reading(self.engine) as connection:
            return Totals(*(connection.scalar(query) or 0 for query in queries))

    def days(self) -> list[tuple[date, int]]:
        """Posts a day (UTC), the oldest first; days without any are left out."""
        at: Any = PostRow.created_at
        if self.engine.dialect.name == "postgresql":
            at = func.timezone("UTC", at)
        day = func.date(at)
        rows = self._rows(select(day, func.count()).where(self._posts).group_by(day).order_by(day))
        return [(date.fromisoformat(str(day)), count) for day, count in rows]

    def tones(self) -> list[Count]:
        """Posts of each tone, the most used first."""
        return self._counts(PostRow.tone, select(PostRow.tone, func.count()))

    def goals(self) -> list[Count]:
        """Posts of each goal, the most used first."""
        return self._counts(PostRow.goal, select(PostRow.goal, func.count()))

    def objects(self) -> list[Count]:
        """The things that captions name most often."""
        return self._labels(LabelRow.table_name == OBJECTS)

    def styles(self) -> list[Count]:
        """The best medium, movement and flavor of each post, the most frequent first."""
        best = (
            select(
                LabelRow.name,
                func.row_number()
                .over(
                    partition_by=(LabelRow.post_id, LabelRow.table_name),
                    order_by=(LabelRow.score.desc(), LabelRow.id),
                )
                .label("place"),
            )
            .join(PostRow, PostRow.id == LabelRow.post_id)
            .where(self._posts, LabelRow.table_name.in_(("mediums", "movements", "flavors")))
            .subquery()
        )
        query = select(best.c.name, func.count()).where(best.c.place == 1).group_by(best.c.name)
        return self._ranked(query, best.c.name)

    def hashtags(self) -> list[Count]:
        """The hashtags of most posts."""
        query = (
            select(HashtagRow.tag, func.count())
            .join(PostRow, PostRow.id == HashtagRow.post_id)
            .where(self._posts)
            .group_by(HashtagRow.tag)
        )
        return self._ranked(query, HashtagRow.tag)

    def lengths(self) -> list[int]:
        """The length of each post as Instagram counts it, in UTF-16 units.

        Of its variants the one that was copied counts, else the starred one, else the first,
        as it reads now.
        """
        places = (
            select(
                func.coalesce(VariantRow.edited, VariantRow.text).label("words"),
                func.row_number()
                .over(
                    partition_by=VariantRow.post_id,
                    order_by=(VariantRow.copied.desc(), VariantRow.starred.desc(), VariantRow.id),
                )
                .label("place"),
            )
            .join(PostRow, PostRow.id == VariantRow.post_id)
            .where(self._posts)
            .subquery()
        )
        rows = self._rows(select(places.c.words).where(places.c.place == 1))
        return sorted(size(words) for (words,) in rows)

    def durations(self) -> list[Duration]:
        """Median and 95th percentile of the seconds of each step, the slowest first."""
        rows = self._rows(
            select(PostRow.engine, TimingRow.step, TimingRow.seconds)
            .join(PostRow, PostRow.id == TimingRow.post_id)
            .where(self._posts)
        )
        seconds = defaultdict(list)
        for engine, step, took in rows:
            seconds[engine, step].append(took)
        found = [
            Duration(engine, step, float(np.median(took)), float(np.percentile(took, 95)), len(took))
            for (engine, step), took in seconds.items()
        ]
        return sorted(found, key=lambda duration: (duration.engine, -duration.median, duration.step))

    def failures(self) -> list[Failure]:
        """What did not work, the latest first."""
        latest = func.max(FailureRow.failed_at)
        rows = self._rows(
            select(FailureRow.step, FailureRow.engine, FailureRow.message, func.count(), latest)
            .where(self._failures)
            .group_by(FailureRow.step, FailureRow.engine, FailureRow.message)
            .order_by(latest.desc())
            .limit(MOST_FAILURES)
        )
        return [Failure(*row) for row in rows]

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
        """The rows of a query for names and counts, the largest counts first."""
        count = query.selected_columns[1]
        return [Count(*row) for row in self._rows(query.order_by(count.desc(), name).limit(MOST))]

    def _rows(self, query: Query) -> Sequence[Any]:
        with reading(self.engine) as connection:
            return connection.execute(query).all()
