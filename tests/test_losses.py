"""Losses of rows and maps that do not all count: several axes, rows without a target, rows without scores."""

from functools import partial

import numpy as np
import pytest
from conftest import backend_parameters
from pullbacks import assert_all_close, direction_of, pulled, pulled_twice

from anyargmax import fenchel_young_loss as loss
from anyargmax import soft_one_hot
from anyargmax.validation.tolerance import assert_close

INF, NAN = np.inf, np.nan
learning = pytest.mark.parametrize("backend", backend_parameters(("autograd", "torch", "torch-func", "jax")))
torch_only = pytest.mark.parametrize("backend", backend_parameters(("torch",)))
jax_only = pytest.mark.parametrize("backend", backend_parameters(("jax",)))
of_each_order = pytest.mark.parametrize("alpha", [1, 1.5, 2], ids="of order {}".format)
X = np.random.default_rng(1).normal(size=(4, 5))
MAPS = np.random.default_rng(2).normal(size=(2, 3, 4))
SHARES = np.random.default_rng(3).dirichlet(np.ones(12), size=2).reshape(2, 3, 4)


@of_each_order
@pytest.mark.parametrize("axis", [(1, 2), (2, 1), (-1, -2)], ids="along {}".format)
def test_losses_of_maps_are_those_of_flattened_rows(backend, axis, alpha):
    flat = lambda a: a.reshape(2, 12) if axis == (1, 2) else a.transpose(0, 2, 1).reshape(2, 12)  # noqa: E731
    labels = backend.asarray(np.asarray([7, 2]))
    for target in (labels, backend.asarray(SHARES)):
        f = lambda x, y=target: loss(x, y, axis, alpha=alpha)  # noqa: E731
        of_rows = target if target is labels else backend.asarray(flat(SHARES))
        g = lambda x, y=of_rows: loss(x, y, alpha=alpha)  # noqa: E731
        values, (gradient,) = pulled(backend, f, backend.asarray(MAPS))
        expected, (slope,) = pulled(backend, g, backend.asarray(flat(MAPS)))
        assert_all_close(values, expected, "value")
        assert_close(flat(gradient), slope, "float64", "derivative")


def test_an_index_of_several_axes_counts_in_their_order(backend):
    """The entry (1, 3) of a map of 3 by 4 is the 8th along (0, 1), and the 11th along (1, 0)."""
    x = np.zeros((3, 4))
    x[1, 3] = 50.0
    for axis, index in (((0, 1), 7), ((1, 0), 10)):
        assert backend.to_numpy(loss(backend.asarray(x), backend.asarray(np.asarray(index)), axis)) < 1e-15


@of_each_order
@pytest.mark.parametrize("bad", [NAN, INF], ids="whose scores are {}".format)
def test_ignored_rows_have_loss_0_and_gradient_0_and_leave_the_others(backend, bad, alpha):
    labels = np.asarray([2, -1, 4, -1])
    x = np.where((labels == -1)[:, None], bad, X)
    f = lambda x: loss(x, backend.asarray(labels), alpha=alpha, ignore_index=-1)  # noqa: E731
    values, (gradient,) = pulled(backend, f, backend.asarray(x))
    whole = lambda x: loss(x, backend.asarray(np.abs(labels)), alpha=alpha)  # noqa: E731
    expected, (slope,) = pulled(backend, whole, backend.asarray(X))
    counted = (labels != -1)[:, None]
    assert_close(values[0], np.where(labels == -1, 0, expected[0]), "float64", "value")
    assert_close(gradient, np.where(counted, slope, 0), "float64", "derivative")
    assert not values[0][1::2].any()
    assert not gradient[1::2].any()


def test_an_ignored_index_may_be_one_of_the_classes(backend):
    y = loss(backend.asarray(X), backend.asarray(np.asarray([0, 1, 0, 2])), ignore_index=0)
    assert (backend.to_numpy(y) == 0).tolist() == [True, False, True, False]


@pytest.mark.parametrize(("alpha", "how"), [(1, "masked"), (1.5, "minus infinity"), (2, "masked")], ids=str)
@pytest.mark.parametrize(
    "kind", ["an index", "an index that does not exist", "weights", "no weights", "weights of nan"]
)
def test_rows_without_kept_scores_have_loss_0_and_gradient_0_whatever_their_target(backend, kind, how, alpha):
    keep = np.ones(X.shape, dtype=bool)
    keep[1::2] = False
    x, options = (X, {"mask": backend.asarray(keep)}) if how == "masked" else (np.where(keep, X, -INF), {})
    if "index" in kind:
        target = np.asarray([0, -7, 2, 99]) if "not" in kind else np.asarray([0, 1, 2, 4])
    else:
        target = np.full(X.shape, 0.2)
        target[1::2] = {"weights": 0.2, "no weights": 0.0, "weights of nan": NAN}[kind]
    y = backend.asarray(target)
    f = lambda x: loss(x, y, alpha=alpha, **options)  # noqa: E731
    values = backend.to_numpy(f(backend.asarray(x)))
    assert not values[1::2].any()
    assert (values[::2] > 0).all()
    if backend.name == "jax":
        import jax

        # Scores that are differentiated cannot be looked at here, and then a target should not be looked at either.
        gradient = np.asarray(jax.jit(jax.grad(lambda x, y: loss(x, y, alpha=alpha, **options).sum()))(x, y))
    else:
        _, (gradient,) = pulled(backend, f, backend.asarray(x))
    assert not gradient[1::2].any()
    assert np.isfinite(gradient).all()


