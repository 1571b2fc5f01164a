"""Calls of the built-in functions with every option, and their scores."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import expectations, losses, operators, sampling, weights
from .invariants import READERS, rows_of
from .problems import Inputs, rounded


class Call(NamedTuple):
    """A call: the function, its options, and those options that are arrays."""

    id: str
    function: str
    shape: tuple[int, ...]
    options: dict[str, Any]
    arrays: dict[str, np.ndarray]


def _mask(shape):
    mask = np.random.default_rng(5).random(shape) < 0.6
    mask[(0,) * len(shape)] = True
    return mask


def _noise(*shape, seed=7):
    """Gumbel noise in multiples of 1/64, which every dtype of a computation holds exactly."""
    return np.round(64 * np.random.default_rng(seed).gumbel(size=shape)) / 64


ROWS = np.asarray([[0.25], [1.5], [3.0]])
ORDERS = np.asarray([[1.0], [1.25], [1.5], [2.0]])
SHARES = np.asarray([[0.5, 0.0, 0.125], [0.25, 0.0, 0.25], [0.0, 1.0, 0.125], [0.125, 0.0, 0.5], [0.125, 0.0, 0.0]])
KEPT = np.asarray(
    [[True, False, True, True, False], [False, True, True, True, True], [True, False, True, False, False]]
)
KEPT_SHARES = np.asarray([[0.25, 0, 0.75, 0, 0], [0, 0.5, 0.125, 0.25, 0.125], [0.625, 0, 0.375, 0, 0]])
CHOSEN = np.asarray([[0, 0, 1, 0, 0], [0, 1, 0, 0, 0], [1, 0, 0, 0, 0]]).astype("float64")
SCALES = np.asarray([[0.5, 2.0, 1.0], [1.5, 0.5, 0.75]])
BINS = np.asarray([-2.0, -0.5, 0.0, 3.0, 8.0])
CALLS = [
    Call("position along the last axis", "soft_argmax", (3, 5), {"axis": -1}, {}),
    Call("position along the first axis", "soft_argmax", (5, 3), {"axis": 0}, {}),
    Call("position along a middle axis", "soft_argmax", (2, 4, 2), {"axis": 1}, {}),
    Call("position in the flattened array", "soft_argmax", (2, 5), {}, {}),
    Call("position in the flattened array with the axes kept", "soft_argmax", (2, 5), {"keepdims": True}, {}),
    Call("position with the axis kept", "soft_argmax", (5, 2), {"axis": 0, "keepdims": True}, {}),
    Call("position of one entry", "soft_argmax", (3, 1), {"axis": -1}, {}),
    Call("position at a temperature", "soft_argmax", (3, 5), {"axis": -1, "temperature": 0.25}, {}),
    Call("position at a temperature a row", "soft_argmax", (3, 5), {"axis": -1}, {"temperature": ROWS}),
    Call("position under a mask", "soft_argmax", (3, 5), {"axis": -1}, {"mask": _mask((3, 5))}),
    Call("position under a mask of the columns", "soft_argmax", (3, 5), {"axis": -1}, {"mask": _mask((5,))}),
    Call("position in the flattened masked array", "soft_argmax", (3, 4), {}, {"mask": _mask((3, 4))}),
    Call("position among given bins", "soft_argmax", (3, 5), {"axis": -1}, {"positions": BINS}),
    Call("position among bins along the first axis", "soft_argmax", (5, 3), {"axis": 0}, {"positions": BINS}),
    Call("position in the flattened array at a temperature", "soft_argmax", (2, 5), {}, {"temperature": np.asarray([[0.5]])}),
    Call("position in the flattened array among bins of each entry", "soft_argmax", (2, 5), {}, {"positions": np.stack([BINS, 3 - BINS])}),
    Call("position among bins of each row", "soft_argmax", (2, 5), {"axis": -1}, {"positions": np.stack([BINS, 3 - BINS])}),
    Call("median position", "soft_argmax", (4, 6), {"axis": -1, "readout": "median"}, {}),
    Call("median position at a temperature", "soft_argmax", (6, 4), {"axis": 0, "readout": "median", "temperature": 0.5}, {}),
    Call("median among given bins", "soft_argmax", (4, 5), {"axis": -1, "readout": "median"}, {"positions": BINS}),
    Call("median in the flattened masked array", "soft_argmax", (2, 5), {"readout": "median"}, {"mask": _mask((2, 5))}),
    Call("position of the minimum", "soft_argmin", (3, 5), {"axis": -1, "temperature": 0.5}, {}),
    Call("position of the minimum in the flattened array", "soft_argmin", (3, 3), {}, {}),
    Call("mean and variance", "soft_argmax_moments", (3, 5), {"axis": -1, "temperature": 0.5}, {}),
    Call("mean and variance with the axis kept", "soft_argmax_moments", (5, 3), {"axis": 0, "keepdims": True}, {}),
    Call("mean and variance among bins under a mask", "soft_argmax_moments", (3, 5), {"axis": 1}, {"positions": BINS, "mask": _mask((3, 5))}),
    Call("weights along the last axis", "soft_one_hot", (3, 5), {}, {}),
    Call("weights along the first axis", "soft_one_hot", (5, 3), {"axis": 0, "temperature": 0.5}, {}),
    Call("weights over two axes", "soft_one_hot", (2, 3, 2), {"axis": (0, 2)}, {}),
    Call("weights over all axes under a mask", "soft_one_hot", (3, 4), {"axis": None}, {"mask": _mask((3, 4))}),
    Call("weights at a temperature a row", "soft_one_hot", (3, 5), {}, {"temperature": ROWS}),
    Call("coordinates in a map", "spatial_soft_argmax", (2, 3, 4), {}, {}),
    Call("coordinates from corner to corner", "spatial_soft_argmax", (2, 3, 4), {"coordinates": "corner"}, {}),
    Call("coordinates of cell centers", "spatial_soft_argmax", (3, 1, 4), {"coordinates": "center", "axes": (0, 2)}, {}),
    Call("coordinates with the axes swapped", "spatial_soft_argmax", (4, 3), {"axes": (1, 0), "temperature": 0.5}, {}),
    Call("coordinates along three axes under a mask", "spatial_soft_argmax", (2, 3, 2), {"axes": (0, 1, 2)}, {"mask": _mask((2, 3, 2))}),
    Call("median coordinates", "spatial_soft_argmax", (3, 4), {"readout": "median", "temperature": 0.25}, {}),
    Call("sparsemax weights", "soft_one_hot", (3, 5), {"alpha": 2}, {}),
    Call("sparsemax weights over all axes at a temperature", "soft_one_hot", (2, 4), {"axis": None, "alpha": 2, "temperature": 2.0}, {}),
    Call("1.5-entmax weights", "soft_one_hot", (4, 6), {"alpha": 1.5}, {}),
    Call("1.5-entmax weights under a mask", "soft_one_hot", (5, 4), {"alpha": 1.5, "axis": 0}, {"mask": _mask((5, 4))}),
    Call("4/3-entmax weights", "soft_one_hot", (4, 6), {"alpha": 4 / 3}, {}),
    Call("1.1-entmax weights at a temperature a row", "soft_one_hot", (3, 5), {"alpha": 1.1}, {"temperature": ROWS}),
    Call("entmax weights near softmax", "soft_one_hot", (3, 5), {"alpha": 1 + 2.0**-20}, {}),
    Call("1.75-entmax weights", "soft_one_hot", (3, 5), {"alpha": 1.75}, {}),
    Call("entmax weights of an order a row", "soft_one_hot", (4, 5), {}, {"alpha": ORDERS}),
    Call("sparsemax position", "soft_argmax", (3, 5), {"axis": -1, "alpha": 2, "temperature": 2.0}, {}),
    Call("1.5-entmax position of the minimum", "soft_argmin", (3, 5), {"axis": -1, "alpha": 1.5}, {}),
    Call("entmax position of an order a row", "soft_argmax", (4, 5), {"axis": -1}, {"alpha": ORDERS, "mask": _mask((4, 5))}),
    Call("1.5-entmax position in the flattened array", "soft_argmax", (2, 4), {}, {"alpha": np.asarray([[1.5]])}),
    Call("1.5-entmax median", "soft_argmax", (4, 5), {"axis": -1, "alpha": 1.5, "readout": "median"}, {}),
    Call("1.25-entmax mean and variance", "soft_argmax_moments", (3, 5), {"axis": -1, "alpha": 1.25}, {}),
    Call("1.5-entmax coordinates", "spatial_soft_argmax", (2, 3, 4), {"alpha": 1.5}, {}),
    Call("mean and variance of coordinates", "spatial_soft_argmax", (2, 3, 4), {"readout": "moments", "coordinates": "corner"}, {}),
    Call("capped weights of one winner", "soft_top_k", (3, 5), {"k": 1}, {}),
    Call("capped weights of two winners", "soft_top_k", (3, 6), {"k": 2, "temperature": 3.0}, {}),
    Call("capped weights of three winners under a mask", "soft_top_k", (6, 4), {"k": 3, "axis": 0}, {"mask": _mask((6, 4))}),
    Call("capped weights of all", "soft_top_k", (2, 4), {"k": 4}, {}),
    Call("sigmoid weights of two winners", "soft_top_k", (3, 6), {"k": 2, "kind": "sigmoid"}, {}),
    Call("sigmoid weights of four winners at a temperature a row", "soft_top_k", (3, 6), {"k": 4, "kind": "sigmoid"}, {"temperature": ROWS}),
    Call("subset weights of two of six", "soft_top_k", (3, 6), {"k": 2, "kind": "subset"}, {}),
    Call("subset weights of three under a mask along the first axis", "soft_top_k", (6, 4), {"k": 3, "kind": "subset", "axis": 0}, {"mask": _mask((6, 4))}),
    Call("subset weights of four at a temperature a row", "soft_top_k", (3, 6), {"k": 4, "kind": "subset"}, {"temperature": ROWS}),
    Call("subset weights of one", "soft_top_k", (3, 5), {"k": 1, "kind": "subset", "temperature": 0.5}, {}),
    Call("position within a window", "soft_argmax", (4, 7), {"axis": -1, "window": 1}, {}),
    Call("1.5-entmax position within a window under a mask", "soft_argmax", (7, 3), {"axis": 0, "window": 2, "alpha": 1.5}, {"mask": _mask((7, 3))}),
    Call("coordinates within a window", "spatial_soft_argmax", (2, 4, 5), {"window": (1, 2)}, {}),
    Call("mean and variance within a window", "soft_argmax_moments", (3, 7), {"axis": -1, "window": 2}, {}),
    Call("position on a zero background", "soft_argmax", (3, 6), {"axis": -1, "zero_background": True, "temperature": 0.5}, {}),
    Call("position on a masked zero background at a temperature a row", "soft_argmax", (3, 6), {"axis": -1, "zero_background": True}, {"temperature": ROWS, "mask": _mask((3, 6))}),
    Call("coordinates on a zero background", "spatial_soft_argmax", (2, 3, 4), {"zero_background": True, "coordinates": "center"}, {}),
    Call("cross-entropy of indices", "fenchel_young_loss", (3, 5), {}, {"target": np.asarray([0, 4, 2])}),
    Call("cross-entropy of weights at a temperature", "fenchel_young_loss", (5, 3), {"axis": 0, "temperature": 0.5}, {"target": SHARES}),
    Call("sparsemax loss of weights", "fenchel_young_loss", (5, 3), {"axis": 0, "alpha": 2}, {"target": SHARES}),
    Call("1.5-entmax loss of indices", "fenchel_young_loss", (3, 5), {"alpha": 1.5}, {"target": np.asarray([1, 1, 3])}),
    Call("cross-entropy of indices under a mask", "fenchel_young_loss", (3, 5), {}, {"target": np.asarray([0, 3, 2]), "mask": KEPT}),
    Call("cross-entropy of weights under a mask at a temperature a row", "fenchel_young_loss", (3, 5), {}, {"target": KEPT_SHARES, "mask": KEPT, "temperature": ROWS}),
    Call("sparsemax loss of weights under a mask", "fenchel_young_loss", (3, 5), {"alpha": 2}, {"target": KEPT_SHARES, "mask": KEPT}),
    Call("loss over two axes, of weights", "fenchel_young_loss", (2, 5, 3), {"axis": (1, 2), "alpha": 1.5}, {"target": np.stack([SHARES / 3, SHARES[::-1] / 3])}),
    Call("loss over two axes, of indices", "fenchel_young_loss", (3, 3, 2), {"axis": (2, 1)}, {"target": np.asarray([1, 4, 5])}),
    Call("cross-entropy of indices, a row of which does not count", "fenchel_young_loss", (3, 5), {"ignore_index": -100}, {"target": np.asarray([4, -100, 2])}),
    Call("sparsemax loss of indices, one that is not kept does not count", "fenchel_young_loss", (3, 5), {"ignore_index": 0, "alpha": 2}, {"target": np.asarray([3, 0, 2]), "mask": KEPT}),
    Call("logarithms of weights", "soft_one_hot", (3, 5), {"log": True}, {}),
    Call("logarithms of weights under a mask at a temperature a row", "soft_one_hot", (3, 5), {"log": True}, {"mask": _mask((3, 5)), "temperature": ROWS}),
    Call("logarithms of 1.5-entmax weights", "soft_one_hot", (4, 6), {"log": True, "alpha": 1.5, "temperature": 0.5}, {}),
    Call("logarithms of sparsemax weights over all axes", "soft_one_hot", (2, 4), {"log": True, "alpha": 2, "axis": None}, {}),
    Call("logarithms of entmax weights of an order a row", "soft_one_hot", (4, 5), {"log": True, "temperature": 3.0}, {"alpha": ORDERS}),
    Call("covariance of coordinates", "spatial_soft_argmax", (2, 3, 4), {"readout": "covariance", "coordinates": "center"}, {}),
    Call("covariance of coordinates along three axes under a mask", "spatial_soft_argmax", (2, 3, 2), {"readout": "covariance", "axes": (2, 0, 1), "alpha": 1.5}, {"mask": _mask((2, 3, 2))}),
    Call("position of given weights", "expectation", (3, 5), {"axis": -1}, {}),
    Call("position of given weights along the first axis, kept, under a mask", "expectation", (5, 3), {"axis": 0, "keepdims": True}, {"mask": _mask((5, 3))}),
    Call("position of given weights in the flattened array", "expectation", (2, 5), {}, {}),
    Call("position of given weights among bins", "expectation", (3, 5), {"axis": -1}, {"positions": BINS}),
    Call("position of given weights among bins of each row", "expectation", (2, 5), {"axis": -1}, {"positions": np.stack([BINS, 3 - BINS])}),
    Call("median of given weights", "expectation", (4, 6), {"axis": -1, "readout": "median"}, {}),
    Call("mean and variance of given weights among bins", "expectation", (5, 3), {"axis": 0, "readout": "moments"}, {"positions": BINS}),
    Call("mean and variance of given weights under a mask", "expectation", (3, 4), {"readout": "moments"}, {"mask": _mask((3, 4))}),
    Call("coordinates of given weights", "spatial_expectation", (2, 3, 4), {"coordinates": "corner"}, {}),
    Call("coordinates of given weights with the axes swapped under a mask", "spatial_expectation", (4, 3), {"axes": (1, 0), "coordinates": "center"}, {"mask": _mask((4, 3))}),
    Call("coordinates of given weights along the first two axes", "spatial_expectation", (3, 2, 4), {"axes": (1, 0)}, {}),
    Call("median coordinates of given weights", "spatial_expectation", (3, 4), {"readout": "median"}, {}),
    Call("mean and variance of coordinates of given weights", "spatial_expectation", (2, 3, 4), {"readout": "moments", "coordinates": "corner"}, {}),
    Call("covariance of coordinates of given weights", "spatial_expectation", (2, 3, 4), {"readout": "covariance"}, {}),
    Call("covariance along three axes of given weights under a mask", "spatial_expectation", (2, 3, 2), {"readout": "covariance", "axes": (0, 2, 1)}, {"mask": _mask((2, 3, 2))}),
    Call("sharpened weights", "sharpen", (3, 5), {"power": 3.0, "rounds": 2}, {}),
    Call("normalised weights along the first axis", "sharpen", (5, 3), {"rounds": 0, "axis": 0}, {}),
    Call("a draw with the gradient of Gumbel-softmax", "sample_one_hot", (3, 5), {"temperature": 0.5}, {"noise": _noise(3, 5)}),
    Call("draws along the first axis with the gradient of Gumbel-softmax, under a mask", "sample_one_hot", (5, 3), {"axis": 0}, {"noise": _noise(2, 5, 3), "mask": _mask((5, 3))}),
    Call("draws straight-through at a temperature a row", "sample_one_hot", (3, 5), {"estimator": "straight-through"}, {"noise": _noise(2, 3, 5), "temperature": ROWS}),
    Call("draws by ReinMax under a mask", "sample_one_hot", (3, 5), {"estimator": "reinmax", "temperature": 2.0}, {"noise": _noise(2, 3, 5), "mask": KEPT}),
    Call("a draw by ReinMax", "sample_one_hot", (3, 4), {"estimator": "reinmax"}, {"noise": _noise(3, 4)}),
    Call("draws with an averaged gradient", "sample_one_hot", (3, 5), {"estimator": "gumbel-rao", "temperature": 0.5}, {"noise": _noise(4, 3, 5)}),
    Call("more draws with an averaged gradient under a mask at a temperature a row", "sample_one_hot", (3, 5), {"estimator": "gumbel-rao"}, {"noise": _noise(3, 2, 3, 5), "mask": KEPT, "temperature": ROWS}),
    Call("a draw with a gapped gradient", "sample_one_hot", (3, 5), {"estimator": "gapped", "temperature": 0.5}, {"noise": _noise(3, 5)}),
    Call("draws of two entries", "sample_top_k", (3, 6), {"k": 2, "temperature": 2.0}, {"noise": _noise(2, 3, 6)}),
    Call("draws of three entries along the first axis under a mask", "sample_top_k", (6, 4), {"k": 3, "axis": 0}, {"noise": _noise(6, 4), "mask": _mask((6, 4))}),
    Call("noise given indices of what it chooses", "conditional_gumbel", (3, 5), {}, {"chosen": np.asarray([0, 4, 2]), "noise": _noise(3, 5)}),
    Call("noise of draws given a one-hot choice under a mask", "conditional_gumbel", (3, 5), {}, {"chosen": CHOSEN * KEPT + 0.0, "noise": _noise(2, 3, 5), "mask": KEPT}),
    Call("mean argmax under Gumbel noise", "perturbed", (5,), {"scale": 0.5}, {"noise": _noise(6, 5)}),
    Call("mean argmax under normal noise of a scale an entry, about that of the center", "perturbed", (2, 3), {"distribution": "normal", "baseline": "center"}, {"noise": _noise(5, 2, 3) / 2, "scale": np.asarray([[0.5, 1.0, 2.0]])}),
    Call("mean argmax without a baseline", "perturbed", (4,), {"baseline": None}, {"noise": _noise(3, 4)}),
    Call("probabilities under Normal noise", "argmax_probability", (2, 4), {"scale": 1.5}, {}),
    Call("probabilities under Normal noise of a scale an entry", "argmax_probability", (2, 3), {}, {"scale": SCALES}),
    Call("probabilities under Normal noise along the first axis under a mask", "argmax_probability", (4, 2), {"axis": 0, "scale": 2.0}, {"mask": _mask((4, 2))}),
    Call("probabilities under Gumbel noise of a scale a row", "argmax_probability", (3, 5), {"distribution": "gumbel"}, {"scale": ROWS}),
]  # fmt: skip


def _perturbed_argmax(x, noise, **options):
    """The mean one-hot argmax of all entries under noise."""
    return sampling.perturbed(lambda scores: weights.soft_one_hot(scores, None, hard=True), x, noise, **options)


# Functions of scores and noise, which random calls leave out.
DRAWS: dict[str, Callable[..., Any]] = {
    "sample_one_hot": sampling.sample_one_hot,
    "sample_top_k": sampling.sample_top_k,
    "conditional_gumbel": sampling.conditional_gumbel,
    "perturbed": _perturbed_argmax,
}
FUNCTIONS = {
    name: getattr(module, name)
    for module, names in (
        (operators, ("soft_argmax", "soft_argmin", "soft_argmax_moments", "spatial_soft_argmax")),
        (weights, ("soft_one_hot", "soft_top_k", "sharpen")),
        (losses, ("fenchel_young_loss",)),
        (sampling, ("argmax_probability",)),
        (expectations, ("expectation", "spatial_expectation")),
    )
    for name in names
}
BY_ID = {call.id: call for call in CALLS}
# One call of each kind: of each function with each set of options that takes another way through it.
KINDS = tuple(
    {
        (
            c.function,
            *sorted(
                c.options.keys()
                & {
                    *("readout", "alpha", "kind", "window", "zero_background", "log", "ignore_index"),
                    *("estimator", "distribution", "baseline"),
                }
            ),
            *c.arrays,
        ): c
        for c in reversed(CALLS)
    }.values()
)[::-1]


def scores(call: Call, seed: int = 0) -> np.ndarray:
    """Scores of the shape of the call; weights for the functions of these."""
    rng = np.random.default_rng([sum(call.id.encode()), seed])
    x = 2 * rng.normal(size=call.shape)
    if call.function == "sharpen":
        x = rng.random(call.shape)
        x[(0,) * x.ndim] = 0
    if (
        call.function in READERS
    ):  # of any sum, and some of them 0; of any sign where what cancels is no larger than the sum
        x = (0.1 + 0.5 * rng.normal(size=call.shape)) * (rng.random(call.shape) < 0.8)
        x = np.abs(x) if call.options.get("readout") in ("moments", "covariance") else x
    while call.options.get("zero_background"):
        x = np.abs(2 * rng.normal(size=call.shape)) * (rng.random(call.shape) < 0.7)
        if np.min(np.max(rows_of(call, np.where(call.arrays.get("mask", True), x, 0)), axis=1)) > 0.5:
            break  # a row of zeros has no derivative in any direction but that of other zeros
    return x


def inputs(call: Call, dtype: str, seed: int = 0) -> Inputs:
    """The call's scores, rounded to a dtype."""
    return rounded((scores(call, seed),), dtype, seed)


def bound(call: Call, put, **extra):
    """The library's function of the scores alone, with the option arrays put where they belong."""
    options = call.options | {name: put(value) for name, value in call.arrays.items()} | extra
    second = [options.pop(name) for name in ("k", "target", "chosen", "noise") if name in options]  # by position
    functions = FUNCTIONS if call.function in FUNCTIONS else DRAWS
    return lambda x: functions[call.function](x, *second, **options)


def function(call: Call, backend, dtype: str = "float64", device=None, **extra):
    """The call in a framework."""
    return bound(call, lambda values: backend.asarray(values, None, device), **extra)
