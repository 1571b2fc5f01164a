"""One framework's share of the benchmark, in a process of its own: its rows are printed, a line of JSON each."""

import contextlib
import json
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from .workloads import DEVICES, WORKLOADS

PACKAGES = ("numpy", "scipy", "autograd", "torch", "triton", "jax", "entmax", "adasplash", "dsntnn", "kornia")


def keep_to(processors: int) -> None:
    """Have this process use so many processors, where the system can be told: before there are threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-processors:])


def versions() -> dict[str, str]:
    """Return what is installed here."""
    found = {}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _toolkits(asked: dict[str, Any], missing: dict[str, str]) -> dict[bool, Any]:
    """The framework; of JAX also as it is called without `jit`."""
    from . import frameworks  # which starts it

    name, device = asked["framework"], asked["device"]
    toolkits = {False: frameworks.load(name, missing, device)}
    if name == "torch":
        toolkits[False].xp.set_num_threads(asked["threads"])
    if name == "jax":
        toolkits[True] = frameworks.load(name, missing, device, eager=True)
    return toolkits


def main() -> int:
    """Do what the JSON on the standard input asks for."""
    asked = json.load(sys.stdin)
    if asked["device"] == DEVICES[0]:
        keep_to(asked["threads"])
    missing: dict[str, str] = {}
    toolkits = _toolkits(asked, missing)
    from . import measure

    device = toolkits[False].device
    if bandwidth := device.bandwidth():
        print(json.dumps({"device": {"label": device.label, "bandwidth": bandwidth}}), flush=True)
    known = {workload.name: workload.scaled(asked["scale"]) for workload in WORKLOADS}
    for name, which in asked["rows"]:
        print(json.dumps({"doing": f"{name} {which}"}), flush=True)
        workload = known[name]
        row = measure.row(toolkits[workload.eager], workload, which, asked["seconds"], asked["compile"], missing)
        print(json.dumps({"row": row}), flush=True)
    print(json.dumps({"missing": missing, "versions": versions()}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
