"""Copies of the library for other projects: its functions, with the adapters that were chosen inside."""

import argparse
import keyword
import os
import pkgutil
import shutil
import sys
from collections.abc import Collection, Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from . import __version__, backends
from ._help import with_examples

ORIGIN = "anyargmax"  # what every copy is a copy of, whatever it is called
LIBRARY = Path(__file__).resolve().parent
ADAPTERS = Path(next(iter(backends.__path__)))  # beside the library in a source checkout, inside it elsewhere
COMPAT, OVERRIDE, NOTE = "array_api_compat", "_array_api_compat_vendor.py", "VENDORED.md"
COMPAT_REQUIREMENT = "array-api-compat>=1.12"
MADE_HERE = ("backends", "backends.py", COMPAT, OVERRIDE, NOTE)
OURS = ("_benchmark", "_experiment")  # of use beside this library alone
CHECKS = ("validation", "pytest_plugin.py")  # of use in the tests of a project
EXAMPLES = ("_argmax", "_argmax_of_numpy --backends --with-compat")
# Some wheels of array-api-compat (1.15, 1.16) lack the licence that its sources have: the text of ours under this line.
COMPAT_COPYRIGHT = "Copyright (c) 2022 Consortium for Python Data API Standards"


def adapters() -> list[str]:
    """Return the names of the adapters that there are."""
    return sorted(module.name for module in pkgutil.iter_modules([str(ADAPTERS)]) if module.name[0] != "_")


def compat_folder() -> Path | None:
    """Return the folder of array-api-compat: the copy in this library, else the installed one."""
    if (LIBRARY / COMPAT).is_dir():
        return LIBRARY / COMPAT
    spec = find_spec(COMPAT)
    return Path(spec.origin).parent if spec is not None and spec.origin is not None else None


def refused_adapters(chosen: Collection[str]) -> str:
    """Return what is wrong with the adapters that were chosen, nothing if they will do."""
    known = adapters()
    if unknown := [name for name in chosen if name not in known]:
        return f"`--backends` must name some of {', '.join(known)}, separated by spaces, got {', '.join(unknown)}."
    if "keras" in chosen and not {"tensorflow", "torch", "jax"} & set(chosen):
        return "`--backends keras` must come with the adapter of the Keras backend. Add tensorflow, torch or jax."
    return ""


def refused_checks(wanted: bool) -> str:
    """Return what is wrong with asking for validation, nothing if it is there or not asked for."""
    if wanted and not (LIBRARY / CHECKS[0]).is_dir():
        return "`--with-validation` must find it, and this copy of the library has none. Run it from an installed one."
    return ""


def refused_place(destination: Path) -> str:
    """Return what is wrong with the place for a copy, nothing if it will do."""
    name, folder = destination.name, destination.parent
    if not name.isidentifier() or keyword.iskeyword(name):
        return f"DEST must end in a name that Python can import, such as `_argmax`, got `{destination}`."
    if name in ("numpy", COMPAT, *adapters()):
        return f"DEST must not be called `{name}`, which would hide the package of that name. Name another folder."
    if os.path.lexists(destination):
        return f"DEST must not exist, but `{destination}` does. Remove it, or name another folder."
    if not folder.is_dir():
        return f"DEST must lie in a folder that exists, but `{folder}` is none. Create it first."
    if any(folder.resolve().is_relative_to(source.resolve()) for source in (LIBRARY, ADAPTERS)):
        return f"DEST must lie outside the library that is copied, got `{destination}`. Name another folder."
    return ""


def copy_folder(source: Path, target: Path, without: Collection[str] = ()) -> None:
    """Copy what a folder contains, but no caches, and nobody else's modes and times."""
    target.mkdir()
    for path in source.iterdir():
        if path.name in without or path.name == "__pycache__" or path.name[0] == "." or path.suffix == ".pyc":
            continue
        if path.is_dir():
            copy_folder(path, target / path.name)
        else:
            shutil.copyfile(path, target / path.name)


