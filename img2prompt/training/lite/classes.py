"""The 1,000 ImageNet classes: what they are called, and which are seldom what a picture shows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from timm.data import ImageNetInfo

from img2prompt.training.lite.vocabulary import clean


def class_forms() -> list[list[str]]:
    """The forms of each class's name, friendliest first ("tabby cat" before "tabby")."""
    forms_of_classes = []
    for line in ImageNetInfo().label_descriptions():
        forms = [form.strip() for form in line.split(",")]
        fuller = [
            form
            for form in forms[1:]
            if " " not in forms[0] and re.search(rf"(^| ){re.escape(forms[0])}( |$)", form)
        ]
        forms_of_classes.append(list(dict.fromkeys(fuller + forms)))
    return forms_of_classes


def incidental() -> list[int]:
    """Clothes, materials, screens and papers: often in a picture, seldom what it shows."""
    names = Path(__file__).with_name("incidental.txt").read_text(encoding="utf-8").splitlines()
    return [index for index, forms in enumerate(class_forms()) if not set(names).isdisjoint(forms)]


def name_classes(captions: Iterable[str]) -> list[str]:
    """(1000,) what to call each ImageNet class: its first form that captions use, or else its first form.

    A form that is a part of another one ("mail" of "chain mail") does not count as used.
    """
    phrases = Counter[str]()
    for caption in captions:
        words = clean(caption).split()
        phrases.update(" ".join(words[i : i + n]) for n in (1, 2, 3) for i in range(len(words) - n + 1))
    names = []
    for forms in class_forms():
        whole = [f for f in forms[1:] if not any(f.lower() in g.lower() for g in forms if g != f)]
        used = [form for form in (forms[0], *whole) if phrases[clean(form)] >= 5]
        names.append(used[0] if used else forms[0])
    return names
