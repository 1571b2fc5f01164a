"""A validated call as a function of its scores: by the kernels that can do the whole of it, else by the rules."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from .._frameworks.registry import Ops
from .._kernels import selection
from .._rules.relaxations import LOGARITHM
from .._rules.rule import Array
from . import composition
from .chunked import chunked
from .composition import Controls
from .validate import is_number


class Given(NamedTuple):
    """Temperature and mask as the caller gave them, and the function that makes controls of such."""

    fitted: Callable[[Any, Any], Controls]
    temperature: Any
    mask: Any

    def arrays(self) -> tuple[Array | None, Array | None]:
        """Temperature and mask, None where that is no array."""
        return None if is_number(self.temperature) else self.temperature, self.mask

    def renewed(self) -> Callable[..., Controls]:
        """Return a function of other arrays in place of those given, which makes controls of them."""
        has, fitted = [array is not None for array in self.arrays()], self.fitted
        number = None if has[0] else self.temperature

        def controls(*arrays):
            return fitted(arrays[0] if has[0] else number, arrays[-1] if has[1] else None)

        return controls


def made(ops: Ops, core, x, arrays, options, given: Given | None = None, shape=None, split=None):
    """Return the call as a function of x, the bytes that it holds, and the function that may be kept of it.

    `arrays` go with the scores, the controls first. If `given`, kernels may do the whole call: for a reduced result of
    that shape, or for the weights if `shape` is None. `split` takes a result of a kernel apart into several. What may be
    kept is a function of x, and of the arrays that were given; None if nothing may be.
    """
    if ops.by_chunks is not None:
        call, arrays = chunked(ops, _again if given is None else _again_given, core, x, arrays, options)
        if call is not None:
            return call, 0, None
    soft = options._replace(hard=False)
    way, renewed, beside = None, None, ()
    if given is not None:
        beside = tuple(array for array in given.arrays() if array is not None)
        renewed = given.renewed() if beside else None
        stacked = core if split is None else composition.answers
        with_none = arrays if split is None else (arrays[0], None)
        make = partial(_by_changed_rules, ops, stacked, with_none, soft, renewed)
        asked = soft._replace(log=False) if soft.relaxation == LOGARITHM else soft  # which says so by its name
        way = selection.planned(ops, x, arrays[0], given.arrays(), asked, make, shape)
    if way is None:
        call = _by_rules(ops, core, arrays, options)
        return call, 0, call if _may_be_kept(ops, x, arrays) else None
    call = way.run
    if split is not None:
        call = partial(_split, split, way.run)
    elif options.hard:
        call = partial(
            _straight_through, ops, way.run, _by_rules(ops, composition.HARD[core], arrays, options, renewed)
        )
    return partial(_with, call, beside) if beside else call, way.nbytes, call


def made_among(ops: Ops, core, x, controls: Controls, positions, table, options):
    """Return a call among positions as `made` does, kept for others like them where nothing else is an array.

    ``table(positions)`` are positions of the dtype and the shape that the call computes with.
    """
    call, arrays = None, (controls, table(positions))
    if ops.by_chunks is not None:
        call, arrays = chunked(ops, _again, core, x, arrays, options)
    call = _by_rules(ops, core, arrays, options) if call is None else call
    if not _may_be_kept(ops, x, (controls,)):
        return call, 0, None
    run = core if ops.jit is None else partial(_run, core)
    return call, 0, lambda x, positions: run(ops, x, controls, table(positions), options=options)


def _again(ops: Ops, core, x, arrays, options):
    """A call on a chunk, by rules."""
    return ops.run(core, x, *arrays, options=options)


def _again_given(ops: Ops, core, x, arrays, options):
    """A call on a chunk, by the kernels that can do it."""
    several = options.readout == "moments"
    shape = composition.shape_of(core, tuple(x.shape), options)
    split = composition.split_of(ops, core, options) if several else None
    return made(ops, core, x, arrays, options, _given_of(x, arrays[0], options), shape, split)[0](x)


def _again_in_two(ops: Ops, core, x, arrays, options):
    return made_in_two(ops, core, x, arrays[0], options, _given_of(x, arrays[0], options))[0](x)


def _given_of(x, controls: Controls, options) -> Given:
    """Controls of a chunk as a caller would have given them: they have been validated."""
    temperature, alpha, mask = controls
    if options.flat and mask is not None:
        mask = mask.reshape(x.shape)
    return Given(partial(_as_it_is, alpha, options.flat), 1.0 if temperature is None else temperature, mask)


def _as_it_is(alpha, flat, temperature, mask) -> Controls:
    number = is_number(temperature) and temperature == 1
    return Controls(None if number else temperature, alpha, mask.reshape(-1) if flat and mask is not None else mask)


def _run(core, ops: Ops, x, *arrays, options):
    return ops.run(core, x, *arrays, options=options)


def made_in_two(ops: Ops, core, x, controls: Controls, options, given: Given):
    """Return a call of scores as `made` does: weights by the kernels that can do them, read by rules; else all by rules.

    `core` is the function in rules. Kernels that are asked for weights do not know its readout.
    """
    if ops.by_chunks is not None:
        call, (controls,) = chunked(ops, _again_in_two, core, x, (controls,), options)
        if call is not None:
            return call, 0, None
    plain = options.window is None and not options.zero_background and x.dtype == options.dtype
    weigh = options._replace(readout="mean", coordinates="index")
    present = [array is not None for array in given.arrays()]
    way = None
    if plain and not any(present):
        make = partial(_by_changed_rules, ops, composition.weights, (controls,), weigh, None)
        way = selection.planned(ops, x, controls, given.arrays(), weigh, make, None)
    if way is None:
        return made(ops, core, x, (controls,), options)
    read = _by_rules(ops, composition.given_coordinates, (Controls(),), options)
    call = partial(_read, read, way.run)
    return call, way.nbytes, call


def _read(read, weigh, x):
    return read(weigh(x))


def _may_be_kept(ops: Ops, x, arrays) -> bool:
    """Whether it holds no array, nor integers, which are computed in the default dtype: that may be another one later."""
    numbers = all(value is None or is_number(value) for value in (*arrays[0], *arrays[1:]))
    return numbers and ops.xp.isdtype(x.dtype, "real floating")


def _with(call, beside, x):
    return call(x, *beside)


def _split(split, call, x, *beside):
    return split(call(x, *beside))


def _by_changed_rules(ops: Ops, core, arrays, options, renewed, **changes):
    return _by_rules(ops, core, arrays, options._replace(**changes), renewed)


def _by_rules(ops: Ops, core, arrays, options, renewed=None):
    """A core function of the scores alone, or also of arrays in place of those that its controls were made of."""
    if renewed is not None:
        others = arrays[1:]  # a call that is kept holds none of the arrays that were given
        return lambda x, *beside: core(ops, x, renewed(*beside), *others, options=options)
    if ops.jit is None:
        return lambda x: core(ops, x, *arrays, options=options)
    if all(a is None for a in (*arrays[0], *arrays[1:])):
        return ops.alone(core, arrays, options)
    return partial(_beside, ops, core, arrays, options)


def _beside(ops: Ops, core, arrays, options, x):
    return ops.run(core, x, *arrays, options=options)


def _straight_through(ops: Ops, soft, hard, x, *beside):
    """The hard value with the gradient of the soft one, which is then the same to the last bit."""
    y, sure = soft(x, *beside), hard(ops.detach(x), *beside)
    return ops.straight_through(y, sure if sure.dtype == y.dtype else ops.xp.astype(sure, y.dtype))
