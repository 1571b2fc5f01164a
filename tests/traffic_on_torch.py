"""What four processes of torch exchange for one call forward, and for its gradient, written into a folder as JSON.

Shards are those of a process group, and of a DTensor, whose own operations torch counts by `CommDebugMode`.

Counted are collective operations, and bytes a row: what an operation reduces, or all that it gathers. The exchange of how
long shards are, of 8 bytes a member and call, is left out: it does not depend on the rows.
"""

import gc
import json
import weakref
from pathlib import Path

import torch
import torch.distributed as dist
from processes import run_members
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard
from torch.distributed.tensor.debug import CommDebugMode

import anyargmax as am

ROWS, MANY, SHARD, K = 64, 600, 48, 4
CALLS = {
    "expectation under softmax": (ROWS, lambda x, target, group: am.soft_argmax(x, -1, group=group)),
    "weights of softmax": (ROWS, lambda x, target, group: am.soft_one_hot(x, group=group)),
    "loss at alpha 1": (ROWS, lambda x, target, group: am.fenchel_young_loss(x, target, group=group)),
    "weights of entmax, many rows": (MANY, lambda x, target, group: am.soft_one_hot(x, alpha=1.5, group=group)),
    "weights of entmax, few rows": (ROWS, lambda x, target, group: am.soft_one_hot(x, alpha=1.5, group=group)),
    "loss at alpha 1.5, few rows": (ROWS, lambda x, target, group: am.fenchel_young_loss(x, target, alpha=1.5, group=group)),
    "capped weights of 4 winners": (ROWS, lambda x, target, group: am.soft_top_k(x, K, group=group)),
    "expectation of given weights": (ROWS, lambda x, target, group: am.expectation(x, -1, group=group)),
    "median of given weights": (ROWS, lambda x, target, group: am.expectation(x.abs(), -1, readout="median", group=group)),
    "mean and variance": (ROWS, lambda x, target, group: am.soft_argmax_moments(x, -1, group=group)[1]),
    "position of the largest score": (ROWS, lambda x, target, group: am.soft_argmax(x, -1, hard=True, group=group)),
}  # fmt: skip


class Recorder:
    """The collective operations that torch is asked for: how many numbers each has, and in which group."""

    def __init__(self):
        self.seen = []
        for name in ("all_reduce", "all_gather", "all_gather_into_tensor", "broadcast", "reduce_scatter", "all_to_all"):
            setattr(dist, name, self._recording(getattr(dist, name)))

    def _recording(self, f):
        def recorded(*arrays, **options):
            size = dist.get_world_size(options["group"])
            sent = arrays[0] if torch.is_tensor(arrays[0]) else arrays[1]
            lengths = f.__name__ == "all_gather" and sent.numel() == 2 and sent.dtype == torch.int64
            if not lengths:
                times = size if "gather" in f.__name__ else 1
                self.seen.append(times * sent.numel() * sent.element_size())
            return f(*arrays, **options)

        return recorded

    def taken(self):
        seen, self.seen = self.seen, []
        return seen


def both_ways(f, x, target, group, rows, recorder):
    """Bytes a row of each collective operation, forward and back."""
    y = f(x, target, group)
    forward = recorder.taken()
    y.sum().backward()
    backward = recorder.taken()
    return {way: [count / rows for count in seen] for way, seen in (("forward", forward), ("backward", backward))}


def of_a_dtensor(f, x, target, mesh, rows, recorder):
    """The same of a DTensor with these shards, and how many operations torch saw; its own sum exchanges one number."""
    x = DTensor.from_local(x.detach(), mesh, [Shard(1)], run_check=False).requires_grad_()
    with CommDebugMode() as seen:
        y = f(x, target, None)
        forward = recorder.taken()
        y.to_local().sum().backward()
        backward = recorder.taken()
    counts = {str(operation): count for operation, count in seen.get_comm_counts().items()}
    ways = (("forward", forward), ("backward", backward))
    return {way: [count / rows for count in sent] for way, sent in ways} | {"seen": counts}


def is_let_go():
    """Whether a process group ends, with its threads, once its owner lets it go: nothing of a call in it keeps it."""
    group = dist.new_group()
    y = am.soft_argmax(torch.ones(2, 3, requires_grad=True), -1, alpha=1.5, group=group)
    y.sum().backward()
    dist.destroy_process_group(group)
    held = weakref.ref(group)
    del group, y
    gc.collect()
    return held() is None


def run(member, folder):
    mesh = init_device_mesh("cpu", (4,))
    recorder, found = Recorder(), {}
    for name, (rows, f) in CALLS.items():
        made = torch.Generator().manual_seed(member)
        x = (3 * torch.randn(rows, SHARD, generator=made)).requires_grad_()
        target = torch.arange(rows) % (4 * SHARD)
        found[name] = both_ways(f, x, target, dist.group.WORLD, rows, recorder)
        found[name]["DTensor"] = of_a_dtensor(f, x, target, mesh, rows, recorder)
    let_go = is_let_go()
    if member == 0:
        (Path(folder) / "let_go.json").write_text(json.dumps(let_go), "utf-8")
        (Path(folder) / "traffic.json").write_text(json.dumps(found, indent=1), "utf-8")


if __name__ == "__main__":
    run_members(run, 4, 20)
