"""JAX with sharded axes: what travels, and that numbers are those of whole axes. One process with eight devices finds out."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import PRESENT
from sharded_on_jax import CASES, DEVICES, MANY, SHARDS, WALKING, WINNERS, collectives

from anyargmax.validation.tolerance import TOLERANCE

pytestmark = pytest.mark.skipif("jax" not in PRESENT, reason="jax is not installed")

PROGRAM = Path(__file__).with_name("sharded_on_jax.py")
SECONDS = 600
IDS = [f"{name}-{kind}-{layout}" for name, kind, layout in CASES]


def run(path):
    """Run the program, unless the other worker does so already, and leave what it prints in a file."""
    try:
        started = os.open(path.with_suffix(".started"), os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        deadline = time.monotonic() + SECONDS
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        return
    os.close(started)
    words = [sys.executable, str(PROGRAM)]
    # Nobody else runs these programs: they are not written down.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    try:
        ran = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=SECONDS)
        said = ran.stdout if ran.returncode == 0 else json.dumps({"failed": ran.stderr[-2000:]})
    except subprocess.TimeoutExpired:
        said = json.dumps({"failed": f"took more than {SECONDS} seconds"})
    partly = path.with_suffix(".partly")
    partly.write_text(said, encoding="utf-8")
    partly.rename(path)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """What was found for each call, kind of mesh and layout, and for each call and number of shards."""
    base = tmp_path_factory.getbasetemp()
    path = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "sharded_on_jax.json"
    run(path)
    found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert "failed" not in found[0], found[0]["failed"]
    return {tuple(record["case"]): record for record in found}


def bound(name):
    """How many bytes a row the largest collective may take where the reduced axis is sharded, of a call and its gradient.

    XLA merges sums of both that can travel together.
    """
    if "subset" in name:  # the root of each block, and beside it what a gradient needs
        return 4 * 2 * (WINNERS + 1) * DEVICES
    if "top_k" in name:
        return 4 * (MANY if "many" in name else WINNERS) * DEVICES
    return 4 * DEVICES if "median" in name else 24


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_numbers_of_the_size_of_rows_are_all_that_travels(case, records):
    name, _, layout = case
    record = records[case]
    assert "error" not in record, record["error"]
    if layout == "all but the reduced axis":
        assert record["total"] <= 64, record["moved"]
    else:
        assert 0 < record["largest"] <= bound(name), record["moved"]


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_sharded_call_and_its_gradient_are_those_of_numpy(case, records):
    record = records[case]
    assert "error" not in record, record["error"]
    value, gradient = record["errors"]
    assert value <= TOLERANCE["derivative"]
    assert gradient <= TOLERANCE["derivative"]


@pytest.mark.parametrize("count", SHARDS)
@pytest.mark.parametrize("name", WALKING)
def test_what_walks_along_an_axis_is_in_any_number_of_shards_what_it_is_in_one(name, count, records):
    value, gradient = records[name, count]["errors"]
    assert value <= TOLERANCE["value"]
    assert gradient <= TOLERANCE["derivative"]


PROGRAM_TEXT = """
  %a = f32[64,4096]{1,0} all-gather(%p), channel_id=1, dimensions={1}
  %b = (f32[8]{0}, pred[]) all-reduce(%q, %r), to_apply=%add
  %c = bf16[2,3]{1,0} collective-permute-start(%s), source_target_pairs={{0,1}}
  %d = f32[8]{0} add(%all-reduce.1, %x)
"""


def test_collectives_are_found_in_the_text_of_a_program():
    assert collectives(PROGRAM_TEXT) == [
        ("all-gather", 64 * 4096 * 4),
        ("all-reduce", 8 * 4 + 1),
        ("collective-permute", 2 * 3 * 2),
    ]
