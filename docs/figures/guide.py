"""The pictures of the page "Which argmax do I want?": one function for each of its sections."""

import numpy as np
from _common import RIGHT, WRONG, bars, bump, call, panels
from matplotlib.patches import Ellipse, FancyBboxPatch, Rectangle
from style import BLUE, GREEN, GREY, ORANGE, RED, SKY

from anyargmax import (
    expectation,
    fenchel_young_loss,
    soft_argmax,
    soft_argmax_moments,
    soft_one_hot,
    soft_top_k,
    spatial_soft_argmax,
    vjp,
)
from anyargmax.sampling import gumbel_noise, sample_one_hot


def flat():
    x = bump(20, (14, 1, 2))
    for ax, temperature, color in zip(panels(2, sharey=True), (1.0, 0.05), (WRONG, RIGHT), strict=True):
        y = soft_argmax(x, temperature=temperature)
        bars(ax, soft_one_hot(x, temperature=temperature), y, color, argmax=14)
        call(ax, "soft_argmax(x)" if temperature == 1 else "soft_argmax(x, temperature=0.05)", f"{y:.2f}")
        ax.set(xlabel="entry", ylabel="weight" if temperature == 1 else None)


def background():
    y, x = np.mgrid[:64, :64]
    heatmap = np.exp(-((x - 12.4) ** 2 + (y - 20.6) ** 2) / 8)
    left, right = panels(2, width_ratios=(1, 2))
    left.imshow(heatmap, cmap="Greys", vmax=1.5)
    temperatures = np.geomspace(0.03, 2, 30)
    for option, color, label in ((False, WRONG, "plain"), (True, RIGHT, "zero_background=True")):
        points = [
            spatial_soft_argmax(heatmap, (-1, -2), temperature=t, zero_background=option, window=None)
            for t in temperatures
        ]
        left.plot(*np.transpose(points[::4]), "x", color=color)
        right.semilogx(
            temperatures, np.linalg.norm(np.subtract(points, (12.4, 20.6)), axis=1), color=color, label=label
        )
    left.set(xticks=[], yticks=[])
    left.set_title("from low T to high T", fontsize=8)
    left.spines[:].set_visible(True)
    left.grid(visible=False)
    right.set(xlabel="temperature", ylabel="error in pixels")
    right.legend(loc="center right", fontsize=8)


def two_peaks():
    x = bump(20, (4, 4, 1.5), (15, 3.8, 1.5))
    left, right = panels(2, sharey=True)
    mean, variance = soft_argmax_moments(x)
    bars(left, soft_one_hot(x), mean, argmax=4)
    left.errorbar(mean, 0.2, xerr=variance**0.5, color=WRONG, capsize=4)
    call(left, "soft_argmax_moments(x)", f"{mean:.2f}, {variance:.1f} (bar: its root)")
    near = np.abs(np.arange(20) - 4) <= 2
    y = soft_argmax(x, window=2)
    bars(right, soft_one_hot(x, mask=near), y, RIGHT)
    right.axvspan(1.5, 6.5, color=RIGHT, alpha=0.15, lw=0)
    call(right, "soft_argmax(x, window=2)", f"{y:.2f}")
    left.set(ylabel="weight", xlabel="entry")
    right.set(xlabel="entry")


def far_entries():
    x = bump(200, (30, 6, 4))
    for ax, alpha, color in zip(panels(2, sharey=True), (1, 1.5), (WRONG, RIGHT), strict=True):
        p, y = soft_one_hot(x, alpha=alpha), soft_argmax(x, alpha=alpha)
        ax.fill_between(np.arange(200), p, 1e-5, color=SKY, step="mid")
        ax.axvline(y, color=color, lw=2)
        ax.axvline(30, color=GREY, ls="--", lw=1)
        ax.set(yscale="log", ylim=(1e-5, 1), xlabel="entry", ylabel="weight" if alpha == 1 else None)
        call(ax, "soft_argmax(x)" if alpha == 1 else "soft_argmax(x, alpha=1.5)", f"{y:.2f}")
        ax.text(0.97, 0.85, f"{np.sum(p > 0)} of 200 weights > 0", transform=ax.transAxes, ha="right", fontsize=8)


