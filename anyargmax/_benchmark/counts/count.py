"""What one operation of torch costs on an accelerator: a kernel and the bytes that it moves, or a wait of the host."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

COPY = "_copy_from"
# Their names end in an underscore, and yet they write without reading.
_WRITERS = ("fill_", "zero_", "normal_", "uniform_", "random_", "bernoulli_", "exponential_")


@dataclass
class Count:
    """What has happened on the device: kernels and the bytes that they moved, and values that the host waited for."""

    kernels: int = 0
    bytes: int = 0
    reads: int = 0
    names: list[str] = field(default_factory=list)

    def passes(self, x: Any) -> float:
        """The bytes as a multiple of those of a tensor."""
        return self.bytes / (x.numel() * x.element_size())

    def add(self, torch: Any, op: Any, named: dict[str, Any], result: Any, host: bool) -> None:
        """Count an operation, by its arguments and its result; `host` if it copies from the device."""
        name = op._schema.name.partition("::")[2]
        if host or _waits(torch, op, named):
            self.reads += 1
            self.names.append(f"{name} read by the host")
            return
        moved = _moved(torch, op, name, named, result)
        self.kernels += 1
        self.bytes += moved
        self.names.append(f"{name} {moved}")


def tensors(torch: Any, values: Any) -> Iterator[Any]:
    """The tensors among arguments, those in lists too."""
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from tensors(torch, value)


def _size(x: Any) -> int:
    """The bytes of a tensor's numbers, of a broadcast dimension those of one entry."""
    if x.numel() == 0:
        return 0
    size = x.element_size()
    for length, stride in zip(x.shape, x.stride(), strict=True):
        size *= length if stride else 1
    return size


def _moved(torch: Any, op: Any, name: str, named: dict[str, Any], result: Any) -> int:
    """The bytes that a kernel reads, the same tensor once, and writes; in place it does both."""
    read = [] if name in _WRITERS else list(named.values())
    if name == COPY or not name.endswith("_"):
        written = [
            spec.name for spec in op._schema.arguments if spec.alias_info is not None and spec.alias_info.is_write
        ]
        read = [value for key, value in named.items() if key not in (*written, "dst")]
    distinct = {
        (x.untyped_storage()._cdata, x.storage_offset(), x.shape, x.stride()): _size(x) for x in tensors(torch, read)
    }
    return sum(distinct.values()) + sum(map(_size, tensors(torch, (result,))))


def _waits(torch: Any, op: Any, named: dict[str, Any]) -> bool:
    """Whether the host has to wait for a value before it can go on: for a number, or for the shape of a result."""
    if torch.Tag.data_dependent_output in op.tags:
        return True
    if "indices" in named:  # by numbers the shape is known
        return any(x.dtype in (torch.bool, torch.uint8) for x in tensors(torch, (named["indices"],)))
    return torch.Tag.dynamic_output_shape in op.tags
