"""Alt text: one factual sentence for people who cannot see the picture."""

from __future__ import annotations

from img2prompt.posts.limits import cut
from img2prompt.posts.post import ALT_LIMIT, Seen
from img2prompt.posts.sentence import as_sentence
from img2prompt.posts.topic import topic


def alt_text(seen: Seen) -> str:
    """The caption as a sentence of at most 100 characters, cut at a word, without "image of".

    >>> alt_text(Seen("a photo of a brown dog on the beach"))
    'A brown dog on the beach.'
    """
    return cut(as_sentence(topic([seen]).sentence), ALT_LIMIT)
