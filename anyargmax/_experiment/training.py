"""Training of the network towards given tokens, and the check of its gradients by finite differences."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from .._rules.rule import Array
from ..operators import soft_argmax
from . import network
from .frameworks import Framework, Gradients, loss_and_gradients
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


class Step(NamedTuple):
    """The weights that a step starts from: their loss and its gradients at the step's temperature, and their tokens."""

    temperature: float
    loss: float
    norms: tuple[float, ...]  # of the gradient of each weight; 0 where there is none
    tokens: Array  # of soft_argmax, at the temperature where its gradient is shown


class Training(NamedTuple):
    """How a training ended, and how it came there."""

    steps: int
    weights: Weights
    reached: bool
    moved: int  # entries of the weights that are no longer what they were
    history: tuple[Step, ...]
    tokens: Array  # of the weights at the end, as in a step


class _Answer(NamedTuple):
    """What the hard argmax and soft_argmax make of weights."""

    hard: Array
    soft: Array

    @property
    def right(self) -> int:
        """How many tokens the hard argmax has right."""
        return int(np.sum(self.hard == network.targets()))

    @property
    def arrived(self) -> bool:
        """Whether the hard argmax gives the targets, and soft_argmax comes close to them."""
        near = np.abs(self.soft - network.targets()) < CLOSE
        return bool(np.all(near & (self.hard == network.targets())))


def _temperature(step: int) -> float:
    """Warm at first, so that every token is heard, and geometrically colder."""
    return max(COLD, WARM * (COLD / WARM) ** (step / COOLING_STEPS))


def _answer(weights: Weights) -> _Answer:
    p = network.scores(weights, network.one_hot_inputs())
    return _Answer(np.argmax(p, axis=-1), soft_argmax(p, axis=-1, temperature=network.TEMPERATURE))


def _norms(gradients: Gradients) -> tuple[float, ...]:
    return tuple(float(np.linalg.norm(g)) for g in gradients or [np.zeros(1)] * len(Weights._fields))


def train(framework: Framework, weights: Weights, argmax: Any, progress: Progress, *, steps: int = STEPS) -> Training:
    """Train through an argmax until both argmaxes give the targets, for so many steps at most."""
    adam, constants = Adam(weights), (network.one_hot_inputs(), network.distances())
    history: list[Step] = []
    answer = _answer(weights)
    done = steps == 0 or answer.arrived
    while not done:
        temperature = _temperature(adam.step)
        loss = partial(network.expected_distance, argmax=argmax, temperature=temperature)
        value, found = loss_and_gradients(framework, loss, adam.weights, *constants)
        history.append(Step(temperature, value, _norms(found), answer.soft))
        adam.update(found)
        answer = _answer(adam.weights)
        done = adam.step == steps or answer.arrived
        progress(adam.step, temperature, answer.right, done)
    moved = sum(int(np.sum(new != old)) for new, old in zip(adam.weights, weights, strict=True))
    reached = answer.right == network.targets().size
    return Training(adam.step, adam.weights, reached, moved, tuple(history), answer.soft)


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
