"""The kernels in Triton on tensors of the CPU, by Triton's interpreter: `test_triton.py` has each part run by itself.

The interpreter is chosen when Triton is imported, for the whole process.
"""

import os
from functools import partial

import numpy as np
import pytest
import torch

from anyargmax import soft_argmax, soft_one_hot, soft_top_k, spatial_soft_argmax
from anyargmax._frameworks import binding
from anyargmax._kernels import selection
from anyargmax._rules.relaxations import ENTMAX, SOFTMAX
from anyargmax.validation import load
from anyargmax.validation.catalogue import DRAWS, KINDS
from anyargmax.validation.checking import assert_call_agrees
from anyargmax.validation.invariants import READERS
from anyargmax.validation.oracle import decimals
from anyargmax.validation.oracle.rows import top_k_row
from anyargmax.validation.oracle.weights import weights
from anyargmax.validation.tolerance import assert_close, dtype_name, round_to

assert os.environ.get("TRITON_INTERPRET") == "1", "Run `test_triton.py`, which sets it."
INF, NAN = np.inf, np.nan
TORCH, OPS = load("torch"), binding.torch
# Limits with which small arrays go the ways of large ones.
WAYS = {
    "registers": {},
    "streams": {"chip": 2, "tile": 64, "piece": 4, "wide": 2},
    "pieces": {"chip": 2, "tile": 16, "piece": 2, "wide": 2, "long": 2, "pieces": 4, "fill": 10**6},
}
ways = pytest.mark.parametrize("way", WAYS)
ALPHAS = (1.1, 1.25, 4 / 3, 1.5, 1.75, 2)


def alone(way="registers"):
    """No other kernel serves; the context tells whether this one did."""
    return selection.only("triton", limits={"triton": {"interpreted": True, **WAYS[way]}})


def is_served(call):
    """Whether a call is one of those that the kernels are for."""
    neighbours = call.id != "weights over two axes"
    general = (
        "alpha" in call.arrays or call.options.get("kind", "capped") != "capped" or call.options.get("zero_background")
    )
    others = ("sharpen", "fenchel_young_loss", "argmax_probability", *DRAWS, *READERS)
    given = call.function in others or call.options.get("log")
    return neighbours and not general and not given


def is_softmax(call):
    return call.function != "soft_top_k" and "alpha" not in call.options


# Each kind of call, in registers and, where it may be, streamed; that of softmax in pieces, and one of each function in halves.
CASES = [
    *(("float32", "registers", call) for call in KINDS),
    *(("float64", "streams", call) for call in KINDS if is_served(call)),
    *(("float32", "pieces", call) for call in KINDS if is_served(call) and is_softmax(call)),
    *(("bfloat16", "registers", call) for call in {call.function: call for call in KINDS if is_served(call)}.values()),
]


@pytest.mark.parametrize(
    ("dtype", "way", "call"),
    [pytest.param(*case, id=f"{case[2].id}-{case[0]}-{case[1]}".replace(" ", "_")) for case in CASES],
)
def test_catalogue_has_the_oracles_answers(dtype, way, call):
    with alone(way) as taken:
        assert_call_agrees(call, [TORCH], dtype)
    assert "triton" in taken or not is_served(call)


def value_and_gradients(f, *arrays, g=None):
    """The value and the cotangents of all arrays, in NumPy."""
    leaves = [torch.as_tensor(array).detach().clone().requires_grad_() for array in arrays]
    y = f(*leaves)
    g = np.random.default_rng(3).normal(size=tuple(y.shape)) if g is None else g
    gradients = torch.autograd.grad(y, leaves, torch.as_tensor(g).to(y.dtype))
    return [TORCH.to_numpy(array.detach()) for array in (y, *gradients)]


def by_kernels_and_rules(f, *arrays, way="registers", **options):
    with alone(way) as taken:
        made = value_and_gradients(f, *arrays, **options)
    assert taken
    with selection.only():
        return made, value_and_gradients(f, *arrays, **options)


def assert_alike(made, expected, dtype, least=1.0):
    """Values and gradients agree, and are NaN and 0 in the same places."""
    for kind, ours, theirs in zip(("value", *["derivative"] * len(made)), made, expected, strict=False):
        assert_close(ours, theirs, dtype, kind)
        np.testing.assert_array_equal(ours == 0, theirs == 0)


