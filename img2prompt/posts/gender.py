"""Say of people in a caption who they are without a guess at their gender: a person, a child, a rider.

`neutral_people` works on the words alone, so that it serves the captions of every engine.
"""

from __future__ import annotations

import functools
import re

from img2prompt.posts import data
from img2prompt.posts.grammar import (
    ADVERBS,
    BE,
    CONNECTIVES,
    DETERMINERS,
    FUNCTION_WORDS,
    NUMBERS,
    PREPOSITIONS,
    PRONOUNS,
    article,
    is_agent,
    is_finite_form,
    is_gerund,
    is_participle,
    is_person,
    is_plural,
    lemmas,
    verb_base,
    verb_form,
)
from img2prompt.posts.people import mentions_people

TAG = re.compile(r"\b(\d\+?)(?:girl|boy)(s?)\b", re.IGNORECASE)  # of picture boards, which also have "1other"
WORD = re.compile(r"\w+(?:['’-]\w+)*")
POSSESSIVE = re.compile(r"(?<=\w) ?['’]s\b")

SEXES = frozenset("male female males females".split())
DESCRIBING = frozenset("man men woman women lady ladies boy boys girl girls".split())  # "a woman soldier"
KIN = frozenset("mother mothers mom mama momma father dad papa".split())  # of animals too: "a mother bear"
AGES = {"baby": "baby", "toddler": "toddler", "infant": "infant", "newborn": "newborn"}  # "a baby girl"
AGES |= {"teenage": "teenager", "teen": "teenager", "teenaged": "teenager", "preteen": "preteen"}
# Without the apostrophe, as many write them.
UNWRITTEN = {"mens": "people's", "womens": "people's", "mans": "person's", "womans": "person's"}
# For whom something is: "a women's tennis match", "the men's room".
FOR_THEM = frozenset(
    """tennis soccer baseball basketball football volleyball hockey softball rugby lacrosse field ice track water
    gymnastics team teams game match tournament competition race final finals league room restroom bathroom toilet
    restrooms bathrooms toilets washroom locker clothing clothes wear shoes shoe suit suits shirt shirts hat
    hats department store singles doubles underwear jeans bicycle""".split()
)
PLURAL_VERBS = {"is": "are", "was": "were", "has": "have", "does": "do", "isn't": "aren't"}
PLURAL_VERBS |= {"wasn't": "weren't", "hasn't": "haven't", "doesn't": "don't"}
# Pronoun → of a person, of an animal. "His" and "her" depend on what follows.
PRONOUN = {
    "he": ("they", "it"),
    "she": ("they", "it"),
    "him": ("them", "it"),
    "himself": ("themselves", "itself"),
    "herself": ("themselves", "itself"),
    "hers": ("theirs", "its"),
}
OWNED, OWNER, OBJECT = ("their", "its"), ("theirs", "its"), ("them", "it")
NOT_OWNED = (
    (DETERMINERS - NUMBERS - {"all", "another"}) | PREPOSITIONS | CONNECTIVES | BE | ADVERBS | PRONOUNS
)
MANY = ("some", "several", "many", "both")
COUNTS = "two three four five six seven eight nine ten".split()


def neutral_people(caption: str) -> str:
    """A caption that doesn't say whether people are men or women, boys or girls.

    Nouns become plain ones, and pronouns "they", with the verb that goes with it, or "it" where only an
    animal was named before. People who are of one kind now are counted together. Capitals and punctuation
    stay, and so do names of things and figures: "a cowboy hat", "a gingerbread man". A caption that needs
    no change is returned as it is.

    >>> neutral_people("a man and a woman walk with their dog")
    'two people walk with their dog'
    >>> neutral_people("A boy looks at himself while he brushes his teeth .")
    'A child looks at themselves while they brush their teeth .'
    """
    caption = TAG.sub(r"\1other\2", caption)
    return _counted_together(_Words(caption).without_gender() if is_gendered(caption) else caption)


