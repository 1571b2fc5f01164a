"""Few operations: the thresholds that are found without a look at any value, and the care that is left beside softmax."""

import math
from functools import partial

import numpy as np
import pytest
from conftest import PRESENT

from anyargmax import soft_argmax, soft_one_hot, soft_top_k, spatial_soft_argmax
from anyargmax._frameworks import binding
from anyargmax._kernels import selection
from anyargmax._kernels.traced import thresholds
from anyargmax.validation.tolerance import EPS, assert_close

if "torch" not in PRESENT:
    pytest.skip("torch is not installed", allow_module_level=True)

import torch

INF, NAN = math.inf, math.nan
MOST = float(np.finfo("float32").max)


def hard_rows(rng, n):
    """Rows of n scores below 0, the largest of them, that take Newton's method long: clusters, powers, geometric gaps."""
    sizes = np.maximum(1, rng.uniform(1.5, 8) ** np.arange(12))
    sizes = np.ceil(sizes / sizes.sum() * n).astype(int)
    levels = -np.sort(rng.uniform(size=12) ** rng.uniform(0.2, 3))
    rows = [
        -rng.uniform(size=n) * 10 ** rng.uniform(-6, 1),
        -(rng.uniform(size=n) ** rng.uniform(0.05, 20)),
        -np.geomspace(1, 10 ** -rng.uniform(1, 12), n),
        np.repeat(levels, sizes)[:n],
        -np.abs(rng.normal(size=n)) * 10 ** rng.uniform(-3, 1),
        -((np.arange(n) / n) ** rng.uniform(0.02, 5)),
        np.where(np.arange(n) < n // 3, 0.0, -1.0 + 10 ** -rng.uniform(0, 8)),
    ]
    return np.stack([row - row.max() for row in rows])


@pytest.mark.parametrize("alpha", [1.02, 1.05, 1.125, 1.2, 1.25, 4 / 3, 1.5, 1.6, 1.75, 1.9, 2.0])
@pytest.mark.parametrize(("n", "times"), [(4, 60), (40, 60), (1000, 25), (30_000, 3)])
def test_so_many_steps_reach_the_last_digit_of_every_row(rng, alpha, n, times):
    rows = torch.asarray(np.concatenate([hard_rows(rng, n) for _ in range(times)])) * (alpha - 1) * 2
    ops = binding.torch
    root = further = thresholds.by_steps(ops, rows, alpha, 1)
    for _ in range(20):
        further = thresholds.stepped(ops, rows, further, alpha, 1)
    p, q = (thresholds.weights_at(ops, rows, found, alpha) for found in (root, further))
    p, q = (weights / weights.sum(1, keepdim=True) for weights in (p, q))
    assert_close(p.numpy(), q.numpy(), "float64", "value")


@pytest.mark.parametrize("alpha", [1.5, 2.0])
@pytest.mark.parametrize(("n", "times"), [(1, 1), (4, 60), (40, 60), (1000, 25), (30_000, 3)])
def test_sorting_finds_the_weights_that_steps_find(rng, alpha, n, times):
    rows = torch.asarray(np.concatenate([hard_rows(rng, n) for _ in range(times)])) * (alpha - 1) * 2
    roots = (f(binding.torch, rows, alpha, 1) for f in (thresholds.by_sorting, thresholds.by_steps))
    p, q = (thresholds.weights_at(binding.torch, rows, root, alpha).numpy() for root in roots)
    assert_close(p, q, "float64", "value")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("n", "k"), [(1, 1), (5, 1), (5, 4), (5, 5), (40, 7), (3000, 50), (3000, 2999)])
def test_sorting_finds_winners_that_sum_to_k(rng, n, k, dtype):
    """With supports of every size: spread scores have k winners, close ones share."""
    for scale in (1e-4, 0.03, 1.0, 30.0):
        x = torch.asarray(rng.normal(size=(20, n)) * scale, dtype=getattr(torch, dtype))
        with selection.only("few") as taken:
            p = soft_top_k(x, k)
        with selection.only():
            expected = soft_top_k(x, k)
        assert taken == ["few"]
        assert_close(p.numpy(), expected.numpy(), dtype, "value")
        np.testing.assert_array_equal(p > 0, expected > 0)


@pytest.mark.parametrize("temperature", [1.0, 0.1, 1e30, "tensor"])
def test_the_largest_finite_score_is_nothing_beside_an_infinite_one(temperature):
    x = torch.tensor([[INF, MOST, 0.0, INF], [MOST, -INF, -MOST, MOST], [-MOST, -INF, -INF, -MOST]], requires_grad=True)
    t = torch.full((3, 1), 2.0) if temperature == "tensor" else temperature
    with selection.only("few") as taken:
        p = soft_one_hot(x, temperature=t)
        (dx,) = torch.autograd.grad(p, x, torch.arange(12.0).reshape(3, 4))
    assert set(taken) == {"few"}
    np.testing.assert_array_equal(p.detach(), [[0.5, 0, 0, 0.5], [0.5, 0, 0, 0.5], [0.5, 0, 0, 0.5]])
    np.testing.assert_array_equal(dx[0], 0)


@pytest.mark.parametrize("shape", [(6, 50), (2, 50, 3)], ids=["rows", "an inner axis"])
@pytest.mark.parametrize("how", ["high", "medium", "autocast"])
def test_sums_of_products_keep_their_digits_where_products_of_matrices_lose_them(rng, shape, how):
    x = torch.asarray(rng.normal(size=shape), dtype=torch.float32)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("highest" if how == "autocast" else how)
        with selection.only("few"), torch.autocast("cpu", torch.bfloat16, enabled=how == "autocast"):
            y = soft_argmax(x, axis=1)
    finally:
        torch.set_float32_matmul_precision(before)
    expected = (torch.softmax(x.double(), 1) * torch.arange(50.0).double().reshape(-1, *[1] * (len(shape) - 2))).sum(1)
    np.testing.assert_allclose(y, expected, rtol=0, atol=16 * EPS["float32"] * 50)


