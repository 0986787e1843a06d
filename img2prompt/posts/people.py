"""Which words of a caption mean people."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

from img2prompt.posts import data
from img2prompt.posts.grammar import (
    ADVERBS,
    COLLECTIVES,
    DETERMINERS,
    NUMBERS,
    PLURALS,
    caption_verb,
    is_gerund,
    is_noun,
    is_participle,
    is_person,
    is_plural,
    lemmas,
    singular,
)
from img2prompt.posts.neutral import MEDIUM

NOBODY = frozenset({"nobody"})  # a word for people that says that there are none


def mentions_people(caption: str) -> bool:
    """Whether a caption says that somebody can be seen.

    A statue or a painting of a person is nobody, and so are a snowman, a baby elephant and the people that
    a caption says are missing. A person at the edge of the picture counts, and so does one of whom only
    "the man's hand" is named.

    >>> mentions_people("a crowd in front of a statue"), mentions_people("a statue of a man")
    (True, False)
    """
    return bool(people(caption))


def people(caption: str) -> list[str]:
    """The words of a caption that stand for people who can be seen, in order."""
    text = MEDIUM.sub("", " ".join(caption_words(caption)))
    words = _not_people().sub(lambda match: "– " * len(match[0].split()), text).split()
    return [word for i, word in enumerate(words) if is_person(word) and not _names_no_one(words, i)]


def shows_traces(caption: str) -> bool:
    """Whether a caption names a hand or another part of somebody, who may then be in the picture."""
    return not data.people("traces").isdisjoint(caption_words(caption))


def caption_words(caption: str) -> list[str]:
    """The words of a caption in lower case, without punctuation; "'s" is a word of its own."""
    text = re.sub(r"\s*['’]s?\b", lambda match: " 's" if match[0].endswith("s") else " ", caption.lower())
    return re.findall(r"'s|[a-z0-9]+(?:-[a-z0-9]+)*", text)


@functools.cache
def _not_people() -> re.Pattern[str]:
    """A pattern of all phrases in which a word for people stands for no one."""
    known = data.things()
    classes = {
        "PERSON": _any_form([word for word, thing in known.items() if thing.kind == "people"]),
        "ANIMAL": _any_form([word for word, thing in known.items() if thing.kind == "animals"]),
        "NUMBER": f"(?:{'|'.join(sorted(NUMBERS))})",
    }
    patterns = "|".join(data.not_people())
    for name, pattern in classes.items():
        patterns = re.sub(rf"\b{name}\b", pattern, patterns)
    return re.compile(rf"(?<![\w'-])(?:{patterns})(?![\w-])")


def _any_form(words: Sequence[str]) -> str:
    """A pattern of words in the singular and plural, as far as spelling goes; `plural` would take seconds."""
    forms = {*words, *(form for form in PLURALS if singular(form) in words)}
    forms |= {word[:-3] + "men" for word in words if word.endswith("man")}
    forms |= {word[:-1] + "ies" for word in words if word.endswith("y")}
    return f"(?:{'|'.join(sorted(forms, key=lambda form: (-len(form), form)))})(?:e?s)?"


def _names_no_one(words: Sequence[str], i: int) -> bool:
    """Whether a word for people at position `i` means something else, by the words around it."""
    word = words[i]
    if word in NOBODY:
        return True
    if singular(word) == "pitcher":
        return data.people("pitching").isdisjoint(words)
    if singular(word) == "cook":  # "the food cooks"
        return i == 0 or words[i - 1] not in DETERMINERS and "ADJ" not in lemmas(words[i - 1])
    if word in data.people("relatives") and _after_animal(words[:i]):
        return True
    return _is_modifier(words, i)


def _after_animal(before: Sequence[str]) -> bool:
    """Whether words end in a link to an animal: "a zebra and her", "an elephant with a"."""
    links = [at for at, word in enumerate(before) if word in ("and", "with")]
    if not links or any(is_person(word) for word in before):
        return False
    known = data.things()
    animals = {singular(w) for w in before[: links[-1]] if singular(w) in known}
    return any(known[name].kind == "animals" for name in animals - data.people("pets"))


def _is_modifier(words: Sequence[str], i: int) -> bool:
    """Whether a person's word only describes the next one: "passenger train", but not "a man rock climbing"."""
    word, follows = words[i], words[i + 1] if i + 1 < len(words) else ""
    if (
        is_plural(word)
        or word in COLLECTIVES
        or not is_noun(follows)
        or not lemmas(follows)
        or "-" in follows
    ):
        return False
    if {"ADJ", "ADV"} & set(lemmas(follows)) or follows in ADVERBS or is_person(follows):
        return False
    if is_gerund(words, i + 1) or is_participle(follows):
        return False
    after = words[i + 2] if i + 2 < len(words) else ""
    if after and is_gerund(words, i + 2):
        return False
    return not (caption_verb(follows) and (is_plural(follows) or after in DETERMINERS))
