"""Let the browser remember something for the next visit; read it there from ``st.context.cookies``."""

from __future__ import annotations

from img2prompt.web import components

_REMEMBER = components.register("remember")


def remember(name: str, value: str) -> None:
    """Set a cookie for a year; `value` in characters that a cookie may have, such as those of `urlencode`."""
    _REMEMBER(key=f"remember-{name}", data={"name": name, "value": value})
