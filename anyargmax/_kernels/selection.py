"""Kernel selection, for whole calls and for single rules. No rule and no adapter selects a kernel.

Kernels are tried in order of cost. If all of them decline, the rule is used. A kernel that declines is not asked again in
the same direction: once in the forward pass, once in the backward pass.
"""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from .._rules import losses
from .._rules import weights as rules
from .._rules.readouts import expected
from .._rules.rule import Array, Rule
from . import whole
from .blocks.kernel import BLOCKS
from .few import FEW
from .kernel import Kernel, KernelOps, Load, Step
from .losses import LOSSES
from .means import MEANS
from .native import NATIVE
from .support.sparse import SUPPORT
from .traced.candidates import CANDIDATES
from .traced.contraction import CONTRACTION
from .traced.means import TRACED_MEANS
from .traced.reductions import REDUCTIONS
from .traced.roots import ROOTS
from .traced.shards import SHARDS
from .traced.softmax import SOFTMAX
from .traced.steps import STEPS

BUILT_IN = (
    NATIVE,
    BLOCKS,
    SUPPORT,
    MEANS,
    FEW,
    LOSSES,
    SHARDS,
    CANDIDATES,
    CONTRACTION,
    REDUCTIONS,
    STEPS,
    SOFTMAX,
    ROOTS,
    TRACED_MEANS,
)
_known = {kernel.name: kernel for kernel in BUILT_IN}


class _Setting:
    """Which kernels may serve (None: all), their limits where they have others, and who is told of those that did."""

    allowed: frozenset[str] | None = None
    limits: Mapping[str, Any] = MappingProxyType({})
    taken: list[str] | None = None


class _Composing(threading.local):
    """How often `composing` was entered in this thread."""

    depth = 0


_composing = _Composing()


@contextmanager
def composing() -> Iterator[None]:
    """Have calls made of operations that a framework differentiates, as in code that is compiled, until the context exits."""
    _composing.depth += 1
    try:
        yield
    finally:
        _composing.depth -= 1


def is_composing() -> bool:
    """Whether calls are to be made of operations that a framework differentiates."""
    return _composing.depth > 0


# The environment variable ANYARGMAX_ENGINES=0 turns the kernels that work on memory off: then the rules do everything.
_engines = os.environ.get("ANYARGMAX_ENGINES", "1") != "0"
_forgetting: list[Callable[[], None]] = []


def when_changed(forget: Callable[[], None]) -> None:
    """Have a function called whenever other kernels may serve: it forgets what was chosen before."""
    _forgetting.append(forget)


def _change(allowed, limits, taken) -> None:
    _Setting.allowed, _Setting.limits, _Setting.taken = allowed, limits, taken
    for forget in _forgetting:
        forget()


@contextmanager
def only(*names: str, limits: Mapping[str, Any] | None = None) -> Iterator[list[str]]:
    """Allow only these kernels in this process until the context exits. Without names, the rules do everything.

    The context is a list of the names of the kernels that have served in it, in order. ``limits`` maps the name of a
    kernel to changed limits: ``only("blocks", limits={"blocks": {"block": 64}})``.
    """
    unknown = [name for name in (*names, *(limits or {})) if name not in _known]
    if unknown:
        raise ValueError(f"`names` must be out of {', '.join(_known)}, got {', '.join(unknown)}. Correct the name.")
    changed = {name: _known[name].limits._replace(**options) for name, options in (limits or {}).items()}
    before = _Setting.allowed, _Setting.limits, _Setting.taken
    taken: list[str] = []
    _change(frozenset(names), changed, taken)
    try:
        yield taken
    finally:
        _change(*before)


def _note(name: str) -> None:
    if _Setting.taken is not None:
        _Setting.taken.append(name)


