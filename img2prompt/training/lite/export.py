"""Last stage: write the trained parts to ``models/lite``, as the engine loads them."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file

from img2prompt.engines.lite import packed
from img2prompt.engines.lite.choice import Weights
from img2prompt.files import replacing, replacing_path
from img2prompt.labels.readable import readable_labels
from img2prompt.minilm import SentenceEncoder
from img2prompt.training.lite.classes import incidental
from img2prompt.training.lite.deploy import write_graphs
from img2prompt.training.lite.examples import Examples, read_kinds
from img2prompt.training.lite.joint import JointModel
from img2prompt.training.lite.net.generated import Generated
from img2prompt.training.lite.net.heads import Regressor
from img2prompt.training.lite.style import SUBJECT_SHARE, StyleHead
from img2prompt.vector_cache import digest, pack

# Weights and thresholds of the engine, chosen on the dev sets; see MODEL_CARD.md.
CHOICE = Weights(fit=3.3, said=0.45, people=0.25, sure=1.3, short=0.5)
CHOICES = {
    "subject_share": SUBJECT_SHARE,  # weight, in the style vector, of what the picture shows
    "regressed_share": 0.5,  # weight of the regressed vector in the content vector; the located one has 1
    "class_share": 0.25,  # weight of the class names in the content vector
    "hardly": 0.08,  # probability that captions mention people, below which none with people is tried
    "surely": 0.7,  # the same, above which all that are tried mention people
    "lean": 0.8,  # added to its log odds
    "sure": 0.2,  # probability, see `Trust`, from which a class speaks for the captions that name it
    "named": 0.4,  # the same, also of a label or a wider word, from which captions are made that begin with it
    "choice": asdict(CHOICE),
}

# Artists are not among them, 2 MB that only the classic style needs: it computes them when first used.
SHIPPED = ("mediums", "movements", "trendings", "flavors")


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
    trust: dict[str, Any],
    mean_embedding: torch.Tensor,
    sentences: SentenceEncoder,
    training: dict[str, Any],
) -> None:
    """Write config, weights (see `packed`), tokenizer, label vectors and graphs into `folder`, made if need be.

    Parameters
    ----------
    class_names : (1000,) see `img2prompt.training.lite.classes.name_classes`
    trust : see `img2prompt.training.lite.trust.fit`
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
    tensors = {f"{part}.{name}": value for part, state in parts.items() for name, value in state.items()}
    weights = packed.pack(
        {name: value.cpu().numpy() for name, value in tensors.items()}
        | {"mean_embedding": mean_embedding.numpy(), "subject_mean": style.subject_mean}
    )
    vectors = label_vectors(sentences, class_names)
    with replacing_path(folder / "model.safetensors") as part:
        save_file(weights, part)
    with replacing_path(folder / "labels.safetensors") as part:
        save_file(vectors, part)
    with replacing_path(folder / "tokenizer.json") as part:
        shutil.copyfile(tokenizer_file, part)
    config = {
        "captioner": model.captioner.config.to_dict(),
        **CHOICES,
        "training": training,
        "class_names": class_names,
        "incidental": incidental(),
        "trust": trust,
        "kinds": {kind.word: kind.shown for kind in read_kinds() if kind.shown},
        "words": examples.word_names.tolist(),
        "labels": examples.label_names.tolist(),
    }
    with replacing(folder / "config.json") as file:
        file.write(json.dumps(config, indent=1).encode() + b"\n")
    write_graphs(folder)
