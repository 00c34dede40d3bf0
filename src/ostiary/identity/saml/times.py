"""SAML's times (core §1.3.3): xs:dateTime in UTC."""

import re
from datetime import datetime
from typing import Final

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", re.ASCII)


def time_of(text: str | None) -> float | None:
    """Unix seconds; None of None. Raises ValueError."""
    if text is None:
        return None
    if not _TIME.fullmatch(text):
        raise ValueError("a time is not written as 2026-01-31T12:00:00Z")
    return datetime.fromisoformat(text).timestamp()
