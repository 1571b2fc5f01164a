"""
Top-k routing of a mixture of experts
=====================================

A router sends each input to k of n experts. Sorting the scores chooses them, without a gradient for the router.
:func:`~anyargmax.soft_top_k` with ``hard=True`` makes the same choice, exactly k experts with a gate of exactly 1, and
has a gradient. This example trains both in PyTorch on a function of two variables, compares the three kinds of soft
choice with the usual softmax gates, and counts how many inputs each expert gets.
"""

from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import torch

from anyargmax import soft_top_k

torch.set_num_threads(1)  # the arrays are small: more threads would be slower

# %%
# Gates of k winners
# ------------------
#
# Gates of the same scores by each kind, and the gradient of the gate of the third expert. ``"capped"`` gates are
# exactly 0 and 1 away from the threshold, with gradient 0. ``"sigmoid"`` and ``"subset"`` gates are between 0 and 1 and
# have a gradient everywhere. ``hard=True`` changes the value only.

scores = torch.tensor([2.0, 1.2, 0.9, 0.1, -1.5], requires_grad=True)
for kind in ("capped", "sigmoid", "subset"):
    soft, hard = soft_top_k(scores, 2, kind=kind), soft_top_k(scores, 2, kind=kind, hard=True)
    gradients = [torch.autograd.grad(gates[2], scores)[0] for gates in (soft, hard)]
    print(f"{kind:8} {soft.detach().numpy().round(2)}  gradient {gradients[0].numpy().round(2) + 0.0}")
    print(f"{'  hard':8} {hard.detach().numpy().round(2)}  gradient {gradients[1].numpy().round(2) + 0.0}")

# %%
# A mixture of experts
# --------------------
#
# Eight experts, each a linear function of the input, and a router that is linear in random waves. The answer is the sum
# of the experts chosen, times their gates. Three models are trained at once, along the first axis of all parameters.
#
# * ``sorting``: gates of 1 for the two largest scores, by ``topk``. The router gets no gradient and stays as it was.
# * ``softmax of two``: the gates of Shazeer et al. (2017), the softmax of the two largest scores, which have a gradient.
# * ``capped``, ``sigmoid``, ``subset``: gates of 1 by ``hard=True``. Scores that were not chosen have a gradient, too.
# * ``capped, soft``: without ``hard=True``, an input may have more than two experts.

MODELS, EXPERTS, K, STEPS = 3, 8, 2, 200
key = torch.Generator().manual_seed(0)
frequencies = 2 * torch.randn((2, 16), generator=key)
train, test = 2 * torch.rand((2, 400, 2), generator=key) - 1


def target(x):
    return torch.sin(4 * x[:, 0]) * torch.cos(3 * x[:, 1]) + (x[:, 0] - x[:, 1]).abs()


def gates_of(scores, kind):
    if kind == "sorting":
        return torch.zeros_like(scores).scatter(-1, scores.topk(K).indices, 1.0)
    if kind == "softmax of two":
        largest, indices = scores.topk(K)
        return torch.zeros_like(scores).scatter(-1, indices, K * torch.softmax(largest, -1))
    return soft_top_k(scores, K, kind=kind.split(",")[0], hard="soft" not in kind)


def answer(parameters, x, kind):
    router, experts = parameters
    inputs = torch.cat([x, torch.ones_like(x[:, :1])], 1)
    waves = x @ frequencies
    gates = gates_of(torch.cat([inputs, waves.sin(), waves.cos()], 1) @ router, kind)
    return gates, (gates * (inputs @ experts)).sum(-1)


def fit(kind):
    key = torch.Generator().manual_seed(1)
    shapes = (MODELS, 35, EXPERTS), (MODELS, 3, EXPERTS)
    parameters = [(0.3 * torch.randn(shape, generator=key)).requires_grad_() for shape in shapes]
    optimizer = torch.optim.Adam(parameters, lr=0.03)
    curve = []
    for _ in range(STEPS):
        squares = (answer(parameters, train, kind)[1] - target(train)).square().mean(1)
        curve.append(squares.detach().sqrt())
        optimizer.zero_grad()
        squares.sum().backward()
        optimizer.step()
    return [parameter.detach() for parameter in parameters], torch.stack(curve).mean(1)


