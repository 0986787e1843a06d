"""The photos that a visitor chose. They are kept in the memory of the session only.

While a photo of more than 1 MB arrives, Streamlit's web server holds it in a temporary file, which
is deleted at once; Streamlit has no option against it.

The post shows the photos that the uploader, the camera and the sample buttons hold now. Removing
a file from the uploader forgets the photo, as soon as there are posts about the others, or no others;
a visit to another page does not.
"""

from __future__ import annotations

from functools import partial
from io import BytesIO

import streamlit as st
from PIL import Image

from img2prompt import metadata
from img2prompt.errors import ImageError
from img2prompt.images import SUFFIXES, Limits, open_image
from img2prompt.settings import Settings
from img2prompt.web import components
from img2prompt.web.shared import keeping, session
from img2prompt.web.shared.frame import show_error
from img2prompt.web.shared.i18n import t
from img2prompt.web.shared.photo import Photo, as_data_url, as_jpeg, sample_path
from img2prompt.web.shared.sentences import say
from img2prompt.web.shared.uploader import Words, ask_for_files

SAMPLES = {"temple": "china.jpg", "flower": "flower.jpg"}  # shipped with scikit-learn
MOST_PHOTOS = 10  # in one post; Instagram takes 20, which is too much for the memory of a small server
PREVIEW_PIXELS = 1000
THUMBNAIL_PIXELS = 240

_PASTE = components.register("paste")


def sources(settings: Settings) -> None:
    """Ask for files, or for a picture from the clipboard or the camera."""
    megabytes = min(settings.max_megabytes, st.get_option("server.maxUploadSize"))
    words = Words(
        label=t("upload"),
        button=t("upload.button"),
        limits=t("upload.limits", megabytes=f"{megabytes:g}"),
        unsupported=t("upload.unsupported"),
        too_large=t("upload.too_large", megabytes=f"{megabytes:g}"),
    )
    ask_for_files(
        words,
        key=_widget_key("upload"),
        suffixes=SUFFIXES,
        megabytes=megabytes,
        several=True,
        on_change=_take_files,
    )
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        strings = {name: t(f"paste.{name}") for name in ("button", "keys", "nothing", "file")}
        _PASTE(key="paste", data={"strings": strings}, width="content")
        # The browser asks for permission as soon as there is a camera on the page.
        camera = st.toggle(t("camera"), key=_widget_key("use-camera"), on_change=_take_files)
    if camera:
        st.camera_input(t("camera.photo"), key=_widget_key("camera"), on_change=_take_files)


def samples() -> None:
    """Offer sample photos, as buttons that show them."""
    st.html("".join(_thumbnail_style(name) for name in SAMPLES))
    with st.container(gap="xxsmall"):
        st.markdown(f":small[{t('sample')}]")
        row = st.container(horizontal=True, gap="small")
    for name in SAMPLES:
        row.button(t(f"sample.{name}"), key=f"sample-{name}", on_click=_take_sample, args=(name,))


def chosen(settings: Settings) -> list[Photo]:
    """The photos of this session, in the order of the post; shows an error for each unusable file."""
    files = [(file.file_id, file.name, file.getvalue) for file in _files()]
    st.session_state[session.HELD] = [key for key, _, _ in files]
    if sample := st.session_state.get(session.SAMPLE):
        files = [(sample, t(f"sample.{sample}"), sample_path(SAMPLES[sample]).read_bytes)]
    if len(files) > MOST_PHOTOS:
        show_error(t("photo.too_many", count=len(files), most=MOST_PHOTOS))
        files = files[:MOST_PHOTOS]

    known = st.session_state.get(session.OPENED, {})
    if not files and not st.session_state.get(session.EMPTIED):
        # Nothing was chosen yet, or the visitor comes back from another page, where widgets lose their files.
        return [photo for photo in known.values() if isinstance(photo, Photo)]
    opened: dict[str, Photo | ImageError] = {}
    for key, name, read in files:
        opened[key] = known.get(key) or _open(key, name, read(), settings)
        if isinstance(opened[key], ImageError):
            show_error(t("photo.unusable", name=name, reason=say(str(opened[key]))))
    st.session_state[session.OPENED] = opened
    return [photo for photo in opened.values() if isinstance(photo, Photo)]


def put(photos: list[Photo]) -> None:
    """Choose photos that do not come from a widget."""
    _clear_widgets()
    st.session_state[session.OPENED] = {photo.key: photo for photo in photos}
    st.session_state[session.SAMPLE], st.session_state[session.EMPTIED] = None, False


def show(photos: list[Photo], small: bool = False) -> None:
    """Show the photos; a single one large, unless `small`."""
    alts = [t("photo.alt", number=number) for number, _ in enumerate(photos, 1)]
    small = small or len(photos) > 1
    with st.container(key="pictures" if small else "picture"):
        if not small:
            st.html(_place_style(photos[0]))
        st.image([photo.preview for photo in photos], width=104 if small else "content", alt=alts)
    if len(photos) > 1:
        st.caption(t("photo.carousel", count=len(photos)))


def _files() -> list:
    """The files that the uploader and the camera hold."""
    uses_camera = st.session_state.get(_widget_key("use-camera"))
    camera = st.session_state.get(_widget_key("camera")) if uses_camera else None
    return list(st.session_state.get(_widget_key("upload")) or []) + ([camera] if camera else [])


def _open(key: str, name: str, data: bytes, settings: Settings) -> Photo | ImageError:
    photo = Photo(key, partial(open_image, data, Limits.from_settings(settings)), name=name)
    try:
        photo.preview = as_jpeg(photo.picture, PREVIEW_PIXELS)
        photo.metadata = metadata.of(photo.picture)
    except ImageError as error:
        keeping.failed("open", "", error)
        return error
    return photo


def _take_sample(name: str) -> None:
    _clear_widgets()
    st.session_state[session.SAMPLE] = name


def _take_files() -> None:
    files = _files()
    # Streamlit also calls this for a widget that has just left the page, if the browser still mentions it.
    if [file.file_id for file in files] != st.session_state.get(session.HELD, []):
        st.session_state[session.SAMPLE] = None
        st.session_state[session.EMPTIED] = not files


def _clear_widgets() -> None:
    """Replace the widgets by empty ones, with new keys, so that none shows the name of another picture."""
    st.session_state[session.CLEARINGS] = st.session_state.get(session.CLEARINGS, 0) + 1
    st.session_state[session.HELD] = []


def _widget_key(name: str) -> str:
    return f"{name}-{st.session_state.get(session.CLEARINGS, 0)}"


def _place_style(photo: Photo) -> str:
    """A style sheet that keeps the place of a large photo until it has arrived.

    Otherwise it pushes *Start* away from under the finger that is about to press it.
    """
    width, height = Image.open(BytesIO(photo.preview)).size
    return f"<style>.st-key-picture {{ --width: {width}px; --ratio: calc({width} / {height}); }}</style>"


@st.cache_data(show_spinner=False, max_entries=len(SAMPLES))
def _thumbnail_style(name: str) -> str:
    """A style sheet that shows the sample behind its button."""
    thumbnail = as_jpeg(Image.open(sample_path(SAMPLES[name])), THUMBNAIL_PIXELS)
    return f"""<style>
        .st-key-sample-{name} button {{
            background: linear-gradient(transparent 40%, rgb(0 0 0 / 65%)),
                        url({as_data_url(thumbnail)}) center / cover;
        }}
    </style>"""
