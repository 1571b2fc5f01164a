"""``check --fuzz N``: random calls, and a report of those that break a property."""

import argparse
import shlex
import textwrap
from collections.abc import Callable
from typing import Any, NamedTuple

from ..._frameworks.names import installed
from ..frameworks import load
from ..places import names_of, versions_of
from ..report import GREEN, PLAIN, RED, WIDTH
from ..tolerance import COMPUTED_IN
from . import refusals
from .refusals import chosen
from .registry import OFTEN, PROPERTIES
from .search import Failed, fuzzed, tasks
from .snippet import code

# What says nothing about random calls, by the name of the option.
APART = ("devices", "shapes", "tolerance", "thorough", "junit", "json")


class Fuzzed(NamedTuple):
    """Random calls of each property, and those that broke one, in words."""

    frameworks: tuple[str, ...]  # with their versions
    dtypes: tuple[str, ...]
    seed: int
    counts: dict[str, int]
    broken: dict[str, int]
    failures: tuple[tuple[str, str], ...]  # which property of which call, and the rest that there is to say

    @property
    def exit_code(self) -> int:
        """0 where every property holds, else 1."""
        return int(bool(self.failures))

    @property
    def verdict(self) -> str:
        """Say in a line whether all is well."""
        count = len(self.failures)
        return f"FAILED: {count} of the properties of functions." if count else "Every property holds."


def refusal(o: argparse.Namespace, standard: argparse.Namespace) -> str:
    """Why the options make no sense together, in a line; empty if they do."""
    if o.fuzz < 1:
        return f"--fuzz must be at least 1, got {o.fuzz}"
    if o.target:
        return f"--fuzz makes calls of the built-in functions: leave out {o.target}"
    if o.seed < 0:
        return f"--seed must be at least 0 with --fuzz, got {o.seed}"
    other = [name for name in (*APART, "order") if getattr(o, name) != getattr(standard, name)]
    return f"--fuzz does not go with --{other[0]}: leave it out" if other else ""


def _framework(failed: Failed) -> str:
    """The framework to show: the last, which is held against the first."""
    assert failed.case is not None
    return failed.case.frameworks[-1]


def _title(failed: Failed) -> str:
    case = failed.case
    assert case is not None
    return f"{failed.task.name}, in {' and '.join(case.frameworks)}, {case.dtype}"


def described(failed: Failed, again: str) -> str:
    """Say which property does not hold of which call, what came, and how to see it again."""
    return "\n".join([*textwrap.wrap(_title(failed), WIDTH), _details(failed, again)])


def _details(failed: Failed, again: str) -> str:
    case = failed.case
    assert case is not None
    about = chosen(case) if failed.task.held.holds is refusals.refused else None
    lines = [f"  {line}" for part in failed.text.splitlines() for line in textwrap.wrap(part, WIDTH - 2)]
    lines += [
        "  the call:",
        textwrap.indent(code(case, _framework(failed), about), "    "),
        "  again:",
        *_continued(again),
    ]
    return "\n".join(lines)


def _continued(command: str) -> list[str]:
    """A command of a shell in lines of the width."""
    lines = textwrap.wrap(command, WIDTH - 6, break_long_words=False, break_on_hyphens=False)
    return [f"    {line}{' ' + chr(92) if k < len(lines) - 1 else ''}" for k, line in enumerate(lines)]


def _repeat(
    program: str, o: argparse.Namespace, failed: Failed, names: tuple[str, ...], dtypes: tuple[str, ...]
) -> str:
    """The command that finds the failure again."""
    task = failed.task
    words = f"--fuzz {task.calls} --seed {task.seed} --only {shlex.quote(task.name)}"
    return " ".join([program, words, *_given("--backends", o.backends, names), *_given("--dtypes", o.dtypes, dtypes)])


def _given(option: str, given: Any, chosen: tuple[str, ...]) -> list[str]:
    return [option, *chosen] if given else []


def _table(counts: dict[str, int], broken: dict[str, int]) -> list[str]:
    width = WIDTH - 18
    lines = [f"{'':{width}}{'calls':>8}"]
    for name, count in counts.items():
        label = name if len(name) < width else name[: width - 4] + "..."
        lines.append(f"{label:{width}}{count:8}  {'FAILED' if broken.get(name) else 'ok'}")
    return lines


def text(found: Fuzzed, color: bool = False) -> str:
    """Return what was found as text of at most 80 columns."""
    heading = f"{sum(found.counts.values())} random calls on {', '.join(found.frameworks)}; seed {found.seed}"
    lines = [*textwrap.wrap(heading, WIDTH, subsequent_indent="  "), ""]
    lines += [*_table(found.counts, found.broken), ""]
    lines += ["\n".join([*textwrap.wrap(title, WIDTH), details, ""]) for title, details in found.failures]
    paint = (RED if found.failures else GREEN) if color else ""
    return "\n".join([*lines, f"{paint}{found.verdict}{PLAIN if color else ''}"])


def run(o: argparse.Namespace, program: str, progress: Callable[[int, int, str], None]) -> Fuzzed:
    """Make the calls and return what was found."""
    names = names_of(o.backends or [name for name in installed() if name in OFTEN])
    dtypes = tuple(dict.fromkeys(o.dtypes or COMPUTED_IN))
    unknown = [dtype for dtype in dtypes if dtype not in COMPUTED_IN]
    if unknown:
        raise ValueError(f"`dtypes` must be some of {', '.join(COMPUTED_IN)}, got {unknown[0]!r}. Choose among these.")
    only = o.only or ""
    planned = tasks(o.fuzz, o.seed, names, dtypes, only)
    if not planned:
        raise ValueError(
            f"`only` must be part of a property's name or a function's, got {only!r}. Properties are: {'; '.join(PROPERTIES)}."
        )
    total, done = sum(task.calls for task in planned), 0
    counts: dict[str, int] = {}
    broken: dict[str, int] = {}
    failures: list[tuple[str, str]] = []
    for task, count, failed in fuzzed(o.fuzz, o.seed, names, dtypes, only):
        done += task.calls
        name = task.held.name
        counts[name] = counts.get(name, 0) + count
        if failed:
            broken[name] = broken.get(name, 0) + 1
            failures.append((_title(failed), _details(failed, _repeat(program, o, failed, names, dtypes))))
        progress(min(done, total - 1), total, task.name)
    progress(total, total, "")
    return Fuzzed(versions_of(map(load, names)), dtypes, o.seed, counts, broken, tuple(failures))
