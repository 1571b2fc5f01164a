"""Training on four processes of torch, a mesh of 2 x 2 of data and model, beside the same training in one process.

Each process compares with what it computes alone, in eps, and writes a record of each thing that it compared into a folder.
"""

import json
import time
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
from processes import run_members
from torch import nn
from torch.distributed import checkpoint as files
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Shard, distribute_tensor
from torch.distributed.tensor.debug import CommDebugMode
from torch.distributed.tensor.parallel import ColwiseParallel, parallelize_module
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from anyargmax import (
    expectation,
    fenchel_young_loss,
    sharpen,
    soft_argmax,
    soft_argmax_moments,
    soft_argmin,
    soft_one_hot,
    soft_top_k,
    spatial_expectation,
    spatial_soft_argmax,
)
from anyargmax.backends.torch import SoftArgmax
from anyargmax.validation.tolerance import within

PROCESSES = 4
SECONDS = 20  # that a collective operation may wait
STEPS, RATE = 3, 0.1
ROWS, FEATURES, HIDDEN, WORDS = 8, 6, 10, 32
LONG = 72  # scores a row, of which more than a member sends as candidates have weight
CHOICES = torch.arange(ROWS) * 5 % WORDS


class Record:
    """What one process found, under the name of what it is about."""

    def __init__(self, rank):
        self.rank, self.records = rank, []

    def close(self, case, what, actual, expected, kind):
        """Record how far tensors of one shape are from each other."""
        if actual.shape == expected.shape:
            found = within(actual.detach(), expected.detach(), "float64", kind)
            self.note(case, what=what, error=found.error, allowed=found.allowed)
        else:
            self.note(case, what=f"{what}, of shape {[*actual.shape]}", error=float("inf"), allowed=0)

    def note(self, case, **said):
        self.records.append({"rank": self.rank, "case": case, **said})


