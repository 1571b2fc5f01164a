"""The engines: the numbers of the rules, whatever the block size, the layout and the scores; and what they save."""

import gc
import inspect
import os
import subprocess
import sys
import threading
import tracemalloc
import weakref
from contextlib import ExitStack
from functools import partial

import numpy as np
import pytest
from conftest import PRESENT, backend_parameters

import anyargmax
from anyargmax import (
    expectation,
    fenchel_young_loss,
    sharpen,
    soft_argmax,
    soft_argmax_moments,
    soft_argmin,
    soft_one_hot,
    soft_top_k,
    spatial_expectation,
    spatial_soft_argmax,
)
from anyargmax._calls import arguments, composition
from anyargmax._compat import array_namespace
from anyargmax._frameworks import binding, kept_calls
from anyargmax._kernels import selection
from anyargmax._kernels.blocks import dense, dense_vjp, dense_weights
from anyargmax._kernels.blocks.kernel import BLOCKS
from anyargmax.validation.oracle import decimals
from anyargmax.validation.oracle import functions as oracle
from anyargmax.validation.tolerance import EPS, TOLERANCE, assert_close

INF, NAN = np.inf, np.nan
last = partial(soft_argmax, axis=-1)
engined = pytest.mark.parametrize("backend", backend_parameters(("numpy", "autograd", "torch")))
needs_torch = pytest.mark.skipif("torch" not in PRESENT, reason="torch is not installed")
torch_only = pytest.mark.parametrize("backend", backend_parameters(("torch",)))


@pytest.fixture(autouse=True)
def use():
    """Have these kernels serve from now on, with these limits: all of them to begin with, whatever the environment says."""
    with ExitStack() as stack:
        have = lambda *names, **limits: stack.enter_context(selection.only(*names, limits=limits))  # noqa: E731
        have(*(kernel.name for kernel in selection.BUILT_IN))
        yield have


def set_engines(use, on=True, block=None, native=False):
    """Turn the engines on or off; block is in bytes, few enough that small arrays take several of them."""
    names = ("native", "blocks") if native else ("blocks",)
    use(*(names if on else ()), blocks={} if block is None else {"block": block, "columns": 2})


WAYS = {
    dense: ("_block_by_block", "_row_by_row", "_at_once"),
    dense_vjp: ("_pulled_block_by_block", "_pulled_at_once", "_pulled_together"),
    dense_weights: ("_block_by_block", "_pulled_block_by_block"),
}


@pytest.fixture
def counted(monkeypatch):
    """Names of the engine's functions, one for each time it was called; a name that is not there is an error."""
    calls = []
    for module, names in WAYS.items():
        for name in names:
            original = getattr(module, name)

            def counting(*args, name=name, original=original):
                calls.append(name)
                return original(*args)

            monkeypatch.setattr(module, name, counting)
    return calls


def joined(y):
    """Mean and variance in one array; any other answer as it is."""
    return np.stack(y) if isinstance(y, tuple) else y


def both(backend, f, x, g, dtype="float64"):
    """Value and gradient."""
    y, pullback = backend.vjp(f, backend.asarray(x, dtype))
    cotangent = tuple(backend.asarray(part, dtype) for part in g) if isinstance(y, tuple) else backend.asarray(g, dtype)
    y = joined(tuple(map(backend.to_numpy, y)) if isinstance(y, tuple) else backend.to_numpy(y))
    return y, backend.to_numpy(pullback(cotangent)[0])


def mask_of(shape, at=0.6):
    mask = np.random.default_rng(5).random(shape) < at
    mask[0] = mask[..., 0] = True
    return mask


