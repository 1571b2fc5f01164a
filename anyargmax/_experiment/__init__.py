"""The seed's experiment: the hard argmax kills every gradient of a network, the soft one trains it."""

import sys
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec as _find_spec
from typing import Any, TextIO

import numpy as np

from .._figures import save
from ..operators import soft_argmax
from . import network, report, training
from .frameworks import (
    FRAMEWORKS,
    FindSpec,
    Framework,
    Result,
    evaluate,
    evaluate_keras,
    install_hint,
    missing,
    relative_difference,
)
from .network import Weights
from .training import Training

SHOWN_TEMPERATURES = (0.01, 0.001, 0.0001)
BETWEEN_FRAMEWORKS, AGAINST_FINITE_DIFFERENCES = 1e-9, 1e-5
Claims = list[tuple[bool, str]]  # whether it holds, and what does


def run(
    argmax: Any = soft_argmax, find_spec: FindSpec = _find_spec, stream: TextIO | None = None, plot: str = ""
) -> int:
    """Run the experiment, print it and return the exit code: 0 if all that it claims came out, else 1.

    Parameters
    ----------
    argmax
        What takes the place of the hard argmax, called as `soft_argmax` is.
    find_spec
        Says of a module whether it is installed, as `importlib.util.find_spec` does.
    stream
        Where the text goes; None is the standard output.
    plot
        Where a picture of the training goes, by matplotlib; none if empty.
    """
    stream = stream or sys.stdout
    installed = [framework for framework in FRAMEWORKS if not missing(framework.name, framework.label, find_spec)]
    if not installed:
        print(f"No framework that differentiates is installed: {install_hint('autograd')}", file=stream)
        return 1
    weights, trained = network.initial_weights(), None
    print(report.heading(), file=stream, flush=True)
    with ThreadPoolExecutor(1) as pool:  # Keras takes long to import, in a process of its own
        keras = pool.submit(evaluate_keras, weights, find_spec)
        reference, claims = _gradients(installed[0], weights, argmax, stream)
        if reference.soft is not None:  # without a gradient there is nothing to train with, or to compare
            trained = _trained(installed[0], weights, argmax, stream)
            claims += _training_claims(*trained)
            claims += _agreement(installed, reference, weights, argmax, find_spec, keras, stream)
    print(f"\n{report.verdict(claims)}", file=stream)
    if plot:
        print(_drawn(trained, plot), file=stream)
    return 0 if all(holds for holds, _ in claims) else 1


def _soft_tokens(weights: Weights, argmax: Any, temperature: float) -> np.ndarray:
    p = network.scores(weights, network.one_hot_inputs())
    return argmax(p, axis=-1, temperature=temperature)


def _gradients(framework: Framework, weights: Weights, argmax: Any, stream: TextIO) -> tuple[Result, Claims]:
    soft = {t: _soft_tokens(weights, argmax, t) for t in SHOWN_TEMPERATURES}
    print(f"\n{report.predictions(network.tokens(weights), soft)}", file=stream, flush=True)
    result = evaluate(framework, weights, argmax)
    if result.soft is None:
        reason = result.error or "no gradient at all"
        return result, [(False, f"soft_argmax has gradients with {result.label}: {reason}")]
    errors = training.finite_difference_errors(weights, result.soft, argmax)
    print(f"\n{report.gradient_table(weights, result, errors)}", file=stream, flush=True)
    claims = [_no_gradient(result)]
    for name, g, error in zip(Weights._fields, result.soft, errors, strict=True):
        alive = bool(np.all(np.isfinite(g)) and np.any(g != 0))
        claims.append((alive, f"the gradient of {name} through soft_argmax is finite and not 0"))
        text = f"the gradient of {name} equals finite differences to {AGAINST_FINITE_DIFFERENCES:g}: {error:.1e}"
        claims.append((error <= AGAINST_FINITE_DIFFERENCES, text))
    return result, claims


def _no_gradient(result: Result) -> tuple[bool, str]:
    none = result.hard is None or all(np.all(g == 0) for g in result.hard)
    return bool(none), f"the hard argmax has no gradient with {result.label}"


def _trained(framework: Framework, weights: Weights, argmax: Any, stream: TextIO) -> tuple[Training, Training]:
    print(f"\n{report.training_heading(framework.label)}", file=stream, flush=True)
    soft = training.train(framework, weights, argmax, report.Progress(stream))
    hard = training.train(framework, weights, network.hard_argmax, lambda *_: None, steps=soft.steps)
    values = _soft_tokens(soft.weights, argmax, network.TEMPERATURE)
    print(report.training_outcome(soft, network.tokens(soft.weights), values, hard), file=stream, flush=True)
    return soft, hard


def _training_claims(soft: Training, hard: Training) -> Claims:
    return [
        (soft.reached, f"training through soft_argmax reached the target tokens in {soft.steps} steps"),
        (hard.moved == 0, f"training through the hard argmax moved no weight: {hard.moved} moved"),
    ]


def _drawn(trained: tuple[Training, Training] | None, path: str) -> str:
    """Draw the training, and say where."""
    if trained is None:
        return "Nothing is drawn: there was no training."
    from .plot import figure

    save(figure(*trained), path)
    return f"The training is drawn in {path}."


def _agreement(
    installed: list[Framework],
    reference: Result,
    weights: Weights,
    argmax: Any,
    find_spec: FindSpec,
    keras: Future[Result],
    stream: TextIO,
) -> Claims:
    print(f"\n{report.frameworks_heading(reference.label)}", file=stream, flush=True)
    claims: Claims = []
    for framework in FRAMEWORKS:
        if framework not in installed:
            print(report.wrapped(missing(framework.name, framework.label, find_spec)), file=stream, flush=True)
        elif framework is not installed[0]:
            claims += _compared(evaluate(framework, weights, argmax), reference, stream)
    return claims + _compared(keras.result(), reference, stream)


def _compared(result: Result, reference: Result, stream: TextIO) -> Claims:
    difference = relative_difference(result.soft, reference.soft)
    print(report.framework_row(result, difference), file=stream, flush=True)
    if result.missing:
        return []
    text = f"the gradients with {result.label} are within {BETWEEN_FRAMEWORKS:g} of {reference.label}: "
    agrees = difference <= BETWEEN_FRAMEWORKS
    return [(agrees, text + (result.error or f"{difference:.1e}")), *([] if result.error else [_no_gradient(result)])]
