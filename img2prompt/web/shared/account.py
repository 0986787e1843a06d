"""Find out whose history a visitor sees, whether they want one, and who looks after the server."""

from __future__ import annotations

import streamlit as st

from img2prompt.settings import ADMINISTRATORS, HISTORY, switch, variable
from img2prompt.web.shared import cookies, session, visitor
from img2prompt.web.shared.i18n import t
from img2prompt.web.shared.identity import has_sign_in

LOCAL = "local"  # the owner of the history where there is only one person
COOKIE = "history"


def owner() -> str | None:
    """The owner of this visitor's history; None if the visitor has no history.

    - With ``IMG2PROMPT_HISTORY=off``, nobody has a history.
    - With sign-in, the owner is the signed-in person, known by issuer and subject.
    - Without sign-in, a visitor who sits at this machine has the one local history.
    - Without sign-in, other visitors cannot be told apart and have none, unless
      ``IMG2PROMPT_HISTORY=on`` gives all of them the local history.

    Raises
    ------
    ConfigError
        When sign-in is configured in a way that lets cookies be forged.
    """
    if is_switched_off():
        return None
    if has_sign_in():
        return _person()
    return LOCAL if switch(HISTORY) or visitor.sits_here() else None


def is_switched_off() -> bool:
    """Whether the server keeps no history for anybody."""
    return switch(HISTORY) is False


def is_administrator() -> bool:
    """Whether this visitor may change what the server has installed.

    They do if they sit at its machine, or are signed in as one whom ``IMG2PROMPT_ADMINISTRATORS`` names:
    by an email, if the identity provider says that it has verified it, or by issuer and subject, as
    histories are kept: ``https://login.example.org|ada``.

    Raises
    ------
    ConfigError
        When sign-in is configured in a way that lets cookies be forged.
    """
    if visitor.sits_here():
        return True
    listed = {name.strip() for name in (variable(ADMINISTRATORS) or "").split(",")} - {""}
    person = _person() if listed and has_sign_in() else None
    if person is None:
        return False
    # Some providers let people claim any email, and say so only here; Amazon Cognito says it in a string.
    verified = st.user.get("email_verified") in (True, "true")
    email = str(st.user.get("email") or "").casefold()
    return person in listed or (verified and email in {name.casefold() for name in listed})


def is_signed_in() -> bool:
    """Whether this visitor is signed in. Ask only if `identity.has_sign_in`."""
    return bool(st.user.get("is_logged_in"))


def keeps() -> bool:
    """Whether this visitor's posts are saved: they have a history and did not switch it off."""
    return owner() is not None and _wants()


def show() -> None:
    """Show in the sidebar: sign-in or sign-out, and a switch for the history, which the browser remembers."""
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
            cookies.remember(COOKIE, "on" if wants else "off")


def sign_in(position: str) -> None:
    """Show a button that leads to the sign-in page; `position` must be unique on the page."""
    st.button(
        t("account.sign_in"),
        icon=":material/login:",
        type="primary",
        on_click=st.login,
        key=f"sign-in-{position}",
    )


def _person() -> str | None:
    """Issuer and subject of the signed-in person; None if nobody is. Ask only if `identity.has_sign_in`."""
    issuer, subject = st.user.get("iss"), st.user.get("sub")
    return f"{issuer}|{subject}" if is_signed_in() and issuer and subject else None


def _wants() -> bool:
    return st.session_state.get(session.KEEP_HISTORY, cookies.remembered(COOKIE) != "off")
