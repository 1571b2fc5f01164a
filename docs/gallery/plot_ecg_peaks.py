"""
R-peaks of an ECG between samples
=================================

The R-peaks of an electrocardiogram give the intervals between heart beats. :func:`~anyargmax.soft_argmax` with a window
places them between the samples, with a gradient. This example measures its error, and compares it with the errors of
argmax and of a parabola through three samples.
"""

import autograd.numpy as np
import matplotlib.pyplot as plt
import pywt
from autograd import grad
from scipy.signal import find_peaks, resample

from anyargmax import soft_argmax

signal = pywt.data.ecg().astype(float)
peaks, _ = find_peaks(signal, height=120, distance=100)
print("samples of the peaks:", peaks, " heights:", signal[peaks])

figure, axes = plt.subplots(figsize=(5.6, 2))
axes.plot(signal, lw=1)
axes.plot(peaks, signal[peaks], "o", color="C3")
axes.set(xlabel="sample", ylabel="ECG (raw units)")
plt.show()

# %%
# A signal with a known truth
# ---------------------------
#
# Band-limited interpolation (by the Fourier transform) gives 64 values for each sample. The true peak is the largest of
# these values. The signal is then sampled again at every offset, so that the true peak lies at every fraction of a
# sample. This is done at the full rate, and at a third of it, which is coarse for such a sharp peak.

FINE, HALF = 64, 6
fine = resample(signal, FINE * signal.size)
truth = np.asarray([i + np.argmax(fine[i : i + 2 * FINE]) for i in FINE * (peaks - 1)])


def segments(stride):
    """Return segments of 13 samples about each peak at every offset, and where in them the true peak is."""
    rows, where = [], []
    for offset in range(stride * FINE):
        samples = fine[offset :: stride * FINE]
        for t in (truth - offset) / (stride * FINE):
            start = round(t) - HALF
            rows.append(samples[start : start + 2 * HALF + 1])
            where.append(t - start)
    return np.asarray(rows), np.asarray(where)


def parabola(x):
    """Return the vertex of the parabola through the largest sample of each row and its neighbours."""
    row, k = np.arange(len(x)), np.argmax(x, axis=-1)
    left, top, right = x[row, k - 1], x[row, k], x[row, k + 1]
    return k + 0.5 * (left - right) / (left - 2 * top + right)


# %%
# Errors
# ------
#
# The table has the root mean square of the error in samples, under normal noise of several standard deviations. The
# peaks are about 225 high.

temperatures = np.geomspace(3, 300, 41)
rng = np.random.default_rng(0)
curves = {}
print("one in  noise    argmax  parabola soft T=10      T=35     T=200      best at T")
for stride in (1, 3):
    clean, where = segments(stride)
    for noise in (0, 2, 5, 10):
        x = clean + noise * rng.normal(size=clean.shape)
        soft = [soft_argmax(x, axis=-1, window=3, temperature=t) for t in (10, 35, 200, *temperatures)]
        errors = [np.sqrt(np.mean((y - where) ** 2)) for y in (np.argmax(x, axis=-1), parabola(x), *soft)]
        curves[stride, noise] = errors[1], errors[5:]
        shown = " ".join(f"{error:9.3f}" for error in (*errors[:5], min(errors[5:])))
        print(f"{stride:6} {noise:6} {shown} {temperatures[np.argmin(errors[5:])]:4.0f}")

figure, panels = plt.subplots(1, 2, figsize=(5.6, 2.8), sharey=True)
for axes, stride, title in zip(panels, (1, 3), ("all samples", "one sample in three"), strict=True):
    for color, noise in (("C0", 0), ("C1", 5), ("C3", 10)):
        vertex, errors = curves[stride, noise]
        axes.loglog(temperatures, errors, color=color, label=f"noise {noise}")
        axes.axhline(vertex, color=color, ls="--", lw=1)
    axes.set(title=title, xlabel="temperature")
panels[0].set_ylabel("error (samples)")
panels[0].set_yticks([0.02, 0.05, 0.1, 0.2], labels=["0.02", "0.05", "0.1", "0.2"])
panels[0].minorticks_off()
panels[1].plot([], [], "--", color="0.4", lw=1, label="parabola")
panels[1].legend(loc="lower left", ncols=2)
plt.show()

# %%
# With all samples, :func:`~anyargmax.soft_argmax` has the smaller error if there is noise and the temperature fits:
# it uses seven samples, and the parabola uses three. At noise 5 and 10 the best temperature halves the error of the
# parabola. Without noise it gains a quarter.
#
# With one sample in three the peak is too narrow for a window of seven samples. The parabola then has the smaller error
# at every temperature and noise level shown.
#
# The temperature matters in both. If it is too low, the position is that of argmax. If it is too high, all weights in
# the window are equal and the position is its middle, which is again the sample of argmax. With all samples the best
# temperature grows with the noise.

# %%
# The gradient of an interval
# ---------------------------
#
# Measures of heart-rate variability use the difference of two successive intervals. It is a function of the signal and
# has a gradient: raising a sample to the right of a peak moves that peak to the right.

starts = peaks - HALF
index = starts[:, None] + np.arange(2 * HALF + 1)


def change(x):
    """Return the second interval minus the first, in samples."""
    beats = starts + soft_argmax(x[index], axis=-1, window=3, temperature=35.0)
    return beats[2] - 2 * beats[1] + beats[0]


gradient = grad(change)(signal)
intervals = np.diff(truth) / FINE
print(f"by argmax: {np.diff(peaks, n=2)[0]}, by soft_argmax: {change(signal):.3f}, true: {np.diff(intervals)[0]:.3f}")

figure, panels = plt.subplots(2, 3, figsize=(5.6, 3), sharex="col", sharey="row")
for k, i in enumerate(index):
    panels[0, k].plot(i, signal[i], "o-", ms=3)
    panels[1, k].bar(i, gradient[i], color="C3")
    panels[1, k].set(xlabel="sample")
panels[0, 0].set(ylabel="ECG")
panels[1, 0].set(ylabel="gradient")
plt.show()

# %%
# Central differences in each of the 1024 samples agree with the gradient. Outside of the three windows it is 0.

step = 1e-4
differences = [(change(signal + step * e) - change(signal - step * e)) / (2 * step) for e in np.eye(signal.size)]
print(f"largest difference: {np.max(abs(gradient - np.asarray(differences))):.0e}")
print("samples with a gradient:", np.count_nonzero(gradient))