def is_gendered(caption: str) -> bool:
    """Whether a caption says somebody's gender, by a noun, a pronoun, or "male" and "female"."""
    words = _Words(caption)
    return bool(_phrases().search(caption) or TAG.search(caption)) or any(
        _is_gendered(word) for word, stays in zip(words.words, words.stays, strict=True) if not stays
    )


def _is_gendered(word: str) -> bool:
    if "-" in word:
        return any(map(_is_gendered, word.split("-")))
    word = POSSESSIVE.sub("", word)
    return word in _nouns() or word in PRONOUN or word in UNWRITTEN or word in ("his", "her")


class _Words:
    """The words of a caption, what stands between them, and which are parts of names that stay."""

    def __init__(self, caption: str):
        phrases = data.gender()["phrases"]
        text = _phrases().sub(lambda match: _like(match[0], phrases[match[0].lower()]), caption)
        text = POSSESSIVE.sub("'s", text)
        found = list(WORD.finditer(text))
        names = [match.span() for match in _stays().finditer(text)]
        ends, starts = [0, *(m.end() for m in found)], [*(m.start() for m in found), len(text)]
        self.words = [match[0].lower() for match in found]
        self.stays = [any(a <= m.start() and m.end() <= b for a, b in names) for m in found]
        self._written = [match[0] for match in found]
        self._gaps = [text[end:start] for end, start in zip(ends, starts, strict=True)]
        self._new: dict[int, str] = {}  # position → the word instead; empty for none

    def without_gender(self) -> str:
        """The text with other words for those that say a gender."""
        for i, word in enumerate(self.words):
            if self.stays[i] or i in self._new:
                continue
            base, owner = (word[:-2], "'s") if POSSESSIVE.search(word) else (word, "")
            if base in PRONOUN or base in ("his", "her"):
                self._replace_pronoun(i, base, owner)
            elif base in UNWRITTEN:
                self._new[i] = "" if self._follows(i) in FOR_THEM else UNWRITTEN[base]
            elif base in SEXES and self._describes(i):
                self._new[i] = ""
                if (
                    self._before(i) == "all"
                    or self._before(i) in ("and", "or")
                    and self._before(i - 1) in SEXES
                ):
                    self._new[i - 1] = ""  # "an all male choir", "male and female soldiers"
            elif base in _nouns():
                self._replace_noun(i, base, owner)
            elif "-" in base and _is_gendered(base):
                first, *rest = base.split("-")
                parts = [_nouns().get(part, part) for part in (first, *rest)]
                self._new[i] = "" if first == "all" else "-".join(parts) + owner
        return self._text()

    def _replace_noun(self, i: int, base: str, owner: str) -> None:
        before, follows, several = (
            self._before(i),
            self._follows(i),
            _nouns()[base] not in _plurals(),
        )
        neutral, age = _nouns().get(before + base), AGES.get(before)
        if neutral and before:  # "fire man"
            self._new[i - 1] = ""
            self._new[i] = neutral + owner
        elif age and base in DESCRIBING:  # "teenage girls"
            self._new[i - 1] = ""
            self._new[i] = (_plurals()[age] if several else age) + owner
        elif several and follows in FOR_THEM and (owner or base in DESCRIBING):
            self._new[i] = ""
        elif base in DESCRIBING and follows in FOR_THEM and is_person(self._follows(i + 1)):
            self._new[i] = ""  # "girl soccer players"
        elif base in DESCRIBING and not owner and is_person(follows) and is_plural(follows) == several:
            self._new[i] = ""  # "a woman soldier", but not "a man coaches"
        elif base in KIN and is_agent(follows) and not is_person(follows):
            self._new[i] = ""
        else:
            self._new[i] = _nouns()[base] + owner

    def _describes(self, i: int) -> bool:
        """Whether "male" or "female" at position `i` describes a noun after it."""
        follows = self._follows(i)
        if follows in ("and", "or") and self._follows(i + 1) in SEXES:
            return self._describes(i + 2)
        return bool(follows) and not (
            self.words[i].endswith("s")
            or follows in FUNCTION_WORDS | PRONOUNS
            or is_gerund(self.words, i + 1)
            or is_finite_form(follows)
            or is_participle(follows)
        )

    def _replace_pronoun(self, i: int, base: str, owner: str) -> None:
        if base in PRONOUN:
            forms = PRONOUN[base]
        elif (follows := self._follows(i)) and (follows not in NOT_OWNED or follows == "own"):
            forms = OWNED
        else:
            forms = OWNER if base == "his" else OBJECT
        before = " ".join(self.words[:i])
        animals = any(is_agent(word) and not is_person(word) for word in self.words[:i])
        is_animals = animals and not mentions_people(before)
        several = forms[0] == "they" and not is_animals
        self._new[i] = forms[is_animals] + ("'re" if several and owner else owner)
        if several and not owner:
            self._agree(i)

    def _agree(self, i: int) -> None:
        """Put the verbs of "they" at position `i` in the plural: "they run and jump"."""
        if verb := PLURAL_VERBS.get(self._before(i)):  # "is he"
            self._new[i - 1] = verb
            return
        at = i + 1
        while at < len(self.words) and (self.words[at] in ADVERBS or self.words[at].endswith("ly")):
            at += 1
        while at < len(self.words) and (verb := _plural_verb(self.words[at])):
            self._new[at] = verb
            joints = [k for k in range(at + 1, len(self.words)) if self.words[k] in CONNECTIVES]
            if (
                not joints
                or self.words[joints[0]] != "and"
                or joints[0] - 1 > at
                and is_plural(self.words[joints[0] - 1])
            ):
                return  # "they hold balls and bats"
            at = joints[0] + 1

    def _before(self, i: int) -> str:
        return self.words[i - 1] if i and self._gaps[i].isspace() and not self.stays[i - 1] else ""

    def _follows(self, i: int) -> str:
        return self.words[i + 1] if i + 1 < len(self.words) and self._gaps[i + 1].isspace() else ""

    def _text(self) -> str:
        """The words as they are now, with articles that agree and a capital where there was one."""
        kept = [i for i in range(len(self.words)) if self._new.get(i) != ""]
        text = self._gaps[0]
        for i, after in zip(kept, [*kept[1:], len(self.words)], strict=True):
            word = self._new.get(i, self._written[i])
            changed = after in self._new or after > i + 1
            if changed and self.words[i] in ("a", "an") and after < len(self.words):
                word = _article(self._new.get(after, self.words[after]))
            text += _like(self._written[i], word)
            text += self._gaps[-1] if after == len(self.words) else self._gaps[after]
        starts_large = self._written and self._written[0][:1].isupper()
        return text[:1].upper() + text[1:] if starts_large else text


