"""Second derivatives: against the oracle, against each framework's own checker, and in every nesting."""

from decimal import Decimal
from functools import partial
from itertools import product

import numpy as np
import pytest
from conftest import PRESENT, backend_parameters

from anyargmax import soft_argmax, soft_argmax_moments, soft_one_hot, spatial_soft_argmax
from anyargmax.validation.catalogue import CALLS, function, inputs
from anyargmax.validation.oracle import decimals
from anyargmax.validation.oracle_answers import exactly
from anyargmax.validation.problems import tuple_of
from anyargmax.validation.tolerance import assert_close

SECOND = [
    case
    for case in CALLS
    if case.id
    in (
        "position along the last axis",
        "position at a temperature a row",
        "position under a mask",
        "position among given bins",
        "mean and variance",
        "weights over two axes",
        "coordinates in a map",
        "median position",
        "sharpened weights",
    )
]
every_case = pytest.mark.parametrize("case", [pytest.param(case, id=case.id.replace(" ", "_")) for case in SECOND])


def weighted_sum(case, backend, weights):
    """A scalar function of the scores: the case's value in a weighted, squared sum."""
    f = function(case, backend)
    ws = [backend.asarray(w) for w in weights]

    def loss(x):
        return sum(backend.xp.sum(w * (1 + y) ** 2) for w, y in zip(ws, tuple_of(f(x)), strict=True))

    return loss


def exact_loss(case, weights, x):
    return sum(
        (decimals.exact(w) * (1 + y) ** 2).sum() for w, y in zip(weights, tuple_of(exactly(case, x)), strict=True)
    )


@decimals.precise
def curvature(case, weights, x, t, u):
    """``t^T H u`` of the exact loss, by differences of differences."""
    h = Decimal(10) ** -12
    f = partial(exact_loss, case, weights)
    return float(
        (f(x + h * t + h * u) - f(x + h * t - h * u) - f(x - h * t + h * u) + f(x - h * t - h * u)) / (4 * h * h)
    )


def autograd_second(loss, x, t, u, outer, inner):
    import autograd
    import autograd.numpy as anp

    def along(f, direction):
        return lambda x: autograd.make_jvp(f)(x)(direction)[1]

    def slope(f, direction):
        return lambda x: anp.sum(autograd.grad(f)(x) * direction)

    modes = {"forward": along, "reverse": slope}
    return modes[outer](modes[inner](loss, u), t)(x)


def torch_second(loss, x, t, u, outer, inner):
    import torch

    def along(f, direction):
        return lambda x: torch.func.jvp(f, (x,), (direction,))[1]

    def slope(f, direction):
        return lambda x: torch.sum(torch.func.grad(f)(x) * direction)

    modes = {"forward": along, "reverse": slope}
    return modes[outer](modes[inner](loss, u), t)(x)


def jax_second(loss, x, t, u, outer, inner):
    import jax
    import jax.numpy as jnp

    def along(f, direction):
        return lambda x: jax.jvp(f, (x,), (direction,))[1]

    def slope(f, direction):
        return lambda x: jnp.sum(jax.grad(f)(x) * direction)

    modes = {"forward": along, "reverse": slope}
    return jax.jit(modes[outer](modes[inner](loss, u), t))(x)


def torch_eager_second(loss, x, t, u, outer, inner):
    """Double backward through the registered `Function`, without torch.func."""
    import torch

    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(x), x, create_graph=True)
    (curved,) = torch.autograd.grad(torch.sum(gradient * u), x)
    return torch.sum(curved * t)


ROUTES = {"autograd": autograd_second, "torch": torch_second, "jax": jax_second, "torch eager": torch_eager_second}
NESTINGS = [
    *((name, *modes) for name in ("autograd", "torch", "jax") for modes in product(("forward", "reverse"), repeat=2)),
    ("torch eager", "reverse", "reverse"),
]


@every_case
@pytest.mark.parametrize(
    ("route", "outer", "inner"),
    [
        pytest.param(
            *nesting,
            id="{}-{}_over_{}".format(*nesting).replace(" ", "_"),
            marks=[] if nesting[0].split()[0] in PRESENT else pytest.mark.skip(reason=f"{nesting[0]} is not installed"),
        )
        for nesting in NESTINGS
    ],
)
def test_hessian_is_the_oracles(route, outer, inner, case, rng):
    backend = PRESENT[route.split()[0]]
    x = inputs(case, "float64").arrays[0]
    if case.function == "sharpen":
        x = x + 0.1
    weights = [rng.normal(size=np.shape(y)) for y in tuple_of(exactly(case, decimals.exact(x)))]
    t, u = rng.normal(size=(2, *x.shape))
    expected = curvature(case, weights, *map(decimals.exact, (x, t, u)))
    actual = ROUTES[route](weighted_sum(case, backend, weights), *map(backend.asarray, (x, t, u)), outer, inner)
    scale = sum(float(np.sum(np.abs(w))) for w in weights) * 100
    assert_close(backend.to_numpy(actual) / scale, expected / scale, "float64", "derivative")


