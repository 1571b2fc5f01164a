"""Extreme arrays as shards of a group, and as DTensors, in four processes of torch: how far each is from the whole call."""

import json
import math
import sys
import traceback
from functools import partial
from itertools import islice
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.device_mesh
import torch.distributed.tensor as tensors
from processes import run_members

import anyargmax as am
from anyargmax.validation.tolerance import COMPUTED_IN, EPS, TOLERANCE, distance, dtype_name

SIZE = 4
EVEN, UNEVEN, ONE_EACH = (3, 3, 3, 3), (7, 1, 0, 4), (1, 1, 1, 1)
INF, NAN = math.inf, math.nan


def drawn(shape, seed, scale=1.0):
    made = torch.Generator().manual_seed(seed)
    return scale * torch.randn(shape, generator=made, dtype=torch.float64)


def part(x, axis, lengths):
    start = sum(lengths[: dist.get_rank()])
    return x.narrow(axis, start, lengths[dist.get_rank()])


def far(actual, expected, kind):
    dtype = dtype_name(expected)
    if actual.dtype != expected.dtype or actual.shape != expected.shape:
        return {
            "error": INF,
            "allowed": 0.0,
            "said": f"{actual.dtype} {tuple(actual.shape)} for {expected.dtype} {tuple(expected.shape)}",
        }
    if not expected.dtype.is_floating_point:
        return {"error": 0.0 if torch.equal(actual, expected) else INF, "allowed": 0.0}
    found = distance(
        actual.detach().double().numpy(),
        expected.detach().double().numpy(),
        tolerance=TOLERANCE[kind],
        eps=EPS[COMPUTED_IN[dtype]],
        stored=EPS[dtype] if COMPUTED_IN[dtype] != dtype else 0.0,
    )
    return {
        "error": found.error,
        "allowed": found.allowed,
        "said": f"{found.actual} for {found.expected} at {found.entry}",
    }


def tuple_of(y):
    return y if isinstance(y, tuple) else (y,)


def derivatives(f, leaves, gs, ts, order=2):
    """Values, gradients and second derivatives along directions, of leaves that take part in them."""
    values = tuple_of(f(*leaves))
    kept = [(y, g) for y, g in zip(values, gs, strict=True) if y.requires_grad]
    if not kept:
        return values, [torch.zeros_like(x) for x in leaves], [torch.zeros_like(x) for x in leaves]
    first = torch.autograd.grad(
        [y for y, _ in kept], leaves, [g for _, g in kept], create_graph=True, materialize_grads=True
    )
    moving = order > 1 and [(d * t).sum() for d, t in zip(first, ts, strict=True) if d.requires_grad]
    if not moving:
        return values, first, [torch.zeros_like(x) for x in leaves]
    return values, first, torch.autograd.grad(sum(moving), leaves, materialize_grads=True)


def by_group(f, x, *, axis=-1, lengths=EVEN, learned=None, cuts=None, arrays=None, order=2, group=None):
    """Compare a call of shards with that of the whole. `learned` and `arrays` are beside the scores, cut along axes in `cuts`."""
    axis, cuts, arrays, learned = axis % x.ndim, cuts or {}, arrays or {}, learned or {}

    def local(name, a):
        return part(a, cuts[name], lengths) if name in cuts else a

    def bound(arrays, group):
        return lambda x, *more: f(x, **arrays, **dict(zip(learned, more, strict=True)), group=group)

    def own(y):
        return part(y, axis, lengths) if y.ndim == x.ndim and y.shape[axis] == x.shape[axis] else y

    group = group or dist.group.WORLD
    fixed = {name: local(name, a) for name, a in arrays.items()}
    if not order:
        wholes = tuple_of(bound(arrays, None)(x, *learned.values()))
        actual = tuple_of(bound(fixed, group)(part(x, axis, lengths), *(local(n, a) for n, a in learned.items())))
        return {f"value {k}": far(a, own(y), "value") for k, (a, y) in enumerate(zip(actual, wholes, strict=True))}
    names = ["x", *learned]
    cut_at = {"x": axis, **{n: cuts[n] for n in learned if n in cuts}}
    leaves = [a.clone().requires_grad_() for a in (x, *learned.values())]
    ts = [drawn(a.shape, 7 + k).to(a.dtype) for k, a in enumerate(leaves)]
    like = tuple_of(bound(arrays, None)(x, *learned.values()))
    gs = [drawn(y.shape, 17 + k).to(y.dtype) for k, y in enumerate(like)]
    wholes = derivatives(bound(arrays, None), leaves, gs, ts)

    def mine(name, a):
        return part(a, cut_at[name], lengths) if name in cut_at else a

    shards = [mine(n, a.detach()).clone().requires_grad_() for n, a in zip(names, leaves, strict=True)]
    own_ts = [mine(n, t) for n, t in zip(names, ts, strict=True)]
    actual = derivatives(bound(fixed, group), shards, [own(g) for g in gs], own_ts)
    found = {f"value {k}": far(a, own(y), "value") for k, (a, y) in enumerate(zip(actual[0], wholes[0], strict=True))}
    for kind, got, want in zip(("gradient", "second"), actual[1:], wholes[1:], strict=True):
        found |= {f"{kind} of {n}": far(a, mine(n, y), "derivative") for n, a, y in zip(names, got, want, strict=True)}
    return found if order > 1 else {k: v for k, v in found.items() if "second" not in k}


