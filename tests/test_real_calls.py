"""Temperatures in arrays, learned or not, masks and half types on plain memory: the numbers of the rules and of the oracle.

Clients hold a temperature in an array, mask their padding and compute in half types: those calls have the kernel in blocks.
"""

from functools import partial

import numpy as np
import pytest
from conftest import PRESENT, backend_parameters

import anyargmax
from anyargmax import soft_argmax, soft_argmax_moments, soft_argmin, soft_one_hot, spatial_soft_argmax
from anyargmax._frameworks import kept_calls
from anyargmax._kernels import selection
from anyargmax.validation.oracle import decimals
from anyargmax.validation.oracle import functions as oracle
from anyargmax.validation.tolerance import EPS, assert_close, round_to

INF, NAN = np.inf, np.nan
last = partial(soft_argmax, axis=-1)
engined = pytest.mark.parametrize("backend", backend_parameters(("numpy", "autograd", "torch")))
# Whose temperature may have a gradient: NumPy's own vjp is of the scores.
GIVEN_OR_LEARNED = [
    pytest.param(PRESENT[name], learned, id=f"{name}-{'learned' if learned else 'given'}")
    for name in ("numpy", "autograd", "torch")
    if name in PRESENT
    for learned in (False, True)
    if not (learned and name == "numpy")
]
given_or_learned = pytest.mark.parametrize(("backend", "learned"), GIVEN_OR_LEARNED)
learning = pytest.mark.parametrize("backend", backend_parameters(("autograd", "torch")))
torch_only = pytest.mark.parametrize("backend", backend_parameters(("torch",)))
blocks = partial(selection.only, "blocks")


def small(block):
    """Blocks of so many bytes, few enough that small arrays take several of them."""
    return blocks(limits={"blocks": {"block": block, "columns": 2}})


def mask_of(shape, at=0.6):
    mask = np.random.default_rng(5).random(shape) < at
    mask[0] = mask[..., 0] = True
    return mask


def stacked(y):
    """Mean and variance in one array; any other answer as it is."""
    return np.stack(y) if isinstance(y, tuple) else y


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
        [-100.0, -30.0, -101.0, -99.0],
        [1.0, NAN, 0.0, -INF],
        [3.0, 2.0, 1.0, 0.0],
    ]
)
KEPT = np.ones(AWKWARD.shape, dtype=bool)
KEPT[0, 1] = KEPT[1, 2] = KEPT[3, 3] = KEPT[6, 0] = KEPT[7, 2] = KEPT[8, 3] = KEPT[10, 1] = False
KEPT[11] = False

