"""The history of one person. Whoever holds a `History` sees its owner's posts and no others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone

import numpy as np
from sqlalchemy import ColumnElement, CursorResult, Engine, delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, selectinload

from img2prompt.embeddings import WIDTH
from img2prompt.errors import HistoryError
from img2prompt.history import search
from img2prompt.history.database import reading, writing
from img2prompt.history.neighbours import Neighbours
from img2prompt.history.record import OBJECTS, Post, Variant, labels_of
from img2prompt.history.tables import (
    EmbeddingRow,
    FailureRow,
    HashtagRow,
    LabelRow,
    PostRow,
    SearchRow,
    ThumbnailRow,
    TimingRow,
    VariantRow,
)
from img2prompt.posts import Choices, Seen

PAGE = 500  # posts read, or ids deleted, at a time


class History:
    """Saves, finds, marks, exports and deletes the posts of one owner.

    Safe to use from several threads and beside other processes. Keep one for as long as the
    person stays: it remembers the embeddings that `like` compares.

    Every call raises `HistoryError` when the database does not do what it should; the
    message says what to do. Nothing is half written then.

    Parameters
    ----------
    engine : from `open_database` or `prepare`
    owner : whose history; every query is bound to it
    """

    def __init__(self, engine: Engine, owner: str):
        if not owner:
            raise HistoryError("A history needs an owner.")
        self.engine = engine
        self.owner = owner
        self._neighbours = Neighbours(engine, owner)

    def save(self, post: Post) -> int:
        """Keep a post; returns its id.

        The same picture with the same engine and prompt is the same post: saved again, it
        keeps its id, its date, its embedding and what was copied, starred and edited; variants
        that are new are added, and everything else is replaced.
        """
        try:
            return self._save(post)
        except HistoryError as error:
            if not isinstance(error.__cause__, IntegrityError):
                raise
            return self._save(post)  # another process saved the same post at the same moment

    def _save(self, post: Post) -> int:
        with writing(self.engine) as connection, Session(connection) as session:
            row = session.scalar(
                select(PostRow)
                .where(PostRow.owner == self.owner, PostRow.fingerprint == _fingerprint(post))
                .with_for_update()
            )
            if row is None:
                row = PostRow(owner=self.owner, fingerprint=_fingerprint(post), created_at=post.created_at)
                session.add(row)
            _fill(row, post)
            session.flush()
            return row.id

    def mark(
        self,
        post_id: int,
        text: str,
        *,
        copied: bool | None = None,
        starred: bool | None = None,
        edited: str | None = None,
    ) -> bool:
        """Note what became of a variant; what is None stays as it was.

        Parameters
        ----------
        text : the variant as it was written; one that the post does not have is added
        edited : the variant as it reads now

        Returns
        -------
        Whether there is such a post (it may have been deleted elsewhere).
        """
        with writing(self.engine) as connection, Session(connection) as session:
            row = session.scalar(
                select(PostRow).where(PostRow.owner == self.owner, PostRow.id == post_id).with_for_update()
            )
            if row is None:
                return False
            variant = next((variant for variant in row.variants if variant.text == text), None)
            if variant is None:
                variant = VariantRow(text=text, copied=False, starred=False)
                row.variants.append(variant)
            if copied is not None:
                variant.copied = copied
            if starred is not None:
                variant.starred = starred
            if edited is not None:
                variant.edited = None if edited == text else edited
            row.search.words = _words(row)
            session.flush()
            return True

    def posts(
        self,
        query: str = "",
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        tones: Sequence[str] = (),
        starred: bool = False,
        after: int | None = None,
        limit: int = 24,
    ) -> list[Post]:
        """The newest posts first.

        Parameters
        ----------
        query : words that a post must have all of, or words that begin with them, in any order
        since, until : aware times; `until` is not included
        tones : any of these; empty for all
        starred : only posts with a starred variant
        after : the id of the last post of the page before
        limit : posts of a page
        """
        wanted = self._wanted(query, since, until, tones, starred)
        if after is not None:
            wanted.append(PostRow.id < after)
        return self._read(wanted, limit)

    def count(
        self,
        query: str = "",
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        tones: Sequence[str] = (),
        starred: bool = False,
    ) -> int:
        """How many posts there are, of those `posts` gives page by page."""
        wanted = self._wanted(query, since, until, tones, starred)
        with reading(self.engine) as connection:
            return connection.scalar(select(func.count()).select_from(PostRow).where(*wanted)) or 0

    def get(self, post_id: int) -> Post | None:
        """The post with this id, or None."""
        found = self._read([PostRow.owner == self.owner, PostRow.id == post_id], 1)
        return found[0] if found else None

    def like(self, to: int | np.ndarray, limit: int = 12) -> list[tuple[Post, float]]:
        """The posts whose prompt embeddings are nearest, nearest first, each with its cosine.

        Parameters
        ----------
        to : the id of a post, which is not among its own neighbours, or a vector (384,)
        """
        itself = int(to) if isinstance(to, int | np.integer) else None
        near = self._neighbours.nearest(to if itself is None else itself, limit + (itself is not None))
        near = [(post_id, cosine) for post_id, cosine in near if post_id != itself][:limit]
        ids = [post_id for post_id, _ in near]
        posts = self._read([PostRow.owner == self.owner, PostRow.id.in_(ids)], limit)
        by_id = {post.id: post for post in posts}
        return [(by_id[post_id], cosine) for post_id, cosine in near if post_id in by_id]

    def delete(self, ids: Sequence[int]) -> int:
        """Delete posts with everything that belongs to them; returns how many there were."""
        count = 0
        with writing(self.engine) as connection:
            for start in range(0, len(ids), PAGE):
                of_these = PostRow.id.in_(ids[start : start + PAGE])
                done = connection.execute(delete(PostRow).where(PostRow.owner == self.owner, of_these))
                count += _rows(done)
        return count

    def delete_all(self) -> int:
        """Delete the owner's posts and failures; returns how many posts there were."""
        with writing(self.engine) as connection:
            connection.execute(delete(FailureRow).where(FailureRow.owner == self.owner))
            return _rows(connection.execute(delete(PostRow).where(PostRow.owner == self.owner)))

    def export(self) -> Iterator[Post]:
        """All posts, the newest first, read a page at a time."""
        after = None
        while page := self.posts(after=after, limit=PAGE):
            yield from page
            after = page[-1].id

    def failed(self, step: str, engine: str, message: str, at: datetime | None = None) -> None:
        """Note that something did not work, for the dashboard.

        Parameters
        ----------
        step : what was being done, for example "open" or "caption"
        engine : who did it; "" if nobody yet
        at : when, if not now
        """
        with writing(self.engine) as connection, Session(connection) as session:
            at = at or datetime.now(timezone.utc)
            session.add(FailureRow(owner=self.owner, failed_at=at, step=step, engine=engine, message=message))
            session.flush()

    def _wanted(
        self,
        query: str,
        since: datetime | None,
        until: datetime | None,
        tones: Sequence[str],
        starred: bool,
    ) -> list[ColumnElement[bool]]:
        wanted: list[ColumnElement[bool]] = [PostRow.owner == self.owner]
        found = search.matches(query, self.engine.dialect.name)
        if found is not None:
            wanted.append(found)
        if since is not None:
            wanted.append(PostRow.created_at >= since)
        if until is not None:
            wanted.append(PostRow.created_at < until)
        if tones:
            wanted.append(PostRow.tone.in_(tones))
        if starred:
            wanted.append(PostRow.id.in_(select(VariantRow.post_id).where(VariantRow.starred)))
        return wanted

    def _read(self, wanted: Sequence[ColumnElement[bool]], limit: int) -> list[Post]:
        parts = [
            getattr(PostRow, name)
            for name in ("variants", "labels", "hashtags", "timings", "thumbnail", "embedding")
        ]
        query = select(PostRow).where(*wanted).order_by(PostRow.id.desc()).limit(limit)
        with reading(self.engine) as connection, Session(connection) as session:
            return [_post(row) for row in session.scalars(query.options(*map(selectinload, parts)))]


