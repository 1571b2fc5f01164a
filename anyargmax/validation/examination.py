"""Evaluate a problem in every place and collect the evidence about its answers in one row."""

from collections.abc import Iterable

from .evaluation import Cell, summary
from .evidence import adjoint, against_differences, against_each_other, against_invariants, against_oracle
from .findings import EVIDENCE, Examined, Finding, Row
from .places import Place
from .problems import Answers, Inputs, Problem


def _evaluated(problem: Problem, places: Iterable[Place], inputs: Inputs, order: int):
    answers: dict[Place, Answers] = {}
    cells: dict[Place, Cell] = {}
    raised, notes = [], []
    for place in places:
        try:
            device = None if place.device is None else place.backend.find_device(place.device)
            with place.backend.scope(inputs.dtype):
                cells[place] = Cell(problem, place.backend, inputs, device)
                answers[place] = cells[place].answers(order)
        except Exception as error:  # whatever a framework raises is a finding, to be shown beside the others
            raised.append(f"{problem.name} raised on {place} {inputs.dtype}: {summary(error)}")
        else:
            notes += [f"{place}: {answers[place].note}"] * bool(answers[place].note)
    return answers, cells, raised, notes


def examine(problem: Problem, places: Iterable[Place], dtype: str, *, order: int = 1, seed: int = 0) -> Row:
    """Examine a problem in one dtype, in every place whose framework has it."""
    inputs = problem.inputs(dtype, seed)
    having = [place for place in places if dtype in place.backend.dtypes]
    answers, cells, raised, notes = _evaluated(problem, having, inputs, order)
    x = Examined(problem, inputs, answers)
    found: list[Finding] = []
    if answers and problem.oracle is not None:
        found += against_oracle(x, problem.oracle(inputs))
    if answers and problem.invariants is not None:
        found += against_invariants(x)
    if dtype == "float64" and inputs.moving and order and not problem.choice:
        found += against_differences(x, cells)
    found += adjoint(x)
    if len(answers) > 1:
        found += against_each_other(x)
    return _row(x, found, raised, notes)


def _row(x: Examined, found: list[Finding], raised: list[str], notes: list[str]) -> Row:
    errors: dict[str, float] = {}
    strongest = "oracle" if x.problem.oracle is not None else "agreement"
    for finding in found:
        if finding.evidence == strongest and finding.quantity in ("value", "vjp", "jvp", "2nd"):
            errors[finding.quantity] = max(errors.get(finding.quantity, 0.0), finding.error)
    wrong = tuple(f._replace(inputs=x.inputs.arrays) for f in found if not f.error <= f.allowed)
    evidence = {finding.evidence for finding in found if finding.quantity != "adjoint"}
    return Row(
        x.problem.name,
        x.inputs.dtype,
        errors,
        tuple(kind for kind in EVIDENCE if kind in evidence),
        wrong,
        tuple(raised),
        tuple(notes),
    )
