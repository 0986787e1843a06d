"""What derives from a picture's caption: it follows when somebody edits the caption, and is written anew."""

from __future__ import annotations

from dataclasses import replace

from img2prompt.batch.rows import Row
from img2prompt.posts import Choices, Seen, as_sentence, compose, hashtags
from img2prompt.posts.facts import orientation
from img2prompt.posts.limits import cut, tidy
from img2prompt.posts.post import ALT_LENGTH, THINGS
from img2prompt.posts.quotes import without_quote
from img2prompt.prompts import recaption
from img2prompt.results import Match


def with_caption(row: Row, caption: str) -> Row:
    """A row with a person's caption, and with the alt text, hashtags and prompt that derive from it.

    The alt text is the caption in the person's own words. Labels and embedding stay, as they are what the
    model saw, but for its things: the person knows better what the picture is about.
    """
    line = tidy(caption)
    labels = {table: pairs for table, pairs in row.labels.items() if table != THINGS}
    edited = replace(row, caption=caption, labels=labels, edited=True)
    return replace(
        edited,
        prompt=recaption(row.prompt, row.caption, line.removesuffix(".")),
        alt_text=cut(as_sentence(line), ALT_LENGTH),
        hashtags=hashtags(seen_of(edited), Choices()),
    )


def with_post(row: Row, choices: Choices) -> Row:
    """A row with a post about its picture, the first that these choices give; without one where it failed."""
    if row.error:
        return row
    variants = compose(seen_of(row), replace(choices, variants=1))
    return replace(row, post=variants[0].text if variants else "")


def seen_of(row: Row) -> Seen:
    """What a row says of its picture, for those who write about it."""
    labels = {table: [Match(*pair) for pair in pairs] for table, pairs in row.labels.items()}
    shape = orientation((row.width, row.height)) if row.width and row.height else Seen.orientation
    return Seen(without_quote(row.caption), labels, shape, row.colours)
