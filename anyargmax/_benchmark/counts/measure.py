"""Count what a call costs on the pretend accelerator, ours and the naive one's."""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

from ..pretend import accelerator
from . import naive
from .calls import Call, Limits
from .count import Count

PASSES = ("fwd", "f+b")


class Cost(NamedTuple):
    """Kernels, bytes in sizes of the scores, and values that the host waited for."""

    kernels: int
    passes: float
    reads: int

    def missed(self, limits: Limits) -> list[str]:
        """Return what is more than it may be, in words."""
        pairs = zip(self._fields, self, limits, strict=True)
        return [f"{found:.4g} {name}, at most {most:.4g}" for name, found, most in pairs if found > most]


def _arrays(call: Call, torch: Any) -> dict[str, Any]:
    """The arrays beside the scores, on the CPU, by the names of their options."""
    rows = call.shape[0]
    made = {
        "temperature": lambda: torch.full((1,), 0.5),
        "temperatures": lambda: torch.rand(rows, 1) + 0.5,
        "mask": lambda: torch.rand(call.shape) > 0.2,
        "target": lambda: torch.randint(call.shape[-1], (rows,)),
    }
    return {name: made[name]() for name in call.arrays}


def _count(f: Callable[..., Any], moving: list[Any]) -> dict[str, Cost]:
    """The costs of the value, and of the value with the gradients, after one call that fills what is kept."""
    device, grad = accelerator(), importlib.import_module("torch").autograd.grad
    leaves = [x.detach().requires_grad_() for x in moving]
    found = f(*leaves)
    cotangents = [device.put(device.numbers(y) + 1) for y in (found if isinstance(found, tuple) else (found,))]
    grad(found, leaves, cotangents)
    with device.count() as forward:
        f(*(x.detach() for x in leaves))
    with device.count() as both:
        grad(f(*leaves), leaves, cotangents)
    return {name: _cost(count, moving[0]) for name, count in zip(PASSES, (forward, both), strict=True)}


def _cost(count: Count, scores: Any) -> Cost:
    return Cost(count.kernels, count.passes(scores), count.reads)


def library(function: str) -> Callable[..., Any]:
    """Return a function of the library by its name."""
    from ... import losses, operators, weights

    return next(getattr(m, function) for m in (operators, weights, losses) if hasattr(m, function))


def _bound(f: Callable[..., Any], call: Call, arrays: dict[str, Any]) -> Callable[..., Any]:
    """The function of the scores and the learned arrays."""
    named = {name.removesuffix("s"): array for name, array in arrays.items() if name not in call.learned}
    learned = [name.removesuffix("s") for name in call.learned]
    options = call.options | named
    second = [options.pop(name) for name in ("k", "target") if name in options]
    return lambda x, *moving: f(x, *second, **options, **dict(zip(learned, moving, strict=True)))


def posed(call: Call, missing: dict[str, str], peers: bool = True) -> tuple[dict[str, Callable[..., Any]], list[Any]]:
    """Return ours and the naive function of scores and learned arrays, where it is wanted and there, and those arrays."""
    torch, device = importlib.import_module("torch"), accelerator()
    torch.manual_seed(0)
    scores = device.put(torch.randn(call.shape).to(getattr(torch, call.dtype)))
    arrays = {name: device.put(array) for name, array in _arrays(call, torch).items()}
    candidates = {"ours": library(call.function)}
    if peers and (formula := naive.formula(call.naive, torch, missing)):
        candidates["naive"] = formula
    functions = {name: _bound(f, call, arrays) for name, f in candidates.items()}
    return functions, [scores, *(arrays[name] for name in call.learned)]


def costs(call: Call, missing: dict[str, str], peers: bool = True) -> dict[str, dict[str, Cost]]:
    """Return what each pass costs, ours and the naive one's."""
    functions, moving = posed(call, missing, peers)
    return {name: _count(f, moving) for name, f in functions.items()}
