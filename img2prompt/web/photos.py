"""The photos a visitor chose. They live in the memory of their session and nowhere else.

The widgets are the list of photos: what the uploader, the camera and the sample buttons
hold now is what the post shows. Taking a file out of the uploader forgets it; a visit to
another page does not.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st
from PIL import Image
from starlette.formparsers import MultiPartParser

from img2prompt.errors import ImageError
from img2prompt.images import SUFFIXES, Limits, open_image
from img2prompt.settings import Settings
from img2prompt.web import components, history
from img2prompt.web.frame import show_error
from img2prompt.web.translate import t

if TYPE_CHECKING:
    from img2prompt import Result
    from img2prompt.captions import Seen
    from img2prompt.history.record import Post

SAMPLES = {"temple": "china.jpg", "flower": "flower.jpg"}  # shipped with scikit-learn
MOST_PHOTOS = 10  # in one post; Instagram takes 20, the memory of a small server does not
PREVIEW_PIXELS = 1000
THUMBNAIL_PIXELS = 240

_PASTE = components.register("paste")


@dataclass(eq=False)
class Photo:
    """A photo and what was said about it."""

    key: str  # the same for as long as the photo stays chosen
    picture: Image.Image  # what the engine looks at
    preview: bytes  # what the page shows, as JPEG
    result: Result | None = None
    seen: Seen | None = None
    post: Post | None = None  # as it is in the history
    asked: bool = False  # the model is wanted, and has not answered yet
    reopened: bool = False  # from the history, where a thumbnail is all there is of the picture


def sources(settings: Settings) -> None:
    """Ask for files, or for the clipboard's picture, or for the camera's."""
    megabytes = min(ceil(settings.max_megabytes), st.get_option("server.maxUploadSize"))
    # Uploads above this size would be parked in a temporary file on disk.
    MultiPartParser.spool_max_size = (megabytes + 1) * 2**20
    st.file_uploader(
        t("upload"),
        type=SUFFIXES,
        accept_multiple_files=True,
        max_upload_size=megabytes,
        key=_widget_key("upload"),
        on_change=_take_files,
    )
    st.html(uploader_style(t("upload.button"), t("upload.limits", megabytes=megabytes)))
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        strings = {name: t(f"paste.{name}") for name in ("button", "keys", "nothing", "file")}
        _PASTE(key="paste", data={"strings": strings}, width="content")
        # The browser asks for permission as soon as there is a camera on the page.
        camera = st.toggle(t("camera"), key=_widget_key("use-camera"), on_change=_take_files)
    if camera:
        st.camera_input(t("camera.photo"), key=_widget_key("camera"), on_change=_take_files)


def samples() -> None:
    """Offer photos to try, as buttons that show them."""
    st.html("".join(_thumbnail_style(name) for name in SAMPLES))
    with st.container(gap="xxsmall"):
        st.markdown(f":small[{t('sample')}]")
        row = st.container(horizontal=True, gap="small")
    for name in SAMPLES:
        row.button(t(f"sample.{name}"), key=f"sample-{name}", on_click=_take_sample, args=(name,))


def chosen(settings: Settings) -> list[Photo]:
    """The photos of this session, in the order of the post; says what is wrong with other files."""
    files = [(file.file_id, file.name, file.getvalue) for file in _files()]
    st.session_state.held = [key for key, _, _ in files]
    if sample := st.session_state.get("sample"):
        files = [(sample, t(f"sample.{sample}"), sample_path(SAMPLES[sample]).read_bytes)]
    if len(files) > MOST_PHOTOS:
        show_error(t("photo.too_many", count=len(files), most=MOST_PHOTOS))
        files = files[:MOST_PHOTOS]

    known = st.session_state.get("opened", {})
    if not files and not st.session_state.get("emptied"):
        # Nothing was chosen yet, or the visitor comes back from another page: widgets forget their files.
        return [photo for photo in known.values() if isinstance(photo, Photo)]
    opened: dict[str, Photo | ImageError] = {}
    for key, name, read in files:
        opened[key] = known.get(key) or _open(key, read(), settings)
        if isinstance(opened[key], ImageError):
            show_error(t("photo.unusable", name=name, reason=opened[key]))
    st.session_state.opened = opened
    return [photo for photo in opened.values() if isinstance(photo, Photo)]


def put(photo: Photo) -> None:
    """Choose a photo that comes from none of the widgets."""
    _clear_widgets()
    st.session_state.opened = {photo.key: photo}
    st.session_state.sample, st.session_state.emptied = None, False


def show(photos: list[Photo]) -> None:
    """The photos, large if it is only one."""
    alts = [t("photo.alt", number=number) for number, _ in enumerate(photos, 1)]
    with st.container(key="picture" if len(photos) == 1 else "pictures"):
        st.image([photo.preview for photo in photos], width="content" if len(photos) == 1 else 104, alt=alts)
    if len(photos) > 1:
        st.caption(t("photo.carousel", count=len(photos)))


def sample_path(file: str) -> Path:
    """Where scikit-learn keeps one of its two photos."""
    # Found without importing scikit-learn, which takes a second.
    spec = find_spec("sklearn")
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "datasets" / "images" / file


def as_jpeg(picture: Image.Image, pixels: int) -> bytes:
    """A copy of at most so many pixels a side."""
    small = picture.copy()
    small.thumbnail((pixels, pixels))
    buffer = BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def as_data_url(jpeg: bytes) -> str:
    """A picture that a page can carry in itself."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def _files() -> list:
    wanted = st.session_state.get(_widget_key("use-camera"))
    camera = st.session_state.get(_widget_key("camera")) if wanted else None
    return list(st.session_state.get(_widget_key("upload")) or []) + ([camera] if camera else [])


def _open(key: str, data: bytes, settings: Settings) -> Photo | ImageError:
    try:
        picture = open_image(data, Limits.from_settings(settings))
    except ImageError as error:
        history.failed("open", "", error)
        return error
    return Photo(key, picture, as_jpeg(picture, PREVIEW_PIXELS))


def _take_sample(name: str) -> None:
    _clear_widgets()
    st.session_state.sample = name


def _take_files() -> None:
    files = _files()
    # Streamlit also calls this for a widget that has just left the page and that the browser still mentions.
    if [file.file_id for file in files] != st.session_state.get("held", []):
        st.session_state.sample = None
        st.session_state.emptied = not files


def _clear_widgets() -> None:
    """New keys are new, empty widgets: no file name beside a picture that is not its own."""
    st.session_state.clearings = st.session_state.get("clearings", 0) + 1
    st.session_state.held = []


def _widget_key(name: str) -> str:
    return f"{name}-{st.session_state.get('clearings', 0)}"


def uploader_style(button: str, limits: str) -> str:
    """Streamlit's uploader speaks English only: a style sheet that replaces its words."""
    button, limits = (json.dumps(text, ensure_ascii=False) for text in (button, limits))
    return f"""<style>
        [data-testid="stFileUploaderDropzone"] > span button p::after {{ content: {button}; }}
        [data-testid="stFileUploaderDropzoneInstructions"] span::after {{ content: {limits}; }}
    </style>"""


@st.cache_data(show_spinner=False)
def _thumbnail_style(name: str) -> str:
    """A style sheet that puts the sample behind its button."""
    thumbnail = as_jpeg(Image.open(sample_path(SAMPLES[name])), THUMBNAIL_PIXELS)
    return f"""<style>
        .st-key-sample-{name} button {{
            background: linear-gradient(transparent 40%, rgb(0 0 0 / 65%)),
                        url({as_data_url(thumbnail)}) center / cover;
        }}
    </style>"""
