"""Hold calls to what memory must not change: arguments, kept calls and layouts."""

import numpy as np

from ..._frameworks import kept_calls
from ..invariants import READERS
from ..problems import tuple_of
from ..tolerance import dtype_name
from .algebra import near
from .case import Case
from .kinks import is_determined
from .layouts import WAYS, laid
from .registry import FLOATS, WHOLE, prop
from .running import Closeness, assert_near, assert_same, computed_in, first, in_numpy, like, outcome, prepared
from .scales import gradient_scale
from .scores import fitted

WRITABLE = ("numpy", "autograd", "torch")  # whose arrays lie in memory that can be looked at and written to
IN_MEMORY = tuple(name for name in WRITABLE for _ in range(2))


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
    if case.call.function == "argmax_probability":
        yield from (case.with_options(scale=scale) for scale in (1, 1.0, 2.0))
        return
    if case.call.function not in ("sharpen", "soft_top_k", *READERS) and not case.option("zero_background"):
        yield from (case.with_options(alpha=alpha) for alpha in (1, 2, 1.5))
    if case.call.function not in ("sharpen", *READERS):
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
