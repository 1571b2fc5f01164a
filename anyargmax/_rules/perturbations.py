"""The mean of what a function answers to perturbed scores, and how it changes with the scores."""

from .ops import RuleOps
from .rule import Rule

# Arguments: x scores; scale, None (1), a number or an array of x's shape; answers y of the function to ``x + scale z_m``, the
# draws first; noise z, the draws and then x's axes; baseline b, which broadcasts against the answers. Static: the
# distribution of the noise. With ``nu = -d log q / dz`` of its density q, the Jacobian is
# ``mean_m (y_m - b_m) nu(z_m)^T / scale``.


def mean_of_others(ops: RuleOps, y):
    """Return for each answer the mean of the others."""
    return (ops.xp.sum(y, axis=0) - y) / (y.shape[0] - 1)


def _log_density(ops: RuleOps, z, distribution):
    return -z - ops.xp.exp(-z) if distribution == "gumbel" else -(z**2) / 2


def _is_number(scale):
    return scale is None or isinstance(scale, float)


def _weighed(ops: RuleOps, weights, y, baseline):
    """The mean of answers less the baseline, each times a weight of its draw."""
    less = (y - baseline) * ops.xp.reshape(weights, (-1,) + (1,) * (y.ndim - 1))
    return ops.xp.sum(less, axis=0) / y.shape[0]


def _ratio(ops: RuleOps, x, scale, noise, distribution):
    """The density of each draw over that density as a constant: 1, with all its derivatives."""
    xp, still = ops.xp, ops.detach(x)
    there = xp.isfinite(still)
    moved = xp.where(there, x - xp.where(there, still, 0.0), 0.0)
    moved = moved if scale is None else moved / scale
    shrunk = 1 if _is_number(scale) else ops.detach(scale) / scale
    z = noise * shrunk - moved  # the noise that leads to the same perturbed scores
    log = _log_density(ops, z, distribution)
    log = log - ops.detach(log)
    log = log if _is_number(scale) else log + xp.log(shrunk)
    return xp.exp(xp.sum(xp.where(there, log, 0.0), axis=tuple(range(1, noise.ndim))))


def _perturbed(ops: RuleOps, x, scale, y, noise, baseline, *, distribution):
    ratio = _ratio(ops, x, scale, noise, distribution)
    mean = ops.xp.sum(y, axis=0) / y.shape[0]
    return mean + _weighed(ops, ratio - ops.detach(ratio), y, baseline)


def _score(ops: RuleOps, x, scale, noise, distribution):
    """``nu / scale``, 0 at scores that are not finite."""
    nu = 1 - ops.xp.exp(-noise) if distribution == "gumbel" else noise
    return ops.xp.where(ops.xp.isfinite(x), nu if scale is None else nu / scale, 0.0)


def _vjp(ops: RuleOps, g, mean, x, scale, y, noise, baseline, *, distribution):
    xp = ops.xp
    pulled = xp.sum(xp.reshape(g * (y - baseline), (y.shape[0], -1)), axis=1)
    pulled = xp.reshape(pulled, (-1,) + (1,) * (noise.ndim - 1))
    return xp.sum(pulled * _score(ops, x, scale, noise, distribution), axis=0) / y.shape[0]


def _jvp(ops: RuleOps, t, mean, x, scale, y, noise, baseline, *, distribution):
    along = t * _score(ops, x, scale, noise, distribution)
    return _weighed(ops, ops.xp.sum(along, axis=tuple(range(1, noise.ndim))), y, baseline)


PERTURBED = Rule("perturbed", _perturbed, (_vjp,), (_jvp,), _perturbed, inlined=True)
