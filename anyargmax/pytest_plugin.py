"""The pytest plugin: a test with the fixture ``anyargmax_backend`` runs once in each framework that is installed.

The ini option ``anyargmax_fixture`` gives the fixture a second name. Beside it, ``from <package>.validation import
assert_backends_agree`` compares a function in all of them at once.
"""

import keyword
from typing import TYPE_CHECKING, Any

import pytest

from ._frameworks.names import installed

if TYPE_CHECKING:
    from .validation import Backend

OPTION = "anyargmax_fixture"
NAME, OLD_NAME = "anyargmax_backend", "backend"
RENAMED = (
    f"The fixture `{OLD_NAME}` of {__package__} is `{NAME}` now, and its old name will be removed in version 0.4. "
    f"Rename it in your tests, or set `{OPTION} = {OLD_NAME}` in the configuration of pytest."
)


@pytest.fixture(params=installed())
def anyargmax_backend(request: pytest.FixtureRequest) -> "Backend":
    """One framework: ``name``, ``xp``, ``asarray``, ``to_numpy``, ``vjp``, ``jvp`` and ``dtypes``.

    ``xp`` is its Array API namespace, ``asarray(values, dtype=None, device=None)`` makes an array of it and
    ``to_numpy(array)`` a NumPy array; ``vjp(f, *arrays)`` and ``jvp(f, arrays, tangents)`` are those of the library.
    A framework is imported when the first test asks for it.
    """
    from .validation import load

    return load(request.param)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Have the option known."""
    parser.addini(OPTION, f"another name for the fixture {NAME}", type="string", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Give the fixture its second name: that of the option, or its old one."""
    given = config.getini(OPTION)
    name = given or OLD_NAME
    if not name.isidentifier() or keyword.iskeyword(name):
        raise pytest.UsageError(f"`{OPTION}` must be a name for a fixture, such as `xp_backend`, got {name!r}.")
    if name != NAME:
        config.pluginmanager.register(_alias(name, is_old=not given), f"{__name__}.alias")


def _alias(name: str, is_old: bool) -> Any:
    """A plugin with the fixture under another name: what a project defines under that name comes before it."""

    class Alias:
        @pytest.fixture(name=name)
        def alias(self, request: pytest.FixtureRequest, anyargmax_backend: "Backend") -> "Backend":
            """The fixture anyargmax_backend, under the name that the ini option gives it."""
            if is_old:
                request.node.warn(DeprecationWarning(RENAMED))
            if hasattr(request, "param"):  # of `parametrize(..., indirect=True)`
                from .validation import load

                return load(request.param)
            return anyargmax_backend

    return Alias()
