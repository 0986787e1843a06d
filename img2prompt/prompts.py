"""Caption + ranked labels → prompt."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from img2prompt.errors import ConfigError, WeightsError

if TYPE_CHECKING:
    from img2prompt.labels import Match

    Matches = Mapping[str, Sequence[Match]]

SHOWN = {"mediums": 3, "movements": 3, "flavors": 5}  # people see these whatever the style
FLAVORS = 3
FAST_TERMS = 32
FAST_TABLES = ("artists", "flavors", "mediums", "movements", "trendings")
CONTEXT = 77  # tokens CLIP reads, start and end included


def labels_needed(style: str) -> dict[str, int]:
    """Table name → how many matches `build` and the people watching want from it.

    Raises
    ------
    ConfigError
        For an unknown style.
    """
    _form(style)
    if style == "classic":
        return SHOWN | {"artists": 1, "trendings": 1}
    if style == "fast":  # all its terms may come from one table
        return dict.fromkeys(FAST_TABLES, FAST_TERMS)
    return dict(SHOWN)


def build(style: str, caption: str, labels: Matches) -> str:
    """Write the prompt of one picture, cut to what CLIP's tokenizer fits.

    Parameters
    ----------
    style : ``seed`` (caption, medium, movement, 3 flavors), ``classic`` (artist and
        trending site besides) or ``fast`` (the 32 best labels of all tables); the last
        two are clip-interrogator's modes of those names
    caption : what the picture shows; may be empty
    labels : table name → matches, best first, as many as `labels_needed` says; a table
        that is missing or empty is left out of the prompt

    Raises
    ------
    ConfigError
        For an unknown style.
    """
    return truncate(_form(style)(caption, labels).removeprefix(", "))


def _seed(caption: str, labels: Matches) -> str:
    # The seed wrote "medium , movement"; no tokenizer sees that space, people do.
    return ", ".join(
        [_with_medium(caption, labels), *_top(labels, "movements"), *_top(labels, "flavors", FLAVORS)]
    )


def _classic(caption: str, labels: Matches) -> str:
    subject = " ".join([_with_medium(caption, labels), *_top(labels, "artists")])
    terms = [*_top(labels, "trendings"), *_top(labels, "movements"), *_top(labels, "flavors", FLAVORS)]
    return ", ".join([subject, *terms])


def _fast(caption: str, labels: Matches) -> str:
    matches = [match for table in FAST_TABLES for match in labels.get(table, ())]
    best = sorted(matches, key=lambda match: match.score, reverse=True)[:FAST_TERMS]
    return ", ".join([caption, *(match.label for match in best)])


def _form(style: str) -> Callable[[str, Matches], str]:
    forms = {"seed": _seed, "classic": _classic, "fast": _fast}
    if style not in forms:
        raise ConfigError(f"style is {style!r}; choose one of {', '.join(forms)}.")
    return forms[style]


def _top(labels: Matches, table: str, count: int = 1) -> list[str]:
    return [match.label for match in labels.get(table, ())[:count]]


def _with_medium(caption: str, labels: Matches) -> str:
    return ", ".join(
        [caption, *(medium for medium in _top(labels, "mediums") if not caption.startswith(medium))]
    )


def truncate(prompt: str) -> str:
    """Keep as many whole comma-separated parts as CLIP reads; the first always stays.

    A part stays while what is kept so far and the part, without the comma between them,
    leave one of the 77 positions free. That is where clip-interrogator cuts.
    """
    first, *parts = prompt.split(", ")
    kept = first
    for part in parts:
        if count_tokens(kept + part) >= CONTEXT:
            break
        kept += ", " + part
    return kept


def count_tokens(text: str) -> int:
    """Tokens CLIP makes of a text, start and end included."""
    return len(_tokenizer().encode(text)) + 2


@functools.cache
def _tokenizer() -> Any:
    # `import open_clip` loads every model family it knows, which takes seconds; the
    # module with its tokenizer stands alone.
    package = importlib.util.find_spec("open_clip")
    if package is None or package.origin is None:
        raise WeightsError("CLIP's tokenizer is not installed. Run: pip install open_clip_torch")
    file = Path(package.origin).with_name("tokenizer.py")
    spec = importlib.util.spec_from_file_location("_open_clip_tokenizer", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SimpleTokenizer()
