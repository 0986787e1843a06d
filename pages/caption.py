"""The Caption page: photos in, posts out."""

import streamlit as st

from img2prompt.errors import Img2PromptError
from img2prompt.web.caption import cards, choices, photos, reading, stored
from img2prompt.web.history import reopening
from img2prompt.web.shared import account, frame, instruction, keeping, pipelines, privacy, session
from img2prompt.web.shared.i18n import t

frame.begin(t("title"))
st.markdown(t("intro"))
hint = cards.hint()
post_choices = choices.ask(hint)
frame.end(privacy.of_photos(history=account.keeps()))

try:
    settings = pipelines.settings()
except Img2PromptError as error:
    frame.show_error(error)
    st.stop()
pipelines.start_loading()

announcement = st.container(key="announcements")
left, right = st.columns(2, gap="medium")
with left:
    photos.sources(settings)
with right:
    photos.samples()
# Asked before the fold is drawn: what waits in there for the model must not lose its place, or the page goes white.
is_ignored = instruction.is_ignored()
fold = st.empty()
with fold.container():
    st.session_state[session.TOLD] = instruction.ask("instruction", post_choices.note, reading.is_asked_for())
privacy.note()

chosen = photos.chosen(settings)
desk = cards.desk_of(chosen)
if not chosen:
    with announcement:
        reading.announce([])
    reopening.offer()
    reading.explain()
    st.page_link("pages/batch.py", label=t("batch.hint"), icon=":material/photo_library:")
    st.stop()

to_read = st.empty()
if any(photo.reopened for photo in chosen):
    st.caption(t("history.reopened"))
elif desk is None or desk.photos != chosen or not reading.is_up_to_date():
    with to_read.container():
        left, right = st.columns(2, gap="medium")
        with left:
            photos.show(chosen, small=desk is not None)
        with right:
            st.button(
                t("start") if desk is None or len(chosen) == 1 else t("start.again", count=len(chosen)),
                type="primary",
                width="stretch",
                on_click=reading.ask_for,
                args=(chosen,),
            )
            if any(photo.asked for photo in chosen):
                try:
                    reading.read(chosen)
                except Img2PromptError as error:
                    keeping.failed("caption", settings.engine, error)
                    frame.show_error(error)
                else:
                    desk = cards.begin(chosen)
                    if cards.hint() != hint:  # the sidebar was drawn before the photo was known
                        st.rerun()
    if desk and desk.photos == chosen and reading.is_up_to_date():
        to_read.empty()
else:
    reading.answered(chosen)  # a second click may come when the posts are being drawn

if desk and is_ignored:
    fold.empty()  # so that posts come further up
stored.show(chosen)
if desk:
    cards.show(desk, post_choices, is_current=desk.photos == chosen)
stored.suggest(chosen)
with announcement:
    reading.announce(desk.photos if desk else [])