ROW, COLUMN, ONE = np.asarray([[0.25], [1.5], [3.0], [0.5], [1.0]]), np.asarray([[0.5, 2.0, 1.0]]), np.asarray([0.5])
# The function, the shape of the scores, the options, the temperature, and the mask.
CASES = {
    "a number a row": (soft_argmax, (5, 6), {"axis": -1}, ROW, None),
    "a number a column": (soft_argmax, (4, 3), {"axis": 0}, COLUMN, None),
    "one number of no axes": (soft_argmax, (5, 6), {"axis": -1}, np.asarray(0.5), None),
    "one number of one axis": (soft_argmax, (5, 6), {"axis": -1}, ONE, None),
    "one number for a flattened array": (soft_argmax, (3, 4), {}, np.asarray([[0.5]]), None),
    "one number for the smallest": (soft_argmin, (5, 6), {"axis": -1}, ONE, None),
    "a number a row for the smallest": (soft_argmin, (5, 6), {"axis": 1}, ROW, None),
    "a number a channel": (soft_argmax, (2, 3, 4), {"axis": -1}, COLUMN[..., None], None),
    "a number for each of the last axis": (soft_argmax, (2, 4, 3), {"axis": 1, "keepdims": True}, COLUMN[0], None),
    "a number for each of the first axis": (soft_argmax, (5, 4, 3), {"axis": 1}, ROW[..., None], None),
    "moments at a number a row": (soft_argmax_moments, (5, 6), {"axis": -1}, ROW, None),
    "moments under a mask at one number": (soft_argmax_moments, (2, 4, 3), {"axis": 1}, ONE, mask_of((2, 4, 3))),
    "maps at a number each": (spatial_soft_argmax, (5, 3, 4), {"coordinates": "corner"}, ROW[..., None], None),
    "maps at one number under a mask of all": (spatial_soft_argmax, (2, 3, 4), {}, ONE, mask_of((3, 4))),
    "rows under a mask at a number a row": (soft_argmax, (5, 6), {"axis": -1}, ROW, mask_of((5, 6))),
    "columns under a mask of the rows": (soft_argmax, (5, 6), {"axis": 0}, None, mask_of((5, 1))),
    "a middle axis under a mask along it": (soft_argmax, (2, 4, 3), {"axis": 1}, None, mask_of((4, 1))),
    "a middle axis under a mask of the others": (soft_argmax, (2, 4, 3), {"axis": 1}, None, mask_of((2, 1, 3))),
    "two axes under a mask of one": (spatial_soft_argmax, (2, 3, 4), {}, None, mask_of((3, 1))),
    "weights at one number": (soft_one_hot, (5, 6), {}, ONE, None),
    "weights at a number a row": (soft_one_hot, (5, 6), {}, ROW, None),
    "weights on the first axis at a number a column": (soft_one_hot, (4, 3), {"axis": 0}, COLUMN, None),
    "weights under a mask": (soft_one_hot, (5, 6), {}, None, mask_of((5, 6))),
    "weights under a mask at a temperature": (soft_one_hot, (5, 6), {"temperature": 0.5}, None, mask_of((5, 6))),
    "weights over two axes under a mask": (soft_one_hot, (2, 3, 4), {"axis": (1, 2)}, None, mask_of((2, 3, 4))),
    "weights of all under a mask at one number": (soft_one_hot, (3, 4), {"axis": None}, ONE, mask_of((3, 4))),
    "weights under a mask at a number a row": (soft_one_hot, (5, 6), {}, ROW, mask_of((6,))),
    "within a window": (soft_argmax, (5, 7), {"axis": -1, "window": 1}, None, None),
    "within a window wider than the axis": (soft_argmax, (5, 4), {"axis": -1, "window": 9}, None, None),
    "within a window of nothing but the largest": (soft_argmax, (5, 4), {"axis": -1, "window": 0}, None, None),
    "within a window under a mask at a number a row": (
        soft_argmax,
        (5, 7),
        {"axis": -1, "window": 2},
        ROW,
        mask_of((5, 7)),
    ),
    "within a window on the first axis": (soft_argmax, (7, 3), {"axis": 0, "window": 1}, COLUMN, None),
    "within a window in a flattened array": (soft_argmax, (3, 4), {"window": 2}, None, mask_of((4,))),
    "the smallest within a window": (soft_argmin, (5, 7), {"axis": -1, "window": 2}, ONE, None),
    "moments within a window": (soft_argmax_moments, (2, 6, 3), {"axis": 1, "window": 2}, ONE, None),
    "maps within windows": (
        spatial_soft_argmax,
        (5, 4, 6),
        {"window": (1, 2), "coordinates": "center"},
        ROW[..., None],
        None,
    ),
    "moments of maps within windows": (
        spatial_soft_argmax,
        (2, 4, 5),
        {"window": (1, 1), "readout": "moments"},
        None,
        None,
    ),
    "median": (soft_argmax, (5, 6), {"axis": -1, "readout": "median"}, ROW, None),
    "median of many": (soft_argmax, (3, 71), {"axis": -1, "readout": "median"}, ONE, None),
    "median of many on the first axis": (
        soft_argmax,
        (75, 3),
        {"axis": 0, "readout": "median"},
        COLUMN,
        mask_of((75, 3)),
    ),
    "median of the smallest": (soft_argmin, (5, 6), {"axis": -1, "readout": "median"}, ONE, None),
    "median in a flattened array": (
        soft_argmax,
        (3, 4),
        {"readout": "median", "keepdims": True},
        None,
        mask_of((3, 4)),
    ),
    "median of one entry": (soft_argmax, (4, 1), {"axis": -1, "readout": "median"}, None, None),
    "median of maps": (
        spatial_soft_argmax,
        (5, 3, 4),
        {"readout": "median", "coordinates": "corner"},
        ROW[..., None],
        None,
    ),
    "median of maps with the axes swapped": (
        spatial_soft_argmax,
        (4, 3, 2),
        {"readout": "median", "axes": (1, 0)},
        None,
        None,
    ),
    "zero background": (soft_argmax, (4, 6), {"axis": -1, "zero_background": True, "temperature": 0.5}, None, None),
    "zero background at a low temperature": (
        soft_argmax,
        (4, 6),
        {"axis": -1, "zero_background": True, "temperature": 0.02},
        None,
        None,
    ),
    "zero background under a mask": (soft_argmax, (4, 6), {"axis": 0, "zero_background": True}, None, mask_of((4, 6))),
    "moments on a zero background": (soft_argmax_moments, (2, 5, 3), {"axis": 1, "zero_background": True}, None, None),
    "maps on a zero background": (
        spatial_soft_argmax,
        (2, 3, 4),
        {"zero_background": True, "coordinates": "center"},
        None,
        None,
    ),
}
every_case = pytest.mark.parametrize("name", [pytest.param(name, id=name.replace(" ", "_")) for name in CASES])


def scores_of(name):
    _, shape, options, *_ = CASES[name]
    rng = np.random.default_rng(sum(name.encode()))
    x = rng.normal(size=shape) * 2
    return np.abs(x) * (rng.random(shape) < 0.8) if options.get("zero_background") else x


def exact(name, x, t):
    function, _, options, _, mask = CASES[name]
    given = {**({} if mask is None else {"mask": mask}), **({} if t is None else {"temperature": t})}
    return stacked(getattr(oracle, function.__name__)(x, **options, **given))


def pulled(backend, name, x, t, g, dtype, dtype_t=None):
    """Value, and gradients of the scores and of the temperature that is learned, None where it is not."""
    function, _, options, _, mask = CASES[name]
    given = {} if mask is None else {"mask": backend.asarray(mask)}
    arrays = [backend.asarray(x, dtype), *([] if t is None else [backend.asarray(t, dtype_t or dtype)])]
    learned = t is not None and backend.name != "numpy"  # whose own vjp is of the scores
    fixed = {} if t is None or learned else {"temperature": arrays[1]}
    f = lambda x, *t: function(x, **options, **given, **(fixed or {"temperature": t[0]} if t or fixed else {}))  # noqa: E731
    y, pullback = backend.vjp(f, *arrays[: 1 + learned])
    parts = tuple(backend.asarray(part, dtype) for part in g) if isinstance(y, tuple) else backend.asarray(g, dtype)
    grads = [backend.to_numpy(grad) for grad in pullback(parts)]
    y = tuple(map(backend.to_numpy, y)) if isinstance(y, tuple) else backend.to_numpy(y)
    return stacked(y), grads[0], grads[1] if learned else None


