"""Several ways to the same call: frameworks, engines, transforms and compilers."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ..._kernels import selection
from ..catalogue import bound
from ..frameworks import Backend, load
from ..invariants import READERS
from ..problems import tuple_of
from .algebra import near, unanswered
from .case import Case
from .kinks import has_median_kink, is_determined, rows, signed
from .memory import IN_MEMORY
from .registry import prop
from .running import (
    Closeness,
    assert_near,
    computed_in,
    in_numpy,
    like,
    outcome,
    prepared,
    pulled,
    put_options,
    scope,
    tangent,
    text_of,
)
from .scales import gradient_scale

COMMON = ("float64", "float32")


@prop("frameworks agree in value and gradient, kinks included", share=2.0, dtypes=COMMON, together=3, longest=5000)
def agreement(case: Case) -> None:
    names = case.frameworks
    want = outcome(case, load(names[0]))
    for name in names[1:]:
        got = outcome(case, load(name))
        near(case, got, want, f"of {name} (got) against {names[0]} (expected)", zeros=True)


@prop("rows without a finite answer have one gradient everywhere", share=0.5, dtypes=COMMON, together=2)
def without_answer(case: Case) -> None:
    """That of a row without any kept score is 0, whose position is NaN."""
    want, got = (outcome(case, load(name)) for name in case.frameworks)
    rows = unanswered(case, want)
    least = 0 if case.call.function in READERS else -np.inf
    dead = ~case.rows(case.mask & (signed(case) != least)).any(axis=1) & (case.call.function != "fenchel_young_loss")
    for found, name in zip((want, got), case.frameworks, strict=True):
        for gradient in found.gradient:
            left = case.rows(gradient)[dead & rows]
            assert np.all(left == 0), (
                f"gradient of a row without a kept score in {name}: expected 0, got {text_of(left)}"
            )
    what = f"gradient of {case.frameworks[1]} (got) against {case.frameworks[0]} (expected)"
    a, b = (tuple(case.rows(gradient)[rows] for gradient in found.gradient) for found in (got, want))
    dtype = computed_in(case, load(case.frameworks[0]))
    assert_near(a, b, what, Closeness(dtype, want.gradient_stored, "derivative", gradient_scale(case)))


def _with_arrays(case: Case, backend: Backend) -> tuple[Callable[..., Any], list[Any], list[str]]:
    """The call as a function of the scores and of every option that is a floating-point array."""
    arrays = put_options(case, backend)
    moving = [name for name, value in case.call.arrays.items() if value.dtype.kind == "f"]
    still = {name: value for name, value in arrays.items() if name not in moving}

    def f(x, *values):
        options = case.call.options | still | dict(zip(moving, values, strict=True))
        return bound(case.call._replace(options=options, arrays={}), None)(x)

    x = backend.asarray(case.x, case.dtype)
    return f, [x, *(arrays[name] for name in moving)], moving


@prop(
    "frameworks agree in the gradients of options that are arrays",
    frameworks=("autograd", "autograd", "torch", "torch", "torch-func", "torch-func", "torch-func", "jax"),
    dtypes=COMMON,
    together=2,
    arrays=True,
)
def option_gradients(case: Case) -> None:
    """Those of a temperature and an order are sums over the row of products with z, which weights keep small."""
    found = []
    for name in case.frameworks:
        backend = load(name)
        with scope(case, backend):
            f, arrays, moving = _with_arrays(case, backend)
            found.append(pulled(case, backend, f, *arrays))
    dtype = computed_in(case, load(case.frameworks[0]))
    if not is_determined(case, dtype) or has_median_kink(case):
        return
    want, got = found
    if np.any(unanswered(case, want)):
        return  # of which another property tells
    names = ["scores", *moving]
    # dp/dT is J z / T, one 1 / T more than dp/dx; z is at most about ln n where there is weight.
    coldest = float(np.min(np.asarray(case.temperature), initial=1.0))
    least = gradient_scale(case) * max(4.0, 4.0 / coldest if {"temperature", "scale"} & set(moving) else 4.0)
    for k, name in enumerate(names):
        what = f"gradient by {name} of {case.frameworks[1]} (got) against {case.frameworks[0]} (expected)"
        by = Closeness(dtype, (want.gradient_stored[k],), "derivative", least)
        assert_near(got.gradient[k : k + 1], want.gradient[k : k + 1], what, by)


@prop("engines give what the rules give", frameworks=IN_MEMORY, dtypes=COMMON, longest=40000, entries=4096)
def engined(case: Case) -> None:
    backend = load(case.frameworks[0])
    with selection.only():
        want = outcome(case, backend)
    with selection.only(*(kernel.name for kernel in selection.BUILT_IN)):
        near(case, outcome(case, backend), want, "with engines", zeros=True)


@prop("torch gives the same in every mode", frameworks=("torch",), longest=5000)
def modes(case: Case) -> None:
    """With and without recording, in inference mode, under torch.func, and from a tensor that asks for a gradient."""
    backend, transformed = load("torch"), load("torch-func")
    torch = backend.xp if hasattr(backend.xp, "no_grad") else __import__("torch")
    want = outcome(case, backend)
    near(case, outcome(case, transformed), want, "under torch.func", zeros=True)
    f, x = prepared(case, backend)
    for name, mode in (("without gradients", torch.no_grad), ("in inference mode", torch.inference_mode)):
        with mode():
            value = in_numpy(backend, f(x))
        near(case, want._replace(value=value, gradient=want.gradient), want, name, zeros=True)
    x = x.clone().requires_grad_()
    y = tuple_of(f(x))
    live = [(part, g) for part, g in zip(y, tuple_of(like(case, backend, f(x))), strict=True) if part.requires_grad]
    torch.autograd.backward([part for part, _ in live], [g for _, g in live])
    near(case, want._replace(value=in_numpy(backend, y), gradient=in_numpy(backend, x.grad)), want, "by backward()")


@prop(
    "frameworks agree in second order",
    share=0.25,
    frameworks=("autograd", "autograd", "autograd", "autograd", "torch", "torch", "torch", "torch", "torch-func", "torch-func", "jax"),
    dtypes=("float64",),
    kinds=("spread", "grid"),
    together=2,
    entries=64,
)  # fmt: skip
def second_order(case: Case) -> None:
    """Away from kinks: where weights are smooth, and no score lies near the edge of the support."""
    found = []
    for name in case.frameworks:
        backend = load(name)
        with scope(case, backend):
            f, x = prepared(case, backend)
            y = f(x)
            g, t = like(case, backend, y), tangent(case, backend)
            second: Any = backend.second
            found.append(in_numpy(backend, second(f, (x,), g, (t,))))
    r = rows(case)
    smallest = float(np.min(np.where(r.p > 0, r.p, 1.0), initial=1.0)) if np.any(r.alpha != 1) else 1.0
    if rows(case).margin < 1e-3 or smallest < 1e-3 or has_median_kink(case):
        return
    # One more slope, one more 1 / T and the tangent; third powers of p come back as third powers of its inverse.
    coldest = float(np.min(np.asarray(case.temperature), initial=1.0))
    least = gradient_scale(case) ** 2 * 4 / min(coldest, 1.0) / smallest
    what = f"second derivative of {case.frameworks[1]} (got) against {case.frameworks[0]} (expected)"
    assert_near(found[1], found[0], what, Closeness("float64", ("float64",), "derivative", least))


def _compiled_torch(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    torch = __import__("torch")
    torch._dynamo.reset()
    return torch.compile(f, fullgraph=True, backend="eager")


def _compiled_jax(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return __import__("jax").jit(f)


def _compiled(case: Case, compiler: Callable[..., Any]) -> None:
    backend = load(case.frameworks[0])
    want = outcome(case, backend)
    with scope(case, backend), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        f, x = prepared(case, backend)
        got = pulled(case, backend, compiler(f), x)
    near(case, got, want, "of the compiled call", zeros=True)


@prop("jax.jit changes nothing", share=0.03, least=4, frameworks=("jax",), dtypes=COMMON, entries=64)
def jitted(case: Case) -> None:
    _compiled(case, _compiled_jax)


@prop("torch.compile changes nothing", share=0.01, least=3, frameworks=("torch",), dtypes=COMMON, entries=64)
def compiled(case: Case) -> None:
    _compiled(case, _compiled_torch)
