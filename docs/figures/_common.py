"""What several pictures share: a row of panels, and bars with the positions that are read out of them."""

import matplotlib.pyplot as plt
import numpy as np
from style import GREEN, GREY, RED, SKY

RIGHT, WRONG, WEIGHTS = GREEN, RED, SKY


def panels(count, height=2.2, **options):
    """Return the axes of a row of panels, narrow enough for letters that can be read on a phone."""
    _, axes = plt.subplots(1, count, figsize=(5.6, height), **options)
    return axes


def call(ax, text, result=None):
    """Put a call, and what it returns, over a panel."""
    ax.set_title(text if result is None else f"{text}\n= {result}", family="monospace", fontsize=8)


def bump(n, *peaks):
    """Return n scores with peaks of a position, a height and a width."""
    i = np.arange(n)
    return sum(height * np.exp(-(((i - at) / width) ** 2)) for at, height, width in peaks)


def bars(ax, weights, position=None, color=WRONG, **lines):
    """Draw weights as bars, a position as a line, and other positions as dashed lines."""
    ax.bar(np.arange(len(weights)), weights, width=0.85, color=WEIGHTS)
    if position is not None:
        ax.axvline(position, color=color, lw=2)
    for label, at in lines.items():
        ax.axvline(at, color=GREY, ls="--", lw=1)
        ax.annotate(f" {label}", (at, 1), xycoords=("data", "axes fraction"), va="top", color=GREY, fontsize=8)
    ax.grid(visible=False)
