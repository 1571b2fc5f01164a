"""Positions of weights that the caller has: weights of any kind, rows without an answer, dtypes, shapes and transforms."""

from functools import partial

import numpy as np
import pytest
from conftest import NAMES, backend_parameters
from pullbacks import assert_all_close, direction_of, parts_of, pulled, pulled_twice

from anyargmax import expectation, spatial_expectation
from anyargmax.validation.tolerance import assert_close, dtype_name, round_to

INF, NAN = np.inf, np.nan
learning = pytest.mark.parametrize("backend", backend_parameters(("autograd", "torch", "torch-func", "jax")))
torch_only = pytest.mark.parametrize("backend", backend_parameters(("torch",)))
jax_only = pytest.mark.parametrize("backend", backend_parameters(("jax",)))
READOUTS = ("mean", "median", "moments")
last = partial(expectation, axis=-1)


# Weights of any kind


WEIGHTS = np.asarray([[0.5, -1.0, 2.0, 0.25], [-1.0, -0.5, -2.0, -0.25], [3.0, 0.0, 4.0, 0.75], [1.0, -1.0, 0.0, 0.0]])


def median_of(p):
    above = p.sum(-1, keepdims=True) - p.cumsum(-1)
    return np.clip(2 * above[..., :-1] - 1, 0, 1).sum(-1)


def test_negative_weights_and_sums_other_than_1_count_as_what_they_are(backend):
    c = np.arange(4)
    mean = WEIGHTS @ c
    off = c - mean[:, None]
    p = backend.asarray(WEIGHTS)
    values, gradients = pulled(backend, last, p)
    assert_all_close(values, [mean], "value")
    assert_all_close(gradients, [direction_of(mean)[0][:, None] * c], "derivative")
    values, gradients = pulled(backend, partial(last, readout="moments"), p)
    assert_all_close(values, [mean, (WEIGHTS * off**2).sum(-1)], "value")
    g = direction_of((mean, mean))
    rest = (WEIGHTS * off).sum(-1, keepdims=True)
    slope = g[0][:, None] * c + g[1][:, None] * (off**2 - 2 * c * rest)
    assert_all_close(gradients, [slope], "derivative")
    assert_all_close(pulled(backend, partial(last, readout="median"), p)[0], [median_of(WEIGHTS)], "value")


def test_covariance_of_weights_that_do_not_sum_to_1_is_about_their_mean(backend):
    p = np.random.default_rng(3).normal(size=(2, 3, 4))
    rows, columns = np.meshgrid(np.arange(3.0), np.arange(4.0), indexing="ij")
    mean = np.stack([(p * c).sum((1, 2)) for c in (rows, columns)], -1)
    places = np.stack([rows, columns])
    off = places - mean[..., None, None]
    expected = np.einsum("bhw,bihw,bjhw->bij", p, off, off)
    values, (gradient,) = pulled(backend, partial(spatial_expectation, readout="covariance"), backend.asarray(p))
    assert_all_close(values, [mean, expected], "value")
    of_mean, of_matrix = direction_of(tuple(values))
    rest = np.einsum("bhw,bihw->bi", p, off)
    both = of_matrix + of_matrix.transpose(0, 2, 1)
    slope = np.einsum("bi,ihw->bhw", of_mean - np.einsum("bij,bj->bi", both, rest), places)
    slope += np.einsum("bij,bihw,bjhw->bhw", of_matrix, off, off)
    assert_close(gradient, slope, "float64", "derivative")


@pytest.mark.parametrize("readout", READOUTS)
def test_an_answer_of_0_is_no_missing_one(backend, readout):
    """All weight on the first entry, and weights that cancel."""
    p = np.asarray([[2.0, 0.0, 0.0], [0.0, 2.0, -1.0], [0.0, 0.0, 0.0]])
    values, gradients = pulled(backend, partial(last, readout=readout), backend.asarray(p))
    assert values[0][:2].tolist() == ([0.0, 0.0] if readout != "median" else median_of(p)[:2].tolist())
    assert np.isnan(values[0][2])
    if readout == "mean":
        assert_close(gradients[0][:2], direction_of(values[0])[0][:2, None] * np.arange(3), "float64", "derivative")
    assert not gradients[0][2].any()