def learned_alpha():
    import torch

    x = 2 * torch.randn(64, 10, generator=torch.Generator().manual_seed(0))
    target = soft_one_hot(x, alpha=1.6)
    a, alphas, losses = torch.tensor(-2.0, requires_grad=True), [], []
    for _ in range(40):
        alpha = 1 + torch.sigmoid(a)
        loss = torch.sum((soft_one_hot(x, alpha=alpha) - target) ** 2)
        alphas.append(alpha.item())
        losses.append(loss.item())
        a.data -= 0.5 * torch.autograd.grad(loss, a)[0]
    left, right = panels(2)
    left.semilogy(losses)
    left.set(xlabel="step", ylabel="loss")
    right.plot(alphas, color=RIGHT)
    right.axhline(1.6, color=GREY, ls="--", lw=1)
    right.text(0, 1.61, "alpha that made the targets", color=GREY, fontsize=8, va="bottom")
    right.set(xlabel="step", ylabel="alpha", ylim=(1, 1.75))


def hard():
    scores = np.linspace(-2, 4, 301)
    x = np.stack([0 * scores, 1 + 0 * scores, scores], axis=-1)
    left, right = panels(2)
    for option, label, style in ((False, "soft", "-"), (True, "hard=True", "--")):
        y, pullback = vjp(lambda x, option=option: soft_argmax(x, axis=-1, hard=option), x)
        left.plot(scores, y, style, label=label)
        right.plot(scores, pullback(np.ones_like(scores))[0][:, 2], style)
    left.plot(scores, np.argmax(x, axis=-1), ":", color="black", label="np.argmax")
    right.plot(scores, 0 * scores, ":", color="black")
    left.set(ylabel="position", xlabel="score of entry 2")
    right.set(ylabel="gradient", xlabel="score of entry 2")
    left.legend(loc="upper left", fontsize=8, handlelength=1.5)


def outlier():
    x = bump(40, (8, 5, 3), (36, 5.5, 0.5))
    left, *others = panels(3)
    bars(left, soft_one_hot(x), soft_argmax(x))
    left.axvline(soft_argmax(x, readout="median"), color=RIGHT, lw=2)
    left.set(xlabel="entry", ylabel="weight")
    scores = np.linspace(0, 9, 60)
    for ax, peak, far, place in zip(others, (8, 30), (36, 2), ("above", "below"), strict=True):
        rows = np.stack([bump(40, (peak, 5, 3), (far, score, 0.5)) for score in scores])
        for readout, color in (("mean", WRONG), ("median", RIGHT)):
            ax.plot(scores, soft_argmax(rows, axis=-1, readout=readout), color=color, label=readout)
        ax.set(xlabel=f"score of entry {far}", ylabel="position", ylim=(0, 39))
        ax.set_title(f"outlier {place} the peak", fontsize=8)
    others[0].legend(loc="upper left")


def winners():
    x = np.asarray([0.0, 4.0, 3.5, 0.0, 0.0, 0.0, 3.9])
    options = {")": {}, ',\n kind="sigmoid")': {"kind": "sigmoid"}, ",\n hard=True)": {"hard": True}}
    for ax, (text, option) in zip(panels(3, sharey=True), options.items(), strict=True):
        p = soft_top_k(x, 2, **option)
        bars(ax, p)
        for i, weight in enumerate(p):
            ax.text(i, weight + 0.02, f"{weight:.2f}".strip("0").rstrip(".") or "0", ha="center", fontsize=8)
        call(ax, f"soft_top_k(x, 2{text}")
        ax.set(xlabel="entry", ylim=(0, 1.15))


def ellipse(ax, mean, covariance, color):
    """Draw one and two standard deviations round a mean."""
    values, vectors = np.linalg.eigh(covariance)
    angle = np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1]))
    for size in (2, 4):
        width, height = size * values[::-1] ** 0.5
        ax.add_patch(Ellipse(mean, width, height, angle=angle, fill=False, color=color))


