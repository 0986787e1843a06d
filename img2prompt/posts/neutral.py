"""Remove from a caption what a model adds to the facts: "a photo of", and guesses about people."""

from __future__ import annotations

import re

from img2prompt.posts import data
from img2prompt.posts.grammar import (
    FUNCTION_WORDS,
    PLURALS,
    PRONOUNS,
    is_finite_form,
    is_gerund,
    is_noun,
    is_participle,
    is_person,
    is_plural,
    lemmas,
)
from img2prompt.posts.limits import cut, tidy

LONGEST = 400  # UTF-16 units of a caption that are read; engines write fewer than 100
MEDIUM = re.compile(
    r"^(?:(?:an?|the|this|is|black and white|old|colou?r|blurry|close|large|small|cropped|aerial|vintage|beautiful|"
    r"saturated|stock|amateur|professional) )*"
    r"(?:photo|picture|image|photograph|snapshot|close-?up|close up|shot|view)s?(?: (?:shot|view|photo|picture|image))? of "
)
# Left out together with a guess that follows them.
GO_WITH_GUESSES = frozenset("and or very mostly really quite rather somewhat partially slightly".split())
MANY = frozenset("people children men women".split())  # "a people" is a stutter
EXISTENTIAL = re.compile(r"^(?:there (?:is|are|was|were)|there's|this is|these are|here is|here are) ")


def plain_words(caption: str) -> list[str]:
    """The words of a caption in lower case, without punctuation, "a photo of", "there is" and guesses.

    >>> plain_words("A photo of an elderly man in a black coat.")
    ['a', 'man', 'in', 'a', 'black', 'coat']
    """
    text = cut(tidy(caption), LONGEST, mark="").lower().replace("’", "'")
    text = " ".join(re.sub(r"[^\w\s'-]+|(?<!\w)['-]+|['-]+(?!\w)|_", " ", text).split())
    text = re.sub(r"(?<=[a-z]) s\b", "'s", text)  # "the dog s ball": a tokenizer lost the apostrophe
    text = re.sub(r"\b(?:an?|the) (?=(?:an?|the) )", "", text)
    text = re.sub(r" that (?:is|are) (?=\w+ing\b)", " ", text)  # "a building that is sitting on a hill"
    text = MEDIUM.sub("", EXISTENTIAL.sub("", MEDIUM.sub("", text)))
    words = without_guesses(text.split())
    mended = [
        w
        for w, after in zip(words, [*words[1:], ""], strict=False)
        if not (w in ("a", "an") and after in MANY)
    ]
    return _with_articles(mended)


def without_guesses(words: list[str]) -> list[str]:
    """Remove words that guess at a person's age, origin, faith, health or looks.

    Adjectives are removed only where they describe a person; an old building and a black dog
    stay. Nouns are replaced by plain ones (``becomes`` in ``words.toml``).
    """
    kept: list[str] = []  # from the last word to the first
    describes_person = False  # only adjectives stand between this word and a person
    dropped = False  # the word after this one was removed
    for word in reversed(words):
        follower = kept[-1] if kept else ""
        guess = describes_person and word in data.words("guesses") | data.words("guesses_by_colour")
        if guess or word in data.words("never"):
            dropped = True
            continue
        if dropped and word in GO_WITH_GUESSES:
            continue  # "mostly bald man", "young and old men"
        dropped = False
        if not is_noun(follower) or follower.endswith("ing"):
            word = data.replacements().get(word, word)
        if is_person(word):
            describes_person = True
        elif word in FUNCTION_WORDS or "ADJ" not in lemmas(word):
            describes_person = False
        kept.append(word)
    return kept[::-1]


def _with_articles(words: list[str]) -> list[str]:
    """Add an article that a headline left out: "brown dog on grass" → "a brown dog on grass"."""
    for i, word in enumerate(words):
        if word in FUNCTION_WORDS | PRONOUNS or is_plural(word) or is_gerund(words, i):
            break
        follows = words[i + 1] if i + 1 < len(words) else ""
        ends = not follows or follows in FUNCTION_WORDS or is_gerund(words, i + 1) or is_finite_form(follows)
        ends = ends or is_participle(follows)
        if ends and (word in data.things() or (follows == "of" and word in data.words("measures"))):
            return words if word in data.words("mass") | PLURALS else ["a", *words]
    return words
