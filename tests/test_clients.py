"""What other projects compute, written anew from their published formulas, is a line or two of this library.

Each pair is held together in value and gradient. The scores come from nothing, so that no formula is at its own limits.
"""

import importlib.util
import math
from functools import partial

import numpy as np
import pytest
from conftest import backend_parameters

from anyargmax import (
    expectation,
    fenchel_young_loss,
    soft_argmax,
    soft_argmin,
    soft_one_hot,
    spatial_expectation,
    spatial_soft_argmax,
)
from anyargmax.validation.tolerance import assert_close

torch = pytest.importorskip("torch")
F = torch.nn.functional
BATCH, HEIGHT, WIDTH = 2, 5, 7
BETA = 3.0  # what a client multiplies scores by, where ours are divided by a temperature
PAD, MISSING = 0, -100
MAPS = np.random.default_rng(1).normal(size=(BATCH, 3, HEIGHT, WIDTH))
SHARES = np.exp(MAPS) / np.exp(MAPS).sum((-2, -1), keepdims=True)
COST = np.random.default_rng(2).normal(size=(BATCH, 6, 3, 4))
ROWS = np.random.default_rng(3).normal(size=(8, 6)) * 2
LABELS = np.asarray([1, 5, 0, 3, 0, 2, 4, 1])


def parts_of(y):
    return y if isinstance(y, tuple) else (y,)


def pulled(f, *arrays):
    """The values of a function of tensors, and its gradients along a direction without symmetry."""
    leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
    values = parts_of(f(*leaves))
    directions = [torch.cos(torch.arange(y.numel(), dtype=y.dtype) + k).reshape(y.shape) for k, y in enumerate(values)]
    gradients = torch.autograd.grad(values, leaves, directions)
    return [y.detach().numpy() for y in values], [g.numpy() for g in gradients]


def assert_same(ours, theirs, *arrays):
    """Hold two functions of tensors together, in value and gradient."""
    (values, gradients), (expected, slopes) = pulled(ours, *arrays), pulled(theirs, *arrays)
    for actual, wanted in zip(values, expected, strict=True):
        assert_close(actual, wanted, "float64", "value")
    for actual, wanted in zip(gradients, slopes, strict=True):
        assert_close(actual, wanted, "float64", "derivative")


# Coordinates of maps


def corner(n):
    return torch.linspace(-1, 1, n, dtype=torch.float64)


def index(n):
    return torch.arange(n, dtype=torch.float64)


def center(n):
    return (2 * index(n) + 1) / n - 1


def marginals(p):
    """The weights of each x, and of each y."""
    return p.sum(-2), p.sum(-1)


def means(p, units):
    """``(E[x], E[y])`` of the weights of maps."""
    along_x, along_y = marginals(p)
    return torch.stack([along_x @ units(p.shape[-1]), along_y @ units(p.shape[-2])], -1)


def shares(x, beta=1.0):
    return (beta * x).flatten(-2).softmax(-1).reshape(x.shape)


def variances(p, units):
    """``E[(x - E[x])^2]`` and the same of y, by the two steps of Nibali et al., eq. 6 and 7."""
    along_x, along_y = marginals(p)
    off_x = units(p.shape[-1]) - (along_x @ units(p.shape[-1]))[..., None]
    off_y = units(p.shape[-2]) - (along_y @ units(p.shape[-2]))[..., None]
    return torch.stack([(along_x * off_x**2).sum(-1), (along_y * off_y**2).sum(-1)], -1)


def second_moments(x):
    """Keypoints, and ``[[E[xx] - E[x]^2, E[xy] - E[x] E[y]], [., E[yy] - E[y]^2]]``."""
    p = shares(x)
    mean = means(p, corner)
    grid = torch.stack(torch.meshgrid(corner(x.shape[-1]), corner(x.shape[-2]), indexing="xy"))
    mixed = torch.einsum("bkhw,ihw,jhw->bkij", p, grid, grid)
    return mean, mixed - mean[..., :, None] * mean[..., None, :]


def refined(x):
    """LoFTR's offset within a window, and the deviations of both coordinates together."""
    p = shares(x, 1 / math.sqrt(8))
    mean, along = means(p, corner), marginals(p)
    squares = torch.stack([along[0] @ corner(x.shape[-1]) ** 2, along[1] @ corner(x.shape[-2]) ** 2], -1)
    return mean, torch.clamp(squares - mean**2, min=1e-10).sqrt().sum(-1)


def our_refined(x):
    mean, variance = spatial_soft_argmax(x, (-1, -2), coordinates="corner", temperature=math.sqrt(8), readout="moments")
    return mean, torch.clamp(variance, min=1e-10).sqrt().sum(-1)


