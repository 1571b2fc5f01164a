"""What the experiment prints: text of at most 80 columns, made of what was computed elsewhere."""

import textwrap
from collections.abc import Iterable, Sequence
from typing import TextIO

import numpy as np

from .frameworks import Gradients, Result
from .network import FEATURES, INPUTS, TARGETS, TEMPERATURE, UNITS, VOCABULARY, Weights
from .training import COLD, REPORT_EVERY, STEPS, WARM, Training

WIDTH = 80


def wrapped(text: str, indent: int = 2) -> str:
    """Return text, indented and broken before column 80; the lines after the first hang."""
    hanging = " " * (indent + 2)
    return textwrap.fill(text, WIDTH, initial_indent=" " * indent, subsequent_indent=hanging)


def nested(rows: Iterable[Iterable[int]]) -> str:
    """Return tokens as nested lists."""
    return str([list(row) for row in rows])


def describe(gradient: Gradients, k: int) -> str:
    """Return the norm of one weight's gradient, in words where there is nothing to measure."""
    if gradient is None:
        return "none"
    norm = float(np.linalg.norm(gradient[k]))
    return "0" if norm == 0 else f"{norm:.6g}"


def heading() -> str:
    """Name the network and its tokens."""
    return "\n".join(
        [
            f"Embedding({VOCABULARY}, {FEATURES}) -> LSTM({UNITS}) -> softmax -> argmax: {UNITS} tokens",
            f"  input tokens   {nested(INPUTS)}",
            f"  target tokens  {nested(TARGETS)}",
        ]
    )


def predictions(hard: np.ndarray, soft: dict[float, np.ndarray]) -> str:
    """Show the tokens of the hard argmax above those of the soft one at each temperature."""
    rows = {"argmax": [f"{token:d}" for row in hard for token in row]}
    rows |= {f"soft_argmax, T = {t:g}": [f"{x:.2f}" for x in np.ravel(values)] for t, values in soft.items()}
    lines = ["1. Tokens of the untrained network"]
    return "\n".join(lines + [f"  {name:26}" + "".join(f"{x:>8}" for x in row) for name, row in rows.items()])


def gradient_table(weights: Weights, result: Result, errors: Sequence[float]) -> str:
    """Show, weight by weight, the gradients through both argmaxes, and how far finite differences are."""
    lines = [
        "2. Gradients of the mean squared distance of the tokens to the targets",
        f"  Norms, with {result.label}, float64, temperature {TEMPERATURE:g};",
        "  error: the largest relative one against central finite differences.",
        f"  {'weight':18}{'shape':12}{'argmax':>10}{'soft_argmax':>14}{'error':>12}",
    ]
    for k, (name, w) in enumerate(zip(Weights._fields, weights, strict=True)):
        hard, soft = describe(result.hard, k), describe(result.soft, k)
        lines.append(f"  {name:18}{w.shape!s:12}{hard:>10}{soft:>14}{errors[k]:12.1e}")
    return "\n".join(lines)


class Progress:
    """One line, rewritten in place on a terminal; elsewhere a line every so many steps."""

    def __init__(self, stream: TextIO):
        self.stream, self.in_place = stream, stream.isatty()

    def __call__(self, step: int, temperature: float, right: int, done: bool) -> None:
        total = sum(map(len, TARGETS))
        line = f"  step {step:4d} of at most {STEPS}, temperature {temperature:.4f}, {right} of {total} tokens right"
        if self.in_place:
            print(f"\r{line}", end="\n" if done else "", file=self.stream, flush=True)
        elif step % REPORT_EVERY == 0 or done:
            print(line, file=self.stream, flush=True)


def training_heading(label: str) -> str:
    """Say how the network is trained."""
    return "\n".join(
        [
            f"3. Training through soft_argmax ({label}, Adam)",
            f"  Minimises the expected distance to the targets, temperature {WARM:g} to {COLD:g}.",
        ]
    )


def training_outcome(soft: Training, tokens: np.ndarray, values: np.ndarray, hard: Training) -> str:
    """Say which tokens the trained network gives, and what the hard argmax did with as many steps."""
    total = sum(w.size for w in soft.weights)
    shown = "".join(f"{x:8.2f}" for x in np.ravel(values))
    return "\n".join(
        [
            f"  argmax after {soft.steps} steps       {tokens.tolist()}",
            f"  soft_argmax, T = {TEMPERATURE:<9g}{shown}",
            f"  weights moved by soft_argmax {soft.moved} of {total}",
            f"  weights moved by argmax      {hard.moved} of {total} in {hard.steps} steps",
        ]
    )


def framework_row(result: Result, difference: float) -> str:
    """Show how far a framework's gradients are from the first one's, and what argmax gives there."""
    if result.missing or result.error:
        return wrapped(result.missing or f"{result.label} failed: {result.error}")
    norms = [describe(result.hard, k) for k in range(len(Weights._fields))]
    return f"  {result.label:28}{difference:14.1e}{'/'.join(dict.fromkeys(norms)):>18}"


def frameworks_heading(reference: str) -> str:
    """Head the table of the frameworks."""
    return "\n".join(
        [
            f"4. The same gradients elsewhere, against those of {reference}",
            f"  {'':28}{'difference':>14}{'through argmax':>18}",
        ]
    )


def verdict(claims: Sequence[tuple[bool, str]]) -> str:
    """Say that all claims hold, or list those that do not."""
    failed = [text for holds, text in claims if not holds]
    if not failed:
        return f"All {len(claims)} claims hold."
    return "\n".join([f"{len(failed)} of {len(claims)} claims FAILED:", *(wrapped(f"- {text}") for text in failed)])
