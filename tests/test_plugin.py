"""The fixture of the pytest plugin under its name and others, in projects that have fixtures of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import anyargmax

HOME = str(Path(anyargmax.__file__).resolve().parent.parent)
USES = "def test_use({name}):\n    assert {name}.to_numpy({name}.asarray([3.0]))[0] == 3\n"
ADVICE = "Rename it in your tests, or set `anyargmax_fixture = backend` in the configuration of pytest."
OF_THE_USERS = "import pytest\n\n@pytest.fixture\ndef backend():\n    return 'mine'\n\n"
TAKES_THE_USERS = "def test_own(backend):\n    assert backend == 'mine'\n"


@pytest.fixture
def project(tmp_path):
    """Run pytest on a project with the plugin: its tests in NumPy, and those that run in no framework."""

    def run(tests, *words, ini="", conftest="", plugins=("-p", "anyargmax.pytest_plugin")):
        (tmp_path / "pytest.ini").write_text(f"[pytest]\n{ini}\n", encoding="utf-8")
        (tmp_path / "conftest.py").write_text(conftest, encoding="utf-8")
        (tmp_path / "test_it.py").write_text(tests, encoding="utf-8")
        child = subprocess.run(
            [sys.executable, "-m", "pytest", "-k", "numpy or own", "-p", "no:cacheprovider", *plugins, *words],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": HOME, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            check=False,
        )
        return child.returncode, child.stdout + child.stderr

    return run


@pytest.mark.parametrize("ini", ["", "anyargmax_fixture = anyargmax_backend", "anyargmax_fixture = xp_backend"])
def test_the_fixture_has_a_name_that_nobody_else_takes(project, ini):
    code, said = project(USES.format(name="anyargmax_backend"), "-W", "error", "--strict-config", ini=ini)
    assert code == 0, said
    assert "1 passed" in said


@pytest.mark.parametrize("name", ["backend", "xp_backend"])
def test_an_option_gives_it_another_name_without_a_warning(project, name):
    code, said = project(USES.format(name=name), "-W", "error", "--strict-config", ini=f"anyargmax_fixture = {name}")
    assert code == 0, said
    assert "1 passed" in said


def test_the_old_name_works_and_says_what_to_do(project):
    code, said = project(USES.format(name="backend") + USES.format(name="anyargmax_backend").replace("use", "new"))
    assert code == 0, said
    assert "2 passed, " in said
    assert said.count("DeprecationWarning: The fixture `backend` of anyargmax is `anyargmax_backend` now") == 1
    assert ADVICE in said
    assert "test_it.py:1: " in said  # where the test is, not the plugin


def test_the_old_name_is_none_where_an_option_gives_another(project):
    code, said = project(USES.format(name="backend").replace("use", "own"), ini="anyargmax_fixture = anyargmax_backend")
    assert code == 1
    assert "fixture 'backend' not found" in said


def test_a_fixture_of_the_users_conftest_is_the_users(project):
    code, said = project(TAKES_THE_USERS, "-W", "error", conftest=OF_THE_USERS)
    assert code == 0, said


def test_a_fixture_of_the_users_module_is_the_users(project):
    code, said = project(OF_THE_USERS + TAKES_THE_USERS, "-W", "error")
    assert code == 0, said


def test_a_fixture_of_the_users_may_take_over_the_old_name(project):
    own = "import pytest\n\n@pytest.fixture\ndef backend(anyargmax_backend):\n    return anyargmax_backend\n\n"
    code, said = project(USES.format(name="backend"), "-W", "error", conftest=own)
    assert code == 0, said
    assert "1 passed" in said


def test_a_test_that_is_parametrised_by_that_name_has_its_own_values(project):
    code, said = project(
        "import pytest\n\n@pytest.mark.parametrize('backend', ['mine'])\n" + TAKES_THE_USERS, "-W", "error"
    )
    assert code == 0, said
    assert "1 passed" in said


def test_a_framework_that_is_chosen_indirectly_is_taken(project):
    tests = "import pytest\n\n@pytest.mark.parametrize('{name}', ['autograd'], indirect=True)\n"
    tests += "def test_own_{name}({name}):\n    assert {name}.name == 'autograd'\n\n"
    code, said = project(
        "".join(tests.format(name=name) for name in ("anyargmax_backend", "backend")),
        "-W",
        "error",
        ini="anyargmax_fixture = backend",
    )
    assert code == 0, said


@pytest.mark.parametrize("name", ["1st", "class", "a-b"])
def test_a_name_that_no_argument_can_have_is_refused(project, name):
    code, said = project(USES.format(name="anyargmax_backend"), ini=f"anyargmax_fixture = {name}")
    assert code == pytest.ExitCode.USAGE_ERROR
    assert f"`anyargmax_fixture` must be a name for a fixture, such as `xp_backend`, got '{name}'." in said


def test_the_plugin_of_a_conftest_has_the_option_too(project):
    """As that of a vendored copy has, which is loaded in no other way."""
    conftest = "pytest_plugins = ['anyargmax.pytest_plugin']\n"
    options = {"ini": "anyargmax_fixture = xp_backend", "conftest": conftest, "plugins": ()}
    code, said = project(USES.format(name="xp_backend"), "-W", "error", "--strict-config", **options)
    assert code == 0, said
    assert "1 passed" in said
