"""Training on several processes and devices gives what training on one gives. Two programs find out, each run once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PRESENT

from anyargmax import expectation, fenchel_young_loss, soft_argmax, soft_argmax_moments, soft_one_hot, soft_top_k

SECONDS = 60
ALPHAS = (1.0, 1.5)
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked, and meet on Linux's loopback")
with_torch = pytest.mark.skipif("torch" not in PRESENT, reason="torch is not installed")
with_jax = pytest.mark.skipif("jax" not in PRESENT, reason="jax is not installed")


def records_of(program):
    """What a program beside this file prints: lists of records in JSON, one a line."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name(program))],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [record for line in done.stdout.splitlines() for record in json.loads(line)]


def assert_alike(records, cases):
    """All is as close as the table of tolerances asks, or the same; each of the cases is there, and temperatures move."""
    failed = [record["failed"] for record in records if "failed" in record]
    assert not failed, "\n\n".join(failed)
    far = [record for record in records if "error" in record and not record["error"] <= record["allowed"]]
    assert not far, f"{len(far)} results are not those of training alone, such as {far[:3]}"
    other = [record for record in records if not record.get("same", True)]
    assert not other, f"not the same: {other}"
    missing = set(cases) - {record["case"] for record in records}
    assert not missing, f"nothing was found of {missing}"
    assert min(record["moved"] for record in records if "moved" in record) > 1e-3


@on_linux
@with_torch
def test_training_on_four_processes_of_torch_is_that_of_one_and_asks_only_who_holds_the_same_rows():
    records = records_of("training_on_torch.py")
    ways = ("DDP", "FSDP2", "a checkpoint", "a split vocabulary by a group", "a split vocabulary by DTensor")
    cases = [f"{way}, alpha {alpha}" for way in ways for alpha in ALPHAS]
    for rank in range(4):
        assert_alike([record for record in records if record.get("rank") == rank], [*cases, "a model from files"])
    (said,) = {record["said"] for record in records if "said" in record}
    assert "Change temperature to a 1D tensor" in said
    from anyargmax.backends.torch import SoftArgmax

    assert "parameter of shape ``(1,)``" in SoftArgmax.__doc__  # which says what FSDP2 refuses
    uneven = [record for record in records if "collectives" in record]
    assert len({record["case"] for record in uneven}) > 20
    for record in uneven:
        assert record["groups"] == [record["here"]], record
        assert record["others"] == [], record
        assert record["collectives"] > 0, record
        assert record["back"] <= 3, f"something is solved for again on the way back: {record}"
        assert record["seconds"] < 30, record
    counts = {(record["case"], record["rank"]): record["collectives"] for record in uneven}
    differ = [case for case, rank in counts if rank == 0 and counts[case, 0] != counts[case, 2]]
    assert len(differ) >= 4, (
        f"rows of both groups take as many steps, but for those of {differ}: nothing could wait in vain"
    )


@with_jax
def test_training_on_eight_devices_of_jax_is_that_of_one():
    ways = ("shard_map, grad outside", "shard_map, grad inside", "jit of sharded arrays")
    assert_alike(records_of("training_on_jax.py"), [f"{way}, alpha {alpha}" for way in ways for alpha in ALPHAS])


LEARNED = {
    "soft_argmax": lambda x, t, c: soft_argmax(x, -1, temperature=t, positions=c),
    "soft_argmax, of one row": lambda x, t, c: soft_argmax(x[1], -1, temperature=t[1], positions=c),
    "soft_argmax, alpha 1.5": lambda x, t, c: soft_argmax(x, -1, alpha=1.5, temperature=t, positions=c),
    "soft_argmax, a learned alpha": lambda x, t, c: soft_argmax(x, -1, alpha=1 + t, positions=c),
    "soft_argmax_moments": lambda x, t, c: soft_argmax_moments(x, -1, temperature=t, positions=c)[1],
    "soft_one_hot": lambda x, t, c: soft_one_hot(x, temperature=t) * c,
    "soft_one_hot, alpha 1.5": lambda x, t, c: soft_one_hot(x, alpha=1.5, temperature=t) * c,
    "soft_top_k": lambda x, t, c: soft_top_k(x, 2, temperature=t) * c,
    "fenchel_young_loss": lambda x, t, c: fenchel_young_loss(x, (0 * x + 1 / 10).detach(), temperature=t) * c[0],
    "expectation": lambda x, t, c: expectation(x, -1, positions=c) * t[:, 0],
}


@with_torch
@pytest.mark.parametrize("name", LEARNED)
def test_a_call_of_parameters_leaves_it_to_torch_to_resize_their_storage(name, rng):
    """FSDP2 does so once they are used; of storage that NumPy has a view of, torch refuses it."""
    import torch

    shares = rng.dirichlet([1.0] * 10, size=4)
    learned = [
        torch.nn.Parameter(torch.tensor(array)) for array in (shares, 0.5 + rng.random((4, 1)), rng.normal(size=10))
    ]
    before = [p.detach().clone() for p in learned]
    y = LEARNED[name](*learned)
    (y * torch.tensor(rng.normal(size=y.shape))).sum().backward()
    assert all(torch.equal(p, was) for p, was in zip(learned, before, strict=True))
    assert sum(p.grad is not None and bool(p.grad.any()) for p in learned) > 1
    for p in learned:
        p.untyped_storage().resize_(0)
