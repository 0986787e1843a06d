"""What a caption talks about: its subject, action, place and things, ready for templates.

Captions are one sentence or noun phrase in simple English, so a few rules find their
parts. A part that the rules are not sure of is left out; templates that need it are
then not used.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from img2prompt.captions import data, grammar
from img2prompt.captions.limits import cut, tidy
from img2prompt.captions.post import Seen

LONGEST = 400  # of a caption's characters that are read; engines write fewer than 100
DETERMINERS = frozenset(
    """a an the this that these those his her its their my our your some any each every another one two three four
    five six seven eight nine ten several many few both all no""".split()
)
NUMBERS = frozenset("two three four five six seven eight nine ten several many few both some".split())
PREPOSITIONS = frozenset(
    """in on at with of from by for to through over under across along near beside behind beneath between among amongst
    against around into onto off down up above below inside outside past toward towards during without within next
    underneath alongside atop upon about after before amid amidst like out away via beyond per opposite astride
    throughout aboard""".split()
)
CONNECTIVES = frozenset(
    "and or but as while whilst where when because so if then than whose who which that".split()
)
CLAUSES = frozenset("as while whilst where when because who which that whose if so but".split())
ADVERBS = frozenset(
    """together very just also still too not almost nearly well quickly slowly happily outside outdoors indoors inside
    there here now then away high low fast alone apart ahead back side-by-side mid-air upside closely intently
    currently while excitedly playfully currently""".split()
)
BE = frozenset("is are was were".split())
RELATIVES = frozenset("that who which".split())
PRONOUNS = frozenset(
    "he she it they him them himself herself itself themselves someone something everyone i you we us me".split()
)
LOCATIVES = frozenset("in on at by near along beside under behind inside among".split())
PREFIX = re.compile(
    r"^(?:(?:an?|the|this|some|is|this is|black and white|old|color|colour|blurry|close|up|large|small|cropped|aerial|"
    r"vintage|beautiful|over|saturated|stock|amateur|professional) )*"
    r"(?:photo|picture|image|photograph|snapshot|close-?up|close up|shot|view)s?(?: (?:shot|view|photo|picture|image))? of "
)
EXISTENTIAL = re.compile(r"^(?:there (?:is|are|was|were|'s)|there's|this is|these are|here is|here are) ")


@dataclass(frozen=True)
class Topic:
    """The parts of one caption (or of several pictures' captions), lower case but for names.

    Parts that the caption does not have, or that are in doubt, are empty.
    """

    sentence: str = ""  # all of it: "a brown dog is running on the beach"
    scene: str = ""  # as a noun phrase: "a brown dog running on the beach"
    subject: str = ""  # who or what: "a brown dog"
    definite: str = ""  # the same, known already: "the brown dog"
    action: str = ""  # what it is doing: "running on the beach"
    place: str = ""  # where, if that is a place: "on the beach"
    things: tuple[str, ...] = ()  # nouns in their base form, in order, no people or clothes
    favourites: tuple[str, ...] = ()  # of those what one can love, as one says it: "dogs", "snow"
    plural: bool = False  # whether the subject is several
    kind: str = "things"  # of the subject: people, animals, food or things
    colours: tuple[str, ...] = ()
    orientation: str = "square"
    count: int = 1  # pictures


def topic(seen: Sequence[Seen]) -> Topic:
    """What the pictures show; several are told as one list of their subjects."""
    topics = [_one(one) for one in seen]
    if len(topics) == 1:
        return topics[0]
    subjects = list(dict.fromkeys(t.subject or t.sentence for t in topics if t.sentence))
    together = _listed(subjects)
    things = tuple(dict.fromkeys(thing for t in topics for thing in t.things))
    favourites = tuple(dict.fromkeys(thing for t in topics for thing in t.favourites))
    colours = Counter(colour for t in topics for colour in t.colours[:2])
    kinds = {t.kind for t in topics if t.sentence}
    orientations = {t.orientation for t in topics}
    return Topic(
        sentence=together,
        scene=together,
        subject=together,
        definite="",
        things=things,
        favourites=favourites,
        plural=len(subjects) > 1,
        kind=kinds.pop() if len(kinds) == 1 else "things",
        colours=tuple(colour for colour, _ in colours.most_common(2)),
        orientation=orientations.pop() if len(orientations) == 1 else "",
        count=len(topics),
    )


def _listed(phrases: Sequence[str], most: int = 3) -> str:
    """ "a dog, two men and a plate of food"; with more than `most`, "and more"."""
    phrases = [*phrases[:most], "more"] if len(phrases) > most else list(phrases)
    return " and ".join([", ".join(phrases[:-1]), phrases[-1]] if len(phrases) > 1 else phrases)


def _one(seen: Seen) -> Topic:
    words = plain_words(seen.caption)
    facts = {"colours": tuple(seen.colours), "orientation": seen.orientation}
    if not words:
        return Topic(**facts)  # type: ignore[arg-type]
    sentence = _written(words)
    verb = _verb(words)
    before, predicate = _split(words, verb)
    core = before[: _core_length(before)]
    head = _head(core)
    things, place = _things(words), _place(words)
    scene = _written([*before, *predicate]) if predicate is not None else ""
    subject = _written(before) if head else ""
    gerund = bool(predicate) and grammar.is_gerund(predicate[0])  # type: ignore[index]
    return Topic(
        sentence=sentence,
        scene=scene if head else "",
        subject=subject,
        definite=_definite(core) if head else "",
        action=_written(predicate or []) if gerund and head else "",
        place=place if place not in subject else "",
        things=things,
        favourites=tuple(_favourite(thing) for thing in things if _lovable(thing)),
        plural=_several(core, head),
        kind=_kind(head),
        **facts,  # type: ignore[arg-type]
    )


def plain_words(caption: str) -> list[str]:
    """Lower-case words without guesses on people, "a photo of" and "there is"."""
    text = cut(tidy(caption), LONGEST, mark="").lower().replace("’", "'").strip(" .!?")
    text = re.sub(r"[^\w\s'-]+", " ", text)
    text = EXISTENTIAL.sub("", PREFIX.sub("", " ".join(text.split())))
    return _without_guesses(PREFIX.sub("", text).split())


def _without_guesses(words: list[str]) -> list[str]:
    guesses, never = data.words("guesses"), data.words("never")
    becomes = data.replacements()
    kept: list[str] = []
    person_ahead = False  # read backwards: whether a noun for a person follows, with only adjectives between
    for index in range(len(words) - 1, -1, -1):
        word = words[index]
        if word in never:
            continue
        if person_ahead and word in guesses:
            continue
        if person_ahead and word in data.words("guesses_of_colour") and (not kept or kept[0] not in ("and",)):
            continue
        follower = kept[0] if kept else ""
        modifies = (
            bool(follower)
            and follower not in PREPOSITIONS | CONNECTIVES | BE
            and "NOUN" in grammar.lemmas(follower)
        )
        if word in becomes and not modifies:
            word = becomes[word]
        if is_person(word):
            person_ahead = True
        elif word in DETERMINERS | PREPOSITIONS | CONNECTIVES | BE or not _adjective(word):
            person_ahead = False
        kept.insert(0, word)
    return kept


def _adjective(word: str) -> bool:
    return "ADJ" in grammar.lemmas(word) or word.endswith(("ing", "ed"))


def is_person(word: str) -> bool:
    """Whether a word stands for a person or several."""
    thing = data.things().get(grammar.singular(word)) or data.things().get(word)
    return thing is not None and thing.kind == "people"


def _written(words: Sequence[str]) -> str:
    """Words as text, with capitals for names and the right articles."""
    pattern, written = data.capitals()
    text = pattern.sub(lambda found: written[found[0]], " ".join(words))
    return grammar.articles(text)


# --- where the verb is -----------------------------------------------------------------------------


def _verb(words: Sequence[str]) -> int | None:
    """Position of the word that begins the predicate: is/are, a verb in -s, a gerund; None without."""
    gerund = None
    relative = False
    seen_noun = False
    several = False
    for i, word in enumerate(words):
        if i and words[i - 1] in RELATIVES and i >= 2:
            relative = True
        if word in ("as", "while", "whilst", "when", "where", "because"):
            break  # another clause begins
        if word in BE and seen_noun:
            if relative:
                relative = False
                continue
            return i
        if word in ("has", "have") and seen_noun and not relative:
            return i
        if gerund is None and seen_noun and grammar.is_gerund(word) and _ends_noun_phrase(words, i):
            gerund = i
        elif seen_noun and not relative and _finite(words, i, several):
            return i if gerund is None else (i if _closes(words, gerund, i) else gerund)
        if _nominal(words, i):
            if not seen_noun:
                several = grammar.is_plural(word)
            elif words[i - 1] == "of" or _nominal(words, i - 1):
                several = several or grammar.is_plural(word)
            seen_noun = True
            if word in data.words("measures") and i + 1 < len(words) and words[i + 1] == "of":
                several = True
    return gerund


def _closes(words: Sequence[str], gerund: int, finite: int) -> bool:
    """Whether "a man wearing a hat" ends before a finite verb: "… sits on a bench"."""
    return finite - gerund >= 2


def _ends_noun_phrase(words: Sequence[str], i: int) -> bool:
    """Whether a gerund follows a complete noun phrase, rather than describing a noun after it."""
    return words[i - 1] not in DETERMINERS | PREPOSITIONS


def _finite(words: Sequence[str], i: int, several: bool) -> bool:
    """Whether a word is a verb in -s after one, or in its base form after several."""
    word, previous = words[i], words[i - 1]
    if word in DETERMINERS | PREPOSITIONS | CONNECTIVES | ADVERBS | PRONOUNS or "-" in word:
        return False
    bases = grammar.lemmas(word).get("VERB", ())
    base = next((verb for verb in bases if verb in data.words("verbs")), None)
    if base is None:
        return False
    if not (_nominal(words, i - 1) or previous in ADVERBS | PRONOUNS):
        return False
    follows = words[i + 1] if i + 1 < len(words) else ""
    if follows in BE or (i + 1 < len(words) and grammar.is_gerund(follows) and word.endswith("s")):
        return False
    third = grammar.inflect_verb(base, "VBZ")
    if word == third:
        if (
            i >= 2
            and words[i - 2] in PREPOSITIONS
            and words[i - 2] != "of"
            and previous not in data.words("mass")
        ):
            return False  # "on monkey bars": a bare noun after a preposition goes on
        return True
    return several and word == base and (grammar.is_plural(previous) or previous in ADVERBS)


def _nominal(words: Sequence[str], i: int) -> bool:
    """Whether a word can be a noun."""
    word = words[i]
    if word in DETERMINERS | PREPOSITIONS | CONNECTIVES | BE | ADVERBS or word in ("has", "have"):
        return word in NUMBERS and False
    known = grammar.lemmas(word)
    return not known or "NOUN" in known or "PROPN" in known or is_person(word)


def _split(words: list[str], verb: int | None) -> tuple[list[str], list[str] | None]:
    """Words before the verb, and the predicate without "is": None where it cannot stand alone."""
    if verb is None:
        core = _core_length(words)
        return words[:core], words[core:]
    before, word, rest = words[:verb], words[verb], words[verb + 1 :]
    if word in BE:
        while (
            rest and rest[0] in ADVERBS and rest[0] not in ("outside", "inside", "outdoors", "indoors", "not")
        ):
            rest = rest[1:]
        if not rest:
            return before, None
        first = rest[0]
        lone = (
            _participle(first) or first in PREPOSITIONS - {"like", "about", "to"} or grammar.is_gerund(first)
        )
        return before, _joined(rest) if lone else None
    if word in ("has", "have"):
        noun_phrase = bool(rest) and (rest[0] in DETERMINERS) and rest[0] not in ("no", "that")
        return before, ["with", *rest] if noun_phrase else None
    if grammar.is_gerund(word):
        return before, words[verb:]
    base = next(v for v in grammar.lemmas(word)["VERB"] if v in data.words("verbs"))
    if base == "seem" or base == "appear":
        return before, None
    return before, _joined([grammar.inflect_verb(base, "VBG"), *rest])


def _participle(word: str) -> bool:
    return word.endswith(("ed", "en", "wn", "ung", "ept", "uilt", "ost")) and "VERB" in grammar.lemmas(word)


def _joined(rest: list[str]) -> list[str] | None:
    """A predicate as a gerund phrase: further verbs follow the first one, "running and jumps" → "… jumping"."""
    changed = list(rest)
    for i in range(1, len(rest)):
        if rest[i] in CLAUSES:
            break
        if rest[i - 1] in ("and", "then", "or") and rest[i] in BE | {"has", "have"}:
            return None
        if rest[i - 1] not in ("and", "then", "or"):
            continue
        bases = [v for v in grammar.lemmas(rest[i]).get("VERB", ()) if v in data.words("verbs")]
        if not bases or grammar.is_gerund(rest[i]):
            continue
        follows = rest[i + 1] if i + 1 < len(rest) else ""
        if follows in DETERMINERS | PREPOSITIONS | PRONOUNS | ADVERBS or (
            rest[i] == grammar.inflect_verb(bases[0], "VBZ") and "NOUN" not in grammar.lemmas(rest[i])
        ):
            changed[i] = grammar.inflect_verb(bases[0], "VBG")
    return changed


# --- the noun phrase -------------------------------------------------------------------------------


def _core_length(words: Sequence[str]) -> int:
    """Length of the noun phrase that begins here: up to a preposition other than "of", or a new clause."""
    for i, word in enumerate(words):
        if i and ((word in PREPOSITIONS and word != "of") or word in CLAUSES):
            return i
        if i and _any_noun(words[:i]) and (grammar.is_gerund(word) or _past(words, i)):
            return i
    return len(words)


def _any_noun(words: Sequence[str]) -> bool:
    return any(_nominal(words, i) for i in range(len(words)))


def _past(words: Sequence[str], i: int) -> bool:
    """ "a man dressed in black": a participle after the noun, not before one ("a snow covered slope")."""
    follows = words[i + 1] if i + 1 < len(words) else ""
    return _participle(words[i]) and words[i].endswith("ed") and (not follows or follows in PREPOSITIONS)


def _head(core: Sequence[str]) -> str:
    """The noun that a noun phrase is about; of several joined by "and", the first. Empty when in doubt."""
    words = list(core)
    if not words or words[0] in PRONOUNS | {"no", "each", "every", "all", "both", "any"}:
        return ""
    while "of" in words:
        at = words.index("of")
        if not words[at + 1 :]:
            return ""
        if words[at - 1] in data.words("measures"):
            words = words[at + 1 :]
        else:
            words = words[:at]
    if "and" in words:
        left = words[: words.index("and")]
        if left and _nominal(left, len(left) - 1) and not _is_colour(left[-1]):
            words = left
    if (
        not words
        or words[-1] in DETERMINERS | PREPOSITIONS | CONNECTIVES
        or not _nominal(words, len(words) - 1)
    ):
        return ""
    return words[-1]


COLOURS = frozenset(
    "black white gray grey brown tan red orange yellow green blue purple pink beige gold golden silver turquoise".split()
)


def _is_colour(word: str) -> bool:
    return word in COLOURS


def _several(core: Sequence[str], head: str) -> bool:
    if not head:
        return False
    joined = "and" in core and any(word in DETERMINERS for word in core[core.index("and") :])
    return joined or grammar.is_plural(head)


def _definite(core: Sequence[str]) -> str:
    """ "a man and his dog" → "the man and his dog"; "some people" → "the people"."""
    words = list(core)
    drop = {"a", "an", "some", "another", "many", "several", "one", "few", "this", "these"}
    changed = [
        "the" if word in ("a", "an") and (i == 0 or words[i - 1] == "and") else word
        for i, word in enumerate(words)
    ]
    if changed[0] in drop:
        changed[0] = "the"
    elif changed[0] not in DETERMINERS or changed[0] in NUMBERS:
        changed.insert(0, "the")
    return _written(changed)


def _kind(head: str) -> str:
    if not head:
        return "things"
    if is_person(head):
        return "people"
    thing = data.things().get(grammar.singular(head))
    return thing.kind if thing and thing.kind in ("animals", "food") else "things"


def _things(words: Sequence[str]) -> tuple[str, ...]:
    """The nouns that stand for things, in base form: heads of noun phrases, and known words before them."""
    found: list[str] = []
    known = data.things()
    for i, word in enumerate(words):
        base = grammar.singular(word)
        if not _nominal(words, i) or base in data.words("vague") or word in data.words("vague"):
            continue
        if word in COLOURS and not (i + 1 == len(words) or words[i + 1] in PREPOSITIONS):
            continue
        if word in COLOURS or is_person(word) or word in PRONOUNS:
            continue
        follows = words[i + 1] if i + 1 < len(words) else ""
        last = (
            not follows
            or follows in PREPOSITIONS | CONNECTIVES | BE | DETERMINERS | ADVERBS
            or grammar.is_gerund(follows)
        )
        verbal = grammar.is_gerund(word) or _finite(words, i, True)
        thing = known.get(base)
        if thing is not None and thing.kind == "clothes":
            continue
        if verbal and not (thing and thing.kind == "sport"):
            continue
        if thing is not None or (last and _sure_noun(words, i)):
            found.append(base)
    return tuple(dict.fromkeys(found))


def _sure_noun(words: Sequence[str], i: int) -> bool:
    """Whether nothing but a noun fits: the word has no other part of speech, or an article comes before."""
    kinds = set(grammar.lemmas(words[i])) - {"NOUN", "PROPN"}
    if not kinds:
        return bool(grammar.lemmas(words[i]))
    start = i - 1
    while start >= 0 and "ADJ" in grammar.lemmas(words[start]):
        start -= 1
    return start >= 0 and words[start] in DETERMINERS - {"that"} and kinds <= {"VERB", "ADJ"}


def _lovable(thing: str) -> bool:
    known = data.things().get(thing)
    loved = known is not None and known.kind in ("animals", "food", "nature", "sport")
    return loved and thing not in data.words("unloved")


def _favourite(thing: str) -> str:
    """How one says that one loves it: "dogs", "snow", "skateboarding"."""
    known = data.things()[thing]
    if thing in data.words("mass"):
        return thing
    if known.kind == "sport":
        return known.tag if known.tag not in ("sports", "wintersports") else grammar.plural(thing)
    return grammar.plural(thing)


def _place(words: Sequence[str]) -> str:
    """The last "on the beach" of a caption whose noun is a place."""
    for start in range(len(words) - 1, 0, -1):
        if words[start] not in LOCATIVES:
            continue
        end = start + 1
        while (
            end < len(words)
            and words[end] not in PREPOSITIONS | CONNECTIVES | BE
            and not grammar.is_gerund(words[end])
        ):
            end += 1
        phrase = words[start:end]
        if len(phrase) >= 2 and "their" not in phrase and "his" not in phrase and "her" not in phrase:
            known = data.things().get(grammar.singular(phrase[-1]))
            if known is not None and (known.kind == "places" or known.kind == "nature"):
                return _written(phrase)
    return ""
