"""The engine of sparse weights: it agrees with its rule and with the oracle, and leaves to the rule what it must."""

from functools import partial

import numpy as np
import pytest
from conftest import PRESENT, backend_parameters

import anyargmax
from anyargmax import soft_argmax, soft_one_hot, spatial_soft_argmax
from anyargmax._kernels import selection
from anyargmax._kernels.support import compact
from anyargmax._kernels.support.sparse import SUPPORT
from anyargmax.validation.oracle import decimals
from anyargmax.validation.oracle.weights import weights
from anyargmax.validation.tolerance import EPS, assert_close, round_to

ALPHAS = (1.1, 1.25, 4 / 3, 1.5, 1.75, 2)
served = pytest.mark.parametrize("backend", backend_parameters(("numpy", "autograd", "torch")))
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


SMALL = {"block": 16, "always": 4, "narrow": 8, "columns": 4, "depth": 2, "share": 1.0}


@pytest.fixture(autouse=True)
def engines():
    """Engines are on, whatever the environment says."""
    with selection.only("support"):
        yield


@pytest.fixture
def answers(monkeypatch):
    """Every answer that the engine gives, in order; small arrays go all of its ways."""
    given = []
    for name in ("dense", "means"):
        original = getattr(compact, name)

        def noted(*args, original=original):
            given.append(original(*args))
            return given[-1]

        monkeypatch.setattr(compact, name, noted)
    with selection.only("support", limits={"support": SMALL}):
        yield given


def by_the_rule(f):
    with selection.only():
        return f()


def value_and_gradient(backend, f, x, g):
    y, pullback = backend.vjp(f, x)
    return backend.to_numpy(y), backend.to_numpy(pullback(backend.asarray(g, str(backend.to_numpy(y).dtype)))[0])


def rows_with_every_support(n):
    """Rows whose sparsemax has a support of 1, 2, ..., n entries."""
    near = [np.where(np.arange(n) < m, 0.3 * np.arange(n) / n**2, -5.0 - np.arange(n)) for m in range(1, n + 1)]
    return np.stack(near)[:, np.random.default_rng(n).permutation(n)]


SHAPES = {
    "rows of every support": (rows_with_every_support(13), -1),
    "one row": (np.random.default_rng(0).normal(size=37), 0),
    "the first axis": (np.random.default_rng(1).normal(size=(23, 2)), 0),
    "a middle axis": (3 * np.random.default_rng(2).normal(size=(3, 17, 4)), 1),
    "two axes at the end": (np.random.default_rng(3).normal(size=(3, 6, 7)), (1, 2)),
    "two axes in front, swapped": (np.random.default_rng(4).normal(size=(6, 7, 3)), (1, 0)),
    "all axes": (np.random.default_rng(5).normal(size=(5, 9)), (0, 1)),
    "ties": (np.round(2 * np.random.default_rng(6).normal(size=(6, 31))) / 4, -1),
    "equal scores": (np.ones((3, 8)), -1),
    "far apart": (100 * np.random.default_rng(7).normal(size=(5, 40)), -1),
    "far from zero": (1e6 + np.round(8 * np.random.default_rng(8).normal(size=(5, 40))), -1),
    "one entry": (np.asarray([[3.0], [-1.0]]), -1),
}
shapes = pytest.mark.parametrize("name", [pytest.param(name, id=name.replace(" ", "_")) for name in SHAPES])


@served
@dtypes
@shapes
@pytest.mark.parametrize("alpha", ALPHAS)
def test_weights_and_supports_are_the_oracles_and_the_rules(backend, dtype, name, alpha, answers):
    x, axis = SHAPES[name]
    x = round_to(x, dtype)
    f = partial(soft_one_hot, axis=axis, alpha=alpha, temperature=0.75)
    actual = backend.to_numpy(f(backend.asarray(x, dtype)))
    assert len(answers) == 1
    rule = by_the_rule(lambda: backend.to_numpy(f(backend.asarray(x, dtype))))
    assert len(answers) == 1
    axes = axis if isinstance(axis, tuple) else (axis,)
    expected = decimals.rounded(weights(decimals.exact(x), axes=axes, alpha=alpha, temperature=0.75))
    assert_close(actual, expected, dtype, "value", dtype)
    certain = (expected == 0) | (expected > 1e-4)
    np.testing.assert_array_equal((actual > 0)[certain], (expected > 0)[certain])
    np.testing.assert_array_equal(actual > 0, rule > 0)


