"""Draws beside those of other libraries, of the same noise: equal where those are right, and right where those are not."""

import inspect
import warnings
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import pytest
from conftest import MANDATORY

from anyargmax import soft_one_hot
from anyargmax.sampling import perturbed, sample_one_hot
from anyargmax.validation.tolerance import assert_close

X = np.random.default_rng(1).normal(size=(6, 4))
C = np.random.default_rng(2).normal(size=4)
DRAWS, SIGMA = 12, 0.5


def there(name, module=None):
    """A package; where it is missing, a failure if it is mandatory and a skip that says so if not."""
    if not find_spec(name):
        assert name not in MANDATORY, f"{name} is not installed"
        pytest.skip(f"{name} is not installed")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "JAXopt is no longer maintained", DeprecationWarning)
        return import_module(module or name)


@pytest.fixture
def torch():
    return there("torch")


@pytest.fixture
def jax():
    return there("jax")


@pytest.fixture
def optax(jax):
    return there("optax")


@pytest.fixture
def jaxopt(jax):
    return there("jaxopt", "jaxopt.perturbations")


def largest(x):
    return soft_one_hot(x, axis=None, hard=True)


# torch.nn.functional.gumbel_softmax


def torch_noise(torch, x, seed):
    """The noise that `gumbel_softmax` takes next."""
    torch.manual_seed(seed)
    return -torch.empty_like(x).exponential_().log()


@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_gumbel_softmax_of_torch_is_ours_with_its_noise(torch, temperature):
    x = torch.tensor(X, requires_grad=True)
    noise = torch_noise(torch, x.detach(), 3)
    torch.manual_seed(3)
    theirs = torch.nn.functional.gumbel_softmax(x, temperature, hard=True)
    ours = sample_one_hot(x, noise, temperature=temperature)
    # Its value is the one-hot one to the last digit or so: hard - detach(soft) + soft is rounded.
    assert_close(ours.detach().numpy(), theirs.detach().numpy(), "float64", "value")
    c = torch.tensor(C)
    found, expected = (torch.autograd.grad((y * c).sum(), x)[0].numpy() for y in (ours, theirs))
    assert_close(found, expected, "float64", "derivative")


def test_what_gumbel_softmax_of_torch_gets_wrong_is_right_here(torch):
    """A masked row is NaN, a temperature of 0 too, a negative one is accepted, there is no generator, and `vmap` refuses."""
    theirs = torch.nn.functional.gumbel_softmax
    masked = torch.full((2, 3), -torch.inf)
    assert bool(theirs(masked, hard=False).isnan().all())
    assert not bool(sample_one_hot(masked, torch.zeros(2, 3)).any())
    x = torch.zeros(3)
    assert bool(theirs(x, 0.0).isnan().any())
    assert bool(theirs(x, -1.0).isfinite().all())
    for bad in (0.0, -1.0):
        with pytest.raises(ValueError, match="`temperature` must be greater than 0"):
            sample_one_hot(x, x, temperature=bad)
    assert "generator" not in inspect.signature(theirs).parameters
    with pytest.raises(RuntimeError, match="randomness"):
        torch.func.vmap(theirs)(torch.zeros(5, 3))
    assert torch.func.vmap(sample_one_hot)(torch.zeros(5, 3), torch.rand(5, 3)).shape == (5, 3)


# optax.perturbations.make_perturbed_fun and jaxopt.make_perturbed_argmax


def optax_noise(optax, jax, law, key, x):
    keys = jax.random.split(key, DRAWS)
    return jax.vmap(lambda k: optax.tree.random_like(k, x, sampler=law.sample))(keys)


