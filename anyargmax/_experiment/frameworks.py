"""Gradients of the network in each framework that is installed, by that framework's differentiation."""

import contextlib
import importlib
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from .._rules.rule import Array
from .._vendoring import adapters
from ..derivatives import vjp
from . import network
from .network import Weights

PACKAGE = __name__.rpartition("._experiment")[0]
FLOORS = {"torch": "2.13", "jax": "0.5", "keras": "3.5"}  # as in the extras, which pip finds in a clone alone
FindSpec = Callable[[str], Any]
Gradients = list[Array] | None  # None where the framework has none to give


class Framework(NamedTuple):
    """A framework that differentiates: its module, and the module whose `asarray` makes its arrays."""

    name: str
    label: str
    arrays: str


FRAMEWORKS = (
    Framework("autograd", "NumPy + autograd", "numpy"),
    Framework("torch", "PyTorch", "torch"),
    Framework("jax", "JAX", "jax.numpy"),
    Framework("tensorflow", "TensorFlow", network.TENSORFLOW),
)


class Result(NamedTuple):
    """What came out in one framework: gradients through the soft and the hard argmax, or what went wrong."""

    label: str
    soft: Gradients = None
    hard: Gradients = None
    error: str = ""
    missing: str = ""


def install_hint(name: str) -> str:
    """How to get a framework for this library, wherever one is."""
    return f'pip install "{name}>={FLOORS[name]}"' if name in FLOORS else f"pip install {name}"


def _versioned(label: str, distribution: str) -> str:
    with contextlib.suppress(PackageNotFoundError):
        return f"{label} {version(distribution)}"
    return label


@contextlib.contextmanager
def _float64_on_cpu(framework: Framework) -> Iterator[None]:
    """Have JAX compute in float64, and JAX and TensorFlow on the CPU like the others, in this scope alone."""
    with contextlib.ExitStack() as stack:
        if framework.name == "jax":
            jax = importlib.import_module("jax")
            owner = jax if hasattr(jax, "enable_x64") else importlib.import_module("jax.experimental")
            stack.enter_context(owner.enable_x64(True))
            stack.enter_context(jax.default_device(jax.devices("cpu")[0]))
        if framework.name == "tensorflow":
            # Keras on PyTorch, which TensorFlow imports, imports Triton: after TensorFlow's own LLVM that ends the process.
            if find_spec("triton"):
                importlib.import_module("triton")
            stack.enter_context(importlib.import_module("tensorflow").device("CPU"))
        yield


def pull(
    loss: Callable[..., Array], *arrays: Array, to_numpy: Callable[[Any], Array] = np.asarray
) -> tuple[float, Gradients]:
    """Return a scalar loss and its gradients; None if the framework has none, for there is nothing to follow."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Output seems independent of input")  # autograd, of the hard argmax
        value, pullback = vjp(loss, *arrays)
    found = pullback(0 * value + 1)
    return float(value), None if any(g is None for g in found) else [to_numpy(g) for g in found]


def loss_and_gradients(
    framework: Framework, loss: Callable[..., Array], weights: Weights, *constants: Array
) -> tuple[float, Gradients]:
    """Return ``loss(weights, *constants)``, computed in a framework, and its gradients as NumPy arrays."""
    with _float64_on_cpu(framework):
        asarray = importlib.import_module(framework.arrays).asarray
        moved = [asarray(x) for x in constants]
        return pull(lambda *w: loss(Weights(*w), *moved), *(asarray(x) for x in weights))


def gradients(framework: Framework, loss: Callable[..., Array], weights: Weights, *constants: Array) -> Gradients:
    """Return the gradients of ``loss(weights, *constants)`` alone."""
    return loss_and_gradients(framework, loss, weights, *constants)[1]


def evaluate(framework: Framework, weights: Weights, argmax: Any) -> Result:
    """Return the gradients of the squared distance in one framework, soft and hard."""
    label = _versioned(framework.label, framework.name)
    constants = network.one_hot_inputs(), network.targets()
    soft, hard = (
        partial(network.squared_distance, argmax=chosen, temperature=network.TEMPERATURE)
        for chosen in (argmax, network.hard_argmax)
    )
    try:
        through_soft = gradients(framework, soft, weights, *constants)
        return Result(label, through_soft, gradients(framework, hard, weights, *constants))
    except Exception as error:  # whatever a framework raises is a finding, to be shown beside the others
        return Result(label, error=f"{type(error).__name__}: {error}")


def missing(name: str, label: str, find_spec: FindSpec) -> str:
    """Return how to get a framework, nothing if it is installed and this copy of the library has its adapter."""
    if name not in adapters():
        return f"{label} has no adapter in this copy of the library"
    return "" if find_spec(name) else f"{label} is not installed: {install_hint(name)}"


def evaluate_keras(weights: Weights, find_spec: FindSpec) -> Result:
    """Return the gradients of the real Keras model, computed in a process of its own.

    Keras chooses its backend for good when it is first imported, which is not this process' to decide. Of those that
    are installed it is KERAS_BACKEND, or else the first of these: Keras' own default is TensorFlow.
    """
    backends = [name for name in ("tensorflow", "torch", "jax") if not missing(name, name, find_spec)]
    if reason := missing("keras", "Keras", find_spec):
        return Result("Keras", missing=reason)
    if not backends:
        return Result("Keras", missing=f"Keras needs TensorFlow, PyTorch or JAX below it here: {install_hint('torch')}")
    chosen = os.environ.get("KERAS_BACKEND")
    backend = chosen if chosen in backends else backends[0]
    on_cpu = {"KERAS_TORCH_DEVICE": "cpu", "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "-1"}
    settings = {"KERAS_BACKEND": backend, "JAX_ENABLE_X64": "1", **on_cpu}
    path = os.pathsep.join(os.path.abspath(folder) for folder in sys.path)
    child = subprocess.run(
        [sys.executable, "-m", f"{PACKAGE}._experiment.keras_model"],
        input=json.dumps([w.tolist() for w in weights]),
        capture_output=True,
        text=True,
        env={**os.environ, **settings, "PYTHONPATH": path},
        check=False,
    )
    label = f"{_versioned('Keras', 'keras')} on {backend}"
    if child.returncode:
        return Result(label, error=(child.stderr.strip().splitlines() or [f"exit code {child.returncode}"])[-1])
    return _parsed(label, json.loads(child.stdout.splitlines()[-1]))


def _parsed(label: str, answer: dict[str, Any]) -> Result:
    soft, hard = (g and [np.asarray(x) for x in g] for g in (answer["soft"], answer["hard"]))
    return Result(label, soft, hard, missing=answer["missing"])


def relative_difference(a: Gradients, b: Gradients) -> float:
    """Return the largest difference of two lists of gradients, relative to each weight's largest entry."""
    if a is None or b is None or not all(np.any(y) for y in b):
        return float("inf")
    return float(np.max([np.max(np.abs(x - y)) / np.max(np.abs(y)) for x, y in zip(a, b, strict=True)]))  # keeps NaN
