"""
Training through an argmax
==========================

A small Keras network (embedding, LSTM, softmax, argmax) maps tokens to tokens. Through the argmax no weight gets a
gradient. Through :func:`~anyargmax.soft_argmax` every weight gets one, and the network learns to answer with given
tokens.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")  # before the first import of Keras

import keras
import matplotlib.pyplot as plt
import numpy as np
import torch

from anyargmax import soft_argmax

keras.utils.set_random_seed(0)
torch.set_num_threads(1)  # the network is too small to gain from more
model = keras.Sequential(
    [
        keras.layers.Embedding(10, 3, embeddings_initializer=keras.initializers.RandomUniform(-1, 1), dtype="float64"),
        keras.layers.LSTM(20, return_sequences=True, dtype="float64"),
        keras.layers.Softmax(dtype="float64"),
    ]
)
inputs = torch.tensor([[1, 2, 7], [3, 9, 6]])
targets = torch.tensor([[3, 1, 4], [1, 5, 9]])
print("probabilities:", tuple(model(inputs).shape))
print("answer before training:", model(inputs).argmax(-1).tolist())
weights = {weight.name: weight.value for weight in model.trainable_weights}

# %%
# The argmax of PyTorch gives integers, which have no gradient. The loss cannot be differentiated, and the gradient of
# every weight stays ``None``.

loss = ((model(inputs).argmax(-1) - targets) ** 2.0).mean()
try:
    loss.backward()
except RuntimeError as error:
    print(str(error).splitlines()[0])
for name, weight in weights.items():
    print(f"{name:17} {weight.grad}")

# %%
# With :func:`~anyargmax.soft_argmax` in place of argmax the same loss has a gradient for every weight. Here the
# scores are probabilities, which at first differ by a few hundredths, and the temperature is of that size.


def squared_distance(temperature=0.01):
    """Return the mean squared distance of the soft tokens from their targets."""
    return ((soft_argmax(model(inputs), axis=-1, temperature=temperature) - targets) ** 2.0).mean()


squared_distance().backward()
for name, weight in weights.items():
    print(f"{name:17} norm of the gradient {weight.grad.norm():.3f}")

# %%
# Central differences along a random direction of each weight confirm the gradients.

for name, weight in weights.items():
    direction, step = torch.randn_like(weight), 1e-6
    with torch.no_grad():
        weight.add_(direction, alpha=step)
        ahead = squared_distance()
        weight.sub_(direction, alpha=2 * step)
        behind = squared_distance()
        weight.add_(direction, alpha=step)
    difference = (ahead - behind) / (2 * step)
    print(f"{name:17} {difference:9.5f} by differences, {(weight.grad * direction).sum():9.5f} by the gradient")

# %%
# The squared distance is also small where two wrong tokens lie evenly on both sides of the target. The expected
# distance is not: give :func:`~anyargmax.soft_argmax` the distances from the target as ``positions``. The temperature
# is high at first, so that all tokens get a gradient, and falls by a constant factor to 0.002.

distance = (torch.arange(20, dtype=torch.float64) - targets[..., None]).abs()
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
losses, tokens, norms, right = [], [], [], []
for temperature in np.geomspace(0.1, 0.002, 600):
    p = model(inputs)
    loss = soft_argmax(p, axis=-1, temperature=temperature, positions=distance).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
    tokens.append(soft_argmax(p.detach(), axis=-1, temperature=temperature).flatten())
    norms.append([weight.grad.norm() for weight in weights.values()])
    right.append(int((p.argmax(-1) == targets).sum()))
for step in (0, 150, 300, 450, 599):
    print(f"step {step:3}: expected distance {losses[step]:8.2e}, {right[step]} of 6 tokens are right")

# %%
# The soft tokens start in the middle and move to their targets (dashed). Once all are there, the gradient falls towards
# 0 with the temperature.

figure, (left, middle, last) = plt.subplots(1, 3, figsize=(5.6, 2.8), sharex=True)
left.semilogy(losses)
left.set(ylabel="expected distance", xlabel="step", ylim=(1e-6, 20))
for k, target in enumerate(targets.flatten()):
    middle.plot([token[k] for token in tokens], color=f"C{k}")
    middle.axhline(target, color=f"C{k}", ls="--", lw=1)
middle.set(ylabel="soft token", xlabel="step")
for k, name in enumerate(weights):
    last.semilogy([norm[k] for norm in norms], label=name)
last.set(ylabel="norm of the gradient", xlabel="step", ylim=(1e-14, 10))
figure.legend(*last.get_legend_handles_labels(), loc="outside lower center", ncols=4, handlelength=1)
plt.show()

# %%
# NumPy's argmax of the trained network agrees with the targets.

answer = np.argmax(model(inputs).detach().numpy(), axis=-1)
print("answer after training:", answer.tolist())
print("all targets reached:", np.array_equal(answer, targets))

# %%
# The loss is not convex, and not every start reaches all targets. Of the seeds 0 to 19, 15 reach them in 600 steps.
# The other five keep one to three wrong tokens: the temperature fell too early for these tokens, and at a low
# temperature a wrong token gets almost no gradient. With the small embeddings that Keras starts from, none of the 20
# reach all targets.
