"""What the library asks of a framework: the names an adapter may have, and what stands in for those that it leaves out."""

import inspect
from collections.abc import Callable, Hashable, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any

from .._kernels.group import Group
from .._kernels.kernel import Compiler, Functions, Kernel, Memory, Ordering
from .._kernels.random import Random
from .._rules.rule import Array
from . import tape


class Adapter:
    """The attributes of an adapter, which is a module or an object. Those with a value here may be left out.

    Attributes
    ----------
    name
        What the framework is called in messages.
    namespace
        An Array API namespace.
    owns
        ``owns(x) -> bool``: whether x is an array of the framework. Asked of registered adapters alone.
    detach
        ``detach(x)``: x as a constant, whatever differentiates it.
    is_concrete
        ``is_concrete(x) -> bool``: whether values may be looked at, which they may not while they are traced.
    place
        ``place(x)``: the keyword arguments that create an array beside x, such as its device.
    default_float
        ``default_float()``: the floating-point dtype of what is computed from integers.
    lift
        ``lift(rule, ops)``: the rule as a function of arrays that the framework differentiates.
    vjp, jvp
        ``vjp(f, *arrays)`` and ``jvp(f, arrays, tangents)``, of tuples, as `anyargmax.vjp` and `anyargmax.jvp` return them.
    to_numpy
        ``to_numpy(x)``: x in NumPy, for `anyargmax.validation`. None: ``numpy.asarray(x)``.
    takes_numpy
        Whether a NumPy array beside one of the framework is a constant.
    canonical_dtype
        ``canonical_dtype(dtype)``: what the framework makes of a dtype. None: that dtype.
    quietly
        ``quietly(f)``: f without the framework's warnings.
    eagerly
        A context in which known values are computed immediately, also while something is traced.
    opaque
        ``opaque(f)`` tells the compiler of a user's function to take calls of f as one operation of its graph. None: it
        follows them.
    jit
        ``jit(core)``: a compiled function, with a static argument `options`. None: calls are not compiled.
    iterate
        ``iterate(advance, state, unrolled)``: a state, advanced until its last entry is False everywhere. None: a loop of
        Python, of so many steps where values cannot be looked at.
    by_rows
        ``by_rows(f, x, *others, axes, kept=False)``: ``f(ops, x, *others)`` on arrays in chunks, of which each holds whole rows
        if the axes are kept. If not, f reduces them to length 1. None: on the whole arrays.
    search
        ``search(advance, state, z, keep, order, r, axes)``: the first of a state, of one number a row each, after the steps of
        a search: ``advance(ops, state, sums, order)``, with the sums of what the relaxation r sums up at it, until the last is
        False everywhere. None: by `iterate`.
    by_chunks, in_chunks_of
        ``by_chunks(run, x, beside, axes, answers, gathered)``: ``run(ops, x, *beside)`` on each chunk as a function of x, None
        where chunks do not hold whole rows. ``in_chunks_of(x, array, axes)``: an array in the chunks of the axes of x that its
        own are. See `chunks.py`. None: arrays have no chunks.
    totals
        ``totals(axes, *arrays, keepdims=True)``: the sum of each along the axes. None: one after the other.
    row_zeros
        ``row_zeros(x, axes)``: zeros of the shape of x with the axes reduced and kept. None: like a sum.
    running
        ``running(x, axis, *others)``: the cumulative sum of x along an axis and its sum, which is kept; then of each other array
        the first entry, and what is one entry ahead, for the last entry itself. None: of the namespace's functions.
    indices
        ``indices(x, axis, **kind)``: 0, 1, ... for the entries of x along an axis, of the dtype in ``kind`` if there is one.
        None: by `arange`.
    span
        ``span(x, axis) -> start, length``: where the entries of x are among all entries along an axis, and how many these
        are. None: x has all of them.
    spreads
        ``spreads(x) -> bool``: whether to flatten x would gather what lies in several chunks.
    is_cheap_to_read
        ``is_cheap_to_read(x) -> bool``: whether reading a value of x waits for no device.
    widens
        ``widens(x) -> bool``: whether x is of a half type, and lifted rules of weights and expectation compute in float32 what
        they read of it, without a copy of x in float32 where a kernel needs none.
    waits
        ``waits(x) -> bool``: whether reading a value of x waits for a device. Then options in arrays are not validated.
    concat, cumulative_sum, moveaxis
        Functions of arrays in place of the namespace's.
    kth_largest
        ``kth_largest(x, k)``: the k-th largest entry along the last axis, which is kept. None: by sorting.
    sum_of_shifts
        ``sum_of_shifts(a, b, first, size)``: ``sum_s a[s] * b[first - s : first - s + size]`` along the first axis, as a loop
        of the compiler, differentiable in b. None: a term after the other.
    is_recorded
        ``is_recorded(*arrays) -> bool``: whether something differentiates what is computed now from arrays, or may.
    maximum_drops_nan, folds
        What the framework's compiler does with a maximum: see ``compiled.py`` of JAX. What folds has a `compiler`.
    array_classes, traits
        Classes of arrays whose calls may be kept, and ``traits(x)``: the part of the key that describes x.
    functions
        A `Functions`: array functions that do more in one operation than the namespace's. None: kernels that need them do not
        serve.
    ordering
        An `Ordering`: what kernels that sort need. None: they do not serve.
    kernels
        Kernels of the framework's own, which are asked before those of the library.
    memory
        A `Memory`: what kernels for plain CPU memory need. None: they do not serve.
    compiler
        A `Compiler`: what kernels in array operations need of one. None: they do not serve.
    members
        ``members(group, n, axis)``: for each axis that goes on in the members of what the option `group` names, its `Group`;
        n is how many entries this one has along the axis, the first that is reduced. None: the framework has no groups.
    across
        ``across(make, names, x, arguments)``: the call that ``make(x, *arguments)`` makes, made of one shard of x with a group
        among the arguments, which have these names; None of an array that is whole. None: all arrays are.
    groups
        For each axis along which arrays are shards, its `Group`. The library sets this.
    random
        A `Random`: how noise is drawn. None: users make their noise by functions of the framework.
    """

    name: str
    namespace: Any
    owns: Callable[[Any], bool]
    detach: Callable[[Array], Array]
    is_concrete: Callable[[Array], bool]
    place: Callable[[Array], dict[str, Any]]
    default_float: Callable[[], Any]
    lift: Callable[..., Any] = staticmethod(tape.lift)
    vjp: Callable[..., Any] = staticmethod(tape.vjp)
    jvp: Callable[..., Any] = staticmethod(tape.jvp)
    to_numpy: Callable[[Array], Any] | None = None
    takes_numpy: bool = False
    canonical_dtype: Callable[[Any], Any] | None = None
    quietly: Callable[..., Any] = staticmethod(lambda f: f)
    eagerly: Callable[[], AbstractContextManager[Any]] = nullcontext
    opaque: Callable[..., Any] | None = None
    jit: Callable[..., Any] | None = None
    iterate: Callable[..., Any] | None = None
    by_rows: Callable[..., Array] | None = None
    search: Callable[..., Array] | None = None
    by_chunks: Callable[..., Any] | None = None
    in_chunks_of: Callable[..., Array] | None = None
    totals: Callable[..., tuple[Array, ...]] | None = None
    row_zeros: Callable[..., Array] | None = None
    running: Callable[..., tuple[Any, ...]] | None = None
    indices: Callable[..., Array] | None = None
    span: Callable[[Array, int], tuple[Any, Any]] | None = None
    spreads: Callable[[Array], bool] = staticmethod(lambda x: False)
    is_cheap_to_read: Callable[[Array], bool] = staticmethod(lambda x: False)
    widens: Callable[[Array], bool] = staticmethod(lambda x: False)
    waits: Callable[[Array], bool] = staticmethod(lambda x: False)
    concat: Callable[..., Array] | None = None
    cumulative_sum: Callable[..., Array] | None = None
    moveaxis: Callable[..., Array] | None = None
    kth_largest: Callable[..., Array] | None = None
    sum_of_shifts: Callable[..., Array] | None = None
    is_recorded: Callable[..., bool] = staticmethod(lambda *arrays: True)
    maximum_drops_nan: bool = False
    folds: Callable[[Array], bool] = staticmethod(lambda x: False)
    array_classes: tuple[type, ...] = ()
    traits: Callable[[Any], Hashable | None] | None = None
    functions: Functions | None = None
    ordering: Ordering | None = None
    kernels: tuple[Kernel, ...] = ()
    memory: Memory | None = None
    compiler: Compiler | None = None
    members: Callable[..., Mapping[int, Group]] | None = None
    across: Callable[..., Any] | None = None
    groups: Mapping[int, Group] | None = None
    random: Random | None = None