def at_the_edge_of_the_support(n, alpha, above):
    """One row of which all but three scores are far below, and the third has its weight raised from 0 by so much."""
    p = np.asarray([0.625, 0.375, above ** (1 / (alpha - 1))])
    x = np.full(n, -20.0)
    x[np.random.default_rng(n).permutation(n)[:3]] = p ** (alpha - 1) / (alpha - 1)
    return x


@served
@pytest.mark.parametrize("n", [40, 70000])
@pytest.mark.parametrize("alpha", [1.25, 1.5, 2])
def test_no_small_weight_is_lost_among_many_scores(backend, alpha, n, request):
    """What is left out at once is below the edge of the support: by how much less than a rounding error is of no account."""
    if n < SUPPORT.limits.narrow:
        request.getfixturevalue("answers")
    f = partial(soft_one_hot, alpha=alpha)
    for above in (1e-6, 1e-9):
        x = backend.asarray(at_the_edge_of_the_support(n, alpha, above))
        p = backend.to_numpy(f(x))
        rule = by_the_rule(lambda x=x: backend.to_numpy(f(x)))
        assert np.count_nonzero(p) == 3
        np.testing.assert_array_equal(p > 0, rule > 0)
        assert_close(p, rule, "float64", "value")


@served
@dtypes
@shapes
@pytest.mark.parametrize("alpha", [1.25, 4 / 3, 1.5, 2])
def test_gradients_are_the_rules(backend, dtype, name, alpha, answers, rng):
    x, axis = SHAPES[name]
    x = backend.asarray(round_to(x, dtype), dtype)
    f = partial(soft_one_hot, axis=axis, alpha=alpha)
    g = round_to(rng.normal(size=tuple(x.shape)), dtype)
    y, dx = value_and_gradient(backend, f, x, g)
    assert len(answers) == 2
    rule_y, rule_dx = by_the_rule(lambda: value_and_gradient(backend, f, x, g))
    assert_close(y, rule_y, dtype, "value")
    assert_close(dx, rule_dx, dtype, "derivative")
    np.testing.assert_array_equal(dx[y == 0], 0)


@served
@dtypes
@shapes
@pytest.mark.parametrize("alpha", [1.25, 1.5, 2])
def test_positions_and_their_gradients_are_the_rules(backend, dtype, name, alpha, answers, rng):
    x, axis = SHAPES[name]
    x = backend.asarray(round_to(x, dtype), dtype)
    if isinstance(axis, tuple):
        f = partial(spatial_soft_argmax, axes=axis, alpha=alpha, coordinates="corner", temperature=1.5)
    else:
        f = partial(soft_argmax, axis=axis, alpha=alpha, temperature=1.5)
    g = round_to(rng.normal(size=np.shape(backend.to_numpy(f(x)))), dtype)
    del answers[:]
    y, dx = value_and_gradient(backend, f, x, g)
    assert [answer.size for answer in answers] == [g.size, backend.to_numpy(x).size]
    rule_y, rule_dx = by_the_rule(lambda: value_and_gradient(backend, f, x, g))
    scale = max(1.0, float(np.max(np.abs(rule_y))))
    assert_close(y / scale, rule_y / scale, dtype, "value")
    assert_close(dx / scale, rule_dx / scale, dtype, "derivative")


@served
def test_only_the_positions_are_laid_out(backend, answers):
    """Without a gradient, nothing of the size of the scores is made."""
    x = backend.asarray(np.random.default_rng(0).normal(size=(4, 50)))
    soft_argmax(x, axis=-1, alpha=2)
    assert [answer.size for answer in answers] == [4]


@served
@dtypes
@pytest.mark.parametrize("temperature", [1e-40, 1e-3, 30.0, 1e30], ids=str)
def test_huge_and_tiny_temperatures(backend, dtype, temperature, answers):
    x = backend.asarray(round_to(np.random.default_rng(2).normal(size=(4, 20)), dtype), dtype)
    f = partial(soft_one_hot, alpha=1.5, temperature=temperature)
    actual = backend.to_numpy(f(x))
    assert len(answers) == 1
    assert_close(actual, by_the_rule(lambda: backend.to_numpy(f(x))), dtype, "value")


@served
def test_a_temperature_a_row_is_served_and_has_its_gradient(backend, answers, rng):
    x, t = backend.asarray(rng.normal(size=(3, 20))), np.asarray([[0.25], [1.0], [4.0]])
    g = rng.normal(size=(3, 20))

    def both():
        y, pullback = backend.vjp(lambda t: soft_one_hot(x, alpha=1.5, temperature=t), backend.asarray(t))
        return backend.to_numpy(y), backend.to_numpy(pullback(backend.asarray(g))[0])

    if backend.name == "numpy":  # whose own vjp is of the scores
        actual = backend.to_numpy(soft_one_hot(x, alpha=1.5, temperature=backend.asarray(t)))
        rule = by_the_rule(lambda: soft_one_hot(x, alpha=1.5, temperature=backend.asarray(t)))
        assert_close(actual, rule, "float64", "value")
    else:
        for actual, rule in zip(both(), by_the_rule(both), strict=True):
            assert_close(actual, rule, "float64", "derivative")
    assert answers


