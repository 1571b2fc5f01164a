"""The operations of each framework: its namespace and the rules, lifted by its adapter once.

``from ._bindings import torch`` loads the adapter for PyTorch on first use. It is an import statement
because that is the one lazy import which `torch.compile(fullgraph=True)` follows on a cold start.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from .._compat import array_namespace
from .._kernels.traced.contraction import TOP_AND_SUMS
from .._kernels.traced.shifted_exp import SHIFTED_EXP
from .._rules.background import COMPENSATED
from .._rules.losses import FENCHEL_YOUNG
from .._rules.readouts import MEAN, MEDIAN, MOMENTS
from .._rules.rule import Array
from .._rules.steps import BLANK, FINISH, HALVES, LOG, NORMALISE, PREPARE, STRAIGHT_THROUGH
from .._rules.weights import EXPECTATION, WEIGHTS
from .kept_calls import describe
from .tape import plain_adapter

COMPILED = 256  # functions, of which each alpha that is a number makes one; then all are made anew

RULES = (
    *(PREPARE, LOG, NORMALISE),
    *(WEIGHTS, EXPECTATION, COMPENSATED, FENCHEL_YOUNG),
    *(MEAN, MOMENTS, MEDIAN, SHIFTED_EXP, TOP_AND_SUMS),
    *(STRAIGHT_THROUGH, BLANK, FINISH, HALVES),
)


class Ops:
    """One framework's operations: ``xp``, what the adapter knows, and a callable for each rule."""

    prepare: Callable[..., Array]
    log: Callable[..., Array]
    normalise: Callable[..., Array]
    weights: Callable[..., Array]
    expectation: Callable[..., Array]
    compensated: Callable[..., Array]
    fenchel_young: Callable[..., Array]
    mean: Callable[..., Array]
    moments: Callable[..., Array]
    median: Callable[..., Array]
    shifted_exp: Callable[..., Array]
    top_and_sums: Callable[..., Array]
    straight_through: Callable[..., Array]
    blank: Callable[..., Array]
    finish: Callable[..., Any]
    halves: Callable[..., Any]

    def __init__(self, adapter):
        self.adapter = adapter
        self.name = adapter.name
        self.xp = getattr(adapter, "namespace", None) or array_namespace(adapter.example)
        self.cumulative_sum = getattr(adapter, "cumulative_sum", None) or self.xp.cumulative_sum
        self.detach = adapter.detach
        self.is_concrete = adapter.is_concrete
        self.place = adapter.place
        self.contract = getattr(adapter, "contract", None)
        self.contracts = getattr(adapter, "contracts", None) or (lambda: False)
        self.matmul = getattr(adapter, "matmul", None)
        self.merges = getattr(adapter, "merges", None)
        self.branch = getattr(adapter, "branch", None)
        self.in_pieces = getattr(adapter, "in_pieces", None)
        self.apart = getattr(adapter, "apart", None) or (lambda x: x)
        self.folds = getattr(adapter, "folds", None) or (lambda x: False)
        self.maximum_drops_nan = getattr(adapter, "maximum_drops_nan", False)
        self.repeats_ranges = getattr(adapter, "repeats_ranges", False)
        self.memory = getattr(adapter, "memory", None) or (lambda x: None)
        self.from_memory = getattr(adapter, "from_memory", None)
        self.softmax = getattr(adapter, "softmax", None)
        self.exp_in_memory = getattr(adapter, "exp_in_memory", None)
        self.fused = getattr(adapter, "fused", None)  # has an engine's call done, see `engines.Call`
        self.iterate = getattr(adapter, "iterate", None) or self._iterate
        self.eagerly = getattr(adapter, "eagerly", nullcontext)
        self.by_rows = getattr(adapter, "by_rows", None)
        self.jit = getattr(adapter, "jit", None)
        self.compiled: dict[Any, Callable] = {}
        if hasattr(adapter, "traits"):
            describe(adapter.plain_arrays, adapter.traits)
        for rule in RULES:
            setattr(self, rule.name, adapter.lift(rule, self))

    def is_cheap_to_read(self, x) -> bool:
        """Whether a number taken out of x costs no more than computing it: not traced, not on an accelerator."""
        ready = getattr(self.adapter, "is_cheap_to_read", None)
        return ready is not None and ready(x)

    def _iterate(self, advance, state, unrolled):
        """Advance a state until its last entry is False everywhere, or so many times where that is unknown."""
        concrete = self.is_concrete(state[0])
        for _ in range(4 * unrolled if concrete else unrolled):
            state = advance(state)
            if concrete and not bool(self.xp.any(state[-1])):
                break
        return state

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


_plain: dict[Any, Ops] = {}


def plain(xp) -> Ops:
    """Return the operations of a namespace without automatic differentiation."""
    if xp not in _plain:
        _plain[xp] = Ops(plain_adapter(xp))
    return _plain[xp]


def _adapter(framework):
    adapter: Any
    if framework == "torch":
        from ..backends import torch

        adapter = torch
    elif framework == "jax":
        from ..backends import jax

        adapter = jax
    elif framework == "autograd":
        from ..backends import autograd

        adapter = autograd
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {framework!r}")
    return adapter


def __getattr__(framework):
    try:
        adapter = _adapter(framework)
    except ImportError as error:
        if error.name != f"{__package__.rpartition('.')[0]}.backends":
            raise
        raise ModuleNotFoundError(
            f"Arrays of {framework} need the adapter `backends/{framework}.py`, which this copy of the library does "
            f"not have. Vendor it again with {framework} among its `--backends`, or put the file there.",
            name=f"{error.name}.{framework}",
        ) from error
    globals()[framework] = ops = Ops(adapter)
    return ops
