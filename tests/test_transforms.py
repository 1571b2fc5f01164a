"""The transforms of each framework: they must trace, and give what the eager call gives."""

import contextlib
import gc
import math
import os
import subprocess
import sys
import textwrap
import warnings
import weakref
from functools import partial

import numpy as np
import pytest
from conftest import backend_parameters

from anyargmax import (
    expectation,
    fenchel_young_loss,
    sharpen,
    soft_argmax,
    soft_argmax_moments,
    soft_one_hot,
    soft_top_k,
    spatial_expectation,
    spatial_soft_argmax,
    vjp,
)
from anyargmax.validation.tolerance import EPS

CALLS = {
    "position": partial(soft_argmax, axis=-1, temperature=0.7),
    "flattened_position": soft_argmax,
    "median": partial(soft_argmax, axis=0, readout="median"),
    "straight_through": partial(soft_argmax, axis=-1, hard=True),
    "moments": lambda x: soft_argmax_moments(x, axis=-1)[1],
    "weights": soft_one_hot,
    "hard_weights": partial(soft_one_hot, hard=True),
    "coordinates": partial(spatial_soft_argmax, coordinates="corner"),
    "sharpened": lambda x: sharpen(x * x + 0.5),
    "given_position": lambda x: expectation(x, -1),
    "given_covariance": lambda x: spatial_expectation(x, readout="covariance")[1],
    "covariance": lambda x: spatial_soft_argmax(x, readout="covariance", coordinates="center")[1],
    "logarithms": lambda x: soft_one_hot(x, log=True),
}
TRACED = {
    "1.25-entmax_weights": partial(soft_one_hot, alpha=1.25),
    "sparsemax_position": partial(soft_argmax, axis=-1, alpha=2, temperature=0.5),
    "windowed_position": partial(soft_argmax, axis=-1, window=1),
    "3-entmax_weights": partial(soft_one_hot, alpha=3),
    "two_winners": lambda x: soft_top_k(x, 2),
    "given_median": lambda x: expectation(x * x, readout="median"),
    "1.5-entmax_logarithms": lambda x: soft_one_hot(x / 4, alpha=1.5, log=True),
}
every_call = pytest.mark.parametrize("name", list(CALLS))
torch_only = pytest.mark.parametrize("torch_backend", backend_parameters(("torch",)))
jax_only = pytest.mark.parametrize("jax_backend", backend_parameters(("jax",)))
X = np.random.default_rng(3).normal(size=(4, 5))
WEIGHTS = np.random.default_rng(6).normal(size=20)
G = np.random.default_rng(4).normal(size=(4, 5))


def same(backend, actual, expected, tolerance=64):
    expected = backend.to_numpy(expected)
    scale = max(1.0, float(np.max(np.abs(expected), initial=0.0)))
    np.testing.assert_allclose(backend.to_numpy(actual), expected, rtol=0, atol=tolerance * EPS["float64"] * scale)


def loss(name, xp):
    """A weighted sum, so that a wrong gradient that sums to 0 shows."""

    def weighted(x):
        y = CALLS[name](x)
        return (y * xp.asarray(WEIGHTS[: math.prod(y.shape)].reshape(tuple(y.shape)))).sum()

    return weighted


INF, NAN, TOP = math.inf, math.nan, float(np.finfo("float32").max)
ROWS = {
    "infinite and one not a number": [[0, INF, NAN, 1], [INF, -INF, INF, 2], [-INF, 0, 1, 2], [-INF, -INF, -INF, -INF]],
    "at the ends of the range": [
        [TOP, INF, -TOP, 0],
        [TOP, TOP, -TOP, -INF],
        [-TOP, -TOP, 0, -87.5],
        [-88, -100, 0, 1],
    ],
    "ordinary": [[0, 1, 2, 3], [4, 4, 4, 4], [-1e-3, 0, 1e-3, 0], [50, 0, -50, 1]],
}
HALF = np.asarray([[True, True, False, True]] * 3 + [[False] * 4])


