"""The kernels in Triton, without a GPU: run by Triton's interpreter, and compiled for GPUs; and who is not to notice them.

Either changes Triton for a whole process. So each part is a process of its own, which runs pytest on a file beside this.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import MANDATORY, MISSING

HERE = Path(__file__).resolve().parent
ROOT = str(HERE.parent)
there = find_spec("triton") is not None
if "triton" in MANDATORY and not there:
    raise ModuleNotFoundError("triton is not installed: pip install triton")
pytestmark = [
    pytest.mark.skipif("torch" in MISSING, reason=MISSING.get("torch", "")),
    pytest.mark.skipif(not there, reason="triton is not installed"),
]


def run(*command, **variables):
    """Run a program in this environment, in which Triton is not touched, with the checkout in front."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TRITON", "PYTEST"))}
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, env=kept | variables, cwd=ROOT, check=False
    )


def run_tests(file, chosen, tmp_path, **variables):
    """Run the tests of a file whose names contain a word, by pytest in a process of its own."""
    options = ["--noconftest", "-p", "no:xdist", "-p", "no:cacheprovider", "-o", "addopts=", "-q"]
    quiet = [
        "-W",
        "ignore::RuntimeWarning",
        "-W",
        "ignore::UserWarning",
    ]  # of NumPy's infinities, and of Triton's plans
    done = run("-m", "pytest", *options, *quiet, HERE / file, "-k", chosen, TRITON_CACHE_DIR=str(tmp_path), **variables)
    assert done.returncode == 0, done.stdout[-10000:] + done.stderr[-2000:]
    print(done.stdout[-200:])


PARTS = {
    "the catalogue": "catalogue",
    "the ends of the range": "supports or winners or extremes",
    "arguments and what torch does": "not catalogue and not supports and not winners and not extremes",
}


@pytest.mark.parametrize("part", PARTS)
def test_interpreted_kernels_are_the_rules_and_the_oracles(part, tmp_path):
    run_tests("triton_interpreted.py", PARTS[part], tmp_path, TRITON_INTERPRET="1")


@pytest.mark.parametrize("arch", [80, 90], ids="sm_{}".format)
def test_kernels_are_compiled_ahead_of_time(arch, tmp_path):
    run_tests("triton_compiled.py", "test", tmp_path, ANYARGMAX_ARCHITECTURES=str(arch))


UNNOTICED = """
import sys
import torch
from anyargmax import soft_argmax, soft_one_hot
from anyargmax._frameworks import binding
from anyargmax._kernels import selection

x = torch.zeros(2, 3, requires_grad=True)
with selection.only("support", "blocks"):
    for temperature in (1.0, torch.ones(2, 1)):
        for f in (soft_argmax, soft_one_hot):
            f(x, axis=-1, temperature=temperature).sum().backward()
assert "triton" not in sys.modules
print(*(kernel.name for kernel in binding.torch.kernels))
"""


def test_a_user_of_the_cpu_does_not_import_triton():
    done = run("-c", UNNOTICED)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == (["triton"] if "cuda" in build() else [])


def build():
    """What torch was built for."""
    import torch

    return "cuda" if torch.version.cuda else "the CPU"


def test_without_triton_there_is_no_kernel_in_it():
    """Where the interpreter is asked for, so that a device is not what is missing."""
    done = run(
        "-c",
        f"import sys; sys.modules['triton'] = None\n{UNNOTICED.replace('not in sys.modules', 'in sys.modules')}",
        TRITON_INTERPRET="1",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
