"""The operations of each framework: its namespace and the rules, lifted by its adapter once.

``binding.torch`` loads the adapter for PyTorch on first use: as an attribute of the module, because that is a lazy
import which `torch.compile(fullgraph=True)` follows on a cold start.
"""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from .._kernels import selection
from .._kernels.kernel import KernelOps
from .._kernels.random import Random
from .._kernels.selection import DENSE_WEIGHTS, EXPECTATION, EXPECTED, FENCHEL_YOUNG, WEIGHTS
from .._kernels.traced.contraction import TOP_AND_SUMS
from .._kernels.traced.shifted_exp import SHIFTED_EXP
from .._rules.background import COMPENSATED
from .._rules.conditional import CONDITIONAL
from .._rules.draws import AVERAGE, PERTURB, SPREAD
from .._rules.estimators.reinmax import REINMAX
from .._rules.logarithms import LOG_WEIGHTS
from .._rules.normal import LOG_NDTR
from .._rules.perturbations import PERTURBED
from .._rules.positions import known_length
from .._rules.probability import PROBABILITY
from .._rules.readouts import READOUTS
from .._rules.rule import Array
from .._rules.steps import BLANK, FINISH, HALVES, KEPT, LOG, NORMALISE, PREPARE, REPLACED, STRAIGHT_THROUGH, WITH_MATRIX
from .kept_calls import describe, in_one
from .names import PROBES
from .protocol import attributes
from .standard import version_of
from .tape import adapter_of

COMPILED = 256  # functions, of which each alpha that is a number makes one; then all are made anew

RULES = (
    *(PREPARE, LOG, NORMALISE),
    *(WEIGHTS, DENSE_WEIGHTS, EXPECTATION, COMPENSATED, LOG_WEIGHTS, FENCHEL_YOUNG),
    *(*READOUTS.values(), EXPECTED, SHIFTED_EXP, TOP_AND_SUMS),
    *(SPREAD, PERTURB, AVERAGE, CONDITIONAL, REINMAX, PERTURBED, REPLACED),
    *(LOG_NDTR, PROBABILITY),
    *(STRAIGHT_THROUGH, BLANK, KEPT, FINISH, HALVES, WITH_MATRIX),
)


