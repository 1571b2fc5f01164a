"""Engine for sparse weights in a CPU's memory: scores that cannot win are left out before anything is solved.

In units of ``z = (x - max) / T`` the threshold tau of a row is at least that of any subset of its scores, and
at least 0. Its support therefore lies above ``tau - 1 / (alpha - 1)`` for the tau of a small subset. What lies
below is compared once and never computed with: what is left is hardly more than the support.
"""

import math
from functools import wraps
from typing import Any, NamedTuple

STEPS = 64  # Newton's; the rule's own search found 9 to be enough


class Limits(NamedTuple):
    """Thresholds that decide how candidates are searched, and when there are too many of them."""

    block: int = 2**17  # scores compared at a time: they fit the cache of a core
    always: int = 2**12  # this many candidates are accepted whatever the size of the array
    narrow: int = 2**15  # scores up to which no subset is used to bound the threshold
    share: float = 1 / 4  # largest share of candidates among the scores of a larger array
    columns: int = 512  # columns in which a row is laid; their maxima are the subset
    depth: int = 8  # least number of scores in a column
    sparse: float = 1 / 24  # largest share of scores in columns with candidates at which only those are searched


class Layout(NamedTuple):
    """An array as (before, n, after): a row has n entries, along one axis or several neighbouring ones."""

    before: int
    n: int
    after: int

    def place(self, row, entry):
        """Where an entry of a row lies in the array in C order."""
        if self.after == 1:
            return row * self.n + entry
        before, after = divmod(row, self.after)
        return (before * self.n + entry) * self.after + after


class Support(NamedTuple):
    """Weights where they are not 0, row after row: all arrays but `starts` have one number for each of them."""

    shape: tuple[int, ...]
    dtype: Any
    layout: Layout
    row: Any
    entry: Any
    starts: Any  # where each row begins
    weights: Any  # in float64
    z: Any = None  # the scores that they are of, shifted and scaled


def _quietly(f):
    """Decorate a function with an error state of its own: NumPy is looked for when it is called."""

    @wraps(f)
    def quiet(*args):
        import numpy as np

        with np.errstate(all="ignore"):
            return f(*args)

    return quiet


def layout(shape: tuple[int, ...], axes: tuple[int, ...]) -> Layout:
    first, last = min(axes), max(axes) + 1
    return Layout(math.prod(shape[:first]), math.prod(shape[first:last]), math.prod(shape[last:]))


def _rows(np, x, place: Layout):
    """The array as (rows, entries): its own memory where the entries of a row lie together."""
    if place.after == 1:
        return x.reshape(place.before, place.n)
    return np.ascontiguousarray(x.reshape(place).transpose(0, 2, 1)).reshape(-1, place.n)


def _most(rows, limits: Limits) -> float:
    """How many candidates are few enough."""
    return max(limits.always, limits.share * rows.size)