def _plural_verb(word: str) -> str:
    """The form that goes with "they" of a verb that goes with "he"; empty for other words."""
    if word in PLURAL_VERBS:
        return PLURAL_VERBS[word]
    base = verb_base(word)
    return base if base and word == verb_form(base, "VBZ") else ""


def _counted_together(text: str) -> str:
    """Count people of one kind together: "a person and a person" → "two people"; then tell them apart."""
    for one, several in _plurals().items():
        if len(re.findall(rf"\b(?:{one}|{several})\b", text, re.IGNORECASE)) > 1:
            text = _told_apart(_joined(text, one, several), one)
    return text


def _joined(text: str, one: str, several: str) -> str:
    while (joined := _pair(one, several).sub(lambda match: _together(match, one, several), text)) != text:
        text = joined
    return text


def _together(match: re.Match[str], one: str, several: str) -> str:
    """What to say instead of two noun phrases with the same noun; the same again where they differ."""
    how, how2 = match["how"] or "", match["how2"] or ""
    if how2 not in ("", how) or (how and match["q2"] and not how2):
        return match[0]  # "an old person and a person"
    if not all("ADJ" in lemmas(word) for word in how.lower().split()):
        return match[0]
    quantities = [(match[q] or "").lower() for q in ("q", "q2")]
    counts = [
        1 if match[noun].lower() == one else COUNTS.index(q) + 2 if q in COUNTS else 0
        for noun, q in zip(("noun", "noun2"), quantities, strict=True)
    ]
    if match["joint"].strip() == "," and counts != [1, 1]:
        return match[0]  # "two people, a person": perhaps another sentence
    total = str(COUNTS[sum(counts) - 2]) if sum(counts) - 2 < len(COUNTS) else "several"
    if 0 in counts:
        total = next((q for q in quantities if q in MANY), "")
    phrase = " ".join(filter(None, ("the" if quantities[0] == "the" else "", total, how.strip(), several)))
    verb = match["verb"] or ""
    if verb and not match.start() and counts[0] == 1:
        verb = f" {PLURAL_VERBS[verb.strip().lower()]}"
    return _like(match[0], phrase) + verb