def _fingerprint(post: Post) -> str:
    known_by = f"{post.content_hash}\n{post.engine}\n{post.prompt}"
    return hashlib.sha256(known_by.encode("utf-8", "ignore")).hexdigest()


def _fill(row: PostRow, post: Post) -> None:
    """Write a post into its row."""
    row.content_hash = post.content_hash
    row.width, row.height = post.size
    row.orientation, row.colours = post.seen.orientation, list(post.seen.colours)
    row.caption, row.prompt = post.seen.caption, post.prompt
    row.engine, row.versions, row.language = post.engine, dict(post.versions), post.language
    choices = post.choices
    row.tone, row.goal, row.length, row.emoji = choices.tone, choices.goal, choices.length, choices.emoji
    row.note, row.seed = choices.note, choices.seed
    row.hashtag_count, row.variant_count = choices.hashtags, choices.variants
    known = {variant.text for variant in row.variants}
    row.variants += [
        VariantRow(text=variant.text, edited=variant.edited, copied=variant.copied, starred=variant.starred)
        for variant in post.variants
        if variant.text not in known
    ]
    row.labels = [
        LabelRow(table_name=table, name=match.label, score=float(match.score))
        for table, found in post.seen.labels.items()
        for match in found
    ] + [LabelRow(table_name=OBJECTS, name=name, score=1.0) for name in post.objects]
    row.hashtags = [HashtagRow(tag=tag) for tag in post.hashtags]
    row.timings = [TimingRow(step=step, seconds=float(seconds)) for step, seconds in post.timings.items()]
    if row.thumbnail is None:  # the picture is the same
        row.thumbnail = ThumbnailRow(webp=post.thumbnail)
    vector = np.asarray(post.embedding, np.float16)
    if vector.shape != (WIDTH,):
        raise HistoryError(f"The embedding has the shape {vector.shape}; expected ({WIDTH},).")
    if row.embedding is None:
        row.embedding = EmbeddingRow(owner=row.owner, vector=vector.tobytes())
    row.search = row.search or SearchRow()
    row.search.words = _words(row)


