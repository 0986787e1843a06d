"""The History page: find, show, reopen, delete and export earlier posts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from io import BytesIO
from typing import IO, Any

import streamlit as st

from img2prompt.history.export import write_csv, write_json
from img2prompt.history.record import Post, Variant
from img2prompt.history.store import History
from img2prompt.posts import as_sentence, tones
from img2prompt.web.caption import reading
from img2prompt.web.history import period, reopening
from img2prompt.web.shared import account, dates, identity, lists, session
from img2prompt.web.shared.frame import as_it_is, delete_button
from img2prompt.web.shared.i18n import t

PAGE = 24  # posts shown at a time
ALIKE = 6  # similar posts shown with a post
CAROUSEL_PIXELS = 104  # width of each of several thumbnails
# Least cosine of similar posts. Of 306 photos with 51 labels (animals, fruit, rooms, instruments), it is
# reached by 97 of 100 pairs with the same label, and by 9 with another, such as two kinds of fruit.
ALIKE_FROM = 0.65


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
        if delete_button(t("history.damaged.delete"), "damaged"):
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
    query = lists.search(t("history.search"), "history-search", persist="session")
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
                caption = as_sentence(post.cover.seen.caption)
                st.image(post.cover.thumbnail, width="stretch", alt=caption)
                st.button(
                    as_it_is(caption),
                    key=f"open-{name}-{post.id}",
                    type="tertiary",
                    on_click=_open,
                    args=(post.id,),
                )
                star = " · ★" if post.starred else ""
                st.caption(f"{_about(post)}{star}")


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
            if delete_button(t("history.delete_all.yes"), "history"):
                history.delete_all()
                st.rerun()


def _written(write: Callable[[IO[bytes], Iterable[Post]], None], history: History) -> bytes:
    file = BytesIO()
    write(file, history.export())
    return file.getvalue()


def _show_one(history: History, post: Post) -> None:
    photos = reopening.photos_of(post)
    st.button(t("history.back"), icon=":material/arrow_back:", on_click=st.query_params.clear)
    left, right = st.columns([2, 3], gap="medium")
    with left:
        with st.container(key="history-pictures"):
            st.image(
                [picture.thumbnail for picture in post.pictures],
                width="content" if len(post.pictures) == 1 else CAROUSEL_PIXELS,
                alt=[as_sentence(picture.seen.caption) for picture in post.pictures],
            )
        st.caption(_about(post))
        with st.container(horizontal=True):
            if st.button(t("history.reopen"), type="primary", icon=":material/edit:"):
                reopening.reopen(post)
                st.switch_page("pages/caption.py")
            with st.popover(t("history.delete"), icon=":material/delete:"):
                st.markdown(t("history.delete.sure"))
                if delete_button(t("history.delete.yes"), "post"):
                    history.delete([post.id])
                    st.query_params.clear()
                    st.rerun()
    with right:
        reading.show(photos)
    st.header(t("posts"), anchor=False)
    with st.container(key="history-variants"):
        for number, variant in enumerate(post.variants, 1):
            _variant(history, post, variant, number)
    alike = [similar for similar, cosine in history.like(post.id, ALIKE) if cosine >= ALIKE_FROM]
    if alike:
        st.header(t("history.alike"), anchor=False)
        _grid(alike, "alike")


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


def _open(post_id: int) -> None:
    st.query_params["post"] = str(post_id)


def _about(post: Post) -> str:
    """When a post was written, in which tone, and about how many photos if there are several."""
    parts = [_date(post), t(f"tone.{post.choices.tone}")]
    if len(post.pictures) > 1:
        parts.append(t("history.photos", count=len(post.pictures)))
    return " · ".join(parts)


def _date(post: Post) -> str:
    """The day of a post in the visitor's time zone and language, as Markdown."""
    return as_it_is(dates.day(post.created_at))
