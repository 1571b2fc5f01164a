"""What torch.compile makes of calls on a GPU of compute capability 9.0, without one: a process that prints the counts of one.

Inductor is told to write Triton's language for a device of that kind. What it has written is counted and never run:
in place of the compiled code come empty answers. It stands on torch's insides (2.13), which is why it is a process.
"""

import json
import re
import sys
import time
from types import SimpleNamespace

import torch
import torch._inductor.config as settings
from torch._inductor.graph import GraphLowering
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

import anyargmax

LAUNCH = re.compile(r"^\s+(triton_\w+)\.run\(|(extern_kernels\.\w+)\(|(torch\.ops\.aten\.\w+\.\w+)\(", re.MULTILINE)
CALLS = {
    "rows": ((4096, 1024), lambda x: anyargmax.soft_argmax(x, axis=-1)),
    "entmax": ((4096, 1024), lambda x: anyargmax.soft_one_hot(x, alpha=1.5)),
}


class Described:
    """A driver that can say for what to compile, and nothing else."""

    def get_current_target(self):
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self):
        return 0

    def get_active_torch_device(self):
        return torch.device("cpu")

    def get_device_interface(self):
        return torch.cpu


def empty(output):
    """A tensor in the place of an output, None of what is none."""
    try:
        return torch.empty_strided(
            tuple(map(int, output.get_size())), tuple(map(int, output.get_stride())), dtype=output.get_dtype()
        )
    except (AttributeError, NotImplementedError):
        return None


def counting(found):
    """In place of the module that Inductor would load: count its kernels and bytes, and answer with empty tensors."""

    def compile_to_module(graph):
        code = graph.codegen()[0].value
        found.append({"kernels": len(LAUNCH.findall(code)), "bytes": graph.count_bytes()[0]})
        outputs = list(graph.graph_outputs)

        def call(args):
            args.clear()
            return [empty(output) for output in outputs]

        return SimpleNamespace(call=call, __file__="")

    return compile_to_module


def counts(name):
    """The kernels and passes of a call, forward and backward, and the seconds that it took to compile both."""
    shape, f = CALLS[name]
    found = []
    GraphLowering.compile_to_module = counting(found)
    x = torch.zeros(shape, requires_grad=True)
    start = time.process_time()
    y = torch.compile(f, fullgraph=True, dynamic=False)(x)
    torch.autograd.grad(y, x, torch.zeros_like(y))
    seconds = time.process_time() - start
    size = x.numel() * x.element_size()
    return [{"kernels": graph["kernels"], "passes": graph["bytes"] / size} for graph in found], seconds


if __name__ == "__main__":
    settings.cpu_backend, settings.fx_graph_cache, settings.compile_threads = "triton", False, 1
    driver.set_active(Described())
    print(json.dumps(counts(sys.argv[1])))