CASES = {
    "rows": (soft_argmax, (5, 6), {"axis": -1}, None),
    "one row": (soft_argmax, (7,), {}, None),
    "first axis": (soft_argmax, (6, 5), {"axis": 0}, None),
    "middle axis with the axes kept": (soft_argmax, (2, 4, 3), {"axis": 1, "keepdims": True}, None),
    "flattened": (soft_argmax, (3, 4), {}, None),
    "one entry with the axis kept": (soft_argmax, (4, 1), {"axis": -1, "keepdims": True}, None),
    "one number with the axis kept": (soft_argmax, (1,), {"keepdims": True}, None),
    "rows at a temperature": (soft_argmax, (5, 6), {"axis": -1, "temperature": 0.3}, None),
    "middle axis at a low temperature": (soft_argmax, (2, 4, 3), {"axis": 1, "temperature": 0.01}, None),
    "masked rows": (soft_argmax, (5, 6), {"axis": -1}, mask_of((5, 6))),
    "masked columns at a temperature": (soft_argmax, (5, 6), {"axis": 0, "temperature": 2}, mask_of((5, 6))),
    "flattened under a mask of the columns": (soft_argmax, (3, 4), {}, mask_of((4,))),
    "smallest": (soft_argmin, (5, 6), {"axis": -1}, None),
    "smallest on the first axis at a temperature": (soft_argmin, (6, 5), {"axis": 0, "temperature": 0.2}, None),
    "moments": (soft_argmax_moments, (5, 6), {"axis": -1, "temperature": 0.5}, None),
    "moments on the middle axis under a mask": (soft_argmax_moments, (2, 4, 3), {"axis": 1}, mask_of((2, 4, 3))),
    "flattened moments with the axes kept": (soft_argmax_moments, (3, 4), {"keepdims": True}, None),
    "moments of a map": (spatial_soft_argmax, (2, 3, 4), {"readout": "moments", "coordinates": "corner"}, None),
    "weights": (soft_one_hot, (5, 6), {}, None),
    "weights on the first axis": (soft_one_hot, (6, 5), {"axis": 0, "temperature": 0.5}, None),
    "weights over two axes": (soft_one_hot, (2, 3, 4), {"axis": (2, 1)}, None),
    "map": (spatial_soft_argmax, (2, 3, 4), {}, None),
    "leading axes of a map": (spatial_soft_argmax, (3, 4, 2), {"axes": (0, 1), "coordinates": "corner"}, None),
    "swapped axes of a map": (spatial_soft_argmax, (4, 3), {"axes": (1, 0), "temperature": 0.5}, None),
    "masked map": (spatial_soft_argmax, (2, 3, 4), {"coordinates": "center"}, mask_of((2, 3, 4))),
}
every_case = pytest.mark.parametrize("name", [pytest.param(name, id=name.replace(" ", "_")) for name in CASES])


def of_case(name, backend):
    function, shape, options, mask = CASES[name]
    arrays = {} if mask is None else {"mask": backend.asarray(mask)}
    x = np.asarray(np.random.default_rng(sum(name.encode())).normal(size=shape) * 2, dtype="float32").astype("float64")
    return partial(function, **options, **arrays), x


def exact(name, x):
    function, _, options, mask = CASES[name]
    given = {} if mask is None else {"mask": mask}
    return joined(getattr(oracle, function.__name__)(x, **options, **given))


@every_case
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("block", [1, 100, 2**19])
@engined
def test_engine_has_the_values_and_gradients_of_the_oracle_and_of_the_rule(
    backend, block, dtype, name, use, counted, rng
):
    f, x = of_case(name, backend)
    expected = decimals.rounded(exact(name, decimals.exact(x)))
    g = np.round(16 * rng.normal(size=expected.shape)) / 16
    set_engines(use, block=block)
    y, dx = both(backend, f, x, g, dtype)
    assert any(call.startswith("_pulled") for call in counted)
    assert_close(y, expected, dtype, "value")
    t = np.round(16 * rng.normal(size=x.shape)) / 16
    moved = decimals.rounded(decimals.derivative(partial(exact, name), decimals.exact(x), decimals.exact(t)))
    temperature = CASES[name][2].get("temperature", 1)
    scale = min(1, temperature)
    assert_close(np.vdot(dx, t) * scale, np.vdot(moved, g) * scale, dtype, "derivative")
    set_engines(use, on=False)
    y_rule, dx_rule = both(backend, f, x, g, dtype)
    assert_close(y, y_rule, dtype, "value")
    assert_close(dx * scale, dx_rule * scale, dtype, "derivative")


@every_case
@pytest.mark.parametrize("block", [1, 2**19])
def test_engine_has_the_values_of_the_rule_on_plain_numpy(block, name, use, counted):
    f, x = of_case(name, PRESENT["numpy"])
    set_engines(use, block=block)
    y = joined(f(x))
    assert counted
    set_engines(use, on=False)
    assert_close(y, joined(f(x)), "float64", "value")


AWKWARD = np.asarray(
    [
        [0.5, 2.0, 1.0, -1.5],
        [500.0, 502.0, 499.0, 501.0],
        [-500.0, -502.0, -499.0, -501.0],
        [NAN, 1.0, 2.0, 3.0],
        [-INF, 1.0, 0.0, -INF],
        [-INF, -INF, -INF, -INF],
        [1e30, -1e30, 0.0, 1e30],
        [0.0, -3e38, 3e38, 0.0],
        [-80.0, -79.0, -81.0, 30.0],
    ]
)
COTANGENTS = {
    "finite": np.asarray([1.0, -2.0, 0.5, 1.0, 3.0, -1.0, 2.0, 0.25, 1.0]),
    "NaN": np.asarray([NAN, -2.0, 0.5, 1.0, NAN, NAN, 2.0, 0.25, NAN]),
    "huge": np.asarray([1e30, -2.0, 1e37, 1.0, 3.0, -1.0, 1e38, 0.25, 1.0]),
}


