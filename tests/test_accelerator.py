"""An accelerator without one: the rules on a pretend device, what a call costs there, and the graphs that leave torch."""

import gc
import importlib.util
import inspect
import json
import math
import os
import subprocess
import sys
import weakref
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import test_extremes
import test_semantics
from conftest import PRESENT
from test_matrix import FIRST

from anyargmax import (
    soft_argmax,
    soft_argmax_moments,
    soft_one_hot,
    soft_top_k,
    spatial_soft_argmax,
)
from anyargmax._benchmark.counts import exported, measure
from anyargmax._benchmark.counts.calls import CALLS as COUNTED
from anyargmax._benchmark.counts.calls import GRAPHS, SECONDS, Graph
from anyargmax._benchmark.pretend import accelerator
from anyargmax.validation.catalogue import CALLS, KINDS
from anyargmax.validation.checking import assert_call_agrees
from anyargmax.validation.tolerance import EPS, TOLERANCE

if "torch" not in PRESENT:
    pytest.skip("torch is not installed", allow_module_level=True)

import torch

INF, NAN = np.inf, np.nan


def on_the_device(name):
    """A view of torch whose arrays are made on the device."""
    backend = PRESENT[name]

    def asarray(values, dtype=None, device=None):
        return accelerator().put(backend.asarray(values, dtype))

    return backend._replace(asarray=asarray)


EAGER, TRANSFORMED = on_the_device("torch"), on_the_device("torch-func")


@pytest.fixture
def anyargmax_backend():
    return EAGER


@pytest.fixture(params=EAGER.dtypes)
def backend_dtype(request):
    return EAGER, request.param


def put(rng, *shape, dtype="float32"):
    return EAGER.asarray(rng.normal(size=shape), dtype)


ROWS, ONE = 4 * 3 * 5, 4  # bytes of (3, 5) in float32, and of one
KNOWN = {
    "a product": (lambda x: x * x, 1, 2 * ROWS, 0),
    "a sum of a row": (lambda x: x.sum(-1), 1, ROWS + 3 * ONE, 0),
    "a view": (lambda x: x.T[1:].reshape(4, 3, 1).expand(4, 3, 2), 0, 0, 0),
    "a broadcast dimension": (lambda x: x + x[:, :1].expand(3, 5), 1, 2 * ROWS + 3 * ONE, 0),
    "a softmax": (lambda x: torch.softmax(x, -1), 1, 2 * ROWS, 0),
    "a product in place": (lambda x: x.mul_(2), 1, 2 * ROWS, 0),
    "a fill": (lambda x: x.fill_(2), 1, ROWS, 0),
    "an exponential into memory that is there": (lambda x: torch.exp(x, out=x[:]), 1, 2 * ROWS, 0),
    "memory without numbers": (torch.empty_like, 0, 0, 0),
    "zeros": (torch.zeros_like, 1, ROWS, 0),
    "a copy in another dtype": (lambda x: x.double(), 1, 3 * ROWS, 0),
    "a copy of a transposed array": (lambda x: x.T.contiguous(), 1, 2 * ROWS, 0),
    "a product of matrices": (lambda x: x @ x.T, 1, 2 * ROWS + 9 * ONE, 0),
    "an entry": (lambda x: x[0, 0].item(), 0, 0, 1),
    "a condition": (lambda x: bool(x[0, 0] > 0), 1, ONE + 1, 1),
    "a copy to the host": (lambda x: x.cpu(), 0, 0, 1),
    "a comparison": (lambda x: torch.equal(x, x), 0, 0, 1),
    "the places of true entries": (torch.nonzero, 0, 0, 1),
    "entries by a mask": (lambda x: x[x.bool()], 1, ROWS + 15, 2),  # which torch looks up by their places
    "entries by numbers": (lambda x: x[:, torch.tensor([0, 2], device=x.device)], 2, 2 * 16 + ROWS + 16 + 6 * ONE, 0),
}


