"""Adapter for arrays without automatic differentiation: NumPy, CuPy, Dask, array-api-strict and the like.

Values come straight from the rules, and so do gradients: `vjp` and `jvp` run a function of this
library on a tape that records the rules it applies, and then apply their products in turn.
"""

from contextvars import ContextVar
from types import SimpleNamespace

from ._compat import device, is_dask_array

_tape: ContextVar[list | None] = ContextVar("tape", default=None)


def _lift(rule, ops):
    def op(*args, **static):
        y = rule.forward(ops, *args, **static)
        tape = _tape.get()
        if tape is not None:
            tape.append((rule, ops, args, static, y))
        return y

    return op


def _fused(call, x):
    """An engine's call, unless the rules are recorded."""
    made = call.forward(x, False) if _tape.get() is None else None
    return call.core(x) if made is None else made[0][()]


def _engine(xp):
    """What engines need of NumPy: they work on its arrays' memory."""
    if xp.__name__.rpartition(".")[2] != "numpy":
        return {}
    return {
        "plain_arrays": (xp.ndarray,),
        "traits": lambda x: (x.dtype, x.shape),
        "memory": lambda x: x if type(x) is xp.ndarray else None,
        "fused": _fused,
    }


def plain_adapter(xp):
    """What the library needs to know of a namespace without automatic differentiation."""
    return SimpleNamespace(
        name=xp.__name__.removeprefix("array_api_compat.").partition(".")[0],
        namespace=xp,
        lift=_lift,
        detach=lambda x: x,
        is_concrete=lambda x: not is_dask_array(x),
        is_cheap_to_read=lambda x: type(x).__module__ == "numpy",
        place=lambda x: {} if is_dask_array(x) else {"device": device(x)},
        default_float=lambda: xp.__array_namespace_info__().default_dtypes()["real floating"],
        vjp=vjp,
        jvp=jvp,
        **_engine(xp),
    )


def _record(f, arrays):
    """Run f and return its value and the rules that led to it: a chain from one of the arrays to the value."""
    token = _tape.set([])
    try:
        value = f(*arrays)
        tape = _tape.get() or []
    finally:
        _tape.reset(token)
    made = {id(y): (rule, ops, args, static, y) for rule, ops, args, static, y in tape}
    chain = []
    link = made.get(id(value))
    while link is not None:
        chain.append(link)
        link = made.get(id(link[2][0]))
    start = [k for k, x in enumerate(arrays) if chain and chain[-1][2][0] is x]
    if not start:
        raise TypeError(
            f"`f` must be one call of a function of this library on arrays that have no automatic differentiation, "
            f"got {getattr(f, '__name__', f)!r}, which does more or something else. "
            "Pass such a function, or arrays of autograd, torch or JAX, for which `f` may be anything."
        )
    return value, chain[::-1], start[0]


def vjp(f, *arrays):
    value, chain, start = _record(f, arrays)

    def pullback(g):
        for rule, ops, args, static, y in reversed(chain):
            g = rule.vjps[0](ops, g, y, *args, **static)
        return tuple(g if k == start else None for k in range(len(arrays)))

    return value, pullback


def jvp(f, arrays, tangents):
    value, chain, start = _record(f, arrays)
    t = tangents[start]
    for rule, ops, args, static, y in chain:
        t = rule.jvps[0](ops, t, y, *args, **static)
    return value, t
