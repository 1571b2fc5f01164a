"""A validated call as a function of its scores: by the kernels that can do the whole of it, else by the rules."""

from functools import partial

from .._frameworks.registry import Ops
from .._kernels import selection
from . import composition


def made(ops: Ops, core, x, arrays, options, reads=False, shape=None, split=None):
    """Return the call as a function of x, the bytes that it holds, and whether it may be kept.

    `arrays` go with the scores, the controls first. If `reads`, kernels may do the whole call: for a reduced result of
    that shape, or for the weights if `shape` is None. `split` takes a result of a kernel apart into several.
    """
    soft = options._replace(hard=False)
    way = None
    if reads:
        stacked = core if split is None else composition.answers
        with_none = arrays if split is None else (arrays[0], None)
        make = partial(_by_changed_rules, ops, stacked, with_none, soft)
        way = selection.planned(ops, x, arrays[0], soft, make, shape)
    if way is None:
        call = _by_rules(ops, core, arrays, options)
    elif split is not None:
        call = partial(_split, split, way.run)
    elif options.hard:
        call = partial(_straight_through, ops, way.run, _by_rules(ops, composition.HARD[core], arrays, options))
    else:
        call = way.run
    return call, 0 if way is None else way.nbytes, ops.xp.isdtype(x.dtype, "real floating")


def _split(split, call, x):
    return split(call(x))


def _by_changed_rules(ops: Ops, core, arrays, options, **changes):
    return _by_rules(ops, core, arrays, options._replace(**changes))


def _by_rules(ops: Ops, core, arrays, options):
    """A core function of the scores alone."""
    if ops.jit is None:
        return lambda x: core(ops, x, *arrays, options=options)
    if all(a is None for a in (*arrays[0], *arrays[1:])):
        return ops.alone(core, arrays, options)
    return partial(_beside, ops, core, arrays, options)


def _beside(ops: Ops, core, arrays, options, x):
    return ops.run(core, x, *arrays, options=options)


def _straight_through(ops: Ops, soft, hard, x):
    """The hard value with the gradient of the soft one, which is then the same to the last bit."""
    return ops.straight_through(soft(x), hard(ops.detach(x)))
