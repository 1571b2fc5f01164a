"""Adapter for arrays without automatic differentiation: NumPy, CuPy, Dask, array-api-strict and the like.

Values come straight from the rules, and so do gradients: `vjp` and `jvp` run a function of this
library on a tape that records the rules it applies, and then apply their products in turn.
"""

import contextlib
import sys
from contextvars import ContextVar
from types import SimpleNamespace

from ._compat import device, is_dask_array

_tape: ContextVar[list | None] = ContextVar("tape", default=None)


def _quiet():
    """Silence NumPy's overflow warning: a score that falls out of range is -inf, and that is its limit."""
    numpy = sys.modules.get("numpy")
    return contextlib.nullcontext() if numpy is None else numpy.errstate(over="ignore")


def _lift(rule, ops):
    def op(*args, **static):
        with _quiet():
            y = rule.forward(ops, *args, **static)
        tape = _tape.get()
        if tape is not None:
            tape.append((rule, ops, args, static, y))
        return y

    return op


def plain_adapter(xp):
    """What the library needs to know of a namespace without automatic differentiation."""
    return SimpleNamespace(
        name=xp.__name__.removeprefix("array_api_compat.").partition(".")[0],
        namespace=xp,
        lift=_lift,
        detach=lambda x: x,
        is_concrete=lambda x: not is_dask_array(x),
        place=lambda x: {} if is_dask_array(x) else {"device": device(x)},
        default_float=lambda: xp.__array_namespace_info__().default_dtypes()["real floating"],
        vjp=vjp,
        jvp=jvp,
    )


def _record(f, arrays):
    """Run f and return its value and the rules it applied: a chain from one of the arrays to the value."""
    token = _tape.set([])
    try:
        value = f(*arrays)
        tape = _tape.get() or []
    finally:
        _tape.reset(token)
    links = [x for *_, x in tape]
    chained = tape and all(args[0] is y for (_, _, args, _, _), y in zip(tape[1:], links, strict=False))
    start = [k for k, x in enumerate(arrays) if chained and tape[0][2][0] is x]
    if not start or value is not links[-1]:
        raise TypeError(
            f"`f` must be one call of a function of this library on arrays that have no automatic differentiation, "
            f"got {getattr(f, '__name__', f)!r}, which does more or something else. "
            "Pass such a function, or arrays of autograd, torch or JAX, for which `f` may be anything."
        )
    return value, tape, start[0]


def vjp(f, *arrays):
    value, tape, start = _record(f, arrays)

    def pullback(g):
        with _quiet():
            for rule, ops, args, static, y in reversed(tape):
                g = rule.vjps[0](ops, g, y, *args, **static)
        return tuple(g if k == start else None for k in range(len(arrays)))

    return value, pullback


def jvp(f, arrays, tangents):
    value, tape, start = _record(f, arrays)
    t = tangents[start]
    with _quiet():
        for rule, ops, args, static, y in tape:
            t = rule.jvps[0](ops, t, y, *args, **static)
    return value, t
