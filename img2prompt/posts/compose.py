"""Compose finished posts: hook, body, call to action and hashtags, within Instagram's limits."""

from __future__ import annotations

from collections.abc import Sequence

from img2prompt.posts.emoji import decorate, emoji_of
from img2prompt.posts.hashtags import hashtags
from img2prompt.posts.limits import cut, size, tidy
from img2prompt.posts.post import HOOK_LIMIT, MAX_NOTE, POST_LIMIT, Choices, Seen, Variant
from img2prompt.posts.rewriter import Draft, Rewriter, TemplateRewriter
from img2prompt.posts.templates import load_tone
from img2prompt.posts.topic import topic


def compose(seen: Seen | Sequence[Seen], choices: Choices, rewriter: Rewriter | None = None) -> list[Variant]:
    """Write variants of a post about one picture, or about all pictures of a carousel.

    Parameters
    ----------
    seen : what is known about the picture, or about each of several
    choices : tone, length and so on
    rewriter : writes the sentences; by default from templates

    Returns
    -------
    `choices.variants` different posts, always the same for the same arguments; fewer only
    where the pictures give too little to talk about. A text has at most 2,200 characters and
    its first line at most 125, counted in UTF-16 units.

    Raises
    ------
    ConfigError
        For an unknown tone.
    DataError
        For a tone whose file is malformed.
    """
    pictures = [seen] if isinstance(seen, Seen) else list(seen)
    if not pictures:
        return []
    load_tone(choices.tone)
    drafts = (rewriter or TemplateRewriter()).write(pictures, choices)
    tags = hashtags(pictures, choices)
    signs = emoji_of([thing.base for thing in topic(pictures).things])
    return [
        finish(draft, tags, signs, choices, choices.seed * choices.variants + i)
        for i, draft in enumerate(drafts)
    ]


def finish(draft: Draft, tags: tuple[str, ...], signs: Sequence[str], choices: Choices, turn: int) -> Variant:
    """Add the note, emoji and hashtags to a draft, within the limits; `turn` varies the emoji."""
    note = cut(tidy(choices.note), MAX_NOTE, mark="")
    hook, *body, call = decorate(draft.hook, draft.body, draft.call, signs, choices, turn)
    ended = not hook[-1:].isalnum()  # else the note would be read as part of it
    if note and ended and choices.length == "line" and size(f"{hook} {note}") <= HOOK_LIMIT:
        hook, note = f"{hook} {note}", ""
    hook = cut(hook, HOOK_LIMIT)
    blocks = [hook, note, " ".join(body), call]
    joint = "\n\n" if choices.length == "long" else "\n"
    text = cut(joint.join(block for block in blocks if block), POST_LIMIT)
    tags = fitting(tags, POST_LIMIT - size(text) - 2)
    if tags:
        text = f"{text}\n\n{' '.join(tags)}"
    return Variant(text, hook, tags)


def fitting(tags: tuple[str, ...], room: int) -> tuple[str, ...]:
    """The first hashtags that together take at most `room` UTF-16 units."""
    while tags and size(" ".join(tags)) > room:
        tags = tags[:-1]
    return tags
