"""A picture of the training, by matplotlib: what went down, what moved, and which weights had a gradient."""

from functools import partial
from typing import Any

import numpy as np

from .._figures import COLOURS, GREY, styled
from .network import TARGETS, TEMPERATURE, UNITS, Weights
from .training import Training


def figure(soft: Training, hard: Training) -> Any:
    """Return a figure of a training through soft_argmax, beside one through the hard argmax."""
    return styled(partial(_draw, soft=soft, hard=hard), figsize=(7, 6))


def _draw(figure: Any, soft: Training, hard: Training) -> None:
    axes = figure.subplots(2, 2, sharex=True).ravel()
    for draw, ax in zip((_loss, _tokens, _norms, _temperature), axes, strict=True):
        draw(ax, soft, hard)
    for ax in axes[2:]:
        ax.set_xlabel("step")


def _loss(ax: Any, soft: Training, hard: Training) -> None:
    ax.plot([step.loss for step in soft.history], color=COLOURS[0], label="through soft_argmax")
    ax.plot([step.loss for step in hard.history], "--", color=COLOURS[3], label="through argmax")
    ax.set(title="Loss: expected distance to the targets", yscale="log")
    ax.yaxis.set_major_formatter("{x:g}")
    ax.legend(loc="lower left")


def _tokens(ax: Any, soft: Training, hard: Training) -> None:
    rows = np.asarray([*(step.tokens for step in soft.history), soft.tokens])
    targets = np.ravel(TARGETS)
    for k, (target, colour) in enumerate(zip(targets, COLOURS, strict=True)):
        ax.plot(rows.reshape(len(rows), -1)[:, k], color=colour, linewidth=1)
        size = 5 if target in targets[:k] else 9  # so that both show where two are the same
        ax.plot(soft.steps, target, "o", color=colour, markersize=size, fillstyle="none", clip_on=False)
    ax.plot([], [], "o", color=GREY, markersize=9, fillstyle="none", label="target")
    ax.set(title=f"Tokens of soft_argmax, T = {TEMPERATURE:g}", yticks=range(0, UNITS, 2))
    ax.set_ylim(0, float(np.max(rows)) + 1)
    ax.legend()


def _norms(ax: Any, soft: Training, hard: Training) -> None:
    for k, (name, colour) in enumerate(zip(Weights._fields, COLOURS, strict=False)):
        ax.plot([step.norms[k] for step in soft.history], color=colour, linewidth=1, label=name)
    largest = max((norm for step in hard.history for norm in step.norms), default=0)
    ax.plot([], [], " ", label=f"through argmax: {f'at most {largest:g}' if largest else 0}")
    ax.set(title="Norm of the gradient of each weight", yscale="log")
    ax.legend()


def _temperature(ax: Any, soft: Training, hard: Training) -> None:
    ax.plot([step.temperature for step in soft.history], color=COLOURS[0])
    ax.set(title="Temperature of the training", yscale="log")
    ax.yaxis.set_major_formatter("{x:g}")
