"""The command line: a verb a line of `VERBS`, and the seed's experiment where none is given."""

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec

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


def _summary(function: Callable[..., int]) -> str:
    return (function.__doc__ or "").partition("\n")[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb with what follows it on the command line, and return its exit code."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="What can be done from the command line:",
        epilog="\n".join(f"  {verb:12}{_summary(function)}" for verb, function in VERBS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("verb", nargs="?", choices=tuple(VERBS), default="experiment", help="what to do")
    parser.add_argument("options", nargs=argparse.REMAINDER, metavar="...", help="its options: VERB --help shows them")
    parsed = parser.parse_args(arguments)
    return VERBS[parsed.verb](parsed.options)


if __name__ == "__main__":
    sys.exit(main())
