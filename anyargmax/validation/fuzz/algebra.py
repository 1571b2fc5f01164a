"""Hold an answer to what a change of the input must do to it: shifts, permutations, masked scores, batches."""

import numpy as np

from ..invariants import WEIGHTS
from .case import Case
from .kinks import has_median_kink, is_determined
from .registry import FLOATS, NAMES, OF_SCORES, POSITIONS, WHOLE, prop
from .running import Closeness, Outcome, assert_near, assert_same, computed_in, first, outcome
from .scales import gradient_scale, value_scale
from .scores import fitted


def near(case: Case, got: Outcome, want: Outcome, what: str, zeros: bool = False) -> None:
    """Assert that two outcomes of a call agree, the gradients where the scores determine them.

    ``zeros`` demands equal supports of weights. Rows without a finite answer are left to a property of their own.
    """
    dtype = computed_in(case, first(case))
    assert got.stored == want.stored, f"{what}: expected dtype {', '.join(want.stored)}, got {', '.join(got.stored)}"
    determined = is_determined(case, dtype)
    zeros = zeros and determined and case.call.function in WEIGHTS and not case.option("log")
    by = Closeness(dtype, want.stored, "value", value_scale(case), zeros)
    assert_near(got.value, want.value, f"value {what}", by)
    if determined and want.gradient and not has_median_kink(case):
        answered = ~unanswered(case, want)[:, None]
        a, b = (tuple(np.where(answered, case.rows(g), 0.0) for g in found.gradient) for found in (got, want))
        by = Closeness(dtype, want.gradient_stored, "derivative", gradient_scale(case))
        assert_near(a, b, f"gradient {what}", by)


