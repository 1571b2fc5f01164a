"""A name that torch keeps to itself may go with any version: the library then has the same numbers, by a slower way."""

import ast
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import PRESENT

import anyargmax
import anyargmax.backends
from anyargmax import soft_argmax, soft_one_hot, vjp
from anyargmax.validation.tolerance import assert_close

if "torch" not in PRESENT:
    pytest.skip("torch is not installed", allow_module_level=True)
import torch

from anyargmax.backends.torch import private

ADAPTER = Path(next(iter(anyargmax.backends.__path__))).resolve() / "torch"
APART = ("private.py", "triton.py")
# The names, and what `private.py` calls them.
SYMBOLS = {
    "_softmax_backward_data": "softmax_backward",
    "_C._functorch.peek_interpreter_stack": "transform",
    "autograd.forward_ad._current_level": "forward_mode",
    "_C._len_torch_dispatch_stack": "modes",
    "_C._is_tracing": "is_tracing",
    "_C._dispatch_keys": "dispatch_keys",
    "_C._is_any_autocast_enabled": "autocast",
    "_C._get_float32_matmul_precision": "precision",
    "_C._autograd._top_saved_tensors_default_hooks": "saved_tensors_hooks",
    "_subclasses.fake_tensor.FakeTensor": "is_fake",
}
WITHOUT = ["", *SYMBOLS, " ".join(SYMBOLS)]
X = [[0.5, 2.0, -1.0, 1.75], [3.0, 0.25, 2.5, -0.5], [0.0, -0.0, 1.0, 1.5]]
G = [[1.5, -0.75, 2.0, 0.25], [0.5, 1.0, -1.0, 3.0], [-2.0, 0.0, 1.0, 0.5]]
FUNCTIONS = {
    "position": partial(soft_argmax, axis=-1, temperature=0.5, keepdims=True),
    "sparsemax": partial(soft_one_hot, alpha=2),
}
# Symbols are hidden while the library is imported anew. torch itself goes on to have them, as after a renaming.
PROGRAM = """
import contextlib, importlib, json, operator, sys
import torch, torch._dynamo
from torch._subclasses.fake_tensor import FakeTensorMode

WITHOUT, X, G = json.loads(sys.argv[1])

def library_without(paths):
    for name in [name for name in sys.modules if name.partition(".")[0] == "anyargmax"]:
        del sys.modules[name]
    with contextlib.ExitStack() as stack:
        for path in paths:
            owner, _, name = path.rpartition(".")
            owner = operator.attrgetter(owner)(torch) if owner else torch
            stack.callback(setattr, owner, name, getattr(owner, name))
            delattr(owner, name)
        library = importlib.import_module("anyargmax")
        library._frameworks.binding.torch
    return library

def answers(f):
    x = torch.tensor(X, dtype=torch.float64)
    g = torch.tensor(G, dtype=torch.float64)[:, : f(x).shape[1]]
    loss = lambda x, f=f: (f(x) * g).sum()
    torch._dynamo.reset()
    compiled = torch.compile(f, fullgraph=True, backend="eager")
    gradients = [torch.autograd.grad(loss(z, h), z)[0] for z in [x.clone().requires_grad_()] for h in (f, compiled)]
    with FakeTensorMode() as mode:
        shape = torch.empty(f(mode.from_tensor(x)).shape, device="meta").shape
    made = {"value": f(x), "compiled value": compiled(x), "gradient": gradients[0], "compiled gradient": gradients[1]}
    made |= {"of torch.func": torch.func.grad(loss)(x), "tangent": torch.func.jvp(loss, (x,), (x,))[1]}
    return {name: z.tolist() for name, z in made.items()} | {"shape": list(shape)}

found = {}
for without in WITHOUT:
    library = library_without(without.split())
    private = vars(sys.modules["anyargmax.backends.torch.private"])
    position = lambda x: library.soft_argmax(x, axis=-1, temperature=0.5, keepdims=True)
    sparsemax = lambda x: library.soft_one_hot(x, alpha=2)
    unknown = {name: str(f) for name, f in private.items()} | {"is_fake": "FakeTensor" not in private}
    found[without] = [unknown, {"position": answers(position), "sparsemax": answers(sparsemax)}]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found():
    """What comes without each of the symbols, and without all of them: in one process, for torch takes long to import."""
    env = {**os.environ, "PYTHONPATH": str(Path(anyargmax.__file__).resolve().parent.parent)}
    words = [sys.executable, "-c", PROGRAM, json.dumps([WITHOUT, X, G])]
    child = subprocess.run(words, capture_output=True, text=True, env=env, check=False)
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout.splitlines()[-1])


@pytest.mark.parametrize("without", WITHOUT, ids=["nothing", *SYMBOLS.values(), "all"])
def test_without_a_name_of_torchs_own_values_and_gradients_are_the_same(found, without):
    known, ours = found[""][0], found[without][0]
    assert {path for path, name in SYMBOLS.items() if ours[name] != known[name]} == set(without.split())
    for name, f in FUNCTIONS.items():
        made = found[without][1][name]
        value, pullback = vjp(f, np.asarray(X))
        (gradient,) = pullback(np.asarray(G)[:, : value.shape[1]])
        assert made["shape"] == list(value.shape)
        for kind in ("value", "compiled value"):
            assert_close(made[kind], value, "float64", "value")
        for kind in ("gradient", "compiled gradient", "of torch.func"):
            assert_close(made[kind], gradient, "float64", "derivative")
        assert_close(made["tangent"], np.sum(gradient * X), "float64", "derivative")


def test_what_stands_for_the_gradient_of_softmax_is_that(rng):
    x = torch.asarray(rng.normal(size=(3, 5, 4))).requires_grad_()
    p, g = torch.softmax(x, 1), torch.asarray(rng.normal(size=(3, 5, 4)))
    (expected,) = torch.autograd.grad(p, x, g)
    assert_close(private._softmax_backward(g, p.detach(), 1, p.dtype), expected, "float64", "derivative")


def own_names(source):
    """The names with an underscore that a module takes from torch, and does not define itself."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            module = getattr(node, "module", None) or ""
            names = [f"{module}.{alias.name}" for alias in node.names if not getattr(node, "level", 0)]
        elif isinstance(node, ast.Attribute):
            names = [ast.unparse(node)]
        else:
            continue
        yield from (name for name in names if name.strip(".").startswith(("torch.", "forward_ad.")) and "._" in name)


def test_they_are_asked_for_in_one_file_alone():
    files = [path for path in ADAPTER.glob("*.py") if path.name not in APART]
    assert len(files) > 5
    assert {path.name: [*own_names(path.read_text(encoding="utf-8"))] for path in files} == {p.name: [] for p in files}


@pytest.mark.parametrize(
    "line", ["from torch._C import x", "import torch._dynamo", "torch._C.f()", "from torch.autograd import _x"]
)
def test_a_name_of_torchs_own_is_noticed(line):
    assert [*own_names(line)]
