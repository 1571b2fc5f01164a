"""A pretend accelerator for PyTorch: plain tensors of a device that is not there, with every kernel counted.

A tensor of it has the class, dtype, shape and strides that it would have on a GPU, and its numbers lie in the memory of
the CPU, whose kernels do the work. What would happen on a GPU can be seen without one: how many kernels a call starts,
how many bytes they read and write, and how often the host waits for a value; a constant on the wrong device is refused.

It stands on a door of torch that is called experimental, a backend whose kernels are functions of Python (torch 2.13).
"""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from .counts.count import COPY, Count, tensors

NAME = "pretend"
_ZEROS = "_efficientzerotensor"  # tangents without memory, which only devices of torch's own have
_SOFTMAXES = ("_softmax", "_log_softmax", "_softmax_backward_data", "_log_softmax_backward_data")
_MAKERS = ("empty", "empty_strided", _ZEROS)  # which start no kernel


class Accelerator:
    """The device. There is one in a process: see `accelerator`."""

    def __init__(self, torch: Any):
        registration = importlib.import_module("torch.utils.backend_registration")
        module = registration._DummyBackendModule()
        module.get_amp_supported_dtype = lambda: [torch.bfloat16, torch.float16]  # which checkpointing asks for
        registration._setup_privateuseone_for_python_backend(NAME, backend_module=module)
        # A thread for each device starts with the first backward pass of a process: for this one it may be too late.
        torch.autograd.set_multithreading_enabled(False)
        self.torch, self.device, self._counts = torch, torch.device(NAME, 0), list[Count]()
        self._on_cpu = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)
        self._library = torch.library.Library("_", "IMPL")
        self._library.fallback(self._run, "PrivateUse1")

    def put(self, x: Any) -> Any:
        """A plain tensor of the device with the numbers of a CPU tensor."""
        return self._wrapped(x.detach().clone())

    def numbers(self, x: Any) -> Any:
        """The numbers of a tensor, as a CPU tensor on the same memory; one of the CPU is its own."""
        if x.device.type != NAME:
            return x
        memory = x.untyped_storage().memory
        with self.torch.no_grad():
            return self.torch.empty(0, dtype=x.dtype).set_(memory, x.storage_offset(), x.shape, x.stride())

    @contextmanager
    def count(self) -> Iterator[Count]:
        """Count what happens on the device."""
        count = Count()
        self._counts.append(count)
        try:
            yield count
        finally:
            self._counts.remove(count)

    def _wrapped(self, x: Any, made: Any = None) -> Any:
        """A tensor of the device, or the one given, on the memory of a CPU tensor, which its storage keeps alive."""
        torch, memory = self.torch, x.untyped_storage()
        storage = torch._C._construct_storage_from_data_pointer(memory.data_ptr(), self.device, memory.nbytes())
        storage.memory, storage.zero = memory, False
        made = torch._C._acc.create_empty_tensor((0,), x.dtype) if made is None else made
        placed = torch.ops.aten.set_.source_Storage_storage_offset
        return placed.redispatch(self._on_cpu, made, storage, x.storage_offset(), x.shape, x.stride())

    def _run(self, op: Any, *args: Any, **kwargs: Any) -> Any:
        """What torch calls for every operation on the device."""
        infos = [result.alias_info for result in op._schema.returns]
        if any(
            info is not None and not info.is_write for info in infos
        ):  # a view: its CPU kernel looks at shapes alone
            return op.redispatch(self._on_cpu, *args, **kwargs)
        name = op._schema.name.partition("::")[2]
        given = list(tensors(self.torch, (*args, *kwargs.values())))
        self._refuse(name, given)
        twins = {id(x): self.numbers(x) for x in given}
        backed = {id(twins[id(x)]): x for x in given}
        zero = name == _ZEROS or _is_product_of_nothing(name, args)
        result = self._computed(op, name, _replaced(args, twins), _replaced(kwargs, twins), zero)
        if self._counts and name not in _MAKERS and not zero:
            named = dict(zip((spec.name for spec in op._schema.arguments), args, strict=False)) | kwargs
            host = name == COPY and args[1].device.type != NAME
            for count in self._counts:
                count.add(self.torch, op, named, result, host)
        return self._back(result, backed, zero)

    def _computed(self, op: Any, name: str, args: Any, kwargs: Any, zero: bool) -> Any:
        """The result of an operation on CPU tensors."""
        if name == COPY:
            return args[1].copy_(args[0])
        if "device" in kwargs:
            kwargs = kwargs | {"device": "cpu", "pin_memory": False}
        if zero:
            return kwargs["out"].zero_() if "out" in kwargs else self.torch.zeros(*args, dtype=kwargs["dtype"])
        if name in _SOFTMAXES:
            return self._softmax(op, name, args, kwargs)
        if not self.torch._C._should_allow_numbers_as_tensors(name):
            args = self._with_tensors(op, args)
        return op(*args, **kwargs)

    def _softmax(self, op: Any, name: str, args: Any, kwargs: Any) -> Any:
        """A softmax, or the way back through it, with float16 on one side and float32 on the other: no CPU has that."""
        x, half, own = args[0], self.torch.float16, getattr(self.torch.ops.aten, name).default
        if args[-1] is True:
            if x.dtype != half:
                raise RuntimeError(f"{name}: conversion is supported for Half type only, got {x.dtype}.")
            return op(x.float(), *args[1:-1], False, **kwargs)
        if args[-1] is half and x.dtype != half:
            (out,) = kwargs.values()
            return out.copy_(own(*args[:-1], x.dtype))
        return op(*args, **kwargs)

    def _with_tensors(self, op: Any, args: Any) -> list[Any]:
        """Numbers as tensors where the schema has tensors, as they were before Python got them."""
        kinds = [spec.type.kind() for spec in op._schema.arguments]
        return [
            self.torch.tensor(value, dtype=self.torch.float64 if isinstance(value, float) else None)
            if kind == "TensorType" and isinstance(value, (bool, int, float))
            else value
            for kind, value in zip(kinds, args, strict=False)
        ]

    def _back(self, result: Any, backed: dict[int, Any], zero: bool) -> Any:
        """A result on the device: a tensor that was given, or a new one on the memory of the CPU's."""
        if isinstance(result, self.torch.Tensor):
            given = backed.get(id(result))
            made = given if given is not None and given.shape == result.shape else self._wrapped(result, given)
            made.untyped_storage().zero = zero
            return made
        if isinstance(result, (list, tuple)):
            return type(result)(self._back(part, backed, zero) for part in result)
        return result

    def _refuse(self, name: str, given: list[Any]) -> None:
        """Only copies, and numbers beside tensors, come from the CPU."""
        foreign = [x for x in given if x.device.type != NAME and x.ndim > 0]
        if foreign and name != COPY:
            raise RuntimeError(
                f"{name}: expected all tensors on {self.device}, got one of shape {tuple(foreign[0].shape)} on "
                f"{foreign[0].device}. Make it beside the others."
            )


def _is_product_of_nothing(name: str, args: Any) -> bool:
    """Whether a factor is a tangent without memory: torch then computes nothing, even where the other one is NaN."""
    factors = args[:2] if name == "mul" else args[:1] if name == "div" else ()
    return any(getattr(x, "untyped_storage", None) and getattr(x.untyped_storage(), "zero", False) for x in factors)


def _replaced(values: Any, twins: dict[int, Any]) -> Any:
    """Arguments with each tensor replaced."""
    if isinstance(values, dict):
        return {key: _replaced(value, twins) for key, value in values.items()}
    if isinstance(values, (list, tuple)):
        return type(values)(_replaced(value, twins) for value in values)
    return twins.get(id(values), values)


@cache
def accelerator() -> Accelerator:
    """Return the pretend accelerator of this process, which makes it when it is first asked for."""
    return Accelerator(importlib.import_module("torch"))
