"""English word forms: the little of grammar that captions need, from two libraries.

``lemminflect`` knows which forms a word has, ``inflect`` which article it takes. Both
are imported when first used.
"""

from __future__ import annotations

import functools
import re
from typing import Any

# Words in -ing that name a thing, although a verb has the same form.
ING_NOUNS = frozenset(
    """building buildings ceiling clothing crossing crossings railing string ring king wing wings spring thing
    things something nothing anything everything wedding evening morning painting paintings sling swing
    lightning awning siding sibling siblings herring duckling earring earrings dumpling pudding icing
    frosting topping toppings stuffing bling inning lining during mooring scaffolding bedding outing
    flooring paneling fencing rigging landing opening clearing""".split()
)
DIRECTIONS = frozenset("left right front back top bottom middle".split())


@functools.cache
def lemmas(word: str) -> dict[str, tuple[str, ...]]:
    """Part of speech (NOUN, VERB, ADJ, ADV, …) → base forms of a word; empty for an unknown word."""
    from lemminflect import getAllLemmas

    found: dict[str, tuple[str, ...]] = getAllLemmas(word)
    if not found and "-" in word:
        return lemmas(word.rsplit("-", 1)[1]) if word.rsplit("-", 1)[1] else {}
    return found


@functools.cache
def inflect_verb(verb: str, tag: str) -> str:
    """A verb's form: VBZ runs, VBG running, VBD ran, VBN run."""
    from lemminflect import getInflection

    forms = getInflection(verb, tag)
    return forms[0] if forms else verb


def is_gerund(word: str) -> bool:
    """Whether a word is a verb in -ing rather than a thing."""
    return word.endswith("ing") and word not in ING_NOUNS and ("VERB" in lemmas(word) or not lemmas(word))


@functools.cache
def is_plural(noun: str) -> bool:
    """Whether a noun stands for several."""
    if noun in PLURALS:
        return True
    if noun in SINGULARS or noun.endswith(("ss", "us", "is")):
        return False
    return singular(noun) != noun


PLURALS = frozenset(
    "people children men women kids sheep geese cattle police folks glasses sunglasses pants jeans shorts "
    "scissors skis clothes stairs trunks goggles binoculars spectators".split()
)
SINGULARS = frozenset("tennis lens gas bus grass dress canvas christmas news lacrosse series".split())
UNCHANGED = frozenset(
    "sheep glasses sunglasses pants jeans shorts scissors clothes trunks goggles binoculars people "
    "cattle police deer fish".split()
)


@functools.cache
def singular(noun: str) -> str:
    """The form for one, as far as there is another: dogs → dog, children → child, glasses → glasses."""
    if noun in UNCHANGED or noun in SINGULARS:
        return noun
    if "-" in noun:
        return noun
    forms = lemmas(noun).get("NOUN")
    if forms:
        return forms[0]
    if not lemmas(noun) and noun.endswith("s") and not noun.endswith(("ss", "us", "is")):
        return noun[:-1]  # frisbees, skateboarders: too new for the dictionary
    return noun


@functools.cache
def plural(noun: str) -> str:
    """The form for several."""
    if is_plural(noun):
        return noun
    return str(_inflect().plural_noun(noun))


def articles(text: str) -> str:
    """Mend a and an: "a orange" → "an orange", "an dog" → "a dog"."""
    return re.sub(r"\b(an?) (?=(\w[\w'’-]*))", lambda found: f"{_article(found[2])} ", text)


@functools.cache
def _article(word: str) -> str:
    return str(_inflect().a(word)).split()[0]


@functools.cache
def _inflect() -> Any:
    import inflect

    return inflect.engine()
