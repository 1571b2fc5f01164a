"""The verb ``bench``: what it is asked for, and in which order it happens."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from .. import __version__, _figures, _files
from .._figures import ENDINGS_SHOWN
from .._help import with_examples
from . import judge, report, run
from .targets import LOADING_LIMIT, ON_ACCELERATOR, TARGETS
from .workloads import DEVICES, FRAMEWORKS, LOADING

NAMES = (DEVICES[0], "gpu", "cuda", "mps", "xpu")
EXAMPLES = (
    "--list",
    '--frameworks numpy --only "8x10 fwd" --seconds 0.1',
    "--frameworks torch jax --only 4096x1024 --json timings.json --plot timings.png",
)


def _parser(program: str) -> argparse.ArgumentParser:
    text = "Time the library beside its best peers."
    parser = argparse.ArgumentParser(description=text, **with_examples(program, EXAMPLES))
    add = parser.add_argument
    add("--frameworks", nargs="+", metavar="NAME", help=f"some of {' '.join(FRAMEWORKS)}; default: what is installed")
    add("--only", default="", metavar="TEXT", help='rows that hold the text, such as "torch 4096" or "heatmaps"')
    add("--list", action="store_true", help="show the rows and their targets, and time nothing")
    add("--count", action="store_true", help="count kernels, passes and host reads on a pretended GPU; time nothing")
    add("--device", default=DEVICES[0], choices=NAMES, help="where torch and JAX are timed (cpu); gpu: what there is")
    add("--threads", type=int, default=1, metavar="N", help="threads and processors to use (1)")
    add("--seconds", type=float, default=2.0, metavar="S", help="time for each row (2)")
    add("--compile", action="store_true", help="show torch.compile too, of the naive formula and of ours")
    add("--scale", type=float, default=1.0, metavar="F", help="multiply every length, to try the command out")
    add("--json", metavar="FILE", help="write all of it")
    add("--plot", metavar="FILE", help=f"draw every row, or the counts, in a {ENDINGS_SHOWN} file, by matplotlib")
    add(
        "--from", metavar="FILE", dest="saved", help="measure nothing: draw what --json wrote, or the rows chosen of it"
    )
    return parser


def _problems(options: argparse.Namespace) -> Iterator[str]:
    """Give what is wrong with the options."""
    yield from _wrong_frameworks(options)
    if not _chosen(options):
        yield f"--only must be in the name of a row, got {options.only!r}. The names: --list."
    for name in ("threads", "seconds", "scale"):
        if not 0 < getattr(options, name) < float("inf"):
            yield f"--{name} must be greater than 0, got {getattr(options, name)}."
    if options.json is not None:
        yield _files.problem(options.json)
    if options.plot is not None:
        yield _figures.problem(options.plot, run.installed)
        if options.list:
            yield "--list measures nothing that --plot could draw: leave out one of them."
    if options.count and not run.installed("torch"):
        yield "--count needs torch: pip install torch"


def _unknown_frameworks(options: argparse.Namespace) -> Iterator[str]:
    for name in options.frameworks or ():
        if name not in FRAMEWORKS:
            yield f"--frameworks must be some of {', '.join(FRAMEWORKS)}, got {name}."


def _wrong_frameworks(options: argparse.Namespace) -> Iterator[str]:
    yield from _unknown_frameworks(options)
    for name in options.frameworks or ():
        if not options.list and not run.installed(name):
            yield f"{FRAMEWORKS[name]} is not installed: pip install {name}, or leave it out."
        elif not run.rows_of(name, "", options.device):
            yield f"{FRAMEWORKS[name]} is timed on the CPU alone, got --device {options.device}. Leave one of them out."


def _chosen(options: argparse.Namespace) -> list[str]:
    """The frameworks that have rows for the options; of what is counted, that it is there."""
    if options.count:
        from .counts.report import named

        return ["torch"] if any(named(options.only)) else []
    names = options.frameworks or FRAMEWORKS
    return [name for name in names if run.rows_of(name, options.only, options.device)]


def _redrawn(options: argparse.Namespace, standard: argparse.Namespace) -> str:
    """Draw what was saved; return what is wrong, if there is anything."""
    apart = set(vars(options)) - {"saved", "plot", "only", "frameworks"}
    if options.plot is None:
        return "--from needs --plot FILE, where it draws."
    if other := sorted(name for name in apart if getattr(options, name) != getattr(standard, name)):
        return f"--from draws what was measured: leave out --{other[0]}."
    if reason := _figures.problem(options.plot, run.installed):
        return reason
    if reason := next(_unknown_frameworks(options), ""):
        return reason
    saved, reason = _saved(options.saved)
    try:
        rows = [row for row in saved.get("rows", ()) if _wanted(row, options)]
        if rows:
            _draw(saved | {"rows": rows}, options.plot)
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # of another version, or another program
        return f"{options.saved} must be a file that --json of version {__version__} wrote, got {error!r} in it."
    return reason or ("" if rows else f"{options.saved} has no row with these --frameworks and --only.")


def _saved(path: str) -> tuple[dict[str, Any], str]:
    """Return what `--json` wrote; or nothing, and why."""
    try:
        saved = json.loads(Path(path).read_text(encoding="utf-8"))
        known = all({"framework", "call", "graph"} & row.keys() for row in saved["rows"])
    except OSError as error:
        return {}, f"{path} cannot be read: {error.strerror or error}."
    except (ValueError, TypeError, KeyError, AttributeError):
        known = False
    return (saved, "") if known else ({}, f"{path} must be a file that --json wrote.")


def _wanted(row: judge.Row, options: argparse.Namespace) -> bool:
    """Whether a saved row is of the frameworks, and holds the text, that were asked for."""
    framework = row.get("framework", "torch")
    words = ["export"] * ("graph" in row) + [
        row.get(key, "") for key in ("framework", "workload", "call", "graph", "pass")
    ]
    text = " ".join(filter(None, words)).lower()
    return framework in (options.frameworks or FRAMEWORKS) and options.only.lower() in text


def _draw(described: dict[str, Any], path: str) -> None:
    from . import plot

    _figures.save(plot.figure(described), path)
    count = len(described["rows"])
    print(f"Drawn in {path}: {count} row{'s' * (count != 1)}.")


def _listed(frameworks: Sequence[str], options: argparse.Namespace) -> str:
    lines = []
    targets: Any = TARGETS if options.device == DEVICES[0] else ON_ACCELERATOR
    for framework in frameworks:
        for name, which in run.rows_of(framework, options.only, options.device):
            found = targets.get((name, framework, which), ())
            limits = [
                f"{target.limit:.2f}{f' of {target.peer}' if target.peer else ''}" for target in judge.several(found)
            ]
            limit = f"{LOADING_LIMIT:g} s" if name == LOADING else ", ".join(limits) or "-"
            lines.append(f"{framework:9} {name:16} {which:4} target {limit}")
    return "\n".join(lines)


def _measure(framework: str, options: argparse.Namespace, result: report.Result, progress) -> None:
    """Measure the rows of a framework, and show and keep each when it is there."""
    wanted, done = run.rows_of(framework, options.only, options.device), count(1)
    targets: Any = TARGETS if options.device == DEVICES[0] else ON_ACCELERATOR

    def show(row: judge.Row) -> None:
        bandwidth = result.devices.get(framework, {}).get("bandwidth")
        row |= judge.verdict(row, options.scale, targets, bandwidth)
        result.rows.append(row)
        progress()
        print("\n".join([report.line(row), *report.remarks(row)]), flush=True)

    timed = [row for row in wanted if row[0] != LOADING]
    if len(timed) < len(wanted):
        progress(f"{framework} {LOADING} ({next(done)} of {len(wanted)})")
        show(run.first_call(framework, options.threads))
    asked = {name: getattr(options, name) for name in ("threads", "seconds", "scale", "compile", "device")}
    for said in run.timed(framework, timed, asked) if timed else ():
        if "doing" in said:
            progress(f"{framework} {said['doing']} ({next(done)} of {len(wanted)})")
        elif "row" in said:
            show(said["row"])
        elif "device" in said:
            result.devices[framework] = said["device"]
            print(report.device(**said["device"]), flush=True)
        else:
            result.packages.update(said["versions"])
            result.missing.update(said["missing"])
            print("".join(f"{text}\n" for text in report.missing(said["missing"])), end="", flush=True)


def _measured(chosen: Sequence[str], options: argparse.Namespace, result: report.Result) -> bool:
    """Measure the frameworks one after the other; say whether all went well."""
    progress, well = report.Progress(sys.stderr), True
    print(f"{report.processor()}\n{report.legend(options.threads, options.scale)}\n\n{report.HEADING}")
    for framework in chosen:
        print(report.title(framework), flush=True)
        if not run.installed(framework):
            result.missing[framework] = "is not installed"
            print(f"  is not installed: pip install {framework}")
            continue
        try:
            _measure(framework, options, result, progress)
        except run.Failure as failure:
            well = False
            progress()
            print(report.wrapped(f"failed: {failure}"))
    print(f"\n{report.summary(result.rows)}")
    return well


def main(arguments: Sequence[str], program: str) -> int:
    """Measure what is asked for, print, write and draw it; return 0, 1 if a framework fails, 2 for wrong options."""
    parser = _parser(program)
    options = parser.parse_args(arguments)
    if options.saved is not None:
        problem = _redrawn(options, parser.parse_args([]))
    else:
        problem = next(filter(None, _problems(options)), "")
    if problem:
        print(f"{program}: {problem}", file=sys.stderr)
        return 2
    if options.saved is not None:
        return 0
    return _run(options, [*program.split(), *arguments])


def _run(options: argparse.Namespace, words: list[str]) -> int:
    chosen = _chosen(options)
    if options.list and not options.count:
        print(_listed(chosen, options))
        return 0
    result, well = report.Result([], {}, {}, {}), True
    if options.count:
        from .counts.report import show

        result.rows.extend(show(options.only, options.scale, report.Progress(sys.stderr)))
    else:
        well = _measured(chosen, options, result)
    described = report.described(result, words)
    if options.json is not None:
        Path(options.json).write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
    if options.plot and result.rows:
        _draw(described, options.plot)
    elif options.plot:
        print(f"Nothing is drawn in {options.plot}: no row was measured.")
    return int(not well)
