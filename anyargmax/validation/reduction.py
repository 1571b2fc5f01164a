"""Make the inputs of a failure as simple as they can be while it stays."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from .examination import examine
from .findings import Finding, Row
from .places import Place
from .problems import Arrays, Problem, rounded

TRIALS = 60


def _simpler(arrays: Arrays, rows: bool) -> Iterator[Arrays]:
    """Variants from the simplest on: one row, whole numbers, few decimals, zeros entry by entry."""
    if rows and all(x.ndim > 1 and len(x) == len(arrays[0]) > 1 for x in arrays):
        for k in range(len(arrays[0])):
            yield tuple(x[k : k + 1] for x in arrays)
    for decimals in (0, 1):
        yield tuple(np.round(x, decimals) + 0.0 if x.dtype.kind == "f" else x for x in arrays)
    for k, x in enumerate(arrays):
        for index in np.ndindex(x.shape if x.dtype.kind == "f" else 0):
            if x[index] != 0:
                simple = x.copy()
                simple[index] = 0
                yield (*arrays[:k], simple, *arrays[k + 1 :])


def _same(arrays: Arrays, others: Arrays) -> bool:
    return all(np.array_equal(x, y, equal_nan=x.dtype.kind == "f") for x, y in zip(arrays, others, strict=True))


def _with_inputs(problem: Problem, arrays: Arrays) -> Problem:
    return problem._replace(inputs=lambda dtype, seed: rounded(arrays, dtype, seed))


def reduced(problem: Problem, places: Iterable[Place], row: Row, order: int, seed: int, rows: bool) -> Row:
    """Return the row with its first failure (and those like it) on simpler inputs.

    Parameters
    ----------
    problem, places, order, seed
        What the row came from.
    row
        A row with findings.
    rows
        Whether the arrays may be cut to one row.
    """
    places = tuple(places)
    goal = row.findings[0]
    arrays, best = goal.inputs, row
    fails = _like(goal)
    trials = 0
    while trials < TRIALS:
        for simple in _simpler(arrays, rows):
            trials += 1
            if trials > TRIALS or _same(simple, arrays):
                continue
            tried = examine(_with_inputs(problem, simple), places, row.dtype, order=order, seed=seed)
            if not tried.raised and any(map(fails, tried.findings)):
                arrays, best = simple, tried
                break
        else:
            break
    wanted = sorted(best.findings, key=fails, reverse=True)
    return row._replace(findings=tuple(wanted))


def _like(goal: Finding) -> Callable[[Finding], bool]:
    return lambda f: (f.place, f.quantity, f.evidence) == (goal.place, goal.quantity, goal.evidence)


def examined(problem: Problem, places: Sequence[Place], dtype: str, order: int, seed: int, rows: bool) -> Row:
    row = examine(problem, places, dtype, order=order, seed=seed)
    return reduced(problem, places, row, order, seed, rows) if row.findings else row
