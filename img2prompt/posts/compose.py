"""Compose finished posts: hook, body, call to action and hashtags, within the platform's limits."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from img2prompt.posts.emoji import decorate, emoji_of
from img2prompt.posts.frames import TemplateRewriter
from img2prompt.posts.hashtags import hashtags
from img2prompt.posts.limits import cut, whole
from img2prompt.posts.lines import PhrasebookRewriter
from img2prompt.posts.phrases import TONES
from img2prompt.posts.post import Choices, Seen, Variant
from img2prompt.posts.rewriter import Draft, Rewriter
from img2prompt.posts.templates import check_tone
from img2prompt.posts.themes import themes_of
from img2prompt.posts.topic import topic
from img2prompt.posts.voice import voice_of


def compose(seen: Seen | Sequence[Seen], choices: Choices, rewriter: Rewriter | None = None) -> list[Variant]:
    """Write variants of a post about one picture, or about all pictures of a carousel.

    Parameters
    ----------
    seen : what is known about the picture, or about each of several
    choices : tone, length, platform and so on
    rewriter : writes the sentences; by default from the phrasebook, in a tone of the user's own from its templates

    Returns
    -------
    `choices.variants` different posts, always the same for the same arguments; fewer only
    where there is too little to say. A text is no longer than the platform takes, nor its
    first line than the feed shows.

    Raises
    ------
    ConfigError
        For an unknown tone.
    DataError
        For a tone, or lines of the user's own, whose file is malformed.
    """
    return list(composing(seen, choices, rewriter))


def composing(
    seen: Seen | Sequence[Seen], choices: Choices, rewriter: Rewriter | None = None
) -> Generator[Variant, None, None]:
    """As `compose`, but each variant comes as soon as it is written."""
    pictures = [seen] if isinstance(seen, Seen) else list(seen)
    if not pictures:
        return
    check_tone(choices.tone)
    tags = hashtags(pictures, choices)
    themes = [theme for picture in pictures for theme in themes_of(picture)]
    signs = emoji_of(themes, [thing.base for thing in topic(pictures).things])
    drafts = (rewriter or without_model(choices)).write(pictures, choices)
    for turn, draft in enumerate(drafts, choices.seed * choices.variants):
        yield finish(draft, tags, signs, choices, turn)


def without_model(choices: Choices) -> Rewriter:
    """What writes in a tone by itself: the phrasebook, or the templates of a tone of the user's own."""
    return PhrasebookRewriter() if choices.tone in TONES else TemplateRewriter()


def finish(draft: Draft, tags: tuple[str, ...], signs: Sequence[str], choices: Choices, turn: int) -> Variant:
    """Add the note, emoji and hashtags to a draft, within the limits; `turn` varies the emoji."""
    place = choices.place
    note = choices.detail
    if any(whole(note).search(sentence) for sentence in (draft.hook, *draft.body)):
        note = ""
    voice = voice_of(choices)
    sentences: tuple[str, ...] = (draft.hook, *draft.body)
    call = draft.call
    if voice:
        sentences = tuple(voice.said(sentence, turn) for sentence in sentences)
        call, note = voice.cased(call), voice.cased(note)
    hook, *body, call = decorate(sentences[0], sentences[1:], call, draft.emoji or signs, choices, turn)
    ended = not hook[-1:].isalnum()  # else the note would be read as part of it
    if note and ended and choices.length == "line" and place.size(f"{hook} {note}") <= place.fold:
        hook, note = f"{hook} {note}", ""
    hook = cut(hook, place.fold, size=place.size)
    blocks = [hook, note, *body, call]
    joint = "\n\n" if choices.length == "long" else "\n"
    text = cut(joint.join(block for block in blocks if block), place.post, size=place.size)
    tags = fitting(tags, place.post - place.size(text) - 2, place.size)
    if tags:
        text = f"{text}\n\n{' '.join(tags)}"
    return Variant(text, hook, tags, draft.writer)


def fitting(tags: tuple[str, ...], room: int, size: Callable[[str], int]) -> tuple[str, ...]:
    """The first hashtags that together take at most `room` units of `size`."""
    while tags and size(" ".join(tags)) > room:
        tags = tags[:-1]
    return tags
