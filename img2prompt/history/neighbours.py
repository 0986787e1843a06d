"""Find similar posts: one owner's embeddings in memory, kept in step with the database.

Posts are as similar as the two most similar of their pictures.
"""

from __future__ import annotations

import threading
from contextlib import suppress

import numpy as np
from sqlalchemy import Connection, Engine, func, select

from img2prompt.embeddings import WIDTH
from img2prompt.history.database import reading
from img2prompt.history.integrity import vector
from img2prompt.history.tables import EmbeddingRow

PAGE = 10_000  # vectors read at a time


class Neighbours:
    """The embeddings of the pictures of one owner's posts. Safe to use from several threads.

    100,000 embeddings take 77 MB. Each call notices what other processes added or deleted, by
    the count, the sum and the largest of the ids, and reads only the new vectors.
    """

    def __init__(self, engine: Engine, owner: str):
        self.engine = engine
        self.owner = owner
        self._lock = threading.Lock()
        self._state: tuple[int, ...] = ()
        self._ids = np.empty(0, np.int64)  # (N,) of the rows in ``embeddings``
        self._posts = np.empty(0, np.int64)  # (N,)
        self._vectors = np.empty((0, WIDTH), np.float16)  # (N, 384)

    def nearest(self, to: int | np.ndarray, limit: int) -> list[tuple[int, float]]:
        """Find the nearest posts, nearest first.

        Parameters
        ----------
        to : the id of a post, or a vector (384,)
        limit : the most posts to return

        Returns
        -------
        Ids of posts, each with its cosine; none if there is no post with the id `to`.
        """
        with self._lock:
            with reading(self.engine) as connection:
                self._refresh(connection)
            posts, vectors = self._posts, self._vectors  # replaced, never changed
        wanted = vectors[posts == to] if isinstance(to, int) else np.reshape(to, (1, WIDTH))
        if not len(wanted):
            return []
        wanted = wanted.astype(np.float32)
        wanted /= np.maximum(np.linalg.norm(wanted, axis=1, keepdims=True), 1e-12)
        cosines = np.empty(len(posts), np.float32)
        for start in range(0, len(posts), PAGE):  # in parts, since float32 takes twice the memory
            part = slice(start, start + PAGE)
            cosines[part] = (vectors[part].astype(np.float32) @ wanted.T).max(axis=1)
        nearest: dict[int, float] = {}
        for i in np.argsort(-cosines, kind="stable"):
            if len(nearest) == limit:
                break
            nearest.setdefault(int(posts[i]), float(cosines[i]))
        return list(nearest.items())

    def _refresh(self, connection: Connection) -> None:
        is_own = EmbeddingRow.owner == self.owner
        key = EmbeddingRow.id
        totals = connection.execute(select(func.count(), func.sum(key), func.max(key)).where(is_own)).one()
        state = tuple(int(value or 0) for value in totals)
        if state == self._state:
            return
        ids = np.array(connection.scalars(select(key).where(is_own).order_by(key)).all(), np.int64)
        kept = np.isin(self._ids, ids)
        new = ids[~np.isin(ids, self._ids)]
        posts, vectors = [self._posts[kept]], [self._vectors[kept]]
        order = [self._ids[kept]]
        for start in range(0, len(new), PAGE):
            part = new[start : start + PAGE]
            # New ids nearly always follow each other: read their range, and leave out the others in it.
            query = select(key, EmbeddingRow.post_id, EmbeddingRow.vector).where(
                is_own, key.between(int(part[0]), int(part[-1]))
            )
            new_ids = set(part.tolist())
            read: list[tuple[int, int, np.ndarray]] = []
            for row in connection.execute(query):
                if row.id in new_ids:
                    with suppress(ValueError):  # a damaged vector is nobody's neighbour
                        read.append((row.id, row.post_id, vector(row.vector)))
            order.append(np.array([row_id for row_id, _, _ in read], np.int64))
            posts.append(np.array([post_id for _, post_id, _ in read], np.int64))
            vectors.append(np.array([values for _, _, values in read], np.float16).reshape(-1, WIDTH))
        self._ids, self._posts = np.concatenate(order), np.concatenate(posts)
        self._vectors = np.concatenate(vectors)
        self._state = state
