"""The processes of the benchmark: one for each framework, and fresh ones for its first call."""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from .workloads import DEVICES, LOADING, OURS, PACKAGE, PASSES, WORKLOADS

POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
Rows = list[tuple[str, str]]
RENEWALS = 3

_FIRST_CALL = """
import importlib, sys, time
namespace, package = sys.argv[1:]
xp = importlib.import_module(namespace)
x = xp.ones((8, 10), dtype=xp.float32)
e = xp.exp(x - xp.max(x))
float(((e / xp.sum(e)) * xp.ones(10)).sum())
start = time.perf_counter()
y = importlib.import_module(package).soft_argmax(x, axis=-1)
getattr(y, "block_until_ready", lambda: None)()
print(time.perf_counter() - start)
"""
_NAMESPACES = {"numpy": "numpy", "autograd": "autograd.numpy", "torch": "torch", "jax": "jax.numpy"}


class Failure(Exception):
    """A process that ended without an answer, in its last words."""


def rows_of(framework: str, only: str, device: str = DEVICES[0]) -> Rows:
    """Return the rows of a framework on a device, workload and pass, whose names hold a text."""
    on_cpu = device == DEVICES[0]
    if not on_cpu and framework not in ("torch", "jax"):
        return []
    passes = ("f+b",) if framework == "autograd" else tuple(PASSES)  # forward, autograd is NumPy
    there = [w for w in WORKLOADS if framework in w.frameworks and DEVICES[not on_cpu] in w.devices]
    rows = [(w.name, p) for w in there for p in passes if p in w.passes]
    rows += [(LOADING, "fwd")] if on_cpu else []
    return [row for row in rows if only.lower() in f"{framework} {row[0]} {row[1]}".lower()]


def installed(framework: str) -> bool:
    """Say whether a framework is there."""
    return find_spec(framework) is not None


def _environment(threads: int, device: str = DEVICES[0]) -> dict[str, str]:
    """What every pool reads when it is first loaded; XLA knows only one thread and all of them."""
    path = os.pathsep.join(os.path.abspath(folder) for folder in sys.path)
    settings = dict.fromkeys((*POOLS, "NPROC"), str(threads)) | {"PYTHONPATH": path}
    if device != DEVICES[0]:
        return os.environ | settings | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    settings["JAX_PLATFORMS"] = "cpu"
    if threads == 1:
        settings["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false".strip()
    return os.environ | settings


def _last_words(text: str, code: int) -> str:
    return (text.strip().splitlines() or [f"exit code {code}"])[-1]


def first_call(framework: str, threads: int) -> dict[str, Any]:
    """Return, as a row, how long import and first call take once the framework is imported and has been used."""
    command = [sys.executable, "-c", _FIRST_CALL, _NAMESPACES[framework], PACKAGE]
    seconds = []
    for _ in range(RENEWALS):
        done = subprocess.run(command, env=_environment(threads), capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failure(_last_words(done.stderr, done.returncode))
        seconds.append(float(done.stdout.split()[-1]))
    time = {"median": statistics.median(seconds), "samples": RENEWALS, "undisturbed": 0, "peak": None, "apart": False}
    shown = {"framework": framework, "workload": LOADING, "pass": "fwd", "shape": [8, 10]}
    return {**shown, "times": {OURS: time}, "failed": {}}


def timed(framework: str, rows: Rows, options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give what a process of its own says of its rows, as it says it."""
    asked = {"framework": framework, "rows": rows, **options}
    command = [sys.executable, "-W", "ignore", "-m", f"{PACKAGE}._benchmark.child"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    environment, doing = _environment(options["threads"], options["device"]), ""
    with tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(command, env=environment, stderr=errors, **pipes) as child:
            assert child.stdin
            assert child.stdout
            try:
                with contextlib.suppress(BrokenPipeError):  # of a process that has ended already, and says why
                    child.stdin.write(json.dumps(asked))
                    child.stdin.close()
                for line in child.stdout:
                    if line.startswith('{"'):  # and nothing that a framework prints
                        said = json.loads(line)
                        doing = said.get("doing", "")
                        yield said
            except BaseException:
                child.kill()
                raise
        if child.returncode:
            errors.seek(0)
            raise Failure(f"{doing} {_last_words(errors.read(), child.returncode)}".strip())