class TestTheDevice:
    @pytest.mark.parametrize(("f", "kernels", "size", "reads"), KNOWN.values(), ids=KNOWN)
    def test_counts_what_an_operation_costs(self, f, kernels, size, reads, rng):
        x = put(rng, 3, 5)
        with accelerator().count() as count:
            f(x)
        assert (count.kernels, count.reads) == (kernels, reads), count.names
        assert count.bytes == size, count.names
        assert len(count.names) == kernels + reads

    def test_counts_only_where_it_is_asked_to_and_in_each_count(self, rng):
        x = put(rng, 3, 5)
        with accelerator().count() as outer:
            x + 1
            with accelerator().count() as inner:
                x + 1
        x + 1
        assert (outer.kernels, inner.kernels) == (2, 1)
        assert outer.passes(x) == 4

    def test_has_plain_tensors_with_shapes_and_strides(self, rng):
        x = put(rng, 3, 5)
        assert type(x) is torch.Tensor
        assert x.device == accelerator().device
        assert x.T.stride() == (1, 5)
        assert not x.T.is_contiguous()
        x[1, 2] = 7.0  # a view of the same memory
        assert accelerator().numbers(x)[1, 2] == 7.0

    def test_refuses_arrays_of_two_devices_and_takes_a_number_of_the_cpu(self, rng):
        x = put(rng, 3, 5)
        for f in (torch.add, torch.matmul, torch.maximum, lambda x, y: torch.where(x > 0, x, y)):
            with pytest.raises(RuntimeError, match="pretend"):
                f(x, torch.ones(5))
        assert torch.equal(accelerator().numbers(x * torch.tensor(2.0)), 2 * accelerator().numbers(x))

    def test_gives_its_memory_back(self, rng):
        x = put(rng, 3, 5)
        view, memory = x[1:], weakref.ref(x.untyped_storage().memory)
        del x
        gc.collect()
        assert memory() is not None
        del view
        gc.collect()
        assert memory() is None

    @pytest.mark.parametrize("dtype", EAGER.dtypes)
    def test_has_the_dtypes_of_the_cpu(self, dtype, rng):
        x = torch.asarray(rng.normal(size=(3, 5))).to(getattr(torch, dtype))
        f = lambda x: (x * 2.1 + x[0].sum() * 0.3, x / 3, x.argmax(-1) / 2, (x > 0) * 2, x.sum(dtype=torch.float32))  # noqa: E731
        for there, here in zip(f(accelerator().put(x)), f(x), strict=True):
            assert there.dtype == here.dtype
            np.testing.assert_allclose(accelerator().numbers(there).double(), here.double(), rtol=2 * EPS[dtype])

    def test_has_the_softmax_of_half_precision_in_float32_that_a_gpu_has(self, rng):
        x = torch.asarray(rng.normal(size=(3, 5))).half()
        forward, back = torch.ops.aten._softmax, torch.ops.aten._softmax_backward_data
        with accelerator().count() as count:
            p = forward(accelerator().put(x), -1, True)
            slopes = back(p, p, -1, torch.float16)
        assert (p.dtype, slopes.dtype, count.kernels) == (torch.float32, torch.float16, 2)
        assert count.bytes == 3 * ROWS // 2 + 3 * ROWS // 2
        expected = forward(x.float(), -1, False)
        assert torch.equal(accelerator().numbers(p), expected)
        assert torch.equal(accelerator().numbers(slopes), back(expected, expected, -1, torch.float32).half())
        with pytest.raises(RuntimeError, match="Half type only"):
            forward(accelerator().put(x.bfloat16()), -1, True)

    @pytest.mark.parametrize(
        "f",
        [
            lambda x: torch.softmax(x, 0) @ torch.arange(5.0, device=x.device, dtype=x.dtype),
            lambda x: torch.logsumexp(x.masked_fill(x > 1, -torch.inf), -1).clamp(min=0.5),
            lambda x: torch.sort(x, -1)[0].cumsum(-1)[:, 1:] / torch.topk(x, 4, -1)[0],
            lambda x: torch.einsum("ij,kj->ik", x, x.exp()) + torch.linalg.vecdot(x, x.sin()),
            lambda x: torch.where(x > 0, x, x**2).amax(-1) * torch.gather(x, 1, x.argmin(-1, keepdim=True))[:, 0],
        ],
        ids=["softmax", "logsumexp", "sort", "products", "selections"],
    )
    def test_differentiates_as_the_cpu_does(self, f, rng):
        x, t = torch.asarray(rng.normal(size=(2, 3, 5)))
        g = torch.asarray(rng.normal(size=f(x).shape))
        found = []
        for where in (accelerator().put, lambda x: x.clone()):
            leaf = where(x).requires_grad_()
            (slopes,) = torch.autograd.grad(f(leaf), leaf, where(g), create_graph=True)
            (second,) = torch.autograd.grad(slopes, leaf, where(t))
            y, tangent = torch.func.jvp(f, (where(x),), (where(t),))
            found.append([accelerator().numbers(part) for part in (slopes.detach(), second, y, tangent)])
        for there, here in zip(*found, strict=True):
            np.testing.assert_allclose(there, here, rtol=1e-13, atol=1e-13)