def refused(error, words, f, /, *args, **options):
    """Whether a call raises what it should, and says so."""
    try:
        f(*args, **options)
    except error as raised:
        return {"refused": {"error": 0.0 if words in str(raised) else INF, "allowed": 0.0, "said": str(raised)}}
    return {"refused": {"error": INF, "allowed": 0.0, "said": "nothing"}}


EVERY = {
    "soft_argmax": partial(am.soft_argmax, axis=-1),
    "soft_argmin": partial(am.soft_argmin, axis=-1),
    "soft_argmax, alpha 1.5": partial(am.soft_argmax, axis=-1, alpha=1.5),
    "soft_argmax, alpha 2": partial(am.soft_argmax, axis=-1, alpha=2.0),
    "soft_argmax, alpha 1.3": partial(am.soft_argmax, axis=-1, alpha=1.3),
    "median": partial(am.soft_argmax, axis=-1, readout="median"),
    "hard": partial(am.soft_argmax, axis=-1, hard=True),
    "window": partial(am.soft_argmax, axis=-1, window=1),
    "zero background": partial(am.soft_argmax, axis=-1, zero_background=True),
    "moments": partial(am.soft_argmax_moments, axis=-1),
    "soft_one_hot": am.soft_one_hot,
    "soft_one_hot, alpha 1.5": partial(am.soft_one_hot, alpha=1.5),
    "soft_one_hot, hard": partial(am.soft_one_hot, hard=True),
    "soft_one_hot, log": partial(am.soft_one_hot, log=True),
    "soft_one_hot, log 1.5": partial(am.soft_one_hot, log=True, alpha=1.5),
    "soft_top_k": lambda x, **o: am.soft_top_k(x, 3, **o),
    "soft_top_k, sigmoid": lambda x, **o: am.soft_top_k(x, 3, kind="sigmoid", **o),
    "soft_top_k, hard": lambda x, **o: am.soft_top_k(x, 3, hard=True, **o),
}


CASES = {}
ALL = "all"  # in place of a sentence: every comparison, not only every so manieth


def case(sentence, stride=1):
    def kept(f):
        CASES[sentence] = f, stride
        return f

    return kept


def every(x, lengths=(EVEN, UNEVEN), names=EVERY, **options):
    for name in names:
        for n in lengths:
            yield f"{name}, {n}", partial(by_group, EVERY[name], x, lengths=n, **options)


def special():
    """Rows with what is no finite number in one or two shards, by which an answer may be decided."""
    x = drawn((9, 12), 1)
    x[0, 4] = NAN
    x[1, 2], x[1, 10] = INF, INF
    x[2, 4:] = -INF
    x[3, :] = -INF
    x[4, 5] = INF
    x[5, 0], x[5, 11] = NAN, INF
    x[6, :4] = -INF
    x[7, 3:] = -INF
    return x


@case("what is no number stays in its row", 3)
def no_numbers():
    yield from every(special())


@case("a masked score enters nothing, whatever it is", 3)
def masked():
    x, mask = special(), drawn((9, 12), 2) > 0
    mask[6], mask[8, 3:6] = False, False
    mask[0, 4] = mask[5, 0] = mask[5, 11] = False
    f = {n: EVERY[n] for n in EVERY if "zero" not in n}
    yield from every(x, names=f, arrays={"mask": mask}, cuts={"mask": -1})
    yield "rows of a mask alone", partial(by_group, EVERY["soft_argmax"], x, arrays={"mask": mask[:, :1]})
    yield (
        "loss",
        partial(by_group, loss_of(torch.arange(9)), x, lengths=UNEVEN, arrays={"mask": mask}, cuts={"mask": -1}),
    )


