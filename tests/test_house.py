"""The order of the house: imports run one way, and a kernel is asked once."""

import ast
import sys
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from conftest import backend_parameters

import anyargmax
import anyargmax.backends
from anyargmax import soft_argmax, soft_one_hot
from anyargmax._calls import annotations
from anyargmax._frameworks import kept_calls
from anyargmax._frameworks.names import PROBES
from anyargmax._kernels import selection
from anyargmax._kernels.support import compact
from anyargmax._rules import ops
from anyargmax._rules.readouts import READOUTS
from anyargmax._rules.relaxations import WINNERS

SOURCE = Path(anyargmax.__file__).resolve().parent
ADAPTERS = Path(next(iter(anyargmax.backends.__path__))).resolve()
# From the ground up. What is not named here is public, or a tool beside the library, and may import all of it.
FLOORS = ("_compat", "_rules", "_kernels", "adapters", "_frameworks", "_calls")
PUBLIC = ("backends.keras", "backends.torch.layer")  # the layers, as functions are


def modules():
    """Each module of the library, by its name in it, and its file."""
    found = {}
    for home, prefix in ((SOURCE, ()), (ADAPTERS, ("backends",))):
        for path in home.rglob("*.py"):
            parts = (*prefix, *path.relative_to(home).with_suffix("").parts)
            if parts not in (("backends",), ("_array_api_compat_vendor",)):
                found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imported(name, path, known):
    """The modules of the library that a module imports, inside functions too."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    package = [] if name == "__init__" else package
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
            for alias in node.names:
                full = ".".join([*base, alias.name])
                yield full if full in known else ".".join(base)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_module" and name.startswith("_"):
            yield from (f"backends.{framework}.adapter" for framework in PROBES)  # which it names by them


def floor(name):
    if name.startswith(PUBLIC) or name == "backends.torch":
        return len(FLOORS)
    head = "adapters" if name.startswith("backends.") else name.partition(".")[0]
    return FLOORS.index(head) if head in FLOORS else len(FLOORS)


def arrows():
    known = modules()
    return {(name, other) for name, path in known.items() for other in imported(name, path, known) if other}


def upward(found):
    """Imports of what lies higher, but for the adapter that a framework's arrays are given."""
    return {(a, b) for a, b in found if floor(b) > floor(a) and b != "_array_api_compat_vendor"}


def circles(found):
    """Modules that import themselves by way of others."""
    reached = {a: {b for x, b in found if x == a} for a, _ in found}
    for _ in reached:
        reached = {a: bs | {c for b in bs for c in reached.get(b, ())} for a, bs in reached.items()}
    return {a for a, bs in reached.items() if a in bs}


def test_imports_run_one_way():
    found = arrows()
    assert len(found) > 150
    assert ("_kernels.selection", "_rules.weights") in found
    assert ("_frameworks.binding", "backends.torch.adapter") in found
    assert upward(found) == set()


def test_imports_run_in_no_circle():
    assert circles(arrows()) == set()


@pytest.mark.parametrize(
    "planted", [("_rules.weights", "_kernels.selection"), ("_kernels.whole", "_calls.making")], ids=str
)
def test_a_planted_import_is_noticed(planted):
    found = arrows() | {planted}
    assert upward(found) == {planted}
    assert planted[0] in circles(found)


@pytest.mark.parametrize("backend", backend_parameters(("numpy", "autograd", "torch")))
@pytest.mark.parametrize("f", [soft_argmax, soft_one_hot], ids=lambda f: f.__name__)
@pytest.mark.parametrize("temperature", [1.0, "array"])
def test_a_kernel_that_declines_is_asked_once(backend, f, temperature, monkeypatch, rng):
    """Of a dense support the kernel for sparse weights can make nothing, whoever asks it: once each way."""
    asked, support = [], compact.support
    monkeypatch.setattr(compact, "support", lambda *args: asked.append(args) or support(*args))
    x = backend.asarray(rng.uniform(0, 0.05, size=(64, 4096)), "float32")
    t = backend.asarray(np.full((64, 1), 2.0), "float32") if temperature == "array" else temperature
    g = f(x, axis=-1)
    with selection.only("support"):
        _, pullback = backend.vjp(lambda x: f(x, axis=-1, alpha=1.5, temperature=t), x)
        assert len(asked) == 1
        assert np.all(np.isfinite(backend.to_numpy(pullback(g)[0])))
    assert len(asked) <= 2


