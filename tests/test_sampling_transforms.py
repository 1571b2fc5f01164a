"""Draws under the transforms and compilers of each framework: there is no randomness in them, so that nothing is special."""

import re
from functools import partial

import numpy as np
import pytest
from conftest import backend_parameters

from anyargmax import jvp, soft_one_hot, soft_top_k, spatial_soft_argmax, straight_through, vjp
from anyargmax.sampling import argmax_probability, conditional_gumbel, perturbed, sample_one_hot
from anyargmax.validation.tolerance import assert_close

ESTIMATORS = ("gumbel", "straight-through", "reinmax", "gumbel-rao", "gapped")
X = np.random.default_rng(1).normal(size=(3, 4))
NOISE = np.random.default_rng(2).gumbel(size=(2, 3, 4))
C = np.random.default_rng(3).normal(size=4)
every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS)
torch_only = pytest.mark.parametrize("backend", backend_parameters(("torch",)))
jax_only = pytest.mark.parametrize("backend", backend_parameters(("jax",)))
tensorflow_only = pytest.mark.parametrize("backend", backend_parameters(("tensorflow",)))


def largest(x):
    return soft_one_hot(x, axis=None, hard=True)


CALLS = {
    **{name: partial(sample_one_hot, estimator=name, temperature=0.5) for name in ESTIMATORS},
    "conditional": lambda x, noise: conditional_gumbel(x, soft_one_hot(x, hard=True), noise),
    "perturbed": lambda x, noise: perturbed(largest, x, noise, scale=0.5),
    "straight-through value": lambda x, noise: straight_through(x * 0 + 1, x + noise[0]),
}
every_call = pytest.mark.parametrize("f", CALLS.values(), ids=CALLS)


def weighted(f, noise, c):
    """A loss of a draw that depends on the entry chosen, quadratically."""

    def loss(x):
        y = f(x, noise) * c
        return (y**2 + y).sum()

    return loss


@every_call
@torch_only
def test_torch_func_gives_what_eager_mode_gives(backend, f):
    """``vmap`` over rows, forward and reverse mode, and one over the other."""
    import torch

    noise, c, x = map(backend.asarray, (NOISE, C, X))
    loss = weighted(f, noise, c)
    leaf = x.clone().requires_grad_()
    (eager,) = torch.autograd.grad(loss(leaf), leaf, create_graph=True)
    (twice,) = torch.autograd.grad((eager * torch.cos(x)).sum(), leaf)
    assert_close(torch.func.grad(loss)(x).numpy(), eager.detach().numpy(), "float64", "derivative")
    over = torch.func.jvp(torch.func.grad(loss), (x,), (torch.cos(x),))[1]
    assert_close(over.numpy(), twice.numpy(), "float64", "derivative")
    along = torch.func.jvp(loss, (x,), (torch.sin(x),))[1]
    assert_close(along.numpy(), (eager.detach() * torch.sin(x)).sum().numpy(), "float64", "derivative")


@every_estimator
@torch_only
def test_vmap_of_torch_draws_row_by_row(backend, estimator):
    import torch

    x, noise = backend.asarray(X), backend.asarray(NOISE)
    f = partial(sample_one_hot, estimator=estimator)
    rows = torch.func.vmap(f, in_dims=(0, 1), out_dims=0 if estimator == "gumbel-rao" else 1)(x, noise)
    assert np.array_equal(rows.numpy(), f(x, noise).numpy())
    grads = torch.func.vmap(torch.func.grad(lambda x, n: (f(x, n) * backend.asarray(C)).sum()), in_dims=(0, 1))(
        x, noise
    )
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad((f(leaf, noise) * backend.asarray(C)).sum(), leaf)
    assert_close(grads.numpy(), expected.numpy(), "float64", "derivative")


@torch_only
def test_torch_compiles_draws_in_one_graph(backend):
    """Value and gradient of every function of draws together, with no break in the graph."""
    import torch

    x, noise, c = (backend.asarray(a, "float32") for a in (X, NOISE, C))

    def loss(x, noise):
        return sum(weighted(f, noise, c)(x) for f in CALLS.values())

    torch._dynamo.reset()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    found, expected = (
        torch.autograd.grad(f(leaf, noise), leaf)[0] for f in (compiled, loss) for leaf in [x.clone().requires_grad_()]
    )
    assert_close(found.numpy(), expected.numpy(), "float32", "derivative")
    assert_close(compiled(x, noise).numpy(), loss(x, noise).numpy(), "float32", "value")


