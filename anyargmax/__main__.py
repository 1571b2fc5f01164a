"""The command line: a verb a line of `VERBS`, and the experiment of the main page where none is given."""

import argparse
import os
import pkgutil
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from io import TextIOWrapper
from pathlib import Path

from . import __version__
from ._figures import ENDINGS_SHOWN, problem
from ._help import with_examples

PROGRAM = f"python -m {__package__}"


PLOT = f"draw the training in a file that ends in {ENDINGS_SHOWN}, by matplotlib"


def experiment(options: Sequence[str], program: str) -> int:
    """Show which argmax lets gradients through, and train by it (the default)."""
    examples = with_examples(program, ["", "--plot training.png"])
    parser = argparse.ArgumentParser(description=experiment.__doc__, **examples)
    parser.add_argument("--plot", metavar="FILE", help=PLOT)
    path = parser.parse_args(options).plot
    if find_spec("numpy") is None:
        print("The experiment needs NumPy: pip install numpy", file=sys.stderr)
        return 1
    if path is not None and (reason := problem(path, find_spec)):
        print(f"{program}: {reason}", file=sys.stderr)
        return 2
    from ._experiment import run

    return run(plot=path or "")


def check(options: Sequence[str], program: str) -> int:
    """Compare values and gradients of every function, or of one of yours, everywhere."""
    if find_spec("numpy") is None:
        print("The check needs NumPy: pip install numpy", file=sys.stderr)
        return 2
    from .validation.command import main

    return main(options, program)


def vendor(options: Sequence[str], program: str) -> int:
    """Copy the library, with the adapters you choose, into another project."""
    from ._vendoring import run

    return run(program, options)


def bench(options: Sequence[str], program: str) -> int:
    """Time it beside the best that each framework, and other packages for it, can do."""
    if find_spec("numpy") is None:
        print("The benchmark needs NumPy: pip install numpy", file=sys.stderr)
        return 1
    from ._benchmark.command import main

    return main(options, program)


def estimators(options: Sequence[str], program: str) -> int:
    """Measure bias, spread and time of the gradients that draws may have."""
    if find_spec("numpy") is None:
        print("The measurement needs NumPy: pip install numpy", file=sys.stderr)
        return 1
    from ._experiment.estimators import run

    return run(options, program)


VERBS: dict[str, Callable[[Sequence[str], str], int]] = {
    "experiment": experiment,
    "check": check,
    "vendor": vendor,
    "bench": bench,
    "estimators": estimators,
}
# What each of them needs of the library: a copy in another project may have less.
PARTS = {
    "experiment": "_experiment",
    "check": "validation",
    "vendor": "_vendoring",
    "bench": "_benchmark",
    "estimators": "_experiment",
}
EXAMPLES = {
    "experiment": "",
    "check": "check --only sparsemax",
    "vendor": "vendor _argmax",
    "bench": "bench --list",
    "estimators": "estimators --draws 1000",
}


def verbs() -> dict[str, Callable[[Sequence[str], str], int]]:
    """Return the verbs that this copy of the library has, the experiment first."""
    there = {module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])}
    return {verb: run for verb, run in VERBS.items() if PARTS[verb] in there}


def _summary(function: Callable[..., int]) -> str:
    return (function.__doc__ or "").partition("\n")[0]


def _parser(program: str, known: dict[str, Callable[[Sequence[str], str], int]]) -> argparse.ArgumentParser:
    """Return the options before the verb."""
    summaries = "".join(f"  {verb:12}{_summary(function)}\n" for verb, function in known.items())
    parser = argparse.ArgumentParser(
        description="What can be done from the command line:",
        **with_examples(program, [EXAMPLES[verb] for verb in known], before=summaries),
    )
    default = "experiment" if "experiment" in known else None
    parser.add_argument("--version", action="version", version=f"{__package__} {__version__}")
    if default:
        parser.add_argument("--plot", metavar="FILE", help=f"of the experiment: {PLOT}")
    parser.add_argument("verb", nargs="?", choices=tuple(known), default=default, help="what to do")
    parser.add_argument("options", nargs=argparse.REMAINDER, metavar="...", help="its options: VERB --help shows them")
    return parser


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Run a verb with what follows it on the command line, and return its exit code.

    Parameters
    ----------
    arguments
        The words of the command line; None takes those of the process.
    program
        What the user types before them, for messages.
    """
    known = verbs()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # messages of functions may hold what a terminal cannot show
            stream.reconfigure(errors="backslashreplace")
    parser = _parser(program, known)
    parsed = parser.parse_args(arguments)
    if parsed.verb is None:
        parser.print_help()
        return 0
    plot = getattr(parsed, "plot", None)
    if plot is not None and parsed.verb != "experiment":
        parser.error(f"--plot before {parsed.verb} would draw nothing: give the options of {parsed.verb} after it")
    given = [] if plot is None else ["--plot", plot]
    return known[parsed.verb]([*given, *parsed.options], f"{program} {parsed.verb}")


def script() -> int:
    """Run the command line as the script that comes with an installation, under the name of the script."""
    if not sys.flags.safe_path:
        sys.path.insert(0, os.getcwd())  # `check module:function` finds what it finds by `python -m`
    return main(program=Path(sys.argv[0]).name.removesuffix(".exe"))


if __name__ == "__main__":
    sys.exit(main())