# The catalogue, by the oracle


def named(calls):
    return [pytest.param(call, id=call.id.replace(" ", "_")) for call in calls]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("call", named(CALLS))
def test_call_has_the_oracles_answers_on_the_device(call, dtype):
    assert_call_agrees(call, [EAGER], dtype)


@pytest.mark.parametrize("call", named(KINDS))
def test_half_precision_has_the_oracles_answers_on_the_device(call):
    assert_call_agrees(call, [EAGER], "bfloat16")


@pytest.mark.parametrize("call", named(KINDS))
def test_transformed_call_has_the_oracles_answers_on_the_device(call):
    assert_call_agrees(call, [TRANSFORMED], "float32")


@pytest.mark.parametrize("view", [EAGER, TRANSFORMED], ids=lambda view: view.name)
@pytest.mark.parametrize("call", named(FIRST.values()))
def test_second_derivatives_are_the_oracles_on_the_device(call, view):
    assert_call_agrees(call, [view], "float64", order=2)


# What the library promises at the edges: the promises that are made on every framework, here on the device.


def is_made_everywhere(promise):
    """Whether a test is of each framework, or of each and its dtypes, and not of some that it names itself."""
    chosen = [mark.args[0] for mark in getattr(promise, "pytestmark", ()) if mark.name == "parametrize"]
    return "backend" not in chosen and {"anyargmax_backend", "backend_dtype"} & set(
        inspect.signature(promise).parameters
    )


PROMISES = {
    name: promise
    for module in (test_semantics, test_extremes)
    for name, promise in vars(module).items()
    if name.startswith("test_") and is_made_everywhere(promise)
}
globals().update({f"{name}_on_the_device": promise for name, promise in PROMISES.items()})


def test_the_promises_are_those_of_the_edges():
    assert len(PROMISES) > 50
    assert {
        "test_a_masked_score_changes_nothing",
        "test_a_plus_inf_score_takes_the_limit_with_gradient_0",
        "test_nan_makes_its_own_row_nan_and_no_other",
        "test_positions_are_exact_in_half_precision",
        "test_an_empty_batch_gives_an_empty_answer",
        "test_the_tangent_of_a_row_without_a_kept_score_is_0",
    } <= PROMISES.keys()


LAST = partial(soft_argmax, axis=-1)
FUNCTIONS = {
    "position": LAST,
    "position at a temperature": partial(LAST, temperature=0.5),
    "median": partial(LAST, readout="median"),
    "moments": lambda x, **options: torch.stack(soft_argmax_moments(x, axis=-1, **options)),
    "window": partial(LAST, window=3),
    "weights": soft_one_hot,
    "coordinates": lambda x, **options: spatial_soft_argmax(x, axes=(-1,), **options),
    "sparsemax": partial(soft_one_hot, alpha=2),
    "1.5-entmax": partial(soft_one_hot, alpha=1.5),
    "winners": lambda x, **options: soft_top_k(x, 2, **options),
}


@pytest.mark.parametrize("view", [EAGER, TRANSFORMED], ids=lambda view: view.name)
@pytest.mark.parametrize("f", FUNCTIONS.values(), ids=FUNCTIONS)
def test_nan_beside_plus_inf_makes_its_row_nan_with_its_gradient(f, view, rng):
    """At every kept entry, +inf and finite, but not at those that are left out; no other row knows of it."""
    x = np.asarray([[0.5, INF, NAN, 1.0, -INF, 2.0], [0.0, 1.0, 2.0, 0.5, 3.0, -1.0]])
    left_out = [[False, False, False, False, True, True], [False] * 6]
    f = partial(f, mask=view.asarray(np.asarray([[True] * 5 + [False], [True] * 6])))
    y, pullback = view.vjp(f, view.asarray(x))
    g = view.asarray(rng.normal(size=y.shape))
    slopes = view.to_numpy(pullback(g)[0])
    np.testing.assert_array_equal(np.isnan(slopes[0]), ~np.asarray(left_out[0]))
    np.testing.assert_array_equal(slopes[np.asarray(left_out)], 0)
    clean = view.to_numpy(view.vjp(f, view.asarray(np.where(x[:, 2:3] == 2, x, 0)))[1](g)[0])
    np.testing.assert_array_equal(slopes[1], clean[1])


