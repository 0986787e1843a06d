"""Write ``posts/lexicon.tsv``: ``python -m img2prompt.training.lexicon``, after the captioner's words have changed.

What lemminflect knows, and inflect of articles, of the words that the bundled captioner writes and of those in the
lists of `img2prompt.posts`. To load their dictionaries takes more than a second, a caption a tenth of one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

import inflect
from lemminflect import getAllLemmas, getInflection

from img2prompt import weights
from img2prompt.files import replacing
from img2prompt.posts import data, grammar

INFLECT = inflect.engine()
GRAMMAR = (
    grammar.FUNCTION_WORDS
    | grammar.PRONOUNS
    | grammar.COLLECTIVES
    | grammar.COLOURS
    | grammar.ING_NOUNS
    | grammar.PLURALS
    | grammar.UNCHANGED
    | grammar.SINGULARS
)


def words() -> list[str]:
    """The captioner's words, those of its labels and of the lists, their base forms, and parts of those with hyphens."""
    folder = weights.bundled("lite")
    vocabulary = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    lists = [file.read_text(encoding="utf-8") for file in sorted(data.LEXICON.parent.glob("*.toml"))]
    texts = [*vocabulary, *config["class_names"], *config["labels"], *lists, *GRAMMAR]
    found = set(re.findall(r"[a-z]+(?:-[a-z]+)*", " ".join(texts).lower()))
    found |= {word.rpartition("-")[2] for word in found}
    found |= {base for word in found for bases in getAllLemmas(word).values() for base in bases}
    return sorted(found)


def line(word: str) -> str:
    """The word, its lemmas by part of speech, its forms if it is a verb, and its article, with tabs between."""
    lemmas = getAllLemmas(word)
    is_verb = word in lemmas.get("VERB", ())
    forms = {tag: getInflection(word, tag)[:1] for tag in data.VERB_FORMS} if is_verb else {}
    return "\t".join([word, _packed(lemmas), _packed(forms), str(INFLECT.a(word)).split()[0]])


def _packed(entries: dict[str, Iterable[str]]) -> str:
    return " ".join(f"{key}={','.join(values)}" for key, values in entries.items())


def write(file: Path = data.LEXICON) -> None:
    """Write the file, a line for each word."""
    with replacing(file) as stream:
        stream.write("".join(f"{line(word)}\n" for word in words()).encode())


if __name__ == "__main__":
    write()
