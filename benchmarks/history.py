"""How fast a large history answers, as JSON on stdout and in benchmarks/results/history.json.

    python -m benchmarks.history [POSTS] [--url postgresql://…]

By default 100,000 posts in a new SQLite file. A database named by --url must be empty, and the posts
stay in it.
"""

from __future__ import annotations

import argparse
import functools
import io
import json
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image
from sqlalchemy import Engine, insert

from benchmarks.lite import machine
from img2prompt.embeddings import WIDTH
from img2prompt.history import History, open_database
from img2prompt.history.database import writing
from img2prompt.history.search import searchable
from img2prompt.history.tables import (
    EmbeddingRow,
    HashtagRow,
    LabelRow,
    PictureRow,
    PostRow,
    SearchRow,
    ThumbnailRow,
    TimingRow,
    VariantRow,
)

TARGETS = {"first_page_ms": "<= 200", "search_ms": "<= 300"}
REPEATS = 7
CHUNK = 2000
TONES = ("plain", "funny", "poetic", "bold")
NOUNS = "dog cat beach temple flower street car bridge horse train mountain lake child boat bird".split()
DOINGS = "running standing sleeping waiting jumping shining".split()
START = datetime(2024, 1, 1, tzinfo=timezone.utc)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("posts", nargs="?", type=int, default=100_000)
    parser.add_argument("--url")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        engine = open_database(options.url or f"sqlite:///{folder}/history.db")
        began = time.perf_counter()
        fill(engine, options.posts)
        report = {"posts": options.posts, "database": engine.dialect.name}
        report["fill_s"] = round(time.perf_counter() - began, 1)
        report.update(measure(History(engine, "local"), options.posts))
        engine.dispose()
    text = json.dumps({**report, "targets": TARGETS, "machine": machine()}, indent=2)
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "history.json").write_text(text + "\n")
    print(text)


def measure(history: History, posts: int) -> dict[str, float]:
    """Medians in milliseconds; the first answer of more-like-this also reads all embeddings."""
    began = time.perf_counter()
    history.like(posts // 2)
    cold = (time.perf_counter() - began) * 1000
    return {
        "first_page_ms": timed(lambda: history.posts()),
        "deep_page_ms": timed(lambda: history.posts(after=posts // 10)),
        "search_ms": timed(lambda: history.posts("beach")),  # a word of one post in seven
        "search_rare_ms": timed(lambda: history.posts(f"number{posts // 3}")),
        "search_symbol_ms": timed(lambda: history.posts("🐘")),
        "search_none_ms": timed(lambda: history.posts("dog elephant")),
        "filtered_ms": timed(lambda: history.posts(tones=["funny"], since=START + timedelta(days=100))),
        "starred_ms": timed(lambda: history.posts(starred=True)),
        "count_ms": timed(lambda: history.count()),
        "like_cold_ms": round(cold, 1),
        "like_ms": timed(lambda: history.like(posts // 2)),
    }


def timed(call: Callable[[], object]) -> float:
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return round(median(seconds) * 1000, 1)


def fill(engine: Engine, posts: int) -> None:
    """Insert posts 1 … N in bulk, with 3 variants, 5 labels, 3 hashtags and a 10 kB thumbnail each."""
    rng = np.random.default_rng(0)
    for first in range(1, posts + 1, CHUNK):
        tables: dict[type, list[dict]] = {}
        for number in range(first, min(first + CHUNK, posts + 1)):
            for table, row in rows_of(number, rng):
                tables.setdefault(table, []).append(row)
        with writing(engine) as connection:
            for table, rows in tables.items():
                connection.execute(insert(table), rows)


def rows_of(number: int, rng: np.random.Generator) -> list[tuple[type, dict]]:
    nouns = [NOUNS[i] for i in rng.integers(len(NOUNS), size=2)]
    caption = f"a {nouns[0]} {DOINGS[number % len(DOINGS)]} near a {nouns[1]}"
    prompt = f"{caption}, number{number}, oil painting"
    variants = [f"{caption.capitalize()}. Take {i} of a day I will not forget." for i in range(3)]
    vector = rng.standard_normal(WIDTH).astype(np.float32)
    vector /= np.linalg.norm(vector)
    own = {"post_id": number}
    of_picture = own | {"position": 1}
    post = {
        "id": number,
        "owner": "local",
        "created_at": START + timedelta(minutes=5 * number),
        "fingerprint": f"{number:064x}",
        "engine": "lite",
        "versions": {"img2prompt": "0"},
        "language": "en",
        "tone": TONES[number % len(TONES)],
        "goal": "none",
        "length": "short",
        "emoji": "few",
        "note": "",
        "seed": 0,
        "hashtag_count": 3,
        "variant_count": 3,
    }
    picture = {
        "content_hash": f"{number:064x}",
        "width": 1024,
        "height": 768,
        "orientation": "landscape",
        "colours": ["blue"],
        "caption": caption,
        "prompt": prompt,
    }
    rows: list[tuple[type, dict]] = [(PostRow, post), (PictureRow, of_picture | picture)]
    rows += [
        (VariantRow, own | {"text": text, "edited": None, "copied": False, "starred": number % 5000 == i})
        for i, text in enumerate(variants)
    ]
    rows += [
        (LabelRow, of_picture | {"table_name": "flavors", "name": f"flavor {i}", "score": 0.3})
        for i in range(3)
    ]
    rows += [(LabelRow, of_picture | {"table_name": "objects", "name": noun, "score": 1.0}) for noun in nouns]
    rows += [(HashtagRow, own | {"tag": f"#{word}"}) for word in (*nouns, "photography")]
    rows += [(TimingRow, of_picture | {"step": step, "seconds": 0.2}) for step in ("look", "caption")]
    rows.append((ThumbnailRow, of_picture | {"webp": webp()}))
    rows.append(
        (EmbeddingRow, of_picture | {"owner": "local", "vector": vector.astype(np.float16).tobytes()})
    )
    rows.append((SearchRow, own | {"words": searchable([caption, prompt, *variants])}))
    return rows


@functools.cache
def webp() -> bytes:
    """A thumbnail of about 10 kB, as photos have."""
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).resize((320, 240)).save(file, "WEBP", quality=80)
    return file.getvalue()


if __name__ == "__main__":
    main()
