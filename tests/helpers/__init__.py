"""What several tests need, and is no test."""

import json
import shutil
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SMALL_BLIP, SMALL_CLIP = (
    "blip-base",
    "ViT-B-32/laion2b_s34b_b79k",
)  # the smallest of each kind that is no chat model
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def records(lines: str) -> list[Any]:
    """JSON Lines, read."""
    return [json.loads(line) for line in lines.splitlines()]
