"""Find posts by their words, split in the same way for every database, and by symbols such as emoji."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any

import regex
from sqlalchemy import ColumnElement, TableClause, column, func, or_, select, table, text

from img2prompt.history.tables import PictureRow, PostRow, SearchRow, VariantRow

WORD = regex.compile(r"[\p{L}\p{N}][\p{L}\p{M}\p{N}]*")  # no mark alone, as in ❤️
SYMBOLS = regex.compile(r"\p{S}+")
UNREADABLE = regex.compile(r"[\p{Cc}\p{Cs}]+")  # nobody types them, and no text in the database has them
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


def conditions(query: str, dialect: str) -> list[ColumnElement[bool]]:
    """Conditions on `PostRow`, all of which the posts that a query asks for fulfil.

    Each word of the query must be the beginning of a word of the post, and each run of symbols
    must be written in it. Punctuation counts in a query of nothing else.

    Parameters
    ----------
    query : any text
    dialect : "sqlite" or "postgresql"
    """
    query = UNREADABLE.sub(" ", query).strip()
    words = [word[:LONGEST_WORD] for word in dict.fromkeys(words_of(query))][:MOST_WORDS]
    literal = list(dict.fromkeys(SYMBOLS.findall(query)))[:MOST_WORDS]
    if query and not words and not literal:
        literal = [query[:LONGEST_WORD]]
    found = [_written(part[:LONGEST_WORD]) for part in literal]
    return [_indexed(words, dialect), *found] if words else found


def _indexed(words: list[str], dialect: str) -> ColumnElement[bool]:
    if dialect == "sqlite":
        prefixes = " ".join(f'"{word}"*' for word in words)
        match = text("search_index MATCH :words").bindparams(words=prefixes)
        return PostRow.id.in_(select(INDEX.c.rowid).where(match))
    lexemes = column("lexemes").op("@@")(
        func.to_tsquery("simple", " & ".join(f"'{word}':*" for word in words))
    )
    return PostRow.id.in_(select(SearchRow.post_id).where(lexemes))


def _written(part: str) -> ColumnElement[bool]:
    """Whether this is written in a post, its note, or the words about one of its pictures."""

    def has_it(*columns: Any) -> ColumnElement[bool]:
        return or_(*(column.contains(part, autoescape=True) for column in columns))

    return or_(
        has_it(PostRow.note),
        PostRow.id.in_(select(VariantRow.post_id).where(has_it(VariantRow.text, VariantRow.edited))),
        PostRow.id.in_(select(PictureRow.post_id).where(has_it(PictureRow.caption, PictureRow.prompt))),
    )