BROKEN = np.asarray([[0.25, 0.5, 0.25], [0.1, NAN, 0.2], [0.0, 0.0, 0.0], [0.0, 0.7, 0.3]])


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("axis", [-1, 0], ids="along axis {}".format)
def test_rows_of_nan_and_of_zeros_have_no_answer_and_gradient_0_and_leave_the_others(backend, axis, readout):
    p, f = BROKEN if axis == -1 else BROKEN.T, partial(expectation, axis=axis, readout=readout)
    values, (gradient,) = pulled(backend, f, backend.asarray(p))
    expected, (slope,) = pulled(
        backend, f, backend.asarray(np.where(np.isnan(p) | (p == p.sum(axis, keepdims=True)), 0.5, p))
    )
    gradient, slope = (gradient, slope) if axis == -1 else (gradient.T, slope.T)
    for y, wanted in zip(values, expected, strict=True):
        assert np.isnan(y[1:3]).all()
        assert_close(y[[0, 3]], wanted[[0, 3]], "float64", "value")
    assert not gradient[1:3].any()
    assert_close(gradient[[0, 3]], slope[[0, 3]], "float64", "derivative")


@pytest.mark.parametrize("readout", [*READOUTS, "covariance"])
def test_maps_of_nan_and_of_zeros_have_no_answer_and_gradient_0_and_leave_the_others(backend, readout):
    p = np.random.default_rng(4).dirichlet(np.ones(6), size=4).reshape(4, 2, 3)
    p[1, 0, 2], p[2] = NAN, 0
    f = partial(spatial_expectation, readout=readout, coordinates="corner")
    values, (gradient,) = pulled(backend, f, backend.asarray(p))
    sound = np.where(np.isnan(p) | (p == 0), 0.1, p)
    expected, (slope,) = pulled(backend, f, backend.asarray(sound))
    for y, wanted in zip(values, expected, strict=True):
        assert np.isnan(y[1:3]).all()
        assert_close(y[[0, 3]], wanted[[0, 3]], "float64", "value")
    assert not gradient[1:3].any()
    assert_close(gradient[[0, 3]], slope[[0, 3]], "float64", "derivative")


# Dask warns of what it computes later, out of reach.
@pytest.mark.parametrize("backend", backend_parameters([name for name in NAMES if name != "dask"]))
@pytest.mark.parametrize("readout", READOUTS)
def test_infinite_weights_warn_of_nothing_and_leave_the_other_rows(backend, readout):
    p = np.asarray([[0.25, 0.5, 0.25], [INF, 0.0, 1.0], [INF, -INF, 0.0]])
    f = partial(last, readout=readout)
    values = [backend.to_numpy(part) for part in parts_of(f(backend.asarray(p)))]
    expected = [backend.to_numpy(part) for part in parts_of(f(backend.asarray(p[:1])))]
    assert_all_close([y[:1] for y in values], expected, "value")
    assert all(np.isnan(y[1:]).all() for y in values)


@learning
@pytest.mark.filterwarnings("ignore:Output seems independent")  # the gradient of a mean, as autograd sees it
@pytest.mark.parametrize("readout", READOUTS)
def test_second_derivatives_are_finite_beside_rows_of_nan_and_of_zeros(backend, readout):
    f = partial(last, readout=readout)
    curved = pulled_twice(backend, f, BROKEN)
    assert np.isfinite(curved).all()
    assert not curved[1:3].any()
    sound = pulled_twice(backend, f, np.where(np.isfinite(BROKEN), BROKEN, 0.5))
    assert_close(curved[[0, 3]], sound[[0, 3]], "float64", "derivative")
    assert curved.any() == (readout == "moments")  # the others are linear where they move