@torch_only
@pytest.mark.parametrize("temperature", [1.0, 0.01, 1e30])
@pytest.mark.parametrize("mask", [None, HALF], ids=["unmasked", "masked"])
@pytest.mark.parametrize("rows", [pytest.param(name, id=name.replace(" ", "_")) for name in ROWS])
@pytest.mark.parametrize("function", [soft_argmax, soft_one_hot, spatial_soft_argmax], ids=lambda f: f.__name__)
def test_values_that_cannot_be_looked_at_may_be_infinite(torch_backend, function, rows, mask, temperature):
    import torch

    x = torch_backend.asarray(np.asarray(ROWS[rows]), "float32")
    mask = None if mask is None else torch_backend.asarray(mask)
    axes = {} if function is spatial_soft_argmax else {"axis": -1}
    f = partial(function, mask=mask, temperature=temperature, **axes)
    y, pullback = torch_backend.vjp(f, x)
    g = torch.asarray(WEIGHTS[: y.numel()], dtype=x.dtype).reshape(y.shape)
    y_traced, pullback_traced = torch.func.vjp(f, x)
    eps = {"equal_nan": True, "rtol": 0}
    np.testing.assert_allclose(y_traced, y, atol=16 * EPS["float32"] * 4, **eps)
    scale = max(1.0, 1 / temperature)
    np.testing.assert_allclose(pullback_traced(g)[0], pullback(g)[0], atol=64 * EPS["float32"] * scale, **eps)