@pytest.mark.parametrize("cotangent", list(COTANGENTS))
@pytest.mark.parametrize("temperature", [1.0, 0.5])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("plus_inf", [False, True])
@pytest.mark.parametrize("block", [1, 2**19])
@engined
def test_awkward_scores_and_cotangents_are_those_of_the_rule(
    backend, block, plus_inf, axis, temperature, cotangent, use
):
    x = np.concatenate([AWKWARD, [[INF, 0.0, INF, 1.0]]]) if plus_inf else AWKWARD
    g = np.append(COTANGENTS[cotangent], 1.0) if plus_inf else COTANGENTS[cotangent]
    x = x if axis == 1 else x.T
    f = partial(soft_argmax, axis=axis, temperature=temperature)
    set_engines(use, block=block)
    y, dx = both(backend, f, x, g, "float32")
    set_engines(use, on=False)
    y_rule, dx_rule = both(backend, f, x, g, "float32")
    assert_close(y, y_rule, "float32", "value")
    np.testing.assert_array_equal(np.isnan(dx), np.isnan(dx_rule))
    np.testing.assert_array_equal(dx[np.isinf(x)], dx_rule[np.isinf(x)])
    scale = np.expand_dims(np.maximum(1, np.abs(np.nan_to_num(g))), axis)
    assert_close(dx / scale, dx_rule / scale, "float32", "derivative")


@engined
@pytest.mark.parametrize("moments", [False, True], ids=["position", "moments"])
@pytest.mark.parametrize("g", [1.0, 5e36, NAN], ids=str)
def test_a_second_pullback_has_the_gradient_of_the_first_and_of_the_rule(backend, g, moments, use, counted):
    """What was kept is used up by then; a cotangent that overflows on the way is left to the rule both times."""
    x = np.random.default_rng(12).normal(size=(6, 40)) - 5  # so low that sums of exponentials are less than 1
    f = partial(soft_argmax_moments, axis=-1) if moments else last
    found = []
    for on in (True, False):
        set_engines(use, on=on, block=256)
        _, pullback = backend.vjp(f, backend.asarray(x, "float32"))
        gs = backend.asarray([1.0, g, -2.0, 0.5, 1.0, -g], "float32")
        cotangent = (gs, 0 * gs + 1) if moments else gs
        found += [backend.to_numpy(pullback(cotangent)[0]) for _ in range(2)]
        assert counted[-1:] == ["_pulled_block_by_block"] * on
        counted.clear()
    *engine, rule, again = found
    np.testing.assert_array_equal(rule, again)
    scale = np.asarray([[1.0], [max(1, g)], [1], [1], [1], [max(1, g)]])
    for dx in engine:
        assert_close(dx / scale, rule / scale, "float32", "derivative")


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
@pytest.mark.parametrize("axis", [0, 1])
@engined
def test_awkward_weights_vanish_exactly_where_those_of_the_rule_do(backend, axis, temperature, native, use):
    for rows in (AWKWARD[:2], AWKWARD[[0, 8]], AWKWARD, np.concatenate([AWKWARD, [[INF, 0.0, INF, 1.0]]])):
        x = rows if axis == 1 else rows.T
        g = np.random.default_rng(3).normal(size=x.shape)
        f = partial(soft_one_hot, axis=axis, temperature=temperature)
        set_engines(use, block=1, native=native)
        p, dx = both(backend, f, x, g, "float32")
        set_engines(use, on=False)
        p_rule, dx_rule = both(backend, f, x, g, "float32")
        assert_close(p, p_rule, "float32", "value")
        np.testing.assert_array_equal(p == 0, p_rule == 0)
        np.testing.assert_array_equal(dx == 0, dx_rule == 0)
        assert_close(dx, dx_rule, "float32", "derivative")


@engined
@pytest.mark.parametrize("poison", [NAN, INF, -INF, 1e30])
def test_a_masked_score_enters_no_block(backend, poison, use):
    mask = mask_of((6, 5))
    mask[2] = False
    f = partial(last, mask=backend.asarray(mask))
    x, g = np.random.default_rng(1).normal(size=(6, 5)), np.arange(1.0, 7.0)
    set_engines(use, block=64)
    y, dx = both(backend, f, x, g)
    y_poisoned, dx_poisoned = both(backend, f, np.where(mask, x, poison), g)
    np.testing.assert_array_equal(y, y_poisoned)
    np.testing.assert_array_equal(dx, dx_poisoned)
    np.testing.assert_array_equal(np.isnan(y), ~mask.any(-1))
    np.testing.assert_array_equal(dx[~mask], 0)


LAYOUTS = {
    "transposed": lambda x: x.T,
    "every second": lambda x: x[::2, 1::2],
    "broadcast": lambda x: np.broadcast_to(x[:1], x.shape),
    "backwards": lambda x: x[::-1, ::-1],
    "in three axes, swapped": lambda x: x.reshape(4, 3, 5).swapaxes(0, 1),
}


