"""Try a model server: one drawn test picture, one answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, ImageDraw

from img2prompt.engines.base import Request
from img2prompt.engines.endpoint import check
from img2prompt.results import Description
from img2prompt.settings import Settings


@dataclass(frozen=True)
class Trial:
    """How a server did."""

    host: str
    model: str
    said: Description  # of the test picture
    structured: bool  # whether it takes a JSON schema, so that there is more than a caption
    seconds: float


def picture() -> Image.Image:
    """The test picture: a red ball on green grass below a blue sky."""
    image = Image.new("RGB", (320, 240), "#7fb2e5")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 150, 320, 240), fill="#3f8f3f")
    draw.ellipse((120, 110, 200, 190), fill="#c62828")
    return image


def try_out(settings: Settings, hear: Callable[[str], object] = lambda _: None) -> Trial:
    """Ask the server that the settings name about the test picture, in the very way of other pictures.

    Parameters
    ----------
    hear : told the words while they come

    Raises
    ------
    ConfigError, WeightsError
        When the address may not be used, or a library is missing.
    EndpointError
        When the server does not answer, or not with what can be used.
    """
    address = check(settings)
    from img2prompt.engines.endpoint.asking import describe
    from img2prompt.engines.endpoint.client import Server

    server = Server(address, settings)
    start = time.perf_counter()
    said = describe(server, picture(), Request(hear=hear))
    seconds = time.perf_counter() - start
    return Trial(address.host, server.model, said, server.structures, seconds)


def models(settings: Settings) -> list[str]:
    """The models that the server has; errors as of `try_out`."""
    address = check(settings)
    from img2prompt.engines.endpoint.client import Server

    return Server(address, settings).models()
