"""The readouts: weights to an answer. What is in the table here is a value of the option `readout`."""

from .mean import MEAN
from .median import MEDIAN
from .moments import COVARIANCE, MOMENTS

READOUTS = {rule.name: rule for rule in (MEAN, MEDIAN, MOMENTS, COVARIANCE)}
