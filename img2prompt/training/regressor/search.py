"""Search a regressor's hyper-parameters with Optuna, by validation cosine.

The search lives in one folder: ``search.db`` (SQLite), one run of `regressor.train` for each
combination, plots, and the texts' embeddings that all runs share. Stopped and started again it
goes on where it was, within a run too. One process at a time may work on it.
"""

from __future__ import annotations

import itertools
import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from img2prompt.datasets.pairs import Pair, PairsFolder
from img2prompt.errors import ConfigError
from img2prompt.files import replacing
from img2prompt.minilm import SentenceEncoder
from img2prompt.training.regressor.train import Epoch, TrainingConfig, train

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

STUDY = "regressor"
DATABASE = "search.db"
QUEUED = "queued"  # the attribute of a trial that keeps its combination
MODES = ("grid", "tpe")
PLOTS = ("optimization_history", "intermediate_values")
PLOTS_OF_PARAMETERS = ("parallel_coordinate", "slice")


@dataclass(frozen=True)
class Space:
    """What is searched; the defaults are the grid of the system this project grows from."""

    batch: tuple[int, ...] = (16, 32, 64, 128, 256)
    patch: tuple[int, ...] = (8, 16, 32)  # goes into `model`
    rate: tuple[float, ...] = (1e-5, 1e-4, 1e-3)
    model: str = "vit_base_patch{patch}_224"  # timm's name

    def __post_init__(self) -> None:
        if "{patch}" not in self.model and len(self.patch) > 1:
            raise ConfigError(
                f"The model {self.model!r} has no patch size to search; write {{patch}} in its place, or give one."
            )
        if not (self.batch and self.patch and self.rate):
            raise ConfigError("Each of batch, patch and rate needs at least one value.")

    def grid(self) -> list[dict[str, Any]]:
        """Every combination."""
        return [
            {"batch": batch, "patch": patch, "rate": rate}
            for batch, patch, rate in itertools.product(self.batch, self.patch, self.rate)
        ]

    def suggest(self, trial: Trial) -> dict[str, Any]:
        """A combination: rates between the least and the largest, the rest from the lists."""
        return {
            "batch": trial.suggest_categorical("batch", self.batch),
            "patch": trial.suggest_categorical("patch", self.patch),
            "rate": trial.suggest_float("rate", min(self.rate), max(self.rate), log=True),
        }


