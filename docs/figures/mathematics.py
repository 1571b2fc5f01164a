"""The pictures of the page "The mathematics": phi and its slope, the simplex, and the search for the threshold."""

import numpy as np
from _common import panels
from style import BLUE, GREEN, GREY, ORANGE, RED

from anyargmax import soft_one_hot


def phi_of(alpha):
    """Return phi of the entmax family, as a function."""
    if alpha == 1:
        return np.exp
    return lambda u: np.maximum(1 + (alpha - 1) * u, 0) ** (1 / (alpha - 1))


def phi():
    first, second, third = panels(3)
    u, v, p = np.linspace(-3, 0, 301), np.linspace(-4, 4, 301), np.linspace(0, 1, 301)
    for alpha in (1, 1.5, 2, 3):
        first.plot(u, phi_of(alpha)(u), label=f"alpha {alpha}")
        with np.errstate(divide="ignore"):
            third.plot(p, p ** (2.0 - alpha))
    second.plot(v, np.clip(v, 0, 1), color=RED, label="capped")
    second.plot(v, 1 / (1 + np.exp(-v)), color=GREY, label="sigmoid")
    third.plot(p, p * (1 - p), color=GREY)
    first.set(xlabel=r"$u = z - \tau$", ylabel=r"$\varphi(u)$")
    second.set(xlabel=r"$u = z - \tau$")
    third.set(xlabel="weight p", ylabel="slope s", ylim=(0, 1.6))
    first.legend(fontsize=8)
    second.legend(fontsize=8, loc="upper left", handlelength=0.8)


def simplex():
    grid = np.linspace(-2.4, 2.4, 33)
    a, b = (axis.ravel() for axis in np.meshgrid(grid, grid))
    z = np.stack([-a / 2**0.5 - b / 6**0.5, a / 2**0.5 - b / 6**0.5, 2 * b / 6**0.5], axis=-1)
    corners = np.asarray([[0, 0], [1, 0], [0.5, 0.75**0.5]])
    for ax, alpha in zip(panels(3, height=1.8), (1, 1.5, 2), strict=True):
        p = soft_one_hot(z, alpha=alpha)
        size = np.sum(p > 0, axis=-1)
        for count, color in ((3, BLUE), (2, ORANGE), (1, GREEN)):
            ax.plot(*(p[size == count] @ corners).T, ".", color=color, ms=3 if count == 3 else 5)
        ax.plot(*corners[[0, 1, 2, 0]].T, color=GREY, lw=0.8)
        shares = [f"{np.mean(size == count):.0%}" for count in (3, 2, 1)]
        ax.set_title(f"alpha {alpha}: {', '.join(shares)}", fontsize=9)
        ax.set_aspect("equal")
        ax.axis("off")


def threshold():
    z = np.sort(np.random.default_rng(0).normal(size=1000))
    z -= z[-1]
    left, right = panels(2)
    tau = np.linspace(0, 3.2, 200)
    for alpha, color in ((1.1, BLUE), (1.5, ORANGE), (2, GREEN)):
        sums = np.asarray([phi_of(alpha)(z - t).sum() for t in tau])
        left.plot(tau, sums, ":", color=color)
        left.plot(tau, sums ** (alpha - 1), color=color, label=f"alpha {alpha}")
        for norm in (False, True):
            t, errors = 0.0, []
            for _ in range(12):
                p = phi_of(alpha)(z - t)
                total, slope = p.sum(), np.sum(p[p > 0] ** (2 - alpha))
                errors.append(max(total - 1, 1e-16))
                t += (total - total ** (2 - alpha) if norm else total - 1) / slope / ((alpha - 1) if norm else 1)
            right.semilogy(errors, "-" if norm else ":", color=color)
    left.axhline(1, color=GREY, lw=0.8)
    left.set(xlabel=r"$\tau$", ylabel="sum (dotted), norm", ylim=(0, 8))
    right.set(xlabel="step", ylabel="sum - 1", ylim=(1e-16, 1e4))
    left.legend(fontsize=8)
