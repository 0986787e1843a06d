"""Last stage: write the trained parts to ``models/lite``, as the engine loads them."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file

from img2prompt.engines.lite import imagenet, packed
from img2prompt.engines.lite.choice import Weights
from img2prompt.engines.lite.generated import Generated
from img2prompt.engines.lite.heads import Regressor
from img2prompt.files import replacing, replacing_path
from img2prompt.labels.readable import readable_labels
from img2prompt.minilm import SentenceEncoder
from img2prompt.training.lite.examples import Examples
from img2prompt.training.lite.joint import JointModel
from img2prompt.training.lite.style import SUBJECT_SHARE, StyleHead
from img2prompt.training.lite.vocabulary import clean
from img2prompt.vector_cache import digest, pack

# Weights and thresholds of the engine, chosen on the dev sets; see MODEL_CARD.md.
CHOICE = Weights(fit=2.75, said=0.45, people=0.25, sure=0.8, short=0.5)
CHOICES = {
    "subject_share": SUBJECT_SHARE,  # weight, in the style vector, of what the picture shows
    "regressed_share": 0.5,  # weight of the regressed vector in the content vector; the located one has 1
    "class_share": 0.25,  # weight of the class names in the content vector
    "hardly": 0.08,  # probability that captions mention people, below which none with people is tried
    "surely": 0.7,  # the same, above which all that are tried mention people
    "lean": 0.8,  # added to its log odds
    "sure": 0.3,  # probability above which a class speaks for the captions that name it
    "named": 0.5,  # the same, above which captions are made that begin with it
    "choice": asdict(CHOICE),
}

# Artists are not among them, 2 MB that only the classic style needs: it computes them when first used.
SHIPPED = ("mediums", "movements", "trendings", "flavors")


def name_classes(captions: Iterable[str]) -> list[str]:
    """(1000,) what to call each ImageNet class: its first form that captions use, or else its first form.

    A form that is a part of another one ("mail" of "chain mail") does not count as used.
    """
    phrases = Counter[str]()
    for caption in captions:
        words = clean(caption).split()
        phrases.update(" ".join(words[i : i + n]) for n in (1, 2, 3) for i in range(len(words) - n + 1))
    names = []
    for forms in imagenet.class_forms():
        whole = [f for f in forms[1:] if not any(f.lower() in g.lower() for g in forms if g != f)]
        used = [form for form in (forms[0], *whole) if phrases[clean(form)] >= 5]
        names.append(used[0] if used else forms[0])
    return names


def label_vectors(sentences: SentenceEncoder, class_names: list[str]) -> dict[str, np.ndarray]:
    """Table and digest → packed MiniLM vectors, of class names and the tables in `SHIPPED`."""
    tables = {"imagenet": class_names}
    for name in SHIPPED:
        tables[name] = readable_labels(name, sentences.vocabulary)
    return {
        f"{name}-{digest(labels)}": pack(sentences.encode(labels, progress=True))
        for name, labels in tables.items()
    }


def export(
    folder: Path,
    model: JointModel,
    regressor: Regressor,
    style: StyleHead,
    generated: Generated,
    examples: Examples,
    tokenizer_file: Path,
    class_names: list[str],
    mean_embedding: torch.Tensor,
    sentences: SentenceEncoder,
    training: dict[str, Any],
) -> None:
    """Write config, weights (see `packed`), tokenizer and label vectors into `folder`, which is made if need be.

    Parameters
    ----------
    class_names : (1000,) see `name_classes`
    examples : what the evidence was asked for
    mean_embedding : (384,) unit vector of the training captions
    training : settings of the stages, to be kept in the config
    """
    folder.mkdir(parents=True, exist_ok=True)
    weight = (style.weight / style.deviation[:, None]).T
    parts = {
        "trunk": model.knowledge.trunk.state_dict(),
        "tail": model.tail.state_dict(),
        "imagenet_tail": model.knowledge.tail.state_dict(),
        "classifier": model.knowledge.classifier.state_dict(),
        "captioner": model.captioner.state_dict(),
        "locator": model.locator.state_dict(),
        "evidence": model.evidence.state_dict(),
        "generated": generated.state_dict(),
        "regressor": regressor.state_dict(),
        "style": {
            "weight": torch.from_numpy(weight),
            "bias": torch.from_numpy(style.bias - weight @ style.mean),
        },
    }
    weights = packed.pack(
        {f"{part}.{name}": value for part, state in parts.items() for name, value in state.items()}
        | {"mean_embedding": mean_embedding, "subject_mean": torch.from_numpy(style.subject_mean)}
    )
    vectors = label_vectors(sentences, class_names)
    with replacing_path(folder / "model.safetensors") as part:
        save_file(weights, part)
    with replacing_path(folder / "labels.safetensors") as part:
        save_arrays(vectors, part)
    with replacing_path(folder / "tokenizer.json") as part:
        shutil.copyfile(tokenizer_file, part)
    config = {
        "captioner": model.captioner.config.to_dict(),
        **CHOICES,
        "training": training,
        "class_names": class_names,
        "words": examples.word_names.tolist(),
        "labels": examples.label_names.tolist(),
    }
    with replacing(folder / "config.json") as file:
        file.write(json.dumps(config, indent=1).encode() + b"\n")