def ways(ops: KernelOps) -> dict[tuple[str, str], tuple[tuple[Kernel, Any], ...]]:
    """Return which kernels have what: for each kind of map and each rule, the kernels in order with their functions."""
    _known.update({kernel.name: kernel for kernel in ops.kernels})
    found: dict[tuple[str, str], tuple[tuple[Kernel, Any], ...]] = {}
    for kernel in (*ops.kernels, *BUILT_IN):
        if any(getattr(ops, name) is None for name in kernel.needs):
            continue
        parts: dict[str, Mapping[str, Any]] = {"plan": kernel.plans, "serves": kernel.serves, "pulls": kernel.pulls}
        for part in ("forward", "composite", "jvp", "jvp_temperature"):
            parts[part] = {name: form for name, form in kernel.traced.items() if getattr(form, part) is not None}
        parts["product"] = {} if kernel.product is None else {"": kernel.product}
        for part, maps in parts.items():
            for name, f in maps.items():
                found[part, name] = (*found.get((part, name), ()), (kernel, f))
    return found


def _serving(ops: KernelOps, key: tuple[str, str]) -> list[tuple[Kernel, Any, Any]]:
    """The kernels of a framework that may serve, in its order, with their functions and limits."""
    found, allowed, limits = ops.ways.get(key), _Setting.allowed, _Setting.limits
    if found is None:
        return []
    return [
        (kernel, f, limits.get(kernel.name, kernel.limits))
        for kernel, f in found
        if ((_engines or "memory" not in kernel.needs) if allowed is None else kernel.name in allowed)
    ]


class _Orders(dict[Load, tuple[Callable[..., Any], ...]]):
    """For each `Load`, the kernels of a call in order of cost. They are ordered when the load is first met."""

    def __init__(self, steps: tuple[Step, ...]):
        super().__init__()
        self.steps = steps

    def __missing__(self, load: Load) -> tuple[Callable[..., Any], ...]:
        costs = sorted((step.cost(load), k) for k, step in enumerate(self.steps))
        self[load] = order = tuple(self.steps[k].run for cost, k in costs if cost <= 1)
        return order


class Way(NamedTuple):
    """A whole call of scores and the arrays beside them by kernels, and the bytes of tables that it holds."""

    run: Callable[..., Array]
    nbytes: int


def planned(ops: KernelOps, x, controls, arrays, options, make: Callable[..., Any], shape) -> Way | None:
    """Return a whole call by kernels, of the scores and of arrays like these; None if there is none that can do it.

    `arrays` are temperature and mask as the caller gave them, None where that is no array. ``make(dense=False)`` returns
    the function in rules. `shape` is that of the reduced result, None of a call for the weights.
    """
    planners = _serving(ops, ("plan", options.relaxation.name))
    if not planners:  # such a framework may have lazy shapes
        return None
    call = whole.of(ops, x, controls, arrays, options, make, shape)
    if call is None:
        return None
    made = [(kernel, plan(ops, call, limits)) for kernel, plan, limits in planners]
    steps = tuple(step._replace(run=_noted(step)) for _, step in made if step is not None)
    if not steps:
        return None
    asked_by_rules = any(kernel.serves for kernel, step in made if step is not None)
    declined = make(dense=True) if asked_by_rules else call.by_rules
    nbytes = sum(step.nbytes for step in steps)
    alone = whole.Beside(call.divisor)
    return Way(_in_order(ops.memory.load, _Orders(steps), alone, call.open, call.by_rules, declined), nbytes)


def _noted(step: Step) -> Callable[..., Any]:
    """The run of a step that notes it, where anyone listens: a call is made anew whenever that changes."""
    if _Setting.taken is None:
        return step.run

    def run(x, load, beside):
        y = step.run(x, load, beside)
        if y is not None:
            _note(step.name)
        return y

    return run


def _in_order(load_of, orders: _Orders, alone, opened, by_rules, declined):
    """Return a whole call: by the kernels in order of cost, each asked once, and then by ``declined(x, *arrays)``.

    `alone` goes with the scores of a call without arrays, ``opened(*arrays)`` with others. ``by_rules(x, *arrays)`` does a
    call without a load, or whose arrays cannot be opened: no kernel is asked.
    """

    def call(x, *arrays):
        load = load_of(x, *arrays)
        beside = opened(*arrays) if arrays else alone
        if load is None or beside is None:
            return by_rules(x, *arrays)
        for run in orders[load]:
            y = run(x, load, beside)
            if y is not None:
                return y
        return declined(x, *arrays)

    return call


