"""The History page: find, show, reopen, delete and export earlier posts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import partial
from io import BytesIO
from typing import IO, Any

import streamlit as st

from img2prompt.history.export import write_csv, write_json
from img2prompt.history.record import Post, Variant
from img2prompt.history.store import History
from img2prompt.images import open_image
from img2prompt.posts import as_sentence, tones
from img2prompt.prompts import SHOWN
from img2prompt.results import Result
from img2prompt.web.caption import cards, photos, reading
from img2prompt.web.history import period
from img2prompt.web.shared import account, identity, session
from img2prompt.web.shared.frame import as_it_is
from img2prompt.web.shared.i18n import language, t
from img2prompt.web.shared.photo import Photo

PAGE = 24  # posts shown at a time
ALIKE = 6  # similar posts shown with a post
FIRST_VARIANTS = 5  # latest variants without a mark that are shown; earlier ones are folded away


def show(history: History) -> None:
    """Show the post that the address names, else all posts."""
    number = st.query_params.get("post", "")
    post = history.get(int(number)) if number.isdecimal() and len(number) < 19 else None
    if post:
        _show_one(history, post)
        return
    if number:
        st.info(t("history.gone"))
    if history.count():
        _show_all(history)
    else:
        st.info(t("history.empty"), icon=":material/photo_library:")
        st.page_link("pages/caption.py", label=t("nav.caption"), icon=":material/arrow_forward:")


def explain_absence() -> None:
    """Explain why this visitor has no history, and how to get one."""
    if account.is_switched_off():
        st.info(t("history.switched_off"), icon=":material/history_toggle_off:")
    elif identity.has_sign_in():
        st.info(t("history.sign_in"), icon=":material/login:")
        account.sign_in("page")
    else:
        st.info(t("history.off"), icon=":material/history_toggle_off:")


def _show_all(history: History) -> None:
    filters = _ask()
    count = history.count(**filters)
    before = _pages(filters)
    damaged: list[int] = []
    posts = history.posts(**filters, after=before[-1] if before else None, limit=PAGE, damaged=damaged)
    ids = [post.id for post in posts] + damaged
    if not ids:
        st.caption(t("history.none"))
    else:
        first = len(before) * PAGE + 1
        st.caption(t("history.count", first=first, last=first + len(ids) - 1, count=count))
        _grid(posts, "grid")
    if damaged:
        st.warning(t("history.damaged", count=len(damaged)), icon=":material/heart_broken:")
        if st.button(t("history.damaged.delete"), icon=":material/delete:"):
            history.delete(damaged)
            st.rerun()
    with st.container(horizontal=True, horizontal_alignment="center"):
        if before:
            st.button(t("history.newer"), icon=":material/arrow_back:", on_click=_turn, args=(None,))
        if ids and len(before) * PAGE + len(ids) < count:
            older = t("history.older")
            st.button(older, icon=":material/arrow_forward:", on_click=_turn, args=(min(ids),))
    _manage(history)


def _ask() -> dict[str, Any]:
    """Ask for filters: keyword arguments of `History.posts`."""
    query = st.text_input(
        t("history.search"),
        placeholder=t("history.search"),
        icon=":material/search:",
        key="history-search",
        live=True,
        persist_state="session",
        label_visibility="collapsed",
    )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        since = period.ask("history-period")
        starred = st.toggle(t("history.starred"), key="history-starred", persist_state="session")
    chosen = st.pills(
        t("tone"),
        tones(),
        selection_mode="multi",
        format_func=lambda name: t(f"tone.{name}"),
        key="history-tones",
        persist_state="session",
    )
    return {"query": query, "since": since, "tones": tuple(chosen), "starred": starred}


def _pages(filters: dict[str, Any]) -> list[int]:
    """The id of the last post on each page before this one; none after a change of the filters."""
    if st.session_state.get(session.HISTORY_ASKED) != filters:
        st.session_state[session.HISTORY_ASKED] = filters
        st.session_state[session.HISTORY_BEFORE] = []
    return st.session_state[session.HISTORY_BEFORE]


def _turn(last: int | None) -> None:
    """Go to the next page, after this one's last post; with None, go to the page before."""
    before = st.session_state[session.HISTORY_BEFORE]
    if last is None:
        before.pop()
    else:
        before.append(last)


def _grid(posts: Sequence[Post], name: str) -> None:
    """Show posts as a grid; `name` must be unique on the page."""
    with st.container(key=f"history-{name}"):
        for post in posts:
            with st.container(gap="xxsmall", key=f"history-{name}-{post.id}"):
                caption = as_sentence(post.seen.caption)
                st.image(post.thumbnail, width="stretch", alt=caption)
                st.button(
                    as_it_is(caption),
                    key=f"open-{name}-{post.id}",
                    type="tertiary",
                    on_click=_open,
                    args=(post.id,),
                )
                star = " · ★" if post.starred else ""
                st.caption(f"{_date(post)} · {t(f'tone.{post.choices.tone}')}{star}")


