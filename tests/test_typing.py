"""What type checkers say of calls: the programs in `typing_programs`, and the signatures that they are checked by."""

import ast
import importlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import typing
import venv
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import MANDATORY, PRESENT

import anyargmax
import anyargmax.backends
from anyargmax import expectations, operators
from anyargmax._calls import annotations as named

SOURCE = Path(anyargmax.__file__).resolve().parent  # of the checkout or of the installed wheel
ADAPTERS = Path(next(iter(anyargmax.backends.__path__))).resolve()
CHECKOUT = ADAPTERS.parent == SOURCE.parent
STUBS = SOURCE / "backends"  # what checkers read in a checkout
PROGRAMS = Path(__file__).parent / "typing_programs"
FRAMEWORKS = [name for name in ("numpy", "torch", "jax", "keras") if find_spec(name)]
REFUSED = re.compile(r"# refused: ([\w-]+), (\w+)$")
OVERLOADED = (operators.spatial_soft_argmax, expectations.expectation, expectations.spatial_expectation)
in_a_checkout = pytest.mark.skipif(not CHECKOUT, reason="the library is an installed wheel")


def wheel(site):
    """Lay the library out as a wheel does; .ci/run holds wheels against the two folders."""
    caches = shutil.ignore_patterns("__pycache__")
    ours = {"backends", "backends.py"} if CHECKOUT else set()
    shutil.copytree(
        SOURCE,
        site / "anyargmax",
        ignore=lambda at, names: caches(at, names) | (ours if Path(at) == SOURCE else set()),
    )
    if CHECKOUT:
        shutil.copytree(ADAPTERS, site / "anyargmax" / "backends", ignore=caches)
    return []


def editable(site):
    """Point to the checkout as `pip install -e` does. It also copies the adapters, which nothing imports."""
    shutil.copytree(ADAPTERS, site / "anyargmax" / "backends", ignore=shutil.ignore_patterns("__pycache__"))
    return [SOURCE.parent]


LAYOUTS = [wheel, editable] if CHECKOUT else [wheel]


def environment(home, layout):
    """Make a virtual environment that has the library by a layout, and the frameworks; return its interpreter."""
    builder = venv.EnvBuilder(symlinks=os.name != "nt")
    builder.create(home)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(home)}))
    homes = {Path(find_spec(name).origin).parent.parent for name in FRAMEWORKS}
    (site / "all.pth").write_text("\n".join(map(str, [*layout(site), *homes])), encoding="utf-8")
    return builder.ensure_directories(home).env_exe


def run_in(folder, *command):
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MYPYPATH")}
    command = [sys.executable, "-m", *map(str, command)]
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)


def by_mypy(folder, interpreter, cache):
    """The errors of ``mypy --strict``: file, line and kind."""
    flags = ("--strict", "--output", "json", "--config-file", "", "--cache-dir", cache)
    child = run_in(folder, "mypy", *flags, "--python-executable", interpreter, *sorted(folder.glob("*.py")))
    assert child.returncode in (0, 1), child.stdout + child.stderr
    found = [json.loads(line) for line in child.stdout.splitlines()]
    return {(Path(e["file"]).name, e["line"], e["code"]) for e in found if e["severity"] == "error"}


def by_pyright(folder, interpreter, _):
    """The errors of pyright with the rules that it has unless told otherwise: file, line and kind."""
    (folder / "pyrightconfig.json").write_text('{"typeCheckingMode": "standard"}', encoding="utf-8")
    child = run_in(folder, "basedpyright", "--outputjson", "--pythonpath", interpreter)
    assert child.returncode in (0, 1), child.stdout + child.stderr
    found = json.loads(child.stdout)["generalDiagnostics"]
    return {
        (Path(e["file"]).name, e["range"]["start"]["line"] + 1, e.get("rule", e["message"]))
        for e in found
        if e["severity"] == "error"
    }


CHECKERS = {"mypy": by_mypy, "basedpyright": by_pyright}


