"""Train the bundled engine end to end: ``python -m img2prompt.training.lite ../shared/data``.

Its stages are examples → pictures → joint (three times) → self-critical → evidence → readout → trust →
style → export.
Each is cached or checkpointed under ``runs/lite``, so a stopped run goes on where it was.
"""

from __future__ import annotations

import argparse
import copy
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer

from img2prompt.datasets.pairs import PairsFolder
from img2prompt.embeddings import WIDTH
from img2prompt.files import replacing_path
from img2prompt.minilm import SentenceEncoder
from img2prompt.training.lite import (
    classes,
    evidence,
    examples,
    export,
    generated,
    joint,
    pictures,
    regression,
    selfcritical,
    style,
    trust,
)
from img2prompt.training.lite.backbone import imagenet_backbone
from img2prompt.training.lite.borrow import borrow
from img2prompt.training.lite.net.captioner import Captioner, CaptionerConfig
from img2prompt.training.lite.net.heads import Evidence, Locator, Regressor, pool
from img2prompt.training.lite.net.tower import GRID_WIDTH, trunk_statistics

PHOTOS_FOR_STYLE = 400

# The joint stage is run three times. At first a label may be a whole caption. Then the decoder learns
# that it is one only where a caption begins with BOS, and the evidence starts again; at last labelled
# and generated pictures have captions of people, so that what is written of them is as full.
FIRST = joint.JointConfig()
APART = joint.JointConfig(
    steps=2500,
    images=(56, 168, 52, 12),
    rate=5e-4,
    warmup=100,
    people=1.0,
    unsaid=0.0,
    open_end=1.0,
    labels_apart=0.5,
    crowd=0.3,
    average=0.998,
    decoder_only=True,
    seed=5,
)
FULL = joint.JointConfig(
    steps=700,
    images=(14, 42, 22, 6),
    rate=2.5e-4,
    warmup=60,
    people=0.0,
    words=0.0,
    labels=0.0,
    unsaid=0.0,
    open_end=1.0,
    average=0.995,
    decoder_only=True,
    seed=6,
)


def prepare(data: Path, run: Path, sentences: SentenceEncoder) -> tuple[examples.Examples, Tokenizer]:
    """The examples of every source and the tokenizer of their words, read once."""
    if not (run / "examples.npz").exists():
        built, tokenizer = examples.build(data, sentences)
        with replacing_path(run / "tokenizer.json") as part:
            tokenizer.save(str(part))
        built.save(run / "examples.npz")
    return examples.Examples.load(run / "examples.npz"), Tokenizer.from_file(str(run / "tokenizer.json"))


def decoded(data: Path, run: Path, learned: examples.Examples) -> torch.Tensor:
    """Every picture's pixels (N, 3, 224, 224) uint8, decoded once and memory-mapped."""
    file = run / "pixels.npy"
    if not file.exists():
        folders = [PairsFolder(data / source) for source in examples.SOURCES]
        encoded = [folders[s].read(str(name)) for s, name in zip(learned.source, learned.name, strict=True)]
        with replacing_path(file, durable=False) as part, open(part, "wb") as handle:
            np.save(handle, pictures.decode_all(encoded, os.cpu_count() or 1))
    return torch.from_numpy(np.load(file, mmap_mode="r"))


@torch.inference_mode()
def see(model: joint.JointModel, regressor: Regressor, images: Sequence[Image.Image]) -> generated.Seen:
    """What the finished tower and its heads see of RGB pictures."""
    looks, captioned = [], []
    for start in range(0, len(images), 32):
        pixels = pictures.stack(images[start : start + 32])
        _, statistics = trunk_statistics(model.knowledge.trunk, pixels)
        grids, memory = model.look(pixels)
        pooled = pool(grids, memory)
        looks.append(torch.cat([statistics, grids[:, :GRID_WIDTH].mean((2, 3))], dim=1))
        captioned.append(model.locator(pooled) + regressor(pooled))
    return generated.Seen(torch.cat(looks).numpy(), torch.cat(captioned).numpy())


