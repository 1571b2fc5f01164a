"""What the library is compared with: the same answers in the words of the framework and of other packages."""

from functools import partial
from typing import Any, NamedTuple

import numpy as np

from . import beside
from .devices import ACCELERATOR
from .frameworks import Function, Toolkit, optional
from .workloads import COMPILED, FLOAT, OURS, OURS_COMPILED, Workload


class Peer(NamedTuple):
    """A function of the scores; `reverse` if its coordinates come in the other order."""

    function: Function
    reverse: bool = False
    apart: bool = False  # shown, but not one of those whose best counts


def _along_the_last(xp, softmax, n, asarray):
    index = asarray(np.arange(n, dtype=np.float32))
    return {
        "{} @ index": lambda x: softmax(x, -1) @ index,
        "{} sum": lambda x: (softmax(x, -1) * index).sum(-1),
        "{} einsum": lambda x: xp.einsum("...i,i->...", softmax(x, -1), index),
    }


def _along(xp, softmax, shape, axis, asarray):
    index = asarray(np.arange(shape[axis], dtype=np.float32))
    column = index.reshape((-1,) + (1,) * (len(shape) - axis - 1))
    letters = "abcdefgh"[: len(shape)]
    spec = f"{letters},{letters[axis]}->{letters.replace(letters[axis], '')}"
    return {
        "{} sum": lambda x: (softmax(x, axis) * column).sum(axis),
        "{} einsum": lambda x: xp.einsum(spec, softmax(x, axis), index),
        "{}, moved": lambda x: xp.moveaxis(softmax(x, axis), axis, -1) @ index,
        "moved, {}": lambda x: softmax(xp.moveaxis(x, axis, -1), -1) @ index,
    }


def _coordinates(xp, softmax, shape, asarray):
    rows, columns = (asarray(np.arange(n, dtype=np.float32)) for n in shape[-2:])
    grid = asarray(np.indices(shape[-2:]).reshape(2, -1).T.astype(np.float32))

    def flat(x):
        return softmax(x.reshape((*shape[:-2], -1)), -1)

    def by_axis(x):
        p = flat(x).reshape(shape)
        return xp.stack([p.sum(-1) @ rows, p.sum(-2) @ columns], -1)

    def sums(x):
        p = flat(x).reshape(shape)
        return xp.stack([(p * rows[:, None]).sum((-2, -1)), (p * columns).sum((-2, -1))], -1)

    return {"{} @ grid": lambda x: flat(x) @ grid, "{} by axis": by_axis, "{} sums": sums}


def _as_they_are(x, axis):
    return x


def _of_the_framework(toolkit: Toolkit, workload: Workload, options: dict[str, Any]) -> dict[str, Peer]:
    found: dict[str, Peer] = {}
    maps = {"weights": _as_they_are} if workload.kind == "expectation" else toolkit.softmaxes
    for prefix, alone in maps.items():
        softmax = beside.softmax(alone, options, workload.dtype != "float32")
        arguments = toolkit.xp, softmax, workload.shape
        if workload.kind == "coordinates":
            forms = _coordinates(*arguments, toolkit.asarray)
        elif workload.axis == -1:
            forms = _along_the_last(*arguments[:2], workload.shape[-1], toolkit.asarray)
        else:
            forms = _along(*arguments, workload.axis, toolkit.asarray)
        found |= {name.format(prefix): Peer(form) for name, form in forms.items()}
    return found


def _heatmap_packages(missing):
    found = {}
    if dsntnn := optional("dsntnn", missing):
        found["dsntnn"] = Peer(lambda x: dsntnn.dsnt(dsntnn.flat_softmax(x), normalized_coordinates=False), True)
    if kornia := optional("kornia.geometry.subpix", missing):
        found["kornia"] = Peer(lambda x: kornia.spatial_soft_argmax2d(x, normalized_coordinates=False), True)
    return found


def _expected(weights, index, x):
    return weights(x) @ index


def _sparse_maps(toolkit: Toolkit, workload: Workload, missing: dict[str, str]) -> dict[str, Function]:
    """The weights by other packages."""
    maps: dict[str, Function] = {}
    if entmax := optional("entmax", missing):
        named = {2.0: "sparsemax", 1.5: "entmax15"}.get(workload.alpha)
        if named:
            maps |= {f"{named} k={k}": partial(getattr(entmax, named), dim=-1, k=k) for k in (16, 64, 100)}
        else:
            maps["entmax bisect"] = partial(entmax.entmax_bisect, alpha=workload.alpha, dim=-1)
    if toolkit.device.kind == ACCELERATOR and (adasplash := optional("adasplash", missing)):  # in Triton
        for steps in (2, 10):
            maps[f"adasplash n={steps}"] = partial(adasplash.triton_entmax, alpha=workload.alpha, n_iter=steps)
    return maps


def _sparse_packages(toolkit: Toolkit, workload: Workload, missing: dict[str, str]) -> dict[str, Peer]:
    maps = _sparse_maps(toolkit, workload, missing)
    if workload.kind == "weights":
        return {name: Peer(f) for name, f in maps.items()}
    index = toolkit.asarray(np.arange(workload.shape[-1], dtype=np.float32))
    return {name: Peer(partial(_expected, f, index)) for name, f in maps.items()}


def _compiled(toolkit: Toolkit, workload: Workload, found: dict[str, Peer], options: dict[str, Any]) -> dict[str, Peer]:
    """The naive formula and ours by torch.compile: the row's own two, or shown apart."""
    assert toolkit.compiled
    naive = next(peer.function for name, peer in found.items() if name.endswith(("sum", "sums")))
    compiled = {COMPILED: Peer(toolkit.compiled(naive), apart=not workload.compiled)}
    if workload.compiled:
        return compiled
    return compiled | {OURS_COMPILED: Peer(toolkit.compiled(ours(workload, options)), apart=True)}


def peers(
    toolkit: Toolkit, workload: Workload, options: dict[str, Any], missing: dict[str, str], compiled: bool
) -> dict[str, Peer]:
    """Return ours and the best that there is for a workload, and note in `missing` which packages are not there."""
    own = ours(workload, options)
    if workload.alpha != 1:
        return {OURS: Peer(own)} | _sparse_packages(toolkit, workload, missing)
    found = _of_the_framework(toolkit, workload, options)
    if workload.compiled and toolkit.compiled:
        return {OURS: Peer(toolkit.compiled(own))} | _compiled(toolkit, workload, found, options)
    if toolkit.name == "torch":
        if workload.kind == "coordinates" and not options:
            found |= _heatmap_packages(missing)
        if workload.beside == "tensor":
            found[FLOAT] = Peer(ours(workload, {"temperature": beside.NUMBER}), apart=True)
        if compiled or toolkit.device.kind == ACCELERATOR:
            found |= _compiled(toolkit, workload, found, options)
    return {OURS: Peer(own)} | found


def ours(workload: Workload, options: dict[str, Any]) -> Function:
    """Return the library's own function for a workload."""
    from ..expectations import expectation
    from ..operators import soft_argmax, spatial_soft_argmax
    from ..weights import soft_one_hot

    if workload.kind == "coordinates":
        return partial(spatial_soft_argmax, **options)
    if workload.kind == "expectation":
        return partial(expectation, axis=workload.axis)
    function: Function = soft_one_hot if workload.kind == "weights" else soft_argmax
    return partial(function, axis=workload.axis, alpha=workload.alpha, **options)
