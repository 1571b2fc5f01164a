"""
Estimators for a discrete VAE
=============================

A variational autoencoder (VAE) with discrete latent variables draws a code for each image, and the draw has no gradient
of its own. :func:`~anyargmax.sampling.sample_one_hot` has five estimators of a gradient. This example compares them in
PyTorch on scikit-learn's digits. The code has only 64 values, so that the exact gradient and the exact bound can be
computed as a sum over all of them.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits

from anyargmax import soft_one_hot
from anyargmax.sampling import gumbel_noise, sample_one_hot

torch.set_num_threads(1)  # the arrays are small: more threads would be slower

# %%
# The model
# ---------
#
# Images of 8 x 8 binary pixels. The encoder gives the logits of two variables of 8 classes, the decoder takes both
# choices as one-hot vectors and gives the logits of the pixels. The evidence lower bound (ELBO) of an image ``x`` is
# ``E[log p(x | z)] - KL(q(z | x) || uniform)``. Only the first term needs draws. Three models are trained at once, along
# the first axis of all parameters.

MODELS, CLASSES, HIDDEN = 3, 8, 64
images = torch.as_tensor(load_digits().data > 7, dtype=torch.float32)
train, test = images[:1500], images[1500:]


def initial(key):
    shapes = (64, HIDDEN), (HIDDEN, 2 * CLASSES), (2 * CLASSES, HIDDEN), (HIDDEN, 64)
    weights = [torch.randn((MODELS, *shape), generator=key) / shape[0] ** 0.5 for shape in shapes]
    return [layer for w in weights for layer in (w, torch.zeros(MODELS, 1, w.shape[-1]))]  # encoder 0-3, decoder 4-7


def network(x, a, b, c, d):
    return torch.tanh(x @ a + b) @ c + d


def encode(parameters, x):
    return network(x, *parameters[:4]).unflatten(-1, (2, CLASSES))


def log_likelihood(parameters, z, x):
    pixels = network(z.flatten(-2), *parameters[4:])
    return (x * pixels - torch.nn.functional.softplus(pixels)).sum(-1)


def divergence(logits):
    p = soft_one_hot(logits)
    return (p * (soft_one_hot(logits, log=True) + torch.log(torch.tensor(CLASSES)))).sum((-2, -1))


def exact(parameters, logits, x):
    """The mean of the log-likelihood over all codes: each is decoded once, for all images."""
    first, second = soft_one_hot(logits).unbind(-2)
    codes = torch.cartesian_prod(torch.arange(CLASSES), torch.arange(CLASSES))
    pixels = network(torch.nn.functional.one_hot(codes, CLASSES).flatten(1).float(), *parameters[4:])
    each = x @ pixels.mT - torch.nn.functional.softplus(pixels).sum(-1)[..., None, :]
    return ((first[..., :, None] * second[..., None, :]).flatten(-2) * each).sum(-1)


def drawn(parameters, logits, x, noise, estimator, temperature):
    """The log-likelihood of one code drawn for each image, with the gradient of an estimator."""
    z = sample_one_hot(logits, noise, temperature=temperature, estimator=estimator)
    return log_likelihood(parameters, z, x)


# %%
# Training
# --------
#
# Adam, 240 steps of 100 images, with the same initial parameters, images and noise for each estimator. The curves are
# the exact ELBO of the test images, the mean of three models. ``"exact"`` is trained with the exact gradient, the limit
# of what an estimator can reach.

RUNS = {
    "exact": ("exact", None, "black", "-"),
    "reinmax": ("reinmax", 1.0, "C0", "-"),
    "gumbel-rao, T = 0.3": ("gumbel-rao", 0.3, "C4", "--"),
    "gumbel, T = 0.3": ("gumbel", 0.3, "C3", "--"),
    "gumbel, T = 1": ("gumbel", 1.0, "C3", "-"),
    "gapped": ("gapped", 1.0, "C2", "-"),
    "straight-through": ("straight-through", 1.0, "C1", "-"),
    "gumbel, T = 0.1": ("gumbel", 0.1, "C3", ":"),
}


def fit(estimator, temperature=1.0, steps=240):
    key = torch.Generator().manual_seed(0)
    parameters = [parameter.requires_grad_() for parameter in initial(key)]
    optimizer = torch.optim.Adam(parameters, lr=0.01)
    curve = []
    for step in range(steps + 1):
        if step % 20 == 0:
            with torch.no_grad():
                logits = encode(parameters, test)
                curve.append((exact(parameters, logits, test) - divergence(logits)).mean(-1))
        x = train[torch.randint(len(train), (100,), generator=key)]
        logits = encode(parameters, x)
        noise = gumbel_noise(key, logits, draws=8)  # gumbel-rao takes the mean over all, the others the first
        noise = noise if estimator == "gumbel-rao" else noise[0]
        if estimator == "exact":
            likelihood = exact(parameters, logits, x)
        else:
            likelihood = drawn(parameters, logits, x, noise, estimator, temperature)
        optimizer.zero_grad()
        (divergence(logits) - likelihood).mean(-1).sum().backward()
        optimizer.step()
    return [parameter.detach() for parameter in parameters], torch.stack(curve, 1)


figure, axis = plt.subplots(figsize=(5.6, 3.4))
for name, (estimator, temperature, color, line) in RUNS.items():
    _, curves = fit(estimator, temperature)
    last = curves[:, -1]
    print(f"{name:20} exact ELBO of the test images {last.mean():.2f}, models {last.min():.2f} to {last.max():.2f}")
    axis.plot(range(0, 241, 20), curves.mean(0), line, color=color, label=name)
axis.set(xlabel="step", ylabel="exact ELBO of the test images", ylim=(-27, -18.5))
axis.legend(loc="lower right", ncols=2)
plt.show()

# %%
# The run with the exact gradient has another advantage: its decoder is trained on all codes of each image, and the
# other decoders only on the code that was drawn.
#
# Bias and spread of the gradients
# --------------------------------
#
# At one set of weights, after 100 steps with the exact gradient: 3000 draws for each of 10 images. Each draw gives a
# gradient for the logits of its image. The bias is the distance of their mean from the exact gradient. The spread is
# the standard deviation of one draw. Both are over all images together, relative to the length of the exact gradient.
# The bars show the apparent bias that 3000 unbiased draws would have. The numbers are temperatures.

DRAWS = 3000
parameters = [parameter[0] for parameter in fit("exact", steps=100)[0]]
x = test[:10]
logits = encode(parameters, x).requires_grad_()
(truth,) = torch.autograd.grad(exact(parameters, logits, x).sum(), logits)


def gradients(estimator, temperature):
    key = torch.Generator().manual_seed(1)
    each = logits.detach().expand(DRAWS, *logits.shape).clone().requires_grad_()
    noise = gumbel_noise(key, each, draws=8 if estimator == "gumbel-rao" else ())
    likelihood = drawn(parameters, each, x, noise, estimator, temperature)
    return torch.autograd.grad(likelihood.sum(), each)[0]


def bias_spread_error(g):
    spread = g.var(0).sum().sqrt() / truth.norm()
    bias = (g.mean(0) - truth).norm() / truth.norm()
    return bias.item(), spread.item(), spread.item() / len(g) ** 0.5


image, variable, label = np.unravel_index(truth.abs().numpy().argmax(), truth.shape)
figure, (left, right) = plt.subplots(1, 2, figsize=(5.6, 3.6), width_ratios=(3, 2))
TEMPERATURES = {
    "reinmax": (1.0,),
    "straight-through": (1.0,),
    "gapped": (0.3, 1.0),
    "gumbel": (0.1, 0.3, 1.0),
    "gumbel-rao": (0.1, 0.3, 1.0),
}
for row, (estimator, temperatures) in enumerate(TEMPERATURES.items()):
    samples = [gradients(estimator, temperature) for temperature in temperatures]
    bias, spread, error = np.transpose([bias_spread_error(g) for g in samples])
    left.errorbar(spread, bias, error, fmt="o-", ms=4, capsize=2, color=f"C{row}", label=estimator)
    for t, b, s, e in zip(temperatures, bias, spread, error, strict=True):
        left.annotate(
            f"{t:g}",
            (s, b),
            (-21, -10) if estimator == "gumbel-rao" else (5, 4),
            textcoords="offset points",
            fontsize=8,
            color=f"C{row}",
        )
        print(f"{estimator:17}T = {t:<4g} bias {b:.2f}   spread {s:5.2f}   (bar {e:.2f})")
    one = samples[-1][:, image, variable, label]
    right.errorbar(one.mean(), -row, xerr=one.std(), fmt="o", ms=4, capsize=2, color=f"C{row}")
left.set(xscale="log", xlabel="spread of one draw", ylabel="bias", ylim=(0, 1.2), xticks=(2, 5, 10))
left.xaxis.set_major_formatter("{x:g}")
left.xaxis.set_minor_formatter("")
left.legend(loc="upper right")
right.axvline(truth[image, variable, label], color="black", ls=":")
right.set(title="one logit, T = 1", xlabel="gradient (dotted: exact)")
right.set_yticks([-row for row in range(len(TEMPERATURES))], TEMPERATURES)
plt.show()

# %%
# Both matter for training. Many steps average out the spread, but not the bias: ``"reinmax"``, and ``"gumbel"`` and
# ``"gumbel-rao"`` at temperature 0.3, reach better bounds than the estimators with more bias and less spread. But
# ``"gumbel"`` at 0.1, with the largest spread, is among the worst. ``"gumbel-rao"`` has less spread than ``"gumbel"``
# at the same bias, for eight times as many softmaxes. None of them is unbiased for a decoder with a hidden layer:
# ``"reinmax"`` is exact for quadratic functions only. Another model may rank them differently.
#
# Check
# -----
#
# The score function estimator (REINFORCE) is unbiased, and does not use the library: it is the log-likelihood, minus a
# baseline, times the gradient of the log-probability of the draw. Its mean must agree with the exact gradient, up to
# the error of 3000 draws. The spread depends on the baseline. The baseline here is the mean of the other draws, which
# is not available in training with one draw for each image. The last line checks the sum over all codes for the ten
# images. By chance, about one in twenty differs by more than two standard errors.

torch.manual_seed(0)
draws = torch.distributions.Categorical(logits=logits.detach()).sample((DRAWS,))
one_hot = torch.nn.functional.one_hot(draws, CLASSES).float()
likelihood = log_likelihood(parameters, one_hot, x)
log_probability = one_hot - torch.softmax(logits.detach(), -1)  # its gradient
for name, baseline in {"the mean of the others": likelihood.mean(0), "none": 0 * likelihood.mean(0)}.items():
    g = (likelihood - baseline)[..., None, None] * log_probability * (DRAWS / (DRAWS - 1) if baseline.any() else 1)
    print("score function, baseline {}: bias {:.2f}   spread {:.2f}   (bar {:.2f})".format(name, *bias_spread_error(g)))
difference = (likelihood.mean(0) - exact(parameters, logits, x).detach()) / (likelihood.std(0) / DRAWS**0.5)
print("mean of the draws less the sum over all codes, in standard errors:\n ", *np.round(difference.numpy(), 1))