# Supports


def rows_with_every_support(n):
    """Rows whose sparsemax has a support of 1, 2, ..., n entries."""
    near = [np.where(np.arange(n) < m, 0.3 * np.arange(n) / n**2, -5.0 - np.arange(n)) for m in range(1, n + 1)]
    return np.stack(near)[:, np.random.default_rng(n).permutation(n)]


ROWS = {
    "rows of every support": rows_with_every_support(13),
    "ties": np.round(2 * np.random.default_rng(6).normal(size=(6, 31))) / 4,
    "equal scores": np.ones((3, 8)),
    "scores far apart": 100 * np.random.default_rng(7).normal(size=(5, 40)),
    "scores far from zero": 1e6 + np.round(8 * np.random.default_rng(8).normal(size=(5, 40))),
    "one score": np.asarray([[3.0], [-1.0]]),
}
rows = pytest.mark.parametrize("x", ROWS.values(), ids=[name.replace(" ", "_") for name in ROWS])


@rows
@pytest.mark.parametrize(
    ("alpha", "dtype"), [*((alpha, "float32") for alpha in ALPHAS), (1.25, "float64"), (1.5, "float64")]
)
def test_supports_are_the_oracles_and_the_rules(x, alpha, dtype):
    x = round_to(x, dtype)
    f = partial(soft_one_hot, alpha=alpha, temperature=0.75)
    array = TORCH.asarray(x, dtype)
    expected = decimals.rounded(weights(decimals.exact(x), axes=(1,), alpha=alpha, temperature=0.75))
    certain = (expected == 0) | (expected > 1e-4)
    for way in ("registers", "streams"):
        made, rule = by_kernels_and_rules(f, array, way=way)
        assert_close(made[0], expected, dtype, "value", dtype)
        np.testing.assert_array_equal((made[0] > 0)[certain], (expected > 0)[certain])
        assert_alike(made, rule, dtype)


@rows
@pytest.mark.parametrize("k", [1, 3])
def test_winners_are_the_oracles_and_the_rules(x, k):
    x, k = round_to(x, "float32"), min(k, x.shape[1])
    expected = np.stack([[float(w) for w in top_k_row(decimals.exact(row), k, "capped")] for row in x])
    for way in ("registers", "streams"):
        made, rule = by_kernels_and_rules(lambda x: soft_top_k(x, k), TORCH.asarray(x, "float32"), way=way)
        assert_close(made[0], expected, "float32", "value")
        np.testing.assert_array_equal(made[0] == 0, expected == 0)
        np.testing.assert_array_equal(made[0] == 1, expected == 1)
        assert_alike(made, rule, "float32")


# The ends of the range