@every_estimator
@torch_only
def test_a_temperature_that_is_changed_before_the_backward_pass_is_noticed(backend, estimator):
    """As by an optimizer's step or an annealing between forward and backward."""
    import torch

    x, t = backend.asarray(X).requires_grad_(), torch.ones((), dtype=torch.float64)
    draw = sample_one_hot(x, backend.asarray(NOISE), temperature=t, estimator=estimator)
    expected = torch.autograd.grad(draw.sum(-1).sum() + draw[..., 0].sum(), x, retain_graph=True)[0]
    t.fill_(3.0)
    try:
        (found,) = torch.autograd.grad(draw.sum(-1).sum() + draw[..., 0].sum(), x)
    except RuntimeError as error:
        assert "modified by an inplace operation" in str(error)  # noqa: PT017
    else:
        assert torch.equal(found, expected)


@jax_only
@every_call
def test_jax_transforms_draws_as_anything(backend, f):
    """``jit`` round all: reverse mode, forward over reverse and reverse over reverse, and ``vmap`` over the noise."""
    import jax

    noise, c, x = map(backend.asarray, (NOISE, C, X))
    loss = weighted(f, noise, c)
    many = backend.asarray(np.stack([NOISE, NOISE[::-1]]))

    @jax.jit
    def transformed(x):
        gradient = jax.grad(loss)
        over = jax.jvp(gradient, (x,), (c + 0 * x,))[1]
        reverse = jax.grad(lambda x: (gradient(x) * c).sum())(x)
        return gradient(x), over, reverse, jax.vmap(f, in_axes=(None, 0))(x, many)

    found, over, reverse, each = map(np.asarray, transformed(x))
    value, pullback = vjp(lambda x: f(x, NOISE), X)
    assert_close(found, pullback(2 * value * C**2 + C)[0], "float64", "derivative")
    assert_close(over, reverse, "float64", "derivative")
    for k in range(2):
        assert_close(each[k], f(X, np.asarray(many[k])), "float64", "value")


@tensorflow_only
@pytest.mark.parametrize("compiled", [False, True], ids=["as a graph", "by XLA"])
def test_tensorflow_compiles_draws_of_any_batch(backend, compiled):
    import tensorflow as tf

    noise, c, x = map(backend.asarray, (NOISE, C, X))

    def gradient(x, noise):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = sum(tf.reduce_sum(CALLS[name](x, noise) * c) for name in ESTIMATORS)
        return tape.gradient(loss, x)

    shapes = [tf.TensorSpec((None, 4), tf.float64), tf.TensorSpec((2, None, 4), tf.float64)]
    graph = tf.function(gradient, input_signature=shapes, jit_compile=compiled)
    assert_close(graph(x, noise).numpy(), gradient(x, noise).numpy(), "float64", "derivative")


def test_explicit_derivatives_need_no_framework_that_differentiates(anyargmax_backend):
    """`vjp` and `jvp` of draws, also of arrays of the standard alone."""
    x, noise = anyargmax_backend.asarray(X), anyargmax_backend.asarray(NOISE)
    both = (partial(sample_one_hot, estimator="gapped"), CALLS["perturbed"])
    for f in both[:1] if anyargmax_backend.name == "jax" else both:  # which compiles each operation of these
        g = lambda x, f=f: f(x, noise)  # noqa: E731
        value, pullback = vjp(g, x)
        v = anyargmax_backend.asarray(np.cos(np.arange(np.prod(value.shape))).reshape(tuple(value.shape)))
        t = anyargmax_backend.asarray(np.sin(np.arange(12.0)).reshape(3, 4))
        _, tangent = jvp(g, (x,), (t,))
        by, along, cotangent = (anyargmax_backend.to_numpy(a) for a in (pullback(v)[0], tangent, v))
        assert abs(np.sum(by * np.sin(np.arange(12.0)).reshape(3, 4)) - np.sum(along * cotangent)) < 1e-13


def test_deterministic_functions_of_perturbed_scores_are_draws_too(anyargmax_backend):
    """A noisy choice of two experts, and positions in perturbed maps: what is added is all."""
    to_numpy = anyargmax_backend.to_numpy
    x, noise = anyargmax_backend.asarray(X), anyargmax_backend.asarray(NOISE[0])
    gates = to_numpy(soft_top_k(x + noise, 2, hard=True))
    assert np.array_equal(gates, np.sort(X + NOISE[0], axis=1)[:, [2]] <= X + NOISE[0])
    places = to_numpy(
        spatial_soft_argmax(anyargmax_backend.asarray(X) + anyargmax_backend.asarray(NOISE), temperature=0.5)
    )
    assert places.shape == (2, 2)


# What is refused, and how.


def refused(error, text, f, *args, **options):
    with pytest.raises(error, match=re.escape(text)):
        f(*args, **options)


