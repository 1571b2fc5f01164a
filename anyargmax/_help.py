"""What the help pages of the command line have in common: examples at their end."""

import argparse
from collections.abc import Iterable
from typing import Any


def with_examples(program: str, examples: Iterable[str], before: str = "") -> dict[str, Any]:
    """Return what makes a parser end its help with examples, in a line each.

    Parameters
    ----------
    program
        What a command starts with, such as ``python -m package verb``.
    examples
        What follows it, as typed in a shell. Each runs as it stands.
    before
        Lines above the examples.
    """
    lines = ["examples:", *(f"  {program} {words}".rstrip() for words in examples)]
    return {
        "prog": program,
        "epilog": "\n".join([before, *lines] if before else lines),
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }
