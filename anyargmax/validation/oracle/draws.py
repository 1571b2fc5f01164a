"""Choices at random, on arrays of decimal numbers: their values, and smooth functions that have their derivatives.

A smooth function is given the scores, and the scores at which it is differentiated: whatever a derivative takes as constant
is computed of those.
"""

import numpy as np

from .decimals import INF, NAN, ONE, ZERO, number, precise
from .rows import top_k_row


def _rows(x, axis):
    """The last axis is the one of the rows."""
    return np.moveaxis(x, axis, -1)


def _each_row(f, axis, *arrays):
    """A function of rows, applied to the rows of arrays of one shape."""
    moved = [_rows(array, axis) for array in arrays]
    out = np.empty(moved[0].shape, dtype=object)
    for index in np.ndindex(out.shape[:-1]):
        out[index] = f(*(list(array[index]) for array in moved))
    return np.moveaxis(out, -1, axis)


def _softmax(scores):
    """Softmax weights of scores, of which those that are None take no part."""
    top = max((score for score in scores if score is not None), default=ZERO)
    e = [ZERO if score is None else (score - top).exp() for score in scores]
    total = sum(e) or ONE
    return [value / total for value in e]


def _divided(row, temperatures):
    return [None if score is None else score / number(t) for score, t in zip(row, temperatures, strict=True)]


def _kept(row, keep):
    return [score if kept and score != -INF else None for score, kept in zip(row, keep, strict=True)]


def _choice(row, noise):
    """The index of the first largest sum; None where no score is kept."""
    sums = [(score + g, -k) for k, (score, g) in enumerate(zip(row, noise, strict=True)) if score is not None]
    return -max(sums)[1] if sums else None


def _one_hot(row, noise):
    chosen = _choice(row, noise)
    return [ONE if k == chosen else ZERO for k in range(len(row))]


class _Draws:
    """Scores, noise, temperatures and mask in the shape that they have together, and the axis of the rows, negative."""

    def __init__(self, x, noise, axis, temperature, mask):
        noise = np.asarray(noise, dtype=object)
        self.shape = np.broadcast_shapes(x.shape, noise.shape)
        self.axis = axis if axis < 0 else axis - x.ndim
        self.noise = self.wide(noise)
        self.temperature = self.wide(np.asarray(temperature, dtype=object))
        self.keep = self.wide(np.asarray(True if mask is None else mask))

    def wide(self, values):
        return np.broadcast_to(values, self.shape)

    def rows(self, f, *arrays):
        """A function of the kept scores of each row, beside other rows."""
        x, *others = map(self.wide, arrays)
        return _each_row(lambda row, keep, *rest: f(_kept(row, keep), *rest), self.axis, x, self.keep, *others)


def _draws(x, noise, axis, temperature, mask, estimator):
    """For the estimator that averages, without its first axis of noise."""
    first = noise[0] if estimator == "gumbel-rao" else noise
    return _Draws(x, first, axis, temperature, mask)


@precise
def sample_one_hot(x, *, noise, axis=-1, temperature=1, mask=None, estimator="gumbel"):
    d = _draws(x, noise, axis, temperature, mask, estimator)
    return d.rows(_one_hot, x, d.noise)


def _conditioned(row, noise, chosen):
    """Noise given the choice: of scores that take no part as it is."""
    top = sum(score.exp() for score in row if score is not None).ln() + noise[chosen]
    out = []
    for k, (score, g) in enumerate(zip(row, noise, strict=True)):
        if score is None:
            out.append(g)
        elif k == chosen:
            out.append(top - score)
        else:
            out.append(-((-(score + g)).exp() + (-top).exp()).ln() - score)
    return out


def _gap(row, chosen):
    top = max(score for score in row if score is not None)
    return [
        ZERO if score is None else top - score if k == chosen else -max(score + 1 - top, ZERO)
        for k, score in enumerate(row)
    ]


def _plus(row, others):
    return [None if score is None else score + other for score, other in zip(row, others, strict=True)]


def _of_jacobian(q, v):
    mean = sum(a * b for a, b in zip(q, v, strict=True))
    return [a * (b - mean) for a, b in zip(q, v, strict=True)]


def _reinmax(row, base, chosen, temperatures):
    """Half way between the scores and those at which it is differentiated, the product with what lies between them."""
    if chosen is None:
        return [ZERO] * len(row)
    middle = [None if a is None else (a + b) / 2 for a, b in zip(row, base, strict=True)]
    v = [ZERO if a is None else a - b for a, b in zip(row, base, strict=True)]
    once, cooled = _softmax(middle), _softmax(_divided(middle, temperatures))
    q = [(p + (k == chosen)) / 2 for k, p in enumerate(cooled)]
    return [2 * a - b / 2 for a, b in zip(_of_jacobian(q, v), _of_jacobian(once, v), strict=True)]


def _surrogate(estimator, row, base, noise, temperatures, given):
    """One row of what `estimator` differentiates. `given` is noise that is conditioned on the choice already, one row a draw."""
    chosen = _choice(base, noise)
    if chosen is None:
        return [ZERO] * len(row)
    if estimator == "reinmax":
        return _reinmax(row, base, chosen, temperatures)
    if estimator == "gumbel-rao":
        draws = [_softmax(_divided(_plus(row, g), temperatures)) for g in given]
        return [sum(column) / len(draws) for column in zip(*draws, strict=True)]
    moved = {"gumbel": noise, "straight-through": [ZERO] * len(row)}
    extra = moved[estimator] if estimator in moved else _gap(base, chosen)
    return _softmax(_divided(_plus(row, extra), temperatures))


