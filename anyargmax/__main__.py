"""The command line: a verb a line of `VERBS`, and the experiment of the main page where none is given."""

import argparse
import pkgutil
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

PROGRAM = f"python -m {__package__}"


def experiment(options: Sequence[str]) -> int:
    """Show which argmax lets gradients through, and train by it (the default)."""
    argparse.ArgumentParser(prog=f"{PROGRAM} experiment", description=experiment.__doc__).parse_args(options)
    if find_spec("numpy") is None:
        print("The experiment needs NumPy: pip install numpy", file=sys.stderr)
        return 1
    from ._experiment import run

    return run()


def check(options: Sequence[str]) -> int:
    """Compare values and gradients of every function, or of one of yours, everywhere."""
    if find_spec("numpy") is None:
        print("The check needs NumPy: pip install numpy", file=sys.stderr)
        return 2
    from .validation.command import main

    return main(options, f"{PROGRAM} check")


def vendor(options: Sequence[str]) -> int:
    """Copy the library, with the adapters you choose, into another project."""
    from ._vendoring import run

    return run(f"{PROGRAM} vendor", options)


def bench(options: Sequence[str]) -> int:
    """Time it beside the best that each framework, and other packages for it, can do."""
    if find_spec("numpy") is None:
        print("The benchmark needs NumPy: pip install numpy", file=sys.stderr)
        return 1
    from ._benchmark.command import main

    return main(options, f"{PROGRAM} bench")


VERBS: dict[str, Callable[[Sequence[str]], int]] = {
    "experiment": experiment,
    "check": check,
    "vendor": vendor,
    "bench": bench,
}
# What each of them needs of the library: a copy in another project may have less.
PARTS = {"experiment": "_experiment", "check": "validation", "vendor": "_vendoring", "bench": "_benchmark"}


def verbs() -> dict[str, Callable[[Sequence[str]], int]]:
    """Return the verbs that this copy of the library has, the experiment first."""
    there = {module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])}
    return {verb: run for verb, run in VERBS.items() if PARTS[verb] in there}


def _summary(function: Callable[..., int]) -> str:
    return (function.__doc__ or "").partition("\n")[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb with what follows it on the command line, and return its exit code."""
    known = verbs()
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="What can be done from the command line:",
        epilog="\n".join(f"  {verb:12}{_summary(function)}" for verb, function in known.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    default = "experiment" if "experiment" in known else None
    parser.add_argument("verb", nargs="?", choices=tuple(known), default=default, help="what to do")
    parser.add_argument("options", nargs=argparse.REMAINDER, metavar="...", help="its options: VERB --help shows them")
    parsed = parser.parse_args(arguments)
    if parsed.verb is None:
        parser.print_help()
        return 0
    return known[parsed.verb](parsed.options)


if __name__ == "__main__":
    sys.exit(main())
