"""Examine what is installed here: libraries, engines, the device, the disk, and the model server that is set."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from img2prompt import __version__, weights
from img2prompt.engines import endpoint
from img2prompt.engines.endpoint.trial import Trial, try_out
from img2prompt.engines.full.parts import find_parts
from img2prompt.engines.registry import RUNTIMES, choose, find_device
from img2prompt.errors import Img2PromptError
from img2prompt.libraries import missing
from img2prompt.settings import Settings

CORE = "core"  # what is needed for everything
NOT_FOR_USERS = ("dev", "test")  # extras for who works on this program


@dataclass(frozen=True)
class Health:
    """What was found."""

    version: str
    python: str
    system: str
    libraries: Mapping[str, Mapping[str, str]]  # extra → library → its release; empty where it does not fit
    engines: Mapping[str, str]  # engine → why it cannot be used; empty where it can
    engine: str  # that the settings result in
    why: str  # a sentence
    device: str  # that it would run on; empty where there is none
    graphics: str  # name of the GPU that PyTorch finds; empty without
    folder: str  # of the weights
    used: int  # bytes that weights take
    free: int  # bytes on the disk of that folder
    trial: Trial | None  # of the model server, where one is set
    problems: tuple[str, ...]  # that keep the chosen engine, or the server that is set, from working

    @property
    def fine(self) -> bool:
        return not self.problems

    def record(self) -> dict[str, object]:
        """All of it in JSON's types."""
        trial = self.trial and {**asdict(self.trial), "said": self.trial.said.caption}
        return {**asdict(self), "trial": trial, "fine": self.fine}


def examine(settings: Settings) -> Health:
    """Look at what is installed, and try the model server where the settings name one.

    Raises
    ------
    ConfigError
        When there is no such device as the settings name.
    """
    choice = choose(settings)
    engine, why = choice.settings.engine, choice.why
    engines = {name: _problem(name, choice.settings if name == engine else settings) for name in RUNTIMES}
    problems = [engines[engine]] if engines[engine] else []
    device = ""
    try:
        device = find_device(settings.device, RUNTIMES[engine])
    except Img2PromptError as error:
        problems.append(str(error))
    trial = None
    if settings.endpoint_url or engine == "endpoint":
        try:
            trial = try_out(settings)
        except Img2PromptError as error:
            problems.append(str(error))
    home = weights.home()
    card = graphics()
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    return Health(
        version=__version__,
        python=f"{platform.python_version()} ({sys.executable})",
        system=platform.platform(),
        libraries=libraries(),
        engines=engines,
        engine=engine,
        why=why,
        device=device,
        graphics=card[0] if card else "",
        folder=str(home),
        used=sum(weights.size(folder) for folder in _installed()),
        free=shutil.disk_usage(existing).free,
        trial=trial,
        problems=tuple(dict.fromkeys(problems)),
    )


def libraries() -> dict[str, dict[str, str]]:
    """Extra → library → its release, or nothing where that is missing or not one that is supported."""
    try:
        lines = requires("img2prompt") or []
    except PackageNotFoundError:  # a checkout that was never installed
        return {}
    found: dict[str, dict[str, str]] = {}
    for requirement in map(Requirement, lines):
        marker = str(requirement.marker or "")
        extra = marker.partition("extra == ")[2].strip("'\" )") or CORE
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": extra})
        if applies and extra not in NOT_FOR_USERS and requirement.name != "img2prompt":
            found.setdefault(extra, {})[requirement.name] = _release(requirement)
    return found


def graphics() -> tuple[str, int, int] | None:
    """Name, free and total memory in bytes of the first GPU that PyTorch finds; None without either."""
    if missing("torch"):
        return None
    import torch

    if not torch.cuda.is_available():
        return None
    return torch.cuda.get_device_name(0), *torch.cuda.mem_get_info(0)


def _release(requirement: Requirement) -> str:
    try:
        release = version(requirement.name)
    except PackageNotFoundError:
        return ""
    return release if requirement.specifier.contains(release, prereleases=True) else ""


def _problem(engine: str, settings: Settings) -> str:
    """Why an engine cannot be used with these settings; empty if it can, as far as can be seen from here."""
    try:
        if engine == "full":
            find_parts(settings)
        elif engine == "endpoint":
            endpoint.check(settings)
        else:
            weights.bundled("lite")
    except Img2PromptError as error:
        return str(error)
    return ""


def _installed() -> list[Path]:
    """The folders of the installed parts."""
    return [folder for part in weights.parts().values() if (folder := weights.locate(part))]