@every_case
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("block", [1, 100, 2**19])
@engined
def test_arrays_beside_the_scores_have_the_values_and_gradients_of_the_oracle(backend, block, dtype, name, rng):
    x, t = round_to(scores_of(name), dtype), CASES[name][3]
    precise = decimals.exact(x), None if t is None else decimals.exact(t)
    expected = decimals.rounded(exact(name, *precise))
    g = np.round(16 * rng.normal(size=expected.shape)) / 16
    with small(block) as taken:
        y, dx, dt = pulled(backend, name, x, t, g, dtype)
    assert taken == ["blocks"]
    assert_close(y, expected, dtype, "value")
    lowest = min(1, CASES[name][2].get("temperature", 1), 1 if t is None else t.min())
    u = np.round(16 * rng.normal(size=x.shape)) / 16
    moved = decimals.derivative(lambda x: exact(name, x, precise[1]), precise[0], decimals.exact(u))
    scale = lowest
    assert_close(np.vdot(dx, u) * scale, np.vdot(decimals.rounded(moved), g) * scale, dtype, "derivative")
    if dt is not None:
        assert dt.shape == t.shape
        u = np.round(16 * rng.normal(size=t.shape)) / 16
        moved = decimals.derivative(lambda t: exact(name, precise[0], t), precise[1], decimals.exact(u))
        scale = lowest**2
        assert_close(np.vdot(dt, u) * scale, np.vdot(decimals.rounded(moved), g) * scale, dtype, "derivative")


@every_case
@engined
def test_arrays_beside_the_scores_have_the_numbers_of_the_rule(backend, name, rng):
    x, t = scores_of(name), CASES[name][3]
    g = rng.normal(size=exact(name, decimals.exact(x), None if t is None else decimals.exact(t)).shape)
    found = []
    for names in (("blocks",), ()):
        with selection.only(*names) as taken:
            found.append(pulled(backend, name, x, t, g, "float32"))
        assert taken == [*names]
    scale = min(1, CASES[name][2].get("temperature", 1), 1 if t is None else t.min())
    for part, (actual, expected) in enumerate(zip(*found, strict=True)):
        if actual is not None:
            assert_close(actual * scale**part, expected * scale**part, "float32", "derivative" if part else "value")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("f", [soft_argmax, soft_argmax_moments], ids=lambda f: f.__name__)
@pytest.mark.parametrize("masked", [False, True], ids=["all kept", "masked"])
@pytest.mark.parametrize("block", [1, 2**19])
@engined
def test_maps_on_a_zero_background_have_the_numbers_of_the_rule_whatever_is_in_them(backend, block, masked, f, dtype):
    """Of zeros alone, of one score, of large ones, beside temperatures that are not learned."""
    x = np.asarray(
        [[0.0, 0, 0, 0], [0, 3, 0, 0], [50, 1, 60, 0], [1e4, 0, 1e4, 3], [0.1, 0.2, 0, 0], [2, 1, 0, 9], [0, 0, 5, 0]]
    )
    mask = np.asarray(
        [[1, 1, 1, 0], [1, 1, 0, 1], [1, 1, 1, 1], [1, 1, 0, 1], [1, 0, 1, 1], [0, 0, 0, 0], [1, 1, 0, 1]], dtype=bool
    )
    given = {"temperature": backend.asarray(np.asarray([[1], [0.5], [2], [1], [4], [1], [1]]), dtype)}
    given |= {"mask": backend.asarray(mask)} if masked else {}
    found = []
    for context in (small(block), selection.only()):
        with context as taken:
            y, pullback = backend.vjp(lambda x: f(x, axis=-1, zero_background=True, **given), backend.asarray(x, dtype))
            parts = y if isinstance(y, tuple) else (y,)
            g = tuple(backend.asarray(np.linspace(-1, 1, 7), dtype) for _ in parts)
            dx = pullback(g if isinstance(y, tuple) else g[0])[0]
            found.append([*map(backend.to_numpy, parts), backend.to_numpy(dx)])
        found[-1].append(list(taken))
    assert [part.pop() for part in found] == [["blocks"], []]
    for k, (actual, expected) in enumerate(zip(*found, strict=True)):
        np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
        assert_close(actual, expected, dtype, "value" if k < len(found[0]) - 1 else "derivative")


@pytest.mark.parametrize("bad", [-1e-30, -INF, NAN, INF, 1e-40], ids=str)
@engined
def test_a_map_on_a_zero_background_that_needs_the_rule_gets_it(backend, bad):
    x = np.asarray([[0.0, 3.0, 1.0], [bad, 0.0, 0.0]])
    found = []
    for names in (("blocks",), ()):
        with selection.only(*names) as taken:
            y, pullback = backend.vjp(lambda x: last(x, zero_background=True), backend.asarray(x, "float32"))
            dx = pullback(backend.asarray([1.0, -2.0], "float32"))[0]
            found.append([backend.to_numpy(y), backend.to_numpy(dx)])
        assert taken == []
    for actual, expected in zip(*found, strict=True):
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("options", [{"window": 1}, {"readout": "median"}], ids=str)
@pytest.mark.parametrize("axis", [0, 1])
@engined
def test_awkward_scores_have_the_numbers_of_the_rule_in_windows_and_medians(backend, axis, options):
    """Ties, weights of 0, rows of NaN and infinities: together, where the rule does all, and one row at a time."""
    rows = [
        np.asarray(row)[None] for row in [*AWKWARD, [INF, 0.0, INF, 1.0], [2.0, 2.0, 0.0, 2.0], [-INF, -INF, 3.0, -INF]]
    ]
    for scores in (np.concatenate(rows), *rows):
        x, found = scores if axis == 1 else scores.T, []
        for names in (("blocks",), ()):
            with selection.only(*names):
                y, pullback = backend.vjp(lambda x: soft_argmax(x, axis=axis, **options), backend.asarray(x, "float32"))
                dx = pullback(backend.asarray(np.linspace(1, 2, y.shape[0]), "float32"))[0]
                found.append([backend.to_numpy(y), backend.to_numpy(dx)])
        for actual, expected in zip(*found, strict=True):
            np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
            assert_close(actual, expected, "float32", "derivative")