@pytest.mark.parametrize("layout", list(LAYOUTS))
@pytest.mark.parametrize("block", [1, 2**19])
@pytest.mark.parametrize("axis", [0, -1])
def test_any_layout_gives_what_a_copy_gives(axis, block, layout, use):
    x = np.random.default_rng(2).normal(size=(6, 10))
    view = LAYOUTS[layout](x)
    view.flags.writeable = False
    f = partial(soft_argmax, axis=axis)
    set_engines(use, block=block)
    y, pullback = anyargmax.vjp(f, view)
    g = np.random.default_rng(3).normal(size=y.shape)
    y_copy, pullback_copy = anyargmax.vjp(f, view.copy())
    assert_close(y, y_copy, "float64", "value")
    assert_close(pullback(g)[0], pullback_copy(g)[0], "float64", "derivative")


@torch_only
@pytest.mark.parametrize("layout", ["transposed", "every second", "broadcast", "in three axes, swapped"])
def test_any_layout_of_a_tensor_gives_what_a_copy_gives(backend, layout, use):
    x = backend.asarray(np.random.default_rng(2).normal(size=(6, 10)))
    ways = {
        "transposed": lambda x: x.T,
        "every second": lambda x: x[::2, 1::2],
        "broadcast": lambda x: x[:1].expand(6, 10),
        "in three axes, swapped": lambda x: x.reshape(4, 3, 5).transpose(0, 1),
    }
    view = ways[layout](x).requires_grad_()
    copy = view.detach().clone().requires_grad_()
    set_engines(use, block=64)
    for t in (view, copy):
        y = last(t)
        (y * backend.asarray(np.arange(1.0, 1 + y.numel())).reshape(y.shape)).sum().backward()
    assert_close(backend.to_numpy(last(view)), backend.to_numpy(last(copy)), "float64", "value")
    assert_close(backend.to_numpy(view.grad), backend.to_numpy(copy.grad), "float64", "derivative")


@needs_torch
class TestTorch:
    """What a `Function` with an engine inside must stand."""

    @pytest.fixture
    def backend(self, use):
        set_engines(use, block=64)
        return PRESENT["torch"]

    def scores(self, backend):
        return backend.asarray(np.random.default_rng(4).normal(size=(6, 5))).requires_grad_()

    def test_second_derivatives_are_those_of_the_rule(self, backend, use):
        from torch.autograd import gradgradcheck

        x = self.scores(backend)
        curved = backend.xp.autograd.functional.hessian(lambda x: (last(x) ** 2).sum(), x)
        assert gradgradcheck(last, x)
        set_engines(use, on=False)
        rule = backend.xp.autograd.functional.hessian(lambda x: (last(x) ** 2).sum(), x)
        assert_close(backend.to_numpy(curved), backend.to_numpy(rule), "float64", "derivative")

    def test_a_retained_graph_gives_its_gradient_again(self, backend, counted):
        x = self.scores(backend)
        y = last(x)
        gradients = [backend.xp.autograd.grad(y.sum(), x, retain_graph=True)[0] for _ in range(3)]
        assert sum(call.startswith("_pulled") for call in counted) == 3
        for gradient in gradients[1:]:
            assert_close(backend.to_numpy(gradient), backend.to_numpy(gradients[0]), "float64", "derivative")

    def test_an_answer_may_be_written_into(self, backend):
        x, again = self.scores(backend), self.scores(backend)
        y = last(x)
        y *= 2
        y.sum().backward()
        (2 * last(again)).sum().backward()
        assert_close(backend.to_numpy(x.grad), backend.to_numpy(again.grad), "float64", "derivative")

    def test_scores_that_were_written_into_are_noticed(self, backend):
        x = self.scores(backend)
        z = 1 * x
        y = last(z)
        z += 1
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.sum().backward()

    def test_batched_cotangents_are_a_loop(self, backend):
        x = self.scores(backend)
        y, gs = last(x), backend.asarray(np.random.default_rng(5).normal(size=(3, 6)))
        (batched,) = backend.xp.autograd.grad(y, x, gs, is_grads_batched=True, retain_graph=True)
        for g, gradient in zip(gs, batched, strict=True):
            (alone,) = backend.xp.autograd.grad(y, x, g, retain_graph=True)
            assert_close(backend.to_numpy(gradient), backend.to_numpy(alone), "float64", "derivative")

    def test_checkpointing_keeps_nothing_in_between(self, backend, monkeypatch):
        from torch.utils.checkpoint import checkpoint

        kept = []
        forward = dense.forward
        monkeypatch.setattr(dense, "forward", lambda p, mask, x, keep: kept.append(keep) or forward(p, mask, x, keep))
        kept_calls.forget()
        x, again = self.scores(backend), self.scores(backend)
        checkpoint(last, x, use_reentrant=False).sum().backward()
        assert kept
        assert not any(kept)
        last(again).sum().backward()
        assert kept[-1]
        assert_close(backend.to_numpy(x.grad), backend.to_numpy(again.grad), "float64", "derivative")

    def test_vmap_forward_mode_and_tracing_go_round_the_engine(self, backend, counted):
        import torch

        x = self.scores(backend).detach()
        expected = last(x)
        assert counted
        counted.clear()
        assert_close(backend.to_numpy(torch.func.vmap(soft_argmax)(x)), backend.to_numpy(expected), "float64", "value")
        torch.func.jvp(last, (x,), (x,))
        assert not counted

    def test_a_subclass_takes_the_rule(self, backend, counted):
        class Own(backend.xp.Tensor):
            pass

        x = self.scores(backend).detach()
        assert type(last(x.as_subclass(Own))) is Own
        assert not counted

    def test_autocast_rounds_no_position(self, backend, use):
        import torch

        set_engines(use, native=True)
        x = torch.zeros(4, 300)
        x[:, 257] = 50.0
        x.requires_grad_()
        assert last(x).tolist() == [257.0] * 4
        with torch.autocast("cpu", torch.bfloat16):
            assert last(x).tolist() == [257.0] * 4

    def test_inference_mode_spoils_no_later_call(self, backend, use):
        import torch

        set_engines(use, native=True)
        x = self.scores(backend)
        with torch.inference_mode():
            for _ in range(2):
                last(x)
        for _ in range(2):
            last(x).sum().backward()

    @pytest.mark.parametrize(
        ("threads", "sizes", "engine"),
        [
            (1, (50, 10), []),
            (1, (800, 1000), [1, 2]),
            (2, (120, 1000), []),
            (2, (800, 1000), [1, 2]),
            (3, (800, 1000), []),
        ],
    )
    def test_native_operations_do_what_they_are_quicker_at_with_so_many_threads(
        self, backend, monkeypatch, use, counted, threads, sizes, engine
    ):
        import torch

        set_engines(use, native=True)
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
        x = backend.asarray(np.random.default_rng(7).normal(size=sizes), "float32")
        y = last(x)
        assert bool(counted) == bool(engine)
        y_recorded = last(x.requires_grad_())
        assert len(counted) == len(engine)
        y, y_recorded = (backend.to_numpy(value.detach()) / sizes[1] for value in (y, y_recorded))
        assert_close(y_recorded, y, "float32", "value")

    def test_native_operations_give_way_where_scores_need_care(self, backend, use):
        x, g = AWKWARD, COTANGENTS["finite"]
        set_engines(use, native=True)
        y, dx = both(backend, last, x, g)
        set_engines(use, on=False)
        y_rule, dx_rule = both(backend, last, x, g)
        assert_close(y, y_rule, "float64", "value")
        assert_close(dx, dx_rule, "float64", "derivative")


