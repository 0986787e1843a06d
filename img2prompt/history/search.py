"""Words as they are searched: the same on every database, because both sides come through here."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

import regex
from sqlalchemy import ColumnElement, TableClause, column, func, select, table, text

from img2prompt.history.tables import PostRow, SearchRow

WORD = regex.compile(r"[\p{L}\p{M}\p{N}]+")
ACCENTS = regex.compile("[\u0300-\u036f]")
MOST_WORDS = 32  # of a query
LONGEST_WORD = 100  # characters of a query's word

INDEX: TableClause = table("search_index", column("rowid"))  # FTS5, on SQLite


def words_of(words: str) -> list[str]:
    """The words of a text in lower case and without accents, in their order.

    >>> words_of("Café #dog, don't 강아지가!")
    ['cafe', 'dog', 'don', 't', '강아지가']
    """
    plain = ACCENTS.sub("", unicodedata.normalize("NFKD", words.casefold()))
    return WORD.findall(unicodedata.normalize("NFC", plain))


def searchable(texts: Iterable[str]) -> str:
    """What is kept of texts for searching: each of their words once."""
    return " ".join(dict.fromkeys(word for words in texts for word in words_of(words)))


def matches(query: str, dialect: str) -> ColumnElement[bool] | None:
    """The condition on `PostRow` that each word of the query begins a word of the post.

    Any text is a valid query; one without words asks for nothing, and gives None.
    """
    words = [word[:LONGEST_WORD] for word in dict.fromkeys(words_of(query))][:MOST_WORDS]
    if not words:
        return None
    if dialect == "sqlite":
        found = text("search_index MATCH :words").bindparams(words=" ".join(f'"{word}"*' for word in words))
        return PostRow.id.in_(select(INDEX.c.rowid).where(found))
    lexemes = column("lexemes").op("@@")(
        func.to_tsquery("simple", " & ".join(f"'{word}':*" for word in words))
    )
    return PostRow.id.in_(select(SearchRow.post_id).where(lexemes))
