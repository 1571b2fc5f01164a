"""Whether engines, the faster implementations of a rule for one kind of memory, may serve."""

import os


def enabled() -> bool:
    """Return False where the environment has ``ANYARGMAX_ENGINES=0``: then every call takes its rule."""
    return os.environ.get("ANYARGMAX_ENGINES") != "0"
