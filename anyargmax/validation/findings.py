"""What an examination finds: a row for each call and dtype, with a finding for each disagreement in a place."""

from typing import Any, NamedTuple

from .places import Place
from .problems import Answers, Arrays, Inputs, Problem
from .tolerance import COMPUTED_IN, Distance

EVIDENCE = ("agreement", "oracle", "invariants", "differences")


class Finding(NamedTuple):
    """One disagreement: where, in what, by which evidence, and by how much (in eps of the result's scale)."""

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
    """One call in one dtype: the largest error of each quantity in eps, the evidence there is, and what is wrong."""

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