def test_autograd_gives_second_derivatives_of_the_rule(use):
    import autograd
    import autograd.numpy as anp

    x = np.random.default_rng(6).normal(size=(3, 4))
    u = np.random.default_rng(7).normal(size=(3, 4))

    def slope(x):
        return anp.sum(autograd.grad(lambda x: anp.sum(last(x) ** 2))(x) * u)

    set_engines(use, block=64)
    curved = autograd.grad(slope)(x)
    set_engines(use, on=False)
    assert_close(curved, autograd.grad(slope)(x), "float64", "derivative")


def peak_of(f):
    """Bytes allocated at most during f, beyond what there was before."""
    tracemalloc.start()
    f()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


numpy_memory = pytest.mark.parametrize("backend", backend_parameters(("numpy", "autograd")))


@numpy_memory
@pytest.mark.parametrize(("shape", "axis"), [((4096, 512), -1), ((64, 128, 256), 1)])
def test_the_gradient_is_all_the_memory_that_is_taken(backend, shape, axis):
    x = np.zeros(shape, dtype="float32")
    f = partial(soft_argmax, axis=axis)
    g = np.ones(f(x).shape, dtype="float32")
    assert peak_of(lambda: f(x)) < 0.4 * x.nbytes
    assert peak_of(lambda: backend.vjp(f, x)[1](g)) <= 1.05 * x.nbytes + 2 * BLOCKS.limits.block


@numpy_memory
@pytest.mark.parametrize("options", ["mask", "temperature a row", "window", "median", "background"])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_options_and_half_types_take_no_more_memory(backend, dtype, options):
    """Nor is the input ever held in float32 on its own, nor a gradient beside the exponentials whose memory it takes."""
    x = np.zeros((4096, 512), dtype=dtype)
    x[:, 0] = 1
    given = {
        "mask": {"mask": np.ones(x.shape, dtype=bool)},
        "temperature a row": {"temperature": np.ones((4096, 1), dtype=dtype)},
        "window": {"window": 3},
        "median": {"readout": "median"},
        "background": {"zero_background": True},
    }[options]
    f = partial(soft_argmax, axis=-1, **given)
    g = np.ones(f(x).shape, dtype="float32")
    wide = x.size * 4
    assert peak_of(lambda: f(x)) < 0.4 * wide
    assert peak_of(lambda: backend.vjp(f, x)[1](g)) <= 1.05 * x.nbytes + 6 * BLOCKS.limits.block


