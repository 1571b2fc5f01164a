"""Compare wheels with the two folders they are made of: ``python wheel_contents.py WHEEL...``.

A wheel must hold every file of ``anyargmax/`` but what stands for the other folder in a source checkout, every file of
``backends/`` under ``anyargmax/backends/``, each with the bytes it has here, and its own metadata.
"""

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {"anyargmax": "anyargmax", "backends": "anyargmax/backends"}
ALIAS = ("anyargmax/backends.py", "anyargmax/backends/")  # a module, and the stubs beside it


def expected() -> dict[str, bytes]:
    files = {}
    for folder, shipped in FOLDERS.items():
        for path in (ROOT / folder).rglob("*"):
            source = path.relative_to(ROOT).as_posix()
            if path.is_file() and "__pycache__" not in path.parts and not source.startswith(ALIAS):
                files[f"{shipped}/{path.relative_to(ROOT / folder).as_posix()}"] = path.read_bytes()
    return files


def actual(wheel: Path) -> dict[str, bytes]:
    name, version, *_ = wheel.name.split("-")
    metadata = f"{name}-{version}.dist-info/"
    with zipfile.ZipFile(wheel) as archive:
        return {entry: archive.read(entry) for entry in archive.namelist() if not entry.startswith(metadata)}


def differences(want: dict[str, bytes], got: dict[str, bytes]) -> list[str]:
    return (
        [f"missing from the wheel: {name}" for name in sorted(want.keys() - got.keys())]
        + [f"not in the tree:        {name}" for name in sorted(got.keys() - want.keys())]
        + [f"differs from the tree:  {name}" for name in sorted(want.keys() & got.keys()) if want[name] != got[name]]
    )


def main(wheels: list[str]) -> int:
    if not wheels:
        print("Name at least one wheel.")
        return 2
    want, failed = expected(), False
    for wheel in map(Path, wheels):
        found = differences(want, actual(wheel))
        failed = failed or bool(found)
        print("\n".join([f"{wheel.name}: {len(found)} differences in {len(want)} files", *found]))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
