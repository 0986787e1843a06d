"""What messages are put together from: counts, and the reasons that other libraries give."""

from __future__ import annotations

LONGEST = 200  # characters of a reason: some libraries quote what they read


def counted(number: int, noun: str) -> str:
    """A number and its noun, which gets an s unless there is one of it.

    >>> counted(1, "picture"), counted(2, "picture")
    ('1 picture', '2 pictures')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def reason(error: BaseException) -> str:
    """Why something failed, on one line and without a full stop, to stand in the parentheses of a message.

    >>> reason(FileNotFoundError(2, "No such file or directory", "a.csv"))
    'No such file or directory: a.csv'
    >>> reason(KeyError("ids"))
    "there is no 'ids'"
    """
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    if isinstance(error, KeyError):
        return f"there is no {error}"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    line = next(iter(str(error).strip().splitlines()), "")
    return line[:LONGEST].rstrip(".: ") + "…" * (len(line) > LONGEST) or type(error).__name__


def as_unicode(text: str) -> str:
    r"""A text that can be written: without halves of characters, which JSON can hold and no file.

    >>> as_unicode("half a smile: \ud83d")
    'half a smile: ?'
    """
    return text.encode("utf-8", "replace").decode()