def test_a_learned_temperature_of_a_zero_background_is_left_to_the_rule():
    torch = pytest.importorskip("torch")
    x, t = torch.rand(3, 5, dtype=torch.float64), torch.tensor([0.5], dtype=torch.float64, requires_grad=True)
    with blocks() as taken:
        last(x, zero_background=True, temperature=t).sum().backward()
    assert taken == []
    assert torch.isfinite(t.grad).all()


@every_case
@pytest.mark.parametrize("dtype", ["float16", "float32"])
@torch_only
def test_native_operations_have_the_numbers_of_the_rule_or_leave_the_call(backend, dtype, name, rng):
    function, _, options, t, mask = CASES[name]
    x, t = round_to(scores_of(name), dtype), None if t is None else round_to(t, dtype)
    g = round_to(rng.normal(size=exact(name, decimals.exact(x), None if t is None else decimals.exact(t)).shape), dtype)
    found, served = [], []
    for names in (("native",), ()):
        with selection.only(*names) as taken:
            found.append(pulled(backend, name, x, t, g, dtype))
        served.append(taken)
    rare = mask is not None or {"window", "readout", "zero_background"} & set(options)
    assert served[0] == ["native"] or rare or function in (soft_one_hot, soft_argmax_moments, spatial_soft_argmax)
    scale = min(1, options.get("temperature", 1), 1 if t is None else t.min())
    for part, (actual, expected) in enumerate(zip(*found, strict=True)):
        if actual is not None:
            stored = dtype if dtype != "float32" and (part or function is soft_one_hot) else None
            kind = "derivative" if part else "value"
            assert_close(actual * scale**part, expected * scale**part, dtype, kind, stored)


# Half types


HALVES = [
    pytest.param(backend, dtype, id=f"{backend.name}-{dtype}")
    for backend in (PRESENT[name] for name in ("numpy", "autograd", "torch") if name in PRESENT)
    for dtype in ("float16", "bfloat16")
    if dtype in backend.dtypes
]


@every_case
@pytest.mark.parametrize("block", [1, 100, 2**19])
@pytest.mark.parametrize(("backend", "dtype"), HALVES)
def test_half_types_have_the_numbers_of_the_rule(backend, dtype, block, name, rng):
    """They are read a block at a time and computed in float32; gradients come back in the half type."""
    x, t = round_to(scores_of(name), dtype), CASES[name][3]
    t = None if t is None else round_to(t, dtype)
    g = round_to(rng.normal(size=exact(name, decimals.exact(x), None if t is None else decimals.exact(t)).shape), dtype)
    found = []
    for context in (small(block), selection.only()):
        with context as taken:
            found.append(pulled(backend, name, x, t, g, dtype))
        found[-1] += (tuple(taken),)
    assert [part[-1] for part in found] == [("blocks",), ()]
    weights = CASES[name][0] is soft_one_hot
    scale = min(1, CASES[name][2].get("temperature", 1), 1 if t is None else t.min())
    for part, (actual, expected) in enumerate(zip(found[0][:-1], found[1][:-1], strict=True)):
        if actual is not None:
            stored = dtype if part or weights else None
            kind = "derivative" if part else "value"
            assert_close(actual * scale**part, expected * scale**part, dtype, kind, stored)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@torch_only
def test_half_gradients_are_half_and_positions_are_not(backend, dtype):
    import torch

    x = torch.randn(40, 30, dtype=getattr(torch, dtype), requires_grad=True)
    t = torch.full((40, 1), 0.5, dtype=torch.bfloat16, requires_grad=True)
    for size in (2**19, 2**8):
        with small(size) as taken:
            y = last(x, temperature=t)
            dx, dt = torch.autograd.grad(y.sum(), (x, t))
            p = soft_one_hot(x, temperature=t)
            dw, _ = torch.autograd.grad((p * x.detach()).sum(), (x, t))
        assert taken == ["blocks"] * 2
        assert (y.dtype, p.dtype) == (torch.float32, x.dtype)
        assert (dx.dtype, dt.dtype, dw.dtype) == (x.dtype, t.dtype, x.dtype)
        assert dt.shape == t.shape


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@torch_only
def test_half_scores_at_the_ends_of_their_range_are_those_of_the_rule(backend, dtype):
    import torch

    largest = float(torch.finfo(getattr(torch, dtype)).max)
    x = np.asarray([[largest, -largest, 0.0], [-INF, 1.0, -INF], [NAN, 0.0, 1.0], [-INF] * 3, [largest, largest, 0.0]])
    for f in (last, soft_one_hot):
        found = []
        for names in (("blocks",), ()):
            with selection.only(*names) as taken:
                z = backend.asarray(x, dtype).requires_grad_()
                y = f(z)
                y.backward(torch.ones_like(y))
                found.append((backend.to_numpy(y.detach()), backend.to_numpy(z.grad)))
            assert taken == [*names]
        for actual, expected in zip(*found, strict=True):
            np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
            assert_close(actual, expected, dtype, "value", dtype)


# Extremes


