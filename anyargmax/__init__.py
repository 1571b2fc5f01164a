"""anyargmax: one differentiable argmax for every array framework."""

from ._dispatch import register_backend
from .derivatives import jvp, vjp
from .operators import (
    sharpen,
    soft_argmax,
    soft_argmax_moments,
    soft_argmin,
    soft_one_hot,
    spatial_soft_argmax,
)

__version__ = "0.1.0"

__all__ = [
    "jvp",
    "register_backend",
    "sharpen",
    "soft_argmax",
    "soft_argmax_moments",
    "soft_argmin",
    "soft_one_hot",
    "spatial_soft_argmax",
    "vjp",
]
