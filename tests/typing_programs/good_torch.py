"""What must pass: tensors in, tensors out, and a module that is typed where it is called."""

from typing import assert_type

import torch

from anyargmax import expectation, fenchel_young_loss, jvp, soft_argmax, soft_argmax_moments, spatial_soft_argmax, vjp
from anyargmax.backends.torch import SampleOneHot, SoftArgmax, SpatialSoftArgmax
from anyargmax.sampling import (
    argmax_probability,
    gumbel_noise,
    perturbed,
    sample_one_hot,
    sample_top_k,
    straight_through,
)


def functions(x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    assert_type(soft_argmax(x, -1), torch.Tensor)
    assert_type(soft_argmax(torch.nn.Parameter(x), -1), torch.Tensor)
    assert_type(soft_argmax_moments(x), tuple[torch.Tensor, torch.Tensor])
    assert_type(spatial_soft_argmax(x), torch.Tensor)
    assert_type(spatial_soft_argmax(x, readout="moments"), tuple[torch.Tensor, torch.Tensor])
    mean, variance = expectation(x, -1, readout="moments")
    learned = torch.nn.Parameter(torch.ones(()))
    y = soft_argmax(x, -1, temperature=learned, alpha=1 + torch.sigmoid(learned), mask=x > -1)
    return y.sum() + mean.sum() + variance.sum() + fenchel_young_loss(x, labels).sum()


def derivatives(x: torch.Tensor) -> None:
    value, pullback = vjp(spatial_soft_argmax, x, readout="moments")
    assert_type(value, tuple[torch.Tensor, torch.Tensor])
    assert_type(pullback(value)[0], torch.Tensor)
    assert_type(vjp(torch.mul, x, x)[0], torch.Tensor)
    assert_type(jvp(soft_argmax, (x,), (x,)), tuple[torch.Tensor, torch.Tensor])


def draws(x: torch.Tensor, key: torch.Generator) -> None:
    noise = gumbel_noise(key, x, draws=(4,))
    assert_type(noise, torch.Tensor)
    assert_type(sample_one_hot(x, noise, estimator="gumbel-rao", temperature=0.5), torch.Tensor)
    assert_type(sample_top_k(x, 2, noise, mask=x > -1), torch.Tensor)
    assert_type(argmax_probability(x, scale=torch.ones(4)), torch.Tensor)
    assert_type(perturbed(torch.sort, x, noise, baseline=None) if x.ndim > 9 else x, torch.Tensor)
    assert_type(straight_through(x > 0, x), torch.Tensor)
    layer = SampleOneHot(estimator="reinmax", generator=key)
    assert_type(layer(x), torch.Tensor)


class Pointer(torch.nn.Module):
    """A module of a user."""

    def __init__(self) -> None:
        super().__init__()
        self.point = SoftArgmax(-1, temperature=torch.nn.Parameter(torch.ones(())), positions=[0.0, 1.0, 2.0, 4.0])
        self.place = SpatialSoftArgmax((-1, -2), coordinates="corner")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert_type(self.point(x, mask=x > -1), torch.Tensor)
        answer: torch.Tensor = self.place(x)
        return self.point(x) + answer.sum(-1)


def run() -> None:
    x = torch.asarray([[0.0, 1.0, 5.0, 2.0], [3.0, 0.0, 0.5, 1.0]])
    functions(x, torch.asarray([0, 1]))
    derivatives(x)
    draws(x, torch.Generator())
    Pointer()(x)