def drawn(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def whole(x):
    """All of a tensor, wherever its shards lie."""
    return x.full_tensor() if isinstance(x, DTensor) else x


def averaged(x, group):
    """The mean over the members of a group."""
    x = x.detach().clone()
    dist.all_reduce(x, group=group)
    return x / dist.get_world_size(group)


# ------------------------------------------------------------------ DDP, FSDP2, and what is kept of a model


def network(alpha, seed=0, temperature_of=(1,)):
    """A model that answers with a position, whose temperature is learned."""
    layers = nn.Sequential(
        nn.Linear(FEATURES, HIDDEN),
        nn.Tanh(),
        nn.Linear(HIDDEN, WORDS),
        SoftArgmax(alpha=alpha, temperature=nn.Parameter(torch.full(temperature_of, 0.7))),
    ).double()
    with torch.no_grad():
        for k, p in enumerate(layers[:-1].parameters()):
            p.copy_(drawn(seed + k, *p.shape))
    return layers


def trained(model, x, target, group=None):
    """The losses of three steps; with a group the means over its members."""
    optimizer, losses = torch.optim.SGD(model.parameters(), 0.01), []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = ((model(x) / WORDS - target) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach() if group is None else averaged(loss, group))
    return torch.stack(losses)


def data_parallel(record, mesh):
    group, index = mesh.get_group("data"), mesh.get_local_rank("data")
    x, target = drawn(1, ROWS, FEATURES), drawn(2, ROWS)
    part = slice(index * ROWS // 2, (index + 1) * ROWS // 2)
    ways = {
        "DDP": partial(DistributedDataParallel, process_group=group),
        "FSDP2": partial(fully_shard, mesh=mesh["data"]),
    }
    for alpha in (1.0, 1.5):
        alone = network(alpha)
        losses = trained(alone, x, target)
        record.note(f"the temperature, alpha {alpha}", moved=abs(alone[-1].temperature.item() - 0.7))
        for name, wrapped in ways.items():
            model = wrapped(network(alpha))
            case = f"{name}, alpha {alpha}"
            record.close(case, "losses", trained(model, x[part], target[part], group), losses, "value")
            for (what, p), expected in zip(model.named_parameters(), alone.parameters(), strict=True):
                record.close(case, what.removeprefix("module."), whole(p), expected, "derivative")
    try:
        fully_shard(network(1.0, temperature_of=()), mesh=mesh["data"])
        said = "nothing"
    except ValueError as error:
        said = str(error)
    record.note("FSDP2 of a temperature without axes", said=said)


def kept_in_files(record, mesh, folder):
    """A model that is sharded, saved, and loaded into another one."""
    one, other = (fully_shard(network(1.5, seed), mesh=mesh["data"]) for seed in (0, 10))
    files.save({"model": one.state_dict()}, checkpoint_id=folder)
    state = {"model": other.state_dict()}
    files.load(state, checkpoint_id=folder)
    other.load_state_dict(state["model"])
    for (what, p), q in zip(one.named_parameters(), other.parameters(), strict=True):
        record.note("a model from files", what=what, same=torch.equal(whole(p), whole(q)))
    x = drawn(1, ROWS, FEATURES)
    record.note("a model from files", what="answers", same=torch.equal(one(x), other(x)))


def gradients(f, *tensors):
    """The answer of a function and the gradients of its weighted sum."""
    leaves = [t.detach().clone().requires_grad_() for t in tensors]
    y = f(*leaves)
    return [y, *torch.autograd.grad((y * drawn(3, *y.shape)).sum(), leaves)]


def recomputed(record, mesh):
    """Checkpoints round a block with the layer, and round a function of shards: the same gradients, to the bit."""
    group, index = mesh.get_group("model"), mesh.get_local_rank("model")
    x, table = drawn(1, ROWS, FEATURES), drawn(4, FEATURES, WORDS)[:, index * WORDS // 2 : (index + 1) * WORDS // 2]
    target = CHOICES
    for alpha in (1.0, 1.5):
        layers = network(alpha)
        weights = [p.detach() for p in layers.parameters()]
        names = [name for name, _ in layers.named_parameters()]

        def block(x, *weights, layers=layers, names=names):
            return torch.func.functional_call(layers, dict(zip(names, weights, strict=True)), (x,))

        functions = {
            "a block with the layer": (block, x, *weights),
            "soft_argmax of shards": (
                lambda x, w, t, alpha=alpha: soft_argmax(x @ w, -1, temperature=t, alpha=alpha, group=group),
                x,
                table,
                weights[-1],
            ),
            "fenchel_young_loss of shards": (
                lambda x, w, a=alpha: fenchel_young_loss(x @ w, target, alpha=a, group=group),
                x,
                table,
            ),
        }
        for name, (f, *tensors) in functions.items():
            plain = gradients(f, *tensors)
            again = gradients(partial(checkpoint, f, use_reentrant=False), *tensors)
            same = all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))
            record.note(f"a checkpoint, alpha {alpha}", what=name, same=same and plain[1].abs().sum().item() > 0)


# ------------------------------------------------------------------------------------- A vocabulary that is split


class Copied(torch.autograd.Function):
    """What all members of a group have alike, for use beside shards: its gradient is the sum of those of all."""

    @staticmethod
    def forward(ctx, x, group):
        ctx.group = group
        return x.view_as(x)

    @staticmethod
    def backward(ctx, g):
        g = g.clone()
        dist.all_reduce(g, group=ctx.group)
        return g, None


class Words(nn.Module):
    """Hidden units, and a score for each word of a vocabulary; or for those of one shard of it."""

    def __init__(self, part=slice(None), group=None):
        super().__init__()
        self.inner, self.group = nn.Linear(FEATURES, HIDDEN, dtype=torch.float64), group
        self.outer = nn.Linear(HIDDEN, len(range(WORDS)[part]), bias=False, dtype=torch.float64)
        self.temperature = nn.Parameter(torch.full((1,), 0.8, dtype=torch.float64))
        with torch.no_grad():
            self.inner.weight.copy_(drawn(5, HIDDEN, FEATURES))
            self.inner.bias.copy_(drawn(6, HIDDEN))
            self.outer.weight.copy_(drawn(7, WORDS, HIDDEN)[part])

    def forward(self, x, target, alpha):
        self.hidden = torch.tanh(self.inner(x))
        self.hidden.retain_grad()
        hidden = self.hidden if self.group is None else Copied.apply(self.hidden, self.group)
        options = {"alpha": alpha, "temperature": self.temperature, "group": self.group}
        return fenchel_young_loss(self.outer(hidden), target, **options).mean()


def steps_of(model, x, target, alpha, data=None):
    """What each step finds, by name: the loss, the gradients, and the weights after it. Data may be split in a group."""
    optimizer, found = torch.optim.SGD(model.parameters(), RATE), []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = whole(model(x, target, alpha))
        loss.backward()
        if data is not None:
            loss = averaged(loss, data)
            for p in model.parameters():
                local = p.grad.to_local() if isinstance(p, DTensor) else p.grad
                local.copy_(averaged(local, data))
        made = {"loss": loss.detach(), "gradient of hidden": model.hidden.grad}
        made |= {f"gradient of {name}": whole(p.grad).clone() for name, p in model.named_parameters()}
        optimizer.step()
        found.append(made | {name: whole(p).detach().clone() for name, p in model.named_parameters()})
    return found


def tensor_parallel(record, mesh):
    data, model = mesh.get_group("data"), mesh.get_group("model")
    row, column = mesh.get_local_rank("data"), mesh.get_local_rank("model")
    rows = slice(row * ROWS // 2, (row + 1) * ROWS // 2)
    part = slice(column * WORDS // 2, (column + 1) * WORDS // 2)
    x, target = drawn(1, ROWS, FEATURES), CHOICES
    for alpha in (1.0, 1.5):
        alone = steps_of(Words(), x, target, alpha)
        split = Words()
        parallelize_module(split, mesh["model"], {"outer": ColwiseParallel(use_local_output=False)})
        ways = {"a group": (Words(part, model), part), "DTensor": (split, slice(None))}
        for name, (words, kept) in ways.items():
            case = f"a split vocabulary by {name}, alpha {alpha}"
            found = steps_of(words, x[rows], target[rows], alpha, data)
            for k, (made, expected) in enumerate(zip(found, alone, strict=True)):
                for what, value in made.items():
                    wanted = expected[what][kept] if "outer" in what else expected[what]
                    # The mean is over the rows that are here, half of all.
                    wanted = 2 * wanted[rows] if "hidden" in what else wanted
                    kind = "value" if what == "loss" else "derivative"
                    record.close(case, f"{what} in step {k}", value, wanted, kind)


# ------------------------------------------------------------------------------------------------- Without a hang


def top_k(**options):
    return lambda x: soft_top_k(x, 3, **options)


def loss(**options):
    return lambda x: fenchel_young_loss(x, CHOICES, **options)


CALLS = {
    "soft_argmax": partial(soft_argmax, axis=-1),
    "soft_argmax, alpha 1.5": partial(soft_argmax, axis=-1, alpha=1.5),
    "soft_argmax, alpha 3": partial(soft_argmax, axis=-1, alpha=3.0),
    "soft_argmax, median": partial(soft_argmax, axis=-1, readout="median"),
    "soft_argmax, window": partial(soft_argmax, axis=-1, window=3),
    "soft_argmax, hard": partial(soft_argmax, axis=-1, hard=True),
    "soft_argmin": partial(soft_argmin, axis=-1, alpha=1.5),
    "soft_argmax_moments": partial(soft_argmax_moments, axis=-1),
    "spatial_soft_argmax": partial(spatial_soft_argmax, axes=(-1,), alpha=1.5),
    "soft_one_hot": soft_one_hot,
    "soft_one_hot, log": partial(soft_one_hot, log=True),
    "soft_one_hot, alpha 1.5": partial(soft_one_hot, alpha=1.5),
    "soft_one_hot, alpha 3": partial(soft_one_hot, alpha=3.0),
    "soft_top_k": top_k(),
    "soft_top_k, sigmoid": top_k(kind="sigmoid"),
    "fenchel_young_loss": loss(),
    "fenchel_young_loss, alpha 1.5": loss(alpha=1.5),
    "fenchel_young_loss, alpha 3": loss(alpha=3.0),
    "sharpen": sharpen,
    "expectation": partial(expectation, axis=-1),
    "expectation, median": partial(expectation, axis=-1, readout="median"),
    "spatial_expectation": partial(spatial_expectation, axes=(-1,)),
}
BACK = "the way back"
WEIGHTS = ("sharpen", "expectation", "spatial_expectation")  # which take weights in place of scores


def uneven():
    """Rows of which one group needs few steps and the other one many: one score ahead of all, and long rows of close ones."""
    x = drawn(8, ROWS, LONG)
    x[: ROWS // 2] = x[: ROWS // 2] * 0.1 + 20.0 * (torch.arange(LONG) == 7)
    x[ROWS // 2 :] *= torch.linspace(0.01, 1.0, ROWS // 2, dtype=torch.float64)[:, None]
    return x


def answers(f, x, between=lambda: None):
    """The answers of a function, and the gradient of their weighted sum; something may be done before the way back."""
    y = f(x)
    between()
    parts = y if isinstance(y, tuple) else (y,)
    for k, part in enumerate(parts):
        weight = drawn(9 + k, *part.shape)
        if isinstance(part, DTensor):
            weight = distribute_tensor(weight, part.device_mesh, part.placements, src_data_rank=None)
        (part * weight).sum().backward(retain_graph=True)
    return [*parts, x.grad]


def without_a_hang(record, mesh):
    seen = []

    def seeing(collective):
        def seen_first(*args, group=None, **options):
            seen.append(tuple(dist.get_process_group_ranks(group)))
            return collective(*args, group=group, **options)

        return seen_first

    scores = uneven()
    originals = dist.all_reduce, dist.all_gather
    for name, f in CALLS.items():
        alone = torch.softmax(scores, -1) if name.startswith(WEIGHTS) else scores.clone()
        x = distribute_tensor(alone, mesh, [Shard(0), Shard(1)], src_data_rank=None).requires_grad_()
        expected = answers(f, alone.requires_grad_())
        seen.clear()
        dist.all_reduce, dist.all_gather = map(seeing, originals)
        started = time.monotonic()
        try:
            with CommDebugMode() as moved:
                found = answers(f, x, lambda: seen.append(BACK))
        finally:
            dist.all_reduce, dist.all_gather = originals
        case = f"uneven rows: {name}"
        ahead = seen.index(BACK)
        seen.remove(BACK)
        made = {"groups": sorted(set(seen)), "collectives": len(seen), "back": len(seen) - ahead}
        made["seconds"] = time.monotonic() - started
        others = [str(op) for op in moved.get_comm_counts() if "functional" in str(op)]  # of the mesh, not of a group
        record.note(case, here=dist.get_process_group_ranks(mesh.get_group("model")), others=others, **made)
        for k, (y, wanted) in enumerate(zip(found, expected, strict=True)):
            is_gradient = k == len(found) - 1
            what, kind = ("gradient", "derivative") if is_gradient else (f"answer {k}", "value")
            record.close(case, what, whole(y), wanted, kind)


# ------------------------------------------------------------------------------------------------------ The processes


def process(rank, folder):
    """Do all of it as one member, and leave what was found in a file."""
    record = Record(rank)
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("data", "model"))
    for part in (data_parallel, recomputed, tensor_parallel, without_a_hang):
        part(record, mesh)
    kept_in_files(record, mesh, f"{folder}/model")
    Path(folder, f"{rank}.json").write_text(json.dumps(record.records), encoding="utf-8")


if __name__ == "__main__":
    run_members(process, PROCESSES, SECONDS)
