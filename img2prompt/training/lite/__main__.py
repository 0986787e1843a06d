"""Train the bundled engine end to end: ``python -m img2prompt.training.lite ../shared/data``.

Its stages are features → vocabulary → joint (twice) → self-critical → readout → style →
export. Each is cached or checkpointed under ``runs/lite``, so a stopped run goes on where it was.
"""

from __future__ import annotations

import argparse
import copy
from dataclasses import asdict, replace
from pathlib import Path

import torch
from tokenizers import Tokenizer

from img2prompt.datasets.pairs import PairsFolder
from img2prompt.embeddings import WIDTH
from img2prompt.engines.lite.captioner import Captioner, CaptionerConfig
from img2prompt.engines.lite.heads import Locator
from img2prompt.engines.lite.tower import GRID_WIDTH, Trunk
from img2prompt.files import replacing_path
from img2prompt.minilm import SentenceEncoder
from img2prompt.training.lite import export, features, joint, regression, selfcritical, style
from img2prompt.training.lite.backbone import imagenet_backbone
from img2prompt.training.lite.corpus import Corpus, build_corpus, caption_vectors, mean_embedding
from img2prompt.training.lite.vocabulary import build_tokenizer

# For each source: its folder, the splits to learn from, the number of views of its pictures to cache.
SOURCES = (("flickr8k", ("train", "extra"), 3), ("coco40k", ("train",), 2))
CAPTION_WORDS = 17  # longer captions, 3 in 100, are cut
PHOTOS_FOR_STYLE = 400

# The joint stage is run twice. The second run restarts the learning rate and hides more from the
# captioner, which has begun to overfit.
FIRST = joint.JointConfig()
AGAIN = joint.JointConfig(
    steps=1350,
    images=(24, 72),
    rate=4e-4,
    tail_rate=1.2e-4,
    warmup=100,
    dropout=0.2,
    hide=0.15,
    forget=0.1,
    share=0.5,
    seed=11,
)


def corpora(
    data: Path, run: Path, trunk: Trunk, sentences: SentenceEncoder
) -> tuple[list[Corpus], Tokenizer]:
    """Cached features, tokens and caption vectors of every source, and the tokenizer."""
    folders = {name: PairsFolder(data / name) for name, _, _ in SOURCES}
    learned = {
        name: [pair for pair in folders[name].pairs if pair.split in splits] for name, splits, _ in SOURCES
    }
    tokenizer = build_tokenizer(text for pairs in learned.values() for pair in pairs for text in pair.texts)
    with replacing_path(run / "tokenizer.json", durable=False) as part:
        tokenizer.save(str(part))
    built = []
    for name, _, views in SOURCES:
        caches = [
            features.build(folders[name], run / "cache" / f"{name}-{view}", trunk, view)
            for view in range(views)
        ]
        vectors = caption_vectors(folders[name], run / "cache" / f"{name}-captions.npy", sentences)
        built.append(build_corpus(learned[name], caches, vectors, tokenizer, CAPTION_WORDS))
    return built, tokenizer


def main() -> None:
    """Parse the command line and run every stage that is not done yet."""
    parser = argparse.ArgumentParser(
        prog="python -m img2prompt.training.lite", description="Train the bundled engine end to end."
    )
    parser.add_argument("data", type=Path, help="folder with flickr8k, coco40k and sdxl_styles")
    parser.add_argument("--run", type=Path, default=Path("runs/lite"), help="where caches and checkpoints go")
    parser.add_argument("--out", type=Path, default=Path("models/lite"), help="where the engine goes")
    parser.add_argument("--steps", type=int, help="steps of each joint stage, for a quick look")
    parser.add_argument("--critical-steps", type=int, default=selfcritical.SelfCriticalConfig.steps)
    args = parser.parse_args()
    args.run.mkdir(parents=True, exist_ok=True)
    torch.set_flush_denormal(True)
    torch.manual_seed(1)

    trunk, tail, classifier = imagenet_backbone()
    imagenet_tail = copy.deepcopy(tail)
    sentences = SentenceEncoder()
    sources, tokenizer = corpora(args.data, args.run, trunk, sentences)

    class_names = export.name_classes(
        text for corpus in sources for pair in corpus.pairs for text in pair.texts
    )
    knowledge = joint.Knowledge(imagenet_tail, classifier, sentences.encode(class_names))
    config = CaptionerConfig(tokenizer.get_vocab_size(), hint=WIDTH)
    model = joint.JointModel(tail, Captioner(config), Locator(GRID_WIDTH + config.width), knowledge)
    first = replace(FIRST, steps=args.steps or FIRST.steps)
    again = replace(AGAIN, steps=args.steps or AGAIN.steps)
    joint.train(model, sources, first, args.run / "joint")
    joint.train(model, sources, again, args.run / "joint-again")

    critical_config = selfcritical.SelfCriticalConfig(steps=args.critical_steps)
    selfcritical.train(model, sources[:1], critical_config, args.run / "self-critical")

    readout_config = regression.ReadoutConfig()
    regressor = regression.train(model, sources, readout_config, args.run / "readout")

    photos = PairsFolder(args.data / "coco40k")
    names = [pair.name for pair in photos.select("train", PHOTOS_FOR_STYLE)]
    head, folds = style.train(PairsFolder(args.data / "sdxl_styles"), photos, names, trunk, model, sentences)

    export.export(
        args.out,
        model,
        regressor,
        trunk,
        imagenet_tail,
        classifier,
        head,
        args.run / "tokenizer.json",
        class_names,
        mean_embedding(sources[0]),
        sentences,
        {
            "joint": asdict(first),
            "joint_again": asdict(again),
            "self_critical": asdict(critical_config),
            "readout": asdict(readout_config),
            "style_folds": folds,
        },
    )
    print(f"Wrote {args.out}. Next: img2prompt evaluate captions {args.data / 'flickr8k'} --split dev")


if __name__ == "__main__":
    main()
