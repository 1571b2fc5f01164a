"""
Learning the temperature and alpha
==================================

Temperature and alpha can be arrays, and then have gradients. This example uses autograd. It recovers known values of
both from random choices, learns one pair for each of four heads, and calibrates a classifier of scikit-learn's digits
by its temperature.
"""

import autograd.numpy as np
import matplotlib.pyplot as plt
from autograd import grad
from scipy.optimize import minimize
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from anyargmax import soft_one_hot

# %%
# Recover known values
# --------------------
#
# Eighty rows of eight scores. In each row one entry is drawn 100 times, with the weights of temperature 0.8 and
# alpha 1.5, and only the frequencies are known. The loss is the squared difference between weights and frequencies.
#
# The parameters are free numbers: ``temperature = exp(t)`` is always above 0 and ``alpha = 1 + sigmoid(a)`` always
# between 1, softmax, and 2, sparsemax. A free alpha would drift below 1, where the weights are not defined.

rng = np.random.default_rng(0)
scores = rng.normal(size=(80, 8)) * 1.5
truth = 0.8, 1.5
frequencies = rng.multinomial(100, soft_one_hot(scores, temperature=truth[0], alpha=truth[1])) / 100


def options(parameters):
    t, a = parameters
    return np.exp(t), 1 + 1 / (1 + np.exp(-a))


def loss(parameters):
    temperature, alpha = options(parameters)
    p = soft_one_hot(scores, temperature=temperature, alpha=alpha)
    return np.mean(np.sum((p - frequencies) ** 2, -1))


def adam(loss, start, steps, rate=0.1):
    """Return all the parameters on the way."""
    parameters, mean, square = [np.asarray(start)], 0.0, 0.0
    for step in range(1, steps + 1):
        gradient = grad(loss)(parameters[-1])
        mean, square = 0.9 * mean + 0.1 * gradient, 0.99 * square + 0.01 * gradient**2
        update = mean / (1 - 0.9**step) / (np.sqrt(square / (1 - 0.99**step)) + 1e-12)
        parameters.append(parameters[-1] - rate * update)
    return np.stack(parameters)


starts = {"soft": (1.1, 2.0), "sharp": (-1.5, 1.5), "near softmax": (-0.8, -2.5)}
paths = {name: adam(loss, start, 400) for name, start in starts.items()}
for name, path in paths.items():
    temperature, alpha = options(path[-1])
    print(f"{name:13} temperature {temperature:.3f}   alpha {alpha:.3f}   loss {loss(path[-1]):.6f}")

# %%
# Three paths over the loss. Low losses lie along a valley: a higher alpha makes weights sparser and a higher
# temperature makes them flatter, and together they nearly cancel. The optimiser reaches the valley in a few steps and
# then moves along it slowly.

temperatures, alphas = np.geomspace(0.15, 4, 80), np.linspace(1.01, 1.99, 80)
each = temperatures[:, None, None]  # one call for all temperatures
weights = [soft_one_hot(np.broadcast_to(scores, (80, 80, 8)), temperature=each, alpha=alpha) for alpha in alphas]
surface = np.stack([np.mean(np.sum((p - frequencies) ** 2, -1), -1) for p in weights])

figure, axis = plt.subplots(figsize=(5.6, 3.8))
lines = axis.contourf(temperatures, alphas, surface, np.geomspace(surface.min(), surface.max(), 16), cmap="Greys")
for color, (name, path) in enumerate(paths.items()):
    axis.plot(*options(path.T), ".-", ms=3, lw=1, color=f"C{color}", label=f"start: {name}")
axis.plot(*truth, "*", ms=14, color="white", mec="black", label="truth")
axis.set(
    xscale="log", xlabel="temperature", ylabel="alpha", xticks=[0.2, 0.5, 1, 2, 4], xlim=(0.15, 4), ylim=(1.01, 1.99)
)
axis.xaxis.set_major_formatter("{x:g}")
axis.xaxis.set_minor_formatter("")
axis.legend(loc="lower right", facecolor="white", framealpha=1, frameon=True)
plt.show()

# %%
# One for each head
# -----------------
#
# With the shape ``(4, 1, 1)``, temperature and alpha have one value for each of four heads, in one call. The first head
# is softmax, the last is sparsemax. ``1 + sigmoid(a)`` never reaches 1 or 2, and approaches them slowly, because the
# gradient of ``a`` vanishes there. The temperatures of these two heads also have an error, along the valley.