@learning
@of_each_order
@pytest.mark.parametrize("fill", [0.2, 1.0], ids="of weights {}".format)
def test_rows_without_kept_scores_give_target_and_temperature_gradient_0(backend, fill, alpha):
    keep = np.ones(X.shape, dtype=bool)
    keep[1] = False
    target = np.full(X.shape, 0.2)
    target[1] = fill
    f = lambda x, y, t: loss(x, y, alpha=alpha, temperature=t, mask=backend.asarray(keep))  # noqa: E731
    arrays = (np.where(keep, X, NAN), target, np.asarray([[0.5], [1.0], [2.0], [1.0]]))
    values, gradients = pulled(backend, f, *map(backend.asarray, arrays))
    assert values[0][1] == 0
    for gradient in gradients:
        assert np.isfinite(gradient).all()
        assert not gradient[1].any()
        assert gradient[0].any()


@learning
@of_each_order
@pytest.mark.parametrize("target", ["indices that do not exist", "weights of 0", "weights of nan"])
def test_rows_without_kept_scores_may_have_any_target_where_scores_are_differentiated(backend, target, alpha):
    """The mask says which rows these are, and may be looked at."""
    keep = np.ones(X.shape, dtype=bool)
    keep[1::2] = False
    weights = np.where(keep, 0.2, NAN if "nan" in target else 0.0)
    y = backend.asarray(np.asarray([0, -7, 2, 99]) if "indices" in target else weights)
    mask = backend.asarray(keep)
    values, (gradient,) = pulled(backend, lambda x: loss(x, y, alpha=alpha, mask=mask), backend.asarray(X))
    assert (values[0] == 0).tolist() == [False, True, False, True]
    assert (gradient == 0).all(axis=-1).tolist() == [False, True, False, True]


@learning
@of_each_order
def test_rows_without_kept_scores_give_target_weights_of_0_gradient_0(backend, alpha):
    keep = np.ones(X.shape, dtype=bool)
    keep[1:3] = False
    target, mask = np.full(X.shape, 0.2), backend.asarray(keep)
    target[1], target[2] = 0, [1, 0, 0, 0, 0]
    f = lambda x, y: loss(x, y, alpha=alpha, mask=mask)  # noqa: E731
    _, (_, gradient) = pulled(backend, f, backend.asarray(X), backend.asarray(target))
    assert np.isfinite(gradient).all()
    assert not gradient[1:3].any()


@pytest.mark.parametrize(("dtype", "count"), [("int8", 128), ("int8", 300), ("uint8", 256), ("uint8", 300)])
def test_indices_of_a_small_dtype_count_classes_beyond_its_range(backend, dtype, count):
    x, labels = np.random.default_rng(6).normal(size=(3, count)), np.asarray([100, 1, 127])
    y = backend.to_numpy(loss(backend.asarray(x), backend.asarray(labels, dtype)))
    wide = backend.to_numpy(loss(backend.asarray(x), backend.asarray(labels, "int64")))
    assert_close(y, wide, "float64", "value")


def test_an_ignored_index_beyond_the_range_of_a_small_dtype_is_no_index(backend):
    x, labels = np.random.default_rng(7).normal(size=(2, 200)), np.asarray([156, 1])  # 156 is -100 in 8 bits
    y = backend.to_numpy(loss(backend.asarray(x), backend.asarray(labels, "uint8"), ignore_index=-100))
    wide = backend.to_numpy(loss(backend.asarray(x), backend.asarray(labels, "int64")))
    assert_close(y, wide, "float64", "value")


@of_each_order
def test_target_weight_on_a_masked_score_is_an_infinite_loss(backend, alpha):
    keep = np.ones(X.shape, dtype=bool)
    keep[1, 2] = keep[2, 2] = False
    weights = np.asarray([[0.2] * 5, [0.2] * 5, [0.5, 0.5, 0, 0, 0], [1, 0, 0, 0, 0]])
    for target in (np.asarray([2, 2, 1, 0]), np.eye(5)[[2, 2, 1, 0]], weights):
        given = {"target": backend.asarray(target), "mask": backend.asarray(keep)}
        f = lambda x, given=given: loss(x, given["target"], alpha=alpha, mask=given["mask"])  # noqa: E731
        values, (gradient,) = pulled(backend, f, backend.asarray(np.where(keep, X, NAN)))
        assert (values[0] == INF).tolist() == [False, True, False, False]
        assert np.isfinite(gradient).all()
        assert not gradient[~keep].any()
        p = backend.to_numpy(soft_one_hot(backend.asarray(X), alpha=alpha, mask=backend.asarray(keep)))
        y = target if target.ndim == 2 else np.eye(5)[target]
        assert_close(gradient, np.where(keep, p - y, 0) * direction_of(values[0])[0][:, None], "float64", "derivative")


