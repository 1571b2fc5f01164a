"""Compare answers with the oracle, with each other, with invariants and with finite differences."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from .differences import TOLERANCE as DIFFERENCE_TOLERANCE
from .differences import USELESS, difference
from .evaluation import Cell
from .findings import Examined, Finding
from .places import Place
from .problems import Answers, Arrays, Inputs, cotangents, directions, tangents
from .tolerance import EPS, Distance, distance

# What is compared: the field of the answers, what the report calls it, and its line in the table of tolerances.
QUANTITIES = (
    ("value", "value", "value"),
    ("pulled", "value", "value"),
    ("pushed", "value", "value"),
    ("gradient", "vjp", "derivative"),
    ("tangent", "jvp", "derivative"),
    ("second", "2nd", "derivative"),
)


def _stored(x: Examined, answers: Answers, field: str, k: int) -> float:
    """The eps of the dtype that a result was rounded to at last."""
    return EPS[x.inputs.dtype] if field in ("gradient", "second") else EPS.get(answers.stored[k], 0.0)


def _against(x: Examined, answers: Answers, field: str, wants: Arrays, kind: str, factor: int = 1):
    """Distances of one quantity, array by array; a shape of its own is infinitely far."""
    gots = getattr(answers, field)
    if len(gots) != len(wants):
        yield Distance(np.inf, 0.0, np.nan, np.nan), f"{len(gots)} arrays instead of {len(wants)}"
        return
    for k, (got, want) in enumerate(zip(gots, wants, strict=True)):
        if got.shape != want.shape:
            yield Distance(np.inf, 0.0, np.nan, np.nan), f"shape {got.shape} instead of {want.shape}"
            continue
        stored = _stored(x, answers, field, k)
        eps = EPS[x.computed_in]
        least = x.problem.scale if kind == "derivative" else 1.0
        allowed = factor * x.problem.tolerance[kind]
        yield distance(got, want, tolerance=allowed, eps=eps, stored=factor * stored, least=least), ""


def against_oracle(x: Examined, oracle: Answers) -> Iterator[Finding]:
    """Every place against the oracle; second derivatives in one direction."""
    for place, answers in x.answers.items():
        contracted = answers._replace(second=_contracted(x.inputs, answers.second))
        expected = oracle._replace(pulled=oracle.value, pushed=oracle.value)
        for field, quantity, kind in QUANTITIES:
            if getattr(answers, field) is not None and getattr(expected, field) is not None:
                for d, detail in _against(x, contracted, field, getattr(expected, field), kind):
                    yield x.finding(place, quantity, "oracle", d, detail)


def _contracted(inputs: Inputs, second: Arrays | None) -> Arrays | None:
    if second is None:
        return None
    return _inner(second, directions(inputs))


def _consensus(parts: list[np.ndarray]) -> np.ndarray:
    """The median of the frameworks, entry by entry; NaN where more than half of them have it."""
    stack = np.stack(parts)
    nan = np.isnan(stack)
    ordered = np.sort(np.where(nan, np.inf, stack), axis=0)
    count = (~nan).sum(axis=0)
    low, high = (np.take_along_axis(ordered, np.maximum(k, 0)[None], axis=0)[0] for k in ((count - 1) // 2, count // 2))
    high = np.where(count % 2 == 1, low, high)
    with np.errstate(invalid="ignore"):
        middle = np.where(low == high, low, low / 2 + high / 2)
    return np.where(nan.sum(axis=0) * 2 > len(parts), np.nan, middle)


def against_each_other(x: Examined) -> Iterator[Finding]:
    """Every place against the median of all: within twice the tolerance, as each may be off once."""
    for field, quantity, kind in QUANTITIES:
        having = {place: answers for place, answers in x.answers.items() if getattr(answers, field) is not None}
        if len(having) < 2:
            continue
        shapes = [tuple(part.shape for part in getattr(answers, field)) for answers in having.values()]
        usual = max(shapes, key=shapes.count)
        alike = [getattr(a, field) for a, shape in zip(having.values(), shapes, strict=True) if shape == usual]
        expected = tuple(_consensus([parts[k] for parts in alike]) for k in range(len(usual)))
        for (place, answers), shape in zip(having.items(), shapes, strict=True):
            if shape != usual:
                d = Distance(np.inf, 0.0, np.nan, np.nan)
                yield x.finding(place, quantity, "agreement", d, f"shapes {shape} where others have {usual}")
                continue
            for d, detail in _against(x, answers, field, expected, kind, factor=2):
                yield x.finding(place, quantity, "agreement", d, detail)
    yield from _same_dtypes(x)
    if x.problem.exact_zeros:
        yield from _same_zeros(x)


def _same_dtypes(x: Examined) -> Iterator[Finding]:
    """Floating-point results have one dtype everywhere; integers have the framework's own."""
    dtypes = [tuple(name if "float" in name else "other" for name in a.stored) for a in x.answers.values()]
    usual = max(dtypes, key=dtypes.count)
    for place, found in zip(x.answers, dtypes, strict=True):
        d = Distance(0.0 if found == usual else np.inf, 0.0, np.nan, np.nan)
        yield x.finding(place, "dtype", "agreement", d, f"{', '.join(found)} where others have {', '.join(usual)}")