def _above(np, rows, bound, most, limits):
    """Row and entry of the scores above the bound of their row; None if those are more than so many."""
    (count, n), found, total = rows.shape, [], 0
    step = max(1, limits.block // n)
    for start in range(0, count, step):
        index = (rows[start : start + step] > bound[start : start + step]).reshape(-1).nonzero()[0]
        total += index.size
        if total > most:
            return None
        index += start * n
        found.append(index)
    index = found[0] if len(found) == 1 else np.concatenate(found)
    row = np.repeat(np.arange(count), np.diff(np.searchsorted(index, np.arange(count + 1) * n)))
    return row, index - row * n


def _in_columns(np, rows, bound, columns, most, limits):
    """Row and entry of the scores above the bound of their row, looked for where the largest of a column is above it."""
    row, column = (columns > bound).nonzero()
    n, width = rows.shape[1], columns.shape[1]
    depth = -(-n // width)
    if row.size * depth > limits.sparse * rows.size:
        return _above(np, rows, bound, most, limits)
    entry = column[:, None] + np.arange(0, depth * width, width)
    index = entry + row[:, None] * n
    scores = rows.reshape(-1).take(index, mode="clip")
    hit, _ = found = ((scores > bound[row]) & (entry < n)).nonzero()
    return row[hit], entry[found]


def _candidates(np, rows, temperature, a, limits, most=math.inf):
    """The largest score of each row, and row and entry of all that may have weight (None if too many)."""
    count, n = rows.shape
    width = min(limits.columns, n // limits.depth)
    columns, tau = None, 0.0
    if rows.size <= limits.narrow or width < 2:
        top = np.maximum.reduce(rows, axis=1, keepdims=True)
    else:
        columns = _columns(np, rows, width)
        top, found = _candidates(np, columns, temperature, a, limits)
        if found is None:
            return top, None
        row, entry = found
        z = _shifted(columns[row, entry], top, temperature, row)
        tau = _threshold(np, z, row, _starts(np, row, count), a, 4)[:, None]
    if not np.isfinite(top).all():
        return top, None
    reach = (1 / a - tau + 2.0**-18 / a) * temperature
    bound = np.nextafter((top - reach).astype(rows.dtype), np.asarray(-math.inf, dtype=rows.dtype))
    if columns is None:
        return top, _above(np, rows, bound, most, limits)
    return top, _in_columns(np, rows, bound, columns, most, limits)


def _columns(np, rows, width):
    """The largest scores of the columns, when each row is laid in lines of this width."""
    count, n = rows.shape
    whole = n // width * width
    columns = np.maximum.reduce(rows[:, :whole].reshape(count, n // width, width), axis=1)
    np.maximum(columns[:, : n - whole], rows[:, whole:], out=columns[:, : n - whole])
    return columns


def _starts(np, row, count):
    """Where each row begins."""
    return np.searchsorted(row, np.arange(count))


def _shifted(x, top, temperature, row):
    """``z = (x - top) / T`` of compact scores, rounded as the rule rounds it."""
    z = (x - top[row, 0]) / (temperature if isinstance(temperature, float) else temperature[row, 0])
    return z.astype("float64")


def _powers(np, base, a):
    """``base^(1/a)`` and ``base^(1/a - 1)``, 0 at 0; whole powers are products."""
    order = 1 / a
    whole = round(order)
    if abs(order - whole) > 1e-12 or whole > 4:
        p = base**order
        return p, p / np.where(base > 0, base, 1.0)
    if whole == 1:
        return base, (base > 0).astype(base.dtype)
    s = base if whole == 2 else base * base if whole == 3 else base * base * base
    return s * base, s


def _threshold(np, z, row, starts, a, steps):
    """Newton on the norm ``(sum p^a)^(1/a) = 1`` from ``tau = 0``, as in the rule: monotone."""
    tau, rise = np.zeros(starts.size), 1 + a * z
    for _ in range(steps):
        p, s = _powers(np, np.maximum(rise - (a * tau)[row], 0), a)
        total, slope = np.add.reduceat(p, starts), np.add.reduceat(s, starts)
        excess = total - 1 if a == 1 else total * np.expm1(-a * np.log(total)) / -a
        new = tau + excess / slope
        if not (new > tau * (1 + 2.0**-50)).any():
            break
        tau = np.maximum(new, tau)
    return tau


@_quietly
def support(x, temperature, axes: tuple[int, ...], alpha: float, limits: Limits) -> Support | None:
    """Return the weights of scores where they are not 0; None where the rule does better."""
    import numpy as np

    place, a = layout(x.shape, axes), alpha - 1
    rows = _rows(np, x, place)
    if hasattr(temperature, "shape"):
        temperature = temperature.reshape(-1, 1)
        if not np.isfinite(temperature).all():
            return None
    top, found = _candidates(np, rows, temperature, a, limits, _most(rows, limits))
    if found is None:
        return None
    row, entry = found
    starts = _starts(np, row, rows.shape[0])
    z = _shifted(rows[row, entry], top, temperature, row)
    tau = _threshold(np, z, row, starts, a, STEPS)
    p, _ = _powers(np, np.maximum(1 + a * (z - tau[row]), 0), a)
    # A score that is at the edge to within the scores' own digits is off the support, as in the rule.
    inside = a * (z.astype(x.dtype) - tau.astype(x.dtype)[row]) > -1
    p = p / np.add.reduceat(p, starts)[row]
    alive = (inside & (p >= float(np.finfo(x.dtype).smallest_normal))).nonzero()[0]
    row = row[alive]
    return Support(x.shape, x.dtype, place, row, entry[alive], _starts(np, row, rows.shape[0]), p[alive], z[alive])


@_quietly
def support_of(p, axes: tuple[int, ...], limits: Limits) -> Support | None:
    """Return weights where they are not 0; None where they are not few, or a row has none (or NaN)."""
    import numpy as np

    place = layout(p.shape, axes)
    rows = _rows(np, p, place)
    found = _above(np, rows, np.zeros((rows.shape[0], 1), dtype=p.dtype), _most(rows, limits), limits)
    if found is None:
        return None
    row, entry = found
    bounds = np.searchsorted(row, np.arange(rows.shape[0] + 1))
    if not np.all(bounds[1:] > bounds[:-1]):
        return None
    return Support(p.shape, p.dtype, place, row, entry, bounds[:-1], rows[row, entry].astype("float64"))


@_quietly
def at(held: Support, x):
    """The entries of an array that lie on the support, whatever its strides."""
    index = held.layout.place(held.row, held.entry)
    return x.reshape(-1)[index] if x.flags.c_contiguous else x.flat[index]


@_quietly
def dense(held: Support, values):
    """The array with the values on the support, and 0 elsewhere."""
    import numpy as np

    out = np.zeros(held.shape, dtype=held.dtype)
    out.reshape(-1)[held.layout.place(held.row, held.entry)] = values
    return out


@_quietly
def product(held: Support, v, temperature, alpha: float):
    """``J v / T`` on the support, ``J = diag(s) - s s^T / sum(s)`` with ``s = p^(2 - alpha)``; None unless all of it is finite."""
    import numpy as np

    s = held.weights ** (2 - alpha)
    pulled = np.add.reduceat(s * v, held.starts) / np.add.reduceat(s, held.starts)
    if not np.isfinite(pulled).all():  # of which the rule makes NaN off the support too
        return None
    moved = s * (v - pulled[held.row])
    return moved / (temperature if isinstance(temperature, float) else temperature.reshape(-1)[held.row])


@_quietly
def turned(held: Support, moved, dtype):
    """The cotangent of the temperature of each row, ``-<J v / T, z>``, from that of the scores."""
    import numpy as np

    return -np.add.reduceat(moved * held.z, held.starts).astype(dtype)


def along(held: Support, table, axis: int, last: int):
    """The positions of the entries on the support, from a table that varies along one of the axes up to the last."""
    stride = math.prod(held.shape[axis + 1 : last + 1])
    return table.reshape(-1)[held.entry // stride % held.shape[axis]]


@_quietly
def means(held: Support, places, shape: tuple[int, ...]):
    """The expectation of each of the places in each row, the places last, in an array of this shape."""
    import numpy as np

    columns = [np.add.reduceat(held.weights * place, held.starts) for place in places]
    return np.stack(columns, axis=-1).reshape(shape).astype(held.dtype)


@_quietly
def means_transposed(held: Support, places, g):
    """Transpose of `means`: ``sum_k g_k place_k`` on the support."""
    rows = g.reshape(-1, len(places)).astype("float64")
    return sum(rows[held.row, k] * place for k, place in enumerate(places))