def main() -> None:
    """Parse the command line and run every stage that is not done yet."""
    parser = argparse.ArgumentParser(
        prog="python -m img2prompt.training.lite", description="Train the bundled engine end to end."
    )
    parser.add_argument(
        "data", type=Path, help="folder with flickr8k, coco40k, gaps, ai_pairs and sdxl_styles"
    )
    parser.add_argument("--run", type=Path, default=Path("runs/lite"), help="where caches and checkpoints go")
    parser.add_argument("--out", type=Path, default=Path("models/lite"), help="where the engine goes")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--steps", type=int, help="steps of each joint stage, for a quick look")
    parser.add_argument("--critical-steps", type=int, default=selfcritical.SelfCriticalConfig.steps)
    args = parser.parse_args()
    args.run.mkdir(parents=True, exist_ok=True)
    torch.set_flush_denormal(True)
    torch.manual_seed(1)

    sentences = SentenceEncoder()
    learned, tokenizer = prepare(args.data, args.run, sentences)
    words = learned.word_names.tolist()
    wider = [words.index(kind.word) for kind in examples.read_kinds()]
    critical = selfcritical.SelfCriticalConfig(steps=args.critical_steps)
    judge = selfcritical.Judge(learned, selfcritical.learnable(learned, critical), os.cpu_count() or 1)

    device = torch.device(args.device)
    data = joint.Data(learned, decoded(args.data, args.run, learned), device)
    trunk, tail, classifier = imagenet_backbone()
    class_names = classes.name_classes(examples.captions_of_people(args.data))
    named = torch.from_numpy(sentences.encode(class_names)).to(device)
    untouched = copy.deepcopy(tail)
    for part in (trunk, untouched, classifier):
        part.to(device).eval().requires_grad_(False)
    knowledge = joint.Knowledge(trunk, untouched, classifier, named)
    config = CaptionerConfig(tokenizer.get_vocab_size(), hint=WIDTH, grid=2 * GRID_WIDTH)
    pooled = 2 * GRID_WIDTH + config.width
    new_evidence = partial(Evidence, pooled + GRID_WIDTH, len(learned.word_names), len(learned.label_names))
    model = joint.JointModel(tail, Captioner(config), Locator(pooled), new_evidence(), knowledge).to(device)

    borrowed = learned
    stages = [replace(stage, steps=args.steps or stage.steps) for stage in (FIRST, APART, FULL)]
    for stage, name in zip(stages, ("joint", "apart", "full"), strict=True):
        if name == "apart":
            model.evidence = new_evidence().to(device)
        if name == "full":
            everything = torch.arange(len(learned), device=device)
            with torch.inference_mode():
                seen = model.locator(joint.look_at_all(model, data, everything, augmented=False))
            borrowed = borrow(learned, seen.cpu().numpy(), tokenizer)
            data = joint.Data(borrowed, data.pictures, device)
        joint.train(model, data, stage, args.run / name)
    selfcritical.train(model, borrowed, data, judge, critical, args.run / "self-critical")
    looked_for = evidence.EvidenceConfig()
    evidence.train(model, data, wider, looked_for)
    readout = regression.ReadoutConfig()
    regressor = regression.train(model, data, readout).cpu()
    trusted = trust.fit(knowledge, data, learned, tokenizer, class_names, sentences)
    mean_embedding = torch.nn.functional.normalize(data.means[data.rows[0]].mean(0), dim=0).cpu()

    model.to("cpu")
    knowledge.to("cpu")
    photos = PairsFolder(args.data / "coco40k")
    names = [pair.name for pair in photos.select("train", PHOTOS_FOR_STYLE)]
    head, folds = style.train(PairsFolder(args.data / "sdxl_styles"), photos, names, model, sentences)
    made, told = generated.train(args.data, partial(see, model, regressor), sentences)

    export.export(
        args.out,
        model,
        regressor,
        head,
        made,
        learned,
        args.run / "tokenizer.json",
        class_names,
        trusted,
        mean_embedding,
        sentences,
        {
            "joint": [asdict(stage) for stage in stages],
            "self_critical": asdict(critical),
            "evidence": asdict(looked_for),
            "readout": asdict(readout),
            "style_folds": folds,
            "generated": told,
        },
    )
    print(f"Wrote {args.out}. Next: img2prompt evaluate captions {args.data / 'flickr8k'} --split dev")


if __name__ == "__main__":
    main()