@pytest.mark.parametrize("temperature", [1e-45, 1e-30, 1e-3, 1e25, 1e35, INF], ids=str)
@pytest.mark.parametrize("a_row", [False, True], ids=["one", "a row"])
@pytest.mark.parametrize("f", [last, soft_one_hot], ids=["position", "weights"])
@given_or_learned
def test_an_extreme_temperature_in_an_array_is_that_of_the_rule(backend, learned, f, a_row, temperature):
    x = np.asarray([[0.0, 2.0, 1.0], [1.0, 1.0, -3.0], [-1e30, 1e30, 0.0], [5.0, 5.5, -INF]])
    t = np.full((4, 1) if a_row else (1,), temperature)
    found = []
    for names in (("blocks",), ()):
        with selection.only(*names):
            arrays = [backend.asarray(x, "float32"), backend.asarray(t, "float32")]
            both = lambda x, t=arrays[1]: f(x, temperature=t)  # noqa: E731
            y, pullback = backend.vjp(both, *arrays[: 1 + learned])
            u = np.random.default_rng(1).normal(size=y.shape)
            grads = [backend.to_numpy(grad) for grad in pullback(backend.asarray(u, "float32"))[: 1 + learned]]
            found.append((backend.to_numpy(y), *grads))
    scale = min(1, max(temperature, 2.0**-126))
    for part, (actual, expected) in enumerate(zip(*found, strict=True)):
        np.testing.assert_array_equal(np.isfinite(actual), np.isfinite(expected))
        with np.errstate(over="ignore"):
            finite = np.isfinite(expected)
            a, b = (np.where(finite, z, 0.0).astype("float64") * scale ** min(part, 2) for z in (actual, expected))
        assert_close(a, b, "float32", "derivative" if part else "value")


@pytest.mark.parametrize("bad", [0.0, -1.0, NAN, -INF], ids=str)
@given_or_learned
def test_a_temperature_that_is_not_positive_is_refused_by_a_kept_call_too(backend, learned, bad):
    x = backend.asarray(np.zeros((2, 3)))
    at = lambda x, t: last(x, temperature=t)  # noqa: E731
    for good, shape in ((np.asarray([0.5]), (1,)), (np.asarray([[0.5], [1.0]]), (2, 1))):
        wrong = np.broadcast_to(np.asarray([bad]), shape).copy()
        if shape == (2, 1):
            wrong[0] = 1.0

        def run(values):
            t = backend.asarray(values)
            return backend.vjp(partial(at, x), t)[0] if learned else at(x, t)

        run(good)
        run(good)
        with pytest.raises(
            ValueError, match=r"(?s)`temperature` must be greater than 0 everywhere, got .*\. Pass positive"
        ):
            run(wrong)


@pytest.mark.parametrize("f", [soft_argmax, soft_argmax_moments, soft_one_hot], ids=lambda f: f.__name__)
@pytest.mark.parametrize("masked", [False, True], ids=["all kept", "masked"])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("plus_inf", [False, True])
@pytest.mark.parametrize("block", [1, 2**19])
@learning
def test_awkward_scores_have_the_numbers_of_the_rule_beside_arrays(backend, block, plus_inf, axis, masked, f):
    x = np.concatenate([AWKWARD, [[INF, 0.0, INF, 1.0]]]) if plus_inf else AWKWARD
    kept = np.concatenate([KEPT, [[True, False, True, True]]]) if plus_inf else KEPT
    rng = np.random.default_rng(7)
    t = rng.random((len(x), 1)) + 0.5
    x, kept, t = (x, kept, t) if axis == 1 else (x.T, kept.T, t.T)
    found = []
    for context in (small(block), selection.only()):
        with context:
            given = {"axis": axis, **({"mask": backend.asarray(kept)} if masked else {})}
            h = lambda x, t, given=given: f(x, temperature=t, **given)  # noqa: E731
            y, pullback = backend.vjp(h, backend.asarray(x, "float32"), backend.asarray(t, "float32"))
            parts = y if isinstance(y, tuple) else (y,)
            draw = np.random.default_rng(3)
            g = tuple(backend.asarray(draw.normal(size=part.shape), "float32") for part in parts)
            dx, dt = pullback(g if isinstance(y, tuple) else g[0])
            found.append([*map(backend.to_numpy, parts), backend.to_numpy(dx), backend.to_numpy(dt)])
    for k, (actual, expected) in enumerate(zip(*found, strict=True)):
        np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
        if f is soft_one_hot and k < 2:
            np.testing.assert_array_equal(actual == 0, expected == 0)
        assert_close(actual, expected, "float32", "value" if k < len(found[0]) - 2 else "derivative")


@pytest.mark.parametrize("poison", [NAN, INF, -INF, 1e30], ids=str)
@pytest.mark.parametrize(
    "f", [last, soft_one_hot, partial(soft_argmin, axis=-1)], ids=["position", "weights", "smallest"]
)
@learning
def test_a_masked_score_enters_no_block_nor_its_temperature(backend, f, poison):
    mask = mask_of((6, 5))
    mask[2] = False
    x, t = np.random.default_rng(1).normal(size=(6, 5)), np.random.default_rng(2).random((6, 1)) + 0.5
    found = []
    for scores in (x, np.where(mask, x, poison)):
        with small(64) as taken:
            h = lambda x, t: f(x, temperature=t, mask=backend.asarray(mask))  # noqa: E731
            y, pullback = backend.vjp(h, backend.asarray(scores), backend.asarray(t))
            g = np.where(np.isnan(backend.to_numpy(y)), NAN, np.random.default_rng(4).normal(size=y.shape))
            found.append([backend.to_numpy(z) for z in (y, *pullback(backend.asarray(g)))])
        assert taken == ["blocks"]
    for actual, expected in zip(*found, strict=True):
        np.testing.assert_array_equal(actual, expected)
    y, dx, dt = found[0]
    np.testing.assert_array_equal(dx[~mask], 0)
    assert dt[2] == 0
    assert np.all(y[2] == 0) if f is soft_one_hot else np.isnan(y[2])


