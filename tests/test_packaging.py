"""What the library is before anything is called: what it imports, ships, and says of itself."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import PRESENT

import anyargmax
from anyargmax._experiment.frameworks import FLOORS, install_hint

SOURCE = Path(anyargmax.__file__).parent  # of the checkout or of the installed wheel
ROOT = Path(__file__).parent.parent
FRAMEWORKS = ("array_api_strict", "autograd", "cupy", "dask", "jax", "keras", "tensorflow", "torch")
# Folders of one machine; spelt so that this line is not one of them.
MACHINE_PATH = re.compile(r"/(?:tmp|work|root|farm|home|Users)/")


def printed_by(program: str) -> str:
    """Return what a fresh interpreter prints."""
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(SOURCE.parent)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def loaded_by(code: str) -> set[str]:
    """Return the frameworks (and NumPy) that a fresh interpreter has loaded after the code and not before."""
    program = (
        f"import sys, json; before = set(sys.modules)\n{code}\nprint(json.dumps(sorted(set(sys.modules) - before)))"
    )
    return {name for name in json.loads(printed_by(program)) if name in ("numpy", *FRAMEWORKS)}


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
    yield from (path for path in ROOT.iterdir() if path.suffix in (".md", ".toml", ".cff", ".py"))
    written = [*(ROOT / "docs").glob("*"), *(ROOT / "docs" / "reference").glob("*")]
    written += [path for folder in ("gallery", "figures", "_static") for path in (ROOT / "docs" / folder).rglob("*")]
    yield from (path for path in written if path.suffix in (".md", ".rst", ".py", ".css", ".json"))


def test_importing_the_library_loads_no_framework():
    assert loaded_by("import anyargmax") == set()


def test_a_loaded_framework_is_noticed():
    assert loaded_by("import numpy") == {"numpy"}


def test_neither_the_names_of_the_library_nor_all_that_it_exports_load_anything():
    assert loaded_by("import anyargmax; dir(anyargmax); hasattr(anyargmax, 'typo')") == set()
    assert loaded_by("from anyargmax import *; import sys; assert 'anyargmax.validation' not in sys.modules") == set()


def test_validation_and_adapters_are_loaded_when_they_are_asked_for():
    compared = "anyargmax.validation.compare(anyargmax.soft_argmax, [0.0, 1.0], backends=['numpy']).ok"
    printed = printed_by(f"import anyargmax; print({compared}, anyargmax.backends.__name__)")
    assert printed == "True anyargmax.backends\n"


def test_the_library_lists_what_is_public():
    shown = json.loads(printed_by("import json, anyargmax; print(json.dumps(dir(anyargmax)))"))
    assert shown == sorted(shown)
    public = {name for name in shown if not name.startswith("__")}
    assert public == {*anyargmax.__all__, "backends", "validation"}
    assert {"__all__", "__doc__", "__file__", "__name__", "__path__", "__version__"} <= {*shown}


def test_a_name_that_there_is_not_is_no_attribute():
    with pytest.raises(AttributeError, match="module 'anyargmax' has no attribute 'typo'"):
        anyargmax.typo  # noqa: B018
    assert not hasattr(anyargmax, "_typo")


@pytest.mark.skipif("torch" not in PRESENT, reason="torch is not installed")
def test_one_graph_of_torch_takes_the_library_as_a_module_before_anything_is_loaded():
    program = """
import torch, anyargmax
f = torch.compile(lambda x: anyargmax.soft_argmax(x, axis=-1) + len(anyargmax.__version__), fullgraph=True, backend="eager")
x = torch.tensor([[0.0, 1.0, 3.0]])
print(float(f(x) - anyargmax.soft_argmax(x, axis=-1)))
"""
    assert printed_by(program) == f"{len(anyargmax.__version__)}.0\n"


@pytest.mark.skipif(not find_spec("mypy"), reason="mypy is not installed")
def test_a_type_checker_knows_what_is_loaded_later_and_no_other_name(tmp_path):
    shutil.copytree(SOURCE, tmp_path / "anyargmax")
    code = "import anyargmax\nanyargmax.validation\nanyargmax.backends\nanyargmax.typo\n"
    (tmp_path / "user.py").write_text(code, encoding="utf-8")
    words = ["mypy", "--strict", "--follow-imports=skip", "user.py", "anyargmax/__init__.py"]
    child = subprocess.run([sys.executable, "-m", *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    found = [line for line in child.stdout.splitlines() if "error:" in line]
    assert len(found) == 1, child.stdout + child.stderr
    assert 'user.py:4: error: Module has no attribute "typo"' in found[0]


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


def test_messages_name_no_extra_of_a_package_that_no_index_has():
    pattern = re.compile(r"pip install .*(?:anyargmax|OURS|PACKAGE|__package__)\b.*\[\w")
    assert [str(path) for path in texts() if pattern.search(path.read_text(encoding="utf-8"))] == []
    assert pattern.search('"anyargmax[torch]"'.join(["pip install ", ""]))


def test_hints_to_install_name_the_versions_of_the_extras():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert {name: [f"{name}>={version}"] for name, version in FLOORS.items()} == {name: extras[name] for name in FLOORS}
    assert install_hint("jax") == f'pip install "{extras["jax"][0]}"'
    assert install_hint("autograd") == "pip install autograd"


def test_the_metadata_names_authors_interpreters_and_the_plugin():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["authors"] == [{"name": "The anyargmax developers"}]
    named = {line.rpartition(" :: ")[2] for line in project["classifiers"]}
    assert {"3.11", "3.12", "3.13", "Pytest"} <= named
    assert project["scripts"].keys() == {"anyargmax"}


def test_the_metadata_has_addresses_under_the_name_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert all(f"/{project['name']}/" in address for address in project["urls"].values())
    assert "Homepage" in project["urls"]


@pytest.mark.skipif(not find_spec("yaml"), reason="PyYAML is not installed")
def test_the_citation_says_what_the_metadata_says():
    import yaml

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == anyargmax.__version__
    assert citation["title"] == f"{project['name']}: {project['description'][0].lower()}{project['description'][1:]}"
    assert citation["license"] == project["license"]
    assert citation["authors"] == project["authors"]


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