NAMES = tuple(Adapter.__annotations__)
REQUIRED = tuple(name for name in NAMES if name not in vars(Adapter))
# How many arguments the functions take that a new adapter is likely to have.
TAKES = {"owns": 1, "detach": 1, "is_concrete": 1, "place": 1, "default_float": 0, "lift": 2, "to_numpy": 1}


def attributes(adapter: Any) -> dict[str, Any]:
    """Return what an adapter has of the protocol, and the defaults of the rest."""
    there = [name for name in NAMES if hasattr(adapter, name) or name not in REQUIRED]
    return {name: getattr(adapter if hasattr(adapter, name) else Adapter, name) for name in there}


def check(adapter: Any) -> None:
    """Raise TypeError if an adapter lacks an attribute, has one that nothing asks for, or a function of other arguments."""
    missing = [name for name in REQUIRED if not hasattr(adapter, name)]
    if missing:
        raise TypeError(f"`adapter` must have {', '.join(REQUIRED)}; {adapter!r} lacks {', '.join(missing)}. Add them.")
    own = (
        () if isinstance(adapter, ModuleType) or not hasattr(adapter, "__dict__") else vars(adapter)
    )  # a module has imports and helpers too
    unknown = [name for name in own if name not in NAMES and name[0] != "_"]
    if unknown:
        raise TypeError(
            f"`adapter` must have names out of {', '.join(NAMES)}, got {', '.join(unknown)} too. Correct or remove them."
        )
    wrong = [name for name, count in TAKES.items() if hasattr(adapter, name) and not _takes(adapter, name, count)]
    if wrong:
        wanted = ", ".join(f"`{name}` of {TAKES[name]}" for name in wrong)
        raise TypeError(f"`adapter` must have functions of so many arguments: {wanted}. Change them.")


def _takes(adapter: Any, name: str, count: int) -> bool:
    """Whether an attribute is a function that takes so many arguments."""
    f = getattr(adapter, name)
    if not callable(f):
        return False
    try:
        inspect.signature(f).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:  # what is not written in Python may have no signature
        return True
    return True