def uncertainty():
    first, second, third = panels(3, width_ratios=(1, 1, 1))
    for ax, x in ((first, bump(20, (12, 6, 2))), (second, bump(20, (4, 4, 1.5), (15, 3.8, 1.5)))):
        mean, variance = soft_argmax_moments(x)
        p = soft_one_hot(x)
        bars(ax, p, mean, BLUE)
        ax.errorbar(mean, p.max() / 2, xerr=variance**0.5, color=BLUE, capsize=4)
        ax.set_title(f"{mean:.1f} ± {variance**0.5:.1f}", fontsize=9)
        ax.set(xlabel="entry", yticks=[])
    y, x = np.mgrid[:20, :20]
    heatmap = 6 * np.exp(-((x - y) ** 2) / 8 - (x + y - 20) ** 2 / 60)
    third.imshow(heatmap, cmap="Greys")
    mean, covariance = spatial_soft_argmax(heatmap, (-1, -2), temperature=0.7, readout="covariance")
    third.plot(*mean, "+", color=RED)
    ellipse(third, mean, covariance, RED)
    third.set(xticks=[], yticks=[])
    third.set_title('readout="covariance"', family="monospace", fontsize=8)
    third.grid(visible=False)


def one_solve():
    x = bump(20, (6, 4, 2), (13, 3, 3))
    p = soft_one_hot(x, alpha=1.5)
    mean, variance = expectation(p, -1, readout="moments")
    median = expectation(p, -1, readout="median")
    first, second, third = panels(3)
    first.bar(np.arange(20), x, color=GREY)
    call(first, "x")
    bars(second, p)
    call(second, "p = soft_one_hot(x, alpha=1.5)")
    bars(third, p)
    third.axvline(mean, color=BLUE, lw=2)
    third.axvline(median, color=ORANGE, lw=2)
    third.errorbar(mean, p.max() / 3, xerr=variance**0.5, color=BLUE, capsize=4)
    call(third, "expectation(p, -1)", f"{mean:.2f}, median {median:.2f}")
    for ax in (first, second, third):
        ax.set(xlabel="entry", yticks=[])
        ax.grid(visible=False)


def coordinates():
    heatmap = np.zeros((3, 4))
    heatmap[1, 2] = 1
    for ax, units in zip(panels(3), ("index", "corner", "center"), strict=True):
        ax.imshow(heatmap, cmap="Greys", vmax=2)
        for axis, n in ((ax.xaxis, 4), (ax.yaxis, 3)):
            i = np.arange(n)
            values = {"index": i, "corner": 2 * i / (n - 1) - 1, "center": (2 * i + 1) / n - 1}[units]
            axis.set_ticks(i, [f"{v:.2g}" for v in values])
            axis.set_ticks(np.arange(n + 1) - 0.5, minor=True)
        ax.grid(visible=False)
        ax.grid(which="minor")
        point = spatial_soft_argmax(99 * heatmap, (-1, -2), coordinates=units)
        call(ax, f'coordinates="{units}"', f"[{point[0]:.3g}, {round(point[1], 3) + 0:.3g}]")
        ax.plot(2, 1, "o", color=RIGHT)


def draws():
    x = bump(20, (4, 4, 1.5), (15, 3.8, 1.5))
    left, right = panels(2, sharey=True)
    y = soft_argmax(x)
    bars(left, soft_one_hot(x), y)
    call(left, "soft_argmax(x)", f"{y:.2f}")
    noise = gumbel_noise(np.random.default_rng(0), x, draws=1000)
    drawn = expectation(sample_one_hot(x, noise, estimator="reinmax"), -1)
    right.hist(drawn, bins=np.arange(21) - 0.5, weights=np.full(1000, 1e-3), color=RIGHT, rwidth=0.85)
    call(right, "expectation(draws, -1)", f"{drawn[:5]}"[:-1] + " ...")
    left.set(ylabel="weight", xlabel="entry")
    right.set(ylabel="share of 1000 draws", xlabel="position")
    right.grid(visible=False)


