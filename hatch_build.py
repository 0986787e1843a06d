"""What the wheel carries besides the package."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# It stands beside the package in a checkout, where an editable install finds it too; see img2prompt/files.py.
BUNDLED = (".streamlit/config.toml", "app.py", "assets", "models/lite", "pages")


class CustomBuildHook(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "editable":
            build_data["force_include"].update({path: f"img2prompt/_bundled/{path}" for path in BUNDLED})
