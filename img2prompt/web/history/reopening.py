"""Go on with an earlier post: back on the Caption page, as it was left."""

from __future__ import annotations

import math
from functools import partial

import streamlit as st

from img2prompt.errors import ImageError
from img2prompt.history.record import Picture, Post, Variant
from img2prompt.images import Limits, open_image
from img2prompt.posts import Variant as Written
from img2prompt.posts import as_sentence, tones
from img2prompt.posts.post import PHRASEBOOK
from img2prompt.prompts import SHOWN
from img2prompt.results import Result
from img2prompt.web.caption import cards, photos
from img2prompt.web.caption.choices import MOST_VARIANTS, hashtags_key
from img2prompt.web.shared import keeping, session
from img2prompt.web.shared.frame import as_it_is
from img2prompt.web.shared.i18n import t
from img2prompt.web.shared.photo import Photo, as_jpeg

_THUMBNAIL = Limits(min_side=1, max_stretch=math.inf)  # those of panoramas are a few pixels high


def offer() -> None:
    """Offer the last post to a visitor whose session is new, as after a reload of the page.

    It is a button, not the post itself: somebody who comes back tomorrow has another photo in mind.
    """
    if session.READ_WITH in st.session_state:  # the visitor was at work, and put the photos away
        return
    post = keeping.last()
    if post is None:
        return
    try:
        cover, *_ = photos_of(post)
    except ImageError:  # a thumbnail is damaged, which must not stop this page
        return
    with st.container(horizontal=True, vertical_alignment="center", key="go-on"):
        st.image(cover.preview, width=48, alt="")
        st.button(
            t("history.go_on"),
            icon=":material/history:",
            on_click=reopen,
            args=(post,),
            help=as_it_is(as_sentence(post.cover.seen.caption)),
        )


def reopen(post: Post) -> None:
    """Put a post on the Caption page as it was left, with its thumbnails instead of the photos."""
    state, choices = st.session_state, post.choices
    chosen = photos_of(post)
    photos.put(chosen)
    by_model = [_written(variant, post) for variant in post.variants if variant.writer != PHRASEBOOK]
    state[session.DESK] = cards.Desk(
        chosen,
        edits={variant.text: variant.edited for variant in post.variants if variant.edited is not None},
        starred=[variant.text for variant in post.variants if variant.starred],
        by_model=by_model[-choices.variants :],  # those of before are in the history
        writers={variant.text: variant.writer for variant in by_model},
        reopened=[variant.text for variant in post.variants if variant.is_marked],
        seed=choices.seed,
    )
    if choices.tone in tones():
        state.tone = choices.tone
    for name in ("goal", "length", "emoji", "platform", "note"):
        state[name] = getattr(choices, name)
    state[hashtags_key(choices.platform)] = choices.most_hashtags
    state.variants = min(choices.variants, MOST_VARIANTS)


def _written(variant: Variant, post: Post) -> Written:
    """A variant as the composer gave it."""
    words = variant.text.split()
    tags = tuple(tag for tag in post.hashtags if tag in words)
    return Written(variant.text, variant.text.split("\n", 1)[0], tags, variant.writer)


def photos_of(post: Post) -> list[Photo]:
    """The photos of a post for the Caption page, as far as the history keeps them."""
    return [_photo(post, picture, number) for number, picture in enumerate(post.pictures, 1)]


def _photo(post: Post, kept: Picture, number: int) -> Photo:
    opened = partial(open_image, kept.thumbnail, _THUMBNAIL)
    result = Result(
        caption=kept.seen.caption,
        prompt=kept.prompt,
        labels={table: list(kept.seen.labels.get(table, ())) for table in SHOWN},
        embedding=kept.embedding,
        engine=post.engine,
        seconds=sum(kept.timings.values()),
        timings=dict(kept.timings),
    )
    return Photo(
        key=f"history-{post.id}-{number}",
        open=opened,
        preview=as_jpeg(opened(), photos.PREVIEW_PIXELS),
        result=result,
        seen=kept.seen,
        record=kept,
        post=post,
        reopened=True,
    )