@pytest.mark.parametrize("options", [{}, {"alpha": 1.5}, {"alpha": 2.0}], ids=["softmax", "1.5-entmax", "sparsemax"])
@pytest.mark.parametrize("axes", [(1, 2), (2, 1), (0, 1, 2)], ids=["two axes", "in another order", "all axes"])
def test_neighbouring_axes_are_reduced_as_one(rng, options, axes):
    x = torch.asarray(rng.normal(size=(3, 4, 5)), dtype=torch.float64).requires_grad_()
    f = partial(spatial_soft_argmax, axes=axes, mask=torch.asarray(rng.uniform(size=(3, 4, 5)) > 0.3), **options)
    found = {}
    for kernel in ("few", ""):
        with selection.only(*filter(None, [kernel])) as taken:
            y = f(x)
            (dx,) = torch.autograd.grad(y, x, torch.cos(torch.arange(y.numel(), dtype=y.dtype)).reshape(y.shape))
        assert set(taken) == set(filter(None, [kernel]))
        found[kernel] = y.detach().numpy(), dx.numpy()
    for (a, b), quantity in zip(zip(*found.values(), strict=True), ("value", "derivative"), strict=True):
        assert_close(a, b, "float64", quantity)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_are_computed_in_float32_and_their_gradient_comes_back_in_them(rng, dtype):
    x = torch.asarray(rng.normal(size=(4, 300)), dtype=dtype).requires_grad_()
    wide = x.detach().float().requires_grad_()
    g = torch.asarray(rng.normal(size=4), dtype=torch.float32)
    with selection.only("few") as taken:
        (dx,), (expected,) = (torch.autograd.grad(soft_argmax(a, axis=-1), a, g) for a in (x, wide))
    assert taken == ["few"] * 2
    assert dx.dtype == dtype
    np.testing.assert_array_equal(dx.float(), expected.to(dtype).float())


def test_a_compiled_call_guards_nothing_of_the_library(rng):
    """Guards took longer than a small call: of all modules, only that of the public function is looked at."""
    torch._dynamo.reset()
    f = torch.compile(lambda x: soft_argmax(x, axis=-1), backend="eager", fullgraph=True)
    f(torch.asarray(rng.normal(size=(3, 4))))
    (entry,) = torch._dynamo.eval_frame._debug_get_cache_entry_list(f.__wrapped__.__code__)
    assert str(entry.guard_manager).count("_rules") == str(entry.guard_manager).count("_kernels") == 0


@pytest.mark.parametrize("how", ["compile", "transform"])
def test_a_row_with_nan_and_infinities_has_no_gradient_where_nothing_is_kept(how):
    x = torch.tensor([[NAN, INF, -INF, 1.0], [0.0, INF, -INF, 1.0], [NAN, 0.0, 1.0, 2.0]])
    mask = torch.tensor([[True] * 4, [True] * 4, [True, True, True, False]])
    torch._dynamo.reset()
    for function in (partial(soft_argmax, axis=-1), partial(soft_argmax, axis=-1, alpha=1.5), soft_one_hot):
        if how == "compile":
            f = torch.compile(partial(function, mask=mask), backend="aot_eager", fullgraph=True)
            leaf = x.clone().requires_grad_()
            (dx,) = torch.autograd.grad(f(leaf).sum(), leaf)
        else:
            y, pull = torch.func.vjp(partial(function, mask=mask), x)
            (dx,) = pull(torch.ones_like(y))
        np.testing.assert_array_equal(torch.isnan(dx), [[1, 1, 0, 1], [0] * 4, [1, 1, 1, 0]])


@pytest.mark.parametrize(
    "function",
    [partial(soft_one_hot, alpha=2), partial(soft_one_hot, alpha=1.5), lambda x: soft_top_k(x, 2)],
    ids=["sparsemax", "1.5-entmax", "capped winners"],
)
def test_an_exported_graph_has_the_gradient_that_its_example_asks_for(rng, function):
    """One of scores that require none has none, and says so: it is for inference, and smaller."""

    class Model(torch.nn.Module):
        def forward(self, x):
            return function(x)

    x, g = (torch.asarray(rng.normal(size=(3, 6)), dtype=torch.float64) for _ in range(2))
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(function(leaf), leaf, g)
    (dx,) = torch.autograd.grad(torch.export.export(Model(), (leaf,)).module()(leaf), leaf, g)
    assert_close(dx.numpy(), expected.numpy(), "float64", "derivative")
    y = torch.export.export(Model(), (x,)).module()(leaf)
    assert not y.requires_grad
    assert_close(y.numpy(), function(x).numpy(), "float64", "value")


@pytest.mark.parametrize("function", [partial(soft_argmax, axis=-1), soft_one_hot], ids=["position", "weights"])
@pytest.mark.parametrize("temperature", [1e-9, 1e-3, "tensor"])
def test_a_large_cotangent_over_a_low_temperature_does_not_overflow_in_few_operations(function, temperature):
    x = torch.tensor([[0.03, 1.052]], requires_grad=True)
    t = torch.full((1, 1), 1e-9) if temperature == "tensor" else temperature
    with selection.only("few") as taken:
        y = function(x, temperature=t)
        (dx,) = torch.autograd.grad(y, x, torch.full_like(y, 1e30))
    assert taken == ["few"]
    np.testing.assert_array_equal(dx, 0)
