"""What a kernel is: another way to the numbers of a rule, better for one kind of memory or for one compiler."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from .._rules.ops import RuleOps
from .._rules.rule import Array

# (recorded, threads, exact): whether a backward pass will follow, how many threads may be used, and whether matrix
# products are computed in the dtype of their factors.
Load = tuple[bool, int, bool]
NEVER = float("inf")
_NONE: Mapping[str, Any] = MappingProxyType({})


class Step(NamedTuple):
    """A kernel prepared for one call.

    ``run(x, load, beside)`` returns the result, or None if it cannot do these values; `beside` is a `Beside`.
    ``cost(load)`` orders the kernels of a call: the rules cost 1, and a kernel that costs more is not tried. `nbytes` is the
    memory of the tables that it holds.
    """

    name: str
    run: Callable[[Array, Load, Any], Array | None]
    cost: Callable[[Load], float]
    nbytes: int = 0


class Traced(NamedTuple):
    """Forms of a rule's maps that a compiler fuses into few loops. An adapter lifts them as it lifts the rule's own.

    ``fits(ops, *args, **static)`` takes the arguments of the rule and says whether the forms may be used. The maps take
    `limits` too. None stands for the rule's own map.
    """

    fits: Callable[..., bool]
    forward: Callable[..., Any] | None = None
    composite: Callable[..., Any] | None = None
    jvp: Callable[..., Any] | None = None
    jvp_temperature: Callable[..., Any] | None = None


class Kernel(NamedTuple):
    """An alternative implementation of some rules. What a kernel leaves out, it does not support.

    Attributes
    ----------
    name
        For messages and for `selection.only`.
    limits
        A NamedTuple of thresholds, which is passed to each of the kernel's functions.
    plans
        For the name of a relaxation, ``f(ops, call, limits) -> Step | None``. It is called once for each kind of whole call
        on plain memory.
    serves
        For the name of a rule, ``f(ops, *args, limits, **static)`` of unrecorded arrays. It returns the result and
        ``pull(g, needed)``, or None. The pullback returns a tuple of cotangents, one for each argument with a VJP: None
        where `needed` is False. It returns None if it cannot pull these values back.
    pulls
        For "weights", "dense_weights" or "expectation", ``f(ops, g, y, *args, limits, **static)``. It returns the cotangent
        of the first argument, or None.
    product
        ``product(ops, v, p, *args, limits, **static)``: ``J v / divisor`` at weights p, or None.
    traced
        For "weights", "dense_weights" or "expectation", a `Traced`.
    needs
        The attributes of the adapter that it needs. ``ANYARGMAX_ENGINES=0`` turns off what needs ``memory``.
    """

    name: str
    limits: Any = None
    plans: Mapping[str, Callable[..., Step | None]] = _NONE
    serves: Mapping[str, Callable[..., Any]] = _NONE
    pulls: Mapping[str, Callable[..., Any]] = _NONE
    product: Callable[..., Any] | None = None
    traced: Mapping[str, Traced] = _NONE
    needs: tuple[str, ...] = ()


def _copied(x, out):
    import numpy as np

    with np.errstate(all="ignore"):
        out[...] = x
    return out


class Memory(NamedTuple):
    """What a framework gives kernels that work on the memory of its plain CPU arrays, as NumPy arrays.

    Attributes
    ----------
    open
        ``open(x)``: the memory of x; None if x is not plain, or if operations on it are recorded.
    is_plain
        ``is_plain(x) -> bool``: whether x is a dense array in the memory of the CPU, recorded or not.
    view
        ``view(x)``: the memory of a plain array. Where NumPy lacks the dtype, one that `copied` knows stands for it.
    close
        ``close(array, like)``: a NumPy array as one of the framework, without a copy.
    load
        ``load(x, *arrays)``: the `Load` on which costs depend; None if only the rules can do the call, as in forward mode.
    attach
        ``attach(x, call, beside, y, kept)``: the answer y to a recorded call of x and of the arrays beside it, with
        ``call.pulled`` as its way back.
    keeps
        ``keeps() -> bool``: whether values kept in the forward pass stay in memory until the backward pass. None: always.
    exponential
        ``exponential(x, out)``, on NumPy arrays: one that is quicker than NumPy's.
    constant
        ``constant(array)``: a NumPy array as one of the framework that any later call may use.
    total
        ``total(y)``: the sum of all entries, as a number.
    number
        ``number(x)``: the number in a plain array of one.
    learns
        ``learns(x) -> bool``: whether a backward pass will ask for the gradient of a plain array.
    copied
        ``copied(x, out)``: out, filled with the numbers of x, of another dtype.
    """

    open: Callable[[Array], Any]
    is_plain: Callable[[Array], bool]
    view: Callable[[Array], Any]
    close: Callable[[Any, Array], Array]
    load: Callable[..., Load | None]
    attach: Callable[..., Array]
    keeps: Callable[[], bool] | None = None
    exponential: Callable[..., Any] | None = None
    constant: Callable[[Any], Array] = lambda array: array
    total: Callable[[Array], float] = lambda y: float(y.sum())
    number: Callable[[Array], float] = lambda x: x.item()
    learns: Callable[[Array], bool] = lambda x: False
    copied: Callable[[Any, Any], Any] = _copied


class Compiler(NamedTuple):
    """What a framework's compiler offers kernels that are written in array operations.

    Attributes
    ----------
    contracts
        ``contracts() -> bool``: whether axes may be merged for a product.
    contract, matmul
        Sums of products, in no fewer digits than the arrays have: ``contract(x, y, axes=...)`` as `tensordot`.
    merges
        ``merges(x, limits) -> bool``: whether the compiler fuses loops over x only if they contain no `where`, and x is
        large enough to be worth a branch.
    branch
        ``branch(condition, f, g, *arrays)``: one of two functions of the arrays.
    in_pieces
        ``in_pieces(limits, f, x, *others)``: a function that reduces the middle one of three axes, a piece after the other.
    apart
        ``apart(*arrays)``: arrays behind a barrier, so that the compiler of a CPU does not fuse what uses them with what
        made them.
    on_platform
        ``on_platform(cpu=f, default=g)``: what f returns where the program is compiled for a CPU, what g does elsewhere.
        Both take no arguments.
    """

    contracts: Callable[[], bool]
    contract: Callable[..., Array]
    matmul: Callable[..., Array]
    merges: Callable[[Array, Any], bool]
    branch: Callable[..., Any]
    in_pieces: Callable[..., Array]
    apart: Callable[..., Any]
    on_platform: Callable[..., Any]


class Functions(NamedTuple):
    """Array functions of a framework that do more in one operation than those of the standard.

    Attributes
    ----------
    softmax, log_softmax, softmax_vjp
        ``softmax(z, axis)``, its logarithms, and ``softmax_vjp(g, p, axis)``, the cotangent of z from that of the weights p.
    contract
        ``contract(p, c)``: ``sum_i p_i c_i`` along axis 1 of p, which has two axes or three, in no fewer digits than p has.
        The positions are one for each entry, or columns of them, of which each has its sum along axis 1.
    muladd, product
        ``muladd(x, y, z)``: ``x * y + z``. ``product(x, y, dtype)``: ``x * y``, computed in their dtype and written in another.
    """

    softmax: Callable[..., Array]
    log_softmax: Callable[..., Array]
    softmax_vjp: Callable[..., Array]
    contract: Callable[..., Array]
    muladd: Callable[..., Array]
    product: Callable[..., Array]


class Ordering(NamedTuple):
    """What thresholds are found with by sorting.

    Attributes
    ----------
    ordered, gather
        ``ordered(x, axis)``: x sorted from the largest down, NaN first, and the index of each entry. ``gather(x, axis,
        index)``: the entries of x at an index along the axis.
    count, signs
        ``count(condition, axis, dtype)``: how often a condition holds along the axis, which is kept. ``signs(condition,
        dtype)``: 1 where it holds and -1 elsewhere.
    fuses
        ``fuses() -> bool``: whether a compiler makes loops of operations now, in which a sum is cheap and sorting is not.
    """

    ordered: Callable[..., tuple[Array, Array]]
    gather: Callable[..., Array]
    count: Callable[..., Array]
    signs: Callable[..., Array]
    fuses: Callable[[], bool]


class KernelOps(RuleOps):
    """The operations that kernels use. What the adapter may leave out is None unless the kernel lists it in `needs`."""

    is_recorded: Callable[..., bool]
    functions: Functions
    ordering: Ordering
    memory: Memory
    compiler: Compiler
    kernels: tuple[Kernel, ...]
    groups: Mapping[int, Any] | None
    whole: Any
    shared: Callable[[Array], Array]
    ways: dict[tuple[str, str], tuple[tuple[Kernel, Any], ...]]
    shifted_exp: Callable[..., Array]
    top_and_sums: Callable[..., Array]
