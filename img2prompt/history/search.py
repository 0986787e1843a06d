"""Split posts and queries into words for the search, in the same way for every database."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

import regex
from sqlalchemy import ColumnElement, TableClause, column, func, select, table, text

from img2prompt.history.tables import PostRow, SearchRow

WORD = regex.compile(r"[\p{L}\p{M}\p{N}]+")
ACCENTS = regex.compile("[\u0300-\u036f]")
MOST_WORDS = 32  # words of a query that count
LONGEST_WORD = 100  # characters of such a word that count

INDEX: TableClause = table("search_index", column("rowid"))  # FTS5, on SQLite


def words_of(text: str) -> list[str]:
    """The words of a text in order, in lower case and without accents.

    >>> words_of("Café #dog, don't 강아지가!")
    ['cafe', 'dog', 'don', 't', '강아지가']
    """
    plain = ACCENTS.sub("", unicodedata.normalize("NFKD", text.casefold()))
    return WORD.findall(unicodedata.normalize("NFC", plain))


def searchable(texts: Iterable[str]) -> str:
    """The words of some texts, each once, joined by spaces: what the search index holds."""
    return " ".join(dict.fromkeys(word for text in texts for word in words_of(text)))


def matches(query: str, dialect: str) -> ColumnElement[bool] | None:
    """A condition on `PostRow`: each word of the query is the beginning of a word of the post.

    Parameters
    ----------
    query : any text
    dialect : "sqlite" or "postgresql"

    Returns
    -------
    The condition; None for a query without words.
    """
    words = [word[:LONGEST_WORD] for word in dict.fromkeys(words_of(query))][:MOST_WORDS]
    if not words:
        return None
    if dialect == "sqlite":
        prefixes = " ".join(f'"{word}"*' for word in words)
        match = text("search_index MATCH :words").bindparams(words=prefixes)
        return PostRow.id.in_(select(INDEX.c.rowid).where(match))
    lexemes = column("lexemes").op("@@")(
        func.to_tsquery("simple", " & ".join(f"'{word}':*" for word in words))
    )
    return PostRow.id.in_(select(SearchRow.post_id).where(lexemes))
