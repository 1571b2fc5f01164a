"""What users write of torch's own functions, and what they take from the package `entmax`."""

from collections.abc import Callable
from functools import partial
from typing import Any

from ..frameworks import optional


def _shares(torch, x, axis=-1, temperature=None, mask=None):
    x = x.float()
    if temperature is not None:
        x = x / temperature
    if mask is not None:
        x = x.masked_fill(~mask, -torch.inf)
    return torch.softmax(x, axis)


def _index(torch, x, axis=-1):
    index = torch.arange(x.shape[axis], device=x.device, dtype=torch.float32)
    return index.reshape((-1,) + (1,) * (x.ndim - axis % x.ndim - 1))


def _position(torch, x, axis=-1, **options):
    return (_shares(torch, x, axis, **options) * _index(torch, x, axis)).sum(axis)


def _coordinates(torch, x):
    p = _shares(torch, x.flatten(-2)).reshape(x.shape)
    marginals = p.sum(-1), p.sum(-2)
    return torch.stack([(marginal * _index(torch, marginal)).sum(-1) for marginal in marginals], -1)


def _moments(torch, x, axis=-1):
    p, index = _shares(torch, x, axis), _index(torch, x, axis)
    mean = (p * index).sum(axis, keepdim=True)
    return mean.squeeze(axis), (p * (index - mean) ** 2).sum(axis)


def _median(torch, x, axis=-1, readout=None):
    above = 1 - _shares(torch, x, axis).cumsum(axis)
    return (2 * above - 1).clamp(0, 1).sum(axis)


def _window(torch, x, axis=-1, window=0):
    away = _index(torch, x, axis) - x.argmax(axis, keepdim=True)
    return _position(torch, x, axis, mask=away.abs() <= window)


def _loss(torch, x, target):
    return torch.nn.functional.cross_entropy(x, target, reduction="none")


_FORMULAS: dict[str, Callable[..., Any]] = {
    "position": _position,
    "weights": _shares,
    "coordinates": _coordinates,
    "moments": _moments,
    "median": _median,
    "window": _window,
    "loss": _loss,
}


def _of_the_package(weights, x, alpha):
    return weights(x, dim=-1, **{"alpha": alpha} if weights.__name__ == "entmax_bisect" else {})


def formula(name: str, torch: Any, missing: dict[str, str]) -> Callable[..., Any] | None:
    """Return the naive function of scores and options; None where there is none, or no package for it."""
    if name in _FORMULAS:
        return partial(_FORMULAS[name], torch)
    package = optional("entmax", missing) if name else None
    return package and partial(_of_the_package, getattr(package, name))