@numpy_memory
def test_a_gradient_that_was_handed_out_is_not_written_to_again(backend):
    x = np.random.default_rng(8).normal(size=(200, 300))
    _, pull = backend.vjp(last, x)
    (first,) = pull(np.ones(200))
    before = first.copy()
    (second,) = pull(2 * np.ones(200))
    np.testing.assert_array_equal(first, before)
    assert_close(second / 2, first, "float64", "derivative")


@pytest.mark.parametrize("which", ["powers of two", "NumPy's own", "the framework's"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@every_case
def test_every_exponential_gives_the_numbers_of_the_rule(name, dtype, which, monkeypatch, use, rng):
    """Which of them is the quickest depends on the processor: all of them are tried on every one."""
    backend = PRESENT["numpy"]
    f, x = of_case(name, backend)
    g = rng.normal(size=decimals.rounded(exact(name, decimals.exact(x))).shape)
    set_engines(use, on=False)
    y_rule, dx_rule = both(backend, f, x, g, dtype)
    use("blocks", blocks={"block": 64, "columns": 2, "powers_of_two": which == "powers of two"})
    lent = []
    if which == "the framework's":
        ops = binding.of_namespace(array_namespace(x))
        own = lambda x, out: lent.append(x) or np.exp(x, out=out)  # noqa: E731
        monkeypatch.setattr(ops, "memory", ops.memory._replace(exponential=own))
    y, dx = both(backend, f, x, g, dtype)
    assert bool(lent) == (which == "the framework's")
    scale = min(1, CASES[name][2].get("temperature", 1))
    assert_close(y, y_rule, dtype, "value")
    assert_close(dx * scale, dx_rule * scale, dtype, "derivative")


@engined
def test_eight_threads_at_once_get_what_one_gets(backend, use):
    set_engines(use, block=2**12)
    xs = [np.random.default_rng(k).normal(size=(40, 100)) for k in range(8)]
    g = np.ones(40)
    alone = [both(backend, last, x, g) for x in xs]
    together: list = [None] * 8

    def work(k):
        for _ in range(5):
            together[k] = both(backend, last, xs[k], g)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


MAKERS = {
    soft_argmax: arguments.position,
    soft_argmin: arguments.position,
    soft_argmax_moments: arguments.position,
    spatial_soft_argmax: arguments.map_coordinates,
    soft_one_hot: arguments.one_hot,
    soft_top_k: arguments.winners,
    sharpen: arguments.sharpened,
    expectation: arguments.weighted,
    spatial_expectation: arguments.map_weighted,
}


@pytest.mark.parametrize("f", [*MAKERS, fenchel_young_loss], ids=lambda f: f.__name__)
def test_what_is_validated_is_the_key_of_a_kept_call(f):
    """An option that is not in it has no effect, instead of the effect it had in another call."""
    _, *options = inspect.signature(f).parameters
    maker = arguments.loss if f is fenchel_young_loss else MAKERS[f]
    _, *validated = (p.name for p in inspect.signature(maker).parameters.values() if p.default is p.empty)
    assert set(options) <= set(validated)
    assert set(validated) - set(options) <= {"zero_background", "readout", "hard"}


@pytest.mark.parametrize("f", MAKERS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("backend", backend_parameters(("numpy", "torch", "jax")))
def test_an_option_changes_a_kept_call(backend, f):
    """Each call is made twice, after all others: kept or not, it has the answer of its own arguments."""
    x = backend.asarray(np.asarray([[0.5, 2.0, 1.0, 0.25], [3.0, 0.0, 1.0, 2.5]]))
    k = (2,) if f is soft_top_k else ()
    others = {
        "axis": 0, "keepdims": True, "temperature": 0.5, "alpha": 1.5, "window": 1, "readout": "median", "hard": True,
        "coordinates": "corner", "axes": (1, 0), "kind": "sigmoid", "power": 2.0, "rounds": 2, "zero_background": True,
        "log": True,
    }  # fmt: skip
    options = [{}, *({name: value} for name, value in others.items() if name in inspect.signature(f).parameters)]

    def answers():
        made = [f(x, *k, **option) for option in options]
        return [
            np.concatenate([np.ravel(backend.to_numpy(y)) for y in (y if type(y) is tuple else (y,))]) for y in made
        ]

    first, again = answers(), answers()
    for option, y, z in zip(options, first, again, strict=True):
        kept_calls.forget()
        fresh = f(x, *k, **option)
        fresh = np.concatenate([np.ravel(backend.to_numpy(w)) for w in (fresh if type(fresh) is tuple else (fresh,))])
        np.testing.assert_array_equal(y, fresh)
        np.testing.assert_array_equal(z, fresh)
    distinct = {(y.size, *y.tolist()) for y in first}
    assert len(distinct) >= len(options) - 1  # the position of a flattened array is the same with its axis kept


def test_no_more_calls_are_kept_than_the_limit():
    for n in range(1, 2 * kept_calls.LIMIT):
        soft_argmax(np.zeros(n))
        assert len(kept_calls._calls) <= kept_calls.LIMIT
    assert len(kept_calls._calls) > 1


def test_kept_calls_hold_no_more_than_their_room():
    most = kept_calls.ROOM // 4 // 16  # positions and ones in float64 that alone take a quarter of it
    for length in range(most - 9, most + 1):
        soft_argmax(np.zeros((2, length)), axis=-1)
        assert 1 <= len(kept_calls._calls) <= 4
        assert sum(kept_calls._sizes.values()) <= kept_calls.ROOM
    soft_argmax(np.zeros((2, most + 1)), axis=-1)
    assert not [key for key in kept_calls._calls if most + 1 in key[1][1]]


@pytest.mark.parametrize(
    ("good", "bad", "error"),
    [
        ({"axis": 1}, {"axis": True}, ValueError),
        ({"axis": 1}, {"axis": 1.0}, TypeError),
        ({"axis": 0, "keepdims": True}, {"axis": 0, "keepdims": 1}, TypeError),
        ({"axis": 0, "temperature": 1}, {"axis": 0, "temperature": True}, TypeError),
        ({"axis": 0, "alpha": 1}, {"axis": 0, "alpha": True}, TypeError),
        ({"axis": 0, "hard": False}, {"axis": 0, "hard": 0}, TypeError),
        ({"axis": 0, "window": 1}, {"axis": 0, "window": True}, ValueError),
        ({"axis": 0, "window": (1,)}, {"axis": 0, "window": (True,)}, ValueError),
        ({"axis": 0}, {"axis": 0, "temperature": [1.0]}, TypeError),
        ({"axis": 0}, {"axis": 0, "temperature": NAN}, ValueError),
    ],
)
def test_a_kept_call_hides_no_error(anyargmax_backend, good, bad, error):
    x = anyargmax_backend.asarray(np.arange(6.0).reshape(2, 3))
    for _ in range(3):
        soft_argmax(x, **good)
        with pytest.raises(error):
            soft_argmax(x, **bad)


def test_a_kept_call_of_moments_is_no_readout_of_a_position():
    x = np.zeros((3, 4))
    for _ in range(2):
        soft_argmax_moments(x, axis=0)
    with pytest.raises(ValueError, match="`readout` must be 'mean' or 'median', got 'moments'"):
        soft_argmax(x, axis=0, readout="moments")


def test_a_kept_call_hides_no_wrong_axes_of_a_map():
    x = np.zeros((3, 4))
    for _ in range(2):
        spatial_soft_argmax(x, axes=(0, 1))
        spatial_soft_argmax(x, axes=[0, 1])
        with pytest.raises(ValueError, match="axes"):
            spatial_soft_argmax(x, axes=(0, True))
        spatial_soft_argmax(x, window=(1, 1))
        with pytest.raises(ValueError, match="window"):
            spatial_soft_argmax(x, window=(True, 1))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@engined
def test_a_call_that_is_kept_for_its_arrays_has_the_answer_of_others(backend, dtype):
    """Of an array the key has what describes it, and not its values."""
    x = backend.asarray(np.asarray([[0.0, 1.0, 3.0], [2.0, 0.0, 1.0]]), dtype)
    kept_calls.forget()
    for temperature in (np.asarray([[1.0], [2.0]]), np.asarray([[0.5], [0.25]])):
        for mask in (np.asarray([True, True, False]), np.asarray([False, True, True])):
            given = {"temperature": backend.asarray(temperature, dtype), "mask": backend.asarray(mask)}
            z = np.where(mask, backend.to_numpy(x) / temperature, -INF)
            p = np.exp(z) / np.sum(np.exp(z), axis=-1, keepdims=True)
            assert_close(backend.to_numpy(soft_argmax(x, axis=-1, **given)), p @ np.arange(3.0), dtype, "value")
    assert len(kept_calls._calls) == 1


@pytest.mark.parametrize("backend", backend_parameters(("numpy", "torch")))
def test_a_kept_call_holds_none_of_the_arrays_it_was_made_with(backend):
    kept_calls.forget()
    arrays = [backend.asarray(np.ones((2, 1))), backend.asarray(np.asarray([[True, False, True]] * 2))]
    soft_argmax(backend.asarray(np.zeros((2, 3))), axis=-1, hard=True, temperature=arrays[0], mask=arrays[1])
    assert len(kept_calls._calls) == 1
    alive = [weakref.ref(array) for array in arrays]
    arrays.clear()
    gc.collect()
    assert [array() for array in alive] == [None, None]


@needs_torch
def test_another_default_dtype_is_seen_by_a_kept_call():
    import torch

    x = torch.arange(6)
    assert [soft_argmax(x).dtype for _ in range(2)] == [torch.float32] * 2
    torch.set_default_dtype(torch.float64)
    try:
        assert soft_argmax(x).dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(("setting", "expected"), [("0", "False"), ("1", "True")])
def test_the_environment_turns_the_engines_off(setting, expected):
    code = """if True:
        import sys, numpy, anyargmax
        assert anyargmax.soft_argmax(numpy.zeros((100, 5)), axis=-1)[0] == 2
        print("anyargmax._kernels.blocks.dense" in sys.modules)
    """
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "ANYARGMAX_ENGINES": setting},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout.strip() == expected, ran.stderr


def test_long_rows_are_as_exact_as_short_ones():
    x = np.random.default_rng(9).normal(size=(64, 20000)).astype("float32")
    y = soft_argmax(x, axis=-1)
    p = np.exp(x.astype("float64"))
    expected = (p @ np.arange(20000.0)) / p.sum(-1)
    assert np.max(np.abs(y - expected)) <= TOLERANCE["value"] * EPS["float32"] * 20000


@pytest.mark.parametrize(
    "options", [{}, {"axis": -1}, {"hard": True}, {"mask": np.asarray([True, False, True])}], ids=str
)
def test_a_single_position_is_an_array_as_by_the_rules(options, use):
    found = []
    for on in (True, False):
        set_engines(use, on=on)
        found.append(type(soft_argmax(np.asarray([0.0, 1.0, 5.0]), **options)))
    assert found == [np.ndarray, np.ndarray]


@torch_only
def test_a_mask_that_is_changed_before_the_backward_pass_is_an_error(backend):
    import torch

    x, mask = torch.randn(3, 50, requires_grad=True), torch.rand(3, 50) < 0.5
    for again in (False, True):
        y = soft_argmax(x, axis=-1, mask=mask)
        mask.fill_(True)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            torch.autograd.grad(y.sum(), x, create_graph=again)


@torch_only
def test_engines_serve_whatever_the_default_device_was_when_they_were_loaded(backend):
    code = """
import sys, torch
from anyargmax._kernels import selection
import anyargmax
with torch.device("meta"):
    anyargmax.soft_argmax(torch.ones(2, 3, device="cpu"), axis=-1)
with selection.only("native", "blocks") as taken:
    anyargmax.soft_argmax(torch.ones(2, 3), axis=-1)
sys.exit(taken != ["native"])
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@torch_only
@pytest.mark.parametrize("f", [last, partial(soft_argmax_moments, axis=-1)], ids=["position", "moments"])
@pytest.mark.parametrize("rows", [1, 2, 3, 4])
def test_native_operations_leave_no_row_of_a_nan_to_the_rules(backend, f, rows, monkeypatch, use, counted):
    """It makes its own row NaN, which is what the answer is."""
    x = np.random.default_rng(rows).normal(size=(rows, 5))
    x[rows // 2, 1] = NAN
    found, by_rules, answers = [], [], composition.answers
    for on in (True, False):
        set_engines(use, on=on, native=True)
        noted = lambda *args, on=on, **options: by_rules.append(on) or answers(*args, **options)  # noqa: E731
        monkeypatch.setattr(composition, "answers", noted)
        y = f(backend.asarray(x))
        found.append(joined(tuple(map(backend.to_numpy, y)) if isinstance(y, tuple) else backend.to_numpy(y)))
    assert by_rules == [False]
    assert not counted
    assert_close(*found, "float64", "value")
    np.testing.assert_array_equal(np.isnan(found[0]).reshape(-1, rows).all(0), np.arange(rows) == rows // 2)


@torch_only
@pytest.mark.parametrize("score", [INF, -INF, NAN, 1e30], ids=str)
@pytest.mark.parametrize("temperature", [1.0, 3.0, 0.01])
@pytest.mark.parametrize("f", [last, partial(soft_argmin, axis=-1), partial(soft_argmax_moments, axis=-1)])
def test_native_operations_leave_an_awkward_row_to_the_rules_at_every_temperature(backend, f, temperature, score, use):
    x = np.asarray([[score], [0.5]]) if temperature == 3.0 else np.asarray([[score, 0.0, 1.0], [0.5, 2.0, 0.0]])
    found = []
    for on in (True, False):
        set_engines(use, on=on, native=True)
        value, pullback = backend.vjp(partial(f, temperature=temperature), backend.asarray(x))
        g = tuple(2 * y + 1 for y in value) if isinstance(value, tuple) else 2 * value + 1
        values = value if isinstance(value, tuple) else (value,)
        found.append([*map(backend.to_numpy, values), backend.to_numpy(pullback(g)[0])])
    for actual, expected in zip(*found, strict=True):
        assert_close(actual, expected, "float64", "derivative")