@learning
def test_forward_mode_is_0_in_rows_of_nan_and_of_zeros(backend):
    t = np.cos(np.arange(12)).reshape(4, 3)
    for readout in READOUTS:
        _, tangent = backend.jvp(partial(last, readout=readout), (backend.asarray(BROKEN),), (backend.asarray(t),))
        for part in map(backend.to_numpy, parts_of(tangent)):
            assert np.isfinite(part).all()
            assert not part[1:3].any()
    _, tangent = backend.jvp(last, (backend.asarray(BROKEN),), (backend.asarray(t),))
    assert_close(backend.to_numpy(tangent)[[0, 3]], (t @ np.arange(3))[[0, 3]], "float64", "derivative")


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("bad", [NAN, INF, -INF], ids="weights of {}".format)
def test_a_mask_leaves_nothing_of(backend, bad, readout):
    keep = np.asarray([[True, False, True], [False, True, True], [False, False, False], [True, True, True]])
    p = np.random.default_rng(5).random((4, 3))
    f = partial(last, readout=readout, mask=backend.asarray(keep))
    values, (gradient,) = pulled(backend, f, backend.asarray(np.where(keep, p, bad)))
    expected, (slope,) = pulled(backend, f, backend.asarray(np.where(keep, p, 0)))
    for y, wanted in zip(values, expected, strict=True):
        np.testing.assert_array_equal(y, wanted)
        assert np.isnan(y).tolist() == [False, False, True, False]
    np.testing.assert_array_equal(gradient, slope)
    assert not gradient[~keep].any()


def test_a_mask_of_one_row_goes_with_all_maps(backend):
    keep = np.asarray([True, False, True])
    p = np.random.default_rng(6).random((2, 4, 3))
    f = partial(spatial_expectation, mask=backend.asarray(keep))
    values, (gradient,) = pulled(backend, f, backend.asarray(np.where(keep, p, NAN)))
    kept = p * keep
    wanted = np.stack([(kept.sum(2) @ np.arange(4)), (kept.sum(1) @ np.arange(3))], -1)
    assert_close(values[0], wanted, "float64", "value")
    assert not gradient[..., 1].any()


# Shapes and dtypes


def test_integer_weights_are_counts_in_the_default_dtype(backend):
    p = np.asarray([[1, 2, 0], [0, 0, 0], [0, -1, 3]])
    y = last(backend.asarray(p, "int32"))
    assert dtype_name(y) == backend.default_float
    np.testing.assert_array_equal(backend.to_numpy(y), [2, NAN, 5])
    mean, variance = last(backend.asarray(p, "int32"), readout="moments")
    np.testing.assert_array_equal(backend.to_numpy(mean), [2, NAN, 5])
    np.testing.assert_array_equal(backend.to_numpy(variance), [4 + 2, NAN, -16 + 3 * 9])


@pytest.mark.parametrize("readout", READOUTS)
def test_half_precision_weights_have_positions_in_float32_of_what_is_stored(backend, readout):
    for dtype in {"float16", "bfloat16"} & set(backend.dtypes):
        p = round_to(np.random.default_rng(7).dirichlet(np.ones(300), size=3), dtype)
        f = partial(last, readout=readout)
        x = backend.asarray(p, dtype)
        assert {dtype_name(part) for part in parts_of(f(x))} == {"float32"}
        values, (gradient,) = pulled(backend, f, x)
        wide = pulled(backend, f, backend.asarray(p, "float64"))
        for y, wanted in zip(values, wide[0], strict=True):
            assert_close(y, wanted, "float32", "value")
        assert_close(gradient, wide[1][0], "float32", "derivative", stored=dtype)
        assert dtype_name(backend.vjp(f, x)[1](f(x))[0]) == dtype


