"""The one door to array-api-compat; a host that vendors the library may supply its own copy.

A host overrides it by putting a module ``_array_api_compat_vendor`` beside this file with
``from <its copy of array_api_compat> import *``.
"""

try:
    from ._array_api_compat_vendor import (  # type: ignore[import-not-found, import-untyped, unused-ignore]
        array_namespace,
        device,
        is_array_api_obj,
        is_dask_array,
        to_device,
    )
except ModuleNotFoundError as error:
    if error.name is None or not error.name.endswith("_array_api_compat_vendor"):
        raise
    from array_api_compat import array_namespace, device, is_array_api_obj, is_dask_array, to_device

# What the names of its namespaces begin with, wherever the copy in use lies.
PREFIX = array_namespace.__module__.removesuffix("common._helpers")

__all__ = ["PREFIX", "array_namespace", "device", "is_array_api_obj", "is_dask_array", "to_device"]
