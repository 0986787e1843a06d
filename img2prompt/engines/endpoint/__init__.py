"""The endpoint engine: a model server that one has writes the words, and the bundled model does the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from img2prompt import weights
from img2prompt.engines.endpoint.address import Address, permitted
from img2prompt.errors import WeightsError
from img2prompt.libraries import install, missing
from img2prompt.settings import Settings

if TYPE_CHECKING:
    from img2prompt.engines.endpoint.engine import EndpointEngine
    from img2prompt.minilm import SentenceEncoder


def load(settings: Settings, sentences: SentenceEncoder, device: str) -> EndpointEngine:
    """Load the engine; where the settings name no model, the server is asked which it has.

    Raises
    ------
    ConfigError, WeightsError
        See `check`.
    EndpointError
        When the server is asked and does not answer.
    """
    address = check(settings)
    from img2prompt.engines.endpoint.client import Server
    from img2prompt.engines.endpoint.engine import EndpointEngine

    server = Server(address, settings)
    return EndpointEngine(server, settings.endpoint_parallel, weights.bundled("lite"), sentences, device)


def check(settings: Settings) -> Address:
    """The address that the settings name, if it may be used; asks nobody.

    Raises
    ------
    ConfigError
        When there is no address, or none that may be used.
    WeightsError
        When a library is missing.
    """
    address = permitted(settings.endpoint_url, settings.endpoint_remote)
    if absent := missing("openai", "httpx2"):
        raise WeightsError(f"The endpoint engine needs {', '.join(absent)}. {install(*absent)}")
    return address
