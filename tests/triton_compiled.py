"""The kernels in Triton, compiled for GPUs that are not there: `test_triton.py` has each of them run by itself.

Triton's driver is replaced by one that only says what to compile for, for the whole process.
"""

import os
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

from anyargmax._rules.relaxations import CAPPED, ENTMAX, SOFTMAX
from anyargmax.backends.torch import kernels
from anyargmax.backends.torch import triton as ours

CUOBJDUMP = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
TARGET = SimpleNamespace(arch=90)
ENTMAX_15 = ENTMAX._replace(alpha=1.5)
ROWS = 4096  # enough to fill a device
ARCHITECTURES = tuple(map(int, os.environ.get("ANYARGMAX_ARCHITECTURES", "80,90").split(",")))


class Driver:
    """Says that there is a device, and which."""

    def get_current_target(self):
        return GPUTarget("cuda", TARGET.arch, 32)

    def get_current_device(self):
        return 0

    def get_current_stream(self, *_):
        return 0

    def get_active_torch_device(self):
        return torch.device("cpu")

    def get_device_interface(self):
        return torch.cpu


driver.set_active(Driver())


def resources(cubin, tmp_path):
    """Registers and bytes of stack of a kernel. What does not fit into registers is spilled to the stack."""
    path = tmp_path / "kernel.cubin"
    path.write_bytes(cubin)
    shown = subprocess.run([CUOBJDUMP, "-res-usage", path], capture_output=True, text=True, check=True).stdout
    return tuple(int(re.search(rf"\b{name}:(\d+)", shown)[1]) for name in ("REG", "STACK"))


@pytest.fixture
def compiled(monkeypatch, tmp_path):
    """Kernels are compiled where they would be launched: name, registers, stack and code of each."""
    found = []

    def compile_only(kernel, launch, given, *args, **options):
        made = kernel.warmup(given, *args, grid=(1,), HOW=launch.how, **launch.options, **options)
        found.append((kernel.__name__, *resources(made.asm["cubin"], tmp_path), made.asm["ptx"]))

    monkeypatch.setattr(ours, "_launch", compile_only)
    return found


def positions(x, axes, relaxation=SOFTMAX, temperature=None, mask=None):
    """Have the kernels of expected positions compiled, there and back."""
    tables = tuple(torch.arange(x.shape[axis], dtype=torch.float32) for axis in axes)
    static = {"axes": axes, "relaxation": relaxation, "limits": kernels.Limits()}
    y, pull = ours.expectation(x, temperature, None, mask, tables, **static)
    assert pull(torch.empty_like(y), (True, torch.is_tensor(temperature), False)) is not None


def weights(x, axes, relaxation=SOFTMAX, temperature=None, mask=None):
    """Have the kernels of weights compiled, there and back."""
    p, pull = ours.weights(x, temperature, None, mask, axes=axes, relaxation=relaxation, limits=kernels.Limits())
    assert pull(torch.empty_like(p), (True, torch.is_tensor(temperature), False)) is not None


@pytest.mark.parametrize("arch", ARCHITECTURES, ids="sm_{}".format)
@pytest.mark.parametrize("n", [1024, 32768])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_rows_spill_nothing_and_are_read_in_vectors(arch, n, dtype, compiled, monkeypatch):
    monkeypatch.setattr(TARGET, "arch", arch)
    x = torch.empty((ROWS, n), dtype=getattr(torch, dtype))  # no memory is touched
    positions(x, (1,))
    weights(x, (1,))
    weights(x, (1,), ENTMAX_15)
    positions(x, (1,), ENTMAX_15)
    weights(x, (1,), CAPPED._replace(k=5))
    assert len(compiled) >= 9
    for name, registers, stack, code in compiled:
        print(f"{name} sm_{arch} {dtype} {n}: {registers} registers")
        assert stack == 0, name
        assert re.search(r"ld\.global[\w.:]*\.v[248]", code), name


@pytest.mark.skipif(90 not in ARCHITECTURES, reason="the other process compiles them")
@pytest.mark.parametrize(
    "relaxation",
    [SOFTMAX, ENTMAX._replace(alpha=2.0), ENTMAX._replace(alpha=1.25)],
    ids=["softmax", "sparsemax", "1.25-entmax"],
)
def test_every_way_of_a_call_is_compiled(relaxation, compiled):
    """Masks, temperatures, axes and rows of every kind: what an interpreter does is not yet what a compiler takes."""
    heat, mask = torch.empty(4, 1, 64, 64), torch.empty(4, 1, 64, 1, dtype=torch.bool)
    weights(torch.empty(4, 64, 64, 64), (1,), relaxation, heat, mask)
    positions(torch.empty(4, 64, 64, 64), (3, 2), relaxation, 0.5, torch.empty(64, 1, dtype=torch.bool))
    positions(torch.empty(4, 8, 8, 8), (1, 2, 3), relaxation)
    weights(torch.empty(2, 5000, 50, dtype=torch.float64), (1,), relaxation, 0.5)
    positions(torch.empty(2, 2**18), (1,), relaxation, torch.empty(1, 1).expand(2, 1))
    weights(torch.empty(2, 2**18), (1,), relaxation)
    names = {name for name, *_ in compiled}
    assert names >= {"_solve", "_pull_rows", "_pull_pieces", "_dot"}
    assert relaxation != SOFTMAX or names >= {"_stream", "_combine", "_write"}