def shards():
    x = bump(32, (19, 3, 3)) + 0.4 * np.cos(np.arange(32) * 2.4) + 0.6
    ax = panels(1, height=2.4)
    for k in range(4):
        left = 9 * k
        ax.bar(left + np.arange(8), 0.8 * x[8 * k : 8 * k + 8], bottom=3, color=(BLUE, ORANGE, GREEN, RED)[k])
        ax.add_patch(Rectangle((left - 0.8, 2.8), 8.6, 4.6, fill=False, color=GREY))
        ax.text(left + 3.5, 6.8, f"device {k}: n / 4", ha="center", fontsize=8)
        ax.annotate("", (left + 3.5, 1.75), (left + 3.5, 2.8), arrowprops={"arrowstyle": "<->", "color": GREY})
    ax.add_patch(FancyBboxPatch((0, 0), 34, 1.3, boxstyle="round", facecolor="white", edgecolor=GREY))
    ax.text(17, 0.65, "three numbers a row travel: max, sum of e, sum of c e  (12 bytes)", ha="center", va="center")
    ax.set(xlim=(-1.5, 36), ylim=(-0.7, 7.6))
    ax.axis("off")


def labels():
    margin = np.linspace(-2, 5, 201)
    x = np.stack([margin, 0 * margin], axis=-1)
    left, right = panels(2)
    for alpha in (1.0, 1.5, 2.0):
        target = np.zeros(margin.shape, dtype=int)
        loss, pullback = vjp(lambda x, alpha=alpha, target=target: fenchel_young_loss(x, target, alpha=alpha), x)
        left.plot(margin, loss, label=f"alpha={alpha:g}")
        right.plot(margin, pullback(np.ones_like(margin))[0][:, 0])
    left.set(xlabel="margin of the label", ylabel="loss")
    right.set(xlabel="margin of the label", ylabel="gradient")
    left.legend()


def masked():
    x = np.asarray([[0.0, 1.0, 5.0, 2.0], [3.0, 0.0, 0.0, np.nan], [np.nan] * 4])
    keep = np.isfinite(x)
    for ax, p, y in zip(
        panels(2),
        (soft_one_hot(x), soft_one_hot(x, mask=keep)),
        (soft_argmax(x, axis=-1), soft_argmax(x, axis=-1, mask=keep)),
        strict=True,
    ):
        ax.imshow(np.where(np.isnan(p), 0.0, p), cmap="Blues", vmin=0, vmax=1.6)
        for (row, column), weight in np.ndenumerate(p):
            ax.text(column, row, f"{weight:.2f}", ha="center", va="center", color=RED if weight != weight else "black")
        for row, position in enumerate(y):
            ax.text(3.65, row, f"position {position:.2f}", va="center", fontsize=8)
        ax.set(xticks=range(4), yticks=range(3), yticklabels=[f"row {k}" for k in range(3)], xlim=(-0.5, 5.9))
        ax.spines[:].set_visible(False)
        ax.grid(visible=False)
        call(ax, "weights" if np.isnan(p).any() else "weights with mask=keep")


def half():
    import torch

    truth = torch.arange(0, 1200)
    one_hot = torch.eye(1200, dtype=torch.bfloat16) * 64
    plain = torch.softmax(one_hot, -1) @ torch.arange(1200, dtype=torch.bfloat16)
    ours = soft_argmax(one_hot, -1)
    left, right = panels(2)
    for y, color, label in ((plain.float(), WRONG, "softmax @ arange"), (ours, RIGHT, "soft_argmax")):
        left.plot(truth, y, color=color, label=label)
        right.plot(truth, y - truth, color=color)
    left.set(xlabel="true index", ylabel="position", xlim=(1000, 1050), ylim=(1000, 1050))
    right.set(xlabel="true index", ylabel="error in entries")
    left.legend(loc="upper left")


def vanishing():
    temperatures = np.geomspace(0.02, 10, 60)
    x = np.asarray([0.0, 1.0, 1.5, 0.5])
    ax, right = panels(2)
    sizes = [
        np.abs(vjp(lambda x, t=t: soft_argmax(x, temperature=t), x)[1](np.asarray(1.0))[0]).max() for t in temperatures
    ]
    ax.loglog(temperatures, sizes, label="largest entry of the gradient")
    ax.loglog(temperatures, 3 / (4 * temperatures), "--", color=GREY, label="bound (n - 1) / (4 T)")
    ax.set(xlabel="temperature", ylabel="gradient", ylim=(1e-10, 1e2))
    ax.legend(fontsize=8)
    right.semilogx(temperatures, [soft_argmax(x, temperature=t) for t in temperatures], color=RIGHT)
    right.set(xlabel="temperature", ylabel="position")
