"""Check the built-in functions in every framework, against the oracle as well."""

import multiprocessing
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from . import catalogue
from .examination import examine
from .findings import Row
from .frameworks import Backend
from .invariants import CHOICES, derivative_scale, invariants
from .oracle_answers import expected
from .places import Place, dtypes_of, missing_dtypes, names_of, order_of, places_of, versions
from .problems import Problem
from .reduction import examined
from .report import Report
from .tolerance import TOLERANCE

Progress = Callable[[int, int, str], None]


def _silent(done: int, total: int, name: str) -> None:
    """Show no progress."""


def problem(call: catalogue.Call, order: int = 1) -> Problem:
    """The call as a problem that the frameworks, the oracle and the invariants have an answer to."""
    return Problem(
        call.id,
        partial(catalogue.function, call),
        partial(catalogue.inputs, call),
        oracle=partial(expected, call, order=order),
        invariants=partial(invariants, call),
        ours=True,
        choice=call.function in CHOICES,
        scale=derivative_scale(call),
    )


def _calls(thorough: bool, only: str | None) -> list[catalogue.Call]:
    calls = [c for c in catalogue.CALLS if (thorough or only or c in catalogue.KINDS) and (only or "") in c.id]
    if not calls:
        raise ValueError(f"`only` must be part of a call's name, got {only!r}. See the first column of a full check.")
    return calls


def _row_of(task: tuple) -> Row:
    """One row of a check, in whatever process."""
    call_id, dtype, backends, devices, order, seed = task
    places, _ = places_of(backends, devices)
    return examined(problem(catalogue.BY_ID[call_id], order), places, dtype, order, seed, rows=False)


def check(
    *,
    backends: Iterable[str] | None = None,
    dtypes: Iterable[str] | None = None,
    devices: Iterable[str] | None = None,
    order: int = 1,
    seed: int = 0,
    thorough: bool = False,
    only: str | None = None,
    jobs: int = 1,
    progress: Progress = _silent,
) -> Report:
    """Check every built-in function in every framework, against an oracle in 50 digits as well.

    Parameters
    ----------
    backends : iterable of str, optional
        Names of frameworks, registered ones too. None is those that are installed.
    dtypes : iterable of str, optional
        Some of ``"float16"``, ``"bfloat16"``, ``"float32"`` and ``"float64"``. None is the last two.
    devices : iterable of str, optional
        Such as ``"cpu"`` or ``"cuda:1"``. None is the framework's own choice. A framework without a device is noted.
    order : {0, 1, 2}, default 1
        0 for values alone, 1 for first derivatives, 2 for second ones too.
    seed : int, default 0
        The seed of the scores, cotangents and tangents.
    thorough : bool, default False
        All calls, instead of one of each kind.
    only : str, optional
        Check only the calls whose names contain this.
    jobs : int, default 1
        The number of processes.
    progress : callable, optional
        Called as ``progress(done, total, name)`` with the rows done, those in all, and the name of the next.

    Returns
    -------
    Report
        With evidence by agreement, by the oracle, by invariants (sums, signs, optimality conditions, supports,
        gradients that sum to 0), and by finite differences.

    Raises
    ------
    ValueError
        If a framework or a dtype is not one of what there is, or if no call has ``only`` in its name.
    ModuleNotFoundError
        If a framework is not installed.

    See Also
    --------
    compare : The same for your own function.

    Notes
    -----
    Errors are in eps of the dtype computed in, of the largest entry of a result and at least of 1: 16 are allowed for
    values and 64 for products with the Jacobian.

    References
    ----------
    * Fredrik Johansson et al., "mpmath", whose numbers the oracle is computed in.

    Examples
    --------
    >>> from anyargmax.validation import check
    >>> report = check(backends=["numpy", "autograd"], dtypes=["float64"], only="sparsemax position")
    >>> report.ok, [row.call for row in report.rows]
    (True, ['sparsemax position'])
    """
    order = order_of(order)
    names, chosen = names_of(backends), dtypes_of(dtypes)
    wanted = None if devices is None else (devices,) if isinstance(devices, str) else tuple(devices)
    calls = _calls(thorough, only)
    tasks = [(call.id, dtype, names, wanted, order, seed) for call in calls for dtype in chosen]
    rows = []
    if jobs > 1 and len(tasks) > 1:
        with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
            for task, row in zip(tasks, pool.map(_row_of, tasks), strict=True):
                rows.append(row)
                progress(len(rows), len(tasks), task[0])
    else:
        for task in tasks:
            progress(len(rows), len(tasks), task[0])
            rows.append(_row_of(task))
        progress(len(rows), len(tasks), "")
    places, notes = places_of(names, wanted)
    notes += missing_dtypes(places, chosen)
    return Report(tuple(rows), versions(places), dict(TOLERANCE), seed, notes=tuple(notes))


def assert_call_agrees(call: catalogue.Call, backends: Iterable[Backend], dtype: str, *, order: int = 1) -> None:
    """Raise an AssertionError unless a built-in call has the oracle's answers in some frameworks, in one dtype."""
    places = tuple(map(Place, backends))
    row = examine(problem(call, order), places, dtype, order=order)
    report = Report((row,), versions(places), dict(TOLERANCE), 0)
    assert report.ok, f"\n{report}"