@learning
@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("shape", [(3,), (1, 3), (4, 3)], ids="of shape {}".format)
def test_positions_have_a_gradient(backend, shape, readout):
    p, c = np.random.default_rng(8).dirichlet(np.ones(3), size=4), np.random.default_rng(9).normal(size=shape)
    f = lambda p, c: expectation(p, -1, positions=c, readout=readout)  # noqa: E731
    values, (_, slope) = pulled(backend, f, backend.asarray(p), backend.asarray(c))
    mean = (p * c).sum(-1)
    g = direction_of((mean, mean))
    moving = g[0][:, None] * p
    if readout == "moments":
        assert_all_close(values, [mean, (p * (c - mean[:, None]) ** 2).sum(-1)], "value")
        moving = moving + g[1][:, None] * 2 * p * (c - mean[:, None])
    if readout == "median":
        above = np.clip(2 * (1 - p.cumsum(-1)[:, :-1]) - 1, 0, 1)
        steps = np.pad(above, ((0, 0), (1, 1)), constant_values=((0, 0), (1, 0)))
        moving = g[0][:, None] * (steps[:, :-1] - steps[:, 1:])
    moving = moving if len(shape) > 1 and shape[0] > 1 else moving.sum(0, keepdims=len(shape) > 1)
    assert_close(slope, moving, "float64", "derivative")


@learning
def test_positions_have_gradient_0_from_rows_of_nan_and_of_zeros(backend):
    c = np.asarray([1.0, -2.0, 0.5])
    f = lambda p, c: expectation(p, -1, positions=c)  # noqa: E731
    _, (dp, dc) = pulled(backend, f, backend.asarray(BROKEN), backend.asarray(c))
    g = direction_of(BROKEN[:, 0])[0][[0, 3]]
    assert_close(dc, g @ BROKEN[[0, 3]], "float64", "derivative")
    assert not dp[1:3].any()


def test_positions_of_any_kind_are_taken_along_any_axis(backend):
    p = np.random.default_rng(10).random((2, 3, 4))
    for axis in (0, 1, 2, -1, -3):
        c = np.random.default_rng(11).normal(size=p.shape[axis])
        wanted = np.tensordot(p, c, (axis, 0))
        values, (gradient,) = pulled(
            backend, partial(expectation, axis=axis, positions=backend.asarray(c)), backend.asarray(p)
        )
        assert_close(values[0], wanted, "float64", "value")
        slope = np.expand_dims(direction_of(wanted)[0], axis) * np.moveaxis(c[:, None, None], 0, axis)
        assert_close(gradient, slope, "float64", "derivative")


def test_the_axis_may_be_given_by_position_and_kept(backend):
    p = np.random.default_rng(12).random((2, 3, 4))
    x = backend.asarray(p)
    for axis in (0, 1, 2, -1, -2):
        wanted = np.tensordot(p, np.arange(p.shape[axis]), (axis, 0))
        assert_close(backend.to_numpy(expectation(x, axis)), wanted, "float64", "value")
        kept = expectation(x, axis, keepdims=True, readout="moments")
        assert {tuple(part.shape) for part in kept} == {np.expand_dims(wanted, axis).shape}
        assert_close(backend.to_numpy(kept[0]), np.expand_dims(wanted, axis), "float64", "value")


def test_no_axis_is_the_flattened_array(backend):
    p = np.random.default_rng(13).random((2, 3))
    values, (gradient,) = pulled(backend, expectation, backend.asarray(p))
    assert_close(values[0], p.ravel() @ np.arange(6), "float64", "value")
    assert_close(gradient, np.arange(6.0).reshape(2, 3), "float64", "derivative")
    kept = expectation(backend.asarray(p), keepdims=True, positions=backend.asarray(p + 1))
    assert tuple(kept.shape) == (1, 1)
    assert_close(backend.to_numpy(kept), [[np.sum(p * (p + 1))]], "float64", "value")


