"""The models that make pairs: a language model that continues a stem, and Stable Diffusion.

Both come from folders or from the hub's cache on this machine; nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from img2prompt.errors import ConfigError, WeightsError
from img2prompt.libraries import install
from img2prompt.settings import PRECISIONS
from img2prompt.wording import reason

if TYPE_CHECKING:
    import torch
    from PIL import Image

OWN = "own"  # the scheduler a model comes with
SCHEDULERS = {
    "ddim": "DDIMScheduler",
    "dpm++": "DPMSolverMultistepScheduler",
    "euler": "EulerDiscreteScheduler",
    "euler-a": "EulerAncestralDiscreteScheduler",
    "heun": "HeunDiscreteScheduler",
    "pndm": "PNDMScheduler",
    "unipc": "UniPCMultistepScheduler",
}
DRAWN = 32  # prompts drawn together; another number would give other prompts for the same seed
TOKENS = 40  # added to a stem; stem and continuation fit the 77 tokens that Stable Diffusion reads


@dataclass(frozen=True)
class Recipe:
    """Everything that generated pairs depend on, besides the prompts of a file.

    Models are named by their folder or by their name in the hub's cache.

    Raises
    ------
    ConfigError
        For a value that cannot be used.
    """

    image_model: str
    text_model: str | None = None  # None: prompts come from a file
    stem: str = "A picture of"
    steps: int = 35
    width: int = 712  # pixels, as the height is
    height: int = 712
    scheduler: str = OWN  # or one of `SCHEDULERS`
    guidance: float = 7.5
    negative: str = ""
    seed: int = 0  # of the first picture and of the first draw of prompts; later ones add 1 each
    precision: str = "auto"  # one of `PRECISIONS`; auto: fp16 on a GPU, else fp32

    def __post_init__(self) -> None:
        if self.scheduler not in (OWN, *SCHEDULERS):
            raise ConfigError(
                f"scheduler is {self.scheduler!r}; choose {OWN} or one of {', '.join(SCHEDULERS)}."
            )
        if self.precision not in PRECISIONS:
            raise ConfigError(f"precision is {self.precision!r}; choose one of {', '.join(PRECISIONS)}.")
        if min(self.width, self.height) < 8 or self.width % 8 or self.height % 8:
            raise ConfigError(f"size is {self.width}x{self.height}; both must be multiples of 8.")
        if self.steps < 1 or self.seed < 0:
            raise ConfigError("steps must be at least 1, and seed at least 0.")


class TextModel:
    """A causal language model, GPT-2 for example, that continues a stem."""

    def __init__(self, name: str, device: str):
        try:
            from transformers import AutoModelForCausalLM, AutoTokenizer

            with _loading(name, "language model"):
                self.tokenizer = AutoTokenizer.from_pretrained(name, local_files_only=True)
                model: Any = AutoModelForCausalLM.from_pretrained(
                    name, local_files_only=True, use_safetensors=True
                )
        except ImportError as error:
            raise _not_installed(error) from error
        self.device = _device(device)
        self.model = model.eval().to(self.device)

    def draw(self, stem: str, seed: int) -> list[str]:
        """Continue the stem `DRAWN` times; of each text only the first line is returned."""
        import torch

        tokens = self.tokenizer(stem, return_tensors="pt").to(self.device)
        with torch.random.fork_rng(), torch.inference_mode():
            torch.manual_seed(seed)
            output = self.model.generate(
                **tokens,
                do_sample=True,
                top_k=50,
                max_new_tokens=TOKENS,
                num_return_sequences=DRAWN,
                pad_token_id=self.tokenizer.eos_token_id,
            )
        texts = self.tokenizer.batch_decode(output, skip_special_tokens=True)
        return [next(iter(text.strip().splitlines()), "") for text in texts]


class ImageModel:
    """A Stable Diffusion pipeline."""

    def __init__(self, recipe: Recipe, device: str):
        import torch

        try:
            import diffusers
        except ImportError as error:
            raise _not_installed(error) from error
        kinds = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
        device = _device(device)
        kinds["auto"] = kinds["fp16" if device.startswith("cuda") else "fp32"]
        name = recipe.image_model
        with _loading(name, "Stable Diffusion pipeline"):
            pipe: Any = diffusers.StableDiffusionPipeline.from_pretrained(
                name, dtype=kinds[recipe.precision], local_files_only=True, use_safetensors=True
            )
        if recipe.scheduler != OWN:
            kind = getattr(diffusers, SCHEDULERS[recipe.scheduler])
            pipe.scheduler = kind.from_config(pipe.scheduler.config)
        pipe.set_progress_bar_config(disable=True)
        self.pipe = pipe.to(device)
        self.recipe = recipe

    def render(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image | None]:
        """A picture for each prompt and seed; None for one that the safety checker blanked."""
        import torch

        recipe = self.recipe
        try:
            output = self.pipe(
                list(prompts),
                negative_prompt=[recipe.negative] * len(prompts) if recipe.negative else None,
                num_inference_steps=recipe.steps,
                width=recipe.width,
                height=recipe.height,
                guidance_scale=recipe.guidance,
                generator=[_generator(seed) for seed in seeds],
            )
        except torch.OutOfMemoryError as error:
            raise ConfigError(
                f"{len(prompts)} pictures of {recipe.width}x{recipe.height} do not fit the device's memory. "
                "Give a smaller --batch-size; what is done stays."
            ) from error
        blank = output.nsfw_content_detected or [False] * len(prompts)
        return [None if gone else picture for picture, gone in zip(output.images, blank, strict=True)]


def _device(name: str) -> str:
    """A device by name; auto is the GPU where there is one."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch built without CUDA
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"device {name!r} cannot be used: {reason}. Choose auto, cpu, cuda or mps."
        ) from error
    return name


def _generator(seed: int) -> torch.Generator:
    import torch

    return torch.Generator("cpu").manual_seed(seed)


@contextmanager
def _loading(name: str, what: str) -> Iterator[None]:
    """Turn the many errors that a library raises for a missing or damaged model into WeightsError."""
    try:
        yield
    except ImportError:
        raise
    except Exception as error:  # OSError, ValueError, SafetensorError, JSONDecodeError, …
        raise WeightsError(
            f"{name} is no {what} with safetensors weights ({reason(error)}). Name its folder, or a model in the "
            "hub's cache; nothing is downloaded here."
        ) from error


def _not_installed(error: ImportError) -> ConfigError:
    return ConfigError(
        f"Making pairs needs more libraries ({reason(error)}). {install('torch', 'diffusers', 'transformers')}"
    )
