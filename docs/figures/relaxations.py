"""The pictures of the page "Relaxations": three panels a relaxation, one function for each kind of panel."""

import numpy as np
from _common import panels
from mathematics import phi_of
from style import BLUE, GREEN, GREY, ORANGE, SKY

from anyargmax import jvp, sharpen, soft_argmax, soft_one_hot, soft_top_k

MOVING = np.linspace(-3, 4, 281)
OTHERS = (0.6, 0.3, -0.5)
ABOVE = {"loc": "lower center", "bbox_to_anchor": (0.5, 1), "ncols": 4, "fontsize": 8, "handlelength": 0.5}
ABOVE |= {"columnspacing": 0.6, "handletextpad": 0.3}
SCORES = np.asarray([-1.5, -0.8, -0.2, 0.3, 1.0, 1.3])


def sigmoid(u):
    return 1 / (1 + np.exp(-u))


def capped(u):
    return np.clip(u, 0, 1)


def rows(moving, others=OTHERS):
    """Return one row of scores for each value of the first, and a tangent that moves the first."""
    x = np.stack([moving, *(np.full_like(moving, other) for other in others)], axis=-1)
    return x, np.eye(x.shape[-1])[0] * np.ones_like(x)


def entry_by_entry(**options):
    """Return the weights of options that only positions have: each is the mean of a position that is 1 there."""
    return [lambda x, c=c: soft_argmax(x, axis=-1, positions=c, **options) for c in np.eye(4)]


def moving(left, right, weights, moving=MOVING, others=OTHERS):
    """Draw weights, and their derivatives, against the first score."""
    x, tangent = rows(moving, others)
    if callable(weights):
        p, dp = jvp(weights, (x,), (tangent,))
    else:
        p, dp = (np.stack(parts, axis=-1) for parts in zip(*(jvp(f, (x,), (tangent,)) for f in weights), strict=True))
    for i, label in enumerate(("x", *(f"{other:g}" for other in others))):
        left.plot(moving, p[:, i], label=label)
        right.plot(moving, dp[:, i])
    left.set(xlabel="score x", ylabel="weights")
    right.set(xlabel="score x", ylabel="d weights / d x")
    left.legend(**ABOVE)


def threshold(ax, phi, total=1, p=None):
    """Draw phi over scores, moved to the threshold where the weights have their sum, and the weights on it."""
    taus = np.linspace(-4, 4, 8001)
    sums = np.sum(phi(SCORES - taus[:, None]), axis=-1)
    tau = np.interp(-total, -sums, taus)
    z = np.linspace(-2, 2.6, 401)
    ax.plot(z, phi(z - tau), color=GREY)
    ax.stem(SCORES, phi(SCORES - tau) if p is None else p, linefmt="C0-", markerfmt="C0o", basefmt=" ")
    ax.axvline(tau, color=ORANGE, ls="--", lw=1)
    ax.text(tau, 1.08, r"$\tau$ ", color=ORANGE, va="center", ha="right", fontsize=11)
    ax.set(xlabel="scores z", ylabel="weights", ylim=(-0.03, 1.15), xlim=(-2, 2.6))


def row(weights, phi, total=1, p=None):
    left, middle, right = panels(3)
    moving(left, middle, weights)
    threshold(right, phi, total, p)


def entmax(alpha):
    row(lambda x: soft_one_hot(x, alpha=alpha), phi_of(alpha))


def softmax():
    entmax(1)


def entmax_5_4():
    entmax(1.25)


def entmax_3_2():
    entmax(1.5)


def sparsemax():
    entmax(2)


def entmax_3():
    entmax(3)


def capped_top_k():
    row(lambda x: soft_top_k(x, 2), capped, 2)


def sigmoid_top_k():
    row(lambda x: soft_top_k(x, 2, kind="sigmoid"), sigmoid, 2)


def subset_top_k():
    row(lambda x: soft_top_k(x, 2, kind="subset"), sigmoid, 2, soft_top_k(SCORES, 2, kind="subset"))


def straight_through():
    row(lambda x: soft_one_hot(x, hard=True), np.exp, p=soft_one_hot(SCORES, hard=True))


def zero_background():
    left, middle, right = panels(3)
    moving(left, middle, entry_by_entry(zero_background=True), np.linspace(0, 3, 121), (0.6, 0.3, 0.0))
    x = np.linspace(0, 3, 31)
    right.plot(x, np.expm1(x) / np.sum(np.expm1(x)), label="exp(x) - 1")
    right.plot(x, soft_one_hot(x), "--", color=GREY, label="exp(x)")
    right.set(xlabel="scores of a row", ylabel="weights", ylim=(0, None))
    right.legend(fontsize=8)


def window():
    left, middle, right = panels(3)
    moving(left, middle, entry_by_entry(window=1))
    x = np.asarray([0.2, 1.0, 2.0, 1.2, 0.1, 0.3, 1.6, 1.9, 0.8])
    near = np.abs(np.arange(9) - 2) <= 1
    right.bar(np.arange(9), soft_one_hot(x), color=GREY, alpha=0.5, label="without")
    right.bar(np.arange(9), soft_one_hot(x, mask=near), width=0.4, color=BLUE, label="window=1")
    right.axvspan(0.5, 3.5, color=SKY, alpha=0.2, lw=0)
    right.set(xlabel="entry", ylabel="weights", ylim=(0, 0.9))
    right.legend(fontsize=8, handlelength=1)


def median():
    left, middle, right = panels(3)
    x, tangent = rows(MOVING, OTHERS)
    for readout, color in (("mean", GREY), ("median", BLUE)):
        y, dy = jvp(lambda x, readout=readout: soft_argmax(x[..., ::-1], axis=-1, readout=readout), (x,), (tangent,))
        left.plot(MOVING, y, color=color, label=readout)
        middle.plot(MOVING, dy, color=color)
    left.set(xlabel="score x of entry 3", ylabel="position")
    middle.set(xlabel="score x of entry 3", ylabel="d position / d x")
    left.legend(fontsize=8)
    p = np.asarray([0.05, 0.1, 0.4, 0.25, 0.1, 0.1])
    above = 1 - np.cumsum(p)
    right.bar(np.arange(6), p, color=SKY, label="weights")
    right.step(np.arange(6), above, where="post", color=GREY, label="weight above j")
    right.step(np.arange(6), np.clip(2 * above - 1, 0, 1), where="post", color=GREEN, label="step from j")
    right.set(xlabel="entry j", ylim=(0, 1.5))
    right.legend(fontsize=8, loc="upper right")


def powers():
    left, middle, right = panels(3)
    moving(left, middle, lambda x: sharpen(soft_one_hot(x), power=3.0))
    p = np.linspace(0, 1, 201)
    for power in (0.5, 1.0, 3.0, 10.0):
        right.plot(p, sharpen(np.stack([p, 1 - p], axis=-1), power=power)[:, 0], label=f"{power:g}")
    right.set(xlabel="weight, of two", ylabel="sharpened, at powers")
    right.legend(**ABOVE)
