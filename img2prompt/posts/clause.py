"""Find a caption's verb, and turn the caption into a noun phrase.

"a brown dog runs on the beach" splits into the subject "a brown dog" and the predicate
"running on the beach". The rules cover the sentences that caption models and annotators write.
"""

from __future__ import annotations

from collections.abc import Sequence

from img2prompt.posts import data
from img2prompt.posts.grammar import (
    ADVERBS,
    BE,
    COLLECTIVES,
    COLOURS,
    DETERMINERS,
    HAVE,
    PREPOSITIONS,
    PRONOUNS,
    RELATIVES,
    SUBORDINATORS,
    caption_verb,
    is_agent,
    is_clothing,
    is_gerund,
    is_noun,
    is_participle,
    is_person,
    is_plural,
    lemmas,
    verb_base,
    verb_form,
)
from img2prompt.posts.nouns import core_length

NEW_CLAUSE = SUBORDINATORS - RELATIVES
FLOATING = frozenset("both all each".split())  # "two men both standing"
MEANINGFUL = frozenset("not outdoors indoors here there".split())  # after "is", these stay
NOT_A_PLACE = frozenset("like about to up".split())  # "is about to jump", "is up" do not follow a noun alone


def split(words: list[str], verb: int | None) -> tuple[list[str], list[str] | None]:
    """Split a caption into the words before its verb and a predicate that can follow a noun.

    Parameters
    ----------
    words : the caption
    verb : position of the verb, from `find_verb`; None if there is none

    Returns
    -------
    The words before the verb, and the predicate ("running on the beach"): None where it cannot
    follow a noun ("a dog is wet"). Without a verb, the predicate is everything after the
    subject ("a plate of food" + "with rice").
    """
    if verb is None:
        core = core_length(words)
        return words[:core], words[core:]
    before, word, rest = words[:verb], words[verb], words[verb + 1 :]
    if word in BE:
        while len(rest) > 1 and rest[0] in ADVERBS - MEANINGFUL:
            rest = rest[1:]
        return before, _gerunds(rest) if _follows_noun(rest) else None
    if word in HAVE:
        noun_phrase = rest and rest[0] in DETERMINERS - {"no", "that", "all"}
        return before, _gerunds(["with", *rest]) if noun_phrase else None
    if is_gerund(words, verb):
        return before, _gerunds(words[verb:])
    base = verb_base(word)
    return before, None if base in ("seem", "appear") else _gerunds([verb_form(base, "VBG"), *rest])


def is_finite(words: Sequence[str], i: int, several: bool) -> bool:
    """Whether the word at position `i` is a finite verb ("a dog runs", "two dogs run").

    `several` says that the subject is plural, so that the base form counts too.
    """
    if i == 0:
        return False
    word, previous, follows = words[i], words[i - 1], words[i + 1] if i + 1 < len(words) else ""
    if "-" in word or word in PREPOSITIONS | ADVERBS or follows in BE | HAVE:
        return False
    if not (is_noun(previous) or previous in ADVERBS | PRONOUNS | RELATIVES):
        return False
    # After a preposition and a noun without an article comes another noun: "on monkey bars".
    complete = is_plural(previous) or previous in data.words("mass") | COLOURS or is_clothing(previous)
    bare = i >= 2 and words[i - 2] in PREPOSITIONS - {"of"} and not complete
    # After a person or an animal, verbs that are rare in captions count too; so do words that can only be verbs.
    acts = is_agent(previous) and not bare
    open_class = acts and follows in DETERMINERS | PREPOSITIONS | PRONOUNS
    open_class = open_class or (bool(lemmas(word)) and "NOUN" not in lemmas(word))
    base = verb_base(word) if open_class else caption_verb(word)
    if not base:
        return False
    if word == verb_form(base, "VBZ"):
        return (acts and not is_plural(previous)) or not (bare or (follows and is_gerund(words, i + 1)))
    ends_subject = (
        is_plural(previous) or previous in ADVERBS or follows in DETERMINERS | PREPOSITIONS - {"of"}
    )
    return several and word == base and ends_subject


def find_verb(words: Sequence[str]) -> int | None:
    """Position where the predicate begins: at is/are, has/have or a finite verb, else at a gerund; None without any."""
    gerund = None
    relative = noun = several = False
    for i, word in enumerate(words):
        if i >= 2 and words[i - 1] in RELATIVES:
            relative = True
        if word in NEW_CLAUSE and noun:
            break
        if noun and (word in BE | HAVE or is_finite(words, i, several)):
            if not relative:
                return i
            relative = False  # "a dog that is wet …": the main verb comes later
        elif noun and gerund is None and not relative and is_gerund(words, i):
            if words[i - 1] not in (DETERMINERS | PREPOSITIONS) - FLOATING:
                gerund = i
        elif is_noun(word):
            measured = word in data.words("measures") and words[i + 1 : i + 2] == ["of"]
            of = words[i - 1] == "of" if i else False
            if not noun or of or is_noun(words[i - 1]):
                several = several or is_plural(word) or measured or word in COLLECTIVES
            noun = True
        elif word == "and" and noun and gerund is None:
            several = several or any(w in DETERMINERS or is_person(w) for w in words[i + 1 : i + 2])
    return gerund


def _follows_noun(rest: Sequence[str]) -> bool:
    """Whether what comes after "is" can follow a noun directly."""
    if not rest:
        return False
    first = rest[0]
    if is_gerund(rest, 0) or is_participle(first) or first in PREPOSITIONS - NOT_A_PLACE:
        return True
    return len(rest) > 1 and is_noun(first) and is_gerund(rest, 1)  # "is rock climbing"


def _gerunds(predicate: list[str]) -> list[str] | None:
    """Put all verbs of a predicate in -ing: "running and jumps" → "running and jumping".

    None where another clause begins.
    """
    changed = list(predicate)
    for i in range(1, len(predicate)):
        word, previous = predicate[i], predicate[i - 1]
        if word in SUBORDINATORS:
            break
        if word in BE:
            return None  # another clause has begun: "… and one is standing"
        if previous not in ("and", "then", "or"):
            continue
        if word in HAVE:
            return None
        base = caption_verb(word)
        follows = predicate[i + 1] if i + 1 < len(predicate) else ""
        surely = "NOUN" not in lemmas(word) or follows in DETERMINERS | PREPOSITIONS | PRONOUNS | ADVERBS
        if base and surely and word in (base, verb_form(base, "VBZ")):
            changed[i] = verb_form(base, "VBG")
    return changed
