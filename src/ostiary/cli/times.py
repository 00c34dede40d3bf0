"""Moments as people type them: how long ago, or when (RFC 3339)."""

import time
from datetime import UTC, datetime

from ostiary.cli.output import Exit, fail
from ostiary.core.duration import DURATION, seconds


def when(typed: str) -> float | None:
    """Unix seconds of "7d" (ago), "2026-01-31" or "2026-01-31T12:00:00Z"; without a zone it is UTC. None: nothing."""
    if not typed:
        return None
    if DURATION.fullmatch(typed):
        return time.time() - seconds(typed)
    try:
        at = datetime.fromisoformat(typed)
        return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        fail(
            f'"{typed}" is no moment in time', "write how long ago, as 7d or 12h, or a date, as 2026-01-31", Exit.USAGE
        )
