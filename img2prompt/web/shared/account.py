"""Whose history it is, and whether this visitor wants one."""

from __future__ import annotations

import streamlit as st

from img2prompt.settings import HISTORY, switch
from img2prompt.web import components
from img2prompt.web.shared import session, visitor
from img2prompt.web.shared.i18n import t

LOCAL = "local"  # the owner where there is only one person
COOKIE = "img2prompt-history"

_REMEMBER = components.register("remember")


def owner() -> str | None:
    """Whose history this visitor's is; None where there is none.

    - ``IMG2PROMPT_HISTORY=off``: nobody has one.
    - With sign-in configured: who is signed in, known by issuer and subject.
    - Without, for who sits at this machine: the one person it belongs to.
    - Without, for others too: nobody, as they could not be told apart; one that all share
      with ``IMG2PROMPT_HISTORY=on``.
    """
    if is_switched_off():
        return None
    if has_sign_in():
        issuer, subject = st.user.get("iss"), st.user.get("sub")
        return f"{issuer}|{subject}" if is_signed_in() and issuer and subject else None
    return LOCAL if switch(HISTORY) or visitor.sits_here() else None


def is_switched_off() -> bool:
    """Whether the server has no history for anybody."""
    return switch(HISTORY) is False


def has_sign_in() -> bool:
    """Whether the server knows its visitors by name: ``[auth]`` in ``.streamlit/secrets.toml``."""
    return st.secrets.load_if_toml_exists() and "auth" in st.secrets


def is_signed_in() -> bool:
    """Whether this visitor is; for servers with sign-in."""
    return bool(st.user.get("is_logged_in"))


def keeps() -> bool:
    """Whether what this visitor captions is kept: there is a history, and they did not switch it off."""
    return owner() is not None and _wants()


def show() -> None:
    """In the sidebar: sign in or out, and whether to keep a history, which the browser remembers."""
    with st.sidebar:
        if has_sign_in():
            if is_signed_in():
                name = st.user.get("name") or st.user.get("email") or ""
                st.markdown(t("account.signed_in"))
                st.text(str(name))
                st.button(
                    t("account.sign_out"), icon=":material/logout:", on_click=st.logout, width="stretch"
                )
            else:
                sign_in("sidebar")
        if owner() is not None:
            wants = st.toggle(
                t("history.keep"),
                _wants(),
                key=session.KEEP_HISTORY,
                persist_state="session",
                help=t("history.keep.help"),
            )
            _REMEMBER(key="remember-history", data={"name": COOKIE, "value": "on" if wants else "off"})


def sign_in(place: str) -> None:
    """A button that leads to the sign-in page; `place` tells it from others on the page."""
    st.button(
        t("account.sign_in"),
        icon=":material/login:",
        type="primary",
        on_click=st.login,
        key=f"sign-in-{place}",
    )


def _wants() -> bool:
    return st.session_state.get(session.KEEP_HISTORY, st.context.cookies.get(COOKIE) != "off")
