"""The tables of the page on speed are those of the run of the benchmark that its pictures are drawn from."""

import json
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"
RUN = json.loads((DOCS / "benchmark.json").read_text(encoding="utf-8"))
ROWS = {(row["framework"], row["workload"], row["pass"]): row for row in RUN["rows"]}
LINES = (DOCS / "speed.md").read_text(encoding="utf-8").splitlines()
COLUMNS = {
    "NumPy, fwd": ("numpy", "fwd"),
    "autograd, f+b": ("autograd", "f+b"),
    "torch, fwd": ("torch", "fwd"),
    "torch, f+b": ("torch", "f+b"),
    "JAX jit, fwd": ("jax", "fwd"),
    "JAX jit, f+b": ("jax", "f+b"),
}
ORDERS = {"sparsemax": "2", "1.5-entmax": "1.5", "1.25-entmax": "1.25"}


def table(first: str) -> dict[tuple[str, str], str]:
    """Return the cells of the first table of the page with such a column, by row and column."""
    start = next(k for k, line in enumerate(LINES) if line.startswith("|") and f"| {first} |" in line)
    lines = LINES[start : start + LINES[start:].index("")]
    heading, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return {(row[0], name): cell for row in rows for name, cell in zip(heading[1:], row[1:], strict=True)}


def shown(row) -> str:
    """Return a ratio as the page shows it: with the target where that is missed."""
    missed = row["met"] is False
    return f"{row['ratio']:.2f}" + (f" ({row['target']:.2f})" if missed else "")


POSITIONS, WEIGHTS = table("NumPy, fwd"), table("sparsemax")


@pytest.mark.parametrize(("workload", "column"), POSITIONS)
def test_the_ratio_of_a_position_is_that_of_the_run(workload, column):
    framework, which = COLUMNS[column]
    assert POSITIONS[workload, column] == shown(ROWS[framework, workload, which])


@pytest.mark.parametrize(("workload", "column"), WEIGHTS)
def test_the_ratio_of_weights_is_that_of_the_run(workload, column):
    assert WEIGHTS[workload, column] == shown(ROWS["torch", f"{workload} {ORDERS[column]}", "fwd"])


def test_the_tables_are_whole():
    assert {column for _, column in POSITIONS} == {*COLUMNS}
    assert len(POSITIONS) == 36
    assert len(WEIGHTS) == 9


def test_the_page_names_the_machine_and_the_packages():
    text = "\n".join(LINES)
    assert RUN["machine"]["processor"] in text
    for package in ("numpy", "torch", "jax"):
        assert RUN["packages"][package].removesuffix("+cpu") in text


def test_the_page_counts_the_targets_that_are_met():
    times = [judged["met"] for row in RUN["rows"] for judged in (row, *row["further"]) if judged["met"] is not None]
    peaks = [row["peak_met"] for row in RUN["rows"] if row["peak_met"] is not None]
    text = " ".join("\n".join(LINES).split())
    assert f"{sum(times)} of {len(times)} targets for time are met, and {sum(peaks)} of {len(peaks)} for peak" in text