def unanswered(case: Case, found: Outcome) -> np.ndarray:
    """Which rows have no finite answer."""
    rows = len(case.rows(case.x))
    if case.call.function in WEIGHTS:
        p = case.rows(found.value[0])
        return ~(np.isfinite(p) | (p == -np.inf) & bool(case.option("log"))).all(axis=1)
    parts = [part.reshape((rows, part.size // rows if rows else 0)) for part in found.value]
    return ~np.isfinite(np.concatenate(parts, axis=1)).all(axis=1)


@prop(
    "a shift of all scores changes nothing",
    functions=OF_SCORES,
    kinds=("grid",),
    longest=5000,
    fixed={"zero_background": False},
)
def shift(case: Case) -> None:
    """Halves up to 4 and whole numbers up to 32 add up exactly, even in 8 bits; the differences stay what they were."""
    by = case.pick % 65 - 32
    near(
        case,
        outcome(case.with_scores(case.x + by), first(case)),
        outcome(case, first(case)),
        f"of scores raised by {by}",
    )


@prop("permuted scores have permuted weights", functions=WEIGHTS, longest=5000)
def permuted_weights(case: Case) -> None:
    """Of tied scores the hard choice takes the first, so that these are told from their permutation."""
    if case.option("hard") and has_ties(case):
        case = case.with_options(hard=None)
    backend, rng = first(case), np.random.default_rng(case.pick)
    moved, indices = case.x, []
    for axis in case.axes:
        indices.append((axis, rng.permutation(case.x.shape[axis])))
        moved = np.take(moved, indices[-1][1], axis=axis)
    arrays = {name: permuted(case.call.arrays[name], case, indices) for name in ("mask",) if name in case.call.arrays}
    got = outcome(case.with_scores(moved).with_options(**arrays), backend, derivative=False)
    want = outcome(case, backend, derivative=False)
    back = tuple(permuted(part, case, indices) for part in want.value)
    near(case, got, want._replace(value=back), "of permuted scores", zeros=True)


def has_ties(case: Case) -> bool:
    """Whether two scores of a row are equal."""
    rows = np.sort(case.rows(case.x), axis=1)
    return bool(np.any(rows[:, 1:] == rows[:, :-1]))


def permuted(array: np.ndarray, case: Case, indices: list) -> np.ndarray:
    """An array that broadcasts against the scores, permuted along the axes that it has."""
    lead = case.x.ndim - array.ndim
    for axis, index in indices:
        if axis >= lead and array.shape[axis - lead] > 1:
            array = np.take(array, index, axis=axis - lead)
    return array


@prop(
    "permuted positions go with their scores",
    functions=POSITIONS[:3],
    longest=5000,
    fixed={"window": None, "readout": "mean", "hard": False},
)
def permuted_positions(case: Case) -> None:
    """Without positions they are counted, so that these counts, permuted, are positions to be given."""
    if len(case.axes) != 1:
        case = flattened(case)
    (axis,), backend = case.axes, first(case)
    n = case.x.shape[axis]
    index = np.random.default_rng(case.pick).permutation(n)
    given = case.call.arrays.get("positions", np.arange(float(n)))
    laid = given.ndim == case.x.ndim > 1
    moved = np.take(given, index, axis=axis) if laid else given.reshape(-1)[index]
    x = np.take(case.x, index, axis=axis)
    arrays = {"mask": permuted(case.call.arrays["mask"], case, [(axis, index)])} if "mask" in case.call.arrays else {}
    got = outcome(case.with_scores(x).with_options(positions=moved, **arrays), backend, derivative=False)
    want = outcome(case, backend, derivative=False)
    near(case, got, want, "of scores and positions permuted alike")


def flattened(case: Case) -> Case:
    """A call without an axis as one of a vector."""
    size, options = case.x.size, {}
    if "mask" in case.call.arrays:
        options["mask"] = case.mask.reshape(-1)
    for name in ("temperature", "alpha"):
        if name in case.call.arrays:
            options[name] = case.call.arrays[name].reshape(-1)[:1]
    if "positions" in case.call.arrays:
        options["positions"] = case.call.arrays["positions"].reshape(-1)
    return case.with_scores(case.x.reshape(size)).with_options(keepdims=None, **options)


@prop(
    "a masked score never matters",
    dtypes=(*FLOATS, *WHOLE),
    longest=5000,
    functions=tuple(n for n in NAMES if n != "sharpen"),
)
def masked(case: Case) -> None:
    if case.mask.all():
        case = case.with_options(mask=np.asarray(np.random.default_rng(case.pick).random(case.x.shape) < 0.6))
    backend = first(case)
    fill = (np.nan, np.inf, -np.inf, 1e30, -1e30)[case.pick % 5]
    other = np.where(case.mask, case.x, fitted(fill, case.dtype)).astype(case.x.dtype)
    got, want = outcome(case.with_scores(other), backend), outcome(case, backend)
    assert_same(got.value, want.value, f"value with {fill} in place of masked scores")
    assert_same(got.gradient, want.gradient, f"gradient with {fill} in place of masked scores")
    for gradient in want.gradient:
        hidden = case.rows(gradient)[~case.rows(case.mask) & ~unanswered(case, want)[:, None]]
        assert np.all(hidden == 0), f"gradient of masked scores: expected 0, got {hidden}"


@prop("a row alone gives what it gives in a batch", longest=5000)
def alone(case: Case) -> None:
    others = [k for k in range(case.x.ndim) if k not in case.axes and case.x.shape[k]]
    if not others:
        return
    axis = others[case.pick % len(others)]
    k = case.pick // 8 % case.x.shape[axis]
    whole = outcome(case, first(case), derivative=False)
    cut = {
        name: value if is_laid(name, value) else sliced(value, case, axis, k)
        for name, value in case.call.arrays.items()
    }
    one = case.with_scores(np.take(case.x, [k], axis=axis)).with_options(**cut)
    got = outcome(one, first(case), derivative=False)
    place = answer_axis(case, axis)
    wanted = tuple(np.take(part, [k], axis=place) for part in whole.value)
    near(one, got, whole._replace(value=wanted), "of a row alone", zeros=True)


def is_laid(name: str, array: np.ndarray) -> bool:
    """Whether an option has one number for each entry of the axis, wherever that is."""
    return name == "positions" and array.ndim == 1


def sliced(array: np.ndarray, case: Case, axis: int, k: int) -> np.ndarray:
    """What of an option goes with one index along another axis."""
    full = case.x.shape
    if array.dtype.kind == "i":  # target indices have no reduced axis
        place = axis - sum(k < axis for k in case.axes)
        return np.take(array, [k], axis=place)
    lead = len(full) - array.ndim
    if axis < lead or array.shape[axis - lead] == 1:
        return array
    return np.take(array, [k], axis=axis - lead)


def answer_axis(case: Case, axis: int) -> int:
    """Where an axis of the scores is in the answer."""
    if case.call.function in WEIGHTS or case.option("keepdims"):
        return axis
    return axis - sum(k < axis for k in case.axes)