class Ops(KernelOps):
    """One framework's operations: its namespace ``xp``, what its adapter knows, and a callable for each rule."""

    adapter: Any
    # Of the adapter, beside what rules and kernels use: `protocol.py` says what they are.
    name: str
    namespace: Any
    owns: Callable[[Any], bool]
    default_float: Callable[[], Any]
    lift: Callable[..., Any]
    vjp: Callable[..., Any]
    jvp: Callable[..., Any]
    to_numpy: Callable[[Array], Any] | None
    takes_numpy: bool
    widens: Callable[[Array], bool]
    waits: Callable[[Array], bool]
    canonical_dtype: Callable[[Any], Any] | None
    quietly: Callable[..., Any]
    eagerly: Callable[[], Any]
    opaque: Callable[..., Any]
    jit: Callable[..., Any] | None
    by_chunks: Any
    in_chunks_of: Any
    spreads: Callable[[Array], bool]
    array_classes: tuple[type, ...]
    traits: Callable[[Any], Any] | None
    random: Random
    members: Callable[..., Any] | None
    across: Callable[..., Any] | None
    # Rules, lifted, beside those that rules use.
    prepare: Callable[..., Array]
    log: Callable[..., Array]
    normalise: Callable[..., Array]
    expectation: Callable[..., Array]
    compensated: Callable[..., Array]
    log_weights: Callable[..., Array]
    fenchel_young: Callable[..., Array]
    expected: Callable[..., Array]
    conditional: Callable[..., Array]
    perturbed: Callable[..., Array]
    replaced: Callable[..., Array]
    argmax_probability: Callable[..., Array]
    blank: Callable[..., Array]
    kept: Callable[..., Array]
    finish: Callable[..., Any]
    halves: Callable[..., Any]
    with_matrix: Callable[..., Any]

    def __init__(self, adapter: Any):
        given = attributes(adapter)
        vars(self).update(given)
        self.adapter = adapter
        self.xp = self.namespace
        self.concat = given["concat"] or self.xp.concat
        self.cumulative_sum = given["cumulative_sum"] or self.xp.cumulative_sum
        self.moveaxis = given["moveaxis"] or self.xp.moveaxis
        self.iterate = given["iterate"] or self._iterate
        self.search = given["search"] or self._search
        self.totals = given["totals"] or self._totals
        self.row_zeros = given["row_zeros"] or self._row_zeros
        self.running = given["running"] or self._running
        self.indices = given["indices"] or self._indices
        self.span = given["span"] or (lambda x, axis: (0, known_length(x, axis)))
        self.by_rows = given["by_rows"] or (lambda f, *arrays, axes, kept=False: f(self, *arrays))
        self.whole: Any = self  # the operations on arrays that are no shards
        self.compiled: dict[Any, Callable] = {}
        selection.when_changed(self.compiled.clear)
        self.ways = selection.ways(self)
        self.product = partial(selection.product, self)
        if self.traits is not None:
            describe(self.array_classes, self.traits)
        for rule in RULES:
            setattr(self, rule.name, self.lift(rule, self))

    def _iterate(self, advance, state, unrolled):
        """Advance a state until its last entry is False everywhere, or so many times where that is unknown."""
        state = advance(state)
        concrete = self.is_concrete(state[-1])  # which the state to begin with may be where the scores are not
        for _ in range((4 * unrolled if concrete else unrolled) - 1):
            if concrete and not bool(self.xp.any(state[-1])):
                break
            state = advance(state)
        return state

    def _search(self, advance, state, z, keep, order, r, axes):
        """Return the unknown of a relaxation, the first of a state that ``advance(ops, state, sums, order)`` takes further."""

        def step(state):
            return advance(self, state, self.totals(axes, *r.terms(self, r, state[0], z, keep, order)), order)

        return self.iterate(step, state, r.steps)[0]

    def _indices(self, x, axis, **kind):
        """Return 0, 1, ..., a number for each entry of x along an axis."""
        return self.xp.arange(x.shape[axis], **kind, **self.place(x))

    def _totals(self, axes, *arrays, keepdims=True):
        """Return the sums of arrays along the axes."""
        return tuple(self.xp.sum(x, axis=axes, keepdims=keepdims) for x in arrays)

    def entered(self, x):
        """Return an array that all shards go with alike; a number, None, or an array of no group as it is."""
        for group in (self.groups or {}).values() if hasattr(x, "shape") else ():
            x = group.entered(x)
        return x

    def shared(self, g):
        """Return a part of a cotangent that all shards have alike; the whole of one of no group."""
        for group in (self.groups or {}).values():
            g = group.shared(g)
        return g

    def _row_zeros(self, x, axes):
        """Return zeros of the shape of x with the axes reduced and kept."""
        return self.xp.zeros_like(self.xp.sum(x, axis=axes, keepdims=True))

    def _running(self, x, axis, *others):
        """Return the cumulative sum and the sum; of others their first entries, and what is one entry ahead: the last is repeated."""
        before, total = (slice(None),) * axis, self.xp.sum(x, axis=axis, keepdims=True)
        made = [self.cumulative_sum(x, axis=axis), total]
        for c in others:
            first, rest, last = (
                c[(*before, part, ...)] for part in (slice(1), slice(1, None), slice(c.shape[axis] - 1, None))
            )
            made += [first, self.concat([rest, last], axis=axis)]
        return tuple(made)

    def run(self, core, *args, options):
        """Call a core function, compiled once for each set of options where the adapter can."""
        if self.jit is None:
            return core(self, *args, options=options)
        if core not in self.compiled:
            self.compiled[core] = self.jit(lambda *args, options: core(self, *args, options=options))
        return self.compiled[core](*args, options=options)

    def alone(self, core, nothing, options):
        """Return a compiled core function with nothing beside the scores: the less there is to look at, the quicker."""
        if (core, options) not in self.compiled:
            if len(self.compiled) >= COMPILED:
                self.compiled.clear()
            compiling: Any = self.jit
            self.compiled[core, options] = compiling(
                lambda x, options=options: core(self, x, *nothing, options=options)
            )
        return self.compiled[core, options]


_of_namespaces: dict[Any, Ops] = {}


def of_namespace(xp) -> Ops:
    """Return the operations of a namespace without automatic differentiation."""
    key = xp, version_of(xp)
    found = _of_namespaces.get(key)
    return _of_namespaces.setdefault(key, Ops(adapter_of(xp, of_namespace))) if found is None else found


def __getattr__(framework):
    if framework == "compiling":  # what `torch.compile` looks up first: its compiler is told of calls, once it is there
        ops = import_module(__name__).torch
        ops.opaque(in_one)
        return globals().setdefault(framework, ops)
    if framework not in PROBES:
        raise AttributeError(f"module {__name__!r} has no attribute {framework!r}")
    missing = f"{__package__.rpartition('.')[0]}.backends.{framework}"
    try:
        adapter = import_module(f"{missing}.adapter")
    except ImportError as error:
        if error.name not in (missing, missing.rpartition(".")[0]):
            raise
        raise ModuleNotFoundError(
            f"Arrays of {framework} need the adapter `backends/{framework}`, which this copy of the library does "
            f"not have. Vendor it again with {framework} among its `--backends`, or put the file there.",
            name=missing,
        ) from error
    return globals().setdefault(framework, Ops(adapter))  # two threads may come here together