@served
@pytest.mark.parametrize("bad", [np.nan, np.inf], ids=str)
def test_a_row_of_nan_or_inf_is_the_rules(backend, bad, answers, rng):
    x = rng.normal(size=(3, 20))
    x[1, 4] = bad
    x[2, 3] = -np.inf
    g = rng.normal(size=(3, 20))
    f = partial(soft_one_hot, alpha=1.5)
    actual = value_and_gradient(backend, f, backend.asarray(x), g)
    assert not answers
    rule = by_the_rule(lambda: value_and_gradient(backend, f, backend.asarray(x), g))
    for one, other in zip(actual, rule, strict=True):
        np.testing.assert_array_equal(one, other)


@served
def test_a_score_of_minus_infinity_has_no_weight(backend, answers):
    x = np.asarray([[0.0, -np.inf, 0.5, -np.inf, 0.25], [1.0, 2.0, 3.0, -np.inf, 0.0]])
    p = backend.to_numpy(soft_one_hot(backend.asarray(x), alpha=1.5))
    assert len(answers) == 1
    assert_close(p, by_the_rule(lambda: soft_one_hot(x, alpha=1.5)), "float64", "value")


LAYOUTS = {
    "transposed": lambda x: x.T.copy().T,
    "every other": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "read-only": lambda x: np.frombuffer(x.tobytes(), dtype=x.dtype).reshape(x.shape),
    "reversed": lambda x: x[:, ::-1].copy()[:, ::-1],
    "broadcast": lambda x: np.broadcast_to(x[:1], x.shape),
}


@pytest.mark.parametrize(
    ("name", "way"),
    [
        pytest.param(name, way, id=f"{name}-{way.replace(' ', '_')}")
        for name in ("numpy", "torch")
        for way in LAYOUTS
        if name in PRESENT and (name, way) not in {("torch", "reversed"), ("torch", "read-only")}  # torch has none
    ],
)
def test_any_layout_is_read_in_place(name, way, answers, rng):
    x, g = LAYOUTS[way](rng.normal(size=(6, 9))), rng.normal(size=(6, 9))
    before = x.copy()
    one = x if name == "numpy" else PRESENT["torch"].xp.from_numpy(x) if x.flags.writeable else None
    one = PRESENT["torch"].xp.from_numpy(before[:1]).expand(6, 9) if one is None else one
    actual = value_and_gradient(PRESENT[name], partial(soft_one_hot, alpha=2), one, g)
    assert len(answers) == 2
    rule = by_the_rule(lambda: value_and_gradient(PRESENT["numpy"], partial(soft_one_hot, alpha=2), before, g))
    for a, b in zip(actual, rule, strict=True):
        assert_close(a, b, "float64", "derivative")
    np.testing.assert_array_equal(x, before)


@served
def test_a_batch_of_no_rows_is_the_rules(backend, answers):
    assert backend.to_numpy(soft_one_hot(backend.asarray(np.zeros((0, 3))), alpha=2)).shape == (0, 3)
    assert not answers


@served
def test_half_precision_is_served_in_float32(backend, answers):
    x = backend.asarray(np.random.default_rng(0).normal(size=(4, 20)), "float16")
    p = soft_one_hot(x, alpha=1.5)
    assert "float16" in str(p.dtype)
    assert answers[0].dtype == np.float32
    rule = by_the_rule(lambda: backend.to_numpy(soft_one_hot(x, alpha=1.5)))
    np.testing.assert_allclose(backend.to_numpy(p), rule, rtol=0, atol=EPS["float16"])


@pytest.mark.parametrize("options", [{"alpha": 1}, {"alpha": 2.5}, {"alpha": 1.01}, {"axis": (0, 2)}], ids=str)
def test_what_the_engine_is_not_for_is_the_rules(options, answers, rng):
    soft_one_hot(rng.normal(size=(3, 4, 5)), **({"alpha": 2} | options))
    soft_one_hot(rng.normal(size=(3, 4)), alpha=2, mask=np.ones((3, 4), dtype=bool))
    assert not answers


def test_too_many_candidates_are_the_rules(answers):
    with selection.only("support", limits={"support": SMALL | {"share": 0.1}}):
        p = soft_one_hot(np.ones((3, 50)), alpha=2)
    assert not answers
    assert_close(p, np.full((3, 50), 1 / 50), "float64", "value")


