"""A post as it will look in the feed."""

from __future__ import annotations

import streamlit as st

from img2prompt.posts import Choices
from img2prompt.web import components
from img2prompt.web.shared.i18n import t
from img2prompt.web.shared.photo import Photo, as_data_url

RATIOS = {"1:1": 1.0, "4:5": 0.8, "1.91:1": 1.91}  # width / height of Instagram's crops

_CAROUSEL = components.register("carousel")
_POST = components.register("post")


def show(photos: list[Photo], alts: list[str], text: str, choices: Choices) -> None:
    """Show the pictures, cropped as the visitor chooses, and the caption, folded as in the feed."""
    ratio = st.segmented_control(
        t("preview.ratio"), list(RATIOS), default="4:5", required=True, key="ratio", width="stretch"
    )
    with st.container(border=True, gap=None, key="post"):
        # Two components, so that a changed caption does not send the pictures again.
        _CAROUSEL(
            key="carousel",
            data={
                "pictures": [
                    {"source": as_data_url(photo.preview), "alt": alt}
                    for photo, alt in zip(photos, alts, strict=True)
                ],
                "ratio": RATIOS[ratio],
                "strings": {
                    "account": t("preview.account"),
                    "name": t("preview.pictures"),
                    "previous": t("preview.previous"),
                    "next": t("preview.next"),
                    "place": t("preview.place"),
                },
            },
        )
        _POST(
            key="post-text",
            data={
                "text": text,
                "fold": choices.place.fold,
                "language": choices.language,
                "strings": {
                    "account": t("preview.account"),
                    "more": t("preview.more"),
                    "less": t("preview.less"),
                },
            },
        )