def loss_of(target, **given):
    return lambda x, **o: am.fenchel_young_loss(x, target, **given, **o)


@case("large scores are no trouble", 3)
def large():
    x = drawn((6, 12), 3)
    x[0], x[1] = 1000 * x[0], 1000 * torch.sign(x[1])
    x[2], x[3] = 1e30 * x[2], -1e30 * x[3].abs()
    x[4, 7] = 1e30
    yield from every(x, lengths=(UNEVEN,), order=1)


@case("half types are computed in float32", 7)
def halves():
    for dtype in (torch.float16, torch.bfloat16):
        for label, f in every(drawn((5, 12), 4).to(dtype), order=1):
            yield f"{dtype} {label}", f


@case("integer scores are scores", 7)
def integers():
    for dtype in (torch.int64, torch.int32, torch.int8, torch.uint8):
        x = (10 * drawn((5, 12), 5)).abs().to(dtype)
        yield from ((f"{dtype} {a}", f) for a, f in every(x, lengths=(UNEVEN,), order=0))
    x = torch.tensor([[torch.iinfo(torch.int64).min] * 5 + [torch.iinfo(torch.int64).max] * 7, [*range(12)]])
    yield from (
        (f"extreme {a}", f)
        for a, f in every(x, lengths=(UNEVEN,), names=["soft_argmax", "soft_argmin", "hard", "soft_one_hot"], order=0)
    )


@case("of equal scores in several shards the first is taken", 5)
def ties():
    x = torch.round(drawn((8, 12), 6))
    x[0], x[1], x[2, 3:9] = 0.0, torch.tensor([0.0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1]), NAN
    yield from every(x, order=1)
    hard_argmin = partial(am.soft_argmin, axis=-1, hard=True)
    yield "argmin", partial(by_group, hard_argmin, x, lengths=UNEVEN, order=1)


@case("rows may have one entry in a shard", 9)
def ones():
    x = drawn((5, 4), 8)
    yield from every(x, lengths=(ONE_EACH, (0, 0, 4, 0), (0, 2, 0, 2)))
    yield from (("one row, " + a, f) for a, f in every(x[0], lengths=(ONE_EACH,)))
    few = [n for n in EVERY if "top_k" not in n]
    yield from (("one entry, " + a, f) for a, f in every(x[:, :1], lengths=((0, 1, 0, 0),), names=few))


def top_k(x, k, **options):
    return am.soft_top_k(x, k, **options)


@case("more winners than a shard has entries are found", 5)
def winners():
    x, n = drawn((5, 12), 9), 12
    for k in (1, 4, 5, 11, n):
        for kind in ("capped", "sigmoid"):
            for hard in (False, True):
                for lengths in (EVEN, UNEVEN):
                    f = partial(top_k, k=k, kind=kind, hard=hard)
                    yield f"{k} {kind} {hard} {lengths}", partial(by_group, f, x, lengths=lengths)
    top = partial(am.soft_top_k, part(x, 1, EVEN), group=dist.group.WORLD)
    yield "too many", partial(refused, ValueError, "`k`", top, 13)
    yield "a subset", partial(refused, ValueError, "subset", top, 2, kind="subset")


@case("a batch may be empty", 2)
def nothing():
    yield from every(torch.zeros((0, 12), dtype=torch.float64))
    yield (
        "loss",
        partial(by_group, loss_of(torch.zeros(0, dtype=torch.int64)), torch.zeros((0, 12), dtype=torch.float64)),
    )
    yield (
        "no entries",
        partial(refused, ValueError, "", EVERY["soft_argmax"], torch.zeros((3, 0)), group=dist.group.WORLD),
    )


