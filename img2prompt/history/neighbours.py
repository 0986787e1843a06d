"""More like this: the owner's embeddings in memory, kept up with the database."""

from __future__ import annotations

import threading

import numpy as np
from sqlalchemy import Connection, Engine, func, select

from img2prompt.embeddings import WIDTH
from img2prompt.history.database import reading
from img2prompt.history.tables import EmbeddingRow

PAGE = 10_000  # vectors read at a time


class Neighbours:
    """The embeddings of one owner's posts. Safe to use from several threads.

    100,000 of them take 77 MB. What other processes add or delete is noticed at each call
    by the count, the sum and the largest of the ids; only vectors that are new are read.
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
        """Ids of posts with their cosine to a post or a vector (384,), nearest first.

        Empty when there is no such post.
        """
        with self._lock:
            with reading(self.engine) as connection:
                self._refresh(connection)
            posts, vectors = self._posts, self._vectors  # replaced, never changed
        if isinstance(to, int):
            place = np.flatnonzero(posts == to)
            if not len(place):
                return []
            to = vectors[place[0]]
        vector = np.asarray(to, np.float32)
        vector = vector / max(float(np.linalg.norm(vector)), 1e-12)
        cosines = np.empty(len(posts), np.float32)
        for start in range(0, len(posts), PAGE):  # widened in parts, which stay small
            part = slice(start, start + PAGE)
            cosines[part] = vectors[part].astype(np.float32) @ vector
        best = np.argsort(-cosines, kind="stable")[:limit]
        return [(int(posts[i]), float(cosines[i])) for i in best]

    def _refresh(self, connection: Connection) -> None:
        mine = EmbeddingRow.owner == self.owner
        key = EmbeddingRow.id
        found = connection.execute(select(func.count(), func.sum(key), func.max(key)).where(mine)).one()
        state = tuple(int(value or 0) for value in found)
        if state == self._state:
            return
        ids = np.array(connection.scalars(select(key).where(mine).order_by(key)).all(), np.int64)
        kept = np.isin(self._ids, ids)
        new = ids[~np.isin(ids, self._ids)]
        posts, vectors = [self._posts[kept]], [self._vectors[kept]]
        order = [self._ids[kept]]
        for start in range(0, len(new), PAGE):
            part = new[start : start + PAGE]
            # New ones nearly always follow each other: a range finds them, and others are left out.
            query = select(key, EmbeddingRow.post_id, EmbeddingRow.vector).where(
                mine, key.between(int(part[0]), int(part[-1]))
            )
            wanted = set(part.tolist())
            rows = [row for row in connection.execute(query) if row.id in wanted]
            order.append(np.array([row.id for row in rows], np.int64))
            posts.append(np.array([row.post_id for row in rows], np.int64))
            read = np.frombuffer(b"".join(row.vector for row in rows), np.float16)
            vectors.append(read.reshape(-1, WIDTH))
        self._ids, self._posts = np.concatenate(order), np.concatenate(posts)
        self._vectors = np.concatenate(vectors)
        self._state = state
