"""The public comparisons: any function on every framework, or every built-in function against the oracle."""

import inspect
import multiprocessing
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from .._frameworks.names import MODULES, installed
from .._frameworks.registry import registered
from . import catalogue
from .examination import examine
from .findings import Place, Row
from .frameworks import Backend, load
from .problems import Answers, Inputs, Problem, rounded, tuple_of
from .reduction import reduced
from .report import Report
from .tolerance import COMPUTED_IN, TOLERANCE

DTYPES = ("float32", "float64")
Progress = Callable[[int, int, str], None]


def _silent(done: int, total: int, name: str) -> None:
    """Show no progress."""


def names_of(backends: Iterable[Any] | None) -> tuple[Any, ...]:
    """Names of frameworks (or `Backend`s) that there are; None is all that are installed."""
    given = (
        (*installed(), *registered())
        if backends is None
        else (backends,)
        if isinstance(backends, str)
        else tuple(backends)
    )
    for name in given:
        if isinstance(name, Backend):
            continue
        if name not in (*MODULES, *registered()):
            known = ", ".join((*MODULES, *registered()))
            raise ValueError(f"`backends` must be some of {known}, got {name!r}. Choose among these.")
        if name not in (*installed(), *registered()):
            raise ModuleNotFoundError(f"{name} is not installed: pip install {MODULES[name].replace('_', '-')}")
    return given


def _dtypes(dtypes: Iterable[str] | None) -> tuple[str, ...]:
    given = DTYPES if dtypes is None else (dtypes,) if isinstance(dtypes, str) else tuple(dtypes)
    for dtype in given:
        if dtype not in COMPUTED_IN:
            raise ValueError(f"`dtypes` must be some of {', '.join(COMPUTED_IN)}, got {dtype!r}. Choose among these.")
    return given


def places_of(backends: Iterable[Any] | None, devices: Iterable[str] | None) -> tuple[tuple[Place, ...], list[str]]:
    """Return each framework on each device that it has, and a note for each that it has not."""
    loaded = [b if isinstance(b, Backend) else load(b) for b in names_of(backends)]
    if devices is None:
        return tuple(map(Place, loaded)), []
    places: list[Place] = []
    notes: list[str] = []
    for device in (devices,) if isinstance(devices, str) else tuple(devices):
        before = len(places)
        for backend in loaded:
            try:
                backend.find_device(device)
            except LookupError as error:
                notes.append(f"{backend.name} {error.args[0]}")
            else:
                places.append(Place(backend, device))
        if len(places) == before:
            names = ", ".join(b.name for b in loaded)
            raise ValueError(f"`devices` must be there on some framework, got {device!r}, which none of {names} has.")
    return tuple(places), notes


def _versions(places: Iterable[Place]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(f"{place} {place.backend.version}" for place in places))


def versions_of(backends: Iterable[Backend]) -> tuple[str, ...]:
    """Return frameworks by name and version."""
    return _versions(map(Place, backends))


def _missing_dtypes(places: Iterable[Place], dtypes: Iterable[str]) -> list[str]:
    names = {place.backend.name: place.backend for place in places}
    return [f"{name} has no {dtype}" for name, b in names.items() for dtype in dtypes if dtype not in b.dtypes]


def _function_in(f: Any, backend: Backend) -> Callable[..., Any]:
    """The function for a framework; one with a parameter `xp` is given the framework's namespace."""
    chosen = f[backend.name] if isinstance(f, Mapping) else f
    try:
        parameters = inspect.signature(chosen).parameters
    except (TypeError, ValueError):
        return chosen
    return partial(chosen, xp=backend.xp) if "xp" in parameters else chosen


def _reference(reference: Callable[..., Any], inputs: Inputs) -> Answers:
    return Answers(tuple(np.asarray(y, dtype=np.float64) for y in tuple_of(reference(*inputs.arrays))))