@pytest.mark.parametrize("kind", ["NaN", "inf", "huge"])
@engined
def test_a_cotangent_of_a_masked_weight_is_not_looked_at(backend, kind):
    mask = mask_of((6, 5))
    x, g = np.random.default_rng(1).normal(size=(6, 5)), np.random.default_rng(2).normal(size=(6, 5))
    bad = np.where(mask, g, {"NaN": NAN, "inf": INF, "huge": 1e300}[kind])
    found = []
    for cotangent in (g, bad):
        with small(64):
            _, pullback = backend.vjp(lambda x: soft_one_hot(x, mask=backend.asarray(mask)), backend.asarray(x))
            found.append(backend.to_numpy(pullback(backend.asarray(cotangent))[0]))
    np.testing.assert_array_equal(found[0], found[1])


@engined
def test_an_empty_batch_beside_arrays_is_empty(backend):
    t, mask = backend.asarray(np.ones((0, 1))), backend.asarray(np.ones((0, 3), dtype=bool))
    x = backend.asarray(np.ones((0, 3)))
    assert last(x, temperature=t, mask=mask).shape == (0,)
    assert soft_one_hot(x, temperature=backend.asarray(np.ones(1)), mask=mask).shape == (0, 3)
    if backend.name != "numpy":
        _, pullback = backend.vjp(lambda t: last(x, temperature=t), backend.asarray(np.ones(1)))
        np.testing.assert_array_equal(backend.to_numpy(pullback(backend.asarray(np.ones(0)))[0]), [0.0])


# Layouts


@pytest.mark.parametrize("options", [{}, {"window": 1}, {"readout": "median"}, {"zero_background": True}], ids=str)
@torch_only
def test_any_byte_of_a_mask_but_0_is_true(backend, options):
    import torch

    x, mask = torch.rand(5, 6, dtype=torch.float64, requires_grad=True), torch.from_numpy(mask_of((5, 6)))
    found = []
    for wild in (mask, (mask.to(torch.uint8) * 254).view(torch.bool)):
        with small(64) as taken:
            y = last(x, mask=wild, **options)
            found.append([y.detach(), *torch.autograd.grad(y.sum(), x)])
        assert taken == ["blocks"]
    p = [soft_one_hot(x, mask=wild) for wild in (mask, (mask.to(torch.uint8) * 254).view(torch.bool))]
    assert torch.equal(*p)
    for actual, expected in zip(*found, strict=True):
        assert torch.equal(actual, expected)


@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("f", [soft_argmax, soft_one_hot], ids=lambda f: f.__name__)
@torch_only
def test_views_of_arrays_beside_the_scores_give_what_copies_give(backend, f, axis):
    import torch

    wide, temperatures = torch.rand(12, 20) < 0.7, torch.rand(12, 20) + 0.5
    x = torch.randn(20, 12).T[::2, 1::2].requires_grad_()
    mask = wide[::2, 1::2]
    t = (temperatures[::2, :1] if axis == -1 else temperatures[:1, ::2]).requires_grad_()
    found = []
    for arrays in ((x, t, mask), [z.detach().clone(memory_format=torch.contiguous_format) for z in (x, t, mask)]):
        x_, t_, mask_ = arrays
        x_, t_ = (z if z.requires_grad else z.requires_grad_() for z in (x_, t_))
        with small(64) as taken:
            y = f(x_, axis=axis, temperature=t_, mask=mask_)
            g = torch.linspace(-1, 1, y.numel()).reshape(y.shape)
            g = torch.where(y.isnan(), 0.0, g)
            found.append([y.detach(), *torch.autograd.grad(y, (x_, t_), g)])
        assert taken == ["blocks"]
    for actual, expected in zip(*found, strict=True):
        assert_close(backend.to_numpy(actual), backend.to_numpy(expected), "float32", "derivative")


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@torch_only
def test_scores_of_which_no_block_can_be_seen_take_the_rule(backend, dtype):
    import torch

    x = torch.randn(60, 70, 80, dtype=getattr(torch, dtype)).transpose(0, 1)
    t = torch.rand(70, 1, 1) + 0.5
    y = spatial_soft_argmax(x, temperature=t)
    assert_close(
        backend.to_numpy(y) / 80,
        backend.to_numpy(spatial_soft_argmax(x.contiguous(), temperature=t)) / 80,
        dtype,
        "value",
    )


# In torch's graph