@pytest.mark.parametrize("readout", READOUTS)
def test_an_empty_batch_has_empty_answers(backend, readout):
    for shape, axis, wanted in (((0, 4), -1, (0,)), ((3, 4, 0), 1, (3, 0))):
        values, (gradient,) = pulled(
            backend, partial(expectation, axis=axis, readout=readout), backend.asarray(np.ones(shape))
        )
        assert {y.shape for y in values} == {wanted}
        assert gradient.shape == shape
    values, (gradient,) = pulled(
        backend, partial(spatial_expectation, readout=readout), backend.asarray(np.ones((0, 3, 4)))
    )
    assert {y.shape for y in values} == {(0, 2)}
    assert gradient.shape == (0, 3, 4)


def test_a_batch_of_no_maps_has_a_covariance_of_its_shape(backend):
    mean, matrix = spatial_expectation(backend.asarray(np.ones((0, 3, 4))), readout="covariance")
    assert (tuple(mean.shape), tuple(matrix.shape)) == ((0, 2), (0, 2, 2))


def test_one_entry_is_its_own_position(backend):
    values, (gradient,) = pulled(backend, last, backend.asarray(np.asarray([[0.5], [0.0]])))
    np.testing.assert_array_equal(values[0], [0.0, NAN])
    assert not gradient.any()


# Ways of torch


TALL = np.random.default_rng(14).dirichlet(np.ones(5), size=6)


