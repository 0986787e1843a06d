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
from img2prompt.ensemble import ENGINES, PROMPT, combine, load_recipe
from img2prompt.errors import ConfigError
from img2prompt.settings import NONE, Settings
from img2prompt.weights import sha256


@dataclass(frozen=True)
class Look:
    """What is known of N pictures when their embeddings are asked for."""

    pictures: Sequence[Image.Image]
    features: Any  # the engine's
    written: np.ndarray  # (N, 384), the embeddings of their prompts


Member = Callable[[Look], np.ndarray]  # N pictures → (N, 384), of any length


@dataclass(frozen=True)
class Ensemble:
    """Members and their weights; those without weight are left out."""

    members: tuple[Member, ...]
    weights: tuple[float, ...]
    digest: str  # another one for other weights, banks or regressors

    def __call__(self, look: Look) -> np.ndarray:
        """(N, 384) float32 unit vectors."""
        return combine([member(look) for member in self.members], self.weights)


def load_ensemble(file: str | Path, engine: Engine, settings: Settings) -> Ensemble:
    """The ensemble of a file, with its banks and regressors loaded.

    Raises
    ------
    ConfigError
        When there is no such file, or the engine cannot ask one of its members.
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
    from img2prompt.engines.device import Place
    from img2prompt.engines.vit_regressor import CONFIG, WEIGHTS, VitRegressor
    from img2prompt.knn import CONFIG as BANK
    from img2prompt.knn import PROMPTS, PromptBank

    asked = source.removesuffix(PROMPT)
    if asked in ENGINES:
        if asked != engine.name:
            raise ConfigError(
                f"it is of the {asked} engine, and this is {engine.name}. Set engine to {asked}."
            )
        if source.endswith(PROMPT):
            if not (engine.captioner or engine.space):
                raise ConfigError("no prompt is written without a caption_model and a clip_model. Set one.")
            return (lambda look: look.written), []
        if engine.name == "full" and settings.regressor == NONE:
            raise ConfigError("the full engine has no regressor. Set regressor to the folder of one.")

        def regress(look: Look) -> np.ndarray:
            found = engine.regress(look.features)
            assert found is not None, "the engine has a regressor"
            return found

        return regress, []
    folder = Path(source)
    if (folder / BANK).is_file():
        bank = PromptBank(folder)
        bank.check(engine)
        # The vectors follow from the prompts and from the joint space, which bank.json names.
        files = [folder / BANK, folder / PROMPTS]
        return (lambda look: bank.predict(engine.embed_images(look.features))), files
    if (folder / CONFIG).is_file():
        place = Place(engine.device, settings.low_vram)
        net = VitRegressor(folder, place, settings.precision, settings.batch_size, mirror)
        files = [folder / CONFIG, folder / WEIGHTS]
        return (lambda look: net.regress([net.prepare(picture) for picture in look.pictures])), files
    raise ConfigError(
        f"there is no {source!r}, or it cannot be asked about new pictures. A member is lite, full, "
        "lite:prompt, full:prompt, or a folder that img2prompt train regressor or knn wrote."
    )