def files_passed(f):
    """The files of the library whose functions a call enters."""
    entered, homes = set(), (str(SOURCE), str(ADAPTERS))

    def note(frame, event, _):
        if event == "call" and frame.f_code.co_filename.startswith(homes):
            entered.add(frame.f_code.co_filename)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        f()
    finally:
        sys.setprofile(before)
    return entered


@pytest.mark.parametrize("backend", backend_parameters(("torch",)))
@pytest.mark.parametrize("f", [soft_argmax, soft_one_hot], ids=lambda f: f.__name__)
def test_a_call_goes_a_short_way(backend, f, rng):
    """At most 12 files when it is made, and 8 once it is kept."""
    x = backend.asarray(rng.normal(size=(4, 9)), "float32")
    call = partial(f, x, axis=-1, alpha=1.5)
    with selection.only("support"):
        call()
        kept_calls.forget()
        first, kept = files_passed(call), files_passed(call)
    assert 5 <= len(kept) <= 8
    assert kept <= first
    assert len(first) <= 12


@pytest.mark.parametrize(("framework", "most"), [("torch", 100), ("jax", 100), ("autograd", 80), ("tensorflow", 100)])
def test_an_adapter_is_short(framework, most):
    """What is for speed, and what only checks need, lies in files beside it."""
    assert len((ADAPTERS / framework / "adapter.py").read_text(encoding="utf-8").splitlines()) <= most


# What is a framework's own and used where that framework is known.
OWN = {"__name__", "__array_namespace_info__", "blockwise", "ndarray", "random", "topk"}


def functions_of_namespaces():
    """The names of ``xp.name`` in the modules of rules, kernels, calls and frameworks."""
    found = set()
    for name, path in modules().items():
        if name.partition(".")[0] in FLOORS and not name.startswith("_compat"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if (
                    isinstance(node, ast.Attribute)
                    and getattr(node.value, "attr", getattr(node.value, "id", "")) == "xp"
                ):
                    found.add(node.attr)
    return found


def test_array_functions_are_those_that_the_house_lists():
    """An adapter whose framework has no Array API namespace brings these."""
    assert functions_of_namespaces() - OWN == set(ops.Namespace.__annotations__)


def test_every_function_of_a_rule_says_what_its_first_argument_is():
    """So that a reader, and a type checker, can follow it."""
    bare = []
    for name, path in modules().items():
        if name.partition(".")[0] in ("_rules", "_kernels", "_calls"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef):
                    bare += [(name, node.name) for arg in node.args.args if arg.arg == "ops" and arg.annotation is None]
    assert bare == []


def test_no_adapter_is_asked_for_a_default_but_in_the_protocol():
    asked = [
        name
        for name, path in modules().items()
        if name != "_frameworks.protocol"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "getattr" and len(node.args) == 3
        if {"ops", "adapter"} & {getattr(node.args[0], "id", ""), getattr(node.args[0], "attr", "")}
    ]
    assert asked == []


def test_the_words_of_an_option_are_those_that_have_a_meaning():
    assert set(get_args(annotations.Readouts)) == set(READOUTS)
    assert set(get_args(annotations.Readout)) == set(READOUTS) - {"moments", "covariance"}  # two answers
    assert set(get_args(annotations.Answer)) == set(READOUTS) - {"covariance"}  # of one axis
    assert set(get_args(annotations.Kind)) == set(WINNERS)