def integral_head(x):
    """The heatmaps that go into one loss, and the coordinates in [0, 1) that go into another."""
    p = shares(x, BETA)
    return p, means(p, index) / torch.tensor([WIDTH, HEIGHT])


def our_integral_head(x):
    p = soft_one_hot(x, axis=(-2, -1), temperature=1 / BETA)
    return p, spatial_expectation(p, (-1, -2)) / torch.tensor([WIDTH, HEIGHT])


def regression_of_disparity(x):
    """``sum_d d softmax(scores)_d`` along axis 1."""
    return torch.einsum("bdhw,d->bhw", x.softmax(1), index(x.shape[1]))


def deviation_from(variance, sigma=0.3):
    """dsntnn's penalty of a variance that is not the wanted one."""
    return ((variance - sigma**2) ** 2).sum(-1)


# The client, what it is given, its formula and ours.
POSITIONS = {
    "kornia's expectation of maps in coordinates of corners": (
        SHARES,
        lambda p: means(p, corner),
        lambda p: spatial_expectation(p, (-1, -2), coordinates="corner"),
    ),
    "kornia's expectation of maps in pixels": (
        SHARES,
        lambda p: means(p, index),
        lambda p: spatial_expectation(p, (-1, -2)),
    ),
    "kornia's spatial soft argmax at a temperature that multiplies": (
        MAPS,
        lambda x: means(shares(x, BETA), corner),
        lambda x: spatial_soft_argmax(x, (-1, -2), coordinates="corner", temperature=1 / BETA),
    ),
    "kornia's spatial soft argmax in pixels": (
        MAPS,
        lambda x: means(shares(x, BETA), index),
        lambda x: spatial_soft_argmax(x, (-1, -2), temperature=1 / BETA),
    ),
    "dsntnn's coordinates of normalised maps": (
        SHARES,
        lambda p: means(p, center),
        lambda p: spatial_expectation(p, (-1, -2), coordinates="center"),
    ),
    "dsntnn's coordinates of maps that are not normalised": (
        MAPS,
        lambda p: means(p, center),
        lambda p: spatial_expectation(p, (-1, -2), coordinates="center"),
    ),
    "dsntnn's penalty of the variance": (
        SHARES,
        lambda p: deviation_from(variances(p, center)),
        lambda p: deviation_from(spatial_expectation(p, (-1, -2), coordinates="center", readout="moments")[1]),
    ),
    "PSMNet's regression of disparity": (COST, regression_of_disparity, lambda x: soft_argmax(x, axis=1)),
    "GC-Net's regression of disparity from costs": (
        COST,
        lambda x: regression_of_disparity(-x),
        lambda x: soft_argmin(x, axis=1),
    ),
    "PSMNet's disparity of weights that are there already": (
        COST,
        regression_of_disparity,
        lambda x: expectation(x.softmax(1), 1),
    ),
    "robomimic's keypoints with their covariance": (
        MAPS,
        second_moments,
        lambda x: spatial_soft_argmax(x, (-1, -2), coordinates="corner", readout="covariance"),
    ),
    "lerobot's keypoints": (
        MAPS,
        lambda x: means(shares(x), corner),
        lambda x: spatial_soft_argmax(x, (-1, -2), coordinates="corner"),
    ),
    "LoFTR's refinement with its deviation": (MAPS[:, 0, :, :5], refined, our_refined),
    "mmpose's integral head with its heatmaps": (MAPS, integral_head, our_integral_head),
}


@pytest.mark.parametrize("client", POSITIONS, ids=str)
def test_positions_and_their_gradients_are_those_of(client):
    array, theirs, ours = POSITIONS[client]
    assert_same(ours, theirs, array)


def test_keypoints_have_the_gradient_of_a_learned_temperature_as_robomimics_have():
    temperature = np.asarray(0.7)
    theirs = lambda x, t: means(shares(x / t), corner)  # noqa: E731
    ours = lambda x, t: spatial_soft_argmax(x, (-1, -2), coordinates="corner", temperature=t)  # noqa: E731
    assert_same(ours, theirs, MAPS, temperature)


# Losses


def sparsemax_threshold(z):
    """The threshold by sorting, and how many scores are above it (Martins and Astudillo, algorithm 1)."""
    ordered = z.sort(-1, descending=True).values
    sums, ranks = ordered.cumsum(-1), torch.arange(1, z.shape[-1] + 1, dtype=z.dtype)
    size = (1 + ranks * ordered > sums).sum(-1, keepdim=True)
    return (sums.gather(-1, size - 1) - 1) / size, size


def sparsemax_formula(z, y):
    """``-z_y + sum_{j in S} (z_j^2 - tau^2) / 2 + 1 / 2`` (Martins and Astudillo, eq. 16)."""
    tau, _ = sparsemax_threshold(z)
    inside = torch.where(z > tau, z**2 - tau**2, 0.0).sum(-1)
    return inside / 2 + 0.5 - z.gather(-1, y[:, None])[:, 0]