def write(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def compat_licence() -> str:
    """Return the licence that array-api-compat was installed with, or what it must have been."""
    try:
        files = metadata.distribution("array-api-compat").files or []
    except metadata.PackageNotFoundError:
        files = []
    for path in files:
        if path.name == "LICENSE" and ".dist-info" in path.parts[0]:
            return path.read_text(encoding="utf-8")
    lines = (LIBRARY / "LICENSE").read_text(encoding="utf-8").splitlines()
    return "\n".join(COMPAT_COPYRIGHT if line.startswith("Copyright") else line for line in lines) + "\n"


def copy_compat(source: Path, target: Path) -> None:
    """Copy array-api-compat into a copy of the library, without its tests, and have that use it."""
    copy_folder(source, target / COMPAT, without=("tests", "vendor_tests"))
    if not (target / COMPAT / "LICENSE").exists():
        write(compat_licence(), target / COMPAT / "LICENSE")
    text = (
        f'"""Has the library use the copy of array-api-compat beside it."""\n\nfrom .{COMPAT} import *  # noqa: F403\n'
    )
    write(text, target / OVERRIDE)


def needs(chosen: Sequence[str], with_compat: bool) -> list[str]:
    """Return what has to be installed for a copy to work, by its names for pip."""
    return [*([] if with_compat else [COMPAT_REQUIREMENT]), *chosen]


def needed(chosen: Sequence[str], with_compat: bool) -> str:
    """Return the line about it."""
    names = ", ".join(needs(chosen, with_compat)) or "nothing"
    return f"To be installed: {names}{' (a framework only where its arrays are used)' if chosen else ''}"


def note(name: str, chosen: Sequence[str], with_compat: bool, with_validation: bool) -> str:
    """Return the text of the note in a copy: what it is, what it needs and how to make it again."""
    flags = ["--with-compat"] * with_compat + ["--with-validation"] * with_validation
    options = " ".join([name, "--backends", *chosen, *flags])
    compat = f"\narray-api-compat came along, without its tests; its licence is `{COMPAT}/LICENSE`.\n"
    return f"""\
# A copy of {ORIGIN} {__version__}

Made by `python -m {ORIGIN} vendor {options}`; its licence is `LICENSE`.

It has the adapters for {", ".join(chosen) or "nothing"}, in `backends`.
{needed(chosen, with_compat)}.
{compat if with_compat else ""}
To renew it, install the version that you want, remove this folder and make it again. Changes made here are lost then.
"""


def build(destination: Path, chosen: Sequence[str], with_compat: bool, with_validation: bool) -> None:
    """Make a copy under another name beside its place and move it there, so that it is there whole or not at all."""
    unchosen = [f"{name}{suffix}" for name in adapters() if name not in chosen for suffix in ("", ".py", ".pyi")]
    with TemporaryDirectory(
        prefix=f".{destination.name}.", dir=destination.parent, ignore_cleanup_errors=True
    ) as scratch:
        copy = Path(scratch) / destination.name
        copy_folder(LIBRARY, copy, without=(*MADE_HERE, *OURS, *(() if with_validation else CHECKS)))
        copy_folder(ADAPTERS, copy / "backends", without=unchosen)
        for probe in () if with_validation else (copy / "backends").glob("*/probe.py"):
            probe.unlink()
        compat = compat_folder() if with_compat else None
        if compat is not None:
            copy_compat(compat, copy)
        write(note(destination.name, chosen, with_compat, with_validation), copy / NOTE)
        copy.rename(destination)


def arguments(program: str, options: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    known = adapters()
    parser = argparse.ArgumentParser(
        usage="%(prog)s DEST [--backends NAME ...] [--with-compat] [--with-validation]",
        description="Copy the library, with the adapters you choose inside it, into another project.",
        **with_examples(program, EXAMPLES),
    )
    parser.add_argument("destination", metavar="DEST", type=Path, help="the folder to make: your name for the package")
    text = f"the adapters to take, of {', '.join(known)}: all if not given, none if given without a name"
    parser.add_argument("--backends", nargs="*", metavar="NAME", default=known, help=text)
    parser.add_argument("--with-compat", action="store_true", help="take array-api-compat along as well")
    text = "take `validation` and the plugin of pytest along as well"
    parser.add_argument("--with-validation", action="store_true", help=text)
    return parser.parse_args(options)


def run(program: str, options: Sequence[str]) -> int:
    """Make a copy, say what it needs, and return the exit code: 0, or 2 if there is none."""
    parsed = arguments(program, options)
    destination, with_compat, with_validation = parsed.destination, parsed.with_compat, parsed.with_validation
    chosen = sorted(set(parsed.backends))
    reason = refused_adapters(chosen) or refused_place(destination) or refused_checks(with_validation)
    if with_compat and compat_folder() is None:
        reason = reason or "`--with-compat` must find array-api-compat. Install it: pip install array-api-compat."
    try:
        if not reason:
            build(destination, chosen, with_compat, with_validation)
    except OSError as error:
        reason = f"Nothing was written to `{destination}`: {error.strerror or error}."
    if reason:
        print(f"{program}: {reason}", file=sys.stderr)
        return 2
    print(f"{destination}: {ORIGIN} {__version__} with the adapters for {', '.join(chosen) or 'nothing'}")
    print(needed(chosen, with_compat))
    print(f"In a module beside it: from .{destination.name} import soft_argmax")
    return 0