def _words(row: PostRow) -> str:
    texts = [row.caption, row.prompt, row.note]
    texts += [label.name for label in row.labels] + [hashtag.tag for hashtag in row.hashtags]
    texts += [part for variant in row.variants for part in (variant.text, variant.edited or "")]
    return search.searchable(texts)


def _post(row: PostRow) -> Post:
    """A row and what hangs on it, as a post."""
    labels, objects = labels_of([(label.table_name, label.name, label.score) for label in row.labels])
    return Post(
        content_hash=row.content_hash,
        thumbnail=row.thumbnail.webp,
        size=(row.width, row.height),
        seen=Seen(row.caption, labels, row.orientation, tuple(row.colours)),
        prompt=row.prompt,
        embedding=np.frombuffer(row.embedding.vector, np.float16).astype(np.float32),
        engine=row.engine,
        versions=row.versions,
        language=row.language,
        choices=Choices(
            tone=row.tone,
            goal=row.goal,
            emoji=row.emoji,
            length=row.length,
            hashtags=row.hashtag_count,
            variants=row.variant_count,
            note=row.note,
            seed=row.seed,
        ),
        variants=tuple(Variant(v.text, v.edited, v.copied, v.starred) for v in row.variants),
        hashtags=tuple(hashtag.tag for hashtag in row.hashtags),
        objects=objects,
        timings={timing.step: timing.seconds for timing in row.timings},
        created_at=row.created_at,
        id=row.id,
    )


def _rows(result: object) -> int:
    assert isinstance(result, CursorResult)
    return result.rowcount
