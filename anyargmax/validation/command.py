"""``python -m ... check``: the built-in functions, or one of yours, on every framework."""

import argparse
import importlib
import inspect
import os
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from .. import _files
from .._help import with_examples
from .checking import check
from .comparison import compare
from .evaluation import summary
from .page import as_html
from .report import WIDTH, Report, as_json, as_junit, text

# One entry, a vector, a matrix and more: what a function of arrays is tried on where no shapes are given.
DEFAULT_SHAPES = ((1, 1), (5,), (3, 4), (2, 3, 4))
EXAMPLES = (
    "--only sparsemax",
    "--backends numpy autograd --order 2 --only median",
    f"{__name__.rpartition('.validation')[0]}:soft_argmax --shapes 4,7 3,2,5",
    "--fuzz 100 --backends numpy",
)


class Refusal(Exception):
    """What cannot be done, in a line."""


class Progress:
    """One line, rewritten in place on a terminal; nothing elsewhere."""

    def __init__(self, stream: Any):
        self.stream, self.in_place = stream, stream.isatty()

    def __call__(self, done: int, total: int, name: str) -> None:
        if self.in_place:
            line = f"  {done} of {total}  {name}"[: WIDTH - 1] if done < total else ""
            print(f"\r{line:{WIDTH - 1}}\r", end="", file=self.stream, flush=True)


def _shape(word: str) -> tuple[int, ...]:
    try:
        shape = tuple(int(n) for n in word.split(",") if n)
    except ValueError:
        shape = (-1,)
    if min(shape, default=0) < 0:
        raise argparse.ArgumentTypeError(f"a shape must be like 4,7 (or , for a single number), got {word!r}")
    return shape


class _Parser(argparse.ArgumentParser):
    """One line for what is wrong."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def parser(program: str) -> argparse.ArgumentParser:
    """Return the command's options."""
    text = "Compare values and derivatives of functions in every framework."
    made = _Parser(description=text, **with_examples(program, EXAMPLES))
    add = made.add_argument
    add("target", nargs="?", metavar="MODULE:FUNCTION", help="your function of arrays; the built-in ones if left out")
    add("--backends", nargs="+", metavar="NAME", help="frameworks; all that are installed if left out")
    add("--dtypes", nargs="+", metavar="DTYPE", help="float16, bfloat16, float32, float64; the last two if left out")
    add("--devices", nargs="+", metavar="DEVICE", help="such as cpu cuda; the framework's own choice if left out")
    add(
        "--shapes", nargs="+", type=_shape, metavar="N,M", help="of your function's arrays, as many as it takes or more"
    )
    add("--order", type=int, choices=(0, 1, 2), default=1, help="of derivatives (1)")
    add("--seed", type=int, default=0, help="of all random numbers (0)")
    add("--tolerance", nargs=2, type=float, metavar="EPS", help="eps allowed for your values and derivatives (16 64)")
    add("--thorough", action="store_true", help="every built-in call, not one of each kind")
    add("--only", metavar="TEXT", help="the built-in calls, or with --fuzz the properties, with this in their names")
    add("--fuzz", type=int, metavar="N", help="about so many random calls of the built-in functions; needs hypothesis")
    add("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes for the built-in functions (2)")
    add("--json", metavar="FILE", help="write everything that was found")
    add("--junit", metavar="FILE", help="write a test suite in JUnit's XML")
    add(
        "--html",
        metavar="FILE",
        help="write a page for a browser: what was compared, the errors, every failure in full",
    )
    return made


def _imported(target: str) -> Any:
    module_name, colon, name = target.partition(":")
    if not colon or not name:
        raise Refusal(f"a function must be given as module:function, got {target!r}")
    try:
        f = importlib.import_module(module_name)
        for part in name.split("."):
            f = getattr(f, part)
    except Exception as error:  # an import runs code of the user, which may raise anything
        raise Refusal(f"cannot import {target}: {summary(error)}") from error
    if not callable(f):
        raise Refusal(f"{target} must be a function, got {type(f).__name__}")
    return f


def _arity(f: Any) -> int:
    """How many arrays a function wants: its positional parameters without a default."""
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):
        return 1
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in kinds and p.default is p.empty and p.name != "xp" for p in parameters) or 1