@pytest.mark.parametrize(("distribution", "baseline"), [("gumbel", "center"), ("normal", None)])
def test_perturbed_functions_of_optax_are_ours_with_their_noise(jax, optax, distribution, baseline):
    """Value, gradient and Hessian."""
    law = getattr(optax.perturbations, distribution.title())()
    x, c, key = jax.numpy.asarray(X[0]), jax.numpy.asarray(C), jax.random.key(0)
    theirs = optax.perturbations.make_perturbed_fun(largest, DRAWS, SIGMA, law, use_baseline=baseline is not None)
    noise = optax_noise(optax, jax, law, key, x)

    @jax.jit
    def both(x):
        options = {"scale": SIGMA, "distribution": distribution, "baseline": baseline}
        losses = (lambda x: perturbed(largest, x, noise, **options) @ c), (lambda x: theirs(key, x) @ c)
        return [(f(x), jax.grad(f)(x), jax.hessian(f)(x)) for f in losses]

    ours, expected = both(x)
    for found, want, kind in zip(ours, expected, ("value", "derivative", "derivative"), strict=True):
        assert_close(np.asarray(found), np.asarray(want), "float64", kind)


def jaxopt_argmax(jaxopt, distribution, control):
    jax = there("jax")
    argmax = lambda x: jax.nn.one_hot(jax.numpy.argmax(x), x.size)  # noqa: E731 - without a gradient, which they would take
    law = getattr(jaxopt, distribution.title())()
    return jaxopt.make_perturbed_argmax(argmax, DRAWS, SIGMA, law, control_variate=control)


@pytest.mark.parametrize(("distribution", "control"), [("gumbel", False), ("normal", True)])
def test_perturbed_argmax_of_jaxopt_is_ours_with_its_noise(jax, jaxopt, distribution, control):
    x, c, key = jax.numpy.asarray(X[0]), jax.numpy.asarray(C), jax.random.key(0)
    theirs = jaxopt_argmax(jaxopt, distribution, control)
    noise = getattr(jaxopt, distribution.title())().sample(key, sample_shape=(DRAWS, *x.shape))
    options = {"scale": SIGMA, "distribution": distribution, "baseline": "center" if control else None}
    of = lambda f: jax.jit(lambda x: (f(x), jax.grad(lambda x: f(x) @ c)(x)))(x)  # noqa: E731
    for found, want, kind in zip(
        of(lambda x: perturbed(largest, x, noise, **options)),
        of(lambda x: theirs(x, key)),
        ("value", "derivative"),
        strict=True,
    ):
        assert_close(np.asarray(found), np.asarray(want), "float64", kind)


def test_what_perturbed_functions_elsewhere_get_wrong_is_right_here(jax, optax, jaxopt):
    """A masked score makes all of optax NaN, and has a gradient in jaxopt, whose Hessian is 0."""
    x, c, key = jax.numpy.asarray([0.5, -np.inf, 0.25, 0.0]), jax.numpy.asarray(C), jax.random.key(0)
    law = optax.perturbations.Normal()
    theirs = optax.perturbations.make_perturbed_fun(largest, DRAWS, SIGMA, law)
    noise = optax_noise(optax, jax, law, key, x)
    ours = lambda x: perturbed(largest, x, noise, scale=SIGMA, distribution="normal") @ c  # noqa: E731
    value, slope = jax.jit(lambda x: (theirs(key, x), jax.grad(lambda x: theirs(key, x) @ c)(x)))(x)
    assert bool(jax.numpy.isnan(value).any())
    assert bool(jax.numpy.isnan(slope).any())
    found, bend = jax.jit(lambda x: (jax.grad(ours)(x), jax.hessian(ours)(x)))(x)
    assert bool(jax.numpy.isfinite(found).all())
    assert float(found[1]) == 0
    assert bool((bend[0, 2] != 0) & (bend[1] == 0).all())
    argmax = jaxopt_argmax(jaxopt, "normal", False)
    f = lambda x: argmax(x, key) @ c  # noqa: E731
    slope, bend = jax.jit(lambda x: (jax.grad(f)(x), jax.hessian(f)(x)))(x)
    assert float(slope[1]) != 0
    assert not bool(bend.any())
