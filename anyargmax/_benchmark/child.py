"""One framework's share of the benchmark, in a process of its own: its rows are printed, a line of JSON each."""

import contextlib
import json
import os
import sys
from importlib.metadata import PackageNotFoundError, version

from .workloads import WORKLOADS

PACKAGES = ("numpy", "scipy", "autograd", "torch", "jax", "entmax", "dsntnn", "kornia")


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


def main() -> int:
    """Do what the JSON on the standard input asks for."""
    asked = json.load(sys.stdin)
    keep_to(asked["threads"])
    from . import frameworks, measure  # which start them

    missing: dict[str, str] = {}
    toolkits = {False: frameworks.LOADERS[asked["framework"]](missing)}
    if asked["framework"] == "torch":
        toolkits[False].xp.set_num_threads(asked["threads"])
    if asked["framework"] == "jax":
        toolkits[True] = frameworks.eager_jax(missing)
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