def served(rule: Rule, ops: KernelOps, args: tuple[Any, ...], static: dict[str, Any]) -> Any:
    """Return the answer of a rule and its pullback, by a kernel; None if none serves."""
    for kernel, serve, limits in _serving(ops, ("serves", rule.name)):
        made = serve(ops, *args, limits=limits, **static)
        if made is not None:
            _note(kernel.name)
            return made
    return None


def is_served(rule: Rule, ops: KernelOps) -> bool:
    """Whether a kernel of the framework may answer in place of a rule: it is asked with arrays that nothing records."""
    return ("serves", rule.name) in ops.ways


def forward(rule: Rule, ops: KernelOps, args: tuple[Any, ...], static: dict[str, Any]) -> Any:
    """Run a rule: by the kernel that serves these arrays, or by its forward map."""
    made = served(rule, ops, args, static)
    return rule.forward(ops, *args, **static) if made is None else made[0]


def in_few(rule: Rule, ops: KernelOps, args: tuple[Any, ...], static: dict[str, Any]) -> Any:
    """Run a rule of arrays without values to look at: by the form that a kernel has for these, or as others are run."""
    for kernel, form, limits in _serving(ops, ("composite", rule.name)):
        if form.fits(ops, *args, **static):
            _note(kernel.name)
            return form.composite(ops, *args, limits=limits, **static)
    return rule.composite(ops, *args, **static) if rule.composed else forward(rule, ops, args, static)


def product(ops: KernelOps, *args, **static):
    """Return ``J v / divisor`` at weights: by the kernel that serves these arrays, or by the rule."""
    for _, multiply, limits in _serving(ops, ("product", "")):
        moved = multiply(ops, *args, limits=limits, **static)
        if moved is not None:
            return moved
    return rules.product(ops, *args, **static)


def selecting(rule: Rule) -> Rule:
    """Return a rule with maps that are those of a kernel where one fits."""
    return rule._replace(
        forward=_traced(rule, "forward", rule.forward, 0),
        composite=_traced(rule, "composite", rule.composite, 0),
        vjps=(partial(_pulled, rule), *rule.vjps[1:]),
        jvps=(
            _traced(rule, "jvp", rule.jvps[0], 2),
            _traced(rule, "jvp_temperature", rule.jvps[1], 2),
            *rule.jvps[2:],
        ),
    )


def _selecting_forward(rule: Rule) -> Rule:
    """Return a rule whose map and whose product with a tangent of the scores are those of a kernel where one fits."""
    jvps = (_traced(rule, "jvp", rule.jvps[0], 2), *rule.jvps[1:])
    return rule._replace(forward=_traced(rule, "forward", rule.forward, 0), jvps=jvps)


def _traced(rule: Rule, part: str, general, before: int):
    """A map of a rule, of which so many arguments come before those of the rule."""
    key = part, rule.name

    def chosen(ops: KernelOps, *args, **static):
        for kernel, form, limits in _serving(ops, key):
            if form.fits(ops, *args[before:], **static):
                _note(kernel.name)
                return getattr(form, part)(ops, *args, limits=limits, **static)
        return general(ops, *args, **static)

    return chosen


def _pulled(rule: Rule, ops: KernelOps, g, y, *args, **static):
    for _, pull, limits in _serving(ops, ("pulls", rule.name)):
        dx = pull(ops, g, y, *args, limits=limits, **static)
        if dx is not None:
            return dx
    return rule.vjps[0](ops, g, y, *args, **static)


DENSE_WEIGHTS = selecting(rules.WEIGHTS._replace(name="dense_weights"))
WEIGHTS, EXPECTATION = selecting(rules.WEIGHTS), selecting(rules.EXPECTATION)
EXPECTED = selecting(expected.EXPECTED)
FENCHEL_YOUNG = _selecting_forward(losses.FENCHEL_YOUNG)
