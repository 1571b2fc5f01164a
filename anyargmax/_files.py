"""Files that the command line is asked to write: what is wrong with their places, before there is anything to write."""

import os
from pathlib import Path


def problem(path: str) -> str:
    """Return why no file can be written at a path, nothing if one can be.

    The system is asked by opening the file: it alone knows of modes, mounts and names that are too long.
    """
    if not path:
        return "A file must have a name, got an empty one."
    place = Path(path)
    if not place.absolute().parent.is_dir():
        return f"The folder of {path} does not exist. Make it, or choose another."
    new = not os.path.lexists(path)
    try:
        if new or place.is_file() or place.is_dir():  # what else there is, such as a pipe, must be opened once
            with place.open("ab"):
                pass
            if new:
                place.unlink()
    except OSError as error:
        return f"{path} cannot be written: {error.strerror or error}. Choose another file."
    return ""