@torch_only
class TestTorch:
    @pytest.mark.parametrize("view", ["transposed", "strided", "flipped", "expanded"])
    def test_views_have_the_answers_of_copies(self, backend, view):
        import torch

        base = torch.asarray(np.random.default_rng(15).random((8, 5)))
        for learned in (False, True):
            leaf = base.clone().requires_grad_(learned)
            x = {
                "transposed": leaf.T,
                "strided": leaf[::2, 1:4],
                "flipped": leaf.flip(0),
                "expanded": leaf[:1].expand(3, 5),
            }[view]
            for f in (last, partial(expectation, axis=0), spatial_expectation, partial(last, readout="moments")):
                y, wanted = parts_of(f(x)), parts_of(f(x.detach().contiguous()))
                for part, other in zip(y, wanted, strict=True):
                    assert part.requires_grad == learned
                    assert_close(part.detach().numpy(), other.numpy(), "float64", "value")
                if learned:
                    (gradient,) = torch.autograd.grad(sum(part.sum() for part in y), leaf)
                    copy = x.detach().clone().contiguous().requires_grad_()
                    (slope,) = torch.autograd.grad(sum(part.sum() for part in parts_of(f(copy))), copy)
                    (slope,) = torch.autograd.grad(x, leaf, slope)
                    assert_close(gradient.numpy(), slope.numpy(), "float64", "derivative")

    @pytest.mark.parametrize("readout", READOUTS)
    def test_nothing_is_recorded_where_nothing_is_learned(self, backend, readout):
        import torch

        x = torch.asarray(TALL)
        f = partial(last, readout=readout)
        wanted = parts_of(f(x))
        learned = x.clone().requires_grad_()
        with torch.no_grad():
            free = parts_of(f(learned))
        with torch.inference_mode():
            inferred = parts_of(f(learned))
        for some in (wanted, free, inferred):
            assert not any(part.requires_grad for part in some)
            assert_all_close([part.numpy() for part in some], [part.numpy() for part in wanted], "value")
        assert all(part.is_inference() for part in inferred)
        assert all(part.requires_grad for part in parts_of(f(learned)))

    @pytest.mark.parametrize("readout", READOUTS)
    @pytest.mark.parametrize("masked", [False, True], ids=["as it is", "masked"])
    def test_compiles_to_one_graph(self, backend, masked, readout):
        import torch

        torch._dynamo.reset()
        mask = torch.asarray(TALL > 0.02) if masked else None
        f = partial(last, readout=readout, mask=mask)
        rows = np.concatenate([TALL[:3], np.zeros((1, 5)), np.full((1, 5), NAN), TALL[3:4]])
        compiled = torch.compile(f, backend="eager", fullgraph=True)
        actual, expected = (pulled(backend, way, backend.asarray(rows)) for way in (compiled, f))
        assert_all_close(actual[0], expected[0], "value")
        assert_all_close(actual[1], expected[1], "derivative")

    @pytest.mark.parametrize("readout", [*READOUTS, "covariance"])
    def test_vmap_has_the_answers_of_the_batch(self, backend, readout):
        import torch

        x = torch.asarray(np.stack([TALL, np.zeros_like(TALL), np.where(TALL > 0.3, NAN, TALL)]))
        f = partial(spatial_expectation, readout=readout)
        wanted = [part.numpy() for part in parts_of(f(x))]
        assert_all_close([part.numpy() for part in parts_of(torch.func.vmap(f)(x))], wanted, "value")
        if readout != "covariance":
            rows = parts_of(torch.func.vmap(partial(expectation, readout=readout), in_dims=1)(x[0]))
            wanted = parts_of(expectation(x[0], 0, readout=readout))
            assert_all_close([part.numpy() for part in rows], [part.numpy() for part in wanted], "value")

    @pytest.mark.parametrize("readout", READOUTS)
    def test_hessian_is_finite_where_weights_are_0(self, backend, readout):
        import torch

        def loss(p):
            return sum(torch.nansum(part**2) for part in parts_of(last(p, readout=readout)))

        x = torch.asarray(np.asarray([[0.0, 0.25, 0.75], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))
        hessian = torch.func.hessian(loss)(x).numpy()
        assert np.isfinite(hessian).all()
        assert not hessian[1].any()
        twice = torch.autograd.functional.hessian(loss, x).numpy()
        assert_close(twice, hessian, "float64", "derivative")
        if readout == "mean":
            c = np.arange(3)
            assert_close(hessian[0, :, 0], 2.0 * np.outer(c, c), "float64", "derivative")

    @pytest.mark.parametrize("readout", READOUTS)
    def test_gradcheck_to_second_order(self, backend, readout):
        from torch.autograd import gradcheck, gradgradcheck

        p = backend.asarray(WEIGHTS[:3]).requires_grad_()
        c = backend.asarray(np.asarray([0.5, -1.0, 2.0, 4.0])).requires_grad_()
        f = lambda p, c: last(p, positions=c, readout=readout)  # noqa: E731
        assert gradcheck(f, (p, c), check_forward_ad=True, check_batched_grad=True)
        assert gradgradcheck(f, (p, c))


@jax_only
class TestJax:
    @pytest.mark.parametrize("readout", READOUTS)
    def test_jit_and_vmap_have_the_answers_of_the_call(self, backend, readout):
        import jax

        f = partial(last, readout=readout)
        x = backend.asarray(np.concatenate([BROKEN, [[-1.0, 2.0, 0.5]]]))
        expected = pulled(backend, f, x)
        for way in (jax.jit(f), jax.vmap(f), jax.jit(jax.vmap(f))):
            actual = pulled(backend, way, x)
            assert_all_close(actual[0], expected[0], "value")
            assert_all_close(actual[1], expected[1], "derivative")

    @pytest.mark.parametrize("readout", READOUTS)
    def test_hessian_is_finite_where_weights_are_0(self, backend, readout):
        import jax
        import jax.numpy as jnp

        def loss(p):
            return sum(jnp.nansum(part**2) for part in parts_of(last(p, readout=readout)))

        x = backend.asarray(np.asarray([[0.0, 0.25, 0.75], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))
        hessian = np.asarray(jax.hessian(loss)(x))
        assert np.isfinite(hessian).all()
        assert not hessian[1].any()
        reverse = np.asarray(jax.jacrev(jax.grad(loss))(x))
        assert_close(reverse, hessian, "float64", "derivative")
