"""Print the lowest versions that pyproject.toml declares, of what runs without a GPU and is small: one requirement a line."""

import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
extras = project["optional-dependencies"]
for requirement in (*project["dependencies"], *extras["jax"], *extras["keras"]):
    print(requirement.replace(">=", "=="))
