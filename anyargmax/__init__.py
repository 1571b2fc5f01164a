"""anyargmax: one differentiable argmax for every array framework."""

from ._frameworks.registry import register_backend
from .derivatives import jvp, vjp
from .expectations import expectation, spatial_expectation
from .losses import fenchel_young_loss
from .operators import soft_argmax, soft_argmax_moments, soft_argmin, spatial_soft_argmax
from .weights import sharpen, soft_one_hot, soft_top_k

__version__ = "0.1.0"

__all__ = [
    "expectation",
    "fenchel_young_loss",
    "jvp",
    "register_backend",
    "sharpen",
    "soft_argmax",
    "soft_argmax_moments",
    "soft_argmin",
    "soft_one_hot",
    "soft_top_k",
    "spatial_expectation",
    "spatial_soft_argmax",
    "vjp",
]