FUNCTIONS = {
    "position": partial(soft_argmax, axis=-1, temperature=0.7),
    "median": partial(soft_argmax, axis=-1, readout="median"),
    "moments": partial(soft_argmax_moments, axis=0),
    "weights": soft_one_hot,
    "coordinates": partial(spatial_soft_argmax, coordinates="center"),
    "straight_through": partial(soft_argmax, axis=-1, hard=True),
}
every_function = pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "straight_through"])
SCORES = np.random.default_rng(11).normal(size=(3, 4))
TEMPERATURE = np.asarray([[0.5], [1.0], [2.0]])


@pytest.mark.parametrize("torch_backend", backend_parameters(("torch",)))
class TestTorchChecks:
    """torch.autograd's own numerical checks, through the eager `Function`."""

    @every_function
    def test_gradcheck_forward_reverse_and_batched(self, torch_backend, name):
        from torch.autograd import gradcheck

        x = torch_backend.asarray(SCORES).requires_grad_()
        assert gradcheck(
            FUNCTIONS[name], x, check_forward_ad=True, check_batched_grad=True, check_batched_forward_grad=True
        )

    @every_function
    def test_gradgradcheck(self, torch_backend, name):
        from torch.autograd import gradgradcheck

        x = torch_backend.asarray(SCORES).requires_grad_()
        assert gradgradcheck(FUNCTIONS[name], x, check_fwd_over_rev=True, check_rev_over_rev=True)

    def test_gradients_in_scores_temperature_and_positions(self, torch_backend):
        from torch.autograd import gradcheck, gradgradcheck

        def f(x, temperature, positions):
            return soft_argmax(x, axis=-1, temperature=temperature, positions=positions)

        inputs = [
            torch_backend.asarray(a).requires_grad_() for a in (SCORES, TEMPERATURE, np.asarray([0.5, -1.0, 2.0, 4.0]))
        ]
        assert gradcheck(f, inputs, check_forward_ad=True)
        assert gradgradcheck(f, inputs, check_fwd_over_rev=True)


@pytest.mark.parametrize("jax_backend", backend_parameters(("jax",)))
class TestJaxChecks:
    """`jax.test_util.check_grads` in both modes to second order."""

    @every_function
    def test_check_grads(self, jax_backend, name):
        import jax
        from jax.test_util import check_grads

        check_grads(jax.jit(FUNCTIONS[name]), (jax_backend.asarray(SCORES),), order=2, modes=["fwd", "rev"])

    def test_check_grads_in_scores_temperature_and_positions(self, jax_backend):
        from jax.test_util import check_grads

        def f(x, temperature, positions):
            return soft_argmax(x, axis=-1, temperature=temperature, positions=positions)

        check_grads(
            f, tuple(map(jax_backend.asarray, (SCORES, TEMPERATURE, np.asarray([0.5, -1.0, 2.0, 4.0])))), order=2
        )


@pytest.mark.parametrize("autograd_backend", backend_parameters(("autograd",)))
class TestAutogradChecks:
    """`autograd.test_util.check_grads` in both modes to second order."""

    @every_function
    def test_check_grads(self, autograd_backend, name):
        from autograd.builtins import tuple as boxed
        from autograd.test_util import check_grads

        def f(x):
            y = FUNCTIONS[name](x)
            return boxed(y) if isinstance(y, tuple) else y

        check_grads(f, modes=["fwd", "rev"], order=2)(SCORES)

    @pytest.mark.parametrize("argument", range(3), ids=["scores", "temperature", "positions"])
    def test_check_grads_in_scores_temperature_and_positions(self, autograd_backend, argument):
        from autograd.test_util import check_grads

        arrays = [SCORES, TEMPERATURE, np.asarray([0.5, -1.0, 2.0, 4.0])]

        def f(array):
            x, temperature, positions = [array if k == argument else other for k, other in enumerate(arrays)]
            return soft_argmax(x, axis=-1, temperature=temperature, positions=positions)

        check_grads(f, modes=["fwd", "rev"], order=2)(arrays[argument])


def test_straight_through_has_the_soft_gradient(anyargmax_backend, rng):
    x, g = anyargmax_backend.asarray(SCORES), anyargmax_backend.asarray(rng.normal(size=3))
    (hard,) = anyargmax_backend.vjp(FUNCTIONS["straight_through"], x)[1](g)
    (soft,) = anyargmax_backend.vjp(partial(soft_argmax, axis=-1), x)[1](g)
    np.testing.assert_array_equal(anyargmax_backend.to_numpy(hard), anyargmax_backend.to_numpy(soft))
