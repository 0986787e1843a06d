"""Find the noun phrase that a caption is about, and the things that it names."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from img2prompt.posts import data, grammar
from img2prompt.posts.grammar import (
    BE,
    COLLECTIVES,
    COLOURS,
    CONNECTIVES,
    DETERMINERS,
    NUMBERS,
    PREPOSITIONS,
    PRONOUNS,
    SUBORDINATORS,
    is_gerund,
    is_noun,
    is_participle,
    is_person,
    is_plural,
    lemmas,
    singular,
    written,
)

LOCATIVES = frozenset("in on at by near along beside under behind inside among".split())
MATCHES = frozenset(
    "game match field court practice pitch competition tournament player players team".split()
)
HERDS = COLLECTIVES | {"herd", "flock", "bunch", "pack"}  # "of dogs are"
TWO_WORDS = {("hot", "dog"): "hotdog", ("teddy", "bear"): "teddy"}  # neither a dog nor a bear
DROPPED = frozenset("a an some another many several one few both".split())  # before "the"


@dataclass(frozen=True)
class Mention:
    """A thing that a caption names."""

    base: str  # in its base form: "dog"
    said: str  # in the caption's words: "dogs"
    whole: bool = True  # False for the first part of another noun, as in "dog sled"


WHOLE = Mention("", "")


def core_length(words: Sequence[str]) -> int:
    """Number of words in the leading noun phrase, without "in a red shirt", "wearing a hat" and so on."""
    noun = False
    for i, word in enumerate(words):
        if noun and (
            word in PREPOSITIONS - {"of"}
            or word in SUBORDINATORS | {"both", "each", "all"}
            or is_gerund(words, i)
        ):
            return i
        ends = i + 1 == len(words) or words[i + 1] in PREPOSITIONS
        if noun and ends and word not in COLOURS and not is_noun(word) and is_participle(word):
            return i  # "a man dressed in black", but not "a snow covered slope"
        noun = noun or is_noun(word)
    return len(words)


def head(core: Sequence[str]) -> str:
    """The main noun of a noun phrase, the first of several; empty when in doubt."""
    words = list(core)
    if not words or words[0] in PRONOUNS | {"no", "each", "every", "all", "any"}:
        return ""
    while "of" in words:
        at = words.index("of")
        words = words[at + 1 :] if words[at - 1] in data.words("measures") else words[:at]
    if "and" in words:
        first = words[: words.index("and")]
        if first and is_noun(first[-1]) and first[-1] not in COLOURS:
            words = first
    return words[-1] if words and is_noun(words[-1]) else ""


def is_several(core: Sequence[str], noun: str) -> bool:
    """Whether a noun phrase with this main noun takes "are"."""
    after = core[list(core).index("and") + 1 :] if "and" in core else []
    joined = bool(after) and (after[0] in DETERMINERS or len(after) == 1 and is_person(after[0]))
    many = any(word in HERDS and after == "of" for word, after in itertools.pairwise(core))
    return joined or many or is_plural(noun)


def definite(core: Sequence[str]) -> str:
    """Give a noun phrase the definite article: "some people" → "the people"."""
    words = ["the" if w in ("a", "an") and i and core[i - 1] == "and" else w for i, w in enumerate(core)]
    if words[0] in DROPPED:
        words[0] = "the"
    elif words[0] not in DETERMINERS or words[0] in NUMBERS:
        words.insert(0, "the")
    return written(words)


def kind(core: Sequence[str], noun: str) -> str:
    """ "people", "animals", "food" or "things": the kind of a noun phrase, by its main noun."""
    if is_person(noun):
        return "people"
    thing = data.things().get(base_form(core, list(core).index(noun))) if noun else None
    return thing.kind if thing and thing.kind in ("animals", "food") else "things"


def base_form(words: Sequence[str], i: int) -> str:
    """The entry of ``things.toml`` for the noun at position `i`, whether it exists or not."""
    return TWO_WORDS.get((words[i - 1] if i else "", singular(words[i])), singular(words[i]))


def things(words: Sequence[str], verb: int | None = None) -> tuple[Mention, ...]:
    """The things that a caption names, in order: words of ``things.toml``, and other certain nouns.

    `verb` is the position of the caption's verb, if it is known.
    """
    mentions: dict[str, Mention] = {}
    for i, word in enumerate(words):
        base = base_form(words, i)
        if (
            i == verb
            or not is_noun(word)
            or word in PRONOUNS
            or is_person(word)
            or {base, word} & data.words("vague")
        ):
            continue
        known = data.things().get(base)
        follows = words[i + 1] if i + 1 < len(words) else ""
        last = not is_noun(follows) or i + 1 == verb or is_gerund(words, i + 1)
        if word in COLOURS and not (word == "orange" and last and i and words[i - 1] == "an"):
            continue
        compound = i > 0 and (
            base in TWO_WORDS.values() or not mentions.get(singular(words[i - 1]), WHOLE).whole
        )
        said = written(words[i - compound : i + 1])  # "train station"
        if known is None and last and _surely_noun(words, i):
            mentions.setdefault(base, Mention(base, said))
        elif known is not None and known.kind != "clothes" and not (word != base and _is_verb(words, i)):
            if not last and not _names_more(known, follows):
                continue
            mentions.setdefault(base, Mention(base, said, last))
    return tuple(mentions.values())


def _names_more(known: data.Thing, follows: str) -> bool:
    """Whether the first of two nouns is visible too: the snow of a "snow cave", no fire at a "fire hydrant"."""
    if known.tag == "sports":
        return follows in MATCHES
    return known.kind not in ("animals", "objects") or singular(follows) in data.things()


def _is_verb(words: Sequence[str], i: int) -> bool:
    """Whether a noun in -s is really a verb, because it follows a singular noun: "a man bikes"."""
    follows = words[i + 1] if i + 1 < len(words) else ""
    after_one = i > 0 and is_noun(words[i - 1]) and not is_plural(words[i - 1])
    return "VERB" in lemmas(words[i]) and after_one and (not follows or follows in PREPOSITIONS | DETERMINERS)


def _surely_noun(words: Sequence[str], i: int) -> bool:
    """Whether a word has no other part of speech, or an article before it."""
    others = set(lemmas(words[i])) - {"NOUN", "PROPN"}
    if not others:
        return bool(lemmas(words[i]))
    start = i - 1
    while start >= 0 and "ADJ" in lemmas(words[start]):
        start -= 1
    return start >= 0 and words[start] in DETERMINERS - {"that"} and others <= {"VERB", "ADJ"}


def loved(thing: str) -> str:
    """The words for a thing after "I love": "dogs", "snow", "skateboarding"; empty if nobody says so."""
    for (first, second), name in TWO_WORDS.items():
        if name == thing:
            return f"{first} {grammar.plural(second)}"
    known = data.things().get(thing)
    if (
        known is None
        or known.kind not in ("animals", "food", "nature", "sport")
        or thing in data.words("unloved")
    ):
        return ""
    if thing in ("ocean", "sea"):
        return f"the {thing}"
    if thing in data.words("mass"):
        return thing
    if known.kind == "sport" and known.tag not in ("sports", "wintersports"):
        return known.tag
    return grammar.plural(thing)


def place(words: Sequence[str]) -> str:
    """The last phrase like "on the beach" whose noun is a place; empty without one."""
    stops = PREPOSITIONS | CONNECTIVES | BE
    for start in range(len(words) - 1, 0, -1):
        if words[start] not in LOCATIVES:
            continue
        end = start + 1
        while end < len(words) and words[end] not in stops and not is_gerund(words, end):
            end += 1
        known = data.things().get(singular(words[end - 1])) if end - start >= 2 else None
        complete = end - start >= 2 and (
            words[start + 1] in DETERMINERS or words[end - 1] in data.words("mass")
        )
        if (
            known
            and complete
            and known.kind in ("places", "nature")
            and not {"his", "her", "their", "its"} & set(words[start:end])
        ):
            return written(words[start:end])
    return ""