def _grouped(shapes: Sequence[tuple[int, ...]] | None, count: int, target: str) -> list[tuple[tuple[int, ...], ...]]:
    """The shapes of the arrays of each comparison."""
    if shapes is None:
        return [(shape,) * count for shape in DEFAULT_SHAPES]
    if len(shapes) % count:
        raise Refusal(f"{target} takes {count} arrays: give a multiple of {count} shapes, got {len(shapes)}")
    return [tuple(shapes[k : k + count]) for k in range(0, len(shapes), count)]


def _own(o: argparse.Namespace, progress: Progress) -> Report:
    """Compare a function of the user's on every set of shapes."""
    f = _imported(o.target)
    tolerance = dict(zip(("value", "derivative"), o.tolerance or (), strict=False))
    groups = _grouped(o.shapes, _arity(f), o.target)
    reports: list[Report] = []
    refused: list[Report] = []
    for done, shapes in enumerate(groups):
        name = f"{o.target} {' '.join(map(str, shapes))}"
        progress(done, len(groups), name)
        rng = np.random.default_rng([o.seed, done])
        arrays = [rng.normal(size=shape) for shape in shapes]
        options = {"order": o.order, "seed": o.seed, "tolerance": tolerance, "name": name}
        report = compare(f, *arrays, backends=o.backends, dtypes=o.dtypes, devices=o.devices, **options)
        nowhere = all(len(row.raised) and not row.evidence for row in report.rows)
        (refused if nowhere and o.shapes is None else reports).append(report)
    progress(len(groups), len(groups), "")
    if not reports:
        raise Refusal(refused[0].raised[0])
    left_out = tuple(f"not taken: {report.raised[0]}" for report in refused)
    first, rows = reports[0], tuple(row for report in reports for row in report.rows)
    return first._replace(rows=rows, notes=(*first.notes, *left_out))


def _again(program: str, o: argparse.Namespace) -> str:
    words = [program, *([o.target] if o.target else [])]
    if o.shapes:
        words += ["--shapes", *(",".join(map(str, shape)) or "," for shape in o.shapes)]
    return " ".join([*words, *(["--order", str(o.order)] if o.order != 1 else [])])


def _write(path: str, content: str) -> None:
    try:
        Path(path).write_text(content + "\n", encoding="utf-8")
    except OSError as error:
        raise Refusal(f"cannot write {path}: {error.strerror or error}") from error


def _refuse_paths(*paths: str | None) -> None:
    """Refuse what cannot be written before there is anything to write."""
    for path in paths:
        if path is not None and (reason := _files.problem(path)):
            raise Refusal(reason)


def _fuzz(o: argparse.Namespace, program: str, progress: Progress) -> int:
    """Make random calls, print and write what was found and return the exit code."""
    if find_spec("hypothesis") is None:
        raise Refusal("--fuzz needs hypothesis: pip install hypothesis")
    os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(Path(tempfile.gettempdir()) / "hypothesis"))
    from .fuzz import command, page

    reason = command.refusal(o, parser(program).parse_args([]))
    if reason:
        raise Refusal(reason)
    found = command.run(o, program, progress)
    print(command.text(found, color=sys.stdout.isatty()))
    if o.html:
        _write(o.html, page.as_html(found))
    return found.exit_code


def _compared(o: argparse.Namespace, program: str, progress: Progress) -> Report:
    """Compare the function that was named, or the built-in ones."""
    if o.target:
        report = _own(o, progress)
    else:
        given = {name: getattr(o, name) for name in ("backends", "dtypes", "devices", "order", "seed", "only")}
        report = check(**given, thorough=o.thorough, jobs=o.jobs, progress=progress)
    return report._replace(again=_again(program, o))


def _written(o: argparse.Namespace, report: Report) -> None:
    """Write what was found, in the formats that were asked for."""
    for path, content in ((o.json, as_json), (o.junit, as_junit), (o.html, as_html)):
        if path:
            _write(path, content(report))


def main(options: Sequence[str], program: str) -> int:
    """Run the command and return its exit code: 1 for a disagreement, 2 for what could not be run."""
    o = parser(program).parse_args(options)
    progress = Progress(sys.stderr)
    try:
        _refuse_paths(o.json, o.junit, o.html)
        if o.fuzz is not None:
            return _fuzz(o, program, progress)
        report = _compared(o, program, progress)
        print(text(report, color=sys.stdout.isatty()))
        _written(o, report)
    except (Refusal, ValueError, TypeError, ImportError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    return report.exit_code