def compare(
    f: Any,
    /,
    *arrays: Any,
    backends: Iterable[Any] | None = None,
    dtypes: Iterable[str] | None = None,
    devices: Iterable[str] | None = None,
    reference: Callable[..., Any] | None = None,
    order: int = 1,
    seed: int = 0,
    tolerance: Mapping[str, float] | None = None,
    exact_zeros: bool = False,
    name: str | None = None,
) -> Report:
    """Run a function of arrays in every framework and hold values and derivatives against each other.

    Compared are the value, the VJP for a cotangent and the JVP for a tangent that are drawn independently of
    the inputs, and for order 2 the gradient of ``<t, J^T g>``: each framework against the median of all, against
    a reference, in float64 against finite differences where the function is smooth, and each
    framework's products against each other by the identity ``<g, J t> = <J^T g, t>``.

    Parameters
    ----------
    f
        Takes arrays and returns an array or a tuple of arrays, in any framework: written against the Array
        API (a parameter ``xp`` is given the framework's namespace, which autograd needs) or with this
        library. Or a dictionary with a function for each framework.
    *arrays
        Anything that NumPy makes arrays of. Floating-point ones are rounded to each dtype and
        differentiated; integers and Booleans are handed on as they are.
    backends
        Names of frameworks, or `Backend`s; None is those that are installed.
    dtypes
        Some of float16, bfloat16, float32 and float64; None is the last two. Errors are in the eps of
        the dtype.
    devices
        Such as ``"cpu"`` or ``"cuda:1"``; None is the framework's own choice. A framework without a device is noted.
    reference
        The same function of float64 arrays of NumPy, by other means: an independent value.
    order
        0 for values alone, 1 for first derivatives, 2 for second ones too (in float32 and float64).
    seed
        Of the cotangents and tangents.
    tolerance
        Multiples of eps, ``{"value": 16, "derivative": 64}``, on results scaled to 1 by their largest entry.
    exact_zeros
        Demand zeros in the same places everywhere, as of the support of sparse weights.
    name
        What the report calls f.

    Returns
    -------
    Report
        ``report.ok``, ``report.findings``, ``str(report)``.

    Raises
    ------
    ValueError, TypeError, ModuleNotFoundError
        If an option is not one of what there is. What f raises is in the report.

    Examples
    --------
    >>> from anyargmax import soft_argmax
    >>> compare(soft_argmax, [0.0, 1.0, 3.0], backends=["numpy", "autograd"]).ok
    True
    """
    if not callable(f) and not isinstance(f, Mapping):
        raise TypeError(
            f"`f` must be a function or a dictionary of functions, got {type(f).__name__}. Pass a function."
        )
    if backends is None and isinstance(f, Mapping):
        backends = tuple(f)
    places, notes = places_of(backends, devices)
    lacking = [str(place) for place in places if isinstance(f, Mapping) and place.backend.name not in f]
    if lacking:
        raise ValueError(f"`f` must have a function for each framework, got none for {', '.join(lacking)}. Add it.")
    given = tuple(np.asarray(x) for x in arrays)
    wrong = [x.dtype for x in given if x.dtype.kind not in "fiub"]
    if wrong:
        raise TypeError(f"`arrays` must be real numbers or Booleans, got {wrong[0]}. Pass floating-point arrays.")
    table = dict(TOLERANCE) | dict(tolerance or {})
    problem = Problem(
        name or getattr(f, "__name__", None) or "function",
        lambda backend, dtype, device: _function_in(f, backend),
        partial(rounded, given),
        oracle=None if reference is None else partial(_reference, reference),
        exact_zeros=exact_zeros,
        tolerance=table,
    )
    chosen = _dtypes(dtypes)
    rows = tuple(_examined(problem, places, dtype, order, seed, rows=True) for dtype in chosen)
    return Report(rows, _versions(places), table, seed, notes=(*notes, *_missing_dtypes(places, chosen)))


def _examined(problem: Problem, places: Sequence[Place], dtype: str, order: int, seed: int, rows: bool) -> Row:
    row = examine(problem, places, dtype, order=order, seed=seed)
    return reduced(problem, places, row, order, seed, rows) if row.findings else row


def _calls(thorough: bool, only: str | None) -> list[catalogue.Call]:
    calls = [c for c in catalogue.CALLS if (thorough or only or c in catalogue.KINDS) and (only or "") in c.id]
    if not calls:
        raise ValueError(f"`only` must be part of a call's name, got {only!r}. See the first column of a full check.")
    return calls


def _row_of(task: tuple) -> Row:
    """One row of a check, in whatever process."""
    call_id, dtype, backends, devices, order, seed = task
    places, _ = places_of(backends, devices)
    return _examined(catalogue.problem(catalogue.BY_ID[call_id], order), places, dtype, order, seed, rows=False)


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
    backends, dtypes, devices, order, seed
        As in `compare`; the seed is that of the scores too.
    thorough
        Every call there is, instead of one of each kind.
    only
        A part of the names of the calls that are wanted.
    jobs
        In how many processes.
    progress
        Called with the rows done, those in all, and the name of the next.

    Returns
    -------
    Report
        With evidence by agreement, by the oracle, by invariants (sums, signs, optimality conditions, supports,
        gradients that sum to 0), and by finite differences.
    """
    names, chosen = names_of(backends), _dtypes(dtypes)
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
    notes += _missing_dtypes(places, chosen)
    return Report(tuple(rows), _versions(places), dict(TOLERANCE), seed, notes=tuple(notes))


def assert_backends_agree(f: Any, /, *arrays: Any, **options: Any) -> None:
    """Raise an AssertionError, with the whole report, unless a function agrees everywhere.

    Parameters are those of `compare`.
    """
    report = compare(f, *arrays, **options)
    assert report.ok, f"\n{report}"


def assert_call_agrees(call: catalogue.Call, backends: Iterable[Backend], dtype: str, *, order: int = 1) -> None:
    """Raise an AssertionError unless a built-in call has the oracle's answers in some frameworks, in one dtype."""
    places = tuple(map(Place, backends))
    row = examine(catalogue.problem(call, order), places, dtype, order=order)
    report = Report((row,), _versions(places), dict(TOLERANCE), 0)
    assert report.ok, f"\n{report}"