FORMS = {
    "weights": soft_one_hot,
    "position": partial(soft_argmax, axis=-1),
    "sparsemax weights": partial(soft_one_hot, alpha=2),
    "1.5-entmax position": partial(soft_argmax, axis=-1, alpha=1.5),
    "1.3-entmax weights": partial(soft_one_hot, alpha=1.3),
    "winners": lambda x, **options: soft_top_k(x, 2, **options),
}
forms = pytest.mark.parametrize("f", FORMS.values(), ids=[name.replace(" ", "_") for name in FORMS])
# Each form on each way that is another for it.
PATHS = [
    (f, way) for way in WAYS for f in FORMS if way != "pieces" or f in ("weights", "position", "sparsemax weights")
]
paths = pytest.mark.parametrize(
    ("f", "way"), [pytest.param(FORMS[f], way, id=f"{f.replace(' ', '_')}-{way}") for f, way in PATHS]
)
BIG = float(np.finfo("float32").max)
EXTREMES = np.asarray(
    [
        [0.5, 2.0, 1.0, -3.0, 0.25, 1.5],
        [NAN, 0.0, 1.0, 2.0, -INF, 0.5],
        [INF, 0.0, 1.0, INF, -INF, 2.0],
        [0.0, NAN, INF, 1.0, -INF, INF],
        [-INF, -INF, -INF, -INF, -INF, -INF],
        [-INF, -INF, 3.0, -INF, -INF, -INF],
        [-INF, NAN, -INF, -INF, -INF, -INF],
        [BIG, -BIG, BIG, 0.0, 1.0, -INF],
        [-BIG, -BIG, -BIG, -BIG, -BIG, -BIG],
        [1e30, 1e30, 0.0, -1e30, 1.0, 1e29],
        [0.0, -80.0, -87.5, -95.0, -1000.0, -40.0],
        [1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
    ]
)
KEPT = np.random.default_rng(11).random(EXTREMES.shape) < 0.7
KEPT[0] = False


@paths
@pytest.mark.parametrize("temperature", [None, 1e-30, "rows"], ids=str)
def test_extremes_are_those_of_the_rules(f, temperature, way):
    """NaN, infinities, ties and masks: the same rows are NaN, and the same weights and gradients 0."""
    t = TORCH.asarray(np.asarray([0.25, 1.0, INF] * 4)[:, None], "float32") if temperature == "rows" else temperature
    options = {} if t is None else {"temperature": t}
    for mask in ({}, {"mask": TORCH.asarray(KEPT)}) if temperature != 1e-30 else ({},):
        made, rule = by_kernels_and_rules(partial(f, **options, **mask), TORCH.asarray(EXTREMES, "float32"), way=way)
        assert_alike(made, rule, "float32")


@paths
def test_a_masked_score_changes_nothing(f, way):
    x = np.random.default_rng(5).normal(size=(3, 7))
    mask = np.random.default_rng(6).random((3, 7)) < 0.6
    poison = np.resize([1e30, NAN, INF, -INF], x.shape)
    f = partial(f, mask=TORCH.asarray(mask))
    with alone(way):
        clean, poisoned = (value_and_gradients(f, TORCH.asarray(y, "float32")) for y in (x, np.where(mask, x, poison)))
    for ours, theirs in zip(poisoned, clean, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@ways
@pytest.mark.parametrize("f", ["weights", "sparsemax weights", "winners"])
def test_a_cotangent_that_is_not_looked_at_changes_nothing(f, way):
    """That of a masked weight, or of one in a row that an infinite score decides."""
    x, mask = np.asarray([[0.5, 1.0, 0.75, 1.5], [INF, 0.0, INF, 0.25]]), [[True, True, False, True], [True] * 4]
    g = np.asarray([[1.0, -0.5, NAN, 0.25], [NAN, 1.5, -1.0, INF]])
    f, x = partial(FORMS[f], mask=TORCH.asarray(mask)), TORCH.asarray(x, "float32")
    with alone(way):
        made, clean = (value_and_gradients(f, x, g=h) for h in (g, np.where(np.isfinite(g), g, 0)))
    np.testing.assert_array_equal(made[1], clean[1])
    np.testing.assert_array_equal(made[1][1], 0)
    assert np.any(made[1][0] != 0)


@pytest.mark.parametrize("bad", [0.0, -1.0, NAN])
@forms
def test_a_temperature_that_is_none_makes_its_row_nan(f, bad, monkeypatch):
    """The kernels look at it where validation would wait for the device."""
    from anyargmax._calls import validate

    monkeypatch.setattr(validate, "_breaks", lambda *args: False)
    x, t = TORCH.asarray([[0.0, 1.0, 2.0]] * 2), TORCH.asarray([[bad], [1.0]])
    with alone() as taken:
        y = TORCH.to_numpy(f(x, temperature=t)).reshape(2, -1)
    assert taken
    np.testing.assert_array_equal(np.isnan(y).all(axis=1), [True, False])
    assert np.isfinite(y[1]).all()


# Arguments as they come


@paths
def test_a_learned_temperature_has_the_rules_gradient(f, way):
    x, t = np.random.default_rng(1).normal(size=(2, 3, 9)), np.random.default_rng(2).uniform(0.25, 2, size=(2, 3, 1))
    for shape in ((2, 3, 1), (2, 1, 1), (1,)):
        part = t.reshape(-1)[: int(np.prod(shape))].reshape(shape)
        arrays = TORCH.asarray(x, "float32"), TORCH.asarray(part, "float32")
        made, rule = by_kernels_and_rules(lambda x, t: f(x, temperature=t), *arrays, way=way)
        assert_alike(made, rule, "float32")


AXES = {
    "the last axis": -1,
    "the first axis": 0,
    "a middle axis": 2,
    "the last two axes": (2, 3),
    "two middle axes": (1, 2),
    "the first three axes": (0, 1, 2),
    "all axes": (0, 1, 2, 3),
}


MASKS = [(2, 3, 2, 4), (2, 4), (2, 1), (2, 1, 1, 1), (2, 1, 2, 1), (1, 3, 1, 4), (1, 1, 1, 1)]


@pytest.mark.parametrize("way", ["registers", "streams"])
@pytest.mark.parametrize("axis", AXES.values(), ids=[name.replace(" ", "_") for name in AXES])
def test_a_mask_of_any_shape_is_that_mask_laid_out(axis, way):
    x = TORCH.asarray(np.random.default_rng(4).normal(size=(2, 3, 2, 4)))
    rng = np.random.default_rng(9)
    for shape in MASKS:
        mask = TORCH.asarray(rng.random(shape) < 0.6)
        with alone(way) as taken:
            made, laid = (
                value_and_gradients(partial(soft_one_hot, axis=axis, mask=m), x)
                for m in (mask, mask.expand(x.shape).contiguous())
            )
        assert len(taken) == 2
        for ours, theirs in zip(made, laid, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@ways
@pytest.mark.parametrize("axes", [(0, 1), (1, 0), (1, 2), (3, 2), (1, 2, 3), (3, 1, 2), (2, 0, 1)], ids=str)
def test_coordinates_come_in_the_order_that_was_asked_for(axes, way):
    x = TORCH.asarray(np.random.default_rng(4).normal(size=(4, 3, 5, 2)))
    f = partial(spatial_soft_argmax, axes=axes, temperature=0.5)
    made, rule = by_kernels_and_rules(f, x, way=way)
    assert_alike(made, rule, "float64")


@pytest.mark.parametrize(
    "f", [FORMS["weights"], FORMS["position"], FORMS["winners"]], ids=["weights", "position", "winners"]
)
def test_a_view_gives_what_a_copy_gives(f):
    base = TORCH.asarray(np.random.default_rng(4).normal(size=(6, 7, 8)))
    for view in (base[::2, :, 1:7:2], base.transpose(0, 2), base[:1].expand(4, 7, 8), base[:, :, 3:]):
        with alone() as taken:
            made, copied = value_and_gradients(f, view), value_and_gradients(f, view.contiguous())
        assert len(taken) == 2
        for ours, theirs in zip(made, copied, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_positions_along_a_long_axis_are_found_without_a_division():
    from anyargmax.backends.torch.triton import _divisor

    rng = np.random.default_rng(0)
    for n in (1, 2, 3, 5, 7, 64, 65, 641, 1000, 4096, 65537, 2**20 - 1, 2**30, 2**31 - 1):
        size, factor, shift = _divisor(n)
        numbers = [0, n - 1, n, 2 * n - 1, 2**31 - 1, *map(int, rng.integers(0, 2**31, size=200))]
        assert size == n
        for j in filter(lambda j: j < 2**31, numbers):
            assert j * factor < 2**63
            assert j * factor >> shift == j // n


@pytest.mark.parametrize("stored", ["float16", "bfloat16"])
@pytest.mark.parametrize("relaxation", [SOFTMAX, ENTMAX._replace(alpha=1.5)], ids=["softmax", "1.5-entmax"])
def test_scores_of_a_half_type_are_read_as_they_are(stored, relaxation):
    """A rule that is given them computes in float32, and positions come back in that."""
    x = TORCH.asarray(np.random.default_rng(2).normal(size=(3, 40)), stored).requires_grad_()
    table, g = torch.arange(40.0)[None], torch.randn(3, 40)
    static = {"axes": (1,), "relaxation": relaxation}
    with alone() as taken:
        y, p = (OPS.expectation(x, None, None, None, (table,), **static), OPS.weights(x, None, None, None, **static))
        made = y[:, 0], p, *(torch.autograd.grad(z, x, h)[0] for z, h in ((y, g[:, :1]), (p, g)))
    assert taken == ["triton"] * 2
    with selection.only():
        z = x.detach().float().requires_grad_()
        p = OPS.weights(z, None, None, None, **static)
        y = p @ table[0]
        exact = (
            y,
            p,
            *(torch.autograd.grad(q, z, h, retain_graph=True)[0] for q, h in ((y, g[:, 0]), (p, g))),
        )
    assert [dtype_name(array) for array in made] == ["float32", "float32", stored, stored]
    for ours, theirs, kind in zip(made, exact, ("value", "value", "derivative", "derivative"), strict=True):
        assert_close(TORCH.to_numpy(ours.detach()), TORCH.to_numpy(theirs.detach()), stored, kind, dtype_name(ours))


# What torch does around a kernel


@forms
def test_what_was_written_into_since_is_an_error(f):
    x = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    t, mask = torch.full((3, 1), 0.5, dtype=torch.float64), torch.ones(3, 6, dtype=torch.bool)
    for written in (t, mask):
        with alone():
            y = f(x, temperature=t, mask=mask)
            written.fill_(1)
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                y.sum().backward()


@forms
def test_a_checkpoint_keeps_nothing_and_has_the_gradient(f):
    from torch.utils.checkpoint import checkpoint

    x = TORCH.asarray(np.random.default_rng(2).normal(size=(3, 6)))
    with alone() as taken:
        made = value_and_gradients(lambda x: checkpoint(f, x, use_reentrant=False), x)
    assert taken
    with selection.only():
        assert_alike(made, value_and_gradients(f, x), "float64")


@pytest.mark.parametrize("f", ["weights", "position", "1.5-entmax position", "1.3-entmax weights"])
def test_a_gradient_that_is_differentiated_is_the_rules(f):
    f = FORMS[f]
    x, g, t = (TORCH.asarray(np.random.default_rng(k).normal(size=(3, 6))) for k in range(3))
    found = []
    for context in (alone(), selection.only()):
        with context:
            leaf = x.clone().requires_grad_()
            y = f(leaf)
            (dx,) = torch.autograd.grad(y, leaf, g.sum(1) if y.ndim == 1 else g, create_graph=True)
            found.append(TORCH.to_numpy(torch.autograd.grad((dx * t).sum(), leaf)[0]))
    assert_close(*found, "float64", "derivative")
    assert np.any(found[0] != 0)


@forms
def test_transforms_and_batched_gradients_take_the_rules(f):
    x = TORCH.asarray(np.random.default_rng(2).normal(size=(3, 6)))
    with alone() as taken:
        torch.func.vmap(f)(x[:, None])
        torch.func.jvp(f, (x,), (x,))
    assert taken == []
    with alone() as taken:
        leaf = x.clone().requires_grad_()
        y = f(leaf)
        g = torch.stack([torch.ones_like(y), y.detach()])
        (batched,) = torch.autograd.grad(y, leaf, g, is_grads_batched=True, retain_graph=True)
        apart = [torch.autograd.grad(y, leaf, one, retain_graph=True)[0] for one in g]
    assert "triton" in taken
    assert_close(TORCH.to_numpy(batched), TORCH.to_numpy(torch.stack(apart)), "float64", "derivative")


def test_inference_needs_no_way_back():
    with alone() as taken, torch.inference_mode():
        y = soft_argmax(torch.zeros(2, 3), axis=-1)
    assert taken == ["triton"]
    assert y.tolist() == [1.0, 1.0]


def test_tensors_of_the_cpu_are_served_only_if_limits_say_so():
    with selection.only("triton") as taken:
        soft_argmax(torch.zeros(2, 3), axis=-1)
    assert taken == []


def test_a_kernel_that_cannot_be_compiled_is_given_up_with_a_warning(monkeypatch):
    from anyargmax.backends.torch import kernels, triton

    class Uncompiled:
        def __getitem__(self, grid):
            raise RuntimeError("Failed to find C compiler.")

    monkeypatch.setattr(triton, "_solve", Uncompiled())
    monkeypatch.setattr(kernels, "_broken", [])
    with alone() as taken:
        with pytest.warns(RuntimeWarning, match="Failed to find C compiler"):
            assert soft_argmax(torch.zeros(1, 3), axis=-1).tolist() == [1.0]
        assert soft_argmax(torch.zeros(1, 3), axis=-1).tolist() == [1.0]
    assert taken == []
