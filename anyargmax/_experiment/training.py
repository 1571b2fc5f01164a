"""Training of the network towards given tokens, and the check of its gradients by finite differences."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from .._rules.rule import Array
from ..operators import soft_argmax
from . import network
from .frameworks import Framework, Gradients, gradients
from .network import Weights

STEPS, REPORT_EVERY = 600, 50
CLOSE = 0.1  # how near the soft tokens come to the targets before training ends
LEARNING_RATE = 0.02
WARM, COLD, COOLING_STEPS = 0.1, 0.005, 500
Progress = Callable[[int, float, int, bool], None]  # step, temperature, how many tokens are right, whether done


class Adam:
    """Kingma and Ba (2015), algorithm 1, with its default moments."""

    def __init__(self, weights: Weights):
        self.weights, self.step = weights, 0
        self.mean = [np.zeros_like(w) for w in weights]
        self.square = [np.zeros_like(w) for w in weights]

    def update(self, gradients: Gradients) -> None:
        """Move every weight one step against its gradient; an absent gradient counts as 0."""
        self.step += 1
        moved = []
        for k, w in enumerate(self.weights):
            g = np.zeros_like(w) if gradients is None else gradients[k]
            self.mean[k] = 0.9 * self.mean[k] + 0.1 * g
            self.square[k] = 0.999 * self.square[k] + 0.001 * g * g
            mean, square = self.mean[k] / (1 - 0.9**self.step), self.square[k] / (1 - 0.999**self.step)
            moved.append(w - LEARNING_RATE * mean / (np.sqrt(square) + 1e-8))
        self.weights = Weights(*moved)


class Training(NamedTuple):
    """How a training ended."""

    steps: int
    weights: Weights
    reached: bool
    moved: int  # entries of the weights that are no longer what they were


def _temperature(step: int) -> float:
    """Warm at first, so that every token is heard, and geometrically colder."""
    return max(COLD, WARM * (COLD / WARM) ** (step / COOLING_STEPS))


def _right(weights: Weights) -> int:
    return int(np.sum(network.tokens(weights) == network.targets()))


def _arrived(weights: Weights) -> bool:
    """Whether the hard argmax gives the targets, and soft_argmax comes close to them."""
    p = network.scores(weights, network.one_hot_inputs())
    soft = soft_argmax(p, axis=-1, temperature=network.TEMPERATURE)
    near = np.abs(soft - network.targets()) < CLOSE
    return bool(np.all(near & (np.argmax(p, axis=-1) == network.targets())))


def train(framework: Framework, weights: Weights, argmax: Any, progress: Progress, *, steps: int = STEPS) -> Training:
    """Train through an argmax until both argmaxes give the targets, for so many steps at most."""
    adam, constants = Adam(weights), (network.one_hot_inputs(), network.distances())
    done = steps == 0 or _arrived(weights)
    while not done:
        temperature = _temperature(adam.step)
        loss = partial(network.expected_distance, argmax=argmax, temperature=temperature)
        adam.update(gradients(framework, loss, adam.weights, *constants))
        done = adam.step == steps or _arrived(adam.weights)
        progress(adam.step, temperature, _right(adam.weights), done)
    moved = sum(int(np.sum(new != old)) for new, old in zip(adam.weights, weights, strict=True))
    return Training(adam.step, adam.weights, _right(adam.weights) == network.targets().size, moved)


def finite_difference_errors(
    weights: Weights, soft: Sequence[Array], argmax: Any, *, directions: int = 40, step: float = 1e-6
) -> list[float]:
    """Return, per weight, the largest error of ``<gradient, d>`` against central differences along random d.

    The d are standard normal, so that an error anywhere in the gradient shows, and so that the error over
    the gradient's norm is the relative one.
    """
    rng = np.random.default_rng(1)
    one_hot, target = network.one_hot_inputs(), network.targets()
    loss = partial(network.squared_distance, argmax=argmax, temperature=network.TEMPERATURE)
    errors = []
    for name, gradient in zip(Weights._fields, soft, strict=True):
        misses = []
        for d in rng.standard_normal((directions, *gradient.shape)):
            ahead, behind = (
                loss(weights._replace(**{name: getattr(weights, name) + h * d}), one_hot, target) for h in (step, -step)
            )
            difference = float(ahead - behind) / (2 * step)
            misses.append(abs(difference - np.sum(gradient * d)))
        norm = float(np.linalg.norm(gradient))
        errors.append(float(np.max(misses)) / norm if norm else float("inf"))  # np.max keeps NaN
    return errors