@learning
@of_each_order
def test_ignored_rows_give_a_temperature_gradient_0_under_a_mask_too(backend, alpha):
    keep = np.ones(X.shape, dtype=bool)
    keep[:, 0] = False
    x = np.where(keep, X, NAN)
    x[1] = NAN
    labels, mask = backend.asarray(np.asarray([1, -1, 2, -1])), backend.asarray(keep)
    f = lambda x, t: loss(x, labels, alpha=alpha, temperature=t, mask=mask, ignore_index=-1)  # noqa: E731
    values, (dx, dt) = pulled(backend, f, backend.asarray(x), backend.asarray(np.asarray([[0.5], [1.0], [2.0], [1.0]])))
    assert (values[0] == 0).tolist() == [False, True, False, True]
    assert (dt[:, 0] == 0).tolist() == [False, True, False, True]
    assert (dx == 0).all(axis=-1).tolist() == [False, True, False, True]
    assert np.isfinite(dx).all()


@learning
def test_ignored_rows_have_second_derivatives_of_0(backend):
    x = X.copy()
    x[1] = NAN
    f = lambda x: loss(x, backend.asarray(np.asarray([1, -1, 2, 3])), ignore_index=-1)  # noqa: E731
    curved = pulled_twice(backend, f, x)
    assert np.isfinite(curved).all()
    assert not curved[1].any()
    assert curved[[0, 2, 3]].any(axis=-1).all()


@torch_only
class TestTorch:
    @pytest.mark.parametrize("alpha", [1, 1.5, 2], ids="of order {}".format)
    @pytest.mark.parametrize("masked", [False, True], ids=["of all", "under a mask"])
    def test_gradcheck_of_scores_target_and_temperature(self, backend, masked, alpha):
        """Target weights move among the distributions: inside for a softmax, with some at 0 for the others."""
        import torch

        keep = torch.ones(4, 5, dtype=torch.bool)
        keep[:, 1] = not masked
        u = torch.asarray(np.random.default_rng(5).random((4, 5)) + 0.5) * keep
        if alpha > 1:
            u[0, 2] = u[2, 3] = 0

        def f(x, u, t):
            y = u**2 / (u**2).sum(-1, keepdim=True)
            return loss(x, y, alpha=alpha, temperature=t, mask=keep if masked else None)

        arrays = (torch.asarray(X), u, torch.asarray([[0.5], [1.0], [2.0], [0.7]], dtype=torch.float64))
        inputs = [a.clone().requires_grad_() for a in arrays]
        if masked:
            inputs[1] = inputs[1].detach()  # a number beside 0 would be weight on a masked score
        assert torch.autograd.gradcheck(f, inputs)

    @of_each_order
    def test_compiled_losses_ignore_rows(self, backend, alpha):
        import torch

        torch._dynamo.reset()
        f = lambda x, y: loss(x, y, alpha=alpha, ignore_index=-1)  # noqa: E731
        compiled = torch.compile(f, backend="eager", fullgraph=True)
        x, y = np.where(np.arange(4)[:, None] == 1, NAN, X), torch.asarray([1, -1, 0, 4])
        actual, expected = (pulled(backend, lambda x, way=way: way(x, y), backend.asarray(x)) for way in (compiled, f))
        assert actual[0][0][1] == 0
        assert not actual[1][0][1].any()
        assert_all_close(actual[0], expected[0], "value")
        assert_all_close(actual[1], expected[1], "derivative")

    @of_each_order
    def test_vmap_has_the_losses_of_the_batch(self, backend, alpha):
        import torch

        x, y = torch.asarray(X), torch.asarray([1, -1, 0, 4])
        f = partial(loss, alpha=alpha, ignore_index=-1)
        assert_close(torch.func.vmap(f)(x, y).numpy(), f(x, y).numpy(), "float64", "value")


@jax_only
class TestJax:
    @of_each_order
    def test_jit_and_vmap_have_the_losses_of_the_call(self, backend, alpha):
        import jax

        f = partial(loss, alpha=alpha, ignore_index=-1)
        x, y = backend.asarray(np.where(np.arange(4)[:, None] == 1, NAN, X)), backend.asarray(np.asarray([1, -1, 0, 4]))
        expected = pulled(backend, lambda x: f(x, y), x)
        for way in (jax.jit(f), jax.vmap(f), jax.jit(jax.vmap(f))):
            actual = pulled(backend, lambda x, way=way: way(x, y), x)
            assert actual[0][0][1] == 0
            assert not actual[1][0][1].any()
            assert_all_close(actual[0], expected[0], "value")
            assert_all_close(actual[1], expected[1], "derivative")

    def test_a_traced_index_that_is_neither_a_class_nor_ignored_makes_its_row_nan(self, backend):
        import jax

        labels = backend.asarray(np.asarray([1, -1, 5, -2]))
        y = jax.jit(partial(loss, ignore_index=-1))(backend.asarray(X), labels)
        assert np.isnan(np.asarray(y)).tolist() == [False, False, True, True]
        assert y[1] == 0
