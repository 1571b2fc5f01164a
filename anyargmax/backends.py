"""Source-checkout alias of ../backends; a wheel ships that folder in this module's place."""

from pathlib import Path

__path__ = [str(Path(__file__).resolve().parent.parent / "backends")]
