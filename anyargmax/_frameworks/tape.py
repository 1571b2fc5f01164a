"""Adapter for arrays without automatic differentiation: NumPy, CuPy, Dask, array-api-strict and the like.

Values come straight from the rules, and so do gradients: `vjp` and `jvp` run a function of this
library on a tape that records the rules it applies, and then apply their products in turn.
"""

from contextvars import ContextVar
from functools import wraps
from types import SimpleNamespace
from typing import Any, NamedTuple

from .._compat import PREFIX, array_namespace, device, is_dask_array
from .._kernels import selection
from .._kernels.kernel import Memory
from .._kernels.random import of_generators
from .._rules.rule import Rule
from .chunks import by_chunks_of
from .pieces import by_pieces_of
from .standard import completed, ordering_of


class _Tape(NamedTuple):
    """What has been applied, in order: rule, operations, arguments, options and value; and what for."""

    links: list[tuple[Any, ...]]
    reverse: bool


_tape: ContextVar[_Tape | None] = ContextVar("tape", default=None)


def lift(rule, ops):
    """Return a rule that the tape records."""
    forward, in_few = ops.quietly(selection.forward), ops.quietly(selection.in_few)

    def op(*args, **static):
        # What sorts without values makes a graph for another runtime; chunks are computed as NumPy's arrays are.
        graph = ops.ordering is not None and not ops.is_concrete(args[0])
        y = (in_few if graph else forward)(rule, ops, args, static)
        tape = _tape.get()
        if tape is not None:
            tape.links.append((rule, ops, args, static, y))
        return y

    return op


def _undecorated(f):
    return f


def _quietly(namespace):
    """Return a decorator that suppresses NumPy's warnings and turns NumPy's scalars into arrays."""
    if namespace.__name__.rpartition(".")[2] not in ("numpy", "array_api_strict"):
        return _undecorated
    import numpy as np

    def quietly(f):
        @wraps(f)
        def quiet(*args, **options):
            with np.errstate(all="ignore"):
                y = f(*args, **options)
            return namespace.asarray(y) if isinstance(y, np.generic) else y  # which NumPy makes of arrays without axes

        return quiet

    return quietly


_UNRECORDED, _RECORDED = (False, 1, True), (True, 1, True)


def _load(x, *arrays):
    """Whether a backward pass is recorded; a tangent goes by the rules."""
    tape = _tape.get()
    return _UNRECORDED if tape is None else _RECORDED if tape.reverse else None


def _note(rule, x, y):
    """Record a rule of x alone."""
    tape = _tape.get()
    if tape is not None:
        tape.links.append((rule, None, (x,), {}, y))


def _attach(x, call, beside, y, kept):
    """The answer of a kernel, recorded as a rule for the way back."""
    tape: Any = _tape.get()
    tape.links.append((_recorded(call, beside, {"kept": kept}), None, (x,), {}, y))
    return y


def _recorded(call, beside, state):
    """A kernel's call as a rule that is used once: the gradient may take over the memory of what was kept."""

    def by_rules(x):
        return call.by_rules(x, *beside.arrays)

    def pull(ops, g, y, x):
        made = call.pulled(array_namespace(x).asarray(g), y, x, state, beside)
        return vjp(by_rules, x)[1](g)[0] if made is None else made[0]

    return Rule("kernel", forward=by_rules, vjps=(pull,), jvps=(), composite=by_rules)


def _is_plain(x):
    return (type(x).__module__, type(x).__name__) == ("numpy", "ndarray")


_MEMORY = Memory(
    open=lambda x: x if _is_plain(x) else None,
    is_plain=_is_plain,
    view=lambda x: x,
    close=lambda array, like: array,
    load=_load,
    attach=_attach,
)


def _in_memory(xp):
    """What kernels need of NumPy: they work on its arrays' memory."""
    if xp.__name__.rpartition(".")[2] != "numpy":
        return {}
    return {
        "is_concrete": lambda x: True,
        "array_classes": (xp.ndarray,),
        "traits": lambda x: (x.dtype, x.shape),
        "memory": _MEMORY,
    }


def _is_there(x):
    """Whether the values of an array are there to look at: those of a lazy one are not, or cost a run of its graph."""
    if hasattr(x, "compute"):
        return False
    unwrap = getattr(x, "unwrap_numpy", None)
    try:
        return unwrap is None or unwrap() is not None
    except ValueError:
        return False


def _place(x):
    return {} if is_dask_array(x) else {"device": device(x)}


def _in_chunks(xp, ops_of):
    """What is done chunk by chunk."""
    return {"by_chunks": by_chunks_of(xp, ops_of, vjp, jvp, _note), **by_pieces_of(xp, ops_of)}


def adapter_of(xp, ops_of=None):
    """Return what the library needs to know of a namespace without automatic differentiation.

    ``ops_of(namespace)`` gives the operations of another one, in which chunks are computed.
    """
    return SimpleNamespace(
        random=of_generators(xp, _place),
        **(_in_chunks(xp, ops_of) if xp.__name__.endswith("dask.array") else {}),
        quietly=_quietly(xp),
        name=xp.__name__.removeprefix(PREFIX).partition(".")[0],
        namespace=completed(xp),
        detach=lambda x: x,
        is_cheap_to_read=lambda x: type(x).__module__ == "numpy",
        place=_place,
        default_float=lambda: xp.zeros(()).dtype,
        is_recorded=lambda *arrays: False,  # the tape records rules, whatever those do
        **(_in_memory(xp) or {"is_concrete": _is_there, "ordering": ordering_of(xp)}),
    )


def _record(f, arrays, reverse):
    """Run f and return its value and the rules that led to it: a chain from one of the arrays to the value."""
    tape = _Tape([], reverse)
    token = _tape.set(tape)
    try:
        value = f(*arrays)
    finally:
        _tape.reset(token)
    made = {id(link[-1]): link for link in tape.links}
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
    value, chain, start = _record(f, arrays, True)

    def pullback(g):
        for rule, ops, args, static, y in reversed(chain):
            g = _in_chunks_of(ops, y, g)
            product = rule.vjps[0] if ops is None else ops.quietly(rule.vjps[0])
            g = _in_dtype_of(args[0], product(ops, g, y, *args, **static))
        return tuple(g if k == start else None for k in range(len(arrays)))

    return value, pullback


def jvp(f, arrays, tangents):
    value, chain, start = _record(f, arrays, False)
    t = _in_chunks_of(chain[0][1], arrays[start], tangents[start])
    for rule, ops, args, static, y in chain:
        push = rule.jvps[0] if ops is None else ops.quietly(rule.jvps[0])
        t = push(ops, t, y, *args, **static)
    return value, t


def _in_chunks_of(ops, y, v):
    """A cotangent or a tangent in the chunks of what it goes with, where that has chunks and several rules go with it."""
    if ops is None or ops.in_chunks_of is None:
        return v
    if isinstance(y, tuple):
        return tuple(_in_chunks_of(ops, *pair) for pair in zip(y, v, strict=True))
    return ops.in_chunks_of(y, v, range(y.ndim)) if getattr(v, "ndim", None) == y.ndim else v


def _in_dtype_of(x, dx):
    """A gradient in the dtype of what it is the gradient of, whatever the dtype of the cotangent was."""
    if dx.dtype == x.dtype:
        return dx
    namespace = array_namespace(x)
    return _quietly(namespace)(namespace.astype)(dx, x.dtype)
