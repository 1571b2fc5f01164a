"""What a kernel is: another way to the numbers of a rule, better for one kind of memory or for one compiler."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from .._rules.ops import RuleOps
from .._rules.rule import Array

# Whether a call is recorded for a backward pass, how many threads it may use, and whether the framework computes
# matrix products in the dtype of their factors.
Load = tuple[bool, int, bool]
NEVER = float("inf")
_NONE: Mapping[str, Any] = MappingProxyType({})


class Step(NamedTuple):
    """A kernel made ready for one call.

    ``run(x, load)`` answers, or returns None: these values need another way. ``cost(load)`` orders the kernels that
    can do the call, the least first; the rule has 1, and what costs more is not asked. `nbytes` of tables are held.
    """

    name: str
    run: Callable[[Array, Load], Array | None]
    cost: Callable[[Load], float]
    nbytes: int = 0


class Traced(NamedTuple):
    """Maps of a rule in the array operations that a compiler makes few loops of, lifted as those of the rule are.

    ``fits(ops, *args, **static)`` takes the arguments of the rule, and the maps take `limits` too. None is the map of the
    rule.
    """

    fits: Callable[..., bool]
    forward: Callable[..., Any] | None = None
    composite: Callable[..., Any] | None = None
    jvp: Callable[..., Any] | None = None


class Kernel(NamedTuple):
    """Another way to the numbers of some rules. What it leaves out, it does not do.

    Attributes
    ----------
    name
        For messages and for `selection.only`.
    limits
        A NamedTuple of the sizes that decide how, and whether, it serves; given back to it as an argument.
    plans
        For the name of a relaxation ``f(ops, call, limits) -> Step | None``, once for each kind of whole call on plain
        memory.
    serves
        For the name of a rule ``f(ops, *args, limits, **static)``: None, or the answer and the function that pulls a
        cotangent of it back to the first argument, for arrays that nothing records.
    pulls
        For the name of a rule ``f(ops, g, y, *args, limits, **static)``: the cotangent of the first argument, or None.
    product
        ``product(ops, v, p, *args, limits, **static)``: ``J v / divisor`` at weights p, or None.
    traced
        For the name of a rule, its maps in another form.
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


class Memory(NamedTuple):
    """What a framework gives kernels that work on the memory of its plain CPU arrays, as NumPy arrays.

    Attributes
    ----------
    open
        ``open(x)``: the memory of an array; None if there is more to it than numbers, or operations on it are recorded.
    is_plain
        ``is_plain(x) -> bool``: whether there is no more to an array than numbers, recorded or not.
    view
        ``view(x)``: the memory of a plain array.
    close
        ``close(array, like)``: a NumPy array as one of the framework, without a copy.
    load
        ``load(x)``: what the cost of a call depends on; None where only the rules give what is asked for.
    attach
        ``attach(x, call, y, kept)``: the answer y to a recorded call of x, with ``call.backward`` as its way back.
    keeps
        ``keeps() -> bool``: whether what a recorded call keeps stays in memory until the way back. None: always.
    exponential
        ``exponential(x, out)``, on NumPy arrays: one that is quicker than NumPy's.
    constant
        ``constant(array)``: a NumPy array as one of the framework that any later call may use.
    total
        ``total(y)``: the sum of all entries, as a number.
    """

    open: Callable[[Array], Any]
    is_plain: Callable[[Array], bool]
    view: Callable[[Array], Any]
    close: Callable[[Any, Array], Array]
    load: Callable[[Array], Load | None]
    attach: Callable[..., Array]
    keeps: Callable[[], bool] | None = None
    exponential: Callable[..., Any] | None = None
    constant: Callable[[Any], Array] = lambda array: array
    total: Callable[[Array], float] = lambda y: float(y.sum())


class Compiler(NamedTuple):
    """What a framework gives kernels in array operations, of what its compiler does best with sums that are used again.

    Attributes
    ----------
    contracts
        ``contracts() -> bool``: whether axes may be merged for a product.
    contract, matmul
        Sums of products, in no fewer digits than the arrays have: ``contract(x, y, axes=...)`` as `tensordot`.
    merges
        ``merges(x, limits) -> bool``: whether loops over x are merged only if nothing is selected in them, and are worth a branch.
    branch
        ``branch(condition, f, g, *arrays)``: one of two functions of the arrays.
    in_pieces
        ``in_pieces(limits, f, x, *others)``: a function that reduces the middle one of three axes, a piece after the other.
    apart
        ``apart(x)``: x such that what is made of it is not merged with what it was made of.
    """

    contracts: Callable[[], bool]
    contract: Callable[..., Array]
    matmul: Callable[..., Array]
    merges: Callable[[Array, Any], bool]
    branch: Callable[..., Any]
    in_pieces: Callable[..., Array]
    apart: Callable[[Array], Array]


class KernelOps(RuleOps):
    """What kernels see of a framework, beside what rules do: `softmax`, `memory` and `compiler` only if they need it."""

    softmax: Callable[..., Array]
    memory: Memory
    compiler: Compiler
    kernels: tuple[Kernel, ...]
    ways: dict[tuple[str, str], tuple[tuple[Kernel, Any], ...]]
    shifted_exp: Callable[..., Array]
    top_and_sums: Callable[..., Array]
