"""The finished posts: a card for each, a preview of one, the alt texts, and a download of all."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from img2prompt.errors import HistoryError, Img2PromptError
from img2prompt.posts import Choices, Variant, alt_text, compose, composing
from img2prompt.posts.themes import hint_for
from img2prompt.web import components
from img2prompt.web.caption import preview, reading, writing
from img2prompt.web.caption.reading import copy_strings
from img2prompt.web.caption.writing import Writing
from img2prompt.web.shared import account, keeping, session
from img2prompt.web.shared.frame import as_it_is, show_error
from img2prompt.web.shared.i18n import language, t
from img2prompt.web.shared.photo import Photo
from img2prompt.web.shared.sentences import say

if TYPE_CHECKING:
    from img2prompt import Pipeline

_CARD = components.register("card")
_COPIER = components.register("copier")
_DOWNLOAD = components.register("download")


@dataclass
class Copying:
    """A post that is copied while a change is on its way to the page."""

    id: float
    post: str  # its first text
    number: int  # its place on the page
    text: str | None = None  # what to copy, once that is known
    copied: bool | None = None  # whether it was, once that is known


@dataclass
class Desk:
    """What the visitor did with the posts about some photos. Posts are identified by their first text."""

    photos: list[Photo]
    edits: dict[str, str] = field(default_factory=dict)  # first text → current text
    starred: list[str] = field(default_factory=list)
    reopened: list[str] = field(default_factory=list)  # posts that the visitor worked on earlier
    written: list[str] = field(default_factory=list)  # the posts that were written last
    above: list[str] = field(default_factory=list)  # those that stayed when these were written
    shown: str | None = None  # the post in the preview
    seed: int = 0  # of the variants
    saved: tuple | None = None  # what the history was last asked to save
    problem: str = ""  # why that failed; empty if it did not
    copying: Copying | None = None  # the last such
    file: dict[str, Any] | None = None  # the last file that was downloaded: id of the click, and text
    by_model: list[Variant] = field(default_factory=list)  # the posts that a model wrote last
    writers: dict[str, str] = field(default_factory=dict)  # text → the model that wrote it, of all such posts
    written_for: dict[str, Choices] = field(default_factory=dict)  # text → the choices then, where known
    writing: Writing | None = None  # a model that is at work
    wrote: Writing | None = None  # the last one that was

    def shuffle(self) -> None:
        """Ask for other variants."""
        self.seed += 1

    def write(self, pipeline: Pipeline, choices: Choices) -> None:
        """Have the pipeline's model write; it looks at a single photo, and of a carousel it is told."""
        picture = self.photos[0].picture if len(self.photos) == 1 else None
        rewriter = pipeline.rewriter(picture, earlier=list(self.writers))
        seen = [photo.seen for photo in self.photos if photo.seen]
        model = pipeline.engine.captioner or pipeline.engine.name
        self.writing = Writing(composing(seen, choices, rewriter), model, choices)
        self.wrote = None

    def take(self) -> None:
        """Take over what a model has written meanwhile, in place of what it wrote before."""
        if self.writing is not None:
            is_done, posts = self.writing.done, self.writing.posts
            self.by_model, self.writing.shown = posts or self.by_model, len(posts)
            self.writers |= {variant.text: variant.writer for variant in self.by_model}
            self.written_for |= {variant.text: self.writing.choices for variant in posts}
            if is_done:
                error, self.wrote, self.writing = self.writing.error, self.writing, None
                if error and not isinstance(error, Img2PromptError):
                    raise error

    def writer(self, text: str, choices: Choices) -> str:
        """Who wrote a post, in words, and whether for other choices; "" where no model wrote any."""
        if not self.writers:
            return ""
        writer = self.writers.get(text) or t("phrasebook")
        if _of_a_post(self.written_for.get(text, choices)) != _of_a_post(choices):
            return t("written_before", writer=writer)
        return t("written_by", writer=writer)

    def now(self, text: str) -> str:
        """The current text of a post."""
        return self.edits.get(text, text)

    def edit(self, text: str, current: str) -> None:
        """Give a post another text; its first one undoes all edits."""
        self.edits.pop(text, None)
        if current != text:
            self.edits[text] = current

    def posts(self, written: list[str]) -> list[str]:
        """These posts, after those that stay, whatever is changed or shuffled: starred, edited, and reopened.

        Which stay is settled when others are written, so that none moves or goes while it is starred,
        edited, or given its first text back.
        """
        if written != self.written:
            staying = {*self.starred, *self.edits, *self.reopened}
            known = [*self.above, *self.written, *self.starred, *self.edits, *self.reopened]
            self.above = [text for text in dict.fromkeys(known) if text in staying and text not in written]
            self.written = written
        return self.above + self.written

    def keep(self, choices: Choices, variants: Sequence[Variant]) -> None:
        """Save the posts in the history, once; a failure becomes the `problem`."""
        by_model = [] if self.writing else self.by_model  # when all are there
        variants = [*by_model, *variants]
        texts = [variant.text for variant in by_model]
        state = ([(photo.result, photo.prompt) for photo in self.photos], choices, account.keeps(), texts)
        if self.saved == state:
            return
        self.saved = state  # not tried again, as a busy database would delay every click
        try:
            keeping.keep(self.photos, choices, variants)
            self.problem = ""
        except HistoryError as error:
            self.problem = str(error)

    def mark(self, text: str, **marks: Any) -> None:
        """Note in the history what was done with a post."""
        try:
            keeping.mark(self.photos, text, **marks)
        except HistoryError as error:
            self.problem = str(error)


