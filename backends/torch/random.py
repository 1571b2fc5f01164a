"""How PyTorch draws integers: by a `torch.Generator`."""

import torch

from ..._kernels.random import Random


def _integers(key, bound, lead, x):
    shape = (*lead, *x.shape)
    if x.device.type == "meta":  # for which there is no generator: nothing is drawn
        return torch.empty(shape, dtype=torch.int32, device="meta")
    if not _beside(key.device, x.device):
        raise ValueError(
            f"`key` must be on the device of `x`, here {x.device}, got a torch.Generator on {key.device}. "
            f"Pass such as `torch.Generator({str(x.device)!r})`."
        )
    return torch.randint(bound, shape, generator=key, dtype=torch.int32, device=x.device)


def _beside(one, other):
    """Whether devices are one. A generator need not say which of several of a kind it is for: then PyTorch knows."""
    return one.type == other.type and (None in (one.index, other.index) or one.index == other.index)


random = Random(
    "a torch.Generator",
    "torch.Generator(x.device).manual_seed(0)",
    lambda key: isinstance(key, torch.Generator),
    _integers,
)
