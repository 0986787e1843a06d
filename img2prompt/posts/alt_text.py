"""Alt text: one factual sentence for people who cannot see the picture."""

from __future__ import annotations

from img2prompt.posts.korean import with_particle
from img2prompt.posts.limits import cut, tidy
from img2prompt.posts.post import ALT_LENGTH, Seen
from img2prompt.posts.quotes import with_quote
from img2prompt.posts.sentence import as_sentence
from img2prompt.posts.style import is_photo
from img2prompt.posts.themes import themes_of
from img2prompt.posts.topic import topic

NAMED = 2  # themes that a Korean alt text names
_READS = {"en": "It reads “{}”.", "ko": "“{}”라고 쓰여 있음."}


def alt_text(seen: Seen, *, note: str = "", language: str = "en", length: int = ALT_LENGTH) -> str:
    """The caption as a sentence of at most `length` characters, cut at a word, without "image of".

    Parameters
    ----------
    note : what the person said of the picture: it tells what it is for, and so comes first, if there is room
    language : in Korean it names the picture's themes, and is the English caption where there is none
    length : there is no limit to be seen on Instagram, but a screen reader reads all of it

    >>> alt_text(Seen("a photo of a brown dog on the beach"))
    'A brown dog on the beach.'
    >>> alt_text(Seen("a brown dog on the beach", quote="Sea View Hotel"))
    'A brown dog on the beach. It reads “Sea View Hotel”.'
    """
    sentence = topic([seen]).sentence
    bearing = with_quote(sentence, seen.quote)
    said = as_sentence(bearing)
    themes = themes_of(seen)[:NAMED] if language == "ko" else []
    if themes:
        names = [theme.wording["ko"].name for theme in themes]
        listed = " ".join([*(with_particle(name, "과/와") for name in names[:-1]), names[-1]])
        kind = "그림" if is_photo(seen) is False else "사진"
        said = f"{with_particle(listed, '이/가')} 담긴 {kind}."
    if seen.quote and (themes or bearing == sentence):
        said = f"{said} {_READS[language].format(seen.quote)}"
    noted = " ".join(filter(None, [as_sentence(tidy(note)), said]))
    return noted if note and len(noted) <= length else cut(said, length)
