from typing import Unpack

import torch

from ..._calls.annotations import PositionOptions

__all__ = ["SoftArgmax"]

class SoftArgmax(torch.nn.Module):
    def __init__(self, axis: int | None = -1, **options: Unpack[PositionOptions]) -> None: ...
    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor: ...
    def __call__(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor: ...