def desk_of(photos: list[Photo]) -> Desk | None:
    """The posts that are on the page, which may be about an earlier set of photos; None before there are any.

    They go when none of their photos is left.
    """
    desk = st.session_state.get(session.DESK)
    if desk is None or not any(photo in desk.photos for photo in photos):
        leave(desk)
        st.session_state[session.DESK] = None
        return None
    return desk


def hint() -> str:
    """An example of a detail that only the visitor knows, of a photo like the first on the page; "" without one."""
    desk = st.session_state.get(session.DESK)
    seen = desk.photos[0].seen if desk else None
    try:
        return hint_for(seen, language()) if seen else ""
    except Img2PromptError:  # lines of the user's own that cannot be used, of which `show` tells
        return ""


def begin(photos: list[Photo]) -> Desk:
    """Put posts about photos that were described on the page; what stays of an earlier set stays."""
    desk = desk_of(photos)
    if desk is None:
        desk = Desk(photos)
    elif desk.photos != photos:
        leave(desk)
        desk = Desk(
            photos,
            edits=desk.edits,
            starred=desk.starred,
            reopened=desk.reopened,
            writers=desk.writers,
            written_for=desk.written_for,
        )
    st.session_state[session.DESK] = desk
    reading.answered(photos)
    return desk


def leave(desk: Desk | None) -> None:
    """Stop the model that writes for a desk."""
    if desk and desk.writing:
        desk.writing.leave()


@st.fragment  # a click in here draws only this part again
def show(desk: Desk, choices: Choices, is_current: bool) -> None:
    """Write posts about photos that were described, and let the visitor edit, star and copy them.

    `is_current` says whether those are the photos that are chosen now.
    """
    photos = desk.photos
    seen = [photo.seen for photo in photos if photo.seen]
    choices = replace(choices, seed=desk.seed)
    try:
        variants = compose(seen, choices)
    except Img2PromptError as error:  # an own tone whose file is malformed
        show_error(error)
        return
    desk.take()
    posts = desk.posts(list(dict.fromkeys(variant.text for variant in [*desk.by_model, *variants])))
    alts = [alt_text(picture, note=choices.note, language=choices.language) for picture in seen]

    st.header(t("posts"), anchor=False)
    if not is_current:
        st.info(t("posts.earlier"), icon=":material/history:")
    st.caption(t("posts.help"))
    problem = st.empty()
    with st.container(key="where-choices-are"):
        st.caption(t("posts.choices"))
    left, right = st.columns([3, 2], gap="medium")
    with left:
        with st.container(horizontal=True):
            st.button(t("shuffle"), icon=":material/shuffle:", on_click=desk.shuffle)
            writing.offer(lambda pipeline: desk.write(pipeline, choices), desk.writing is not None)
            _download(as_text([desk.now(text) for text in posts], alts), desk)
        progress = writing.tell(desk.wrote)
        _copier(posts, desk)
        shown = _shown(desk, posts)
        for number, text in enumerate(posts, 1):
            _card(number, text, text == shown, desk, choices)
    with right:
        with st.container(key="preview"):
            preview.show(photos, alts, desk.now(shown), choices)
        reading.show(photos, alts)
    desk.keep(choices, variants)  # last, when everything is on the page
    for photo in photos:
        photo.rest()
    if desk.problem:
        problem.warning(t("history.not_saved", reason=as_it_is(say(desk.problem))))
    if desk.writing:
        writing.follow(desk.writing, progress)


