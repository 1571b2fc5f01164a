"""What an examination finds: a row for each call and dtype, with a finding for each disagreement in a place."""

from typing import Any, NamedTuple

from .places import Place
from .problems import Answers, Arrays, Inputs, Problem
from .tolerance import COMPUTED_IN, Distance

EVIDENCE = ("agreement", "oracle", "invariants", "differences")


class Finding(NamedTuple):
    """One disagreement: where, in what, by which evidence, and by how much.

    Parameters
    ----------
    call : str
        The name of the call.
    place : str
        The framework, and the device if one was asked for.
    dtype : str
        The dtype of the inputs.
    quantity : str
        What differs: ``"value"``, ``"vjp"``, ``"jvp"``, ``"2nd"`` (second derivatives), ``"derivative"`` (an invariant
        of gradients), ``"adjoint"`` (the identity ``<g, J t> = <J^T g, t>``), ``"dtype"``, or ``"support"`` (exact
        zeros).
    evidence : {"agreement", "oracle", "invariants", "differences"}
        What it was held against.
    error : float
        The distance, in eps of the scale of the result.
    allowed : float
        How much of that is allowed.
    expected : float
        The entry that is farthest off, as the evidence has it; NaN where there is no number.
    actual : float
        That entry as the framework has it.
    entry : tuple of int
        Where that entry is.
    detail : str, default ""
        More in words.
    seed : int, default 0
        Of the random numbers.
    inputs : tuple of arrays, default ()
        A call that shows the disagreement, as small as was found.
    """

    call: str
    place: str
    dtype: str
    quantity: str
    evidence: str
    error: float
    allowed: float
    expected: float
    actual: float
    entry: tuple[int, ...]
    detail: str = ""
    seed: int = 0
    inputs: Arrays = ()


class Row(NamedTuple):
    """One call in one dtype: the errors, the evidence that there is, and what is wrong.

    Parameters
    ----------
    call : str
        The name of the call.
    dtype : str
        The dtype of the inputs.
    errors : dict of str to float
        The largest error of ``"value"``, ``"vjp"``, ``"jvp"`` and ``"2nd"``, in eps of the scale of the result.
    evidence : tuple of str
        What the call was held against.
    findings : tuple of Finding
        The disagreements.
    raised : tuple of str
        Where the function raised.
    notes : tuple of str
        What was left out, and why.
    """

    call: str
    dtype: str
    errors: dict[str, float]
    evidence: tuple[str, ...]
    findings: tuple[Finding, ...]
    raised: tuple[str, ...]
    notes: tuple[str, ...]


class Examined(NamedTuple):
    """A problem in one dtype with the answers of each place."""

    problem: Problem
    inputs: Inputs
    answers: dict[Place, Answers]

    @property
    def computed_in(self) -> str:
        """The library computes half precision in float32; what others do with it is theirs to round."""
        return COMPUTED_IN[self.inputs.dtype] if self.problem.ours else self.inputs.dtype

    def finding(self, place: Any, quantity: str, evidence: str, d: Distance, detail: str = "") -> Finding:
        return Finding(
            self.problem.name,
            str(place),
            self.inputs.dtype,
            quantity,
            evidence,
            *d,
            detail=detail,
            seed=self.inputs.seed,
        )
