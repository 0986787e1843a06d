"""The photo a visitor chose. It lives in the memory of their session and nowhere else."""

from __future__ import annotations

import base64
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
from img2prompt.images import Limits, open_image
from img2prompt.settings import Settings
from img2prompt.web.frame import show_error

if TYPE_CHECKING:
    from img2prompt import Result

FILE_TYPES = ("png", "jpg", "jpeg", "webp", "avif", "heic", "heif", "tif", "tiff", "bmp", "gif")
SAMPLES = {"Temple": "china.jpg", "Flower": "flower.jpg"}  # shipped with scikit-learn
PREVIEW_PIXELS = 1200
THUMBNAIL_PIXELS = 240


@dataclass
class Photo:
    """A photo and what was said about it; choosing another one forgets both together."""

    picture: Image.Image  # what the engine looks at
    preview: Image.Image  # what the page shows
    result: Result | None = None


def current_photo() -> Photo | None:
    """The photo of this session, if one was chosen."""
    return st.session_state.get("photo")


def uploader(settings: Settings) -> None:
    """Ask for a file, and say what is wrong with it if it is not a picture."""
    limit = st.get_option("server.maxUploadSize")
    # Uploads above this size would be parked in a temporary file on disk.
    MultiPartParser.spool_max_size = (limit + 1) * 2**20
    st.file_uploader(
        "Your photo",
        type=FILE_TYPES,
        max_upload_size=min(ceil(settings.max_megabytes), limit),
        key=_uploader_key(),
        on_change=_take_upload,
        args=(settings,),
    )
    if problem := st.session_state.get("problem"):
        show_error(problem)


def samples(settings: Settings) -> None:
    """Offer photos to try, as buttons that show them."""
    st.html("".join(_thumbnail_style(file) for file in SAMPLES.values()))
    with st.container(gap="xxsmall"):
        st.markdown(":small[Or try one of these]")
        row = st.container(horizontal=True, gap="small")
    for title, file in SAMPLES.items():
        row.button(title, key=_sample_key(file), on_click=_take_sample, args=(title, file, settings))


def sample_path(file: str) -> Path:
    """Where scikit-learn keeps one of its two photos."""
    # Found without importing scikit-learn, which takes a second.
    spec = find_spec("sklearn")
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "datasets" / "images" / file


def _take_upload(settings: Settings) -> None:
    upload = st.session_state[_uploader_key()]
    if upload is None:
        _forget()
    else:
        _choose(upload.name, upload.getvalue(), settings)


def _take_sample(title: str, file: str, settings: Settings) -> None:
    _choose(title, sample_path(file).read_bytes(), settings)
    # A new key is a new, empty uploader: no file name beside a picture that is not its own.
    st.session_state.uploads = st.session_state.get("uploads", 0) + 1


def _choose(name: str, data: bytes, settings: Settings) -> None:
    _forget()
    try:
        picture = open_image(data, Limits.from_settings(settings))
    except ImageError as error:
        st.session_state.problem = f"{name}: {error}"
        return
    preview = picture.copy()
    preview.thumbnail((PREVIEW_PIXELS, PREVIEW_PIXELS))
    st.session_state.photo = Photo(picture, preview)


def _forget() -> None:
    st.session_state.photo = st.session_state.problem = None


def _uploader_key() -> str:
    return f"upload-{st.session_state.get('uploads', 0)}"


def _sample_key(file: str) -> str:
    return f"sample-{Path(file).stem}"


@st.cache_data(show_spinner=False)
def _thumbnail_style(file: str) -> str:
    """A style sheet that puts the sample behind its button."""
    image = Image.open(sample_path(file))
    image.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=80)
    picture = base64.b64encode(buffer.getvalue()).decode()
    return f"""<style>
        .st-key-{_sample_key(file)} button {{
            background: linear-gradient(transparent 40%, rgb(0 0 0 / 65%)),
                        url(data:image/jpeg;base64,{picture}) center / cover;
        }}
    </style>"""
