"""What must be refused, each line by the kind of error of mypy and of pyright."""

import torch

from anyargmax import fenchel_young_loss, soft_argmax, soft_argmax_moments, spatial_soft_argmax, vjp
from anyargmax.backends.torch import SampleOneHot, SoftArgmax, SpatialSoftArgmax
from anyargmax.sampling import argmax_probability, sample_one_hot, straight_through

t = torch.ones(3, 4)

a: int = soft_argmax(t)  # refused: assignment, reportAssignmentType
b: torch.Tensor = soft_argmax_moments(t)  # refused: assignment, reportAssignmentType
c: torch.Tensor = spatial_soft_argmax(t, readout="moments")  # refused: assignment, reportAssignmentType
d: tuple[torch.Tensor, torch.Tensor] = spatial_soft_argmax(t)  # refused: assignment, reportAssignmentType
e: int = SoftArgmax()(t)  # refused: assignment, reportAssignmentType
f: int = vjp(soft_argmax, t)[0]  # refused: assignment, reportAssignmentType
soft_argmax(t).no_such_name()  # refused: attr-defined, reportAttributeAccessIssue
fenchel_young_loss(t, 1)  # refused: arg-type, reportArgumentType
SoftArgmax()([1.0])  # refused: arg-type, reportArgumentType
SoftArgmax(temperature="x")  # refused: arg-type, reportArgumentType
SoftArgmax(readout="Median")  # refused: arg-type, reportArgumentType
SoftArgmax(tau=1.0)  # refused: call-arg, reportCallIssue
SpatialSoftArgmax(axes=0)  # refused: arg-type, reportArgumentType
SpatialSoftArgmax(coordinates="centre")  # refused: arg-type, reportArgumentType
sample_one_hot(t, t, estimator="rebar")  # refused: arg-type, reportArgumentType
sample_one_hot(t)  # refused: call-arg, reportCallIssue
argmax_probability(t, distribution="cauchy")  # refused: arg-type, reportArgumentType
straight_through(1.0, t)  # refused: arg-type, reportArgumentType
SampleOneHot(estimator="rebar")  # refused: arg-type, reportArgumentType
SampleOneHot(generator=0)  # refused: arg-type, reportArgumentType