def expected(folder, column):
    """What the programs say that they must be refused for."""
    return {
        (path.name, number, match[column])
        for path in folder.glob("*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (match := REFUSED.search(line))
    }


@pytest.mark.parametrize("checker", CHECKERS)
def test_good_programs_pass_and_bad_lines_are_refused(checker, tmp_path, request):
    """Of an installed wheel and of a checkout, in one process each: nearly all of mypy's time is torch, which it keeps."""
    if not find_spec(checker):
        assert checker not in MANDATORY, f"{checker} is not installed"
        pytest.skip(f"{checker} is not installed")
    folder = tmp_path / "programs"
    folder.mkdir()
    for path in PROGRAMS.glob("*.py"):
        if path.stem.partition("_")[2] in FRAMEWORKS:
            shutil.copy(path, folder)
    must = expected(folder, 1 + list(CHECKERS).index(checker))
    assert len(must) > 30
    for layout in LAYOUTS:
        interpreter = environment(tmp_path / layout.__name__, layout)
        found = CHECKERS[checker](folder, interpreter, request.config.cache.mkdir("mypy"))
        places = {entry[:2] for entry in must}
        wrong = sorted(entry for entry in found if entry[:2] not in places)
        passed = sorted(must - found)
        assert not wrong + passed, f"{layout.__name__}: wrongly refused are {wrong}, wrongly passed {passed}"


@pytest.mark.parametrize("name", [name for name in FRAMEWORKS if name in PRESENT])
def test_good_programs_run(name, monkeypatch):
    monkeypatch.syspath_prepend(PROGRAMS)
    importlib.import_module(f"good_{name}").run()


@pytest.mark.parametrize("f", OVERLOADED, ids=lambda f: f.__name__)
def test_overloads_are_the_function_but_for_the_readout(f):
    whole, words = inspect.signature(f).parameters, []
    for overload in typing.get_overloads(f):
        parameters = inspect.signature(overload).parameters
        words += typing.get_args(parameters["readout"].annotation)
        assert list(parameters) == list(whole)
        assert all(parameters[name] == whole[name] for name in whole if name != "readout")
    assert words == list(typing.get_args(whole["readout"].annotation))


@pytest.mark.parametrize(
    ("f", "typed"),
    [(operators.soft_argmax, named.PositionOptions), (operators.spatial_soft_argmax, named.MapOptions)],
    ids=["soft_argmax", "spatial_soft_argmax"],
)
def test_the_options_of_a_layer_are_those_of_the_function(f, typed):
    options, kinds = inspect.signature(f).parameters, typed.__annotations__
    assert list(kinds) == [name for name in options if name not in ("x", "axis", "axes", "mask", "group")]
    other = [name for name, kind in kinds.items() if kind != options[name].annotation]
    assert other == [name for name in kinds if name == "positions"]  # which may be a list


def constructors(path):
    """Each public class of a module or stub, with the arguments of its constructor."""
    return {
        node.name: [ast.unparse(m.args) for m in node.body if getattr(m, "name", "") == "__init__"]
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    }


@in_a_checkout
@pytest.mark.parametrize(
    ("stub", "source"), [("torch/__init__.pyi", "torch/layer.py"), ("keras.pyi", "keras.py")], ids=["torch", "keras"]
)
def test_what_checkers_read_in_a_checkout_is_what_there_is(stub, source):
    declared = constructors(STUBS / stub)
    assert [len(made) for made in declared.values()] == [1, 1, 1]
    assert declared == constructors(ADAPTERS / source)


@in_a_checkout
def test_a_checkout_imports_the_alias_and_not_the_stubs():
    assert Path(anyargmax.backends.__file__).name == "backends.py"
    assert {path.suffix for path in STUBS.rglob("*") if path.is_file()} == {".pyi"}


@pytest.mark.skipif("torch" not in PRESENT, reason="torch is not installed")
def test_a_typed_call_of_the_module_is_as_quick_as_torchs():
    import torch

    from anyargmax.backends.torch import SoftArgmax

    assert SoftArgmax.__call__ is torch.nn.Module.__call__