@pytest.mark.parametrize(
    ("error", "text", "noise", "options"),
    [
        (ValueError, "`estimator` must be 'gumbel' or 'straight-through' or 'reinmax' or 'gumbel-rao' or 'gapped', got 'rebar'.", NOISE, {"estimator": "rebar"}),
        (TypeError, "`noise` must be a real floating-point array, got a ndarray of shape (3, 4) and dtype int64. Make it with `gumbel_noise`", np.ones((3, 4), dtype=int), {}),
        (TypeError, "`noise` must be a real floating-point array, got None of type NoneType", None, {}),
        (ValueError, "`noise` must have a shape that broadcasts against that of the scores, (3, 4), with length 4 along axis 1, after any number of leading axes for draws, got shape (3, 1).", NOISE[0, :, :1], {}),
        (ValueError, "got shape (2, 4).", NOISE[:, 0], {}),
        (ValueError, "`noise` must have a leading axis of draws, and then a shape", NOISE[0], {"estimator": "gumbel-rao"}),
        (ValueError, "`noise` must have at least 1 draw to take a mean over, got shape (0, 3, 4).", NOISE[:0], {"estimator": "gumbel-rao"}),
        (ValueError, "got 2. Pass one that the array has. It counts among the axes of the scores, without those of the draws.", NOISE, {"axis": 2}),
        (ValueError, "got -3. Pass one that the array has. It counts among the axes", NOISE, {"axis": -3}),
        (ValueError, "`temperature` must be greater than 0, got -1.0.", NOISE, {"temperature": -1.0}),
        (TypeError, "`mask` must be a boolean array", NOISE, {"mask": np.ones(4)}),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, (str, dict)) else type(value).__name__,
)  # fmt: skip
def test_bad_arguments_of_a_draw_are_refused(error, text, noise, options):
    refused(error, text, sample_one_hot, X, noise, **options)


def test_bad_arguments_of_the_others_are_refused():
    refused(TypeError, "`x` must be an array", sample_one_hot, [1.0, 2.0], NOISE)
    refused(ValueError, "`x` must have an axis to choose along, got shape ().", sample_one_hot, np.asarray(1.0), NOISE)
    refused(
        ValueError,
        "got shape (3, 4). Convert one-hot integers to Booleans.",
        conditional_gumbel,
        X,
        np.ones((3, 4), int),
        NOISE[0],
    )
    refused(
        ValueError,
        "`scale` must be finite everywhere, got [ 1. inf  1.  1.].",
        argmax_probability,
        X,
        scale=np.asarray([1, np.inf, 1, 1]),
    )
    refused(
        ValueError,
        "`chosen` must be indices, of the shape of the result without the axis, (3,), got shape (4,).",
        conditional_gumbel,
        X,
        np.arange(4),
        NOISE[0],
    )
    refused(
        ValueError,
        "`chosen` must be one-hot, of the shape of the result, (3, 4), got shape (3, 1).",
        conditional_gumbel,
        X,
        np.ones((3, 1)),
        NOISE[0],
    )
    refused(
        TypeError,
        "`chosen` must be a one-hot array or an array of integer indices, got 2 of type int.",
        conditional_gumbel,
        X,
        2,
        NOISE[0],
    )
    refused(TypeError, "`f` must be a function of one array, got 3 of type int.", perturbed, 3, X, NOISE)
    refused(
        TypeError, "`f` must return an array of numpy, got [1, 2] of type list.", perturbed, lambda x: [1, 2], X, NOISE
    )
    refused(
        ValueError,
        "`noise` must have a first axis of draws and then the shape of the scores, (3, 4), got shape (3, 4).",
        perturbed,
        largest,
        X,
        NOISE[0],
    )
    refused(
        ValueError, "`noise` must have at least 2 draws with baseline 'mean', got 1.", perturbed, largest, X, NOISE[:1]
    )
    refused(
        ValueError,
        "`baseline` must be 'mean' or 'center', got 'median'.",
        perturbed,
        largest,
        X,
        NOISE,
        baseline="median",
    )
    refused(ValueError, "`scale` must be greater than 0, got 0.", perturbed, largest, X, NOISE, scale=0)
    refused(
        ValueError, "`value` must have the shape of `surrogate`, (3, 4), got shape (4,).", straight_through, X[0], X
    )
    refused(
        TypeError,
        "`surrogate` must be a real floating-point array, got a ndarray of shape (4,) and dtype int64.",
        straight_through,
        X[0],
        np.arange(4),
    )
    refused(
        TypeError,
        "`value` must have the dtype of `surrogate`, float64, or be of integers or Booleans, got float32.",
        straight_through,
        X.astype("float32"),
        X,
    )
    refused(TypeError, "`value` must be a real or Boolean array, got 1.0 of type float.", straight_through, 1.0, X)
