"""The labels that a small engine can tell apart and a person would use."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from img2prompt.labels.tables import read_labels

# Which flavors a person would use: common ones, of plain words, without remarks on people.
COMMON_FLAVORS = 15_000  # the table is sorted by how often prompts use them
PLAIN = re.compile(r"[a-z]{2,}(?:[ \-][a-z]{2,}){0,2}")
EDGE_WORDS = frozenset(
    "by from in on at with and of the for is are his her their to as or an very no not like its that who".split()
)
PRIVATE_WORDS = frozenset(
    """she he her his him hers they man men woman women boy girl male female guy lady beauty nude naked nudity sexy sensual seductive erotic nsfw lingerie bikini cleavage breasts bust curvy thicc hot
    lewd fat obese skinny slim ugly handsome attractive cute-face african american asian chinese japanese korean
    indian arab latino hispanic european british german french italian russian spanish peruvian mexican jewish
    muslim christian catholic islamic hindu caucasian white-skinned black-skinned tan-skinned dark-skinned pale
    old elderly aged teen teenage teenager young pregnant disabled gay lesbian transgender nazi hitler trump putin
    biden obama gore gory blood bloody corpse dead death suicide kill killing murder schizophrenia insane lips weed drugs cocaine""".split()
)


def readable_labels(name: str, vocabulary: Mapping[str, Any]) -> list[str]:
    """A table cut down to what a small engine can tell apart: see `readable` for flavors.

    Of the artists only "by …" is kept; "inspired by …" has nearly the same vectors.
    """
    if name == "flavors":
        return readable(read_labels(name, COMMON_FLAVORS), vocabulary)
    labels = read_labels(name)
    return [label for label in labels if label.startswith("by ")] if name == "artists" else labels


def readable(flavors: Sequence[str], vocabulary: Mapping[str, Any]) -> list[str]:
    """Those flavors that are made of one to three dictionary words, without names or remarks on people.

    `vocabulary` holds the words that count as dictionary words, here MiniLM's.
    """
    artists = [artist.lower().split()[1:] for artist in read_labels("artists")]
    names = {word for artist in artists for word in artist} - PLAIN_NAMES
    kept = []
    for flavor in flavors:
        if not PLAIN.fullmatch(flavor):
            continue
        words = flavor.replace("-", " ").split(" ")
        if (
            words[0] not in EDGE_WORDS
            and words[-1] not in EDGE_WORDS
            and all(word in vocabulary for word in words)
            and not PRIVATE_WORDS.intersection(words)
            and not (len(words) > 1 and words[0] in names)
            and not (len(words) > 1 and words[-1] in names)
        ):
            kept.append(flavor)
    return kept


# Parts of artists' names that are everyday words too.
PLAIN_NAMES = frozenset(
    """light park wood forest stone hill lake field fields bell rose gray green brown black white west young king
    house street love day winter frost snow waters rivers flowers glass gold golden moon sun art painting shot face
    hair style detail background sky water grass beach city landscape lighting colors color the of and in a studio
    summer dawn church bridge bush ocean sea river rain cloud night hunter fisher baker cook dog cat fox wolf bird
    horse lion bear deer fish swan sand berry cherry apple lemon pepper bean garden flower ivory silver copper
    diamond pearl crystal red blue pink purple orange yellow round sharp long short small grand bright dark soft
    warm cold east south north world fantasy digital modern graphic concept character monster dragon""".split()
)
