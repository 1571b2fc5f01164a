"""What rules see of a framework: its array functions, what its adapter knows, and the other rules."""

from collections.abc import Callable
from typing import Any

from .rule import Array

Function = Callable[..., Any]


class Namespace:
    """The array functions that the library uses, of the Array API standard. An adapter's namespace has at least these.

    Dtypes are ``bool``, ``int32`` and the floating ones of the framework.
    """

    abs: Function
    all: Function
    any: Function
    arange: Function
    argmax: Function
    asarray: Function
    astype: Function
    bitwise_invert: Function
    broadcast_to: Function
    clip: Function
    concat: Function
    cos: Function
    cumulative_sum: Function
    exp: Function
    expand_dims: Function
    expm1: Function
    finfo: Function
    flip: Function
    full_like: Function
    iinfo: Function
    isdtype: Function
    isfinite: Function
    isinf: Function
    log: Function
    log1p: Function
    max: Function
    maximum: Function
    min: Function
    minimum: Function
    moveaxis: Function
    ones_like: Function
    reshape: Function
    round: Function
    sort: Function
    sqrt: Function
    stack: Function
    sum: Function
    where: Function
    zeros: Function
    zeros_like: Function
    bool: Any
    float32: Any
    int32: Any


class RuleOps:
    """What the first argument of every function of a rule has."""

    xp: Namespace
    # Of the adapter: `_frameworks/protocol.py` says what they are.
    detach: Callable[[Array], Array]
    is_concrete: Callable[[Array], bool]
    is_cheap_to_read: Callable[[Array], bool]
    place: Callable[[Array], dict[str, Any]]
    iterate: Callable[..., Any]
    by_rows: Callable[..., Array]
    search: Callable[..., Array]
    concat: Callable[..., Array]
    cumulative_sum: Callable[..., Array]
    moveaxis: Callable[..., Array]
    kth_largest: Callable[..., Array] | None
    sum_of_shifts: Callable[..., Array] | None
    totals: Callable[..., tuple[Array, ...]]
    running: Callable[..., tuple[Any, ...]]
    indices: Callable[..., Array]
    row_zeros: Callable[..., Array]
    span: Callable[[Array, int], tuple[Any, Any]]
    maximum_drops_nan: bool
    folds: Callable[[Array], bool]
    compiler: Any
    # Other rules, lifted.
    weights: Callable[..., Array]
    mean: Callable[..., Array]
    dense_weights: Callable[..., Array]
    product: Callable[..., Array]
    straight_through: Callable[..., Array]
    log_ndtr: Callable[..., Array]
    # Of draws.
    spread: Callable[..., Array]
    perturb: Callable[..., Array]
    average: Callable[..., Array]
    reinmax: Callable[..., Array]