@torch_only
class TestTorch:
    @every_call
    def test_compiles_to_one_graph_with_its_gradient(self, torch_backend, name):
        import torch

        torch._dynamo.reset()
        compiled = torch.compile(loss(name, torch), fullgraph=True, backend="aot_eager")
        x, y = (torch_backend.asarray(X).requires_grad_() for _ in range(2))
        got, expected = compiled(x), loss(name, torch)(y)
        same(torch_backend, got, expected)
        got.backward()
        expected.backward()
        same(torch_backend, x.grad, y.grad)

    @every_call
    def test_func_grad_is_the_eager_gradient(self, torch_backend, name):
        import torch

        x = torch_backend.asarray(X).requires_grad_()
        (expected,) = torch.autograd.grad(loss(name, torch)(x), x)
        same(torch_backend, torch.func.grad(loss(name, torch))(x.detach()), expected)

    @pytest.mark.parametrize("alpha", [1, 1.5])
    def test_func_grad_of_a_loss_is_the_eager_gradient_in_scores_and_target(self, torch_backend, alpha):
        import torch

        weights = torch_backend.asarray(WEIGHTS[:4])

        def total(x, target):
            return (weights * fenchel_young_loss(x, target, temperature=0.5, alpha=alpha)).sum()

        arrays = [torch_backend.asarray(a) for a in (X, np.exp(G) / np.exp(G).sum(-1, keepdims=True))]
        leaves = [array.clone().requires_grad_() for array in arrays]
        total(*leaves).backward()
        for transformed, leaf in zip(torch.func.grad(total, argnums=(0, 1))(*arrays), leaves, strict=True):
            same(torch_backend, transformed, leaf.grad)

    @every_call
    def test_func_jacobians_of_both_modes_agree(self, torch_backend, name):
        import torch

        x = torch_backend.asarray(X)
        expected = torch.autograd.functional.jacobian(CALLS[name], x)
        same(torch_backend, torch.func.jacrev(CALLS[name])(x), expected)
        same(torch_backend, torch.func.jacfwd(CALLS[name])(x), expected)

    @every_call
    def test_vmap_is_a_loop(self, torch_backend, name):
        import torch

        xs = torch_backend.asarray(np.stack([X, X[::-1], -X]))
        same(torch_backend, torch.func.vmap(CALLS[name])(xs), torch.stack([CALLS[name](x) for x in xs]))
        same(
            torch_backend,
            torch.func.vmap(torch.func.grad(loss(name, torch)))(xs),
            torch.stack([torch.func.grad(loss(name, torch))(x) for x in xs]),
        )

    @every_call
    def test_all_hessians_agree(self, torch_backend, name):
        import torch
        from torch.func import hessian, jacfwd, jacrev

        f, x = loss(name, torch), torch_backend.asarray(X)
        expected = hessian(f)(x)
        for outer in (jacfwd, jacrev):
            for inner in (jacfwd, jacrev):
                same(torch_backend, outer(inner(f))(x), expected, 256)
        same(torch_backend, torch.autograd.functional.hessian(f, x), expected, 256)

    @every_call
    def test_forward_mode_is_the_jvp(self, torch_backend, name):
        import torch
        from torch.autograd import forward_ad

        x, t = torch_backend.asarray(X), torch_backend.asarray(G)
        with forward_ad.dual_level():
            tangent = forward_ad.unpack_dual(CALLS[name](forward_ad.make_dual(x, t))).tangent
        same(torch_backend, tangent, torch.func.jvp(CALLS[name], (x,), (t,))[1])

    @every_call
    def test_export_keeps_the_value(self, torch_backend, name):
        import torch

        class Module(torch.nn.Module):
            def forward(self, x):
                return CALLS[name](x)

        x = torch_backend.asarray(X)
        same(torch_backend, torch.export.export(Module(), (x,)).module()(x), CALLS[name](x))

    @pytest.mark.parametrize(
        "name", ["position", "median", "moments", "sharpened"]
    )  # the steps of the others are theirs
    def test_one_graph_serves_every_length(self, torch_backend, name):
        import torch

        torch._dynamo.reset()
        compiled = torch.compile(CALLS[name], fullgraph=True, dynamic=True, backend="aot_eager")
        for more in range(3):
            x = torch_backend.asarray(np.random.default_rng(more).normal(size=(4 + more, 5 + 2 * more)))
            same(torch_backend, compiled(x), CALLS[name](x))

    @pytest.mark.parametrize("name", ["position", "weights", "coordinates"])
    def test_a_length_may_be_a_symbol_in_an_export(self, torch_backend, name):
        import torch

        class Module(torch.nn.Module):
            def forward(self, x):
                return CALLS[name](x)

        symbols = {0: torch.export.Dim("rows"), 1: torch.export.Dim("n")}
        exported = torch.export.export(Module(), (torch_backend.asarray(X),), dynamic_shapes={"x": symbols}).module()
        x = torch_backend.asarray(np.random.default_rng(1).normal(size=(6, 9)))
        same(torch_backend, exported(x), CALLS[name](x))

    @pytest.mark.parametrize("name", [*CALLS, *TRACED])
    def test_a_trace_decides_nothing_by_the_values_that_it_saw(self, torch_backend, name):
        """Neither whether rows need care, nor how many steps a threshold takes."""
        import torch

        def f(x):
            return (CALLS | TRACED)[name](x)

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`torch.jit.trace", DeprecationWarning)
            warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)  # of lengths, which do stay
            traced = torch.jit.trace(f, torch_backend.asarray(np.zeros((4, 5))), check_trace=False)
        rows = [[INF, 0, 1, 2, INF], [-INF, 1, 0, 2, 3], [-INF] * 5, [3e5, 1, 1.5, 1.25, 3e5 - 0.125]]
        for x in (X, 30 * X, *([np.asarray(rows)] if name != "sharpened" else [])):
            actual, expected = (torch_backend.to_numpy(g(torch_backend.asarray(x))) for g in (traced, f))
            np.testing.assert_allclose(actual, expected, rtol=0, atol=64 * EPS["float64"])

    def test_checkpointing_keeps_the_gradient(self, torch_backend):
        from torch.utils.checkpoint import checkpoint

        x, y = (torch_backend.asarray(X).requires_grad_() for _ in range(2))
        (checkpoint(CALLS["position"], x, use_reentrant=False) * y[:, 0].detach()).sum().backward()
        (CALLS["position"](y) * y[:, 0].detach()).sum().backward()
        same(torch_backend, x.grad, y.grad)

    def test_inference_without_a_gradient_keeps_no_graph(self, torch_backend):
        import torch

        x = torch_backend.asarray(X).requires_grad_()
        with torch.no_grad():
            assert not soft_argmax(x).requires_grad
        with torch.inference_mode():
            same(torch_backend, soft_argmax(x).clone(), soft_argmax(x.detach()))
        assert not soft_argmax(x.detach()).requires_grad
        assert soft_argmax(x).requires_grad

    @pytest.mark.parametrize("device", ["fake", "meta"])
    def test_shapes_come_out_of_tensors_without_values(self, torch_backend, device):
        import torch
        from torch._subclasses.fake_tensor import FakeTensorMode

        x = torch_backend.asarray(X)
        mode = FakeTensorMode() if device == "fake" else contextlib.nullcontext()
        with mode:
            x = (x.to("meta") if device == "meta" else mode.from_tensor(x)).requires_grad_()
            for alpha in (1, 1.5, 3):
                p = soft_one_hot(x, alpha=alpha, temperature=0.5)
                (gradient,) = torch.autograd.grad(p.sum(), x)
                assert p.shape == gradient.shape == x.shape

    def test_a_parameter_and_a_subclass_keep_their_gradient(self, torch_backend):
        import torch

        parameter = torch.nn.Parameter(torch_backend.asarray(X))
        soft_argmax(parameter, hard=True).backward()
        assert bool(torch.all(torch.isfinite(parameter.grad)))
        assert bool(torch.any(parameter.grad != 0))

    def test_compiles_cold_in_a_fresh_process(self, torch_backend):
        """The adapter is then loaded while Dynamo traces."""
        code = """
            import torch, anyargmax
            f = torch.compile(lambda x: anyargmax.soft_argmax(x, axis=-1).sum(), fullgraph=True, backend="aot_eager")
            x = torch.arange(6.0).reshape(2, 3).requires_grad_()
            f(x).backward()
            y = torch.arange(6.0).reshape(2, 3).requires_grad_()
            anyargmax.soft_argmax(y, axis=-1).sum().backward()
            assert torch.allclose(x.grad, y.grad, rtol=0, atol=1e-6), (x.grad, y.grad)
            print("compiled")
        """
        ran = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
        assert ran.stdout.strip() == "compiled", ran.stderr


def torch_hessian(name):
    import torch

    return torch.func.hessian(loss(name, torch))(torch.asarray(X)).numpy()


@jax_only
class TestJax:
    @pytest.mark.parametrize("name", ["position", "median", "weights", "covariance", "logarithms"])
    def test_works_where_ranks_may_not_be_promoted(self, jax_backend, name):
        import jax
        import jax.numpy as jnp

        f, x = loss(name, jnp), jnp.asarray(X)
        expected = jax.jit(jax.grad(f))(x)
        with jax.numpy_rank_promotion("raise"):
            same(jax_backend, jax.jit(jax.grad(f))(x + 0), expected)

    @every_call
    def test_jit_keeps_value_and_gradient(self, jax_backend, name):
        import jax
        import jax.numpy as jnp

        x, slope = jax_backend.asarray(X), jax.grad(loss(name, jnp))
        value, gradient = jax.jit(lambda x: (CALLS[name](x), slope(x)))(x)
        same(jax_backend, value, CALLS[name](x))
        same(jax_backend, gradient, slope(x))

    @every_call
    def test_jacobians_of_both_modes_agree(self, jax_backend, name):
        import jax

        f = CALLS[name]
        same(jax_backend, *jax.jit(lambda x: (jax.jacfwd(f)(x), jax.jacrev(f)(x)))(jax_backend.asarray(X)))

    @every_call
    def test_vmap_is_a_loop(self, jax_backend, name):
        import jax
        import jax.numpy as jnp

        xs = jax_backend.asarray(np.stack([X, X[::-1], -X]))
        slope = jax.grad(loss(name, jnp))

        def both(x):
            return CALLS[name](x), slope(x)

        alone = [*map(jax.jit(both), xs)]
        for mapped, each in zip(jax.jit(jax.vmap(both))(xs), zip(*alone, strict=True), strict=True):
            same(jax_backend, mapped, jnp.stack(each))

    @every_call
    @torch_only
    def test_all_hessians_agree_and_are_torchs(self, jax_backend, torch_backend, name):
        import jax
        import jax.numpy as jnp

        f, x = loss(name, jnp), jax_backend.asarray(X)
        # The hessian is forward over reverse.
        modes = ((jax.jacfwd, jax.jacfwd), (jax.jacrev, jax.jacfwd), (jax.jacrev, jax.jacrev))
        everything = [jax.hessian(f), *(outer(inner(f)) for outer, inner in modes)]
        expected, *others = jax.jit(lambda x: [h(x) for h in everything])(x)  # together, in half of the time
        for actual in others:
            same(jax_backend, actual, expected, 256)
        same(jax_backend, expected, jax_backend.asarray(torch_hessian(name)), 256)

    def test_a_temperature_may_be_traced_and_annealed_without_compiling_again(self, jax_backend):
        import jax

        traces = []

        @jax.jit
        def f(x, temperature):
            traces.append(1)
            return soft_argmax(x, axis=-1, temperature=temperature)

        x = jax_backend.asarray(X)
        for temperature in (1.0, 0.5, 0.25):
            same(jax_backend, f(x, temperature), soft_argmax(x, axis=-1, temperature=temperature))
        assert len(traces) == 1

    def test_a_mask_may_be_traced(self, jax_backend):
        import jax

        x, mask = jax_backend.asarray(X), jax_backend.asarray(X > -0.5)

        def f(x, mask):
            return soft_argmax(x, axis=-1, mask=mask)

        same(jax_backend, jax.jit(f)(x, mask), f(x, mask))


@jax_only
def test_jit_takes_controls_that_are_known_while_it_traces(jax_backend):
    """Arrays from outside are looked at as always: a trace does not make them unknown."""
    import jax

    x, t = jax_backend.asarray(X), jax_backend.asarray([[0.5], [1.0], [2.0], [3.0]])
    f = partial(soft_argmax, axis=-1, keepdims=True, temperature=t, alpha=1 + t)
    np.testing.assert_allclose(jax.jit(f)(x), f(x), rtol=0, atol=16 * EPS["float64"])
    bad = jax_backend.asarray([[0.5], [-1.0], [2.0], [1.0]])
    with pytest.raises(ValueError, match=r"`temperature` must be greater than 0 everywhere, got \[\[ 0.5\]"):
        jax.jit(partial(soft_argmax, axis=-1, temperature=bad))(x)


NAMED = (
    CALLS
    | TRACED
    | {
        "bins": lambda x: soft_argmax(x, axis=-1, positions=np.arange(5.0)),
        "masked_flat": lambda x: soft_argmax(x, mask=np.arange(5) > 0),
        "hard_coordinates": lambda x: spatial_soft_argmax(x, hard=True),
        "loss_of_indices": lambda x: fenchel_young_loss(x, np.zeros(4, dtype=int)),
        "background": lambda x: soft_argmax(x**2, axis=0, zero_background=True),
    }
)


@pytest.mark.parametrize("jax_backend", backend_parameters(("jax",)))
@pytest.mark.parametrize("name", list(NAMED))
def test_no_rank_is_promoted_in_silence(jax_backend, name):
    """JAX can be told to refuse that."""
    import jax

    def loss(x):
        y = NAMED[name](x)
        return sum(jax.numpy.sum(part) for part in (y if isinstance(y, tuple) else (y,)))

    x = jax_backend.asarray(X)
    with jax.numpy_rank_promotion("raise"):
        assert np.isfinite(float(loss(x)))
        for f in (jax.jit(loss), jax.grad(loss), jax.jit(jax.grad(loss))):
            jax.make_jaxpr(f)(x)  # it is refused while it is traced


SHARDED = """
import re
import jax, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from anyargmax import soft_argmax, spatial_soft_argmax

mesh = jax.make_mesh((8,), ("d",), axis_types=(AxisType.Auto,))
x = np.random.default_rng(0).normal(size=(8, 16, 64, 128)).astype("float32")
position = lambda x: soft_argmax(x, axis=1)
gradient = jax.grad(lambda x: (np.arange(64.0)[:, None] * soft_argmax(x, axis=1)).sum())
coordinates = lambda x: spatial_soft_argmax(x)
for f, axes in ((position, (0, 2, 3)), (gradient, (0, 2, 3)), (coordinates, (0, 1))):
    for axis in axes:
        sharded = jax.device_put(x, NamedSharding(mesh, PartitionSpec(*[None] * axis, "d")))
        compiled = jax.jit(f).lower(sharded).compile()
        moved = re.findall("all-gather|collective-permute|all-to-all|all-reduce", compiled.as_text())
        assert not moved, (f, axis, moved)
        np.testing.assert_allclose(np.asarray(compiled(sharded)), np.asarray(jax.jit(f)(x)), rtol=0, atol=1e-4)
print("nothing was moved")
"""


@pytest.mark.parametrize("jax_backend", backend_parameters(("jax",)))
def test_nothing_is_moved_where_the_axis_that_is_reduced_is_not_sharded(jax_backend):
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    ran = subprocess.run([sys.executable, "-c", SHARDED], env=environment, capture_output=True, text=True, check=False)
    assert ran.stdout.strip() == "nothing was moved", ran.stderr


@pytest.mark.parametrize("backend", backend_parameters(("array_api_strict", "dask")))
def test_nothing_is_kept_of_what_is_computed_after_a_pullback(backend):
    """A tape that runs on would hold every array."""
    x = backend.asarray(X)
    vjp(soft_argmax, x)
    later = soft_one_hot(x)
    held = weakref.ref(later)
    del later
    gc.collect()
    assert held() is None
