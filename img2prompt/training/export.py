"""Last stage: put the trained parts together as ``models/lite``."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import nn

from img2prompt.engines import imagenet
from img2prompt.engines.captioner import SPECIALS
from img2prompt.engines.tower import Tail, Trunk
from img2prompt.labels import ASPECTS, digest, pack, read_labels, readable
from img2prompt.sentences import SentenceEncoder
from img2prompt.training.joint import JointModel
from img2prompt.training.style import StyleHead
from img2prompt.training.words import clean

# How the engine weighs its parts; chosen on the dev sets, see MODEL_CARD.md.
CHOICES = {
    "class_share": 0.3,  # of the named classes in the content vector
    "fit_share": 0.5,  # of the content vector in the choice among caption candidates
    "sure": 0.5,  # probability from which a class is looked for in the candidates
    "sure_alone": 0.7,  # … from which it is put into a caption that misses it
    "sure_with_people": 0.95,  # … if that caption is about people
}


def stand_ins(tokenizer: Tokenizer, captions: Iterable[str], sentences: SentenceEncoder) -> list[str]:
    """For each ImageNet class the noun closest in meaning that the captioner knows.

    A noun is taken to be a word that often ends a phrase after "a" or "an". A class
    whose own last word is one of them stands in for itself.
    """
    counts, after_article = Counter[str](), Counter[str]()
    for caption in captions:
        words = clean(caption).split()
        counts.update(words)
        after_article.update(b for a, b in zip(words, words[1:], strict=False) if a in ("a", "an"))
    known = set(tokenizer.get_vocab()) - set(SPECIALS)
    nouns = sorted(w for w in known if counts[w] >= 8 and after_article[w] >= 0.15 * counts[w] and len(w) > 2)
    noun_vectors = sentences.encode(nouns)
    names = imagenet.class_names()
    nearest = (sentences.encode([f"a {name}" for name in names]) @ noun_vectors.T).argmax(1)
    chosen = []
    for index, name in enumerate(names):
        last = re.split(r"[ \-]", name.lower())[-1]
        own = last if last in known and after_article[last] >= 2 else nouns[nearest[index]]
        chosen.append(imagenet.everyday(index) or own)
    return [word if word in known else nouns[nearest[i]] for i, word in enumerate(chosen)]


def label_vectors(sentences: SentenceEncoder) -> dict[str, np.ndarray]:
    """Packed MiniLM vectors of the class names and of every label table."""
    tables = {"imagenet": imagenet.class_names()}
    for name in ASPECTS:
        labels = read_labels(name)
        tables[name] = readable(labels, sentences.vocabulary) if name == "flavors" else labels
    return {
        f"{name}-{digest(labels)}": pack(sentences.encode(labels, progress=True)) for name, labels in tables.items()
    }


def export(
    folder: Path,
    model: JointModel,
    trunk: Trunk,
    imagenet_tail: Tail,
    classifier: nn.Linear,
    style: StyleHead,
    tokenizer_file: Path,
    captions: Iterable[str],
    sentences: SentenceEncoder,
    training: dict[str, Any],
) -> None:
    """Write config, weights (float16), tokenizer and label vectors."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    weight = (style.weight / style.deviation[:, None]).T
    parts = {
        "trunk": trunk.state_dict(),
        "tail": model.tail.state_dict(),
        "imagenet_tail": imagenet_tail.state_dict(),
        "classifier": classifier.state_dict(),
        "captioner": model.captioner.state_dict(),
        "regressor": model.regressor.state_dict(),
        "style": {
            "weight": torch.from_numpy(weight),
            "bias": torch.from_numpy(-weight @ style.mean),
        },
    }
    weights = {
        f"{part}.{name}": value.half().contiguous() for part, state in parts.items() for name, value in state.items()
    }
    save_file(weights, folder / "model.safetensors")
    save_arrays(label_vectors(sentences), folder / "labels.safetensors")
    shutil.copyfile(tokenizer_file, folder / "tokenizer.json")
    config = {
        "captioner": model.captioner.config.to_dict(),
        **CHOICES,
        "training": training,
        "stand_ins": stand_ins(tokenizer, captions, sentences),
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