@pytest.mark.parametrize("torch_backend", backend_parameters(("torch",)))
class TestTorch:
    """Where a tensor's memory may not be touched, and what must survive it."""

    def test_wrapped_tensors_are_the_rules(self, torch_backend, answers):
        import torch
        from torch._subclasses.fake_tensor import FakeTensorMode

        class Named(torch.Tensor):
            pass

        f, x = partial(soft_one_hot, alpha=2), torch.randn(3, 9, dtype=torch.float64)
        torch.vmap(f)(x)
        torch.func.jvp(f, (x,), (x,))
        torch.func.grad(lambda x: f(x)[0, 0])(x)
        f(x.as_subclass(Named))
        with FakeTensorMode() as mode:
            f(mode.from_tensor(x))
        f(torch.empty(3, 9, device="meta"))
        assert not answers

    def test_a_compiled_call_is_the_rules(self, torch_backend, answers):
        import torch

        x = torch.randn(3, 9)
        compiled = torch.compile(partial(soft_one_hot, alpha=2), fullgraph=True, backend="eager")(x)
        assert not answers
        assert_close(compiled.numpy(), soft_one_hot(x, alpha=2).numpy(), "float32", "value")

    def test_second_derivatives_are_right(self, torch_backend, answers):
        import torch
        from torch.autograd import gradcheck, gradgradcheck

        x = torch.as_tensor(np.random.default_rng(3).normal(size=(2, 9))).requires_grad_()
        for f in (partial(soft_one_hot, alpha=1.5), partial(soft_argmax, axis=-1, alpha=1.5)):
            assert gradcheck(f, x, check_batched_grad=True)
            assert gradgradcheck(f, x)
        assert answers

    def test_a_backward_pass_may_be_repeated_and_scores_changed_before_it(self, torch_backend, answers):
        import torch

        for f in (partial(soft_one_hot, alpha=1.5), partial(soft_argmax, axis=-1, alpha=1.5)):
            x = torch.randn(4, 9, dtype=torch.float64, requires_grad=True)
            z = x * 1
            y = f(z)
            y.backward(torch.ones_like(y), retain_graph=True)
            first = x.grad.clone()
            with torch.no_grad():
                z.mul_(3)
            y.backward(torch.ones_like(y))
            np.testing.assert_array_equal((x.grad - first).numpy(), first.numpy())

    def test_an_expanded_cotangent_is_read(self, torch_backend, answers):
        import torch

        x = torch.randn(4, 9, dtype=torch.float64, requires_grad=True)
        f = lambda: torch.autograd.grad((soft_one_hot(x, alpha=1.5) ** 2).sum(), x)[0]  # noqa: E731
        plain = lambda: torch.autograd.grad(soft_one_hot(x, alpha=1.5).sum(), x)[0]  # noqa: E731
        assert_close(f().numpy(), by_the_rule(f).numpy(), "float64", "derivative")
        assert_close(plain().numpy(), np.zeros((4, 9)), "float64", "derivative")
        assert len(answers) == 4


@served
@pytest.mark.parametrize("f", [soft_one_hot, partial(soft_argmax, axis=-1)], ids=["weights", "position"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_cotangent_that_is_not_finite_is_the_rules(backend, f, bad):
    """It spreads over its row, off the support too."""
    x = backend.asarray([[3.0, 2.5, 0.0, -1.0], [0.0, 0.5, 0.25, -4.0]], "float64")
    g = np.ones(np.shape(backend.to_numpy(f(x))))
    g[0, ...] = bad
    found = [value_and_gradient(backend, partial(f, alpha=2), x, g)]
    found.append(by_the_rule(lambda: value_and_gradient(backend, partial(f, alpha=2), x, g)))
    np.testing.assert_array_equal(*(dx for _, dx in found))
    assert np.isnan(found[0][1][0]).all()


@pytest.mark.parametrize("backend", backend_parameters(("numpy", "autograd")))
@pytest.mark.parametrize("shape", [(), (6,)], ids=["too few", "too many"])
def test_a_cotangent_of_another_shape_is_an_error(backend, shape):
    pullback = backend.vjp(partial(soft_argmax, axis=-1, alpha=2), backend.asarray(np.eye(3), "float64"))[1]
    with pytest.raises(ValueError, match="reshape"):
        pullback(np.ones(shape))


def test_the_engines_can_be_switched_off(answers):
    with selection.only():
        anyargmax.soft_one_hot(np.zeros((2, 3)), alpha=2)
    assert not answers