@precise
def smooth_sample_one_hot(x, at, *, noise, axis=-1, temperature=1, mask=None, estimator="gumbel"):
    """A function of x whose derivatives at `at` are those of the draw."""
    d = _draws(x, noise, axis, temperature, mask, estimator)
    more = list(noise[1:]) if estimator == "gumbel-rao" else []

    def row(scores, base, keep, g, temperatures, *others):
        base = _kept(base, keep)
        chosen = _choice(base, g)
        given = [g] if chosen is None else [g, *(_conditioned(base, other, chosen) for other in others)]
        return _surrogate(estimator, scores, base, g, temperatures, given)

    return d.rows(row, x, at, d.keep, d.noise, d.temperature, *more)


@precise
def conditional_gumbel(x, *, chosen, noise, axis=-1, mask=None):
    d = _Draws(x, noise, axis, 1, mask)
    chosen = np.asarray(chosen)
    if chosen.dtype.kind in "iu":
        chosen = np.moveaxis(np.eye(d.shape[d.axis])[chosen], -1, d.axis)

    def row(scores, g, one_hot):
        index = next((k for k, value in enumerate(one_hot) if value), None)
        return [NAN] * len(g) if index is None or scores[index] is None else _conditioned(scores, g, index)

    return d.rows(row, x, d.noise, chosen)


def _masses(weights, most):
    """The sums of products of 0, 1, ... of some weights."""
    masses = [ONE]
    for w in weights:
        masses = [a + w * b for a, b in zip([*masses, ZERO], [ZERO, *masses], strict=True)]
    return (masses + [ZERO] * most)[: most + 1]


def _members(weights, noise, k, parents=1, node=0):
    """The indices of a subset of k: of a node's leaves, those of every other one are chosen by number first, by one uniform.

    The node has the leaves that are it modulo the number of parents, its left child every other one of these.
    """
    leaves = range(node, len(weights), parents)
    if k == 0 or len(leaves) <= 1:
        return [*leaves][:k]
    left, right = (_masses([weights[i] for i in half], k) for half in (leaves[::2], leaves[1::2]))
    shares = [a * b for a, b in zip(left, reversed(right), strict=True)]
    level = (-(-noise[parents + node]).exp()).exp() * sum(shares)
    count = next(j for j in range(k + 1) if sum(shares[: j + 1]) > level)
    first = _members(weights, noise, count, 2 * parents, node)
    return first + _members(weights, noise, k - count, 2 * parents, node + parents)


@precise
def sample_top_k(x, *, k, noise, axis=-1, temperature=1, mask=None):
    d = _Draws(x, noise, axis, temperature, mask)

    def row(scores, g, temperatures):
        z = _divided(scores, temperatures)
        weights = [ZERO if score is None else score.exp() for score in z]
        alive = sum(score is not None for score in z)
        chosen = range(len(z)) if alive <= k else _members(weights, [number(a) for a in g], k)
        return [ONE if i in chosen and score is not None else ZERO for i, score in enumerate(z)]

    return d.rows(row, x, d.noise, d.temperature)


@precise
def smooth_sample_top_k(x, at, *, k, noise, axis=-1, temperature=1, mask=None):
    d = _Draws(x, noise, axis, temperature, mask)

    def row(scores, temperatures):
        z = _divided(scores, temperatures)
        alive = [i for i, score in enumerate(z) if score is not None]
        marginals = top_k_row([z[i] for i in alive], k, "subset") if alive else []
        share = dict(zip(alive, marginals, strict=True))
        return [share.get(i, ZERO) for i in range(len(z))]

    return d.rows(row, x, d.temperature)


def _first_largest(x):
    return np.asarray(_one_hot(list(x.reshape(-1)), [ZERO] * x.size), dtype=object).reshape(x.shape)


def _answers(x, noise, scale, baseline):
    """What the one-hot argmax of all entries answers to perturbed scores, and what is subtracted of it in the gradient."""
    answers = [_first_largest(x + scale * z) for z in noise]
    if baseline == "center":
        return answers, [_first_largest(x)] * len(answers)
    total = sum(answers)
    return answers, [(total - y) / (len(answers) - 1) if baseline == "mean" else 0 * y for y in answers]


def _wide(scale, x):
    return np.broadcast_to(np.vectorize(number, otypes=[object])(np.asarray(scale, dtype=object)), x.shape)


@precise
def perturbed(x, *, noise, scale=1, distribution="gumbel", baseline="mean"):
    """The mean one-hot argmax of all entries."""
    answers, _ = _answers(x, noise, _wide(scale, x), baseline)
    return sum(answers) / len(answers)


@precise
def smooth_perturbed(x, at, *, noise, scale=1, distribution="gumbel", baseline="mean"):
    """The answers weighed by the density of the noise that would lead to the same perturbed scores, from x."""
    scale = _wide(scale, x)
    answers, less = _answers(at, noise, scale, baseline)
    total = 0
    for z, y, b in zip(noise, answers, less, strict=True):
        moved = np.asarray(z + (at - x) / scale, dtype=object)
        ratio = sum(
            _log_density(a, distribution) - _log_density(c, distribution)
            for a, c in zip(moved.reshape(-1), np.asarray(z, dtype=object).reshape(-1), strict=True)
        )
        total = total + (y - b) * ratio.exp()
    return total / len(answers)


def _log_density(z, distribution):
    z = number(z)
    return -z - (-z).exp() if distribution == "gumbel" else -z * z / 2
