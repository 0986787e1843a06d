"""Classes and forms of English words, as far as captions need them.

Two libraries, imported when first used, do the work: ``lemminflect`` knows the forms of a
word, ``inflect`` the article that it takes. What they say of common words is kept in
``lexicon.tsv``, as it takes long to load. A caption is a list of lower-case words.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any

from img2prompt.posts import data

NUMBERS = frozenset("two three four five six seven eight nine ten several many few both some".split())
DETERMINERS = NUMBERS | frozenset(
    "a an the this that these those his her its their my our your any each every another one all no".split()
)
PREPOSITIONS = frozenset(
    """in on at with of from by for to through over under across along near beside behind beneath between among amongst
    against around into onto off down up above below inside outside past toward towards during without within next
    underneath alongside atop upon about after before amid amidst like out away via beyond per opposite astride
    throughout aboard""".split()
)
SUBORDINATORS = frozenset("as while whilst where when because so if but who which that whose".split())
CONNECTIVES = SUBORDINATORS | frozenset("and or then than".split())
ADVERBS = frozenset(
    """together very just also still too not almost nearly well quickly slowly happily outdoors indoors there here now
    apart ahead side-by-side upside closely intently currently excitedly playfully""".split()
)
BE = frozenset("is are was were".split())
HAVE = frozenset("has have".split())
RELATIVES = frozenset("that who which".split())
PRONOUNS = frozenset(
    "he she it they him them himself herself itself themselves someone something everyone i you we us me".split()
)
COLLECTIVES = frozenset("couple family team crowd pair group band trio crew class audience duo".split())
FUNCTION_WORDS = DETERMINERS | PREPOSITIONS | CONNECTIVES | ADVERBS | BE | HAVE
COLOURS = frozenset(
    "black white gray grey brown tan red orange yellow green blue purple pink beige gold golden silver teal maroon".split()
)

# Nouns in -ing that look like a verb.
ING_NOUNS = frozenset(
    """building ceiling clothing crossing railing string ring king wing spring thing something nothing anything
    everything wedding evening morning painting sling swing lightning awning siding sibling herring duckling earring
    dumpling pudding icing frosting topping stuffing bling inning lining mooring scaffolding bedding outing flooring
    paneling fencing rigging clearing during""".split()
)
# "bathing suit", "parking lot": a verb in -ing and the noun it belongs to.
COMPOUND = re.compile(
    r"(?:bathing|swimming|diving|wading) (?:suit|suits|trunks|pool|pools|cap|board|gear)"
    r"|(?:climbing|hiking|fishing|skiing|riding|boxing|camping|surfing) (?:gear|equipment|wall|rod|rods|pole|poles|boots|trail|suit|ring|net)"
    r"|(?:parking|vending|shopping|washing|sewing|slot) (?:lot|lots|machine|cart|carts|bag|bags|meter|meters|garage|space|mall|center)"
    r"|(?:dining|living|waiting|sitting|changing|operating|playing|dressing) (?:room|table|area|hall|field)"
    r"|(?:rocking|folding|reclining|dining) chairs?|cutting board|frying pan|(?:running|racing|walking) (?:track|path|trail|shoes|bike|car|stick)"
)

PLURALS = frozenset(
    "people children men women kids sheep geese cattle police folks glasses sunglasses pants jeans shorts scissors "
    "skis clothes pajamas stairs trunks goggles binoculars spectators fries".split()
)
UNCHANGED = frozenset(
    "sheep glasses sunglasses pants jeans shorts scissors clothes trunks goggles binoculars people cattle police "
    "deer fish stairs fries".split()
)
SINGULARS = frozenset("tennis lens gas bus grass dress canvas christmas news lacrosse series chess".split())
CACHED = 10_000  # words remembered by each function below; captions use fewer, visitors may write any

IRREGULAR = {
    "leaves": "leaf",
    "buses": "bus",
    "geese": "goose",
    "wolves": "wolf",
    "calves": "calf",
    "skis": "ski",
    "dobermans": "doberman",
}


@functools.lru_cache(maxsize=CACHED)
def lemmas(word: str) -> dict[str, tuple[str, ...]]:
    """Part of speech (NOUN, VERB, ADJ, ADV, …) → base forms of a word; empty for an unknown word.

    An unknown word with a hyphen is treated as its last part.
    """
    if entry := data.known(word):
        bases = entry.lemmas
    else:
        from lemminflect import getAllLemmas

        bases = getAllLemmas(word)
    last = word.rpartition("-")[2]
    return lemmas(last) if not bases and last != word and last else bases


@functools.lru_cache(maxsize=CACHED)
def verb_form(verb: str, tag: str) -> str:
    """A form of a verb, by its Penn Treebank tag: VBZ "runs", VBG "running", VBN "run"."""
    entry = data.known(verb)
    if entry and tag in entry.forms:
        return entry.forms[tag][0]
    from lemminflect import getInflection

    forms = getInflection(verb, tag)
    return str(forms[0]) if forms else verb


@functools.lru_cache(maxsize=CACHED)
def caption_verb(word: str) -> str:
    """The base form of a word that captions use as a verb; empty for other words."""
    bases = lemmas(word).get("VERB", ()) if lemmas(word) else (word, word.removesuffix("s"))  # windsurfs
    return next((base for base in bases if base in data.words("verbs")), "")


@functools.lru_cache(maxsize=CACHED)
def verb_base(word: str) -> str:
    """The base form of a word that can be a verb at all; empty for other words."""
    return caption_verb(word) or next(iter(lemmas(word).get("VERB", ())), "")


def is_gerund(words: Sequence[str], i: int) -> bool:
    """Whether the word at position `i` is a verb in -ing: no noun like "ceiling", nor part of "bathing suit"."""
    word = words[i]
    if not word.endswith("ing") or word in ING_NOUNS or len(word) < 5:
        return False
    if i + 1 < len(words) and COMPOUND.fullmatch(f"{word} {words[i + 1]}"):
        return False
    return "VERB" in lemmas(word) or not lemmas(word)


def is_finite_form(word: str) -> bool:
    """Whether a word is a verb of captions in -s, such as "runs"."""
    return bool(caption_verb(word)) and word == verb_form(caption_verb(word), "VBZ")


def is_participle(word: str) -> bool:
    """Whether a word is a form like "covered", "worn" or "seen"."""
    bases = lemmas(word).get("VERB", ())
    return any(word in (verb_form(base, "VBN"), verb_form(base, "VBD")) for base in bases if base != word)


def is_noun(word: str) -> bool:
    """Whether a word can be a noun; an unknown word counts as one."""
    if not word or word in FUNCTION_WORDS or word.endswith("'s"):
        return False
    known = lemmas(word)
    return not known or "NOUN" in known or "PROPN" in known or is_person(word)


def is_person(word: str) -> bool:
    """Whether a word stands for one or several people."""
    thing = data.things().get(singular(word)) or data.things().get(word)
    return thing is not None and thing.kind == "people"


def is_agent(word: str) -> bool:
    """Whether a word stands for people or animals: subjects that act."""
    thing = data.things().get(word) or data.things().get(singular(word))
    return thing is not None and thing.kind in ("people", "animals")


def is_clothing(word: str) -> bool:
    """Whether a word stands for something to wear."""
    thing = data.things().get(word) or data.things().get(singular(word))
    return thing is not None and thing.kind == "clothes"


def is_plural(noun: str) -> bool:
    """Whether a noun is in the plural."""
    if noun in PLURALS:
        return True
    return noun not in SINGULARS and not noun.endswith(("ss", "us", "is")) and singular(noun) != noun


@functools.lru_cache(maxsize=CACHED)
def singular(noun: str) -> str:
    """The singular of a noun, or the noun itself: dogs → dog, children → child, glasses → glasses."""
    if noun in UNCHANGED or noun in SINGULARS or "-" in noun:
        return noun
    if noun in IRREGULAR:
        return IRREGULAR[noun]
    if forms := lemmas(noun).get("NOUN"):
        return forms[0]
    if not lemmas(noun) and noun.endswith("s") and not noun.endswith(("ss", "us", "is")):
        return noun[:-1]  # frisbees, skateboarders: too new for the dictionary
    return noun


@functools.lru_cache(maxsize=CACHED)
def plural(noun: str) -> str:
    """The plural of a noun."""
    if is_plural(noun):
        return noun
    known = {base: form for form, base in IRREGULAR.items()}
    return known.get(noun) or str(_inflect().plural_noun(noun))


def written(words: Sequence[str]) -> str:
    """Join words into text: names get their capitals, and a/an agrees with the next word."""
    pattern, names = data.capitals()
    text = pattern.sub(lambda match: names[match[0]], " ".join(words))
    return re.sub(r"\b(an?) (?=([\w][\w'-]*))", lambda match: f"{article(match[2])} ", text)


@functools.lru_cache(maxsize=CACHED)
def article(word: str) -> str:
    """The indefinite article before a word: "an" hour, "a" unicorn, "an" SUV."""
    if len(word) > 1 and word.isupper():
        return "an" if word[0] in "AEFHILMNORSX" else "a"  # letter by letter: an SUV, a TV
    entry = data.known(word)
    return entry.article if entry else str(_inflect().a(word)).split()[0]


@functools.cache
def _inflect() -> Any:
    import inflect

    return inflect.engine()