def _same_zeros(x: Examined) -> Iterator[Finding]:
    """Zeros are in the same places, but for weights that are rounding errors anywhere."""
    values = [answers.value[0] for answers in x.answers.values()]
    if len({value.shape for value in values}) > 1:
        return
    stack = np.stack(values)
    for place, value in zip(x.answers, values, strict=True):
        usual = np.median(stack == 0, axis=0) > 0.5
        wrong = (value == 0) != usual
        index = tuple(map(int, np.unravel_index(int(np.argmax(wrong)), wrong.shape))) if wrong.ndim else ()
        expected = 0.0 if usual[index] else float(np.median(stack, axis=0)[index])
        d = Distance(np.inf if wrong.any() else 0.0, 0.0, expected, float(value[index]), index)
        yield x.finding(place, "support", "agreement", d, "exact zeros in other places than elsewhere")


def against_invariants(x: Examined) -> Iterator[Finding]:
    """What must hold of the answers of every place alone."""
    assert x.problem.invariants is not None
    for place, answers in x.answers.items():
        for name, error, allowed in x.problem.invariants(x.inputs, answers):
            d = Distance(error, allowed, np.nan, np.nan)
            yield x.finding(place, "derivative" if "gradient" in name else "value", "invariants", d, name)


def adjoint(x: Examined) -> Iterator[Finding]:
    """The identity ``<g, J t> = <J^T g, t>`` in every place."""
    ts = tangents(x.inputs)
    for place, answers in x.answers.items():
        if answers.gradient is None or answers.tangent is None:
            continue
        gs = cotangents(x.inputs.seed, answers.value)
        left = [g * dy for g, dy in zip(gs, answers.tangent, strict=True)]
        right = [dx * t for dx, t in zip(answers.gradient, ts, strict=True)]
        scale = max(x.problem.scale, *(float(np.nansum(np.abs(part))) for part in (*left, *right)))
        eps = max(EPS[x.computed_in], *(_stored(x, answers, "tangent", k) for k in range(len(gs))), EPS[x.inputs.dtype])
        sums = [float(sum(np.nansum(part) for part in side)) for side in (left, right)]
        error = abs(sums[0] - sums[1]) / (eps * scale)
        d = Distance(error, float(x.problem.tolerance["derivative"]), sums[0], sums[1])
        yield x.finding(place, "adjoint", "agreement", d, "<g, J t> (expected) against <J^T g, t> (actual)")


def against_differences(x: Examined, cells: dict[Place, Cell]) -> Iterator[Finding]:
    """Derivatives of every place against finite differences in one, in float64 and where the function is smooth.

    One is enough: that its values are those of the others is seen elsewhere, far more closely.
    """
    at = tuple(x.inputs.arrays[k] for k in x.inputs.moving)
    first = next((place for place, answers in x.answers.items() if answers.gradient is not None), None)
    if first is None:
        return
    ts, gs = tangents(x.inputs), cotangents(x.inputs.seed, x.answers[first].value)
    with first.backend.scope("float64"), np.errstate(all="ignore"):
        found = difference(cells[first].value_at, at, ts, x.answers[first].value)
    for place, answers in x.answers.items():
        if found.error <= USELESS and answers.gradient is not None and answers.tangent is not None:
            yield from _differ(x, place, "jvp", answers.tangent, found.along, found.error)
            yield from _differ(x, place, "vjp", _inner(answers.gradient, ts), _inner(found.along, gs), found.error, gs)
    yield from _second_against_differences(x, cells, at, ts, gs)


def _second_against_differences(x: Examined, cells: dict[Place, Cell], at: Arrays, ts: Arrays, gs: Arrays):
    """Second derivatives against differences of gradients."""
    us = directions(x.inputs)
    first = next((place for place, answers in x.answers.items() if answers.second is not None), None)
    if first is None:
        return
    center = x.answers[first].gradient or ()
    with first.backend.scope("float64"), np.errstate(all="ignore"):
        found = difference(partial(cells[first].gradient_at, gs=gs), at, ts, center)
    for place, answers in x.answers.items():
        if found.error <= USELESS and answers.second is not None:
            yield from _differ(x, place, "2nd", _inner(answers.second, us), _inner(found.along, us), found.error, us)


def _inner(a: Arrays, b: Arrays) -> Arrays:
    """The inner product, as the one array of a tuple."""
    return (np.asarray(sum(np.vdot(x, y) for x, y in zip(a, b, strict=True))),)


def _differ(x: Examined, place: Place, quantity: str, actual: Arrays, expected: Arrays, doubt: float, by: Arrays = ()):
    """Hold derivatives to differences with a doubt, which grows with what both were multiplied by."""
    eps = EPS["float64"]
    doubt *= max([1.0, *(float(np.sum(np.abs(b))) for b in by)])
    for got, want in zip(actual, expected, strict=False):
        if got.shape != want.shape:  # of a place whose values have other shapes, which the agreement says
            continue
        scale = max(1.0, float(np.max(np.abs(want), initial=0.0)))
        d = distance(got, want, tolerance=DIFFERENCE_TOLERANCE / eps, eps=eps, slack=doubt * scale)
        yield x.finding(place, quantity, "differences", d)
