"""Weights of one row of decimal scores: softmax, entmax, k winners, k-subsets, and softmax on a zero background."""

import math
from collections.abc import Callable
from decimal import Decimal, getcontext
from typing import Any, NamedTuple

from .decimals import ONE, ZERO, number, precise


@precise
def softmax_row(scores):
    top = max(scores)
    e = [(score - top).exp() for score in scores]
    total = sum(e)
    return [value / total for value in e]


def _root(guess, excess, low, high):
    """Bisection in floats, by `guess(t)`, refined by Newton in 50 digits: `excess(t)` is a value and a slope."""
    a, b = float(low), float(high)
    while a < (middle := (a + b) / 2) < b:
        a, b = (middle, b) if guess(middle) > 0 else (a, middle)
    t, negligible = Decimal(b), Decimal(10) ** (4 - getcontext().prec)
    for _ in range(8):
        value, slope = excess(t)
        step = value / slope if slope else ZERO
        t += step
        if abs(step) < negligible:
            break
    return t


@precise
def entmax_row(scores, alpha=1):
    """Weights ``[1 + (alpha - 1)(z - t)]_+^(1 / (alpha - 1))``."""
    if alpha == 1:
        return softmax_row(scores)
    top, a = max(scores), number(alpha) - 1
    z = [score - top for score in scores]
    floats, order = [float(max(value, -1e300)) for value in z], float(a)

    def guess(t):
        bases = (order * (value - t) for value in floats)
        return sum(math.exp(math.log1p(base) / order) for base in bases if base > -1) - 1

    def excess(t):
        bases = [base for base in (1 + a * (value - t) for value in z) if base > 0]
        return sum(base ** (1 / a) for base in bases) - 1, sum(base ** (1 / a - 1) for base in bases)

    t = _root(guess, excess, 0, math.log(len(z)) + 1e-9)
    return [max(1 + a * (value - t), ZERO) ** (1 / a) for value in z]


def _snapped(p):
    """A weight that is 0 or 1 but for the last digits of its threshold, as that."""
    nearest = p.to_integral_value()
    return nearest if abs(p - nearest) < Decimal(10) ** (10 - getcontext().prec) else p


def _logistic(u):
    p = 1 / (1 + (-u).exp())
    return p, p * (1 - p)


class Winners(NamedTuple):
    """How weights share a sum of k: phi in floats, phi and its slope in 50 digits, and how far from the scores thresholds lie."""

    guess: Callable[[float], float]
    exact: Callable[[Decimal], tuple[Any, Any]]
    below: float
    above: float


WINNERS = {
    "capped": Winners(lambda u: min(max(u, 0.0), 1.0), lambda u: (min(max(u, ZERO), ONE), int(0 < u < 1)), 1, 0),
    "sigmoid": Winners(lambda u: 0.5 * (1 + math.tanh(u / 2)), _logistic, 50, 50),
}


FAR = Decimal(2000)  # from the k-th largest score: ``exp(-2000)`` is nothing in 50 digits, also where it is summed


def _extended(counts, weight):
    """Sums of products over the subsets of each size below some size, with one more entry to choose from."""
    return [counts[0], *(counts[j] + weight * counts[j - 1] for j in range(1, len(counts)))]


@precise
def subset_row(scores, k):
    """In how much of the weight of all k-subsets an entry is: by what comes before it, and by what comes behind it."""
    reference = sorted(scores)[-k]
    w = [min(max(score - reference, -FAR), FAR).exp() for score in scores]
    before, behind = [[ONE] + [ZERO] * k], [[ONE] + [ZERO] * k]
    for i in range(len(w)):
        before.append(_extended(before[-1], w[i]))
        behind.append(_extended(behind[-1], w[-1 - i]))
    others = [sum(before[i][j] * behind[-2 - i][k - 1 - j] for j in range(k)) for i in range(len(w))]
    return [value * rest / before[-1][k] for value, rest in zip(w, others, strict=True)]


@precise
def top_k_row(scores, k, kind):
    """Weights ``phi(x - t)`` that sum to k, or the marginals of random subsets."""
    if len(scores) <= k:
        return [ONE] * len(scores)
    if kind == "subset":
        return subset_row(scores, k)
    reference, winners = sorted(scores)[-k], WINNERS[kind]
    z = [score - reference for score in scores]
    floats = [float(value) for value in z]

    def guess(t):
        return sum(winners.guess(value - t) for value in floats) - k

    def excess(t):
        values, slopes = zip(*(winners.exact(value - t) for value in z), strict=True)
        return sum(values) - k, sum(slopes)

    t = _root(guess, excess, min(floats) - winners.below, max(floats) + winners.above)
    return [_snapped(winners.exact(value - t)[0]) for value in z]


@precise
def background_row(scores):
    """Weights proportional to ``exp(x) - 1``, here with both divided by the exponential of the largest score."""
    top = max(scores)
    w = [(score - top).exp() - (-top).exp() for score in scores]
    total = sum(w)
    return [value / total for value in w] if total else [ONE / len(w)] * len(w)