def search(
    folder: PairsFolder,
    learned: Sequence[Pair],
    held: Sequence[Pair],
    out: Path,
    config: TrainingConfig,
    space: Space,
    *,
    mode: str = "grid",
    trials: int | None = None,
    pruning: bool = True,
    sentences: SentenceEncoder | None = None,
    **options: Any,
) -> Study:
    """Train with every combination of the grid, or with as many as TPE shall choose.

    Parameters
    ----------
    folder, learned, held : as for `train`
    out : folder of the search
    config : what is not searched
    mode : ``grid``; or ``tpe`` (Bergstra et al., 2011), which draws rates between the grid's
    trials : how many combinations, those of earlier starts included; by default the whole grid
    pruning : give up a run whose cosine after some epoch is below the median of the earlier runs'
    options : of `train` that change only speed

    Raises
    ------
    ConfigError
        For an unknown mode, or settings that no run can be made with.
    """
    import optuna

    if mode not in MODES:
        raise ConfigError(f"mode is {mode!r}; choose one of {', '.join(MODES)}.")
    out.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=f"sqlite:///{(out / DATABASE).resolve()}",
        study_name=STUDY,
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4) if pruning else optuna.pruners.NopPruner(),
    )
    # Seeded alike at every start, it would draw what it drew before.
    study.sampler = optuna.samplers.TPESampler(seed=config.seed + len(study.trials))
    about = {
        "space": json.loads(json.dumps(asdict(space))),
        "config": asdict(config),
        "data": folder.fingerprint([*learned, *held]),
    }
    if study.user_attrs.get("about", about) != about:
        raise ConfigError(
            f"{out} holds a search with other settings or data. Choose another folder, or delete it."
        )
    study.set_user_attr("about", about)
    sentences = sentences or SentenceEncoder()
    combinations = space.grid()[:trials] if mode == "grid" else []
    _queue(study, combinations)

    def objective(trial: Trial) -> float:
        chosen = space.suggest(trial)
        tried = replace(
            config,
            model=space.model.format(patch=chosen["patch"]),
            batch=chosen["batch"],
            rate=chosen["rate"],
        )

        def report(epoch: Epoch) -> None:
            trial.report(epoch.cosine, epoch.epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

        run = out / f"batch{tried.batch}-patch{chosen['patch']}-rate{tried.rate}"
        trained = train(
            folder,
            learned,
            held,
            run,
            tried,
            sentences=sentences,
            cache=out / "cache",
            after_epoch=report,
            **options,
        )
        trial.set_user_attr("folder", run.name)
        return trained.best.cosine

    left = len(_trials(study, "WAITING"))
    if mode == "tpe":
        left = max(left, (trials or len(space.grid())) - len(_trials(study, "COMPLETE", "PRUNED")))
    if left:
        # A combination that is too large for the GPU is tried again at the next start, not now.
        study.optimize(objective, n_trials=left, catch=(torch.OutOfMemoryError,))
    return study


def ranked(study: Study) -> list[FrozenTrial]:
    """The runs with a cosine, best first; one that was given up counts with its last."""
    return sorted(_trials(study, "COMPLETE", "PRUNED"), key=lambda trial: trial.value or 0.0, reverse=True)


def save_plots(study: Study, folder: Path) -> list[Path]:
    """Draw the search as PNG files; those that need more finished runs than there are are left out."""
    import matplotlib
    import optuna

    matplotlib.use("Agg")
    import optuna.visualization.matplotlib as draw
    from matplotlib import pyplot

    done = _trials(study, "COMPLETE")
    if len(done) < 2:
        return []
    searched = [name for name in done[0].params if len({trial.params[name] for trial in done}) > 1]
    options: dict[str, dict[str, Any]] = {name: {} for name in PLOTS}
    if searched:
        options |= {name: {"params": searched} for name in PLOTS_OF_PARAMETERS}
    files = []
    for name, chosen in options.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            axes = getattr(draw, f"plot_{name}")(study, **chosen)
        figure = axes.flat[0].figure if hasattr(axes, "flat") else axes.figure
        for part in figure.axes:
            part.minorticks_off()  # rates within one decade would label each, one over the other
        file = folder / f"{name}.png"
        with replacing(file, durable=False) as handle:
            figure.savefig(handle, format="png", dpi=150, bbox_inches="tight")
        pyplot.close(figure)
        files.append(file)
    return files


def _queue(study: Study, combinations: Sequence[dict[str, Any]]) -> None:
    """Queue the combinations that are not done, and those that an earlier start left unfinished."""
    import optuna

    left = []
    for trial in _trials(study, "RUNNING"):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        left.append(_params(trial))
    failed = [_params(trial) for trial in _trials(study, "FAIL")]
    known = [_params(trial) for trial in _trials(study, "COMPLETE", "PRUNED", "WAITING")]
    for params in [*left, *combinations]:
        if params and params not in known:
            # Optuna also knows what was queued without our note, but takes a failed run for one that is done.
            study.enqueue_trial(params, {QUEUED: params}, skip_if_exists=params not in failed)
            known.append(params)


def _params(trial: FrozenTrial) -> dict[str, Any]:
    """The combination; one that waits has none in Optuna's eyes yet."""
    return trial.user_attrs.get(QUEUED, trial.params)


def _trials(study: Study, *states: str) -> list[FrozenTrial]:
    return [trial for trial in study.trials if trial.state.name in states]
