"""
Temperature sweep
=================

:func:`~anyargmax.soft_argmax` turns scores into weights and returns the weighted mean of the positions. The temperature
decides how much of the weight the largest score takes. One row of scores with two peaks shows the whole range.
"""

import matplotlib.pyplot as plt
import numpy as np

from anyargmax import soft_argmax, soft_argmax_moments, soft_one_hot, vjp

scores = np.asarray([0.5, 1.6, 3.2, 1.9, 0.7, 0.2, 0.6, 1.8, 2.6, 1.4, 0.3])
temperatures = np.geomspace(0.01, 100, 241)


def sweep(alpha):
    """Return the position at each temperature, and the length of its gradient by the scores."""
    rows = np.broadcast_to(scores, (temperatures.size, scores.size))
    position, pullback = vjp(soft_argmax, rows, axis=-1, temperature=temperatures[:, None], alpha=alpha)
    (gradient,) = pullback(np.ones_like(position))
    return position, np.linalg.norm(gradient, axis=-1)


# %%
# The function below draws one figure:
#
# * Left: the scores, and their weights at three temperatures. A low temperature gives all of the weight to the largest
#   score, a high one gives all entries the same weight.
# * Right: the position, and the length of its gradient, at temperatures from 0.01 to 100. The dots are the three
#   temperatures of the left side. The gradient of argmax is 0 everywhere.


def draw():
    """Return the figure."""
    index = np.arange(scores.size)
    with plt.rc_context({"font.size": 10}):
        # a layout that does not depend on the size of letters, which differs between versions of matplotlib
        place = {"left": 0.08, "right": 0.99, "bottom": 0.155, "top": 0.985}
        figure, grid = plt.subplots(2, 2, figsize=(7, 3.2), sharex="col", layout="none", gridspec_kw=place)
        (top, above), (bottom, below) = grid
        top.bar(index, scores, color="0.6")
        for alpha, style, name in ((1, "-", "softmax"), (1.5, "--", r"$\alpha$ = 1.5")):
            position, length = sweep(alpha)
            above.semilogx(temperatures, position, style, color="0.2", label=name)
            below.semilogx(temperatures, length, style, color="0.2")
        position, length = sweep(1)
        for temperature in (0.1, 1, 10):
            weights = soft_one_hot(scores, temperature=temperature)
            (line,) = bottom.plot(index, weights, "o-", ms=3, label=f"T = {temperature}")
            near = np.argmin(abs(np.log(temperatures / temperature)))
            for axes, y in ((above, position), (below, length)):
                axes.plot(temperature, y[near], "o", color=line.get_color())
        for axes, height, text, color, gap in (
            (above, index.mean(), "middle", "0.45", -0.15),
            (above, np.argmax(scores), "argmax", "C3", 0.1),
            (below, 0, "argmax", "C3", 0.15),
        ):
            axes.axhline(height, color=color, zorder=1)
            axes.text(0.009, height + gap, text, color=color, va="bottom" if gap > 0 else "top")
        top.set(ylabel="score", xticks=index[::2], ylim=(0, 3.6))
        bottom.set(ylabel="weight", xlabel="position", ylim=(-0.04, 1.08))
        above.set(ylabel="position", ylim=(1.7, 5.3))
        below.set(ylabel="gradient", xlabel="temperature", ylim=(-0.3, 4.6))
        bottom.legend(loc="upper right", handlelength=1, borderaxespad=0)
        above.legend(loc="center right")
    return figure


draw()
plt.show()

# %%
# Towards 0 the position is that of ``np.argmax``. Towards infinity it is the mean of the positions. The gradient of
# both limits is 0.

position, length = sweep(1)
for wanted in (0.01, 0.1, 0.3, 1, 10, 100):
    near = np.argmin(abs(np.log(temperatures / wanted)))
    print(f"T = {temperatures[near]:6.2f}: position {position[near]:.4f}, length of the gradient {length[near]:.1e}")
print("argmax", np.argmax(scores), " mean of the positions", np.arange(scores.size).mean())

# %%
# The gradient is largest between the limits. With softmax it is not exactly 0 at 0.01, but far too small for
# training. With ``alpha=1.5`` weights are exactly 0 where scores are well below the largest. At low temperatures only
# one weight is left: the position is then exactly that of argmax, and the gradient exactly 0. At higher ones the
# gradient is larger than that of softmax.

sparse, sparse_length = sweep(1.5)
print("alpha = 1.5: gradient exactly 0 up to T =", temperatures[sparse_length == 0].max().round(2))
print("             position equal to argmax there:", np.all(sparse[sparse_length == 0] == np.argmax(scores)))
print("             gradient above that of softmax from T =", temperatures[sparse_length > length].min().round(2))

# %%
# Central differences, which need values alone, confirm the gradient.

step = 1e-6
shifted = np.asarray([scores + sign * step * row for sign in (1, -1) for row in np.eye(scores.size)])
for temperature in (0.1, 1.0, 10.0):
    ahead, behind = np.split(soft_argmax(shifted, axis=-1, temperature=temperature), 2)
    gradient = vjp(soft_argmax, scores, axis=-1, temperature=temperature)[1](np.asarray(1.0))[0]
    print(f"T = {temperature:4}: largest difference {np.max(abs((ahead - behind) / (2 * step) - gradient)):.0e}")

# %%
# A limit: if there are two peaks, a medium temperature gives a position between them, where the scores are low. The
# standard deviation of :func:`~anyargmax.soft_argmax_moments` is then large. A lower temperature, ``window=`` and a
# larger ``alpha`` move the position to one peak.

mean, variance = soft_argmax_moments(scores)
print(f"mean {mean:.2f}, standard deviation {variance**0.5:.2f}; window=2 gives {soft_argmax(scores, window=2):.2f}")
