"""The pytest plugin: a test with the fixture ``backend`` runs once in each framework that is installed.

Beside it, ``from <package>.validation import assert_backends_agree`` compares a function in all of them at once.
"""

from typing import TYPE_CHECKING

import pytest

from ._frameworks.names import installed

if TYPE_CHECKING:
    from .validation import Backend


@pytest.fixture(params=installed())
def backend(request: pytest.FixtureRequest) -> "Backend":
    """One framework: ``name``, ``xp``, ``asarray``, ``to_numpy``, ``vjp``, ``jvp`` and ``dtypes``.

    ``xp`` is its Array API namespace, ``asarray(values, dtype=None, device=None)`` makes an array of it and
    ``to_numpy(array)`` a NumPy array; ``vjp(f, *arrays)`` and ``jvp(f, arrays, tangents)`` are those of the library.
    A framework is imported when the first test asks for it.
    """
    from .validation import load

    return load(request.param)
