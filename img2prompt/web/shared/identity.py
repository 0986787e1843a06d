"""Find out whether people can sign in, and whether the cookies that say who they are can be believed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import streamlit as st

from img2prompt.errors import ConfigError

SHORTEST_SECRET = 32  # characters; whoever guesses the secret signs in as anybody
SECRET_COMMAND = 'python -c "import secrets; print(secrets.token_urlsafe(32))"'


def has_sign_in() -> bool:
    """Whether sign-in is configured, with ``[auth]`` in ``.streamlit/secrets.toml``.

    Raises
    ------
    ConfigError
        When that file cannot be read, or its ``cookie_secret`` is missing or could be guessed. Then nobody
        may be taken for the person that their cookie names.
    """
    if not _load():
        return False
    if "auth" not in st.secrets:
        return False
    auth = st.secrets["auth"]
    secret = auth.get("cookie_secret", "") if isinstance(auth, Mapping) else ""
    if not isinstance(secret, str) or len(secret) < SHORTEST_SECRET:
        raise ConfigError(
            "Nobody can sign in: cookie_secret, below [auth] in .streamlit/secrets.toml, is missing or has "
            f"fewer than {SHORTEST_SECRET} characters, so cookies could be forged. Put what this prints "
            f"there, and restart the app: {SECRET_COMMAND}"
        )
    return True


def _load() -> bool:
    """Read Streamlit's secrets; False if there are none."""
    reason = "it is no TOML"
    try:
        if st.secrets.load_if_toml_exists():
            return True
    except (OSError, ValueError) as error:  # no permission, no UTF-8
        reason = str(error)
    # Streamlit answers alike for a file that is not there and one that it does not understand.
    broken = next((file for file in st.get_option("secrets.files") if Path(file).exists()), None)
    if broken is not None:
        raise ConfigError(
            f"Nobody can sign in: {broken} cannot be read ({reason}). Correct it, or remove it to run without "
            "sign-in, and restart the app."
        )
    return False
