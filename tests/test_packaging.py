"""What the library is before anything is called: what it imports, ships, and says of itself."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import anyargmax

SOURCE = Path(anyargmax.__file__).parent  # of the checkout or of the installed wheel
ROOT = Path(__file__).parent.parent
FRAMEWORKS = ("array_api_strict", "autograd", "cupy", "dask", "jax", "keras", "tensorflow", "torch")
# Folders of one machine; spelt so that this line is not one of them.
MACHINE_PATH = re.compile(r"/(?:tmp|work|root|farm|home|Users)/")


def loaded_by(code: str) -> set[str]:
    """Return the frameworks (and NumPy) that a fresh interpreter has loaded after the code and not before."""
    program = (
        f"import sys, json; before = set(sys.modules)\n{code}\nprint(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(SOURCE.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    return {name for name in json.loads(done.stdout) if name in ("numpy", *FRAMEWORKS)}


def imported_by(source: str) -> set[str]:
    """Return the top-level packages that a module's import statements name, wherever in it they stand."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.append(node.module)
    return {name.partition(".")[0] for name in names}


def texts():
    """Every text file of the project that is here: an installed wheel has no folder ``backends`` beside the tests."""
    for folder in {SOURCE, ROOT / "anyargmax", ROOT / "backends", ROOT / "tests", ROOT / ".ci"}:
        yield from (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    yield from (path for path in ROOT.iterdir() if path.suffix in (".md", ".toml"))


def test_importing_the_library_loads_no_framework():
    assert loaded_by("import anyargmax") == set()


def test_a_loaded_framework_is_noticed():
    assert loaded_by("import numpy") == {"numpy"}


def test_no_module_of_the_library_imports_a_framework():
    modules = [path for path in SOURCE.rglob("*.py") if path.relative_to(SOURCE).parts[0] != "backends"]
    assert len(modules) > 10
    found = {path.name: imported_by(path.read_text(encoding="utf-8")) & set(FRAMEWORKS) for path in modules}
    assert {name: packages for name, packages in found.items() if packages} == {}


@pytest.mark.parametrize(
    "line", ["import jax", "import jax.numpy as jnp", "from jax import lax", "def f():\n    import jax"]
)
def test_an_import_of_a_framework_is_noticed(line):
    assert imported_by(line) == {"jax"}


def test_an_import_of_an_adapter_is_no_import_of_a_framework():
    assert imported_by("from .backends import jax\nfrom . import torch") == set()


def test_version_is_written_once_and_heads_the_changelog():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    assert "version" not in project["project"]
    assert project["tool"]["hatch"]["version"] == {"path": "anyargmax/__init__.py"}
    literal = re.findall(r'^__version__ = "(.+)"$', (SOURCE / "__init__.py").read_text(encoding="utf-8"), re.MULTILINE)
    headings = re.findall(r"^## \[?(\d[^\s\]]*)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert [anyargmax.__version__] == literal == headings[:1]


def test_types_are_shipped():
    assert (SOURCE / "py.typed").is_file()


def test_no_file_spells_a_path_of_one_machine():
    assert [str(path) for path in texts() if MACHINE_PATH.search(path.read_text(encoding="utf-8"))] == []


def test_a_path_of_one_machine_is_noticed():
    assert MACHINE_PATH.search("/".join(["cd ", "tmp", "clone"]))


def test_the_files_that_contributors_are_sent_to_exist():
    """Paths are from the root or from `anyargmax/`; a name alone is a file beside the one named before it."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w./]+(?:\.py|/))`", text))
    assert len(named) > 20
    homes = (ROOT, SOURCE.parent, SOURCE, SOURCE / "_frameworks", SOURCE / "_rules" / "relaxations")
    assert [name for name in named if not any((home / name).exists() for home in homes)] == []