# %%
# The figure shows the root mean square error of the training, and the loads: the share of the test inputs that each
# expert gets, in falling order, the mean of the three models. Equal loads would be 2 / 8.
#
# A trained router has about half the error of one that is not trained. ``"sigmoid"`` and ``"subset"`` come nearest to
# equal loads: experts that are not chosen have a gradient, so that they can come back. Nothing else balances the loads
# here; add a loss of balance, or noise to the scores, where that matters.
#
# If gates need not be 0 or 1, use soft ones. The softmax of two mixes its experts and has a lower error than gates of
# 1. Without ``hard=True`` the error is the lowest of all, but some inputs use more than two experts.

KINDS = {
    "sorting": "black",
    "softmax of two": "C3",
    "capped": "C0",
    "sigmoid": "C1",
    "subset": "C2",
    "capped, soft": "C5",
}
models = {}
figure, (left, right) = plt.subplots(1, 2, figsize=(5.6, 3.6))
for kind, color in KINDS.items():
    models[kind], curve = fit(kind)
    gates, values = answer(models[kind], test, kind)
    errors = (values - target(test)).square().mean(1).sqrt()
    count = (gates > 0).sum(-1)
    loads = (gates > 0).float().mean(1).sort(descending=True).values.mean(0)
    numbers = f"largest load {loads[0]:.2f}, smallest {loads[-1]:.2f}"
    print(f"{kind:15} error {errors.mean():.3f}   experts of an input: {count.min()} to {count.max()}   {numbers}")
    line = "--" if "soft" in kind else "-"
    left.semilogy(curve, line, color=color, label=kind)
    right.plot(range(1, EXPERTS + 1), loads, line, marker="o", ms=3, color=color)
left.set(xlabel="step", title="error in training")
figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3)
right.axhline(K / EXPERTS, color="grey", ls=":")
right.set(xlabel="expert, in order of its load", title="share of the inputs", ylim=(0, None))
plt.show()

# %%
# Maps of one model of each kind. White lines are the borders between choices. With gates of 1 the answer jumps there.

line = torch.linspace(-1, 1, 200)
plane = torch.cartesian_prod(line, line)
figure, axes = plt.subplots(1, 4, figsize=(5.6, 1.75))
for axis, kind in zip(axes, ("target", "sorting", "subset", "softmax of two"), strict=True):
    values = target(plane)
    if kind != "target":
        gates, values = (result[0] for result in answer(models[kind], plane, kind))
        choice = (gates > 0).reshape(200, 200, EXPERTS)
        values[:-200][(choice[1:] != choice[:-1]).any(-1).flatten()] = torch.nan
        values.reshape(200, 200)[:, :-1][(choice[:, 1:] != choice[:, :-1]).any(-1)] = torch.nan
    axis.imshow(values.reshape(200, 200).T.numpy(), vmin=-1, vmax=2, origin="lower")
    axis.set(title=kind, xticks=[], yticks=[])
    axis.grid(False)
plt.show()

# %%
# Check
# -----
#
# Exactly k gates are exactly 1, at the places that ``numpy.argsort`` gives. The ``"subset"`` gates agree with their
# definition: the sum over all 28 pairs of 8 experts, each with a probability proportional to the exponential of its
# scores. The Jacobian is the covariance matrix of the pairs.

scores = torch.randn((600, EXPERTS), generator=key, dtype=torch.float64)
largest = np.argsort(scores.numpy(), -1)[:, -K:]
for kind in ("capped", "sigmoid", "subset"):
    hard = soft_top_k(scores, K, kind=kind, hard=True).numpy()
    print(
        f"{kind:8} sums {np.unique(hard.sum(-1))}, as argsort: {bool((np.take_along_axis(hard, largest, -1) == 1).all())}"
    )

pairs = np.zeros((28, EXPERTS))
for row, pair in enumerate(combinations(range(EXPERTS), K)):
    pairs[row, list(pair)] = 1
chances = np.exp(scores.numpy() @ pairs.T)
chances /= chances.sum(-1, keepdims=True)
error = np.abs(soft_top_k(scores, K, kind="subset").numpy() - chances @ pairs).max()
jacobian = torch.autograd.functional.jacobian(lambda x: soft_top_k(x, K, kind="subset"), scores[0]).numpy()
covariance = np.cov(pairs.T, aweights=chances[0], bias=True)
print(f"subset: largest error of a gate {error:.1e}, of the Jacobian {np.abs(jacobian - covariance).max():.1e}")