def entmax15_formula(z, y):
    """``<p - y, z> + H(p)`` with ``p = [z / 2 - tau]_+^2``, tau by sorting (Peters et al., algorithm 2)."""
    ordered = (z / 2).sort(-1, descending=True).values
    ranks = torch.arange(1, z.shape[-1] + 1, dtype=z.dtype)
    mean = ordered.cumsum(-1) / ranks
    spread = (ordered**2).cumsum(-1) - ranks * mean**2
    thresholds = mean - torch.clamp((1 - spread) / ranks, min=0).sqrt()
    size = (thresholds <= ordered).sum(-1, keepdim=True)
    p = torch.clamp(z / 2 - thresholds.gather(-1, size - 1), min=0) ** 2
    entropy = 4 / 3 * (p - p**1.5).sum(-1)
    return (p * z).sum(-1) + entropy - z.gather(-1, y[:, None])[:, 0]


ENTMAX = {
    "sparsemax loss": (sparsemax_formula, 2, "SparsemaxLoss"),
    "1.5-entmax loss": (entmax15_formula, 1.5, "Entmax15Loss"),
}


@pytest.mark.parametrize("name", ENTMAX, ids=str)
def test_entmaxs_formula_with_padding_is_that_of_the(name):
    formula, alpha, _ = ENTMAX[name]
    y = torch.tensor(LABELS)
    theirs = lambda x: torch.where(y == PAD, 0.0, formula(x, y)).sum() / (y != PAD).sum()  # noqa: E731
    ours = lambda x: fenchel_young_loss(x, y, alpha=alpha, ignore_index=PAD).sum() / (y != PAD).sum()  # noqa: E731
    assert_same(ours, theirs, ROWS)


@pytest.mark.skipif(importlib.util.find_spec("entmax") is None, reason="entmax is not installed")
@pytest.mark.parametrize("reduction", ["none", "sum", "elementwise_mean"])
@pytest.mark.parametrize("name", ENTMAX, ids=str)
def test_the_package_entmax_with_padding_has_the(name, reduction):
    import entmax

    _, alpha, theirs = ENTMAX[name]
    theirs, y = getattr(entmax, theirs)(ignore_index=PAD, reduction=reduction), torch.tensor(LABELS)

    def ours(x):
        loss = fenchel_young_loss(x, y, alpha=alpha, ignore_index=PAD)
        return {"none": loss, "sum": loss.sum(), "elementwise_mean": loss.sum() / (y != PAD).sum()}[reduction]

    assert_same(ours, lambda x: theirs(x, y), ROWS)


def test_cross_entropy_of_torch_with_rows_that_have_no_label():
    y = torch.tensor(np.where(LABELS == 0, MISSING, LABELS))
    ours = partial(fenchel_young_loss, ignore_index=MISSING)
    assert_same(lambda x: ours(x, y), lambda x: F.cross_entropy(x, y, ignore_index=MISSING, reduction="none"), ROWS)


def test_cross_entropy_of_torch_with_pixels_that_have_no_label():
    y = torch.tensor(np.random.default_rng(4).integers(0, 6, size=(BATCH, 3, 4)))
    y[0, 1] = MISSING
    ours = lambda x: fenchel_young_loss(x, y, 1, ignore_index=MISSING)  # noqa: E731
    assert_same(ours, lambda x: F.cross_entropy(x, y, ignore_index=MISSING, reduction="none"), COST)


def test_cross_entropy_of_torch_where_no_row_has_a_label_sums_to_0():
    y = torch.full((8,), MISSING)
    ours = lambda x: fenchel_young_loss(x, y, ignore_index=MISSING).sum()  # noqa: E731
    assert_same(ours, lambda x: F.cross_entropy(x, y, ignore_index=MISSING, reduction="sum"), ROWS)


@pytest.mark.parametrize("temperature", [1.0, 0.5], ids="at temperature {}".format)
def test_logarithms_are_those_of_torch_and_what_softtorch_returns_as_log_probs(temperature):
    ours = partial(soft_one_hot, temperature=temperature, log=True)
    assert_same(ours, lambda x: F.log_softmax(x / temperature, -1), ROWS)


def test_negative_log_likelihood_of_our_logarithms_is_the_cross_entropy_of_torch():
    y = torch.tensor(np.where(LABELS == 0, MISSING, LABELS))
    ours = lambda x: F.nll_loss(soft_one_hot(x, log=True), y, ignore_index=MISSING)  # noqa: E731
    assert_same(ours, lambda x: F.cross_entropy(x, y, ignore_index=MISSING), ROWS)


