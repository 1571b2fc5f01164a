"""Kernels of torch's own: those in Triton, which is imported when the first tensor of a CUDA device comes."""

import os
import warnings
from functools import cache, partial
from importlib.util import find_spec
from typing import NamedTuple

import torch

from ..._kernels.kernel import Kernel

OLDEST = 8, 0  # compute capability that the kernels are compiled for
_broken: list[Exception] = []


class Limits(NamedTuple):
    """Sizes of what programs do. Numbers are of scores, if nothing else is said."""

    interpreted: bool = False  # whether tensors of the CPU are served: by Triton's interpreter, for tests
    chip: int = (
        2**14
    )  # that stay in registers while a threshold is solved; half as many beside positions, or in float64
    longest: int = 2**20  # of a row that is read again for each step of its solution
    tile: int = 2**11  # that a program works on at a time
    piece: int = 2**12  # of rows that are read a tile after the other
    wide: int = 2**5  # of neighbouring rows, along an axis that is not the last
    long: int = 2**16  # of a row that is worth splitting
    fill: int = 2**8  # programs that keep a device busy
    pieces: int = 2**6  # of a row, at most


@cache
def _is_known(device: torch.device) -> bool:
    return device.type == "cpu" or torch.cuda.get_device_capability(device) >= OLDEST


def _attempted(triton, f, *args, **options):
    """The result of a function that launches kernels; None, and no further attempt, if there can be none here."""
    try:
        return f(*args, **options)
    except triton.Unusable as error:
        _broken.append(error)
        warnings.warn(
            f"Triton must be able to compile kernels, got {error}. Calls are done without them. Install what is missing, "
            "or set ANYARGMAX_ENGINES=0.",
            RuntimeWarning,
            stacklevel=2,
        )
        return None


def _serve(name, ops, x, *args, limits, **static):
    if not (x.is_cuda or limits.interpreted) or _broken or not _is_known(x.device):
        return None
    from . import triton

    made = _attempted(triton, getattr(triton, name), x, *args, limits=limits, **static)
    return made if made is None or made[1] is None else (made[0], partial(_attempted, triton, made[1]))


def _pull(name, ops, g, y, x, *args, limits, **static):
    """The cotangent of the scores where nothing was kept; not if it is to be differentiated."""
    if torch.is_grad_enabled() or not (x.is_cuda or limits.interpreted):
        return None
    made = _serve(name, ops, x.detach(), *args, limits=limits, **static)
    pulled = None if made is None or made[1] is None else made[1](g, (True, False, False))
    return None if pulled is None else pulled[0]


RULES = {"weights": "weights", "dense_weights": "weights", "expectation": "expectation"}
TRITON = Kernel(
    "triton",
    Limits(),
    serves={rule: partial(_serve, name) for rule, name in RULES.items()},
    pulls={rule: partial(_pull, name) for rule, name in RULES.items()},
    needs=("memory",),
)
INTERPRETED = os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "y", "yes", "on", "true")
kernels = (TRITON,) if (torch.version.cuda or INTERPRETED) and find_spec("triton") else ()
