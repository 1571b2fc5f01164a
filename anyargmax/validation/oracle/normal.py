"""The Normal distribution in decimals: by a power series, and of the largest of a row by sums over evenly spaced points."""

from decimal import Decimal, getcontext
from functools import lru_cache

from .decimals import ONE, ZERO, precise

REACH = 14  # scales: the density beyond is below 1e-42
SPACING = Decimal("0.25")  # of the points, in the smallest scale: the error of a sum of few scores is below 1e-40


@lru_cache(maxsize=2)
def _root_of_two_pi(digits: int) -> Decimal:
    """``sqrt(2 pi)``, pi by Machin's formula ``16 atan(1/5) - 4 atan(1/239)``."""

    def arctangent_of_one_over(n: int) -> Decimal:
        power, total, k = ONE / n, ZERO, 0
        while power > Decimal(10) ** -(digits + 5):
            total += power / (2 * k + 1) * (-1) ** k
            power, k = power / (n * n), k + 1
        return total

    return (2 * (16 * arctangent_of_one_over(5) - 4 * arctangent_of_one_over(239))).sqrt()


@precise
def density(u: Decimal) -> Decimal:
    return (-u * u / 2).exp() / _root_of_two_pi(getcontext().prec)


@precise
def below(u: Decimal, phi: Decimal | None = None) -> Decimal:
    """``Phi(u) = 1/2 + phi(u) (u + u^3 / 3 + u^5 / (3 5) + ...)``: Abramowitz and Stegun (1964), 26.2.11."""
    term, total, k, square = abs(u), ZERO, 1, u * u
    negligible = Decimal(10) ** -(getcontext().prec + 25)
    while term > negligible:
        total += term
        k += 2
        term = term * square / k
    half = total * (density(u) if phi is None else phi)
    return ONE / 2 + (half if u > 0 else -half)


@lru_cache(maxsize=64)
def _table(score: Decimal, scale: Decimal, first: Decimal, step: Decimal, count: int):
    """Density and distribution function of one score with its noise at evenly spaced points."""
    table = []
    for k in range(count):
        u = (first + k * step - score) / scale
        phi = density(u) if abs(u) < REACH + 1 else ZERO
        table.append((phi / scale, below(u, phi) if phi else ONE if u > 0 else ZERO))
    return table


def largest_row(scores, scales):
    """The probability of each score of being the largest once its noise is added."""
    shift = max(scores).to_integral_value()  # of which the digits of a huge score are
    return _largest(tuple(x - shift for x in scores), tuple(scales))


@lru_cache(maxsize=256)
@precise
def _largest(scores, scales):
    # The points are at round numbers, so that a score that is moved for a difference leaves those of the others in place.
    unit, step = Decimal(f"{max(scales):.1g}"), Decimal(f"{SPACING * min(scales):.1g}")
    low = unit * (max(x - REACH * s for x, s in zip(scores, scales, strict=True)) / unit).to_integral_value()
    high = unit * (max(x + REACH * s for x, s in zip(scores, scales, strict=True)) / unit).to_integral_value()
    count = int((high - low) / step) + 1
    tables = [_table(x, s, low, step, count) for x, s in zip(scores, scales, strict=True)]
    answers = []
    for i in range(len(scores)):
        total = ZERO
        for entries in zip(*tables, strict=True):
            product = entries[i][0]
            for j, (_, share) in enumerate(entries):
                product *= ONE if j == i else share
            total += product
        answers.append(total * step)
    return answers
