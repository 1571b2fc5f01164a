"""Calls made ready: what a public function finds out about its arguments, it finds out once.

A call whose options are all plain Python scalars, on an array of a framework's own class, is determined by
those and by the array's traits (dtype, shape, device): under this key `remember` keeps the function of the
array that is left when everything has been validated. Calls that fail are not kept, and fail again.
"""

import sys
from collections.abc import Callable, Hashable
from typing import Any

LIMIT = 128  # calls; then all are forgotten, which costs one validation each
ROOM = 2**24  # bytes of tables that they may hold; a call that alone needs a quarter is not kept

_SCALARS = frozenset({type(None), bool, int, float, str})
_calls: dict[Hashable, Callable[[Any], Any]] = {}
_sizes: dict[Hashable, int] = {}
_traits: dict[type, Callable[[Any], Hashable | None]] = {}


def describe(kinds: tuple[type, ...], traits: Callable[[Any], Hashable | None]) -> None:
    """Say how arrays of these classes are described; None for one that is not plain."""
    _traits.update(dict.fromkeys(kinds, traits))


def find(x: Any, *options: Any) -> tuple[Hashable | None, Callable[[Any], Any] | None]:
    """Return what determines a call, and the call if it is kept; None if it must be validated anew.

    Options that are equal but of different types, such as ``1``, ``1.0`` and ``True``, are told apart.
    """
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "compiler") and torch.compiler.is_compiling():
        return None, None
    describes = _traits.get(type(x))
    traits = None if describes is None else describes(x)
    if traits is None:
        return None, None
    key = type(x), traits, options, tuple(map(type, options))
    try:
        return key, _calls.get(key)
    except TypeError:  # an option that cannot be hashed
        return None, None


def remember(key: Any, call: Callable[[Any], Any], size: int = 0) -> None:
    """Keep a call that has been validated, if its options are such as never change; it holds so many bytes."""
    if key is None or size > ROOM // 4 or not _SCALARS.issuperset(key[-1]):
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
