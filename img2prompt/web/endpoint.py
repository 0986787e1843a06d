"""The model server on the Models page: its address, its models, and a test.

Only who sits at the machine may name an address. Anybody else could have the app call whatever its machine can
reach; for them the server's own setting counts, which they may choose and not change.
"""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from img2prompt.engines.endpoint.address import EXAMPLE, parse
from img2prompt.engines.endpoint.trial import models, try_out
from img2prompt.errors import Img2PromptError
from img2prompt.settings import Settings
from img2prompt.web.shared import pipelines, session, visitor
from img2prompt.web.shared.frame import as_it_is, show_error
from img2prompt.web.shared.i18n import language, t

LISTING_SECONDS = 5.0  # for a list of models, which the page waits for


def is_offered(server: Settings) -> bool:
    """Whether this visitor may choose the engine: they may name an address, or whoever runs the app has."""
    return visitor.sits_here() or bool(server.endpoint_url) or server.engine == "endpoint"


def ask(server: Settings) -> Settings | None:
    """Ask for the address and the model, and test them on demand; None while they cannot be used.

    Parameters
    ----------
    server : the server's settings, with endpoint as engine
    """
    if not visitor.sits_here():
        if pipelines.missing(server):  # its reason is for whoever runs the app
            st.warning(t("models.endpoint.off"))
            return None
        st.markdown(t("models.endpoint.served", host=as_it_is(parse(server.endpoint_url).host)))
        return server
    current = pipelines.settings()
    url = st.text_input(
        t("models.endpoint.url"),
        current.endpoint_url,
        placeholder=EXAMPLE,
        help=t("models.endpoint.url.help"),
        key="models-endpoint-url",
    ).strip()
    if not url:
        return None
    try:
        if not _may_go_to(url, server):
            return None
        chosen = pipelines.with_own_key(replace(server, endpoint_url=url, endpoint_remote=True))
        if problem := pipelines.missing(chosen):  # a library
            raise problem
    except Img2PromptError as error:
        show_error(error)
        return None
    is_same = url == current.endpoint_url
    chosen = replace(chosen, endpoint_model=_ask_for_model(chosen, current.endpoint_model if is_same else ""))
    st.caption(t("models.endpoint.key.there") if chosen.endpoint_key else t("models.endpoint.key"))
    if st.button(t("models.endpoint.test"), icon=":material/network_check:", key="models-endpoint-test"):
        _test(chosen)
    return chosen


def _may_go_to(url: str, server: Settings) -> bool:
    """Whether photos may go there: it is this machine, or the visitor says so, once for each host in a visit.

    A host that may get them encrypted may not yet get them as anybody on the way can read them.

    Raises
    ------
    ConfigError
        When it is no address of a model server.
    """
    address = parse(url)
    confirmed = st.session_state.setdefault(session.ENDPOINT_HOSTS, [])
    if (
        address.is_here
        or (address.host, address.is_private) in confirmed
        or (server.endpoint_remote and url == server.endpoint_url)
    ):
        return True
    host = as_it_is(address.host)
    unsafe = "" if address.is_private else f" {t('models.endpoint.unencrypted')}"
    st.warning(t("models.endpoint.remote", host=host) + unsafe, icon=":material/send:")
    st.button(
        t("models.endpoint.confirm", host=host),
        key="models-endpoint-confirm",
        on_click=confirmed.append,
        args=((address.host, address.is_private),),
    )
    return False


def _ask_for_model(chosen: Settings, current: str) -> str:
    """One of the server's models, or another name; empty for the server's choice."""
    known = st.session_state.get(session.ENDPOINT_MODELS)
    if known is None or known[0] != chosen.endpoint_url:
        known = chosen.endpoint_url, *_list(chosen)
        st.session_state[session.ENDPOINT_MODELS] = known
    _, names, problem = known
    if problem:
        show_error(problem)
    options = list(dict.fromkeys(["", *names, current]))
    return (
        st.selectbox(
            t("models.endpoint.model"),
            options,
            index=options.index(current),
            format_func=lambda name: name or t("models.endpoint.first"),
            accept_new_options=True,
            help=t("models.endpoint.model.help"),
            # Another server has other models, whatever was chosen of the last one's.
            key=f"models-endpoint-model-{language()}-{chosen.endpoint_url}",
        )
        or ""
    )


def _list(chosen: Settings) -> tuple[list[str], str]:
    """The models that the server has, or none and the reason."""
    seconds = min(LISTING_SECONDS, chosen.endpoint_timeout)
    try:
        return models(replace(chosen, endpoint_timeout=seconds)), ""
    except Img2PromptError as error:
        return [], str(error)


def _test(chosen: Settings) -> None:
    """Ask about the test picture, as `img2prompt doctor` does."""
    st.session_state.pop(
        session.ENDPOINT_MODELS, None
    )  # listed anew: the server may have been started meanwhile
    with st.spinner(t("models.endpoint.testing")):
        try:
            trial = try_out(chosen)
        except Img2PromptError as error:
            show_error(error)
            return
    words = {"model": as_it_is(trial.model), "caption": as_it_is(trial.said.caption)}
    st.success(t("models.endpoint.works", **words, seconds=f"{trial.seconds:.1f}"), icon=":material/check:")
    if not trial.structured:
        st.caption(t("models.endpoint.plain"))
