"""Find the frameworks, devices and dtypes that were asked for by name."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from .._frameworks.names import MODULES, adapted, installed
from .._frameworks.registry import registered
from .frameworks import Backend, load
from .tolerance import COMPUTED_IN

DTYPES = ("float32", "float64")


class Place(NamedTuple):
    """A framework on a device; no device is the framework's own choice."""

    backend: Backend
    device: str | None = None

    def __str__(self) -> str:
        return self.backend.name if self.device is None else f"{self.backend.name} on {self.device}"


def names_of(backends: Iterable[Any] | None) -> tuple[Any, ...]:
    """Names of frameworks (or `Backend`s) that there are; None is all that are installed."""
    given = (
        (*installed(), *registered())
        if backends is None
        else (backends,)
        if isinstance(backends, str)
        else tuple(backends)
    )
    for name in given:
        if isinstance(name, Backend):
            continue
        if name not in (*MODULES, *registered()):
            known = ", ".join((*MODULES, *registered()))
            raise ValueError(f"`backends` must be some of {known}, got {name!r}. Choose among these.")
        if name in MODULES and name not in adapted():
            framework = name.partition("-")[0]
            raise ModuleNotFoundError(
                f"{name} needs the adapter `backends/{framework}`, which this copy of the library does not have. Vendor "
                f"it again with {framework} among its `--backends`."
            )
        if name not in (*installed(), *registered()):
            raise ModuleNotFoundError(f"{name} is not installed: pip install {MODULES[name].replace('_', '-')}")
    return given


def dtypes_of(dtypes: Iterable[str] | None) -> tuple[str, ...]:
    given = DTYPES if dtypes is None else (dtypes,) if isinstance(dtypes, str) else tuple(dtypes)
    for dtype in given:
        if dtype not in COMPUTED_IN:
            raise ValueError(f"`dtypes` must be some of {', '.join(COMPUTED_IN)}, got {dtype!r}. Choose among these.")
    return given


def order_of(order: int) -> int:
    if order not in (0, 1, 2):
        raise ValueError(f"`order` must be 0, 1 or 2, got {order!r}. Choose among these.")
    return order


def places_of(backends: Iterable[Any] | None, devices: Iterable[str] | None) -> tuple[tuple[Place, ...], list[str]]:
    """Return each framework on each device that it has, and a note for each that it has not."""
    loaded = [b if isinstance(b, Backend) else load(b) for b in names_of(backends)]
    if devices is None:
        return tuple(map(Place, loaded)), []
    places: list[Place] = []
    notes: list[str] = []
    for device in (devices,) if isinstance(devices, str) else tuple(devices):
        before = len(places)
        for backend in loaded:
            try:
                backend.find_device(device)
            except LookupError as error:
                notes.append(f"{backend.name} {error.args[0]}")
            else:
                places.append(Place(backend, device))
        if len(places) == before:
            names = ", ".join(b.name for b in loaded)
            raise ValueError(f"`devices` must be there on some framework, got {device!r}, which none of {names} has.")
    return tuple(places), notes


def versions(places: Iterable[Place]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(f"{place} {place.backend.version}" for place in places))


def versions_of(backends: Iterable[Backend]) -> tuple[str, ...]:
    """Return frameworks by name and version."""
    return versions(map(Place, backends))


def missing_dtypes(places: Iterable[Place], dtypes: Iterable[str]) -> list[str]:
    names = {place.backend.name: place.backend for place in places}
    return [f"{name} has no {dtype}" for name, b in names.items() for dtype in dtypes if dtype not in b.dtypes]
