"""Calls made ready: what a public function finds out about its arguments, it finds out once.

A call whose options are all plain Python scalars, or arrays of a framework's own class, on such an array, is determined
by the scalars and by the traits of the arrays (dtype, shape, device): under this key `_remember` keeps the function of the
arrays that is left when everything but their values has been validated. Calls that fail are not kept, and fail again.
"""

import sys
from collections.abc import Callable, Hashable
from functools import wraps
from typing import Any

from .._kernels import selection

LIMIT = 128  # calls; then all are forgotten, which costs one validation each
ROOM = 2**24  # bytes of tables that they may hold; a call that alone needs a quarter is not kept

_SYMBOLS: dict[str, Callable[[Any], Any]] = {"SymInt": int, "SymFloat": float, "SymBool": bool}
_SCALARS = frozenset({type(None), bool, int, float, str, tuple})
_makers: dict[str, Callable[..., Any]] = {}
_calls: dict[Hashable, Callable[[Any], Any]] = {}
_sizes: dict[Hashable, int] = {}
_loading: list[Callable[[], Any]] = []
_traits: dict[type, Callable[[Any], Hashable | None]] = {}


def describe(kinds: tuple[type, ...], traits: Callable[[Any], Hashable | None]) -> None:
    """Say how arrays of these classes are described; None for one that is not plain."""
    _traits.update(dict.fromkeys(kinds, traits))


def maker(make: Callable[..., Any], across: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """Have a function that makes calls known by its name.

    ``across(make, x, arguments, more)`` makes a call of what may be one shard of many: of an array that is more than its
    numbers, or with a group, the last of the arguments. It returns None of any other.
    """

    @wraps(make)
    def made(x, *arguments, **more):
        if across is not None and (arguments[-1] is not None or type(x) not in _traits):
            call = across(make, x, arguments, more)
            if call is not None:
                return call
        return make(x, *arguments, **more)

    _makers[make.__name__] = made if across is not None else make
    return _makers[make.__name__]


def when_compiling(load: Callable[[], Any]) -> None:
    """Have a function called before a call is compiled: it tells the compiler of `in_one`."""
    _loading.append(load)


def in_one(name: str, x: Any, *arguments: Any) -> Any:
    """Run a call, which is not kept, by the name of what makes it.

    A compiler may take this as one operation. It then neither follows what is in it nor guards it.
    """
    with selection.composing():
        return _makers[name](x, *map(_known, arguments))[0](x)


def _known(argument: Any) -> Any:
    """The number that a symbol of torch's compiler stands for, which guards it: options are fixed in a compiled call."""
    if isinstance(argument, tuple):
        return tuple(map(_known, argument))
    known = _SYMBOLS.get(type(argument).__name__)
    return argument if known is None else known(argument)


def _is_compiling() -> bool:
    """Whether `torch.compile` follows the code."""
    torch = sys.modules.get("torch")
    return torch is not None and hasattr(torch, "compiler") and torch.compiler.is_compiling()


def called(make: Callable[..., Any], x: Any, arguments: tuple[Any, ...]) -> Any:
    """Run a call of x: the kept one, or the one that is made of its arguments, which is kept if nothing else determines it.

    The key is the tuple of all arguments other than x, and their types: ``1``, ``1.0`` and ``True`` are equal and
    different arguments, also as entries of a tuple. In place of an array it has what describes it. ``make(x, *arguments)``
    validates. It returns the call, which is a function of x, how many bytes it holds, and what may be kept: a function of x
    and of the arrays among the arguments, or None.
    """
    torch = sys.modules.get("torch")  # written out here: each kept call comes this way, and a function more is felt
    if torch is not None and hasattr(torch, "compiler") and torch.compiler.is_compiling():
        for load in _loading:
            load()
        return in_one(make.__name__, x, *arguments)
    describes = _traits.get(type(x))
    traits = None if describes is None else describes(x)
    if traits is None:
        return _recorded(make, x, arguments) if _is_symbol(x) else make(x, *arguments)[0](x)
    types = tuple(map(type, arguments))
    if tuple in types:
        types += tuple(type(entry) for value in arguments if type(value) is tuple for entry in value)
    key = type(x), traits, make, arguments, types
    try:
        call = _calls.get(key)
    except TypeError:  # an argument that cannot be hashed, such as an array
        call = None
    return _with_arrays(make, x, arguments, key) if call is None else call(x)


def is_plain(x: Any) -> bool:
    """Whether x is an array whose calls may be kept: of a framework's own class, and no more than its numbers."""
    if _is_compiling():  # which cannot follow how that is seen
        return False
    describes = _traits.get(type(x))
    return describes is not None and describes(x) is not None


def _is_symbol(x: Any) -> bool:
    """Whether x stands for a tensor in a graph that `torch.fx.symbolic_trace` records."""
    return type(x).__module__ == "torch.fx.proxy" and hasattr(x, "tracer")


def _recorded(make: Callable[..., Any], x: Any, arguments: tuple[Any, ...]) -> Any:
    """Return what stands for the answer: one node of the graph."""
    return x.tracer.create_proxy("call_function", again, (make.__name__, x, *arguments), {})


def again(name: str, x: Any, *arguments: Any) -> Any:
    """Run a call by the name of what makes it, as a graph that was recorded does."""
    return called(_makers[name], x, arguments)


# TensorFlow's AutoGraph rewrites the source of what a graph calls, unless it has this attribute: there is nothing to rewrite.
called.autograph_info__ = {}  # type: ignore[attr-defined]


def _with_arrays(make, x, arguments, key):
    """A call that is kept for arrays like those among the arguments, or not yet."""
    arrays, described = _described(arguments, key[-1])
    if described is None:
        return make(x, *arguments)[0](x)
    key = *key[:3], described, key[-1]
    call = _calls.get(key)
    if call is None:
        call, size, kept = make(x, *arguments)
        if kept is not None:
            _remember(key, kept, size)
        return call(x)
    return call(x, *arrays)


def _described(arguments, types) -> tuple[tuple[Any, ...], tuple[Any, ...] | None]:
    """The arrays among the arguments, and these with what describes an array in place of it; None if one is not plain."""
    arrays, described, others = [], [], types[len(arguments) :]
    for value, kind in zip(arguments, types, strict=False):
        if kind in _SCALARS:
            described.append(value)
            continue
        describes = _traits.get(kind)
        traits = None if describes is None else describes(value)
        if traits is None:
            return (), None
        arrays.append(value)
        described.append(traits)
    nested = others and (
        tuple in others or not _SCALARS.issuperset(others)
    )  # an array in a tuple is none of the arrays
    return tuple(arrays), None if nested else tuple(described)


def _remember(key: Any, call: Callable[[Any], Any], size: int = 0) -> None:
    """Keep a call that has been validated; it holds so many bytes."""
    if size > ROOM // 4:
        return
    if len(_calls) >= LIMIT or sum(_sizes.copy().values()) + size > ROOM:
        forget()
    _calls[key] = call
    if size:
        _sizes[key] = size


def forget() -> None:
    """Forget every call, such as when another backend takes arrays over."""
    _calls.clear()
    _sizes.clear()


selection.when_changed(forget)