def _manage(history: History) -> None:
    """Offer to export everything, or to delete it."""
    st.space("small")
    with st.container(horizontal=True):
        for kind, write, mime in (
            ("CSV", write_csv, "text/csv"),
            ("JSON", write_json, "application/json"),
        ):
            st.download_button(
                t("history.export", kind=kind),
                partial(_written, write, history),  # called when the visitor clicks
                file_name=f"history.{kind.lower()}",
                mime=mime,
                icon=":material/download:",
                on_click="ignore",
            )
        with st.popover(t("history.delete_all"), icon=":material/delete_forever:"):
            st.markdown(t("history.delete_all.sure"))
            if st.button(t("history.delete_all.yes"), type="primary"):
                history.delete_all()
                st.rerun()


def _written(write: Callable[[IO[bytes], Iterable[Post]], None], history: History) -> bytes:
    file = BytesIO()
    write(file, history.export())
    return file.getvalue()


def _show_one(history: History, post: Post) -> None:
    photo = _as_photo(post)
    st.button(t("history.back"), icon=":material/arrow_back:", on_click=st.query_params.clear)
    left, right = st.columns([2, 3], gap="medium")
    with left:
        st.image(post.thumbnail, alt=as_sentence(post.seen.caption))
        st.caption(f"{_date(post)} · {t(f'tone.{post.choices.tone}')}")
        with st.container(horizontal=True):
            if st.button(t("history.reopen"), type="primary", icon=":material/edit:"):
                _reopen(post, photo)
            with st.popover(t("history.delete"), icon=":material/delete:"):
                st.markdown(t("history.delete.sure"))
                if st.button(t("history.delete.yes"), type="primary"):
                    history.delete([post.id])
                    st.query_params.clear()
                    st.rerun()
    with right:
        reading.show([photo])
    st.header(t("posts"), anchor=False)
    numbered = list(enumerate(post.variants, 1))
    unmarked = [number for number, variant in numbered if not _marks(variant)]
    folded = set(unmarked[:-FIRST_VARIANTS])
    _variants(history, post, [pair for pair in numbered if pair[0] not in folded], "variants")
    if folded:
        with st.expander(t("history.more", count=len(folded))):
            _variants(history, post, [pair for pair in numbered if pair[0] in folded], "folded")
    if alike := history.like(post.id, ALIKE):
        st.header(t("history.alike"), anchor=False)
        _grid([similar for similar, _ in alike], "alike")


def _variants(history: History, post: Post, numbered: Sequence[tuple[int, Variant]], name: str) -> None:
    with st.container(key=f"history-{name}"):
        for number, variant in numbered:
            _variant(history, post, variant, number)


def _variant(history: History, post: Post, variant: Variant, number: int) -> None:
    with st.container(border=True):
        reading.copyable(t("post", number=number), variant.now, f"variant-{post.id}-{number}")
        with st.container(horizontal=True, vertical_alignment="center"):
            if st.button(
                t("history.unstar", number=number) if variant.starred else t("post.star", number=number),
                icon=":material/star:",
                type="primary" if variant.starred else "secondary",
                key=f"star-{post.id}-{number}",
            ):
                history.mark(post.id, variant.text, starred=not variant.starred)
                st.rerun()
            if marks := _marks(variant):
                st.markdown(" ".join(f":gray-badge[{mark}]" for mark in marks))


def _marks(variant: Variant) -> list[str]:
    """What the visitor did with a variant, in words."""
    marks = {"starred": variant.starred, "copied": variant.copied, "edited": variant.edited is not None}
    return [t(f"history.{mark}") for mark, is_set in marks.items() if is_set]


def _reopen(post: Post, photo: Photo) -> None:
    """Open this post on the Caption page as it was left, with its thumbnail instead of the photo."""
    state, choices = st.session_state, post.choices
    photos.put(photo)
    state.desk = cards.Desk(
        [photo],
        edits={variant.text: variant.edited for variant in post.variants if variant.edited is not None},
        starred=[variant.text for variant in post.variants if variant.starred],
        seed=choices.seed,
    )
    if choices.tone in tones():
        state.tone = choices.tone
    for name in ("goal", "length", "emoji", "hashtags", "variants", "note"):
        state[name] = getattr(choices, name)
    st.switch_page("pages/caption.py")


def _as_photo(post: Post) -> Photo:
    """A post as a photo for the Caption page."""
    picture = open_image(post.thumbnail)
    result = Result(
        caption=post.seen.caption,
        prompt=post.prompt,
        labels={table: list(post.seen.labels.get(table, ())) for table in SHOWN},
        embedding=post.embedding,
        engine=post.engine,
        seconds=sum(post.timings.values()),
        timings=dict(post.timings),
    )
    preview = photos.as_jpeg(picture, photos.PREVIEW_PIXELS)
    return Photo(f"history-{post.id}", picture, preview, result, post.seen, post, reopened=True)


def _open(post_id: int) -> None:
    st.query_params["post"] = str(post_id)


def _date(post: Post) -> str:
    """The day of a post in the visitor's time zone and language."""
    minutes = st.context.timezone_offset or 0  # that UTC is ahead of the visitor, as in JavaScript
    date = post.created_at - timedelta(minutes=minutes)
    if language() == "ko":
        return f"{date.year}. {date.month}. {date.day}."
    return f"{date:%b} {date.day}, {date.year}"