heads_t, heads_a = np.asarray([0.5, 1.0, 0.7, 1.4]), np.asarray([1.0, 1.25, 1.5, 2.0])
heads = rng.normal(size=(4, 80, 8)) * 1.5
known = soft_one_hot(heads, temperature=heads_t.reshape(4, 1, 1), alpha=heads_a.reshape(4, 1, 1))
counts = rng.multinomial(1000, known) / 1000


def loss_of_heads(parameters):
    temperature, alpha = options(parameters.reshape(2, 4, 1, 1))
    return np.sum((soft_one_hot(heads, temperature=temperature, alpha=alpha) - counts) ** 2) / 80


path = np.stack(options(np.moveaxis(adam(loss_of_heads, np.zeros(8), 400).reshape(-1, 2, 4), 1, 0)))
figure, axes = plt.subplots(1, 2, figsize=(5.6, 3.2))
for axis, name, learned, right in zip(axes, ("temperature", "alpha"), path, (heads_t, heads_a), strict=True):
    print(f"{name:12} known {right}   learned {learned[-1].round(3)}")
    for head in range(4):
        axis.plot(learned[:, head], color=f"C{head}", label=f"head {head + 1}")
        axis.axhline(right[head], color=f"C{head}", ls=":", lw=1)
    axis.set(xlabel="step", title=f"{name} (known values dotted)")
axes[0].set_ylim(0.4, 1.9)
axes[0].legend(ncols=2)
plt.show()

# %%
# Calibrate a classifier
# ----------------------
#
# Temperature scaling (Guo, Pleiss, Sun and Weinberger, 2017): a classifier that fits a small training set exactly is
# overconfident. One temperature, learned on other digits, divides its logits. It changes no answer, because the order
# of the logits stays the same. The loss is the negative log-likelihood by ``log=True``. It is not
# :func:`~anyargmax.fenchel_young_loss`, which is multiplied by the temperature and has its minimum elsewhere.

images, labels = load_digits(return_X_y=True)
few, rest, few_labels, rest_labels = train_test_split(images, labels, train_size=200, random_state=0)
classifier = LogisticRegression(C=100.0, max_iter=2000).fit(few, few_labels)
logits = classifier.decision_function(rest)
held, unseen = np.arange(0, 400), np.arange(400, len(rest))


def likelihood_loss(t, rows=held):
    log_p = soft_one_hot(logits[rows], temperature=np.exp(t[0]), log=True)
    return -np.mean(log_p[np.arange(len(rows)), rest_labels[rows]])


fitted = adam(likelihood_loss, np.zeros(1), 200)[-1]
for name, t in (("temperature 1", np.zeros(1)), (f"temperature {np.exp(fitted[0]):.3f}", fitted)):
    p = soft_one_hot(logits[unseen], temperature=float(np.exp(t[0])))
    right = np.mean(p.argmax(-1) == rest_labels[unseen])
    numbers = f"accuracy {right:.3f}, mean of the largest probability {p.max(-1).mean():.3f}"
    print(f"{name:17} negative log-likelihood of unseen digits {likelihood_loss(t, unseen):.3f}, {numbers}")

# %%
# Check
# -----
#
# Central differences check the gradient. Two searches without a gradient check the minimum: the best node of a grid,
# and the simplex method of Nelder and Mead in SciPy. The minimum is not exactly at the true values, because the
# frequencies are those of 100 draws.

point, step = np.asarray([0.3, -0.5]), 1e-5
differences = [(loss(point + d) - loss(point - d)) / (2 * step) for d in step * np.eye(2)]
print("gradient", grad(loss)(point), "differences", np.asarray(differences))
i, j = np.unravel_index(surface.argmin(), surface.shape)
print(f"grid         temperature {temperatures[j]:.3f}, alpha {alphas[i]:.3f}")
temperature, alpha = options(minimize(loss, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-6}).x)
print(f"Nelder-Mead  temperature {temperature:.3f}, alpha {alpha:.3f}")
temperature, alpha = options(paths["soft"][-1])
print(f"gradient     temperature {temperature:.3f}, alpha {alpha:.3f}")
grid = np.linspace(np.log(0.5), np.log(8), 2001)
scaled = [likelihood_loss([t]) for t in grid]
print(f"calibration: grid {np.exp(grid[int(np.argmin(scaled))]):.3f}, gradient {np.exp(fitted[0]):.3f}")