def as_text(posts: list[str], alts: list[str]) -> str:
    """The text of a file with posts and alt texts, for people to read."""
    parts = [(t("post", number=number), text) for number, text in enumerate(posts, 1)]
    parts += [(t("alt.number", number=number), text) for number, text in enumerate(alts, 1)]
    return "\n\n\n".join(f"— {title} —\n\n{text}" for title, text in parts) + "\n"


def _of_a_post(choices: Choices) -> Choices:
    """The choices without those that say nothing of a single post."""
    return replace(choices, seed=0, variants=1)


def _shown(desk: Desk, posts: list[str]) -> str:
    """The post for the preview: the chosen one, else the first starred one, else the first."""
    candidates = [desk.shown, *desk.starred, *posts]
    return next(text for text in candidates if text in posts)


def _card(number: int, text: str, shown: bool, desk: Desk, choices: Choices) -> None:
    key = f"card-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def edit() -> None:
        desk.edit(text, st.session_state[key].text)
        desk.shown = text
        desk.mark(text, edited=desk.now(text))

    def star() -> None:
        desk.starred = [starred for starred in desk.starred if starred != text]
        if st.session_state[key].star:
            desk.starred.append(text)
            desk.shown = text
        desk.mark(text, starred=text in desk.starred)

    def choose() -> None:
        desk.shown = text

    def copy() -> None:
        desk.mark(text, copied=True)

    outcome = None
    if desk.copying and desk.copying.copied is not None and desk.copying.post == text:
        outcome = {"id": desk.copying.id, "copied": desk.copying.copied}
    title, place = t("post", number=number), choices.place
    _CARD(
        key=key,
        data={
            "post": text,
            "number": number,
            "text": desk.now(text),
            "outcome": outcome,
            "writer": desk.writer(text, choices),
            "starred": text in desk.starred,
            "shown": shown,
            "limits": {"first": place.fold, "all": place.post, "weighted": place.weighted},
            "language": choices.language,
            "strings": copy_strings(title)
            | {
                "title": title,
                "text_name": t("post.text", number=number),
                "star_name": t("post.star", number=number),
                "undo_name": t("post.undo", number=number),
                "show": t("post.show"),
                "show_name": t("post.show.name", number=number),
                "first": t("post.first"),
                "first_over": t("post.first.over", most=place.fold),
                "all": t("post.all"),
                "all_over": t("post.all.over", most=f"{place.post:,}", platform=place.name),
            },
        },
        on_text_change=edit,
        on_star_change=star,
        on_show_change=choose,
        on_copied_change=copy,
    )


def _download(text: str, desk: Desk) -> None:
    """Offer a file with this text, as it is when Python hears of the click."""
    key = "download"

    def want() -> None:
        desk.file = {"id": st.session_state[key].wanted}

    if desk.file:
        desk.file.setdefault("text", text)
    _DOWNLOAD(
        key=key,
        data={"label": t("download"), "file": "posts.txt", "answer": desk.file},
        width="content",
        on_wanted_change=want,
    )


def _copier(posts: list[str], desk: Desk) -> None:
    """Answer what is to be copied, where the visitor asked for that before a change of theirs was on the page."""
    key = "copier"

    def want() -> None:
        desk.copying = Copying(**st.session_state[key].wanted)

    def end() -> None:
        outcome = st.session_state[key].outcome
        if desk.copying and desk.copying.id == outcome["id"]:
            desk.copying.copied = outcome["copied"]
            if outcome["copied"]:
                desk.mark(desk.copying.post, copied=True)

    if (copying := desk.copying) and copying.text is None:
        if copying.post not in posts:
            copying.post = posts[min(copying.number, len(posts)) - 1]  # what has its place now
        copying.text = desk.now(copying.post)
    answer = {"id": copying.id, "text": copying.text} if copying else None
    _COPIER(key=key, data={"answer": answer}, on_wanted_change=want, on_outcome_change=end)