# What a call costs


@cache
def costs(name):
    call = next(call for call in COUNTED if call.name == name)
    return call, measure.costs(call.scaled(0.25), {}, peers=False)["ours"]


@pytest.mark.parametrize("which", measure.PASSES)
@pytest.mark.parametrize("name", [call.name for call in COUNTED])
def test_call_costs_no_more_than_it_may(name, which):
    call, found = costs(name)
    assert found[which].missed((call.reached or call.most)[measure.PASSES.index(which)]) == []


def test_what_is_reached_instead_of_a_limit_is_over_one():
    for call in COUNTED:
        if call.reached:
            pairs = zip(call.reached, call.most, strict=True)
            assert any(a > b for reached, most in pairs for a, b in zip(reached, most, strict=True)), call.name


@pytest.mark.parametrize("name", [call.name for call in COUNTED if call.naive])
def test_naive_code_is_counted_for_the_same_answer(name):
    missing = {}
    call = next(call for call in COUNTED if call.name == name)
    functions, moving = measure.posed(call.scaled(0.05), missing)
    if "naive" not in functions:
        pytest.skip(f"entmax {missing['entmax']}")
    (ours, naive) = (f(*moving) for f in functions.values())
    for a, b in zip(*((y if isinstance(y, tuple) else (y,)) for y in (ours, naive)), strict=True):
        np.testing.assert_allclose(accelerator().numbers(a), accelerator().numbers(b), rtol=2e-3, atol=2e-3)


# Graphs that leave torch


@pytest.mark.parametrize("graph", [pytest.param(graph, id=graph.name.replace(" ", "_")) for graph in GRAPHS])
def test_exported_graph_is_small_and_soon_there(graph):
    found = exported.export(graph)
    assert found.nodes <= graph.nodes
    assert found.seconds <= SECONDS


ONNX = (
    Graph("position", "soft_argmax", {"axis": -1}, 60),
    Graph("coordinates", "spatial_soft_argmax", {}, 60),
    Graph("weights", "soft_one_hot", {}, 60),
    *(graph for graph in GRAPHS if graph.nodes <= 60),
)


def lacking(*names):
    absent = [name for name in names if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(absent), reason=f"{' and '.join(absent)} not installed")


@lacking("onnx", "onnxscript", "onnxruntime")
@pytest.mark.parametrize("graph", [pytest.param(graph, id=graph.name.replace(" ", "_")) for graph in ONNX])
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch's own
def test_onnx_has_the_same_numbers_for_another_batch(graph, rng):
    import onnxruntime

    shape = (5, 6) if "spatial" in graph.function else (10,)
    model = exported.module(torch, graph).eval()
    batch = {0: torch.export.Dim("batch")}
    program = torch.export.export(model, (torch.zeros(4, *shape),), dynamic_shapes=(batch,))
    assert sum(node.op == "call_function" for node in program.graph.nodes) <= graph.nodes
    model_proto = torch.onnx.export(program, dynamo=True, verbose=False).model_proto
    assert len(model_proto.graph.node) <= 2 * graph.nodes
    written = model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(written, providers=["CPUExecutionProvider"])
    x = rng.normal(size=(7, *shape)).astype("float32")
    x[1, 2], x[2], x[3], x[4, 1], x[5, 0], x[5, 3] = -INF, -INF, 2.0, INF, INF, INF
    (found,) = session.run(None, {session.get_inputs()[0].name: x})
    expected = model(torch.asarray(x)).numpy()
    scale = max(1.0, float(np.nanmax(np.abs(expected))))
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE["value"] * EPS["float32"] * scale)


@lacking("triton")
@pytest.mark.parametrize(("name", "most"), [("rows", math.inf), ("entmax", 2.5)])
def test_compiled_for_a_gpu_it_is_a_kernel_each_way(name, most):
    """By what Inductor would write, in a process of its own: for what to write is told to all of a process."""
    folder = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder.parent), *filter(None, sys.path)])}
    command = [sys.executable, "-W", "ignore", str(folder / "gpu_code.py"), name]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    (forward, backward), seconds = json.loads(done.stdout.splitlines()[-1])
    assert (forward["kernels"], backward["kernels"]) == (1, 1)
    assert forward["passes"] <= most
    assert seconds <= 6