@case("any axis may be cut, of views too", 7)
def axes():
    x = drawn((12, 3, 12), 10)
    swap = x.transpose(0, 2)
    for name in (
        "soft_argmax",
        "median",
        "soft_argmax, alpha 1.5",
        "moments",
        "soft_one_hot, alpha 1.5",
        "window",
        "hard",
    ):
        f = getattr(EVERY[name], "func", EVERY[name])
        more = {k: v for k, v in getattr(EVERY[name], "keywords", {}).items() if k != "axis"}
        for axis in (0, 2):
            yield f"{name} {axis}", partial(by_group, partial(f, axis=axis, **more), x, axis=axis, lengths=UNEVEN)
            yield (
                f"{name} {axis} of a view",
                partial(by_group, partial(f, axis=axis, **more), swap, axis=axis, lengths=UNEVEN),
            )
        if f is not am.soft_one_hot:
            yield (
                f"{name} kept",
                partial(by_group, partial(f, axis=1, keepdims=True, **more), x.transpose(0, 1), axis=1, lengths=UNEVEN),
            )
            yield f"{name} flat", partial(by_group, partial(f, axis=None, **more), x, axis=0, lengths=UNEVEN)
            yield (
                f"{name} flat kept",
                partial(by_group, partial(f, axis=None, keepdims=True, **more), x, axis=0, lengths=UNEVEN),
            )
    yield "expanded", partial(by_group, EVERY["soft_argmax"], drawn((1, 12), 3).expand(4, 12))
    for alpha in (1.0, 1.5):
        yield (
            f"weights over two axes {alpha}",
            partial(by_group, partial(am.soft_one_hot, axis=(0, 2), alpha=alpha), x, axis=0, lengths=UNEVEN),
        )
        yield (
            f"weights over all {alpha}",
            partial(by_group, partial(am.soft_one_hot, axis=None, alpha=alpha), x, axis=0, lengths=UNEVEN),
        )
        yield (
            f"weights over two axes, the last first {alpha}",
            partial(by_group, partial(am.soft_one_hot, axis=(2, 0), alpha=alpha), x, axis=2, lengths=UNEVEN),
        )
    for readout in ("mean", "median", "moments", "covariance"):
        for c in ("index", "corner", "center"):
            f = partial(am.spatial_soft_argmax, axes=(0, 2), readout=readout, coordinates=c)
            yield f"coordinates {readout} {c}", partial(by_group, f, x, axis=0, lengths=UNEVEN)


@case("a temperature may be extreme, an array, and learned", 15)
def temperatures():
    x = drawn((5, 12), 11)
    t = drawn((5, 1), 12).exp()
    names = [n for n in EVERY if "hard" not in n]
    for value in (1e-30, 1e30):
        yield from (
            (f"{value} {a}", f)
            for a, f in every(x, lengths=(UNEVEN,), names=names, arrays={"temperature": value}, order=1)
        )
    yield from (("array " + a, f) for a, f in every(x, names=names, arrays={"temperature": t}))
    yield from (("learned " + a, f) for a, f in every(x, names=names, learned={"temperature": t}))
    yield from (("one " + a, f) for a, f in every(x, names=names, learned={"temperature": t[0, 0]}))
    yield from (
        ("extreme, learned " + a, f)
        for a, f in every(
            x, names=["soft_argmax"], learned={"temperature": torch.tensor(1e-30, dtype=torch.float64)}, order=1
        )
    )
    for alpha in (1.0, 1.5):
        yield (
            f"loss {alpha}",
            partial(by_group, loss_of(torch.arange(5), alpha=alpha), x, lengths=UNEVEN, learned={"temperature": t}),
        )


@case("an order may be an array, and learned", 9)
def orders():
    x = drawn((5, 12), 13)
    alpha = 1 + drawn((5, 1), 14).exp()
    names = ["soft_argmax", "soft_argmin", "median", "window", "moments", "soft_one_hot", "soft_one_hot, log"]
    yield from (("array " + a, f) for a, f in every(x, names=names, arrays={"alpha": alpha}))
    yield from (("learned " + a, f) for a, f in every(x, names=names, learned={"alpha": alpha}))
    alpha = alpha.clone()
    alpha[0], alpha[1] = 1.0, 2.0
    yield from (("1 and 2 " + a, f) for a, f in every(x, names=names, arrays={"alpha": alpha}))


@case("positions of each shard are learned", 6)
def positions():
    x = drawn((5, 12), 15)
    for numbers, cut in ((drawn(12, 16), 0), (drawn((5, 12), 17), -1), (drawn((1, 12), 18), -1)):
        c = numbers.sort(-1).values
        for name in ("soft_argmax", "soft_argmin", "moments", "soft_argmax, alpha 1.5", "median", "window"):
            for lengths in (EVEN, UNEVEN):
                yield (
                    f"{name} {tuple(c.shape)} {lengths}",
                    partial(
                        by_group,
                        EVERY[name],
                        x,
                        lengths=lengths,
                        learned={"positions": c},
                        cuts={"positions": cut},
                        order=1 if name == "window" else 2,
                    ),
                )
    for readout in ("mean", "median", "moments"):
        f = partial(am.expectation, axis=-1, readout=readout)
        yield (
            f"given {readout}",
            partial(
                by_group,
                f,
                x.softmax(-1),
                lengths=UNEVEN,
                learned={"positions": drawn(12, 16).sort().values},
                cuts={"positions": 0},
            ),
        )


