"""
Keypoints in heatmaps
=====================

A keypoint network returns one heatmap for each keypoint. :func:`~anyargmax.spatial_soft_argmax` computes the
coordinates from it, to a fraction of a pixel and with a gradient. This example makes heatmaps from a photograph by
template matching, so that the true coordinates are known. It shows three common problems: the pull to the centre, two
peaks, and unknown uncertainty.
"""

# sphinx_gallery_thumbnail_number = 3

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Ellipse
from sklearn.datasets import load_sample_image

from anyargmax import soft_one_hot, spatial_expectation, spatial_soft_argmax, vjp

# %%
# Heatmaps with a known answer
# ----------------------------
#
# Two views are cut out of one photograph and reduced to half of its size. The second starts 5 pixels further right and
# 3 further down, so everything in it is shifted by (-2.5, -1.5) pixels of the reduced image: no interpolation, and a
# truth that lies between pixels. Templates of 17 x 17 pixels come from the first view. Their normalised
# cross-correlation with the second view, cut at 0, is a heatmap in [0, 1].

photo = load_sample_image("china.jpg").mean(-1) / 255
shift = np.asarray([2.5, 1.5])  # x before y, as everywhere below


def view(left, top):
    return photo[top : top + 396, left : left + 312].reshape(198, 2, 156, 2).mean((1, 3))


def patches(image, r=8):
    rows = np.lib.stride_tricks.sliding_window_view(np.pad(image, r, mode="edge"), (2 * r + 1, 2 * r + 1))
    rows = rows - rows.mean((-2, -1), keepdims=True)
    return rows / (np.linalg.norm(rows, axis=(-2, -1), keepdims=True) + 1e-3)


first, second = view(60, 0), view(65, 3)
templates, everywhere = patches(first), patches(second)


def heatmaps(points):
    x, y = np.asarray(points).T
    return np.maximum(np.tensordot(templates[y, x], everywhere, axes=((1, 2), (2, 3))), 0)


points = {"spire": (71, 18), "eave": (19, 66), "ridge": (100, 37)}
spire, eave, ridge = heatmaps(list(points.values()))
truth = {name: point - shift for name, point in points.items()}
print(spire.shape, *(f"largest value {heatmap.max():.3f}" for heatmap in (spire, eave, ridge)), sep=", ")

# %%
# The pull to the centre
# ----------------------
#
# Softmax takes differences of scores, and 30,888 pixels that differ by at most 1 have nearly equal weights at
# temperature 1. The mean is then the centre of the map, wherever the peak is. There are two cures:
#
# * a lower temperature, here 0.02: the scores become logits in [0, 50];
# * ``zero_background=True`` for heatmaps whose background is exactly 0, as a network ends with a ReLU or is trained
#   towards Gaussian blobs. A pixel of value 0 has weight 0, and temperature 1 is fine. A background of 0.1 is not 0:
#   here the correlations below 0.6 are cut off.

blob = np.maximum(spire - 0.6, 0)
answers = {
    "temperature=1": spatial_soft_argmax(spire, (-1, -2)),
    "temperature=0.02": spatial_soft_argmax(spire, (-1, -2), temperature=0.02),
    "zero_background=True": spatial_soft_argmax(blob, (-1, -2), zero_background=True),
}
print(f"{'truth':22}{truth['spire']}")
for name, answer in answers.items():
    print(f"{name:22}{answer.round(2)}   error {np.linalg.norm(answer - truth['spire']):.2f} pixels")

temperatures = np.geomspace(1e-3, 10, 41)
figure, (left, right) = plt.subplots(1, 2, figsize=(5.6, 3.6), width_ratios=(2, 3))
left.imshow(spire, cmap="Greys", vmin=0, vmax=1)
for (name, answer), marker in zip(answers.items(), "sx+", strict=True):
    left.plot(*answer, marker, ms=9, mew=2, fillstyle="none", label=name)
left.set(title="Heatmap of the spire", xticks=[], yticks=[])
left.legend(loc="upper center", bbox_to_anchor=(0.5, 0))
for name, heatmap, zero in (("mean", spire, False), ("zero_background", blob, True)):
    sweep = [spatial_soft_argmax(heatmap, (-1, -2), temperature=t, zero_background=zero) for t in temperatures]
    right.loglog(temperatures, np.linalg.norm(sweep - truth["spire"], axis=-1), label=name)
right.axhline(np.linalg.norm([0.5, 0.5]), color="black", ls=":", label="argmax")
right.set(xlabel="temperature", ylabel="error in pixels", title="Error against temperature")
right.legend(loc="center right", fontsize=8, handlelength=1)
plt.show()

# %%
# Two peaks
# ---------
#
# The template of an eave fits the eave below, too: a second peak, 27 pixels lower. At temperature 0.1 the mean lies far
# from both. ``window=4`` takes the mean of the pixels within 4 of the largest. ``readout="covariance"`` returns the
# covariance matrix of the position under the weights, which distinguishes both results: the mean of two peaks has a
# standard deviation of dozens of pixels.


def ellipse(axes, mean, covariance, color):
    """Draw where a normal distribution with these moments has 86 percent of its mass: two standard deviations."""
    variances, directions = np.linalg.eigh(covariance)
    angle = np.degrees(np.arctan2(*directions[::-1, 1]))
    width, height = 4 * np.sqrt(variances[::-1])
    axes.add_patch(Ellipse(mean, width, height, angle=angle, fill=False, color=color, lw=1.5))
    axes.plot(*mean, "+", color=color, ms=9)


