"""Count the nodes of the graphs that `torch.export` makes."""

import importlib
import time
from typing import Any, NamedTuple

from .calls import SECONDS, Graph
from .measure import library


class Export(NamedTuple):
    """How many operations a graph has, and how long the processor took to make it."""

    nodes: int
    seconds: float

    def small(self, graph: Graph) -> bool:
        """Whether it is as small as it should be, and was there as soon."""
        return self.nodes <= graph.nodes and self.seconds <= SECONDS


def module(torch: Any, graph: Graph) -> Any:
    """Return the function as a module, which is what is exported."""
    function, options = library(graph.function), dict(graph.options)
    second = [options.pop(name) for name in ("k",) if name in options]

    class Exported(torch.nn.Module):
        def forward(self, x):
            return function(x, *second, **options)

    return Exported()


def export(graph: Graph, shape: tuple[int, ...] = (4, 10)) -> Export:
    """Export a function for scores of one shape."""
    torch = importlib.import_module("torch")
    start = time.process_time()
    program = torch.export.export(module(torch, graph), (torch.randn(shape),))
    seconds = time.process_time() - start
    return Export(sum(node.op == "call_function" for node in program.graph.nodes), seconds)
