"""The layer for PyTorch: `soft_argmax` as a module."""

from typing import TYPE_CHECKING, Any, Unpack

import torch

from ..._calls.annotations import PositionOptions
from ..._calls.validate import is_any_axis
from ..._layers import OPTIONS, options_of, signature
from ...operators import soft_argmax


class SoftArgmax(torch.nn.Module):
    """Position of the largest score along an axis, differentiably: `soft_argmax` as a module.

    Parameters
    ----------
    axis
        The axis that is reduced; None takes the flattened tensor.
    keepdims, window, zero_background, readout, hard
        As in `soft_argmax`.
    temperature, alpha
        A number, or a tensor that broadcasts against the reduced shape (reduced axes kept, with length 1): a
        `torch.nn.Parameter` is trained with the module, any other tensor is a buffer.
    positions
        As in `soft_argmax`, or a list: a buffer (a `torch.nn.Parameter` is trained). ``half()``,
        ``bfloat16()`` and the like leave a buffer in its dtype, because bfloat16 cannot hold index 257.

    Raises
    ------
    TypeError, ValueError
        As `soft_argmax`, for an option that it would refuse.

    Notes
    -----
    Nothing keeps a trained temperature above 0 (`soft_argmax` raises below it): train its logarithm with
    ``torch.nn.utils.parametrize`` where steps may be large.

    Examples
    --------
    >>> SoftArgmax(temperature=0.1)(torch.tensor([[0.0, 1.0, 5.0], [0.0, 3.0, 3.0]]))
    tensor([2.0000, 1.5000])
    """

    __signature__ = signature()
    positions: torch.Tensor | None
    temperature: Any
    alpha: Any

    def __init__(self, axis: int | None = -1, **options: Unpack[PositionOptions]):
        super().__init__()
        self.axis = axis
        for option, value in options_of(options).items():
            self._hold(option, value)
        self._check_options()

    def _hold(self, option, value):
        if option == "positions" and value is not None and not isinstance(value, torch.Tensor):
            value = torch.tensor(value)  # a copy: loading a state must not write into the caller's array
        if isinstance(value, torch.Tensor) and not isinstance(value, torch.nn.Parameter):
            self.register_buffer(option, value)
        else:
            setattr(self, option, value)

    def _options(self):
        return {option: getattr(self, option) for option in OPTIONS}

    def _check_options(self):
        """Have `soft_argmax` refuse bad options now; tensors one by one, as they may be on different devices."""
        options = self._options()
        tensors = {option: value for option, value in options.items() if isinstance(value, torch.Tensor)}
        numbers = {option: value for option, value in options.items() if option not in tensors}
        axis = -1 if is_any_axis(self.axis) else self.axis
        soft_argmax(torch.zeros(1), axis=axis, **numbers)
        for option, held in tensors.items():
            value = held.detach().reshape(-1) if option == "positions" else held.detach()[..., None]
            shape = value.shape if option == "positions" else (*held.shape, 1)
            soft_argmax(torch.zeros(shape, device=value.device), axis=axis, **numbers | {option: value})

    def _apply(self, fn, recurse=True):
        before = self.positions
        super()._apply(fn, recurse)
        after = self.positions
        if before is not None and after is not None and after.dtype != before.dtype:
            self.positions = before.to(after.device)
        return self

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Return the positions of scores of any shape; the mask is that of `soft_argmax`."""
        return soft_argmax(x, axis=self.axis, mask=mask, **self._options())

    if TYPE_CHECKING:  # torch's own says that a call returns anything

        def __call__(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor: ...

    def extra_repr(self) -> str:
        shown = [f"axis={self.axis}"]
        for option, value in self._options().items():
            if isinstance(value, torch.Tensor):
                shown.append(f"{option}={type(value).__name__}{tuple(value.shape)}")
            elif value != OPTIONS[option]:
                shown.append(f"{option}={value!r}")
        return ", ".join(shown)
