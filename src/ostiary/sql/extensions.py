"""Functions of well-known extensions that compute from their arguments alone, from `extensions.txt`.

All others run code that was not looked at: nobody can say what they do.
"""

from importlib.resources import files
from typing import Final


def _read() -> dict[str, frozenset[str]]:
    """Extension → those of its functions that do more than compute."""
    found: dict[str, frozenset[str]] = {}
    for line in files("ostiary.sql").joinpath("extensions.txt").read_text("ascii").splitlines():
        if line and not line.startswith("#"):
            extension, _, others = line.partition(":")
            found[extension] = frozenset(others.split())
    return found


_OTHERS: Final = _read()


def computes(extension: str, function: str) -> bool:
    """Does the function of that extension do nothing but compute?"""
    others = _OTHERS.get(extension)
    return others is not None and function not in others
