"""Which estimator of a draw's gradient to take: bias, spread and time of each, measured."""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TextIO

import numpy as np

from .._help import with_examples
from ..derivatives import vjp
from ..sampling import gumbel_noise, sample_one_hot

SCORES = np.asarray([1.0, 0.5, 0.0, -0.5, -1.0])
AVERAGED = 16  # draws of the noise that one estimator takes the mean over
TIMED = (256, 64)  # rows and entries


class Estimator(NamedTuple):
    """An estimator by its name, and the temperature that it is measured at."""

    name: str
    temperature: float


ESTIMATORS = (
    Estimator("straight-through", 1.0),
    Estimator("reinmax", 1.0),
    Estimator("gapped", 1.0),
    *(Estimator(name, t) for name in ("gumbel", "gumbel-rao") for t in (1.0, 0.5, 0.1)),
)


def _linear(d):
    c = np.asarray([1.0, -2.0, 0.5, 3.0, -1.0])
    return d @ c, np.broadcast_to(c, d.shape)


def _quadratic(d):
    """Squared distance to a point, and its gradient."""
    off = d - np.asarray([0.5, 0.0, 0.25, 0.0, 0.25])
    weights = np.asarray([1.0, 3.0, 0.5, 2.0, 4.0])
    return (off**2) @ weights, 2 * off * weights


def _steep(d):
    """A function that is no polynomial of low degree: the exponential of a product."""
    c = np.asarray([1.0, -2.0, 0.5, 2.0, -1.0])
    value = np.exp(d @ c)
    return value, value[..., None] * c


FUNCTIONS: dict[str, Callable[[Any], Any]] = {"linear": _linear, "quadratic": _quadratic, "exponential": _steep}


def exact(f: Callable[[Any], Any]) -> np.ndarray:
    """The gradient of the mean of f over all choices."""
    p = np.exp(SCORES) / np.exp(SCORES).sum()
    values, _ = f(np.eye(len(SCORES)))
    return p * (values - p @ values)


def _noise(key, x, estimator: Estimator):
    return gumbel_noise(key, x, draws=AVERAGED if estimator.name == "gumbel-rao" else ())


def _pulled(x, noise, estimator: Estimator):
    return vjp(sample_one_hot, x, noise, temperature=estimator.temperature, estimator=estimator.name)


def measured(estimator: Estimator, f: Callable[[Any], Any], draws: int, seed: int) -> tuple[float, float, float]:
    """Return bias, its standard error and the spread of one draw, in units of the length of the exact gradient."""
    x = np.broadcast_to(SCORES, (draws, len(SCORES))).copy()
    y, pullback = _pulled(x, _noise(np.random.default_rng(seed), x, estimator), estimator)
    found = np.asarray(pullback(np.ascontiguousarray(f(np.asarray(y))[1]))[0])
    want = exact(f)
    spread = float(np.sqrt(found.var(axis=0).sum()))
    length = float(np.linalg.norm(want))
    return float(np.linalg.norm(found.mean(axis=0) - want)) / length, spread / length / draws**0.5, spread / length


def seconds(estimator: Estimator, rounds: int = 15) -> float:
    """Return the median time of a draw and its gradient, without that of the noise."""
    x = np.random.default_rng(0).normal(size=TIMED)
    noise, times = _noise(np.random.default_rng(1), x, estimator), []
    for _ in range(rounds):
        start = time.perf_counter()
        y, pullback = _pulled(x, noise, estimator)
        pullback(y)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def _row(estimator: Estimator, draws: int, seed: int, took: str) -> str:
    cells = []
    for f in FUNCTIONS.values():
        bias, error, spread = measured(estimator, f, draws, seed)
        cells.append(f"{'0' if bias < max(5 * error, 1e-9) else f'{bias:.2f}':>6}{spread:7.2f}")
    return f"{estimator.name:17}{estimator.temperature:4.1f}  " + "  ".join(cells) + took


def table(draws: int, seed: int, timed: bool) -> list[str]:
    """Return the lines of the table."""
    times = [seconds(estimator) for estimator in ESTIMATORS] if timed else []
    took = [f"{time / times[0]:8.1f}" for time in times] or [""] * len(ESTIMATORS)
    head = "  ".join(f"{name:>13}" for name in FUNCTIONS)
    under = "  ".join(["  bias spread"] * len(FUNCTIONS))
    lines = [f"{'':23}{head}{'    time' if timed else ''}", f"{'estimator':18}{'T':>3}  {under}"]
    return lines + [_row(estimator, draws, seed, cell) for estimator, cell in zip(ESTIMATORS, took, strict=True)]


def _number_of_draws(text: str) -> int:
    draws = int(text)
    if draws < 2:
        raise argparse.ArgumentTypeError(f"must be at least 2, got {draws}")
    return draws


def run(options: Sequence[str], program: str, stream: TextIO | None = None) -> int:
    """Print the table and return the exit code."""
    text = (
        "Measure what the gradients of draws are worth: their bias and their spread about the exact gradient, relative to "
        "that, and their time relative to the first. A bias within 5 standard errors is shown as 0."
    )
    parser = argparse.ArgumentParser(description=text, **with_examples(program, ["", "--draws 1000 --no-time"]))
    parser.add_argument("--draws", type=_number_of_draws, default=20_000, metavar="N", help="draws of each (20000)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the noise (0)")
    parser.add_argument("--no-time", action="store_true", help="measure no time: what is left is the same every time")
    asked = parser.parse_args(options)
    for line in table(asked.draws, asked.seed, not asked.no_time):
        print(line, file=stream or sys.stdout, flush=True)
    return 0