@torch_only
class TestGraph:
    """What a `Function` of arrays beside the scores must stand."""

    def arrays(self, learned=True):
        import torch

        torch.manual_seed(1)
        x = torch.randn(6, 5, dtype=torch.float64, requires_grad=True)
        return x, (torch.rand(6, 1, dtype=torch.float64) + 0.5).requires_grad_(learned), torch.rand(6, 5) < 0.7

    @pytest.mark.parametrize("which", ["mask", "temperature a row", "temperature of one", "scores"])
    @pytest.mark.parametrize("f", [last, soft_one_hot], ids=["position", "weights"])
    @pytest.mark.parametrize("again", [False, True])
    def test_what_is_changed_before_the_backward_pass_is_an_error(self, backend, again, f, which):
        import torch

        x, t, mask = self.arrays(learned=False)
        t = t[:1] if which == "temperature of one" else t
        z = 1 * x
        with blocks():
            y = f(z, temperature=t, mask=mask)
            changed = {"mask": mask, "scores": z}.get(which, t)
            with torch.no_grad():
                changed.fill_(True)
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                torch.autograd.grad(y.nan_to_num().sum(), x, create_graph=again)

    @pytest.mark.parametrize(
        "f", [last, soft_one_hot, partial(soft_argmax_moments, axis=-1)], ids=["position", "weights", "moments"]
    )
    @pytest.mark.parametrize("one", [False, True], ids=["a row", "one"])
    def test_second_derivatives_by_scores_and_temperature_are_right(self, backend, one, f):
        from torch.autograd import gradcheck, gradgradcheck

        x, t, mask = self.arrays()
        mask[:, 0] = True
        t = t.detach()[:1].requires_grad_() if one else t
        with blocks():
            assert gradcheck(lambda x, t: f(x, temperature=t, mask=mask), (x, t))
            assert gradgradcheck(lambda x, t: f(x, temperature=t, mask=mask), (x, t))

    def test_a_temperature_alone_may_be_learned(self, backend):
        import torch

        x, t, _ = self.arrays()
        found = []
        for names in (("blocks",), ()):
            with selection.only(*names) as taken:
                found.append(torch.autograd.grad(last(x.detach(), temperature=t).sum(), t)[0])
            assert taken == [*names]
        assert_close(*map(backend.to_numpy, found), "float64", "derivative")

    def test_a_retained_graph_gives_both_gradients_again(self, backend):
        import torch

        x, t, mask = self.arrays()
        mask[:, 0] = True
        for f in (last, soft_one_hot):
            with blocks():
                y = f(x, temperature=t, mask=mask)
                grads = [torch.autograd.grad((y * y.detach()).sum(), (x, t), retain_graph=True) for _ in range(3)]
            for grad in grads[1:]:
                for actual, expected in zip(grad, grads[0], strict=True):
                    assert_close(backend.to_numpy(actual), backend.to_numpy(expected), "float64", "derivative")

    def test_checkpointing_and_no_grad_have_the_gradients_and_the_values(self, backend):
        import torch
        from torch.utils.checkpoint import checkpoint

        x, t, mask = self.arrays()
        mask[:, 0] = True
        f = lambda x, t: last(x, temperature=t, mask=mask)  # noqa: E731
        with blocks():
            expected = torch.autograd.grad(f(x, t).sum(), (x, t))
            actual = torch.autograd.grad(checkpoint(f, x, t, use_reentrant=False).sum(), (x, t))
            with torch.no_grad():
                y = f(x, t)
            assert not y.requires_grad
            assert_close(backend.to_numpy(y), backend.to_numpy(f(x, t).detach()), "float64", "value")
        for a, b in zip(actual, expected, strict=True):
            assert_close(backend.to_numpy(a), backend.to_numpy(b), "float64", "derivative")

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
    def test_half_types_have_second_derivatives(self, backend, dtype):
        """Each step on the way rounds to the half type."""
        import torch

        x, u = torch.randn(4, 5).to(getattr(torch, dtype)), torch.randn(4, 5, dtype=torch.float64)
        found = []
        for z in (x.clone().requires_grad_(), x.double().requires_grad_()):
            with blocks() as taken:
                (dx,) = torch.autograd.grad((last(z) ** 2).sum(), z, create_graph=True)
                found.append(backend.to_numpy(torch.autograd.grad((dx * u).sum(), z)[0]))
            assert taken == ["blocks"]
        assert np.max(np.abs(found[0] - found[1])) <= 8 * EPS[dtype] * np.max(np.abs(found[1]))

    def test_transforms_go_round_the_kernel(self, backend):
        import torch

        x, t, _ = self.arrays()
        x, t = x.detach(), t.detach()
        f = lambda x, t: last(x, temperature=t)  # noqa: E731
        with blocks() as taken:
            y = torch.func.vmap(lambda x, t: soft_argmax(x, temperature=t))(x, t)
            _, tangent = torch.func.jvp(f, (x, t), (x, t))
            torch.func.grad(lambda t: f(x, t).sum())(t)
        assert taken == []
        assert_close(backend.to_numpy(y), backend.to_numpy(f(x, t)), "float64", "value")
        assert_close(backend.to_numpy(tangent), np.zeros(6), "float64", "derivative")  # it is of degree 0 in both

    def test_a_subclass_beside_plain_scores_takes_the_rule(self, backend):
        import torch

        class Own(torch.Tensor):
            pass

        x, t, _ = self.arrays(learned=False)
        with blocks() as taken:
            last(x, temperature=t.as_subclass(Own))
        assert taken == []

    def test_an_array_that_cannot_be_read_takes_the_rule_whatever_was_kept(self, backend):
        import torch

        x, t, _ = self.arrays(learned=False)
        with blocks() as taken:
            expected = last(x, temperature=t)
            negative = torch.view_as_complex(torch.stack([torch.zeros_like(t), -t], -1)).conj().imag
            assert negative.is_neg()
            actual = last(x, temperature=negative)
        assert taken == ["blocks"]
        assert_close(*(backend.to_numpy(y.detach()) for y in (actual, expected)), "float64", "value")


