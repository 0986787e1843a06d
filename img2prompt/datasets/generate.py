"""Make pairs: prompts from a language model or a file, pictures from Stable Diffusion.

    recipe ──▶ plan.csv (imgId, prompt, seed) ──▶ images/ID.png ──▶ prompts.csv

The plan is written before its pictures, and a picture is written whole or not at all. So the rows of
the plan without a picture are what is left to do, and ``prompts.csv`` holds the rows with one. A run
may be stopped at any moment, even by a power cut; started again, it goes on where it was.

Each picture has a seed of its own, and its noise is drawn on the CPU, so it does not depend on the
batch that it is rendered in (except for rounding: a batch of another size may sum in another order).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from filelock import FileLock, Timeout

from img2prompt.datasets.clean import MIN_CHARACTERS, clean_prompt
from img2prompt.datasets.diffusion import ImageModel, Recipe, TextModel
from img2prompt.datasets.table import read_table, write_rows
from img2prompt.errors import ConfigError, DataError
from img2prompt.files import replacing
from img2prompt.wording import reason

if TYPE_CHECKING:
    from PIL import Image


FUTILE = 50  # draws without a new prompt after which the text model is given up

RECIPE, PLAN, PROMPTS, IMAGES = "generate.json", "plan.csv", "prompts.csv", "images"
PLAN_COLUMNS = ("imgId", "prompt", "seed", "draw")
PROMPT_COLUMNS = ("imgId", "prompt", "seed")


class Planned(NamedTuple):
    """A pair to be made."""

    name: str  # its imgId, and the stem of its picture
    prompt: str
    seed: int
    draw: int  # of the text model; 0 for prompts from a file


class Workshop:
    """A folder in which pairs are made; one run at a time may have it open.

    Parameters
    ----------
    folder : made if it does not exist
    recipe : must be the one that the folder was begun with

    Raises
    ------
    ConfigError
        When the folder was begun with another recipe.
    DataError
        When it cannot be written or read, or another run has it open.
    """

    def __init__(self, folder: str | Path, recipe: Recipe):
        self.folder = Path(folder)
        self.recipe = recipe
        self.images = self.folder / IMAGES
        try:
            self.images.mkdir(parents=True, exist_ok=True)
            # Held until `close`; the operating system lets go of it when the process ends, however it does.
            self._lock = FileLock(self.folder / f".{RECIPE}.lock", timeout=0, thread_local=False)
            self._lock.acquire()
        except Timeout:
            raise DataError(f"{self.folder}: another run is making pairs there. Wait for it.") from None
        except OSError as error:
            raise DataError(
                f"{self.folder} cannot be written: {error.strerror}. Name another folder."
            ) from error
        try:
            self._check_recipe()
            self.plan = self._read_plan()
        except BaseException:
            self._lock.release()
            raise

    def close(self) -> None:
        """Release the folder, so that another run can open it."""
        self._lock.release()

    def take_prompts(self, prompts: Sequence[str]) -> None:
        """Plan a picture for each prompt of a file; prompts that are planned already are not repeated.

        Raises
        ------
        DataError
            When the prompts do not begin with those planned already.
        """
        for planned, prompt in zip(self.plan, prompts, strict=False):
            if planned.prompt != prompt:
                raise DataError(
                    f"{self.folder} was begun with other prompts: {planned.name} is {planned.prompt!r}, not "
                    f"{prompt!r}. Add prompts at the end, or name another folder."
                )
        self._extend([(prompt, 0) for prompt in prompts[len(self.plan) :]])

    def draw_prompts(self, count: int, device: str = "auto") -> Iterator[int]:
        """Let the text model write prompts until `count` pairs are planned; yields how many are.

        Prompts are cleaned. Those that are too short, repeated or nothing but the stem are skipped.

        Raises
        ------
        ConfigError
            When transformers is not installed, or the model writes no new prompts any more.
        WeightsError
            When there is no such model.
        """
        if len(self.plan) >= count:
            return
        assert self.recipe.text_model is not None
        model = TextModel(self.recipe.text_model, device)
        seen = {clean_prompt(self.recipe.stem), *(planned.prompt for planned in self.plan)}
        draw = self.plan[-1].draw + 1 if self.plan else 0
        futile = 0
        while len(self.plan) < count:
            texts = [clean_prompt(text) for text in model.draw(self.recipe.stem, self.recipe.seed + draw)]
            new = [text for text in dict.fromkeys(texts) if len(text) >= MIN_CHARACTERS and text not in seen]
            futile = 0 if new else futile + 1
            if futile == FUTILE:
                raise ConfigError(
                    f"{self.recipe.text_model} writes no new prompts after {len(self.plan)}. "
                    "Take another --stem or a smaller --count."
                )
            # A draw is planned whole, even past the count: the next run goes on with the next draw.
            seen.update(new)
            self._extend([(text, draw) for text in new])
            draw += 1
            yield min(len(self.plan), count)

    def missing(self, count: int) -> list[Planned]:
        """The first `count` planned pairs whose pictures are not there."""
        return [planned for planned in self.plan[:count] if not self._picture(planned).exists()]

    def done(self, count: int) -> int:
        """How many of the first `count` pairs are there."""
        return len(self.plan[:count]) - len(self.missing(count))

    def render(self, count: int, batch_size: int, device: str = "auto") -> Iterator[list[Planned]]:
        """Make the missing pictures among the first `count`; yields the pairs of each batch.

        A picture that the model's own safety checker blanked is left out.

        Raises
        ------
        ConfigError
            When diffusers is not installed or the device has too little memory.
        WeightsError
            When there is no such model.
        """
        missing = iter(self.missing(count))
        self.export()
        model: ImageModel | None = None
        while batch := list(islice(missing, batch_size)):
            model = model or ImageModel(self.recipe, device)
            pictures = model.render(
                [planned.prompt for planned in batch], [planned.seed for planned in batch]
            )
            made = [(planned, picture) for planned, picture in zip(batch, pictures, strict=True) if picture]
            for planned, picture in made:
                self._save(planned, picture)
            self.export()
            yield [planned for planned, _ in made]

    def export(self) -> int:
        """Write ``prompts.csv``, the planned pairs whose picture exists; returns how many."""
        there = {file.stem for file in self.images.glob("*.png")}
        rows = [planned for planned in self.plan if planned.name in there]
        write_rows(self.folder / PROMPTS, PROMPT_COLUMNS, ((row.name, row.prompt, row.seed) for row in rows))
        return len(rows)

    def _picture(self, planned: Planned) -> Path:
        return self.images / f"{planned.name}.png"

    def _save(self, planned: Planned, picture: Image.Image) -> None:
        with replacing(self._picture(planned)) as file:
            picture.save(file, "PNG")

    def _extend(self, prompts: Sequence[tuple[str, int]]) -> None:
        """Plan more pairs; a pair's seed follows from its place in the plan."""
        begin = len(self.plan)
        for place, (prompt, draw) in enumerate(prompts, begin):
            self.plan.append(Planned(f"{place:06d}", prompt, self.recipe.seed + place, draw))
        if prompts:
            write_rows(self.folder / PLAN, PLAN_COLUMNS, self.plan)

    def _read_plan(self) -> list[Planned]:
        file = self.folder / PLAN
        if not file.exists():
            return []
        table = read_table(file)
        try:
            return [Planned(name, prompt, int(seed), int(draw)) for name, prompt, seed, draw in table.rows]
        except ValueError as error:
            raise DataError(
                f"{file} is not the plan this program wrote ({reason(error)}). Name another folder."
            ) from error

    def _check_recipe(self) -> None:
        file = self.folder / RECIPE
        recipe = asdict(self.recipe)
        if not file.exists():
            if (self.folder / PROMPTS).exists() or any(self.images.iterdir()):
                raise DataError(f"{self.folder} holds pairs that were not made here. Name another folder.")
            with replacing(file) as out:
                out.write(json.dumps(recipe, indent=2, ensure_ascii=False).encode())
            return
        try:
            begun = json.loads(file.read_text("utf-8"))
        except ValueError as error:
            raise DataError(f"{file} is damaged ({reason(error)}). Name another folder.") from error
        for name, value in recipe.items():
            if begun.get(name) != value:
                raise ConfigError(
                    f"{self.folder} was begun with {name} = {begun.get(name)!r}, not {value!r}. "
                    "Give the same again, or name another folder."
                )
