"""The frameworks under test. What is compared, and how closely, is the library's own validation."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from anyargmax._frameworks.names import MODULES, installed
from anyargmax.validation import Backend, load

pytest_plugins = ["anyargmax.pytest_plugin"]

# CuPy needs a GPU, and is tested where there is one.
NAMES = tuple(name for name in MODULES if name != "cupy" or name in installed())
MANDATORY = tuple(filter(None, os.environ.get("ANYARGMAX_BACKENDS", "").split(",")))
TOOLS = ("keras", "triton", "ndonnx", "mypy", "basedpyright", "optax", "jaxopt", "matplotlib", "numpydoc", "yaml")
KNOWN = (*MODULES, *TOOLS)

unknown = [name for name in MANDATORY if name not in KNOWN]
if unknown:
    raise ValueError(f"ANYARGMAX_BACKENDS must name some of {', '.join(KNOWN)}, got {', '.join(unknown)}.")
if lacking := [name for name in TOOLS if name in MANDATORY and not find_spec(name)]:
    raise ModuleNotFoundError(f"ANYARGMAX_BACKENDS names {', '.join(lacking)}: not installed.")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow tells of its kernels on standard error
# TensorFlow imports Keras, which chooses its backend and writes a file then; the user's own one would change the tests.
KERAS_BACKENDS = [name for name in ("torch", "jax", "tensorflow", "numpy") if find_spec(name)]
KERAS_BACKEND = os.environ["KERAS_BACKEND"] = os.environ.get("KERAS_BACKEND") or KERAS_BACKENDS[0]
_keras_home = tempfile.TemporaryDirectory()
os.environ["KERAS_HOME"] = _keras_home.name
# What one process has compiled by XLA, the other worker and the processes that tests start need not compile again.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _compiled = tempfile.TemporaryDirectory()
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _compiled.name
os.environ |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1"}
if "tensorflow" in installed() and find_spec("triton"):
    import triton  # noqa: F401 - the process ends where Triton, as by torch.compile, comes after TensorFlow: each has its LLVM
if "jax" in installed():
    import jax

    jax.config.update("jax_enable_x64", True)
# Every framework is imported, a broken one fails, and so does one that ANYARGMAX_BACKENDS names and that is missing.
PRESENT = {name: load(name) for name in NAMES if name in installed() or name in MANDATORY}
MISSING = {name: f"{name} is not installed" for name in NAMES if name not in PRESENT}

if "torch" in PRESENT:
    import torch

    torch.set_num_threads(1)
if "array_api_strict" in PRESENT:
    import array_api_strict

    array_api_strict.set_array_api_strict_flags(
        boolean_indexing=False, data_dependent_shapes=False, enabled_extensions=()
    )


def backend_parameters(names=NAMES):
    """One pytest parameter for each framework; a missing one is a skip that says why."""
    return [
        pytest.param(PRESENT[name], id=name)
        if name in PRESENT
        else pytest.param(None, id=name, marks=pytest.mark.skip(reason=MISSING[name]))
        for name in names
    ]


def backend_dtype_parameters():
    """One pytest parameter for each framework and dtype that it has: read in `backend_dtype`."""
    return [
        pytest.param((backend, dtype), id=f"{name}-{dtype}")
        for name, backend in PRESENT.items()
        for dtype in backend.dtypes
    ]


@pytest.fixture(params=backend_dtype_parameters())
def backend_dtype(request) -> tuple[Backend, str]:
    return request.param


@pytest.fixture
def rng(request) -> np.random.Generator:
    """Random numbers that depend on nothing but the test's name without its parameters."""
    return np.random.default_rng(sum(request.function.__name__.encode()))


def pytest_report_header():
    """Name the frameworks: tests with the fixture `anyargmax_backend` run in those that are there."""
    there = ", ".join(f"{backend.name} {backend.version}" for backend in PRESENT.values())
    return [f"frameworks: {there}", *MISSING.values()]


# Files with tests of many seconds each, most of them in processes of their own.
LONG = (
    *("test_layers", "test_triton", "test_vendoring", "test_typing", "test_experiment", "test_private", "test_plugin"),
    "test_sharded_jax",
)


def pytest_collection_modifyitems(items):
    """Put long tests first, so that workers share out short ones at last and none waits for another's long one."""
    items.sort(key=lambda item: item.path.stem not in LONG)


def pytest_terminal_summary(terminalreporter):
    """Print what the random search recorded: how many steps a threshold took at most."""
    for report in terminalreporter.stats.get("passed", ()):
        for name, text in report.user_properties:
            if name == "steps":
                terminalreporter.write_line(text)


def broken_python(folder):
    """The path of an interpreter that fails at its start, for processes that a test starts."""
    path = folder / "python"
    path.write_text("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'broken'\" >&2\nexit 1\n", encoding="ascii")
    path.chmod(0o755)
    return str(path)


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked, and meet on Linux's loopback")


@pytest.fixture(scope="session")
def run_once(tmp_path_factory):
    """Run a program of the tests once for all workers; return the folder that it wrote into.

    ``run(program, seconds, **environment)`` passes the folder to the program, which has an end after so many seconds.
    """
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root

    def run(program, seconds, **environment):
        folder, done = root / program, root / f"{program}.done"
        try:
            folder.mkdir()
        except FileExistsError:  # another worker runs it
            end = time.monotonic() + seconds + 30
            while not done.exists() and time.monotonic() < end:
                time.sleep(0.1)
        else:
            done.write_text(_ended(Path(__file__).parent / f"{program}.py", folder, seconds, environment), "utf-8")
        said = done.read_text("utf-8")
        assert not said, said
        return folder

    return run


def _ended(program, folder, seconds, environment):
    """What a program said that failed; nothing if it did its work."""
    command = [sys.executable, str(program), str(folder)]
    path = os.pathsep.join([str(program.parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    with subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": path} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            said, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            said, _ = process.communicate()
            return f"{program.name} did not end within {seconds} s.\n{said[-4000:]}"
    return f"{program.name} ended with {process.returncode}.\n{said[-4000:]}" if process.returncode else ""
