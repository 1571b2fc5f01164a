"""What a change of the input must do to the answer: shifts, permutations, masked scores, batches, memory."""

import numpy as np

from ..._frameworks import kept_calls
from ..problems import tuple_of
from ..tolerance import dtype_name
from .case import Case
from .conditions import gradient_scale, has_median_kink, is_determined, value_scale
from .layouts import WAYS, laid
from .registry import FLOATS, NAMES, POSITIONS, WEIGHTS, WHOLE, prop
from .running import Closeness, Outcome, assert_near, assert_same, computed_in, first, in_numpy, like, outcome, prepared
from .scores import fitted

NATIVE = ("numpy", "autograd", "torch")  # whose arrays lie in memory that can be looked at and written to
IN_MEMORY = tuple(name for name in NATIVE for _ in range(2))


def near(case: Case, got: Outcome, want: Outcome, what: str, zeros: bool = False) -> None:
    """Assert that two outcomes of a call agree, the gradients where the scores determine them.

    ``zeros`` demands equal supports of weights. Rows without a finite answer are left to a property of their own.
    """
    dtype = computed_in(case, first(case))
    assert got.stored == want.stored, f"{what}: expected dtype {', '.join(want.stored)}, got {', '.join(got.stored)}"
    determined = is_determined(case, dtype)
    zeros = zeros and determined and case.call.function in WEIGHTS
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
        return ~np.isfinite(case.rows(found.value[0])).all(axis=1)
    parts = [part.reshape((rows, part.size // rows if rows else 0)) for part in found.value]
    return ~np.isfinite(np.concatenate(parts, axis=1)).all(axis=1)


@prop(
    "a shift of all scores changes nothing",
    functions=tuple(name for name in NAMES if name != "sharpen"),
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


@prop("permuted scores have permuted weights", functions=("soft_one_hot", "soft_top_k", "sharpen"), longest=5000)
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
        place = axis - (case.axes[0] < axis)
        return np.take(array, [k], axis=place)
    lead = len(full) - array.ndim
    if axis < lead or array.shape[axis - lead] == 1:
        return array
    return np.take(array, [k], axis=axis - lead)


def answer_axis(case: Case, axis: int) -> int:
    """Where an axis of the scores is in the answer."""
    if case.call.function in ("soft_one_hot", "soft_top_k", "sharpen") or case.option("keepdims"):
        return axis
    return axis - sum(k < axis for k in case.axes)


@prop("arguments are never written to, and no result shares their memory", frameworks=IN_MEMORY, longest=5000)
def memory(case: Case) -> None:
    backend = first(case)
    kept: list = []

    def keep(backend, values, dtype):
        kept.append(backend.asarray(values, dtype))
        return kept[-1]

    f, x = prepared(case, backend, keep)
    before = [bits(backend, a) for a in kept]
    y, pullback = backend.vjp(f, x)
    g = like(case, backend, y)
    kept += tuple_of(g)
    before += [bits(backend, a) for a in tuple_of(g)]
    value = [bits(backend, a) for a in tuple_of(y)]
    (gradient,) = pullback(g)
    first_gradient = bits(backend, gradient)
    (again,) = pullback(g)
    assert first_gradient == bits(backend, gradient), "a second pullback changed the gradient of the first"
    assert value == [bits(backend, a) for a in tuple_of(y)], "the pullback changed the value"
    assert before == [bits(backend, a) for a in kept], "an argument was written to"
    f(x)
    assert before == [bits(backend, a) for a in kept], "an argument was written to without a gradient"
    results = [*tuple_of(y), *tuple_of(f(x)), gradient]
    for k, a in enumerate(results):
        shared = [b for b in kept + results[:k] if overlap(backend, a, b) and not (k < 2 * len(tuple_of(y)))]
        assert not shared, "a gradient shares memory with an argument or the value"
        assert not any(overlap(backend, a, b) for b in kept), "a result shares memory with an argument"
    # What the first had kept is computed again, in another order.
    by = Closeness(computed_in(case, backend), (case.dtype,), "derivative", gradient_scale(case))
    if is_determined(case, by.dtype):
        assert_near(in_numpy(backend, again), in_numpy(backend, gradient), "gradient of a second pullback", by)


def bits(backend, a) -> tuple:
    """What an array holds, to the bit."""
    return (dtype_name(a), tuple(a.shape), np.ascontiguousarray(view(backend, a)).tobytes())


def view(backend, a) -> np.ndarray:
    """An array's own memory."""
    if dtype_name(a) == "bfloat16":
        return a.detach().view(backend.xp.int16).numpy()
    return a.detach().numpy() if backend.name == "torch" else np.asarray(a)


def overlap(backend, a, b) -> bool:
    """Whether two arrays share memory."""
    return a.shape != () and np.shares_memory(view(backend, a), view(backend, b)) and view(backend, a).size > 0


@prop("repeated calls give the same bits, whatever is called between", longest=5000)
def repeated(case: Case) -> None:
    """Calls are kept ready for the next of their kind: another kind must not take their place."""
    backend = first(case)
    calls = list(neighbours(case))
    fresh = []
    for call in calls:
        kept_calls.forget()
        fresh.append(outcome(call, backend, derivative=call is case))
    kept_calls.forget()
    for turn in range(2):
        for call, want in zip(calls, fresh, strict=True):
            got = outcome(call, backend, derivative=call is case)
            what = f"of {call.call.function} with {call.call.options} after others, in turn {turn + 1}"
            assert_same(got.value, want.value, f"value {what}")
            assert_same(got.gradient, want.gradient, f"gradient {what}")


def neighbours(case: Case):
    """Calls that differ from another by little."""
    yield case
    yield case.with_scores(-case.x if case.x.dtype.kind == "f" and case.call.function != "sharpen" else case.x[...])
    for dtype in ("float32", "float64"):
        if dtype in first(case).dtypes:
            yield case._replace(x=fitted(case.x, dtype, 0.0 if case.call.function == "sharpen" else None), dtype=dtype)
    functions = {"soft_argmax": "soft_argmin", "soft_argmin": "soft_argmax"}
    for name in ("hard", "keepdims"):
        if case.call.function in ("soft_argmax", "soft_argmin"):
            yield case.with_options(**{name: not case.option(name, False)})
    if case.call.function in functions and not case.option("zero_background"):
        plain = case.with_options(zero_background=None)
        yield plain._replace(call=plain.call._replace(function=functions[case.call.function]))
    if case.call.function not in ("sharpen", "soft_top_k") and not case.option("zero_background"):
        yield from (case.with_options(alpha=alpha) for alpha in (1, 2, 1.5))
    if case.call.function != "sharpen":
        yield from (case.with_options(temperature=temperature) for temperature in (1, 1.0, 2.0))


@prop("the layout in memory changes nothing", frameworks=IN_MEMORY, dtypes=(*FLOATS, *WHOLE), longest=5000)
def layout(case: Case) -> None:
    """Sums are then added in another order, so that they agree within the tolerances of a sum."""
    backend = first(case)
    ways = WAYS["torch" if backend.name == "torch" else "numpy"]
    way = ways[case.pick % len(ways)]
    if way == "broadcast":
        case = case.with_scores(np.broadcast_to(case.x[:1], case.x.shape)) if case.x.ndim else case
    got = outcome(case, backend, lambda backend, values, dtype: laid(backend, values, dtype, way))
    near(case, got, outcome(case, backend), f"of arrays that are {way}", zeros=True)
