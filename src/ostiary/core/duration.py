"""Lengths of time as people write them: "30s", "10m", "12h", "90d"."""

import re
from typing import Final

DURATION: Final = re.compile(r"(\d{1,9})(ms|s|m|h|d)")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(text: str) -> float:
    """The seconds. Raises ValueError with a sentence."""
    found = DURATION.fullmatch(text.strip())
    if found is None:
        raise ValueError('write a duration as "30s", "10m", "12h" or "1d"')
    return int(found[1]) * _UNITS[found[2]]