def test_autograd_gives_second_derivatives_by_a_temperature():
    import autograd
    import autograd.numpy as anp

    x, t = np.random.default_rng(6).normal(size=(3, 4)), np.random.default_rng(7).random((3, 1)) + 0.5
    u = np.random.default_rng(8).normal(size=(3, 4))

    def slope(t):
        return anp.sum(autograd.grad(lambda x: anp.sum(last(x, temperature=t) ** 2))(x) * u)

    found = []
    for names in (("blocks",), ()):
        with selection.only(*names):
            found.append(autograd.grad(slope)(t))
    assert_close(*found, "float64", "derivative")


@learning
def test_forward_mode_by_a_temperature_is_that_of_the_rule(backend):
    x, t = np.random.default_rng(6).normal(size=(3, 4)), np.random.default_rng(7).random((3, 1)) + 0.5
    found = []
    for names in (("blocks",), ()):
        with selection.only(*names):
            arrays = backend.asarray(x), backend.asarray(t)
            tangents = backend.asarray(np.cos(x)), backend.asarray(np.sin(t))
            found.append(backend.to_numpy(backend.jvp(lambda x, t: last(x, temperature=t), arrays, tangents)[1]))
    assert_close(*found, "float64", "derivative")


# Ways


@torch_only
def test_one_element_takes_the_way_of_its_number(backend):
    import torch

    few, many = torch.randn(4, 10), torch.randn(400, 600)
    for x in (few, many):
        with selection.only("native", "blocks") as number:
            expected = last(x, temperature=0.5)
        for t in (
            torch.tensor(0.5),
            torch.ones(1) * 0.5,
            torch.tensor([[0.5]]),
            torch.tensor([0.5], dtype=torch.float64),
        ):
            with selection.only("native", "blocks") as taken:
                y = last(x, temperature=t)
            assert taken == number
            assert torch.equal(y, expected)


@pytest.mark.parametrize(
    "temperature",
    [np.asarray(2), np.asarray([2]), np.asarray([[2], [1], [3]]), np.asarray([2.0], dtype=">f8")],
    ids=["no axes", "one", "a row", "of another byte order"],
)
@pytest.mark.parametrize("f", [last, soft_one_hot], ids=["position", "weights"])
@engined
def test_temperatures_of_other_dtypes_are_taken_as_they_are(backend, f, temperature):
    x, found = np.random.default_rng(1).normal(size=(3, 5)), []
    t = temperature if backend.name != "torch" or temperature.dtype.isnative else temperature.astype("f2")
    for names in (("blocks",), ()):
        for dtype in ("float32", "float64"):
            with selection.only(*names) as taken:
                made = [f(backend.asarray(x, dtype), temperature=backend.asarray(t)) for _ in range(2)]
            found += map(backend.to_numpy, made)
            assert taken == [*names] * 2
    for actual, expected in zip(found[:4], found[4:], strict=True):
        assert_close(actual, expected, "float32" if actual.dtype == "float32" else "float64", "value")


@pytest.mark.parametrize("temperature", [np.asarray([2.0]), np.asarray([[1.5], [2.0], [0.5]])], ids=["one", "a row"])
@pytest.mark.parametrize("f", [last, soft_one_hot], ids=["position", "weights"])
@learning
def test_sparse_weights_have_the_gradient_of_their_temperature_from_compact_memory(backend, f, temperature, rng):
    x, found = rng.normal(size=(3, 200)), []
    g = None
    for names in (("support",), ()):
        with selection.only(*names) as taken:
            h = lambda x, t: f(x, temperature=t, alpha=1.5)  # noqa: E731
            y, pullback = backend.vjp(h, backend.asarray(x), backend.asarray(temperature))
            g = rng.normal(size=y.shape) if g is None else g
            found.append([backend.to_numpy(z) for z in (y, *pullback(backend.asarray(g)))])
        assert taken == [*names]
    for actual, expected in zip(*found, strict=True):
        assert_close(actual, expected, "float64", "derivative")


@pytest.mark.parametrize("backend", backend_parameters(("numpy",)))
def test_the_numpy_tape_pulls_back_to_the_scores_beside_any_temperature(backend):
    x, t = np.random.default_rng(1).normal(size=(5, 6)), ROW
    with blocks() as taken:
        _, pullback = anyargmax.vjp(lambda x: last(x, temperature=t), x)
        (dx,) = pullback(np.ones(5))
    assert taken == ["blocks"]
    with selection.only():
        _, pullback = anyargmax.vjp(lambda x: last(x, temperature=t), x)
        assert_close(dx * 0.25, pullback(np.ones(5))[0] * 0.25, "float64", "derivative")


@engined
def test_hard_calls_beside_arrays_are_kept_with_the_answers_of_other_arrays(backend):
    x = np.asarray([[0.0, 3.0, 1.0], [2.0, 0.0, 1.0]])
    kept_calls.forget()
    for mask in ([True, True, False], [True, False, True]):
        y = last(
            backend.asarray(x), hard=True, mask=backend.asarray(np.asarray(mask)), temperature=backend.asarray([0.5])
        )
        np.testing.assert_array_equal(backend.to_numpy(y), np.argmax(np.where(mask, x, -INF), axis=-1))


def test_sums_of_many_rows_are_as_exact_as_one_number_needs():
    """A temperature that all rows share has the sum of their gradients."""
    torch = pytest.importorskip("torch")
    x, t = torch.randn(300, 400), torch.tensor([0.8], requires_grad=True)
    with blocks():
        (dt,) = torch.autograd.grad(last(x, temperature=t).sum(), t)
    wide = t.detach().double().requires_grad_()
    with selection.only():
        (expected,) = torch.autograd.grad(last(x.double(), temperature=wide).sum(), wide)
    assert abs(dt.item() - expected.item()) <= 64 * EPS["float32"] * 300 * 400