def _told_apart(text: str, one: str) -> str:
    """Say "another person" of a second one: "a person behind a person" → "a person behind another person"."""
    first = re.search(rf"\b(?:an?|one|the|another) (?:\w+ )?{one}\b", text, re.IGNORECASE)
    if not first:
        return text
    rest = re.sub(
        rf"\ba (?={one}\b)",
        lambda match: _like(match[0].strip(), "another "),
        text[first.end() :],
        flags=re.IGNORECASE,
    )
    return text[: first.end()] + rest


@functools.cache
def _pair(one: str, several: str) -> re.Pattern[str]:
    """Two noun phrases with this noun, one after the other."""
    quantity = rf"(?:an?|one|another|the|{'|'.join([*MANY, *COUNTS])})"
    how = rf"(?:(?!(?:{'|'.join(sorted(FUNCTION_WORDS))})\b)\w+ ){{0,2}}?"
    return re.compile(
        rf"(?<![\w'’-])(?:(?:(?P<q>{quantity}) |^)(?P<how>{how}))?(?P<noun>{one}|{several})"
        rf"(?P<joint> ?, ?(?:and )?| and )(?:(?P<q2>{quantity}) )?(?P<how2>{how})"
        rf"(?P<noun2>{one}|{several})(?![\w'’-])(?P<verb> (?:is|was|has)\b)?",
        re.IGNORECASE,
    )


def _like(old: str, new: str) -> str:
    """`new`, with a capital where `old` has one."""
    if len(old) > 1 and old.isupper():
        return new.upper()
    return new[:1].upper() + new[1:] if old[:1].isupper() else new


def _article(word: str) -> str:
    """The article before a word; of those that are put in here, the first letter says it."""
    if word in _nouns().values():
        return "an" if word[0] in "aeiou" else "a"
    return article(word)


@functools.cache
def _nouns() -> dict[str, str]:
    """Nouns that say a gender → neutral ones, both also in the plural."""
    nouns: dict[str, str] = {}
    for noun, neutral in data.gender()["nouns"].items():
        nouns[noun] = neutral
        nouns[_plural(noun)] = _plurals()[neutral]
    return nouns


@functools.cache
def _plurals() -> dict[str, str]:
    """Neutral nouns → their plurals."""
    neutral = {*data.gender()["nouns"].values(), *AGES.values()}
    return {noun: _plural(noun) for noun in sorted(neutral)}


def _plural(noun: str) -> str:
    """The plural of a noun in ``gender.toml``, by its spelling; that of the library takes seconds for all."""
    for end, ends in (("person", "people"), ("child", "children"), ("man", "men"), ("wife", "wives")):
        if noun.endswith(end):
            return noun.removesuffix(end) + ends
    if re.search(r"[^aeou]y$", noun):
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith("s") else f"{noun}s"


@functools.cache
def _phrases() -> re.Pattern[str]:
    """The phrases that ``gender.toml`` replaces as a whole."""
    return re.compile(rf"\b(?:{'|'.join(data.gender()['phrases'])})\b", re.IGNORECASE)


@functools.cache
def _stays() -> re.Pattern[str]:
    """The names of things that stay."""
    return re.compile(
        rf"(?<![\w-])(?:{'|'.join(data.gender()['stays']['patterns'])})(?![\w-])", re.IGNORECASE
    )
