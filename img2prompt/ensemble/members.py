"""The predictors that an ensemble file names, as parts of a pipeline.

`img2prompt train ensemble` writes such a file; the setting `ensemble` names it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from img2prompt.engines.base import Engine
from img2prompt.engines.full.parts import load_regressor
from img2prompt.ensemble.blend import combine
from img2prompt.ensemble.recipe import load_recipe, parse_source
from img2prompt.errors import ConfigError
from img2prompt.files import sha256
from img2prompt.settings import NONE, Settings


@dataclass(frozen=True)
class Evidence:
    """What the members of an ensemble may use to predict the embeddings of N pictures."""

    pictures: Sequence[Image.Image]
    features: Any  # what `Engine.encode` returned for the pictures
    written: np.ndarray  # (N, 384) embeddings of the pictures' prompts


Member = Callable[[Evidence], np.ndarray]  # N pictures → (N, 384), of any length


@dataclass(frozen=True)
class Ensemble:
    """Members and their weights; members of weight 0 are left out."""

    members: tuple[Member, ...]
    weights: tuple[float, ...]
    digest: str  # changes with the weights, banks and regressors

    def __call__(self, evidence: Evidence) -> np.ndarray:
        """(N, 384) float32 unit vectors."""
        return combine([member(evidence) for member in self.members], self.weights)


def load_ensemble(file: str | Path, engine: Engine, settings: Settings) -> Ensemble:
    """Load an ensemble from its file, together with its banks and regressors.

    Raises
    ------
    ConfigError
        When there is no such file, or one of its members does not work with this engine.
    DataError, WeightsError
        When a bank or a regressor is damaged.
    """
    recipe = load_recipe(file)
    digest = hashlib.sha256(repr((sorted(recipe.weights.items()), recipe.mirror)).encode())
    members, weights = [], []
    for name, weight in recipe.weights.items():
        if not weight:
            continue
        source = recipe.sources[name]
        try:
            member, files = _load(source, engine, settings, recipe.mirror)
        except ConfigError as error:
            raise ConfigError(f"{file}, member {name!r}: {error}") from error
        members.append(member)
        weights.append(weight)
        digest.update(repr((name, source if not files else "")).encode())
        for part in files:
            digest.update(sha256(part).encode())
    return Ensemble(tuple(members), tuple(weights), digest.hexdigest())


def _load(source: str, engine: Engine, settings: Settings, mirror: bool) -> tuple[Member, list[Path]]:
    """A member and the files that its answers depend on."""
    from img2prompt.ensemble.knn import CONFIG as BANK
    from img2prompt.ensemble.knn import PROMPTS, PromptBank

    kind, engine_name, folder = parse_source(source)
    if engine_name:
        if engine_name != engine.name:
            raise ConfigError(
                f"it is of the {engine_name} engine, and this is {engine.name}. Set engine to {engine_name}."
            )
        if kind == "prompt":
            if not (engine.captioner or engine.space):
                raise ConfigError("no prompt is written without a caption_model and a clip_model. Set one.")
            return (lambda evidence: evidence.written), []
        if engine.name == "full" and settings.regressor == NONE:
            raise ConfigError("the full engine has no regressor. Set regressor to the folder of one.")

        def regress(evidence: Evidence) -> np.ndarray:
            regressed = engine.regress(evidence.features)
            assert regressed is not None, "the engine has a regressor"
            return regressed

        return regress, []
    if kind == "bank":
        bank = PromptBank(folder)
        bank.check(engine)
        # The vectors follow from the prompts and from the joint space, which bank.json names.
        files = [folder / BANK, folder / PROMPTS]
        return (lambda evidence: bank.predict(engine.embed_images(evidence.features))), files
    if kind == "regressor":
        net = load_regressor(
            folder, engine.device, settings.precision, settings.batch_size, mirror, settings.low_vram
        )
        from img2prompt.engines.full.vit_regressor import CONFIG, WEIGHTS

        files = [folder / CONFIG, folder / WEIGHTS]
        return (lambda evidence: net.regress([net.prepare(picture) for picture in evidence.pictures])), files
    raise ConfigError(
        f"{source!r} cannot be asked about new pictures. A member is lite, full, "
        "lite:prompt, full:prompt, or a folder that img2prompt train regressor or knn wrote."
    )
