"""Training on several processes and devices gives what training on one gives. Two programs find out, each run once."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PRESENT, on_linux

from anyargmax import expectation, fenchel_young_loss, soft_argmax, soft_argmax_moments, soft_one_hot, soft_top_k

ALPHAS = (1.0, 1.5)
SECONDS = 60  # for each of the programs
with_torch = pytest.mark.skipif("torch" not in PRESENT, reason="torch is not installed")
with_jax = pytest.mark.skipif("jax" not in PRESENT, reason="jax is not installed")


@pytest.fixture(scope="module")
def on_torch(run_once):
    """What each of four processes of torch compared."""
    folder = run_once("training_on_torch", SECONDS, OMP_NUM_THREADS="1")
    return [record for rank in range(4) for record in json.loads((folder / f"{rank}.json").read_text("utf-8"))]


def far_of(records):
    """What is not as close as the table of tolerances asks."""
    return [record for record in records if "error" in record and not record["error"] <= record["allowed"]]


def assert_alike(records, *ways, ranks=1):
    """What the ways found is close, or the same, in all processes and at each alpha."""
    records = [record for record in records if record["case"].startswith(ways)]
    assert len({(record["case"], record.get("rank")) for record in records}) == len(ways) * len(ALPHAS) * ranks
    far = far_of(records)
    assert not far, f"{len(far)} of {len(records)} results are not those of training alone, such as {far[:3]}"
    other = [record for record in records if not record.get("same", True)]
    assert not other, f"not the same: {other}"


def assert_moved(records):
    """Training has changed the temperature, as far as that can be seen in rounded numbers."""
    assert all(record["moved"] > 1e-3 for record in records if record["case"].startswith("the temperature"))


@on_linux
@with_torch
def test_models_with_a_layer_train_by_ddp_and_fsdp2_as_in_one_process(on_torch):
    assert_alike(on_torch, "DDP", "FSDP2, ", ranks=4)
    assert_moved(on_torch)


@on_linux
@with_torch
def test_the_layer_says_what_temperature_fsdp2_takes(on_torch):
    from anyargmax.backends.torch import SoftArgmax

    (said,) = {record["said"] for record in on_torch if "said" in record}
    assert "Change temperature to a 1D tensor" in said
    assert "parameter of shape ``(1,)``" in SoftArgmax.__doc__


@on_linux
@with_torch
def test_checkpoints_round_a_layer_and_round_shards_give_the_same_gradients(on_torch):
    assert_alike(on_torch, "a checkpoint", ranks=4)


@on_linux
@with_torch
def test_a_sharded_model_is_the_same_from_files(on_torch):
    found = [record for record in on_torch if record["case"] == "a model from files"]
    assert len(found) == 4 * 6
    assert all(record["same"] for record in found), found


@on_linux
@with_torch
def test_a_split_vocabulary_trains_as_a_whole_one_by_a_group_and_by_dtensor(on_torch):
    assert_alike(on_torch, "a split vocabulary by a group", "a split vocabulary by DTensor", ranks=4)


@on_linux
@with_torch
def test_rows_of_other_groups_are_not_waited_for_nor_asked(on_torch):
    uneven = [record for record in on_torch if "collectives" in record]
    assert len({record["case"] for record in uneven}) > 20
    far = far_of([record for record in on_torch if record["case"].startswith("uneven")])
    assert not far, far[:3]
    for record in uneven:
        assert record["groups"] == [record["here"]], record
        assert record["others"] == [], record
        assert record["collectives"] > 0, record
        assert record["back"] <= 3, f"something is solved for again on the way back: {record}"
        assert record["seconds"] < 30, record
    counts = {(record["case"], record["rank"]): record["collectives"] for record in uneven}
    differ = [case for case, rank in counts if rank == 0 and counts[case, 0] != counts[case, 2]]
    assert len(differ) >= 4, (
        f"rows of both groups take as many steps, but for those of {differ}: none could wait in vain"
    )


@with_jax
def test_a_split_vocabulary_trains_as_a_whole_one_by_shard_map_and_by_sharded_arrays(run_once):
    records = json.loads((run_once("training_on_jax", SECONDS) / "0.json").read_text("utf-8"))
    assert_alike(records, "shard_map, grad outside", "shard_map, grad inside", "jit of sharded arrays")
    assert_moved(records)


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


PROGRAMS = re.findall(
    r"```py\n((?:import torch|from functools).*?)```\n```text\n(.*?)```",
    (Path(__file__).resolve().parent.parent / "docs" / "devices.md").read_text("utf-8"),
    re.DOTALL,
)


@pytest.mark.parametrize(
    ("program", "printed"),
    [
        pytest.param(*PROGRAMS[0], id="in_four_processes_of_torch", marks=[on_linux, with_torch]),
        pytest.param(*PROGRAMS[1], id="on_eight_devices_of_jax", marks=[with_jax]),
    ],
)
def test_the_page_trains_as_it_says(program, printed, tmp_path):
    path = tmp_path / "train.py"
    path.write_text(program, encoding="utf-8")
    words = [sys.executable]
    if "torch" in program:
        words += ["-m", "torch.distributed.run", "--nproc-per-node=4", "--master-addr=127.0.0.1"]
        words += [f"--master-port={free_port()}"]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "GLOO_SOCKET_IFNAME": "lo",
        "OMP_NUM_THREADS": "1",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
    }
    ran = subprocess.run([*words, str(path)], env=environment, capture_output=True, text=True, check=False, timeout=90)
    # Not what the processes return: torch may abort one that has done its work, while its interpreter ends.
    assert ran.stdout == printed, ran.stderr[-3000:]


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
