"""The history of one owner. A `History` never shows the posts of anybody else."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone

import numpy as np
from sqlalchemy import ColumnElement, Connection, CursorResult, Engine, delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, selectinload

from img2prompt.embeddings import WIDTH
from img2prompt.errors import HistoryError
from img2prompt.history import search, space
from img2prompt.history.database import FullError, file_of, name_of, reading, writing
from img2prompt.history.integrity import DAMAGE, check, vector
from img2prompt.history.neighbours import Neighbours
from img2prompt.history.record import OBJECTS, Picture, Post, Variant, labels_of
from img2prompt.history.tables import (
    EmbeddingRow,
    FailureRow,
    HashtagRow,
    LabelRow,
    PictureRow,
    PostRow,
    SearchRow,
    ThumbnailRow,
    TimingRow,
    VariantRow,
)
from img2prompt.posts import Choices, Seen
from img2prompt.posts.platforms import platforms
from img2prompt.posts.post import PHRASEBOOK

PAGE = 500  # posts read, or ids deleted, at a time
MOST_HASHTAGS = 30  # that Instagram took once, so that posts of then may ask for them

logger = logging.getLogger(__name__)


class History:
    """Saves, finds, marks, exports and deletes the posts of one owner.

    Safe to use from several threads, and while other processes use the same database. Reuse the
    object: it remembers the embeddings that `like` compares.

    Every method raises `HistoryError` when the database fails; the message says what to do, and
    nothing is half written.

    Parameters
    ----------
    engine : from `open_database` or `prepare`
    owner : whose posts; every query is limited to them
    """

    def __init__(self, engine: Engine, owner: str):
        if not owner:
            raise HistoryError("A history needs an owner.")
        self.engine = engine
        self.owner = owner
        self._neighbours = Neighbours(engine, owner)

    def save(self, post: Post, replace: bool = True) -> int:
        """Save a post and return its id.

        The same pictures in the same order, with the same engine and prompts, are the same post.
        Saving it again keeps its id, date, embeddings and those of its variants that were copied,
        starred or edited, or that a model wrote, and replaces everything else; without `replace`, it
        changes nothing.
        """
        try:
            return self._save(post, replace)
        except HistoryError as error:
            if not isinstance(error.__cause__, IntegrityError):
                raise
            return self._save(post, replace)  # another process saved the same post at the same moment

    def _save(self, post: Post, replace: bool) -> int:
        with self._changing() as session:
            row = session.scalar(
                select(PostRow)
                .where(PostRow.owner == self.owner, PostRow.fingerprint == _fingerprint(post))
                .with_for_update()
            )
            if row is None:
                row = PostRow(owner=self.owner, fingerprint=_fingerprint(post), created_at=post.created_at)
                session.add(row)
            elif not replace:
                return row.id
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
        """Note what the person did with a variant; a mark that is None stays as it was.

        Parameters
        ----------
        post_id : the post of the variant
        text : the variant as it was first written; added if the post does not have it
        copied, starred : whether it was
        edited : the variant's current text

        Returns
        -------
        Whether the post exists; it may have been deleted elsewhere.
        """
        with self._changing() as session:
            row = session.scalar(
                select(PostRow).where(PostRow.owner == self.owner, PostRow.id == post_id).with_for_update()
            )
            if row is None:
                return False
            variant = next((variant for variant in row.variants if variant.text == text), None)
            if variant is None:
                variant = VariantRow(text=text, copied=False, starred=False, writer=PHRASEBOOK)
                row.variants.append(variant)
            if copied is not None:
                variant.copied = copied
            if starred is not None:
                variant.starred = starred
            if edited is not None:
                variant.edited = None if edited == text else edited
            _index(row)
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
        damaged: list[int] | None = None,
    ) -> list[Post]:
        """One page of posts, the newest first.

        Parameters
        ----------
        query : beginnings of words, in any order, and symbols such as emoji; a post must have all of them
        since, until : aware times; `until` itself is not included
        tones : posts in any of these tones; empty for all
        starred : only posts with a starred variant
        after : the id of the last post on the page before, damaged ones included
        limit : the most posts on a page
        damaged : to this list are added the ids of posts on the page that cannot be read any more;
            they are not returned, but can be deleted
        """
        conditions = self._conditions(query, since, until, tones, starred)
        if after is not None:
            conditions.append(PostRow.id < after)
        return self._read(conditions, limit, damaged)

    def count(
        self,
        query: str = "",
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        tones: Sequence[str] = (),
        starred: bool = False,
    ) -> int:
        """The number of posts on all pages of `posts`, with the same parameters."""
        conditions = self._conditions(query, since, until, tones, starred)
        with reading(self.engine) as connection:
            return connection.scalar(select(func.count()).select_from(PostRow).where(*conditions)) or 0

    def get(self, post_id: int) -> Post | None:
        """The post with this id; None if there is none.

        Raises
        ------
        HistoryError
            Also when it is damaged.
        """
        damaged: list[int] = []
        posts = self._read([PostRow.owner == self.owner, PostRow.id == post_id], 1, damaged)
        if damaged:
            raise self._damaged()
        return posts[0] if posts else None

    def like(self, to: int | np.ndarray, limit: int = 12) -> list[tuple[Post, float]]:
        """The posts with the most similar prompt embeddings, nearest first, each with its cosine.

        Parameters
        ----------
        to : the id of a post, which is left out of its own neighbours, or a vector (384,)
        limit : the most posts to return
        """
        itself = int(to) if isinstance(to, int | np.integer) else None
        near = self._neighbours.nearest(to if itself is None else itself, limit + (itself is not None))
        near = [(post_id, cosine) for post_id, cosine in near if post_id != itself][:limit]
        ids = [post_id for post_id, _ in near]
        posts = self._read([PostRow.owner == self.owner, PostRow.id.in_(ids)], limit)
        by_id = {post.id: post for post in posts}
        return [(by_id[post_id], cosine) for post_id, cosine in near if post_id in by_id]

    def delete(self, ids: Sequence[int]) -> int:
        """Delete posts and everything that belongs to them; return how many were deleted.

        On a full disk they are deleted in steps, so that some can be gone when an error is raised.
        """
        try:
            return self._delete(ids)
        except FullError:
            return self._delete_in_steps(ids)

    def delete_all(self) -> int:
        """Delete all posts and failures of the owner, as `delete` does; return how many posts were deleted."""
        is_own = PostRow.owner == self.owner
        try:
            with writing(self.engine) as connection:
                connection.execute(delete(FailureRow).where(FailureRow.owner == self.owner))
                return _row_count(connection.execute(delete(PostRow).where(is_own)))
        except FullError:
            with reading(self.engine) as connection:
                ids = connection.scalars(select(PostRow.id).where(is_own).order_by(PostRow.id)).all()
            count = self._delete_in_steps(ids)
            with writing(self.engine) as connection:
                connection.execute(delete(FailureRow).where(FailureRow.owner == self.owner))
            return count

    def _delete(self, ids: Sequence[int]) -> int:
        count = 0
        with writing(self.engine) as connection:
            for start in range(0, len(ids), PAGE):
                is_listed = PostRow.id.in_(ids[start : start + PAGE])
                result = connection.execute(delete(PostRow).where(PostRow.owner == self.owner, is_listed))
                count += _row_count(result)
        return count

    def _delete_in_steps(self, ids: Sequence[int]) -> int:
        """Delete posts on a full disk (see `space`)."""
        file, count = file_of(self.engine), 0
        if file:
            space.release(file)
        try:
            for start in range(0, len(ids), space.STEP):
                space.empty_log(self.engine)
                count += self._delete(ids[start : start + space.STEP])
        except FullError as error:
            raise FullError(
                f"The disk of the history {self._name} is so full that {count} of {len(ids)} posts could be "
                "deleted. Free some megabytes elsewhere, and delete the others then."
            ) from error
        space.empty_log(self.engine)
        return count

    def export(self) -> Iterator[Post]:
        """Yield all posts, the newest first, reading one page at a time; damaged ones are left out."""
        after = None
        while True:
            damaged: list[int] = []
            page = self.posts(after=after, limit=PAGE, damaged=damaged)
            yield from page
            ids = [post.id for post in page] + damaged
            if not ids:
                return
            after = min(ids)

    def failed(self, step: str, engine: str, message: str, at: datetime | None = None) -> None:
        """Record a failure, for the dashboard.

        Parameters
        ----------
        step : what was being done, for example "open" or "caption"
        engine : name of the engine; "" if none was involved
        message : what went wrong
        at : an aware time; now by default
        """
        with writing(self.engine) as connection, Session(connection) as session:
            at = at or datetime.now(timezone.utc)
            session.add(FailureRow(owner=self.owner, failed_at=at, step=step, engine=engine, message=message))
            session.flush()

    def _conditions(
        self,
        query: str,
        since: datetime | None,
        until: datetime | None,
        tones: Sequence[str],
        starred: bool,
    ) -> list[ColumnElement[bool]]:
        conditions = [PostRow.owner == self.owner, *search.conditions(query, self.engine.dialect.name)]
        if since is not None:
            conditions.append(PostRow.created_at >= since)
        if until is not None:
            conditions.append(PostRow.created_at < until)
        if tones:
            conditions.append(PostRow.tone.in_(tones))
        if starred:
            conditions.append(PostRow.id.in_(select(VariantRow.post_id).where(VariantRow.starred)))
        return conditions

    def _read(
        self, conditions: Sequence[ColumnElement[bool]], limit: int, damaged: list[int] | None = None
    ) -> list[Post]:
        """The newest posts that fulfil the conditions; for `damaged` see `posts`."""
        newest = select(PostRow.id).where(*conditions).order_by(PostRow.id.desc()).limit(limit)
        with reading(self.engine) as connection:
            ids = connection.scalars(newest).all()
            try:
                return _posts(connection, ids)
            except DAMAGE:
                pass  # one by one, then
            posts = []
            for post_id in ids:
                try:
                    posts += _posts(connection, [post_id])
                except DAMAGE as error:
                    logger.warning("Post %d in the history %s is damaged: %s", post_id, self._name, error)
                    if damaged is not None:
                        damaged.append(post_id)
            return posts

    @contextmanager
    def _changing(self) -> Iterator[Session]:
        """A session whose changes are committed at the end of the block, or rolled back after an error."""
        try:
            with writing(self.engine) as connection, Session(connection) as session:
                yield session
                session.flush()
        except (ValueError, TypeError) as error:  # raised about what was read
            raise self._damaged() from error

    def _damaged(self) -> HistoryError:
        return HistoryError(
            f"This post is damaged in the history {self._name}. Delete it; the History page offers that."
        )

    @property
    def _name(self) -> str:
        return name_of(self.engine)


def _posts(connection: Connection, ids: Sequence[int]) -> list[Post]:
    """The posts with these ids, the newest first. Raises one of `DAMAGE` if any of them is damaged."""
    names = ("pictures", "variants", "labels", "hashtags", "timings", "thumbnails", "embeddings")
    parts = [selectinload(getattr(PostRow, name)) for name in names]
    query = select(PostRow).where(PostRow.id.in_(ids)).order_by(PostRow.id.desc()).options(*parts)
    with Session(connection) as session:
        return [_post(row) for row in session.scalars(query)]


def _fingerprint(post: Post) -> str:
    """What identifies a post: a hash of its pictures, engine and prompts."""
    identity = "\n".join(f"{part.content_hash}\n{post.engine}\n{part.prompt}" for part in post.pictures)
    return hashlib.sha256(identity.encode("utf-8", "ignore")).hexdigest()


def _fill(row: PostRow, post: Post) -> None:
    """Copy a post into its row."""
    row.engine, row.versions, row.language = post.engine, dict(post.versions), post.language
    choices = post.choices
    row.tone, row.goal, row.length, row.emoji = choices.tone, choices.goal, choices.length, choices.emoji
    row.note, row.seed = choices.note, choices.seed
    row.hashtag_count, row.variant_count = choices.most_hashtags, choices.variants
    row.platform = choices.platform
    written = {variant.text: variant.writer for variant in post.variants}
    row.variants = [v for v in row.variants if v.text in written or _stays(v)]
    for variant in row.variants:  # one that was marked before it was saved has another writer so far
        variant.writer = written.get(variant.text, variant.writer)
    known = {variant.text for variant in row.variants}
    row.variants += [
        VariantRow(
            text=variant.text,
            edited=variant.edited,
            copied=variant.copied,
            starred=variant.starred,
            writer=variant.writer,
        )
        for variant in post.variants
        if variant.text not in known
    ]
    row.hashtags = [HashtagRow(tag=tag) for tag in post.hashtags]
    labels, timings = [], []
    for position, picture in enumerate(post.pictures, 1):
        _fill_picture(row, position, picture)
        for table, matches in picture.seen.labels.items():
            labels += [(position, table, match.label, float(match.score)) for match in matches]
        labels += [(position, OBJECTS, name, 1.0) for name in picture.objects]
        timings += [(position, step, float(seconds)) for step, seconds in picture.timings.items()]
    # Other words for the same pictures leave these as they are: dozens of rows.
    if labels != [(it.position, it.table_name, it.name, it.score) for it in row.labels]:
        row.labels = [
            LabelRow(position=p, table_name=table, name=name, score=s) for p, table, name, s in labels
        ]
    if timings != [(it.position, it.step, it.seconds) for it in row.timings]:
        row.timings = [TimingRow(position=p, step=step, seconds=seconds) for p, step, seconds in timings]
    _index(row)


def _stays(variant: VariantRow) -> bool:
    """Whether the person did something with a variant, or a model wrote it, which nobody can have written again."""
    is_marked = variant.copied or variant.starred or variant.edited is not None
    return is_marked or variant.writer != PHRASEBOOK


def _fill_picture(row: PostRow, position: int, picture: Picture) -> None:
    """Copy a picture into the rows of its post."""
    into = next((into for into in row.pictures if into.position == position), None)
    if into is None:
        into = PictureRow(position=position)
        row.pictures.append(into)
    into.content_hash, into.prompt = picture.content_hash, picture.prompt
    into.width, into.height = picture.size
    seen = picture.seen
    into.caption, into.orientation, into.colours = seen.caption, seen.orientation, list(seen.colours)
    # The picture is the same: what was saved of it stays.
    if position not in {kept.position for kept in row.thumbnails}:
        row.thumbnails.append(ThumbnailRow(position=position, webp=picture.thumbnail))
    embedding = np.asarray(picture.embedding, np.float16)
    if embedding.shape != (WIDTH,):
        raise HistoryError(f"The embedding has the shape {embedding.shape}; expected ({WIDTH},).")
    if position not in {kept.position for kept in row.embeddings}:
        row.embeddings.append(EmbeddingRow(position=position, owner=row.owner, vector=embedding.tobytes()))


def _index(row: PostRow) -> None:
    """Let the search find what the row holds now."""
    texts = [row.note, *(text for picture in row.pictures for text in (picture.caption, picture.prompt))]
    texts += [label.name for label in row.labels] + [hashtag.tag for hashtag in row.hashtags]
    texts += [part for variant in row.variants for part in (variant.text, variant.edited or "")]
    row.search = row.search or SearchRow()
    row.search.words = search.searchable(text for text in texts if isinstance(text, str))  # none of damage


def _post(row: PostRow) -> Post:
    """The post that a row and its related rows hold. Raises one of `DAMAGE` if they hold none."""
    post = Post(
        pictures=tuple(_picture(row, picture) for picture in row.pictures),
        engine=row.engine,
        versions=dict(row.versions),
        language=row.language,
        choices=Choices(
            tone=row.tone,
            goal=row.goal,
            emoji=row.emoji,
            length=row.length,
            hashtags=_hashtags(row),
            variants=row.variant_count,
            note=row.note,
            seed=row.seed,
            language=row.language,
            platform=row.platform,
        ),
        variants=tuple(Variant(v.text, v.edited, v.copied, v.starred, v.writer) for v in row.variants),
        hashtags=tuple(hashtag.tag for hashtag in row.hashtags),
        created_at=row.created_at,
        id=row.id,
    )
    return check(post)


def _hashtags(row: PostRow) -> int:
    """The number of hashtags that was chosen, within what the platform takes now. Raises ValueError for damage."""
    known = platforms().get(row.platform)
    if known is None or not 0 <= row.hashtag_count <= MOST_HASHTAGS:
        raise ValueError("a number is out of range")
    return min(row.hashtag_count, known.hashtags)


def _picture(row: PostRow, picture: PictureRow) -> Picture:
    """One picture of a post. Raises one of `DAMAGE` if a part of it is missing or cannot be read."""
    position = picture.position
    thumbnails = [thumbnail.webp for thumbnail in row.thumbnails if thumbnail.position == position]
    vectors = [embedding.vector for embedding in row.embeddings if embedding.position == position]
    if not thumbnails or not vectors:
        raise ValueError("the thumbnail or the embedding is missing")
    labels, objects = labels_of(
        [(label.table_name, label.name, label.score) for label in row.labels if label.position == position]
    )
    return Picture(
        content_hash=picture.content_hash,
        thumbnail=thumbnails[0],
        size=(picture.width, picture.height),
        seen=Seen(picture.caption, labels, picture.orientation, tuple(picture.colours)),
        prompt=picture.prompt,
        embedding=vector(vectors[0]).astype(np.float32),
        objects=objects,
        timings={timing.step: timing.seconds for timing in row.timings if timing.position == position},
    )


def _row_count(result: object) -> int:
    assert isinstance(result, CursorResult)
    return result.rowcount
