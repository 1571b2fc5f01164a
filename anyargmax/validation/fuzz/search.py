"""Run properties on random calls: which, how many of each, and what is left of a failure when it is as simple as can be."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings

from ..catalogue import FUNCTIONS
from ..evaluation import summary
from ..frameworks import load
from . import algebra, memory, numbers, refusals, specification, ways  # noqa: F401  (they register their properties)
from .case import Case
from .drawing import Wanted, cases
from .registry import OFTEN, PROPERTIES, WHOLE, Property

TRIALS, PATIENCE = 300, 5.0  # simpler calls that are tried after a failure, and seconds
MOST = 400  # calls that are drawn together: more repeat slowly


class Task(NamedTuple):
    """A property of a function, checked on so many random calls from a seed."""

    held: Property
    function: str
    calls: int
    seed: int

    @property
    def name(self) -> str:
        return f"{self.held.name}: {self.function}"


class Failed(NamedTuple):
    """A property that does not hold of a call, simplified, and what it said."""

    task: Task
    case: Case | None
    error: BaseException

    @property
    def text(self) -> str:
        """What was expected and what came."""
        return str(self.error) if isinstance(self.error, AssertionError) else f"raised {summary(self.error)}"


def wanted(p: Property, frameworks: Sequence[str], dtypes: Sequence[str]) -> Wanted | None:
    """What to draw for a property in some frameworks and dtypes; None if it says nothing about those."""
    whole = WHOLE if set(dtypes) >= {"float32", "float64"} else ()
    chosen = [d for d in p.dtypes if d in dtypes or d in whole]
    names = [name for name in p.frameworks if name in frameworks]
    having = {name: tuple(d for d in chosen if d in (*load(name).dtypes, *WHOLE)) for name in dict.fromkeys(names)}
    names = [name for name in names if having[name]]
    if len(set(names)) < min(p.together, 2):
        return None
    often = names if len(names) > len(set(names)) else [name for name in names for _ in range(OFTEN[name])]
    # In one framework the properties of several have nothing to compare.
    together = min(p.together, len(set(names)))
    return Wanted(tuple(often), having, together, p.kinds, p.longest, p.entries, p.fixed, p.arrays)


def tasks(
    calls: int,
    first_seed: int,
    frameworks: Sequence[str],
    dtypes: Sequence[str],
    only: str = "",
) -> list[Task]:
    """Share calls out among properties and functions, those that would get few taking turns by the seed."""
    pairs = [(p, name) for p in PROPERTIES.values() if wanted(p, frameworks, dtypes) for name in p.functions]
    exact = [pair for pair in pairs if only == f"{pair[0].name}: {pair[1]}"]
    pairs = exact or [(p, name) for p, name in pairs if only in f"{p.name}: {name}"]
    total = sum(p.share / len(p.functions) for p, _ in pairs)
    rng, planned = np.random.default_rng(first_seed), []
    for p, name in pairs:
        quota, least = calls * p.share / len(p.functions) / total, min(p.least, calls)
        count = round(quota) if quota >= least else least * int(rng.random() < quota / least)
        planned += [Task(p, name, min(MOST, count - k), first_seed + k // MOST) for k in range(0, count, MOST)]
    if pairs and not planned:
        p, name = pairs[rng.integers(len(pairs))]
        planned.append(Task(p, name, min(p.least, calls), first_seed))
    return planned


def ran(task: Task, frameworks: Sequence[str], dtypes: Sequence[str]) -> tuple[int, Failed | None]:
    """Check a property on random calls; return on how many, and the simplest failure if there is one."""
    want = wanted(task.held, frameworks, dtypes)
    assert want is not None
    count, tried, began = 0, 0, 0.0
    failing: list[tuple[Case, Exception]] = []

    def check(case: Case) -> None:
        nonlocal count, tried, began
        count += not failing
        tried += bool(failing)
        began = began if failing else time.monotonic()
        if tried > TRIALS or time.monotonic() - began > PATIENCE:
            return  # what was seen last is simple enough
        try:
            task.held.holds(case)
        except Exception as error:
            failing.append((case, error))
            raise

    error = _searched(check, task, want)
    if error is None:
        return count, None
    if not failing:
        raise error
    # What was raised last, when all had been simplified; of a property that holds at times, what was seen at all.
    case, seen = failing[-1]
    return count, Failed(task, case, seen)


def _searched(check: Callable[[Case], None], task: Task, want: Wanted) -> BaseException | None:
    """Have hypothesis look for a failure and make it simple."""
    options = settings(
        max_examples=task.calls,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
        report_multiple_bugs=False,
        print_blob=False,
    )
    search = seed(task.seed)(options(given(cases({task.function: FUNCTIONS[task.function]}, want))(check)))
    try:
        search()
    except (Exception, ExceptionGroup) as error:
        return error
    return None


def fuzzed(
    calls: int, first_seed: int, frameworks: Sequence[str], dtypes: Sequence[str], only: str = ""
) -> Iterator[tuple[Task, int, Failed | None]]:
    """Run every task; one that failed before is not run with another seed."""
    broken: set[str] = set()
    for task in tasks(calls, first_seed, frameworks, dtypes, only):
        if task.name in broken:
            continue
        count, failed = ran(task, frameworks, dtypes)
        broken |= {task.name} if failed else set()
        yield task, count, failed