# optax: its formulas in JAX, ours in JAX and, as they do not know the framework, in torch too


def optax_integer_labels(x, labels, where):
    """``log sum_{kept} exp(x) - x_label``, 0 in a row that keeps nothing."""
    import jax
    import jax.numpy as jnp

    there = jnp.any(where, -1)
    safe = jnp.where(where | ~there[:, None], x, 0.0)
    total = jax.scipy.special.logsumexp(safe, axis=-1, b=where | ~there[:, None])
    chosen = jnp.take_along_axis(x, labels[:, None], -1)[:, 0]
    return jnp.where(there, total - chosen, 0.0)


def optax_safe_cross_entropy(x, labels):
    """``-sum_i y_i log softmax(x)_i`` with ``0 log 0 = 0``, where scores of ``-inf`` have no label."""
    import jax
    import jax.numpy as jnp

    wanted = labels > 0
    log = jax.nn.log_softmax(x, where=x > -jnp.inf)
    return -jnp.sum(labels * jnp.where(wanted, log, 0.0), axis=-1)


def optax_sparsemax(x, labels):
    """The sparsemax loss of two classes: 0, ``(1 - t)^2 / 4`` and ``-t`` of the margin t (Martins and Astudillo, section 3.3)."""
    import jax.numpy as jnp

    t = jnp.where(labels, x, -x)
    return jnp.where(t >= 1, 0.0, jnp.where(t <= -1, -t, (1 - t) ** 2 / 4))


def jax_slopes(formula, x, *others):
    """The values of a formula in JAX, and its gradient along a direction."""
    import jax
    import jax.numpy as jnp

    y, pullback = jax.vjp(lambda x: formula(x, *map(jnp.asarray, others)), jnp.asarray(x))
    direction = np.cos(np.arange(y.size)).reshape(y.shape)
    return np.asarray(y), np.asarray(pullback(jnp.asarray(direction))[0]), direction


in_jax_and_torch = [
    pytest.mark.parametrize("backend", backend_parameters(("jax", "torch"))),
    pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed"),
]


def assert_optax(backend, ours, formula, x, *others):
    expected, slope, direction = jax_slopes(formula, x, *others)
    y, pullback = backend.vjp(lambda x: ours(x, *map(backend.asarray, others)), backend.asarray(x))
    assert_close(backend.to_numpy(y), expected, "float64", "value")
    assert_close(backend.to_numpy(pullback(backend.asarray(direction))[0]), slope, "float64", "derivative")


class TestOptax:
    pytestmark = in_jax_and_torch

    def test_integer_labels_among_the_classes_that_are_kept(self, backend):
        kept = np.random.default_rng(5).random(ROWS.shape) < 0.6
        kept[np.arange(8), LABELS] = True
        kept[3] = False
        ours = lambda x, y, kept: fenchel_young_loss(x, y, mask=kept)  # noqa: E731
        assert_optax(backend, ours, optax_integer_labels, ROWS, LABELS, kept)

    def test_integer_labels_of_rows_that_keep_nothing_at_all(self, backend):
        ours = lambda x, y, kept: fenchel_young_loss(x, y, mask=kept)  # noqa: E731
        assert_optax(backend, ours, optax_integer_labels, ROWS, LABELS, np.zeros(ROWS.shape, dtype=bool))

    def test_safe_cross_entropy_of_scores_of_minus_infinity(self, backend):
        x = ROWS.copy()
        x[:, 2] = -np.inf
        labels = np.eye(6)[np.where(LABELS == 2, 3, LABELS)]
        assert_optax(backend, fenchel_young_loss, optax_safe_cross_entropy, x, labels)

    def test_safe_cross_entropy_of_weights_is_the_loss_and_their_own_entropy(self, backend):
        x, labels = ROWS.copy(), np.random.default_rng(6).dirichlet(np.ones(6), size=8)
        labels[:, 1:3] = 0
        labels /= labels.sum(-1, keepdims=True)
        x[:, 2] = -np.inf
        entropy = -np.sum(labels * np.log(np.where(labels > 0, labels, 1)), axis=-1)
        ours = lambda x, y, entropy: fenchel_young_loss(x, y) + entropy  # noqa: E731
        formula = lambda x, y, entropy: optax_safe_cross_entropy(x, y)  # noqa: E731
        assert_optax(backend, ours, formula, x, labels, entropy)

    def test_sparsemax_loss_of_two_classes(self, backend):
        x = np.linspace(-3, 3, 13) + 0.1
        xp = backend.xp
        ours = lambda x, y: fenchel_young_loss(xp.stack([0 * x, x], -1), y, alpha=2)  # noqa: E731
        assert_optax(backend, ours, optax_sparsemax, x, np.arange(13) % 2)
