"""Why a file is not written into, in sentences for people."""

from __future__ import annotations

from img2prompt.errors import DataError


def damaged(what: str) -> DataError:
    """The error for a file whose parts do not add up."""
    return DataError(f"The file is not as its format wants it ({what}). Export it again, or write a sidecar.")


def signed() -> DataError:
    """The error for a file with Content Credentials: a signature over all of its bytes."""
    return DataError(
        "The picture has Content Credentials (C2PA), which any change would make invalid. Write a sidecar."
    )