@case("a target may be in the shard of another, out of range, or ignored", 3)
def targets():
    x, t = drawn((6, 12), 19), torch.tensor([0, 11, 5, 3, 4, 8])
    for alpha in (1.0, 1.5, 2.0):
        for lengths in (EVEN, UNEVEN):
            yield f"{alpha} {lengths}", partial(by_group, loss_of(t, alpha=alpha), x, lengths=lengths)
            ignored = torch.where(t == 3, -100, t)
            yield (
                f"ignored {alpha} {lengths}",
                partial(by_group, loss_of(ignored, alpha=alpha, ignore_index=-100), x, lengths=lengths),
            )
            yield (
                f"ignored, in range {alpha} {lengths}",
                partial(by_group, loss_of(t, alpha=alpha, ignore_index=8), x, lengths=lengths),
            )
    for wrong in (-1, 12):
        yield (
            f"{wrong}",
            partial(
                refused,
                (ValueError, IndexError),
                str(wrong),
                loss_of(torch.full((6,), wrong)),
                part(x, 1, EVEN),
                group=dist.group.WORLD,
            ),
        )


@case("members that cannot work together all say so")
def members():
    rank = dist.get_rank()
    pair, world = [dist.new_group(pair) for pair in ((0, 1), (2, 3))], dist.group.WORLD
    x = drawn((5, 12), 20)
    yield "another's", partial(refused, ValueError, "member", EVERY["soft_argmax"], x, group=pair[1 - rank // 2])
    for wrong in ("model", 3, object(), (), [world, 1], True):
        yield f"{wrong!r:.10}", partial(refused, TypeError, "`group`", EVERY["soft_argmax"], x, group=wrong)
    yield "rows", partial(refused, ValueError, "rows", EVERY["soft_argmax"], x[: 4 + (rank == 2)], group=world)
    yield (
        "rows of no entries",
        partial(refused, ValueError, "rows", EVERY["soft_argmax"], x[: 4 + (rank == 2), : 3 * (rank > 1)], group=world),
    )
    yield "ranks", partial(refused, ValueError, "", EVERY["soft_argmax"], x[0] if rank == 2 else x, group=world)
    yield (
        "in a transform",
        partial(
            refused,
            NotImplementedError,
            "transform",
            torch.func.grad(lambda x: EVERY["soft_argmax"](x, group=world).sum()),
            x,
        ),
    )
    yield (
        "under vmap",
        partial(
            refused,
            NotImplementedError,
            "transform",
            torch.func.vmap(lambda x: EVERY["soft_argmax"](x, group=world)),
            x,
        ),
    )
    if not rank:  # it takes seconds to import a compiler
        yield (
            "compiled",
            partial(
                refused,
                Exception,
                "compiled code",
                torch.compile(lambda x: EVERY["soft_argmax"](x, group=world), backend="eager", fullgraph=True),
                x,
            ),
        )
    yield "of one", partial(by_one)
    yield "in a pair", partial(by_pair, pair[rank // 2])
    yield "a tuple", partial(by_grid)


def by_one():
    alone = [dist.new_group([m]) for m in range(SIZE)][dist.get_rank()]
    x = drawn((5, 12), 21)
    return {"value": far(EVERY["soft_argmax"](x, group=alone), EVERY["soft_argmax"](x), "value")}


def by_pair(group):
    x = drawn((5, 12), 21 + dist.get_rank() // 2)
    own = x[:, :5] if dist.get_rank() % 2 == 0 else x[:, 5:]
    return {
        n: far(f(own, group=group), f(x), "value")
        for n, f in EVERY.items()
        if "one_hot" not in n and "top_k" not in n and n != "moments"
    }


def by_grid():
    rank = dist.get_rank()
    rows, columns = ([dist.new_group(m) for m in sets] for sets in (((0, 1), (2, 3)), ((0, 2), (1, 3))))
    return by_group(
        EVERY["soft_argmax, alpha 1.5"], drawn((5, 12), 22), lengths=UNEVEN, group=(columns[rank % 2], rows[rank // 2])
    )


@case("candidates that overflow in one member are searched for in steps", 7)
def candidates():
    lengths = (200, 7, 0, 60)
    x = drawn((4, sum(lengths)), 23, 0.1) - 1
    x[0, :200], x[1, 207:], x[2, :] = 1.0, 1.0, 0.0
    x[3, 200:203] = 3.0
    t = 0.5 + drawn((4, 1), 25).abs()
    for alpha in (1.2, 1.5, 2.0, 3.0):
        for of in (am.soft_one_hot, partial(am.soft_argmax, axis=-1), partial(am.soft_argmax_moments, axis=-1)):
            f = partial(of, alpha=alpha)
            yield f"{f}", partial(by_group, f, x, lengths=lengths, learned={"temperature": t})
            y = x.clone()
            y[1, 3], y[0, 205], y[3, 4] = NAN, INF, -INF
            yield f"special {f}", partial(by_group, f, y, lengths=lengths)
            yield f"half {f}", partial(by_group, f, y.half(), lengths=lengths, order=1)
        mask = drawn(x.shape, 24) > 0
        mask[2] = False
        yield (
            f"mask {alpha}",
            partial(
                by_group,
                partial(am.soft_one_hot, alpha=alpha),
                x,
                lengths=lengths,
                arrays={"mask": mask},
                cuts={"mask": -1},
            ),
        )
        yield (
            f"loss {alpha}",
            partial(by_group, loss_of(torch.tensor([3, 205, 266, 17]), alpha=alpha), x, lengths=lengths),
        )
    yield "few or many", many_rows


def many_rows():
    """Rows are many at once, and few by halves."""
    x = drawn((700, 4 * 9), 26, 2.0)
    own = part(x, 1, (9,) * 4)
    f = partial(am.soft_one_hot, alpha=1.5, group=dist.group.WORLD)
    few = torch.cat([f(rows) for rows in own.split(100)])
    return {"value": far(f(own), few, "value")}


@case("what is not recorded is the same", 3)
def unrecorded():
    x = part(drawn((5, 12), 27), 1, UNEVEN)
    for name, f in EVERY.items():
        yield name, partial(in_modes, partial(f, group=dist.group.WORLD), x)


def in_modes(f, x):
    like, found = tuple_of(f(x.clone().requires_grad_())), {}
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            found |= {
                f"{mode.__name__} {k}": far(a, y, "value")
                for k, (a, y) in enumerate(zip(tuple_of(f(x)), like, strict=True))
            }
    return found


@case("weights are sharpened, and read, as whole ones")
def given():
    p = drawn((5, 12), 28).softmax(-1)
    p[1, 3:] = 0.0
    p[2] = 0.0
    p[3, 4] = NAN
    for power in (1.0, 10.0, 0.5):
        for rounds in (0, 1, 3):
            yield (
                f"sharpen {power} {rounds}",
                partial(by_group, partial(am.sharpen, power=power, rounds=rounds), p, lengths=UNEVEN, order=1),
            )
    for readout in ("mean", "median", "moments"):
        for mask in (None, drawn((5, 12), 29) > 0):
            f = partial(am.expectation, axis=-1, readout=readout)
            yield (
                f"expectation {readout} {mask is None}",
                partial(
                    by_group,
                    f,
                    p,
                    lengths=UNEVEN,
                    arrays={"mask": mask},
                    cuts={"mask": -1} if mask is not None else {},
                    order=1,
                ),
            )


MESHES = {}


def mesh_of(*shape):
    if shape not in MESHES:
        MESHES[shape] = dist.device_mesh.init_device_mesh("cpu", shape)
    return MESHES[shape]


def laid(a, mesh, placements):
    return tensors.distribute_tensor(a.detach(), mesh, placements)


def by_mesh(f, x, placements, *, mesh=(2, 2), learned=None, arrays=None, order=2):
    """Compare a call of a DTensor with that of the whole. `learned` and `arrays` are pairs of an array and its placements, or None."""
    mesh, learned, arrays = mesh_of(*mesh), learned or {}, arrays or {}

    def bound(arrays):
        return lambda x, *more: f(x, **arrays, **dict(zip(learned, more, strict=True)))

    def placed(a, where):
        return a if where is None else laid(a, mesh, where)

    whole = {n: a for n, (a, _) in arrays.items()}
    leaves = [a.clone().requires_grad_() for a in (x, *(a for a, _ in learned.values()))]
    where = [placements, *(p for _, p in learned.values())]
    ts = [drawn(a.shape, 7 + k).to(a.dtype) for k, a in enumerate(leaves)]
    like = tuple_of(bound(whole)(*(a.detach() for a in leaves)))
    gs = [drawn(y.shape, 17 + k).to(y.dtype) for k, y in enumerate(like)]
    wholes = derivatives(bound(whole), leaves, gs, ts, order)
    own = [placed(a.detach().clone(), p).requires_grad_() for a, p in zip(leaves, where, strict=True)]
    call = bound({n: placed(a, p) for n, (a, p) in arrays.items()})
    with torch.no_grad():
        made = tuple_of(call(*own))
    own_gs = [laid(g, mesh, y.placements) for g, y in zip(gs, made, strict=True)]
    own_ts = [placed(t, p) for t, p in zip(ts, where, strict=True)]
    actual = derivatives(call, own, own_gs, own_ts, order)
    found = {}
    for kind, made, want in zip(("value", "gradient", "second"), actual, wholes, strict=True):
        names = range(len(want)) if kind == "value" else ["x", *learned]
        got = [y.full_tensor() if isinstance(y, tensors.DTensor) else y for y in made]
        allowed = "value" if kind == "value" else "derivative"
        found |= {f"{kind} {n}": far(a, y, allowed) for n, a, y in zip(names, got, want, strict=True)}
    return found if order > 1 else {n: one for n, one in found.items() if "second" not in n}


S, R = tensors.Shard, tensors.Replicate()
LAYOUTS = {
    "rows and columns": [S(0), S(1)],
    "columns twice": [S(1), S(1)],
    "columns and rows": [S(1), S(0)],
    "columns": [R, S(1)],
    "rows": [S(0), R],
    "whole": [R, R],
}


@case("a DTensor has the answers of a whole tensor in any placement", 9)
def placements():
    x = drawn((5, 11), 40)
    x[1, 3], x[2, 7], x[3, :] = NAN, INF, -INF
    for where, p in LAYOUTS.items():
        yield from ((f"{name}, {where}", partial(by_mesh, f, x, p)) for name, f in EVERY.items())
        for alpha in (1.0, 1.5):
            yield f"loss {alpha}, {where}", partial(by_mesh, loss_of(torch.tensor([0, 10, 5, 3, 4]), alpha=alpha), x, p)
        kept = partial(am.soft_argmax, axis=-1, keepdims=True)
        yield f"kept, {where}", partial(by_mesh, kept, x, p)
        yield f"kept moments, {where}", partial(by_mesh, partial(am.soft_argmax_moments, axis=-1, keepdims=True), x, p)
        yield f"first axis, {where}", partial(by_mesh, partial(am.soft_argmax, axis=0), x, p)
        yield f"first axis kept, {where}", partial(by_mesh, partial(am.soft_argmax, axis=0, keepdims=True), x, p)
        yield f"sharpen, {where}", partial(by_mesh, am.sharpen, x[4:].softmax(-1), p, order=1)
    for n in (1, 2, 3):  # some shards are empty
        yield f"{n} entries", partial(by_mesh, EVERY["soft_argmax, alpha 1.5"], drawn((3, n), 41), [S(1), S(1)])
        yield f"{n} weights", partial(by_mesh, EVERY["soft_one_hot"], drawn((3, n), 41), [S(1), S(1)])
        yield f"{n} rows", partial(by_mesh, EVERY["soft_one_hot"], drawn((n, 3), 41), [S(0), S(0)])
        yield f"{n} rows and entries", partial(by_mesh, EVERY["soft_argmax"], drawn((n, n), 41), [S(0), S(1)])
    flat = partial(am.soft_argmax, axis=None)
    yield "flat", partial(by_mesh, flat, drawn((5, 11), 42), [S(0), S(0)])
    yield "flat, kept", partial(by_mesh, partial(flat, keepdims=True), drawn((5, 11), 42), [S(0), R])


def loss_beside(x, target, **given):
    return am.fenchel_young_loss(x, target, alpha=1.5, **given)


@case("what goes with a DTensor may be placed in any way, or be a plain tensor", 25)
def beside():
    x, mask = drawn((5, 11), 43), drawn((5, 11), 44) > -0.5
    t, c = 1 + drawn((5, 1), 45).exp(), drawn(11, 46).sort().values
    for where, p in LAYOUTS.items():
        for other in (None, [S(1), S(0)], [R, R]):

            def of(name, o, a):
                lowest = (
                    [R if isinstance(q, S) and (q.dim >= a.ndim or a.shape[q.dim] == 1) else q for q in o]
                    if o
                    else None
                )
                return {name: (a, lowest)}

            for name in ("soft_argmax", "soft_one_hot, alpha 1.5", "moments", "median"):
                label = f"{name}, {where}, {other}"
                yield "mask " + label, partial(by_mesh, EVERY[name], x, p, arrays=of("mask", other, mask))
                yield (
                    "row mask " + label,
                    partial(by_mesh, EVERY[name], x, p, arrays=of("mask", other, mask[:1]), order=1),
                )
                yield (
                    "temperature " + label,
                    partial(by_mesh, EVERY[name], x, p, learned=of("temperature", other, t), order=2 if other else 1),
                )
                yield (
                    "number " + label,
                    partial(
                        by_mesh,
                        EVERY[name],
                        x,
                        p,
                        learned=of("temperature", other and [R, R], t[0, 0]),
                        order=2 if other else 1,
                    ),
                )
                if "one_hot" not in name:
                    yield (
                        "positions " + label,
                        partial(by_mesh, EVERY[name], x, p, learned=of("positions", other, c), order=2 if other else 1),
                    )
                    yield (
                        "own positions " + label,
                        partial(
                            by_mesh,
                            EVERY[name],
                            x,
                            p,
                            learned=of("positions", other, c + x.detach().sort().values),
                            order=1,
                        ),
                    )
            target = torch.tensor([0, 10, 5, 3, 4])
            share = drawn((5, 11), 47).softmax(-1)
            for name, a in (("indices", target), ("shares", share)):
                yield f"{name}, {where}, {other}", partial(by_mesh, loss_beside, x, p, arrays=of("target", other, a))


@case("maps are split along any of their axes", 5)
def maps():
    x = drawn((2, 6, 5), 48)
    for where, p in {
        "rows": [R, S(1)],
        "columns": [R, S(2)],
        "both": [S(1), S(2)],
        "both, turned": [S(2), S(1)],
        "batch and columns": [S(0), S(2)],
        "twice": [S(2), S(2)],
    }.items():
        for readout in ("mean", "median", "moments", "covariance"):
            f = partial(am.spatial_soft_argmax, readout=readout, coordinates="corner")
            yield f"{readout} {where}", partial(by_mesh, f, x, p)
        yield f"1.5 {where}", partial(by_mesh, partial(am.spatial_soft_argmax, alpha=1.5), x, p)
        yield f"window {where}", partial(by_mesh, partial(am.spatial_soft_argmax, window=1), x, p)
        yield f"hard {where}", partial(by_mesh, partial(am.spatial_soft_argmax, hard=True), x, p)
        yield f"weights {where}", partial(by_mesh, partial(am.soft_one_hot, axis=(-2, -1), alpha=1.5), x, p)
        yield (
            f"given {where}",
            partial(by_mesh, partial(am.spatial_expectation, readout="covariance"), x.softmax(-1), p),
        )


@case("sums that are pending are added up, and a DTensor with a group is refused")
def pending():
    yield "partial", by_parts
    x = laid(drawn((5, 11), 49), mesh_of(2, 2), [S(1), S(1)])
    yield "group", partial(refused, ValueError, "`group`", EVERY["soft_argmax"], x, group=dist.group.WORLD)
    yield "subset", partial(refused, ValueError, "subset", am.soft_top_k, x, 2, kind="subset")


def by_parts():
    mesh = mesh_of(2, 2)
    x = drawn((5, 11), 50)
    share = x * (0.25 + dist.get_rank() - 1.5)
    parts = tensors.DTensor.from_local(share.requires_grad_(), mesh, [tensors.Partial(), tensors.Partial()])
    y = EVERY["soft_argmax, alpha 1.5"](parts)
    g = drawn((5,), 51)
    (dx,) = torch.autograd.grad(y, share, laid(g, mesh, y.placements))
    leaf = x.clone().requires_grad_()
    like = EVERY["soft_argmax, alpha 1.5"](leaf)
    (want,) = torch.autograd.grad(like, leaf, g)
    return {"value": far(y.full_tensor(), like, "value"), "gradient": far(dx, want, "derivative")}


def run(member, folder):
    records, chosen = [], sys.argv[2:]
    for sentence, (made, stride) in CASES.items():
        if chosen and ALL not in chosen and not any(word in sentence for word in chosen):
            continue
        for label, compare in islice(made(), 0, None, 1 if chosen else stride):
            try:
                found = compare()
            except Exception as error:
                found = {"raised": {"error": INF, "allowed": 0.0, "said": traceback.format_exc(limit=-3)}}
                print(member, sentence, label, type(error), str(error)[:200], flush=True)
            records += [{"case": sentence, "label": label, "what": what} | one for what, one in found.items()]
    (Path(folder) / f"{member}.json").write_text(json.dumps(records, indent=1), "utf-8")


if __name__ == "__main__":
    run_members(run, SIZE, 15)