options = {
    "temperature=0.1": {"temperature": 0.1},
    "temperature=0.03": {"temperature": 0.03},
    "temperature=0.1, window=4": {"temperature": 0.1, "window": 4},
}
figure, axes = plt.subplots(1, 3, figsize=(5.6, 2.9))
for axis, (name, option) in zip(axes, options.items(), strict=True):
    mean, covariance = spatial_soft_argmax(eave, (-1, -2), readout="covariance", **option)
    error, deviation = np.linalg.norm(mean - truth["eave"]), np.sqrt(np.linalg.eigvalsh(covariance)[-1])
    print(f"{name:26}{mean.round(2)}   error {error:5.2f}   largest standard deviation {deviation:5.2f}")
    axis.imshow(eave, cmap="Greys", vmin=0, vmax=1)
    ellipse(axis, mean, covariance, "C3")
    axis.set(title=name.replace(", ", "\n"), xlim=(0, 155), ylim=(197, 0), xticks=[], yticks=[])
plt.show()

# %%
# A window has a disadvantage: it follows argmax. If the wrong peak is the larger, the window is around the wrong
# peak, and the right peak gets no gradient. A loss on the mean of the whole map has a gradient there, so train with the
# mean, or with a loss on the heatmap itself, and use the window to predict.

two = np.zeros((31, 31))
two[8, 8], two[20, 24] = 1.0, 1.1  # the keypoint is the first
for window in (4, None):
    answer, pullback = vjp(lambda h, w=window: spatial_soft_argmax(h, (-1, -2), temperature=0.1, window=w), two)
    gradient = pullback(np.ones(2))[0][8, 8]
    print(f"window={window}: {answer.round(2)}, gradient of x + y at the right peak {gradient + 0.0:.2f}")

# %%
# How certain is a keypoint?
# --------------------------
#
# The three keypoints over the second view, from one call for weights and one for mean and covariance. The ellipse of
# the ridge is long: along an edge, a template fits almost as well one pixel further. Its mean lies off the roof, because
# the edge is curved.

weights = soft_one_hot(np.stack([spire, eave, ridge]), axis=(-2, -1), temperature=0.015)
means, covariances = spatial_expectation(weights, (-1, -2), readout="covariance")
figure, axis = plt.subplots(figsize=(5.6, 3.7))
axis.imshow(second, cmap="gray")
for number, (name, mean, covariance) in enumerate(zip(points, means, covariances, strict=True)):
    ellipse(axis, mean, covariance, f"C{number}")
    axis.annotate(name, mean, (12, 10), textcoords="offset points", color=f"C{number}", weight="bold")
    print(f"{name:6}{mean.round(2)}   standard deviations {np.sqrt(np.linalg.eigvalsh(covariance)).round(2)}")
axis.set(xlim=(0, 155), ylim=(100, 0), xticks=[], yticks=[])
axis.grid(False)
plt.show()

# %%
# Check
# -----
#
# Two methods without the library, on 48 keypoints: ``numpy.argmax``, and a parabola through the largest value and its
# neighbours along each axis. Keypoints are the places of the largest contrast, one in each cell of 20 pixels. Argmax is
# off by half a pixel along both axes at best, 0.71 pixels in all. Where it is further off, another place fits better than
# the true one, and no window helps. The mean of the whole map fails on most of these heatmaps: they have many peaks.

contrast = np.lib.stride_tricks.sliding_window_view(np.pad(first, 8, mode="edge"), (17, 17)).std((-2, -1))
cells = [(y, x) for y in range(20, 180, 20) for x in range(20, 140, 20)]
best = [np.unravel_index(contrast[y : y + 20, x : x + 20].argmax(), (20, 20)) for y, x in cells]
corners = np.asarray([(x + j, y + i) for (y, x), (i, j) in zip(cells, best, strict=True)])
maps = heatmaps(corners)


def parabola(heatmap):
    y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
    (a, b), c, (d, e) = heatmap[y, [x - 1, x + 1]], heatmap[y, x], heatmap[[y - 1, y + 1], x]
    return np.asarray([x + (a - b) / (2 * (a - 2 * c + b)), y + (d - e) / (2 * (d - 2 * c + e))])


largest = [np.unravel_index(heatmap.argmax(), heatmap.shape)[::-1] for heatmap in maps]
methods = {
    "numpy.argmax": np.asarray(largest),
    "hard=True": spatial_soft_argmax(maps, (-1, -2), hard=True),
    "parabola": np.stack([parabola(heatmap) for heatmap in maps]),
    "temperature=0.1, window=2": spatial_soft_argmax(maps, (-1, -2), temperature=0.1, window=2),
    "temperature=0.1, window=4": spatial_soft_argmax(maps, (-1, -2), temperature=0.1, window=4),
    "temperature=0.03, window=2": spatial_soft_argmax(maps, (-1, -2), temperature=0.03, window=2),
    "temperature=0.03": spatial_soft_argmax(maps, (-1, -2), temperature=0.03),
}
for name, answer in methods.items():
    errors = np.linalg.norm(answer - (corners - shift), axis=-1)
    print(f"{name:28}median error {np.median(errors):.2f}, above 1 pixel {np.sum(errors > 1):2} of {len(errors)}")
