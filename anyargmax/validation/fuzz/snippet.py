"""A drawn call as Python that can be pasted and run."""

import textwrap

import numpy as np

from ..invariants import MAPS, WEIGHTS
from ..problems import cotangents
from ..report import WIDTH
from ..tolerance import COMPUTED_IN
from .case import Case

PACKAGE = __package__.removesuffix(".validation.fuzz")
FRAMEWORKS = {
    "autograd": "numpy",
    "torch-func": "torch",
    "jax": "jax.numpy",
    "dask": "dask.array",
}
NUMPY = ("numpy", "autograd")


def literal(x: np.ndarray, dtype: str | None = None) -> str:
    """An array of NumPy as Python."""
    if not x.size:
        return f"np.zeros({x.shape}, dtype={dtype or str(x.dtype)!r})"
    numbers = np.array2string(x, separator=", ", max_line_width=WIDTH - 40, threshold=10**9, floatmode="unique")
    return f"np.asarray({numbers}{f', dtype={dtype!r}' if dtype else ''})"


def _in(framework: str, text: str, dtype: str | None) -> str:
    """An array of a framework as Python, of an array of NumPy."""
    if framework in NUMPY:
        return text
    if framework == "dask":
        return f"xp.from_array({text})"
    if framework == "tensorflow":
        return f"xp.cast({text}, xp.{dtype})" if dtype else f"xp.constant({text})"
    return f"xp.asarray({text}{f', dtype=xp.{dtype}' if dtype else ''})"


def scores(case: Case) -> str:
    """The scores as an array of NumPy."""
    dtype = "float64" if case.dtype == "bfloat16" else case.dtype
    if not case.recipe:
        return literal(case.x, dtype)
    turned = f"np.abs({case.recipe})" if np.all(case.x >= 0) and "constant" not in case.recipe else case.recipe
    return f"np.asarray({turned}, dtype={dtype!r})"


def _shape_of_answer(case: Case) -> tuple[int, ...] | None:
    """The shape of a single answer; None where there are two."""
    if case.call.function in WEIGHTS:
        return case.x.shape
    if case.call.function == "soft_argmax_moments" or case.option("readout") in ("moments", "covariance"):
        return None
    rest = tuple(n for k, n in enumerate(case.x.shape) if k not in case.axes)
    if case.call.function in MAPS:
        return (*rest, len(case.axes))
    return case.scene.reduced if case.option("keepdims") else rest


def code(case: Case, framework: str, bad: tuple[str, str] | None = None) -> str:
    """Return Python that makes the call in a framework, and prints its value and its gradient."""
    name, module = case.call.function, FRAMEWORKS.get(framework, framework)
    lines = ["import numpy as np", "from numpy import inf, nan"]
    if framework not in NUMPY:
        lines.append(f"import {module} as xp" if module != "jax.numpy" else "import jax, jax.numpy as xp")
    lines.append(f"from {PACKAGE} import {name}, vjp")
    if framework == "jax":
        lines.append("jax.config.update('jax_enable_x64', True)")
    computed = COMPUTED_IN.get(case.dtype, "float64")
    made = {
        k: _in(framework, literal(v), computed if v.dtype.kind == "f" else None) for k, v in case.call.arrays.items()
    }
    words = {k: repr(v) for k, v in case.call.options.items()}
    first = _in(framework, scores(case), case.dtype)
    if bad is not None:
        like = "np.asarray" if framework in NUMPY else "xp.constant" if framework == "tensorflow" else "xp.asarray"
        lines.append(f"like = {like}")
    lines += [f"x = {first}", *(f"{k} = {text}" for k, text in made.items())]
    words |= {k: k for k in made}
    x = "x"
    if bad is not None:
        x, words = (bad[1], words) if bad[0] in ("x", "p") else (x, words | {bad[0]: bad[1]})
    arguments = [
        x,
        *(words.pop(k) for k in ("k", "target") if k in words),
        *(f"{k}={text}" for k, text in words.items()),
    ]
    lines.append(_wrapped(f"print({name}({', '.join(arguments)}))"))
    shape = _shape_of_answer(case)
    if (
        bad is None
        and shape is not None
        and case.dtype in COMPUTED_IN
        and "target" not in case.call.arrays
        and "k" not in case.call.options
    ):
        (g,) = cotangents(case.seed, (np.zeros(shape),))
        if g.size <= 64:
            out = case.dtype if name in WEIGHTS else computed
            options = "".join(f", {text}" for text in arguments[1:])
            lines += [_wrapped(f"y, pullback = vjp({name}, x{options})"), f"g = {_in(framework, literal(g, out if out != 'bfloat16' else None), out)}", "print(pullback(g)[0])"]  # fmt: skip
    return "\n".join(lines)


def _wrapped(line: str) -> str:
    """A call within the width: broken at its commas."""
    return textwrap.fill(line, WIDTH - 4, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
