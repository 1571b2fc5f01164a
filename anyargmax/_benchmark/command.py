"""The verb ``bench``: what it is asked for, and in which order it happens."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from .._help import with_examples
from . import judge, report, run
from .targets import LOADING_LIMIT, ON_ACCELERATOR, TARGETS
from .workloads import DEVICES, FRAMEWORKS, LOADING

NAMES = (DEVICES[0], "gpu", "cuda", "mps", "xpu")
EXAMPLES = (
    "--list",
    '--frameworks numpy --only "8x10 fwd" --seconds 0.1',
    "--frameworks torch jax --only 4096x1024 --json timings.json",
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
    add("--plot", metavar="FILE", help="draw the ratios, by matplotlib")
    return parser


def _problems(options: argparse.Namespace) -> Iterator[str]:
    """Give what is wrong with the options."""
    yield from _wrong_frameworks(options)
    if not _chosen(options):
        yield f"--only must be in the name of a row, got {options.only!r}. The names: --list."
    for name in ("threads", "seconds", "scale"):
        if not 0 < getattr(options, name) < float("inf"):
            yield f"--{name} must be greater than 0, got {getattr(options, name)}."
    for path in filter(None, (options.json, options.plot)):
        if not Path(path).absolute().parent.is_dir():
            yield f"The folder of {path} does not exist. Make it, or choose another."
    needed = {"--plot": options.plot and "matplotlib", "--count": options.count and "torch"}
    for option, package in needed.items():
        if package and not run.installed(package):
            yield f"{option} needs {package}: pip install {package}"


def _wrong_frameworks(options: argparse.Namespace) -> Iterator[str]:
    for name in options.frameworks or ():
        if name not in FRAMEWORKS:
            yield f"--frameworks must be some of {', '.join(FRAMEWORKS)}, got {name}."
        elif not options.list and not run.installed(name):
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
    """Measure what is asked for, print and write it; return 0, 1 if a framework fails, 2 for wrong options."""
    options = _parser(program).parse_args(arguments)
    if problem := next(_problems(options), ""):
        print(f"{program}: {problem}", file=sys.stderr)
        return 2
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
    if options.json:
        text = json.dumps(report.described(result, [*program.split(), *arguments]), indent=1)
        Path(options.json).write_text(text + "\n", encoding="utf-8")
    if options.plot and not options.count:
        from . import plot

        plot.save(result.rows, options.plot)
    return int(not well)
